"""Binary quadratic models in the form that the core solves."""

import math
from collections.abc import Callable, Hashable, Sequence
from typing import Any, Literal

import dimod
import numpy as np
import numpy.typing as npt

from qpsbgd import _core
from qpsbgd._checks.binary_models import check_model
from qpsbgd._checks.choices import checked_choice
from qpsbgd.samplers.problem.array_model import LARGEST, SMALLEST, ArrayModel
from qpsbgd.samplers.problem.biases import Biases, as_biases, biases_over_spins
from qpsbgd.samplers.problem.matrix_sums import (
    smallest_magnitude,
    sum_of_magnitudes,
    sums_of_triangles,
)
from qpsbgd.samplers.problem.ordered_energies import OrderedEnergies, is_order_of_consequence

Form = Literal["dense", "sparse"]
Floats = npt.NDArray[np.float64]

#: Number of terms of energies that are summed before a call may end: some tenths of a second.
ENERGY_RUN = 1 << 28


def label_sequence(bqm: dimod.BinaryQuadraticModel) -> Sequence[Hashable]:
    """Return the labels of a model's variables, as a range if they are 0, 1, ..., n - 1."""
    variables = bqm.variables  # a view of keys if biases are objects
    return range(len(variables)) if getattr(variables, "is_range", False) else list(variables)


