"""Binary quadratic models from the entries of a file."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dimod
import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.int64]
Weights = npt.NDArray[np.float64]

#: Numbers of variables are smaller than this, as the core's indices have 32 bits.
VARIABLES_LIMIT = 2**31
#: Largest number of variables that a file may announce without naming them in an entry. Without
#: this limit a header of 25 bytes could use up all memory.
MOST_UNNAMED = 2**20


def check_num_variables(n: int, i: Indices, j: Indices, error: Any) -> None:
    """Raise if a file announces far more variables than its entries name.

    Args:
        n: announced number of variables.
        i: first indices of the entries.
        j: second indices of the entries.
        error: function that makes the exception from a rule.
    """
    if n > MOST_UNNAMED:
        named = len(np.unique(np.concatenate([i, j])))
        if n - named > MOST_UNNAMED:
            raise error(f"the file's entries name only {named} of {n} variables")


def make_model(
    n: int,
    i: Indices,
    j: Indices,
    weights: Weights,
    vartype: dimod.Vartype,
    labels: Sequence[Any],
    offset: float = 0.0,
) -> dimod.BinaryQuadraticModel:
    """Return the model of the entries of a matrix.

    Args:
        n: number of variables.
        i: first indices from 0, ``(k,)``.
        j: second indices from 0, ``(k,)``.
        weights: coefficients of ``x_i x_j``, ``(k,)``; those of the diagonal are linear biases.
            Biases of a pair that occurs more than once add up.
        vartype: vartype of the variables.
        labels: labels of the ``n`` variables.
        offset: constant part of the energy.
    """
    diagonal = i == j
    linear = np.bincount(i[diagonal], weights[diagonal], n)
    pairs = ~diagonal
    return dimod.BinaryQuadraticModel.from_numpy_vectors(
        linear, (i[pairs], j[pairs], weights[pairs]), offset, vartype, variable_order=labels
    )


def check_finite(path: Path, bqm: dimod.BinaryQuadraticModel) -> None:
    """Raise ValueError if a bias is NaN or infinite, as a sum of a file's numbers may be."""
    linear, (_, _, quadratic), offset = bqm.to_numpy_vectors()
    for biases in (linear, quadratic, np.atleast_1d(offset)):
        if not np.isfinite(biases).all():
            bad = biases[~np.isfinite(biases)][0]
            raise ValueError(f"{path} has a bias of {bad}, but biases must be finite")
