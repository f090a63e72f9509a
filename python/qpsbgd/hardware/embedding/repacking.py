"""Improvement of packings of complete graphs: remove a copy, and embed more in its neighbourhood.

minorminer embeds a small clique in a region of some fifty qubits within a millisecond, goes round
defects, and mixes chains of different lengths. A step of the search therefore costs little.
"""

import itertools
import random
import time
from collections import Counter
from collections.abc import Iterable

import networkx as nx

from qpsbgd.hardware.embedding.copies import Chains, quick_embedding

#: A round takes WORK / max(n, 6)^3 embeddings, because the time of one grows with that cube. A
#: round takes about three seconds on a graph of 5000 qubits.
WORK = 3_000_000
#: Largest number of embeddings in a round, in multiples of the number of copies.
EMBEDDINGS_PER_COPY = 30
#: Qubits of a region that is filled, in multiples of the qubits of the smallest copy. In larger
#: regions an embedding takes longer and leaves a worse shape behind.
REGION = 2


class Repacking:
    """Disjoint embeddings of a complete graph, and the search that adds copies to them.

    Args:
        graph: working graph.
        num_variables: number of variables of a copy, 3 or more.
        longest_chain: limit of the number of qubits in a chain.
        least: number of qubits of a small copy. Regions with fewer than 0.9 times as many are not
            searched.
        end: value of :func:`time.monotonic` at which the search ends.

    Attributes:
        copies: the embeddings by their numbers.
        free: qubits that no copy uses.
    """

    def __init__(
        self, graph: nx.Graph, num_variables: int, longest_chain: int, least: int, end: float
    ) -> None:
        self.copies: dict[int, Chains] = {}
        self.free = set(graph.nodes)
        self._neighbours = {qubit: sorted(graph.adj[qubit]) for qubit in graph.nodes}
        self._owner: dict[int, int] = {}  # copy of each used qubit
        self._numbers = itertools.count()
        self._pairs = list(itertools.combinations(range(num_variables), 2))
        self._longest_chain = longest_chain
        self._region_size = REGION * least
        self._least = max(num_variables, int(0.9 * least))
        self._round_length = WORK // max(num_variables, 6) ** 3
        self._end = end
        self._num_embeddings = 0

    @property
    def is_late(self) -> bool:
        """Whether the time limit is over."""
        return time.monotonic() >= self._end

    @property
    def _has_room(self) -> bool:
        """Whether one more copy fits if all copies become as small as a copy can be."""
        num_qubits = len(self.free) + len(self._owner)
        return bool(self.free) and (len(self.copies) + 1) * self._least <= num_qubits

    def add(self, chains: Chains) -> None:
        """Add a copy, whose qubits must be free."""
        number = next(self._numbers)
        self.copies[number] = chains
        for qubit in itertools.chain(*chains.values()):
            self._owner[qubit] = number
            self.free.remove(qubit)

    def remove(self, number: int) -> Chains:
        """Remove a copy, free its qubits, and return its chains."""
        chains = self.copies.pop(number)
        for qubit in itertools.chain(*chains.values()):
            del self._owner[qubit]
            self.free.add(qubit)
        return chains

    def fill(self, enough: int, rng: random.Random) -> None:
        """Add copies in compact regions of free qubits, from one end of the graph to the other.

        Args:
            enough: number of copies at which the search ends.
            rng: source of the embedder's seeds.
        """
        failures: set[frozenset[int]] = set()
        for qubit in sorted(self.free):
            while qubit in self.free:
                if len(self.copies) >= enough or self.is_late:
                    return
                region = self._free_region(qubit)
                # Neighbouring qubits often have the same region.
                if frozenset(region) in failures:
                    break
                chains = self._embedded(region, rng)
                if chains is None:
                    failures.add(frozenset(region))
                    break
                self.add(chains)

    def improve(self, enough: int, rng: random.Random) -> None:
        """Take the steps of one round; never end with fewer copies.

        Args:
            enough: number of copies at which the search ends.
            rng: source of random choices.
        """
        length = min(self._round_length, EMBEDDINGS_PER_COPY * len(self.copies))
        last = self._num_embeddings + length
        while (
            self._has_room
            and len(self.copies) < enough
            and self._num_embeddings < last
            and not self.is_late
        ):
            self._step(rng)

    def _step(self, rng: random.Random) -> None:
        """Replace a copy beside a random free qubit, unless the result is worse."""
        # A step without an embedding counts as well, so that a round always ends.
        self._num_embeddings += 1
        qubit = rng.choice(sorted(self.free))
        counts = Counter(
            self._owner[other] for other in self._neighbours[qubit] if other in self._owner
        )
        region, old = {qubit}, []
        if counts:
            numbers = sorted(counts)
            # Copies with many couplers to the qubit are more likely to use it.
            weights = [counts[number] ** 2 for number in numbers]
            old = [self.remove(rng.choices(numbers, weights)[0])]
            region.update(itertools.chain(*old[0].values()))
        region.update([q for used in region for q in self._neighbours[used] if q in self.free])
        new: list[Chains] = []
        while (chains := self._embedded(region, rng)) is not None:
            new.append(chains)
            region.difference_update(itertools.chain(*chains.values()))
        is_better = (len(new), -_num_qubits(new)) >= (len(old), -_num_qubits(old))
        for chains in new if is_better else old:
            self.add(chains)

    def _free_region(self, qubit: int) -> set[int]:
        """Return free qubits round a free qubit: repeatedly the one with most couplers to them."""
        region = {qubit}
        counts: Counter[int] = Counter()
        while len(region) < self._region_size:
            for other in self._neighbours[qubit]:
                if other in self.free and other not in region:
                    counts[other] += 1
            if not counts:
                break
            qubit = max(counts, key=lambda other: (counts[other], -other))
            del counts[qubit]
            region.add(qubit)
        return region

    def _embedded(self, region: set[int], rng: random.Random) -> Chains | None:
        """Return an embedding with short chains in a region; None where none is found."""
        if len(region) < self._least:
            return None
        edges = [(a, b) for a in sorted(region) for b in self._neighbours[a] if a < b in region]
        if len(edges) < len(self._pairs):
            return None
        self._num_embeddings += 1
        embedding = quick_embedding(self._pairs, edges, rng.randrange(2**31))
        if not embedding:
            return None
        chains = trimmed({v: set(chain) for v, chain in embedding.items()}, self._neighbours)
        return None if max(map(len, chains.values())) > self._longest_chain else chains


def trimmed(chains: dict[int, set[int]], neighbours: dict[int, list[int]]) -> Chains:
    """Return a clique embedding without the ends of chains that it does not need."""
    owner = {qubit: v for v, chain in chains.items() for qubit in chain}

    def coupled(qubits: Iterable[int]) -> set[int]:
        return {owner[b] for a in qubits for b in neighbours[a] if b in owner}

    has_changed = True
    while has_changed:
        has_changed = False
        for v, chain in chains.items():
            for qubit in sorted(chain):
                is_end = sum(other in chain for other in neighbours[qubit]) == 1
                if is_end and coupled([qubit]) - {v} <= coupled(chain - {qubit}):
                    chain.remove(qubit)
                    del owner[qubit]
                    has_changed = True
    shortest_first = sorted((tuple(sorted(chain)) for chain in chains.values()), key=_length_first)
    return dict(enumerate(shortest_first))


def _length_first(chain: tuple[int, ...]) -> tuple[int, tuple[int, ...]]:
    return len(chain), chain


def _num_qubits(copies: list[Chains]) -> int:
    return sum(len(chain) for chains in copies for chain in chains.values())
