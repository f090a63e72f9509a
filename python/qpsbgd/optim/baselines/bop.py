"""Bop, the binary optimiser: it flips binary weights and has no latent weights."""

from typing import Any, ClassVar

import torch
from torch import Tensor

from qpsbgd.nn.functional import ste_sign
from qpsbgd.optim.baselines.groups import Params
from qpsbgd.optim.baselines.signs import take_sign
from qpsbgd.optim.baselines.weightwise import WeightwiseOptimizer


class Bop(WeightwiseOptimizer):
    """Optimiser that flips a weight w in {-1, +1} when a moving average of its gradient is large.

    ``m <- (1 - gamma) * m + gamma * g``, where m starts at 0; then ``w <- -w`` where
    ``w * m > tau``.

    The constructor replaces the parameters by their signs. A layer may have any
    ``kernel_quantizer`` that maps -1 to -1 and +1 to +1, such as ``"ste_sign"`` or None.

    Args:
        params: weights of binary layers, or groups of them; no real parameters.
        lr: the paper's adaptivity rate gamma, under the name that torch's schedulers expect. With
            1 the average is the last gradient.
        tau: threshold of a flip, in units of the gradient.
        maximize: whether to ascend instead of descend.

    Raises:
        TypeError: a hyper-parameter is not a number.
        ValueError: a hyper-parameter is outside its interval.

    Example:
        >>> import torch
        >>> from qpsbgd.optim import Bop
        >>> weight = torch.nn.Parameter(torch.tensor([0.3, -0.2]))
        >>> optimizer = Bop([weight], lr=1e-3)
        >>> weight.tolist()
        [1.0, -1.0]
        >>> weight.grad = torch.tensor([1.0, 1.0])
        >>> optimizer.step()
        >>> weight.tolist()
        [-1.0, -1.0]

    Reference:
        Helwegen et al., "Latent Weights Do Not Exist: Rethinking Binarized Neural Network
        Optimization", NeurIPS 2019, arXiv 1906.02107.
    """

    intervals: ClassVar = {"lr": "[0, 1]", "tau": "[0, inf)"}

    def __init__(
        self, params: Params, lr: float = 1e-4, tau: float = 1e-8, *, maximize: bool = False
    ) -> None:
        super().__init__(params, {"lr": lr, "tau": tau, "maximize": maximize})

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group of weights, and replace the weights by their signs."""
        super().add_param_group(param_group)
        for weight in self.param_groups[-1]["params"]:
            take_sign(weight)

    def _update(self, weight: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        gamma = float(group["lr"])
        state = self.state[weight]
        if "average" not in state:
            state["average"] = torch.zeros_like(weight)
        average = state["average"]
        average.mul_(1 - gamma).add_(-gradient if group["maximize"] else gradient, alpha=gamma)
        # The weights are real if a state_dict with real weights was loaded.
        binary = ste_sign(weight.detach())
        flipped = torch.where(binary * average > group["tau"], -binary, binary)
        # Comparisons with NaN are false. Adding 0 * NaN makes the weight NaN, so that it is not
        # hidden.
        weight.copy_(flipped.add_(average, alpha=0))
