"""Marks in ``.grad`` of a claimed weight, by which a capture learns that gradients were reset.

A claimed weight has no gradient of its own, as its optimiser takes the step from samples. The
backward pass leaves a tensor of negative zeros in its ``.grad`` instead. A negative zero is 0 in
all arithmetic, so it adds nothing to norms, sums and other gradients. It is still -0 after
everything that scales gradients: unscaling, clipping and averaging over ranks. Whatever resets
gradients removes it: ``.grad`` becomes None, or positive zeros.
"""

import torch
from torch import Tensor, nn


@torch.no_grad()
def mark(weight: nn.Parameter) -> None:
    """Make ``weight.grad`` a tensor that :func:`is_marked`, without changing its value."""
    if weight.grad is None:
        weight.grad = torch.full_like(weight, -0.0)
    elif not is_marked(weight):
        # view(-1) fails where the weight is not row-major.
        weight.grad[(0,) * weight.dim()] = -0.0


@torch.no_grad()
def is_marked(weight: Tensor) -> bool:
    """Return whether ``weight.grad`` has an entry other than +0, and so was not reset."""
    grad = weight.grad
    if grad is None or not grad.numel():
        return grad is not None
    first = grad[(0,) * grad.dim()]
    if bool(first.signbit()) or bool(first):  # nearly always decides
        return True
    return bool(grad.any()) or bool(grad.signbit().any())
