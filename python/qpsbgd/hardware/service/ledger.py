"""Ledger: the file in which processes share the access time that was spent and reserved."""

import contextlib
import errno
import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock

from qpsbgd.atomic import write_atomically

#: Seconds to wait for another process that uses the ledger; it needs milliseconds.
LOCK_TIMEOUT = 60.0
#: Microseconds below which a difference of sums of times is a rounding error.
ROUNDING = 1e-6


@dataclass(frozen=True)
class Problem:
    """One problem that was sent, or is about to be sent, to a machine.

    Attributes:
        key: digest of the problem and its parameters, which is the same in a later process.
        problem_id: identifier at the machine; None while it is unknown.
        reserved_us: part of the account's reserved time that belongs to the problem.
        spent_us: part of the account's spent time that belongs to the problem.
    """

    key: str
    problem_id: str | None = None
    reserved_us: float = 0.0
    spent_us: float = 0.0


@dataclass
class Account:
    """Access time of all processes that share a ledger, in microseconds.

    Attributes:
        spent_us: time spent.
        reserved_us: time reserved for calls without a bill.
        problems: problems under way, and those of the last step, by the names they were sent with.
    """

    spent_us: float = 0.0
    reserved_us: float = 0.0
    problems: dict[str, Problem] = field(default_factory=dict)

    def settle(self, estimate_us: float, billed_us: float) -> None:
        """Replace a reservation by a bill."""
        self.spent_us = max(self.spent_us + billed_us, 0.0)
        self.reserved_us = released(self.reserved_us, estimate_us)

    def set_cost(self, name: str, cost_us: float) -> None:
        """Set what a problem costs; a problem that is not in the account costs nothing more."""
        problem = self.problems.get(name)
        if problem is not None:
            self.settle(problem.reserved_us, cost_us - problem.spent_us)
            self.problems[name] = Problem(problem.key, problem.problem_id, 0.0, cost_us)


def released(reserved_us: float, estimate_us: float) -> float:
    """Return a reserved time without a part of it.

    Example:
        >>> released(0.1 + 0.2, 0.1), released(0.1 + 0.2, 0.3)
        (0.20000000000000004, 0.0)
    """
    rest_us = reserved_us - estimate_us
    return rest_us if rest_us > ROUNDING else 0.0


class Ledger:
    """File that holds an :class:`Account`; a lock file beside it excludes other users.

    Args:
        path: JSON file, in a folder that exists. The lock is ``<path>.lock``.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Exclude all other threads and processes from the file.

        Raises:
            OSError: the folder does not exist, or another process holds the lock too long.
        """
        if not self.path.parent.is_dir():  # the lock would make the folder
            raise FileNotFoundError(errno.ENOENT, "the folder does not exist", str(self.path))
        with FileLock(f"{self.path}.lock", timeout=LOCK_TIMEOUT):
            yield

    def read(self) -> Account | None:
        """Return the account in the file; None where there is no file.

        Raises:
            ValueError: the file is damaged.
            OSError: the file exists and cannot be read.
        """
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return None
        try:
            stored = json.loads(content)
            problems = stored.get("problems", {})
            account = Account(
                float(stored["spent_us"]),
                float(stored["reserved_us"]),
                {str(name): _problem(**entry) for name, entry in problems.items()},
            )
        # Thousands of nested brackets exceed the recursion limit of the JSON parser.
        except (
            ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError,
        ) as error:  # fmt: skip
            raise ValueError(f"{self.path} is no ledger of access times: {error}") from error
        times = [account.spent_us, account.reserved_us]
        for problem in account.problems.values():
            times += [problem.reserved_us, problem.spent_us]
        if not (min(times) >= 0 and math.isfinite(sum(times))):
            raise ValueError(
                f"{self.path} has {times}, but times and their sum must be finite and >= 0"
            )
        return account

    def write(self, account: Account) -> None:
        """Replace the file; a reader sees the old or the new content.

        Raises:
            OSError: the file cannot be written.
        """
        content = asdict(account)
        if not account.problems:
            del content["problems"]
        write_atomically(self.path, json.dumps(content).encode() + b"\n")


def _problem(
    key: str, problem_id: str | None, reserved_us: float, spent_us: float, **_: Any
) -> Problem:
    """Return the problem that an entry of a ledger describes; later versions may add items."""
    if not isinstance(key, str) or not isinstance(problem_id, str | None):
        raise TypeError(f"key is {key!r} and problem_id {problem_id!r}, but must be strings")
    return Problem(key, problem_id, float(reserved_us), float(spent_us))
