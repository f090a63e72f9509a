"""Cora by a binary graph network: every optimiser at every learning rate of a grid.

Test accuracy at the epoch of best validation accuracy, means over seeds, as a Markdown table. With
--momentum and --scale a grid of QPSBGD alone.
"""

import argparse
import statistics

import torch

from qpsbgd.experiments.graphs import NUM_EPOCHS, selected, train_graph
from qpsbgd.experiments.planetoid import load
from qpsbgd.optim import QPSBGD, BinaryConnect, SignSGD

#: A factor of about 3 apart.
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


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=NUM_EPOCHS)
    parser.add_argument("--only", choices=list(GRIDS))
    parser.add_argument("--lr", type=float, nargs="+", help="[default: GRIDS]")
    parser.add_argument("--momentum", type=float, nargs="+", default=[0.9], help="of qpsbgd")
    parser.add_argument("--scale", type=float, nargs="+", default=[0.1], help="of qpsbgd")
    args = parser.parse_args()
    graph = load("cora")
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
                values = []
                for seed in range(args.seeds):
                    epochs = train_graph(
                        graph,
                        lambda model, o=(name, lr, momentum, scale): make_optimizer(
                            o[0], model, *o[1:]
                        ),
                        seed,
                        args.epochs,
                    )
                    values.append(selected(list(epochs)).test_accuracy)
                error = statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else 0
                print(
                    f"| {name} | {lr} | {momentum} | {scale} | {statistics.mean(values):.4f} | "
                    f"{error:.4f} | {len(values)} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
