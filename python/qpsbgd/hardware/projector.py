"""A layer's neurons on a quantum annealer, many a call."""

import dataclasses
import math
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import dimod
import numpy as np
import numpy.typing as npt
from dwave.embedding.chain_strength import uniform_torque_compensation

from qpsbgd._checks import (
    checked_choice,
    checked_count,
    checked_layer,
    checked_nonnegative,
    checked_real,
    checked_threads,
)
from qpsbgd.errors import (
    BudgetExceededError,
    CallError,
    InvalidSampleSetError,
    UnembeddableError,
    UnsupportedInputsError,
)
from qpsbgd.hardware.budget import Budget
from qpsbgd.hardware.calls import Submission
from qpsbgd.hardware.layouts import Layouts
from qpsbgd.hardware.machine import Machine, connect
from qpsbgd.hardware.programming import Program
from qpsbgd.hardware.record import write_record
from qpsbgd.hardware.redact import redacted
from qpsbgd.hardware.timing import access_time_us, check_run_time
from qpsbgd.hardware.work import CallWork, LayerWork
from qpsbgd.projection import GradientBQMs, LayerProblem, ProjectionOptions
from qpsbgd.projection.encoding import checked_penalty_factor, encode
from qpsbgd.projection.native import minimise
from qpsbgd.projection.options import DEFAULT_TARGET_EPS
from qpsbgd.projection.sample_sets import never_worse

OnUnembeddable = Literal["native", "error"]
OnFailure = Literal["retry", "native", "error"]
ChainStrength: TypeAlias = (
    float | Callable[[dimod.BinaryQuadraticModel, Mapping[int, Sequence[int]]], float]
)
Spins = npt.NDArray[np.int8]

_LABEL_LENGTH = 1024


