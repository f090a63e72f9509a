"""Packings: disjoint copies of one source graph in a working graph, verified before use.

All neurons of a layer have problems on the same graph, so each copy of its embedding solves one
more neuron in a call. Every embedding is verified here, whether an embedder or a file supplied it.
"""

import hashlib
import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, TypeAlias

import minorminer
import networkx as nx

from qpsbgd._checks.numbers import checked_count, checked_seed, checked_time_limit
from qpsbgd.errors import UnembeddableError
from qpsbgd.hardware.embedding.lattices import check_lattice, describe, graph_hash

Embedding: TypeAlias = Mapping[int, tuple[int, ...]]
Chains: TypeAlias = dict[int, tuple[int, ...]]
Edges: TypeAlias = Iterable[tuple[int, int]]

#: Seconds that the search for a packing of a sparse graph may take by default.
DEFAULT_TIMEOUT = 60.0


@dataclass(frozen=True)
class Packing:
    """Disjoint copies of one source graph in a working graph.

    Attributes:
        num_variables: variables of the source graph, which are ``0 .. num_variables - 1``.
        embeddings: for each copy a dict from variables to chains. Copies with short chains and few
            qubits come first. The qubits of a chain are in ascending order.
        graph_hash: :func:`~qpsbgd.hardware.embedding.graph_hash` of the working graph.
        graph_id: the caller's name of the working graph; empty where there is none.
        effort: rounds of improvement that the search of :func:`pack_cliques` completed.

    Example:
        >>> from qpsbgd.hardware import Packing
        >>> packing = Packing(2, ({0: (0,), 1: (4,)}, {0: (1, 6), 1: (5,)}), graph_hash="")
        >>> packing.num_copies, packing.num_qubits, packing.longest_chain
        (2, 5, 2)
    """

    num_variables: int
    embeddings: tuple[Chains, ...]
    graph_hash: str
    graph_id: str = ""
    effort: int = 0

    @property
    def num_copies(self) -> int:
        """Number of problems that one call can take."""
        return len(self.embeddings)

    @cached_property
    def num_qubits(self) -> int:
        """Number of qubits in all chains of all copies."""
        return sum(len(chain) for copy in self.embeddings for chain in copy.values())

    @cached_property
    def longest_chain(self) -> int:
        """Number of qubits of the longest chain."""
        return max(len(chain) for copy in self.embeddings for chain in copy.values())

    @cached_property
    def digest(self) -> str:
        """SHA-256 of all chains: equal for equal embeddings in equal order."""
        chains = [[copy[v] for v in range(self.num_variables)] for copy in self.embeddings]
        return hashlib.sha256(json.dumps(chains).encode()).hexdigest()


def pack_graph(
    graph: nx.Graph,
    edges: Edges,
    num_variables: int,
    *,
    max_copies: int | None = None,
    timeout: float = DEFAULT_TIMEOUT,
    seed: int = 0,
) -> Packing:
    """Find disjoint embeddings of a sparse graph, one after the other, with minorminer.

    The same arguments give the same packing, unless the timeout ends the search.

    Args:
        graph: working graph.
        edges: pairs of variables, each variable less than ``num_variables``.
        num_variables: at least 1. A variable without an edge gets a qubit of its own.
        max_copies: upper limit of the number of copies; None for as many as fit.
        timeout: seconds for all copies together.
        seed: integer in ``[0, 2**31)``.

    Raises:
        UnembeddableError: no embedding was found.
        ValueError: an argument is out of range.

    Example:
        >>> from qpsbgd.hardware.embedding import ideal_graph, pack_graph
        >>> packing = pack_graph(ideal_graph("chimera", [2, 2, 4]), [(0, 1), (1, 2)], 3)
        >>> packing.num_copies > 2
        True
    """
    check_lattice(graph)
    checked_count("num_variables", num_variables, 1)
    checked_seed(seed)
    pairs = source_edges(edges, num_variables)
    enough = len(graph) if max_copies is None else checked_count("max_copies", max_copies, 1)
    end = time.monotonic() + checked_time_limit(timeout)
    isolated = sorted(set(range(num_variables)).difference(*pairs))
    # The result of minorminer depends on the order of nodes and edges.
    free = nx.Graph()
    free.add_nodes_from(sorted(graph.nodes))
    free.add_edges_from(sorted((min(edge), max(edge)) for edge in graph.edges))
    copies: list[Chains] = []
    while len(copies) < enough and len(free) >= num_variables:
        seconds = end - time.monotonic()
        if seconds <= 0:
            break
        chains: Chains = {}
        if pairs:
            # Each copy has its own seed: the seed of a search that failed would fail again.
            embedding = minorminer.find_embedding(
                pairs, free, random_seed=seed + len(copies), timeout=seconds, threads=1
            )
            chains = {v: tuple(sorted(chain)) for v, chain in embedding.items()}
            if not chains:
                break
        free.remove_nodes_from([qubit for chain in chains.values() for qubit in chain])
        if len(free) < len(isolated):
            break
        single_qubits = sorted(free.nodes)[: len(isolated)]
        chains.update((v, (qubit,)) for v, qubit in zip(isolated, single_qubits, strict=True))
        free.remove_nodes_from(single_qubits)
        copies.append(dict(sorted(chains.items())))
    if not copies:
        raise UnembeddableError(
            f"no embedding of {num_variables} variables and {len(pairs)} couplings in "
            f"{describe(graph)} was found within {timeout} s"
        )
    return verified_packing(graph, copies, num_variables, pairs)


