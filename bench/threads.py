"""Two threads against one: the same call, in turn, the same samples; time of the sampling."""

import argparse
import statistics

import numpy as np
from annealing import dense
from tabu import dense as dense_qubo
from temperatures import no_fields

from qpsbgd import SimulatedAnnealingSampler, TabuSampler


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    spins = no_fields(*dense(1024, np.random.default_rng(0)))
    qubo = dense_qubo(1000, 0)
    cases = {
        "annealing, n = 1024, 16 reads": lambda **o: SimulatedAnnealingSampler().sample(
            spins, num_reads=16, num_sweeps=2000, seed=1, **o
        ),
        "annealing, n = 1024, 64 reads": lambda **o: SimulatedAnnealingSampler().sample(
            spins, num_reads=64, num_sweeps=500, seed=1, **o
        ),
        "tabu, n = 1000, one read": lambda **o: TabuSampler().sample(
            qubo, num_restarts=799, timeout=None, seed=1, **o
        ),
        "tabu, n = 1000, 16 reads": lambda **o: TabuSampler().sample(
            qubo, num_reads=16, num_restarts=49, timeout=None, seed=1, **o
        ),
    }
    for name, call in cases.items():
        ratios = []
        for _ in range(args.rounds):
            one, more = (call(num_threads=threads) for threads in (1, args.threads))
            np.testing.assert_array_equal(one.record.sample, more.record.sample)
            times = [result.info["timing"]["sampling_ns"] for result in (one, more)]
            ratios.append(times[0] / times[1])
        print(f"{name}: {statistics.median(ratios):.2f} times (least {min(ratios):.2f})")


if __name__ == "__main__":
    main()
