"""Sign functions whose backward pass uses a surrogate for the derivative of the sign.

The names follow Larq. Each function can quantise inputs, activations and weights.
"""

from collections.abc import Callable
from numbers import Real
from typing import Any

import torch
from torch import Tensor

#: Name of a tensor attribute that holds a list of callbacks. A sign function that is applied to
#: such a tensor calls each of them with the tensor and its own output. The optimiser learns the
#: gradient at an activation through it (optim/capture.py).
ON_ACTIVATION = "_qpsbgd_on_activation"


def _sign(x: Tensor) -> Tensor:
    # The operations work in place because fresh memory costs more than the arithmetic.
    # The sum turns -0 into +0, and clamp keeps NaN.
    with torch.no_grad():  # torch.export traces a forward pass with gradients enabled
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
            # At +-1000 the slope is 0 in every dtype. Without the limits an infinite x would give
            # 0 * inf = NaN below.
            z = (ctx.beta * x).clamp_(-1000, 1000)
            # This is 1 / (1 + cosh z); the logistic function does not overflow.
            inverse = 2 * torch.sigmoid(z) * torch.sigmoid(-z)
            slope = ctx.beta * (2 - z * torch.tanh(z / 2)) * inverse
        return grads[0] * slope, None


def ste_sign(x: Tensor, clip_value: float = 1.0) -> Tensor:
    """Return the sign of ``x``, with ``sign(0) = +1`` and a straight-through gradient.

    The backward pass multiplies the gradient by 1 where ``|x| <= clip_value`` and by 0 elsewhere.

    Args:
        x: float tensor of any shape.
        clip_value: largest ``|x|`` that receives a gradient; positive. With ``inf`` every ``x``
            receives one.

    Returns:
        Tensor of -1 and +1 with the shape and dtype of ``x``; NaN where ``x`` is NaN.

    Raises:
        TypeError: ``x`` is not a floating-point tensor, or ``clip_value`` is not a real number.
        ValueError: ``clip_value`` is not positive.

    Example:
        >>> import torch
        >>> from qpsbgd.nn.functional import ste_sign
        >>> x = torch.tensor([-0.5, 0.0, 2.0], requires_grad=True)
        >>> ste_sign(x).tolist()
        [-1.0, 1.0, 1.0]
        >>> ste_sign(x).sum().backward()
        >>> x.grad.tolist()
        [1.0, 1.0, 0.0]

    Reference:
        Bengio et al., arXiv 1308.3432; Hubara et al., arXiv 1602.02830.
    """
    _check_input(x)
    check_positive("clip_value", clip_value)
    return _report(x, _SteSign.apply(x, clip_value))  # type: ignore[no-untyped-call]


def approx_sign(x: Tensor) -> Tensor:
    """Return the sign of ``x``, with ``sign(0) = +1`` and the gradient of a piecewise quadratic.

    The backward pass multiplies the gradient by ``2 - 2|x|`` where ``|x| < 1`` and by 0 elsewhere.

    Args:
        x: float tensor of any shape.

    Returns:
        Tensor of -1 and +1 with the shape and dtype of ``x``; NaN where ``x`` is NaN.

    Raises:
        TypeError: ``x`` is not a floating-point tensor.

    Example:
        >>> import torch
        >>> from qpsbgd.nn.functional import approx_sign
        >>> x = torch.tensor([-0.5, 0.0, 2.0], requires_grad=True)
        >>> approx_sign(x).tolist()
        [-1.0, 1.0, 1.0]
        >>> approx_sign(x).sum().backward()
        >>> x.grad.tolist()
        [1.0, 2.0, 0.0]

    Reference:
        Liu et al. (Bi-Real Net), arXiv 1808.00278.
    """
    _check_input(x)
    return _report(x, _ApproxSign.apply(x))  # type: ignore[no-untyped-call]


def swish_sign(x: Tensor, beta: float = 5.0) -> Tensor:
    """Return the sign of ``x``, with ``sign(0) = +1`` and the gradient of the SignSwish function.

    The backward pass multiplies the gradient by
    ``beta (2 - beta x tanh(beta x / 2)) / (1 + cosh(beta x))``. This factor is negative for
    ``|x| > 2.4 / beta``.

    Args:
        x: float tensor of any shape.
        beta: steepness of the SignSwish function; positive and finite.

    Returns:
        Tensor of -1 and +1 with the shape and dtype of ``x``; NaN where ``x`` is NaN.

    Raises:
        TypeError: ``x`` is not a floating-point tensor, or ``beta`` is not a real number.
        ValueError: ``beta`` is not positive and finite.

    Example:
        >>> import torch
        >>> from qpsbgd.nn.functional import swish_sign
        >>> x = torch.tensor([-0.5, 0.0, 2.0], requires_grad=True)
        >>> swish_sign(x).tolist()
        [-1.0, 1.0, 1.0]
        >>> swish_sign(x).sum().backward()
        >>> x.grad[1].item()
        5.0

    Reference:
        Darabi et al. (BNN+), arXiv 1812.11800.
    """
    _check_input(x)
    check_positive("beta", beta, is_finite=True)
    return _report(x, _SwishSign.apply(x, beta))  # type: ignore[no-untyped-call]


Quantizer = Callable[[Tensor], Tensor]
#: Quantizers by the names that layers accept.
QUANTIZERS: dict[str, Quantizer] = {
    "ste_sign": ste_sign,
    "approx_sign": approx_sign,
    "swish_sign": swish_sign,
}


def get_quantizer(name: str, quantizer: str | Quantizer | None) -> Quantizer | None:
    """Return the quantizer for a layer's argument.

    Args:
        name: name of the argument, for the error message.
        quantizer: a key of ``QUANTIZERS``, a callable, or None for no quantizer.

    Raises:
        ValueError: the name of the quantizer is unknown.

    Example:
        >>> from qpsbgd.nn.functional import get_quantizer, ste_sign
        >>> get_quantizer("input_quantizer", "ste_sign") is ste_sign
        True
    """
    if quantizer is None or callable(quantizer):
        return quantizer
    if quantizer not in QUANTIZERS:
        known = ", ".join(repr(key) for key in QUANTIZERS)
        raise ValueError(f"{name} is {quantizer!r}, but must be {known}, a callable or None")
    return QUANTIZERS[quantizer]


def check_positive(name: str, value: Any, *, is_finite: bool = False) -> None:
    """Raise an error if a parameter of a sign function is not a positive number.

    Raises:
        TypeError: the value is not a real number.
        ValueError: the value is not positive, or it is infinite although it must be finite.
    """
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} is {value!r}, but must be a real number")
    if not float(value) > 0:
        raise ValueError(f"{name} is {value!r}, but must be positive")
    if is_finite and float(value) == float("inf"):
        raise ValueError(f"{name} is {value!r}, but must be positive and finite")


def _check_input(x: Any) -> None:
    if not isinstance(x, Tensor):
        raise TypeError(f"x is a {type(x).__name__}, but must be a torch tensor")
    if not x.is_floating_point():
        raise TypeError(f"x has dtype {x.dtype}, but must be a floating-point type")


def _report(x: Tensor, y: Tensor) -> Tensor:
    """Call the callbacks of ``x`` with the activation's output ``y``, and return ``y``."""
    for on_activation in getattr(x, ON_ACTIVATION, ()):
        on_activation(x, y)
    return y
