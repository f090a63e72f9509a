"""Fully connected layer with binary weights."""

from typing import Any

import torch
from torch import Tensor, nn

from qpsbgd.nn.functional import Quantizer
from qpsbgd.nn.layers import BinaryLayer
from qpsbgd.nn.packed_weight import PackedWeight


class BinaryLinear(BinaryLayer, nn.Linear):
    """``nn.Linear`` whose forward pass uses ``sign(weight)``.

    ``weight`` is the real, latent weight that optimisers change. The ``state_dict`` has the keys
    of ``nn.Linear``, and ``output_scale`` if the layer has one.

    Args:
        in_features: size of each input sample.
        out_features: size of each output sample.
        bias: whether to learn an additive (real) bias.
        input_quantizer: function that is applied to the input: ``"ste_sign"``,
            ``"approx_sign"``, ``"swish_sign"``, a callable, or None for no function.
        kernel_quantizer: function that is applied to the weight, from the same choices. With None
            the layer has real weights.
        output_scale: whether to learn a (real) factor for each output, which is applied before
            the bias. Its initial value is ``1 / sqrt(in_features)``.
        device: device of the parameters.
        dtype: dtype of the parameters.

    Shape:
        Input ``(*, in_features)``, output ``(*, out_features)``.

    Raises:
        TypeError: ``output_scale`` is not a bool.
        ValueError: the name of a quantizer is unknown.

    Example:
        >>> import torch
        >>> from qpsbgd.nn import BinaryLinear
        >>> layer = BinaryLinear(4, 2, bias=False)
        >>> layer(torch.eye(4)).abs().unique().tolist()
        [1.0]
    """

    takes_packed = True

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
        """Multiply the quantised input by the quantised weight."""
        return self.run(input)

    def linear_map(
        self, input: Tensor, weight: Tensor | PackedWeight, bias: Tensor | None, *context: Any
    ) -> Tensor:
        """Return ``input weight^T + bias``."""
        if isinstance(weight, PackedWeight):
            return weight.linear(input, bias)
        return nn.functional.linear(input, weight, bias)

    def samples(self, input: Tensor, grad: Tensor, *context: Any) -> tuple[Tensor, Tensor]:
        """Return all leading dimensions as samples: inputs (1, N, n), gradients (1, N, m)."""
        return (
            input.reshape(1, -1, self.in_features),
            grad.reshape(1, -1, self.out_features),
        )
