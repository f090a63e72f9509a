"""The command line: ``qpsbgd train``, ``qpsbgd solve``, ``qpsbgd info``."""

import contextlib
import json
import platform
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

try:
    import click
except ImportError:
    sys.exit("The qpsbgd command needs click, which is not installed: pip install 'qpsbgd[cli]'")

from qpsbgd import __version__, _core, formats, solve
from qpsbgd.arguments import SEED_LIMIT
from qpsbgd.atomic import write_atomically
from qpsbgd.experiments.recipes import RECIPES, NetworkName, OptimizerName

if TYPE_CHECKING:
    from qpsbgd.experiments.training import Run

DATASET_NAMES = tuple(dict.fromkeys(dataset for dataset, _ in RECIPES))
OPTIMIZER_NAMES: tuple[str, ...] = get_args(OptimizerName)
#: Extra by distribution that `info` reports.
DEPENDENCIES = ("numpy", "dimod", "torch", "dwave-system")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="qpsbgd")
def main() -> None:
    """Train neural networks with binary weights by projected gradients (QP-SBGD)."""


@main.command()
@click.argument("dataset", type=click.Choice(DATASET_NAMES))
@click.option(
    "--network",
    type=click.Choice(get_args(NetworkName)),
    default="mlp",
    show_default=True,
    help="Fully connected, or with convolutions.",
)
@click.option(
    "--optimizer",
    type=click.Choice(OPTIMIZER_NAMES),
    default="qpsbgd",
    show_default=True,
    metavar="NAME",
    help="qpsbgd, or one of the baselines: binaryconnect (with Adam), binaryconnect-sgd, signsgd, "
    "signum, proxquant, bop, proxconnect.",
)
@click.option("--epochs", type=click.IntRange(min=1), default=15, show_default=True)
@click.option(
    "--lr",
    type=click.FloatRange(min=0, min_open=True),
    help="Initial learning rate (bop: gamma).  "
    "[default: the best of a grid for data set and optimizer]",
)
@click.option("--batch-size", type=click.IntRange(min=1), help="[default: digits 50, mnist5k 100]")
@click.option("--seed", type=click.IntRange(min=0, max=2**31 - 1), default=0, show_default=True)
@click.option(
    "--split",
    type=click.IntRange(min=0, max=2**32 - 1),
    default=0,
    show_default=True,
    help="Which fifth of the images is held out for testing.",
)
@click.option(
    "--num-sweeps",
    type=click.IntRange(min=0),
    help="Sweeps of the solver a step; qpsbgd only.  [default: 2 quadratic, 10 sign]",
)
@click.option(
    "--objective",
    type=click.Choice(["quadratic", "sign"]),
    default="quadratic",
    show_default=True,
    help="What a projection minimises; qpsbgd only.",
)
@click.option(
    "--scale",
    type=click.FloatRange(min=0, min_open=True),
    help="Strength of the quadratic objective's curvature; qpsbgd only.  [default: mlp 1, cnn 0.3]",
)
@click.option(
    "--step-length",
    type=click.Choice(["fit", "norm"]),
    default="fit",
    show_default=True,
    help="What the scale is relative to: the least-squares fit, or the length of the targets; "
    "qpsbgd only.",
)
@click.option(
    "--momentum",
    type=click.FloatRange(min=0, max=1, max_open=True),
    default=0.0,
    show_default=True,
    help="Of the binary gradient; qpsbgd only.",
)
@click.option(
    "--inputs",
    type=click.Choice(["standardised", "unit"]),
    default="standardised",
    show_default=True,
    help="Pixels of mean 0 and variance 1 over all images, or from -1 to 1.",
)
@click.option(
    "--schedule",
    type=click.Choice(["cosine", "exponential"]),
    default="cosine",
    show_default=True,
    help="Of the learning rate: half a cosine down to 0, or times .75 an epoch.",
)
@click.option(
    "--shift",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Move training images at random by up to so many pixels.",
)
@click.option("--threads", type=click.IntRange(min=1), help="Threads of torch and of the solver.")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for the run.  [default: a new one below runs/]",
)
@click.option(
    "--resume",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Continue the run in this folder, with its own settings.",
)
@click.option(
    "--json", "as_json", is_flag=True, help="End with one line of JSON on standard output."
)
@click.pass_context
def train(ctx: click.Context, /, resume: Path | None, as_json: bool, **options: Any) -> None:
    """Train a binary network and print its test accuracy.

    \b
    digits   scikit-learn's 8x8 digits: mlp is 64-128-128-10, cnn two
             convolutions of 16 and 32 channels and a linear layer
    mnist5k  5000 MNIST images: mlp is 784-256-256-10, cnn as for digits;
             tested on MNIST's t10k where QPSBGD_DATA names a folder that
             holds it, else on a held-out fifth

    The run folder gets metrics.csv, curve.png, checkpoint.pt and config.json. Progress goes to
    standard error.
    """
    try:
        import qpsbgd.experiments.training  # noqa: F401
    except ImportError as error:
        raise click.ClickException(
            f"training needs {error.name}, which is not installed: pip install 'qpsbgd[train]'"
        ) from error
    given = {name for name in options if is_given(ctx, name)}
    try:
        _core.isa()  # where QPSBGD_ISA is wrong, no run is begun
        run = resumed(resume, options, given) if resume else started(options, given)
    except (ValueError, OSError) as error:
        raise click.UsageError(str(error)) from error
    except ImportError as error:
        raise click.ClickException(
            f"{options['dataset']} needs {error.name}, which is not installed: "
            "pip install 'qpsbgd[train]'"
        ) from error
    click.echo(f"Run folder: {run.folder}", err=True)
    try:
        summary = run.train()
    except KeyboardInterrupt:
        click.echo(
            f"\nInterrupted after {len(run.rows)} finished epochs. To go on: "
            f"qpsbgd train {run.config.dataset} --resume {run.folder}",
            err=True,
        )
        sys.exit(130)
    except (ValueError, OSError) as error:
        raise click.ClickException(str(error)) from error
    if as_json:
        click.echo(json.dumps(summary))
    else:
        click.echo(
            f"Test accuracy {summary['test_accuracy']:.4f} ({summary['test_source']}) after "
            f"{summary['epochs']} epochs, {summary['seconds']:.1f} s\n"
            f"Run folder: {summary['run_dir']}"
        )


