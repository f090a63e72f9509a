"""``qpsbgd train``."""

import functools
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from qpsbgd import _core
from qpsbgd.cli.compare import finish_comparison, print_comparison, start_comparison
from qpsbgd.cli.grouped_help import GroupedCommand
from qpsbgd.cli.input_errors import InputError
from qpsbgd.cli.output_paths import OutPath
from qpsbgd.cli.setting_flags import (
    check_given,
    click_type,
    flag_of,
    is_given,
    setting_options,
    with_flags,
)
from qpsbgd.training.config import RESUMABLE, Config, read_config

if TYPE_CHECKING:
    from qpsbgd.training.comparison import Comparison
    from qpsbgd.training.runs import Run


@click.command("train", cls=GroupedCommand)
@click.argument("dataset", type=click_type("dataset"))
@setting_options()
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
    "--compare",
    is_flag=True,
    help="Train QPSBGD, BinaryConnect and SIGNUM on ten splits, each at its own learning rate, "
    "and print a table with standard errors.",
)
@click.option(
    "--json", "as_json", is_flag=True, help="End with one line of JSON on standard output."
)
@click.pass_context
def train_command(
    ctx: click.Context,
    /,
    out: Path | None,
    resume: Path | None,
    compare: bool,
    as_json: bool,
    **settings: Any,
) -> None:
    """Train a binary network and print its test accuracy.

    \b
    digits   scikit-learn's 8x8 digits: mlp is 64-128-128-10, small is
             64-16-16-10, cnn has two convolutions of 16 and 32 channels
             and a linear layer
    mnist5k  5000 MNIST images: mlp is 784-256-256-10, small and cnn as for
             digits; the test set is MNIST's t10k if the folder QPSBGD_DATA
             holds it, else a held-out fifth

    The run folder gets metrics.csv, curve.png, checkpoint.pt and config.json. Progress goes to
    standard error.

    With --projector sampler, a dimod sampler solves the problems. With --projector dwave, a D-Wave
    annealer solves them, as D-Wave's own configuration describes, which also holds the token; with
    --mock, a simulated annealer takes its place. The run folder then gets calls.jsonl, a line for
    each call, and access_time.json, the access time spent and the problems under way. Each step is
    saved, and --resume retrieves the answers that an interrupted step has paid for.

    With --compare, QPSBGD, BinaryConnect (with Adam) and SIGNUM train the mlp of digits on ten
    splits into training and test images. metrics.csv has the epochs of all runs, curve.png shows
    the mean curves, and there is no checkpoint. Validation images chose the learning rates.
    """
    try:
        from qpsbgd.training.runs import Run
    except ImportError as error:
        raise click.ClickException(
            f"training needs {error.name}, which is not installed: pip install 'qpsbgd[train]'"
        ) from error
    given = {name for name in settings if is_given(ctx, name)} - {"dataset"}
    run: Run | Comparison
    try:
        _core.isa()  # refuses an invalid QPSBGD_ISA before there is a run
        if compare:
            run = start_comparison(settings, given, out, resume)
        elif resume is None:
            run = start_run(settings, given, out)
        elif out is not None:
            raise ValueError("--out does not go with --resume: a run stays in its folder")
        else:
            run = resume_run(resume, settings, given)
    except (ValueError, TypeError, OSError) as error:
        raise InputError(with_flags(error)) from error
    except ImportError as error:
        missing = (
            f"{settings['dataset']} needs {error.name}, which is not installed: "
            "pip install 'qpsbgd[train]'"
        )
        raise click.ClickException(missing if error.name else str(error)) from error
    click.echo(f"Run folder: {run.folder}", err=True)
    summary = finish_run(run) if isinstance(run, Run) else finish_comparison(run)
    if as_json:
        click.echo(json.dumps(summary))
    elif compare:
        print_comparison(summary)
    else:
        print_run(summary)


def print_run(summary: dict[str, Any]) -> None:
    """Print the result of a run."""
    click.echo(
        f"Test accuracy {summary['test_accuracy']:.4f} ({summary['test_source']}) after "
        f"{summary['epochs']} epochs, {summary['seconds']:.1f} s"
    )
    if scales := scales_text(summary["scales"]):
        click.echo(f"Scale of the last step: {scales}")
    click.echo(f"Run folder: {summary['run_dir']}")


def scales_text(scales: dict[str, float | None] | None) -> str:
    """Return the scale of each layer that has one.

    Example:
        >>> scales_text({"first": 1.0, "second": 0.1})
        'first 1, second 0.1'
    """
    return ", ".join(f"{k} {v:g}" for k, v in (scales or {}).items() if v is not None)


def start_run(settings: dict[str, Any], given: set[str], out: Path | None) -> "Run":
    """Return a new run with the settings of the command line.

    Raises:
        ValueError: the settings contradict each other, or the folder holds a run already.
    """
    from qpsbgd.training.folders import in_new_folder
    from qpsbgd.training.runs import Run

    check_given(settings, given)
    config = Config.from_recipe(**settings)
    if out is not None:
        return Run(config, out)
    stem = f"{config.dataset}-{config.network}-{config.optimizer}-seed{config.seed}"
    return in_new_folder(functools.partial(Run, config), stem)


def resume_run(folder: Path, settings: dict[str, Any], given: set[str]) -> "Run":
    """Return the run in a folder, with new values of the settings that may change.

    Raises:
        ValueError: a setting that was given differs from the run's own and must not change.
    """
    from qpsbgd.training.runs import Run

    config = read_config(folder)
    changes = {name: settings[name] for name in RESUMABLE if name in given}
    for name in sorted({"dataset", *given} - changes.keys()):
        own = getattr(config, name)
        if settings[name] != own:
            label = flag_of(name).removeprefix("--")
            text = f"{label} is {settings[name]}, but the run in {folder} has {own}"
            if name == "epochs" and config.schedule == "cosine":
                text += (
                    ". Its learning rate falls to 0 over these epochs, so that more epochs need "
                    "a new run"
                )
            raise ValueError(text)
    check_given(vars(config), changes.keys())
    return Run.resume(folder, **changes)


def finish_run(run: "Run") -> dict[str, Any]:
    """Train a run to its end and return its summary; an error says how to continue the run."""
    command = f"qpsbgd train {run.config.dataset} --resume {run.folder}"
    try:
        if run.config.projector == "dwave":
            print_plan(run)
        return run.train()
    except KeyboardInterrupt:
        epochs = len(run.state.rows)
        click.echo(f"\nInterrupted after {epochs} finished epochs. To go on: {command}", err=True)
        sys.exit(130)
    except (ValueError, OSError) as error:
        raise click.ClickException(with_flags(error)) from error
    except Exception as error:
        if run.config.projector == "native":
            raise
        # Samplers and annealers raise errors of any type.
        kind = type(error).__name__
        more = " --budget-us MORE" if kind == "BudgetExceededError" else ""
        raise click.ClickException(
            f"{kind}: {with_flags(error)}\nTo go on: {command}{more}"
        ) from error


def print_plan(run: "Run") -> None:
    """Print what a run on an annealer costs, and how far its budget goes."""
    plan, budget_us = run.plan(), run.config.budget_us
    click.echo(plan, err=True)
    if budget_us is not None and plan.access_time_us_per_step:
        steps = int(budget_us / plan.access_time_us_per_step)
        click.echo(f"The budget is for about {steps} steps.", err=True)
