"""Training loop: epochs over a data set, which continue where an interrupted run stopped."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from qpsbgd.optim import binary_weights_of
from qpsbgd.training.datasets import Dataset


@dataclass
class TrainingState:
    """Everything that changes while a network is trained.

    Attributes:
        model: network that maps float32 inputs ``(N, n)`` to logits ``(N, classes)``.
        optimizer: optimiser of the network's weights.
        scheduler: learning-rate schedule; it advances after each epoch.
        generator: source of random numbers for the order of the images and their shifts.
        rows: metrics of the finished epochs, in the columns of ``metrics.csv``.
        epoch: progress of an unfinished epoch: ``order`` of the images, ``batches`` done, and
            over these ``loss_sum``, ``correct`` answers and ``seconds``; None between epochs.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    scheduler: torch.optim.lr_scheduler.LRScheduler
    generator: torch.Generator
    rows: list[dict[str, float]] = field(default_factory=list)
    epoch: dict[str, Any] | None = None

    def state_dict(self) -> dict[str, Any]:
        """Return the entries of a checkpoint."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "shuffle": self.generator.get_state(),
            "rows": self.rows,
            "epoch": self.epoch,
        }


def fit(
    state: TrainingState,
    data: Dataset,
    *,
    epochs: int,
    batch_size: int,
    shift: int = 0,
    has_bar: bool = True,
    after_step: Callable[[], None] | None = None,
    after_epoch: Callable[[], None] | None = None,
) -> None:
    """Train until a number of epochs is finished, with a progress bar for each epoch.

    Args:
        state: network, optimiser and progress; changed in place.
        data: training and test images.
        epochs: epochs in all, those in ``state.rows`` included.
        batch_size: images in a batch.
        shift: pixels by which training images move at most, at random.
        has_bar: whether to show the progress bars.
        after_step: function to call after each step of the optimiser.
        after_epoch: function to call after each epoch.

    Example:
        >>> import torch
        >>> from qpsbgd.optim import QPSBGD
        >>> from qpsbgd.training.datasets import digits
        >>> from qpsbgd.training.networks import BinaryMLP
        >>> model = BinaryMLP((64, 16, 10))
        >>> optimizer = QPSBGD(model, lr=0.01, seed=0)
        >>> scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=2)
        >>> state = TrainingState(model, optimizer, scheduler, torch.Generator().manual_seed(0))
        >>> fit(state, digits(), epochs=2, batch_size=100)
        >>> [row["epoch"] for row in state.rows]
        [1, 2]
    """
    inputs = torch.from_numpy(data.train_inputs)
    labels = torch.from_numpy(data.train_labels)
    for epoch in range(len(state.rows) + 1, epochs + 1):
        lr = state.optimizer.param_groups[0]["lr"]
        title = f"epoch {epoch}/{epochs}" if has_bar else None
        done = _finish_epoch(state, inputs, labels, title, batch_size, shift, after_step)
        start = time.perf_counter()
        state.scheduler.step()
        state.epoch = None
        state.rows.append(
            {
                "epoch": epoch,
                "lr": lr,
                "train_loss": done["loss_sum"] / len(inputs),
                "train_accuracy": done["correct"] / len(inputs),
                "test_accuracy": evaluate(state, data),
                "seconds": done["seconds"] + time.perf_counter() - start,
            }
        )
        if after_epoch is not None:
            after_epoch()


def _finish_epoch(
    state: TrainingState,
    inputs: Tensor,
    labels: Tensor,
    title: str | None,
    batch_size: int,
    shift: int,
    after_step: Callable[[], None] | None,
) -> dict[str, Any]:
    """Train on the batches that are left of an epoch and return its progress record.

    Args:
        state: network, optimiser and progress; changed in place.
        inputs: training images ``(N, n)``.
        labels: their classes ``(N,)``.
        title: text of the progress bar; None for no bar.
        batch_size: images in a batch.
        shift: pixels by which images move at most, at random.
        after_step: function to call after each step of the optimiser.
    """
    if state.epoch is None:
        order = torch.randperm(len(inputs), generator=state.generator)
        state.epoch = {"order": order, "batches": 0, "loss_sum": 0.0, "correct": 0, "seconds": 0.0}
    done = state.epoch
    batches = done["order"].split(batch_size)
    before, start = done["seconds"], time.perf_counter()
    with tqdm(
        total=len(batches),
        initial=done["batches"],
        desc=title,
        unit="batch",
        dynamic_ncols=True,
        disable=title is None,
    ) as bar:
        for batch in batches[done["batches"] :]:
            state.optimizer.zero_grad()
            images = inputs[batch]  # (batch, n)
            if shift:
                images = shifted(images, shift, state.generator)
            logits = state.model(images)  # (batch, classes)
            loss = nn.functional.cross_entropy(logits, labels[batch])
            loss.backward()  # type: ignore[no-untyped-call]
            state.optimizer.step()
            done["loss_sum"] += loss.item() * len(batch)
            done["correct"] += int((logits.argmax(dim=1) == labels[batch]).sum())
            done["batches"] += 1
            done["seconds"] = before + time.perf_counter() - start
            if after_step is not None:
                after_step()
            bar.update()
        bar.set_postfix_str(
            f"loss {done['loss_sum'] / len(inputs):.3f}, "
            f"train accuracy {done['correct'] / len(inputs):.3f}",
            refresh=False,
        )
    return done


def evaluate(state: TrainingState, data: Dataset) -> float:
    """Return the test accuracy of the binary network.

    An optimiser may keep real weights in the layers; here they are replaced by binary ones.
    """
    inputs, labels = torch.from_numpy(data.test_inputs), torch.from_numpy(data.test_labels)
    with binary_weights_of(state.optimizer):
        return accuracy(state.model, inputs, labels)


@torch.no_grad()
def accuracy(model: nn.Module, inputs: Tensor, labels: Tensor) -> float:
    """Return the share of the labels ``(N,)`` at which the model's largest logit stands.

    Example:
        >>> import torch
        >>> accuracy(torch.nn.Identity(), torch.eye(2), torch.tensor([0, 0]))
        0.5
    """
    return float((model(inputs).argmax(dim=1) == labels).double().mean())


def shifted(images: Tensor, pixels: int, generator: torch.Generator) -> Tensor:
    """Return square images, each moved at random by up to ``pixels`` in both directions.

    The pixels that move in have the lowest value of all images, which is the background's.

    Args:
        images: images ``(N, side * side)``.
        pixels: greatest shift.
        generator: source of random numbers.

    Example:
        >>> import torch
        >>> shifted(torch.eye(4).view(1, 16), 0, torch.Generator()).view(4, 4).trace().item()
        4.0
    """
    count, side = len(images), math.isqrt(images.shape[1])
    square = images.view(count, side, side)
    padded = nn.functional.pad(square, (pixels,) * 4, value=float(images.min()))
    top, left = torch.randint(0, 2 * pixels + 1, (2, count, 1), generator=generator)
    rows, columns = top + torch.arange(side), left + torch.arange(side)  # (N, side)
    image = torch.arange(count)[:, None, None]
    return padded[image, rows[:, :, None], columns[:, None, :]].view(count, -1)
