"""Vocabulary of the experiments: cells, their outcomes, and the tables that they belong to.

A cell is one training run of one method, with one set of options and one seed. A case is a table:
all methods on one data set in one setting. Its methods are tuned first; the final runs follow.
"""

import abc
import dataclasses
import hashlib
import itertools
import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from qpsbgd import __version__

#: The published protocol is ``"paper"``; tuned methods and enough steps are ``"sound"``.
SETTINGS = ("sound", "paper")
#: Seeds of the tuning runs. Final runs have the seeds 0, 1, 2, ...
TUNING_SEEDS = (1000, 1001)
#: A curve has at most this many points, which keeps files and pictures small.
MAX_POINTS = 30

Options = dict[str, Any]
#: Options to choose from, by method. A grid of one option needs no tuning.
Grids = Mapping[str, tuple[Options, ...]]


def digest(content: Any) -> str:
    """Return a digest of JSON content."""
    return hashlib.blake2b(json.dumps(content, sort_keys=True).encode(), digest_size=12).hexdigest()


@dataclass(frozen=True)
class Cell:
    """One run.

    Attributes:
        stage: ``"tune"`` for a run that must not use test data, ``"final"`` for one that does.
        protocol: every number that the outcome depends on besides the other attributes, such as
            epochs and batch size.
    """

    experiment: str
    case: str
    setting: str
    method: str
    options: Options
    seed: int
    stage: str
    protocol: Mapping[str, Any]

    @property
    def key(self) -> str:
        """Digest of the cell and of the package's version."""
        return digest([__version__, dataclasses.asdict(self)])


@dataclass(frozen=True)
class Outcome:
    """Result of a cell.

    Attributes:
        score: the number in the table, measured on test data.
        validation: the number that tuning maximises, never measured on test data.
        curves: points ``(x, y)``, by the name of the curve.
        details: further numbers, by name.
    """

    score: float = math.nan
    validation: float = math.nan
    curves: Mapping[str, Sequence[tuple[float, float]]] = field(default_factory=dict)
    details: Mapping[str, float] = field(default_factory=dict)


class Experiment(abc.ABC):
    """One experiment of the paper.

    Attributes:
        measure: what scores measure.
        axes: labels of the axes of each curve, by its name.
        details: headings of the details that tables show, by name.
        remarks: sentences for the page, by setting.
    """

    name: str
    title: str
    measure: str = "test accuracy"
    lower_is_better: bool = False
    axes: Mapping[str, tuple[str, str]]
    details: Mapping[str, str]
    remarks: Mapping[str, Sequence[str]]

    @abc.abstractmethod
    def cases(self, setting: str, quick: bool) -> Sequence[str]:
        """Return the names of the cases."""

    @abc.abstractmethod
    def grids(self, case: str, setting: str) -> Grids:
        """Return the options of each method, QP-SBGD first."""

    @abc.abstractmethod
    def protocol(self, case: str, setting: str, quick: bool) -> dict[str, Any]:
        """Return the numbers that the runs of a case share, and make sure that its data are there.

        Raises:
            MissingDataError: The data are missing.
            ValueError: The data are damaged.
        """

    @abc.abstractmethod
    def run(self, cell: Cell) -> Outcome:
        """Run one cell; the same cell always has the same outcome."""


@dataclass(frozen=True)
class Case:
    """One table: a case of an experiment in a setting, with a number of final runs."""

    experiment: Experiment
    name: str
    setting: str
    num_seeds: int
    quick: bool
    protocol: Mapping[str, Any]

    @property
    def grids(self) -> Grids:
        """Options of each method; in a quick study two of them."""
        grids = self.experiment.grids(self.name, self.setting)
        if self.quick:
            grids = {
                name: (grid[len(grid) // 3], grid[2 * len(grid) // 3]) if len(grid) > 1 else grid
                for name, grid in grids.items()
            }
        sizes = {name: len(options) for name, options in grids.items() if len(options) > 1}
        if len(set(sizes.values())) > 1:  # More options are more chances.
            raise ValueError(f"{self.name}: tuned grids must have one size, but sizes are {sizes}")
        return grids

    def tuning_cells(self) -> list[Cell]:
        """Return the cells from whose outcomes options are chosen."""
        tuned = {method: grid for method, grid in self.grids.items() if len(grid) > 1}
        return [
            cell
            for method, grid in tuned.items()
            for options in grid
            for cell in self._tuning_runs(method, options)
        ]

    def final_cells(self, results: Mapping[str, Any]) -> list[Cell]:
        """Return the final runs, with the chosen options.

        Args:
            results: records by the cell's key.

        Raises:
            KeyError: A tuning cell is not finished.
        """
        return [
            self._cell(method, self.choose(method, results), seed, "final")
            for method in self.grids
            for seed in range(self.num_seeds)
        ]

    def is_finished(self, results: Mapping[str, Any]) -> bool:
        """Return whether all cells have records."""
        try:
            return all(cell.key in results for cell in self.final_cells(results))
        except KeyError:
            return False

    def choose(self, method: str, results: Mapping[str, Any]) -> Options:
        """Return the options with the highest mean validation, the first of equal ones."""
        grid = self.grids[method]
        if len(grid) == 1:
            return grid[0]

        def mean_validation(options: Options) -> float:
            runs = self._tuning_runs(method, options)
            mean = statistics.fmean(results[cell.key]["validation"] for cell in runs)
            return -math.inf if math.isnan(mean) else mean  # A diverged run is the worst.

        return max(grid, key=mean_validation)

    def _tuning_runs(self, method: str, options: Options) -> list[Cell]:
        seeds = TUNING_SEEDS[:1] if self.quick else TUNING_SEEDS
        return [self._cell(method, options, seed, "tune") for seed in seeds]

    def _cell(self, method: str, options: Options, seed: int, stage: str) -> Cell:
        name = self.experiment.name
        return Cell(name, self.name, self.setting, method, options, seed, stage, self.protocol)


def grid(**values: Sequence[Any]) -> tuple[Options, ...]:
    """Return all combinations of the values; the last name's values change fastest."""
    return tuple(
        dict(zip(values, chosen, strict=True)) for chosen in itertools.product(*values.values())
    )


def curve(values: Sequence[float]) -> list[tuple[float, float]]:
    """Return evenly spaced points ``(step, value)`` of a curve, its last value among them."""
    places = range(len(values), 0, -math.ceil(len(values) / MAX_POINTS))
    return [(float(place), float(values[place - 1])) for place in reversed(places)]
