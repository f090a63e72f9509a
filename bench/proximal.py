"""Test accuracy of a proximal update beside Bop, BinaryConnect and QPSBGD's latent update.

Bop and the proximal update have no latent weights. The proximal update is part of this script
alone (docs/training.md gives the reason). Each method has a grid of four rates, of which
the mean accuracy on a held-out fifth of the training images chooses one. The table has the test
accuracy at this rate, trained with all training images: means with their standard errors. The
seeds of digits have a split each. All rates fall to 0 along half a cosine.
"""

import argparse
import functools
import math
import statistics

import numpy as np
import torch
from torch import nn

from qpsbgd.optim import QPSBGD, BinaryConnect, Bop
from qpsbgd.training.datasets import load_dataset
from qpsbgd.training.networks import BinaryMLP

#: Weights of the latest step in the running means of T^T X and of X^T X.
GRADIENT_SHARE, GRAM_SHARE = 0.06, 0.01
NUM_SWEEPS = 2
#: Number of variables that a sweep checks at once.
BLOCK = 16
#: Hidden layers, batch size, epochs, and number of seeds that choose the rate.
TASKS = {"digits": ((128, 128), 50, 15, 5), "mnist5k": ((256, 256), 100, 12, 2)}


class Proximal:
    """Optimiser that moves the signs w of a neuron to a minimum of a quadratic model.

    The model is ``g.b + (b - w)^T G (b - w) / (2 lr)`` over signs b, with running means g of X^T t
    and G of X^T X. The targets of each neuron and step are divided by their mean magnitude.
    """

    def __init__(self, net):
        self.layers = list(net.layers)
        self.param_groups = [{"lr": 1.0}]
        self.samples = [None] * len(self.layers)
        self.means = [None] * len(self.layers)
        self.num_steps = 0
        for index, layer in enumerate(self.layers):
            layer.weight.data = torch.where(layer.weight >= 0, 1.0, -1.0)
            layer.register_forward_hook(functools.partial(self._capture, index))

    def _capture(self, index, _, inputs, output):
        if output.requires_grad:
            x = inputs[0].detach()
            output.register_hook(lambda t: self.samples.__setitem__(index, (x, t)))

    def zero_grad(self):
        for layer in self.layers:
            layer.weight.grad = None

    @torch.no_grad()
    def step(self):
        for index, layer in enumerate(self.layers):
            X, T = self.samples[index]
            means = T.abs().double().sum(0) / len(T)  # (m,)
            inverse = torch.where(means > 0, 1 / means, 0.0)
            upper = (X.T @ X).triu()
            new = ((T.T @ X).double() * inverse[:, None]).float(), upper + upper.triu(1).T
            old = self.means[index] or tuple(torch.zeros_like(each) for each in new)
            shares = [
                max(1 / (self.num_steps + 1), share) for share in (GRADIENT_SHARE, GRAM_SHARE)
            ]
            self.means[index] = g, gram = [
                (1 - share) * a + share * b for share, a, b in zip(shares, old, new, strict=True)
            ]
            is_free = torch.outer(means > 0, X.any(dim=0)).numpy()
            lr = self.param_groups[0]["lr"]
            signs = descended(g.numpy(), gram.numpy(), layer.weight.numpy(), lr, is_free)
            layer.weight.copy_(torch.from_numpy(signs))
        self.num_steps += 1


def descended(gradient, gram, signs, lr, is_free):
    """Return the signs ``(m, n)`` that a descent from the present ones reaches.

    At the present signs the local fields are g without the diagonal of G, so that the descent needs
    no matrix product.
    """
    couplings = gram * np.float32(1 / lr)  # (n, n)
    spins = signs.copy()
    fields = gradient - np.diag(couplings) * spins  # (m, n)
    np.fill_diagonal(couplings, 0)
    for _ in range(NUM_SWEEPS):
        for start in range(0, len(gram), BLOCK):
            block, first = slice(start, start + BLOCK), 0
            while True:
                is_worse = (fields[:, block] * spins[:, block] > 0) & is_free[:, block]
                columns = np.flatnonzero(is_worse[:, first:].any(axis=0))
                if not len(columns):
                    break
                column = first + int(columns[0])
                rows = np.flatnonzero(is_worse[:, column])
                change = -2 * spins[rows, start + column]
                fields[rows] += change[:, None] * couplings[start + column]
                spins[rows, start + column] += change
                first = column + 1
    return spins


#: Optimiser and rates. Bop's threshold was chosen on these tasks (docs/defaults.md).
METHODS = {
    "proximal": (lambda net, _: Proximal(net), (5, 10, 20, 40)),
    "latent": (lambda net, seed: QPSBGD(net, seed=seed), (0.003, 0.01, 0.03, 0.1)),
    "bop": (lambda net, _: Bop(net.parameters(), tau=3e-5), (3e-5, 1e-4, 3e-4, 1e-3)),
    "binaryconnect": (lambda net, _: BinaryConnect(net.parameters()), (0.001, 0.003, 0.01, 0.03)),
}


def load(task, seed, is_test):
    """Return training inputs and labels, and those of the test set or of the held-out fifth."""
    data = load_dataset(task, seed if task == "digits" else 0)
    arrays = data.train_inputs, data.train_labels, data.test_inputs, data.test_labels
    inputs, labels, *test = (torch.from_numpy(array) for array in arrays)
    if is_test:
        return inputs, labels, *test
    order = torch.randperm(len(inputs), generator=torch.Generator().manual_seed(1000 + seed))
    held, rest = order[: len(order) // 5], order[len(order) // 5 :]
    return inputs[rest], labels[rest], inputs[held], labels[held]


def accuracy(task, method, rate, seed, is_test):
    """Return the accuracy after a training."""
    inputs, labels, test_inputs, test_labels = load(task, seed, is_test)
    hidden, batch_size, epochs, _ = TASKS[task]
    torch.manual_seed(seed)
    net = BinaryMLP((inputs.shape[1], *hidden, 10))
    optimizer = METHODS[method][0](net, seed)
    for epoch in range(epochs):
        for group in optimizer.param_groups:
            group["lr"] = rate * (1 + math.cos(math.pi * epoch / epochs)) / 2
        for batch in torch.randperm(len(inputs)).split(batch_size):
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(inputs[batch]), labels[batch]).backward()
            optimizer.step()
    with torch.no_grad():
        return (net(test_inputs).argmax(1) == test_labels).double().mean().item()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", nargs="+", choices=list(TASKS), default=list(TASKS))
    parser.add_argument("--methods", nargs="+", choices=list(METHODS), default=list(METHODS))
    parser.add_argument("--seeds", type=int, default=5, help="of the test accuracy")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    print("| task | method | held-out accuracy at each rate | rate | test accuracy |")
    print("|---" * 5 + "|")
    for task in args.tasks:
        for method in args.methods:
            held = {
                rate: statistics.mean(
                    accuracy(task, method, rate, seed, False) for seed in range(TASKS[task][3])
                )
                for rate in METHODS[method][1]
            }
            rate = max(held, key=held.get)
            values = [accuracy(task, method, rate, seed, True) for seed in range(args.seeds)]
            error = statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else 0.0
            cells = ", ".join(f"{each:g}: {value:.4f}" for each, value in held.items())
            mean = statistics.mean(values)
            print(
                f"| {task} | {method} | {cells} | {rate:g} | {mean:.4f} +- {error:.4f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
