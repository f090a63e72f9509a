"""Working graphs of D-Wave's annealers: ideal ones, those of samplers, and their hashes."""

import hashlib
import json
import weakref
from collections.abc import Sequence
from typing import Any

import dwave.graphs
import networkx as nx
import numpy as np

from qpsbgd._checks.choices import checked_choice

#: Shapes of the ideal graphs of Advantage, Advantage2 and D-Wave 2000Q.
SHAPES: dict[str, tuple[int, ...]] = {"pegasus": (16,), "zephyr": (12, 4), "chimera": (16, 16, 4)}

_hashes: "weakref.WeakKeyDictionary[nx.Graph, str]" = weakref.WeakKeyDictionary()


def ideal_graph(topology: str, shape: Sequence[int] | None = None) -> nx.Graph:
    """Return a frozen graph without defects.

    Args:
        topology: ``"pegasus"``, ``"zephyr"`` or ``"chimera"``.
        shape: numbers that D-Wave describes the lattice by, such as ``(16,)`` for P16; None for
            the shape of the largest machine of the topology.

    Raises:
        ValueError: the topology is none of the three.

    Example:
        >>> from qpsbgd.hardware.embedding import ideal_graph
        >>> len(ideal_graph("pegasus", [2]))
        40
    """
    checked_choice("topology", topology, tuple(SHAPES))
    shape = SHAPES[topology] if shape is None else shape
    return nx.freeze(getattr(dwave.graphs, f"{topology}_graph")(*shape))


def working_graph(sampler: Any) -> nx.Graph:
    """Return the graph of a structured sampler, frozen.

    The graph has the attributes by which D-Wave's functions recognise a lattice.

    Args:
        sampler: dimod sampler with ``nodelist``, ``edgelist`` and ``properties["topology"]``.

    Raises:
        ValueError: the sampler lacks one of these, its topology is unknown, or its qubits and
            couplers are not those of a lattice of its shape.

    Example:
        >>> from qpsbgd.hardware import mock_annealer
        >>> from qpsbgd.hardware.embedding import working_graph
        >>> len(working_graph(mock_annealer("chimera", (2, 2, 4))))
        32
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
    try:
        # minorminer ends the process for couplers that the lattice does not have.
        graph = make(
            *shape, node_list=nodes, edge_list=edges, check_node_list=True, check_edge_list=True
        )
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"{type(sampler).__name__} has the topology {family} {shape!r}, but its qubits and "
            f"couplers do not fit that shape: {error}"
        ) from error
    return nx.freeze(graph)


def graph_hash(graph: nx.Graph) -> str:
    """Return the SHA-256 of a working graph, which is the same in every process.

    It covers the lattice, the qubits and the couplers. The hash of a frozen graph is computed once;
    that of a graph that can change is computed at each call. :func:`working_graph` and
    :func:`ideal_graph` return frozen graphs.

    Raises:
        ValueError: the graph is no lattice of D-Wave's with integer labels.

    Example:
        >>> from qpsbgd.hardware.embedding import graph_hash, ideal_graph
        >>> graph_hash(ideal_graph("zephyr", [2, 4])) == graph_hash(ideal_graph("zephyr", [2, 4]))
        True
    """
    known = _hashes.get(graph)
    if known is not None:
        return known
    check_lattice(graph)
    keys = ("family", "rows", "columns", "tile", "labels")
    digest = hashlib.sha256(json.dumps([graph.graph[key] for key in keys]).encode())
    nodes = np.sort(np.array(graph.nodes, "<i8"))
    edges = np.sort(np.array(graph.edges, "<i8").reshape(-1, 2), axis=1)  # (couplers, 2)
    for array in (nodes, edges[np.lexsort(edges.T)]):
        digest.update(len(array).to_bytes(8, "little"))
        digest.update(array.tobytes())
    if nx.is_frozen(graph):
        _hashes[graph] = digest.hexdigest()
    return digest.hexdigest()


def check_lattice(graph: nx.Graph) -> None:
    """Raise ValueError where a graph is no lattice of D-Wave's with integer labels."""
    family, labels = graph.graph.get("family"), graph.graph.get("labels")
    if family not in SHAPES or labels != "int":
        raise ValueError(
            f"graph has family {family!r} and labels {labels!r}, but must be a graph of "
            f"dwave.graphs of family {' or '.join(map(repr, SHAPES))} with labels 'int'"
        )


def describe(graph: nx.Graph) -> str:
    """Return a description of a lattice for error messages."""
    return (
        f"a {graph.graph['family']} graph with {graph.graph['rows']} rows, {len(graph)} qubits "
        f"and {graph.number_of_edges()} couplers"
    )
