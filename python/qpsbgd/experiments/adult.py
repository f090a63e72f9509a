"""Training of Adult's networks: binary weights in all layers, signs between them, no biases.

As the paper does it, with the sign of the output for a logit, constant rates and some batches; and
with logits, inputs of unit size and rates that fall to zero, which can be cross-validated.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from qpsbgd.experiments.optimizers import kernel_quantizer, make_optimizer, use_published_lambda
from qpsbgd.nn import BinaryLinear
from qpsbgd.nn.functional import ste_sign
from qpsbgd.optim import binary_weights
from qpsbgd.projection.layers import NativeProjector

Floats = npt.NDArray[np.float32]

#: Of a cross-validation, at most: the seeds of its runs are this number apart.
NUM_FOLDS = 4


class StraightThroughMLP(nn.Module):
    """Binary weights in all layers, signs between them; gradients pass all of them unclipped.

    Args:
        sizes: inputs, hidden sizes, 1.
        kernel_quantizer: of the layers.
        sign_output: the paper's, a sign too; else a logit.
    """

    def __init__(
        self, sizes: tuple[int, ...], kernel_quantizer: str | None, sign_output: bool
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            BinaryLinear(n, m, bias=False, kernel_quantizer=kernel_quantizer)
            for n, m in itertools.pairwise(sizes)
        )
        self.sign_output = sign_output

    def forward(self, x: Tensor) -> Tensor:
        """Signs or logits ``(N,)`` of ``x (N, n)``."""
        *hidden, last = self.layers
        for layer in hidden:
            if self.sign_output:
                x = ste_sign(layer(x), math.inf)
            else:
                # For the backward pass alone: gradients would grow by sqrt(128) a layer, which
                # is nothing to steps along signs, but the end of SGD.
                x = ste_sign(layer(x) / math.sqrt(x.shape[1]), math.inf)  # (N, n) -> (N, m)
        z: Tensor = last(x)[:, 0]
        return ste_sign(z, math.inf) if self.sign_output else z / math.sqrt(x.shape[1])


@dataclass(frozen=True)
class Net:
    """Trained; called, the logits of the network of signs.

    Attributes:
        model: on inputs over ``scale``.
        optimizer: which has its signs.
        scale: of the inputs.
        losses: of each batch as the paper trains, else means of epochs.
        accuracies: of each batch as the paper trains, else none.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    scale: float = 1.0
    losses: Sequence[float] = ()
    accuracies: Sequence[float] = ()

    @torch.no_grad()
    def __call__(self, inputs: Floats) -> Tensor:
        with binary_weights(self.optimizer):
            outputs: Tensor = self.model(torch.from_numpy(inputs / np.float32(self.scale)))
        return outputs


def train_as_published(
    method: str,
    options: Mapping[str, Any],
    seed: int,
    sizes: tuple[int, ...],
    inputs: Floats,
    labels: Tensor,
    *,
    num_epochs: int,
    num_batches: int,
    batch_size: int,
) -> Net:
    """At constant rates, on some batches of each epoch.

    Args:
        method: see :func:`make_optimizer`.
        options: of the optimiser; ProxQuant has the published lambda.
        seed: of weights, batches and projections.
        sizes: of the network, whose output is a sign too.
        inputs: ``(N, n)``.
        labels: ``(N,)`` of 0 and 1.
        num_epochs: of the run.
        num_batches: of an epoch, at most.
        batch_size: rows.
    """
    rows = torch.from_numpy(inputs)
    torch.manual_seed(seed)
    model = StraightThroughMLP(sizes, kernel_quantizer(method), sign_output=True)
    # ProxQuant has the published lambda, which no number of steps enters.
    optimizer = _optimizer(method, model, options, 1, seed)
    accuracies, losses = [], []
    for epoch in range(num_epochs):
        if method == "ProxQuant":
            use_published_lambda(optimizer, epoch)
        order = torch.randperm(len(rows))
        # NOTES: batches of an epoch are drawn without repetition; the paper's do not cover
        # all of the data.
        batches = order.split(batch_size)  # type: ignore[no-untyped-call]
        for batch in batches[:num_batches]:
            optimizer.zero_grad()
            outputs = model(rows[batch])
            loss = loss_of(outputs, labels[batch])
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            losses.append(loss.item())
            accuracies.append(accuracy(outputs, labels[batch]))
    return Net(model, optimizer, losses=losses, accuracies=accuracies)


