"""Parallel tempering beside annealing: Max-Cut of four graphs of the G-set, one thread.

Each sampler gets --seconds of processor time, reading and pilot runs included, and the same
problem. The annealer makes 16 reads, with as many sweeps as fit. Prints a Markdown table of cuts;
cuts are counted again from the edges. Run it from the repository's root as
`python -m bench.tempering`.
"""

import argparse
import time

import dimod
import numpy as np

from bench.gset import BEST_KNOWN, make
from qpsbgd import ParallelTemperingSampler, SimulatedAnnealingSampler

#: Cuts to reach in 60 seconds.
TARGETS = {"G55": 10_296, "G60": 14_186, "G70": 9_591, "G81": 14_040}


def cut_of(result, edges, weights):
    """Return the weight of the cut of the best sample."""
    s = np.array([result.first.sample[v] for v in range(len(result.variables))])
    return int(weights[s[edges[:, 0]] != s[edges[:, 1]]].sum())


def tempered(bqm, seconds, seed, marks, total):
    """Return the result, and the cuts at some times."""
    start, cuts = time.process_time(), dict.fromkeys(marks, 0)

    def progress(energy):
        used = time.process_time() - start
        for mark in marks:
            if used <= mark and energy < np.inf:
                cuts[mark] = max(cuts[mark], round((total - energy) / 2))

    result = ParallelTemperingSampler().sample(
        bqm, num_sweeps=2**31 - 1, seed=seed, num_threads=1, progress=progress,
        interrupt_function=lambda: time.process_time() - start > seconds,
    )  # fmt: skip
    return result, cuts


def annealed(bqm, seconds, seed):
    """Return the result of one call of 16 reads that takes about these seconds."""
    options = {"num_reads": 16, "num_threads": 1, "seed": seed}
    start = time.process_time()
    SimulatedAnnealingSampler().sample(bqm, num_sweeps=100, **options)
    sweeps = max(100, int(100 * seconds / (time.process_time() - start)))
    return SimulatedAnnealingSampler().sample(bqm, num_sweeps=sweeps, **options)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--graphs", nargs="+", choices=TARGETS, default=list(TARGETS))
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--no-annealing", action="store_true")
    args = parser.parse_args()
    marks = [mark for mark in (1, 5, 10, 30) if mark < args.seconds]
    head = [f"{mark} s" for mark in marks] + [f"{args.seconds:g} s", "target", "best known"]
    print(f"| graph | seed | annealing | {' | '.join(head)} | replicas | sweeps | rates |")
    print("|---" * (len(head) + 6) + "|")
    for name in args.graphs:
        n, edges, weights = make(name)
        edges, weights = np.array(edges), np.array(weights)
        bqm = dimod.BQM.from_numpy_vectors(
            np.zeros(n), (*edges.T, weights.astype(float)), 0.0, "SPIN"
        )
        for seed in range(args.seeds):
            result, cuts = tempered(bqm, args.seconds, seed, marks, weights.sum())
            peer = "-"
            if not args.no_annealing:
                peer = cut_of(annealed(bqm, args.seconds, seed), edges, weights)
            info = result.info
            rates = info["exchange_rates"]
            cells = [name, seed, peer, *cuts.values(), cut_of(result, edges, weights)]
            cells += [TARGETS[name], BEST_KNOWN[name], info["num_replicas"], info["num_sweeps"][1]]
            print(f"| {' | '.join(map(str, cells))} | {min(rates):.2f} to {max(rates):.2f} |")


if __name__ == "__main__":
    main()
