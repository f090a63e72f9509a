"""Problems whose answers a later attempt at a step may need, in this process or another one."""

import threading
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping

from qpsbgd.hardware.service.ledger import Problem
from qpsbgd.hardware.service.locks import Lock
from qpsbgd.hardware.service.submission import Submission

#: Number of problems of steps that succeeded which stay in the budget, apart from the last step.
MAX_FINISHED = 100


class Leftovers:
    """Submissions of failed steps, and problems that earlier processes have sent, by their keys.

    Each is taken once, by any thread. The problems of the latest steps that succeeded stay in the
    budget as well: a process that is killed before it stores their result can retrieve the answers
    again.

    Args:
        problems: problems of earlier processes by their names in the budget.
        can_retrieve: whether a later process can retrieve answers.
    """

    def __init__(self, problems: Mapping[str, Problem], *, can_retrieve: bool) -> None:
        self._can_retrieve = can_retrieve
        self._earlier: dict[str, list[tuple[str, Problem]]] = defaultdict(list)
        for name, problem in problems.items() if can_retrieve else ():
            self._earlier[problem.key].append((name, problem))
        self._failed: dict[str, list[tuple[int, Submission]]] = defaultdict(list)
        self._finished: deque[list[str]] = deque()
        self._lock = Lock()

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
        """Add the submissions of this thread's failed step."""
        with self._lock:
            for submission in submissions:
                self._failed[submission.key].append((threading.get_ident(), submission))

    def finish(self, submissions: Iterable[Submission]) -> set[str]:
        """Record the submissions of this thread's successful step.

        Returns:
            Names of the problems that nobody needs any more: those of older steps, and what failed
            steps of this thread have left.
        """
        own, obsolete = threading.get_ident(), set()
        with self._lock:
            for key, known in list(self._failed.items()):
                obsolete |= {name for ident, s in known if ident == own for name in s.names}
                self._failed[key] = [each for each in known if each[0] != own]
                if not self._failed[key]:
                    del self._failed[key]
            self._finished.append([name for each in submissions for name in each.names])
            most = MAX_FINISHED if self._can_retrieve else 0
            least = 1 if self._can_retrieve else 0
            while len(self._finished) > least and sum(map(len, self._finished)) > most:
                obsolete.update(self._finished.popleft())
        return obsolete
