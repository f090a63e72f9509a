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
        direction: B, of the weight's shape and on its device: int8 of -1, 0 and +1, or floats;
            rows of 0 for neurons that no gradient reached.
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
        reached = direction.flatten(1).any(dim=1).view(-1, *(1 for _ in weight.shape[1:]))
        weight.copy_(torch.where(reached, torch.where(weight >= 0, 1.0, -1.0), weight))


def update_momentum(mean: Tensor, binary: Tensor, momentum: float) -> Tensor:
    """Running mean of binary gradients: ``M <- momentum M + (1 - momentum) B``, in place.

    Rows of B that are 0 (neurons that no gradient reaches) leave theirs as it is.

    Args:
        mean: M, of the weight's shape and dtype.
        binary: int8 of -1 and +1, or 0 in whole rows.
        momentum: in [0, 1).

    Returns:
        The direction to step along: M, and 0 in rows of 0.
    """
    reached = binary.flatten(1)[:, 0] != 0  # (m)
    if reached.all():
        return mean.lerp_(binary.to(mean.dtype), 1.0 - momentum)
    mask = reached.view(-1, *(1 for _ in binary.shape[1:]))
    mean.copy_(torch.where(mask, mean.lerp(binary.to(mean.dtype), 1.0 - momentum), mean))
    return mean * mask
