"""``qpsbgd reproduce``."""

import contextlib
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from qpsbgd.experiments.reproduce import COMMON_PACKAGES, PACKAGES, missing_packages

if TYPE_CHECKING:
    from qpsbgd.experiments.reproduce.experiment import Cell, Experiment, Setting
    from qpsbgd.experiments.reproduce.store import Store
    from qpsbgd.experiments.reproduce.study import Table

NAMES = tuple(PACKAGES)
SETTINGS: "tuple[Setting, ...]" = ("paper", "sound")


@dataclass
class Request:
    """What to run, and what comes of it.

    Attributes:
        names: of the experiments.
        settings: of them.
        seeds: number of final runs.
        quick: a fraction of it all.
        folder: of what is kept and reported.
        faults: of single experiments, by which the others are not stopped.
    """

    names: Sequence[str]
    settings: "Sequence[Setting]"
    seeds: int
    quick: bool
    folder: Path
    faults: list[str] = field(default_factory=list)


@click.command("reproduce")
@click.argument("experiment", type=click.Choice([*NAMES, "all"]))
@click.option(
    "--setting",
    type=click.Choice([*SETTINGS, "both"]),
    default="both",
    show_default=True,
    help="As published, or with all layers trained, tuned baselines and accuracy on test data.",
)
@click.option("--seeds", type=click.IntRange(min=1), default=5, show_default=True)
@click.option(
    "--quick",
    is_flag=True,
    help="A fraction of the steps and cells: does it all work? Kept apart, in OUT/quick.",
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("reproduction"),
    show_default=True,
    help="Folder; what is finished in it is kept, reported, and not run again.",
)
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    help="Threads of torch and of the solver. Rosenbrock and Adult, whose nets are small, use one "
    "whatever this says.",
)
@click.option("--json", "as_json", is_flag=True, help="End with one line of JSON.")
def reproduce_command(
    experiment: str,
    setting: str,
    seeds: int,
    quick: bool,
    out: Path,
    threads: int | None,
    as_json: bool,
) -> None:
    """Run the paper's experiments, and set what comes out beside what it says.

    \b
    rosenbrock   the Rosenbrock function of 2 to 100 binary variables
    adult2       Adult, three features, 3-5-1
    adult10      Adult, ten layers
    mnist-pairs  digits 0/2, 1/2, 1/7, on a net for an annealer and a full one
    gcn          Karate club and Cora (Citeseer, Pubmed where their files are)

    OUT gets report.html, a page that needs no other file, results.csv (a line a run), summary.json,
    plots/ and cells/. They are of all tables in OUT that are finished for this number of seeds, of
    earlier commands too. Ctrl-C stops; the same command goes on.
    """
    request = Request(
        NAMES if experiment == "all" else [experiment],
        [each for each in SETTINGS if setting in (each, "both")],
        seeds,
        quick,
        out / "quick" if quick else out,
    )
    try:
        _check_packages(request)
        if threads is not None:
            import torch

            torch.set_num_threads(threads)
        _run(request)
        _report(request, as_json)
    except KeyboardInterrupt:
        click.echo(
            f"\nInterrupted. The same command goes on with what is missing in {request.folder}.",
            err=True,
        )
        sys.exit(130)
    except (OSError, ImportError) as error:
        raise click.ClickException(str(error)) from error
    if request.faults:
        raise click.ClickException("\n".join(request.faults))


def _check_packages(request: Request) -> None:
    """Refuse what cannot be run; of several experiments leave those out that cannot be."""
    advice = "which must be installed: pip install 'qpsbgd[all]'"
    if missing := missing_packages(COMMON_PACKAGES):
        raise click.ClickException(f"this needs {', '.join(missing)}, {advice}")
    able = []
    for name in request.names:
        if missing := missing_packages(PACKAGES[name]):
            request.faults.append(f"{name} needs {', '.join(missing)}, {advice}")
        else:
            able.append(name)
    if not able:
        raise click.ClickException("\n".join(request.faults))
    request.names = able


def _run(request: Request) -> None:
    """Run what is missing, and tell of each table when it is finished."""
    from tqdm import tqdm

    from qpsbgd.experiments.reproduce import experiments
    from qpsbgd.experiments.reproduce.report import summary
    from qpsbgd.experiments.reproduce.store import Store
    from qpsbgd.experiments.reproduce.study import run_tables

    store = Store(request.folder)
    chosen = [each for each in experiments() if each.name in request.names]
    total = _count(chosen, request)
    # None: no bar where stderr is no terminal.
    with tqdm(total=total, unit="run", dynamic_ncols=True, disable=None) as bar:

        def advance(cell: "Cell") -> None:
            bar.set_postfix_str(f"{cell.case}, {cell.method}", refresh=False)
            bar.update()

        for each in chosen:
            bar.set_description(each.name)
            for setting in request.settings:
                # In the other setting the cases before the faulty one can still be run.
                with _faults_of(each, request.faults):
                    for table in run_tables(
                        each,
                        setting,
                        store,
                        num_seeds=request.seeds,
                        quick=request.quick,
                        advance=advance,
                    ):
                        tqdm.write(summary(table), file=sys.stderr)


@contextlib.contextmanager
def _faults_of(experiment: "Experiment", faults: list[str]) -> Iterator[None]:
    """Keep missing and damaged data for the end; a full disk is a fault of all experiments."""
    from qpsbgd.errors import MissingDataError

    try:
        yield
    except (MissingDataError, ValueError) as error:
        fault = f"{experiment.name}: {error}"
        if fault not in faults:
            faults.append(fault)


def _count(chosen: "Sequence[Experiment]", request: Request) -> int:
    """Cells; what keeps an experiment from being counted comes again when it is run."""
    from qpsbgd.experiments.reproduce.study import count_cells

    total = 0
    for each in chosen:
        with _faults_of(each, []):
            for setting in request.settings:
                total += count_cells(each, setting, request.seeds, request.quick)
    return total


def _report(request: Request, as_json: bool) -> None:
    """Report all that is finished in the folder, whoever asked for it."""
    from qpsbgd.experiments.reproduce.report import summary_rows, write_report
    from qpsbgd.experiments.reproduce.store import Store

    tables = _finished(Store(request.folder), request)
    if not tables:
        raise click.ClickException("\n".join(request.faults) or "no table is finished")
    facts: dict[str, Any] = {"seeds": request.seeds, "quick": "yes" if request.quick else "no"}
    page = write_report(tables, request.folder, facts, request.faults)
    if as_json:
        click.echo(json.dumps({"report": str(page), "rows": summary_rows(tables)}))
    else:
        click.echo(f"Report: {page}")


def _finished(store: "Store", request: Request) -> "list[Table]":
    from qpsbgd.experiments.reproduce import experiments
    from qpsbgd.experiments.reproduce.study import finished_tables

    return [
        table
        for each in experiments()
        for setting in SETTINGS
        for table in finished_tables(
            each, setting, store, num_seeds=request.seeds, quick=request.quick
        )
    ]
