"""Results of a call: a sample set, or arrays for a model that was given as arrays."""

from collections.abc import Sequence
from typing import Any

import dimod
import numpy as np
import numpy.typing as npt

from qpsbgd.samplers.call.initial_states import sorted_labels
from qpsbgd.samplers.call.sample_arrays import SampleArrays, make_sampleset
from qpsbgd.samplers.problem.array_model import ArrayModel
from qpsbgd.samplers.problem.ising import label_sequence


def model_labels(model: dimod.BinaryQuadraticModel | ArrayModel) -> Sequence[Any]:
    """Return the labels of a model's variables in the order of the model."""
    return model.variables if isinstance(model, ArrayModel) else label_sequence(model)


def make_result(
    model: dimod.BinaryQuadraticModel | ArrayModel,
    labels: Sequence[Any],
    spins: npt.NDArray[np.int8],
    energies: npt.NDArray[np.float64],
    num_occurrences: npt.NDArray[np.int64] | None,
    vectors: dict[str, npt.NDArray[Any]],
    *,
    is_sorted: bool,
) -> Any:
    """Return the sample set of states of a model, or arrays, without ``info``.

    Args:
        model: the model, of dimod or of arrays.
        labels: labels of the columns of ``spins``.
        spins: ``(reads, n)``.
        energies: ``(reads,)``.
        num_occurrences: ``(reads,)``; None for 1 each.
        vectors: further columns, ``(reads,)`` each.
        is_sorted: whether ``labels`` are sorted.
    """
    states = (spins + 1) // 2 if model.vartype is dimod.BINARY else spins
    if num_occurrences is None:
        num_occurrences = np.ones(len(states), np.int64)
    if isinstance(model, ArrayModel):
        return SampleArrays(
            states, energies, num_occurrences, {}, model.vartype.name, dict(vectors)
        )
    if not is_sorted:
        order, labels = sorted_labels(labels)
        states = states if order is None else states[:, order]
    vectors = {"num_occurrences": num_occurrences.astype(int, copy=False), **vectors}
    return make_sampleset(states, labels, energies, model.vartype, vectors, {})
