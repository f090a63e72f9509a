"""Parameter groups of QPSBGD: the binary layers of a model, each with its hyper-parameters."""

from collections.abc import Iterable
from typing import Any, get_args

from torch import Tensor, nn

from qpsbgd._checks.choices import checked_choice
from qpsbgd._checks.numbers import (
    SEED_LIMIT,
    checked_count,
    checked_nonnegative,
    checked_num_sweeps,
    checked_positive,
    checked_real,
)
from qpsbgd._warnings import warn_caller
from qpsbgd.nn.layers import BinaryLayer, binary_layers
from qpsbgd.optim.capture import Target
from qpsbgd.optim.step.sampling import default_max_samples
from qpsbgd.optim.step.weight_update import Update
from qpsbgd.projection.options import ALPHA_RULES, DEFAULT_NUM_SWEEPS, OBJECTIVES


def layer_groups(
    model: Any, defaults: dict[str, Any]
) -> tuple[nn.Module, list[BinaryLayer], list[dict[str, Any]], bool]:
    """Return the binary layers of a model and a parameter group for each.

    Args:
        model: a module, or groups of modules with hyper-parameters.
        defaults: hyper-parameters of the layers whose group does not name them.

    Returns:
        All modules as one, the layers, their parameter groups, and whether the caller gave a
        positive number of sweeps.

    Raises:
        TypeError: ``model`` is something else, or a hyper-parameter has the wrong type.
        ValueError: there is no binary layer, or a hyper-parameter is unknown or out of range.
    """
    whole, named = _named_layers(model, defaults)
    groups = []
    has_sweeps = bool(defaults["num_sweeps"])
    for name, layer, own in named:
        options = {**defaults, **own}
        has_sweeps = has_sweeps or bool(options["num_sweeps"])
        checked_choice("objective", options["objective"], OBJECTIVES)
        if options["num_sweeps"] is None:
            options["num_sweeps"] = DEFAULT_NUM_SWEEPS[options["objective"]]
        if options["max_samples"] is None:
            options["max_samples"] = default_max_samples(layer.weight[0].numel())
        check_group(options)
        groups.append({"params": [layer.weight], "layer": name, **options})
    return whole, [layer for _, layer, _ in named], groups, has_sweeps


def check_group(group: dict[str, Any]) -> None:
    """Raise TypeError or ValueError where a hyper-parameter of a layer is not allowed."""
    lr, clip, momentum, weight_decay = (
        _number(group[name]) for name in ("lr", "clip", "momentum", "weight_decay")
    )
    checked_nonnegative("lr", lr)  # a scheduler may end at 0
    if group["scale"] is not None:
        checked_positive("scale", _number(group["scale"]))
    checked_nonnegative("weight_decay", weight_decay)
    checked_count("memory", group["memory"], 0)
    if not checked_real("clip", clip) > 0:
        raise ValueError(f"clip is {clip!r}, but must be positive")
    if not 0 <= checked_real("momentum", momentum) < 1:
        raise ValueError(f"momentum is {momentum!r}, but must be at least 0 and less than 1")
    for name in ("maximize", "relative_lr"):
        if not isinstance(group[name], bool):
            raise TypeError(f"{name} is {group[name]!r}, but must be True or False")
    checked_choice("objective", group["objective"], OBJECTIVES)
    checked_choice("alpha", group["alpha"], ALPHA_RULES)
    checked_choice("update", group["update"], get_args(Update))
    checked_choice("target", group["target"], get_args(Target))
    checked_num_sweeps(group["num_sweeps"])
    checked_count("seed", group["seed"], 0, SEED_LIMIT)
    checked_count("max_samples", group["max_samples"], 1)


def warn_of_no_change(groups: list[dict[str, Any]]) -> None:
    """Warn where the groups of a new optimiser say that its steps change no sign."""
    for group in groups:
        if group["update"] == "projected" and group["lr"] < 1.0:
            warn_caller(
                f"update='projected' with lr = {group['lr']}: weights are +-1 after their first "
                "step, and a step shorter than 1 changes no sign; use lr >= 1"
            )
            break
    if not any(weight.requires_grad for group in groups for weight in group["params"]):
        warn_caller(
            "all binary weights of the model have requires_grad=False, so that steps change "
            "nothing until one is set to True"
        )


def _number(value: Any) -> Any:
    """Return the number of a tensor; torch's optimisers may hold hyper-parameters in tensors."""
    return value.item() if isinstance(value, Tensor) else value


def _named_layers(
    model: Any, defaults: dict[str, Any]
) -> tuple[nn.Module, list[tuple[str, BinaryLayer, dict[str, Any]]]]:
    """Return all modules as one, and the name, layer and own hyper-parameters of each layer."""
    if isinstance(model, nn.Module):
        entries: list[Any] = [{"params": model}]
    else:
        entries = list(model) if isinstance(model, Iterable) else [{"params": model}]
    modules = nn.ModuleList()
    layers = []
    for entry in entries:
        options = dict(entry) if isinstance(entry, dict) else {"params": entry}
        value = options.pop("params", None)
        own = [value] if isinstance(value, nn.Module) else value
        if not isinstance(own, Iterable) or not all(isinstance(m, nn.Module) for m in own):
            raise TypeError(
                f"model is a {type(model).__name__}, but must be a torch.nn.Module, or a list of "
                "groups like {'params': module, 'lr': 0.01}"
            )
        unknown = set(options) - set(defaults)
        if unknown:
            raise ValueError(
                f"a group has {', '.join(map(repr, sorted(unknown)))}, but only "
                f"{', '.join(map(repr, defaults))} can be given"
            )
        for module in own:
            for name, layer in binary_layers(_unwrapped(module)):
                # Several modules are named like the entries of a ModuleList.
                path = name if module is model else f"{len(modules)}.{name}"
                layers.append((path, layer, options))
            modules.append(module)
    if not layers:
        names = ", ".join(type(module).__name__ for module in modules)
        raise ValueError(
            f"model ({names}) has no layer with binary weights: use those of qpsbgd.nn where "
            "weights are to be binary, or qpsbgd.nn.convert_to_binary"
        )
    return (model if isinstance(model, nn.Module) else modules), layers


def _unwrapped(module: nn.Module) -> nn.Module:
    """Return the module inside DataParallel, DistributedDataParallel and torch.compile.

    Layers then have the same names with and without these, and a state fits both.
    """
    while True:
        if isinstance(module, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
            module = module.module
        elif isinstance(inner := getattr(module, "_orig_mod", None), nn.Module):
            module = inner
        else:
            return module
