"""The best distinct states of many reads, without the others."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

States = npt.NDArray[np.int8]
Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]


class _Entry(NamedTuple):
    """A state: its energy, the number of reads that ended in it, and the count of the first one."""

    energy: float
    occurrences: int
    first_count: int


class BestStates:
    """The k lowest distinct states among those that were added, with their numbers of occurrences.

    The numbers are exact. A state that leaves the set has k lower ones, which stay lower than it:
    no state of the final set has ever left it. Of equal energies the lexicographically first state
    is the lower one, with -1 before +1, so that the set does not depend on how states are divided
    over calls of :meth:`add`.

    Args:
        num_best: k.
        num_variables: number of variables, n.
    """

    def __init__(self, num_best: int, num_variables: int) -> None:
        self._num_best = num_best
        self._num_variables = num_variables
        self._entries: dict[bytes, _Entry] = {}  # by the bits of the state
        self._worst = np.inf

    def add(self, states: States, energies: Floats, counts: Counts) -> None:
        """Add reads.

        Args:
            states: spins ``(reads, n)``.
            energies: ``(reads,)``; a state must have the same energy in all reads.
            counts: what the core counts in each read, ``(reads,)``; a state keeps that of its first
                read.
        """
        chosen = np.flatnonzero(energies <= self._worst)
        keys = np.packbits(states[chosen] > 0, axis=1)  # (chosen, n / 8)
        entries = self._entries
        for row, key_bits in zip(chosen.tolist(), keys, strict=True):
            key = key_bits.tobytes()
            known = entries.get(key)
            entries[key] = (
                _Entry(float(energies[row]), 1, int(counts[row]))
                if known is None
                else known._replace(occurrences=known.occurrences + 1)
            )
        if len(entries) >= self._num_best:
            lowest = self._ordered()[: self._num_best]
            self._entries = dict(lowest)
            self._worst = lowest[-1][1].energy

    def arrays(self) -> tuple[States, Floats, Counts, Counts]:
        """Return states, energies, occurrences and counts in ascending order of energies."""
        ordered = self._ordered()
        n = self._num_variables
        packed = np.frombuffer(b"".join(key for key, _ in ordered), np.uint8)
        bits = np.unpackbits(packed.reshape(len(ordered), -(-n // 8)), axis=1, count=n)
        states = (2 * bits.astype(np.int8) - 1).reshape(len(ordered), n)
        entries = [entry for _, entry in ordered]
        return (
            states,
            np.array([entry.energy for entry in entries], np.float64),
            np.array([entry.occurrences for entry in entries], np.int64),
            np.array([entry.first_count for entry in entries], np.int64),
        )

    def _ordered(self) -> list[tuple[bytes, _Entry]]:
        return sorted(self._entries.items(), key=lambda item: (item[1].energy, item[0]))
