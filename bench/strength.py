"""How strong a projection may be: what it gains on its own samples, and on others.

Networks are trained for a while; then the first layer's gradient is projected with several scales,
and each binary gradient B is compared with the targets T^ by the cosine between T^ and X B: of the
samples that it was made of, and of others (Cora's validation nodes, another batch of MNIST). Means
over neurons, steps and seeds, as a Markdown table. Scale 0 is the linear minimiser sign(X^T T).
"""

import argparse

import numpy as np
import torch
from torch import nn

from qpsbgd import project
from qpsbgd.experiments.graphs import NUM_HIDDEN, scaled_features
from qpsbgd.experiments.planetoid import load
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
    """(scales, 2) cosines; own_loss is left ready for a step."""
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
    graph = load("cora")
    features, edges = scaled_features(graph), torch.from_numpy(graph.edge_index)
    labels = torch.from_numpy(graph.labels)
    torch.manual_seed(seed)
    model = BinaryGCN(features.shape[1], NUM_HIDDEN, graph.num_classes)
    optimizer = QPSBGD(model, lr=0.01, momentum=0.9, scale=0.1)

    def loss(mask):
        rows = torch.from_numpy(mask)
        return lambda: nn.functional.cross_entropy(model(features, edges)[rows], labels[rows])

    for step in range(num_steps):
        if step % every == every - 1:
            yield measured(optimizer, loss(graph.train_mask), loss(graph.validation_mask))
        else:
            optimizer.zero_grad()
            loss(graph.train_mask)().backward()
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
