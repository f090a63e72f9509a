"""Weights replaced by their signs: at the end of training, or for an evaluation."""

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor

from qpsbgd.nn.functional import ste_sign


@torch.no_grad()
def take_sign(weight: Tensor) -> None:
    """Replace a weight by its sign, in place; sign(0) = +1, and NaN stays NaN."""
    weight.copy_(ste_sign(weight.detach()))


def binarize(optimizer: torch.optim.Optimizer) -> None:
    """Replace all parameters of an optimiser by their signs, for good.

    Args:
        optimizer: any; a :class:`ProxQuant` or :class:`ProxConnect` at the end of training.

    Example:
        >>> from qpsbgd.optim import ProxQuant
        >>> weight = torch.nn.Parameter(torch.tensor([-0.2, 0.0, 0.7]))
        >>> binarize(ProxQuant([weight]))
        >>> weight.tolist()
        [-1.0, 1.0, 1.0]
    """
    for group in optimizer.param_groups:
        for weight in group["params"]:
            take_sign(weight)


@contextlib.contextmanager
def binary_weights(optimizer: torch.optim.Optimizer) -> Iterator[None]:
    """Inside, all parameters of an optimiser are their signs; afterwards what they were before.

    For evaluating, and for saving, the binary network in between; a step inside would be lost.

    Args:
        optimizer: any; :class:`ProxQuant` and :class:`ProxConnect` need it.
    """
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    kept = [weight.detach().clone() for weight in weights]
    binarize(optimizer)
    try:
        yield
    finally:
        with torch.no_grad():
            for weight, values in zip(weights, kept, strict=True):
                weight.copy_(values)
