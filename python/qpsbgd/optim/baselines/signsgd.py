"""signSGD and, with momentum, SIGNUM."""

from collections.abc import Callable
from typing import Any

import torch

from qpsbgd.optim.baselines.around import Params, check_group

INTERVALS = {"lr": "[0, inf)", "momentum": "[0, 1)", "clip": "(0, inf]"}


class SignSGD(torch.optim.Optimizer):
    """Steps along signs: ``V <- clip(V - lr * sign(m))``, ``m <- momentum m + (1 - momentum) g``.

    Without momentum m is the gradient (signSGD); with it this is SIGNUM.

    Args:
        params: latent weights of binary layers, or groups of them.
        lr: step length.
        momentum: share of the past in the moving average of gradients, which begins at 0.
        clip: latent weights are kept in [-clip, clip]; may be infinite.
        maximize: step upwards.

    Raises:
        TypeError: a hyper-parameter is no number.
        ValueError: a hyper-parameter out of range.

    Example:
        >>> weight = torch.nn.Parameter(torch.zeros(2))
        >>> optimizer = SignSGD([weight], lr=0.1, momentum=0.9)

    Reference:
        Bernstein et al., arXiv 1802.04434.
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        momentum: float = 0.0,
        *,
        clip: float = 1.0,
        maximize: bool = False,
    ) -> None:
        defaults = {"lr": lr, "momentum": momentum, "clip": clip, "maximize": maximize}
        check_group(defaults, INTERVALS)
        super().__init__(params, defaults)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for group in self.param_groups:  # states from before there was anything but lr
            for name, value in (("momentum", 0.0), ("clip", 1.0), ("maximize", False)):
                group.setdefault(name, value)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Step along the signs, and clip.

        Args:
            closure: evaluates the model, calls ``backward`` and returns the loss; optional.

        Returns:
            What ``closure`` returned, or None.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            check_group(group, INTERVALS)
            lr, momentum = float(group["lr"]), float(group["momentum"])
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                average = weight.grad
                if momentum > 0:
                    average = self.state[weight].setdefault("average", torch.zeros_like(weight))
                    average.mul_(momentum).add_(weight.grad, alpha=1 - momentum)
                # torch's sign of NaN is 0, which would hide it.
                direction = average.sign().add_(average, alpha=0)
                weight.add_(direction, alpha=lr if group["maximize"] else -lr)
                weight.clamp_(-group["clip"], group["clip"])
        return loss
