"""How strong a projection may be: its gain on its own samples, and on other samples.

Networks are trained for some steps. Then the first layer's gradient is projected with several
scales, and each binary gradient B is compared with targets T^ by the cosine between T^ and X B. The
targets are those of the samples that B was made of, and those of others (Cora's validation nodes,
another batch of MNIST). Prints a Markdown table of means over neurons, steps and seeds. Scale 0 is
the linear minimiser sign(X^T T).
"""

import argparse

import numpy as np
import torch
from torch import nn

from bench.paper.graphs import NUM_HIDDEN, Task
from bench.paper.planetoid import load
from qpsbgd import project
from qpsbgd.optim import QPSBGD
from qpsbgd.training.datasets import mnist5k
from qpsbgd.training.networks import BinaryGCN, BinaryMLP

SCALES = (0.0, 0.1, 0.3, 1.0, 3.0)


def cosine(X, T, B):
    T = T / np.abs(T).mean(axis=0)
    Z = X @ B.T.astype(np.float32)
    return float((T * Z).sum() / np.sqrt((T**2).sum() * (Z**2).sum()))


def first_layer(optimizer, loss):
    optimizer.zero_grad()
    loss.backward()
    X, T = (part.detach()[0].numpy() for part in optimizer.captures()[0].batch())
    return X, T


def measured(optimizer, own_loss, other_loss):
    """Return cosines (scales, 2); the gradients of own_loss are left for the next step."""
    X2, T2 = first_layer(optimizer, other_loss())
    X1, T1 = first_layer(optimizer, own_loss())
    reached = T1.any(axis=0) & T2.any(axis=0)
    T1, T2 = T1[:, reached], T2[:, reached]
    found = []
    for scale in SCALES:
        B = project(X1, T1, scale=scale or 1.0, alpha="fit", num_sweeps=5 if scale else 0, seed=0)
        found.append((cosine(X1, T1, B), cosine(X2, T2, B)))
    return found, X1.shape


def cora(seed, num_steps, every):
    task = Task.from_citations(load("cora"))
    torch.manual_seed(seed)
    model = BinaryGCN(task.features.shape[1], NUM_HIDDEN, int(task.labels.max()) + 1)
    optimizer = QPSBGD(model, lr=0.01, momentum=0.9, scale=0.1)

    def loss(rows):
        return lambda: nn.functional.cross_entropy(
            model(task.features, task.edges)[rows], task.labels[rows]
        )

    for step in range(num_steps):
        if step % every == every - 1:
            yield measured(optimizer, loss(task.train), loss(task.validation))
        else:
            optimizer.zero_grad()
            loss(task.train)().backward()
        optimizer.step()


def digits(seed, num_steps, every):
    data = mnist5k()
    inputs, labels = torch.from_numpy(data.train_inputs), torch.from_numpy(data.train_labels)
    torch.manual_seed(seed)
    model = BinaryMLP((784, 256, 256, 10))
    optimizer = QPSBGD(model, lr=0.01)

    def loss():
        rows = torch.randint(len(labels), (100,))
        return nn.functional.cross_entropy(model(inputs[rows]), labels[rows])

    for step in range(num_steps):
        if step % every == every - 1:
            yield measured(optimizer, loss, loss)
        else:
            optimizer.zero_grad()
            loss().backward()
        optimizer.step()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--every", type=int, default=10)
    args = parser.parse_args()
    print("| network | samples | inputs | cosine with | " + " | ".join(map(str, SCALES)) + " |")
    print("|---" * (4 + len(SCALES)) + "|")
    for name, run in (("Cora", cora), ("MNIST", digits)):
        values = []
        for seed in range(args.seeds):
            for found, shape in run(seed, args.steps, args.every):
                values.append(found)
                samples, inputs = shape
        means = np.mean(values, axis=0)  # (scales, 2)
        for column, whose in enumerate(("own samples", "others")):
            numbers = " | ".join(f"{value:.3f}" for value in means[:, column])
            print(f"| {name} | {samples} | {inputs} | {whose} | {numbers} |", flush=True)


if __name__ == "__main__":
    main()
