"""The options of ``qpsbgd train`` that say what solves the problems."""

import json
from collections.abc import Callable, Collection
from typing import Any, get_args

import click

from qpsbgd.training.backends import BACKEND_OPTIONS, TOPOLOGIES, BackendName


class JSONObject(click.ParamType[dict[str, Any]]):
    """A JSON object on the command line."""

    name = "JSON"

    def convert(self, value: Any, param: Any, ctx: Any) -> dict[str, Any]:
        """A dictionary, or a usage error."""
        if isinstance(value, dict):
            return value
        try:
            found = json.loads(value)
        except ValueError as error:
            self.fail(f"{value!r} is no JSON: {error}", param, ctx)
        if not isinstance(found, dict):
            self.fail(f"{value!r} is no JSON object, such as '{{\"num_sweeps\": 100}}'", param, ctx)
        return found


OPTIONS = (
    click.option(
        "--backend",
        type=click.Choice(get_args(BackendName)),
        default="native",
        show_default=True,
        help="What solves the problems; qpsbgd only.",
    ),
    click.option(
        "--sampler",
        default="qpsbgd:SimulatedAnnealingSampler",
        show_default=True,
        metavar="MODULE:CLASS",
        help="A dimod sampler, for --backend sampler.",
    ),
    click.option(
        "--sampler-options",
        type=JSONObject(),
        default={},
        help="Keyword arguments of the sampler's, or the annealer's, sample().",
    ),
    click.option(
        "--reads",
        "num_reads",
        type=click.IntRange(min=1),
        default=100,
        show_default=True,
        help="Reads a call of --backend dwave.",
    ),
    click.option(
        "--max-copies", type=click.IntRange(min=1), help="Neurons a call at most.  [default: all]"
    ),
    click.option(
        "--annealing-time",
        type=click.FloatRange(min=0, min_open=True),
        help="Microseconds a read.  [default: the solver's]",
    ),
    click.option(
        "--mock",
        type=click.Choice(TOPOLOGIES),
        help="A simulated annealer on this graph (P16, Z12, C16) in the place of a real one.",
    ),
    click.option("--solver", help="Name of the D-Wave solver.  [default: D-Wave's choice]"),
    click.option("--profile", help="In D-Wave's configuration file."),
    click.option("--region", help="D-Wave's."),
    click.option(
        "--budget-us",
        type=click.FloatRange(min=0, min_open=True),
        help="Access time that the run may take, in microseconds; a step that might exceed it is "
        "not sent. May be raised with --resume.",
    ),
    click.option(
        "--on-unembeddable",
        type=click.Choice(["native", "error"]),
        default="error",
        show_default=True,
        help="Layers that do not fit the machine.",
    ),
    click.option(
        "--on-failure",
        type=click.Choice(["retry", "native", "error"]),
        default="retry",
        show_default=True,
        help="Calls that have no answer: try again, then end (retry) or solve them here (native); "
        "or end at once.",
    ),
    click.option(
        "--polish", is_flag=True, help="Native descent from what a sampler or annealer found."
    ),
)


def backend_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options to a command."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command


def check_backend(options: dict[str, Any], given: Collection[str]) -> None:
    """Refuse options of another back end.

    Raises:
        ValueError: one was given.
    """
    backend = options["backend"]
    for name, backends in BACKEND_OPTIONS.items():
        if name in given and backend not in backends:
            flag = "--reads" if name == "num_reads" else f"--{name.replace('_', '-')}"
            raise ValueError(f"{flag} goes with --backend {' or '.join(backends)}, not {backend}")
    if options["mock"] is not None:
        for name in ("solver", "profile", "region"):
            if options[name] is not None:
                raise ValueError(f"--{name} is of a real annealer, and goes without --mock")
    if "num_sweeps" in given and backend != "native" and not options["polish"]:
        raise ValueError(
            f"--num-sweeps goes with --backend native, or with --polish, not {backend}"
        )
