"""Plots of a table's curves: mean and spread over seeds, with the paper's beside."""

import io
from collections.abc import Mapping, Sequence

import numpy as np

from qpsbgd.experiments.reproduce.study import Published, Row, Table

#: Of methods in the order of a table, also where a curve of the paper is drawn without ours.
_COLOURS = ("#1f6fb4", "#d1495b", "#2a9d5c", "#e09f3e", "#7b5ea7", "#5c6770", "#00a6a6", "#b05c2f")


def curve_names(table: Table) -> list[str]:
    """Curves that can be drawn: those with axes that some row, or the paper, has."""
    found = {name for row in table.rows for outcome in row.outcomes for name in outcome.curves}
    published = table.experiment.published(table.case).values()
    found |= {name for each in published for name in each.curves}
    return [name for name in table.experiment.axes if name in found]


def plot_curve(table: Table, name: str) -> bytes:
    """PNG of one curve of every method.

    Lines are means over seeds, bands one standard deviation; the paper's curves are dashed.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 4.2), layout="constrained")
    axes = figure.subplots()
    published: Mapping[str, Published] = table.experiment.published(table.case)
    names = [row.method for row in table.rows]
    names += [method for method in published if method not in names]
    colours = dict(zip(names, _COLOURS * (1 + len(names) // len(_COLOURS)), strict=False))
    for row in table.rows:
        mean, spread = mean_and_spread(row, name)
        if not len(mean):
            continue
        steps = np.arange(1, len(mean) + 1)
        (line,) = axes.plot(steps, mean, label=row.method, color=colours[row.method])
        axes.fill_between(steps, mean - spread, mean + spread, alpha=0.15, color=line.get_color())
    for method, paper in published.items():
        if name in paper.curves:
            x, y = paper.curves[name]
            label = f"{method} (paper)"
            axes.plot(x, y, "--", linewidth=1.0, label=label, color=colours[method])
    labels = table.experiment.axes[name]
    axes.set(xlabel=labels.x, ylabel=labels.y, title=f"{table.case}, {table.setting} setting")
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    buffer = io.BytesIO()
    # Without a date: the same study makes the same file.
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    return buffer.getvalue()


def mean_and_spread(row: Row, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation over seeds, ``(steps,)`` each; empty where there is no curve."""
    curves: list[Sequence[float]] = [
        outcome.curves[name] for outcome in row.outcomes if name in outcome.curves
    ]
    if not curves:
        return np.empty(0), np.empty(0)
    values = np.array(curves, dtype=np.float64)  # (seeds, steps)
    return values.mean(axis=0), values.std(axis=0, ddof=1 if len(values) > 1 else 0)


def plot_scores(table: Table) -> bytes:
    """PNG of every method's score: a point a seed, a bar for the mean, a cross for the paper's."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 0.6 + 0.42 * len(table.rows)), layout="constrained")
    axes = figure.subplots()
    for place, row in enumerate(table.rows):
        colour = _COLOURS[place % len(_COLOURS)]
        axes.plot(row.scores, [place] * len(row.scores), "o", alpha=0.45, color=colour)
        axes.plot([row.mean], [place], "|", markersize=18, markeredgewidth=2.5, color=colour)
        if row.published is not None and row.published.score is not None:
            axes.plot([row.published.score], [place], "kx", markersize=7)
    axes.set_yticks(range(len(table.rows)), [row.method for row in table.rows])
    axes.invert_yaxis()
    axes.set(xlabel=f"{table.experiment.measure} (x: paper)")
    axes.grid(alpha=0.3, axis="x")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    return buffer.getvalue()
