"""Tables of finished cases: means, deviations and published numbers."""

import functools
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from bench.paper.methods import QP
from bench.paper.study import Case

#: The paper's numbers: a measure is ``score`` or the name of a detail.
PUBLISHED = pd.read_csv(Path(__file__).with_name("published.csv"), keep_default_na=False).set_index(
    ["experiment", "case", "method", "measure"]
)
#: Columns of ``results.csv`` before the details.
COLUMNS = (
    "experiment", "case", "setting", "method", "options", "stage", "seed", "score", "validation",
    "seconds",
)  # fmt: skip


def runs_frame(records: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """Return one row for each run, with a column for each detail."""
    rows = [{**{name: each[name] for name in COLUMNS}, **each["details"]} for each in records]
    frame = pd.DataFrame(rows)
    frame["options"] = frame["options"].map(json.dumps)
    return frame


def number(value: float) -> str:
    """Return a number with four digits; nothing for NaN, which stands for a missing number."""
    if math.isnan(value):
        return ""
    return f"{value:.4g}" if abs(value) >= 10 or 0 < abs(value) < 1e-3 else f"{value:.4f}"


@dataclass(frozen=True, eq=False)
class Table:
    """A case with the rows of its runs, from :func:`runs_frame`."""

    case: Case
    runs: pd.DataFrame

    @functools.cached_property
    def measures(self) -> dict[str, str]:
        """Headings of the measures that some method has, by name."""
        experiment = self.case.experiment
        details = {
            name: heading
            for name, heading in experiment.details.items()
            if name in self.runs and self.runs[name].notna().any()
        }
        return {"score": experiment.measure, **details}

    @functools.cached_property
    def _finals(self) -> Any:
        return self.runs[self.runs["stage"] == "final"].groupby("method", sort=False)

    @functools.cached_property
    def means(self) -> pd.DataFrame:
        """Mean of each measure, by method. One diverged run makes a mean NaN."""
        return self._finals[list(self.measures)].mean(skipna=False)

    @functools.cached_property
    def deviations(self) -> pd.DataFrame:
        """Standard deviation of each measure, by method; 0 of one run."""
        return self._finals[list(self.measures)].std(skipna=False).fillna(0.0)

    @property
    def methods(self) -> list[str]:
        """Names of the methods, QP-SBGD first."""
        return list(self.means.index)

    @property
    def options(self) -> pd.Series:
        """Chosen options, by method, as JSON."""
        return self._finals["options"].first()

    @property
    def seconds(self) -> pd.Series:
        """Time of all runs, by method."""
        return self.runs.groupby("method", sort=False)["seconds"].sum()

    @property
    def tuning(self) -> list[dict[str, Any]]:
        """Mean validation of each option that was tried."""
        tuned = self.runs[self.runs["stage"] == "tune"]
        means = tuned.groupby(["method", "options"], sort=False)["validation"].mean()
        return means.reset_index().to_dict("records")

    def published(self, method: str, measure: str) -> tuple[float, str]:
        """Return the paper's number and a note on it; NaN where the paper has none."""
        key = self.case.experiment.name, self.case.name, method, measure
        return tuple(PUBLISHED.loc[key]) if key in PUBLISHED.index else (math.nan, "")

    def is_in_paper(self, measure: str) -> bool:
        """Return whether the paper has a measure of any method."""
        return any(not math.isnan(self.published(each, measure)[0]) for each in self.methods)

    def cell(self, method: str, measure: str) -> str:
        """Return mean and deviation as text; nothing for a method without this measure."""
        mean = number(self.means[measure][method])
        return f"{mean} ± {number(self.deviations[measure][method])}" if mean else ""

    def best(self, methods: Sequence[str], measure: str, values: Any = None) -> str:
        """Return the method with the best value, by default the best mean; "" of no methods."""
        values = self.means[measure] if values is None else values
        is_lower = self.case.experiment.lower_is_better or "loss" in measure
        known = [name for name in methods if not math.isnan(values[name])]
        return (min if is_lower else max)(known, key=lambda name: values[name], default="")

    def is_best(self, method: str) -> bool:
        """Return whether no method has a better mean score."""
        best = self.best(self.methods, "score")
        return bool(best) and bool(self.means["score"][method] == self.means["score"][best])

    def summary(self) -> dict[str, Any] | None:
        """Return QP-SBGD and the best other method, here and in the paper.

        They are compared by the first measure that the paper has, or else by the score. A table
        without other methods has no summary.
        """
        qp, others = self.methods[0], [name for name in self.methods if not name.startswith(QP)]
        measure = next(filter(self.is_in_paper, self.measures), "score")
        best = self.best(others, measure)
        if not best:
            return None
        paper = {name: self.published(name, measure)[0] for name in self.methods}
        best_in_paper = self.best(others, measure, paper)
        means, deviations = self.means[measure], self.deviations[measure]
        error = math.hypot(deviations[qp], deviations[best]) / math.sqrt(self.case.num_seeds)
        return {
            "case": self.case,
            "measure": self.measures[measure],
            "ours": self.cell(qp, measure),
            "best": f"{self.cell(best, measure)} ({best})",
            "difference": f"{number(means[qp] - means[best])} ± {number(error)}",
            "paper": number(paper[qp]),
            "best_in_paper": f"{number(paper[best_in_paper])} ({best_in_paper})"
            if best_in_paper
            else "",
        }
