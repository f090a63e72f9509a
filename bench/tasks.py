"""QPSBGD against BinaryConnect and SIGNUM, with learning rates from validation data.

Each optimiser has the same grid of rates. A sixth of the training samples is held out. One seed
finds the three rates with the highest accuracy on it, and the mean over more seeds chooses one of
them. Networks are then trained with this rate on all training samples and tested once. Prints a
Markdown table of means with standard errors, and the mean difference from QPSBGD with the standard
error of this difference over the seeds.

The three tasks on which no default was chosen: ``words``, ``vowels`` and ``tails``. Run it from the
repository's root: ``python -m bench.tasks``.
"""

import argparse
import dataclasses
import math
import statistics
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import nn

from bench import scales
from bench.paper import planetoid
from qpsbgd.nn import BinaryConv1d, BinaryLinear
from qpsbgd.nn.functional import ste_sign
from qpsbgd.training.datasets import Dataset, data_folder, load_dataset
from qpsbgd.training.loop import TrainingState, fit
from qpsbgd.training.networks import BinaryMLP
from qpsbgd.training.optimizers import make_optimizer

OPTIMIZERS = ("qpsbgd", "binaryconnect", "binaryconnect-sgd", "signum")
#: QPSBGD without the quadratic term, for --only.
NO_SWEEPS = "qpsbgd-0-sweeps"
#: Learning rates of every optimiser.
RATES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
#: One of this many training samples is held out to choose the rate.
VALIDATION_SHARE = 6
#: Rates that more than one seed tries.
NUM_FINALISTS = 3


