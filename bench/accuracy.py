"""Test accuracy of every optimiser over seeds, each run by the command line.

The baselines are run at every learning rate of a grid and shown at each; QPSBGD at its defaults, or
with --options. Prints a Markdown table. Runs are kept in --out and not run
again.
"""

import argparse
import json
import shlex
import statistics
import subprocess
import sys
from pathlib import Path

GRID = (0.001, 0.003, 0.01, 0.03)


def accuracy(folder, dataset, options):
    """Final test accuracy of one run, from its folder or by running it."""
    result = folder / "summary.json"
    if not result.exists():
        command = [sys.executable, "-m", "qpsbgd.cli", "train", dataset, "--json", *options]
        done = subprocess.run(
            [*command, "--out", str(folder)], check=True, stdout=subprocess.PIPE, text=True,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        result.write_text(done.stdout.splitlines()[-1])
    return json.loads(result.read_text())["test_accuracy"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", choices=["digits", "mnist5k"])
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("runs/accuracy"))
    parser.add_argument("--only", choices=["qpsbgd", "binaryconnect", "signsgd"])
    parser.add_argument(
        "--options", default="", help="of `qpsbgd train`, for qpsbgd: --options='--scale 1'"
    )
    args = parser.parse_args()
    cases = [("qpsbgd", shlex.split(args.options))]
    for optimizer in ("binaryconnect", "signsgd"):
        cases += [(optimizer, ["--lr", str(lr)]) for lr in GRID]
    print("| optimiser | options | mean test accuracy | standard error | seeds |")
    print("|---|---|---|---|---|")
    for optimizer, extra in cases:
        if args.only not in (None, optimizer):
            continue
        values = []
        for seed in range(args.seeds):
            options = ["--optimizer", optimizer, "--epochs", str(args.epochs), "--seed", str(seed)]
            name = "_".join([args.dataset, *options, *extra]).replace("--", "")
            values.append(accuracy(args.out / name, args.dataset, [*options, *extra]))
        error = statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else float("nan")
        text = " ".join(extra) or "defaults"
        mean = statistics.mean(values)
        print(f"| {optimizer} | {text} | {mean:.4f} | {error:.4f} | {len(values)} |", flush=True)


if __name__ == "__main__":
    main()
