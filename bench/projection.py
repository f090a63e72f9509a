"""`project` against a loop that hands each row's QUBO to dwave-samplers.

Both solve the quadratic objective of one layer: X (N, n) noise or MNIST images, T (N, m) noise. The
peer gets each row as a dimod BQM and runs SimulatedAnnealingSampler with the same number of sweeps
and one read. Rows per second are compared with the loop as a user would write it (conversion
included) and with the sampling time that the peer reports in its info.
"""

import argparse
import json
import statistics
import time

import dimod
import numpy as np
from dwave.samplers import SimulatedAnnealingSampler

import qpsbgd
from qpsbgd.training.datasets import mnist5k


def problem(samples, inputs, neurons, kind, seed):
    """X (N, n), noise or standardised MNIST images, and T (N, m), noise."""
    rng = np.random.default_rng(seed)
    if kind == "noise":
        X = rng.normal(size=(samples, inputs))
    else:
        images = mnist5k().train_inputs
        X = images[rng.choice(len(images), samples, replace=False), :inputs]
    T = rng.normal(size=(samples, neurons))
    return X.astype(np.float32), T.astype(np.float32)


def peer(J, h, offset, sweeps, rows):
    """The loop, over some rows: (seconds, seconds the sampler reports, states)."""
    sampler = SimulatedAnnealingSampler()
    n = len(J)
    upper = np.triu_indices(n, 1)
    states, sampling = [], 0.0
    start = time.perf_counter()
    for r in rows:
        bqm = dimod.BinaryQuadraticModel.from_numpy_vectors(
            h[r], (*upper, J[upper]), offset[r], "SPIN"
        )
        result = sampler.sample(bqm, num_reads=1, num_sweeps=sweeps, seed=r)
        sampling += result.info["timing"]["sampling_ns"] * 1e-9
        states.append(result.record.sample[0][np.argsort(result.variables)])
    return time.perf_counter() - start, sampling, np.array(states, np.int8)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=100)
    parser.add_argument("--inputs", type=int, default=784)
    parser.add_argument("--neurons", type=int, default=256)
    parser.add_argument("--sweeps", type=int, default=10)
    parser.add_argument("--peer-rows", type=int, default=8, help="rows of the peer's loop a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--beta-range", type=float, nargs=2, help="anneal; default: descent")
    parser.add_argument("--kind", choices=["noise", "mnist"], default="noise")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    num_rows = args.rounds * args.peer_rows
    if num_rows > args.neurons:
        parser.error(f"{args.rounds} rounds of {args.peer_rows} rows need as many --neurons")
    X, T = problem(args.samples, args.inputs, args.neurons, args.kind, seed=0)
    h, J, offset = qpsbgd.gradient_ising(X, T, alpha="norm")
    beta_range = None if args.beta_range is None else tuple(args.beta_range)
    options = {"alpha": "norm", "num_sweeps": args.sweeps, "beta_range": beta_range, "seed": 0}
    loop_ratios, sampling_ratios, ours_ms, loop_ms, sampling_ms = [], [], [], [], []
    peer_states = np.empty((num_rows, args.inputs), np.int8)
    for rows in np.arange(num_rows).reshape(args.rounds, args.peer_rows):
        loop, sampling, peer_states[rows] = peer(J, h, offset, args.sweeps, rows)
        times = []
        for _ in range(20):
            start = time.perf_counter()
            B = qpsbgd.project(X, T, **options)
            times.append(time.perf_counter() - start)
        ours = statistics.median(times) / args.neurons
        loop, sampling = loop / args.peer_rows, sampling / args.peer_rows
        loop_ratios.append(loop / ours)
        sampling_ratios.append(sampling / ours)
        ours_ms.append(ours * 1e3)
        loop_ms.append(loop * 1e3)
        sampling_ms.append(sampling * 1e3)
    # Objectives of the rows that the peer solved, in pairs.
    solved = B.copy()
    solved[:num_rows] = peer_states
    energies, peer_energies = (
        qpsbgd.projection_energy(X, T, states, alpha="norm")[:num_rows] for states in (B, solved)
    )
    difference = energies - peer_energies
    figures = {
        "rows_per_second_over_loop": statistics.median(loop_ratios),
        "rows_per_second_over_reported_sampling": statistics.median(sampling_ratios),
        "ms_per_row_ours": statistics.median(ours_ms),
        "ms_per_row_loop": statistics.median(loop_ms),
        "ms_per_row_reported_sampling": statistics.median(sampling_ms),
        "mean_objective_ours": float(energies.mean()),
        "mean_objective_peer": float(peer_energies.mean()),
        "mean_difference": float(difference.mean()),
        "standard_error": float(difference.std(ddof=1) / num_rows**0.5),
    }
    if args.json:
        print(json.dumps(figures))
    else:
        for name, value in figures.items():
            print(f"{name:<40} {value:12.4f}")


if __name__ == "__main__":
    main()
