"""Binary activations: the sign forward, and a stand-in for its derivative backward.

The names are Larq's. Each can quantise inputs, activations and weights.
"""

from collections.abc import Callable
from numbers import Real
from typing import Any

import torch
from torch import Tensor

#: A tensor attribute: functions to call with the tensor and the output of an activation, by an
#: activation that is applied to it directly. How the optimiser learns of dL/dA (optim/capture.py).
ON_ACTIVATION = "_qpsbgd_on_activation"


def _sign(x: Tensor) -> Tensor:
    # In place: fresh memory costs more than the arithmetic. -0 + 0 is +0; clamp keeps NaN.
    with torch.no_grad():  # torch.export traces a forward pass with gradients on
        y: Tensor = x + 0.0
        torch.copysign(x.new_ones(()), y, out=y)
        torch.clamp(x, y, y, out=y)
    return y


class _SteSign(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, clip_value: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.clip_value = clip_value
        return _sign(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        with torch.no_grad():
            passes = x.abs().le_(ctx.clip_value)  # 0 or 1
        return grads[0] * passes, None


class _ApproxSign(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return _sign(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        with torch.no_grad():
            slope = x.abs().mul_(-2).add_(2).clamp_(min=0)  # 2 - 2|x| where |x| < 1
        return grads[0] * slope  # type: ignore[no-any-return]


class _SwishSign(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, beta: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.beta = beta
        return _sign(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        with torch.no_grad():
            # Where the slope is 0 in every type: the product below must not be 0 times infinity.
            z = (ctx.beta * x).clamp_(-1000, 1000)
            # 1 / (1 + cosh z) by the logistic function, which does not overflow.
            inverse = 2 * torch.sigmoid(z) * torch.sigmoid(-z)
            slope = ctx.beta * (2 - z * torch.tanh(z / 2)) * inverse
        return grads[0] * slope, None


def ste_sign(x: Tensor, clip_value: float = 1.0) -> Tensor:
    """Sign with ``sign(0) = +1``; the gradient passes straight through where ``|x| <= clip_value``.

    Args:
        x: float tensor of any shape.
        clip_value: where the gradient stops; positive, ``inf`` for never.

    Returns:
        Tensor of -1 and +1, shape and dtype as ``x``; NaN where ``x`` is.

    Raises:
        TypeError: ``x`` is not a floating-point tensor, or ``clip_value`` no real number.
        ValueError: ``clip_value`` is not positive.

    Example:
        >>> ste_sign(torch.tensor([-0.5, 0.0, 2.0])).tolist()
        [-1.0, 1.0, 1.0]

    Reference:
        Bengio et al., arXiv 1308.3432; Hubara et al., arXiv 1602.02830.
    """
    _check_input(x)
    _check_positive("clip_value", clip_value)
    return _reported(x, _SteSign.apply(x, clip_value))  # type: ignore[no-untyped-call]


def approx_sign(x: Tensor) -> Tensor:
    """Sign with ``sign(0) = +1``; the gradient is that of a piecewise quadratic.

    The derivative is ``2 - 2|x|`` where ``|x| < 1`` and 0 elsewhere.

    Args:
        x: float tensor of any shape.

    Returns:
        Tensor of -1 and +1, shape and dtype as ``x``; NaN where ``x`` is.

    Raises:
        TypeError: ``x`` is not a floating-point tensor.

    Example:
        >>> approx_sign(torch.tensor([-0.5, 0.0, 2.0])).tolist()
        [-1.0, 1.0, 1.0]

    Reference:
        Liu et al. (Bi-Real Net), arXiv 1808.00278.
    """
    _check_input(x)
    return _reported(x, _ApproxSign.apply(x))  # type: ignore[no-untyped-call]


def swish_sign(x: Tensor, beta: float = 5.0) -> Tensor:
    """Sign with ``sign(0) = +1``; the gradient is that of the SignSwish function.

    The derivative is ``beta (2 - beta x tanh(beta x / 2)) / (1 + cosh(beta x))``, which is negative
    from ``|x| = 2.4 / beta`` on.

    Args:
        x: float tensor of any shape.
        beta: how steep; positive and finite.

    Returns:
        Tensor of -1 and +1, shape and dtype as ``x``; NaN where ``x`` is.

    Raises:
        TypeError: ``x`` is not a floating-point tensor, or ``beta`` no real number.
        ValueError: ``beta`` is not positive and finite.

    Example:
        >>> swish_sign(torch.tensor([-0.5, 0.0, 2.0])).tolist()
        [-1.0, 1.0, 1.0]

    Reference:
        Darabi et al. (BNN+), arXiv 1812.11800.
    """
    _check_input(x)
    _check_positive("beta", beta)
    if beta == float("inf"):
        raise ValueError(f"beta is {beta!r}, but must be positive and finite")
    return _reported(x, _SwishSign.apply(x, beta))  # type: ignore[no-untyped-call]


Quantizer = Callable[[Tensor], Tensor]
#: Quantizers by the names that layers take.
QUANTIZERS: dict[str, Quantizer] = {
    "ste_sign": ste_sign,
    "approx_sign": approx_sign,
    "swish_sign": swish_sign,
}


def get_quantizer(name: str, quantizer: str | Quantizer | None) -> Quantizer | None:
    """The quantizer that a layer's argument means: a name, a callable, or None for none.

    Raises:
        ValueError: an unknown name.
    """
    if quantizer is None or callable(quantizer):
        return quantizer
    if quantizer not in QUANTIZERS:
        known = ", ".join(repr(key) for key in QUANTIZERS)
        raise ValueError(f"{name} is {quantizer!r}, but must be {known}, a callable or None")
    return QUANTIZERS[quantizer]


def _check_input(x: Any) -> None:
    if not isinstance(x, Tensor):
        raise TypeError(f"x is a {type(x).__name__}, but must be a torch tensor")
    if not x.is_floating_point():
        raise TypeError(f"x has dtype {x.dtype}, but must be a floating-point type")


def _check_positive(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} is {value!r}, but must be a real number")
    if not float(value) > 0:
        raise ValueError(f"{name} is {value!r}, but must be positive")


def _reported(x: Tensor, y: Tensor) -> Tensor:
    """``y``, the activation's output for ``x``, told to those who wait for it."""
    for on_activation in getattr(x, ON_ACTIVATION, ()):
        on_activation(x, y)
    return y
