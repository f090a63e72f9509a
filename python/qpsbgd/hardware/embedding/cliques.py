"""Packings of complete graphs: as many disjoint clique embeddings as fit.

The search has three steps. *Harvest*: go through the windows of a working graph and embed a clique
in the qubits that are still free. The gaps between copies make the embedder find many shapes.
*Selection*: put every shape into every window and choose disjoint places by local search.
*Filling*: embed cliques in the qubits that the selection leaves.

All limits count steps and not seconds, so a graph has the same packing on every machine.
"""

import itertools
import random
from collections.abc import Sequence

import networkx as nx
import numpy as np
import numpy.typing as npt

from qpsbgd._checks import checked_count
from qpsbgd.errors import UnembeddableError
from qpsbgd.hardware.embedding.copies import Chains, Packing, verified_packing
from qpsbgd.hardware.embedding.lattices import check_lattice, describe
from qpsbgd.hardware.embedding.windows import Place, Shape, Windows, largest_clique, smallest_size

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]

#: A harvest searches at most SEARCH_LIMIT / (qubits of the tile)^2 windows, because the time of the
#: embedder grows with that square.
SEARCH_LIMIT = 50_000_000
#: A selection takes no further shapes beyond this number of candidates. The limit costs at most two
#: percent of the copies.
CANDIDATE_LIMIT = 20_000
#: Number of exchanges that a selection tries. The first 10,000 find 98 to 99 % of the copies.
NUM_STEPS = 30_000


def pack_cliques(graph: nx.Graph, n: int, *, max_copies: int | None = None) -> Packing:
    """Find disjoint embeddings of a complete graph, as many as the search finds.

    Equal graphs have equal packings. The search takes seconds on a graph of thousands of qubits;
    :class:`~qpsbgd.hardware.EmbeddingCache` stores its result.

    Args:
        graph: working graph.
        n: number of variables.
        max_copies: upper limit of the number of copies; None for as many as fit.

    Raises:
        UnembeddableError: no embedding was found.
        ValueError: the graph is no lattice of D-Wave's with integer labels.

    Example:
        >>> from qpsbgd.hardware.embedding import ideal_graph, pack_cliques
        >>> packing = pack_cliques(ideal_graph("zephyr", [2, 4]), 8)
        >>> packing.num_copies, packing.longest_chain
        (8, 2)
    """
    check_lattice(graph)
    checked_count("n", n, 1)
    enough = len(graph) if max_copies is None else checked_count("max_copies", max_copies, 1)
    copies: list[Chains] = []
    if n == 1:
        copies = [{0: (qubit,)} for qubit in sorted(graph.nodes)]
    elif n == 2:
        copies = [{0: (a,), 1: (b,)} for a, b in _matching(graph)]
    elif n <= len(graph):
        copies = _pack_windows(graph, n, enough)
    if not copies:
        largest = largest_clique(graph) if len(graph) else 0
        raise UnembeddableError(
            f"a clique of {n} variables does not fit into {describe(graph)}: "
            f"the largest one found has {largest}"
        )
    return verified_packing(graph, copies[:enough], n, "all pairs")


def _matching(graph: nx.Graph) -> list[tuple[int, int]]:
    """Return couplers without a common qubit; every other coupler shares a qubit with them."""
    matched: set[int] = set()
    couplers = []
    for a, b in sorted((min(edge), max(edge)) for edge in graph.edges):
        if a not in matched and b not in matched:
            matched |= {a, b}
            couplers.append((a, b))
    return couplers


