"""Clique embeddings in windows of a working graph, and their translation to other windows.

D-Wave's lattices are periodic: an embedding found in one window is valid in every other window that
has its qubits and couplers. A *window* is the image of a small ideal lattice, the *tile*. A *shape*
is an embedding in terms of the tile's nodes.
"""

import itertools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import dwave.graphs
import networkx as nx
import numpy as np
import numpy.typing as npt
from minorminer.busclique import busgraph_cache

from qpsbgd.hardware.embedding.copies import Chains, quick_embedding

Shape = tuple[tuple[int, ...], ...]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

#: Attempts to find a shape that avoids the missing couplers by leaving out qubits at their ends.
NUM_REPAIRS = 3
#: Largest number of missing couplers in an embedding that is repaired. With more, the repaired
#: embedding would lack about as many other couplers.
MAX_REPAIRED = 4


#: Number of searches for the size of a compact embedding.
NUM_COMPACT = 10


class Place(NamedTuple):
    """Shape in one of the windows."""

    window: int
    shape: Shape


class _Cliques(busgraph_cache):
    """D-Wave's polynomial clique embedder without its cache on disk.

    The cache holds the hundred graphs used last, as pickles in the user's data folder: thousands of
    windows would displace the user's own graphs. Where couplers are missing, this embedder tries
    one way around them instead of 64, each of which takes as long as an ideal graph; with
    ``is_thorough`` it tries all of them.
    """

    def __init__(self, part: "_Part", is_thorough: bool = False) -> None:
        super().__init__(part)
        if not is_thorough:
            self._graph.set_mask_bound(1)

    def _fetch_cache(
        self, dirname: str, compute: Callable[[], Any], force_write: bool = False
    ) -> Any:
        return compute()


class _Part:
    """Part of a graph with the three members that the embedder reads.

    It replaces a networkx graph, which takes longer to build than the embedding to find.
    """

    def __init__(self, attributes: dict[str, Any], nodes: list[int], edges: list[Any]) -> None:
        self.graph = attributes
        self._nodes, self._edges = nodes, edges

    def nodes(self) -> list[int]:
        return self._nodes

    def edges(self) -> list[Any]:
        return self._edges


def large_clique(graph: nx.Graph, num_variables: int) -> Chains:
    """Return an embedding of a clique of up to ``num_variables`` variables in a whole graph.

    It has fewer variables where D-Wave's embedder finds no larger clique, and none where the graph
    has no qubits.
    """
    num_variables = min(num_variables, len(graph))
    if not num_variables:
        return {}
    part = _Part(graph.graph, sorted(graph.nodes), sorted(map(sorted, graph.edges)))
    cliques = _Cliques(part, is_thorough=True)
    found = cliques.find_clique_embedding(num_variables) or cliques.largest_clique()
    shortest_first = sorted((tuple(sorted(chain)) for chain in found.values()), key=_length_first)
    return dict(enumerate(shortest_first[:num_variables]))


def _length_first(chain: tuple[int, ...]) -> tuple[int, tuple[int, ...]]:
    return len(chain), chain


