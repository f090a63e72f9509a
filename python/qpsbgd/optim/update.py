"""How a binary gradient changes a latent weight: the arithmetic of one layer's step."""

from typing import Literal

import torch
from torch import Tensor

from qpsbgd import _core

Update = Literal["latent", "projected"]


def update_weight(
    weight: Tensor, direction: Tensor, lr: float, update: Update, clip: float
) -> None:
    """Step along a binary gradient, or a mean of such, in place.

    Args:
        weight: latent weight V, any shape, float dtype and device.
        direction: B, of the weight's shape and on its device: int8 of -1, 0 and +1, or floats; 0
            where no gradient reached the weight, which is left as it is.
        lr: step length.
        update: ``"latent"`` for ``clip(V - lr B)``, ``"projected"`` for ``sign(V - lr B)``.
        clip: bound of the latent rule; ``inf`` for none.
    """
    if (
        update == "latent"
        and weight.device.type == "cpu"
        and weight.dtype == torch.float32
        and direction.dtype == torch.int8
        and weight.is_contiguous()
        and direction.is_contiguous()
    ):
        # One pass instead of three, with the same result.
        _core.step_along(
            weight.detach().numpy(), direction.numpy(), lr=lr, clip=clip,
            num_threads=torch.get_num_threads(),
        )  # fmt: skip
        torch.autograd.graph.increment_version(weight)
        return
    weight.add_(direction, alpha=-lr)
    if update == "latent":
        weight.clamp_(-clip, clip)
    else:
        signs = torch.where(weight >= 0, 1.0, -1.0)
        weight.copy_(torch.where(direction != 0, signs, weight))


def update_momentum(mean: Tensor, binary: Tensor, momentum: float) -> Tensor:
    """Running mean of binary gradients: ``M <- momentum M + (1 - momentum) B``, in place.

    Entries of B that are 0 (weights that no gradient reaches) leave theirs as it is.

    Args:
        mean: M, of the weight's shape and dtype.
        binary: int8 of -1 and +1, or 0.
        momentum: in [0, 1).

    Returns:
        The direction to step along: M, and 0 where B is 0.
    """
    reached = binary != 0
    if reached.all():
        return mean.lerp_(binary.to(mean.dtype), 1.0 - momentum)
    mean.copy_(torch.where(reached, mean.lerp(binary.to(mean.dtype), 1.0 - momentum), mean))
    return mean * reached
