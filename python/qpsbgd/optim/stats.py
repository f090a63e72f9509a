"""Statistics of a step, layer by layer, and a way to log them."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from torch.utils.hooks import RemovableHandle

from qpsbgd.optim.step.layer_gradient import LayerGradient
from qpsbgd.projection.native import minimise, objective_values
from qpsbgd.projection.projectors import Projector

if TYPE_CHECKING:
    from qpsbgd.optim.optimizer import QPSBGD


@dataclass(frozen=True)
class LayerStep:
    """Statistics of one layer in one step.

    The five from ``energy_before`` to ``gradient_norm`` are None except in the steps that
    ``stats_every`` selects.

    Attributes:
        seconds: time from reading the layer's samples to its binary gradient, with a comparison of
            scales if the step has one. Layers that are solved together, by ``project_step`` of a
            projector or by a process group, have an equal share each. Without a process group, the
            copy of samples from another device to the host does not count.
        num_samples: number N of samples of the projection, summed over the layer's groups: those
            that a gradient reached, and those of past steps (``memory``).
        energy_before: objective at the linear minimiser sign(X^T t), mean over neurons.
        energy_after: objective at the binary gradient, mean over neurons.
        agreement: share of the binary gradient that equals sign(X^T t), in [0, 1].
        flip_ratio: share of the layer's binary weights that the step changed, in [0, 1].
        gradient_norm: Frobenius norm of the gradient at the binary weights, which is T^T X of this
            rank's samples and what reached the weight past its layer. It has the factor of a
            GradScaler. Tools that log gradient norms get 0 from ``.grad`` of a binary weight.
        scale: scale of the projection, the layer's own or the chosen one. It is None for the sign
            objective, which has no scale.

    Example:
        >>> from qpsbgd.optim import LayerStep
        >>> LayerStep(seconds=0.002, num_samples=64).energy_after is None
        True
    """

    seconds: float
    num_samples: int
    energy_before: float | None = None
    energy_after: float | None = None
    agreement: float | None = None
    flip_ratio: float | None = None
    gradient_norm: float | None = None
    scale: float | None = None


def gradient_norm(gradient: LayerGradient) -> float:
    """Return the Frobenius norm of a layer's gradient at its binary weights."""
    samples = gradient.step_samples
    if samples is None:
        return 0.0
    if samples.products is not None:
        products = np.concatenate(samples.products.cross)  # (groups * m, n)
    else:
        products = np.concatenate([T.T @ X for X, T in samples.batches])
    if gradient.direct is not None:
        products = products + gradient.direct
    return float(np.linalg.norm(products.astype(np.float64)))


def energies(gradient: LayerGradient, projector: Projector) -> dict[str, Any]:
    """Return energy before, energy after and agreement of a layer's binary gradient.

    :class:`LayerStep` defines them. The means are over the neurons that a gradient reached, and
    over the samples of this rank. The result is empty where there is no such neuron.
    """
    samples = gradient.samples
    if gradient.binary is None or samples is None:
        return {}
    parts = []
    binaries = np.split(gradient.binary, gradient.num_groups)
    for group, ((X, T), binary) in enumerate(zip(samples.batches, binaries, strict=True)):
        options = gradient.projection_options(group)
        products = samples.products if options.objective == "quadratic" else None
        # The start is arbitrary for an input that only other ranks have seen.
        moved = binary != 0  # (m, n)
        if products is None:
            moved &= np.outer(T.any(axis=0), X.any(axis=0))
        reached = moved.any(axis=1)  # (m,)
        if not reached.any():
            continue
        if products is None:
            start = minimise(X, T, replace(options, num_sweeps=0))
        else:
            start = products.linear_minimiser()[group]
        after = np.where(moved, binary, start)
        options = options.filled(target_eps=getattr(projector, "target_eps", None))
        means = [
            objective_values(X, T, rows, options)
            if products is None
            else products.energies(group, rows, options)
            for rows in (start, after)
        ]
        same = (binary == start) & moved
        means.append(same.sum(axis=1) / np.maximum(moved.sum(axis=1), 1))
        parts.append(np.stack(means)[:, reached])  # (3, neurons)
    if not parts:
        return {}
    names = ("energy_before", "energy_after", "agreement")
    return dict(zip(names, np.concatenate(parts, axis=1).mean(axis=1).tolist(), strict=True))


class ScalarWriter(Protocol):
    """Writer of numbers, such as a ``torch.utils.tensorboard.SummaryWriter``."""

    def add_scalar(self, tag: str, scalar_value: float, global_step: int) -> Any:
        """Write one number."""
        ...


def write_steps(optimizer: "QPSBGD", writer: ScalarWriter, tag: str) -> RemovableHandle:
    """Write every number of ``last_step`` in the steps that ``stats_every`` selects.

    Returns:
        A handle whose ``remove()`` ends the writing.
    """

    # The hook receives the optimiser. A reference here would make a cycle, which outlives `del`.
    def write(optimizer: "QPSBGD", *_: Any) -> None:
        every = optimizer.stats_every
        if every == 0 or optimizer.num_steps % every:
            return
        for layer, step in optimizer.last_step.items():
            for name, value in asdict(step).items():
                if value is not None:
                    writer.add_scalar(f"{tag}/{layer}/{name}", value, optimizer.num_steps)

    register: Callable[..., RemovableHandle] = optimizer.register_step_post_hook
    return register(write)
