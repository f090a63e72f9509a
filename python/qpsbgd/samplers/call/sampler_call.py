"""One call of a sampler: argument checks, clock, reads and result, which all samplers share."""

import itertools
import time
from collections.abc import Callable, Sequence
from typing import Any

import dimod
import numpy as np
import numpy.typing as npt
from dimod.core.initialized import InitialStateGenerator

from qpsbgd import _core
from qpsbgd._checks.binary_models import check_model
from qpsbgd._checks.kinds import checked_callable
from qpsbgd._checks.numbers import checked_count, checked_real, checked_threads, checked_time_limit
from qpsbgd.samplers.call.best_states import BestStates
from qpsbgd.samplers.call.caller_functions import CallerFunctions, InterruptFunction, Progress
from qpsbgd.samplers.call.initial_states import InitialStates
from qpsbgd.samplers.call.interrupts import DeferredInterrupts
from qpsbgd.samplers.call.reads import (
    Reads,
    Solve,
    States,
    begun_reads,
    check_memory,
    reads_together,
)
from qpsbgd.samplers.call.results import make_result, model_labels
from qpsbgd.samplers.problem.array_model import ArrayModel
from qpsbgd.samplers.problem.ising import Form, Problem


class SamplerCall:
    """One call of a sampler, from its arguments to its sample set.

    Args:
        sampler: the sampler.
        bqm: the model, of dimod or of arrays.
        num_threads: largest number of threads, or None.
        time_limit: seconds, > 0, or None.
        interrupt_function: asked whether to stop, or None.
        progress: called with the lowest energy, or None.

    Attributes:
        bqm: the model.
        num_threads: largest number of threads.
        time_limit: seconds, or infinity.
        variables: labels in the order of the states' columns; None for the order of the model.
        initial: initial states as spins, int8 ``(reads, n)``, after :meth:`parse_states`: of all
            reads, or of those that are solved first.
        num_reads: number of reads, after :meth:`parse_states`.
        problem: the problem for the core, after :meth:`build_problem`.

    Raises:
        TypeError: an argument of the wrong type.
        ValueError: a value out of range.
    """

    initial: States
    num_reads: int
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
        if not isinstance(bqm, ArrayModel):
            check_model("bqm", bqm)
        self.bqm = bqm
        self.num_threads = checked_threads(num_threads)
        self.time_limit = checked_time_limit(time_limit)
        self._functions = CallerFunctions(
            checked_callable("interrupt_function", interrupt_function),
            checked_callable("progress", progress),
        )
        self.variables: Sequence[Any] | None = None

    def parse_states(
        self,
        initial_states: Any,
        generator: InitialStateGenerator,
        num_reads: int | None,
        seed: int | None,
        num_best: int | None = None,
        *,
        is_divisible: bool = True,
    ) -> None:
        """Make the initial states of the reads that are solved first; the arguments are dimod's.

        With ``is_divisible=False`` these are all reads.
        """
        self._num_best = None if num_best is None else checked_count("num_best", num_best, 1)
        self._starts = InitialStates(
            model_labels(self.bqm), self.bqm.vartype, initial_states, generator, num_reads, seed
        )
        self.variables, self.num_reads = self._starts.labels, self._starts.num_reads
        n = len(self.variables)
        is_limited = np.isfinite(self.time_limit) or self._functions.interrupt is not None
        if self._num_best is None and not (is_limited and is_divisible):
            check_memory(self.num_reads, n)
        self._num_together = self.num_reads
        if is_divisible:
            self._num_together = reads_together(
                self.num_reads, n, is_best=self._num_best is not None,
                time_limit=self.time_limit, num_threads=self.num_threads,
            )  # fmt: skip
        self.initial = self._starts.take(self._num_together)

    def use_reads(self, num_reads: int) -> None:
        """Prepare :meth:`run_reads` for this number of reads, whose starts the solver knows."""
        self._num_best, self.num_reads = None, num_reads
        self.initial = np.empty((num_reads, 0), np.int8)

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

    def solving(self) -> DeferredInterrupts[dict[str, Any]]:
        """Return the context of the solving and of :meth:`finish`; it begins the sampling's time.

        ``with`` assigns the options that all solvers take.
        """
        self._ends_of_phases.append(time.perf_counter_ns())
        self._functions.offset = self.problem.offset
        self._interrupts = DeferredInterrupts(
            {
                "num_threads": self.num_threads,
                "time_limit": self.time_limit,
                "watch": self._functions.core_watch(),
            },
            CallerFunctions.watch.__code__,
        )
        return self._interrupts

    def in_core(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Return what a function of the core returns; in it, Ctrl-C ends the work."""
        return self._interrupts.in_core(function, *args, **kwargs)

    def is_interrupted(self) -> bool:
        """Return whether Ctrl-C has ended the call."""
        return self._interrupts.is_ended()

    def run_reads(self, limits: dict[str, Any], solve: Solve) -> Reads:
        """Solve all reads, some at a time where there are many.

        Args:
            limits: what :meth:`solving` yields.
            solve: called with initial states, the number of the first of these reads, and limits.
        """
        best = None
        if self._num_best is not None:
            best = BestStates(self._num_best, self.initial.shape[1])
        end = time.perf_counter() + limits["time_limit"]
        first, extremes, initial, parts = 0, [], self.initial, []
        while True:
            states, counts, reason, error = solve(initial, first, limits)
            states, counts = begun_reads(states, counts, reason, first)
            if len(states):
                if best is None:
                    parts.append((states, counts))
                else:
                    energies = self.problem.energies(
                        states, self.num_threads, self._interrupts.is_late
                    )
                    known = len(energies)
                    best.add(states[:known], energies, counts[:known])
                extremes += [int(counts.min()), int(counts.max())]
            first += len(initial)
            if reason is not _core.StopReason.finished or first == self.num_reads:
                break
            if self.is_interrupted():
                reason = _core.StopReason.interrupt
                break
            initial = self._starts.take(min(self._num_together, self.num_reads - first))
            left = end - time.perf_counter()
            if left <= 0:
                reason = _core.StopReason.time_limit
                break
            limits = {**limits, "time_limit": left}
        ends = (min(extremes), max(extremes))
        if best is not None:
            lowest, energies, occurrences, numbers = best.arrays()
            return Reads(lowest, reason, error, numbers, ends, energies, occurrences)
        states, counts = parts[0]
        if len(parts) > 1:
            states, counts = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        return Reads(states, reason, error, counts, ends)

    def finish(
        self,
        reads: Reads,
        vectors: dict[str, npt.NDArray[Any]] | None = None,
        *,
        is_sorted: bool = False,
        is_whole: bool = False,
        **info: Any,
    ) -> Any:
        """Make the sample set of the call, or the arrays if the model was given as arrays.

        The reads whose energies are not known
        :data:`~qpsbgd.samplers.call.interrupts.GRACE` seconds after an interrupt are left out.

        Args:
            reads: what the reads found.
            vectors: further columns of the sample set, ``(reads,)`` each.
            is_sorted: whether to sort the states by their energies.
            is_whole: whether ``info`` has arrays of all reads, so that none may be left out.
            **info: entries of the sample set's ``info``, beside those of all samplers.

        Raises:
            BaseException: ``reads.error``, or what a function of the caller or a signal raised; the
                sample set is its attribute ``sampleset``.
        """
        self._ends_of_phases.append(time.perf_counter_ns())
        energies = reads.energies
        if energies is None:
            should_stop = None if is_whole else self._interrupts.is_late
            energies = self.problem.energies(reads.states, self.num_threads, should_stop)
        order = np.argsort(energies, kind="stable") if is_sorted else slice(len(energies))
        columns = {name: vector[order] for name, vector in (vectors or {}).items()}
        result = make_result(
            self.bqm, self.problem.variables, reads.states[order], energies[order],
            reads.num_occurrences, columns, is_sorted=self.variables is not None,
        )  # fmt: skip
        result.info.update(
            isa=_core.isa(),
            num_threads=self.num_threads,
            **{"stopped_by": reads.reason.name, **info},
        )

        attribute = "result" if isinstance(self.bqm, ArrayModel) else "sampleset"

        def attach(error: BaseException) -> None:
            result.info["stopped_by"] = _core.StopReason.interrupt.name
            setattr(error, attribute, result)

        self._interrupts.attach = attach
        error = self._interrupts.error() if reads.error is None else reads.error
        if error is None and self._functions.are_to_be_called():
            try:
                # A short call has not called the caller's functions yet.
                lowest = float(energies.min(initial=np.inf))
                if self._functions.watch(lowest - self._functions.offset):
                    result.info["stopped_by"] = _core.StopReason.interrupt.name
            except BaseException as exception:
                error = exception
        self._ends_of_phases.append(time.perf_counter_ns())
        phases = ("preprocessing_ns", "sampling_ns", "postprocessing_ns")
        durations = [end - begin for begin, end in itertools.pairwise(self._ends_of_phases)]
        result.info["timing"] = dict(zip(phases, durations, strict=True))
        if error is not None:
            attach(error)
            raise error
        return result
