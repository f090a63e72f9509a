"""What the baselines share: a torch optimiser inside another, and checked hyper-parameters."""

import functools
import weakref
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

import torch
from torch import Tensor

from qpsbgd._checks import checked_real
from qpsbgd.nn.functional import ON_ACTIVATION

Params = Iterable[Tensor] | Iterable[dict[str, Any]] | Iterable[tuple[str, Tensor]]


def check_group(group: dict[str, Any], intervals: dict[str, str]) -> None:
    """Hyper-parameters must lie in their intervals, given in words: ``"[0, 1)"``."""
    for name, interval in intervals.items():
        value = group[name]
        number = checked_real(name, value.item() if isinstance(value, Tensor) else value)
        low, high = (float(end) for end in interval[1:-1].split(","))
        above = number >= low if interval[0] == "[" else number > low
        below = number <= high if interval[-1] == "]" else number < high
        if not (above and below):  # so that NaN is in no interval
            raise ValueError(f"{name} is {value!r}, but must lie in {interval}")


class Around(torch.optim.Optimizer):
    """Steps as another torch optimiser does, and maps the weights afterwards.

    Groups and state are one with those of the inner optimiser: schedulers, ``state_dict`` and
    ``GradScaler`` see a single optimiser.

    Args:
        params: parameters, named parameters, or groups of them.
        optimizer: class of the inner optimiser.
        defaults: hyper-parameters of the map.
        options: hyper-parameters of the inner optimiser.
    """

    #: By hyper-parameter of the map: the interval it must lie in.
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
        check_group(defaults, self.intervals)
        inner = optimizer(params, **options)
        super().__init__(inner.param_groups, {**inner.defaults, **defaults})
        for weight, state in inner.state.items():
            self.state[weight].update(state)
        self._inner = inner
        self._share()

    def _share(self) -> None:
        # Not by assignment: optimisers complete states and groups of other versions here.
        self._inner.__setstate__({"state": self.state, "param_groups": self.param_groups})

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_inner": self._inner}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for group in self.param_groups:  # a state of the inner optimiser alone is taken as well
            for name in self.intervals:
                group.setdefault(name, self.defaults[name])
        self._share()

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take the inner optimiser's step, and map the weights that have a gradient.

        Args:
            closure: evaluates the model, calls ``backward`` and returns the loss; optional.

        Returns:
            What ``closure`` returned, or None.
        """
        self._check()
        loss = self._inner.step(closure)
        with torch.no_grad():
            for group in self.param_groups:
                for weight in group["params"]:
                    if weight.grad is not None:
                        self._map(weight, group)
        return loss

    def _check(self) -> None:
        for group in self.param_groups:
            check_group(group, self.intervals)

    def _map(self, weight: Tensor, group: dict[str, Any]) -> None:
        raise NotImplementedError


class RefuseSteSign:
    """Found by ``ste_sign`` on a weight whose optimiser wants no quantizer on it.

    While the optimiser lives, training with the wrong layers is an error. Evaluating with them is
    not, and a copied or pickled weight does not remember.
    """

    def __init__(self, owner: torch.optim.Optimizer) -> None:
        self._owner = weakref.ref(owner)

    @classmethod
    def watch(cls, owner: torch.optim.Optimizer, weights: Iterable[Tensor]) -> None:
        """From now on, for these weights."""
        for weight in weights:
            setattr(weight, ON_ACTIVATION, [cls(owner)])

    def __call__(self, weight: Tensor, activation: Tensor) -> None:
        owner = self._owner()
        if owner is not None and activation.requires_grad:
            raise RuntimeError(
                f"{type(owner).__name__} takes gradients at the weights as they are, but a layer "
                "applies ste_sign to them: make the layer with kernel_quantizer=None"
            )

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return functools.partial, (_allow,)


def _allow(weight: Tensor, activation: Tensor) -> None:
    pass
