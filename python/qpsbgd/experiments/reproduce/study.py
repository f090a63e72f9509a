"""An experiment as a table of cells: its methods are tuned over their grids, then run with seeds.

A cell is one run of one method in one case with one seed. Its outcome is a file in the study's
folder, written whole when the cell is done: a study that was interrupted goes on with the cells
that are missing.
"""

import contextlib
import dataclasses
import hashlib
import json
import math
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from qpsbgd import __version__
from qpsbgd.atomic import write_atomically
from qpsbgd.experiments.datasets import MissingDataError

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
        return f"{self.experiment}-{hashlib.blake2b(content.encode(), digest_size=12).hexdigest()}"


@dataclass(frozen=True)
class Outcome:
    """What a cell found.

    Attributes:
        score: what the table shows: of a final run on test data.
        validation: what tuning goes by, the higher the better; not of test data. NaN, of a run that
            diverged, is worse than all numbers.
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
class Run:
    """A cell, finished; seconds are those that it took."""

    cell: Cell
    outcome: Outcome
    seconds: float


@dataclass(frozen=True)
class Row:
    """A method's part of a case, finished.

    Attributes:
        method: its name.
        options: that were chosen.
        tuning: runs of each of the grid, in its order; empty where there was no choice.
        finals: by seed.
        published: what the paper has, if anything.
    """

    method: str
    options: Mapping[str, Any]
    tuning: tuple[Run, ...]
    finals: tuple[Run, ...]
    published: Published | None

    @property
    def tried(self) -> list[tuple[Mapping[str, Any], float]]:
        """Mean validation of each of the grid."""
        return mean_validations(self.tuning)

    @property
    def outcomes(self) -> list[Outcome]:
        """Of the final runs."""
        return [run.outcome for run in self.finals]

    @property
    def seconds(self) -> float:
        """Of all its runs."""
        return sum(run.seconds for run in (*self.tuning, *self.finals))

    @property
    def scores(self) -> list[float]:
        """Of the final runs."""
        return [outcome.score for outcome in self.outcomes]

    def detail(self, name: str) -> list[float]:
        """Of the final runs that have it."""
        return [each.details[name] for each in self.outcomes if name in each.details]

    @property
    def mean(self) -> float:
        """Of the scores."""
        return statistics.fmean(self.scores)

    @property
    def deviation(self) -> float:
        """Of the scores from run to run; 0 for one."""
        return deviation(self.scores)


@dataclass(frozen=True)
class Table:
    """A case in a setting, finished; settings are in the experiment's words."""

    experiment: Experiment
    case: str
    setting: Setting
    quick: bool
    settings: Mapping[str, str]
    rows: tuple[Row, ...]


def deviation(values: Sequence[float]) -> float:
    """Standard deviation of a sample; 0 of one value, NaN where not all are finite."""
    if not all(map(math.isfinite, values)):
        return math.nan  # statistics.stdev fails
    return statistics.stdev(values) if len(values) > 1 else 0.0


def mean_validations(runs: Sequence[Run]) -> list[tuple[Mapping[str, Any], float]]:
    """By options, in their first order."""
    found: list[tuple[Mapping[str, Any], list[float]]] = []
    for run in runs:
        if not found or found[-1][0] != run.cell.options:
            found.append((run.cell.options, []))
        found[-1][1].append(run.outcome.validation)
    return [(options, statistics.fmean(values)) for options, values in found]


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
        store: of finished cells.
        num_seeds: of final runs.
        quick: fewer steps and cells.
        advance: told of each cell when it is done.

    Raises:
        MissingDataError: of the experiment.
        ValueError: damaged data, or grids of different sizes in one case.
        OSError: a cell cannot be kept.
    """
    cases = experiment.cases(setting, quick)
    for case in cases:
        check_budgets(case, experiment.methods(case, setting, quick))
    for case in cases:
        settings = experiment.settings(case, setting, quick)

        def finished(cell: Cell, settings: Mapping[str, str] = settings) -> Run:
            run = store.load(cell, settings)
            if run is None:
                start = time.perf_counter()
                outcome = experiment.run(cell)
                run = Run(cell, outcome, time.perf_counter() - start)
                store.save(run, settings)
            advance(cell)
            return run

        rows = _rows(experiment, case, setting, quick, num_seeds, finished)
        yield Table(experiment, case, setting, quick, settings, rows)


def finished_tables(
    experiment: Experiment,
    setting: Setting,
    store: Store,
    *,
    num_seeds: int,
    quick: bool = False,
) -> Iterator[Table]:
    """What :func:`run_tables` would have nothing to run for; no data are downloaded for it.

    None of an experiment whose data or packages are missing: nobody has asked for it.
    """
    if not store.holds_any(experiment.name):
        return
    absent = MissingDataError, ValueError, ImportError
    cases: Sequence[str] = ()
    with contextlib.suppress(*absent):
        cases = experiment.cases(setting, quick)
    for case in cases:
        with contextlib.suppress(_UnfinishedError, *absent):
            settings = experiment.settings(case, setting, quick)

            def finished(cell: Cell, settings: Mapping[str, str] = settings) -> Run:
                run = store.load(cell, settings)
                if run is None:
                    raise _UnfinishedError
                return run

            rows = _rows(experiment, case, setting, quick, num_seeds, finished)
            yield Table(experiment, case, setting, quick, settings, rows)


class _UnfinishedError(Exception):
    """A table lacks a cell."""


def _rows(
    experiment: Experiment,
    case: str,
    setting: Setting,
    quick: bool,
    num_seeds: int,
    finished: Callable[[Cell], Run],
) -> tuple[Row, ...]:
    """Rows of a table, each of whose cells ``finished`` runs or has."""
    published = experiment.published(case)

    def row(method: Method) -> Row:
        def runs(options: Mapping[str, Any], stage: Stage, seeds: Sequence[int]) -> list[Run]:
            return [
                finished(
                    Cell(experiment.name, case, setting, method.name, options, seed, stage, quick)
                )
                for seed in seeds
            ]

        options, tuning = method.grid[0], []
        if len(method.grid) > 1:
            tuning = [
                run for each in method.grid for run in runs(each, "tune", tuning_seeds(quick))
            ]
            options = best_options(tuning)
        finals = runs(options, "final", range(num_seeds))
        return Row(method.name, options, tuple(tuning), tuple(finals), published.get(method.name))

    return tuple(row(method) for method in experiment.methods(case, setting, quick))


def best_options(tuning: Sequence[Run]) -> Mapping[str, Any]:
    """Those of the best mean validation; the first of equals, as grids begin with their first."""
    options, _ = max(
        mean_validations(tuning),
        key=lambda pair: -math.inf if math.isnan(pair[1]) else pair[1],
    )
    return options


def check_budgets(case: str, methods: Sequence[Method]) -> None:
    """Refuse grids of different sizes: more options are more chances. Untuned methods may be.

    Raises:
        ValueError: there are such grids.
    """
    sizes = {method.name: len(method.grid) for method in methods if len(method.grid) > 1}
    if len(set(sizes.values())) > 1:
        listed = ", ".join(f"{name} {size}" for name, size in sizes.items())
        raise ValueError(f"{case}: grids must have equally many options, but have {listed}")


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