def train(
    method: str,
    options: Mapping[str, Any],
    seed: int,
    sizes: tuple[int, ...],
    inputs: Floats,
    labels: Tensor,
    kept: npt.NDArray[np.int64],
    *,
    num_epochs: int,
    batch_size: int,
) -> Net:
    """To logits, at rates that fall to 0 along half a cosine, epoch by epoch.

    Args:
        method: see :func:`make_optimizer`.
        options: of the optimiser.
        seed: of weights, batches and projections.
        sizes: of the network.
        inputs: ``(N, n)``.
        labels: ``(N,)`` of 0 and 1.
        kept: rows to train on.
        num_epochs: of all of them.
        batch_size: rows.
    """
    torch.manual_seed(seed)
    # Not centred: a network without biases is an odd function of its inputs, and a common
    # mean is what it has instead of a bias.
    scale = float(np.sqrt((inputs[kept] ** 2).mean()))
    scaled = torch.from_numpy(inputs / np.float32(scale))
    model = StraightThroughMLP(sizes, kernel_quantizer(method), sign_output=False)
    num_batches = math.ceil(len(kept) / batch_size)
    optimizer = _optimizer(method, model, options, num_epochs * num_batches, seed)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=num_epochs)
    losses = []
    for _ in range(num_epochs):
        shuffled = torch.from_numpy(kept)[torch.randperm(len(kept))]
        total = 0.0
        for batch in shuffled.split(batch_size):  # type: ignore[no-untyped-call]
            optimizer.zero_grad()
            loss = loss_of(model(scaled[batch]), labels[batch])
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            total += loss.item() * len(batch)
        scheduler.step()
        losses.append(total / len(kept))
    return Net(model, optimizer, scale, losses)


def held_out_loss(
    method: str,
    options: Mapping[str, Any],
    seed: int,
    sizes: tuple[int, ...],
    inputs: Floats,
    labels: Tensor,
    *,
    num_folds: int,
    num_epochs: int,
    batch_size: int,
) -> float:
    """Mean over all rows, each by the network that :func:`train` made without its part of them.

    The loss, not the accuracy, and of all rows: of fewer it chooses mostly by chance.

    Args:
        method: see :func:`make_optimizer`.
        options: of the optimiser.
        seed: of which rows are held out together, and of all runs.
        sizes: of the network.
        inputs: ``(N, n)``.
        labels: ``(N,)`` of 0 and 1.
        num_folds: parts of the rows, at most :data:`NUM_FOLDS`.
        num_epochs: of a run.
        batch_size: rows.
    """
    order = np.random.default_rng(seed).permutation(len(inputs))
    total = 0.0
    for number, held_out in enumerate(np.array_split(order, num_folds)):
        net = train(
            method,
            options,
            NUM_FOLDS * seed + number,
            sizes,
            inputs,
            labels,
            np.setdiff1d(order, held_out),
            num_epochs=num_epochs,
            batch_size=batch_size,
        )
        total += len(held_out) * loss_of(net(inputs[held_out]), labels[held_out]).item()
    return total / len(order)


def _optimizer(
    method: str, model: nn.Module, options: Mapping[str, Any], num_steps: int, seed: int
) -> torch.optim.Optimizer:
    projector = NativeProjector(num_threads=1)
    return make_optimizer(method, model, options, num_steps, seed=seed, projector=projector)


def loss_of(outputs: Tensor, labels: Tensor) -> Tensor:
    """Binary cross entropy of logits ``(N,)``, their mean."""
    return nn.functional.binary_cross_entropy_with_logits(outputs, labels)


def accuracy(outputs: Tensor, labels: Tensor) -> float:
    """Share of the labels that are told."""
    return float(((outputs > 0) == (labels > 0.5)).double().mean())
