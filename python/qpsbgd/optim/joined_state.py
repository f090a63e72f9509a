"""State of several optimisers as that of one: a mapping by parameter, and state_dicts."""

from collections.abc import Iterator, MutableMapping, Sequence
from itertools import chain
from typing import Any

import torch

_TORCH_KEYS = ("state", "param_groups")


class JoinedState(MutableMapping[Any, Any]):
    """View of the states of several optimisers, which share no parameter.

    As in torch, access to a parameter without a state makes an empty one.

    Args:
        optimizers: the optimisers.

    Example:
        >>> import torch
        >>> from qpsbgd.optim.joined_state import JoinedState
        >>> a, b = torch.nn.Parameter(torch.ones(1)), torch.nn.Parameter(torch.ones(2))
        >>> first, second = torch.optim.SGD([a]), torch.optim.SGD([b])
        >>> JoinedState([first, second])[b]["step"] = 3
        >>> second.state[b], len(first.state)
        ({'step': 3}, 0)
    """

    def __init__(self, optimizers: Sequence[torch.optim.Optimizer]) -> None:
        self._optimizers = optimizers

    def _owner(self, key: Any) -> MutableMapping[Any, Any]:
        """Return the state that has a key, or whose optimiser has it as a parameter."""
        for optimizer in self._optimizers:
            groups = optimizer.param_groups
            if key in optimizer.state or any(key is p for group in groups for p in group["params"]):
                return optimizer.state
        raise KeyError(key)

    def __getitem__(self, key: Any) -> Any:
        return self._owner(key)[key]

    def __setitem__(self, key: Any, value: Any) -> None:
        self._owner(key)[key] = value

    def __delitem__(self, key: Any) -> None:
        del self._owner(key)[key]

    def __iter__(self) -> Iterator[Any]:
        return chain.from_iterable(optimizer.state for optimizer in self._optimizers)

    def __len__(self) -> int:
        return sum(len(optimizer.state) for optimizer in self._optimizers)

    # The methods of MutableMapping would make an empty state in order to find out whether there is
    # one.

    def __contains__(self, key: Any) -> bool:
        return any(key in optimizer.state for optimizer in self._optimizers)

    def get(self, key: Any, default: Any = None) -> Any:
        """Return the state of a parameter, or the default if it has none."""
        return next((each.state[key] for each in self._optimizers if key in each.state), default)

    def pop(self, key: Any, *default: Any) -> Any:
        """Remove and return the state of a parameter, or return the default if it has none."""
        return self._owner(key).pop(key, *default)

    def setdefault(self, key: Any, default: Any = None) -> Any:
        """Return the state of a parameter, which becomes the default if it has none."""
        return self._owner(key).setdefault(key, default)


def joined_state_dict(parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the state_dicts of several optimisers as one in torch's format.

    Parameters are numbered through all of them. A key of ``"state"`` that is no parameter becomes
    ``(position of its optimiser, key)``. Further entries of a state_dict go to ``"others"``, one
    dict for each optimiser.

    Example:
        >>> import torch
        >>> from qpsbgd.optim.joined_state import joined_state_dict
        >>> parts = [torch.optim.SGD([torch.ones(n)]).state_dict() for n in (2, 3)]
        >>> [group["params"] for group in joined_state_dict(parts)["param_groups"]]
        [[0], [1]]
    """
    state: dict[Any, Any] = {}
    groups: list[dict[str, Any]] = []
    count = 0
    for position, part in enumerate(parts):
        ids = _parameter_ids(part["param_groups"])
        numbers = {key: count + index for index, key in enumerate(ids)}
        count += len(ids)
        for key, value in part["state"].items():
            state[numbers.get(key, (position, key))] = value
        for group in part["param_groups"]:
            groups.append({**group, "params": [numbers[key] for key in group["params"]]})
    joined = {"state": state, "param_groups": groups}
    others = [{k: v for k, v in part.items() if k not in _TORCH_KEYS} for part in parts]
    return {**joined, "others": others} if any(others) else joined


def split_state_dict(
    joined: dict[str, Any], groups: Sequence[Sequence[dict[str, Any]]]
) -> list[dict[str, Any]]:
    """Return the state_dict of each optimiser from one that :func:`joined_state_dict` made.

    Args:
        joined: the common state_dict.
        groups: parameter groups of each optimiser, which say how many it has.

    Raises:
        ValueError: there are other groups than those in ``joined``.
    """
    saved = list(joined["param_groups"])
    sizes = [len(group["params"]) for group in saved]
    expected = [len(group["params"]) for part in groups for group in part]
    if sizes != expected:
        raise ValueError(
            f"state_dict has groups of {sizes} parameters, but the joined optimizers have groups "
            f"of {expected}: it must be that of a JoinedOptimizer of equal optimizers"
        )
    parts = []
    for position, part in enumerate(groups):
        own, saved = saved[: len(part)], saved[len(part) :]
        ids = set(_parameter_ids(own))
        state = {
            (key[1] if isinstance(key, tuple) else key): value
            for key, value in joined["state"].items()
            if key in ids or (isinstance(key, tuple) and key[0] == position)
        }
        others = joined["others"][position] if "others" in joined else {}
        parts.append({"state": state, "param_groups": own, **others})
    return parts


def _parameter_ids(groups: Sequence[dict[str, Any]]) -> list[Any]:
    return [key for group in groups for key in group["params"]]
