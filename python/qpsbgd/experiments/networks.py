"""Networks with binary weights in all layers, sign activations, no biases."""

import math

import torch
from torch import Tensor, nn

from qpsbgd.nn import BinaryConv2d, BinaryGCNConv, BinaryLinear
from qpsbgd.nn.functional import ste_sign


class BinaryCNN(nn.Module):
    """Three by three convolutions on square images of one channel, and one linear layer.

    The first convolution keeps an image of up to 8x8 as large as it is; all others halve it.

    Args:
        num_pixels: of an image, side * side.
        channels: of the convolutions.
        num_classes: outputs.
    """

    def __init__(self, num_pixels: int, channels: tuple[int, ...], num_classes: int) -> None:
        super().__init__()
        side = math.isqrt(num_pixels)
        if side * side != num_pixels:
            raise ValueError(f"num_pixels is {num_pixels}, but must be a square")
        self.side = side
        self.convolutions = nn.ModuleList()
        before = 1
        for index, after in enumerate(channels):
            stride = 1 if index == 0 and side <= 8 else 2
            self.convolutions.append(
                BinaryConv2d(before, after, 3, stride=stride, padding=1, bias=False)
            )
            before, side = after, (side + stride - 1) // stride
        self.out = BinaryLinear(before * side * side, num_classes, bias=False)

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
    """

    def __init__(self, num_features: int, num_hidden: int, num_classes: int) -> None:
        super().__init__()
        self.hidden = BinaryGCNConv(num_features, num_hidden, cached=True, bias=False)
        self.out = BinaryGCNConv(num_hidden, num_classes, cached=True, bias=False)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        """Logits ``(nodes, classes)``, scaled by 1/sqrt(num_hidden), of ``x (nodes, features)``."""
        z = self.hidden(x, edge_index)
        with torch.no_grad():
            mean, deviation = z.mean(dim=0), z.std(dim=0) + 1e-6
        x = ste_sign((z - mean) / deviation)
        logits: Tensor = self.out(x, edge_index) / math.sqrt(x.shape[1])
        return logits
