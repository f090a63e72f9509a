"""Couplings of a batch as matrices."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from qpsbgd import _core
from qpsbgd._checks.real_arrays import checked_floats, checked_symmetric
from qpsbgd.samplers.batch.couplings import Floats, Selection, States

#: Matrices of float32 without any magnitude above this are divided in float64.
SMALLEST_FLOAT = 2.0**-100


@dataclass(frozen=True)
class DenseCouplings:
    """Symmetric matrices with a zero diagonal.

    Attributes:
        J: float64 or float32 ``(n, n)``, shared, or ``(B, n, n)``.
        largest: largest magnitude of each matrix, float64 ``(1,)`` or ``(B,)``.
    """

    J: npt.NDArray[Any]
    largest: Floats

    @classmethod
    def checked(cls, J: Any, shape: tuple[int, ...], num_threads: int) -> "DenseCouplings":
        """Check the matrices of problems whose ``h`` has this shape ``(B, n)``.

        Raises:
            TypeError: ``J`` is not an array of real numbers.
            ValueError: another shape, or an entry that is not finite, not symmetric or on the
                diagonal.
        """
        problems, n = shape
        array = checked_floats("J", J, 2, 3, finite=False)
        expected = (n, n) if array.ndim == 2 else (problems, n, n)
        if array.shape != expected:
            raise ValueError(
                f"J has shape {array.shape}, but must be ({n}, {n}) or ({problems}, {n}, {n}) as h "
                f"is {shape}"
            )
        return cls(array, checked_symmetric(array, num_threads))

    @property
    def is_shared(self) -> bool:
        """Whether all problems have the same couplings."""
        return self.J.ndim == 2

    def for_spins(self, h: Floats) -> tuple[Floats, "DenseCouplings"]:
        """Return h and J over spins s of problems over x = (1 + s) / 2, up to a constant."""
        J = self.J
        if ((self.largest > 0) & (self.largest < SMALLEST_FLOAT)).any():
            J = J.astype(np.float64)  # float32 may not hold a quarter
        return h / 2 + J.sum(axis=-1, dtype=np.float64) / 4, DenseCouplings(J / 4, self.largest / 4)

    def select(self, problems: Selection) -> "DenseCouplings":
        """Return the couplings of some problems."""
        if self.is_shared:
            return self
        return DenseCouplings(self.J[problems], self.largest[problems])

    def core(self) -> npt.NDArray[Any]:
        """Return the arrays that ``_core.solve_batch`` takes."""
        return self.J

    def magnitudes(self, h: Floats, num_threads: int) -> tuple[Floats, Floats]:
        """Return each problem's largest bias and its mean of sqrt(h_i^2 + sum_j J_ij^2), (B,)."""
        return _core.batch_magnitudes(self.J, self.largest, h, num_threads=num_threads)

    def reach(self, h: Floats) -> Floats:
        """Return the largest magnitude ``(B, n)`` of each local field."""
        reach: Floats = np.abs(h) + np.abs(self.J).sum(axis=-1, dtype=np.float64)
        return reach

    def has_couplings(self) -> bool:
        """Return whether any coupling is not zero."""
        return bool(self.largest.any())

    def fields(self, h: Floats, states: States, num_threads: int) -> Floats:
        """Return ``h + J x`` of states x, ``(B, R, n)``."""
        return _core.batch_fields(self.J, h, states, num_threads=num_threads)

    def energies(self, h: Floats, states: States, num_threads: int) -> Floats:
        """Return ``h.x + x.J x / 2`` of states x, ``(B, R)``."""
        return _core.batch_energies(self.J, h, states, num_threads=num_threads)
