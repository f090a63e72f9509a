"""An experiment as a table of cells: its methods are tuned over their grids, then run with seeds.

A cell's outcome is a file in the study's folder, written whole when the cell is done: a study that
was interrupted goes on with the cells that are missing.
"""

import contextlib
import math
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qpsbgd.errors import MissingDataError
from qpsbgd.experiments.reproduce.experiment import (
    Cell,
    Experiment,
    Method,
    Outcome,
    Published,
    Setting,
    Stage,
    tuning_seeds,
)
from qpsbgd.experiments.reproduce.store import Run, Store


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


def count_cells(experiment: Experiment, setting: Setting, num_seeds: int, quick: bool) -> int:
    """Cells of an experiment, finished or not."""
    total = 0
    for case in experiment.cases(setting, quick):
        for method in experiment.methods(case, setting, quick):
            size = len(method.grid)
            total += num_seeds + (size * len(tuning_seeds(quick)) if size > 1 else 0)
    return total
