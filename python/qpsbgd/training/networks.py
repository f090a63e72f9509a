"""Networks whose layers all have binary weights, sign activations and no biases."""

import itertools
import math

import torch
from torch import Tensor, nn

from qpsbgd.nn import BinaryConv2d, BinaryGCNConv, BinaryLinear
from qpsbgd.nn.functional import ste_sign
from qpsbgd.training.datasets import Dataset
from qpsbgd.training.recipes import RECIPES, NetworkName


class BinaryMLP(nn.Module):
    """Fully connected network with binary weights, sign activations and no batch normalisation.

    Args:
        sizes: numbers of inputs, of hidden units in each layer, and of classes.
        kernel_quantizer: quantizer of the layers' weights; None for layers that use them as they
            are.
        clip_value: bound of the straight-through gradient, which passes a pre-activation z of n
            inputs if |z| <= clip_value * sqrt(n). The standard deviation of a sum of n random
            signs is sqrt(n).

    Example:
        >>> import torch
        >>> BinaryMLP((64, 16, 10))(torch.randn(5, 64)).shape
        torch.Size([5, 10])
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
        """Return logits ``(N, classes)`` of inputs ``x (N, n)``.

        Logits are divided by the square root of the last layer's number of inputs.
        """
        *hidden, last = self.layers
        for layer in hidden:
            x = ste_sign(layer(x), self.clip_value * math.sqrt(x.shape[1]))  # (N, n) -> (N, m)
        logits: Tensor = last(x) / math.sqrt(x.shape[1])
        return logits


class BinaryCNN(nn.Module):
    """Convolutional network for square images of one channel, with one linear layer at the end.

    Convolutions are 3x3 and halve the image. The first one keeps the size of images up to 8x8.

    Args:
        sizes: numbers of pixels (side * side), of channels of each convolution, and of classes.
        kernel_quantizer: quantizer of the layers' weights; None for layers that use them as they
            are.

    Raises:
        ValueError: the number of pixels is no square.

    Example:
        >>> import torch
        >>> BinaryCNN((64, 4, 8, 10))(torch.randn(5, 64)).shape
        torch.Size([5, 10])
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
        """Return logits ``(N, classes)`` of images ``x (N, side * side)``.

        Logits are divided by the square root of the last layer's number of inputs.
        """
        x = x.reshape(len(x), 1, self.side, self.side)
        for layer in self.convolutions:
            fan_in = 9 * x.shape[1]
            x = ste_sign(layer(x), math.sqrt(fan_in))  # (N, C, H, W)
        x = x.flatten(1)
        logits: Tensor = self.out(x) / math.sqrt(x.shape[1])
        return logits


class BinaryGCN(nn.Module):
    """Network of two graph convolutions, with hidden units standardised over the nodes.

    Args:
        num_features: number of features of a node.
        num_hidden: number of hidden units.
        num_classes: number of classes.
        kernel_quantizer: quantizer of the layers' weights; None for layers that use them as they
            are.
        dropout: share of the hidden activations that is left out in training.

    Example:
        >>> import torch
        >>> edges = torch.tensor([[0, 1], [1, 2]])
        >>> BinaryGCN(4, 8, 3)(torch.randn(5, 4), edges).shape
        torch.Size([5, 3])
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
        """Return logits ``(nodes, classes)`` of features ``x (nodes, features)``.

        Logits are divided by the square root of the number of hidden units.
        """
        z = self.hidden(x, edge_index)
        with torch.no_grad():
            mean, deviation = z.mean(dim=0), z.std(dim=0) + 1e-6
        x = self.dropout(ste_sign((z - mean) / deviation))
        logits: Tensor = self.out(x, edge_index) / math.sqrt(x.shape[1])
        return logits


#: Kinds of networks by the name on the command line.
NETWORKS: dict[str, type[BinaryMLP] | type[BinaryCNN]] = {
    "mlp": BinaryMLP,
    "small": BinaryMLP,
    "cnn": BinaryCNN,
}


def make_network(
    name: NetworkName, data: Dataset, kernel_quantizer: str | None = "ste_sign"
) -> nn.Module:
    """Return the network that a data set's recipe describes.

    Args:
        name: kind of the network.
        data: data set with the number of inputs and classes.
        kernel_quantizer: quantizer of the layers' weights; None for layers that use them as they
            are.

    Example:
        >>> from qpsbgd.training.datasets import digits
        >>> [tuple(weight.shape) for weight in make_network("small", digits()).parameters()]
        [(16, 64), (16, 16), (10, 16)]
    """
    sizes = (data.num_inputs, *RECIPES[data.name, name].sizes, data.num_classes)
    return NETWORKS[name](sizes, kernel_quantizer)
