"""What QP-SBGD is measured against: the usual ways to train latent binary weights.

Both work on any parameters; give them the binary layers' weights.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor


class BinaryConnect(torch.optim.Adam):
    """Adam on the latent weights, which are then clipped to [-1, 1].

    ``W = sign(V)``, ``V <- clip(V - lr * adam(g(W)), -1, 1)``. All arguments are Adam's.

    Reference:
        Courbariaux et al., arXiv 1511.00363; Hubara et al., arXiv 1602.02830 (with Adam).
    """

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take Adam's step and clip."""
        loss = super().step(closure)
        with torch.no_grad():
            for group in self.param_groups:
                for weight in group["params"]:
                    weight.clamp_(-1.0, 1.0)
        return loss


class SignSGD(torch.optim.Optimizer):
    """signSGD on the latent weights, clipped to [-1, 1]: ``V <- clip(V - lr * sign(g), -1, 1)``.

    Args:
        params: parameters, or groups of them.
        lr: step length; > 0.

    Reference:
        Bernstein et al., arXiv 1802.04434.
    """

    def __init__(self, params: Iterable[Tensor], lr: float = 1e-3) -> None:
        if not 0.0 <= lr < float("inf"):
            raise ValueError(f"lr is {lr!r}, but must be finite and at least 0")
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Step along the gradient's sign and clip."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    weight.add_(weight.grad.sign(), alpha=-group["lr"]).clamp_(-1.0, 1.0)
        return loss
