"""JSON documents whose members are checked one by one."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from qpsbgd.formats.model import Weights


class Document:
    """JSON object from a file.

    Args:
        path: path of the file, for errors.
        content: bytes of the file.

    Raises:
        ValueError: the content is not a JSON object, or a name occurs twice in one object.
    """

    def __init__(self, path: Path, content: bytes) -> None:
        self.path = path
        try:
            members = json.loads(content.decode("utf-8-sig"), object_pairs_hook=_unique)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{path} is not JSON: {error}") from error
        if not isinstance(members, dict):
            raise ValueError(f"{path} is a JSON {type(members).__name__}, but must be an object")
        self.members: dict[str, Any] = members

    def error(self, name: str, rule: str) -> ValueError:
        """Return the error of a member, which shows its value and the rule."""
        value = repr(self.members.get(name))
        value = value if len(value) <= 60 else value[:60] + "..."
        return ValueError(f"{self.path}: {name} is {value}, but {rule}")

    def __getitem__(self, name: str) -> Any:
        """Return a member; raise ValueError if it is missing."""
        if name not in self.members:
            raise ValueError(f"{self.path} has no {name!r}")
        return self.members[name]

    def number(self, name: str) -> float:
        """Return a member that is a finite number, as float64."""
        return self.checked_number(name, self[name])

    def checked_number(self, name: str, value: Any) -> float:
        """Return a value of a member as float64; raise ValueError if it is not a finite number."""
        if not is_number(value):
            raise ValueError(f"{self.path}: {name} has {value!r}, but must have numbers")
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            raise ValueError(f"{self.path} has a bias of {number}, but biases must be finite")
        return number

    def list(self, name: str) -> list[Any]:
        """Return a member that is a list."""
        value = self[name]
        if not isinstance(value, list):
            raise self.error(name, "must be a list")
        return value

    def weights(self, name: str) -> Weights:
        """Return a member that is a list of finite numbers, as float64 ``(k,)``."""
        return np.array([self.checked_number(name, v) for v in self.list(name)], np.float64)


def is_number(value: Any) -> bool:
    """Return whether a JSON value is a number; True and False are not."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def is_integer(value: Any) -> bool:
    """Return whether a JSON value is an integer; True and False are not."""
    return isinstance(value, int) and not isinstance(value, bool)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice!r} occurs twice in one object")
    return members