def started(options: dict[str, Any], given: set[str]) -> "Run":
    """A new run with the options of the command line."""
    from qpsbgd.experiments.training import Config, Run, default_folders

    optimizer, out = options["optimizer"], options.pop("out")
    for name in ("num_sweeps", "objective", "scale", "step_length", "momentum"):
        if optimizer != "qpsbgd" and name in given:
            raise ValueError(
                f"--{name.replace('_', '-')} goes with --optimizer qpsbgd, not {optimizer}"
            )
    recipe = RECIPES[options["dataset"], options["network"]]
    if options["lr"] is None:
        options["lr"] = recipe.lr[optimizer]
    for name in ("batch_size", "scale"):
        if options[name] is None:
            options[name] = getattr(recipe, name)
    config = Config(**options)
    if out is not None:
        return Run(config, out)
    folders = default_folders(Path("runs"), config)
    while True:
        with contextlib.suppress(FileExistsError):  # another run may take a name at any time
            return Run(config, next(folders))


def resumed(folder: Path, options: dict[str, Any], given: set[str]) -> "Run":
    """The run in ``folder``; options that were given must be its own."""
    from qpsbgd.experiments.training import Run

    if "out" in given:
        raise ValueError("--out does not go with --resume: a run stays in its folder")
    run = Run.resume(folder)
    for name in sorted({"dataset", *given}):
        own = getattr(run.config, name)
        if options[name] != own:
            raise ValueError(
                f"{name.replace('_', '-')} is {options[name]}, but the run in {folder} has {own}"
            )
    return run


def is_given(ctx: click.Context, name: str) -> bool:
    """Whether an option was named on the command line."""
    return ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE


@main.command("solve")
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


@main.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def info(as_json: bool) -> None:
    """Print version, instruction sets, threads back end and compiler."""
    try:
        isa = _core.isa()
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    facts: dict[str, Any] = {
        "version": __version__,
        "isa": isa,
        "isas_available": _core.available_isas(),
        "threads_backend": _core.threads_backend(),
        "threads": _core.default_num_threads(),
        "compiler": _core.compiler,
        "python": platform.python_version(),
        "platform": platform.platform(),
        **{name: installed_version(name) for name in DEPENDENCIES},
    }
    if as_json:
        click.echo(json.dumps(facts))
        return
    for name, value in facts.items():
        text = ", ".join(value) if isinstance(value, list) else value
        click.echo(f"{name.replace('_', ' '):<16} {text if text is not None else 'not installed'}")


def installed_version(distribution: str) -> str | None:
    """Version of an installed distribution, without importing it."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


if __name__ == "__main__":
    main()
