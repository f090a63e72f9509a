"""Convolutions with binary weights."""

from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from qpsbgd.nn.functional import Quantizer
from qpsbgd.nn.layers import BinaryLayer
from qpsbgd.nn.patches import PatchSamples
from qpsbgd.nn.samples import CallSamples

if TYPE_CHECKING:
    from torch.nn.modules.conv import _ConvNd
else:
    _ConvNd = object

Padding = Literal["valid", "same"]
PaddingMode = Literal["zeros", "reflect", "replicate", "circular"]


class _BinaryConv(BinaryLayer, _ConvNd):
    """Base class of the convolutions over one or two spatial dimensions."""

    def forward(self, input: Tensor) -> Tensor:
        """Convolve the quantised input with the quantised weight."""
        return self.run(input)

    def linear_map(
        self, input: Tensor, weight: Tensor, bias: Tensor | None, *context: Any
    ) -> Tensor:
        """Apply torch's convolution with this layer's stride, padding, dilation and groups."""
        return self._conv_forward(input, weight, bias)

    @property
    def num_groups(self) -> int:
        """G: number of groups of channels; each group has its own inputs."""
        return self.groups

    def scale_shape(self) -> tuple[int, ...]:
        """Return the shape of one number per channel: (C, 1) or (C, 1, 1)."""
        return (-1, *(1 for _ in self.kernel_size))

    def samples(self, input: Tensor, grad: Tensor, *context: Any) -> tuple[Tensor, Tensor]:
        """Return one sample per output position: the patch under the kernel, and its gradient.

        Args:
            input: ``(batch, C, ...)``, or ``(C, ...)`` for one image.
            grad: ``(batch, M, ...)``, or ``(M, ...)`` for one image.
            context: empty.

        Returns:
            Patches ``(G, N, C / G * kernel)`` and gradients ``(G, N, M / G)``, where N is the
            number of images times the number of output positions.
        """
        return self.call_samples(input, grad).all()

    def call_samples(self, input: Tensor, grad: Tensor, *context: Any) -> CallSamples:
        """Return the samples of one call, whose patches are made on demand."""
        return PatchSamples(self, input, grad)


class BinaryConv1d(_BinaryConv, nn.Conv1d):
    """``nn.Conv1d`` whose forward pass uses ``sign(weight)``.

    ``weight`` is the real, latent weight that optimisers change. The ``state_dict`` has the keys
    of ``nn.Conv1d``, and ``output_scale`` if the layer has one.

    Args:
        in_channels: number of channels of the input.
        out_channels: number of channels of the output.
        kernel_size: size of the kernel.
        stride: distance between neighbouring output positions in the input.
        padding: number of values that are added at each end; or ``"valid"`` for none, or
            ``"same"`` for an output of the input's size.
        dilation: distance between neighbouring kernel elements in the input.
        groups: number of groups of channels. Each group has its own binary problems and its own
            step length alpha.
        bias: whether to learn an additive (real) bias.
        padding_mode: ``"zeros"``, ``"reflect"``, ``"replicate"`` or ``"circular"``. A zero is
            neither -1 nor +1; ``"replicate"`` keeps binary inputs binary.
        input_quantizer: function that is applied to the input: ``"ste_sign"``,
            ``"approx_sign"``, ``"swish_sign"``, a callable, or None for no function.
        kernel_quantizer: function that is applied to the weight, from the same choices. With None
            the layer has real weights.
        output_scale: whether to learn a (real) factor for each output channel, which is applied
            before the bias. Its initial value is ``1 / sqrt(n)``, where n is the number of inputs
            that an output sums.
        device: device of the parameters.
        dtype: dtype of the parameters.

    Shape:
        Input ``(N, C, L)`` or ``(C, L)``; the output has the shape that ``nn.Conv1d`` gives.

    Raises:
        TypeError: ``output_scale`` is not a bool.
        ValueError: the name of a quantizer is unknown, or ``nn.Conv1d`` refuses an argument.

    Example:
        >>> import torch
        >>> from qpsbgd.nn import BinaryConv1d
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

    ``weight`` is the real, latent weight that optimisers change. The ``state_dict`` has the keys
    of ``nn.Conv2d``, and ``output_scale`` if the layer has one.

    Args:
        in_channels: number of channels of the input.
        out_channels: number of channels of the output.
        kernel_size: size of the kernel. This argument and the next three are a number for both
            dimensions or a pair (height, width).
        stride: distance between neighbouring output positions in the input.
        padding: number of values that are added at each end; or ``"valid"`` for none, or
            ``"same"`` for an output of the input's size.
        dilation: distance between neighbouring kernel elements in the input.
        groups: number of groups of channels. Each group has its own binary problems and its own
            step length alpha.
        bias: whether to learn an additive (real) bias.
        padding_mode: ``"zeros"``, ``"reflect"``, ``"replicate"`` or ``"circular"``. A zero is
            neither -1 nor +1; ``"replicate"`` keeps binary inputs binary.
        input_quantizer: function that is applied to the input: ``"ste_sign"``,
            ``"approx_sign"``, ``"swish_sign"``, a callable, or None for no function.
        kernel_quantizer: function that is applied to the weight, from the same choices. With None
            the layer has real weights.
        output_scale: whether to learn a (real) factor for each output channel, which is applied
            before the bias. Its initial value is ``1 / sqrt(n)``, where n is the number of inputs
            that an output sums.
        device: device of the parameters.
        dtype: dtype of the parameters.

    Shape:
        Input ``(N, C, H, W)`` or ``(C, H, W)``; the output has the shape that ``nn.Conv2d`` gives.

    Raises:
        TypeError: ``output_scale`` is not a bool.
        ValueError: the name of a quantizer is unknown, or ``nn.Conv2d`` refuses an argument.

    Example:
        >>> import torch
        >>> from qpsbgd.nn import BinaryConv2d
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
