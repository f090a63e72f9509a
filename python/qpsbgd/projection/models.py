"""A layer's problems as binary quadratic models, for any of dimod's samplers.

:func:`gradient_bqms` hands out one model per neuron, whichever the objective. The quadratic one is
an Ising problem over the weights as it stands. The sign objective needs auxiliary variables and a
penalty, and can be written so where the inputs of a sample have one magnitude beside 0.
"""

import operator
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, overload

import dimod
import numpy as np
import numpy.typing as npt

from qpsbgd import _core
from qpsbgd._checks import (
    checked_choice,
    checked_real,
    checked_threads,
    refuse_masked,
    tensor_array,
)
from qpsbgd.errors import UnsupportedInputsError
from qpsbgd.projection.layers import (
    OBJECTIVES,
    AlphaRule,
    Objective,
    checked_alpha,
    checked_eps,
    checked_layer,
    checked_scale,
)
from qpsbgd.samplers.ising import Problem

if TYPE_CHECKING:
    from qpsbgd.projection.layers import ArrayLike

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int32]
Spins = npt.NDArray[np.int8]

#: With larger ones float64 rounds away more than a millionth of the loss.
MAX_PENALTY_FACTOR = 1e6


@dataclass(frozen=True, eq=False, repr=False)
class GradientBQMs(Sequence[dimod.BinaryQuadraticModel]):
    """The binary problems of a layer, ``m`` models of vartype SPIN; see :func:`gradient_bqms`.

    An element is made when it is asked for. Variables are the integers ``0 .. V - 1``: first the
    ``n`` weights, then for each *count* its indicator and its slack bits. All models have the same
    variables and the same pairs, and couplings that differ by a factor.

    A count stands for the samples whose outputs are known by whether at least ``threshold`` of the
    inputs of a ``pattern`` agree with the weights; the quadratic objective has none.

    Attributes:
        objective: ``"quadratic"`` or ``"sign"``.
        rows: int32 ``(E,)``, the first variable of each pair that interacts.
        columns: int32 ``(E,)``, the second, which is larger; pairs are in lexicographic order.
        values: float64 ``(E,)``, couplings of a neuron of factor 1.
        factors: float64 ``(m,)``: neuron ``r`` has the couplings ``factors[r] * values``; 1 for
            the quadratic objective.
        fields: float64 ``(m, V)``, linear biases.
        offsets: float64 ``(m,)``.
        patterns: int8 ``(counts, n)`` of -1, +1, and 0 for weights that do not matter.
        thresholds: int32 ``(counts,)``.

    Example:
        >>> import numpy as np
        >>> X, T = np.array([[1, -1, 1]], np.float32), np.array([[0.5, -2]], np.float32)
        >>> bqms = gradient_bqms(X, T, objective="sign")
        >>> len(bqms), bqms.num_variables, bqms[1].vartype.name
        (2, 5, 'SPIN')
        >>> from qpsbgd import ExhaustiveSampler
        >>> bool(bqms.decode(ExhaustiveSampler().sample(bqms[0])) @ X[0] > 0)
        True
    """

    objective: str
    rows: Indices
    columns: Indices
    values: Floats
    factors: Floats
    fields: Floats
    offsets: Floats
    patterns: Spins
    thresholds: Indices

    @property
    def num_neurons(self) -> int:
        """``m``, the number of models."""
        return len(self.offsets)

    @property
    def num_inputs(self) -> int:
        """``n``, the number of weights."""
        return int(self.patterns.shape[1])

    @property
    def num_variables(self) -> int:
        """``V``, the number of variables of each model: weights and auxiliary ones."""
        return int(self.fields.shape[1])

    def __len__(self) -> int:
        """The number of models."""
        return self.num_neurons

    def __repr__(self) -> str:
        """What there is, not the arrays."""
        return (
            f"<{type(self).__name__}: {self.num_neurons} {self.objective} problems of "
            f"{self.num_inputs} weights, {self.num_variables} variables and "
            f"{len(self.values)} couplings>"
        )

    @overload
    def __getitem__(self, index: int) -> dimod.BinaryQuadraticModel: ...
    @overload
    def __getitem__(self, index: slice) -> list[dimod.BinaryQuadraticModel]: ...
    def __getitem__(
        self, index: int | slice
    ) -> dimod.BinaryQuadraticModel | list[dimod.BinaryQuadraticModel]:
        """The model of a neuron, or a list of those of a slice."""
        if isinstance(index, slice):
            return [self._model(r) for r in range(len(self))[index]]
        return self._model(self._row(index))

    def __iter__(self) -> Iterator[dimod.BinaryQuadraticModel]:
        """The models in order."""
        return map(self._model, range(len(self)))

    def _row(self, index: int) -> int:
        row = operator.index(index)
        if not -len(self) <= row < len(self):
            raise IndexError(f"there is no neuron {row}, but {len(self)} from 0")
        return row % len(self)

    def _model(self, row: int) -> dimod.BinaryQuadraticModel:
        return dimod.BinaryQuadraticModel.from_numpy_vectors(
            self.fields[row],
            (self.rows, self.columns, self.factors[row] * self.values),
            self.offsets[row],
            "SPIN",
        )

    def decode(self, sampleset: "dimod.SampleSet | Mapping[int, int]") -> Spins:
        """The binary gradient of a neuron, from an answer to its model.

        Auxiliary variables are left out, whether or not they fit the weights: how good the row is
        says :func:`qpsbgd.projection_energy`, not the energy of an answer that breaks penalties.

        Args:
            sampleset: of a model, of which the sample of lowest energy is taken; or one sample, a
                mapping from variables to values. Values are -1 and +1, or, with vartype BINARY, 0
                (for -1) and 1.

        Returns:
            int8 ``(n,)`` of -1 and +1.

        Raises:
            TypeError: neither a sample set nor a mapping.
            ValueError: no samples; variables other than the model's; a value that is not of the
                vartype, or a vartype that is neither SPIN nor BINARY.

        Example:
            >>> import numpy as np
            >>> X, T = np.eye(2, dtype=np.float32), np.ones((2, 1), np.float32)
            >>> gradient_bqms(X, T).decode({0: 1, 1: -1})
            array([ 1, -1], dtype=int8)
        """
        low: int | None = None
        if isinstance(sampleset, dimod.SampleSet):
            if len(sampleset) == 0:
                raise ValueError("sampleset has no samples, but must have one at least")
            if sampleset.vartype not in (dimod.SPIN, dimod.BINARY):
                raise ValueError(
                    f"sampleset has vartype {sampleset.vartype.name}, but must have SPIN or BINARY"
                )
            low = -1 if sampleset.vartype is dimod.SPIN else 0
            sample: Mapping[Any, Any] = sampleset.first.sample
        elif isinstance(sampleset, Mapping):
            sample = sampleset
        else:
            raise TypeError(
                f"sampleset is a {type(sampleset).__name__}, but must be a dimod.SampleSet or a "
                "mapping from variables to values"
            )
        missing = [v for v in range(self.num_variables) if v not in sample]
        if missing:
            raise ValueError(
                f"sampleset has no variable {missing[0]}, but must have those of the model, "
                f"0 to {self.num_variables - 1}"
            )
        if len(sample) > self.num_variables:
            known = range(self.num_variables)
            other = next(label for label in sample if label not in known)
            raise ValueError(
                f"sampleset has a variable {other!r}, but must have those of the model alone, "
                f"0 to {self.num_variables - 1}"
            )
        values = [sample[v] for v in range(self.num_inputs)]
        if low is None:
            low = 0 if 0 in values else -1
        for v, value in enumerate(values):
            if value not in (low, 1):
                raise ValueError(f"sampleset[{v}] is {value}, but must be {low} or 1")
        return np.where(np.array(values) == 1, 1, -1).astype(np.int8)

    def complete(self, B: npt.NDArray[Any]) -> Spins:
        """States of all variables with the least energy that given weights allow.

        It is the same for all models: the energy is then the objective. For the start of a sampler
        (``initial_states``), and to look at what an annealer made of its auxiliary variables.

        Args:
            B: ``(k, n)`` of -1 and +1, any real dtype.

        Returns:
            int8 ``(k, V)``.

        Raises:
            TypeError: not an array of integers or floats.
            ValueError: another shape or other values.

        Example:
            >>> import numpy as np
            >>> X, T = np.ones((1, 3), np.float32), np.ones((1, 1), np.float32)
            >>> gradient_bqms(X, T, objective="sign").complete(np.array([[1, 1, -1]]))
            array([[ 1,  1, -1,  1, -1]], dtype=int8)
        """
        weights = _checked_spins("B", B, self.num_inputs)
        sizes = np.abs(self.patterns).sum(axis=1)  # (counts, n) -> (counts,)
        # float32 is exact, and a matrix product of integers slow.
        products = weights.astype(np.float32) @ self.patterns.T.astype(np.float32)
        agreeing = (products.astype(np.int64) + sizes) // 2  # (k, counts)
        indicators = agreeing >= self.thresholds
        slack = agreeing - self.thresholds * indicators  # 0 .. threshold - 1
        states = np.empty((len(weights), self.num_variables), np.int8)
        states[:, : self.num_inputs] = weights
        variable = self.num_inputs
        for count, threshold in enumerate(self.thresholds.tolist()):
            states[:, variable] = np.where(indicators[:, count], 1, -1)
            left = slack[:, count].copy()
            slack_weights = _slack_weights(threshold)
            for bit in reversed(range(len(slack_weights))):
                taken = left > sum(slack_weights[:bit])
                left -= slack_weights[bit] * taken
                states[:, variable + 1 + bit] = np.where(taken, 1, -1)
            variable += 1 + len(slack_weights)
        return states

    def energies(
        self, r: int, states: npt.NDArray[Any], *, num_threads: int | None = None
    ) -> Floats:
        """Energies of states in the model of neuron ``r``, offset included.

        Args:
            r: number of the neuron.
            states: ``(k, V)`` of -1 and +1, any real dtype; of weights, see :meth:`complete`.
            num_threads: at most this many threads; ``None`` for the processors of this process.

        Returns:
            float64 ``(k,)``.

        Raises:
            TypeError: not an array of integers or floats.
            ValueError: another shape or other values.
            IndexError: no such neuron.

        Example:
            >>> import numpy as np
            >>> X, T = np.eye(2, dtype=np.float32), np.ones((2, 1), np.float32)
            >>> gradient_bqms(X, T).energies(0, np.array([[1, 1], [1, -1]])).tolist()
            [0.0, 4.0]
        """
        row = self._row(r)
        problem = Problem.from_vectors(
            self.fields[row], (self.rows, self.columns), self.factors[row] * self.values
        )
        states = _checked_spins("states", states, self.num_variables)
        energies: Floats = problem.energies(states, checked_threads(num_threads))
        energies += self.offsets[row]
        return energies


