"""Results of samplers as arrays."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

import dimod
import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class SampleArrays:
    """The states that a sampler found for a problem that was given as arrays.

    Attributes:
        states: int8 ``(R, n)`` of -1 and +1, or 0 and 1.
        energies: float64 ``(R,)``.
        num_occurrences: number of reads that a row stands for, int64 ``(R,)``.
        info: what ``SampleSet.info`` has after :meth:`sample` of the same sampler.
        vartype: ``"SPIN"`` or ``"BINARY"``.
        vectors: the other columns of a sample set, by name, ``(R,)`` each: ``num_restarts`` of
            tabu search, ``num_steps`` of descent.

    Example:
        >>> from qpsbgd import SteepestDescentSampler
        >>> J = [[0.0, -1.0], [-1.0, 0.0]]
        >>> result = SteepestDescentSampler().sample_arrays([0.5, 0.0], J, num_reads=3, seed=1)
        >>> result.states.shape, result.energies.shape
        ((3, 2), (3,))
    """

    states: npt.NDArray[np.int8]
    energies: npt.NDArray[np.float64]
    num_occurrences: npt.NDArray[np.int64]
    info: dict[str, Any]
    vartype: str
    vectors: dict[str, npt.NDArray[Any]] = field(default_factory=dict)

    def to_sampleset(self) -> dimod.SampleSet:
        """Return a dimod sample set over the variables 0, 1, ..., n - 1.

        Example:
            >>> from qpsbgd import SteepestDescentSampler
            >>> J = [[0.0, -1.0], [-1.0, 0.0]]
            >>> result = SteepestDescentSampler().sample_arrays([0.5, 0.0], J, seed=2)
            >>> print(result.to_sampleset().first.energy)
            -1.5
        """
        vectors = {"num_occurrences": self.num_occurrences, **self.vectors}
        labels = range(self.states.shape[1])
        return make_sampleset(
            self.states, labels, self.energies, self.vartype, vectors, dict(self.info)
        )


def make_sampleset(
    states: npt.NDArray[np.int8],
    labels: Sequence[Hashable],
    energies: npt.NDArray[np.float64],
    vartype: Any,
    vectors: dict[str, npt.NDArray[Any]],
    info: dict[str, Any],
) -> dimod.SampleSet:
    """Return ``dimod.SampleSet.from_samples`` of states, without its lists and sorting of labels.

    Args:
        states: ``(R, n)``.
        labels: labels of the columns; a range takes no memory.
        energies: ``(R,)``.
        vartype: vartype of the states.
        vectors: other columns, ``(R,)`` each; ``num_occurrences`` is 1 if it is not among them.
        info: information about all samples.
    """
    columns = {"energy": energies, "num_occurrences": np.ones(len(states), int), **vectors}
    kinds: list[Any] = [("sample", states.dtype, (states.shape[1],))]
    kinds += [(name, column.dtype, column.shape[1:]) for name, column in columns.items()]
    record = np.empty(len(states), kinds)  # filled faster than a recarray
    record["sample"] = states
    for name, column in columns.items():
        record[name] = column
    return dimod.SampleSet(record.view(np.recarray), labels, info, vartype)
