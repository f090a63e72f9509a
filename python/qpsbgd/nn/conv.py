"""Convolutions with binary weights."""

import math
import operator
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from qpsbgd.nn.functional import Quantizer
from qpsbgd.nn.layers import BinaryLayer

if TYPE_CHECKING:
    from torch.nn.modules.conv import _ConvNd
else:
    _ConvNd = object

Padding = Literal["valid", "same"]
PaddingMode = Literal["zeros", "reflect", "replicate", "circular"]


class _BinaryConv(BinaryLayer, _ConvNd):
    """What BinaryConv1d and BinaryConv2d share: D = 1 or 2 dimensions beside the channels."""

    def forward(self, input: Tensor) -> Tensor:
        """Convolution of the quantised input with the quantised weight."""
        return self.run(input)

    def linear_map(
        self, input: Tensor, weight: Tensor, bias: Tensor | None, *context: Any
    ) -> Tensor:
        """Torch's convolution, with this layer's stride, padding, dilation and groups."""
        return self._conv_forward(input, weight, bias)

    @property
    def num_groups(self) -> int:
        """G: groups of channels with inputs of their own."""
        return self.groups

    def scale_shape(self) -> tuple[int, ...]:
        """One number a channel: (C, 1) or (C, 1, 1)."""
        return (-1, *(1 for _ in self.kernel_size))

    def samples(self, input: Tensor, grad: Tensor, *context: Any) -> tuple[Tensor, Tensor]:
        """Every place of every image is a sample: the patch under the kernel, and its gradient.

        (batch, C, ...) -> (G, N, C / G * kernel) and (batch, M, ...) -> (G, N, M / G), where N is
        batch * places of the output.
        """
        dims = len(self.kernel_size)
        # Without a batch dimension: one image.
        input = input.reshape(-1, *input.shape[-1 - dims :])
        mode = "constant" if self.padding_mode == "zeros" else self.padding_mode
        input = nn.functional.pad(input, self._reversed_padding_repeated_twice, mode)
        batch, groups, places = len(input), self.groups, grad.shape[-dims:]
        step_batch, step_channel, *steps = input.stride()
        # A view of all patches, (G, batch, places, C / G, kernel), then one copy of it: half of the
        # time of torch's unfold, whose samples are columns.
        patches = input.as_strided(
            (groups, batch, *places, self.in_channels // groups, *self.kernel_size),
            (
                step_channel * (self.in_channels // groups),
                step_batch,
                *map(operator.mul, steps, self.stride),
                step_channel,
                *map(operator.mul, steps, self.dilation),
            ),
        )
        num_samples = batch * math.prod(places)
        grads = grad.reshape(batch, groups, self.out_channels // groups, math.prod(places))
        return (
            patches.reshape(groups, num_samples, self.weight[0].numel()),
            grads.permute(1, 0, 3, 2).reshape(groups, num_samples, self.out_channels // groups),
        )


class BinaryConv1d(_BinaryConv, nn.Conv1d):
    """``nn.Conv1d`` whose forward pass uses ``sign(weight)``.

    ``weight`` is the real, latent weight that optimisers change; ``state_dict`` is that of
    ``nn.Conv1d``, and ``output_scale`` where there is one.

    Args:
        in_channels: as for ``nn.Conv1d``, like all that follow up to ``padding_mode``.
        out_channels: likewise.
        kernel_size: likewise.
        stride: likewise.
        padding: a number, ``"valid"`` or ``"same"``.
        dilation: as for ``nn.Conv1d``.
        groups: likewise; each group has problems, and a step length alpha, of its own.
        bias: whether to learn an additive (real) bias.
        padding_mode: as for ``nn.Conv1d``. Zeros are neither -1 nor +1; ``"replicate"`` keeps
            binary inputs binary.
        input_quantizer: applied to the input: ``"ste_sign"``, ``"approx_sign"``, ``"swish_sign"``,
            a callable, or None for none.
        kernel_quantizer: applied to the weight, likewise; with None the layer has real weights.
        output_scale: whether to learn a (real) factor for each output channel, applied before the
            bias; at first one over the square root of the inputs that an output sums.
        device: as for ``nn.Conv1d``.
        dtype: as for ``nn.Conv1d``.

    Shape:
        input ``(N, C, L)`` or ``(C, L)``, output as for ``nn.Conv1d``.

    Raises:
        ValueError: an unknown quantizer, or what ``nn.Conv1d`` refuses.

    Example:
        >>> BinaryConv1d(2, 4, 3, padding="same")(torch.ones(5, 2, 8)).shape
        torch.Size([5, 4, 8])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int],
        stride: int | tuple[int] = 1,
        padding: Padding | int | tuple[int] = 0,
        dilation: int | tuple[int] = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: PaddingMode = "zeros",
        *,
        input_quantizer: str | Quantizer | None = None,
        kernel_quantizer: str | Quantizer | None = "ste_sign",
        output_scale: bool = False,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        nn.Conv1d.__init__(
            self, in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias,
            padding_mode, device, dtype,
        )  # fmt: skip
        self.init_binary(input_quantizer, kernel_quantizer, output_scale)


class BinaryConv2d(_BinaryConv, nn.Conv2d):
    """``nn.Conv2d`` whose forward pass uses ``sign(weight)``.

    ``weight`` is the real, latent weight that optimisers change; ``state_dict`` is that of
    ``nn.Conv2d``, and ``output_scale`` where there is one.

    Args:
        in_channels: as for ``nn.Conv2d``, like all that follow up to ``padding_mode``.
        out_channels: likewise.
        kernel_size: likewise.
        stride: likewise.
        padding: a number or a pair, ``"valid"`` or ``"same"``.
        dilation: as for ``nn.Conv2d``.
        groups: likewise; each group has problems, and a step length alpha, of its own.
        bias: whether to learn an additive (real) bias.
        padding_mode: as for ``nn.Conv2d``. Zeros are neither -1 nor +1; ``"replicate"`` keeps
            binary inputs binary.
        input_quantizer: applied to the input: ``"ste_sign"``, ``"approx_sign"``, ``"swish_sign"``,
            a callable, or None for none.
        kernel_quantizer: applied to the weight, likewise; with None the layer has real weights.
        output_scale: whether to learn a (real) factor for each output channel, applied before the
            bias; at first one over the square root of the inputs that an output sums.
        device: as for ``nn.Conv2d``.
        dtype: as for ``nn.Conv2d``.

    Shape:
        input ``(N, C, H, W)`` or ``(C, H, W)``, output as for ``nn.Conv2d``.

    Raises:
        ValueError: an unknown quantizer, or what ``nn.Conv2d`` refuses.

    Example:
        >>> BinaryConv2d(1, 4, 3, stride=2, padding=1)(torch.ones(5, 1, 8, 8)).shape
        torch.Size([5, 4, 4, 4])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: Padding | int | tuple[int, int] = 0,
        dilation: int | tuple[int, int] = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: PaddingMode = "zeros",
        *,
        input_quantizer: str | Quantizer | None = None,
        kernel_quantizer: str | Quantizer | None = "ste_sign",
        output_scale: bool = False,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        nn.Conv2d.__init__(
            self, in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias,
            padding_mode, device, dtype,
        )  # fmt: skip
        self.init_binary(input_quantizer, kernel_quantizer, output_scale)
