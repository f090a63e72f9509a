"""Optimisers that the paper compares, by their names in its tables."""

import statistics
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from qpsbgd.optim import QPSBGD, BinaryConnect, ProxQuant, SignSGD

#: Methods whose names start with this are ``QPSBGD``, with different solvers of its problems.
QP = "QP-SBGD"


def make_optimizer(
    method: str,
    model: nn.Module,
    options: Mapping[str, Any],
    num_steps: int,
    *,
    seed: int,
    projector: Any = None,
) -> torch.optim.Optimizer:
    """Return a method's optimiser of all weights of a model.

    Args:
        method: a name that starts with ``"QP-SBGD"``, ``"BinaryConnect"`` (with SGD),
            ``"BinaryConnect Adam"``, ``"signSGD"`` or ``"ProxQuant"``.
        model: the model, whose layers have the quantiser that :func:`kernel_quantizer` returns.
        options: options of the optimiser. QP-SBGD has scale 1 unless they name another, and no
            samples of past steps. ProxQuant's ``strength`` is the regularisation at the end
            of the run; it grows linearly from 0.
        num_steps: steps of the run.
        seed: seed of QPSBGD's projections.
        projector: solver of QPSBGD's problems; None for the native one.

    Raises:
        ValueError: The method is unknown.
    """
    if method.startswith(QP):
        options = {"scale": 1.0, "memory": 0, **options}
        return QPSBGD(model, seed=seed, projector=projector, **options)
    weights = model.parameters()
    match method:
        case "BinaryConnect":
            return BinaryConnect(weights, torch.optim.SGD, **options)
        case "BinaryConnect Adam":
            return BinaryConnect(weights, **options)
        case "signSGD":
            return SignSGD(weights, **options)
        case "ProxQuant":
            rest = dict(options)
            reg_rate = rest.pop("strength", 0.0) / num_steps
            return ProxQuant(weights, torch.optim.SGD, reg_rate=reg_rate, **rest)
    raise ValueError(f"method is {method!r}, but must be one of the paper's methods")


def kernel_quantizer(method: str) -> str | None:
    """Return the quantiser of the layers: ProxQuant trains real weights until the end."""
    return None if method == "ProxQuant" else "ste_sign"


def use_published_lambda(optimizer: torch.optim.Optimizer, epoch: int) -> None:
    """Set ProxQuant's threshold to the paper's.

    PAPER: lambda = 0.01 (epoch + 1) is the threshold itself. The optimiser's threshold is
    ``lr * strength``.

    Args:
        optimizer: a ``ProxQuant`` with ``reg_rate=0``.
        epoch: number of the epoch, from 0.
    """
    for group in optimizer.param_groups:
        group["strength"] = 0.01 * (epoch + 1) / group["lr"]


def falling_rate(optimizer: torch.optim.Optimizer, num_steps: int) -> Any:
    """Return a learning-rate schedule: cosine decay to 0."""
    return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=num_steps)


def train_step(optimizer: torch.optim.Optimizer, loss: Tensor) -> float:
    """Take one step, and return the loss; gradients must be zero before the forward pass."""
    loss.backward()
    optimizer.step()
    return loss.item()


class FirstLayer:
    """Measurements of the first layer of a model that QPSBGD trains.

    The cosine is the one between the targets T^ (each neuron's divided by its mean magnitude) and
    X B0, where B0 = sign(X^T T^) is the linear minimiser. Where it is small, no binary gradient can
    follow the targets of more than a few samples. The agreement is the share of the binary
    gradient's entries that equal those of B0.

    Args:
        optimizer: the optimiser; nothing is measured unless it is a ``QPSBGD``.
        every: steps from one measurement to the next; None for no measurements.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, every: int | None) -> None:
        self._cosines: list[float] = []
        self._agreements: list[float] = []
        if isinstance(optimizer, QPSBGD) and every is not None:
            self._every = optimizer.stats_every = every
            optimizer.register_step_pre_hook(lambda *args: self._before(optimizer))
            optimizer.register_step_post_hook(lambda *args: self._after(optimizer))

    def _before(self, optimizer: QPSBGD) -> None:
        capture = optimizer.captures()[0]
        if (optimizer.num_steps + 1) % self._every or capture.is_empty:
            return
        X, T = (part.detach()[0].double() for part in capture.batch())  # (N, n), (N, m)
        T = T[:, T.any(dim=0)]
        if T.numel():
            T = T / T.abs().mean(dim=0)
            Z = X @ torch.where(X.T @ T >= 0, 1.0, -1.0).to(X.dtype)  # (N, m)
            self._cosines.append(float((T * Z).sum() / (T.norm() * Z.norm())))

    def _after(self, optimizer: QPSBGD) -> None:
        for step in list(optimizer.last_step.values())[:1]:
            if step.agreement is not None:
                self._agreements.append(step.agreement)

    def means(self) -> dict[str, float]:
        """Return the mean cosine and agreement, where any was measured."""
        both = {"cosine": self._cosines, "agreement": self._agreements}
        return {name: statistics.fmean(values) for name, values in both.items() if values}
