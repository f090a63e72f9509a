"""Sample sets of a layer's problems: checked, ranked, and compared with the linear minimiser.

The energies that a sampler reports are not used: the sampler may have solved an embedded or scaled
problem, or one with penalties. This module computes the objective of its weights ``(n,)`` anew.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any

import dimod
import numpy as np
import numpy.typing as npt

from qpsbgd.errors import InvalidSampleSetError
from qpsbgd.projection.models import GradientBQMs
from qpsbgd.projection.native import minimise, objective_values
from qpsbgd.projection.options import LayerProblem

Spins = npt.NDArray[np.int8]


def checked_spins(sampleset: dimod.SampleSet, variables: npt.NDArray[np.integer[Any]]) -> Spins:
    """Return the samples of a sample set as spins, int8 ``(reads, len(variables))``.

    Args:
        sampleset: sample set of vartype SPIN or BINARY. A pending one is waited for.
        variables: integer labels in the order of the columns of the result.

    Raises:
        InvalidSampleSetError: there are no samples, the variables are not those of the problem, a
            value does not belong to the vartype, or an energy is NaN.
    """
    if not isinstance(sampleset, dimod.SampleSet):
        raise InvalidSampleSetError(
            f"the sampler returned a {type(sampleset).__name__}, but must return a dimod.SampleSet"
        )
    samples, labels = sampleset.record.sample, list(sampleset.variables)
    if len(samples) == 0:
        raise InvalidSampleSetError("the sampler returned no samples")
    columns = {label: column for column, label in enumerate(labels)}
    wanted = variables.tolist()
    missing = [label for label in wanted if label not in columns]
    if missing or len(labels) != len(wanted):
        extra = [label for label in labels if label not in set(wanted)]
        raise InvalidSampleSetError(
            f"the sample set has {len(labels)} variables, but the problem has {len(wanted)}"
            + (f"; {missing[0]!r} is missing" if missing else "")
            + (f"; {extra[0]!r} does not belong to the problem" if extra else "")
        )
    if np.isnan(sampleset.record.energy).any():
        raise InvalidSampleSetError("the sample set has an energy that is NaN")
    low = 0 if sampleset.vartype is dimod.BINARY else -1
    wrong = (samples != low) & (samples != 1)
    if wrong.any():
        raise InvalidSampleSetError(
            f"the sample set has the value {samples[wrong][0]}, but must have {low} and 1"
        )
    ordered = samples[:, [columns[label] for label in wanted]]
    spins: Spins = np.where(ordered == 1, np.int8(1), np.int8(-1))
    return spins


class Ranking:
    """Ranking of a neuron's reads by the objective.

    Args:
        bqms: models of the layer.
        layer: problems of the layer.
    """

    def __init__(self, bqms: GradientBQMs, layer: LayerProblem) -> None:
        self._bqms, self._layer = bqms, layer
        if bqms.objective == "quadratic":
            self._couplings = np.zeros((bqms.num_inputs, bqms.num_inputs))
            self._couplings[bqms.rows, bqms.columns] = bqms.values

    def best(self, neuron: int, reads: Spins) -> Spins:
        """Return the weights ``(n,)`` of lowest objective among ``(reads, n)``."""
        if self._bqms.objective == "quadratic":
            spins = reads.astype(np.float64)
            # The offset is left out: it is the same for all reads.
            products = spins @ self._couplings + self._bqms.fields[neuron]  # (reads, n)
            energies = (products * spins).sum(axis=1)  # (reads,)
        else:
            targets = np.repeat(self._layer.T[:, neuron : neuron + 1], len(reads), axis=1)
            energies = objective_values(self._layer.X, targets, reads, self._layer.options)
        best: Spins = reads[int(np.argmin(energies))]
        return best


@dataclass(frozen=True)
class Comparison:
    """Rows that a sampler found for a layer, compared with the linear minimiser sign(X^T t).

    Attributes:
        binary: the better row of the two for each neuron, int8 ``(m, n)``.
        before: objective of the linear minimiser, float64 ``(m,)``.
        found: objective of the rows that the sampler found, float64 ``(m,)``.
        after: objective of ``binary``, float64 ``(m,)``.
    """

    binary: Spins
    before: npt.NDArray[np.float64]
    found: npt.NDArray[np.float64]
    after: npt.NDArray[np.float64]


def linear_minimisers(layer: LayerProblem) -> Spins:
    """Return the rows sign(X^T t), int8 ``(m, n)``, which the native solver starts from."""
    return minimise(layer.X, layer.T, dataclasses.replace(layer.options, num_sweeps=0))


def never_worse(layer: LayerProblem, found: Spins, *, polish: bool) -> Comparison:
    """Return the better of the found rows ``(m, n)`` and the linear minimisers.

    Args:
        layer: problems of the layer.
        found: rows that a sampler found.
        polish: whether native descent follows. It makes as many sweeps as the layer's options say,
            and never raises the objective.
    """
    options = layer.options
    start = linear_minimisers(layer)
    before, reached = (objective_values(layer.X, layer.T, rows, options) for rows in (start, found))
    binary, after = np.where((reached < before)[:, None], found, start), np.minimum(reached, before)
    if polish:
        binary = minimise(layer.X, layer.T, dataclasses.replace(options, initial=binary))
        after = objective_values(layer.X, layer.T, binary, options)
    return Comparison(binary, before, reached, after)
