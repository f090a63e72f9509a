"""Measure the cost of float64: annealing, tabu search and descent in float64 against the default
precision.

One thread, the same problem, starts and seeds; medians over rounds of the ratio of two calls'
sampling times, in turn. Problems have small integers (default: int16) or normal biases
(float32).
"""

import argparse
import statistics

import dimod
import numpy as np

from qpsbgd import SimulatedAnnealingSampler, SteepestDescentSampler, TabuSampler


def dense(n, rng, draw):
    rows, columns = np.triu_indices(n, 1)
    return dimod.BQM.from_numpy_vectors(np.zeros(n), (rows, columns, draw(len(rows))), 0.0, "SPIN")


def sparse(n, rng, draw):
    rows = np.repeat(np.arange(n), 3)
    columns = (rows + rng.integers(1, n, len(rows))) % n
    return dimod.BQM.from_numpy_vectors(np.zeros(n), (rows, columns, draw(len(rows))), 0.0, "SPIN")


MODELS = {
    "dense, n = 128": (dense, 128),
    "dense, n = 1024": (dense, 1024),
    "sparse, n = 20,000": (sparse, 20_000),
}
SEARCHES = {
    "annealing, 16 reads": (SimulatedAnnealingSampler(), {"num_reads": 16, "num_sweeps": 50}),
    "annealing, 1 read": (SimulatedAnnealingSampler(), {"num_reads": 1, "num_sweeps": 200}),
    "tabu search": (TabuSampler(), {"num_restarts": 8, "timeout": None}),
    "descent, 16 reads": (SteepestDescentSampler(), {"num_reads": 16}),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    draws = {
        "integers": lambda size: rng.integers(-9, 10, size).astype(float),
        "normal": lambda size: rng.normal(size=size),
    }
    print("| problem | biases | " + " | ".join(SEARCHES) + " |\n|---|---|" + "---|" * len(SEARCHES))
    for name, (make, n) in MODELS.items():
        for kind, draw in draws.items():
            bqm = make(n, rng, draw)
            cells = []
            for label, (sampler, options) in SEARCHES.items():
                if label == "tabu search" and make is sparse:
                    options = {**options, "num_restarts": 0}
                ratios, used = [], set()
                for seed in range(args.rounds):
                    times = []
                    for precision in (None, "float64"):
                        found = sampler.sample(
                            bqm, seed=seed, num_threads=1, precision=precision, **options
                        )
                        times.append(found.info["timing"]["sampling_ns"])
                        used.add(found.info["precision"])
                    ratios.append(times[1] / times[0])
                cells.append(f"{statistics.median(ratios):.2f} ({min(used - {'float64'})})")
            print(f"| {name} | {kind} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
