"""Choice of many disjoint sets among candidates, by local search."""

import itertools
import random

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]


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
