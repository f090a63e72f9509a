"""Budget of access time, and the ledger in which processes share it."""

import contextlib
import errno
import json
import math
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock

from qpsbgd._checks import checked_real
from qpsbgd.atomic import write_atomically
from qpsbgd.errors import BudgetExceededError

#: Seconds to wait for another process that uses the ledger; it needs milliseconds.
LOCK_TIMEOUT = 60.0


class Budget:
    """Access time in microseconds: a limit, the time spent, and the time reserved for calls.

    The estimate of a call is reserved before the call is sent. When the bill arrives, it replaces
    the estimate. Threads may share a budget, and processes may share a ledger: a lock protects each
    reservation and each bill, and the ledger is read again under the lock.

    Args:
        limit_us: upper limit, > 0; None for no limit.
        ledger: JSON file that holds the spent and the reserved time of all processes. A file that
            exists is continued, so the time that an earlier process spent counts. The reservations
            of other processes count as spent. Those of a process that was killed stay reserved in
            the file, because its calls may have been billed. The lock is ``<ledger>.lock``.

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
        self._ledger = ledger
        self._lock = threading.Lock()
        self.spent_us = sum(self._read())

    @property
    def left_us(self) -> float:
        """Time that is neither spent nor reserved; infinite without a limit."""
        return self._left_us(self.spent_us, self.reserved_us)

    def reserve(self, estimate_us: float, purpose: str) -> None:
        """Reserve the estimated time of one or more calls.

        Args:
            estimate_us: estimated access time.
            purpose: name of the calls in the error message.

        Raises:
            BudgetExceededError: the estimate exceeds the time left.
            OSError: the ledger cannot be read or written; nothing is reserved.
            ValueError: the ledger is damaged; nothing is reserved.
        """
        with self._lock, self._locked_ledger():
            spent_us, reserved_us = self._read()
            left_us = self._left_us(spent_us, reserved_us)
            self.spent_us = spent_us + max(reserved_us - self.reserved_us, 0.0)
            if not estimate_us <= left_us:
                raise BudgetExceededError(
                    f"{purpose} is estimated to take {estimate_us:.0f} us, but of the budget of "
                    f"{self.limit_us:.0f} us only {max(left_us, 0.0):.0f} are left "
                    f"({self.spent_us:.0f} spent, {self.reserved_us:.0f} reserved); it was not sent"
                )
            self._write(spent_us, reserved_us + estimate_us)
            self.reserved_us += estimate_us

    def settle(self, estimate_us: float, billed_us: float) -> None:
        """Replace the estimate of a call by its bill, which is 0 for a call that was not accepted.

        A ledger that cannot be written causes a warning only.
        """
        with self._lock:
            own_us = max(self.reserved_us - estimate_us, 0.0)
            try:
                with self._locked_ledger():
                    spent_us, reserved_us = self._read()
                    spent_us = max(spent_us + billed_us, 0.0)
                    reserved_us = max(reserved_us - estimate_us, 0.0)
                    self._write(spent_us, reserved_us)
            except (OSError, ValueError) as error:
                # The answer exists and is paid for: a ledger must not prevent its use.
                warnings.warn(f"{self._ledger} is not up to date: {error}", stacklevel=2)
                spent_us, reserved_us = self.spent_us + billed_us, own_us
            self.reserved_us = own_us
            self.spent_us = spent_us + max(reserved_us - own_us, 0.0)

    def _left_us(self, spent_us: float, reserved_us: float) -> float:
        limit = float("inf") if self.limit_us is None else float(self.limit_us)
        return limit - spent_us - reserved_us

    @contextlib.contextmanager
    def _locked_ledger(self) -> Iterator[None]:
        """Exclude other processes from the ledger."""
        if self._ledger is None:
            yield
            return
        if not self._ledger.parent.is_dir():  # the lock would make the folder
            raise FileNotFoundError(errno.ENOENT, "the folder does not exist", str(self._ledger))
        with FileLock(f"{self._ledger}.lock", timeout=LOCK_TIMEOUT):
            yield

    def _read(self) -> tuple[float, float]:
        """Return the spent and the reserved time of all processes.

        Raises:
            ValueError: the ledger is damaged.
            OSError: it exists and cannot be read.
        """
        if self._ledger is None:
            return self.spent_us, self.reserved_us
        try:
            content = self._ledger.read_bytes()
        except FileNotFoundError:
            return self.spent_us, self.reserved_us
        return _decoded(self._ledger, content)

    def _write(self, spent_us: float, reserved_us: float) -> None:
        if self._ledger is not None:
            content = {"spent_us": spent_us, "reserved_us": reserved_us}
            write_atomically(self._ledger, json.dumps(content).encode() + b"\n")

    def __getstate__(self) -> dict[str, Any]:
        """Return the state without the lock, which cannot be pickled."""
        return {name: value for name, value in vars(self).items() if name != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore the state with a new lock."""
        vars(self).update(state)
        self._lock = threading.Lock()


def _decoded(ledger: Path, content: bytes) -> tuple[float, float]:
    try:
        stored = json.loads(content)
        spent_us, reserved_us = (float(stored[name]) for name in ("spent_us", "reserved_us"))
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise ValueError(f"{ledger} is no ledger of access times: {error}") from error
    times = [spent_us, reserved_us]
    if not (min(times) >= 0 and math.isfinite(sum(times))):
        raise ValueError(f"{ledger} has {times}, but times and their sum must be finite and >= 0")
    return spent_us, reserved_us
