"""The page of a study: one file that needs no other."""

import base64
import html
import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from qpsbgd.experiments.reproduce.comparison import compare_orders
from qpsbgd.experiments.reproduce.study import Row, Table, deviation
from qpsbgd.experiments.reproduce.versions import versions

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


def make_page(
    parts: Sequence[tuple[Table, Mapping[str, bytes]]],
    facts: Mapping[str, Any],
    left_out: Sequence[str],
) -> str:
    """HTML of tables and their plots.

    Args:
        parts: tables with their plots (PNG, by name), those of an experiment one after the other.
        facts: of the whole study, for the page's head.
        left_out: what could not be run, and why.
    """
    seconds = sum(row.seconds for table, _ in parts for row in table.rows)
    facts = {**facts, "run time of all cells": f"{seconds / 60:.1f} min", **versions()}
    sections = [f"<p><strong>Left out:</strong> {_text(each)}</p>" for each in left_out]
    last = None
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
    pictures = "\n".join(
        f'<img alt="{_text(name)}" src="data:image/png;base64,'
        f'{base64.b64encode(content).decode()}">'
        for name, content in images.items()
    )
    remarks = [
        *compare_orders(table),
        *table.experiment.remarks(table.case, table.setting),
    ]
    return (
        f"<h3>{_text(table.case)}, {table.setting} setting</h3>\n{_list(table.settings)}\n"
        f"{_scores(table)}\n{_grids(table)}\n"
        f"<ul>{''.join(f'<li>{_text(remark)}</li>' for remark in remarks)}</ul>\n{pictures}"
    )


def _scores(table: Table) -> str:
    """A line a method."""
    details = shown_details(table)
    best = best_mean(table)
    heads = [table.experiment.measure, "paper", *details.values()]
    lines = [
        "<table><tr><th>method"
        + "".join(f"<th class=number>{_text(head)}" for head in heads)
        + "<th>options<th class=number>seconds</tr>"
    ]
    for row in table.rows:
        cells = [
            f"{number(row.mean)} ± {number(row.deviation)}",
            published_score(row),
            *(_detail(row, name) for name in details),
        ]
        lines.append(
            f"<tr{' class=best' if row.mean == best else ''}><td>{_text(row.method)}</td>"
            + "".join(f"<td class=number>{_text(cell)}</td>" for cell in cells)
            + f"<td>{_text(_options(row.options))}</td>"
            f"<td class=number>{row.seconds:.0f}</td></tr>"
        )
    return "\n".join(lines) + "</table>"


def best_mean(table: Table) -> float | None:
    """Best mean score; None where all runs diverged."""
    means = [row.mean for row in table.rows if not math.isnan(row.mean)]
    best = max if table.experiment.higher_is_better else min
    return best(means, default=None)


def shown_details(table: Table) -> dict[str, str]:
    """Headings, by name, of the details that some row has."""
    return {
        name: heading
        for name, heading in table.experiment.details.items()
        if any(row.detail(name) for row in table.rows)
    }


def _detail(row: Row, name: str) -> str:
    """Mean and deviation; the paper's in brackets."""
    values = row.detail(name)
    ours = f"{number(statistics.fmean(values))} ± {number(deviation(values))}" if values else ""
    paper = None if row.published is None else row.published.details.get(name)
    return f"{ours} ({number(paper)})".strip() if paper is not None else ours


def _grids(table: Table) -> str:
    """What was tried, and what each came to."""
    lines = [
        f"<tr><td>{_text(row.method)}</td><td>{_text(_options(options))}</td>"
        f"<td class=number>{number(value)}</td>"
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


def published_score(row: Row) -> str:
    """The paper's, and what is to be said of it; empty where there is neither."""
    if row.published is None:
        return ""
    score = "" if row.published.score is None else number(row.published.score)
    return ", ".join(part for part in (score, row.published.note) if part)


def _options(options: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in options.items())


def number(value: float) -> str:
    """With four digits."""
    return f"{value:.4g}" if abs(value) >= 10 or 0 < abs(value) < 1e-3 else f"{value:.4f}"


def _text(value: Any) -> str:
    return html.escape(str(value))
