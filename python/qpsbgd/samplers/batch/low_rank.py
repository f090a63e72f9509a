"""Couplings of a batch as the factor of a matrix of low rank."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qpsbgd import _core
from qpsbgd._checks.numbers import checked_finite
from qpsbgd._checks.real_arrays import checked_floats, refuse_entries
from qpsbgd.samplers.batch.couplings import Floats, Selection, States
from qpsbgd.samplers.batch.dense import DenseCouplings

#: Largest ratio of a field to ``scale * max|A|**2`` that the low-rank form takes.
MAX_FIELD_RATIO = 1e15
#: Bounds of ``max|A|`` and of ``scale * max|A|**2`` in the low-rank form.
ENTRY_BOUNDS = (1e-30, 1e30)
UNIT_BOUNDS = (1e-100, 1e100)
#: Number of random states from which the magnitudes of the couplings are estimated.
MAGNITUDE_STATES = 16


@dataclass(frozen=True)
class LowRank:
    """Couplings ``scale * A.T @ A`` that all problems share.

    The diagonal of the product is ignored, as it adds a constant to the energy.

    Attributes:
        A: real ``(N, n)``.
        scale: finite factor.

    Example:
        >>> import numpy as np
        >>> from qpsbgd import LowRank, sample_batch
        >>> ferromagnet = LowRank(np.ones((1, 3)), scale=-1.0)
        >>> sample_batch([[0.5, 0.0, 0.0]], ferromagnet, seed=1).states
        array([[[-1, -1, -1]]], dtype=int8)
    """

    A: npt.ArrayLike
    scale: float = 1.0


@dataclass(frozen=True)
class LowRankCouplings:
    """Couplings ``scale * A.T @ A`` without their diagonal, shared by all problems.

    Attributes:
        A: float64 ``(N, n)``.
        scale: factor.
    """

    A: Floats
    scale: float

    @classmethod
    def checked(cls, J: LowRank, shape: tuple[int, ...]) -> "LowRankCouplings":
        """Check the factor of problems whose ``h`` has this shape ``(B, n)``."""
        n = shape[1]
        A, scale = checked_floats("J.A", J.A, 2), checked_finite("J.scale", J.scale)
        if A.shape[1] != n:
            raise ValueError(f"J.A has shape {A.shape}, but must be (N, {n}) as h is {shape}")
        return cls(A, scale)

    @property
    def is_shared(self) -> bool:
        """Whether all problems have the same couplings."""
        return True

    def to_dense(self) -> DenseCouplings:
        """Return the same couplings as a matrix."""
        with np.errstate(over="ignore", invalid="ignore"):
            product: Floats = (self.scale * self.A.T) @ self.A
        np.fill_diagonal(product, 0.0)
        refuse_entries("(scale * A.T @ A)", product, ~np.isfinite(product), "must be finite")
        product = product / 2 + product.T / 2  # the triangles may be rounded differently
        return DenseCouplings(product, np.atleast_1d(np.abs(product).max(initial=0.0)))

    def misfit(self, h: Floats) -> str | None:
        """Return the reason for which the core cannot use the factor, or None if it can."""
        if not self.scale > 0:
            return f"J.scale is {self.scale}, but must be positive"
        largest = float(np.abs(self.A).max(initial=0.0))
        low, high = ENTRY_BOUNDS
        if not low < largest < high:
            return f"max|J.A| is {largest}, but must lie in ({low}, {high})"
        unit = self.scale * largest**2
        low, high = UNIT_BOUNDS
        if not low < unit < high:
            return f"J.scale * max|J.A|^2 is {unit}, but must lie in ({low}, {high})"
        field = float(np.abs(h).max(initial=0.0))
        if field > MAX_FIELD_RATIO * unit:
            return (
                f"max|h| is {field}, but must be at most {MAX_FIELD_RATIO:.0e} J.scale max|J.A|^2, "
                f"{MAX_FIELD_RATIO * unit}"
            )
        return None

    def for_spins(self, h: Floats) -> tuple[Floats, "LowRankCouplings"]:
        """Return h and J over spins s of problems over x = (1 + s) / 2, up to a constant."""
        ones = np.ones((len(h), 1, h.shape[1]), np.int8)
        quarter = LowRankCouplings(self.A, self.scale / 4)
        return quarter.fields(h / 2, ones, 1)[:, 0], quarter

    def select(self, problems: Selection) -> "LowRankCouplings":
        """Return the couplings of some problems."""
        return self

    def core(self) -> tuple[npt.NDArray[np.float32], float]:
        """Return the arrays that ``_core.solve_batch`` takes."""
        return self.A.astype(np.float32), self.scale

    def magnitudes(self, h: Floats, num_threads: int) -> tuple[Floats, Floats]:
        """Return each problem's largest bias and its mean of sqrt(h_i^2 + sum_j J_ij^2), (B,).

        Both are estimates: over random states the mean square of sum_j J_ij x_j is the sum of the
        J_ij^2.
        """
        # Not NumPy's matrix product: its threads spin on the processors that the core needs next.
        shape = (1, MAGNITUDE_STATES, h.shape[1])
        states = np.random.default_rng(0).choice(np.array([-1, 1], np.int8), shape)
        fields = self.fields(np.zeros((1, h.shape[1])), states, num_threads)[0]
        unit = max(float(np.abs(fields).max(initial=0.0)), np.finfo(np.float64).tiny)
        rows = unit * np.sqrt(np.square(fields / unit).mean(axis=0))  # (n,)
        largest = np.maximum(np.abs(h).max(axis=1), rows.max(initial=0.0))
        return largest, np.hypot(h, rows).mean(axis=1)

    def reach(self, h: Floats) -> Floats:
        """Return an upper bound ``(B, n)`` of the magnitude of each local field."""
        # sum_j |sum_k A_ki A_kj| <= sum_k |A_ki| sum_j |A_kj|
        A = np.abs(self.A)
        reach: Floats = np.abs(h) + abs(self.scale) * np.einsum("ki,k->i", A, A.sum(axis=1))
        return reach

    def has_couplings(self) -> bool:
        """Return whether any coupling is not zero."""
        return bool(self.scale) and bool(self.A.any())

    def fields(self, h: Floats, states: States, num_threads: int) -> Floats:
        """Return ``h + J x`` of states x, ``(B, R, n)``."""
        return _core.factor_fields(self.A, self.scale, h, states, num_threads=num_threads)

    def energies(self, h: Floats, states: States, num_threads: int) -> Floats:
        """Return ``h.x + x.J x / 2`` of states x, ``(B, R)``."""
        return _core.factor_energies(self.A, self.scale, h, states, num_threads=num_threads)
