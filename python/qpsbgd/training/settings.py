"""Descriptions of settings: help text, valid values, and the command line option of each."""

import math
from dataclasses import MISSING, dataclass, field
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from qpsbgd.training.recipes import OptimizerName

ProjectorName = Literal["native", "sampler", "dwave"]
Topology = Literal["pegasus", "zephyr", "chimera"]


@dataclass(frozen=True)
class Interval:
    """Interval of valid numbers: ``[low, high)``, or ``(low, high)`` if ``is_open``.

    Example:
        >>> str(Interval(0, 1)), 0 in Interval(0, 1), 1 in Interval(0, 1)
        ('[0, 1)', True, False)
    """

    low: float
    high: float = math.inf
    is_open: bool = False

    def __contains__(self, number: float) -> bool:
        """Return whether a number lies in the interval; NaN lies in none."""
        is_above = self.low < number if self.is_open else self.low <= number
        return is_above and number < self.high

    def __str__(self) -> str:
        return f"{'(' if self.is_open else '['}{self.low}, {self.high})"


POSITIVE = Interval(0, is_open=True)
#: The solver counts in 32 bits.
COUNT = Interval(1, 2**31)
COUNT_OR_ZERO = Interval(0, 2**31)


@dataclass(frozen=True)
class Option:
    """Description of a setting for its check and for the command line.

    Attributes:
        help: text behind the option in ``qpsbgd train --help``.
        interval: valid numbers; None if the setting is no number.
        flag: name of the option, if it differs from the setting's.
        metavar: placeholder of the value in the help.
        default_text: what the help shows in place of the default value.
        optimizers: optimisers that use the setting; empty if all do.
        projectors: projectors that use the setting; empty if all do.
        names: values beside which the path of a file is valid; empty for other settings.
    """

    help: str | None = None
    interval: Interval | None = None
    flag: str | None = None
    metavar: str | None = None
    default_text: str | None = None
    optimizers: tuple[OptimizerName, ...] = ()
    projectors: tuple[ProjectorName, ...] = ()
    names: tuple[str, ...] = ()


def setting(
    help_text: str | None = None,
    *,
    default: Any = MISSING,
    default_factory: Any = MISSING,
    **details: Any,
) -> Any:
    """Return a dataclass field that is a setting, described by an :class:`Option`.

    Args:
        help_text: text behind the option in ``qpsbgd train --help``.
        default: default value; a setting without one is required.
        default_factory: function that returns the default value.
        **details: other attributes of the option.
    """
    metadata = {"option": Option(help_text, **details)}
    if default_factory is not MISSING:
        return field(default_factory=default_factory, metadata=metadata)
    return field(default=default, metadata=metadata)


def without_none(kind: Any) -> tuple[Any, bool]:
    """Return a type without None, and whether None was part of it.

    Example:
        >>> without_none(int | None), without_none(str)
        ((<class 'int'>, True), (<class 'str'>, False))
    """
    # ``Literal[...] | None`` is a Union before Python 3.14.
    if get_origin(kind) not in (Union, UnionType):
        return kind, False
    (own,) = (choice for choice in get_args(kind) if choice is not NoneType)
    return own, True


def check_value(name: str, value: Any, kind: Any, interval: Interval | None) -> None:
    """Raise if a setting's value does not fit its type or its interval.

    Raises:
        TypeError: the value has the wrong type.
        ValueError: the value is not one of the choices or not in the interval.

    Example:
        >>> check_value("epochs", 0, int, COUNT)
        Traceback (most recent call last):
        ValueError: epochs is 0, but must lie in [1, 2147483648)
    """
    kind, is_optional = without_none(kind)
    if value is None and is_optional:
        return
    if get_origin(kind) is Literal:
        choices = get_args(kind)
        if not isinstance(value, str) or value not in choices:
            raise ValueError(f"{name} is {value!r}, but must be one of {', '.join(choices)}")
        return
    kind = get_origin(kind) or kind
    accepted = (int, float) if kind is float else kind
    if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool):
        raise TypeError(f"{name} is {value!r}, but must be of type {kind.__name__}")
    if interval is not None and value not in interval:
        raise ValueError(f"{name} is {value!r}, but must lie in {interval}")
