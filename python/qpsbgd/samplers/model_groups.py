"""Groups of dimod models that :func:`qpsbgd.sample_batch` solves in one call."""

import hashlib
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

import dimod
import numpy as np
import numpy.typing as npt

from qpsbgd import _core
from qpsbgd.samplers.couplings import Floats, Pattern
from qpsbgd.samplers.ising import Form, Problem

#: Bytes of the matrices of one group at most, unless a single model has more.
MATRIX_BYTES = 1 << 28


@dataclass(frozen=True)
class ModelGroup:
    """Models of one size that go through one call.

    Attributes:
        places: of the models in the caller's list.
        variables: labels of each model's variables, in the order of ``h``.
        h: fields over spins, float64 ``(B, n)``.
        J: couplings over spins: matrices ``(B, n, n)``, or the pairs that all models share.
    """

    places: list[int]
    variables: list[list[Hashable]]
    h: Floats
    J: npt.NDArray[np.float64] | Pattern


@dataclass(frozen=True)
class _Biases:
    """A model over spins.

    Attributes:
        variables: labels.
        linear: ``(n,)``.
        pairs: uint32 ``(2, k)``, the smaller variable first, in lexicographic order.
        quadratic: ``(k,)``.
    """

    variables: list[Hashable]
    linear: Floats
    pairs: npt.NDArray[np.uint32]
    quadratic: Floats

    @classmethod
    def of_model(cls, bqm: dimod.BinaryQuadraticModel, form: Form) -> "_Biases":
        problem = Problem(bqm, form)
        ends = np.sort(problem.pairs, axis=0)
        order = np.lexsort(ends[::-1])
        pairs = np.ascontiguousarray(ends[:, order])
        return cls(problem.variables, problem.linear, pairs, problem.quadratic[order])

    def pattern_digest(self) -> bytes:
        """Return what models with the same pairs have in common."""
        return hashlib.blake2b(self.pairs.tobytes(), digest_size=32).digest()


def grouped(models: Sequence[dimod.BinaryQuadraticModel]) -> Iterator[ModelGroup]:
    """Yield the models in groups, each of models of one size.

    Sparse models share a group if they have the same pairs of variables, in the order of their
    variables; a group takes memory in proportion to its biases. All others go in matrices, of as
    many models as fit ``MATRIX_BYTES``.

    Args:
        models: binary quadratic models.

    Raises:
        ValueError: a NaN or infinite bias.
    """
    sparse: dict[bytes, list[tuple[int, _Biases]]] = {}
    dense: dict[int, list[int]] = {}  # without biases, which need not be in memory all at once
    for place, bqm in enumerate(models):
        n = bqm.num_variables
        if _core.better_form(n, bqm.num_interactions) is _core.Form.sparse:
            biases = _Biases.of_model(bqm, "sparse")
            key = n.to_bytes(8, "little") + biases.pattern_digest()
            sparse.setdefault(key, []).append((place, biases))
        else:
            dense.setdefault(n, []).append(place)
    for n, places in dense.items():
        size = max(1, MATRIX_BYTES // max(1, 8 * n * n))
        for first in range(0, len(places), size):
            part = places[first : first + size]
            yield _matrices(part, [_Biases.of_model(models[place], "dense") for place in part])
    for group in sparse.values():
        yield _lists([place for place, _ in group], [biases for _, biases in group])


def _lists(places: list[int], biases: list[_Biases]) -> ModelGroup:
    """A group of models with the same pairs."""
    rows, columns = biases[0].pairs
    values = np.array([each.quadratic for each in biases])  # (B, k)
    h = np.array([each.linear for each in biases])  # (B, n)
    return ModelGroup(
        places, [each.variables for each in biases], h, Pattern(rows, columns, values)
    )


def _matrices(places: list[int], biases: list[_Biases]) -> ModelGroup:
    """A group of models as matrices."""
    h = np.array([each.linear for each in biases])  # (B, n)
    J = np.zeros((len(h), h.shape[1], h.shape[1]))
    for matrix, each in zip(J, biases, strict=True):
        rows, columns = each.pairs
        matrix[rows, columns] = matrix[columns, rows] = each.quadratic
    return ModelGroup(places, [each.variables for each in biases], h, J)
