"""Real parameters of a model, which QPSBGD leaves to another optimiser."""

import warnings
from typing import NamedTuple

import torch
from torch import nn

from qpsbgd.nn.layers import binary_layers


class Parameters(NamedTuple):
    """Parameters of a model, split by :func:`split_parameters`.

    Attributes:
        binary: latent weights of the binary layers.
        real: all other parameters: biases, output scales, normalisation, embeddings.
    """

    binary: list[nn.Parameter]
    real: list[nn.Parameter]


def split_parameters(model: nn.Module) -> Parameters:
    """Split the parameters of a model into latent weights of binary layers and all others.

    Args:
        model: any module.

    Returns:
        Both lists. Each parameter appears once, frozen ones (``requires_grad=False``) included.

    Example:
        >>> from torch import nn
        >>> from qpsbgd.nn import BinaryLinear
        >>> from qpsbgd.optim import split_parameters
        >>> binary, real = split_parameters(nn.Sequential(BinaryLinear(3, 2), nn.BatchNorm1d(2)))
        >>> [tuple(p.shape) for p in binary], [tuple(p.shape) for p in real]
        ([(2, 3)], [(2,), (2,), (2,)])
    """
    weights = {id(layer.weight) for _, layer in binary_layers(model)}
    binary: list[nn.Parameter] = []
    real: list[nn.Parameter] = []
    for parameter in model.parameters():
        (binary if id(parameter) in weights else real).append(parameter)
    return Parameters(binary, real)


class IdleParameters:
    """Warning, given once, of real parameters that have gradients and that nothing changes.

    Args:
        model: module with the parameters.
    """

    #: Steps after which the warning appears. Another optimiser may step less often than QPSBGD.
    NUM_STEPS = 100

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._count = 0
        self._before: dict[str, tuple[int, float]] = {}

    def check(self) -> None:
        """Compare the parameters of the last of ``NUM_STEPS`` steps with those of the first.

        The optimiser calls this in every step.
        """
        self._count += 1
        if self._count == 1:
            self._before = self._state()
        if self._count != self.NUM_STEPS:
            return
        now = self._state()
        idle = [repr(name) for name, state in now.items() if self._before.get(name) == state]
        if idle:
            names = ", ".join(idle[:3]) + (f" and {len(idle) - 3} more" if len(idle) > 3 else "")
            warnings.warn(
                f"nothing has changed the real parameters {names} in {self.NUM_STEPS} steps, but "
                "they have gradients: QPSBGD trains binary weights alone; give "
                "split_parameters(model).real to an optimizer of their own, or set their "
                "requires_grad to False",
                stacklevel=5,  # the caller of step(), which torch wraps twice
            )

    def _state(self) -> dict[str, tuple[int, float]]:
        """Return the version and the sum of each real parameter that has a gradient."""
        real = {id(parameter) for parameter in split_parameters(self._model).real}
        return {
            # Changes of `parameter.data` leave the version as it is, but change the sum.
            name: (parameter._version, float(parameter.detach().sum(dtype=torch.float64)))
            for name, parameter in self._model.named_parameters()
            if id(parameter) in real and parameter.grad is not None
        }
