"""Packings of complete graphs from translated shapes.

The search has three steps. *Harvest*: go through the windows of a working graph and embed a clique
in the qubits that are still free. The gaps between copies make the embedder find many shapes. Small
cliques take the shapes that minorminer finds in a tile instead, which have fewer qubits.
*Selection*: put every shape into every window and choose disjoint places by local search.
*Filling*: embed cliques in the qubits that the selection leaves.
"""

import time
from collections.abc import Sequence

import networkx as nx
import numpy as np
import numpy.typing as npt

from qpsbgd.hardware.embedding.copies import Chains
from qpsbgd.hardware.embedding.selection import Selection
from qpsbgd.hardware.embedding.windows import Place, Shape, Windows, smallest_size

Bools = npt.NDArray[np.bool_]

#: A harvest searches at most SEARCH_LIMIT / (qubits of the tile)^2 windows, because the time of the
#: embedder grows with that square.
SEARCH_LIMIT = 50_000_000
#: A selection takes no further shapes beyond this number of candidates. The limit costs at most two
#: percent of the copies.
CANDIDATE_LIMIT = 20_000
#: Largest number of variables for which a selection takes shapes of minorminer's: they have up to a
#: third fewer qubits, and finding them takes less than a second.
COMPACT_LIMIT = 10
#: Number of searches for such shapes.
NUM_COMPACT = 200
#: Number of exchanges that a selection tries. The first 10,000 find 98 to 99 % of the copies.
NUM_STEPS = 30_000


def pack_tiles(graph: nx.Graph, num_variables: int, enough: int, end: float) -> list[Chains]:
    """Return up to ``enough`` disjoint embeddings of a clique of three variables or more.

    Args:
        graph: working graph.
        num_variables: number of variables of a copy.
        enough: number of copies at which the search ends.
        end: value of :func:`time.monotonic` at which the search ends once it has a copy.
    """
    rows = max(graph.graph["rows"], graph.graph["columns"])
    size = smallest_size(graph, num_variables)
    while True:
        windows = Windows(graph, size, num_variables)
        free = windows.qubits_exist.copy()
        embeddings = _pack(windows, free, enough, end) if windows.hold_ideally else []
        next_size = min(rows, size + 1 + size // 8)
        if embeddings and len(embeddings) < enough and not windows.ideal and size < rows:
            # A copy may need a larger window to go round defects.
            windows = Windows(graph, next_size, num_variables)
            further = _harvest(windows, free, windows.by_rows(), enough - len(embeddings), end)
            embeddings += [windows.embedding(place) for place in further]
        if embeddings or size == rows:
            return embeddings
        size = next_size


def _pack(windows: Windows, free: Bools, enough: int, end: float) -> list[Chains]:
    """Take the three steps in windows of one size; mark the qubits used in ``free``."""
    harvests = []
    # Neither order is always better, and the shapes of both together make the best selections.
    for order in (windows.by_rows(), windows.by_diagonals()):
        harvests.append(_harvest(windows, windows.qubits_exist.copy(), order, enough, end))
        if len(harvests[-1]) == enough or time.monotonic() >= end:
            break
    harvests.sort(key=len, reverse=True)
    if not harvests[0]:
        return []
    places = harvests[0]
    if len(places) < enough and time.monotonic() < end:
        places = _select(windows, harvests, enough)
    for place in places:
        free[windows.qubits(place)] = False
    places += _harvest(windows, free, windows.by_rows(), enough - len(places), end)
    return [windows.embedding(place) for place in places]


def _harvest(
    windows: Windows, free: Bools, order: Sequence[int], enough: int, end: float
) -> list[Place]:
    """Embed cliques in one window after the other; mark the qubits used in ``free``."""
    places: list[Place] = []
    num_windows = max(2, SEARCH_LIMIT // windows.images.shape[1] ** 2)
    if num_windows < len(order):
        order = [order[i * len(order) // num_windows] for i in range(num_windows)]
    for window in order:
        if places and time.monotonic() >= end:
            break
        while len(places) < enough:
            shape = windows.find(window, free)
            if shape is None:
                break
            places.append(Place(window, shape))
            free[windows.qubits(places[-1])] = False
    return places


def _select(windows: Windows, harvests: list[list[Place]], enough: int) -> list[Place]:
    """Return disjoint places of the harvested shapes, at least as many as the first harvest has."""
    counts: dict[Shape, int] = {}
    for place in (place for harvest in harvests for place in harvest):
        counts[place.shape] = counts.get(place.shape, 0) + 1
    places = list(harvests[0])
    known = {windows.qubits(place).tobytes() for place in places}
    shapes: list[Shape] = sorted(counts, key=lambda shape: -counts[shape])
    limit, num_steps = CANDIDATE_LIMIT, NUM_STEPS
    if windows.num_variables <= COMPACT_LIMIT:
        shapes = windows.compact_shapes(NUM_COMPACT) + shapes
        # On a small graph most candidates overlap, and an exchange visits all that do.
        limit = min(limit, 100 * len(harvests[0]))
        num_steps = min(num_steps, 200 * len(harvests[0]))
    for shape in shapes:
        for place in windows.places(shape):
            key = windows.qubits(place).tobytes()
            if key not in known:
                known.add(key)
                places.append(place)
        if len(places) > limit:
            break
    selection = Selection([windows.qubits(place) for place in places])
    for member in range(len(harvests[0])):
        selection.add(member)
    selection.improve(num_steps, enough)
    return [places[member] for member in sorted(selection.members)]
