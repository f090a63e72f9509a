"""Plots of training runs."""

import io
from collections.abc import Sequence


def plot_curve(rows: Sequence[dict[str, float]], title: str) -> bytes:
    """Return a PNG image of the accuracies after each epoch.

    Args:
        rows: metrics of the finished epochs, as in ``metrics.csv``.
        title: title of the plot.

    Example:
        >>> rows = [{"epoch": 1, "train_accuracy": 0.5, "test_accuracy": 0.4}]
        >>> plot_curve(rows, "one epoch")[:4]
        b'\\x89PNG'
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    epochs = [row["epoch"] for row in rows]
    for name in ("train", "test"):
        axes.plot(epochs, [row[f"{name}_accuracy"] for row in rows], marker=".", label=name)
    axes.set(xlabel="epoch", ylabel="accuracy", title=title)
    axes.grid(alpha=0.3)
    axes.legend()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    return buffer.getvalue()
