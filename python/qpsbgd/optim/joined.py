"""One torch optimiser made of several: QPSBGD and those of the real parameters."""

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import torch

from qpsbgd.optim.joined_state import JoinedState, joined_state_dict, split_state_dict
from qpsbgd.optim.optimizer import QPSBGD


class JoinedOptimizer(torch.optim.Optimizer):
    """Several torch optimisers as one, for frameworks that take a single optimiser.

    ``step()`` calls ``step()`` of every optimiser. Learning-rate schedulers, GradScaler, gradient
    clipping and checkpoints treat it as one optimiser:

    * ``param_groups`` and ``state`` are those of all optimisers. A change reaches the optimiser
      that owns the group or the parameter.
    * ``state_dict`` has torch's format. ``load_state_dict`` gives each optimiser its part.
    * ``defaults`` has the hyper-parameters that all optimisers have. Therefore ``OneCycleLR`` and
      ``CyclicLR`` cycle the momentum only where all have one; otherwise torch asks for
      ``cycle_momentum=False``.
    * A step evaluates its closure once. Hooks of this optimiser run around those of the others.
      Torch's global step hooks run for the joined optimisers only, so that they see each
      parameter once.
    * ``add_param_group`` adds the group to the only optimiser that is not a QPSBGD.

    Attributes of one optimiser, such as ``last_step`` of QPSBGD, remain attributes of that one.

    Args:
        *optimizers: the optimisers. No parameter may belong to two of them, and none may need to
            evaluate the loss itself, as LBFGS does.

    Attributes:
        optimizers: the optimisers in the order of groups and steps: first each QPSBGD, whose errors
            then leave all parameters as they are, and then the others as they were given.

    Raises:
        TypeError: an argument is not a torch optimiser.
        ValueError: there is no argument, two optimisers share a parameter, or one of them cannot
            step without a closure.

    Example:
        >>> import torch
        >>> from qpsbgd.nn import BinaryLinear
        >>> from qpsbgd.optim import QPSBGD, JoinedOptimizer, split_parameters
        >>> model = torch.nn.Sequential(BinaryLinear(4, 2), torch.nn.BatchNorm1d(2))
        >>> optimizer = JoinedOptimizer(
        ...     QPSBGD(model, lr=0.01), torch.optim.AdamW(split_parameters(model).real, lr=0.001)
        ... )
        >>> scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=10)
        >>> model(torch.randn(8, 4)).square().mean().backward()
        >>> optimizer.step()
        >>> scheduler.step()
        >>> [round(group["lr"], 5) for group in optimizer.param_groups]
        [0.00976, 0.00098]
    """

    optimizers: tuple[torch.optim.Optimizer, ...]

    def __init__(self, *optimizers: torch.optim.Optimizer) -> None:
        if not optimizers:
            raise ValueError("JoinedOptimizer needs at least one optimizer")
        for position, optimizer in enumerate(optimizers):
            _check_optimizer(position, optimizer)
        ordered = sorted(optimizers, key=lambda optimizer: not isinstance(optimizer, QPSBGD))
        _check_disjoint(ordered)
        defaults = {
            name: value
            for name, value in ordered[0].defaults.items()
            if all(name in optimizer.defaults for optimizer in ordered)
        }
        # Torch's constructor would make groups and a state; this makes all the rest.
        self.__setstate__({"optimizers": tuple(ordered), "defaults": defaults})

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """Groups of all optimisers, in a new list of the groups themselves."""
        return [group for optimizer in self.optimizers for group in optimizer.param_groups]

    @param_groups.setter
    def param_groups(self, groups: list[dict[str, Any]]) -> None:
        """Give each group to the optimiser that has its first parameter, or to that of new ones."""
        positions = {
            parameter: position
            for position, optimizer in enumerate(self.optimizers)
            for group in optimizer.param_groups
            for parameter in group["params"]
        }
        parts: list[list[dict[str, Any]]] = [[] for _ in self.optimizers]
        for group in groups:
            position = positions.get(next(iter(group["params"]), None))
            if position is None:
                position = self.optimizers.index(self._receiver())
            parts[position].append(group)
        for optimizer, part in zip(self.optimizers, parts, strict=True):
            optimizer.param_groups = part

    @property
    def state(self) -> JoinedState:  # type: ignore[override]
        """State of all optimisers by parameter, as one mapping."""
        return JoinedState(self.optimizers)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take a step of each optimiser.

        Args:
            closure: function that evaluates the model, calls ``backward`` and returns the loss.

        Returns:
            The result of ``closure``, or None.
        """
        args: tuple[Any, ...] = (self, closure)
        kwargs: dict[str, Any] = {}
        for pre_hook in self._optimizer_step_pre_hooks.values():
            args, kwargs = pre_hook(self, args, kwargs) or (args, kwargs)
        loss = self._step_all(*args[1:], **kwargs)
        for post_hook in self._optimizer_step_post_hooks.values():
            post_hook(self, args, kwargs)
        return loss

    # Torch would wrap `step` to run hooks, and so run the global ones for each parameter twice.
    step.hooked = True  # type: ignore[attr-defined]

    def _step_all(self, closure: Callable[[], Any] | None = None) -> Any:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for optimizer in self.optimizers:
            if closure is not None and isinstance(optimizer, QPSBGD):
                optimizer.step(lambda: loss)  # QPSBGD distinguishes a loss from a skipped batch
            else:
                optimizer.step()
        return loss

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Reset the gradients of all parameters, and drop what QPSBGD has captured."""
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group to the only optimiser that is not a QPSBGD.

        Args:
            param_group: a dict with ``"params"`` and hyper-parameters, as in torch.

        Raises:
            ValueError: several optimisers could take the group, or none, or it has a parameter
                that is in another group already.
        """
        receiver = self._receiver()
        receiver.add_param_group(param_group)
        try:
            _check_disjoint(self.optimizers)
        except ValueError:
            receiver.param_groups.pop()
            raise

    def state_dict(self) -> dict[str, Any]:
        """Return the state of all optimisers in torch's format.

        Parameters are numbered through all optimisers.
        """
        for pre_hook in self._optimizer_state_dict_pre_hooks.values():
            pre_hook(self)
        state = joined_state_dict([optimizer.state_dict() for optimizer in self.optimizers])
        for post_hook in self._optimizer_state_dict_post_hooks.values():
            state = post_hook(self, state) or state
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load the state of a JoinedOptimizer of equal optimisers.

        Raises:
            ValueError: the groups have other sizes, or an optimiser refuses its part.
        """
        state_dict = dict(state_dict)
        for pre_hook in self._optimizer_load_state_dict_pre_hooks.values():
            state_dict = pre_hook(self, state_dict) or state_dict
        parts = split_state_dict(
            state_dict, [optimizer.param_groups for optimizer in self.optimizers]
        )
        for optimizer, part in zip(self.optimizers, parts, strict=True):
            optimizer.load_state_dict(part)
        for post_hook in self._optimizer_load_state_dict_post_hooks.values():
            post_hook(self)

    def __getstate__(self) -> dict[str, Any]:
        """Return the optimisers for a copy. Hooks are not copied, as in torch."""
        return {"optimizers": self.optimizers, "defaults": self.defaults}

    def _receiver(self) -> torch.optim.Optimizer:
        """Return the optimiser that takes new groups."""
        others = [each for each in self.optimizers if not isinstance(each, QPSBGD)]
        if len(others) != 1:
            names = ", ".join(type(each).__name__ for each in others) or "no optimizer"
            raise ValueError(
                "add_param_group needs exactly one optimizer besides QPSBGD, but there is "
                f"{names}: call add_param_group of the optimizer that you mean"
            )
        return others[0]


