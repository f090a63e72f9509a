"""One training step of a binary network: QPSBGD against BinaryConnect-Adam, in one process.

Steps of the two are timed in turn, on copies of one network and the same batches. The split of a
QPSBGD step: the forward and backward pass without hooks, what the hooks add to it (negative: they
leave the weights' gradients out), building the problems (project with 0 sweeps), solving them, and
the rest of step(). Overhead is hooks and rest together.
"""

import argparse
import copy
import functools
import json
import multiprocessing
import resource
import statistics
import time

import torch
from torch import nn

import qpsbgd
from qpsbgd import _core
from qpsbgd.nn import BinaryConv2d
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


class Timed:
    """Sum of the times that projections in the core take, with or without sweeps."""

    def __init__(self, clock):
        self.clock = clock
        self.seconds = 0.0
        self.no_sweeps = False
        for name in ("project", "project_products"):
            setattr(_core, name, functools.partial(self.call, getattr(_core, name)))

    def call(self, function, *arrays, num_sweeps, **options):
        start = self.clock()
        binary = function(*arrays, num_sweeps=0 if self.no_sweeps else num_sweeps, **options)
        self.seconds += self.clock() - start
        return binary


def conv_batches(channels, side, batch_size):
    """Without end: noise."""
    while True:
        yield torch.randn(batch_size, channels, side, side), None


def make_task(args):
    """The network, its batches, and its loss for an output and labels."""
    torch.manual_seed(0)
    if args.conv is None:
        sizes = tuple(int(size) for size in args.sizes.split("-"))
        return (
            NETWORKS[args.network](sizes),
            batches(sizes, args.batch_size),
            nn.functional.cross_entropy,
        )
    channels, side, *groups = (int(size) for size in args.conv.split("-"))
    net = BinaryConv2d(channels, channels, 3, padding=1, groups=(*groups, 1)[0], bias=False)
    return net, conv_batches(channels, side, args.batch_size), lambda z, _: z.square().mean()


def make_optimizer(name, net, args):
    if name == "peer":
        return BinaryConnect(net.parameters(), lr=3e-3)
    return QPSBGD(
        net,
        objective=args.objective,
        num_sweeps=args.num_sweeps,
        max_samples=args.max_samples,
        projector=qpsbgd.NativeProjector(num_threads=args.threads),
    )


def peak_memory(name, args, pipe):
    """Send the growth in MB of a process's largest memory in three steps."""
    torch.set_num_threads(args.threads or torch.get_num_threads())
    net, data, loss = make_task(args)
    optimizer = make_optimizer(name, net, args)
    x, y = next(data)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(3):
        optimizer.zero_grad()
        loss(net(x), y).backward()
        optimizer.step()
    pipe.send((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)


def measure_peaks(args):
    """The growth in MB of each optimiser, in a process of its own."""
    context = multiprocessing.get_context("spawn")
    peaks = {}
    for name in ("ours", "peer"):
        ours, theirs = context.Pipe()
        process = context.Process(target=peak_memory, args=(name, args, theirs))
        process.start()
        peaks[name] = ours.recv()
        process.join()
    return peaks


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
    parser.add_argument(
        "--conv",
        metavar="CHANNELS-SIDE[-GROUPS]",
        help="one 3 x 3 convolution instead of a network, such as 64-32, or 64-32-64 (depthwise)",
    )
    parser.add_argument("--max-samples", type=int, help="default: the optimiser's")
    parser.add_argument("--batch-size", type=int, default=100)
    parser.add_argument("--objective", choices=["quadratic", "sign"], default="quadratic")
    parser.add_argument("--num-sweeps", type=int, help="default: the optimiser's")
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--threads", type=int, help="with 1, times are those of the processor")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    # On a machine that others use, the time of the processor says more than that of the wall.
    clock = time.process_time if args.threads == 1 else time.perf_counter
    peaks = measure_peaks(args) if args.conv else {}
    peer_net, data, loss = make_task(args)
    ours_net, plain_net = copy.deepcopy(peer_net), copy.deepcopy(peer_net)
    projector = Timed(clock)
    ours, peer = make_optimizer("ours", ours_net, args), make_optimizer("peer", peer_net, args)

    def passes(net, x, y):
        loss(net(x), y).backward()

    times = {name: [] for name in ("ours", "peer", "plain", "hooked", "project", "build")}
    warm_up = min(20, args.rounds)
    for round_, (x, y) in zip(range(args.rounds + warm_up), data, strict=False):
        start = clock()
        peer.zero_grad()
        passes(peer_net, x, y)
        peer.step()
        peer_time = clock() - start

        projector.seconds = 0.0
        start = clock()
        ours.zero_grad()
        passes(ours_net, x, y)
        ours.step()
        ours_time = clock() - start
        project_time = projector.seconds

        start = clock()
        plain_net.zero_grad()
        passes(plain_net, x, y)
        plain_time = clock() - start

        start = clock()
        ours.zero_grad()
        passes(ours_net, x, y)
        hooked_time = clock() - start
        weights = copy.deepcopy(ours_net.state_dict())
        projector.no_sweeps, projector.seconds = True, 0.0
        ours.step()
        build_time, projector.no_sweeps = projector.seconds, False
        ours_net.load_state_dict(weights)
        if round_ < warm_up:
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
    figures |= {f"mb_peak_{name}": peak for name, peak in peaks.items()}
    if args.json:
        print(json.dumps(figures))
    else:
        for name, value in figures.items():
            print(f"{name:<30} {value:9.3f}")


if __name__ == "__main__":
    main()
