"""`sample_batch` against a loop over dwave-samplers' annealer, on one thread by default.

shared: 256 problems of n = 784 that share X^T X of 100 samples, 10 sweeps. independent: 10,000
dense problems of n = 32, one read, 100 sweeps. The peer's loop makes a BQM of each problem's arrays
and samples it, with the same temperatures; it does --peer problems, from which its time for all
follows. Compared with the whole loop, with the sampling alone that it reports, and with the same
loop over our own sampler.
"""

import argparse
import statistics
import time

import dimod
import numpy as np
from dwave.samplers import SimulatedAnnealingSampler as PeerSampler

import qpsbgd


def shared(problems, rng):
    X = rng.normal(size=(100, 784))
    J = X.T @ X
    np.fill_diagonal(J, 0)
    return (J + J.T) / 2, rng.normal(size=(problems, 100)) @ X * 10, 10


def independent(problems, rng):
    J = np.triu(rng.normal(size=(problems, 32, 32)), 1)
    return J + J.swapaxes(1, 2), rng.normal(size=(problems, 32)), 100


CASES = {"shared": (shared, 256), "independent": (independent, 10_000)}


def loop(sampler, J, h, count, options):
    """Seconds a problem: all, and of the sampling; mean energy."""
    rows, columns = np.triu_indices(h.shape[1], 1)
    sampling, energies = 0.0, []
    begin = time.perf_counter()
    for b in range(count):
        matrix = J if J.ndim == 2 else J[b]
        bqm = dimod.BinaryQuadraticModel.from_numpy_vectors(
            h[b], (rows, columns, matrix[rows, columns]), 0.0, "SPIN"
        )
        result = sampler.sample(bqm, seed=b, **options)
        sampling += result.info["timing"]["sampling_ns"] * 1e-9
        energies.append(result.record.energy.mean())
    return (time.perf_counter() - begin) / count, sampling / count, np.mean(energies)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peer", type=int, default=20)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    for name in args.cases:
        make, problems = CASES[name]
        J, h, num_sweeps = make(problems, np.random.default_rng(0))
        scale = np.sqrt(h**2 + (J**2).sum(axis=-1)).mean()
        options = {"num_sweeps": num_sweeps, "beta_range": (1 / scale, 8 / scale)}
        rounds = []
        for seed in range(args.rounds):
            begin = time.perf_counter()
            found = qpsbgd.sample_batch(J, h, seed=seed, num_threads=args.threads, **options)
            ours = (time.perf_counter() - begin) / problems
            peer, sampling, peer_energy = loop(PeerSampler(), J, h, args.peer, options)
            own, *_ = loop(
                qpsbgd.SimulatedAnnealingSampler(), J, h, args.peer, {**options, "num_threads": 1}
            )
            energy = found.energies[: args.peer].mean()
            rounds.append(
                (ours, peer / ours, sampling / ours, own / ours, energy / peer_energy - 1)
            )
        ours, whole, sampling, own, energy = (
            statistics.median(column) for column in zip(*rounds, strict=True)
        )
        print(
            f"{name}: {ours * 1e6:.3g} us a problem; peer's loop {whole:.4g} times as long, its "
            f"sampling alone {sampling:.4g}, our sampler's loop {own:.4g}; energies differ by "
            f"{100 * energy:+.3f} %"
        )


if __name__ == "__main__":
    main()