def quick_embedding(
    pairs: list[tuple[int, int]], edges: list[Any], seed: int
) -> dict[int, list[int]]:
    """Return an embedding that minorminer finds at its first attempt, or an empty dict.

    Many short searches with different seeds find more good embeddings than one long search does.
    """
    found: dict[int, list[int]] = minorminer.find_embedding(
        pairs, edges, random_seed=seed, threads=1, tries=1,
        chainlength_patience=1, max_no_improvement=2,
    )  # fmt: skip
    return found


def source_edges(edges: Edges, num_variables: int) -> list[tuple[int, int]]:
    """Return the pairs of variables in ascending order, each pair once.

    Raises:
        ValueError: a pair joins a variable with itself, or a variable is out of range.
    """
    pairs = sorted({(min(edge), max(edge)) for edge in edges})
    for a, b in pairs:
        if not 0 <= a < b < num_variables:
            raise ValueError(
                f"edge is {(a, b)}, but must join two different variables in [0, {num_variables})"
            )
    return pairs


def verified_packing(
    graph: nx.Graph,
    copies: list[Chains],
    num_variables: int,
    edges: Edges | Literal["all pairs"],
) -> Packing:
    """Return a verified packing of copies, those with short chains and few qubits first."""

    def quality(copy: Chains) -> tuple[int, ...]:
        lengths = [len(chain) for chain in copy.values()]
        return max(lengths), sum(lengths), *copy[0]

    packing = Packing(num_variables, tuple(sorted(copies, key=quality)), graph_hash(graph))
    check_packing(packing, graph, edges)
    return packing


def check_packing(
    packing: Packing, graph: nx.Graph, edges: Edges | Literal["all pairs"] = "all pairs"
) -> None:
    """Verify that every copy embeds the source graph and that no two copies share a qubit.

    Args:
        packing: packing to verify.
        graph: working graph.
        edges: pairs of variables of the source graph.

    Raises:
        ValueError: the packing has no copies; the variables of a copy are not
            ``0 .. num_variables - 1``; a chain is empty, is not connected, or has a qubit that does
            not exist or is in use; or no coupler joins the chains of an edge.

    Example:
        >>> from qpsbgd.hardware.embedding import check_packing, ideal_graph, pack_cliques
        >>> graph = ideal_graph("chimera", [2, 2, 4])
        >>> check_packing(pack_cliques(graph, 4), graph)
    """
    n = packing.num_variables
    if not packing.embeddings:
        raise ValueError("a packing has no copies, but must have one or more")
    required = None if edges == "all pairs" else set(source_edges(edges, n))
    used: set[int] = set()
    for number, copy in enumerate(packing.embeddings):
        owner = _checked_chains(copy, number, n, graph, used)
        coupled = {
            (variable, owner[other])
            for qubit, variable in owner.items()
            for other in graph.adj[qubit]
            if other in owner and variable < owner[other]
        }
        if len(coupled) == n * (n - 1) // 2:
            continue
        if required is None:
            required = {(a, b) for b in range(n) for a in range(b)}
        missing = sorted(required - coupled)
        if missing:
            a, b = missing[0]
            raise ValueError(f"copy {number} has no coupler between variables {a} and {b}")


def _checked_chains(
    copy: Chains, number: int, n: int, graph: nx.Graph, used: set[int]
) -> dict[int, int]:
    """Verify the chains of a copy, add their qubits to ``used``, and return each qubit's variable.

    Raises:
        ValueError: the variables or a chain are not as :func:`check_packing` requires.
    """
    if copy.keys() != set(range(n)):
        raise ValueError(f"copy {number} has variables {sorted(copy)}, but must have 0 .. {n - 1}")
    owner: dict[int, int] = {}
    for variable, chain in copy.items():
        name = f"chain {chain} of variable {variable} in copy {number}"
        if not chain:
            raise ValueError(f"{name} is empty, but must have a qubit")
        for qubit in chain:
            if qubit not in graph:
                raise ValueError(f"{name} has qubit {qubit}, which the graph does not have")
            if qubit in used:
                raise ValueError(f"{name} has qubit {qubit}, which is already in use")
            used.add(qubit)
            owner[qubit] = variable
        if not _is_connected(chain, graph):
            raise ValueError(f"{name} is in pieces, but must be connected")
    return owner


def _is_connected(chain: tuple[int, ...], graph: nx.Graph) -> bool:
    unreached, border = set(chain[1:]), [chain[0]]
    while border and unreached:
        neighbours = unreached.intersection(graph.adj[border.pop()])
        unreached -= neighbours
        border += neighbours
    return not unreached
