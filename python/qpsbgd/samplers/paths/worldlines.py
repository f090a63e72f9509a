"""Worldlines of reads as arrays, and the checks of those of a caller."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from qpsbgd import _core
from qpsbgd._checks.real_arrays import refuse_masked
from qpsbgd.samplers.call.reads import States

Integers = npt.NDArray[np.int32]


class Worldlines(NamedTuple):
    """Worldlines of reads.

    Attributes:
        spins: spins in the last slice of imaginary time, int8 ``(reads, n)``.
        num_breaks: numbers of breaks, int32 ``(reads, n)``.
        breaks: places of all breaks, int32, read by read and variable by variable.
    """

    spins: States
    num_breaks: Integers
    breaks: Integers

    @classmethod
    def without_breaks(cls, spins: States) -> "Worldlines":
        """Return the worldlines of classical states, int8 ``(reads, n)``."""
        return cls(spins, np.zeros(spins.shape, np.int32), np.zeros(0, np.int32))

    def of_reads(self, chosen: npt.NDArray[np.bool_]) -> "Worldlines":
        """Return the worldlines of the chosen reads, ``(reads,)``."""
        is_kept = np.repeat(chosen, self.num_breaks.sum(axis=1))
        return Worldlines(self.spins[chosen], self.num_breaks[chosen], self.breaks[is_kept])


def checked_worldlines(
    spins: States, num_breaks: Any, breaks: Any, *, is_classical: bool
) -> Worldlines:
    """Return the worldlines at which reads start.

    Args:
        spins: spins in the last slice, int8 ``(reads, n)``.
        num_breaks: the caller's numbers of breaks, or None.
        breaks: the caller's places of breaks, or None.
        is_classical: whether the worldlines have no breaks.

    Raises:
        TypeError: an argument that is not an array of integers.
        ValueError: another shape, a value out of range, or breaks of classical states.
    """
    for name, value in (("num_breaks", num_breaks), ("breaks_in", breaks)):
        if is_classical and value is not None:
            raise ValueError(
                f"{name} is not None, but project_states says that the initial states have no "
                "breaks: set project_states=(False, ...)"
            )
    numbers = np.zeros(spins.shape, np.int32)
    places = np.zeros(0, np.int32)
    limit = _core.num_slices
    if num_breaks is not None:
        numbers = _checked_integers("num_breaks", num_breaks, limit)
        if numbers.shape != spins.shape:
            raise ValueError(
                f"num_breaks has shape {numbers.shape}, but must have that of the initial states, "
                f"{spins.shape}"
            )
        if (numbers % 2).any():
            odd = int(numbers[numbers % 2 == 1][0])
            raise ValueError(f"num_breaks has the value {odd}, but must be even")
    if breaks is not None:
        places = _checked_integers("breaks_in", breaks, limit - 1)
    total = int(numbers.sum(dtype=np.int64))
    if places.shape != (total,):
        raise ValueError(
            f"breaks_in has shape {places.shape}, but must have one place for each of the {total} "
            "breaks of num_breaks"
        )
    owner = np.repeat(np.arange(numbers.size), numbers.ravel())
    falls = np.flatnonzero((np.diff(places) <= 0) & (np.diff(owner) == 0))
    if len(falls):
        at = int(falls[0])
        raise ValueError(
            f"breaks_in[{at}] and breaks_in[{at + 1}] are {places[at]} and {places[at + 1]}, but "
            "the breaks of a worldline must ascend"
        )
    return Worldlines(spins, numbers, places)


def checked_buffer(value: Any, *, is_wanted: bool) -> Integers | None:
    """Return the array that receives the final breaks, or None.

    Raises:
        TypeError: the value is not a writable int32 array of one dimension.
        ValueError: the value is not None, but the breaks are not wanted.
    """
    if value is None:
        return None
    if not is_wanted:
        raise ValueError(
            "breaks_buffer_out is not None, but project_states says that the final breaks are not "
            "wanted: set project_states=(..., False)"
        )
    is_array = isinstance(value, np.ndarray) and not isinstance(value, np.ma.MaskedArray)
    if not (is_array and value.dtype == np.int32 and value.ndim == 1 and value.flags.writeable):
        raise TypeError(
            "breaks_buffer_out must be a writable array of dtype int32 and one dimension"
        )
    buffer: Integers = value
    return buffer


def _checked_integers(name: str, value: Any, largest: int) -> Integers:
    refuse_masked(name, value)
    array = np.asarray(value)
    if array.size and array.dtype.kind not in "iu":
        raise TypeError(f"{name} has dtype {array.dtype}, but must be integers")
    bad = array[(array < 0) | (array > largest)]
    if bad.size:
        raise ValueError(f"{name} has the value {bad[0]}, but must lie in [0, {largest}]")
    return np.ascontiguousarray(array, np.int32)


def break_info(ends: Worldlines, buffer: npt.NDArray[np.int32] | None) -> dict[str, Any]:
    """Return the entries of ``info`` on the final breaks, and fill the caller's buffer."""
    places = ends.breaks
    is_complete = buffer is None or len(buffer) >= len(places)
    if buffer is not None:
        places = places[: len(buffer)]
        buffer[: len(places)] = places
    return {
        "num_breaks": ends.num_breaks,
        "break_positions": places,
        "complete_break_specification": is_complete,
    }
