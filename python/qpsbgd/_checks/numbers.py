"""Checks of numbers: real ones, counts, seeds, threads and time limits."""

import secrets
from decimal import Decimal
from numbers import Integral, Real
from typing import Any

import numpy as np

from qpsbgd import _core
from qpsbgd._checks.real_arrays import refuse_masked

#: Seeds are integers in [0, SEED_LIMIT), as in dimod's samplers.
SEED_LIMIT = 2**31
#: Seeds of dwave-samplers' descent and tabu search are integers in [0, WIDE_SEED_LIMIT).
WIDE_SEED_LIMIT = 2**32
#: Largest number of sweeps of a schedule, which takes 8 bytes for each of them.
MAX_NUM_SWEEPS = 10**8
#: Numbers of sweeps, reads and threads are smaller than this.
COUNT_LIMIT = 2**31


def checked_real(name: str, value: Any) -> float:
    """Return a real number as float64; it may be infinite or NaN."""
    if isinstance(value, bool) or not isinstance(value, Real):
        advice = ""
        if isinstance(value, Decimal) or hasattr(value, "item"):  # an array or a tensor
            advice = f": pass float({name})"
        raise TypeError(f"{name} is {value!r}, but must be a real number{advice}")
    try:
        return float(value)
    except OverflowError:
        raise ValueError(f"{name} is {value!r}, but must be finite") from None


def checked_finite(name: str, value: Any) -> float:
    """Return a finite number as float64."""
    number = checked_real(name, value)
    if not np.isfinite(number):
        raise ValueError(f"{name} is {value!r}, but must be finite")
    return number


def checked_positive(name: str, value: Any) -> float:
    """Return a number that is positive and finite."""
    number = checked_real(name, value)
    if not 0.0 < number < float("inf"):
        raise ValueError(f"{name} is {value!r}, but must be positive and finite")
    return number


def checked_nonnegative(name: str, value: Any) -> float:
    """Return a number that is finite and at least 0."""
    number = checked_real(name, value)
    if not 0.0 <= number < float("inf"):
        raise ValueError(f"{name} is {value!r}, but must be finite and at least 0")
    return number


def checked_range(name: str, bounds: Any) -> tuple[float, float] | None:
    """Return ``(low, high)`` with low <= high, or None."""
    if bounds is None:
        return None
    refuse_masked(name, bounds)
    try:
        low, high = (float(end) for end in bounds)
    except (TypeError, ValueError):
        raise TypeError(f"{name} is {bounds!r}, but must be None or two numbers") from None
    if not low <= high:
        raise ValueError(f"{name} is {bounds!r}, but must be (low, high) with low <= high")
    return low, high


def checked_count(name: str, value: Any, minimum: int, limit: int = COUNT_LIMIT) -> int:
    """Return an integer in ``[minimum, limit)``."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} is {value!r}, but must be an integer")
    if not minimum <= int(value) < limit:
        raise ValueError(f"{name} is {value!r}, but must lie in [{minimum}, {limit})")
    return int(value)


def checked_num_sweeps(num_sweeps: Any, minimum: int = 0) -> int:
    """Return a number of sweeps for which a schedule has room."""
    return checked_count("num_sweeps", num_sweeps, minimum, MAX_NUM_SWEEPS + 1)


def checked_seed(seed: Any, limit: int = SEED_LIMIT) -> int:
    """Return a seed in ``[0, limit)``; draw one if it is None."""
    if seed is None:
        return secrets.randbelow(limit)
    return checked_count("seed", seed, 0, limit)


def checked_threads(num_threads: Any) -> int:
    """Return the largest number of threads; the core's default if it is None."""
    if num_threads is None:
        return _core.default_num_threads()
    return checked_count("num_threads", num_threads, 1)


def checked_time_limit(time_limit: Any) -> float:
    """Return a time limit in seconds, > 0; infinity if it is None."""
    if time_limit is None:
        return float("inf")
    seconds = checked_real("time_limit", time_limit)
    if not seconds > 0:
        raise ValueError(f"time_limit is {time_limit!r}, but must be positive")
    return seconds
