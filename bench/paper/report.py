"""Report of a study: ``results.csv`` with a line for each run, and ``report.html``, one page."""

import base64
import io
import json
import math
import platform
import re
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import jinja2
import matplotlib as mpl
import pandas as pd
import seaborn as sns

from bench.paper.methods import QP
from bench.paper.results import Results
from bench.paper.study import SETTINGS, Case, Experiment
from qpsbgd.atomic import write_atomically

FOLDER = Path(__file__).parent
PUBLISHED = pd.read_csv(FOLDER / "published.csv", keep_default_na=False)
PUBLISHED_CURVES = pd.read_csv(FOLDER / "published_curves.csv")
PACKAGES = ("qpsbgd", "torch", "numpy", "scipy", "scikit-learn", "dwave-system", "mlxtend")
#: Columns of ``results.csv`` before the details.
COLUMNS = [
    "experiment", "case", "setting", "method", "options", "stage", "seed", "score", "validation",
    "seconds",
]  # fmt: skip
#: Keys of the rows of one table.
TABLE = ["experiment", "case", "setting"]


def write_report(
    cases: Sequence[Case], results: Results, folder: Path, faults: Sequence[str]
) -> Path:
    """Write the report of finished cases, and return the path of the page.

    Args:
        cases: the tables, in the order of the page.
        results: records of their cells.
        folder: folder of the report.
        faults: what could not be run, and why.
    """
    records = [
        results[cell.key]
        for case in cases
        for cell in (*case.tuning_cells(), *case.final_cells(results))
    ]
    runs = runs_frame(records)
    write_atomically(folder / "results.csv", runs.to_csv(index=False).encode())
    tables = [table_of(case, runs) for case in cases]
    page = _template().render(
        summary=[row for table in tables for row in [summary_of(table)] if row],
        sections=[
            section_of(experiment, setting, tables, records)
            for experiment in dict.fromkeys(case.experiment for case in cases)
            for setting in SETTINGS
            if any((each.experiment, each.setting) == (experiment, setting) for each in cases)
        ],
        faults=faults,
        facts={
            "runs": len(runs),
            "time of all runs": f"{runs['seconds'].sum() / 60:.1f} min",
            "Python": platform.python_version(),
            **_versions(),
            "machine": platform.platform(),
        },
    )
    path = folder / "report.html"
    write_atomically(path, page.encode())
    return path


