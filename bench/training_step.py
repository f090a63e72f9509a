"""One training step of a binary network: QPSBGD against BinaryConnect-Adam, in one process.

Steps of the two are timed in turn, on copies of one network and the same batches. The split of a
QPSBGD step: the forward and backward pass without hooks, what the hooks add to it (negative: they
leave the weights' gradients out), building the problems (project with 0 sweeps), solving them, and
the rest of step(). Overhead is hooks and rest together.
"""

import argparse
import copy
import dataclasses
import json
import statistics
import time

import torch
from torch import nn

import qpsbgd
from qpsbgd.optim import QPSBGD, BinaryConnect
from qpsbgd.training.datasets import mnist5k
from qpsbgd.training.networks import NETWORKS


def batches(sizes, batch_size):
    """Yield batches without end: MNIST images if the network has their sizes, else noise."""
    if (sizes[0], sizes[-1]) != (784, 10):
        while True:
            yield torch.randn(batch_size, sizes[0]), torch.randint(sizes[-1], (batch_size,))
    data = mnist5k()
    images, labels = torch.from_numpy(data.train_inputs), torch.from_numpy(data.train_labels)
    while True:
        chosen = torch.randperm(len(images))[:batch_size]
        yield images[chosen], labels[chosen]


class Timed(qpsbgd.NativeProjector):
    """Native projector that adds up the time of its projections, with or without sweeps."""

    def __init__(self, num_threads):
        super().__init__(num_threads=num_threads)
        self.seconds = 0.0
        self.no_sweeps = False

    def __call__(self, X, T, options, /):
        if self.no_sweeps:
            options = dataclasses.replace(options, num_sweeps=0)
        start = time.perf_counter()
        binary = super().__call__(X, T, options)
        self.seconds += time.perf_counter() - start
        return binary


def median_ms(samples):
    return statistics.median(samples) * 1e3


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", choices=list(NETWORKS), default="mlp")
    parser.add_argument(
        "--sizes",
        default="784-256-256-10",
        help="of the layers; for cnn pixels, channels and classes, such as 784-16-32-10",
    )
    parser.add_argument("--batch-size", type=int, default=100)
    parser.add_argument("--objective", choices=["quadratic", "sign"], default="quadratic")
    parser.add_argument("--num-sweeps", type=int, help="default: the optimiser's")
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    sizes = tuple(int(size) for size in args.sizes.split("-"))
    torch.manual_seed(0)
    peer_net = NETWORKS[args.network](sizes)
    ours_net, plain_net = copy.deepcopy(peer_net), copy.deepcopy(peer_net)
    projector = Timed(args.threads)
    ours = QPSBGD(
        ours_net, objective=args.objective, num_sweeps=args.num_sweeps, projector=projector
    )
    peer = BinaryConnect(peer_net.parameters(), lr=3e-3)

    def passes(net, x, y):
        nn.functional.cross_entropy(net(x), y).backward()

    times = {name: [] for name in ("ours", "peer", "plain", "hooked", "project", "build")}
    for round_, (x, y) in zip(
        range(args.rounds + 20), batches(sizes, args.batch_size), strict=False
    ):
        start = time.perf_counter()
        peer.zero_grad()
        passes(peer_net, x, y)
        peer.step()
        peer_time = time.perf_counter() - start

        projector.seconds = 0.0
        start = time.perf_counter()
        ours.zero_grad()
        passes(ours_net, x, y)
        ours.step()
        ours_time = time.perf_counter() - start
        project_time = projector.seconds

        start = time.perf_counter()
        plain_net.zero_grad()
        passes(plain_net, x, y)
        plain_time = time.perf_counter() - start

        start = time.perf_counter()
        ours.zero_grad()
        passes(ours_net, x, y)
        hooked_time = time.perf_counter() - start
        weights = copy.deepcopy(ours_net.state_dict())
        projector.no_sweeps, projector.seconds = True, 0.0
        ours.step()
        build_time, projector.no_sweeps = projector.seconds, False
        ours_net.load_state_dict(weights)
        if round_ < 20:  # warm up
            continue
        for name, value in zip(
            times,
            (ours_time, peer_time, plain_time, hooked_time, project_time, build_time),
            strict=True,
        ):
            times[name].append(value)
    ratio = statistics.median(a / b for a, b in zip(times["ours"], times["peer"], strict=True))
    # All of a step but the passes without hooks and the projections.
    overhead = median_ms(times["ours"]) - median_ms(times["plain"]) - median_ms(times["project"])
    figures = {
        "ratio_to_binaryconnect_adam": ratio,
        "overhead_to_binaryconnect_adam": overhead / median_ms(times["peer"]),
        "ms_step": median_ms(times["ours"]),
        "ms_step_binaryconnect_adam": median_ms(times["peer"]),
        "ms_forward_backward": median_ms(times["plain"]),
        "ms_hooks": median_ms(times["hooked"]) - median_ms(times["plain"]),
        "ms_build": median_ms(times["build"]),
        "ms_solve": median_ms(times["project"]) - median_ms(times["build"]),
        "ms_rest_of_step": median_ms(times["ours"])
        - median_ms(times["hooked"])
        - median_ms(times["project"]),
    }
    if args.json:
        print(json.dumps(figures))
    else:
        for name, value in figures.items():
            print(f"{name:<30} {value:9.3f}")


if __name__ == "__main__":
    main()
