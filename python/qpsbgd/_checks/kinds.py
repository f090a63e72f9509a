"""Checks of what kind of value an argument is."""

from collections.abc import Callable
from numbers import Number
from typing import Any, TypeVar

AnyCallable = TypeVar("AnyCallable", bound=Callable[..., Any])


def described(value: Any) -> str:
    """Return words for a value in a message: ``"a dict"``, ``"the class TabuSampler"``, ``"3"``."""
    if value is None or isinstance(value, Number):
        return repr(value)
    if isinstance(value, type):
        return f"the class {value.__name__}"
    return f"a {type(value).__name__}"


def check_instance(name: str, value: Any, kind: type, rule: str) -> None:
    """Raise TypeError if a value is not an instance of a class.

    Args:
        name: name of the argument.
        value: value of the argument.
        kind: the class.
        rule: words for what the value must be, such as ``"a dimod.Sampler"``.
    """
    if not isinstance(value, kind):
        is_class_of_kind = isinstance(value, type) and issubclass(value, kind)
        advice = f": write {value.__name__}() for an instance" if is_class_of_kind else ""
        raise TypeError(f"{name} is {described(value)}, but must be {rule}{advice}")


def checked_callable(name: str, value: AnyCallable | None) -> AnyCallable | None:
    """Return a callable or None; raise TypeError for anything else."""
    if value is not None and not callable(value):
        raise TypeError(f"{name} is {value!r}, but must be callable")
    return value
