"""The layers of a step before their projections, and the changes of their weights afterwards."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from qpsbgd.optim.capture import Capture
from qpsbgd.optim.stats import LayerStep, energies, gradient_norm
from qpsbgd.optim.step.device import to_devices
from qpsbgd.optim.step.layer_gradient import LayerGradient
from qpsbgd.optim.step.sample_memory import PastSamples, drop_past
from qpsbgd.optim.step.scale import ScaleScores
from qpsbgd.optim.step.weight_update import move_weight, set_unit
from qpsbgd.projection.projectors import Projector


def steps_done(weight: Tensor, states: Mapping[Tensor, Any]) -> int:
    """Return the number of steps that a weight has made."""
    return int(states[weight].get("step", 0)) if weight in states else 0


def layer_gradients(
    groups: Sequence[dict[str, Any]], captures: Sequence[Capture], state: Mapping[Tensor, Any]
) -> list[LayerGradient]:
    """Return an unsolved gradient for each layer that may move.

    Args:
        groups: parameter groups of the layers.
        captures: captures of the layers.
        state: the optimiser's state of the weights.

    Raises:
        RuntimeError: all layers want the gradient at an activation, and none has one.
    """
    gradients = [
        LayerGradient(
            index,
            group,
            weight,
            capture,
            steps_done(weight, state),
            scores=ScaleScores.from_state(state.get(weight, {})),
            past=PastSamples.from_state(state.get(weight, {})),
        )
        for index, (group, capture) in enumerate(zip(groups, captures, strict=True))
        for weight in group["params"]
        if weight.requires_grad
    ]
    captured = [gradient for gradient in gradients if gradient.capture.has_samples]
    if captured and not any(
        gradient.capture.found_activation or gradient.options["target"] == "preactivation"
        for gradient in captured
    ):
        raise RuntimeError(
            "target is 'activation', but no binary layer's output goes directly into a sign "
            "function of qpsbgd.nn.functional (a compiled one is not seen); use "
            "target='preactivation'"
        )
    return gradients


def move_layers(
    gradients: Sequence[LayerGradient],
    states: Mapping[Tensor, Any],
    projector: Projector,
    *,
    has_energies: bool,
) -> dict[str, LayerStep]:
    """Change weights and their state along the binary gradients.

    Args:
        gradients: the layers, whose binary gradients are known.
        states: the optimiser's state of the weights, which makes the state of a new weight.
        projector: solver of the problems.
        has_energies: whether the statistics have energies.

    Returns:
        Statistics of the step by the layer's name.

    Raises:
        ValueError: a relative learning rate has no unit; then no weight has changed.
    """
    binaries = to_devices(
        [torch.from_numpy(gradient.binary) for gradient in gradients],
        [gradient.weight.device for gradient in gradients],
    )
    steps = {}
    for gradient in gradients:  # this may raise, and must come before the first change
        set_unit(gradient.weight, gradient.options, states[gradient.weight])
    for gradient, binary in zip(gradients, binaries, strict=True):
        weight, state = gradient.weight, states[gradient.weight]
        before = weight >= 0 if has_energies else None
        move_weight(weight, binary.view(weight.shape), gradient.options, state)
        state["step"] = gradient.num_steps + 1
        gradient.scores.to_state(state)
        if gradient.past is not None:
            gradient.past.to_state(state)
        else:
            drop_past(state)
        step = LayerStep(
            gradient.seconds,
            num_samples=gradient.num_samples,
            scale=gradient.scale if gradient.options["objective"] == "quadratic" else None,
        )
        if before is not None:
            flip_ratio = float(((weight >= 0) != before).double().mean())
            step = replace(
                step,
                flip_ratio=flip_ratio,
                gradient_norm=gradient_norm(gradient),
                **energies(gradient, projector),
            )
        steps[gradient.options["layer"]] = step
    return steps
