"""Working graphs of D-Wave's annealers: ideal ones, those of samplers, and their hashes."""

import hashlib
import json
import weakref
from collections.abc import Sequence
from typing import Any

import dwave.graphs
import networkx as nx
import numpy as np

from qpsbgd._checks import checked_choice

#: Shapes of the ideal graphs of Advantage, Advantage2 and D-Wave 2000Q.
SHAPES: dict[str, tuple[int, ...]] = {"pegasus": (16,), "zephyr": (12, 4), "chimera": (16, 16, 4)}

_hashes: "weakref.WeakKeyDictionary[nx.Graph, str]" = weakref.WeakKeyDictionary()


def ideal_graph(topology: str, shape: Sequence[int] | None = None) -> nx.Graph:
    """A graph without defects; frozen.

    Args:
        topology: ``"pegasus"``, ``"zephyr"`` or ``"chimera"``.
        shape: as D-Wave gives it; that of the largest machine of the kind by default.

    Example:
        >>> len(ideal_graph("pegasus", [2]))
        40
    """
    checked_choice("topology", topology, tuple(SHAPES))
    shape = SHAPES[topology] if shape is None else shape
    return nx.freeze(getattr(dwave.graphs, f"{topology}_graph")(*shape))


def working_graph(sampler: Any) -> nx.Graph:
    """The graph of a structured sampler, with what D-Wave's functions ask about lattices; frozen.

    Args:
        sampler: a dimod sampler with ``nodelist``, ``edgelist`` and ``properties["topology"]``.

    Raises:
        ValueError: it has none of these, or an unknown topology.
    """
    try:
        nodes, edges = sampler.nodelist, sampler.edgelist
        topology = sampler.properties["topology"]
        family, shape = topology["type"], topology["shape"]
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(
            f"{type(sampler).__name__} has no nodelist, edgelist and properties['topology'], but "
            "must be a structured sampler: a D-Wave solver or a mock of one"
        ) from error
    checked_choice("topology", family, tuple(SHAPES))
    make = getattr(dwave.graphs, f"{family}_graph")
    return nx.freeze(make(*shape, node_list=nodes, edge_list=edges))


def graph_hash(graph: nx.Graph) -> str:
    """SHA-256 of a working graph: its lattice, qubits and couplers; the same in every process.

    A frozen graph is looked at once, as it cannot change (``networkx.freeze``); what
    :func:`working_graph` and :func:`ideal_graph` return is frozen.
    """
    found = _hashes.get(graph)
    if found is not None:
        return found
    check_lattice(graph)
    keys = ("family", "rows", "columns", "tile", "labels")
    digest = hashlib.sha256(json.dumps([graph.graph[key] for key in keys]).encode())
    nodes = np.sort(np.array(graph.nodes, "<i8"))
    edges = np.sort(np.array(graph.edges, "<i8").reshape(-1, 2), axis=1)
    for array in (nodes, edges[np.lexsort(edges.T)]):
        digest.update(len(array).to_bytes(8, "little"))
        digest.update(array.tobytes())
    if nx.is_frozen(graph):
        _hashes[graph] = digest.hexdigest()
    return digest.hexdigest()


def check_lattice(graph: nx.Graph) -> None:
    family, labels = graph.graph.get("family"), graph.graph.get("labels")
    if family not in SHAPES or labels != "int":
        raise ValueError(
            f"graph has family {family!r} and labels {labels!r}, but must be a graph of "
            f"dwave.graphs of family {' or '.join(map(repr, SHAPES))} with labels 'int'"
        )


def describe(graph: nx.Graph) -> str:
    """A graph in an error's words."""
    return (
        f"a {graph.graph['family']} graph with {graph.graph['rows']} rows, {len(graph)} qubits "
        f"and {graph.number_of_edges()} couplers"
    )
