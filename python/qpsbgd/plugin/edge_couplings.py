"""Couplings of a batch from the quadratic biases of a graph's edges."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from qpsbgd import _core
from qpsbgd.samplers.batch.sparse import SparseCouplings


class EdgeCouplings:
    """The pairs of variables that the edges of a graph couple.

    A later edge replaces an equal one, and the biases of ``(u, v)`` and ``(v, u)`` add up, as in
    the dicts that dimod takes.

    Args:
        num_nodes: number of nodes n.
        first: first node of each edge, ``(k,)``.
        second: second node of each edge, ``(k,)``.

    Raises:
        ValueError: an edge between a node and itself.
    """

    def __init__(self, num_nodes: int, first: Sequence[int], second: Sequence[int]) -> None:
        tails, heads = np.array(first, np.intp), np.array(second, np.intp)
        if (tails == heads).any():
            at = int(np.flatnonzero(tails == heads)[0])
            raise ValueError(f"edges[{at}] connects node {tails[at]} with itself")
        self._num_nodes = num_nodes
        _, last = np.unique((tails * num_nodes + heads)[::-1], return_index=True)
        self._edges = len(tails) - 1 - last  # of equal edges the last one alone
        low, high = np.minimum(tails, heads), np.maximum(tails, heads)
        keys, self._pair_of_edge = np.unique(
            (low * num_nodes + high)[self._edges], return_inverse=True
        )
        self._rows, self._columns = keys // max(1, num_nodes), keys % max(1, num_nodes)
        #: Place of each entry of a matrix among the pairs; the place behind them is a zero.
        self._places = np.full((num_nodes, num_nodes), len(keys), np.intp)
        places = np.arange(len(keys))
        self._places[self._rows, self._columns] = self._places[self._columns, self._rows] = places
        form = _core.better_form(num_nodes, len(keys))
        self._is_sparse = form is _core.Form.sparse

    def of_biases(self, quadratic: npt.NDArray[Any]) -> Any:
        """Return couplings for :func:`qpsbgd.sample_batch`.

        Args:
            quadratic: bias of each edge in each problem, float32 or float64 ``(B, k)``.

        Returns:
            A matrix ``(n, n)`` if all problems have the same biases, else matrices ``(B, n, n)``;
            or the pairs of variables if these are expected to be faster.
        """
        is_shared = len(quadratic) > 1 and bool((quadratic[1:] == quadratic[0]).all())
        if is_shared:
            quadratic = quadratic[:1]
        values = np.zeros((len(quadratic), len(self._rows) + 1), quadratic.dtype)
        if len(self._edges) == len(self._rows):
            values[:, self._pair_of_edge] = quadratic[:, self._edges]
        else:
            np.add.at(values.T, self._pair_of_edge, quadratic[:, self._edges].T)
        if self._is_sparse:
            pairs = np.ascontiguousarray(values[:, :-1], np.float64)
            rows, columns = self._rows.astype(np.uint32), self._columns.astype(np.uint32)
            return SparseCouplings(rows, columns, pairs[0] if is_shared else pairs)
        J = values[:, self._places]  # (B, n, n)
        return J[0] if is_shared else J
