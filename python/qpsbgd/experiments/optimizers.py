"""The optimisers of the paper's tables, by their names there, and what all experiments do alike."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import nn

from qpsbgd.projection.layers import Projector
from qpsbgd.training import optimizers
from qpsbgd.training.recipes import OptimizerName

#: Methods whose names begin so are QPSBGD, whatever solves their problems.
QP = "QP-SBGD"
NAMES: dict[str, OptimizerName] = {
    "BinaryConnect": "binaryconnect-sgd",
    "BinaryConnect Adam": "binaryconnect",
    "signSGD": "signsgd",
    "ProxQuant": "proxquant",
}


def make_optimizer(
    method: str,
    model: nn.Module,
    options: Mapping[str, Any],
    num_steps: int,
    *,
    seed: int,
    projector: Projector | None = None,
) -> torch.optim.Optimizer:
    """A method's optimiser of all of a model's weights.

    Args:
        method: ``"QP-SBGD"`` and whatever begins so, ``"BinaryConnect"`` (SGD),
            ``"BinaryConnect Adam"``, ``"signSGD"`` (SIGNUM where there is a momentum) or
            ``"ProxQuant"``.
        model: whose layers are as :func:`kernel_quantizer` says.
        options: of the optimiser; for ProxQuant ``strength`` is what it ends at, 0 if missing.
        num_steps: of the run, over which ProxQuant's strength grows from 0.
        seed: of QPSBGD's projections.
        projector: of QPSBGD.

    Raises:
        ValueError: an unknown method.
    """
    if method.startswith(QP):
        own: dict[str, Any] = {"seed": seed, "projector": projector}
        return optimizers.make_optimizer("qpsbgd", model, num_steps, **own, **options)
    if method not in NAMES:
        raise ValueError(f"method is {method!r}, but must be one of the paper's")
    own = {"momentum": 0.0} if method in ("BinaryConnect", "ProxQuant") else {}
    own |= {"strength": 0.0} if method == "ProxQuant" else {}
    return optimizers.make_optimizer(NAMES[method], model, num_steps, **{**own, **options})


def kernel_quantizer(method: str) -> str | None:
    """Of the layers that a method trains: ProxQuant's hold real weights until the end."""
    return None if method == "ProxQuant" else "ste_sign"


def use_published_lambda(optimizer: torch.optim.Optimizer, epoch: int) -> None:
    """Set ProxQuant's threshold as the paper does.

    PAPER: lambda = .01 (epoch + 1) is the threshold itself; the optimiser's threshold is
    ``lr * strength``.

    Args:
        optimizer: a ``ProxQuant`` that was made with ``reg_rate=0``.
        epoch: from 0.
    """
    for group in optimizer.param_groups:
        group["strength"] = 0.01 * (epoch + 1) / group["lr"]


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """One thread for torch inside: more cost time in nets so small, and change rounding."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
