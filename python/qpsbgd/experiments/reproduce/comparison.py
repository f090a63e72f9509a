"""The paper's order of methods beside ours, in words that follow from the table alone."""

import itertools
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from qpsbgd.experiments.reproduce.study import Row, Table, deviation

#: Differences of fewer standard errors are put down to chance.
NUM_ERRORS = 2


@dataclass(frozen=True)
class Compared:
    """A method with a published value, and what it is to be compared with.

    Attributes:
        method: its name.
        published: the paper's value.
        values: ours, of one run each.
    """

    method: str
    published: float
    values: Sequence[float]

    @property
    def mean(self) -> float:
        """Of our values."""
        return statistics.fmean(self.values)


def compare_orders(table: Table) -> list[str]:
    """A sentence for scores, and one for each detail that the paper has instead of a score.

    None where the paper has fewer than two methods to compare; methods whose runs diverged are
    left out.
    """
    groups: dict[str | None, list[Compared]] = {}
    for row in table.rows:
        name, published = _measure(row)
        values = row.scores if name is None else row.detail(name)
        if published is not None and values and all(map(math.isfinite, values)):
            groups.setdefault(name, []).append(Compared(row.method, published, values))
    return [
        _sentence(
            "" if name is None else table.experiment.details.get(name, name),
            methods,
            highest_first=name is not None or table.experiment.higher_is_better,
        )
        for name, methods in groups.items()
        if len(methods) > 1
    ]


def _measure(row: Row) -> tuple[str | None, float | None]:
    """Name of the detail, None for the score, and the paper's value of it."""
    if row.published is None or row.published.score is not None or not row.published.details:
        return None, row.published.score if row.published else None
    return next(iter(row.published.details.items()))


def _sentence(measure: str, methods: Sequence[Compared], highest_first: bool) -> str:
    published = sorted(methods, key=lambda each: each.published, reverse=highest_first)
    ours = sorted(methods, key=lambda each: each.mean, reverse=highest_first)
    turned, level = [], []
    for one, other in itertools.combinations(published, 2):
        if one.published == other.published:
            continue
        chance = _within_chance(one, other)
        pair = f"{one.method} and {other.method}"
        if (one.published - other.published) * (one.mean - other.mean) < 0:
            turned.append(pair + (" (within chance)" if chance else ""))
        elif chance:
            level.append(pair)
    return (
        f"Published order{measure and f' of {measure}'}, "
        f"{'highest' if highest_first else 'lowest'} first: "
        + ", ".join(f"{each.method} {each.published:.3g}" for each in published)
        + "; here: "
        + ", ".join(f"{each.method} {each.mean:.3g}" for each in ours)
        + ". "
        + (f"The other way round: {', '.join(turned)}." if turned else "No pair is turned round.")
        + (f" As published, but within chance: {', '.join(level)}." if level else "")
        + (" One run each: chance cannot be told." if _single(methods) else "")
    )


def _single(methods: Sequence[Compared]) -> bool:
    return any(len(each.values) < 2 for each in methods)


def _within_chance(one: Compared, other: Compared) -> bool:
    """Whether means differ by less than two standard errors of their difference."""
    if one.mean == other.mean:
        return True
    error = math.hypot(
        *(deviation(each.values) / math.sqrt(len(each.values)) for each in (one, other))
    )
    return abs(one.mean - other.mean) < NUM_ERRORS * error
