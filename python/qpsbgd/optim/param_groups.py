"""The hyper-parameters of QPSBGD: one group a layer."""

import math
from collections.abc import Iterable
from numbers import Real
from typing import Any, get_args

from torch import Tensor, nn

from qpsbgd._checks import SEED_LIMIT, checked_choice, checked_count
from qpsbgd.nn.layers import BinaryLayer, binary_layers
from qpsbgd.optim.capture import Target
from qpsbgd.optim.update import Update
from qpsbgd.projection.layers import AlphaRule

#: Sweeps a step where the caller names none, by objective; evidence in docs/defaults.md.
DEFAULT_NUM_SWEEPS: dict[str, int] = {"quadratic": 2, "sign": 10}

#: Why arguments of torch's own optimisers are refused.
UNSUPPORTED = {
    "foreach": "layers differ in shape, and each is updated in one pass of the core already",
    "fused": "projection and update are the core's, not kernels of torch",
    "capturable": "the projection runs on the host, which a CUDA graph cannot capture",
    "differentiable": "the projection onto binary variables has no derivative",
}


def named_layers(
    model: Any, defaults: dict[str, Any]
) -> tuple[nn.Module, list[tuple[str, BinaryLayer, dict[str, Any]]]]:
    """All modules as one, and name, module and own hyper-parameters of each binary layer."""
    if isinstance(model, nn.Module):
        entries: list[dict[str, Any]] = [{"params": model}]
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
            for name, layer in binary_layers(_bare(module)):
                # As in a ModuleList, where there may be more than one module.
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


def _bare(module: nn.Module) -> nn.Module:
    """What DataParallel, DistributedDataParallel and torch.compile have put into another module.

    So that layers have the same names, and a state can be loaded, with them and without.
    """
    while True:
        if isinstance(module, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
            module = module.module
        elif isinstance(inner := getattr(module, "_orig_mod", None), nn.Module):
            module = inner
        else:
            return module


def checked_options(options: dict[str, Any]) -> dict[str, Any]:
    """The hyper-parameters of a group, with the default number of sweeps of its objective."""
    checked_choice("objective", options["objective"], tuple(DEFAULT_NUM_SWEEPS))
    if options["num_sweeps"] is None:
        options["num_sweeps"] = DEFAULT_NUM_SWEEPS[options["objective"]]
    check_group(options)
    return options


def check_group(group: dict[str, Any]) -> None:
    for name in ("lr", "scale", "clip", "momentum"):
        value = group[name]
        if isinstance(value, bool) or not isinstance(value, (Real, Tensor)):
            raise TypeError(f"{name} is {value!r}, but must be a real number")
        number = float(value)
        valid, rule = {
            # A scheduler may end at lr = 0.
            "lr": (0 <= number < math.inf, "finite and at least 0"),
            "scale": (0 < number < math.inf, "finite and positive"),
            "clip": (number > 0, "positive"),
            "momentum": (0 <= number < 1, "at least 0 and less than 1"),
        }[name]
        if not valid:
            raise ValueError(f"{name} is {value!r}, but must be {rule}")
    if not isinstance(group["maximize"], bool):
        raise TypeError(f"maximize is {group['maximize']!r}, but must be True or False")
    checked_choice("objective", group["objective"], tuple(DEFAULT_NUM_SWEEPS))
    checked_choice("alpha", group["alpha"], get_args(AlphaRule))
    checked_choice("update", group["update"], get_args(Update))
    checked_choice("target", group["target"], get_args(Target))
    checked_count("num_sweeps", group["num_sweeps"], 0)
    checked_count("seed", group["seed"], 0, SEED_LIMIT)
