"""Cora by a binary graph network: every optimiser at every learning rate of a grid.

Prints a Markdown table of test accuracies at the epoch of best validation accuracy, means over
seeds. --momentum and --scale add options of QPSBGD to the grid.
"""

import argparse
import statistics

import torch

from bench.paper.graphs import NUM_HIDDEN, Task, best_epoch, train_nodes
from bench.paper.planetoid import load
from qpsbgd.optim import QPSBGD, BinaryConnect, SignSGD
from qpsbgd.training.networks import BinaryGCN

#: Learning rates, each about 3 times the one before.
GRIDS = {
    "qpsbgd": (0.003, 0.01, 0.03, 0.1),
    "binaryconnect": (0.001, 0.003, 0.01, 0.03),
    "binaryconnect-sgd": (0.1, 0.3, 1.0, 3.0),
    "signsgd": (0.001, 0.003, 0.01, 0.03),
    "signum": (0.001, 0.003, 0.01, 0.03),
}


def make_optimizer(name, model, lr, momentum, scale):
    weights = model.parameters()
    if name == "qpsbgd":
        return QPSBGD(model, lr=lr, momentum=momentum, scale=scale)
    if name == "binaryconnect":
        return BinaryConnect(weights, lr=lr)
    if name == "binaryconnect-sgd":
        return BinaryConnect(weights, torch.optim.SGD, lr=lr, momentum=0.9)
    return SignSGD(weights, lr=lr, momentum=0.9 if name == "signum" else 0.0)


def cora_accuracy(task, seed, num_epochs, *options):
    torch.manual_seed(seed)
    model = BinaryGCN(task.features.shape[1], NUM_HIDDEN, int(task.labels.max()) + 1)
    epochs = train_nodes(task, model, make_optimizer(options[0], model, *options[1:]), num_epochs)
    return best_epoch(epochs).test_accuracy


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--only", choices=list(GRIDS))
    parser.add_argument("--lr", type=float, nargs="+", help="[default: GRIDS]")
    parser.add_argument("--momentum", type=float, nargs="+", default=[0.9], help="of qpsbgd")
    parser.add_argument("--scale", type=float, nargs="+", default=[0.1], help="of qpsbgd")
    args = parser.parse_args()
    task = Task.from_citations(load("cora"))
    print("| optimiser | lr | momentum | scale | mean test accuracy | standard error | runs |")
    print("|---|---|---|---|---|---|---|")
    for name, grid in GRIDS.items():
        if args.only not in (None, name):
            continue
        own = (
            [(m, s) for m in args.momentum for s in args.scale] if name == "qpsbgd" else [("", "")]
        )
        for momentum, scale in own:
            for lr in args.lr or grid:
                values = [
                    cora_accuracy(task, seed, args.epochs, name, lr, momentum, scale)
                    for seed in range(args.seeds)
                ]
                error = statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else 0
                print(
                    f"| {name} | {lr} | {momentum} | {scale} | {statistics.mean(values):.4f} | "
                    f"{error:.4f} | {len(values)} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
