"""Embeddings of problems in the working graphs of D-Wave's annealers: found, packed, verified.

A layer's neurons are problems on one graph with one set of couplings, so many copies of one
embedding side by side solve as many neurons in a call. Nothing that an embedder returns is
believed: :func:`check_packing` looks at every chain and coupling before a packing is handed out.
"""

import hashlib
import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeAlias

import minorminer
import networkx as nx

from qpsbgd._checks import checked_count, checked_seed, checked_time_limit
from qpsbgd.errors import UnembeddableError
from qpsbgd.hardware.graphs import (
    check_lattice,
    describe,
    graph_hash,
    ideal_graph,
    working_graph,
)
from qpsbgd.hardware.packing import pack_windows
from qpsbgd.hardware.windows import largest_clique

__all__ = [
    "Embedding",
    "Packing",
    "UnembeddableError",
    "check_packing",
    "graph_hash",
    "ideal_graph",
    "pack_cliques",
    "pack_graph",
    "working_graph",
]

Embedding: TypeAlias = Mapping[int, tuple[int, ...]]
Edges: TypeAlias = Iterable[tuple[int, int]]

#: Seconds for a sparse packing where the caller names none.
DEFAULT_TIMEOUT = 60.0


@dataclass(frozen=True)
class Packing:
    """Disjoint copies of one source graph in a working graph.

    Attributes:
        num_variables: of the source graph, 0 .. num_variables - 1.
        embeddings: a dict of chains a copy, short chains and few qubits first; qubits of a chain
            are in ascending order.
        graph_hash: :func:`graph_hash` of the working graph.
        graph_id: what the caller calls it; empty where nobody did.
    """

    num_variables: int
    embeddings: tuple[dict[int, tuple[int, ...]], ...]
    graph_hash: str
    graph_id: str = ""

    @property
    def num_copies(self) -> int:
        """Problems that one call can take."""
        return len(self.embeddings)

    @cached_property
    def num_qubits(self) -> int:
        """Of all chains of all copies."""
        return sum(len(chain) for copy in self.embeddings for chain in copy.values())

    @cached_property
    def longest_chain(self) -> int:
        """Qubits of the longest chain."""
        return max(len(chain) for copy in self.embeddings for chain in copy.values())

    @cached_property
    def digest(self) -> str:
        """SHA-256 of all chains: equal for equal embeddings in equal order."""
        chains = [[copy[v] for v in range(self.num_variables)] for copy in self.embeddings]
        return hashlib.sha256(json.dumps(chains).encode()).hexdigest()


def pack_cliques(graph: nx.Graph, n: int, *, max_copies: int | None = None) -> Packing:
    """As many disjoint embeddings of a complete graph as are found; the same for the same graph.

    Takes seconds on a graph of thousands of qubits: :class:`~qpsbgd.hardware.cache.EmbeddingCache`
    keeps what was found.

    Args:
        graph: of :func:`working_graph` or :func:`ideal_graph`.
        n: variables.
        max_copies: no more than these.

    Raises:
        UnembeddableError: not one embedding was found.
        ValueError: a graph that is no lattice of D-Wave's with integer labels.

    Example:
        >>> packing = pack_cliques(ideal_graph("zephyr", [2, 4]), 8)
        >>> packing.num_copies, packing.longest_chain
        (8, 2)
    """
    check_lattice(graph)
    checked_count("n", n, 1)
    enough = len(graph) if max_copies is None else checked_count("max_copies", max_copies, 1)
    copies: list[dict[int, tuple[int, ...]]] = []
    if n == 1:
        copies = [{0: (qubit,)} for qubit in sorted(graph.nodes)]
    elif n == 2:
        copies = [{0: (a,), 1: (b,)} for a, b in _matching(graph)]
    elif n <= len(graph):
        copies = pack_windows(graph, n, enough)
    if not copies:
        largest = largest_clique(graph) if len(graph) else 0
        raise UnembeddableError(
            f"a clique of {n} variables does not fit into {describe(graph)}: "
            f"the largest one found has {largest}"
        )
    return _checked_packing(graph, copies[:enough], n, "all pairs")