class VowelNet(nn.Module):
    """Two convolutions over time and a linear layer, all with binary weights and no biases."""

    def __init__(self, num_series, length, num_classes, num_channels=32):
        super().__init__()
        self.num_series = num_series
        self.first = BinaryConv1d(num_series, num_channels, 5, padding=2, bias=False)
        self.second = BinaryConv1d(num_channels, num_channels, 5, stride=2, padding=2, bias=False)
        self.out = BinaryLinear(num_channels * ((length + 1) // 2), num_classes, bias=False)

    def forward(self, x):
        x = x.view(len(x), self.num_series, -1)  # (N, n) -> (N, series, length)
        for layer in (self.first, self.second):
            x = ste_sign(layer(x), math.sqrt(5 * x.shape[1]))  # (N, channels, length)
        x = x.flatten(1)
        return self.out(x) / math.sqrt(x.shape[1])


def standardised(name, train_inputs, train_labels, test_inputs, test_labels):
    """Return a data set, shifted and scaled by one mean and deviation of all training values."""
    mean, deviation = train_inputs.mean(), train_inputs.std()
    train, test = (
        ((values - mean) / deviation).astype(np.float32) for values in (train_inputs, test_inputs)
    )
    labels = [np.asarray(each, dtype=np.int64) for each in (train_labels, test_labels)]
    return Dataset(name, train, labels[0], test, labels[1], "test set")


def words(seed):
    """Return the words of Cora's documents, without citations; Planetoid's 1000 test documents."""
    graph = planetoid.load("cora")
    is_test = graph.test_mask
    return standardised(
        "words", graph.features[~is_test], graph.labels[~is_test],
        graph.features[is_test], graph.labels[is_test],
    )  # fmt: skip


def vowels(seed):
    """Return JapaneseVowels: 12 coefficients of 9 speakers' vowels over up to 29 times.

    Shorter series end with zeros, after each coefficient has been standardised.
    """
    parts = [read_series(f"JapaneseVowels_{part}.ts") for part in ("TRAIN", "TEST")]
    values = np.concatenate([each for series, _ in parts[:1] for each in series], axis=1)
    mean, deviation = values.mean(axis=1)[:, None], values.std(axis=1)[:, None]
    arrays = []
    for series, labels in parts:
        inputs = np.zeros((len(series), 12, 29), dtype=np.float32)
        for row, each in zip(inputs, series, strict=True):
            row[:, : each.shape[1]] = (each - mean) / deviation
        arrays += [inputs.reshape(len(series), -1), np.array(labels, dtype=np.int64) - 1]
    return Dataset("vowels", *arrays, "test set")


def read_series(name):
    """Return the series ``(12, length)`` and labels of a file below QPSBGD_DATA or of aeon's."""
    folders = [data_folder()]
    if (package := find_spec("aeon")) is not None:
        folders.append(Path(package.submodule_search_locations[0]) / "datasets" / "data")
    paths = [path for folder in folders if folder for path in folder.rglob(name)]
    if not paths:
        raise FileNotFoundError(f"{name} is missing: pip install --no-deps aeon")
    text = paths[0].read_text().partition("@data\n")[2]
    lines = [line.split(":") for line in text.split("\n") if line.strip()]
    series = [np.array([list(map(float, row.split(","))) for row in rows]) for *rows, _ in lines]
    return series, [int(line[-1]) for line in lines]


def tails(seed):
    """Return 100 inputs of Student's t with 3 degrees of freedom, labelled by a binary network.

    The teacher has layers of 100-32-5 and random signs. Each seed draws another teacher.
    """
    generator = np.random.default_rng(seed)
    hidden, out = (generator.choice([-1.0, 1.0], size=shape) for shape in ((100, 32), (32, 5)))
    inputs = generator.standard_t(3, size=(14_000, 100))
    labels = (np.sign(inputs @ hidden) @ out + 0.5 * generator.random(5)).argmax(axis=1)
    return standardised("tails", inputs[:4000], labels[:4000], inputs[4000:], labels[4000:])


def r8(seed):
    """Return Reuters R8 as in bench/scales.py."""
    arrays = [tensor.numpy() for tensor in scales.r8()]
    return Dataset("r8", *arrays, "test set")


@dataclasses.dataclass(frozen=True)
class Task:
    """Data set by seed, network, batch size and epochs."""

    load: Callable[[int], Dataset]
    batch_size: int
    epochs: int
    hidden: tuple[int, ...] = ()

    def network(self, data):
        if not self.hidden:
            return VowelNet(12, 29, data.num_classes)
        return BinaryMLP((data.num_inputs, *self.hidden, data.num_classes))


TASKS = {
    "words": Task(words, 100, 15, (128,)),
    "vowels": Task(vowels, 30, 40),
    "tails": Task(tails, 100, 15, (128, 128)),
    "r8": Task(r8, 100, 10, (256,)),
    "digits": Task(lambda seed: load_dataset("digits", seed), 50, 15, (128, 128)),
    "mnist5k": Task(lambda seed: load_dataset("mnist5k"), 100, 12, (256, 256)),
}


def held_out(data, seed):
    """Return a data set whose test set is a part of the training set."""
    order = np.random.default_rng(seed).permutation(len(data.train_labels))
    count = len(order) // VALIDATION_SHARE
    test, train = order[:count], order[count:]
    return dataclasses.replace(
        data,
        train_inputs=data.train_inputs[train],
        train_labels=data.train_labels[train],
        test_inputs=data.train_inputs[test],
        test_labels=data.train_labels[test],
    )


def accuracy(task, data, name, lr, seed):
    """Return the test accuracy after a training."""
    torch.manual_seed(seed)
    model = task.network(data)
    num_steps = task.epochs * math.ceil(len(data.train_labels) / task.batch_size)
    options = {"lr": lr}
    if name in ("qpsbgd", NO_SWEEPS):
        options |= {"seed": seed, "num_sweeps": 0 if name == NO_SWEEPS else None}
        name = "qpsbgd"
    optimizer = make_optimizer(name, model, num_steps, **options)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=task.epochs)
    state = TrainingState(model, optimizer, scheduler, torch.Generator().manual_seed(seed))
    fit(state, data, epochs=task.epochs, batch_size=task.batch_size, has_bar=False)
    return state.rows[-1]["test_accuracy"]


def mean_and_error(values):
    """Return the mean of values and its standard error."""
    return statistics.mean(values), statistics.stdev(values) / math.sqrt(len(values))


def best_rate(task, parts, name):
    """Return the best rate on validation data, and the mean accuracy at each rate."""
    values = [[accuracy(task, parts[0], name, lr, 0)] for lr in RATES]  # (rates, seeds)
    order = sorted(range(len(RATES)), key=lambda each: values[each], reverse=True)
    for each in order[:NUM_FINALISTS]:
        for seed, part in enumerate(parts[1:], 1):
            values[each].append(accuracy(task, part, name, RATES[each], seed))
    means = [statistics.mean(each) for each in values]
    return RATES[max(order[:NUM_FINALISTS], key=lambda each: means[each])], means


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tasks", nargs="*", metavar="task", help=f"of {', '.join(TASKS)}")
    parser.add_argument("--seeds", type=int, default=5, help="of the tests")
    parser.add_argument(
        "--rate-seeds", type=int, default=3, help="of the choice of one of three rates"
    )
    parser.add_argument("--only", nargs="+", choices=[*OPTIMIZERS, NO_SWEEPS], default=OPTIMIZERS)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rates-only", action="store_true", help="use no test data")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    print("| task | optimiser | validation at " + ", ".join(map(str, RATES)), end="")
    print(" | rate | test | minus qpsbgd |\n" + "|---" * 6 + "|")
    for task_name in args.tasks or ("words", "vowels", "tails"):
        task = TASKS[task_name]
        data = [task.load(seed) for seed in range(max(args.seeds, args.rate_seeds))]
        parts = [held_out(each, seed) for seed, each in enumerate(data[: args.rate_seeds])]
        reference = None
        for name in args.only:
            lr, found = best_rate(task, parts, name)
            cells = [", ".join(f"{mean:.4f}" for mean in found), f"{lr:g}"]
            if not args.rates_only:
                tests = [accuracy(task, data[s], name, lr, s) for s in range(args.seeds)]
                reference = tests if name == "qpsbgd" else reference
                cells.append("{:.4f} +- {:.4f}".format(*mean_and_error(tests)))
                if reference is not None and name != "qpsbgd":
                    gains = [a - b for a, b in zip(tests, reference, strict=True)]
                    cells.append("{:+.4f} +- {:.4f}".format(*mean_and_error(gains)))
            cells += [""] * (4 - len(cells))
            print(f"| {task_name} | {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
