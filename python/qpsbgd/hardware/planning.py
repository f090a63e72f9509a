"""Estimates of the access time of a training run; nothing is sent."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import dimod
import numpy as np

from qpsbgd._checks.choices import checked_choice
from qpsbgd._checks.kinds import described
from qpsbgd._checks.numbers import checked_count
from qpsbgd.errors import UnembeddableError
from qpsbgd.hardware.annealer.machine import access_time_us, check_run_time
from qpsbgd.hardware.annealer.mock import mock_annealer
from qpsbgd.hardware.annealer.published import published_annealer
from qpsbgd.hardware.embedding import Packing
from qpsbgd.hardware.projector import DWaveProjector
from qpsbgd.projection import GradientBQMs, gradient_bqms
from qpsbgd.projection.options import OBJECTIVES, Objective

if TYPE_CHECKING:
    from torch import nn

#: Name and (m, n) of each layer.
Shapes: TypeAlias = Iterable[tuple[str, tuple[int, int]]]


@dataclass(frozen=True)
class LayerPlan:
    """Estimated cost of one layer in each step.

    Attributes:
        name: name of the layer.
        num_neurons: number of neurons ``m``.
        num_inputs: number of inputs ``n``.
        num_copies: neurons in a call; 0 where the layer does not fit the machine.
        num_calls: calls in a step.
        num_qubits: qubits that a call uses.
        longest_chain: qubits of the longest chain.
        access_time_us: access time of a step in microseconds.
        one_by_one_us: access time of a step if each neuron had its own call, in microseconds.

    Example:
        >>> from qpsbgd.hardware import LayerPlan
        >>> LayerPlan("too large", num_neurons=4, num_inputs=1000).num_copies
        0
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
    """Estimated cost of a training run; ``print`` shows it as a table.

    Attributes:
        solver: name of the machine.
        num_reads: reads of each call.
        num_steps: steps of the run.
        layers: a :class:`LayerPlan` for each layer.

    Example:
        >>> from qpsbgd.hardware import LayerPlan, Plan
        >>> layer = LayerPlan("first", 16, 64, num_copies=8, num_calls=2, access_time_us=80.0)
        >>> Plan("solver", 100, 10, (layer,)).access_time_us
        800.0
    """

    solver: str
    num_reads: int
    num_steps: int
    layers: tuple[LayerPlan, ...]

    @property
    def too_large(self) -> tuple[str, ...]:
        """Names of the layers that do not fit the machine; the totals leave them out."""
        return tuple(layer.name for layer in self.layers if not layer.num_copies)

    @property
    def calls_per_step(self) -> int:
        """Calls of all layers in a step."""
        return sum(layer.num_calls for layer in self.layers)

    @property
    def access_time_us_per_step(self) -> float:
        """Access time of all layers in a step, in microseconds."""
        return sum(layer.access_time_us for layer in self.layers)

    @property
    def access_time_us(self) -> float:
        """Access time of the whole run in microseconds."""
        return self.num_steps * self.access_time_us_per_step

    @property
    def gain(self) -> float:
        """Access time with one call per neuron, divided by the access time of this plan."""
        one_by_one_us = sum(layer.one_by_one_us for layer in self.layers)
        return one_by_one_us / self.access_time_us_per_step if one_by_one_us else 1.0

    def to_dict(self) -> dict[str, Any]:
        """Return the plan in a form that JSON can represent."""
        return {
            "solver": self.solver,
            "num_reads": self.num_reads,
            "num_steps": self.num_steps,
            "calls_per_step": self.calls_per_step,
            "access_time_us_per_step": self.access_time_us_per_step,
            "access_time_us": self.access_time_us,
            "gain": self.gain,
            "too_large": list(self.too_large),
            "layers": [vars(layer) for layer in self.layers],
        }

    def __str__(self) -> str:
        """Return a table of the layers and the totals."""
        head = ["layer", "neurons", "inputs", "a call", "calls", "qubits", "chain", "us a step"]
        rows = [head]
        for layer in self.layers:
            cost: list[Any] = ["does not fit", "", "", "", ""]
            if layer.num_copies:
                cost = [
                    layer.num_copies, layer.num_calls, layer.num_qubits, layer.longest_chain,
                    round(layer.access_time_us),
                ]  # fmt: skip
            rows.append([str(x) for x in (layer.name, layer.num_neurons, layer.num_inputs, *cost)])
        widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
        table = "\n".join(
            "  ".join(
                cell.ljust(width) if column == 0 else cell.rjust(width)
                for column, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in rows
        )
        left_out = f" without {', '.join(self.too_large)}" if self.too_large else ""
        return (
            f"Estimated access time on {self.solver}, {self.num_reads} reads a call:\n{table}\n"
            f"A step{left_out}: {self.calls_per_step} calls, {self.access_time_us_per_step:.0f} us "
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
    """Estimate calls, qubits, chains and access time of training on a machine; send nothing.

    Args:
        model: network with binary layers, or pairs of the name and the shape ``(m, n)`` of each
            layer.
        batch_size: samples in a step. The cost of the quadratic objective does not depend on it.
        steps: number of steps of the run.
        sampler: sampler whose graph and timing are used: a ``DWaveSampler``, which needs a token,
            or a mock. None for a machine of ``topology``.
        topology: ``"pegasus"``, ``"zephyr"`` or ``"chimera"``.
        shape: shape of an ideal machine. None for a machine with as many working qubits and
            couplers as D-Wave publishes, as :func:`~qpsbgd.hardware.published_annealer` draws them.
        objective: ``"quadratic"`` or ``"sign"``. The plan of the sign objective assumes inputs that
            are random signs.
        **options: arguments of :class:`~qpsbgd.hardware.DWaveProjector`.

    Raises:
        TypeError: the model or the sampler has another type.
        ValueError: a value is out of range, or a call has more reads than the machine accepts.

    Example:
        >>> from qpsbgd.hardware import plan
        >>> cost = plan([("first", (3, 4))], 10, 100, topology="chimera", shape=(2, 2, 4))
        >>> cost.calls_per_step, cost.layers[0].longest_chain
        (1, 2)
    """
    shapes = _shapes(model)
    if sampler is None:
        is_ideal = shape is not None
        sampler = mock_annealer(topology, shape) if is_ideal else published_annealer(topology)
    return plan_for(DWaveProjector(sampler, **options), shapes, batch_size, steps, objective)


def plan_for(
    projector: DWaveProjector,
    model: "nn.Module | Shapes",
    batch_size: int,
    steps: int,
    objective: Objective = "quadratic",
) -> Plan:
    """Estimate the access time of training with a projector that exists.

    Args:
        projector: projector of the run.
        model: network, or name and ``(m, n)`` of each layer, as for :func:`plan`.
        batch_size: samples in a step.
        steps: number of steps.
        objective: ``"quadratic"`` or ``"sign"``.

    Raises:
        TypeError: the model has another type.
        ValueError: a value is out of range, or a call has more reads than the machine accepts.
    """
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
    return Plan(projector.machine.name, projector.options.num_reads, steps, tuple(layers))


def _layer_plan(
    projector: DWaveProjector, name: str, m: int, n: int, packing: Packing
) -> LayerPlan:
    properties, options = projector.machine.properties, projector.options
    check_run_time(properties, packing.num_qubits, options.num_reads, options.parameters)

    def time_us(num_qubits: int) -> float:
        return access_time_us(properties, num_qubits, options.num_reads, options.parameters)

    num_calls = math.ceil(m / packing.num_copies)
    qubits_of_copy = sum(len(chain) for chain in packing.embeddings[0].values())
    return LayerPlan(
        name,
        m,
        n,
        packing.num_copies,
        num_calls,
        packing.num_qubits,
        packing.longest_chain,
        num_calls * time_us(packing.num_qubits),
        m * time_us(qubits_of_copy),
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
    """Return problems of a layer whose inputs are random signs."""
    rng = np.random.default_rng(0)
    X = rng.choice(np.array([-1.0, 1.0], np.float32), (batch_size, num_inputs))
    T = np.ones((batch_size, num_neurons), np.float32)
    return gradient_bqms(X, T, objective="sign")
