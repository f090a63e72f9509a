"""Networks with binary weights in all layers, sign activations, no biases."""

import itertools
import math

import torch
from torch import Tensor, nn

from qpsbgd.nn import BinaryConv2d, BinaryGCNConv, BinaryLinear
from qpsbgd.nn.functional import ste_sign


class BinaryMLP(nn.Module):
    """Fully connected layers with binary weights and sign activations; no bias, no batch norm.

    Args:
        sizes: inputs, hidden sizes, classes.
        kernel_quantizer: of the layers.
        clip_value: the straight-through gradient passes where |z| <= clip_value * sqrt(n), the
            standard deviation of a pre-activation z of n random signs being sqrt(n).
    """

    def __init__(
        self,
        sizes: tuple[int, ...],
        kernel_quantizer: str | None = "ste_sign",
        clip_value: float = 1.0,
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            BinaryLinear(n, m, bias=False, kernel_quantizer=kernel_quantizer)
            for n, m in itertools.pairwise(sizes)
        )
        self.clip_value = clip_value

    def forward(self, x: Tensor) -> Tensor:
        """Logits ``(N, classes)``, scaled by 1/sqrt(n) of the last layer, of ``x (N, n)``."""
        *hidden, last = self.layers
        for layer in hidden:
            x = ste_sign(layer(x), self.clip_value * math.sqrt(x.shape[1]))  # (N, n) -> (N, m)
        logits: Tensor = last(x) / math.sqrt(x.shape[1])
        return logits


class BinaryCNN(nn.Module):
    """Three by three convolutions on square images of one channel, and one linear layer.

    The first convolution keeps an image of up to 8x8 as large as it is; all others halve it.

    Args:
        sizes: pixels of an image (side * side), channels of the convolutions, classes.
        kernel_quantizer: of the layers.
    """

    def __init__(self, sizes: tuple[int, ...], kernel_quantizer: str | None = "ste_sign") -> None:
        super().__init__()
        num_pixels, *channels, num_classes = sizes
        side = math.isqrt(num_pixels)
        if side * side != num_pixels:
            raise ValueError(f"num_pixels is {num_pixels}, but must be a square")
        self.side = side
        self.convolutions = nn.ModuleList()
        before = 1
        for index, after in enumerate(channels):
            stride = 1 if index == 0 and side <= 8 else 2
            layer = BinaryConv2d(
                before,
                after,
                kernel_size=3,
                stride=stride,
                padding=1,
                bias=False,
                kernel_quantizer=kernel_quantizer,
            )
            self.convolutions.append(layer)
            before, side = after, (side + stride - 1) // stride
        self.out = BinaryLinear(
            before * side * side, num_classes, bias=False, kernel_quantizer=kernel_quantizer
        )

    def forward(self, x: Tensor) -> Tensor:
        """Logits ``(N, classes)``, scaled as BinaryMLP's, of ``x (N, side * side)``."""
        x = x.reshape(len(x), 1, self.side, self.side)
        for layer in self.convolutions:
            fan_in = 9 * x.shape[1]
            x = ste_sign(layer(x), math.sqrt(fan_in))  # (N, C, H, W)
        x = x.flatten(1)
        logits: Tensor = self.out(x) / math.sqrt(x.shape[1])
        return logits


class BinaryGCN(nn.Module):
    """Two graph convolutions; hidden pre-activations are standardised over the nodes.

    Args:
        num_features: of a node.
        num_hidden: size of the hidden layer.
        num_classes: outputs.
        kernel_quantizer: of the layers.
        dropout: share of the hidden activations that is left out in training.
    """

    def __init__(
        self,
        num_features: int,
        num_hidden: int,
        num_classes: int,
        kernel_quantizer: str | None = "ste_sign",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.hidden, self.out = (
            BinaryGCNConv(n, m, cached=True, bias=False, kernel_quantizer=kernel_quantizer)
            for n, m in ((num_features, num_hidden), (num_hidden, num_classes))
        )

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        """Logits ``(nodes, classes)``, scaled by 1/sqrt(num_hidden), of ``x (nodes, features)``."""
        z = self.hidden(x, edge_index)
        with torch.no_grad():
            mean, deviation = z.mean(dim=0), z.std(dim=0) + 1e-6
        x = self.dropout(ste_sign((z - mean) / deviation))
        logits: Tensor = self.out(x, edge_index) / math.sqrt(x.shape[1])
        return logits