class Problem:
    """Binary quadratic model over spins, in the form that the core solves.

    Args:
        model: a model of either vartype; it is not changed.
        form: ``"dense"`` stores the couplings as a matrix, ``"sparse"`` as lists of neighbours;
            ``None`` for the form that is expected to be faster.
        variables: the order of the variables in states; by default that of the model.

    Attributes:
        bqm: the model, if it is one of dimod.
        variables: labels, in the order of the states' columns.
        offset: constant part of the energy over spins, float64.
        total: sum of the magnitudes of the model's biases and its offset.
        core: the problem in the core.

    Raises:
        TypeError: the model is not a binary quadratic model.
        ValueError: a bias is NaN or infinite, or ``form`` is another word.
    """

    bqm: dimod.BinaryQuadraticModel | None = None
    core: _core.Ising
    _is_ordered = False  # whether energies are summed in the order of dimod

    def __init__(
        self,
        model: dimod.BinaryQuadraticModel | ArrayModel,
        form: Form | None = None,
        variables: Sequence[Hashable] | None = None,
    ) -> None:
        checked_choice("form", form, ("dense", "sparse", None))
        if not isinstance(model, ArrayModel):
            check_model("bqm", model)
        self._model = model
        self._biases: Biases | None = None
        self.offset = float(model.offset)
        if isinstance(model, ArrayModel):
            self.variables: Sequence[Hashable] = model.variables
            self._order = None
            self._num_terms = len(model.linear) + model.num_interactions
            if self._takes_matrix(model, form):
                self._refer_to_matrix(model)
                return
        else:
            self.bqm = model
            # Copies, as the labels may change after the call.
            own = label_sequence(model)
            self.variables = own if variables is None else variables
            self._order = None if variables is None or variables == own else variables
        biases = self._read()
        self._num_terms = len(biases.linear) + len(biases.quadratic)
        self.total = sum_of_magnitudes(biases.linear, biases.quadratic) + abs(self.offset)
        if not np.isfinite(self.total):
            self._check_finite(biases)
        if self.bqm is not None:
            self._is_ordered = is_order_of_consequence(
                biases.linear, biases.quadratic, self.offset, self.total,
                is_binary=model.vartype is dimod.BINARY,
            )  # fmt: skip
        if model.vartype is dimod.BINARY:
            with np.errstate(over="ignore", invalid="ignore"):
                self.offset += float(biases.linear.sum() / 2 + biases.quadratic.sum() / 4)
            biases = biases_over_spins(biases)
        self._make_core(biases, form)

    @classmethod
    def from_vectors(
        cls,
        linear: Floats,
        pairs: tuple[npt.NDArray[Any], npt.NDArray[Any]],
        quadratic: Floats,
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
        problem.variables = range(len(linear))
        problem._biases = biases = as_biases(linear, *pairs, quadratic)
        problem._num_terms = len(biases.linear) + len(biases.quadratic)
        problem.offset = 0.0
        problem.total = sum_of_magnitudes(biases.linear, biases.quadratic)
        problem._make_core(biases, form)
        return problem

    @property
    def biases(self) -> Biases:
        """The biases over spins. They are read again from the model, because they are large."""
        if self._biases is None:
            biases = self._read()
            is_binary = self._model.vartype is dimod.BINARY
            self._biases = biases_over_spins(biases) if is_binary else biases
        return self._biases

    @property
    def linear(self) -> Floats:
        """Linear biases over spins, float64 ``(n,)``."""
        return self.biases.linear

    @property
    def pairs(self) -> npt.NDArray[np.uint32]:
        """First and second variables of the pairs that interact, uint32 ``(2, k)``."""
        return np.array(self.biases.pairs)

    @property
    def quadratic(self) -> Floats:
        """Couplings of those pairs over spins, float64 ``(k,)``."""
        return self.biases.quadratic

    @property
    def form(self) -> str:
        """The form of the couplings, ``"dense"`` or ``"sparse"``."""
        return self.core.form.name

    def energies(
        self,
        states: npt.NDArray[np.int8],
        num_threads: int,
        should_stop: Callable[[], bool] | None = None,
    ) -> Floats:
        """Return the energies of states of spins under the model.

        Args:
            states: int8 ``(reads, n)``.
            num_threads: largest number of threads.
            should_stop: asked between parts of the states whether to leave out the other ones.

        Returns:
            float64 ``(reads,)``, or the first ones of them. They equal ``bqm.energies`` to the last
            bit if float64 rounds no sum, or if the order of a sum matters
            (:func:`~qpsbgd.samplers.problem.ordered_energies.is_order_of_consequence`).
        """
        ordered = self._ordered_energies() if self._is_ordered else None
        step = max(1, ENERGY_RUN // max(1, self._num_terms))
        energies = [np.empty(0)]
        for first in range(0, len(states), step):
            part = states[first : first + step]
            if ordered is None:
                energies.append(self.core.energies(part, num_threads=num_threads) + self.offset)
            else:
                own = part if self._model.vartype is dimod.SPIN else (part + 1) // 2
                energies.append(ordered.energies(own, num_threads))
            if should_stop is not None and should_stop():
                break
        return np.concatenate(energies)

    def rounding(self, energy: float) -> float:
        """Return the largest difference of float64 sums of the model's biases near an energy."""
        unit = float(np.finfo(np.float64).eps)  # 2^-52
        return unit * (2 * self.total + math.sqrt(self._num_terms) * abs(energy - self.offset))

    def _read(self) -> Biases:
        """Return the model's own biases."""
        model = self._model
        if isinstance(model, ArrayModel):
            return as_biases(model.linear, *model.pairs())
        linear, (rows, columns, quadratic), _ = model.to_numpy_vectors(
            variable_order=self._order, sort_labels=False
        )
        return as_biases(linear, rows, columns, quadratic)

    def _ordered_energies(self) -> OrderedEnergies:
        model: dimod.BinaryQuadraticModel = self.bqm
        vectors = model.to_numpy_vectors(sort_labels=False)
        biases = as_biases(vectors.linear_biases, *vectors.quadratic)
        columns = None
        if self._order is not None:
            places = {label: place for place, label in enumerate(self._order)}
            columns = [places[label] for label in model.variables]
        return OrderedEnergies(*biases, float(model.offset), columns)

    def _make_core(self, biases: Biases, form: Form | None) -> None:
        self.core = _core.Ising(
            biases.linear, *biases.pairs, biases.quadratic, form and _core.Form[form]
        )

    @staticmethod
    def _takes_matrix(model: ArrayModel, form: Form | None) -> bool:
        """Return whether the core refers to the model's matrix instead of storing its pairs."""
        if model.matrix is None or form == "sparse":
            return False
        better = _core.better_form(model.num_variables, model.num_interactions)
        return form == "dense" or better is _core.Form.dense

    def _refer_to_matrix(self, model: ArrayModel) -> None:
        """Build a dense problem that refers to the caller's matrix."""
        assert model.matrix is not None
        matrix, linear, factor = model.matrix, model.linear, 1.0
        self.total = sum_of_magnitudes(linear) + sum_of_magnitudes(matrix) / 2 + abs(self.offset)
        if model.vartype is dimod.BINARY:
            factor = 0.25
            if not (model.largest < LARGEST and smallest_magnitude(matrix) > SMALLEST):
                matrix, factor = matrix.astype(np.float64) / 4, 1.0
            with np.errstate(over="ignore", invalid="ignore"):
                below, above = sums_of_triangles(matrix, factor)
                self.offset += float(linear.sum() / 2 + below.sum())
                linear = linear / 2 + below
                linear += above
        self.core = _core.Ising(linear, matrix, factor)

    def _check_finite(self, biases: Biases) -> None:
        bad: Any = np.flatnonzero(~np.isfinite(biases.linear))
        if len(bad):
            raise ValueError(
                f"linear bias of {self.variables[bad[0]]!r} is {biases.linear[bad[0]]}, but must "
                "be finite"
            )
        bad = np.flatnonzero(~np.isfinite(biases.quadratic))
        if len(bad):
            u, v = (self.variables[int(end[bad[0]])] for end in biases.pairs)
            raise ValueError(
                f"quadratic bias of {u!r} and {v!r} is {biases.quadratic[bad[0]]}, but must be "
                "finite"
            )
        if not np.isfinite(self.offset):
            raise ValueError(f"offset is {self.offset}, but must be finite")
