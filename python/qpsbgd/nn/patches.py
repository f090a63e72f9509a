"""Samples of a convolution's call: the patches under the kernel, made on demand."""

import math
import operator
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.grad import conv1d_weight, conv2d_weight

from qpsbgd.nn.samples import CallSamples, at_least_float32, reached_along

if TYPE_CHECKING:
    from torch.nn.modules.conv import _ConvNd


class PatchSamples(CallSamples):
    """One sample per output position: the patch under the kernel, and the gradient there.

    All patches take as many times the memory of the input as the kernel has elements, so this class
    makes them only for the positions that a caller asks for.

    Args:
        layer: the convolution.
        input: ``(batch, C, ...)``, or ``(C, ...)`` for one image.
        grad: ``(batch, M, ...)``, or ``(M, ...)`` for one image.
    """

    def __init__(self, layer: "_ConvNd", input: Tensor, grad: Tensor) -> None:
        self._layer = layer
        self._dims = dims = len(layer.kernel_size)
        input = at_least_float32(input)
        self._images = input.reshape(-1, *input.shape[-1 - dims :])  # (batch, C, ...)
        grad = at_least_float32(grad)
        self._grad = grad.reshape(-1, *grad.shape[-1 - dims :])  # (batch, M, ...)
        self._flat_grad = self._grad.flatten(2)  # (batch, M, P)
        self._padded_images: Tensor | None = None

    @property
    def num_samples(self) -> int:
        """N: number of images times the number of output positions P."""
        return len(self._grad) * self._num_positions

    def all(self) -> tuple[Tensor, Tensor]:
        """Return all patches ``(G, N, C / G * kernel)`` and gradients ``(G, N, M / G)``."""
        layer, input = self._layer, self._padded()
        batch, groups = len(input), layer.groups
        step_batch, step_channel, *steps = input.stride()
        # One copy of this view is twice as fast as torch's unfold, whose samples are columns.
        patches = input.as_strided(
            (groups, batch, *self._positions, layer.in_channels // groups, *layer.kernel_size),
            (
                step_channel * (layer.in_channels // groups),
                step_batch,
                *map(operator.mul, steps, layer.stride),
                step_channel,
                *map(operator.mul, steps, layer.dilation),
            ),
        )  # (G, batch, positions, C / G, kernel)
        outputs = layer.out_channels // groups
        grads = self._flat_grad.reshape(batch, groups, outputs, self._num_positions)
        return (
            patches.reshape(groups, self.num_samples, self._patch_size),
            grads.permute(1, 0, 3, 2).reshape(groups, self.num_samples, outputs),
        )

    def select(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Return patches ``(G, S, C / G * kernel)`` and gradients ``(G, S, M / G)``."""
        layer, input = self._layer, self._padded()
        step_batch, step_channel, *steps = input.stride()
        images = positions // self._num_positions  # (S,)
        places = rest = positions % self._num_positions  # (S,)
        corners = torch.zeros_like(places)
        kernel = corners.new_zeros(1)
        for axis in reversed(range(self._dims)):
            size = self._positions[axis]
            corners = corners + rest % size * (steps[axis] * layer.stride[axis])
            rest = rest // size
        for axis in range(self._dims):
            offsets = torch.arange(layer.kernel_size[axis], device=input.device)
            offsets = offsets * (steps[axis] * layer.dilation[axis])
            kernel = (kernel.unsqueeze(1) + offsets).flatten()  # (elements so far,)
        # Images as memory from their first value on, with the channels as the innermost dimension:
        # an index for each value would take four times as long.
        length = 1 + sum(
            (size - 1) * step for size, step in zip(input.shape[2:], steps, strict=True)
        )
        memory = input.as_strided(
            (len(input), layer.in_channels, length), (step_batch, step_channel, 1)
        )
        patches = memory[images.unsqueeze(1), :, corners.unsqueeze(1) + kernel]  # (S, kernel, C)
        patches = patches.transpose(1, 2).reshape(len(positions), -1)
        grads = self._flat_grad[images, :, places]  # (S, M)
        return self._by_group(patches), self._by_group(grads)

    def reached(self) -> Tensor:
        """Return for each position, bool ``(N,)``, whether a gradient reached it."""
        return reached_along(self._flat_grad, 1).flatten()

    def cross(self) -> Tensor:
        """Return torch's gradient of the weight, as ``(G, M / G, C / G * kernel)``."""
        return self._weight_gradient(self._images, self._grad, self._padded)

    def magnitudes(self) -> Tensor:
        """Return the sum of |t| over all positions ``(G, M / G)``."""
        return self._flat_grad.abs().sum(dim=(0, 2)).view(self._layer.groups, -1)

    def squares(self, units: Tensor) -> Tensor:
        """Return the sum of (t / unit)^2 over all positions ``(G, M / G)``."""
        sums = (self._flat_grad / units.view(-1, 1)).square().sum(dim=(0, 2))
        return sums.view(self._layer.groups, -1)

    def seen(self) -> Tensor:
        """Return whether an input is other than 0 in a patch with a gradient, bool ``(G, n)``."""
        groups, batch = self._layer.groups, len(self._grad)
        reached = self._flat_grad.view(batch, groups, -1, self._num_positions).any(dim=2)
        reached = reached.view(batch, groups, *self._positions)

        def is_nonzero(images: Tensor) -> Tensor:
            return (images != 0).to(images.dtype)

        # The number of such patches is the gradient of a weight with one output for each group.
        counts = self._weight_gradient(
            is_nonzero(self._images),
            reached.to(self._images.dtype),
            lambda: is_nonzero(self._padded()),
        )
        return counts.squeeze(1) > 0.5

    @property
    def _positions(self) -> tuple[int, ...]:
        return tuple(self._grad.shape[2:])

    @property
    def _num_positions(self) -> int:
        return math.prod(self._positions)

    @property
    def _patch_size(self) -> int:
        return self._layer.weight[0].numel()

    def _by_group(self, rows: Tensor) -> Tensor:
        """Return rows ``(S, G * size)`` as ``(G, S, size)``."""
        return rows.view(len(rows), self._layer.groups, -1).transpose(0, 1)

    def _padded(self) -> Tensor:
        """Return the images with the layer's padding around them."""
        if self._padded_images is None:
            layer = self._layer
            mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
            amounts = layer._reversed_padding_repeated_twice
            self._padded_images = (
                nn.functional.pad(self._images, amounts, mode) if any(amounts) else self._images
            )
        return self._padded_images

    def _weight_gradient(
        self, images: Tensor, grad: Tensor, padded: Callable[[], Tensor]
    ) -> Tensor:
        """Return the weight gradient ``(G, outputs of a group, n)`` of given images and outputs.

        Args:
            images: ``(batch, C, ...)``.
            grad: ``(batch, outputs, ...)``.
            padded: returns the images with the layer's padding. torch's convolution pads by itself
                where it adds as many zeros before as after.
        """
        layer = self._layer
        amounts = layer._reversed_padding_repeated_twice[::-1]
        before, after = amounts[1::2], amounts[::2]
        if layer.padding_mode == "zeros" and before == after:
            padding = before
        else:
            images, padding = padded(), [0] * self._dims
        weight_gradient: Any = conv1d_weight if self._dims == 1 else conv2d_weight
        gradient: Tensor = weight_gradient(
            images, (grad.shape[1], *layer.weight.shape[1:]), grad,
            layer.stride, padding, layer.dilation, layer.groups,
        )  # fmt: skip
        return gradient.reshape(layer.groups, grad.shape[1] // layer.groups, self._patch_size)
