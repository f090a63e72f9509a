"""ProxQuant: real weights that a proximal operator draws to +-1."""

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor

from qpsbgd.nn.functional import ste_sign
from qpsbgd.optim.baselines.around import Around, Params, RefuseSteSign


class ProxQuant(Around):
    """A torch optimiser on real weights, and after each step one towards the nearer of +-1.

    The gradient is taken at the real V, so that layers are made with ``kernel_quantizer=None``. In
    a step the optimiser makes z of V, and then, with ``s = sign(z)``,

    ``V <- clip(s + sign(z - s) relu(|z - s| - lr * strength))``,

    the proximal operator of ``lr * strength * |V - sign(V)|``. The strength grows by ``reg_rate`` a
    step: weights are real to begin with, and more and more of them are +-1.

    Args:
        params: weights of layers, or groups of them; no real parameters.
        optimizer: class of the optimiser that makes z.
        reg_rate: growth of the strength a step; 0 keeps it.
        strength: where it begins. Groups hold its present value.
        clip: weights are kept in [-clip, clip]; may be infinite.
        **options: the optimiser's: ``lr`` and so on.

    At the end use :func:`binarize`, in between :func:`binary_weights`.

    Raises:
        TypeError: ``optimizer`` is no class of optimisers, or does not know an option.
        ValueError: a hyper-parameter out of range.
        RuntimeError: in a forward pass, a layer that applies ``ste_sign`` to the weights.

    Example:
        >>> weight = torch.nn.Parameter(torch.tensor([0.5]))
        >>> optimizer = ProxQuant([weight], lr=0.1, strength=1.0, reg_rate=0.0)
        >>> weight.grad = torch.zeros(1)
        >>> optimizer.step()
        >>> round(weight.item(), 6)
        0.6

    Reference:
        Bai, Wang, Liberty, arXiv 1810.00861.
    """

    intervals: ClassVar = {**Around.intervals, "strength": "[0, inf)", "reg_rate": "[0, inf)"}

    def __init__(
        self,
        params: Params,
        optimizer: type[torch.optim.Optimizer] = torch.optim.SGD,
        *,
        reg_rate: float = 1e-4,
        strength: float = 0.0,
        clip: float = 1.0,
        **options: Any,
    ) -> None:
        defaults = {"reg_rate": reg_rate, "strength": strength, "clip": clip}
        super().__init__(params, optimizer, defaults, options)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group of weights."""
        super().add_param_group(param_group)
        RefuseSteSign.watch(self, self.param_groups[-1]["params"])

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take the optimiser's step, then the proximal one.

        Args:
            closure: evaluates the model, calls ``backward`` and returns the loss; optional.

        Returns:
            What ``closure`` returned, or None.
        """
        loss = super().step(closure)
        # PAPER: lambda_t = lambda t.
        for group in self.param_groups:
            group["strength"] += group["reg_rate"]
        return loss

    def _map(self, weight: Tensor, group: dict[str, Any]) -> None:
        threshold = float(group["lr"]) * group["strength"]
        # The same as in the docstring, and exact where the threshold is 0.
        towards_sign = ste_sign(weight.detach()).sub_(weight).clamp_(-threshold, threshold)
        weight.add_(towards_sign).clamp_(-group["clip"], group["clip"])