def gradient_bqms(
    X: "ArrayLike",
    T: "ArrayLike",
    *,
    objective: Objective = "quadratic",
    scale: float = 1.0,
    alpha: AlphaRule = "norm",
    target_eps: float = 0.01,
    penalty_factor: float = 1.1,
    num_threads: int | None = None,
) -> GradientBQMs:
    """The problems that :func:`qpsbgd.project` solves, as models for any of dimod's samplers.

    With weights ``b`` and the auxiliary variables that suit them best, the energy of a model is the
    objective as :func:`qpsbgd.projection_energy` has it, up to rounding in float64.

    * ``objective="quadratic"``: variables are the weights, and all pairs of them interact.
    * ``objective="sign"``: for inputs of one magnitude, ``x_k = c s_k`` with ``s_k`` in {-1, +1},
      an output ``sign(x.b + target_eps)`` is +1 if at least ``tau`` of the ``n'`` weights whose
      input is not 0 agree with it. As ``sign(0) = +1``, a tie of an even ``n'`` counts as +1:
      ``tau`` is ``ceil(n' / 2)`` while ``target_eps`` is less than ``c`` (or ``2 c`` for an even
      ``n'``), and one less for every ``2 c`` more; an output that is +1 whatever ``b`` is takes no
      variables. An indicator ``z = [q >= M]`` says so of the agreeing weights (``M = tau``) or of
      the others (``M = n' + 1 - tau``, ``z`` the opposite of the output), whichever ``M`` is
      larger, by a penalty ``(q - M z - sum_j w_j a_j)^2`` with ``ceil(log2 M)`` slack bits ``a_j``
      whose weights cover 0 to ``M - 1`` exactly. Samples whose outputs always agree, or always
      differ (``x`` and ``-x`` of an odd ``n'``), share an indicator. A neuron's penalty is
      ``penalty_factor`` times the largest difference that one indicator makes to its loss,
      ``4 |sum t|`` over the samples that share it (1 where that is 0): any factor above 1 makes
      the lowest state exact, and smaller ones do not.

    The offset of the sign objective is about ``N``, whatever the size of ``T``: energies differ by
    multiples of ``4 |t|``. Where gradients are below 1e-10, scale ``T`` up to keep the differences
    in float64; the best weights stay the same.

    Args:
        X: inputs of the layer, float32 ``(N, n)``; NumPy, or torch on the CPU. For the sign
            objective, entries of a sample (a row) are 0, ``-c`` or ``+c``, with a ``c`` of its own.
        T: gradient of the loss with respect to the layer's outputs, float32 ``(N, m)``.
        objective: ``"quadratic"`` or ``"sign"``.
        scale: as for :func:`qpsbgd.project`; quadratic only.
        alpha: as for :func:`qpsbgd.project`; quadratic only.
        target_eps: as for :func:`qpsbgd.project`; sign only.
        penalty_factor: > 1; the smaller, the larger the loss beside the penalties, which is what an
            annealer of limited precision needs; sign only.
        num_threads: at most this many threads; ``None`` for the processors of this process.

    Returns:
        ``m`` models of vartype SPIN, one a neuron.

    Raises:
        TypeError: an argument of the wrong type or dtype.
        ValueError: shapes that do not fit, an empty array, NaN or infinity, a value out of range;
            inputs of a sample with two magnitudes where the objective is ``"sign"``.

    Example:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> X = rng.choice(np.array([-1, 1], np.float32), size=(4, 5))
        >>> T = rng.normal(size=(4, 2)).astype(np.float32)
        >>> from qpsbgd import ExhaustiveSampler
        >>> bqms = gradient_bqms(X, T, objective="sign")
        >>> np.array([bqms.decode(ExhaustiveSampler().sample(bqm)) for bqm in bqms]).shape
        (2, 5)

    Reference:
        Krahn et al., "Projected Stochastic Gradient Descent with Quantum Annealed Binary
        Gradients", BMVC 2024, arXiv 2310.15128. The encoding of outputs is our own.
    """
    inputs, targets = checked_layer(X, T)
    checked_choice("objective", objective, OBJECTIVES)
    scale, length = checked_scale(scale), checked_alpha(alpha)
    eps, factor = checked_eps(target_eps), checked_penalty_factor(penalty_factor)
    threads = checked_threads(num_threads)
    if objective == "sign":
        _check_magnitudes(inputs)
        patterns, thresholds, rows, columns, values, factors, fields, offsets = _core.sign_qubo(
            inputs, targets, target_eps=eps, penalty_factor=factor, num_threads=threads
        )
    else:
        n, m = inputs.shape[1], targets.shape[1]
        rows, columns, values, fields, offsets = _core.gradient_ising(
            inputs, targets, scale=scale, alpha=length, num_threads=threads
        )
        factors = np.ones(m)
        patterns, thresholds = np.zeros((0, n), np.int8), np.zeros(0, np.int32)
    return GradientBQMs(
        objective=objective,
        rows=rows,
        columns=columns,
        values=values,
        factors=factors,
        fields=fields,
        offsets=offsets,
        patterns=patterns,
        thresholds=thresholds,
    )


