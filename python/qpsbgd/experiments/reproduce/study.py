"""An experiment as a table of cells: its methods are tuned over their grids, then run with seeds.

A cell is one run of one method in one case with one seed. Its outcome is a file in the study's
folder, written whole when the cell is done: a study that was interrupted goes on with the cells
that are missing.
"""

import dataclasses
import hashlib
import json
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from qpsbgd import __version__
from qpsbgd.atomic import write_atomically

Setting = Literal["paper", "sound"]
Stage = Literal["tune", "final"]

#: Seeds of tuning runs; those of final runs are 0, 1, ...
TUNING_SEEDS = (1000, 1001)


@dataclass(frozen=True)
class Method:
    """One row of a case's table.

    Attributes:
        name: as in the paper, where it has it.
        grid: options to choose from. All methods of a case have equally many, so that each has the
            same budget; with one there is nothing to choose.
    """

    name: str
    grid: tuple[Mapping[str, Any], ...] = ({},)


@dataclass(frozen=True)
class Cell:
    """One run.

    Attributes:
        experiment: its name.
        case: of the experiment, such as a data set.
        setting: ``"paper"`` as published, or ``"sound"``.
        method: its name.
        options: one of the method's grid.
        seed: of weights, batches and whatever else is drawn.
        stage: ``"tune"`` must not look at test data; ``"final"`` does.
        quick: a fraction of the steps, to see that all works.
    """

    experiment: str
    case: str
    setting: Setting
    method: str
    options: Mapping[str, Any]
    seed: int
    stage: Stage
    quick: bool = False

    @property
    def key(self) -> str:
        """Names the cell's file."""
        content = json.dumps(dataclasses.asdict(self), sort_keys=True)
        return hashlib.blake2b(content.encode(), digest_size=12).hexdigest()


@dataclass(frozen=True)
class Outcome:
    """What a cell found.

    Attributes:
        score: what the table shows: of a final run on test data.
        validation: what tuning goes by, the higher the better; not of test data.
        curves: by name, a value a step or epoch; of equal length for all seeds of a method.
        details: other numbers worth a column in results.csv.
    """

    score: float
    validation: float = 0.0
    curves: Mapping[str, Sequence[float]] = field(default_factory=dict)
    details: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Published:
    """What the paper has for a method in a case.

    Attributes:
        score: in the table's unit; None where it has a curve alone.
        note: beside it, such as "best .62".
        curves: by the name of ours, ``(x, y)``.
        ends: of curves of which the paper has the last value alone, by the name of ours: a
            horizontal line in the plot.
        details: by the name of ours in :attr:`Outcome.details`.
    """

    score: float | None = None
    note: str = ""
    curves: Mapping[str, tuple[Sequence[float], Sequence[float]]] = field(default_factory=dict)
    ends: Mapping[str, float] = field(default_factory=dict)
    details: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Axes:
    """How a curve is drawn.

    Attributes:
        x: label.
        y: label.
        at: x of its values; None for 1, 2, ...
        log: both axes.
        power: exponent of a straight line beside it, for logarithmic axes: what theory says.
    """

    x: str
    y: str
    at: tuple[float, ...] | None = None
    log: bool = False
    power: float | None = None


class Experiment(Protocol):
    """What each experiment's file has one of."""

    @property
    def name(self) -> str:
        """On the command line."""
        ...

    @property
    def title(self) -> str:
        """Of its part of the report."""
        ...

    @property
    def measure(self) -> str:
        """What scores are, such as "test accuracy"."""
        ...

    @property
    def higher_is_better(self) -> bool:
        """Of scores; of validation it is so always."""
        ...

    @property
    def axes(self) -> Mapping[str, Axes]:
        """Of the curves, by name; only these are drawn."""
        ...

    @property
    def details(self) -> Mapping[str, str]:
        """Of :attr:`Outcome.details`, by name, those with a column in the table: its heading."""
        ...

    def cases(self, setting: Setting, quick: bool) -> Sequence[str]:
        """Names of the tables, those alone whose data are there."""
        ...

    def methods(self, case: str, setting: Setting, quick: bool) -> Sequence[Method]:
        """Rows of a table."""
        ...

    def run(self, cell: Cell) -> Outcome:
        """Train; the same outcome for the same cell."""
        ...

    def published(self, case: str) -> Mapping[str, Published]:
        """By method."""
        ...

    def settings(self, case: str, setting: Setting, quick: bool) -> Mapping[str, str]:
        """What the report says of network, data, batch, steps and so on, in words.

        All that an outcome depends on, and that its cell does not say: a finished cell whose
        settings were others is run again.
        """
        ...

    def remarks(self, case: str, setting: Setting) -> Sequence[str]:
        """What to know beside the numbers, whatever they are: no results are in it."""
        ...


