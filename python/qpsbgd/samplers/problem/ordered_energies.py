"""Energies under a model of dimod, and whether the order in which they are summed matters."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from qpsbgd import _core

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.uint32]

#: The order matters if it may change an energy by at least this, and by this part of a typical one.
ENERGY_ERROR = 1e-8
#: Largest number of biases of which the typical one is found.
MOST_BIASES = 1 << 16


class OrderedEnergies:
    """Energies that equal those of ``bqm.energies`` to the last bit.

    dimod adds to the offset, variable by variable, its linear bias and its couplings with earlier
    variables. The core adds couplings (i, j) with i < j in ascending order of i and j. Its problem
    here has variables ``u_0 ... u_(n-1), one, v_0 ... v_(n-1)``, where u and v have the model's
    states and ``one`` is 1. The coupling of ``u_i`` and ``one`` is the linear bias of i, and that
    of ``u_i`` and ``v_j`` is the coupling of i and an earlier j.

    Args:
        linear: linear biases of the model, ``(n,)``.
        pairs: the pairs that interact, ``(k,)`` each.
        quadratic: their couplings, ``(k,)``.
        offset: constant part of the energy.
        columns: column of each variable in the states; None for the order of the model.
    """

    def __init__(
        self,
        linear: Floats,
        pairs: tuple[Indices, Indices],
        quadratic: Floats,
        offset: float,
        columns: Sequence[int] | None,
    ) -> None:
        n = len(linear)
        constant = np.zeros(2 * n + 1)
        constant[n] = offset
        every = np.arange(n, dtype=np.uint32)
        rows = np.concatenate([every, np.maximum(*pairs)])
        others = np.concatenate([np.full(n, n, np.uint32), np.minimum(*pairs) + np.uint32(n + 1)])
        values = np.concatenate([linear, quadratic])
        self._core = _core.Ising(constant, rows, others, values, _core.Form.sparse)
        self._columns = columns

    def energies(self, states: npt.NDArray[np.int8], num_threads: int) -> Floats:
        """Return the energies of states of the model's vartype, int8 ``(reads, n)``."""
        n = states.shape[1]
        doubled = np.ones((len(states), 2 * n + 1), np.int8)
        own = states if self._columns is None else states[:, self._columns]
        doubled[:, :n] = doubled[:, n + 1 :] = own
        return self._core.energies(doubled, num_threads=num_threads)


def is_order_of_consequence(
    linear: Floats, quadratic: Floats, offset: float, total: float, *, is_binary: bool
) -> bool:
    """Return whether the order of a sum may change energies by more than they are worth.

    It does not matter if float64 rounds no sum, because all biases are multiples of one unit that
    is not too small, or if what it rounds is small beside the energy of typical biases.

    Args:
        linear: linear biases, ``(n,)``, finite.
        quadratic: couplings, ``(k,)``.
        offset: constant part of the energy.
        total: sum of all magnitudes.
        is_binary: whether the variables are 0 and 1; sums over spins have quarters of couplings.
    """
    error = 16 * total * float(np.finfo(np.float64).eps)
    if error < ENERGY_ERROR:
        return False
    if not math.isfinite(total):
        return True
    _, exponent = math.frexp(total)  # total < 2^exponent
    shift = 53 - exponent - (2 if is_binary else 0)
    arrays: list[Any] = [np.array([offset]), linear, quadratic]
    if all(np.array_equal(units, np.rint(units)) for units in (np.ldexp(a, shift) for a in arrays)):
        return False
    biases = np.concatenate([array[:: 1 + len(array) // MOST_BIASES] for array in arrays[1:]])
    magnitudes = np.abs(biases[biases != 0])
    count = len(linear) + len(quadratic)
    typical = math.sqrt(count) * float(np.median(magnitudes)) if len(magnitudes) else 0.0
    return error >= ENERGY_ERROR * typical