def _slack_weights(threshold: int) -> list[int]:
    """1, 2, 4, ... and what is left of ``threshold - 1``: the sums are 0 to that without a gap."""
    bits = (threshold - 1).bit_length()
    return [min(1 << bit, threshold - (1 << bit)) for bit in range(bits)]


def _check_magnitudes(inputs: npt.NDArray[np.float32]) -> None:
    bad = _core.first_other_magnitude(inputs)
    if bad == inputs.size:
        return
    row, column = divmod(bad, inputs.shape[1])
    magnitude = abs(inputs[row, np.flatnonzero(inputs[row])[0]])
    raise UnsupportedInputsError(
        f"X[{row}, {column}] is {inputs[row, column]}, but objective='sign' needs the inputs of a "
        f"sample to be 0, -c or +c, with c = {magnitude} here: make them binary, take "
        "objective='quadratic', or solve the layer with qpsbgd.project, which takes any inputs"
    )


def checked_penalty_factor(penalty_factor: float) -> float:
    """More than 1, and not too large for float64."""
    checked = checked_real("penalty_factor", penalty_factor)
    if not 1.0 < checked <= MAX_PENALTY_FACTOR:
        raise ValueError(
            f"penalty_factor is {penalty_factor!r}, but must be more than 1 and at most "
            f"{MAX_PENALTY_FACTOR:g}"
        )
    return checked


def _checked_spins(name: str, value: npt.NDArray[Any], num_columns: int) -> Spins:
    refuse_masked(name, value)
    tensor = tensor_array(name, value)
    array = np.asarray(value) if tensor is None else tensor
    if array.dtype.kind not in "iuf":
        raise TypeError(f"{name} has dtype {array.dtype}, but must be an integer or float type")
    if array.ndim != 2 or array.shape[1] != num_columns:
        raise ValueError(f"{name} has shape {array.shape}, but must be (k, {num_columns})")
    wrong = np.argwhere((array != 1) & (array != -1))
    if len(wrong):
        row, column = wrong[0]
        raise ValueError(f"{name}[{row}, {column}] is {array[row, column]}, but must be -1 or +1")
    return np.ascontiguousarray(array, np.int8)
