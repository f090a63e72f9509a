"""Checks of arguments with a fixed set of values."""

from typing import Any, Literal

Keep = Literal["best", "final"]


def checked_choice(name: str, value: Any, choices: tuple[str | None, ...]) -> Any:
    """Return a value that is one of the choices: strings, and None where that is among them."""
    is_choice = value is None or isinstance(value, str)
    if not is_choice or value not in choices:
        text = " or ".join("None" if choice is None else repr(choice) for choice in choices)
        raise ValueError(f"{name} is {value!r}, but must be {text}")
    return value


def checked_keep(keep: Any) -> Keep | None:
    """Return which state a read of annealing keeps; None lets the schedule decide."""
    choice: Keep | None = checked_choice("keep", keep, ("best", "final", None))
    return choice
