"""Binary activations with straight-through gradients."""

from numbers import Real
from typing import Any

import torch
from torch import Tensor

#: A tensor attribute: called with an activation's output, by an activation that is applied to the
#: tensor directly. How the optimiser learns of dL/dA (see qpsbgd/optim/capture.py).
ON_ACTIVATION = "_qpsbgd_on_activation"


class _SteSign(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, clip_value: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.clip_value = clip_value
        # In place: fresh memory costs more than the arithmetic. -0 + 0 is +0; clamp keeps NaN.
        y = x + 0.0
        torch.copysign(x.new_ones(()), y, out=y)
        return torch.clamp(x, y, y, out=y)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        with torch.no_grad():
            passes = x.abs().le_(ctx.clip_value)  # 0 or 1
        return grads[0] * passes, None


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
    if not isinstance(x, Tensor):
        raise TypeError(f"x is a {type(x).__name__}, but must be a torch tensor")
    if not x.is_floating_point():
        raise TypeError(f"x has dtype {x.dtype}, but must be a floating-point type")
    if isinstance(clip_value, bool) or not isinstance(clip_value, (Real, float)):
        raise TypeError(f"clip_value is {clip_value!r}, but must be a real number")
    if not clip_value > 0:
        raise ValueError(f"clip_value is {clip_value!r}, but must be positive")
    y: Tensor = _SteSign.apply(x, clip_value)  # type: ignore[no-untyped-call]
    on_activation = getattr(x, ON_ACTIVATION, None)
    if on_activation is not None:
        on_activation(y)
    return y
