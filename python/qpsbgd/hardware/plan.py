"""What a run would cost, before anything is sent."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import dimod
import numpy as np

from qpsbgd._checks import checked_choice, checked_count, described
from qpsbgd.errors import UnembeddableError
from qpsbgd.hardware.embedding import Packing
from qpsbgd.hardware.mock import mock_annealer
from qpsbgd.hardware.projector import DWaveProjector
from qpsbgd.hardware.timing import access_time_us, check_run_time
from qpsbgd.projection import GradientBQMs, gradient_bqms
from qpsbgd.projection.options import OBJECTIVES, Objective

if TYPE_CHECKING:
    from torch import nn

#: Name and (m, n) of each layer.
Shapes: TypeAlias = Iterable[tuple[str, tuple[int, int]]]


@dataclass(frozen=True)
class LayerPlan:
    """A layer's part in each step.

    Attributes:
        name: of the layer.
        num_neurons: m.
        num_inputs: n.
        num_copies: neurons a call; 0 where the layer does not fit the machine.
        num_calls: a step.
        num_qubits: a call.
        longest_chain: in qubits.
        access_time_us: a step, in microseconds.
        one_by_one_us: a step, if each neuron had a call of its own.
    """

    name: str
    num_neurons: int
    num_inputs: int
    num_copies: int = 0
    num_calls: int = 0
    num_qubits: int = 0
    longest_chain: int = 0
    access_time_us: float = 0.0
    one_by_one_us: float = 0.0


@dataclass(frozen=True)
class Plan:
    """An estimate of what training takes; ``print`` it for a table.

    Attributes:
        solver: name of the machine.
        num_reads: a call.
        num_steps: of training.
        layers: one :class:`LayerPlan` each.
    """

    solver: str
    num_reads: int
    num_steps: int
    layers: tuple[LayerPlan, ...]

    @property
    def calls_per_step(self) -> int:
        """Of all layers."""
        return sum(layer.num_calls for layer in self.layers)

    @property
    def access_time_us_per_step(self) -> float:
        """Of all layers, in microseconds."""
        return sum(layer.access_time_us for layer in self.layers)

    @property
    def access_time_us(self) -> float:
        """In all, in microseconds."""
        return self.num_steps * self.access_time_us_per_step

    @property
    def gain(self) -> float:
        """Access time if each neuron had a call of its own, over that of this plan."""
        alone = sum(layer.one_by_one_us for layer in self.layers)
        return alone / self.access_time_us_per_step if alone else 1.0

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "solver": self.solver,
            "num_reads": self.num_reads,
            "num_steps": self.num_steps,
            "calls_per_step": self.calls_per_step,
            "access_time_us_per_step": self.access_time_us_per_step,
            "access_time_us": self.access_time_us,
            "gain": self.gain,
            "layers": [vars(layer) for layer in self.layers],
        }

    def __str__(self) -> str:
        head = ["layer", "neurons", "inputs", "a call", "calls", "qubits", "chain", "us a step"]
        rows = [head]
        for layer in self.layers:
            taken: list[Any] = ["does not fit", "", "", "", ""]
            if layer.num_copies:
                taken = [
                    layer.num_copies, layer.num_calls, layer.num_qubits, layer.longest_chain,
                    round(layer.access_time_us),
                ]  # fmt: skip
            rows.append([str(x) for x in (layer.name, layer.num_neurons, layer.num_inputs, *taken)])
        widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
        table = "\n".join(
            "  ".join(
                cell.ljust(width) if column == 0 else cell.rjust(width)
                for column, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in rows
        )
        return (
            f"Estimated access time on {self.solver}, {self.num_reads} reads a call:\n{table}\n"
            f"A step: {self.calls_per_step} calls, {self.access_time_us_per_step:.0f} us "
            f"({self.gain:.1f} times less than with one call a neuron). "
            f"{self.num_steps} steps: {self.num_steps * self.calls_per_step} calls, "
            f"{self.access_time_us / 1e6:.1f} s. What is billed may differ."
        )


def plan(
    model: "nn.Module | Shapes",
    batch_size: int,
    steps: int,
    *,
    sampler: dimod.Sampler | None = None,
    topology: str = "pegasus",
    shape: Sequence[int] | None = None,
    objective: Objective = "quadratic",
    **options: Any,
) -> Plan:
    """Calls, qubits, chains and access time of training on a machine; nothing is sent.

    Args:
        model: any module with binary layers; or names and shapes ``(m, n)`` of such.
        batch_size: N, samples of a step; the quadratic objective's problems are the same for any.
        steps: of training.
        sampler: for its graph and timing, a ``DWaveSampler`` (which needs a token) or a mock; None
            for an ideal machine of ``topology`` and ``shape``.
        topology: as for :func:`~qpsbgd.hardware.mock_annealer`.
        shape: likewise.
        objective: ``"quadratic"``, or ``"sign"``, for which inputs are taken to be random signs.
        **options: of :class:`~qpsbgd.hardware.DWaveProjector`.

    Raises:
        TypeError: a model or a sampler of another kind.
        ValueError: a value out of range, or more reads than a call may take.

    Example:
        >>> found = plan([("first", (3, 4))], 10, 100, topology="chimera", shape=(2, 2, 4))
        >>> found.calls_per_step, found.layers[0].longest_chain
        (1, 2)
    """
    shapes = _shapes(model)
    machine = mock_annealer(topology, shape) if sampler is None else sampler
    return plan_for(DWaveProjector(machine, **options), shapes, batch_size, steps, objective)


def plan_for(
    projector: DWaveProjector,
    model: "nn.Module | Shapes",
    batch_size: int,
    steps: int,
    objective: Objective = "quadratic",
) -> Plan:
    """The same for a projector that is there already."""
    checked_count("batch_size", batch_size, 1)
    checked_count("steps", steps, 0)
    checked_choice("objective", objective, OBJECTIVES)
    layers = []
    for name, (m, n) in _shapes(model):
        try:
            if objective == "quadratic":
                packing = projector.layouts.quadratic(n)
            else:
                packing = projector.layouts.sign(_random_signs(n, m, batch_size))
        except UnembeddableError:
            layers.append(LayerPlan(name, m, n))
            continue
        layers.append(_layer_plan(projector, name, m, n, packing))
    return Plan(projector.machine.name, projector.num_reads, steps, tuple(layers))


def _layer_plan(
    projector: DWaveProjector, name: str, m: int, n: int, packing: Packing
) -> LayerPlan:
    properties, reads = projector.machine.properties, projector.num_reads
    check_run_time(properties, packing.num_qubits, reads, projector.parameters)

    def time_us(num_qubits: int) -> float:
        return access_time_us(properties, num_qubits, reads, projector.parameters)

    num_calls = math.ceil(m / packing.num_copies)
    one = sum(len(chain) for chain in packing.embeddings[0].values())
    return LayerPlan(
        name,
        m,
        n,
        packing.num_copies,
        num_calls,
        packing.num_qubits,
        packing.longest_chain,
        num_calls * time_us(packing.num_qubits),
        m * time_us(one),
    )


def _shapes(model: Any) -> list[tuple[str, tuple[int, int]]]:
    rule = f"model is {described(model)}, but must be a torch.nn.Module or pairs (name, (m, n))"
    if isinstance(model, (type, str, Mapping)):
        raise TypeError(rule)
    if not hasattr(model, "named_modules"):
        try:
            return [(name, (m, n)) for name, (m, n) in model]
        except (TypeError, ValueError):
            raise TypeError(rule) from None
    from qpsbgd.nn.layers import binary_layers

    shapes = []
    for name, layer in binary_layers(model):
        groups = layer.num_groups
        shape = len(layer.weight) // groups, layer.weight[0].numel()
        names = [name] if groups == 1 else [f"{name}[{group}]" for group in range(groups)]
        shapes += [(each, shape) for each in names]
    return shapes


def _random_signs(num_inputs: int, num_neurons: int, batch_size: int) -> GradientBQMs:
    """Problems of a layer whose inputs are random signs."""
    rng = np.random.default_rng(0)
    X = rng.choice(np.array([-1.0, 1.0], np.float32), (batch_size, num_inputs))
    T = np.ones((batch_size, num_neurons), np.float32)
    return gradient_bqms(X, T, objective="sign")
