"""Sums and magnitudes of large matrices in float64, with small copies."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from qpsbgd.samplers.problem.array_model import PIECE

Floats = npt.NDArray[np.float64]


def sum_of_magnitudes(*arrays: npt.NDArray[Any]) -> float:
    """Return the sum of the magnitudes of all entries, in float64; it is finite if they are."""
    with np.errstate(over="ignore", invalid="ignore"):
        return sum(
            float(np.add.reduce(np.abs(piece), axis=None, dtype=np.float64))
            for array in arrays
            for piece in _pieces(array)
        )


def _pieces(array: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
    """Return parts of an array of about ``PIECE`` entries, so that their copies are small."""
    if array.size <= PIECE:
        return [array]
    step = max(1, PIECE // max(1, array[:1].size))
    return [array[first : first + step] for first in range(0, len(array), step)]


def smallest_magnitude(matrix: npt.NDArray[Any]) -> float:
    """Return the smallest magnitude that is not zero; infinity if all entries are zero."""
    found = math.inf
    for piece in _pieces(matrix):
        magnitudes = np.abs(piece)
        found = min(found, float(magnitudes[magnitudes > 0].min(initial=np.inf)))
    return found


def sums_of_triangles(matrix: npt.NDArray[Any], factor: float) -> tuple[Floats, Floats]:
    """Return the sums of each row below and above the diagonal, in float64 and times a factor.

    They are summed in the order in which
    :func:`~qpsbgd.samplers.problem.biases.biases_over_spins` adds pairs.
    """
    below, above = np.zeros(len(matrix)), np.zeros(len(matrix))
    for i, row in enumerate(matrix):
        values = factor * row.astype(np.float64)
        below[i + 1 :] += values[i + 1 :]  # the row of variable i is its column, too
        above[:i] += values[:i]
    return below, above
