"""Base class of the layers with binary weights."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor, nn

from qpsbgd.nn.functional import Quantizer, get_quantizer, is_exporting, is_transformed
from qpsbgd.nn.observers import Observers, notify_observers
from qpsbgd.nn.packed_weight import PackedWeight
from qpsbgd.nn.samples import CallSamples
from qpsbgd.nn.sign_cache import SignCache

if TYPE_CHECKING:
    Module = nn.Module
else:
    Module = object

Layer = TypeVar("Layer", bound="BinaryLayer")


class BinaryLayer(Module):
    """Mixin for a layer that applies a linear map with a binary weight.

    A subclass is also an ``nn.Module`` with the attributes ``weight`` and ``bias``. It

    - calls :meth:`init_binary` at the end of its constructor,
    - defines :meth:`linear_map`,
    - returns :meth:`run` from its forward method, and
    - defines :meth:`samples`, which gives an optimiser one call as matrix products
      ``Z = X W^T``.

    :class:`~qpsbgd.optim.QPSBGD`, :func:`~qpsbgd.nn.pack` and the other tools of this package then
    work with the layer.

    Attributes:
        weight: latent weight, whose first dimension is the outputs; after
            :func:`~qpsbgd.nn.pack` a module that returns the binary weight.
        bias: real parameter with one entry per output, or None.
        input_quantizer: function that is applied to the input, or None.
        kernel_quantizer: function that is applied to the weight, or None.
        output_scale: real parameter with one factor per output, or None.
        signs: cache of the binary weight for inference. ``signs.clear()`` empties it.

    Example:
        A layer whose inputs are blocks of two columns, added before the product:

        >>> import torch
        >>> from qpsbgd.nn import BinaryLayer
        >>> from qpsbgd.optim import QPSBGD
        >>> class PairLinear(BinaryLayer, torch.nn.Module):
        ...     def __init__(self, pairs, outputs):
        ...         torch.nn.Module.__init__(self)
        ...         self.weight = torch.nn.Parameter(torch.rand(outputs, pairs) - 0.5)
        ...         self.bias = None
        ...         self.init_binary(None, "ste_sign", output_scale=False)
        ...
        ...     def forward(self, x):
        ...         return self.run(x)
        ...
        ...     def linear_map(self, input, weight, bias):
        ...         return torch.nn.functional.linear(input[:, ::2] + input[:, 1::2], weight)
        ...
        ...     def samples(self, input, grad):
        ...         return (input[:, ::2] + input[:, 1::2])[None], grad[None]
        >>> layer = PairLinear(3, 2)
        >>> optimizer = QPSBGD(layer)
        >>> layer(torch.randn(5, 6)).square().sum().backward()
        >>> optimizer.step()
    """

    #: Whether :meth:`linear_map` takes a PackedWeight in place of a tensor.
    takes_packed = False

    weight: Tensor
    bias: Any
    input_quantizer: Quantizer | None
    kernel_quantizer: Quantizer | None
    output_scale: nn.Parameter | None

    def init_binary(
        self,
        input_quantizer: str | Quantizer | None,
        kernel_quantizer: str | Quantizer | None,
        output_scale: bool,
    ) -> None:
        """Set the quantizers and the output scale; to be called after the weight exists.

        Args:
            input_quantizer: name of a quantizer, a callable, or None.
            kernel_quantizer: name of a quantizer, a callable, or None.
            output_scale: whether the layer learns one real factor per output.

        Raises:
            TypeError: ``output_scale`` is not a bool.
            ValueError: the name of a quantizer is unknown.
        """
        self.input_quantizer = get_quantizer("input_quantizer", input_quantizer)
        self.kernel_quantizer = get_quantizer("kernel_quantizer", kernel_quantizer)
        if not isinstance(output_scale, bool):
            raise TypeError(f"output_scale is {output_scale!r}, but must be True or False")
        self.register_parameter("output_scale", None)
        if output_scale:
            self.output_scale = nn.Parameter(self.weight.new_empty(len(self.weight)))
            self.reset_scale()
        self.observers = Observers()
        self.signs = SignCache()

    def reset_parameters(self) -> None:
        """Draw weight and bias anew, as torch's layer does, and reset the output scale."""
        super().reset_parameters()  # type: ignore[misc]
        self.reset_scale()

    def reset_scale(self) -> None:
        """Reset the output scale, if the layer has one, to its initial value."""
        # The constructors of torch's layers call reset_parameters before the attribute exists.
        scale = getattr(self, "output_scale", None)
        if scale is not None:
            # A sum of fan_in random signs has the standard deviation sqrt(fan_in).
            fan_in = self.weight.shape[1:].numel()
            nn.init.constant_(scale, max(fan_in, 1) ** -0.5)

    def train(self: Layer, mode: bool = True) -> Layer:
        """Set the mode as torch's layers do, and clear the cache of the binary weight."""
        self.signs.clear()
        return super().train(mode)

    @property
    def binary_weight(self) -> Tensor:
        """The weight that the forward pass uses, with the shape of ``weight``; on the graph."""
        weight = self.weight
        if self.kernel_quantizer is not None:
            return self.signs.quantize(weight, self.kernel_quantizer)
        return weight() if isinstance(weight, nn.Module) else weight

    @property
    def num_groups(self) -> int:
        """G: number of matrix products in one call, each with its own inputs and rows."""
        return 1

    def linear_map(
        self, input: Tensor, weight: Tensor, bias: Tensor | None, *context: Any
    ) -> Tensor:
        """Apply the layer's linear map with a given weight and bias.

        Args:
            input: quantised input.
            weight: quantised weight.
            bias: added to the output; None for no bias.
            context: further arguments of :meth:`run`, such as a graph.
        """
        raise NotImplementedError

    def samples(self, input: Tensor, grad: Tensor, *context: Any) -> tuple[Tensor, Tensor]:
        """Write one call as matrix products.

        Args:
            input: quantised input of :meth:`linear_map`.
            grad: gradient of the loss with respect to its output.
            context: further arguments of :meth:`linear_map`.

        Returns:
            X ``(G, N, n)`` and T ``(G, N, m)`` for which dL/dW, as ``(G, m, n)``, is T^T X.
        """
        raise NotImplementedError

    def call_samples(self, input: Tensor, grad: Tensor, *context: Any) -> CallSamples:
        """Return the samples of one call, of which an optimiser may use some.

        The default makes all of them with :meth:`samples`. A layer whose samples are larger than
        its input and output can return a subclass of
        :class:`~qpsbgd.nn.samples.CallSamples` that makes them on demand.
        """
        return CallSamples(*self.samples(input, grad, *context))

    def scale_shape(self) -> tuple[int, ...]:
        """Return the shape in which ``output_scale`` and ``bias`` broadcast to the output."""
        return (-1,)

    def run(self, input: Tensor, *context: Any) -> Tensor:
        """Quantise input and weight, apply the linear map and the scale, and add the bias."""
        if self.input_quantizer is not None:
            input = self.input_quantizer(input)
        scale, bias = self.output_scale, self.bias
        is_watched = (
            bool(self.observers)
            and self.weight.requires_grad
            and torch.is_grad_enabled()
            # A transform returns the gradients of its arguments, so none arrives at the weight.
            and not is_transformed()
            and not is_exporting()
        )
        if is_watched and self.kernel_quantizer is not None:
            # An observer does not use dL/dW. Omitting it saves a third of the matrix products of a
            # step. The quantizer's own parameters still get their gradients.
            self.signs.clear()
            weight = self.kernel_quantizer(self.weight.detach())
        elif self.takes_packed and isinstance(self.weight, PackedWeight):
            weight = self.weight
        else:
            weight = self.binary_weight
        z = self.linear_map(input, weight, bias if scale is None else None, *context)
        if is_watched:
            z = notify_observers(self, z, input, context)
        if scale is None:
            return z
        z = z * scale.view(self.scale_shape())
        return z if bias is None else z + bias.view(self.scale_shape())

    def extra_repr(self) -> str:
        """Return the options of the layer for ``repr``."""
        options = [
            f"{name}={getattr(value, '__name__', value)}"
            for name, value in (
                ("input_quantizer", self.input_quantizer),
                ("kernel_quantizer", self.kernel_quantizer),
            )
        ]
        if self.output_scale is not None:
            options.append("output_scale=True")
        return ", ".join([super().extra_repr(), *options])


def binary_layers(model: nn.Module) -> Iterator[tuple[str, BinaryLayer]]:
    """Yield the name and the module of every layer with binary weights, each module once.

    If the model is such a layer itself, its name is the name of its class.

    Example:
        >>> from torch import nn
        >>> from qpsbgd.nn import BinaryLinear
        >>> from qpsbgd.nn.layers import binary_layers
        >>> model = nn.Sequential(nn.Linear(3, 2), BinaryLinear(2, 1))
        >>> [name for name, layer in binary_layers(model)]
        ['1']
    """
    for name, module in model.named_modules():
        if isinstance(module, BinaryLayer) and module.kernel_quantizer is not None:
            yield name or type(module).__name__, module
