"""``qpsbgd train``."""

import contextlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from qpsbgd import _core
from qpsbgd.cli.backend import backend_options, check_backend
from qpsbgd.cli.errors import InputError
from qpsbgd.cli.paths import OutPath
from qpsbgd.training.recipes import RECIPES, NetworkName, OptimizerName

if TYPE_CHECKING:
    from qpsbgd.training.loop import Run

DATASET_NAMES = tuple(dict.fromkeys(dataset for dataset, _ in RECIPES))
OPTIMIZER_NAMES: tuple[str, ...] = get_args(OptimizerName)


@click.command("train")
@click.argument("dataset", type=click.Choice(DATASET_NAMES))
@click.option(
    "--network",
    type=click.Choice(get_args(NetworkName)),
    help="Fully connected, with few enough neurons for an annealer (small) or more (mlp); or with "
    "convolutions (cnn).  [default: mlp; small with other back ends than the native]",
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
    help="Sweeps of the solver a step, or of --polish; qpsbgd only.  [default: 2 quadratic, 10 "
    "sign]",
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
    "--alpha",
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
    type=click.Choice(["standardised", "unit", "binary"]),
    default="standardised",
    show_default=True,
    help="Pixels of mean 0 and variance 1 over all images, from -1 to 1, or -1 and 1 alone.",
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
@backend_options
@click.option(
    "--out",
    type=OutPath(is_folder=True),
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
def train_command(
    ctx: click.Context, /, resume: Path | None, as_json: bool, **options: Any
) -> None:
    """Train a binary network and print its test accuracy.

    \b
    digits   scikit-learn's 8x8 digits: mlp is 64-128-128-10, small
             64-16-16-10, cnn two convolutions of 16 and 32 channels and a
             linear layer
    mnist5k  5000 MNIST images: mlp is 784-256-256-10, small and cnn as for
             digits; tested on MNIST's t10k where QPSBGD_DATA names a folder
             that holds it, else on a held-out fifth

    The run folder gets metrics.csv, curve.png, checkpoint.pt and config.json. Progress goes to
    standard error.

    With --backend sampler a dimod sampler solves the problems, with --backend dwave a D-Wave
    annealer (as D-Wave's own configuration says, which has the token) or, with --mock, a simulated
    one on the same graph. The run folder then has calls.jsonl, a line a call, and access_time.json,
    what was spent; each step is saved, so that --resume pays for none twice.
    """
    try:
        import qpsbgd.training.loop  # noqa: F401
    except ImportError as error:
        raise click.ClickException(
            f"training needs {error.name}, which is not installed: pip install 'qpsbgd[train]'"
        ) from error
    given = {name for name in options if is_given(ctx, name)}
    try:
        _core.isa()  # where QPSBGD_ISA is wrong, no run is begun
        run = resumed(resume, options, given) if resume else started(options, given)
    except (ValueError, TypeError, OSError) as error:
        raise InputError(error) from error
    except ImportError as error:
        missing = (
            f"{options['dataset']} needs {error.name}, which is not installed: "
            "pip install 'qpsbgd[train]'"
        )
        raise click.ClickException(missing if error.name else str(error)) from error
    click.echo(f"Run folder: {run.folder}", err=True)
    try:
        if run.config.backend == "dwave":
            plan = run.plan()
            click.echo(plan, err=True)
            if run.config.budget_us is not None and plan.access_time_us_per_step:
                steps = int(run.config.budget_us / plan.access_time_us_per_step)
                click.echo(f"The budget is for about {steps} steps.", err=True)
        summary = run.train()
    except KeyboardInterrupt:
        click.echo(
            f"\nInterrupted after {len(run.rows)} finished epochs. To go on: {go_on(run)}",
            err=True,
        )
        sys.exit(130)
    except (ValueError, OSError) as error:
        raise click.ClickException(str(error)) from error
    except Exception as error:
        if run.config.backend == "native":
            raise
        # Of a machine or a sampler, whose errors are of any type.
        kind = type(error).__name__
        more = " --budget-us MORE" if kind == "BudgetExceededError" else ""
        raise click.ClickException(f"{kind}: {error}\nTo go on: {go_on(run)}{more}") from error
    if as_json:
        click.echo(json.dumps(summary))
    else:
        click.echo(
            f"Test accuracy {summary['test_accuracy']:.4f} ({summary['test_source']}) after "
            f"{summary['epochs']} epochs, {summary['seconds']:.1f} s\n"
            f"Run folder: {summary['run_dir']}"
        )


def go_on(run: "Run") -> str:
    """The command that resumes a run."""
    return f"qpsbgd train {run.config.dataset} --resume {run.folder}"


def started(options: dict[str, Any], given: set[str]) -> "Run":
    """A new run with the options of the command line."""
    from qpsbgd.training.config import Config
    from qpsbgd.training.loop import Run, default_folders

    optimizer, out = options["optimizer"], options.pop("out")
    for name in ("num_sweeps", "objective", "scale", "alpha", "momentum", "backend"):
        if optimizer != "qpsbgd" and name in given:
            raise ValueError(
                f"--{name.replace('_', '-')} goes with --optimizer qpsbgd, not {optimizer}"
            )
    check_backend(options, given)
    if options["network"] is None:
        options["network"] = "mlp" if options["backend"] == "native" else "small"
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
    """The run in ``folder``; options that were given must be its own, but for a few."""
    from qpsbgd.training.config import read_config
    from qpsbgd.training.loop import RESUMABLE, Run

    if "out" in given:
        raise ValueError("--out does not go with --resume: a run stays in its folder")
    config = read_config(folder)
    changes = {name: options[name] for name in RESUMABLE if name in given}
    for name in sorted({"dataset", *given} - changes.keys()):
        own = getattr(config, name)
        if options[name] != own:
            raise ValueError(
                f"{name.replace('_', '-')} is {options[name]}, but the run in {folder} has {own}"
            )
    check_backend(vars(config), changes.keys())
    return Run.resume(folder, **changes)


def is_given(ctx: click.Context, name: str) -> bool:
    """Whether an option was named on the command line."""
    return ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
