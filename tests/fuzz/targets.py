"""The registry of targets, and the checks that several topics share."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

#: The files of this folder that hold targets.
TOPICS = (
    "samplers", "batches", "couplings", "projection", "gradients", "files", "command_line",
    "training", "stores",
)  # fmt: skip


class Fault(AssertionError):
    """A property that does not hold."""


@dataclass(frozen=True)
class Target:
    """A function that checks cases, and the strategy that draws them."""

    check: Callable[..., None]
    cases: st.SearchStrategy[dict[str, Any]]


TARGETS: dict[str, Target] = {}


def target(**arguments: st.SearchStrategy[Any]) -> Callable[..., Callable[..., None]]:
    """Register a function as a target whose arguments these strategies draw."""

    def register(check: Callable[..., None]) -> Callable[..., None]:
        TARGETS[check.__name__] = Target(check, st.fixed_dictionaries(arguments))
        return check

    return register


def load_topics() -> list[str]:
    """Import all topics; return what was left out, with the reason."""
    missing = []
    for topic in TOPICS:
        try:
            importlib.import_module(f"fuzz.{topic}")
        except ModuleNotFoundError as error:
            missing.append(f"{topic}: {error}")
    return missing


def parse_case(text: str) -> tuple[str, dict[str, Any]]:
    """Return the target's name and the arguments of a case as it is printed."""
    name = text.partition("(")[0]
    constants = {"nan": float("nan"), "inf": float("inf"), name: dict}
    return name, eval(text, {"__builtins__": {}}, constants)


def print_case(name: str, case: dict[str, Any]) -> str:
    """Return a case as one line that :func:`parse_case` reads."""
    return f"{name}({', '.join(f'{key}={value!r}' for key, value in case.items())})"


def need(holds: Any, message: str) -> None:
    """Raise a fault with this message unless the property holds."""
    if not holds:
        raise Fault(message)


def is_refused(call: Callable[[], object], *errors: type[Exception]) -> bool:
    """Whether a call raises one of these errors; any other error is passed on."""
    try:
        call()
    except errors:
        return True
    return False


class Unchanged:
    """Context in which arrays must keep their bytes."""

    def __init__(self, *arrays: Any) -> None:
        self.arrays = [array for array in arrays if isinstance(array, np.ndarray)]

    def __enter__(self) -> None:
        self.before = [array.tobytes() for array in self.arrays]

    def __exit__(self, *error: object) -> None:
        same = all(
            array.tobytes() == before
            for array, before in zip(self.arrays, self.before, strict=True)
        )
        need(same, "an argument was changed")
