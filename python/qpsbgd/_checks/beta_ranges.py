"""Checks of ranges of inverse temperatures."""

from typing import Any, Literal, TypeAlias

from qpsbgd._checks.numbers import checked_real
from qpsbgd._checks.real_arrays import refuse_masked, tensor_array

BetaRule = Literal["auto", "dwave"]
BetaRange: TypeAlias = BetaRule | tuple[float, float]


def checked_beta_range(value: Any) -> BetaRange:
    """Return a range of inverse temperatures, or the name of the rule that finds one.

    Args:
        value: ``"auto"`` or ``None`` for the rule
            :func:`~qpsbgd.samplers.temperature_rules.auto_beta_range`, ``"dwave"`` for the rule of
            dwave-samplers, or two numbers, >= 0.

    Returns:
        ``"auto"``, ``"dwave"``, or both numbers.

    Raises:
        TypeError: a masked array, or an end that is not a number.
        ValueError: another word, another number of ends, or an end that is negative or NaN.
    """
    if value is None:
        return "auto"
    rule = f"beta_range is {value!r}, but must be 'auto', 'dwave', None or two numbers"
    if isinstance(value, str):
        if value not in ("auto", "dwave"):
            raise ValueError(rule)
        return "auto" if value == "auto" else "dwave"
    refuse_masked("beta_range", value)
    array = tensor_array("beta_range", value)
    try:
        first, last = value if array is None else array
    except (TypeError, ValueError):
        raise ValueError(rule) from None
    ends = checked_real("beta_range[0]", first), checked_real("beta_range[1]", last)
    if not (ends[0] >= 0 and ends[1] >= 0):
        raise ValueError(f"beta_range is {value!r}, but its ends must be at least 0")
    return ends


def checked_geometric_range(value: Any) -> BetaRange:
    """Return :func:`checked_beta_range` of a geometric schedule, whose ends are > 0 and finite.

    Raises:
        TypeError: a masked array, or an end that is not a number.
        ValueError: another word, another number of ends, or an end that is out of range.
    """
    ends = checked_beta_range(value)
    if not isinstance(ends, str) and not all(0 < end < float("inf") for end in ends):
        raise ValueError(
            f"beta_range is {value!r}, but a geometric schedule needs positive, finite ends"
        )
    return ends
