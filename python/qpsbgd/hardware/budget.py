"""Access time that may be spent, and what was."""

import json
import math
import warnings
from pathlib import Path

from qpsbgd._checks import checked_real
from qpsbgd.atomic import write_atomically
from qpsbgd.errors import BudgetExceededError


class Budget:
    """Access time in microseconds: a limit, what is spent, what is reserved for calls under way.

    A call's estimate is reserved before it is sent; its bill takes the place of that.

    Args:
        limit_us: > 0, or None for no limit.
        ledger: file (JSON) that is written anew at each change, and read where it is there: what a
            run that was killed had spent counts in the next. What it had reserved counts as spent,
            as the call may have been billed. A ledger is for one budget of one process at a time.

    Attributes:
        limit_us: may be raised at any time.
        spent_us: so far.
        reserved_us: for calls under way.

    Raises:
        ValueError: a limit out of range, or a ledger that is none.
        OSError: a ledger that cannot be read or written.
    """

    def __init__(self, limit_us: float | None = None, ledger: Path | None = None) -> None:
        if limit_us is not None and not checked_real("budget_us", limit_us) > 0:
            raise ValueError(f"budget_us is {limit_us!r}, but must be positive")
        self.limit_us = limit_us
        self.spent_us = 0.0
        self.reserved_us = 0.0
        self._ledger = ledger
        if ledger is not None and ledger.exists():
            self.spent_us = _read(ledger)

    @property
    def left_us(self) -> float:
        """Neither spent nor reserved; infinite without a limit."""
        limit = float("inf") if self.limit_us is None else float(self.limit_us)
        return limit - self.spent_us - self.reserved_us

    def reserve(self, estimate_us: float, what: str) -> None:
        """Set aside what a call, or several, is estimated to take.

        Raises:
            BudgetExceededError: less is left.
            OSError: the ledger cannot be written; nothing is reserved.
        """
        if not estimate_us <= self.left_us:
            raise BudgetExceededError(
                f"{what} is estimated to take {estimate_us:.0f} us, but of the budget of "
                f"{self.limit_us:.0f} us only {max(self.left_us, 0.0):.0f} are left "
                f"({self.spent_us:.0f} spent, {self.reserved_us:.0f} reserved); it was not sent"
            )
        self._write(self.spent_us, self.reserved_us + estimate_us)
        self.reserved_us += estimate_us

    def settle(self, estimate_us: float, billed_us: float) -> None:
        """Put a call's bill in the place of its estimate; 0 for a call that was not accepted."""
        self.reserved_us = max(self.reserved_us - estimate_us, 0.0)
        self.spent_us += billed_us
        try:
            self._write(self.spent_us, self.reserved_us)
        except OSError as error:
            # The answer is there and paid for: it must not be lost for this.
            warnings.warn(f"{self._ledger} is not up to date: {error}", stacklevel=2)

    def _write(self, spent_us: float, reserved_us: float) -> None:
        if self._ledger is not None:
            content = {"spent_us": spent_us, "reserved_us": reserved_us}
            write_atomically(self._ledger, json.dumps(content).encode() + b"\n")


def _read(ledger: Path) -> float:
    try:
        content = json.loads(ledger.read_text())
        times = [float(content[name]) for name in ("spent_us", "reserved_us")]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{ledger} is no ledger of access times: {error}") from error
    if not all(math.isfinite(value) and value >= 0 for value in times):
        raise ValueError(f"{ledger} has {times}, but times must be finite and at least 0")
    return sum(times)
