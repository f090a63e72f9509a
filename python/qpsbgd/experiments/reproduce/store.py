"""Finished cells in a folder, a file each."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qpsbgd import __version__
from qpsbgd.atomic import write_atomically
from qpsbgd.experiments.reproduce.experiment import Cell, Outcome


@dataclass(frozen=True)
class Run:
    """A cell, finished; seconds are those that it took."""

    cell: Cell
    outcome: Outcome
    seconds: float


class Store:
    """Finished cells in a folder, a file each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "cells"
        self.folder.mkdir(parents=True, exist_ok=True)

    def holds_any(self, experiment: str) -> bool:
        """Whether there is a cell of an experiment, of whatever settings."""
        return any(self.folder.glob(f"{experiment}-*.json"))

    def load(self, cell: Cell, settings: Mapping[str, str]) -> Run | None:
        """A finished cell.

        Args:
            cell: which one.
            settings: of its case.

        Returns:
            None where there is none, or a damaged file, or one of another version or of other
            settings.
        """
        try:
            content = json.loads((self.folder / f"{cell.key}.json").read_text())
            if content["version"] != __version__ or content["settings"] != dict(settings):
                return None
            return Run(cell, _outcome(content["outcome"]), _number(content["seconds"]))
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            return None

    def save(self, run: Run, settings: Mapping[str, str]) -> None:
        """Keep it."""
        content = {
            "version": __version__,
            "settings": dict(settings),
            "cell": dataclasses.asdict(run.cell),
            "outcome": dataclasses.asdict(run.outcome),
            "seconds": run.seconds,
        }
        write_atomically(self.folder / f"{run.cell.key}.json", json.dumps(content).encode())


def _outcome(content: Mapping[str, Any]) -> Outcome:
    """Of a file's content, of which nothing is known but that it is JSON."""
    return Outcome(
        score=_number(content["score"]),
        validation=_number(content["validation"]),
        curves={name: [_number(y) for y in curve] for name, curve in content["curves"].items()},
        details={name: _number(value) for name, value in content["details"].items()},
    )


def _number(value: Any) -> float:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise ValueError(f"{value!r} must be a number")
    return value
