"""Binary quadratic models in the form that the core solves."""

import math
from collections.abc import Hashable, Sequence
from typing import Any, Literal

import dimod
import numpy as np
import numpy.typing as npt

from qpsbgd import _core
from qpsbgd._checks import check_model, checked_choice

Form = Literal["dense", "sparse"]

#: The core's energies replace the model's own if float64's rounding makes them differ by less.
CORE_ENERGY_ERROR = 1e-8
#: Number of interactions that dimod sums before Python handles signals again, about 10 ms.
ENERGY_RUN = 1 << 23


class Problem:
    """Binary quadratic model over spins, in the form that the core solves.

    Args:
        bqm: a model of either vartype; it is not changed.
        form: ``"dense"`` stores the couplings as a matrix, ``"sparse"`` as lists of neighbours;
            ``None`` for the form that is expected to be faster.
        variables: the order of the variables in states; by default that of ``bqm``.

    Attributes:
        bqm: the model; ``None`` if the problem was made from vectors.
        variables: labels, in the order of the states' columns.
        offset: constant part of the energy over spins, float64.
        total: sum of the magnitudes of the model's biases and its offset.
        linear: h, float64 ``(n,)``.
        pairs: the pairs of variables that interact, uint32 ``(2, k)``.
        quadratic: J of those pairs, float64 ``(k,)``.
        core: the problem in the core.

    Raises:
        TypeError: ``bqm`` is not a binary quadratic model.
        ValueError: a bias is NaN or infinite, or ``form`` is another word.
    """

    def __init__(
        self,
        bqm: dimod.BinaryQuadraticModel,
        form: Form | None = None,
        variables: Sequence[Hashable] | None = None,
    ) -> None:
        checked_choice("form", form, ("dense", "sparse", None))
        check_model("bqm", bqm)
        self.variables = list(bqm.variables if variables is None else variables)
        self.bqm: dimod.BinaryQuadraticModel | None = bqm
        linear, (rows, columns, quadratic), offset = bqm.to_numpy_vectors(
            variable_order=self.variables
        )
        self.linear = np.ascontiguousarray(linear, np.float64)
        self.pairs = np.array([rows, columns], np.uint32)
        self.quadratic = np.ascontiguousarray(quadratic, np.float64)
        self.offset = float(offset)
        self._check_finite()
        with np.errstate(over="ignore", invalid="ignore"):
            self.total = float(
                np.abs(self.linear).sum() + np.abs(self.quadratic).sum() + abs(self.offset)
            )
            if bqm.vartype is dimod.BINARY:
                self._turn_into_spins()
        self._make_core(form)

    def _turn_into_spins(self) -> None:
        """Replace the binary variables x by spins s, ``x = (1 + s) / 2``."""
        self.offset += float(self.linear.sum() / 2 + self.quadratic.sum() / 4)
        self.linear /= 2
        self.quadratic /= 4
        for end in self.pairs:
            self.linear += np.bincount(end, self.quadratic, len(self.linear))

    @classmethod
    def from_vectors(
        cls,
        linear: npt.NDArray[np.float64],
        pairs: tuple[npt.NDArray[Any], npt.NDArray[Any]],
        quadratic: npt.NDArray[np.float64],
        form: Form | None = None,
    ) -> "Problem":
        """Return a problem over the spins 0, 1, ..., n - 1 from finite biases.

        Args:
            linear: h, ``(n,)``.
            pairs: first and second variables of the pairs that interact, ``(k,)`` each.
            quadratic: J of those pairs, ``(k,)``.
            form: ``"dense"``, ``"sparse"`` or ``None``.
        """
        problem = cls.__new__(cls)
        problem.variables = list(range(len(linear)))
        problem.linear = np.ascontiguousarray(linear, np.float64)
        problem.pairs = np.array(pairs, np.uint32)
        problem.quadratic = np.ascontiguousarray(quadratic, np.float64)
        problem.bqm = None
        problem.offset = 0.0
        problem.total = float(np.abs(problem.linear).sum() + np.abs(problem.quadratic).sum())
        problem._make_core(form)
        return problem

    def _make_core(self, form: Form | None) -> None:
        self.core = _core.Ising(
            self.linear, self.pairs[0], self.pairs[1], self.quadratic, form and _core.Form[form]
        )

    @property
    def form(self) -> str:
        """The form of the couplings, ``"dense"`` or ``"sparse"``."""
        return self.core.form.name

    def energies(self, states: npt.NDArray[np.int8], num_threads: int) -> npt.NDArray[np.float64]:
        """Return the energies of the model itself in float64.

        Args:
            states: int8 ``(reads, n)`` of -1 and +1.
            num_threads: largest number of threads.

        Returns:
            float64 ``(reads,)``. They equal ``bqm.energies`` to the last bit if the biases are so
            large that the order of a sum matters in the eighth decimal.
        """
        bqm = self.bqm
        if bqm is None or 16 * self.total * np.finfo(np.float64).eps < CORE_ENERGY_ERROR:
            return self.core.energies(states, num_threads=num_threads) + self.offset
        own = states if bqm.vartype is dimod.SPIN else ((states + 1) // 2).astype(np.int8)
        step = max(1, ENERGY_RUN // max(1, len(self.quadratic)))
        energies = [
            np.asarray(bqm.energies((own[first : first + step], self.variables)), np.float64)
            for first in range(0, len(own), step)
        ]
        return np.concatenate([np.empty(0), *energies])

    def rounding(self, energy: float) -> float:
        """Return the largest difference of float64 sums of the model's biases near an energy."""
        unit = float(np.finfo(np.float64).eps)  # 2^-52
        terms = len(self.linear) + len(self.quadratic)
        return unit * (2 * self.total + math.sqrt(terms) * abs(energy - self.offset))

    def _check_finite(self) -> None:
        bad: Any = np.flatnonzero(~np.isfinite(self.linear))
        if len(bad):
            raise ValueError(
                f"linear bias of {self.variables[bad[0]]!r} is {self.linear[bad[0]]}, but must be "
                "finite"
            )
        bad = np.flatnonzero(~np.isfinite(self.quadratic))
        if len(bad):
            u, v = (self.variables[i] for i in self.pairs[:, bad[0]])
            raise ValueError(
                f"quadratic bias of {u!r} and {v!r} is {self.quadratic[bad[0]]}, but must be finite"
            )
        if not np.isfinite(self.offset):
            raise ValueError(f"offset is {self.offset}, but must be finite")
