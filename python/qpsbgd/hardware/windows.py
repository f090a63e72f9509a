"""Clique embeddings in windows of a working graph, and what becomes of them when they are moved.

D-Wave's lattices repeat: an embedding found in a window is one in every other window whose qubits
and couplers are there. A *window* is the image of a small ideal lattice, the *tile*, and a *shape*
is an embedding in terms of the tile's nodes.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import dwave.graphs
import networkx as nx
import numpy as np
import numpy.typing as npt
from minorminer.busclique import busgraph_cache

Shape = tuple[tuple[int, ...], ...]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

#: Times that qubits at missing couplers are left out of a window.
NUM_REPAIRS = 3
#: Missing couplers in a window that are worth a repair: another embedding needs as many others.
MAX_REPAIRED = 4


class Place(NamedTuple):
    """A shape in one of the windows."""

    window: int
    shape: Shape


class _Cliques(busgraph_cache):
    """D-Wave's polynomial clique embedder without its cache on disk.

    That keeps the hundred graphs used last, as pickles in the user's data folder: thousands of
    windows would push out the user's own. Where couplers are missing it looks at one way around
    them instead of 64, each of which takes as long as an ideal graph.
    """

    def __init__(self, part: "_Part") -> None:
        super().__init__(part)
        self._graph.set_mask_bound(1)

    def _fetch_cache(
        self, dirname: str, compute: Callable[[], Any], force_write: bool = False
    ) -> Any:
        return compute()


class _Part:
    """What the embedder asks of a graph: a networkx graph takes longer to make than to embed in."""

    def __init__(self, attributes: dict[str, Any], nodes: list[int], edges: list[Any]) -> None:
        self.graph = attributes
        self._nodes, self._edges = nodes, edges

    def nodes(self) -> list[int]:
        return self._nodes

    def edges(self) -> list[Any]:
        return self._edges


def largest_clique(graph: nx.Graph) -> int:
    """Variables of the largest clique that the embedder finds in a whole graph."""
    part = _Part(graph.graph, sorted(graph.nodes), sorted(map(sorted, graph.edges)))
    return len(_Cliques(part).largest_clique())


class Windows:
    """All windows of one size on a working graph.

    Args:
        graph: Pegasus, Zephyr or Chimera, with integer labels.
        size: rows of the tile.
        num_variables: of the cliques looked for.

    Attributes:
        images: int64 ``(windows, nodes of the tile)``, the qubit a tile's node is in each window.
        nodes: int64 ``(nodes of the tile,)``, their labels.
        edges: int64 ``(edges of the tile, 2)``, as indices of ``nodes``.
        qubits_exist: bool ``(numbers,)``, which numbers are qubits of the graph.
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
        #: (windows, edges of the tile)
        self.coupled: Bools = (
            couplers[place] == wanted if len(couplers) else np.zeros(wanted.shape, bool)
        )
        self.ideal = bool(self.qubits_exist[self.images].all() and self.coupled.all())
        self._found: dict[bytes, Shape | None] = {}
        ideal = self._embedded(np.ones(len(nodes), bool))
        #: Fewer free qubits than this hold no clique. Chains in odd corners need up to a tenth less
        #: than those the embedder makes where it is free to choose.
        self.least = int(0.85 * sum(map(len, ideal))) if ideal else num_variables
        self.hold_ideally = ideal is not None

    def by_rows(self) -> list[int]:
        """Windows in order of their rows; of a row, those of one diagonal shift together."""
        offsets = self._offsets
        return sorted(range(len(offsets)), key=lambda i: (offsets[i][-2], offsets[i]))

    def by_diagonals(self) -> list[int]:
        """Windows from one corner of the graph to the opposite one."""
        offsets = self._offsets
        return sorted(range(len(offsets)), key=lambda i: (sum(offsets[i][-2:]), offsets[i]))

    def find(self, window: int, free: Bools) -> Shape | None:
        """A clique embedding in the free qubits of a window.

        At first the embedder is not told of missing couplers: most are not needed. Where some are,
        ends of them are left out and the embedder asked again, and in the last try told.

        Args:
            window: its number.
            free: bool ``(numbers,)``.
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
            while len(missing):
                ends, counts = np.unique(missing, return_counts=True)
                worst = ends[np.argmax(counts)]
                kept[worst] = False
                missing = missing[(missing != worst).all(axis=1)]
        kept = free[self.images[window]]
        return self._embedded(kept, self.coupled[window] & kept[self.edges].all(axis=1))

    def _embedded(self, kept: Bools, coupled: Bools | None = None) -> Shape | None:
        """A clique embedding in some of the tile's nodes, with all of their couplers or some."""
        # An ideal graph has the same few patterns over and over.
        key = np.packbits(kept if coupled is None else np.append(kept, coupled)).tobytes()
        if key not in self._found:
            edges = self.edges[kept[self.edges].all(axis=1) if coupled is None else coupled]
            part = _Part(self.tile.graph, self.nodes[kept].tolist(), self.nodes[edges].tolist())
            chains = _Cliques(part).find_clique_embedding(self.num_variables).values()
            shape = tuple(tuple(sorted(self._index[q] for q in chain)) for chain in chains)
            self._found[key] = shape or None
        return self._found[key]

    def _needed_and_missing(self, window: int, shape: Shape) -> Ints:
        """Couplers, ``(couplers, 2)`` of tile indices, that a shape needs and a window has not."""
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
        """The chain that each of the tile's nodes is in; -1 where in none."""
        chain_of = np.full(len(self.nodes), -1)
        for number, chain in enumerate(shape):
            chain_of[list(chain)] = number
        return chain_of

    def _couplers(self, shape: Shape) -> tuple[Ints, Ints]:
        """The edges within a shape, those of two chains together, and where each two begin."""
        ends = np.sort(self._chains(shape)[self.edges], axis=1)
        used = np.flatnonzero(ends[:, 0] >= 0)
        codes = ends[used] @ np.array([len(shape), 1])
        order = np.argsort(codes, kind="stable")
        return used[order], np.flatnonzero(np.diff(codes[order], prepend=-1))

    def qubits(self, place: Place) -> Ints:
        """All qubits of a placed shape."""
        nodes = [node for chain in place.shape for node in chain]
        return np.sort(self.images[place.window, nodes])

    def embedding(self, place: Place) -> dict[int, tuple[int, ...]]:
        """A placed shape as an embedding; short chains first."""
        image = self.images[place.window]
        chains = [tuple(sorted(image[list(chain)].tolist())) for chain in place.shape]
        return dict(enumerate(sorted(chains, key=lambda chain: (len(chain), chain))))

    def places(self, shape: Shape) -> Iterator[Place]:
        """A shape in all windows where it is a valid embedding."""
        chain_of = self._chains(shape)
        valid = self.qubits_exist[self.images[:, chain_of >= 0]].all(axis=1)  # (windows,)
        used, starts = self._couplers(shape)
        first, second = chain_of[self.edges[used[starts]]].T
        windows = np.flatnonzero(valid)
        coupled = self.coupled[np.ix_(windows, used)]
        # Two chains need one of their couplers. A chain has as many as it needs to be connected,
        # or so few more that to ask for all loses next to nothing.
        some = np.logical_or.reduceat(coupled, starts, axis=1)
        every = np.logical_and.reduceat(coupled, starts, axis=1)
        for window in windows[np.where(first == second, every, some).all(axis=1)].tolist():
            yield Place(window, shape)


def tile_of(graph: nx.Graph, size: int) -> nx.Graph:
    """The ideal lattice of the same family with so many rows."""
    family, tile = graph.graph["family"], graph.graph["tile"]
    if family == "chimera":
        rows, columns = (min(size, graph.graph[side]) for side in ("rows", "columns"))
        return dwave.graphs.chimera_graph(rows, columns, tile)
    if family == "zephyr":
        return dwave.graphs.zephyr_graph(size, tile)
    return dwave.graphs.pegasus_graph(size)


def smallest_size(graph: nx.Graph, num_variables: int) -> int:
    """Rows of the smallest tile that may hold a clique; those of the graph at most."""
    tile = graph.graph["tile"]
    if graph.graph["family"] == "pegasus":
        size = max(2, 1 - -num_variables // 12)
    elif graph.graph["family"] == "zephyr":
        size = max(1, -(-(num_variables + 2 * tile) // (4 * tile)))
    else:
        size = -(-num_variables // tile)
    rows: int = max(graph.graph["rows"], graph.graph["columns"])
    return min(size, rows)
