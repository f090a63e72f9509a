"""Report of a study: ``results.csv`` with a line for each run, and ``report.html``, one page."""

import json
import platform
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import jinja2

from bench.paper.pictures import draw_pictures
from bench.paper.results import Results
from bench.paper.study import Case
from bench.paper.tables import Table, number, runs_frame
from qpsbgd import __version__, _core
from qpsbgd.atomic import write_atomically

PACKAGES = ("torch", "numpy", "scipy", "scikit-learn", "dwave-system", "mlxtend", "networkx")


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
    tables, everything, sections = [], [], {}
    for case in cases:
        cells = [*case.tuning_cells(), *case.final_cells(results)]
        records = [results[cell.key] for cell in cells]
        everything += records
        tables.append(Table(case, runs_frame(records)))
        section = sections.setdefault((case.experiment, case.setting), {"tables": [], "finals": []})
        section["tables"].append(tables[-1])
        section["finals"] += [each for each in records if each["stage"] == "final"]
    runs = runs_frame(everything)
    write_atomically(folder / "results.csv", runs.to_csv(index=False).encode())
    page = _template().render(
        summary=[row for table in tables if (row := table.summary())],
        sections=[
            {
                "experiment": experiment,
                "setting": setting,
                "tables": section["tables"],
                "pictures": draw_pictures(experiment, section["finals"]),
            }
            for (experiment, setting), section in sections.items()
        ],
        faults=faults,
        facts={
            "runs": len(runs),
            "time of all runs": f"{runs['seconds'].sum() / 60:.1f} min",
            "qpsbgd": f"{__version__} ({_core.isa()})",
            **{name: metadata.version(name) for name in PACKAGES},
            "Python": platform.python_version(),
            "machine": platform.platform(),
        },
    )
    path = folder / "report.html"
    write_atomically(path, page.encode())
    return path


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {"number": number, "options": _describe_options}
    return environment.get_template("page.html.j2")


def _describe_options(text: str) -> str:
    options: dict[str, Any] = json.loads(text)
    return ", ".join(f"{name} {value}" for name, value in options.items())
