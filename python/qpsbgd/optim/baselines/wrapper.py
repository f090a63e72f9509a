"""Base class of optimisers that use another torch optimiser for their steps."""

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor

from qpsbgd.optim.baselines.groups import Params, check_intervals


class OptimizerWrapper(torch.optim.Optimizer):
    """Optimiser that takes the step of an inner optimiser and then maps the weights.

    Both optimisers share their groups and their state. Schedulers, ``state_dict`` and
    ``GradScaler`` therefore see a single optimiser.

    Args:
        params: parameters, named parameters, or groups of them.
        optimizer: class of the inner optimiser.
        defaults: hyper-parameters of the map.
        options: hyper-parameters of the inner optimiser.
    """

    #: Interval of each hyper-parameter of the map.
    intervals: ClassVar[dict[str, str]] = {"clip": "(0, inf]"}

    def __init__(
        self,
        params: Params,
        optimizer: type[torch.optim.Optimizer],
        defaults: dict[str, Any],
        options: dict[str, Any],
    ) -> None:
        if not (isinstance(optimizer, type) and issubclass(optimizer, torch.optim.Optimizer)):
            raise TypeError(f"optimizer is {optimizer!r}, but must be a class of torch optimisers")
        check_intervals(defaults, self.intervals)
        inner = optimizer(params, **options)
        super().__init__(inner.param_groups, {**inner.defaults, **defaults})
        for weight, state in inner.state.items():
            self.state[weight].update(state)
        self._inner = inner
        self._share_state()

    def _share_state(self) -> None:
        # Optimisers add entries that states of older versions lack in __setstate__; an assignment
        # of the attributes would omit this.
        self._inner.__setstate__({"state": self.state, "param_groups": self.param_groups})

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_inner": self._inner}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for group in self.param_groups:  # a state of the inner optimiser lacks these
            for name in self.intervals:
                group.setdefault(name, self.defaults[name])
        self._share_state()

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take the inner optimiser's step, and map the weights that have a gradient.

        Args:
            closure: evaluates the model, calls ``backward`` and returns the loss; optional.

        Returns:
            The result of ``closure``, or None.
        """
        self._check_groups()
        loss = self._take_inner_step(closure)
        with torch.no_grad():
            for group in self.param_groups:
                for weight in group["params"]:
                    if weight.grad is not None:
                        self._map(weight, group)
        return loss

    def _take_inner_step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take the inner optimiser's step without torch's hooks: this optimiser's step has them."""
        step = type(self._inner).step
        # torch wraps the method of each class whose instances it has made.
        unhooked = step.__wrapped__ if getattr(step, "hooked", False) else step  # type: ignore[attr-defined]
        return unhooked(self._inner, closure)

    def _check_groups(self) -> None:
        for group in self.param_groups:
            check_intervals(group, self.intervals)

    def _map(self, weight: Tensor, group: dict[str, Any]) -> None:
        raise NotImplementedError
