"""Optimisers of training runs by name, with the hyper-parameters chosen for them."""

from typing import Any

import torch
from torch import nn

from qpsbgd.optim import QPSBGD, BinaryConnect, Bop, ProxConnect, ProxQuant, SignSGD
from qpsbgd.training.recipes import OptimizerName

#: Hyper-parameters besides the learning rate, chosen in trials on digits (docs/defaults.md).
#: ``strength`` of ProxQuant and ``final_mu`` of ProxConnect are the values at the end of a run.
HYPERPARAMETERS: dict[OptimizerName, dict[str, float]] = {
    "binaryconnect-sgd": {"momentum": 0.9},
    "signum": {"momentum": 0.9},
    "proxquant": {"momentum": 0.9, "strength": 0.1},
    "bop": {"tau": 3e-5},
    "proxconnect": {"mu": 5.0, "final_mu": 100.0},
}


def make_optimizer(
    name: OptimizerName, model: nn.Module, num_steps: int, **options: Any
) -> torch.optim.Optimizer:
    """Return an optimiser of all weights of a model.

    Args:
        name: name of the optimiser, as on the command line.
        model: network whose layers have the quantizer that :func:`kernel_quantizer` returns.
        num_steps: steps of the whole run. ProxQuant's strength grows linearly from 0 over the
            run, and ProxConnect's sharpness geometrically.
        **options: arguments of the optimiser, such as ``lr``; they replace
            :data:`HYPERPARAMETERS`.

    Example:
        >>> from qpsbgd.training.networks import BinaryMLP
        >>> optimizer = make_optimizer("signum", BinaryMLP((4, 3, 2)), num_steps=100, lr=0.01)
        >>> optimizer.defaults["momentum"]
        0.9
    """
    weights = model.parameters()
    options = {**HYPERPARAMETERS.get(name, {}), **options}
    match name:
        case "qpsbgd":
            return QPSBGD(model, **options)
        case "binaryconnect":
            return BinaryConnect(weights, **options)
        case "binaryconnect-sgd":
            return BinaryConnect(weights, torch.optim.SGD, **options)
        case "signsgd" | "signum":
            return SignSGD(weights, **options)
        case "proxquant":
            reg_rate = options.pop("strength") / num_steps
            return ProxQuant(weights, torch.optim.SGD, reg_rate=reg_rate, **options)
        case "bop":
            return Bop(weights, **options)
        case "proxconnect":
            mu_growth = (options.pop("final_mu") / options["mu"]) ** (1 / num_steps)
            return ProxConnect(weights, torch.optim.Adam, mu_growth=mu_growth, **options)


def kernel_quantizer(name: str) -> str | None:
    """Return the quantizer of the layers that an optimiser trains.

    ProxQuant and ProxConnect binarise the weights themselves, so that the layers use the weights
    as they are.

    Example:
        >>> kernel_quantizer("qpsbgd"), kernel_quantizer("proxquant")
        ('ste_sign', None)
    """
    return None if name in ("proxquant", "proxconnect") else "ste_sign"
