"""As many disjoint sets of qubits as possible out of many candidates, by local search."""

import itertools
import random

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]


class Selection:
    """Disjoint members of a family of candidates; knows for each how many members are in its way.

    The search is a plateau walk: a candidate that overlaps one member (or two) takes its place, and
    what fits into the qubits that became free is added. Steps are counted, not timed, so that the
    same candidates give the same selection on every machine.

    Args:
        candidates: qubits of each candidate, integers from 0.
    """

    def __init__(self, candidates: list[Ints]) -> None:
        self.candidates = candidates
        lengths = np.array([len(qubits) for qubits in candidates])
        flat = np.concatenate(candidates)
        order = np.argsort(flat, kind="stable")
        owners = np.repeat(np.arange(len(candidates)), lengths)[order]
        starts = np.searchsorted(flat[order], np.arange(flat.max() + 2))
        self._holders = [owners[a:b] for a, b in itertools.pairwise(starts)]
        self._overlaps: dict[int, Ints] = {}
        self._mark = np.zeros(len(candidates), bool)  # (candidates,), False between calls
        #: Members that a candidate overlaps; a member overlaps itself.
        self._in_the_way = np.zeros(len(candidates), np.int64)  # (candidates,)
        self.members: set[int] = set()

    def overlaps(self, candidate: int) -> Ints:
        """The candidates that share a qubit with this one, itself among them."""
        found = self._overlaps.get(candidate)
        if found is None:
            # Marked, not sorted: they come a few hundred times each.
            for qubit in self.candidates[candidate]:
                self._mark[self._holders[qubit]] = True
            found = np.flatnonzero(self._mark)
            self._mark[found] = False
            self._overlaps[candidate] = found
        return found

    def add(self, candidate: int) -> None:
        """Make a candidate a member; none may be in its way."""
        self.members.add(candidate)
        self._in_the_way[self.overlaps(candidate)] += 1

    def remove(self, member: int) -> None:
        """Give a member's qubits back."""
        self.members.remove(member)
        self._in_the_way[self.overlaps(member)] -= 1

    def fill(self, among: Ints, rng: random.Random) -> list[int]:
        """Add, at random, those of some candidates that have nothing in their way."""
        added = []
        free = among[self._in_the_way[among] == 0]
        while len(free):
            choice = int(free[rng.randrange(len(free))])
            self.add(choice)
            added.append(choice)
            free = free[self._in_the_way[free] == 0]
        return added

    def improve(self, num_steps: int, enough: int, seed: int = 0) -> None:
        """Look for more members; never ends with fewer.

        Args:
            num_steps: exchanges tried.
            enough: members at which the search ends.
            seed: of the choices.
        """
        rng = random.Random(seed)
        self.fill(np.arange(len(self.candidates)), rng)
        for step in range(num_steps):
            if len(self.members) >= enough:
                return
            # One in eight tries is for two members: more often is slower, never is stuck sooner.
            wanted = 2 if step % 8 == 7 else 1
            near = np.flatnonzero(self._in_the_way == wanted)
            candidate = int(near[rng.randrange(len(near))]) if len(near) else None
            if candidate is not None and candidate not in self.members:
                self._exchange(candidate, rng)

    def _exchange(self, candidate: int, rng: random.Random) -> None:
        """Put a candidate in the place of the members in its way, unless members become fewer."""
        out = [c for c in self.overlaps(candidate).tolist() if c in self.members]
        for member in out:
            self.remove(member)
        self.add(candidate)
        among = np.concatenate([self.overlaps(member) for member in out])
        added = [candidate, *self.fill(among, rng)]
        if len(added) < len(out):
            for member in added:
                self.remove(member)
            for member in out:
                self.add(member)