def _pack_windows(graph: nx.Graph, num_variables: int, enough: int) -> list[Chains]:
    """Return up to ``enough`` disjoint embeddings of a clique of three variables or more."""
    rows = max(graph.graph["rows"], graph.graph["columns"])
    size = smallest_size(graph, num_variables)
    while True:
        windows = Windows(graph, size, num_variables)
        free = windows.qubits_exist.copy()
        embeddings = _pack(windows, free, enough) if windows.hold_ideally else []
        next_size = min(rows, size + 1 + size // 8)
        if embeddings and len(embeddings) < enough and not windows.ideal and size < rows:
            # A copy may need a larger window to go round defects.
            windows = Windows(graph, next_size, num_variables)
            further = _harvest(windows, free, windows.by_rows(), enough - len(embeddings))
            embeddings += [windows.embedding(place) for place in further]
        if embeddings or size == rows:
            return embeddings
        size = next_size


def _pack(windows: Windows, free: Bools, enough: int) -> list[Chains]:
    """Take the three steps in windows of one size; mark the qubits used in ``free``."""
    harvests = []
    # Neither order is always better, and the shapes of both together make the best selections.
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
    """Embed cliques in one window after the other; mark the qubits used in ``free``."""
    places: list[Place] = []
    num_windows = max(2, SEARCH_LIMIT // windows.images.shape[1] ** 2)
    if num_windows < len(order):
        order = [order[i * len(order) // num_windows] for i in range(num_windows)]
    for window in order:
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


class Selection:
    """Disjoint members of a family of candidate sets of qubits, improved by local search.

    The search is a plateau walk: a candidate that overlaps one member (or two) replaces it, and
    candidates that fit into the freed qubits join.

    Args:
        candidates: for each candidate the qubits, integers from 0.

    Attributes:
        members: numbers of the chosen candidates.
    """

    def __init__(self, candidates: list[Ints]) -> None:
        self.candidates = candidates
        lengths = np.array([len(qubits) for qubits in candidates])
        flat = np.concatenate(candidates)
        order = np.argsort(flat, kind="stable")
        owners = np.repeat(np.arange(len(candidates)), lengths)[order]
        starts = np.searchsorted(flat[order], np.arange(flat.max() + 2))
        #: For each qubit the candidates that contain it.
        self._holders = [owners[a:b] for a, b in itertools.pairwise(starts)]
        self._overlaps: dict[int, Ints] = {}
        self._mark = np.zeros(len(candidates), bool)  # (candidates,), all False between calls
        #: Number of members that each candidate overlaps; a member overlaps itself.
        self._num_conflicts = np.zeros(len(candidates), np.int64)  # (candidates,)
        self.members: set[int] = set()

    def overlaps(self, candidate: int) -> Ints:
        """Return the candidates that share a qubit with this one, including itself."""
        known = self._overlaps.get(candidate)
        if known is None:
            # A mask finds the distinct candidates faster than sorting: each occurs a few hundred
            # times.
            for qubit in self.candidates[candidate]:
                self._mark[self._holders[qubit]] = True
            known = np.flatnonzero(self._mark)
            self._mark[known] = False
            self._overlaps[candidate] = known
        return known

    def add(self, candidate: int) -> None:
        """Make a candidate a member; it must not overlap a member."""
        self.members.add(candidate)
        self._num_conflicts[self.overlaps(candidate)] += 1

    def remove(self, member: int) -> None:
        """Remove a member and free its qubits."""
        self.members.remove(member)
        self._num_conflicts[self.overlaps(member)] -= 1

    def fill(self, among: Ints, rng: random.Random) -> list[int]:
        """Add random candidates of ``among`` until all of them overlap a member."""
        added = []
        free = among[self._num_conflicts[among] == 0]
        while len(free):
            choice = int(free[rng.randrange(len(free))])
            self.add(choice)
            added.append(choice)
            free = free[self._num_conflicts[free] == 0]
        return added

    def improve(self, num_steps: int, enough: int, seed: int = 0) -> None:
        """Search for more members; never end with fewer.

        Args:
            num_steps: number of exchanges to try.
            enough: number of members at which the search ends.
            seed: seed of the random choices.
        """
        rng = random.Random(seed)
        self.fill(np.arange(len(self.candidates)), rng)
        for step in range(num_steps):
            if len(self.members) >= enough:
                return
            # One exchange in eight replaces two members: a larger share is slower, and without
            # them the search gets stuck sooner.
            num_replaced = 2 if step % 8 == 7 else 1
            near = np.flatnonzero(self._num_conflicts == num_replaced)
            candidate = int(near[rng.randrange(len(near))]) if len(near) else None
            if candidate is not None and candidate not in self.members:
                self._exchange(candidate, rng)

    def _exchange(self, candidate: int, rng: random.Random) -> None:
        """Replace the members that a candidate overlaps by it, unless members become fewer."""
        removed = [c for c in self.overlaps(candidate).tolist() if c in self.members]
        for member in removed:
            self.remove(member)
        self.add(candidate)
        among = np.concatenate([self.overlaps(member) for member in removed])
        added = [candidate, *self.fill(among, rng)]
        if len(added) < len(removed):
            for member in added:
                self.remove(member)
            for member in removed:
                self.add(member)
