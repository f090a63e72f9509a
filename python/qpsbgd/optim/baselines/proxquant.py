"""ProxQuant: a proximal operator moves real weights towards -1 and +1."""

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor

from qpsbgd.nn.functional import ste_sign
from qpsbgd.optim.baselines.groups import Params
from qpsbgd.optim.baselines.guard import SteSignGuard
from qpsbgd.optim.baselines.wrapper import OptimizerWrapper


class ProxQuant(OptimizerWrapper):
    """Torch optimiser on real weights V, with a proximal step towards the nearer of -1 and +1.

    The gradient is taken at V itself, so make the layers with ``kernel_quantizer=None``. The
    optimiser computes z from V. Then, with ``s = sign(z)``,

    ``V <- clip(s + sign(z - s) * relu(|z - s| - lr * strength))``,

    which applies the proximal operator of ``lr * strength * |V - sign(V)|``. The strength grows by
    ``reg_rate`` in each step, so that more and more weights become -1 or +1.

    Use :func:`~qpsbgd.optim.binarize_weights_of` at the end of training, and
    :func:`~qpsbgd.optim.binary_weights_of` for an evaluation before it.

    Args:
        params: weights of layers, or groups of them; no real parameters.
        optimizer: class of the optimiser that computes z.
        reg_rate: growth of the strength in each step; 0 for a constant strength.
        strength: initial strength. Groups hold the present value.
        clip: bound of the weights, which remain in [-clip, clip]; may be infinite.
        **options: hyper-parameters of the optimiser, such as ``lr``.

    Raises:
        TypeError: ``optimizer`` is not a class of torch optimisers, or does not know an option.
        ValueError: a hyper-parameter is outside its interval.
        RuntimeError: a layer applies ``ste_sign`` to the weights in a forward pass.

    Example:
        >>> import torch
        >>> from qpsbgd.optim import ProxQuant
        >>> weight = torch.nn.Parameter(torch.tensor([0.5]))
        >>> optimizer = ProxQuant([weight], lr=0.1, strength=1.0, reg_rate=0.0)
        >>> weight.grad = torch.zeros(1)
        >>> optimizer.step()
        >>> round(weight.item(), 6)
        0.6

    Reference:
        Bai, Wang and Liberty, "ProxQuant: Quantized Neural Networks via Proximal Operators", ICLR
        2019, arXiv 1810.00861.
    """

    intervals: ClassVar = {
        **OptimizerWrapper.intervals,
        "strength": "[0, inf)",
        "reg_rate": "[0, inf)",
    }

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
        SteSignGuard.watch(self, self.param_groups[-1]["params"])

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take the inner optimiser's step, and apply the proximal operator.

        Args:
            closure: evaluates the model, calls ``backward`` and returns the loss; optional.

        Returns:
            The result of ``closure``, or None.
        """
        loss = super().step(closure)
        # PAPER: lambda_t = lambda * t
        for group in self.param_groups:
            group["strength"] += group["reg_rate"]
        return loss

    def _map(self, weight: Tensor, group: dict[str, Any]) -> None:
        threshold = float(group["lr"]) * group["strength"]
        # This form of the operator leaves the weight exactly as it is if the threshold is 0.
        towards_sign = ste_sign(weight.detach()).sub_(weight).clamp_(-threshold, threshold)
        weight.add_(towards_sign).clamp_(-group["clip"], group["clip"])
