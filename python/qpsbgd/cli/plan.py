"""Command ``qpsbgd plan``: the estimated cost of training on a D-Wave annealer."""

import json
import math
import sys
from pathlib import Path
from typing import Any, get_args

import click

from qpsbgd.cli.input_errors import InputError
from qpsbgd.cli.setting_flags import click_type, is_given, setting_options
from qpsbgd.training.config import Config
from qpsbgd.training.settings import Topology

#: Settings of a run that decide what it costs.
SETTINGS = (
    "network", "epochs", "batch_size", "objective", "num_reads", "annealing_time", "max_copies",
)  # fmt: skip


@click.command("plan")
@click.argument("dataset", type=click_type("dataset"))
@setting_options(SETTINGS, {"network": "small"})
@click.option(
    "--topology",
    type=click.Choice(get_args(Topology)),
    default="pegasus",
    show_default=True,
    help="Topology of the annealer (P16, Z12, C16), with as many working qubits and couplers as "
    "D-Wave publishes for Advantage, Advantage2 and 2000Q.",
)
@click.option("--ideal", is_flag=True, help="All qubits and couplers of the topology work.")
@click.option(
    "--properties",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="JSON file with the properties of a solver (topology, qubits, couplers, "
    "problem_timing_data), in place of a topology.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON.")
@click.pass_context
def plan_command(
    ctx: click.Context,
    /,
    dataset: str,
    topology: str,
    ideal: bool,
    properties: Path | None,
    as_json: bool,
    **settings: Any,
) -> None:
    """Estimate what training on DATASET costs on a D-Wave annealer.

    Nothing is sent, and no token is needed. A table shows for each layer the neurons in a call, the
    calls in a step, the qubits, the longest chain, and the access time of a step in microseconds.
    The last lines add up all layers and epochs. The exit code is 1 if a layer does not fit.
    """
    if properties is not None and (ideal or is_given(ctx, "topology")):
        raise click.UsageError("--topology and --ideal do not go with --properties")
    try:
        from qpsbgd.hardware import DWaveProjector, plan_for, published_annealer
        from qpsbgd.training.datasets import DATASETS
        from qpsbgd.training.networks import make_network
        from qpsbgd.training.run_projectors import mock_machine
    except ImportError as error:
        missing = f"planning needs {error.name}, which is not installed: pip install 'qpsbgd[all]'"
        raise click.ClickException(missing if error.name else str(error)) from error
    try:
        config = Config.from_recipe(dataset, **settings)
        data = DATASETS[dataset](config.split)
        if properties is None and not ideal:
            machine = published_annealer(topology)
        else:
            machine = mock_machine(topology if properties is None else str(properties))
        projector = DWaveProjector(
            machine,
            num_reads=config.num_reads,
            annealing_time=config.annealing_time,
            max_copies=config.max_copies,
        )
        model = make_network(config.network, data)
        steps = config.epochs * math.ceil(len(data.train_inputs) / config.batch_size)
        cost = plan_for(projector, model, config.batch_size, steps, config.objective)
    except (ValueError, TypeError, OSError) as error:
        raise InputError(error) from error
    click.echo(json.dumps(cost.to_dict()) if as_json else str(cost))
    if cost.too_large:
        names = ", ".join(cost.too_large)
        click.echo(f"Error: {names} cannot be solved on this annealer.", err=True)
        sys.exit(1)