class Windows:
    """All windows of one size on a working graph.

    Args:
        graph: Pegasus, Zephyr or Chimera, with integer labels.
        size: number of rows of the tile.
        num_variables: number of variables of the cliques to embed.

    Attributes:
        images: int64 ``(windows, nodes of the tile)``: the qubit of each tile node in each window.
        nodes: int64 ``(nodes of the tile,)``: labels of the tile's nodes.
        edges: int64 ``(edges of the tile, 2)``: edges of the tile as indices of ``nodes``.
        qubits_exist: bool ``(numbers,)``: whether a number is a qubit of the graph.
        ideal: whether no window has a defect.
        hold_ideally: whether a window without defects has room for one clique.
    """

    def __init__(self, graph: nx.Graph, size: int, num_variables: int) -> None:
        self.num_variables = num_variables
        self.tile = tile_of(graph, size)
        family = graph.graph["family"]
        nodes = sorted(self.tile.nodes)
        mappings = getattr(dwave.graphs, f"{family}_sublattice_mappings")(self.tile, graph)
        windows = [(mapping.offset, [mapping(node) for node in nodes]) for mapping in mappings]
        self._offsets = [offset for offset, _ in windows]
        self.images: Ints = np.array([image for _, image in windows], np.int64)
        self.nodes = np.array(nodes, np.int64)
        index = {node: i for i, node in enumerate(nodes)}
        self._index = index
        self.edges: Ints = np.array([(index[a], index[b]) for a, b in self.tile.edges], np.int64)
        num_qubits = max(int(self.images.max()), max(graph.nodes)) + 1
        self.qubits_exist: Bools = np.zeros(num_qubits, bool)
        self.qubits_exist[list(graph.nodes)] = True
        ends = np.sort(np.array(graph.edges, np.int64).reshape(-1, 2), axis=1)
        couplers = np.sort(ends @ np.array([num_qubits, 1]))
        wanted = np.sort(self.images[:, self.edges], axis=2) @ np.array([num_qubits, 1])
        place = np.searchsorted(couplers, wanted).clip(max=max(len(couplers) - 1, 0))
        #: Whether a coupler exists, (windows, edges of the tile).
        self.coupled: Bools = (
            couplers[place] == wanted if len(couplers) else np.zeros(wanted.shape, bool)
        )
        self.ideal = bool(self.qubits_exist[self.images].all() and self.coupled.all())
        self._shapes: dict[bytes, Shape | None] = {}
        ideal = self._embedded(np.ones(len(nodes), bool))
        #: A window with fewer free qubits than this is not searched. The factor is below 1 because
        #: embeddings in odd corners use up to a tenth fewer qubits than the one in a free window.
        self.least = int(0.85 * sum(map(len, ideal))) if ideal else num_variables
        self.hold_ideally = ideal is not None

    def by_rows(self) -> list[int]:
        """Return the windows row by row; in a row, windows of a diagonal follow each other."""
        offsets = self._offsets
        return sorted(range(len(offsets)), key=lambda i: (offsets[i][-2], offsets[i]))

    def by_diagonals(self) -> list[int]:
        """Return the windows from one corner of the graph to the opposite one."""
        offsets = self._offsets
        return sorted(range(len(offsets)), key=lambda i: (sum(offsets[i][-2:]), offsets[i]))

    def find(self, window: int, free: Bools) -> Shape | None:
        """Return a clique embedding in the free qubits of a window; None where none is found.

        The first attempts ignore missing couplers, because an embedding needs few of the couplers.
        Where it needs a missing one, an end of that coupler is left out in the next attempt. The
        last attempt gives the embedder only the couplers that exist.

        Args:
            window: number of the window.
            free: bool ``(numbers,)``: whether a number is a free qubit.
        """
        kept = free[self.images[window]]
        for _ in range(NUM_REPAIRS):
            if np.count_nonzero(kept) < self.least:
                return None
            shape = self._embedded(kept)
            if shape is None:
                return None
            missing = self._needed_and_missing(window, shape)
            if not len(missing):
                return shape
            if len(missing) > MAX_REPAIRED:
                break
            # Leave out the qubits with the most missing couplers first.
            while len(missing):
                ends, counts = np.unique(missing, return_counts=True)
                worst = ends[np.argmax(counts)]
                kept[worst] = False
                missing = missing[(missing != worst).all(axis=1)]
        kept = free[self.images[window]]
        return self._embedded(kept, self.coupled[window] & kept[self.edges].all(axis=1))

    def _embedded(self, kept: Bools, coupled: Bools | None = None) -> Shape | None:
        """Return a clique embedding in some nodes; ``coupled`` tells the edges that exist."""
        # Windows of an ideal graph repeat a few patterns of free nodes.
        key = np.packbits(kept if coupled is None else np.append(kept, coupled)).tobytes()
        if key not in self._shapes:
            edges = self.edges[kept[self.edges].all(axis=1) if coupled is None else coupled]
            part = _Part(self.tile.graph, self.nodes[kept].tolist(), self.nodes[edges].tolist())
            chains = _Cliques(part).find_clique_embedding(self.num_variables).values()
            shape = tuple(tuple(sorted(self._index[q] for q in chain)) for chain in chains)
            self._shapes[key] = shape or None
        return self._shapes[key]

    def _needed_and_missing(self, window: int, shape: Shape) -> Ints:
        """Return the couplers that a shape needs and a window lacks: tile indices ``(k, 2)``."""
        used, starts = self._couplers(shape)
        coupled = self.coupled[window, used]
        if coupled.all():
            return np.empty((0, 2), np.int64)
        within = self._chains(shape)[self.edges[used]]
        groups = np.repeat(
            np.logical_or.reduceat(coupled, starts), np.diff(starts, append=len(used))
        )
        missing: Ints = self.edges[used[~coupled & (~groups | (within[:, 0] == within[:, 1]))]]
        return missing

    def _chains(self, shape: Shape) -> Ints:
        """Return the chain of each tile node, -1 for nodes outside the shape."""
        chain_of = np.full(len(self.nodes), -1)
        for number, chain in enumerate(shape):
            chain_of[list(chain)] = number
        return chain_of

    def _couplers(self, shape: Shape) -> tuple[Ints, Ints]:
        """Return the edges within a shape, sorted by pairs of chains, and each pair's start."""
        ends = np.sort(self._chains(shape)[self.edges], axis=1)
        used = np.flatnonzero(ends[:, 0] >= 0)
        codes = ends[used] @ np.array([len(shape), 1])
        order = np.argsort(codes, kind="stable")
        return used[order], np.flatnonzero(np.diff(codes[order], prepend=-1))

    def compact_shapes(self, num_searches: int) -> list[Shape]:
        """Return the different shapes that minorminer finds in the tile, few qubits first."""
        return _compact_shapes(self.edges.tolist(), self.num_variables, num_searches)

    def qubits(self, place: Place) -> Ints:
        """Return all qubits of a placed shape in ascending order."""
        nodes = [node for chain in place.shape for node in chain]
        return np.sort(self.images[place.window, nodes])

    def embedding(self, place: Place) -> dict[int, tuple[int, ...]]:
        """Return a placed shape as an embedding, short chains first."""
        image = self.images[place.window]
        chains = [tuple(sorted(image[list(chain)].tolist())) for chain in place.shape]
        return dict(enumerate(sorted(chains, key=_length_first)))

    def places(self, shape: Shape) -> Iterator[Place]:
        """Yield a shape in every window where it is a valid embedding."""
        chain_of = self._chains(shape)
        valid = self.qubits_exist[self.images[:, chain_of >= 0]].all(axis=1)  # (windows,)
        used, starts = self._couplers(shape)
        first, second = chain_of[self.edges[used[starts]]].T
        windows = np.flatnonzero(valid)
        coupled = self.coupled[np.ix_(windows, used)]
        # Two chains need one of the couplers between them. A chain has hardly more couplers than it
        # needs to be connected, so requiring all of them loses next to no places.
        some = np.logical_or.reduceat(coupled, starts, axis=1)
        every = np.logical_and.reduceat(coupled, starts, axis=1)
        for window in windows[np.where(first == second, every, some).all(axis=1)].tolist():
            yield Place(window, shape)


