"""Pictures of an experiment's final runs, as SVG elements."""

import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd
import seaborn as sns

from bench.paper.study import Experiment
from bench.paper.tables import PUBLISHED

PUBLISHED_CURVES = pd.read_csv(Path(__file__).with_name("published_curves.csv"))


def draw_pictures(experiment: Experiment, finals: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Return pictures of scores and of curves, by title.

    Args:
        experiment: the experiment.
        finals: records of its final runs in one setting.
    """
    methods = list(dict.fromkeys(record["method"] for record in finals))
    palette = dict(zip(methods, sns.color_palette("husl", len(methods)), strict=True))
    curves = [name for name in experiment.axes if any(name in each["curves"] for each in finals)]
    return {
        f"{experiment.measure.capitalize()}, final runs": _draw_scores(experiment, finals, palette),
        **{
            experiment.axes[name][1].capitalize(): _draw_curves(experiment, name, finals, palette)
            for name in curves
        },
    }


def _draw_scores(
    experiment: Experiment, finals: Sequence[dict[str, Any]], palette: dict[str, Any]
) -> str:
    """Draw means and deviations, and crosses for published numbers."""
    data = pd.DataFrame(finals)[["case", "method", "score"]]
    chart = sns.catplot(
        data, kind="point", x="score", y="method", hue="method", col="case", errorbar="sd",
        palette=palette, legend=False, linestyle="none", sharex=False, height=2.4, aspect=1.4,
        col_wrap=min(3, data["case"].nunique()),
    )  # fmt: skip
    numbers = PUBLISHED.reset_index()
    is_score = (numbers["experiment"] == experiment.name) & (numbers["measure"] == "score")
    for case, axes in chart.axes_dict.items():
        paper = numbers[is_score & (numbers["case"] == case)]
        paper = paper[paper["method"].isin(palette)]
        axes.plot(paper["value"], paper["method"], "kx")
    chart.set_axis_labels("published: x" if is_score.any() else "", "")
    return _svg(chart)


def _draw_curves(
    experiment: Experiment, name: str, finals: Sequence[dict[str, Any]], palette: dict[str, Any]
) -> str:
    """Draw means and deviations, and dashed lines for published curves."""
    data = pd.DataFrame(
        {"case": record["case"], "method": record["method"], "x": x, "y": y}
        for record in finals
        for x, y in record["curves"].get(name, [])
    )
    chart = sns.relplot(
        data, kind="line", x="x", y="y", hue="method", col="case", errorbar="sd", palette=palette,
        facet_kws={"sharex": False, "sharey": False}, height=2.4, aspect=1.4,
        col_wrap=min(3, data["case"].nunique()),
    )  # fmt: skip
    is_curve = (PUBLISHED_CURVES["experiment"] == experiment.name) & (
        PUBLISHED_CURVES["curve"] == name
    )
    for case, axes in chart.axes_dict.items():
        for method, points in PUBLISHED_CURVES[
            is_curve & (PUBLISHED_CURVES["case"] == case)
        ].groupby("method"):
            axes.plot(points["x"], points["y"], "--", color=palette.get(method, "k"), linewidth=1)
    x, y = experiment.axes[name]
    chart.set_axis_labels(x + (" (published: dashed)" if is_curve.any() else ""), y)
    return _svg(chart)


def _svg(chart: sns.FacetGrid) -> str:
    """Return a chart as an SVG element with text as text, and close the chart."""
    chart.set_titles("{col_name}")
    stream = io.StringIO()
    # Without a date and random names, the same study makes the same file.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "paper"}):
        chart.figure.savefig(stream, format="svg", metadata={"Date": None})
    mpl.pyplot.close(chart.figure)
    text = stream.getvalue()
    # Coordinates have six decimals; one is a tenth of a point.
    return re.sub(
        r"\d+\.\d{4,}", lambda match: f"{float(match[0]):.1f}", text[text.index("<svg") :]
    )
