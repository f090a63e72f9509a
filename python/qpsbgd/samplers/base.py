"""The parts of a call that all samplers share: parameters, argument checks, clock and result."""

import inspect
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, Literal, get_args, get_type_hints

import dimod
import numpy as np
import numpy.typing as npt
from dimod.core.initialized import InitialStateGenerator

from qpsbgd import _core
from qpsbgd._checks import (
    check_model,
    checked_callable,
    checked_real,
    checked_threads,
    checked_time_limit,
    refuse_masked,
)
from qpsbgd.samplers.batch.dimod_models import sample_many
from qpsbgd.samplers.batch.options import Method
from qpsbgd.samplers.ising import Form, Problem

InterruptFunction = Callable[[], bool]
Progress = Callable[[float], object]
States = npt.NDArray[np.int8]


class CoreSampler(dimod.Sampler):
    """dimod sampler whose work the C++ core does.

    A subclass defines :meth:`sample` and ``option_properties``. ``parameters`` and ``properties``
    follow from these: the parameters are those of :meth:`sample`, and the options of a parameter
    are the words in its annotation.
    """

    #: Name of the property that lists the options of a parameter, by name of the parameter.
    option_properties: ClassVar[dict[str, str]] = {}
    _signature: ClassVar[dict[str, Any]] = {}

    # dimod.Sampler declares both as abstract.
    parameters: dict[str, list[str]] = {}  # noqa: RUF012
    properties: dict[str, Any] = {}  # noqa: RUF012

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Read the signature of :meth:`sample` of a class that names its options."""
        super().__init_subclass__(**kwargs)
        if "option_properties" in vars(cls):
            hints = get_type_hints(cls.sample)
            cls._signature = {
                name: hints[name]
                for name, parameter in inspect.signature(cls.sample).parameters.items()
                if name not in ("self", "bqm") and parameter.kind is not parameter.VAR_KEYWORD
            }

    def __init__(self) -> None:
        names = self.option_properties
        self.parameters = {name: [names[name]] if name in names else [] for name in self._signature}
        self.properties = {names[name]: _options(self._signature[name]) for name in names}


class StateSampler(CoreSampler, dimod.Initialized):
    """Sampler whose reads begin at initial states, with a method for many models."""

    #: Name of the method in :func:`qpsbgd.sample_batch`.
    batch_method: ClassVar[Method]

    def sample_many(
        self, bqms: Iterable[dimod.BinaryQuadraticModel], **options: Any
    ) -> list[dimod.SampleSet]:
        """Sample from many models in as few calls of the core as possible.

        Args:
            bqms: models of any vartype, size and labels.
            **options: options of :func:`qpsbgd.samplers.batch.sample_many`, such as ``num_reads``,
                ``num_sweeps``, ``seed``, ``time_limit`` and ``executor``.

        Returns:
            A sample set for each model, in its vartype and with its labels.

        Raises:
            TypeError: one of ``bqms`` is not a binary quadratic model, or an option is of the
                wrong type.
            ValueError: a NaN or infinite bias, or a value out of range.

        Example:
            >>> import dimod
            >>> from qpsbgd import TabuSampler
            >>> models = [dimod.BQM({"a": bias}, {}, 0.0, "SPIN") for bias in (1.0, -2.0)]
            >>> [float(found.first.energy) for found in TabuSampler().sample_many(models, seed=1)]
            [-1.0, -2.0]
        """
        return sample_many(bqms, self.batch_method, **options)


class SamplerCall:
    """One call of a sampler, from its arguments to its sample set.

    Args:
        sampler: the sampler.
        bqm: the model.
        num_threads: largest number of threads, or None.
        time_limit: seconds, > 0, or None.
        interrupt_function: asked whether to stop, or None.
        progress: called with the lowest energy, or None.

    Attributes:
        bqm: the model.
        num_threads: largest number of threads.
        time_limit: seconds, or infinity.
        variables: labels in the order of the states' columns; None for the order of the model.
        initial: initial states as spins, int8 ``(reads, n)``, after :meth:`parse_states`.
        problem: the problem for the core, after :meth:`build_problem`.

    Raises:
        TypeError: an argument of the wrong type.
        ValueError: a value out of range.
    """

    initial: States
    problem: Problem

    def __init__(
        self,
        sampler: dimod.Sampler,
        bqm: dimod.BinaryQuadraticModel,
        *,
        num_threads: int | None,
        time_limit: float | None,
        interrupt_function: InterruptFunction | None,
        progress: Progress | None = None,
    ) -> None:
        self._ends_of_phases = [time.perf_counter_ns()]
        check_model("bqm", bqm)
        self._sampler = sampler
        self.bqm = bqm
        self.num_threads = checked_threads(num_threads)
        self.time_limit = checked_time_limit(time_limit)
        self._interrupt_function = checked_callable("interrupt_function", interrupt_function)
        self._progress = checked_callable("progress", progress)
        self.variables: list[Any] | None = None

    def parse_states(
        self,
        initial_states: Any,
        generator: InitialStateGenerator,
        num_reads: int | None,
        seed: int | None,
    ) -> None:
        """Make the initial state of each read; the arguments are those of dimod."""
        refuse_masked("initial_states", initial_states)
        parsed = self._sampler.parse_initial_states(
            self.bqm,
            initial_states=initial_states,
            initial_states_generator=generator,
            num_reads=num_reads,
            seed=seed,
        ).initial_states
        self.variables = parsed.variables
        states = np.ascontiguousarray(parsed.record.sample, np.int8)
        self.initial = 2 * states - 1 if self.bqm.vartype is dimod.BINARY else states

    def build_problem(self, form: Form | None = None) -> Problem:
        """Build the problem for the core and return it."""
        self.problem = Problem(self.bqm, form, self.variables)
        return self.problem

    def core_threshold(self, energy_threshold: Any) -> float:
        """Return a threshold for energies without the offset; -inf if it is None."""
        if energy_threshold is None:
            return float("-inf")
        threshold = checked_real("energy_threshold", energy_threshold)
        if np.isnan(threshold):
            raise ValueError("energy_threshold is nan, but must be a number")
        if np.isinf(threshold):
            return threshold
        # The last digits of a float64 sum depend on the order of its terms.
        return threshold - self.problem.offset + self.problem.rounding(threshold)

    @contextmanager
    def solving(self) -> Iterator[dict[str, Any]]:
        """Time the block that solves the problem; yield the options that all solvers take."""
        self._ends_of_phases.append(time.perf_counter_ns())
        yield {
            "num_threads": self.num_threads,
            "time_limit": self.time_limit,
            "watch": self._watch(),
        }
        self._ends_of_phases.append(time.perf_counter_ns())

    def finish(
        self,
        states: States,
        reason: _core.StopReason,
        error: BaseException | None,
        vectors: dict[str, npt.NDArray[Any]] | None = None,
        **info: Any,
    ) -> dimod.SampleSet:
        """Make the sample set of the call.

        Args:
            states: spins, int8 ``(reads, n)``.
            reason: the reason for which the core stopped.
            error: an exception that ended the solving early, or None.
            vectors: further columns of the sample set, ``(reads,)`` each.
            **info: entries of the sample set's ``info``, beside those of all samplers.

        Raises:
            BaseException: ``error``; the sample set is its attribute ``sampleset``.
        """
        result = dimod.SampleSet.from_samples(
            (states, self.problem.variables),
            energy=self.problem.energies(states, self.num_threads),
            vartype=dimod.SPIN,
            **(vectors or {}),
        ).change_vartype(self.bqm.vartype, inplace=True)
        self._ends_of_phases.append(time.perf_counter_ns())
        phases = ("preprocessing_ns", "sampling_ns", "postprocessing_ns")
        durations = np.diff(self._ends_of_phases).tolist()
        result.info.update(
            isa=_core.isa(),
            num_threads=self.num_threads,
            **{"stopped_by": reason.name, **info},
            timing=dict(zip(phases, durations, strict=True)),
        )
        if error is not None:
            error.sampleset = result  # type: ignore[attr-defined]
            raise error
        return result

    def _watch(self) -> Callable[[float], bool] | None:
        """Return the function that the core calls with the lowest energy; True means stop."""
        interrupt, progress, offset = (
            self._interrupt_function,
            self._progress,
            self.problem.offset,
        )
        if progress is None:
            return None if interrupt is None else lambda _: interrupt()

        def watch(energy: float) -> bool:
            progress(energy + offset)
            return interrupt is not None and interrupt()

        return watch


def begun_reads(
    states: States, counts: npt.NDArray[np.int64], reason: _core.StopReason
) -> tuple[States, npt.NDArray[np.int64]]:
    """Return the states and counts of the reads that a call began, or of the first read.

    Args:
        states: ``(reads, n)``.
        counts: what the core counts in each read, ``(reads,)``; -1 for a read that was not begun.
        reason: the reason for which the core stopped.
    """
    if reason is _core.StopReason.finished:
        return states, counts
    begun = is_begun(counts, reason)
    return states[begun], counts[begun].clip(min=0)


def is_begun(counts: npt.NDArray[np.int64], reason: _core.StopReason) -> npt.NDArray[np.bool_]:
    """Return which reads a call returns: those that it began, or the first one."""
    begun: npt.NDArray[np.bool_] = counts >= 0
    if reason is not _core.StopReason.finished:
        begun[0] |= not begun.any()
    return begun


def _options(annotation: Any) -> tuple[Any, ...]:
    """Return the words that an annotation allows, or both truth values."""
    if annotation is bool:
        return (True, False)
    if getattr(annotation, "__origin__", None) is Literal:
        return get_args(annotation)
    return tuple(word for part in get_args(annotation) for word in _options(part))
