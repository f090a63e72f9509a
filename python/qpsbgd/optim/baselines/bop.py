"""Bop, the binary optimiser: weights that are binary from the start, and flipped."""

from collections.abc import Callable
from typing import Any

import torch

from qpsbgd.nn.functional import ste_sign
from qpsbgd.optim.baselines.around import Params, check_group
from qpsbgd.optim.baselines.signs import take_sign

INTERVALS = {"lr": "[0, 1]", "tau": "[0, inf)"}


class Bop(torch.optim.Optimizer):
    """Flips a weight w in {-1, +1} where a moving average of its gradient asks for it long enough.

    ``m <- (1 - gamma) m + gamma g``, m beginning at 0; then ``w <- -w`` where ``w m > tau``.

    The parameters are replaced by their signs at once: there is no latent weight. Layers may have
    any ``kernel_quantizer`` that leaves +-1 as it is: ``"ste_sign"`` or None.

    Args:
        params: weights of binary layers, or groups of them; no real parameters.
        lr: the paper's adaptivity rate gamma, under the name by which torch's schedulers find it.
            1 looks at the last gradient alone.
        tau: threshold of a flip, in units of the gradient.
        maximize: ascend.

    Raises:
        TypeError: a hyper-parameter is no number.
        ValueError: a hyper-parameter out of range.

    Example:
        >>> weight = torch.nn.Parameter(torch.tensor([0.3, -0.2]))
        >>> optimizer = Bop([weight], lr=1e-3)
        >>> weight.tolist()
        [1.0, -1.0]

    Reference:
        Helwegen et al., arXiv 1906.02107.
    """

    def __init__(
        self, params: Params, lr: float = 1e-4, tau: float = 1e-8, *, maximize: bool = False
    ) -> None:
        defaults = {"lr": lr, "tau": tau, "maximize": maximize}
        check_group(defaults, INTERVALS)
        super().__init__(params, defaults)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group, and replace its weights by their signs."""
        super().add_param_group(param_group)
        for weight in self.param_groups[-1]["params"]:
            take_sign(weight)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Average the gradients, and flip.

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
            gamma = float(group["lr"])
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                average = self.state[weight].setdefault("average", torch.zeros_like(weight))
                ascent = -weight.grad if group["maximize"] else weight.grad
                average.mul_(1 - gamma).add_(ascent, alpha=gamma)
                # Signs, as real weights may have been loaded since.
                binary = ste_sign(weight.detach())
                flipped = torch.where(binary * average > group["tau"], -binary, binary)
                # No comparison with NaN holds: without the last term it would be hidden.
                weight.copy_(flipped.add_(average, alpha=0))
        return loss
