"""Graphs of annealers with defects, for the tests of embeddings."""

import random


def damaged(graph, qubits=0.0, couplers=0.0, seed=0):
    """Return a copy without a share of its qubits, and then without a share of its couplers."""
    rng = random.Random(seed)
    graph = graph.copy()
    graph.remove_nodes_from(rng.sample(sorted(graph.nodes), round(qubits * len(graph))))
    edges = sorted(map(tuple, map(sorted, graph.edges)))
    graph.remove_edges_from(rng.sample(edges, round(couplers * len(edges))))
    return graph
