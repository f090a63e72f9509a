"""``qpsbgd reproduce``."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from qpsbgd.atomic import write_atomically

if TYPE_CHECKING:
    from qpsbgd.experiments.reproduce.study import Cell, Setting, Table

NAMES = ("rosenbrock", "adult2", "adult10", "mnist-pairs", "gcn")


@click.command("reproduce")
@click.argument("experiment", type=click.Choice([*NAMES, "all"]))
@click.option(
    "--setting",
    type=click.Choice(["paper", "sound", "both"]),
    default="both",
    show_default=True,
    help="As published, or with all layers trained, tuned baselines and accuracy on test data.",
)
@click.option("--seeds", type=click.IntRange(min=1), default=5, show_default=True)
@click.option("--quick", is_flag=True, help="A fraction of the steps and cells: does it all work?")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("reproduction"),
    show_default=True,
    help="Folder; what is finished in it is kept, and not run again.",
)
@click.option("--threads", type=click.IntRange(min=1), help="Threads of torch and of the solver.")
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

    OUT gets report.html, a page that needs no other file, results.csv (a line a run), plots/ and
    cells/. Ctrl-C stops; the same command goes on.
    """
    try:
        from tqdm import tqdm

        from qpsbgd.experiments.reproduce import experiments
        from qpsbgd.experiments.reproduce.report import summary, write_report
        from qpsbgd.experiments.reproduce.study import Store, count_cells, run_tables
    except ImportError as error:
        missing = f"this needs {error.name}, which is not installed: pip install 'qpsbgd[all]'"
        raise click.ClickException(missing if error.name else str(error)) from error
    if threads is not None:
        import torch

        torch.set_num_threads(threads)
    chosen = [each for each in experiments() if experiment in (each.name, "all")]
    settings: list[Setting] = ["paper", "sound"] if setting == "both" else [setting]  # type: ignore[list-item]
    tables: list[Table] = []
    absent: list[str] = []
    try:
        out.mkdir(parents=True, exist_ok=True)
        store = Store(out)
        total = sum(count_cells(each, one, seeds, quick) for each in chosen for one in settings)
        with tqdm(total=total, unit="run", dynamic_ncols=True) as bar:

            def advance(cell: "Cell") -> None:
                bar.set_postfix_str(f"{cell.case}, {cell.method}", refresh=False)
                bar.update()

            for each in chosen:
                bar.set_description(each.name)
                try:
                    for one in settings:
                        for table in run_tables(
                            each, one, store, num_seeds=seeds, quick=quick, advance=advance
                        ):
                            tables.append(table)
                            tqdm.write(summary(table), file=sys.stderr)
                except OSError as error:  # data that are nowhere: the others can still be run
                    absent.append(f"{each.name}: {error}")
    except KeyboardInterrupt:
        click.echo(
            f"\nInterrupted. The same command goes on with what is missing in {out}.", err=True
        )
        sys.exit(130)
    except (ValueError, OSError) as error:
        raise click.ClickException(str(error)) from error
    if not tables:
        raise click.ClickException("\n".join(absent))
    facts: dict[str, Any] = {"seeds": seeds, "setting": setting, "quick": "yes" if quick else "no"}
    page = write_report(tables, out, facts)
    found = [
        {
            "experiment": table.experiment.name,
            "case": table.case,
            "setting": table.setting,
            "method": row.method,
            "mean": row.mean,
            "deviation": row.deviation,
            "published": row.published.score if row.published else None,
            "options": dict(row.options),
        }
        for table in tables
        for row in table.rows
    ]
    write_atomically(out / "summary.json", json.dumps(found, indent=1).encode())
    if as_json:
        click.echo(json.dumps({"report": str(page), "rows": found}))
    else:
        click.echo(f"Report: {page}")
    if absent:
        raise click.ClickException("\n".join(absent))
