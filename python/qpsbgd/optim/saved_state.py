"""States of QPSBGD: checks against the layers that load them, and those of earlier versions."""

from collections.abc import Sequence
from typing import Any

import torch

from qpsbgd.optim.step.sampling import default_max_samples


def check_state_dict(state_dict: dict[str, Any], groups: Sequence[dict[str, Any]]) -> None:
    """Check that a state_dict belongs to a QPSBGD with these layers.

    Args:
        state_dict: a state_dict of any optimiser.
        groups: parameter groups of the optimiser that is to load it.

    Raises:
        ValueError: the state has other layers or another target, a layer's tensors have another
            shape, or it is another optimiser's.
    """
    theirs = state_dict["param_groups"]
    if not all("layer" in group for group in theirs):
        raise ValueError("state_dict is not that of a QPSBGD: its groups name no layers")
    for name in ("layer", "target"):
        found, own = ([group.get(name) for group in each] for each in (theirs, groups))
        if found != own:
            raise ValueError(f"state_dict has {name} {found}, but this optimiser {own}")
    for saved, group in zip(theirs, groups, strict=True):
        for key, weight in zip(saved["params"], group["params"], strict=True):
            _check_layer(group["layer"], state_dict["state"].get(key, {}), weight)


def complete_groups(groups: Sequence[dict[str, Any]]) -> None:
    """Add the hyper-parameters that states of earlier versions do not have."""
    for group in groups:
        group.setdefault("weight_decay", 0.0)
        group.setdefault("relative_lr", False)
        group.setdefault("memory", 0)
        num_inputs = group["params"][0][0].numel()
        group.setdefault("max_samples", default_max_samples(num_inputs))


def _check_layer(layer: str, state: dict[str, Any], weight: torch.Tensor) -> None:
    """Raise ValueError where a tensor in the state of a layer has not the shape that it needs."""
    # The number of past samples differs from step to step; their widths are the layer's.
    widths = {"past_inputs": weight[0].numel(), "past_targets": len(weight)}
    for name in ("momentum_buffer", *widths):
        tensor = state.get(name)
        if not isinstance(tensor, torch.Tensor):
            continue
        shape = (*tensor.shape[:1], widths[name]) if name in widths else tuple(weight.shape)
        if tuple(tensor.shape) != shape:
            raise ValueError(
                f"layer {layer!r}: state_dict has {name} of shape {tuple(tensor.shape)}, but "
                f"this layer needs {shape}: it is the state of a layer of another size"
            )
