"""Plots of a table's curves: mean and spread over seeds, with the paper's beside."""

import io
import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from qpsbgd.experiments.reproduce.experiment import Axes, Experiment, Published, Setting
from qpsbgd.experiments.reproduce.study import Row, Table

if TYPE_CHECKING:
    import matplotlib.axes
    from matplotlib.figure import Figure

_COLOURS = (
    "#1f6fb4", "#d1495b", "#2a9d5c", "#e09f3e", "#7b5ea7", "#5c6770",
    "#00a6a6", "#b05c2f", "#c45ab3", "#8a9a2b", "#2f3e75", "#e07a5f",
)  # fmt: skip


def method_colours(experiment: Experiment, quick: bool) -> dict[str, str]:
    """One colour a method in all tables of an experiment, in the order in which they first come."""
    settings: tuple[Setting, Setting] = "sound", "paper"
    names: dict[str, None] = {}
    for setting in settings:
        for case in experiment.cases(setting, quick):
            names.update((each.name, None) for each in experiment.methods(case, setting, quick))
            names.update(dict.fromkeys(experiment.published(case)))
    return dict(zip(names, itertools.cycle(_COLOURS), strict=False))


def curve_names(table: Table) -> list[str]:
    """Curves that are drawn: those with axes that some row has."""
    found = {name for row in table.rows for outcome in row.outcomes for name in outcome.curves}
    return [name for name in table.experiment.axes if name in found]


def plot_curve(table: Table, name: str) -> bytes:
    """PNG of :func:`draw_curve`."""
    figure = _figure(4.2)
    draw_curve(figure.subplots(), table, name)
    return _png(figure)


def draw_curve(axes: "matplotlib.axes.Axes", table: Table, name: str) -> None:
    """One curve of every method.

    Lines are means over seeds, bands one standard deviation; the paper's curves are dashed, and the
    last values of those of which it has no more are horizontal.
    """
    shape = table.experiment.axes[name]
    colours = method_colours(table.experiment, table.quick)
    start = None
    for row in table.rows:
        mean, spread = mean_and_spread(row, name)
        if not len(mean):
            continue
        x = _places(shape, len(mean))
        axes.plot(x, mean, label=row.method, color=colours[row.method])
        axes.fill_between(x, mean - spread, mean + spread, alpha=0.15, color=colours[row.method])
        start = start or (x, float(mean[0]))
    for method, paper in table.experiment.published(table.case).items():
        _draw_published(axes, paper, name, f"{method} (paper)", colours[method])
    if shape.power is not None and start is not None:
        x, first = start
        guide = first * (x / x[0]) ** shape.power
        axes.plot(x, guide, ":", color="black", linewidth=1.0, label=f"T^{shape.power:g}")
    if shape.log:
        axes.set(xscale="log", yscale="log")
    axes.set(xlabel=shape.x, ylabel=shape.y, title=_title(table))
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")


def mean_and_spread(row: Row, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation over seeds, ``(steps,)`` each; empty where there is no curve."""
    curves: list[Sequence[float]] = [
        outcome.curves[name] for outcome in row.outcomes if name in outcome.curves
    ]
    if not curves:
        return np.empty(0), np.empty(0)
    values = np.array(curves, dtype=np.float64)  # (seeds, steps)
    with np.errstate(invalid="ignore"):  # infinite values of a run that diverged
        return values.mean(axis=0), values.std(axis=0, ddof=1 if len(values) > 1 else 0)


def plot_scores(table: Table) -> bytes:
    """PNG of :func:`draw_scores`."""
    figure = _figure(0.9 + 0.42 * len(table.rows))
    draw_scores(figure.subplots(), table)
    return _png(figure)


def draw_scores(axes: "matplotlib.axes.Axes", table: Table) -> None:
    """Every method's score: a point a seed, a bar for the mean, a cross for the paper's."""
    colours = method_colours(table.experiment, table.quick)
    for place, row in enumerate(table.rows):
        colour = colours[row.method]
        axes.plot(row.scores, [place] * len(row.scores), "o", alpha=0.45, color=colour)
        axes.plot([row.mean], [place], "|", markersize=18, markeredgewidth=2.5, color=colour)
        if row.published is not None and row.published.score is not None:
            axes.plot([row.published.score], [place], "kx", markersize=7)
    axes.set_yticks(range(len(table.rows)), [row.method for row in table.rows])
    # Room for the bars of the first and the last row; the first is on top.
    axes.set_ylim(len(table.rows) - 0.4, -0.6)
    axes.set(xlabel=f"{table.experiment.measure} (x: paper)", title=_title(table))
    axes.grid(alpha=0.3, axis="x")


def _draw_published(
    axes: "matplotlib.axes.Axes", paper: Published, name: str, label: str, colour: str
) -> None:
    if name in paper.curves:
        axes.plot(*paper.curves[name], "--", linewidth=1.0, label=label, color=colour)
    elif name in paper.ends:
        axes.axhline(paper.ends[name], linestyle="--", linewidth=0.8, label=label, color=colour)


def _places(shape: Axes, size: int) -> npt.NDArray[np.float64]:
    """Of a curve's values on the axis; a quick run may have fewer than the others."""
    at = range(1, size + 1) if shape.at is None else shape.at[:size]
    return np.array(at, np.float64)


def _title(table: Table) -> str:
    return f"{table.experiment.title}: {table.case}, {table.setting} setting"


def _figure(height: float) -> "Figure":
    from matplotlib.figure import Figure

    return Figure(figsize=(7.2, height), layout="constrained")


def _png(figure: "Figure") -> bytes:
    buffer = io.BytesIO()
    # Without a date: the same study makes the same file.
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    return buffer.getvalue()
