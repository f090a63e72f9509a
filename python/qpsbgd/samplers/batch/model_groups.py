"""Groups of dimod models that one call of :func:`qpsbgd.sample_batch` solves."""

import hashlib
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

import dimod
import numpy as np
import numpy.typing as npt

from qpsbgd import _core
from qpsbgd.samplers.batch.couplings import Floats
from qpsbgd.samplers.batch.sparse import SparseCouplings
from qpsbgd.samplers.problem.ising import Form, Problem

#: Largest number of bytes of the matrices of a group, unless a single model has more.
MATRIX_BYTES = 1 << 28


@dataclass(frozen=True)
class ModelGroup:
    """Models of one size that go into one call.

    Attributes:
        places: positions of the models in the caller's list.
        variables: labels of each model's variables, in the order of ``h``.
        h: fields over spins, float64 ``(B, n)``.
        J: couplings over spins: matrices ``(B, n, n)``, or the pairs that all models share.
    """

    places: list[int]
    variables: list[list[Hashable]]
    h: Floats
    J: npt.NDArray[np.float64] | SparseCouplings


@dataclass(frozen=True)
class _Biases:
    """Biases of a model over spins.

    Attributes:
        variables: labels of the variables.
        linear: float64 ``(n,)``.
        pairs: uint32 ``(2, k)``, the smaller variable first, in lexicographic order.
        quadratic: float64 ``(k,)``.
    """

    variables: list[Hashable]
    linear: Floats
    pairs: npt.NDArray[np.uint32]
    quadratic: Floats

    @classmethod
    def from_model(cls, bqm: dimod.BinaryQuadraticModel, form: Form) -> "_Biases":
        problem = Problem(bqm, form)
        ends = np.sort(problem.pairs, axis=0)
        order = np.lexsort(ends[::-1])
        pairs = np.ascontiguousarray(ends[:, order])
        return cls(list(problem.variables), problem.linear, pairs, problem.quadratic[order])

    def pattern_digest(self) -> bytes:
        """Return a digest that only models with the same pairs share."""
        return hashlib.blake2b(self.pairs.tobytes(), digest_size=32).digest()


def group_models(models: Sequence[dimod.BinaryQuadraticModel]) -> Iterator[ModelGroup]:
    """Yield the models in groups, each with models of one size.

    Sparse models share a group if they have the same pairs of variables, in the order of their
    variables. The memory of such a group is proportional to the number of its biases. All other
    models become matrices, in groups of at most ``MATRIX_BYTES`` each.

    Args:
        models: binary quadratic models.

    Raises:
        ValueError: a NaN or infinite bias.
    """
    sparse: dict[bytes, list[tuple[int, _Biases]]] = {}
    dense: dict[int, list[int]] = {}  # positions alone, to hold the biases of one group at a time
    for place, bqm in enumerate(models):
        n = bqm.num_variables
        if _core.better_form(n, bqm.num_interactions) is _core.Form.sparse:
            biases = _Biases.from_model(bqm, "sparse")
            key = n.to_bytes(8, "little") + biases.pattern_digest()
            sparse.setdefault(key, []).append((place, biases))
        else:
            dense.setdefault(n, []).append(place)
    for n, places in dense.items():
        size = max(1, MATRIX_BYTES // max(1, 8 * n * n))
        for first in range(0, len(places), size):
            part = places[first : first + size]
            yield _dense_group(part, [_Biases.from_model(models[place], "dense") for place in part])
    for group in sparse.values():
        yield _sparse_group([place for place, _ in group], [biases for _, biases in group])


def _sparse_group(places: list[int], biases: list[_Biases]) -> ModelGroup:
    """Return the group of models with the same pairs."""
    rows, columns = biases[0].pairs
    values = np.array([each.quadratic for each in biases])  # (B, k)
    h = np.array([each.linear for each in biases])  # (B, n)
    return ModelGroup(
        places, [each.variables for each in biases], h, SparseCouplings(rows, columns, values)
    )


def _dense_group(places: list[int], biases: list[_Biases]) -> ModelGroup:
    """Return the group of models as matrices."""
    h = np.array([each.linear for each in biases])  # (B, n)
    J = np.zeros((len(h), h.shape[1], h.shape[1]))
    for matrix, each in zip(J, biases, strict=True):
        rows, columns = each.pairs
        matrix[rows, columns] = matrix[columns, rows] = each.quadratic
    return ModelGroup(places, [each.variables for each in biases], h, J)