def _compact_shapes(edges: list[Any], num_variables: int, num_searches: int) -> list[Shape]:
    """Return the different clique embeddings that minorminer finds, few qubits first."""
    pairs = list(itertools.combinations(range(num_variables), 2))
    shapes = set()
    for seed in range(num_searches):
        found = quick_embedding(pairs, edges, seed)
        if found:
            shapes.add(tuple(sorted(tuple(sorted(chain)) for chain in found.values())))
    return sorted(shapes, key=lambda shape: (sum(map(len, shape)), shape))


def compact_size(graph: nx.Graph, num_variables: int) -> int:
    """Return the number of qubits of a compact embedding in an ideal lattice of a graph's family.

    It is the number of variables where minorminer finds no embedding.
    """
    rows = min(1 + smallest_size(graph, num_variables), graph.graph["rows"])
    edges = sorted(map(sorted, tile_of(graph, rows).edges))
    shapes = _compact_shapes(edges, num_variables, NUM_COMPACT)
    return sum(map(len, shapes[0])) if shapes else num_variables


def tile_of(graph: nx.Graph, size: int) -> nx.Graph:
    """Return the ideal lattice of a graph's family with ``size`` rows."""
    family, tile = graph.graph["family"], graph.graph["tile"]
    if family == "chimera":
        rows, columns = (min(size, graph.graph[side]) for side in ("rows", "columns"))
        return dwave.graphs.chimera_graph(rows, columns, tile)
    if family == "zephyr":
        return dwave.graphs.zephyr_graph(size, tile)
    return dwave.graphs.pegasus_graph(size)


def smallest_size(graph: nx.Graph, num_variables: int) -> int:
    """Return the rows of the smallest tile that may hold a clique, at most the graph's rows."""
    tile = graph.graph["tile"]
    if graph.graph["family"] == "pegasus":
        size = max(2, 1 - -num_variables // 12)
    elif graph.graph["family"] == "zephyr":
        size = max(1, -(-(num_variables + 2 * tile) // (4 * tile)))
    else:
        size = -(-num_variables // tile)
    rows: int = max(graph.graph["rows"], graph.graph["columns"])
    return min(size, rows)
