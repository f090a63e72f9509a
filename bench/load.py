"""Default calls against calls of one thread, beside other processes that are busy.

Calls of the two are timed in turn. A ratio of 1 says that threads cost nothing; the bound is 2.
A call of some milliseconds either waits for a time slice of another process or does not. The median
of such times may jump from one case to the other, even where both calls run the same code; the mean
does not. With `--quiet` no process is started.
"""

import argparse
import multiprocessing
import os
import statistics
import time

import dimod
import numpy as np

import qpsbgd
from qpsbgd import (
    ExhaustiveSampler,
    SimulatedAnnealingSampler,
    SteepestDescentSampler,
    TabuSampler,
    sample_batch,
)


def spin():
    while True:
        pass


def dense(n):
    rng = np.random.default_rng(n)
    J = np.triu(rng.integers(-9, 10, size=(n, n)), 1).astype(float)
    return dimod.BinaryQuadraticModel(rng.integers(-9, 10, size=n).astype(float), J, 0.0, "SPIN")


def projection(samples, inputs, neurons, **options):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(samples, inputs)).astype(np.float32)
    T = rng.normal(size=(samples, neurons)).astype(np.float32)
    return lambda **threads: qpsbgd.project(
        X, T, alpha="norm", num_sweeps=10, seed=0, **options, **threads
    )


def sampling(sampler, n, **options):
    bqm = dense(n)
    return lambda **threads: sampler.sample(bqm, **options, **threads).record.sample


def batch(problems, n, method):
    rng = np.random.default_rng(0)
    J = np.triu(rng.normal(size=(problems, n, n)), 1)
    J, h = J + J.swapaxes(1, 2), rng.normal(size=(problems, n))
    return lambda **threads: sample_batch(h, J, method=method, seed=0, **threads).states


def training_step(num_threads=None):
    import torch

    from qpsbgd import NativeProjector
    from qpsbgd.optim import QPSBGD
    from qpsbgd.training.networks import BinaryMLP

    torch.manual_seed(0)
    torch.set_num_threads(1)  # what torch does with threads is not measured here
    net = BinaryMLP((64, 128, 128, 10))
    optimizer = QPSBGD(net, projector=NativeProjector(num_threads=num_threads))
    x, y = torch.randn(128, 64), torch.randint(10, (128,))

    def step():
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(net(x), y).backward()
        optimizer.step()

    return step


def cases():
    sa, descent, tabu = SimulatedAnnealingSampler(), SteepestDescentSampler(), TabuSampler()
    for shape in ((50, 64, 32), (128, 128, 128), (128, 512, 512), (256, 1024, 1024)):
        yield f"project {'x'.join(map(str, shape))}", projection(*shape)
    yield (
        "project 128x256x256, sign, anneal",
        projection(128, 256, 256, objective="sign", beta_range=(1.0, 100.0)),
    )
    for n, reads, sweeps in ((20, 1, 100), (100, 10, 200), (200, 32, 1000), (500, 64, 1000)):
        yield (
            f"sa, {n} variables, {reads} reads",
            sampling(sa, n, num_reads=reads, num_sweeps=sweeps, seed=0),
        )
    for n, reads in ((20, 10), (200, 100), (1000, 50)):
        yield (
            f"descent, {n} variables, {reads} reads",
            sampling(descent, n, num_reads=reads, seed=0),
        )
    for n, reads, restarts in ((20, 1, 10), (100, 4, 50), (300, 20, 10)):
        yield (
            f"tabu, {n} variables, {reads} reads",
            sampling(tabu, n, num_reads=reads, num_restarts=restarts, timeout=None, seed=0),
        )
    for n in (10, 24, 30):
        yield f"exhaustive, {n} variables", sampling(ExhaustiveSampler(), n)
    for problems, n in ((4, 10), (64, 50), (256, 100)):
        for method in ("sa", "descent", "tabu"):
            yield f"batch, {method}, {problems} of {n} variables", batch(problems, n, method)


def compare(one, default, seconds):
    """Times of both, calls in turn, for about so many seconds."""
    times = ([], [])
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times[0]) < 5:
        for call, samples in zip((one, default), times, strict=True):
            start = time.perf_counter()
            call()
            samples.append(time.perf_counter() - start)
    return times


def report(name, one, default, seconds):
    one_times, default_times = compare(one, default, seconds)
    median = statistics.median(default_times) / statistics.median(one_times)
    mean = statistics.fmean(default_times) / statistics.fmean(one_times)
    print(
        f"{name:<36} {statistics.median(one_times) * 1e3:9.3f} ms "
        f"{median:6.2f} {mean:6.2f} {max(default_times) / max(one_times):6.2f}",
        flush=True,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quiet", action="store_true")
    parser.add_argument("--seconds", type=float, default=2.0, help="for each call")
    parser.add_argument("--processes", type=int, default=2 * (os.cpu_count() or 1))
    args = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    busy = [context.Process(target=spin, daemon=True) for _ in range(args.processes)]
    for process in [] if args.quiet else busy:
        process.start()
    time.sleep(1.0)
    print(f"{'':<36} {'one thread':>12} {'median':>6} {'mean':>6} {'worst':>6}")
    for name, call in cases():
        if name.startswith(("project", "sa", "descent", "batch")):
            np.testing.assert_array_equal(call(num_threads=1), call())
        report(name, lambda call=call: call(num_threads=1), call, args.seconds)
    try:
        steps = training_step(1), training_step()
    except ImportError:
        return
    report("training step, 64-128-128-10", *steps, args.seconds)


if __name__ == "__main__":
    main()
