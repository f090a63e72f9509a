"""Claims of an optimiser on the weights of binary layers, and their checks."""

import warnings
import weakref
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn.utils.parametrize import is_parametrized
from torch.optim.optimizer import register_optimizer_step_pre_hook

from qpsbgd.nn.layers import BinaryLayer, binary_layers
from qpsbgd.nn.observers import release_observers

if TYPE_CHECKING:
    from qpsbgd.optim.optimizer import QPSBGD


def check_weight(name: str, layer: BinaryLayer) -> None:
    """Check that an optimiser can claim the weight of a layer.

    Raises:
        ValueError: the weight is not a parameter of its own.
    """
    problem = _computed_weight(layer)
    if problem is not None:
        raise ValueError(f"layer {name!r}: {problem}")


def check_same_weight(name: str, layer: BinaryLayer, claimed: nn.Parameter) -> None:
    """Check in training that a layer still has the weight that the optimiser has claimed.

    Raises:
        RuntimeError: it has another one.
    """
    if layer.weight is claimed:
        return
    problem = _computed_weight(layer)
    if problem is None and not isinstance(layer.weight, nn.Parameter):
        problem = (
            "functional_call puts another tensor in the place of the weight that QPSBGD trains; "
            "delete the optimizer first, or call it on a copy of the model"
        )
    elif problem is None and claimed.is_meta:
        problem = (
            "to_empty has replaced the weight on the meta device that QPSBGD claimed; make the "
            "optimizer after to_empty"
        )
    elif problem is None:
        problem = (
            "its weight is not the parameter that the optimizer claimed; make the optimizer after "
            "load_state_dict(assign=True) and whatever else replaces parameters, and delete it "
            "for functional_call"
        )
    raise RuntimeError(f"layer {name!r}: {problem}")


def _computed_weight(layer: BinaryLayer) -> str | None:
    """Return why the weight of a layer cannot be trained in place; None if it can."""
    if is_parametrized(layer, "weight"):
        return (
            "its weight has a parametrization, which computes it anew in each call; QPSBGD needs "
            "the weight itself: use torch.nn.utils.parametrize.remove_parametrizations first"
        )
    parameter = layer._parameters.get("weight")
    # Both versions of FSDP set this attribute. DTensor is not there in every build of torch.
    if hasattr(layer, "_is_fsdp_managed_module") or type(parameter).__name__ == "DTensor":
        return (
            "FSDP shards its weight, of which QPSBGD needs whole rows: use DistributedDataParallel"
        )
    if parameter is None:
        return (
            "its weight is no parameter but is computed from others (pruning, weight "
            "normalisation): remove this first, as with torch.nn.utils.prune.remove"
        )
    return None


def release(model: nn.Module) -> None:
    """End the claims of any QPSBGD on the binary layers of a model.

    The layers then belong to no optimiser, and a new one can be made for them. The former QPSBGD
    drops what it has captured, and raises an error at its next step. Its ``state_dict`` remains
    readable. This helps where the former one cannot be deleted because something else holds it: a
    cell of a notebook that runs again, or a trainer that calls ``configure_optimizers`` again.

    Args:
        model: any module.

    Example:
        >>> from qpsbgd.nn import BinaryLinear
        >>> from qpsbgd.optim import QPSBGD, release
        >>> model = BinaryLinear(4, 2)
        >>> for lr in (0.1, 0.01):
        ...     release(model)
        ...     optimizer = QPSBGD(model, lr=lr)
    """
    for _, layer in binary_layers(model):
        release_observers(layer)


def warn_of_rivals(owner: "QPSBGD") -> None:
    """Warn when another optimiser that holds a claimed weight takes its first step.

    This lasts as long as the owner. An optimiser that takes the owner's steps itself lists it in
    an attribute ``optimizers`` and is no rival.

    Args:
        owner: the optimiser with the claim.
    """
    reference = weakref.ref(owner)
    seen: weakref.WeakSet[torch.optim.Optimizer] = weakref.WeakSet()

    def check(optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        owner = reference()
        if owner is None or optimizer in seen:
            return
        if isinstance(optimizer, type(owner)):  # the owner, or one whose step raises an error
            return
        seen.add(optimizer)
        if any(inner is owner for inner in getattr(optimizer, "optimizers", ())):
            return
        layers = {
            id(weight): group["layer"]
            for group, capture in zip(owner.param_groups, owner.captures(), strict=True)
            for weight in group["params"]
            if not capture.is_released
        }
        names = [
            repr(layers[id(weight)])
            for group in optimizer.param_groups
            for weight in group["params"]
            if id(weight) in layers and weight.requires_grad
        ]
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            warnings.warn(
                f"{type(optimizer).__name__} takes a step with the weights of the layers "
                f"{', '.join(names[:3])}{more}, which QPSBGD trains, and which have no gradients "
                "for another optimizer: give it split_parameters(model).real alone, or end the "
                "claim of QPSBGD with qpsbgd.optim.release(model)",
                stacklevel=3,  # the caller of step(), which torch wraps once
            )

    handle = register_optimizer_step_pre_hook(check)
    weakref.finalize(owner, handle.remove)
