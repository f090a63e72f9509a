"""Steepest descent against dwave-samplers: whole calls and their sampling, one thread each.

Same problem and initial states; both must come to the same samples.
"""

import argparse
import json
import statistics
import time

import dimod
import numpy as np
from dwave.samplers import SteepestDescentSampler as Peer

from qpsbgd import SteepestDescentSampler


def dense(n, rng):
    """Couplings uniform on -100 .. 100."""
    rows, columns = np.triu_indices(n, 1)
    return rows, columns, rng.integers(-100, 101, size=len(rows))


def dense_real(n, rng):
    """Normal couplings, which float32 rounds: the end is checked in float64."""
    rows, columns = np.triu_indices(n, 1)
    return rows, columns, rng.normal(size=len(rows))


def sparse(n, rng):
    """A random graph of degree 6, normal couplings."""
    rows = np.repeat(np.arange(n), 3)
    return rows, (rows + rng.integers(1, n, len(rows))) % n, rng.normal(size=len(rows))


# The problem, its size, the number of reads, and the peer's large_sparse_opt where it is faster.
CASES = {
    "dense-1000": (dense, 1000, 50, False),
    "dense-real-1000": (dense_real, 1000, 50, False),
    "sparse-100000": (sparse, 100_000, 4, True),
}


def timed(sampler, bqm, **options):
    begin = time.perf_counter()
    result = sampler.sample(bqm, **options)
    return time.perf_counter() - begin, result.info["timing"]["sampling_ns"] * 1e-9, result


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    figures = {}
    for name in args.cases:
        make, n, reads, large_sparse_opt = CASES[name]
        rng = np.random.default_rng(0)
        bqm = dimod.BinaryQuadraticModel.from_numpy_vectors(np.zeros(n), make(n, rng), 0.0, "SPIN")
        ours, peer = [], []
        for _ in range(args.rounds):
            starts = (rng.choice(np.array([-1, 1], np.int8), size=(reads, n)), range(n))
            *times, found = timed(
                SteepestDescentSampler(), bqm, initial_states=starts, num_threads=1
            )
            ours.append(times)
            *times, expected = timed(
                Peer(), bqm, initial_states=starts, large_sparse_opt=large_sparse_opt
            )
            peer.append(times)
            same = (found.record.sample == expected.record.sample).all(axis=1)
            # A rounded field may choose between two steps of nearly equal gain.
            assert same.mean() >= 0.9, same.mean()
        call, sampling = (statistics.median(column) for column in zip(*ours, strict=True))
        peer_call, peer_sampling = (statistics.median(column) for column in zip(*peer, strict=True))
        figures[name] = {
            "ratio": peer_call / call,
            "sampling_ratio": peer_sampling / sampling,
            "ms_per_read": 1e3 * call / reads,
            "us_sampling_per_read": 1e6 * sampling / reads,
        }
        if not args.json:
            text = (f"{key} {value:.4g}" for key, value in figures[name].items())
            print(name, *text, sep="  ", flush=True)
    if args.json:
        print(json.dumps(figures))


if __name__ == "__main__":
    main()
