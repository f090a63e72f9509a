"""Test accuracy of every optimiser at every learning rate of a grid, each run by the command line.

Prints a Markdown table; the defaults of the command line are marked. Runs are kept in --out and not
run again.
"""

import argparse
import contextlib
import io
import json
import shlex
import statistics
from pathlib import Path

from qpsbgd import cli
from qpsbgd.training.recipes import RECIPES

#: Four rates each, a factor of about 3 apart.
GRIDS = {
    "qpsbgd": (0.003, 0.01, 0.03, 0.1),
    "binaryconnect": (0.001, 0.003, 0.01, 0.03),
    "binaryconnect-sgd": (0.01, 0.03, 0.1, 0.3),
    "signsgd": (0.001, 0.003, 0.01, 0.03),
    "signum": (0.0003, 0.001, 0.003, 0.01),
    "proxquant": (0.1, 0.3, 1.0, 3.0),
    "bop": (3e-5, 1e-4, 3e-4, 1e-3),
    "proxconnect": (0.003, 0.01, 0.03, 0.1),
}


def accuracy(folder, dataset, options):
    """Final test accuracy of one run, from its folder or by running it."""
    result = folder / "summary.json"
    if not result.exists():
        words = ["train", dataset, "--json", *options, "--out", str(folder)]
        # In this process: to start one and import torch takes as long as a run on digits.
        with (
            contextlib.redirect_stdout(io.StringIO()) as output,
            contextlib.redirect_stderr(io.StringIO()),
        ):
            cli.main(words, standalone_mode=False)
        result.write_text(output.getvalue())
    return json.loads(result.read_text())["test_accuracy"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", choices=["digits", "mnist5k"])
    parser.add_argument("--network", choices=["mlp", "cnn"], default="mlp")
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--splits", type=int, default=1, help="into training and test images")
    parser.add_argument("--out", type=Path, default=Path("runs/accuracy"))
    parser.add_argument("--only", choices=list(GRIDS))
    parser.add_argument("--lr", type=float, nargs="+", help="[default: GRIDS]")
    parser.add_argument(
        "--options", default="", help="of `qpsbgd train`, for qpsbgd: --options='--scale 1'"
    )
    parser.add_argument(
        "--common", default="", help="of `qpsbgd train`, for all: --common='--shift 1'"
    )
    args = parser.parse_args()
    common = shlex.split(args.common)
    print("| optimiser | lr | mean test accuracy | standard error | runs |")
    print("|---|---|---|---|---|")
    for optimizer, default_lr in RECIPES[args.dataset, args.network].lr.items():
        if args.only not in (None, optimizer):
            continue
        own = shlex.split(args.options) if optimizer == "qpsbgd" else []
        extra = [*common, *own]
        for lr in args.lr or GRIDS[optimizer]:
            values = []  # (splits, seeds)
            for split in range(args.splits):
                values.append([])
                for seed in range(args.seeds):
                    options = {
                        "network": args.network, "optimizer": optimizer, "lr": lr,
                        "epochs": args.epochs, "seed": seed, "split": split,
                    }  # fmt: skip
                    words = [word for k, v in options.items() for word in (f"--{k}", str(v))]
                    name = "_".join([args.dataset, *words, *extra]).replace("--", "")
                    values[-1].append(accuracy(args.out / name, args.dataset, [*words, *extra]))
            # Splits differ by more than the seeds of one split do.
            independent = [statistics.mean(v) for v in values] if args.splits > 1 else values[0]
            error = float("nan")
            if len(independent) > 1:
                error = statistics.stdev(independent) / len(independent) ** 0.5
            mean = statistics.mean(independent)
            mark = " (default)" if lr == default_lr and not own else ""
            runs = args.splits * args.seeds
            print(f"| {optimizer} | {lr}{mark} | {mean:.4f} | {error:.4f} | {runs} |", flush=True)


if __name__ == "__main__":
    main()
