"""Change of a latent weight: decay, and a step along its binary gradient."""

from typing import Any, Literal

import torch
from torch import Tensor

from qpsbgd import _core

Update = Literal["latent", "projected"]


def move_weight(weight: Tensor, binary: Tensor, options: dict[str, Any], state: Any) -> None:
    """Change a latent weight, in place.

    The weight first shrinks by the factor ``1 - lr * weight_decay``, as in AdamW, and then moves
    along its binary gradient.

    Args:
        weight: latent weight V, any shape, float dtype and device.
        binary: B, int8 of -1, 0 and +1, with the weight's shape and device.
        options: hyper-parameters of the layer.
        state: the optimiser's state of the weight, which holds the running mean and, with
            ``relative_lr``, the unit of the learning rate.
    """
    lr = float(options["lr"])
    direction = binary
    if options["momentum"] > 0:
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(weight)
        direction = update_momentum(state["momentum_buffer"], binary, float(options["momentum"]))
    if options["weight_decay"] > 0:
        weight.mul_(1.0 - lr * float(options["weight_decay"]))
    if options["relative_lr"]:
        lr *= state["unit"]
    update_weight(weight, direction, lr, options["update"], options["clip"])


def set_unit(weight: Tensor, options: dict[str, Any], state: Any) -> None:
    """Set the unit of a relative learning rate in a layer's first step.

    Raises:
        ValueError: all entries of the weight are 0.
    """
    if options["relative_lr"] and "unit" not in state:
        value = root_mean_square(weight)
        if value == 0:
            raise ValueError(
                f"layer {options['layer']!r}: relative_lr is True, but all weights are 0: set them "
                "before the first step, or use relative_lr=False"
            )
        state["unit"] = value


def root_mean_square(weight: Tensor) -> float:
    """Return the root of the mean square of a weight, rounded to float32.

    The sum in float64 may depend on the number of threads in its last digits. The rounding makes
    the results equal on all ranks of a process group.

    Example:
        >>> import torch
        >>> from qpsbgd.optim.step.weight_update import root_mean_square
        >>> root_mean_square(torch.tensor([[3.0, -4.0], [0.0, 0.0]]))
        2.5
    """
    return float(weight.detach().double().square().mean().sqrt().float())


def update_weight(
    weight: Tensor, direction: Tensor, lr: float, update: Update, clip: float
) -> None:
    """Step along a binary gradient, or a mean of such, in place.

    Args:
        weight: latent weight V, any shape, float dtype and device.
        direction: B, with the weight's shape and device: int8 of -1, 0 and +1, or floats. A weight
            whose entry is 0 stays as it is, but for ``clip``.
        lr: size of the step.
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
        # One pass over memory instead of three, with the same result.
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
    """Update a running mean of binary gradients: ``M <- momentum M + (1 - momentum) B``, in place.

    An entry of M stays as it is where B is 0, as no gradient reached that weight.

    Args:
        mean: M, with the weight's shape and dtype.
        binary: B, int8 of -1, 0 and +1.
        momentum: factor in [0, 1).

    Returns:
        The direction of the step: M, and 0 where B is 0.
    """
    reached = binary != 0
    if reached.all():
        return mean.lerp_(binary.to(mean.dtype), 1.0 - momentum)
    mean.copy_(torch.where(reached, mean.lerp(binary.to(mean.dtype), 1.0 - momentum), mean))
    return mean * reached
