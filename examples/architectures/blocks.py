"""Blocks of binary networks from the literature, each with one binary 3x3 convolution.

A block takes the numbers of its input and output channels and its stride. Its convolutions are
layers of ``qpsbgd.nn``. The quantizers, scales and activations are ordinary torch modules.
"""

from typing import Any

import torch
from torch import Tensor, nn

from qpsbgd.nn import BinaryConv2d
from qpsbgd.nn.functional import approx_sign, ste_sign


class Plain(nn.Module):
    """Sign, binary convolution and batch normalisation, without a shortcut.

    Reference:
        Hubara et al., arXiv 1602.02830.
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv = BinaryConv2d(
            inputs, outputs, 3, stride, padding=1, bias=False, input_quantizer="ste_sign"
        )
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x))


class BiReal(nn.Module):
    """Binary convolution with a real shortcut around it, and ``approx_sign`` before it.

    Reference:
        Liu et al., arXiv 1808.00278.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, **options: Any) -> None:
        super().__init__()
        self.conv = BinaryConv2d(
            inputs, outputs, 3, stride, padding=1, bias=False,
            **{"input_quantizer": approx_sign, **options},
        )  # fmt: skip
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x)) + self.shortcut(x)

    def shortcut(self, x: Tensor) -> Tensor:
        """Return the input with the output's shape: means of positions, repeated channels.

        ReActNet widens the shortcut in this way; Bi-Real Net uses a real 1x1 convolution.
        """
        x = nn.functional.avg_pool2d(x, self.conv.stride)
        return x.repeat(1, self.conv.out_channels // self.conv.in_channels, 1, 1)


class FTBNN(BiReal):
    """Bi-Real block with a PReLU directly after the binary convolution.

    Reference:
        Su et al., arXiv 2010.09294.
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__(inputs, outputs, stride)
        self.activation = nn.PReLU(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.activation(self.conv(x))) + self.shortcut(x)


class FTBNNAfterNorm(FTBNN):
    """FTBNN block whose PReLU follows the batch normalisation."""

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.norm(self.conv(x))) + self.shortcut(x)


class FTBNNAfterSum(FTBNN):
    """FTBNN block whose PReLU follows the sum with the shortcut."""

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.norm(self.conv(x)) + self.shortcut(x))


class Shift(nn.Module):
    """Learned number for each channel, which is added to the input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.shift


class RSign(Shift):
    """``approx_sign`` with a learned threshold for each channel."""

    def forward(self, x: Tensor) -> Tensor:
        return approx_sign(super().forward(x))


class ReActNet(BiReal):
    """Bi-Real block with RSign before the convolution and RPReLU after the sum.

    Reference:
        Liu et al., arXiv 2003.03488.
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__(inputs, outputs, stride, input_quantizer=RSign(inputs))
        self.rprelu = nn.Sequential(Shift(outputs), nn.PReLU(outputs), Shift(outputs))

    def forward(self, x: Tensor) -> Tensor:
        return self.rprelu(super().forward(x))


class RBONN(BiReal):
    """Bi-Real block with a learned scale A for each channel, and a penalty that couples A and w.

    NOTES: Batch normalisation would cancel the scale, so this block has none. RBONN also moves
    sparse latent weights back with a recurrent model, which this block does not.

    Reference:
        Xu et al., arXiv 2209.01542.
    """

    #: Factor of the penalty.
    WEIGHT = 1e-4

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__(inputs, outputs, stride, output_scale=True)
        self.norm = nn.Identity()

    def penalty(self) -> Tensor:
        """Return the reconstruction error ``|w - A sign(w)|^2``, times its factor."""
        weight = self.conv.weight
        scale = self.conv.output_scale.view(-1, 1, 1, 1)
        return self.WEIGHT * (weight - scale * ste_sign(weight).detach()).square().sum()


class Codebook(nn.Module):
    """Quantizer that replaces each 3x3 kernel by the nearest of a few binary kernels.

    The gradient passes straight through to the latent weight. The codebook is the sign of a real
    parameter, whose gradient is the sum over the kernels that use a codeword.

    Args:
        size: number of codewords. A kernel takes log2(size) bits instead of 9.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.codes = nn.Parameter(torch.empty(size, 9).uniform_(-1, 1))

    def forward(self, weight: Tensor) -> Tensor:
        codes = ste_sign(self.codes)  # (size, 9)
        # All codewords have one norm, so the nearest has the largest product.
        products = weight.detach().flatten(2) @ codes.detach().T  # (outputs, inputs, size)
        kernels = codes[products.argmax(dim=2)].view_as(weight)
        return kernels + (weight - weight.detach())


class SubBit(BiReal):
    """Bi-Real block whose 3x3 kernels come from a learned codebook of 32.

    Reference:
        Wang et al., arXiv 2110.09195.
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__(inputs, outputs, stride, kernel_quantizer=Codebook(32))


#: Blocks by their names in the table. The first is the one that the others are compared with.
BLOCKS = {
    "plain": Plain,
    "Bi-Real": BiReal,
    "FTBNN": FTBNN,
    "FTBNN, after norm": FTBNNAfterNorm,
    "FTBNN, after sum": FTBNNAfterSum,
    "ReActNet": ReActNet,
    "RBONN": RBONN,
    "Sub-bit": SubBit,
}
