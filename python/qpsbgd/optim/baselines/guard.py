"""Guard against layers that quantise weights whose optimiser needs the gradient at the weights."""

import functools
import weakref
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from qpsbgd.nn.functional import ON_ACTIVATION


class SteSignGuard:
    """Callback that raises an error if a sign function is applied to a weight in training.

    The guard works while the optimiser is alive. It permits evaluation without gradients. A copied
    or pickled weight has no guard.
    """

    def __init__(self, owner: torch.optim.Optimizer) -> None:
        self._owner = weakref.ref(owner)

    @classmethod
    def watch(cls, owner: torch.optim.Optimizer, weights: Iterable[Tensor]) -> None:
        """Attach a guard to each weight of an optimiser."""
        for weight in weights:
            setattr(weight, ON_ACTIVATION, [cls(owner)])

    def __call__(self, weight: Tensor, activation: Tensor) -> None:
        """Raise RuntimeError if the result of the sign function is part of an autograd graph."""
        owner = self._owner()
        if owner is not None and activation.requires_grad:
            raise RuntimeError(
                f"{type(owner).__name__} takes gradients at the weights as they are, but a layer "
                "applies ste_sign to them: make the layer with kernel_quantizer=None"
            )

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return functools.partial, (_allow,)


def _allow(weight: Tensor, activation: Tensor) -> None:
    """Do nothing; this replaces the guard in copies."""
