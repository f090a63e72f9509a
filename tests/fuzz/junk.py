"""Values of the wrong kind, to be given in the place of an argument."""

from collections.abc import Callable, Iterable
from typing import Any

from hypothesis import strategies as st

from fuzz.targets import Fault

NAN, INF = float("nan"), float("inf")
VALUES = (
    None, True, False, 0, 1, -1, 2, 1.0, 0.5, -0.5, 1e308, -1e308, 1e-308, 5e-324, NAN, INF, -INF,
    2**31 - 1, 2**31, 2**32, 2**63, 2**64, -(2**63), 10**400, "", "x", "auto", "linear", b"", (),
    [], {}, (1,), (1, 2), (2, 1), (0, 0), (1, 2, 3), ("a", "b"), 1j, [[1]], "norm", "sign", "dense",
    "best", {"a": 1},
)  # fmt: skip
#: Large values of these ask for hours or terabytes, and are right to.
COSTLY = {
    "num_sweeps", "num_reads", "num_restarts", "num_states", "coefficient_z_first",
    "coefficient_z_restart", "lower_bound_z", "timeout", "num_sweeps_per_beta",
}  # fmt: skip

junk = st.sampled_from(VALUES)
#: Chooses an argument: its remainder by the number of arguments.
places = st.integers(0, 99)


def works_or_is_refused(call: Callable[..., object], names: Iterable[str], place: int, value: Any):
    """Require that a call with one argument replaced works, or raises TypeError or ValueError."""
    choices = sorted(set(names) - COSTLY)
    name = choices[place % len(choices)]
    try:
        call(**{name: value})
    except (TypeError, ValueError):
        pass
    except Exception as error:
        raise Fault(f"{name}={value!r}: {type(error).__name__}: {error}") from error
