"""Command ``qpsbgd solve``."""

import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import dimod

from qpsbgd import formats, solve
from qpsbgd._checks.numbers import SEED_LIMIT
from qpsbgd.atomic import write_atomically
from qpsbgd.cli.input_errors import InputError
from qpsbgd.cli.output_paths import OutPath

#: Largest number of characters of an assignment that the command prints.
MAX_CHARACTERS = 64


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
    help="Seconds for solving, without reading the file; inf for no limit.",
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
    help="[default: recognised by content and name]",
)
@click.option(
    "--maximize",
    is_flag=True,
    help="[default: as the file says, else the rule of its format]",
)
@click.option("--minimize", is_flag=True)
@click.option(
    "--initial",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File of an initial state: what --out writes, or a value for each variable.",
)
@click.option("--out", type=OutPath(), help="JSON file for the solution.")
@click.option("--json", "as_json", is_flag=True, help="Print the JSON of --out in one line.")
def solve_command(
    file: Path,
    file_format: formats.Format | None,
    maximize: bool,
    minimize: bool,
    threads: int | None,
    initial: Path | None,
    out: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Solve the QUBO, Ising problem or Max-Cut in FILE and print its best objective.

    \b
    rudy     Max-Cut of a graph as in the G-set; maximised
    qubo     qbsolv's .qubo; minimised as qbsolv does (--maximize for bqp)
    biqmac   sparse matrix as in Biq Mac, .sparse; minimised
    qs       sparse matrix and offset of QOBLIB, .qs; minimised
    coo      dimod's coordinates, with a line '# vartype=...'; minimised
    dimod    a binary quadratic model as JSON or by to_file; minimised
    bqpjson  JSON of bqpjson 1.0.0; minimised
    npz      SciPy's sparse matrix A, x'Ax over 0 and 1; minimised
    mtx      Matrix Market's matrix A, x'Ax over 0 and 1; minimised

    FILE may be compressed with gzip, xz or bzip2. The default solver, a portfolio, runs steepest
    descents, anneals (sa) and tabu searches in turn. Ctrl-C ends the search and keeps the best
    solution. Progress goes to standard error, where that is a terminal.
    """
    if maximize and minimize:
        raise click.UsageError("--maximize and --minimize contradict each other: give one of them")
    sense: formats.Sense | None = "maximise" if maximize else "minimise" if minimize else None
    try:
        if out is not None:
            check_out(out, file)
        instance = formats.read(file, file_format, sense)
        start = None if initial is None else formats.read_start(initial, instance.bqm)
        with progress_bar(options["time_limit"], hidden=as_json) as progress:
            solution = solve.solve(
                instance, num_threads=threads, progress=progress, initial=start, **options
            )
    except KeyboardInterrupt:
        click.echo("\nInterrupted before there was a solution.", err=True)
        sys.exit(130)
    except (ValueError, OSError) as error:
        raise InputError(error) from error
    except MemoryError:
        raise InputError(f"{file} holds a problem that does not fit into memory") from None
    except ImportError as error:
        raise click.ClickException(
            f"solving needs {error.name}, which is not installed: pip install 'qpsbgd[cli]'"
        ) from error
    text = json.dumps(solution.to_dict())
    click.echo(text if as_json else summary(solution))
    if out is not None:
        try:
            write_atomically(out, text.encode() + b"\n")
        except OSError as error:
            raise click.ClickException(f"{out} cannot be written: {error}") from error
    if solution.stopped_by == "interrupt":
        sys.exit(130)


def summary(solution: solve.Solution) -> str:
    """Return what the command prints: the objective, the sense and its reason, the assignment."""
    instance = solution.instance
    flag = "maximize" if instance.sense == "maximise" else "minimize"
    reason = {
        "argument": f"--{flag} was given",
        "header": instance.sense_reason,
        "format": instance.sense_reason,
    }[instance.sense_source]
    return (
        f"Objective {solution.objective:.12g} ({instance.sense}"
        f"{', optimal' if solution.optimal else ''}), stopped by {solution.stopped_by} after "
        f"{solution.seconds:.1f} s, seed {solution.seed}\n"
        f"Sense: {instance.sense}, as {reason}\n"
        f"Assignment: {short_assignment(solution)}"
    )


def short_assignment(solution: solve.Solution) -> str:
    """Return the values of the first variables, and how many there are."""
    bqm, values = solution.instance.bqm, solution.assignment
    n, first = len(values), bqm.variables[0]
    if first in (0, 1) and list(bqm.variables) == list(range(first, first + n)):
        # The variables are numbered without gaps, so the values need no names.
        symbols = {0: "0", 1: "1"} if bqm.vartype is dimod.BINARY else {-1: "-", 1: "+"}
        shown, end = "".join(symbols[value] for value in values[:MAX_CHARACTERS]), ""
        is_all = n <= MAX_CHARACTERS
    else:
        shown, end, is_all = "", " ", True
        for variable, value in zip(bqm.variables, values, strict=True):
            name = str(variable) if str(variable).isprintable() else repr(variable)
            piece = f"{name}={value}"
            is_all = len(shown) + len(piece) < MAX_CHARACTERS
            if not is_all:
                break
            shown += piece if not shown else f" {piece}"
    return shown if is_all else f"{shown}{end}... ({n} variables; --out or --json writes all)"


def check_out(out: Path, file: Path) -> None:
    """Raise ValueError before a search whose solution could not be written."""
    if not out.parent.is_dir():
        raise ValueError(f"--out is {out}, but {out.parent} is not a folder: create it first")
    if out.exists() and out.samefile(file):
        raise ValueError(f"--out is {out}, but must not be FILE itself")


@contextlib.contextmanager
def progress_bar(limit: float, hidden: bool) -> Iterator[solve.Progress]:
    """Show the seconds used and the best objective on standard error, if that is a terminal."""
    from tqdm import tqdm

    endless = limit == float("inf")
    with tqdm(
        total=None if endless else limit,
        bar_format="{n:.1f} s{postfix}" if endless else "{bar} {n:.1f}/{total:.1f} s{postfix}",
        dynamic_ncols=True,
        disable=hidden or None,  # None hides the bar if standard error is not a terminal
    ) as bar:

        def show(seconds: float, objective: float) -> None:
            bar.set_postfix_str(f"best {objective:.12g}", refresh=False)
            bar.update(min(seconds, limit) - bar.n)

        yield show
