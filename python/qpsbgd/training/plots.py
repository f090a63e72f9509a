"""Plots of training runs."""

import io
from collections.abc import Sequence
from statistics import mean, stdev
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_curve(rows: Sequence[dict[str, float]], title: str) -> bytes:
    """Return a PNG image of the accuracies after each epoch.

    Args:
        rows: metrics of the finished epochs, as in ``metrics.csv``.
        title: title of the plot.

    Example:
        >>> from qpsbgd.training.plots import plot_curve
        >>> rows = [{"epoch": 1, "train_accuracy": 0.5, "test_accuracy": 0.4}]
        >>> plot_curve(rows, "one epoch")[:4]
        b'\\x89PNG'
    """
    figure, axes = _axes("accuracy", title)
    epochs = [row["epoch"] for row in rows]
    for name in ("train", "test"):
        axes.plot(epochs, [row[f"{name}_accuracy"] for row in rows], marker=".", label=name)
    axes.legend()
    return _image(figure)


def plot_comparison(rows: Sequence[dict[str, Any]], title: str) -> bytes:
    """Return a PNG image of each optimiser's mean test accuracy after each epoch.

    A band shows one standard deviation over the splits on either side of the mean.

    Args:
        rows: metrics of the finished epochs of all runs, as in ``metrics.csv``.
        title: title of the plot.

    Example:
        >>> from qpsbgd.training.plots import plot_comparison
        >>> rows = [{"optimizer": "qpsbgd", "epoch": 1, "test_accuracy": a} for a in (0.4, 0.5)]
        >>> plot_comparison(rows, "two splits")[:4]
        b'\\x89PNG'
    """
    figure, axes = _axes("test accuracy", title)
    epochs = sorted({row["epoch"] for row in rows})
    for name in dict.fromkeys(row["optimizer"] for row in rows):
        means, spreads = [], []
        for epoch in epochs:
            values = [
                row["test_accuracy"]
                for row in rows
                if row["optimizer"] == name and row["epoch"] == epoch
            ]
            means.append(mean(values))
            spreads.append(stdev(values))
        (line,) = axes.plot(epochs, means, marker=".", label=name)
        low, high = (
            [m + sign * spread for m, spread in zip(means, spreads, strict=True)]
            for sign in (-1, 1)
        )
        axes.fill_between(epochs, low, high, color=line.get_color(), alpha=0.15, linewidth=0)
    axes.legend()
    return _image(figure)


def _axes(quantity: str, title: str) -> tuple["Figure", Any]:
    """Return a figure and its axes for a quantity after each epoch."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    axes.set(xlabel="epoch", ylabel=quantity, title=title)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    return figure, axes


def _image(figure: "Figure") -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    return buffer.getvalue()
