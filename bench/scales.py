"""Test accuracy at each scale and at the automatic one: when does a stronger projection help?

Trains networks with QPSBGD at fixed scales, at 0 sweeps (signSGD's direction, drawn as scale 0) and
at the automatic scale. Prints a Markdown table of means with their standard errors, and draws the
curves with --picture. The data sets are digits, mnist5k and Reuters R8. The files
reuters-r8-train.tab.gz and reuters-r8-test.tab.gz must be somewhere below QPSBGD_DATA: three header
lines, then lines of a class, a tab and words.
"""

import argparse
import gzip
import math
import os
import statistics
from pathlib import Path

import numpy as np
import torch
from torch import nn

from qpsbgd.optim import QPSBGD
from qpsbgd.training.datasets import load_dataset
from qpsbgd.training.networks import BinaryMLP

SCALES = (0.0, 0.01, 0.03, 0.1, 0.3, 1.0)
#: Hidden layers, batch size and epochs.
TASKS = {
    "digits": ((128, 128), 50, 15),
    "mnist5k": ((256, 256), 100, 12),
    "r8": ((256,), 100, 10),
}


def read_texts(name):
    """Return the classes and texts of a file below QPSBGD_DATA."""
    path = next(Path(os.environ["QPSBGD_DATA"]).rglob(name))
    with gzip.open(path, "rt") as file:
        lines = file.read().splitlines()[3:]
    labels, texts = zip(*(line.split("\t", 1) for line in lines if line.strip()), strict=True)
    return labels, texts


def r8():
    """Return Reuters R8 as hashed words, sign(v) sqrt(|v|) of each value, standardised."""
    from sklearn.feature_extraction.text import HashingVectorizer

    vectorizer = HashingVectorizer(n_features=1024, alternate_sign=True, norm="l2")
    parts = [read_texts(f"reuters-r8-{part}.tab.gz") for part in ("train", "test")]
    classes = sorted(set(parts[0][0]))
    values = [vectorizer.transform(texts).toarray() for _, texts in parts]
    values = [np.sign(v) * np.sqrt(np.abs(v)) for v in values]
    mean, deviation = values[0].mean(), values[0].std()
    arrays = []
    for (labels, _), v in zip(parts, values, strict=True):
        arrays += [((v - mean) / deviation).astype(np.float32), [classes.index(c) for c in labels]]
    return [torch.as_tensor(array) for array in arrays]


def load(name, split):
    """Return training inputs and labels, and test inputs and labels."""
    if name == "r8":
        return r8()
    data = load_dataset(name, split, "standardised")
    arrays = data.train_inputs, data.train_labels, data.test_inputs, data.test_labels
    return [torch.from_numpy(array) for array in arrays]


def accuracy(name, data, seed, lr, options):
    """Return the test accuracy after a training, and the mean scale of its steps."""
    inputs, labels, test_inputs, test_labels = data
    hidden, batch_size, epochs = TASKS[name]
    torch.manual_seed(seed)
    net = BinaryMLP((inputs.shape[1], *hidden, int(labels.max()) + 1))
    optimizer = QPSBGD(net, lr=lr, seed=seed, **options)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=epochs)
    scales = []
    for _ in range(epochs):
        for batch in torch.randperm(len(inputs)).split(batch_size):
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(inputs[batch]), labels[batch]).backward()
            optimizer.step()
            scales.append(optimizer.scales["layers.0"])
        scheduler.step()
    with torch.no_grad():
        found = (net(test_inputs).argmax(1) == test_labels).double().mean().item()
    return found, statistics.mean(scales)


def draw(found, path):
    """Draw the accuracy over the scale, with the automatic one as a line of its own."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.2 * len(found), 3), layout="constrained")
    for axis, (name, rows) in zip(figure.subplots(1, len(found)), found.items(), strict=True):
        means, errors = zip(*(rows[scale] for scale in SCALES), strict=True)
        axis.errorbar(range(len(SCALES)), means, errors, marker="o", label="fixed scale")
        mean, error = rows[None]
        axis.axhline(mean, color="tab:orange", label="automatic scale")
        axis.axhspan(mean - error, mean + error, color="tab:orange", alpha=0.2)
        axis.set_xticks(range(len(SCALES)), [f"{scale:g}" for scale in SCALES])
        axis.set(title=name, xlabel="scale (0: signSGD)")
    figure.axes[0].set_ylabel("test accuracy")
    figure.axes[0].legend()
    figure.savefig(path, dpi=120)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", nargs="+", choices=list(TASKS), default=list(TASKS))
    parser.add_argument("--seeds", type=int, default=5, help="of training; for digits also splits")
    parser.add_argument("--lr", type=float, default=0.01)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--picture", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    print("| task | " + " | ".join(f"{scale:g}" for scale in SCALES) + " | automatic | it chose |")
    print("|---" * (len(SCALES) + 3) + "|")
    results = {}
    for name in args.tasks:
        data = {seed: load(name, seed) for seed in (range(args.seeds) if name == "digits" else [0])}
        rows, chosen = {}, 0.0
        for scale in (*SCALES, None):
            options = {"num_sweeps": 0, "scale": 1.0} if scale == 0 else {"scale": scale}
            runs = [
                accuracy(name, data.get(seed, data[0]), seed, args.lr, options)
                for seed in range(args.seeds)
            ]
            values, scales = zip(*runs, strict=True)
            error = statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else 0.0
            rows[scale], chosen = (statistics.mean(values), error), statistics.mean(scales)
        cells = " | ".join(f"{mean:.4f} +- {error:.4f}" for mean, error in rows.values())
        print(f"| {name} | {cells} | {chosen:.2f} |", flush=True)
        results[name] = rows
    if args.picture:
        draw(results, args.picture)


if __name__ == "__main__":
    main()