def _check_optimizer(position: int, optimizer: Any) -> None:
    """Raise TypeError or ValueError where an argument cannot be joined."""
    if not isinstance(optimizer, torch.optim.Optimizer):
        is_class = isinstance(optimizer, type)
        found = f"the class {optimizer.__name__}" if is_class else f"a {type(optimizer).__name__}"
        raise TypeError(
            f"argument {position} is {found}, but must be a torch optimizer, as in "
            "JoinedOptimizer(QPSBGD(model), torch.optim.AdamW(split_parameters(model).real))"
        )
    closure = inspect.signature(optimizer.step).parameters.get("closure")
    if closure is not None and closure.default is inspect.Parameter.empty:
        raise ValueError(
            f"{type(optimizer).__name__} evaluates the loss itself in each step, but joined "
            "optimizers share one evaluation: use an optimizer whose step() needs no closure"
        )


def _check_disjoint(optimizers: Sequence[torch.optim.Optimizer]) -> None:
    """Raise ValueError where a parameter belongs to two optimisers."""
    owners: dict[torch.Tensor, tuple[torch.optim.Optimizer, dict[str, Any]]] = {}
    for position, optimizer in enumerate(optimizers):
        if optimizer in optimizers[:position]:
            raise ValueError(f"this {type(optimizer).__name__} is given twice")
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                other, other_group = owners.setdefault(parameter, (optimizer, group))
                if other is optimizer:
                    continue
                shape = tuple(parameter.shape)
                layer = other_group.get("layer")
                what = f"a parameter of shape {shape}" if layer is None else f"layer {layer!r}"
                raise ValueError(
                    f"{type(other).__name__} and {type(optimizer).__name__} would both change "
                    f"{what}, but a parameter must have one optimizer: give "
                    "split_parameters(model).real, or a part of it, to those besides QPSBGD"
                )
