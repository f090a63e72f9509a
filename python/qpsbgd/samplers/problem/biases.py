"""Biases of a model in the types of the core."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


class Biases(NamedTuple):
    """Biases of a model.

    Attributes:
        linear: h, float64 ``(n,)``.
        pairs: first and second variables of the pairs that interact, uint32 ``(k,)`` each.
        quadratic: J of those pairs, float64 ``(k,)``.
    """

    linear: Floats
    pairs: tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32]]
    quadratic: Floats


def as_biases(linear: Any, rows: Any, columns: Any, quadratic: Any) -> Biases:
    """Return biases in the types of the core, without a copy where that is possible."""
    ends = (
        end.view(np.uint32) if end.dtype == np.int32 else np.ascontiguousarray(end, np.uint32)
        for end in (rows, columns)
    )
    return Biases(
        np.ascontiguousarray(linear, np.float64),
        tuple(ends),  # type: ignore[arg-type]
        np.ascontiguousarray(quadratic, np.float64),
    )


def biases_over_spins(biases: Biases) -> Biases:
    """Return the biases over spins s of a model over binary variables ``x = (1 + s) / 2``."""
    quadratic = biases.quadratic / 4
    linear = biases.linear / 2
    with np.errstate(over="ignore", invalid="ignore"):
        for end in biases.pairs:
            linear += np.bincount(end, quadratic, len(linear))
    return Biases(linear, biases.pairs, quadratic)
