"""Problems over spins that share their couplings, as the core weighs them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from qpsbgd import _core
from qpsbgd.samplers.batch.arguments import checked_couplings
from qpsbgd.samplers.batch.dense import DenseCouplings
from qpsbgd.samplers.batch.sparse import SparseCouplings

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class SharedProblems:
    """Problems ``E(s) = offset + h.s + sum J_ij s_i s_j`` with one J.

    Attributes:
        linear: h, float64 ``(B, n)``.
        pairs: the pairs of variables that interact, uint32 ``(2, k)``.
        quadratic: J of those pairs, float64 ``(k,)``.
        offsets: float64 ``(B,)``.
    """

    linear: Floats
    pairs: npt.NDArray[np.uint32]
    quadratic: Floats
    offsets: Floats

    @classmethod
    def checked(cls, h: Floats, J: Any, vartype: str, num_threads: int) -> "SharedProblems":
        """Return problems ``h.x + sum of J_ij x_i x_j over pairs i < j`` over spins.

        Args:
            h: ``(B, n)``, checked.
            J: array ``(n, n)`` or matrix of ``scipy.sparse``: symmetric, or in one triangle.
            vartype: ``"SPIN"`` or ``"BINARY"``: the variables x.
            num_threads: largest number of threads of the checks.

        Raises:
            TypeError: J is of another kind.
            ValueError: another shape, an entry that is NaN, infinite or on the diagonal, or a J
                that is neither symmetric nor in one triangle.
        """
        couplings = checked_couplings(J, h.shape, num_threads)
        if isinstance(couplings, DenseCouplings) and couplings.is_shared:
            couplings = SparseCouplings.from_dense(couplings)
        if not (isinstance(couplings, SparseCouplings) and couplings.is_shared):
            raise TypeError(
                "J must be an array (n, n) or a matrix of scipy.sparse that all problems share: "
                "for a LowRank pass the product, and for an array (B, n, n) make a call for each "
                "problem"
            )
        rows, columns, quadratic = couplings.core()
        pairs = np.array([rows, columns], np.uint32)
        if vartype == "SPIN":
            return cls(h, pairs, quadratic, np.zeros(len(h)))
        offsets = h.sum(axis=1) / 2 + quadratic.sum() / 4
        linear = h / 2
        for end in pairs:
            linear = linear + np.bincount(end, quadratic / 4, h.shape[1])
        return cls(linear, pairs, quadratic / 4, offsets)

    @property
    def num_variables(self) -> int:
        """Number of variables of each problem."""
        return int(self.linear.shape[1])

    @property
    def largest_field(self) -> float:
        """The largest magnitude that a local field can have in any problem."""
        reach = np.abs(self.linear).max(axis=0, initial=0.0)
        for end in self.pairs:
            reach = reach + np.bincount(end, np.abs(self.quadratic), self.num_variables)
        return float(reach.max(initial=0.0))

    @property
    def largest_energy(self) -> float:
        """The largest magnitude that an energy can have in any problem, without its offset."""
        with np.errstate(over="ignore"):
            linear = np.abs(self.linear).sum(axis=1).max(initial=0.0)
            return float(linear + np.abs(self.quadratic).sum())

    def weigh(
        self,
        betas: Floats,
        marked: npt.NDArray[np.intp],
        num_reads: int,
        seed: int,
        number: int,
        num_threads: int,
    ) -> tuple[Floats, Floats]:
        """Return logarithms of weights, and variances of energies.

        Args:
            betas: inverse temperatures, ascending; the weights begin at 0.
            marked: numbers of those at which weights are wanted, ascending. If there are none, the
                variances are measured instead.
            num_reads: number of chains of each problem.
            seed: seed of the random numbers.
            number: number of the first problem, which names its random streams.
            num_threads: largest number of threads.

        Returns:
            ``(B, num_reads, len(marked))``, and ``(len(betas),)`` or ``(0,)``.
        """
        return _core.weigh_chains(
            np.ascontiguousarray(self.linear), self.pairs[0], self.pairs[1], self.quadratic,
            betas=betas.tolist(), marked=marked.tolist(), num_chains=num_reads, seed=seed,
            number=number, num_threads=num_threads,
        )  # fmt: skip
