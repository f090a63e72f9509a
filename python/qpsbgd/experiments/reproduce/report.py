"""What a study leaves: ``results.csv``, ``summary.json``, the plots and the page."""

import csv
import io
import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from qpsbgd import __version__
from qpsbgd.atomic import write_atomically
from qpsbgd.experiments.reproduce.page import make_page, number, published_score
from qpsbgd.experiments.reproduce.plots import curve_names, plot_curve, plot_scores
from qpsbgd.experiments.reproduce.store import Run
from qpsbgd.experiments.reproduce.study import Row, Table

_FIELDS = (
    "experiment", "case", "setting", "quick", "version", "method", "options", "stage", "seed",
    "score", "validation", "published", "seconds",
)  # fmt: skip


def write_report(
    tables: Sequence[Table],
    folder: Path,
    facts: Mapping[str, Any],
    left_out: Sequence[str] = (),
) -> Path:
    """Write ``results.csv``, ``summary.json``, ``plots/*.png`` and ``report.html``.

    Args:
        tables: finished, in the order of the page.
        folder: of the study.
        facts: of the whole study, for the page's head.
        left_out: what could not be run, and why.

    Returns:
        Path of the page.
    """
    write_atomically(folder / "results.csv", _csv(tables).encode())
    rows = json.dumps(summary_rows(tables), indent=1)
    write_atomically(folder / "summary.json", rows.encode())
    parts = [(table, _plots(table)) for table in tables]
    _write_plots(folder / "plots", parts)
    page = folder / "report.html"
    write_atomically(page, make_page(parts, facts, left_out).encode())
    return page


def summary_rows(tables: Sequence[Table]) -> list[dict[str, Any]]:
    """A dictionary a row of the tables, for JSON, which has no NaN: such are None."""

    def finite(value: float) -> float | None:
        return value if math.isfinite(value) else None

    return [
        {
            "experiment": table.experiment.name,
            "case": table.case,
            "setting": table.setting,
            "method": row.method,
            "mean": finite(row.mean),
            "deviation": finite(row.deviation),
            "published": row.published.score if row.published else None,
            "options": dict(row.options),
        }
        for table in tables
        for row in table.rows
    ]


def summary(table: Table) -> str:
    """A table as text, for the terminal."""
    measure = table.experiment.measure
    lines = [f"{table.experiment.title}: {table.case}, {table.setting} setting ({measure})"]
    width = max(len(row.method) for row in table.rows)
    for row in table.rows:
        paper = published_score(row)
        lines.append(
            f"  {row.method:<{width}}  {number(row.mean)} +- {number(row.deviation)}"
            + (f"   paper {paper}" if paper else "")
        )
    return "\n".join(lines)


def _plots(table: Table) -> dict[str, bytes]:
    curves = {name: plot_curve(table, name) for name in curve_names(table)}
    return {"scores": plot_scores(table), **curves}


def _write_plots(folder: Path, parts: Sequence[tuple[Table, Mapping[str, bytes]]]) -> None:
    """Replace the plots of an earlier report, those of tables that are no more among them."""
    folder.mkdir(exist_ok=True)
    written = set()
    for table, images in parts:
        for name, content in images.items():
            stem = f"{table.experiment.name}-{table.case}-{table.setting}-{name}"
            path = folder / (re.sub(r"[^\w.]+", "-", stem) + ".png")
            write_atomically(path, content)
            written.add(path)
    for path in set(folder.glob("*.png")) - written:
        path.unlink()


def _csv(tables: Sequence[Table]) -> str:
    """A line a run, those of tuning too; a column a detail."""
    rows = [(table, row) for table in tables for row in table.rows]
    lines = [_line(table, row, run) for table, row in rows for run in (*row.tuning, *row.finals)]
    fields = dict.fromkeys([*_FIELDS, *(name for line in lines for name in line)])
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(fields), restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return stream.getvalue()


def _line(table: Table, row: Row, run: Run) -> dict[str, Any]:
    paper = row.published.score if row.published and run.cell.stage == "final" else None
    return {
        **run.outcome.details,
        "experiment": table.experiment.name,
        "case": table.case,
        "setting": table.setting,
        "quick": int(table.quick),
        "version": __version__,
        "method": row.method,
        "options": json.dumps(dict(run.cell.options)),
        "stage": run.cell.stage,
        "seed": run.cell.seed,
        "score": run.outcome.score,
        "validation": run.outcome.validation,
        "published": "" if paper is None else paper,
        "seconds": run.seconds,
    }
