"""Two threads against one: the same call, in turn, the same samples.

The first rows are what the machine can do: independent calls on one thread each, at once against
one after another. Times of samplers are those of the sampling alone.
"""

import argparse
import statistics
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from annealing import dense
from tabu import dense as dense_qubo
from temperatures import no_fields

from qpsbgd import LowRank, SimulatedAnnealingSampler, TabuSampler, sample_batch


def independent(call, num_threads):
    """Return the seconds of calls one after another over those of the calls at once."""
    start = time.perf_counter()
    for _ in range(num_threads):
        call(num_threads=1)
    middle = time.perf_counter()
    with ThreadPoolExecutor(num_threads) as pool:
        for result in [pool.submit(call, num_threads=1) for _ in range(num_threads)]:
            result.result()
    return (middle - start) / (time.perf_counter() - middle)


def compare(call, num_threads):
    """Return the time of a call on one thread over that on more threads."""
    (one, slow), (more, fast) = (call(num_threads=threads) for threads in (1, num_threads))
    np.testing.assert_array_equal(one, more)
    return slow / fast


def sampled(sampler, model, **options):
    """Return a call that returns the samples and the nanoseconds of the sampling."""

    def call(**threads):
        result = sampler.sample(model, seed=1, **options, **threads)
        return result.record.sample, result.info["timing"]["sampling_ns"]

    return call


def batch(problems, J, num_sweeps):
    """Return a call of sample_batch that returns the states and its nanoseconds."""
    n = (J.A if isinstance(J, LowRank) else J).shape[-1]
    h = np.random.default_rng(1).normal(size=(problems, n)).astype(np.float32)

    def call(**threads):
        start = time.perf_counter_ns()
        result = sample_batch(
            h, J, num_sweeps=num_sweeps, beta_range=(0.02, 0.5), seed=1, **threads
        )
        return result.states, time.perf_counter_ns() - start

    return call


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    spins = no_fields(*dense(1024, rng))
    qubo = dense_qubo(1000, 0)
    J = rng.normal(size=(256, 256)).astype(np.float32)
    J = np.triu(J, 1) + np.triu(J, 1).T
    factor = LowRank(rng.normal(size=(32, 256)).astype(np.float32))
    annealing, tabu = SimulatedAnnealingSampler(), TabuSampler()
    cases = {
        "annealing, n = 1024, 16 reads": sampled(annealing, spins, num_reads=16, num_sweeps=2000),
        "annealing, n = 1024, 64 reads": sampled(annealing, spins, num_reads=64, num_sweeps=500),
        "tabu, n = 1000, one read": sampled(tabu, qubo, num_restarts=799, timeout=None),
        "tabu, n = 1000, 16 reads": sampled(
            tabu, qubo, num_reads=16, num_restarts=49, timeout=None
        ),
        "batch, 256 problems of 256, one J": batch(256, J, 100),
        "batch, 256 problems of 256, rank 32": batch(256, factor, 100),
    }
    for title, measure in (("independent calls", independent), ("one call", compare)):
        for name, call in cases.items():
            ratios = [measure(call, args.threads) for _ in range(args.rounds)]
            print(
                f"{title}: {name}: {statistics.median(ratios):.2f} times (least {min(ratios):.2f})",
                flush=True,
            )


if __name__ == "__main__":
    main()
