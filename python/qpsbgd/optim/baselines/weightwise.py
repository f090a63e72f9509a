"""Base class of optimisers that update each weight from its own gradient and state."""

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor

from qpsbgd.optim.baselines.groups import Params, check_intervals


def evaluate_closure(closure: Callable[[], Any] | None) -> Any:
    """Return the result of a closure that an optimiser's step received; None without one."""
    if closure is None:
        return None
    with torch.enable_grad():
        return closure()


class WeightwiseOptimizer(torch.optim.Optimizer):
    """Optimiser that calls ``_update`` for each weight that has a gradient.

    Args:
        params: parameters, named parameters, or groups of them.
        defaults: hyper-parameters.
    """

    #: Interval of each hyper-parameter that is a number.
    intervals: ClassVar[dict[str, str]]

    def __init__(self, params: Params, defaults: dict[str, Any]) -> None:
        check_intervals(defaults, self.intervals)
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update all weights that have a gradient.

        Args:
            closure: evaluates the model, calls ``backward`` and returns the loss; optional.

        Returns:
            The result of ``closure``, or None.
        """
        loss = evaluate_closure(closure)
        for group in self.param_groups:
            check_intervals(group, self.intervals)
            for weight in group["params"]:
                if weight.grad is not None:
                    self._update(weight, weight.grad, group)
        return loss

    def _update(self, weight: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        raise NotImplementedError
