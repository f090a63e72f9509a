"""What the calls of all samplers have in common: their starts, their watch, their result."""

import time
from collections.abc import Callable
from typing import Any

import dimod
import numpy as np
import numpy.typing as npt
from dimod.core.initialized import ParsedInputs

from qpsbgd import _core
from qpsbgd._checks import checked_real
from qpsbgd.samplers.ising import Problem

InterruptFunction = Callable[[], bool]
Progress = Callable[[float], object]


class Clock:
    """Times a call as dwave-samplers does: preprocessing, sampling, postprocessing."""

    def __init__(self) -> None:
        self._times = [time.perf_counter_ns()]

    def lap(self) -> None:
        """Ends one of the three phases."""
        self._times.append(time.perf_counter_ns())

    def timing(self) -> dict[str, int]:
        """Nanoseconds of each phase; ends the last."""
        self.lap()
        names = ("preprocessing_ns", "sampling_ns", "postprocessing_ns")
        return dict(zip(names, (int(t) for t in np.diff(self._times)), strict=True))


def checked_threshold(energy_threshold: Any, problem: Problem) -> float:
    """The core's threshold, for energies without the offset; -inf for None."""
    if energy_threshold is None:
        return float("-inf")
    threshold = checked_real("energy_threshold", energy_threshold)
    if np.isnan(threshold):
        raise ValueError("energy_threshold is nan, but must be a number")
    if np.isinf(threshold):
        return threshold
    # Energies are sums in float64, whose last digits depend on the order.
    return threshold - problem.offset + problem.rounding(threshold)


def watch_function(
    interrupt_function: InterruptFunction | None, progress: Progress | None, offset: float
) -> Callable[[float], bool] | None:
    """What the core asks many times a second, with the lowest energy so far: whether to stop."""
    for name, function in (("interrupt_function", interrupt_function), ("progress", progress)):
        if function is not None and not callable(function):
            raise TypeError(f"{name} is {function!r}, but must be callable")
    if progress is None:
        if interrupt_function is None:
            return None
        return lambda _: interrupt_function()

    def watch(energy: float) -> bool:
        progress(energy + offset)
        return interrupt_function is not None and interrupt_function()

    return watch


def starts(bqm: dimod.BinaryQuadraticModel, parsed: ParsedInputs) -> npt.NDArray[np.int8]:
    """Initial states as spins, int8 ``(reads, n)``."""
    states = np.ascontiguousarray(parsed.initial_states.record.sample, np.int8)
    return 2 * states - 1 if bqm.vartype is dimod.BINARY else states


def sampleset(
    bqm: dimod.BinaryQuadraticModel,
    problem: Problem,
    states: npt.NDArray[np.int8],
    num_threads: int,
    **vectors: npt.NDArray[Any],
) -> dimod.SampleSet:
    """Samples in the vartype of ``bqm`` with energies in float64, and what a solver used."""
    result = dimod.SampleSet.from_samples(
        (states, problem.variables),
        energy=problem.energies(states, num_threads),
        vartype=dimod.SPIN,
        **vectors,
    ).change_vartype(bqm.vartype, inplace=True)
    result.info.update(isa=_core.isa(), num_threads=num_threads)
    return result


def deliver(result: dimod.SampleSet, error: BaseException | None) -> dimod.SampleSet:
    """Returns ``result``; raises an error that cut the call short, with ``result`` on it."""
    if error is not None:
        error.sampleset = result  # type: ignore[attr-defined]
        raise error
    return result
