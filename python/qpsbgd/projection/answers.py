"""What samplers answer: checked, compared on the problem as it was asked, never worse than a start.

A sampler's own energies are not used. Whatever it was given (an embedded, scaled problem, a penalty
in place of a constraint), its answers are weights ``(n,)``, and the objective of those is computed
here.
"""

from dataclasses import dataclass
from typing import Any

import dimod
import numpy as np
import numpy.typing as npt

from qpsbgd.errors import InvalidSampleSetError
from qpsbgd.projection.layers import LayerProblem, project, projection_energy
from qpsbgd.projection.models import GradientBQMs

Spins = npt.NDArray[np.int8]


def checked_spins(sampleset: dimod.SampleSet, variables: npt.NDArray[np.integer[Any]]) -> Spins:
    """Samples as spins, int8 ``(reads, len(variables))``, one for each row of a sample set.

    Args:
        sampleset: of either vartype; waited for, where it is pending.
        variables: labels, integers, in the order of the columns to be returned.

    Raises:
        InvalidSampleSetError: no samples, variables other than those of the problem, values
            other than those of the vartype, or an energy that is NaN.
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
            f"the sampler's answer has {len(labels)} variables, but the problem {len(wanted)}"
            + (f"; {missing[0]!r} is missing" if missing else "")
            + (f"; {extra[0]!r} is none of its own" if extra else "")
        )
    if np.isnan(sampleset.record.energy).any():
        raise InvalidSampleSetError("the sampler's answer has an energy that is NaN")
    low = 0 if sampleset.vartype is dimod.BINARY else -1
    wrong = (samples != low) & (samples != 1)
    if wrong.any():
        raise InvalidSampleSetError(
            f"the sampler's answer has the value {samples[wrong][0]}, but must have {low} and 1"
        )
    ordered = samples[:, [columns[label] for label in wanted]]
    spins: Spins = np.where(ordered == 1, np.int8(1), np.int8(-1))
    return spins


class Ranking:
    """Finds the best of a neuron's reads.

    Args:
        bqms: of the layer.
        layer: the same problems.
        target_eps: of the sign objective.
        num_threads: as for :func:`qpsbgd.project`.
    """

    def __init__(
        self, bqms: GradientBQMs, layer: LayerProblem, target_eps: float, num_threads: int | None
    ) -> None:
        self._bqms, self._layer = bqms, layer
        self._sign: dict[str, Any] = {
            "objective": "sign", "target_eps": target_eps, "num_threads": num_threads
        }  # fmt: skip
        if bqms.objective == "quadratic":
            self._couplings = np.zeros((bqms.num_inputs, bqms.num_inputs))
            self._couplings[bqms.rows, bqms.columns] = bqms.values

    def best(self, neuron: int, reads: Spins) -> Spins:
        """Of weights ``(reads, n)`` those of least objective, ``(n,)``."""
        if self._bqms.objective == "quadratic":
            spins = reads.astype(np.float64)
            # (reads, n) @ (n, n) -> (reads, n); without the offset, which all have.
            energies = ((spins @ self._couplings + self._bqms.fields[neuron]) * spins).sum(axis=1)
        else:
            targets = np.repeat(self._layer.T[:, neuron : neuron + 1], len(reads), axis=1)
            energies = projection_energy(self._layer.X, targets, reads, **self._sign)
        best: Spins = reads[int(np.argmin(energies))]
        return best


@dataclass(frozen=True)
class Comparison:
    """What was found for a layer, against the linear minimiser that every solver could start from.

    Attributes:
        binary: int8 ``(m, n)``, row by row the better one.
        before: objective of the linear minimiser, float64 ``(m,)``.
        found: objective of what the sampler found, likewise.
        after: objective of ``binary``, likewise.
    """

    binary: Spins
    before: npt.NDArray[np.float64]
    found: npt.NDArray[np.float64]
    after: npt.NDArray[np.float64]


def never_worse(
    layer: LayerProblem,
    found: Spins,
    *,
    polish: bool,
    target_eps: float,
    num_threads: int | None = None,
) -> Comparison:
    """The better of found rows ``(m, n)`` and the linear minimisers; then descent, if asked for.

    Descent makes ``layer.num_sweeps`` sweeps, and changes nothing that is no improvement.
    """
    objective: dict[str, Any] = {
        **layer.minimised, "target_eps": target_eps, "num_threads": num_threads
    }  # fmt: skip
    start = project(layer.X, layer.T, num_sweeps=0, **objective)
    before, reached = (
        projection_energy(layer.X, layer.T, rows, **objective) for rows in (start, found)
    )
    binary, after = np.where((reached < before)[:, None], found, start), np.minimum(reached, before)
    if polish:
        binary = project(
            layer.X, layer.T, num_sweeps=layer.num_sweeps, initial=binary, seed=0, **objective
        )
        after = projection_energy(layer.X, layer.T, binary, **objective)
    return Comparison(binary, before, reached, after)
