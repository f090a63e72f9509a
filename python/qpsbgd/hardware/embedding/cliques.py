"""Packings of complete graphs: as many disjoint clique embeddings as fit.

A search begins with translated shapes (:mod:`~qpsbgd.hardware.embedding.tiles`). Where these use
few of the qubits, minorminer also embeds copies in one region after the other, and the search takes
whichever has more copies. Rounds of improvement follow
(:mod:`~qpsbgd.hardware.embedding.repacking`).

Except for the time limit, all limits count steps and not seconds, so a graph has the same packing
on every machine that is fast enough.
"""

import random
import time
from dataclasses import replace

import networkx as nx

from qpsbgd._checks.numbers import checked_count, checked_time_limit
from qpsbgd.errors import UnembeddableError
from qpsbgd.hardware.embedding.copies import Chains, Packing, verified_packing
from qpsbgd.hardware.embedding.lattices import check_lattice, describe
from qpsbgd.hardware.embedding.repacking import Repacking
from qpsbgd.hardware.embedding.tiles import pack_tiles
from qpsbgd.hardware.embedding.windows import compact_size, large_clique, tile_of

#: Seconds that the search may take by default. It needs about ten on a graph of 5000 qubits.
CLIQUE_TIMEOUT = 60.0
#: Number of variables and length of chains up to which minorminer embeds within milliseconds.
_FILL_LIMIT = 24
_FILL_CHAIN = 4
#: Tiled copies are kept without a search for others if as many compact ones need this share of the
#: qubits.
_TILED_SHARE = 0.65


def pack_cliques(
    graph: nx.Graph,
    n: int,
    *,
    max_copies: int | None = None,
    effort: int = 1,
    timeout: float = CLIQUE_TIMEOUT,
    start: Packing | None = None,
) -> Packing:
    """Find disjoint embeddings of a complete graph, as many as the search finds.

    Equal graphs have equal packings, unless the timeout ends the search. The search takes seconds
    on a graph of thousands of qubits; :class:`~qpsbgd.hardware.EmbeddingCache` stores its result.

    Args:
        graph: working graph.
        n: number of variables.
        max_copies: upper limit of the number of copies; None for as many as fit.
        effort: number of rounds of improvement, at least 0. A round takes about three seconds.
        timeout: seconds after which the search ends once it has a copy.
        start: earlier packing of the same clique on the same graph. The search continues after the
            rounds that it has completed, and the result is the same as without the interruption.

    Raises:
        UnembeddableError: no embedding was found.
        ValueError: the graph is no lattice of D-Wave's with integer labels, or an argument is out
            of range.

    Example:
        >>> from qpsbgd.hardware.embedding import ideal_graph, pack_cliques
        >>> packing = pack_cliques(ideal_graph("zephyr", [2, 4]), 8)
        >>> packing.num_copies, packing.longest_chain
        (9, 2)
    """
    check_lattice(graph)
    checked_count("n", n, 1)
    checked_count("effort", effort, 0)
    enough = len(graph) if max_copies is None else checked_count("max_copies", max_copies, 1)
    end = time.monotonic() + checked_time_limit(timeout)
    if start is None:
        start = verified_packing(graph, _first_copies(graph, n, enough, end), n, "all pairs")
    packing = start
    while n > 2 and packing.effort < effort and packing.num_copies < enough:
        search = _repacking(graph, packing, end)
        rng = random.Random(packing.effort)
        if n <= _FILL_LIMIT and packing.longest_chain <= _FILL_CHAIN:
            search.fill(enough, rng)
        search.improve(enough, rng)
        # A round that the timeout ended is not complete, and a later call repeats it.
        completed = packing.effort + (not search.is_late)
        copies = list(search.copies.values())
        packing = replace(verified_packing(graph, copies, n, "all pairs"), effort=completed)
        if search.is_late:
            return packing
    return replace(packing, effort=max(effort, packing.effort))


def _first_copies(graph: nx.Graph, n: int, enough: int, end: float) -> list[Chains]:
    """Return at least one and at most ``enough`` copies.

    Raises:
        UnembeddableError: no embedding was found.
    """
    copies: list[Chains] = []
    if n == 1:
        copies = [{0: (qubit,)} for qubit in sorted(graph.nodes)]
    elif n == 2:
        copies = [{0: (a,), 1: (b,)} for a, b in _matching(graph)]
    elif n <= len(graph):
        copies = pack_tiles(graph, n, enough, end)[:enough]
        if copies and len(copies) < enough and n <= _FILL_LIMIT:
            copies = _refilled(graph, n, copies, enough, end)
    if not copies and len(graph):
        chains = large_clique(graph, n)
        if len(chains) < n:
            raise _unembeddable(graph, n, _largest_clique(graph, len(chains), n, end))
        copies = [chains]
    if not copies:
        raise _unembeddable(graph, n, 0)
    return copies[:enough]


def _refilled(
    graph: nx.Graph, n: int, tiled: list[Chains], enough: int, end: float
) -> list[Chains]:
    """Return copies that minorminer embeds one by one, or the tiled ones if there are more."""
    longest_chain = max(len(chain) for chains in tiled for chain in chains.values())
    least = compact_size(graph, n)
    if longest_chain > _FILL_CHAIN or len(tiled) * least > _TILED_SHARE * len(graph):
        return tiled
    search = Repacking(graph, n, longest_chain, least, end)
    search.fill(enough, random.Random(0))
    return max(tiled, list(search.copies.values()), key=len)


def _repacking(graph: nx.Graph, packing: Packing, end: float) -> Repacking:
    """Return a search that begins with the copies of a packing."""
    n = packing.num_variables
    least = min(sum(map(len, chains.values())) for chains in packing.embeddings)
    search = Repacking(graph, n, packing.longest_chain, least, end)
    for chains in packing.embeddings:
        search.add(chains)
    return search


def _largest_clique(graph: nx.Graph, least: int, n: int, end: float) -> int:
    """Return the number of variables, ``least`` or more, of the largest clique that is packed.

    A clique that D-Wave's embedder does not find in the whole graph may be found in its windows.
    """
    rows = max(graph.graph["rows"], graph.graph["columns"])
    most = min(n, 1 + len(large_clique(tile_of(graph, rows), n)))
    while least + 1 < most and time.monotonic() < end:
        middle = (least + most) // 2
        if pack_tiles(graph, middle, 1, end):
            least = middle
        else:
            most = middle
    return least


def _unembeddable(graph: nx.Graph, n: int, largest: int) -> UnembeddableError:
    return UnembeddableError(
        f"a clique of {n} variables does not fit into {describe(graph)}: "
        f"the largest one found has {largest}"
    )


def _matching(graph: nx.Graph) -> list[tuple[int, int]]:
    """Return couplers without a common qubit; every other coupler shares a qubit with them."""
    matched: set[int] = set()
    couplers = []
    for a, b in sorted((min(edge), max(edge)) for edge in graph.edges):
        if a not in matched and b not in matched:
            matched |= {a, b}
            couplers.append((a, b))
    return couplers
