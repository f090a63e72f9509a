"""Problems that were sent and whose answers no step has used yet."""

import threading
from collections import defaultdict
from collections.abc import Iterable, Mapping

from qpsbgd.hardware.ledger import Problem
from qpsbgd.hardware.submission import Submission


class Leftovers:
    """Submissions of failed steps, and problems that earlier processes have sent, by their keys.

    Each is taken once, by any thread. A step that succeeds drops what failed steps of the same
    thread have left.

    Args:
        problems: problems of earlier processes by their names in the budget.
    """

    def __init__(self, problems: Mapping[str, Problem]) -> None:
        self._earlier: dict[str, list[tuple[str, Problem]]] = defaultdict(list)
        for name, problem in problems.items():
            self._earlier[problem.key].append((name, problem))
        self._failed: dict[str, list[tuple[int, Submission]]] = defaultdict(list)
        self._lock = threading.Lock()

    def take_submission(self, key: str) -> Submission | None:
        """Remove and return a submission of a failed step; None if there is none."""
        with self._lock:
            known = self._failed.get(key)
            return known.pop()[1] if known else None

    def take_problem(self, key: str) -> tuple[str, Problem] | None:
        """Remove and return the name and the entry of an earlier problem; None if there is none."""
        with self._lock:
            known = self._earlier.get(key)
            return known.pop() if known else None

    def add(self, submissions: Iterable[Submission]) -> None:
        """Add the submissions of a step of this thread that failed."""
        with self._lock:
            for submission in submissions:
                self._failed[submission.key].append((threading.get_ident(), submission))

    def drop(self) -> list[Submission]:
        """Remove and return what failed steps of this thread have left."""
        own = threading.get_ident()
        with self._lock:
            dropped = [s for known in self._failed.values() for ident, s in known if ident == own]
            for key, known in list(self._failed.items()):
                self._failed[key] = [each for each in known if each[0] != own]
                if not self._failed[key]:
                    del self._failed[key]
        return dropped
