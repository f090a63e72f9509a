"""Binary quadratic models of a layer's problems, for any of dimod's samplers."""

import operator
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, overload

import dimod
import numpy as np
import numpy.typing as npt

from qpsbgd._checks.layer_arrays import spin_matrix
from qpsbgd._checks.numbers import checked_threads
from qpsbgd.samplers.problem.ising import Problem

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int32]
Spins = npt.NDArray[np.int8]


@dataclass(frozen=True, eq=False, repr=False)
class GradientBQMs(Sequence[dimod.BinaryQuadraticModel]):
    """Sequence of a layer's ``m`` problems as models of vartype SPIN.

    :func:`qpsbgd.gradient_bqms` returns it. The sequence stores arrays and builds a model when it
    is indexed. The variables are the integers ``0 .. V - 1``: first the ``n`` weights, then the
    indicator and the slack bits of each *count*. All models have the same variables and pairs, and
    their couplings differ by a factor.

    A count stands for the samples whose outputs follow from whether at least ``threshold`` inputs
    of a ``pattern`` agree with the weights. The quadratic objective has no counts.

    Attributes:
        objective: ``"quadratic"`` or ``"sign"``.
        rows: first variable of each pair that interacts, int32 ``(E,)``.
        columns: second variable of each pair, which is larger, int32 ``(E,)``. Pairs are in
            lexicographic order.
        values: couplings of a neuron whose factor is 1, float64 ``(E,)``.
        factors: factors of the couplings, float64 ``(m,)``: neuron ``r`` has the couplings
            ``factors[r] * values``. They are 1 for the quadratic objective.
        fields: linear biases, float64 ``(m, V)``.
        offsets: constant terms, float64 ``(m,)``.
        patterns: int8 ``(counts, n)`` of -1, +1, and 0 for weights that do not matter.
        thresholds: numbers of agreeing inputs, int32 ``(counts,)``.

    Example:
        >>> import numpy as np
        >>> from qpsbgd import ExhaustiveSampler, gradient_bqms
        >>> X, T = np.array([[1, -1, 1]], np.float32), np.array([[0.5, -2]], np.float32)
        >>> bqms = gradient_bqms(X, T, objective="sign")
        >>> len(bqms), bqms.num_variables, bqms[1].vartype.name
        (2, 5, 'SPIN')
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
        """Number ``m`` of models."""
        return len(self.offsets)

    @property
    def num_inputs(self) -> int:
        """Number ``n`` of weights of each model."""
        return int(self.patterns.shape[1])

    @property
    def num_variables(self) -> int:
        """Number ``V`` of variables of each model, weights and auxiliary ones."""
        return int(self.fields.shape[1])

    def __len__(self) -> int:
        """Return the number of models."""
        return self.num_neurons

    def __repr__(self) -> str:
        """Return the sizes, without the arrays."""
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
        """Return the model of a neuron, or a list of models for a slice."""
        if isinstance(index, slice):
            return [self._model(r) for r in range(len(self))[index]]
        return self._model(self._row(index))

    def __iter__(self) -> Iterator[dimod.BinaryQuadraticModel]:
        """Iterate over the models in order."""
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
        """Return the binary gradient of a neuron from a sample of its model.

        The result leaves the auxiliary variables out, whether or not they fit the weights. Use
        :func:`qpsbgd.projection_energy` to rate it: the energy of a sample includes the penalties
        that the sample breaks.

        Args:
            sampleset: sample set of a model, whose sample of lowest energy counts; or one sample,
                a mapping from variables to values. Values are -1 and +1, or 0 (for -1) and 1.

        Returns:
            int8 ``(n,)`` of -1 and +1.

        Raises:
            TypeError: the argument is neither a sample set nor a mapping.
            ValueError: there are no samples, the variables are not the model's, a value is not
                allowed, or the vartype is neither SPIN nor BINARY.

        Example:
            >>> import numpy as np
            >>> from qpsbgd import gradient_bqms
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
        """Return states of all variables with the lowest energy that the weights allow.

        The energy of such a state is the objective, and the state is the same for all models. Use
        it to start a sampler (``initial_states``), or to check an annealer's auxiliary variables.

        Args:
            B: weights, ``(k, n)`` of -1 and +1, any real dtype.

        Returns:
            int8 ``(k, V)``.

        Raises:
            TypeError: ``B`` is no array of integers or floats.
            ValueError: ``B`` has another shape or other values.

        Example:
            >>> import numpy as np
            >>> from qpsbgd import gradient_bqms
            >>> X, T = np.ones((1, 3), np.float32), np.ones((1, 1), np.float32)
            >>> gradient_bqms(X, T, objective="sign").complete(np.array([[1, 1, -1]]))
            array([[ 1,  1, -1,  1, -1]], dtype=int8)
        """
        weights = spin_matrix("B", B, (None, self.num_inputs))
        sizes = np.abs(self.patterns).sum(axis=1)  # (counts, n) -> (counts,)
        # NumPy multiplies floats faster than integers, and float32 holds these sums exactly.
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
        """Return the energies of states in the model of one neuron, offset included.

        Args:
            r: number of the neuron.
            states: states of all variables, ``(k, V)`` of -1 and +1, any real dtype.
                :meth:`complete` makes them from weights.
            num_threads: largest number of threads; None for the processors of this process.

        Returns:
            float64 ``(k,)``.

        Raises:
            TypeError: ``states`` is no array of integers or floats.
            ValueError: ``states`` has another shape or other values.
            IndexError: there is no such neuron.

        Example:
            >>> import numpy as np
            >>> from qpsbgd import gradient_bqms
            >>> X, T = np.eye(2, dtype=np.float32), np.ones((2, 1), np.float32)
            >>> gradient_bqms(X, T).energies(0, np.array([[1, 1], [1, -1]])).tolist()
            [0.0, 4.0]
        """
        row = self._row(r)
        problem = Problem.from_vectors(
            self.fields[row], (self.rows, self.columns), self.factors[row] * self.values
        )
        states = spin_matrix("states", states, (None, self.num_variables))
        energies: Floats = problem.energies(states, checked_threads(num_threads))
        energies += self.offsets[row]
        return energies


def _slack_weights(threshold: int) -> list[int]:
    """Return 1, 2, 4, ... and a rest, whose sums are all numbers from 0 to ``threshold - 1``."""
    bits = (threshold - 1).bit_length()
    return [min(1 << bit, threshold - (1 << bit)) for bit in range(bits)]
