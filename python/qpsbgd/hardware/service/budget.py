"""Budget of access time, which threads share, and processes as well through a ledger."""

import contextlib
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from qpsbgd._checks.numbers import checked_real
from qpsbgd.errors import BudgetExceededError
from qpsbgd.hardware.service.ledger import Account, Ledger, Problem, released
from qpsbgd.hardware.service.locks import Lock


class Budget:
    """Access time in microseconds: a limit, the time spent, and the time reserved for calls.

    The estimate of a call is reserved before the call is sent. When the bill arrives, it replaces
    the estimate. Threads may share a budget, and processes may share a ledger: a lock protects each
    reservation and each bill, and the ledger is read again under the lock.

    The projector also enters each problem by a name. The ledger then holds the problem's identifier
    and its part of the times, so that a later process can retrieve the answer and replace the
    estimate by the bill, once.

    Args:
        limit_us: upper limit, > 0; None for no limit.
        ledger: JSON file that holds the spent and the reserved time of all processes. A file that
            exists is continued, so the time that an earlier process spent counts. The reservations
            of other processes count as spent. Those of a process that was killed stay reserved in
            the file until their answers are retrieved, because its calls may have been billed. The
            lock is ``<ledger>.lock``.

    Attributes:
        limit_us: the limit; may be raised at any time.
        spent_us: time spent, and reserved by other processes, at the last reservation or bill.
        reserved_us: time that this budget has reserved for calls without a bill.

    Raises:
        ValueError: the limit is out of range, or the file is no ledger.
        OSError: the ledger cannot be read.

    Example:
        >>> from qpsbgd.hardware import Budget
        >>> budget = Budget(1000.0)
        >>> budget.reserve(400.0, "a call")
        >>> budget.settle(400.0, 350.0)
        >>> budget.spent_us, budget.left_us
        (350.0, 650.0)
    """

    def __init__(self, limit_us: float | None = None, ledger: Path | None = None) -> None:
        if limit_us is not None and not checked_real("budget_us", limit_us) > 0:
            raise ValueError(f"budget_us is {limit_us!r}, but must be positive")
        self.limit_us = limit_us
        self.spent_us = 0.0
        self.reserved_us = 0.0
        self._ledger = None if ledger is None else Ledger(ledger)
        self._problems: dict[str, Problem] = {}
        #: Time reserved by this budget for each problem.
        self._own: dict[str, float] = {}
        self._lock = Lock()
        self._take(self._read())

    @property
    def left_us(self) -> float:
        """Time that is neither spent nor reserved; infinite without a limit."""
        return self._left_us(self.spent_us, self.reserved_us)

    @property
    def problems(self) -> dict[str, Problem]:
        """Problems in the account at the last reservation or bill, by name."""
        return dict(self._problems)

    def reserve(
        self, estimate_us: float, purpose: str, problems: Mapping[str, Problem] | None = None
    ) -> None:
        """Reserve the estimated time of one or more calls.

        Args:
            estimate_us: estimated access time.
            purpose: name of the calls in the error message.
            problems: problems by name whose times add up to the estimate; None to enter none.

        Raises:
            BudgetExceededError: the estimate exceeds the time left.
            OSError: the ledger cannot be read or written; nothing is reserved.
            ValueError: the ledger is damaged; nothing is reserved.
        """
        with self._lock, self._locked_ledger():
            account = self._read()
            left_us = self._left_us(account.spent_us, account.reserved_us)
            self._take(account)
            if not estimate_us <= left_us:
                raise BudgetExceededError(
                    f"{purpose} is estimated to take {estimate_us:.0f} us, but of the budget of "
                    f"{self.limit_us:.0f} us only {max(left_us, 0.0):.0f} are left "
                    f"({self.spent_us:.0f} spent, {self.reserved_us:.0f} reserved); it was not sent"
                )
            account.reserved_us += estimate_us
            account.problems.update(problems or {})
            self._write(account)
            self.reserved_us += estimate_us
            self._own |= {name: each.reserved_us for name, each in (problems or {}).items()}
            self._take(account)

    def settle(self, estimate_us: float, billed_us: float) -> None:
        """Replace the estimate of a call by its bill, which is 0 for a call that was not accepted.

        A ledger that cannot be written causes a warning only.
        """
        self._change(lambda account: account.settle(estimate_us, billed_us), estimate_us)

    def set_cost(self, name: str, cost_us: float) -> None:
        """Set the cost of a problem, in place of its estimate or of an earlier cost.

        A cost that is set twice counts once, also if two processes set it. A ledger that cannot be
        written causes a warning only.
        """
        self._change(lambda account: account.set_cost(name, cost_us), self._own.pop(name, 0.0))

    def set_ids(self, problem_ids: Mapping[str, str]) -> None:
        """Enter the identifiers of problems by their names, for later processes."""
        known = self._problems
        new = {
            name: problem_id
            for name, problem_id in problem_ids.items()
            if name in known and known[name].problem_id is None
        }

        def change(account: Account) -> None:
            for name in new.keys() & account.problems.keys():
                entry = replace(account.problems[name], problem_id=new[name])
                account.problems[name] = entry

        if new:
            self._change(change, 0.0)

    def forget(self, names: Iterable[str]) -> None:
        """Remove problems whose answers nobody needs any more; their costs stay."""
        names = set(names)

        def change(account: Account) -> None:
            for name in names & account.problems.keys():
                del account.problems[name]

        if names & self._problems.keys():
            self._change(change, 0.0)

    def _change(self, change: Callable[[Account], None], released_us: float) -> None:
        """Change the account, and release time that this budget had reserved."""
        with self._lock:
            own_us = released(self.reserved_us, released_us)
            try:
                with self._locked_ledger():
                    account = self._read()
                    change(account)
                    self._write(account)
            except (OSError, ValueError) as error:
                # The answer exists and is paid for: a ledger must not prevent its use.
                path = None if self._ledger is None else self._ledger.path
                warnings.warn(f"{path} is not up to date: {error}", stacklevel=3)
                account = self._in_memory()
                change(account)
            self.reserved_us = own_us
            self._take(account)

    def _left_us(self, spent_us: float, reserved_us: float) -> float:
        limit = float("inf") if self.limit_us is None else float(self.limit_us)
        return limit - spent_us - reserved_us

    @contextlib.contextmanager
    def _locked_ledger(self) -> Iterator[None]:
        with contextlib.nullcontext() if self._ledger is None else self._ledger.lock():
            yield

    def _read(self) -> Account:
        """Return the account of all processes: that in the ledger, or that in memory."""
        account = None if self._ledger is None else self._ledger.read()
        return self._in_memory() if account is None else account

    def _in_memory(self) -> Account:
        return Account(self.spent_us, self.reserved_us, dict(self._problems))

    def _write(self, account: Account) -> None:
        if self._ledger is not None:
            self._ledger.write(account)

    def _take(self, account: Account) -> None:
        """Store an account in memory; what others have reserved counts as spent."""
        self.spent_us = account.spent_us + max(account.reserved_us - self.reserved_us, 0.0)
        self._problems = dict(account.problems)