def pack_graph(
    graph: nx.Graph,
    edges: Edges,
    num_variables: int,
    *,
    max_copies: int | None = None,
    timeout: float = DEFAULT_TIMEOUT,
    seed: int = 0,
) -> Packing:
    """Disjoint embeddings of a sparse graph, found by minorminer one after the other.

    Args:
        graph: of :func:`working_graph` or :func:`ideal_graph`.
        edges: pairs of variables, each less than ``num_variables``.
        num_variables: at least 1. Variables without an edge get a qubit each.
        max_copies: no more than these.
        timeout: seconds in all. As long as it does not end the search, the same arguments give
            the same packing.
        seed: integer in ``[0, 2**31)``.

    Raises:
        UnembeddableError: not one embedding was found.
        ValueError: an impossible argument.
    """
    check_lattice(graph)
    checked_count("num_variables", num_variables, 1)
    checked_seed(seed)
    pairs = source_edges(edges, num_variables)
    enough = len(graph) if max_copies is None else checked_count("max_copies", max_copies, 1)
    end = time.monotonic() + checked_time_limit(timeout)
    alone = sorted(set(range(num_variables)).difference(*pairs))
    # In order: what minorminer finds depends on it.
    left = nx.Graph()
    left.add_nodes_from(sorted(graph.nodes))
    left.add_edges_from(sorted((min(edge), max(edge)) for edge in graph.edges))
    copies: list[dict[int, tuple[int, ...]]] = []
    while len(copies) < enough and len(left) >= num_variables:
        seconds = end - time.monotonic()
        if seconds <= 0:
            break
        # Another seed each time: a failure on the same qubits would be the same failure.
        chains = {}
        if pairs:
            found = minorminer.find_embedding(
                pairs, left, random_seed=seed + len(copies), timeout=seconds, threads=1
            )
            chains = {v: tuple(sorted(chain)) for v, chain in found.items()}
            if not chains:
                break
        left.remove_nodes_from([qubit for chain in chains.values() for qubit in chain])
        if len(left) < len(alone):
            break
        spare = sorted(left.nodes)[: len(alone)]
        chains.update((v, (qubit,)) for v, qubit in zip(alone, spare, strict=True))
        left.remove_nodes_from(spare)
        copies.append(dict(sorted(chains.items())))
    if not copies:
        raise UnembeddableError(
            f"no embedding of {num_variables} variables and {len(pairs)} couplings in "
            f"{describe(graph)} was found within {timeout} s"
        )
    return _checked_packing(graph, copies, num_variables, pairs)


def source_edges(edges: Edges, num_variables: int) -> list[tuple[int, int]]:
    """Pairs of variables in order, each once.

    Raises:
        ValueError: a variable with itself, or one that is out of range.
    """
    pairs = sorted({(min(edge), max(edge)) for edge in edges})
    for a, b in pairs:
        if not 0 <= a < b < num_variables:
            raise ValueError(
                f"edge is {(a, b)}, but must join two different variables in [0, {num_variables})"
            )
    return pairs


def _matching(graph: nx.Graph) -> list[tuple[int, int]]:
    """Couplers without a qubit in common, so many that no other can be added."""
    matched: set[int] = set()
    couplers = []
    for a, b in sorted((min(edge), max(edge)) for edge in graph.edges):
        if a not in matched and b not in matched:
            matched |= {a, b}
            couplers.append((a, b))
    return couplers


def _checked_packing(
    graph: nx.Graph,
    copies: list[dict[int, tuple[int, ...]]],
    num_variables: int,
    edges: Edges | Literal["all pairs"],
) -> Packing:
    """A packing of copies in order of their quality."""

    def quality(copy: dict[int, tuple[int, ...]]) -> tuple[int, ...]:
        lengths = [len(chain) for chain in copy.values()]
        return max(lengths), sum(lengths), *copy[0]

    packing = Packing(num_variables, tuple(sorted(copies, key=quality)), graph_hash(graph))
    check_packing(packing, graph, edges)
    return packing


def check_packing(
    packing: Packing, graph: nx.Graph, edges: Edges | Literal["all pairs"] = "all pairs"
) -> None:
    """See that a packing is what it should be.

    Args:
        packing: to be looked at.
        graph: the working graph.
        edges: of the source graph.

    Raises:
        ValueError: no copy at all; a copy that has not the variables ``0 .. num_variables - 1``; a
            chain that is empty, in pieces or of qubits that do not exist or are taken; two
            variables that share an edge and no coupler.
    """
    n = packing.num_variables
    if not packing.embeddings:
        raise ValueError("a packing has no copies, but must have one or more")
    wanted = None if edges == "all pairs" else set(source_edges(edges, n))
    taken: set[int] = set()
    for number, copy in enumerate(packing.embeddings):
        if copy.keys() != set(range(n)):
            raise ValueError(
                f"copy {number} has variables {sorted(copy)}, but must have 0 .. {n - 1}"
            )
        owner: dict[int, int] = {}
        for variable, chain in copy.items():
            name = f"chain {chain} of variable {variable} in copy {number}"
            if not chain:
                raise ValueError(f"{name} is empty, but must have a qubit")
            for qubit in chain:
                if qubit not in graph:
                    raise ValueError(f"{name} has qubit {qubit}, which the graph has not")
                if qubit in taken:
                    raise ValueError(f"{name} has qubit {qubit}, which another place has, too")
                taken.add(qubit)
                owner[qubit] = variable
            if not _connected(chain, graph):
                raise ValueError(f"{name} is in pieces, but must be connected")
        coupled = {
            (variable, owner[other])
            for qubit, variable in owner.items()
            for other in graph.adj[qubit]
            if other in owner and variable < owner[other]
        }
        if len(coupled) == n * (n - 1) // 2:
            continue
        every = wanted or ({(a, b) for b in range(n) for a in range(b)} if wanted is None else ())
        missing = sorted(set(every) - coupled)
        if missing:
            a, b = missing[0]
            raise ValueError(f"copy {number} has no coupler between variables {a} and {b}")


def _connected(chain: tuple[int, ...], graph: nx.Graph) -> bool:
    rest, border = set(chain[1:]), [chain[0]]
    while border and rest:
        near = rest.intersection(graph.adj[border.pop()])
        rest -= near
        border += near
    return not rest
