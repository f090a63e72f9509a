"""What an experiment is made of: cells, their outcomes, and what is said of them.

A cell is one run of one method in one case with one seed.
"""

import dataclasses
import hashlib
import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

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


def grid(**values: Sequence[Any]) -> tuple[dict[str, Any], ...]:
    """Options to choose from: all combinations of the values, the last name's changing fastest."""
    return tuple(
        dict(zip(values, chosen, strict=True)) for chosen in itertools.product(*values.values())
    )


def tuning_seeds(quick: bool) -> Sequence[int]:
    """Of each of a grid."""
    return TUNING_SEEDS[:1] if quick else TUNING_SEEDS
