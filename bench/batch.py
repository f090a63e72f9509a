"""`sample_batch` against a loop over dwave-samplers' annealer, on one thread by default.

shared: 256 problems of n = 784 that share X^T X of 100 samples, 10 sweeps. low_rank: the same,
handed over as X. independent: 10,000 dense problems of n = 32, one read, 100 sweeps. The peer makes
a BQM of each problem and samples it; it does --peer problems, from which its time for all
follows. "default": as users write it, each side with its own default temperatures. "given": both
sides use the same temperatures; the output has the peer's whole loop, the sampling time that the
peer reports, and the same loop over our own sampler. --profile instead shows where a call's time
goes.
"""

import argparse
import cProfile
import pstats
import statistics
import time

import dimod
import numpy as np
from dwave.samplers import SimulatedAnnealingSampler as PeerSampler

import qpsbgd


def low_rank(problems, rng):
    X = rng.normal(size=(100, 784))
    return qpsbgd.LowRank(X), rng.normal(size=(problems, 100)) @ X * 10, 10


def shared(problems, rng):
    low, h, num_sweeps = low_rank(problems, rng)
    return formed(low), h, num_sweeps


def independent(problems, rng):
    J = np.triu(rng.normal(size=(problems, 32, 32)), 1)
    return J + J.swapaxes(1, 2), rng.normal(size=(problems, 32)), 100


CASES = {"shared": (shared, 256), "low_rank": (low_rank, 256), "independent": (independent, 10_000)}


def formed(J):
    if not isinstance(J, qpsbgd.LowRank):
        return J
    product = J.scale * J.A.T @ J.A
    np.fill_diagonal(product, 0)
    return (product + product.T) / 2


def loop(sampler, J, h, count, options):
    """Seconds a problem: all, and of the sampling; energies."""
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
        energies.append(result.record.energy[0])
    return (time.perf_counter() - begin) / count, sampling / count, np.array(energies)


def batch(J, h, seed, options):
    """Seconds a problem, and what was found."""
    begin = time.perf_counter()
    found = qpsbgd.sample_batch(h, J, seed=seed, **options)
    return (time.perf_counter() - begin) / len(h), found


def difference(differences, energies):
    """Mean of our energies less the peer's, in percent, with its standard error over problems."""
    values = 100 * np.mean(differences, axis=0) / abs(np.mean(energies))
    error = values.std(ddof=1) / np.sqrt(len(values))
    return f"energies differ by {values.mean():+.2f} +- {error:.2f} %"


def profile(name, sweeps, threads):
    """Print the functions of one call by their own time, and the part of those in the core."""
    make, problems = CASES[name]
    J, h, num_sweeps = make(problems, np.random.default_rng(0))
    options = {"num_sweeps": sweeps or num_sweeps, "num_threads": threads}
    batch(J, h, 0, options)
    profiler = cProfile.Profile()
    profiler.runcall(batch, J, h, 0, options)
    functions = pstats.Stats(profiler).stats  # (file, line, name): (calls, ..., own time, ...)
    own = {place[2]: figures[2] for place, figures in functions.items()}
    core = sum(seconds for function, seconds in own.items() if "qpsbgd._core" in function)
    total = sum(own.values())
    print(
        f"{name}, {options['num_sweeps']} sweeps: {core / total:.1%} of {total:.3f} s in the core"
    )
    for function in sorted(own, key=own.get, reverse=True)[:6]:
        print(f"  {own[function] * 1e3:8.2f} ms  {function}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peer", type=int, default=20)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--sweeps", type=int, help="of --profile")
    args = parser.parse_args()
    if args.profile:
        for name in args.cases:
            profile(name, args.sweeps, args.threads)
        return
    own_sampler, peer_sampler = qpsbgd.SimulatedAnnealingSampler(), PeerSampler()
    for name in args.cases:
        make, problems = CASES[name]
        J, h, num_sweeps = make(problems, np.random.default_rng(0))
        matrix = formed(J)
        scale = np.sqrt(h**2 + (matrix**2).sum(axis=-1)).mean()
        default = {"num_sweeps": num_sweeps}
        given = {**default, "beta_range": (1 / scale, 8 / scale)}
        threads = {"num_threads": args.threads}
        rounds, given_differences, default_differences = [], [], []
        for seed in range(args.rounds):
            ours, found = batch(J, h, seed, {**given, **threads})
            peer, sampling, energy = loop(peer_sampler, matrix, h, args.peer, given)
            own, *_ = loop(own_sampler, matrix, h, args.peer, {**given, "num_threads": 1})
            default_ours, default_found = batch(J, h, seed, {**default, **threads})
            default_peer, _, default_energy = loop(peer_sampler, matrix, h, args.peer, default)
            rounds.append(
                (
                    ours,
                    peer / ours,
                    sampling / ours,
                    own / ours,
                    default_ours,
                    default_peer / default_ours,
                )
            )
            given_differences.append(found.energies[: args.peer, 0] - energy)
            default_differences.append(default_found.energies[: args.peer, 0] - default_energy)
        medians = [statistics.median(column) for column in zip(*rounds, strict=True)]
        ours, peer, sampling, own, default_ours, default_peer = medians
        print(
            f"{name} ({found.info['form']})\n"
            f"  given: {ours * 1e6:.3g} us a problem; peer's loop {peer:.4g} times as long, its "
            f"sampling alone {sampling:.4g}, our sampler's loop {own:.4g}; "
            f"{difference(given_differences, energy)}\n"
            f"  default: {default_ours * 1e6:.3g} us a problem; peer's loop {default_peer:.4g} "
            f"times as long; {difference(default_differences, default_energy)}"
        )


if __name__ == "__main__":
    main()
