"""Sweeps of the sign objective: ns a proposal, and against the quadratic objective's on one layer.

X (N, n) is noise, or the signs of noise, as behind a sign activation; T (N, m) is noise. What a
call without sweeps takes is taken off, and what is left is also given as a multiple of it.
"""

import argparse
import json
import statistics
import time

import numpy as np

import qpsbgd


def layers(samples, inputs, neurons, seed):
    """X (N, n) by kind, and T (N, m)."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(samples, inputs)).astype(np.float32)
    T = rng.normal(size=(samples, neurons)).astype(np.float32)
    return {"real": noise, "binary": np.where(noise >= 0, 1, -1).astype(np.float32)}, T


def seconds(X, T, options):
    start = time.perf_counter()
    qpsbgd.project(X, T, **options)
    return time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=128)
    parser.add_argument("--inputs", type=int, default=512)
    parser.add_argument("--neurons", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    inputs, T = layers(args.samples, args.inputs, args.neurons, seed=0)
    cases = {
        "descent, first sweep from the linear minimiser": {"num_sweeps": 1},
        "descent, first sweep from random states": {"num_sweeps": 1, "initial": "random"},
        "annealing, beta 1 to 100": {"num_sweeps": 10, "beta_range": (1.0, 100.0)},
        "annealing, beta .1 to 1": {"num_sweeps": 10, "beta_range": (0.1, 1.0)},
    }
    figures = {}
    for kind, X in inputs.items():
        for case, options in cases.items():
            sweeps = {"sign": [], "quadratic": []}
            builds = []
            for _ in range(args.rounds + 1):
                for objective, times in sweeps.items():
                    common = {**options, "objective": objective, "alpha": "norm", "seed": 0}
                    common["num_threads"] = args.threads
                    whole = seconds(X, T, common)
                    build = seconds(X, T, {**common, "num_sweeps": 0})
                    times.append(whole - build)
                    if objective == "sign":
                        builds.append(build)
            sign, quadratic = (np.array(times[1:]) for times in sweeps.values())
            proposals = args.inputs * args.neurons * options["num_sweeps"]
            figures[f"{kind}, {case}"] = {
                "ns_per_proposal": statistics.median(sign) / proposals * 1e9,
                "times_quadratic": statistics.median(sign / quadratic),
                "times_build": statistics.median(sign / np.array(builds[1:])),
            }
    if args.json:
        print(json.dumps(figures))
    else:
        for name, row in figures.items():
            print(f"{name:<56}" + "".join(f"{k} {v:8.3f}  " for k, v in row.items()))


if __name__ == "__main__":
    main()