def runs_frame(records: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """Return one row for each run, with a column for each detail."""
    rows = [{**{name: record[name] for name in COLUMNS}, **record["details"]} for record in records]
    frame = pd.DataFrame(rows, columns=None if rows else COLUMNS)
    frame["options"] = frame["options"].map(json.dumps)
    return frame


def published(case: Case, method: str, measure: str) -> tuple[float, str]:
    """Return the paper's number and a note; NaN where it has none."""
    is_row = (PUBLISHED[["experiment", "case", "method", "measure"]] == [
        case.experiment.name, case.name, method, measure
    ]).all(axis=1)  # fmt: skip
    found = PUBLISHED[is_row]
    return (float(found["value"].iloc[0]), found["note"].iloc[0]) if len(found) else (math.nan, "")


def table_of(case: Case, runs: pd.DataFrame) -> dict[str, Any]:
    """Return a table: means, deviations and published numbers, by method and measure."""
    is_case = (runs[TABLE] == [case.experiment.name, case.name, case.setting]).all(axis=1)
    own = runs[is_case]
    finals = own[own["stage"] == "final"]
    measures = {"score": case.experiment.measure, **case.experiment.details}
    measures = {
        name: title
        for name, title in measures.items()
        if name in finals and finals[name].notna().any()
    }
    by_method = finals.groupby("method", sort=False)
    means = by_method[list(measures)].mean()
    seconds = own.groupby("method", sort=False)["seconds"].sum()
    tuned = own[own["stage"] == "tune"].groupby(["method", "options"], sort=False)
    best = means["score"].min() if case.experiment.lower_is_better else means["score"].max()
    return {
        "case": case,
        "measures": measures,
        "means": means,
        "deviations": by_method[list(measures)].std().fillna(0.0),
        "published": {
            (method, name): published(case, method, name)
            for method in means.index
            for name in measures
        },
        "options": by_method["options"].first(),
        "seconds": seconds,
        "best": [method for method in means.index if means["score"][method] == best],
        "tuning": tuned["validation"].mean().reset_index().to_dict("records"),
    }


def summary_of(table: dict[str, Any]) -> dict[str, Any] | None:
    """Return QP-SBGD and the best other method of a table, here and in the paper.

    The measure is the one that the paper has a number of, or the score. A table without other
    methods has no summary.
    """
    means, case = table["means"], table["case"]
    qp, others = means.index[0], [name for name in means.index if not name.startswith(QP)]
    if not others:
        return None
    named = [name for name in table["measures"] if not math.isnan(table["published"][qp, name][0])]
    measure = "score" if "score" in named or not named else named[0]
    sign = -1 if case.experiment.lower_is_better or "loss" in measure else 1
    best = (sign * means[measure][others]).idxmax()
    error = math.hypot(*table["deviations"][measure][[qp, best]]) / math.sqrt(case.num_seeds)
    paper = {name: table["published"][name, measure][0] for name in others}
    paper = {name: value for name, value in paper.items() if not math.isnan(value)}
    best_paper = max(paper, key=lambda name: sign * paper[name], default="")
    return {
        "case": case,
        "measure": table["measures"][measure],
        "ours": with_deviation(table, qp, measure),
        "best": f"{with_deviation(table, best, measure)} ({best})",
        "difference": f"{number(means[measure][qp] - means[measure][best])} ± {number(error)}",
        "paper": number(table["published"][qp, measure][0]),
        "best_paper": f"{number(paper[best_paper])} ({best_paper})" if paper else "",
    }


def number(value: float) -> str:
    """Return a number with four digits; nothing for NaN, which stands for a missing number."""
    if math.isnan(value):
        return ""
    return f"{value:.4g}" if abs(value) >= 10 or 0 < abs(value) < 1e-3 else f"{value:.4f}"


def with_deviation(table: dict[str, Any], method: str, measure: str) -> str:
    """Return mean and standard deviation; nothing for a method without this measure."""
    mean = number(table["means"][measure][method])
    return f"{mean} ± {number(table['deviations'][measure][method])}" if mean else ""


def section_of(
    experiment: Experiment,
    setting: str,
    tables: Sequence[dict[str, Any]],
    records: Sequence[dict[str, Any]],
) -> dict[str, Any]:
    """Return an experiment's tables of one setting with their pictures."""
    own = [
        table
        for table in tables
        if (table["case"].experiment, table["case"].setting) == (experiment, setting)
    ]
    finals = [
        record
        for record in records
        if record["stage"] == "final"
        and (record["experiment"], record["setting"]) == (experiment.name, setting)
    ]
    methods = list(dict.fromkeys(record["method"] for record in finals))
    palette = dict(zip(methods, sns.color_palette("husl", len(methods)), strict=True))
    curves = [name for name in experiment.axes if any(name in each["curves"] for each in finals)]
    pictures = {experiment.measure: scores_picture(experiment, finals, palette)}
    pictures |= {name: curves_picture(experiment, name, finals, palette) for name in curves}
    return {
        "experiment": experiment,
        "setting": setting,
        "tables": own,
        "pictures": {name: base64.b64encode(svg).decode() for name, svg in pictures.items()},
    }


def scores_picture(
    experiment: Experiment, finals: Sequence[dict[str, Any]], palette: dict[str, Any]
) -> bytes:
    """Return a picture of scores: means, deviations, and crosses for published numbers."""
    data = pd.DataFrame(finals)[["case", "method", "score"]]
    chart = sns.catplot(
        data, kind="point", x="score", y="method", hue="method", col="case", errorbar="sd",
        palette=palette, legend=False, linestyle="none", sharex=False, height=2.4, aspect=1.4,
        col_wrap=min(3, data["case"].nunique()),
    )  # fmt: skip
    is_score = (PUBLISHED["experiment"] == experiment.name) & (PUBLISHED["measure"] == "score")
    for case, axes in chart.axes_dict.items():
        paper = PUBLISHED[is_score & (PUBLISHED["case"] == case)]
        axes.plot(paper["value"], paper["method"], "kx")
    chart.set_axis_labels("published: x" if is_score.any() else "", "").set_titles("{col_name}")
    return _svg(chart)


def curves_picture(
    experiment: Experiment, name: str, finals: Sequence[dict[str, Any]], palette: dict[str, Any]
) -> bytes:
    """Return a picture of curves: means, deviations, and dashed lines for published curves."""
    data = pd.DataFrame(
        [
            {"case": record["case"], "method": record["method"], "x": x, "y": y}
            for record in finals
            for x, y in record["curves"].get(name, [])
        ]
    )
    chart = sns.relplot(
        data, kind="line", x="x", y="y", hue="method", col="case", errorbar="sd", palette=palette,
        facet_kws={"sharex": False, "sharey": False}, height=2.4, aspect=1.4,
        col_wrap=min(3, data["case"].nunique()),
    )  # fmt: skip
    is_curve = (PUBLISHED_CURVES[["experiment", "curve"]] == [experiment.name, name]).all(axis=1)
    for case, axes in chart.axes_dict.items():
        paper = PUBLISHED_CURVES[is_curve & (PUBLISHED_CURVES["case"] == case)]
        for method, points in paper.groupby("method"):
            axes.plot(points["x"], points["y"], "--", color=palette[method], linewidth=1)
    x, y = experiment.axes[name]
    chart.set_axis_labels(x + (" (published: dashed)" if is_curve.any() else ""), y)
    return _svg(chart.set_titles("{col_name}"))


def _svg(chart: sns.FacetGrid) -> bytes:
    """Return a chart as SVG with text as text and coordinates of two decimals; close the chart."""
    stream = io.StringIO()
    # Without a date and random names, the same study makes the same file.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "paper"}):
        chart.figure.savefig(stream, format="svg", metadata={"Date": None})
    mpl.pyplot.close(chart.figure)
    return re.sub(
        r"\d+\.\d{3,}", lambda match: f"{float(match[0]):.2f}", stream.getvalue()
    ).encode()


def _versions() -> dict[str, str]:
    installed = {each.metadata["Name"].lower(): each.version for each in metadata.distributions()}
    return {name: installed[name] for name in PACKAGES if name in installed}


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.globals |= {"with_deviation": with_deviation}
    environment.filters["number"] = number
    environment.filters["options"] = lambda text: ", ".join(
        f"{name} {value}" for name, value in json.loads(text).items()
    )
    return environment.get_template("page.html.j2")
