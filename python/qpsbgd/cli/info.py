"""``qpsbgd info``."""

import json
import platform
from importlib import metadata
from typing import Any

import click

from qpsbgd import __version__, _core

#: Distributions whose versions the command prints.
DEPENDENCIES = ("numpy", "dimod", "torch", "dwave-system")


@click.command("info")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def info_command(as_json: bool) -> None:
    """Print the version, instruction sets, kind of threads and compiler."""
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
    """Return the version of an installed distribution without importing it, or None.

    Example:
        >>> installed_version("no-such-distribution") is None
        True
    """
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None