@dataclass(frozen=True)
class Row:
    """A method's part of a case, finished.

    Attributes:
        method: its name.
        options: that were chosen.
        tried: mean validation of each of the grid, in order; empty where there was no choice.
        outcomes: of the final runs, by seed.
        seconds: of all its runs, those of tuning too.
        published: what the paper has, if anything.
    """

    method: str
    options: Mapping[str, Any]
    tried: tuple[tuple[Mapping[str, Any], float], ...]
    outcomes: tuple[Outcome, ...]
    seconds: float
    published: Published | None

    @property
    def scores(self) -> list[float]:
        """Of the final runs."""
        return [outcome.score for outcome in self.outcomes]

    @property
    def mean(self) -> float:
        """Of the scores."""
        return statistics.fmean(self.scores)

    @property
    def deviation(self) -> float:
        """Of the scores from run to run; 0 for one."""
        return statistics.stdev(self.scores) if len(self.scores) > 1 else 0.0


@dataclass(frozen=True)
class Table:
    """A case in a setting, finished."""

    experiment: Experiment
    case: str
    setting: Setting
    rows: tuple[Row, ...]


class Store:
    """Outcomes of cells in a folder, one file each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "cells"
        self.folder.mkdir(parents=True, exist_ok=True)

    def load(self, cell: Cell) -> tuple[Outcome, float] | None:
        """Outcome and seconds of a finished cell; None where there is none, or a damaged file."""
        try:
            content = json.loads((self.folder / f"{cell.key}.json").read_text())
            if content["version"] != __version__:
                return None
            return Outcome(**content["outcome"]), float(content["seconds"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def save(self, cell: Cell, outcome: Outcome, seconds: float) -> None:
        """Keep it."""
        content = {
            "version": __version__,
            "cell": dataclasses.asdict(cell),
            "outcome": dataclasses.asdict(outcome),
            "seconds": seconds,
        }
        path = self.folder / f"{cell.key}.json"
        write_atomically(path, json.dumps(content).encode())


def run_tables(
    experiment: Experiment,
    setting: Setting,
    store: Store,
    *,
    num_seeds: int,
    quick: bool = False,
    advance: Callable[[Cell], object] = lambda cell: None,
) -> Iterator[Table]:
    """Run what is not there yet of an experiment, case by case.

    Args:
        experiment: which one.
        setting: see :class:`Cell`.
        store: of outcomes.
        num_seeds: of final runs.
        quick: fewer steps and cells.
        advance: told of each cell when it is done.
    """
    for case in experiment.cases(setting, quick):
        published = experiment.published(case)
        rows = []
        for method in experiment.methods(case, setting, quick):
            seconds = 0.0

            def outcome(
                options: Mapping[str, Any],
                seed: int,
                stage: Stage,
                case: str = case,
                method: Method = method,
            ) -> Outcome:
                nonlocal seconds
                cell = Cell(
                    experiment.name, case, setting, method.name, options, seed, stage, quick
                )
                done = store.load(cell)
                if done is None:
                    start = time.perf_counter()
                    found = experiment.run(cell)
                    done = found, time.perf_counter() - start
                    store.save(cell, *done)
                advance(cell)
                seconds += done[1]
                return done[0]

            options, tried = method.grid[0], []
            if len(method.grid) > 1:
                for candidate in method.grid:
                    values = [
                        outcome(candidate, seed, "tune").validation for seed in tuning_seeds(quick)
                    ]
                    tried.append((candidate, statistics.fmean(values)))
                # The first of equals, as grids are in order of their first option.
                options = max(tried, key=lambda pair: pair[1])[0]
            finals = tuple(outcome(options, seed, "final") for seed in range(num_seeds))
            rows.append(
                Row(method.name, options, tuple(tried), finals, seconds, published.get(method.name))
            )
        yield Table(experiment, case, setting, tuple(rows))


def tuning_seeds(quick: bool) -> Sequence[int]:
    """Of each of a grid."""
    return TUNING_SEEDS[:1] if quick else TUNING_SEEDS


def count_cells(experiment: Experiment, setting: Setting, num_seeds: int, quick: bool) -> int:
    """Cells of an experiment, finished or not."""
    total = 0
    for case in experiment.cases(setting, quick):
        for method in experiment.methods(case, setting, quick):
            size = len(method.grid)
            total += num_seeds + (size * len(tuning_seeds(quick)) if size > 1 else 0)
    return total
