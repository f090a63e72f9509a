"""One call of a sampler: argument checks, clock, reads and result, which all samplers share."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import dimod
import numpy as np
import numpy.typing as npt
from dimod.core.initialized import InitialStateGenerator

from qpsbgd import _core
from qpsbgd._checks import (
    check_model,
    checked_callable,
    checked_count,
    checked_real,
    checked_threads,
    checked_time_limit,
)
from qpsbgd.samplers.array_model import ArrayModel
from qpsbgd.samplers.best_states import BestStates
from qpsbgd.samplers.initial_states import InitialStates, sorted_labels
from qpsbgd.samplers.ising import Form, Problem, label_sequence
from qpsbgd.samplers.sample_arrays import SampleArrays, make_sampleset

InterruptFunction = Callable[[], bool]
Progress = Callable[[float], object]
States = npt.NDArray[np.int8]
#: States of reads, what the core counts in each, the reason for which it stopped, and an exception.
CoreReads = tuple[States, npt.NDArray[np.int64], _core.StopReason, BaseException | None]
#: Solver of some reads, given their initial states, the number of the first one, and limits.
Solve = Callable[[States, int, dict[str, Any]], CoreReads]

#: Where only the best states are kept, as many reads are solved together as have this many spins,
#: but at least LEAST_READS. Both numbers of reads are multiples of STREAM_READS, because so many
#: reads share a random stream where spins are bits.
STATES_TOGETHER = 1 << 20
LEAST_READS = 64
STREAM_READS = 32


@dataclass(frozen=True)
class Reads:
    """What the reads of a call found.

    Attributes:
        states: spins, int8 ``(k, n)``: those of each read that began, or the best ones.
        counts: what the core counts in each read, ``(k,)``; for a best state, in its first read.
        reason: the reason for which the core stopped.
        error: an exception that ended the solving early, or None.
        extremes: the smallest and the largest count of all reads that began.
        energies: energies of the states, ``(k,)``, or None.
        num_occurrences: number of reads of each state, ``(k,)``, or None.
    """

    states: States
    counts: npt.NDArray[np.int64]
    reason: _core.StopReason
    error: BaseException | None
    extremes: tuple[int, int]
    energies: npt.NDArray[np.float64] | None = None
    num_occurrences: npt.NDArray[np.int64] | None = None


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
        self._interrupt_function = checked_callable("interrupt_function", interrupt_function)
        self._progress = checked_callable("progress", progress)
        self.variables: Sequence[Any] | None = None
        self._was_asked = False

    def parse_states(
        self,
        initial_states: Any,
        generator: InitialStateGenerator,
        num_reads: int | None,
        seed: int | None,
        num_best: int | None = None,
    ) -> None:
        """Make the initial state of each read; the arguments are those of dimod.

        With ``num_best`` the states of the first reads alone are made, as many as are solved
        together.
        """
        self._num_best = None if num_best is None else checked_count("num_best", num_best, 1)
        self._starts = InitialStates(
            self._labels(), self.bqm.vartype, initial_states, generator, num_reads, seed
        )
        self.variables, self.num_reads = self._starts.labels, self._starts.num_reads
        self._num_together = self.num_reads
        if num_best is not None:
            fitting = STATES_TOGETHER // max(1, len(self.variables))
            together = max(fitting - fitting % STREAM_READS, LEAST_READS)
            self._num_together = min(self.num_reads, together)
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

    def run_reads(self, limits: dict[str, Any], solve: Solve) -> "Reads":
        """Solve all reads, or some at a time where only the best states are wanted.

        Args:
            limits: what :meth:`solving` yields.
            solve: called with initial states, the number of the first of these reads, and limits.
        """
        if self._num_best is None:
            states, counts, reason, error = solve(self.initial, 0, limits)
            states, counts = begun_reads(states, counts, reason)
            return Reads(states, counts, reason, error, (int(counts.min()), int(counts.max())))
        best = BestStates(self._num_best, self.initial.shape[1])
        end = time.perf_counter() + limits["time_limit"]
        first, extremes, initial = 0, [], self.initial
        while True:
            states, counts, reason, error = solve(initial, first, limits)
            if first == 0 or (counts >= 0).any() or reason is _core.StopReason.finished:
                states, counts = begun_reads(states, counts, reason)
                best.add(states, self.problem.energies(states, self.num_threads), counts)
                extremes += [int(counts.min()), int(counts.max())]
            first += len(initial)
            if reason is not _core.StopReason.finished or first == self.num_reads:
                break
            left = end - time.perf_counter()
            if left <= 0:
                reason = _core.StopReason.time_limit
                break
            limits = {**limits, "time_limit": left}
            initial = self._starts.take(min(self._num_together, self.num_reads - first))
        lowest, energies, occurrences, numbers = best.arrays()
        ends = (min(extremes), max(extremes))
        return Reads(lowest, numbers, reason, error, ends, energies, occurrences)

    def finish(
        self,
        states: States,
        reason: _core.StopReason,
        error: BaseException | None,
        vectors: dict[str, npt.NDArray[Any]] | None = None,
        energies: npt.NDArray[np.float64] | None = None,
        num_occurrences: npt.NDArray[np.int64] | None = None,
        **info: Any,
    ) -> Any:
        """Make the sample set of the call, or the arrays if the model was given as arrays.

        Args:
            states: spins, int8 ``(reads, n)``.
            reason: the reason for which the core stopped.
            error: an exception that ended the solving early, or None.
            vectors: further columns of the sample set, ``(reads,)`` each.
            energies: energies of the states, ``(reads,)``, if they are known.
            num_occurrences: number of reads of each state, ``(reads,)``; None for 1.
            **info: entries of the sample set's ``info``, beside those of all samplers.

        Raises:
            BaseException: ``error``; the sample set is its attribute ``sampleset``.
        """
        if energies is None:
            energies = self.problem.energies(states, self.num_threads)
        if num_occurrences is None:
            num_occurrences = np.ones(len(states), np.int64)
        if self.bqm.vartype is dimod.BINARY:
            states = (states + 1) // 2
        is_array = isinstance(self.bqm, ArrayModel)
        make = self._arrays if is_array else self._sampleset
        result = make(states, energies, num_occurrences, vectors or {})
        if error is None and not self._was_asked:
            try:
                self._ask()  # a short call has not called the caller's function yet
            except BaseException as exception:
                error, info["stopped_by"] = exception, _core.StopReason.interrupt.name
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
            setattr(error, "result" if is_array else "sampleset", result)
            raise error
        return result

    def _labels(self) -> Sequence[Any]:
        return self.bqm.variables if isinstance(self.bqm, ArrayModel) else label_sequence(self.bqm)

    def _arrays(
        self,
        states: States,
        energies: npt.NDArray[np.float64],
        num_occurrences: npt.NDArray[np.int64],
        vectors: dict[str, npt.NDArray[Any]],
    ) -> SampleArrays:
        return SampleArrays(
            states, energies, num_occurrences, {}, self.bqm.vartype.name, dict(vectors)
        )

    def _sampleset(
        self,
        states: States,
        energies: npt.NDArray[np.float64],
        num_occurrences: npt.NDArray[np.int64],
        vectors: dict[str, npt.NDArray[Any]],
    ) -> dimod.SampleSet:
        labels = self.problem.variables
        if self.variables is None:  # otherwise the labels are sorted
            order, labels = sorted_labels(labels)
            states = states if order is None else states[:, order]
        vectors = {"num_occurrences": num_occurrences.astype(int, copy=False), **vectors}
        return make_sampleset(states, labels, energies, self.bqm.vartype, vectors, {})

    def _watch(self) -> Callable[[float], bool] | None:
        """Return the function that the core calls with the lowest energy; True means stop."""
        interrupt, progress, offset = (
            self._interrupt_function,
            self._progress,
            self.problem.offset,
        )
        if progress is None:
            return None if interrupt is None else lambda _: self._ask()

        lowest = np.inf

        def watch(energy: float) -> bool:
            nonlocal lowest  # of reads that were solved before, too
            lowest = min(lowest, energy)
            progress(float(lowest + offset))
            return self._ask()

        return watch

    def _ask(self) -> bool:
        """Return whether the caller's function, if there is one, wants the call to end."""
        self._was_asked = True
        return self._interrupt_function is not None and self._interrupt_function()


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
