"""``qpsbgd train --compare``."""

import functools
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from qpsbgd.cli.setting_flags import check_given, flag_of
from qpsbgd.training.config import Config

if TYPE_CHECKING:
    from qpsbgd.training.comparison import Comparison


def start_comparison(
    settings: dict[str, Any], given: set[str], out: Path | None, resume: Path | None
) -> "Comparison":
    """Return a comparison with the settings of the command line.

    Raises:
        ValueError: a setting does not go with a comparison, or the folder holds a run already.
    """
    from qpsbgd.training.comparison import CHOSEN, Comparison
    from qpsbgd.training.folders import in_new_folder

    if resume is not None:
        raise ValueError("--compare does not go with --resume: a comparison starts anew")
    for name in CHOSEN:
        if name in given:
            raise ValueError(
                f"--compare does not go with {flag_of(name)}: it trains each optimiser at its own "
                "learning rate on ten splits"
            )
    if settings["projector"] != "native":
        raise ValueError(f"--compare goes with --projector native, not {settings['projector']}")
    check_given(settings, given)
    config = Config.from_recipe(**settings)
    if out is not None:
        return Comparison(config, out)
    stem = f"{config.dataset}-{config.network}-compare-seed{config.seed}"
    return in_new_folder(functools.partial(Comparison, config), stem)


def finish_comparison(comparison: "Comparison") -> dict[str, Any]:
    """Run a comparison to its end and return its summary."""
    try:
        return comparison.train()
    except KeyboardInterrupt:
        click.echo("\nInterrupted. A comparison cannot be resumed: start it anew", err=True)
        sys.exit(130)
    except (ValueError, OSError) as error:
        raise click.ClickException(str(error)) from error


def print_comparison(summary: dict[str, Any]) -> None:
    """Print the results of a comparison."""
    from qpsbgd.training.comparison import comparison_table

    click.echo(
        f"Test accuracy ({summary['test_source']}) after {summary['epochs']} epochs, means of "
        f"{summary['num_splits']} splits with standard errors:\n"
    )
    click.echo(comparison_table(summary))
    click.echo(f"\nRun folder: {summary['run_dir']}")
