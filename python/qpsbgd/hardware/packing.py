"""Disjoint clique embeddings, as many as fit.

Three steps. *Harvest*: go through the windows of a working graph and embed in the qubits that are
still free; the gaps between copies give the embedder reason to find many shapes. *Selection*: put
every shape everywhere, and choose disjoint ones by local search. *Filling*: embed in what is left.
"""

from collections.abc import Sequence

import networkx as nx
import numpy as np
import numpy.typing as npt

from qpsbgd.hardware.selection import Selection
from qpsbgd.hardware.windows import Place, Shape, Windows, smallest_size

Bools = npt.NDArray[np.bool_]
Chains = dict[int, tuple[int, ...]]

#: Windows looked into in one harvest, times the square of a tile's qubits, which the embedder's
#: time goes with. Counted, not timed: a graph has the same packing on every machine.
SEARCH_LIMIT = 50_000_000
#: A selection takes no further shapes beyond so many candidates; two percent of the copies at most.
CANDIDATE_LIMIT = 20_000
#: Exchanges tried in a selection. The first 10000 find all copies but one or two in a hundred.
NUM_STEPS = 30_000


def pack_windows(graph: nx.Graph, num_variables: int, enough: int) -> list[Chains]:
    """Disjoint embeddings of a clique of three variables or more.

    Args:
        graph: Pegasus, Zephyr or Chimera, with integer labels.
        num_variables: of the clique.
        enough: embeddings at which to stop.

    Returns:
        Up to ``enough`` embeddings; none where not one was found.
    """
    rows = max(graph.graph["rows"], graph.graph["columns"])
    size = smallest_size(graph, num_variables)
    while True:
        windows = Windows(graph, size, num_variables)
        free = windows.qubits_exist.copy()
        embeddings = _pack(windows, free, enough) if windows.hold_ideally else []
        next_size = min(rows, size + 1 + size // 8)
        if embeddings and len(embeddings) < enough and not windows.ideal and size < rows:
            # Around defects a copy may need more room.
            windows = Windows(graph, next_size, num_variables)
            rest = _harvest(windows, free, windows.by_rows(), enough - len(embeddings))
            embeddings += [windows.embedding(place) for place in rest]
        if embeddings or size == rows:
            return embeddings
        size = next_size


def _pack(windows: Windows, free: Bools, enough: int) -> list[Chains]:
    """The three steps in windows of one size; takes the qubits used out of ``free``."""
    harvests = []
    # Neither order is the better one, and shapes of both make better selections than those of one.
    for order in (windows.by_rows(), windows.by_diagonals()):
        harvests.append(_harvest(windows, windows.qubits_exist.copy(), order, enough))
        if len(harvests[-1]) == enough:
            return [windows.embedding(place) for place in harvests[-1]]
    harvests.sort(key=len, reverse=True)
    if not harvests[0]:
        return []
    places = _select(windows, harvests, enough)
    for place in places:
        free[windows.qubits(place)] = False
    places += _harvest(windows, free, windows.by_rows(), enough - len(places))
    return [windows.embedding(place) for place in places]


def _harvest(windows: Windows, free: Bools, order: Sequence[int], enough: int) -> list[Place]:
    """Embed in one window after the other; takes the qubits used out of ``free``."""
    places: list[Place] = []
    budget = max(2, SEARCH_LIMIT // windows.images.shape[1] ** 2)
    if budget < len(order):
        order = [order[i * len(order) // budget] for i in range(budget)]
    for window in order:
        while len(places) < enough:
            shape = windows.find(window, free)
            if shape is None:
                break
            places.append(Place(window, shape))
            free[windows.qubits(places[-1])] = False
    return places


def _select(windows: Windows, harvests: list[list[Place]], enough: int) -> list[Place]:
    """Disjoint places of the shapes that were found; at least as many as the first harvest has."""
    counts: dict[Shape, int] = {}
    for place in (place for harvest in harvests for place in harvest):
        counts[place.shape] = counts.get(place.shape, 0) + 1
    places = list(harvests[0])
    known = {windows.qubits(place).tobytes() for place in places}
    for shape in sorted(counts, key=lambda shape: -counts[shape]):
        for place in windows.places(shape):
            key = windows.qubits(place).tobytes()
            if key not in known:
                known.add(key)
                places.append(place)
        if len(places) > CANDIDATE_LIMIT:
            break
    selection = Selection([windows.qubits(place) for place in places])
    for member in range(len(harvests[0])):
        selection.add(member)
    selection.improve(NUM_STEPS, enough)
    return [places[member] for member in sorted(selection.members)]
