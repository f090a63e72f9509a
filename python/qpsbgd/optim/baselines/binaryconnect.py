"""BinaryConnect: gradients at sign(V), and steps of any optimiser on the latent weights V."""

from typing import Any

import torch
from torch import Tensor

from qpsbgd.optim.baselines.groups import Params
from qpsbgd.optim.baselines.wrapper import OptimizerWrapper


class BinaryConnect(OptimizerWrapper):
    """Torch optimiser on latent weights V, which are clipped after each step.

    The layers use ``W = sign(V)``; the step is ``V <- clip(V - lr * direction(g(W)))``.

    Args:
        params: latent weights of binary layers, or groups of them. Real parameters (biases) can be
            a group with ``"clip": math.inf``.
        optimizer: class of the optimiser that makes the steps.
        clip: bound of the latent weights, which remain in [-clip, clip]; may be infinite.
        **options: hyper-parameters of the optimiser, such as ``lr``.

    Raises:
        TypeError: ``optimizer`` is not a class of torch optimisers, or does not know an option.
        ValueError: a hyper-parameter is outside its interval.

    Example:
        >>> import torch
        >>> from qpsbgd.nn import BinaryLinear
        >>> from qpsbgd.optim import BinaryConnect
        >>> layer = BinaryLinear(4, 2)
        >>> optimizer = BinaryConnect([layer.weight], torch.optim.SGD, lr=0.1, momentum=0.9)

    Reference:
        Courbariaux et al., "BinaryConnect: Training Deep Neural Networks with Binary Weights during
        Propagations", NeurIPS 2015, arXiv 1511.00363; Hubara et al., arXiv 1602.02830 (with Adam).
    """

    def __init__(
        self,
        params: Params,
        optimizer: type[torch.optim.Optimizer] = torch.optim.Adam,
        *,
        clip: float = 1.0,
        **options: Any,
    ) -> None:
        super().__init__(params, optimizer, {"clip": clip}, options)

    def _map(self, weight: Tensor, group: dict[str, Any]) -> None:
        weight.clamp_(-group["clip"], group["clip"])
