"""Ising problems without biases, of four kinds: E(s) = sum_{i<j} J_ij s_i s_j."""

from dataclasses import dataclass

import dimod
import networkx as nx
import numpy as np


@dataclass(frozen=True)
class Problem:
    """An Ising problem as lists of couplings.

    Attributes:
        name: name in the table.
        n: number of variables.
        rows, columns: int64 ``(m,)``, with ``rows < columns``.
        values: float64 ``(m,)``.
    """

    name: str
    n: int
    rows: np.ndarray
    columns: np.ndarray
    values: np.ndarray

    def energies(self, states):
        """Return the energies ``(k,)`` of states ``(k, n)`` of -1 and +1, in float64."""
        states = np.asarray(states, np.float64)
        assert states.shape[1:] == (self.n,)
        assert set(np.unique(states)) <= {-1.0, 1.0}
        return (states[:, self.rows] * states[:, self.columns]) @ self.values

    def bqm(self):
        """Return the problem as dimod's model."""
        couplings = (self.rows, self.columns, self.values)
        return dimod.BinaryQuadraticModel.from_numpy_vectors(
            np.zeros(self.n), couplings, 0.0, "SPIN"
        )

    def matrix(self):
        """Return the symmetric matrix J, float64 ``(n, n)`` with a diagonal of 0."""
        J = np.zeros((self.n, self.n))
        J[self.rows, self.columns] = J[self.columns, self.rows] = self.values
        return J


def _of_graph(name, graph, values):
    edges = np.sort(np.array(graph.edges), axis=1)
    return Problem(name, graph.number_of_nodes(), edges[:, 0], edges[:, 1], values)


def problems():
    """Return the four problems."""
    rng = np.random.default_rng(2026)
    made = []
    for n, kind in ((500, "normal"), (1000, "+-1")):
        rows, columns = np.triu_indices(n, 1)
        values = (
            rng.normal(size=len(rows)) if kind == "normal" else rng.choice([-1.0, 1.0], len(rows))
        )
        made.append(Problem(f"dense {kind}, n = {n}", n, rows, columns, values))
    graph = nx.convert_node_labels_to_integers(nx.grid_2d_graph(50, 50, periodic=True))
    made.append(
        _of_graph("torus +-1, n = 2500", graph, rng.choice([-1.0, 1.0], graph.number_of_edges()))
    )
    graph = nx.random_regular_graph(6, 2000, seed=1)
    made.append(
        _of_graph("degree 6 normal, n = 2000", graph, rng.normal(size=graph.number_of_edges()))
    )
    return made
