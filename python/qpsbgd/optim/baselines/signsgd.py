"""signSGD, and SIGNUM, which is signSGD with momentum."""

from typing import Any, ClassVar

import torch
from torch import Tensor

from qpsbgd.optim.baselines.groups import Params
from qpsbgd.optim.baselines.weightwise import WeightwiseOptimizer


class SignSGD(WeightwiseOptimizer):
    """Optimiser that steps along the signs of the gradient or of its moving average.

    ``m <- momentum * m + (1 - momentum) * g``, then ``V <- clip(V - lr * sign(m))``. With
    ``momentum=0`` m is the gradient g, and this is signSGD. Otherwise it is SIGNUM.

    Args:
        params: latent weights of binary layers, or groups of them.
        lr: length of a step.
        momentum: weight of the past in the moving average, which starts at 0.
        clip: bound of the latent weights, which remain in [-clip, clip]; may be infinite.
        maximize: whether to ascend instead of descend.

    Raises:
        TypeError: a hyper-parameter is not a number.
        ValueError: a hyper-parameter is outside its interval.

    Example:
        >>> import torch
        >>> from qpsbgd.optim import SignSGD
        >>> weight = torch.nn.Parameter(torch.zeros(2))
        >>> optimizer = SignSGD([weight], lr=0.5, momentum=0.9)
        >>> weight.grad = torch.tensor([3.0, -0.1])
        >>> optimizer.step()
        >>> weight.tolist()
        [-0.5, 0.5]

    Reference:
        Bernstein et al., "signSGD: Compressed Optimisation for Non-Convex Problems", ICML 2018,
        arXiv 1802.04434.
    """

    intervals: ClassVar = {"lr": "[0, inf)", "momentum": "[0, 1)", "clip": "(0, inf]"}

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
        super().__init__(params, defaults)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for group in self.param_groups:  # states of the first version have lr only
            for name, value in (("momentum", 0.0), ("clip", 1.0), ("maximize", False)):
                group.setdefault(name, value)

    def _update(self, weight: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        lr, momentum = float(group["lr"]), float(group["momentum"])
        average = gradient
        if momentum > 0:
            state = self.state[weight]
            if "average" not in state:
                state["average"] = torch.zeros_like(weight)
            average = state["average"]
            average.mul_(momentum).add_(gradient, alpha=1 - momentum)
        # The sign of NaN is 0 in torch. Adding 0 * NaN makes it NaN, so that it is not hidden.
        direction = average.sign().add_(average, alpha=0)
        weight.add_(direction, alpha=lr if group["maximize"] else -lr)
        weight.clamp_(-group["clip"], group["clip"])
