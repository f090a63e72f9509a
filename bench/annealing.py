"""Simulated annealing against dwave-samplers: one thread each, same problem, starts and schedule.

Nanoseconds a proposal (one variable of one sweep of one read) of the samplers' cores, conversions
left out on both sides, and mean energies over the same number of reads.
"""

import argparse
import json
import statistics
import time

import dimod
import numpy as np
from dwave.samplers.sa.simulated_annealing import simulated_annealing

from qpsbgd import _core
from qpsbgd.samplers.problem.ising import Problem
from qpsbgd.samplers.schedule import cooling
from qpsbgd.samplers.temperature_rules import auto_temperatures, dwave_beta_range


def dense(n, rng):
    """Couplings uniform on -100 .. 100."""
    rows, columns = np.triu_indices(n, 1)
    return n, rows, columns, rng.integers(-100, 101, size=len(rows))


def random_graph(n, rng):
    """Max-Cut on a graph of 1 % density, as G22."""
    rows, columns = np.triu_indices(n, 1)
    chosen = rng.choice(len(rows), round(0.01 * len(rows)), replace=False)
    return n, rows[chosen], columns[chosen], np.full(len(chosen), 0.5)


def torus(n, rng):
    """A grid of 100 columns whose ends join, couplings +-1, as G81."""
    site = np.arange(n).reshape(-1, 100)
    neighbours = np.concatenate([np.roll(site, 1, axis).ravel() for axis in (0, 1)])
    rows = np.tile(site.ravel(), 2)
    return n, rows, neighbours, rng.choice([-1.0, 1.0], size=len(rows))


CASES = {
    "dense-128": (dense, 128, 1000),
    "dense-512": (dense, 512, 300),
    "dense-1024": (dense, 1024, 100),
    "dense-2048": (dense, 2048, 50),
    "g22-2000": (random_graph, 2000, 300),
    "torus-20000": (torus, 20000, 50),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--reads", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0, help="of the first round; each has its own")
    parser.add_argument("--beta-range", choices=["auto", "dwave"], default="auto")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    figures = {}
    for name in args.cases:
        make, size, num_sweeps = CASES[name]
        rng = np.random.default_rng(args.seed)
        n, rows, columns, values = make(size, rng)
        bqm = dimod.BinaryQuadraticModel.from_numpy_vectors(
            np.zeros(n), (rows, columns, values), 0.0, "SPIN"
        )
        problem = Problem(bqm)
        if args.beta_range == "auto":
            betas = cooling(auto_temperatures(problem), num_sweeps)
        else:
            betas = np.geomspace(*dwave_beta_range(problem), num_sweeps)
        ours, peer, ratios, energies, peer_energies = [], [], [], [], []
        proposals = n * num_sweeps * args.reads
        for round_ in range(args.seed, args.seed + args.rounds):
            starts = rng.choice(np.array([-1, 1], np.int8), size=(args.reads, n))
            begin = time.perf_counter()
            states, *_ = problem.core.anneal(
                starts, betas=betas.tolist(), acceptance=_core.Acceptance.Metropolis,
                random_order=False, keep_best=False, seed=round_, num_threads=1,
                time_limit=np.inf, energy_threshold=-np.inf, watch=None,
            )  # fmt: skip
            ours.append((time.perf_counter() - begin) / proposals * 1e9)
            begin = time.perf_counter()
            _, found = simulated_annealing(
                args.reads, problem.linear, problem.pairs[0].astype(np.intc),
                problem.pairs[1].astype(np.intc), problem.quadratic, 1, betas, round_ + 1,
                starts.copy(), False, "Metropolis", None,
            )  # fmt: skip
            peer.append((time.perf_counter() - begin) / proposals * 1e9)
            ratios.append(peer[-1] / ours[-1])
            energies.append(problem.energies(states, 1).mean())
            peer_energies.append(found.mean())
        difference = np.subtract(energies, peer_energies) / abs(np.mean(peer_energies))
        figures[name] = {
            "ratio": statistics.median(ratios),
            "ns_ours": statistics.median(ours),
            "ns_peer": statistics.median(peer),
            "energy_difference_percent": 100 * float(difference.mean()),
            "standard_error_percent": 100 * float(difference.std(ddof=1) / args.rounds**0.5),
        }
        if not args.json:
            print(name, *(f"{key} {value:.4g}" for key, value in figures[name].items()), sep="  ")
    if args.json:
        print(json.dumps(figures))


if __name__ == "__main__":
    main()
