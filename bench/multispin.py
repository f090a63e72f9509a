"""Multi-spin coding: sparse problems of small integers as bits, against int16 and dwave-samplers.

Nanoseconds of CPU time a proposal on one thread, with the same starts and schedule, in turn;
medians of rounds. A graph like G22 (2000 variables, 1 %, Max-Cut) and a torus of 20,000 spins with
couplings +-1. The mean energies of the three must agree. dwave-samplers anneals at most 64 reads,
since it takes the same time for each.
"""

import argparse
import statistics
import sys
import time

import dimod
import numpy as np
from annealing import random_graph, torus
from dwave.samplers.sa.simulated_annealing import simulated_annealing

from qpsbgd import _core
from qpsbgd.samplers.problem.ising import Problem
from qpsbgd.samplers.schedule import cooling
from qpsbgd.samplers.temperature_rules import auto_temperatures

CASES = {"torus-20000": (torus, 20000, 50), "g22-2000": (random_graph, 2000, 300)}
MOST_PEER_READS = 64


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--reads", nargs="+", type=int, default=[512, 64, 1])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--sweeps", type=int, help="by default 50 and 300")
    parser.add_argument("--keep-best", action="store_true", help="keep the best states seen")
    parser.add_argument("--no-peer", action="store_true")
    args = parser.parse_args()
    print("| problem | reads | bits | int16 | dwave-samplers | int16 / bits | peer / bits |")
    print("|---|---|---|---|---|---|---|")
    for name in args.cases:
        make, size, num_sweeps = CASES[name]
        num_sweeps = args.sweeps or num_sweeps
        rng = np.random.default_rng(0)
        n, rows, columns, values = make(size, rng)
        bqm = dimod.BQM.from_numpy_vectors(np.zeros(n), (rows, columns, values), 0.0, "SPIN")
        problem = Problem(bqm)
        betas = cooling(auto_temperatures(problem), num_sweeps)
        for reads in args.reads:
            times, energies = {}, {}
            for round_ in range(args.rounds):
                starts = rng.choice(np.array([-1, 1], np.int8), size=(reads, n))
                for precision in ("bits", "int16"):
                    begin = time.process_time()
                    states, *_ = problem.core.anneal(
                        starts, betas=betas.tolist(), acceptance=_core.Acceptance.Metropolis,
                        random_order=False, keep_best=args.keep_best, seed=round_, num_threads=1,
                        time_limit=np.inf, energy_threshold=-np.inf, watch=None,
                        precision=_core.Precision[precision],
                    )  # fmt: skip
                    seconds = time.process_time() - begin
                    times.setdefault(precision, []).append(seconds / (n * num_sweeps * reads))
                    energies.setdefault(precision, []).extend(problem.energies(states, 1))
                if not args.no_peer:
                    some = min(reads, MOST_PEER_READS)
                    begin = time.process_time()
                    _, found = simulated_annealing(
                        some, problem.linear, problem.pairs[0].astype(np.intc),
                        problem.pairs[1].astype(np.intc), problem.quadratic, 1, betas, round_ + 1,
                        starts[:some].copy(), False, "Metropolis", None,
                    )  # fmt: skip
                    seconds = time.process_time() - begin
                    times.setdefault("peer", []).append(seconds / (n * num_sweeps * some))
                    energies.setdefault("peer", []).extend(found)
            check_energies(name, reads, energies, keep_best=args.keep_best)
            ns = {key: 1e9 * statistics.median(value) for key, value in times.items()}
            peer = ns.get("peer", np.nan)
            print(
                f"| {name} | {reads} | {ns['bits']:.3g} | {ns['int16']:.3g} | {peer:.3g} "
                f"| {ns['int16'] / ns['bits']:.1f} | {peer / ns['bits']:.0f} |",
                flush=True,
            )


def check_energies(name, reads, energies, *, keep_best):
    """End the program if a mean energy differs from that of the bits by more than 4 sigma."""
    bits = np.array(energies["bits"])
    for key, other in energies.items():
        if len(bits) < 10 or (key == "peer" and keep_best):
            continue
        error = np.sqrt(bits.var() / len(bits) + np.var(other) / len(other))
        if abs(bits.mean() - np.mean(other)) > 4 * error:
            sys.exit(f"{name}, {reads} reads: {bits.mean()} of bits, {np.mean(other)} of {key}")


if __name__ == "__main__":
    main()
