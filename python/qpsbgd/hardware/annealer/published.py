"""Machines with as many working qubits and couplers as D-Wave publishes for its annealers.

D-Wave's documentation gives the numbers for each system; which qubits and couplers work is known to
the service only. Here they are drawn at random.
"""

from dataclasses import dataclass
from typing import Any

import networkx as nx
import numpy as np
from dwave.system.testing import MockDWaveSampler

from qpsbgd._checks.choices import checked_choice
from qpsbgd.hardware.annealer.mock import mock_annealer
from qpsbgd.hardware.embedding import ideal_graph


@dataclass(frozen=True)
class Counts:
    """Published counts of a system.

    Attributes:
        system: name of the system.
        shape: shape of its graph.
        num_qubits: working qubits.
        num_couplers: working couplers.
    """

    system: str
    shape: tuple[int, ...]
    num_qubits: int
    num_couplers: int


#: Counts of one system of each topology.
PUBLISHED = {
    "pegasus": Counts("Advantage", (16,), 5612, 40088),
    "zephyr": Counts("Advantage2", (12, 4), 4512, 40455),
    "chimera": Counts("2000Q", (16, 16, 4), 2041, 5974),
}


def published_annealer(
    topology: str = "pegasus", *, seed: int = 0, **options: Any
) -> MockDWaveSampler:
    """Return a mock of an annealer with as many qubits and couplers as D-Wave publishes.

    Args:
        topology: ``"pegasus"`` (Advantage), ``"zephyr"`` (Advantage2) or ``"chimera"`` (2000Q).
        seed: seed of the draw of the qubits and couplers that do not work, and of the answers.
        **options: other arguments of :func:`~qpsbgd.hardware.mock_annealer`.

    Raises:
        ValueError: the topology is unknown.

    Example:
        >>> from qpsbgd.hardware import published_annealer
        >>> annealer = published_annealer("zephyr")
        >>> len(annealer.nodelist), len(annealer.edgelist)
        (4512, 40455)
    """
    checked_choice("topology", topology, tuple(PUBLISHED))
    counts = PUBLISHED[topology]
    graph = working_graph_of(ideal_graph(topology, counts.shape), counts, seed)
    shape = "x".join(map(str, counts.shape))
    properties = {
        "chip_id": f"mock of {counts.system} ({topology} {shape}, {counts.num_qubits} qubits, "
        f"{counts.num_couplers} couplers)",
        "topology": {"type": topology, "shape": list(counts.shape)},
        "qubits": sorted(graph.nodes),
        "couplers": sorted(sorted(pair) for pair in graph.edges),
    }
    return mock_annealer(properties=properties, seed=seed, **options)


def working_graph_of(ideal: nx.Graph, counts: Counts, seed: int) -> nx.Graph:
    """Return a graph without the qubits and couplers that exceed the counts, drawn at random."""
    rng = np.random.default_rng(seed)
    nodes = sorted(ideal.nodes)
    while True:
        graph = nx.Graph(
            ideal.subgraph(rng.choice(nodes, counts.num_qubits, replace=False).tolist())
        )
        surplus = graph.number_of_edges() - counts.num_couplers
        # Which qubits are missing decides how many couplers are left.
        if surplus >= 0:
            break
    edges = sorted(tuple(sorted(pair)) for pair in graph.edges)
    graph.remove_edges_from([edges[i] for i in rng.choice(len(edges), surplus, replace=False)])
    return graph
