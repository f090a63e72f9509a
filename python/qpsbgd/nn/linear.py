"""Fully connected layer with binary weights."""

from typing import Any

import torch
from torch import Tensor, nn

from qpsbgd.nn.functional import Quantizer
from qpsbgd.nn.layers import BinaryLayer


class BinaryLinear(BinaryLayer, nn.Linear):
    """``nn.Linear`` whose forward pass uses ``sign(weight)``.

    ``weight`` is the real, latent weight that optimisers change; ``state_dict`` is that of
    ``nn.Linear``, and ``output_scale`` where there is one.

    Args:
        in_features: size of each input sample.
        out_features: size of each output sample.
        bias: whether to learn an additive (real) bias.
        input_quantizer: applied to the input: ``"ste_sign"``, ``"approx_sign"``, ``"swish_sign"``,
            a callable, or None for none.
        kernel_quantizer: applied to the weight, likewise; with None the layer has real weights.
        output_scale: whether to learn a (real) factor for each output, applied before the bias; at
            first ``1 / sqrt(in_features)``.
        device: as for ``nn.Linear``.
        dtype: as for ``nn.Linear``.

    Shape:
        input ``(*, in_features)``, output ``(*, out_features)``.

    Raises:
        ValueError: an unknown quantizer.

    Example:
        >>> layer = BinaryLinear(4, 2, bias=False)
        >>> sorted(set(layer(torch.eye(4)).flatten().tolist())) in ([-1.0, 1.0], [-1.0], [1.0])
        True
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        input_quantizer: str | Quantizer | None = None,
        kernel_quantizer: str | Quantizer | None = "ste_sign",
        output_scale: bool = False,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        nn.Linear.__init__(self, in_features, out_features, bias, device, dtype)
        self.init_binary(input_quantizer, kernel_quantizer, output_scale)

    def forward(self, input: Tensor) -> Tensor:
        """Linear map of the quantised input with the quantised weight."""
        return self.run(input)

    def linear_map(
        self, input: Tensor, weight: Tensor, bias: Tensor | None, *context: Any
    ) -> Tensor:
        """``input weight^T + bias``."""
        return nn.functional.linear(input, weight, bias)

    def samples(self, input: Tensor, grad: Tensor, *context: Any) -> tuple[Tensor, Tensor]:
        """Leading dimensions are samples: (..., n) -> (1, N, n), (..., m) -> (1, N, m)."""
        return (
            input.reshape(1, -1, self.in_features),
            grad.reshape(1, -1, self.out_features),
        )
