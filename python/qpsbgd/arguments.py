"""Checks of arguments that several public functions take: errors show the value and the rule."""

import secrets
from numbers import Integral, Real
from typing import Any

from qpsbgd import _core

#: Seeds are what dimod's samplers take: integers in [0, SEED_LIMIT).
SEED_LIMIT = 2**31
#: Those of dwave-samplers' descent and tabu search: integers in [0, WIDE_SEED_LIMIT).
WIDE_SEED_LIMIT = 2**32
#: Numbers of sweeps, reads and threads are less.
COUNT_LIMIT = 2**31


def checked_real(name: str, value: Any) -> float:
    """A number that float64 holds; may be infinite or NaN."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} is {value!r}, but must be a real number")
    try:
        return float(value)
    except OverflowError:
        raise ValueError(f"{name} is {value!r}, but must be finite") from None


def checked_count(name: str, value: Any, minimum: int, limit: int = COUNT_LIMIT) -> int:
    """An integer in ``[minimum, limit)``."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} is {value!r}, but must be an integer")
    if not minimum <= int(value) < limit:
        raise ValueError(f"{name} is {value!r}, but must lie in [{minimum}, {limit})")
    return int(value)


def checked_choice(name: str, value: Any, choices: tuple[str, ...]) -> str:
    """One of some words."""
    if not isinstance(value, str) or value not in choices:
        text = " or ".join(repr(choice) for choice in choices)
        raise ValueError(f"{name} is {value!r}, but must be {text}")
    return value


def checked_seed(seed: Any, limit: int = SEED_LIMIT) -> int:
    """A seed below ``limit``; drawn anew for None."""
    if seed is None:
        return secrets.randbelow(limit)
    return checked_count("seed", seed, 0, limit)


def checked_threads(num_threads: Any) -> int:
    """At most this many threads; what the core would use for None."""
    if num_threads is None:
        return _core.default_num_threads()
    return checked_count("num_threads", num_threads, 1)


def checked_time_limit(time_limit: Any) -> float:
    """Seconds, more than none; infinite for None."""
    if time_limit is None:
        return float("inf")
    seconds = checked_real("time_limit", time_limit)
    if not seconds > 0:
        raise ValueError(f"time_limit is {time_limit!r}, but must be positive")
    return seconds
