"""Blocks of binary networks, trained by QPSBGD and by BinaryConnect on the digits of scikit-learn.

All networks differ in their blocks alone. QPSBGD or BinaryConnect trains the binary weights, AdamW
all real parameters. Half of the images are for training; the others are the test set.

    python examples/architectures/compare.py
"""

import argparse
import statistics
from collections.abc import Callable
from typing import NamedTuple

import torch
from blocks import BLOCKS
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn

from qpsbgd.optim import QPSBGD, BinaryConnect, recalibrate, split_parameters

#: Learning rates of the binary weights: the best on held-out training images (``--validate``).
RATES = {"QPSBGD": 0.1, "BinaryConnect": 0.3}
#: Learning rate of the real parameters.
REAL_RATE = 0.01
BATCH_SIZE = 50


class Images(NamedTuple):
    """Images (N, 1, 8, 8) and their labels (N,)."""

    x: Tensor
    y: Tensor


class Net(nn.Module):
    """Real first convolution, six binary blocks, and a real layer on the means of the channels.

    Args:
        block: class of the blocks. The third and the fifth halve the image and double the channels.
    """

    def __init__(self, block: Callable[[int, int, int], nn.Module]) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8))
        self.blocks = nn.Sequential(
            block(8, 8, 1), block(8, 8, 1), block(8, 16, 2), block(16, 16, 1), block(16, 32, 2),
            block(32, 32, 1),
        )  # fmt: skip
        self.head = nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.blocks(self.stem(x)).mean(dim=(2, 3)))


def digits(*, is_validation: bool) -> tuple[Images, Images]:
    """Return training and test images; for validation, both are training images."""
    images, labels = load_digits(return_X_y=True)
    images, tests, labels, test_labels = train_test_split(
        images, labels, test_size=0.5, random_state=0, stratify=labels
    )
    if is_validation:
        images, tests, labels, test_labels = train_test_split(
            images, labels, test_size=1 / 3, random_state=0, stratify=labels
        )
    mean, deviation = images.mean(), images.std()

    def tensors(x, y) -> Images:
        scaled = torch.from_numpy((x - mean) / deviation).float().view(-1, 1, 8, 8)
        return Images(scaled, torch.from_numpy(y))

    return tensors(images, labels), tensors(tests, test_labels)


def penalties(model: nn.Module) -> Tensor | float:
    """Return the sum of the penalties of the blocks that have one."""
    return sum(m.penalty() for m in model.modules() if hasattr(m, "penalty"))


def accuracy(
    block: Callable[[int, int, int], nn.Module],
    optimizer: str,
    rate: float,
    images: tuple[Images, Images],
    *,
    epochs: int,
    seed: int,
) -> float:
    """Train a network and return its accuracy on the test images."""
    (x, y), test = images
    torch.manual_seed(seed)
    model = Net(block)
    binary_weights, real_parameters = split_parameters(model)
    if optimizer == "QPSBGD":
        binary = QPSBGD(model, lr=rate, seed=seed)
    else:
        binary = BinaryConnect(binary_weights, lr=rate)
    real = torch.optim.AdamW(real_parameters, lr=REAL_RATE)
    schedulers = [
        torch.optim.lr_scheduler.CosineAnnealingLR(each, epochs) for each in (binary, real)
    ]
    for _ in range(epochs):
        # The last batch would be too small for batch normalisation, so it is left out.
        for batch in torch.randperm(len(x)).split(BATCH_SIZE)[: len(x) // BATCH_SIZE]:
            binary.zero_grad()
            real.zero_grad()
            loss = nn.functional.cross_entropy(model(x[batch]), y[batch]) + penalties(model)
            loss.backward()
            binary.step()
            real.step()
        for scheduler in schedulers:
            scheduler.step()
    recalibrate(model, x.split(BATCH_SIZE))
    model.eval()
    with torch.no_grad():
        return (model(test.x).argmax(dim=1) == test.y).double().mean().item()


def summary(values: list[float]) -> str:
    """Return the mean and its standard error, in percent."""
    error = statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else float("nan")
    return f"{100 * statistics.mean(values):.2f} +- {100 * error:.2f}"


def compare(names: list[str], epochs: int, seeds: int) -> None:
    """Print a table of test accuracies, with the differences from the plain block."""
    images = digits(is_validation=False)
    print("| block | QPSBGD | minus plain | BinaryConnect |")
    print("|---|---|---|---|")
    plain: list[float] = []
    for name in names:
        own, other = (
            [
                accuracy(BLOCKS[name], optimizer, rate, images, epochs=epochs, seed=seed)
                for seed in range(seeds)
            ]
            for optimizer, rate in RATES.items()
        )
        plain = plain or own
        gain = summary([a - b for a, b in zip(own, plain, strict=True)])
        print(f"| {name} | {summary(own)} | {gain} | {summary(other)} |", flush=True)


def validate(names: list[str], epochs: int, seeds: int, rates: list[float]) -> None:
    """Print the accuracies on held-out training images, averaged over the blocks."""
    images = digits(is_validation=True)
    for optimizer in RATES:
        for rate in rates:
            means = [
                statistics.mean(
                    accuracy(BLOCKS[name], optimizer, rate, images, epochs=epochs, seed=seed)
                    for seed in range(seeds)
                )
                for name in names
            ]
            each = ", ".join(f"{n} {100 * m:.2f}" for n, m in zip(names, means, strict=True))
            mean = 100 * statistics.mean(means)
            print(f"{optimizer} at rate {rate}: mean {mean:.2f} ({each})", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--blocks", nargs="+", choices=BLOCKS, default=list(BLOCKS))
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--validate", nargs="+", type=float, metavar="RATE")
    args = parser.parse_args()
    torch.set_num_threads(1)  # the networks are too small for more
    if args.validate:
        validate(args.blocks, args.epochs, args.seeds, args.validate)
    else:
        compare(args.blocks, args.epochs, args.seeds)
