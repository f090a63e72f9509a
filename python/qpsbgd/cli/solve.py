"""``qpsbgd solve``."""

import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from qpsbgd import formats, solve
from qpsbgd.arguments import SEED_LIMIT
from qpsbgd.atomic import write_atomically


@click.command("solve")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--solver", type=click.Choice(solve.SOLVERS), default=solve.SOLVERS[0], show_default=True
)
@click.option(
    "--time-limit",
    type=click.FloatRange(min=0, min_open=True),
    default=10.0,
    show_default=True,
    help="Seconds, without reading the file; inf for none.",
)
@click.option("--target", type=float, help="Stop at an objective as good as this.")
@click.option(
    "--seed", type=click.IntRange(min=0, max=SEED_LIMIT - 1), default=0, show_default=True
)
@click.option("--threads", type=click.IntRange(min=1), help="[default: all processors]")
@click.option(
    "--format",
    "file_format",
    type=click.Choice(formats.FORMATS),
    help="[default: told from content and suffix]",
)
@click.option("--maximize", "sense", flag_value="maximise", help="[default: as the format says]")
@click.option("--minimize", "sense", flag_value="minimise")
@click.option(
    "--out",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="JSON file for the solution.",
)
@click.option("--json", "as_json", is_flag=True, help="Print what --out gets, in one line.")
def solve_command(
    file: Path,
    file_format: formats.Format | None,
    sense: formats.Sense | None,
    threads: int | None,
    out: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Solve the QUBO, Ising problem or Max-Cut in FILE and print its best objective.

    \b
    rudy    Max-Cut of a graph as in the G-set; maximised
    qubo    qbsolv's .qubo; minimised as qbsolv does (--maximize for bqp)
    biqmac  sparse matrix as in Biq Mac, .sparse; minimised
    coo     dimod's coordinates, with a line '# vartype=...'; minimised
    dimod   a binary quadratic model as JSON or by to_file; minimised

    FILE may be compressed with gzip. Ctrl-C ends the search and keeps the best solution. Progress
    goes to standard error, where that is a terminal.
    """
    try:
        if out is not None:
            check_out(out, file)
        instance = formats.read(file, file_format, sense)
        with progress_bar(options["time_limit"], hidden=as_json) as progress:
            solution = solve.solve(instance, num_threads=threads, progress=progress, **options)
    except KeyboardInterrupt:
        click.echo("\nInterrupted before there was a solution.", err=True)
        sys.exit(130)
    except (ValueError, OSError) as error:
        raise click.UsageError(str(error)) from error
    except ImportError as error:
        raise click.ClickException(
            f"solving needs {error.name}, which is not installed: pip install 'qpsbgd[cli]'"
        ) from error
    text = json.dumps(solution.to_dict())
    if as_json:
        click.echo(text)
    else:
        click.echo(
            f"Objective {solution.objective:.12g} ({instance.sense}"
            f"{', optimal' if solution.optimal else ''}), stopped by {solution.stopped_by} after "
            f"{solution.seconds:.1f} s, seed {solution.seed}"
        )
    if out is not None:
        try:
            write_atomically(out, text.encode() + b"\n")
        except OSError as error:
            raise click.ClickException(str(error)) from error
    if solution.stopped_by == "interrupt":
        sys.exit(130)


def check_out(out: Path, file: Path) -> None:
    """Before a search whose solution could not be written."""
    if not out.parent.is_dir():
        raise ValueError(f"--out is {out}, but {out.parent} is no folder")
    if out.exists() and out.samefile(file):
        raise ValueError(f"--out is {out}, but must not be FILE itself")


@contextlib.contextmanager
def progress_bar(limit: float, hidden: bool) -> Iterator[solve.Progress]:
    """Shows the seconds used and the best objective on standard error, if that is a terminal."""
    from tqdm import tqdm

    endless = limit == float("inf")
    with tqdm(
        total=None if endless else limit,
        bar_format="{n:.1f} s{postfix}" if endless else "{bar} {n:.1f}/{total:.1f} s{postfix}",
        dynamic_ncols=True,
        disable=hidden or None,  # None: where it is no terminal
    ) as bar:

        def show(seconds: float, objective: float) -> None:
            bar.set_postfix_str(f"best {objective:.12g}", refresh=False)
            bar.update(min(seconds, limit) - bar.n)

        yield show
