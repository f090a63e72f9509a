"""What a study leaves: ``results.csv``, the plots, and one page that needs no other file."""

import base64
import csv
import html
import io
import json
import platform
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from qpsbgd import __version__, _core
from qpsbgd.atomic import write_atomically
from qpsbgd.experiments.reproduce.plots import curve_names, plot_curve, plot_scores
from qpsbgd.experiments.reproduce.study import Row, Table

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
  color: #1c2128; background: #fff; }
h1, h2, h3 { line-height: 1.2; } h2 { margin-top: 3rem; border-bottom: 1px solid #d0d7de; }
table { border-collapse: collapse; margin: 1rem 0; width: 100%; }
th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid #d8dee4; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
tr.best td { font-weight: 600; } img { max-width: 100%; height: auto; }
details { margin: .5rem 0; } .quiet { color: #57606a; font-size: .9em; }
@media (prefers-color-scheme: dark) { body { color: #e6edf3; background: #0d1117; }
  th, td { border-color: #30363d; } h2 { border-color: #30363d; } .quiet { color: #8b949e; }
  img { background: #fff; } }
"""


def write_report(tables: Sequence[Table], folder: Path, settings: Mapping[str, Any]) -> Path:
    """Write ``results.csv``, ``plots/*.png`` and ``report.html``.

    Args:
        tables: finished, in the order of the page.
        folder: of the study.
        settings: of the whole study, for the page's head.

    Returns:
        Path of the page.
    """
    write_atomically(folder / "results.csv", _csv(tables).encode())
    plots = folder / "plots"
    plots.mkdir(exist_ok=True)
    parts = []
    for table in tables:
        images = {"scores": plot_scores(table)}
        images.update((name, plot_curve(table, name)) for name in curve_names(table))
        for name, content in images.items():
            stem = f"{table.experiment.name}-{table.case}-{table.setting}-{name}"
            write_atomically(plots / (re.sub(r"[^\w.]+", "-", stem) + ".png"), content)
        parts.append((table, images))
    page = folder / "report.html"
    write_atomically(page, _page(parts, settings).encode())
    return page


def summary(table: Table) -> str:
    """A table as text, for the terminal."""
    measure = table.experiment.measure
    lines = [f"{table.experiment.title}: {table.case}, {table.setting} setting ({measure})"]
    width = max(len(row.method) for row in table.rows)
    for row in table.rows:
        paper = "" if row.published is None else _published(row)
        lines.append(
            f"  {row.method:<{width}}  {_number(row.mean)} +- {_number(row.deviation)}"
            + (f"   paper {paper}" if paper else "")
        )
    return "\n".join(lines)


def _csv(tables: Iterable[Table]) -> str:
    """A line a final run."""
    stream = io.StringIO()
    fields = [
        "experiment", "case", "setting", "method", "options", "seed", "score", "published",
        "details",
    ]  # fmt: skip
    writer = csv.DictWriter(stream, fields, lineterminator="\n")
    writer.writeheader()
    for table in tables:
        for row in table.rows:
            for seed, outcome in enumerate(row.outcomes):
                paper = row.published.score if row.published else None
                writer.writerow(
                    {
                        "experiment": table.experiment.name,
                        "case": table.case,
                        "setting": table.setting,
                        "method": row.method,
                        "options": json.dumps(dict(row.options)),
                        "seed": seed,
                        "score": outcome.score,
                        "published": "" if paper is None else paper,
                        "details": json.dumps(dict(outcome.details)),
                    }
                )
    return stream.getvalue()


def _page(parts: Sequence[tuple[Table, Mapping[str, bytes]]], settings: Mapping[str, Any]) -> str:
    seconds = sum(row.seconds for table, _ in parts for row in table.rows)
    facts = {
        **settings,
        "run time of all cells": f"{seconds / 60:.1f} min",
        "qpsbgd": f"{__version__} ({_core.isa()})",
        "torch": torch.__version__,
        "NumPy": np.__version__,
        "Python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
    }
    sections, last = [], None
    for table, images in parts:
        if table.experiment is not last:
            sections.append(f"<h2>{_text(table.experiment.title)}</h2>")
            last = table.experiment
        sections.append(_section(table, images))
    body = "\n".join(sections)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>QP-SBGD reproduced</title><style>{_STYLE}</style></head><body>\n"
        "<h1>QP-SBGD reproduced</h1>\n"
        "<p>Krahn et al., BMVC 2024, <a href='https://arxiv.org/abs/2310.15128'>arXiv "
        "2310.15128</a>, beside this package. Published numbers were read off figures and tables, "
        "to about .01. Scores are means over seeds and their standard deviation.</p>\n"
        f"{_list(facts)}\n{body}\n</body></html>\n"
    )


def _section(table: Table, images: Mapping[str, bytes]) -> str:
    experiment = table.experiment
    better = max if experiment.higher_is_better else min
    best = better(row.mean for row in table.rows)
    rows = "\n".join(
        f"<tr{' class=best' if row.mean == best else ''}><td>{_text(row.method)}</td>"
        f"<td class=number>{_number(row.mean)} ± {_number(row.deviation)}</td>"
        f"<td class=number>{_text(_published(row))}</td>"
        f"<td>{_text(_options(row.options))}</td>"
        f"<td class=number>{row.seconds:.0f}</td></tr>"
        for row in table.rows
    )
    pictures = "\n".join(
        f'<img alt="{_text(name)}" src="data:image/png;base64,'
        f'{base64.b64encode(content).decode()}">'
        for name, content in images.items()
    )
    remarks = "".join(
        f"<li>{_text(remark)}</li>" for remark in experiment.remarks(table.case, table.setting)
    )
    return (
        f"<h3>{_text(table.case)}, {table.setting} setting</h3>\n"
        f"{_list(experiment.settings(table.case, table.setting, quick=False))}\n"
        f"<table><tr><th>method<th class=number>{_text(experiment.measure)}"
        "<th class=number>paper<th>options<th class=number>seconds</tr>\n"
        f"{rows}</table>\n{_grids(table)}\n<ul>{remarks}</ul>\n{pictures}"
    )


def _grids(table: Table) -> str:
    """What was tried, and what each came to."""
    lines = [
        f"<tr><td>{_text(row.method)}</td><td>{_text(_options(options))}</td>"
        f"<td class=number>{_number(value)}</td>"
        f"<td>{'chosen' if options == row.options else ''}</td></tr>"
        for row in table.rows
        for options, value in row.tried
    ]
    if not lines:
        return ""
    return (
        "<details><summary>Tuning: what was tried</summary><table>"
        "<tr><th>method<th>options<th class=number>validation<th></tr>\n"
        + "\n".join(lines)
        + "</table></details>"
    )


def _list(facts: Mapping[str, Any]) -> str:
    return (
        "<p class=quiet>"
        + "; ".join(f"{_text(name)}: {_text(value)}" for name, value in facts.items())
        + "</p>"
    )


def _published(row: Row) -> str:
    if row.published is None:
        return ""
    score = "" if row.published.score is None else _number(row.published.score)
    return ", ".join(part for part in (score, row.published.note) if part)


def _options(options: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in options.items())


def _number(value: float) -> str:
    return f"{value:.4g}" if abs(value) >= 10 or 0 < abs(value) < 1e-3 else f"{value:.4f}"


def _text(value: Any) -> str:
    return html.escape(str(value))
