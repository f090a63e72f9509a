"""The reads of a call: how many of them are solved together, and what they found."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from qpsbgd import _core

States = npt.NDArray[np.int8]
Counts = npt.NDArray[np.int64]
#: States of reads, what the core counts in each, the reason for which it stopped, and an exception.
CoreReads = tuple[States, Counts, _core.StopReason, BaseException | None]
#: Solver of some reads, given their initial states, the number of the first one, and limits.
Solve = Callable[[States, int, dict[str, Any]], CoreReads]

#: Largest number of spins in one call of the core where only the best states are kept; the call has
#: at least LEAST_READS reads. STREAM_READS reads share a random stream where spins are bits, so the
#: numbers of reads are multiples of it.
STATES_TOGETHER = 1 << 20
LEAST_READS = 64
STREAM_READS = 32
#: Largest number of spins in one call of the core otherwise. Their initial states take some seconds
#: to draw.
LARGEST_TOGETHER = 1 << 28
#: The same with a time limit, which drawing must not overrun by more than a tenth of a second, or a
#: seventh of a shorter limit.
LIMITED_TOGETHER = TOGETHER_PER_SECOND = 1 << 23
#: Reads that an instruction processes where spins are bits.
LANES = 512
#: Bytes of a row of a sample set beside its state: energy, occurrences and a count.
BYTES_PER_READ = 24


@dataclass(frozen=True)
class Reads:
    """Results of the reads of a call.

    Attributes:
        states: spins, int8 ``(k, n)``: those of each read that began, or the best ones.
        reason: the reason for which the core stopped.
        error: an exception that ended the solving early, or None.
        counts: what the core counts in each read, ``(k,)``; for a best state, in its first read.
        extremes: the smallest and the largest count of all reads that began.
        energies: energies of the states, ``(k,)``, or None.
        num_occurrences: number of reads of each state, ``(k,)``, or None.
    """

    states: States
    reason: _core.StopReason
    error: BaseException | None
    counts: Counts
    extremes: tuple[int, int] = (0, 0)
    energies: npt.NDArray[np.float64] | None = None
    num_occurrences: npt.NDArray[np.int64] | None = None


def reads_together(
    num_reads: int, n: int, *, is_best: bool, time_limit: float, num_threads: int
) -> int:
    """Return how many reads of n variables to solve in one call of the core.

    Args:
        num_reads: number of all reads.
        n: number of variables.
        is_best: whether only the best states are kept.
        time_limit: seconds, or infinity.
        num_threads: largest number of threads.
    """
    if is_best:
        fitting, unit, least = STATES_TOGETHER // max(1, n), STREAM_READS, LEAST_READS
    elif np.isinf(time_limit):
        fitting, unit, least = LARGEST_TOGETHER // max(1, n), LANES, LANES * num_threads
    else:
        spins = max(STATES_TOGETHER, min(LIMITED_TOGETHER, time_limit * TOGETHER_PER_SECOND))
        fitting = int(spins) // max(1, n)
        unit, least = (LANES if fitting >= LANES else STREAM_READS), STREAM_READS
    return min(num_reads, max(fitting - fitting % unit, least))


def begun_reads(
    states: States, counts: Counts, reason: _core.StopReason, first: int = 0
) -> tuple[States, Counts]:
    """Return the states and counts of the reads that a call began, or of its first read.

    Args:
        states: ``(reads, n)``.
        counts: what the core counts in each read, ``(reads,)``; -1 for a read that was not begun.
        reason: the reason for which the core stopped.
        first: number of the first of these reads in the call.
    """
    if reason is _core.StopReason.finished:
        return states, counts
    begun = is_begun(counts, reason, first)
    return states[begun], counts[begun].clip(min=0)


def is_begun(counts: Counts, reason: _core.StopReason, first: int = 0) -> npt.NDArray[np.bool_]:
    """Return which reads a call returns: those that it began, or its first one."""
    begun: npt.NDArray[np.bool_] = counts >= 0
    if first == 0 and reason is not _core.StopReason.finished:
        begun[0] |= not begun.any()
    return begun


def check_memory(num_reads: int, n: int) -> None:
    """Raise ValueError if the states of all reads cannot fit into this machine's memory."""
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # of Unix
        return
    needed = num_reads * (2 * n + BYTES_PER_READ)  # the sample set has its own states
    if 0 < memory < needed:
        raise ValueError(
            f"num_reads is {num_reads}, whose states of {n} variables take {needed / 2**30:.0f} "
            f"GiB, but this machine has {memory / 2**30:.0f} GiB of memory: pass num_best for the "
            "best states alone, or time_limit for as many reads as fit into a time"
        )
