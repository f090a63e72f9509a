"""``qpsbgd plan``."""

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
    help="Of an ideal machine: P16, Z12 or C16.",
)
@click.option(
    "--properties",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="JSON file with the properties of a solver (topology, qubits, couplers, "
    "problem_timing_data), in the place of an ideal machine.",
)
@click.option("--reads", type=click.IntRange(min=1), default=100, show_default=True)
@click.option("--annealing-time", type=click.FloatRange(min=0, min_open=True))
@click.option("--max-copies", type=click.IntRange(min=1), help="Neurons a call at most.")
@click.option("--json", "as_json", is_flag=True, help="One line of JSON.")
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
    """Estimate what training on a D-Wave annealer costs; nothing is sent, no token is needed.

    For each layer: the neurons that go in one call, calls a step, qubits, the longest chain, and
    microseconds of access time; in all for so many epochs of DATASET.
    """
    try:
        from qpsbgd.hardware import DWaveProjector, mock_annealer
        from qpsbgd.hardware.plan import plan_for
        from qpsbgd.training.datasets import DATASETS
        from qpsbgd.training.networks import make_network
    except ImportError as error:
        missing = f"planning needs {error.name}, which is not installed: pip install 'qpsbgd[all]'"
        raise click.ClickException(missing if error.name else str(error)) from error
    recipe = RECIPES[dataset, network]
    data = DATASETS[dataset](0)
    size = recipe.batch_size if batch_size is None else batch_size
    try:
        told = None if properties is None else read_properties(properties)
        machine = mock_annealer(topology, properties=told)
        projector = DWaveProjector(
            machine, num_reads=reads, annealing_time=annealing_time, max_copies=max_copies
        )
        model = make_network(network, data)
        steps = epochs * math.ceil(len(data.train_inputs) / size)
        found = plan_for(projector, model, size, steps, objective)
    except (ValueError, OSError) as error:
        raise click.UsageError(str(error)) from error
    click.echo(json.dumps(found.to_dict()) if as_json else str(found))


def read_properties(path: Path) -> dict[str, Any]:
    """Of a solver, from a file.

    Raises:
        ValueError: it holds no JSON object.
    """
    try:
        told = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path} is no JSON: {error}") from error
    if not isinstance(told, dict):
        raise ValueError(f"{path} holds no JSON object, such as a solver's properties are")
    return told
