"""Command ``qpsbgd plan``: the estimated cost of training on a D-Wave annealer."""

import json
import math
from pathlib import Path
from typing import Any, get_args

import click

from qpsbgd.training.recipes import RECIPES, DatasetName, NetworkName
from qpsbgd.training.settings import Topology


@click.command("plan")
@click.argument("dataset", type=click.Choice(get_args(DatasetName)))
@click.option(
    "--network", type=click.Choice(get_args(NetworkName)), default="small", show_default=True
)
@click.option("--epochs", type=click.IntRange(min=1), default=15, show_default=True)
@click.option("--batch-size", type=click.IntRange(min=1), help="[default: as for train]")
@click.option(
    "--objective",
    type=click.Choice(["quadratic", "sign"]),
    default="quadratic",
    show_default=True,
)
@click.option(
    "--topology",
    type=click.Choice(get_args(Topology)),
    default="pegasus",
    show_default=True,
    help="Topology of an ideal machine: P16, Z12 or C16.",
)
@click.option(
    "--properties",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="JSON file with the properties of a solver (topology, qubits, couplers, "
    "problem_timing_data); it replaces the ideal machine.",
)
@click.option("--reads", type=click.IntRange(min=1), default=100, show_default=True)
@click.option("--annealing-time", type=click.FloatRange(min=0, min_open=True))
@click.option(
    "--max-copies", type=click.IntRange(min=1), help="Upper limit of the neurons in a call."
)
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON.")
def plan_command(
    dataset: str,
    network: NetworkName,
    epochs: int,
    batch_size: int | None,
    objective: Any,
    topology: str,
    properties: Path | None,
    reads: int,
    annealing_time: float | None,
    max_copies: int | None,
    as_json: bool,
) -> None:
    """Estimate what training on DATASET costs on a D-Wave annealer.

    Nothing is sent, and no token is needed. A table shows for each layer the neurons in a call, the
    calls in a step, the qubits, the longest chain, and the access time of a step in microseconds.
    The last lines add up all layers and epochs.
    """
    try:
        from qpsbgd.hardware import DWaveProjector, mock_annealer, plan_for
        from qpsbgd.training.datasets import DATASETS
        from qpsbgd.training.networks import make_network
    except ImportError as error:
        missing = f"planning needs {error.name}, which is not installed: pip install 'qpsbgd[all]'"
        raise click.ClickException(missing if error.name else str(error)) from error
    recipe = RECIPES[dataset, network]
    data = DATASETS[dataset](0)
    size = recipe.batch_size if batch_size is None else batch_size
    try:
        solver = None if properties is None else read_properties(properties)
        machine = mock_annealer(topology, properties=solver)
        projector = DWaveProjector(
            machine, num_reads=reads, annealing_time=annealing_time, max_copies=max_copies
        )
        model = make_network(network, data)
        steps = epochs * math.ceil(len(data.train_inputs) / size)
        cost = plan_for(projector, model, size, steps, objective)
    except (ValueError, OSError) as error:
        raise click.UsageError(str(error)) from error
    click.echo(json.dumps(cost.to_dict()) if as_json else str(cost))


def read_properties(path: Path) -> dict[str, Any]:
    """Return the properties of a solver that a JSON file holds.

    Raises:
        ValueError: the file holds no JSON object.
        OSError: the file cannot be read.
    """
    try:
        properties = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path} is no JSON: {error}") from error
    if not isinstance(properties, dict):
        raise ValueError(f"{path} holds no JSON object, but must hold a solver's properties")
    return properties
