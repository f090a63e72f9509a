"""Fully connected layer with binary weights."""

import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from qpsbgd.nn.functional import ste_sign

Quantizer = Callable[[Tensor], Tensor]
#: Quantizers by the names that Larq uses.
QUANTIZERS: dict[str, Quantizer] = {"ste_sign": ste_sign}


def get_quantizer(name: str, quantizer: str | Quantizer | None) -> Quantizer | None:
    """The quantizer that a keyword argument means: a name, a callable, or None for none."""
    if quantizer is None or callable(quantizer):
        return quantizer
    if quantizer not in QUANTIZERS:
        known = ", ".join(repr(key) for key in QUANTIZERS)
        raise ValueError(f"{name} is {quantizer!r}, but must be {known}, a callable or None")
    return QUANTIZERS[quantizer]


class _ClaimedLinear(torch.autograd.Function):
    """``linear(input, quantized, bias)`` without dL/dW: a third of a step's matrix products.

    The latent weight only puts the output on the graph. The input is kept for the optimiser that
    has claimed the layer, see :func:`input_on_graph`.
    """

    @staticmethod
    def forward(
        ctx: Any, input: Tensor, weight: Tensor, quantized: Tensor, bias: Tensor | None
    ) -> Tensor:
        ctx.save_for_backward(input, quantized)
        ctx.unpacked = None
        return nn.functional.linear(input, quantized, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, None, None, Tensor | None]:
        _, quantized = _saved_tensors(ctx)
        ctx.unpacked = None
        (grad,) = grads
        # Under autocast the output, and so its gradient, has a shorter type than the weight.
        grad_input = grad @ quantized.to(grad.dtype) if ctx.needs_input_grad[0] else None
        grad_bias = grad.reshape(-1, grad.shape[-1]).sum(dim=0) if ctx.needs_input_grad[3] else None
        return grad_input, None, None, grad_bias


def _saved_tensors(ctx: Any) -> tuple[Tensor, Tensor]:
    """Input and quantised weight; under activation checkpointing they can be unpacked only once."""
    if ctx.unpacked is None:
        ctx.unpacked = ctx.saved_tensors
    unpacked: tuple[Tensor, Tensor] = ctx.unpacked
    return unpacked


def input_on_graph(output: Tensor) -> Callable[[], Tensor]:
    """The quantised input ``(*, n)`` of the claimed layer that made ``output``.

    Returns:
        A function that reads it from the graph, to be called during the backward pass; it keeps
        neither alive. Raises RuntimeError where the input was changed in place since it was used.
    """
    # A tensor hook that held the node, or its output, would be a cycle that is never collected.
    node = weakref.ref(output.grad_fn)

    def read() -> Tensor:
        return _saved_tensors(node())[0]

    return read


# How many optimisers (QPSBGD) have claimed a layer: they work on its inputs and outputs and do not
# use dL/dW. Not an attribute, so that a copied or pickled layer is an ordinary one again.
_claims: "weakref.WeakKeyDictionary[nn.Module, int]" = weakref.WeakKeyDictionary()


def claim(layer: "BinaryLinear") -> None:
    """From now on, leave dL/dW out and keep the input of ``layer``."""
    _claims[layer] = _claims.get(layer, 0) + 1


def release(layer: "BinaryLinear") -> None:
    """Undo one :func:`claim`."""
    _claims[layer] -= 1
    if _claims[layer] == 0:
        del _claims[layer]


class BinaryLinear(nn.Linear):
    """``nn.Linear`` whose forward pass uses ``sign(weight)``.

    ``weight`` is the real, latent weight that optimisers change; ``state_dict`` is that of
    ``nn.Linear``.

    Args:
        in_features: size of each input sample.
        out_features: size of each output sample.
        bias: whether to learn an additive (real) bias.
        input_quantizer: applied to the input: ``"ste_sign"``, a callable, or None for none.
        weight_quantizer: applied to the weight, likewise; with None the layer has real weights.
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
        weight_quantizer: str | Quantizer | None = "ste_sign",
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(in_features, out_features, bias, device, dtype)
        self.input_quantizer = get_quantizer("input_quantizer", input_quantizer)
        self.weight_quantizer = get_quantizer("weight_quantizer", weight_quantizer)

    @property
    def binary_weight(self) -> Tensor:
        """The weight that the forward pass uses ``(out_features, in_features)``, on the graph."""
        return self.weight if self.weight_quantizer is None else self.weight_quantizer(self.weight)

    def forward(self, input: Tensor) -> Tensor:
        """Linear map of the quantised input with the quantised weight."""
        if self.input_quantizer is not None:
            input = self.input_quantizer(input)
        if self in _claims:
            with torch.no_grad():
                quantized = self.binary_weight
            output: Tensor = _ClaimedLinear.apply(  # type: ignore[no-untyped-call]
                input, self.weight, quantized, self.bias
            )
            return output
        return nn.functional.linear(input, self.binary_weight, self.bias)

    def extra_repr(self) -> str:
        """Shape and quantizers."""
        quantizers = [
            f"{name}={getattr(value, '__name__', value)}"
            for name, value in (
                ("input_quantizer", self.input_quantizer),
                ("weight_quantizer", self.weight_quantizer),
            )
        ]
        return ", ".join([super().extra_repr(), *quantizers])
