"""BinaryConnect: gradients at sign(V), steps of any optimiser on V."""

from typing import Any

import torch
from torch import Tensor

from qpsbgd.optim.baselines.around import Around, Params


class BinaryConnect(Around):
    """A torch optimiser on the latent weights, which are then clipped.

    ``W = sign(V)`` (by the layers), ``V <- clip(V - lr * direction(g(W)))``.

    Args:
        params: latent weights of binary layers, or groups of them. Real parameters (biases) can be
            a group with ``"clip": math.inf``.
        optimizer: class of the optimiser that makes the steps.
        clip: latent weights are kept in [-clip, clip]; may be infinite.
        **options: the optimiser's: ``lr`` and so on.

    Raises:
        TypeError: ``optimizer`` is no class of optimisers, or does not know an option.
        ValueError: a hyper-parameter out of range.

    Example:
        >>> from qpsbgd.nn import BinaryLinear
        >>> layer = BinaryLinear(4, 2)
        >>> optimizer = BinaryConnect([layer.weight], torch.optim.SGD, lr=0.1, momentum=0.9)

    Reference:
        Courbariaux et al., arXiv 1511.00363; Hubara et al., arXiv 1602.02830 (with Adam).
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
