"""Enumeration of all states: ns a state, beside dimod.ExactSolver where that ends, up to n = 30.

Biases are integers up to 9 (enumerated in 16 bits), integers up to 9999 (float32) and normal
variates (float64). The peer's energies are checked.
"""

import argparse
import json
import statistics
import time

import dimod
import numpy as np

from qpsbgd import ExhaustiveSampler

BIASES = {
    "int16": lambda rng, count: rng.integers(-9, 10, count),
    "float32": lambda rng, count: rng.integers(-9999, 10000, count),
    "float64": lambda rng, count: rng.normal(size=count),
}


def seconds(function, rounds):
    times = []
    for _ in range(rounds):
        begin = time.perf_counter()
        result = function()
        times.append(time.perf_counter() - begin)
    return statistics.median(times), result


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", nargs="+", type=int, default=[16, 18, 20, 24, 28, 30])
    parser.add_argument("--biases", nargs="+", choices=BIASES, default=list(BIASES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--peer-limit", type=int, default=20, help="largest n for the peer")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    figures = {}
    for name in args.biases:
        for n in args.sizes:
            rng = np.random.default_rng(n)
            rows, columns = np.triu_indices(n, 1)
            bqm = dimod.BinaryQuadraticModel.from_numpy_vectors(
                BIASES[name](rng, n), (rows, columns, BIASES[name](rng, len(rows))), 0.0, "SPIN"
            )
            ours, found = seconds(
                lambda bqm=bqm: ExhaustiveSampler().sample(bqm, num_threads=args.threads),
                args.rounds,
            )
            figure = {"ms": 1e3 * ours, "ns_per_state": 1e9 * ours / 2**n}
            if n <= args.peer_limit:
                peer, expected = seconds(lambda bqm=bqm: dimod.ExactSolver().sample(bqm), 1)
                energy = expected.record.energy.min()
                assert abs(found.first.energy - energy) <= 1e-9 * abs(energy), (n, name)
                figure["ratio"] = peer / ours
            figures[f"{name}-{n}"] = figure
            if not args.json:
                text = (f"{key} {value:.4g}" for key, value in figure.items())
                print(f"{name}-{n}", *text, sep="  ", flush=True)
    if args.json:
        print(json.dumps(figures))


if __name__ == "__main__":
    main()
