"""Parameter groups: their type, and the check of their hyper-parameters."""

from collections.abc import Iterable
from typing import Any

from torch import Tensor

from qpsbgd._checks.numbers import checked_real

Params = Iterable[Tensor] | Iterable[dict[str, Any]] | Iterable[tuple[str, Tensor]]


def check_intervals(group: dict[str, Any], intervals: dict[str, str]) -> None:
    """Raise an error if a hyper-parameter of a group is outside its interval.

    Args:
        group: parameter group.
        intervals: interval of each hyper-parameter as text, such as ``"[0, 1)"``.

    Raises:
        TypeError: a hyper-parameter is not a real number.
        ValueError: a hyper-parameter is outside its interval.

    Example:
        >>> from qpsbgd.optim.baselines.groups import check_intervals
        >>> check_intervals({"momentum": 0.9}, {"momentum": "[0, 1)"})
    """
    for name, interval in intervals.items():
        value = group[name]
        number = checked_real(name, value.item() if isinstance(value, Tensor) else value)
        low, high = (float(end) for end in interval[1:-1].split(","))
        is_above = number >= low if interval[0] == "[" else number > low
        is_below = number <= high if interval[-1] == "]" else number < high
        if not (is_above and is_below):  # NaN is in no interval
            raise ValueError(f"{name} is {value!r}, but must lie in {interval}")