class DWaveProjector:
    """Solves a layer's problems on a D-Wave annealer, as many neurons a call as fit.

    The neurons of a layer have problems of one graph. It is embedded once for a working graph, in
    as many disjoint copies as fit (the embeddings are kept in a cache on disk), and each call has a
    neuron in every copy, or several copies of a neuron under different gauges where there are more
    copies than neurons. All calls of a step, those of all layers, are sent before the first answer
    is waited for.

    The objective of each answer is computed anew for the problem as it was before scaling and
    embedding, and a neuron gets the linear minimiser ``sign(X^T t)`` where no read is better.

    Args:
        sampler: a structured dimod sampler: ``dwave.system.DWaveSampler(...)``, a mock of it, or
            None for ``DWaveSampler()`` with the three that follow. It is the caller's to close.
        profile: in D-Wave's configuration file. There is no argument for a token: it belongs there,
            or into the environment.
        solver: name of the solver.
        region: D-Wave's.
        num_reads: of each call.
        annealing_time: microseconds a read; None for the solver's default.
        sample_kwargs: other parameters of the sampler's ``sample``.
        chain_strength: coupling that holds chains together, in units of the couplings of
            :class:`~qpsbgd.GradientBQMs` of factor 1; or called with that SPIN problem and the
            embedding of the first copy, as Ocean's composites do. None for
            ``dwave.embedding.chain_strength.uniform_torque_compensation``. It is found once a layer
            and step.
        max_copies: neurons a call at most; None for as many as fit.
        polish: native descent from the answers, for as many sweeps as the projection is told.
            Without it, ``num_sweeps`` means nothing.
        budget_us: access time that may be spent, in microseconds; None for no limit.
        ledger: file in which spent time is kept from one process to the next; see
            :class:`~qpsbgd.hardware.Budget`.
        on_unembeddable: what to do with a layer that does not fit the machine (or, for the sign
            objective, whose inputs are not binary): ``"error"``, or ``"native"`` to solve it here.
        on_failure: ``"retry"`` for up to ``max_retries`` more attempts after an error that may
            pass, then an error; ``"native"`` for the same, but to solve the call's neurons here in
            the end; ``"error"`` for one attempt.
        max_retries: see there. An answer that exists is retrieved, not asked for again.
        retry_wait: seconds before the first retry, doubled for each that follows.
        target_eps: as for :func:`qpsbgd.project`.
        penalty_factor: as for :func:`qpsbgd.gradient_bqms`.
        num_threads: of what is done here, as for :func:`qpsbgd.project`.
        log: file to which each call adds a line of JSON.
        run: name of the run, in labels (``qpsbgd/run/step/layer/call``) and records.
        cache: folder for embeddings; None for ``~/.cache/qpsbgd/embeddings`` (or below
            ``$XDG_CACHE_HOME``).

    Attributes:
        machine: what is known of the sampler.
        layouts: where problems are on it.
        parameters: of every call, beside reads and label.
        budget: the :class:`~qpsbgd.hardware.Budget`; its limit may be raised.
        last_calls: records of the last step's calls, as in the log.

    Raises:
        TypeError: an argument of the wrong type.
        ValueError: a value out of range; no token. The call raises ``UnembeddableError``,
            ``BudgetExceededError`` (before anything of the step was sent, or instead of another
            attempt), or ``CallError``; the optimiser's weights are then as they were, and the step
            can be taken again: calls that have been answered are not made anew.

    Example:
        >>> from qpsbgd.hardware import mock_annealer
        >>> solve = DWaveProjector(mock_annealer("chimera", (2, 2, 4)), num_reads=10)
        >>> X, T = np.ones((2, 3), np.float32), np.ones((2, 1), np.float32)
        >>> solve(X, T).tolist()
        [[1, 1, 1]]
    """

    def __init__(
        self,
        sampler: dimod.Sampler | None = None,
        *,
        profile: str | None = None,
        solver: str | None = None,
        region: str | None = None,
        num_reads: int = 100,
        annealing_time: float | None = None,
        sample_kwargs: Mapping[str, Any] | None = None,
        chain_strength: ChainStrength | None = None,
        max_copies: int | None = None,
        polish: bool = False,
        budget_us: float | None = None,
        ledger: Path | str | None = None,
        on_unembeddable: OnUnembeddable = "error",
        on_failure: OnFailure = "retry",
        max_retries: int = 3,
        retry_wait: float = 1.0,
        target_eps: float = DEFAULT_TARGET_EPS,
        penalty_factor: float = 1.1,
        num_threads: int | None = None,
        log: Path | str | None = None,
        run: str = "run",
        cache: Path | str | None = None,
    ) -> None:
        if sampler is not None and (profile, solver, region) != (None, None, None):
            raise ValueError("profile, solver and region go without a sampler, which has its own")
        checked_choice("on_unembeddable", on_unembeddable, get_args(OnUnembeddable))
        checked_choice("on_failure", on_failure, get_args(OnFailure))
        self.num_reads = checked_count("num_reads", num_reads, 1)
        if max_copies is not None:
            checked_count("max_copies", max_copies, 1)
        self.chain_strength = _checked_chain_strength(chain_strength)
        self.polish = polish
        self.on_unembeddable, self.on_failure = on_unembeddable, on_failure
        self.max_retries = checked_count("max_retries", max_retries, 0)
        self.retry_wait = checked_real("retry_wait", retry_wait)
        if not 0.0 <= self.retry_wait < math.inf:
            raise ValueError(f"retry_wait is {retry_wait!r}, but must be finite and at least 0")
        self.target_eps = checked_nonnegative("target_eps", target_eps)
        self.penalty_factor = checked_penalty_factor(penalty_factor)
        checked_threads(num_threads)
        self.num_threads = num_threads
        self.log = None if log is None else Path(log)
        self.run = run
        self.budget = Budget(budget_us, None if ledger is None else Path(ledger))
        self.last_calls: list[dict[str, Any]] = []
        if self.log is not None:
            with self.log.open("a"):  # one that cannot be written is told now
                pass
        self._owns_sampler = sampler is None
        self.machine = Machine(connect(profile, solver, region) if sampler is None else sampler)
        self.parameters = self._checked_parameters(annealing_time, dict(sample_kwargs or {}))
        self.layouts = Layouts(self.machine, None if cache is None else Path(cache), max_copies)
        #: Submissions of a step that failed, by their calls' keys.
        self._kept: dict[bytes, Submission] = {}
        self._num_calls = 0  # of this object, which has no other name for a step
        self._told: set[str] = set()

    def __call__(
        self,
        X: npt.NDArray[np.float32],
        T: npt.NDArray[np.float32],
        options: ProjectionOptions | None = None,
        /,
    ) -> Spins:
        """Solve one layer's problems; see :class:`qpsbgd.Projector` for arguments."""
        X, T = checked_layer(X, T)
        self._num_calls += 1
        options = options or ProjectionOptions()
        (binary,) = self.project_step([LayerProblem("layer", self._num_calls - 1, X, T, options)])
        return binary

    def project_step(self, layers: Sequence[LayerProblem]) -> list[Spins]:
        """Solve the problems of all layers of a step: first all calls are sent, then waited for."""
        works = [self._prepared(self._with_own_options(layer)) for layer in layers]
        calls = [call for work in works for call in work.calls]
        self.last_calls = [call.record for call in calls]
        try:
            self._send(calls, layers[0].step if layers else 0)
            # All are waited for before an error is raised: their bills are to be known.
            errors = [
                error
                for work in works
                for call in work.calls
                if (error := self._receive(work, call)) is not None
            ]
            if errors:
                raise errors[0]
            binaries = [self._finished(work) for work in works]
        except BaseException:
            # Answers that are there, or may come, serve the same step if it is taken again.
            self._kept = {
                call.key: call.submission
                for call in calls
                if call.submission is not None and call.submission.may_be_answered
            }
            raise
        else:
            self._kept = {}
        finally:
            for call in calls:
                call.abandon()
            for call in calls:
                if call.submission is not None and call.submission.num_attempts:
                    write_record(call.record, self.log)
        return binaries

    def close(self) -> None:
        """Close the sampler, if it was made here."""
        if self._owns_sampler:
            self.machine.sampler.close()

    def __enter__(self) -> "DWaveProjector":
        """Itself; :meth:`close` at the end."""
        return self

    def __exit__(self, *_: object) -> None:
        """See :meth:`close`."""
        self.close()

    def __deepcopy__(self, memo: dict[int, Any]) -> "DWaveProjector":
        """Itself: a copy of an optimiser has the same machine and the same budget."""
        return self

    def _send(self, calls: Sequence[CallWork], step: int) -> None:
        for call in calls:
            call.submission = self._kept.get(call.key)
            call.record["kept"] = call.submission is not None
        new = [call for call in calls if call.submission is None]
        if new:
            what = f"step {step} ({len(new)} call{'s'[: len(new) != 1]})"
            self.budget.reserve(sum(call.estimate_us for call in new), what)
        for call in new:
            call.submission = Submission(
                self.machine.sampler,
                call.call.bqm(),
                {**self.parameters, "num_reads": self.num_reads, "label": call.label},
                budget=self.budget,
                estimate_us=call.estimate_us,
                max_retries=0 if self.on_failure == "error" else self.max_retries,
                retry_wait=self.retry_wait,
            )
        for call in new:
            if call.submission is not None:
                call.submission.send()

    def _with_own_options(self, layer: LayerProblem) -> LayerProblem:
        """Return the layer with this projector's options in the place of those that are None."""
        # The reads are the annealer's, not those of a native descent.
        options = dataclasses.replace(layer.options, num_reads=None)
        own = {"target_eps": self.target_eps, "num_threads": self.num_threads}
        return dataclasses.replace(layer, options=options.filled(**own))

    def _prepared(self, layer: LayerProblem) -> LayerWork:
        work = LayerWork(layer)
        try:
            bqms = encode(layer.X, layer.T, layer.options, self.penalty_factor)
            program = self.layouts.program(bqms)
        except (UnembeddableError, UnsupportedInputsError) as error:
            if self.on_unembeddable == "error":
                raise type(error)(
                    f"layer {layer.name!r}: {error}; with on_unembeddable='native' it is solved "
                    "without the annealer"
                ) from error
            self._tell(layer.name, f"layer {layer.name!r} is solved natively: {error}")
            return work
        except ValueError as error:
            raise ValueError(f"layer {layer.name!r}: {error}") from error
        work.bqms = bqms
        work.calls = self._calls(layer, bqms, program)
        return work

    def _calls(self, layer: LayerProblem, bqms: GradientBQMs, program: Program) -> list[CallWork]:
        reached = np.flatnonzero(layer.T.any(axis=0))  # the others' rows are not used
        if not len(reached):
            return []
        timed = self.machine.properties, program.num_qubits, self.num_reads, self.parameters
        check_run_time(*timed)
        estimate = access_time_us(*timed)
        strength = self._chain_strength(bqms, program)
        copies = program.num_copies
        calls = []
        for number, neurons in enumerate(np.array_split(reached, math.ceil(len(reached) / copies))):
            # Copies that are left over have neurons once more, under other gauges.
            in_copies = neurons[np.arange(copies) % len(neurons)]
            gauge_seed = [layer.options.seed, number]
            bits = np.random.default_rng(gauge_seed).integers(
                2, size=(copies, program.num_variables), dtype=np.int8
            )
            call = program.call(bqms, in_copies, 2 * bits - np.int8(1), strength)
            label = _label(self.run, layer.step, layer.name, number)
            record = {
                "label": label,
                "solver": self.machine.name,
                "kind": self.machine.kind,
                "graph_id": self.machine.graph_id,
                "embedding": program.packing.digest,
                "objective": layer.options.objective,
                "neurons": len(neurons),
                "copies": copies,
                "qubits": program.num_qubits,
                "longest_chain": program.packing.longest_chain,
                "chain_strength": strength,
                "gauge_seed": gauge_seed,
                "scales": call.scales,
                "reads_asked": self.num_reads,
                "annealing_time_us": self.parameters.get("annealing_time"),
                "estimate_us": estimate,
            }
            calls.append(CallWork(layer, bqms, neurons, call, label, estimate, record))
        return calls

    def _chain_strength(self, bqms: GradientBQMs, program: Program) -> float:
        """For factor 1."""
        if isinstance(self.chain_strength, float):
            return self.chain_strength
        bqm = dimod.BinaryQuadraticModel.from_numpy_vectors(
            np.zeros(bqms.num_variables), (bqms.rows, bqms.columns, bqms.values), 0.0, "SPIN"
        )
        find = self.chain_strength or uniform_torque_compensation
        strength = float(find(bqm, program.packing.embeddings[0]))
        if not 0.0 <= strength < math.inf:
            raise ValueError(f"chain_strength returned {strength}, but must be finite and >= 0")
        return strength

    def _checked_parameters(
        self, annealing_time: float | None, sample_kwargs: dict[str, Any]
    ) -> dict[str, Any]:
        """What every call is given beside reads and label."""
        for name in ("num_reads", "label", "auto_scale", "answer_mode"):
            if name in sample_kwargs:
                raise ValueError(f"sample_kwargs has {name!r}, which is not for the caller to set")
        parameters = dict(sample_kwargs)
        if annealing_time is not None:
            if "annealing_time" in parameters:
                raise ValueError("annealing_time is given twice: also in sample_kwargs")
            parameters["annealing_time"] = checked_real("annealing_time", annealing_time)
        takes = self.machine.sampler.parameters
        unknown = sorted(set(parameters) - set(takes))
        if unknown:
            raise ValueError(
                f"sample_kwargs has {unknown[0]!r}, but {self.machine.name} takes "
                f"{', '.join(sorted(takes))}"
            )
        # Each copy is scaled by itself already; one factor for all would shrink most of them.
        if self.machine.kind == "QPU" and "auto_scale" in takes:
            parameters["auto_scale"] = False
        return parameters

    def _receive(self, work: LayerWork, call: CallWork) -> Exception | None:
        """Take in a call's answer; the error of a call that has none, if it is to be raised."""
        try:
            num_reads = call.receive(work.found)
        except (CallError, InvalidSampleSetError, BudgetExceededError) as error:
            message = redacted(str(error))
            call.record["error"] = f"{type(error).__name__}: {message}"
            if isinstance(error, BudgetExceededError):
                return error
            if call.submission is not None:
                call.submission.failed = True  # nonsense is not kept
            if self.on_failure != "native":
                failed = CallError(f"call {call.label}: {message}")
                failed.__cause__ = (
                    error if isinstance(error, InvalidSampleSetError) else error.__cause__
                )
                return failed
            self._tell(
                "failed", f"call {call.label} failed, its neurons are solved natively: {message}"
            )
            if work.native is None:
                work.native = self._natively(work.layer)
            work.found[call.neurons] = work.native[call.neurons]
            call.record["solved"] = "natively"
        else:
            if num_reads < self.num_reads:
                message = (
                    f"call {call.label} has {num_reads} reads, but {self.num_reads} were asked for"
                )
                self._tell("reads", message)
        return None

    def _natively(self, layer: LayerProblem) -> Spins:
        num_sweeps = max(layer.options.num_sweeps, 1)
        options = dataclasses.replace(layer.options, num_sweeps=num_sweeps)
        return minimise(layer.X, layer.T, options)

    def _finished(self, work: LayerWork) -> Spins:
        if work.bqms is None:
            return self._natively(work.layer)
        comparison = never_worse(work.layer, work.found, polish=self.polish)
        for call in work.calls:
            call.compare(comparison, self.polish and work.layer.options.num_sweeps > 0)
        return comparison.binary

    def _tell(self, kind: str, message: str) -> None:
        """Warn, of one kind of thing once."""
        if kind not in self._told:
            self._told.add(kind)
            warnings.warn(message, stacklevel=2)


def _label(*parts: object) -> str:
    """What D-Wave's dashboard shows of a call; it takes no characters that HTML has a use for."""
    text = "/".join(["qpsbgd", *map(str, parts)])
    return re.sub(r"[<>&'\"\s]", "_", text)[:_LABEL_LENGTH]


def _checked_chain_strength(value: Any) -> ChainStrength | None:
    if value is None or callable(value):
        given: ChainStrength | None = value
        return given
    strength = checked_real("chain_strength", value)
    if not 0.0 < strength < math.inf:
        raise ValueError(f"chain_strength is {value!r}, but must be positive and finite")
    return strength
