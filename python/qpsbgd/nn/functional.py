"""Sign functions whose backward pass uses a surrogate for the derivative of the sign.

The names follow Larq. Each function can quantise inputs, activations and weights.
"""

from collections.abc import Callable
from numbers import Real
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

#: Name of a tensor attribute that holds a list of callbacks. A sign function that is applied to
#: such a tensor calls each of them with the tensor and its own output. The optimiser learns the
#: gradient at an activation through it (optim/capture.py).
ON_ACTIVATION = "_qpsbgd_on_activation"


#: Returns the surrogate of the derivative of the sign at x, given the function's parameter.
Slope = Callable[[Tensor, float], Tensor]


def _sign(x: Tensor) -> Tensor:
    if torch.compiler.is_compiling() or is_exporting():
        # The operations of the other branch have no ONNX function. In eager mode these take 25
        # times as long.
        return torch.where(x >= 0, 1.0, torch.where(x < 0, -1.0, x))
    # The operations work in place because fresh memory costs more than the arithmetic.
    # The sum turns -0 into +0, and clamp keeps NaN.
    with torch.no_grad():
        y: Tensor = x + 0.0
        torch.copysign(x.new_ones(()), y, out=y)
        torch.clamp(x, y, y, out=y)
    return y


def _ste_slope(x: Tensor, clip_value: float) -> Tensor:
    if is_transformed():  # vmap has no rule for le_
        return (x.abs() <= clip_value).to(x.dtype)
    return x.abs().le_(clip_value)  # 0 or 1, in less time than a comparison and a conversion


def _approx_slope(x: Tensor, _: float) -> Tensor:
    return x.abs().mul_(-2).add_(2).relu_()  # 2 - 2|x| where |x| < 1


def _swish_slope(x: Tensor, beta: float) -> Tensor:
    # At +-1000 the slope is 0 in every dtype. Without the limits an infinite x would give
    # 0 * inf = NaN below.
    z = (beta * x).clamp(-1000, 1000)
    # This is 1 / (1 + cosh z); the logistic function does not overflow.
    inverse = 2 * torch.sigmoid(z) * torch.sigmoid(-z)
    return beta * (2 - z * torch.tanh(z / 2)) * inverse


class _Sign(torch.autograd.Function):
    """Sign whose backward pass multiplies the gradient by a slope.

    The second derivative is the derivative of the slope.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, slope: Slope, parameter: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.slope, ctx.parameter = slope, parameter
        return _sign(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (x,) = ctx.saved_tensors
        return grads[0] * ctx.slope(x, ctx.parameter), None, None


class _TransformableSign(torch.autograd.Function):
    """The function ``_Sign`` for the transforms of ``torch.func`` and forward-mode derivatives.

    torch needs 17 microseconds to call a function with ``setup_context``, twice the time of a small
    tensor's sign, and ``torch.compile`` cannot trace a ``jvp``. Hence the two classes.
    """

    @staticmethod
    def forward(x: Tensor, slope: Slope, parameter: float) -> Tensor:
        return _sign(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Slope, float], output: Tensor) -> None:
        x, ctx.slope, ctx.parameter = inputs
        ctx.save_for_backward(x)
        ctx.save_for_forward(x)

    backward = staticmethod(_Sign.backward)

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Tensor:
        (x,) = ctx.saved_tensors
        result: Tensor = tangents[0] * ctx.slope(x, ctx.parameter)
        return result

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[Any, ...], x: Tensor, slope: Slope, parameter: float
    ) -> tuple[Tensor, Any]:
        # The function is elementwise, so the batch may be any dimension.
        return _TransformableSign.apply(x, slope, parameter), in_dims[0]  # type: ignore[no-untyped-call]


def is_transformed() -> bool:
    """Return whether a transform of ``torch.func`` or a forward-mode derivative is running."""
    return torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0


def is_exporting() -> bool:
    """Return whether ``torch.export`` or ``torch.jit.trace`` is tracing a model.

    Versions of torch before 2.7 do not tell of ``torch.export``.
    """
    exports = getattr(torch.compiler, "is_exporting", bool)
    return bool(exports()) or bool(torch.jit.is_tracing())  # type: ignore[attr-defined, no-untyped-call]


def is_observed() -> bool:
    """Return whether torch traces, transforms or counts the operations that run.

    Values must then come from operations of torch, not from a cache or from the core.
    """
    return is_exporting() or is_transformed() or torch._C._len_torch_dispatch_stack() > 0


def _surrogate_sign(x: Tensor, slope: Slope, parameter: float) -> Tensor:
    y: Tensor
    if not is_transformed():
        y = _Sign.apply(x, slope, parameter)  # type: ignore[no-untyped-call]
    elif torch.compiler.is_compiling():
        # torch would differentiate the forward pass, whose derivative is 0. After this error it
        # runs the transformed function without compilation, unless fullgraph=True.
        raise NotImplementedError(
            "torch.compile cannot trace a sign function within a transform of torch.func: compile "
            "without fullgraph=True, or only the code outside of the transform"
        )
    else:
        y = _TransformableSign.apply(x, slope, parameter)  # type: ignore[no-untyped-call]
    for on_activation in getattr(x, ON_ACTIVATION, ()):
        on_activation(x, y)
    return y


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
    return _surrogate_sign(x, _ste_slope, clip_value)


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
    return _surrogate_sign(x, _approx_slope, 1.0)


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
    return _surrogate_sign(x, _swish_slope, beta)


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
