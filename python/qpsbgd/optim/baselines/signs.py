"""Replacement of an optimiser's weights by their signs, for good or for an evaluation."""

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor

from qpsbgd.nn.functional import ste_sign


@torch.no_grad()
def take_sign(weight: Tensor) -> None:
    """Replace a weight by its sign in place, with sign(0) = +1; NaN stays NaN."""
    weight.copy_(ste_sign(weight.detach()))


def binarize_weights_of(optimizer: torch.optim.Optimizer) -> None:
    """Replace all parameters of an optimiser by their signs, permanently.

    Use it at the end of training with :class:`ProxQuant` or :class:`ProxConnect`.

    Args:
        optimizer: any torch optimiser.

    Example:
        >>> import torch
        >>> from qpsbgd.optim import ProxQuant, binarize_weights_of
        >>> weight = torch.nn.Parameter(torch.tensor([-0.2, 0.0, 0.7]))
        >>> binarize_weights_of(ProxQuant([weight]))
        >>> weight.tolist()
        [-1.0, 1.0, 1.0]
    """
    for group in optimizer.param_groups:
        for weight in group["params"]:
            take_sign(weight)


@contextlib.contextmanager
def binary_weights_of(optimizer: torch.optim.Optimizer) -> Iterator[None]:
    """Replace all parameters of an optimiser by their signs within a ``with`` block.

    Use it to evaluate or save the binary network during training with :class:`ProxQuant` or
    :class:`ProxConnect`. The end of the block restores the weights, so a step inside it has no
    effect on them.

    Args:
        optimizer: any torch optimiser.

    Example:
        >>> import torch
        >>> from qpsbgd.optim import ProxQuant, binary_weights_of
        >>> weight = torch.nn.Parameter(torch.tensor([-0.5, 0.25]))
        >>> optimizer = ProxQuant([weight])
        >>> with binary_weights_of(optimizer):
        ...     weight.tolist()
        [-1.0, 1.0]
        >>> weight.tolist()
        [-0.5, 0.25]
    """
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    originals = [weight.detach().clone() for weight in weights]
    binarize_weights_of(optimizer)
    try:
        yield
    finally:
        with torch.no_grad():
            for weight, original in zip(weights, originals, strict=True):
                weight.copy_(original)
