"""Time of every kernel that a default uses, on each instruction set of this machine.

Calls on one thread, in turn; the sampling alone of the samplers, whole calls of the others; medians
of rounds. QPSBGD_ISA chooses the instruction set at every call. The results must be equal to the
bit. A percentage is the speed relative to the widest instruction set. --json writes the figures.
"""

import argparse
import json
import os
import statistics
import sys
import time

import dimod
import numpy as np

from qpsbgd import (
    ExhaustiveSampler,
    LowRank,
    ParallelTemperingSampler,
    PathIntegralAnnealingSampler,
    RotorModelAnnealingSampler,
    SimulatedAnnealingSampler,
    SteepestDescentSampler,
    TabuSampler,
    _core,
    project,
    sample_batch,
)

NAMES = {"v4": "AVX-512", "v3": "AVX2", "baseline": "SSE2"}


def ising(n, neighbours, values, seed=0):
    """Return biases (n,) and a model with about n * neighbours / 2 couplings."""
    rng = np.random.default_rng(seed)
    if neighbours >= n - 1:
        rows, columns = np.triu_indices(n, 1)
    else:
        pairs = np.unique(np.sort(rng.integers(0, n, (n * neighbours // 2, 2)), axis=1), axis=0)
        rows, columns = pairs[pairs[:, 0] < pairs[:, 1]].T
    couplings = values(rng, len(rows))
    return dimod.BQM.from_numpy_vectors(np.zeros(n), (rows, columns, couplings), 0.0, "SPIN")


def typical_field(model):
    """Return the root mean square of a variable's local field in a random state."""
    couplings = np.fromiter(model.quadratic.values(), float)
    return np.sqrt(2 * (couplings**2).sum() / model.num_variables)


def signs(rng, count):
    return rng.choice([-1.0, 1.0], count)


def integers(rng, count):
    return rng.integers(1, 4000, count) * signs(rng, count)


def normal(rng, count):
    return rng.normal(size=count)


def sampled(sampler, model, units, **options):
    """Return a call of a sampler: its energies, nanoseconds of its sampling, and units of work."""

    def call(seed):
        sampleset = sampler.sample(model, seed=seed, num_threads=1, **options)
        nanoseconds = sampleset.info["timing"]["sampling_ns"]
        return sampleset.record.energy, nanoseconds, units or sampleset.info["num_moves"]

    return call


def timed(function, units):
    """Return a call of a function: its result, its nanoseconds, and units of work."""

    def call(seed):
        start = time.perf_counter_ns()
        result = function(seed)
        return result, time.perf_counter_ns() - start, units

    return call


def annealing(n, neighbours, values, reads, sweeps, **options):
    """Return a call of the annealer; its unit is a proposal."""
    model = ising(n, neighbours, values)
    field = typical_field(model)
    return sampled(
        SimulatedAnnealingSampler(), model, n * reads * sweeps, num_reads=reads, num_sweeps=sweeps,
        beta_range=(0.3 / field, 5.0 / field), **options,
    )  # fmt: skip


def fields(sampler, n, neighbours, sweeps, reads=16):
    """Return a call of a sampler with a transverse field; its unit is an update of a qubit."""
    return sampled(
        sampler, ising(n, neighbours, signs), n * reads * sweeps, num_reads=reads,
        beta_schedule_type="custom", Hp_field=np.linspace(0.1, 3.0, sweeps),
        Hd_field=np.linspace(3.0, 0.0, sweeps),
    )  # fmt: skip


def tempering(n, neighbours, values, sweeps):
    """Return a call of parallel tempering at 16 temperatures; its unit is a proposal."""
    model = ising(n, neighbours, values)
    betas = np.geomspace(0.3, 3.0, 16) / typical_field(model)
    return sampled(
        ParallelTemperingSampler(), model, n * len(betas) * sweeps, betas=betas, num_sweeps=sweeps,
        cluster_moves=False, eliminate=False,
    )  # fmt: skip


def tabu(n, values, restarts):
    """Return a call of tabu search; its unit is a move."""
    return sampled(TabuSampler(), ising(n, n, values), None, num_restarts=restarts, timeout=None)


def batch(problems, n, J, sweeps, **options):
    """Return a call of sample_batch; its unit is a proposal."""
    h = np.random.default_rng(1).normal(size=(problems, n)).astype(np.float32)
    return timed(
        lambda seed: (
            sample_batch(
                h, J, num_sweeps=sweeps, beta_range=(0.02, 0.5), seed=seed, num_threads=1, **options
            ).energies
        ),
        problems * n * sweeps,
    )


def coupling_matrices(*shape):
    """Return symmetric matrices with a zero diagonal."""
    J = np.random.default_rng(2).normal(size=shape).astype(np.float32)
    J = J + J.swapaxes(-1, -2)
    J[..., np.arange(shape[-1]), np.arange(shape[-1])] = 0
    return J


def projection(samples, inputs, neurons, objective):
    """Return a call of a projection; its unit is a row."""
    rng = np.random.default_rng(3)
    X = rng.normal(size=(samples, inputs)).astype(np.float32)
    T = rng.normal(size=(samples, neurons)).astype(np.float32)
    if objective == "sign":
        T = np.sign(T)
    return timed(lambda seed: project(X, T, objective=objective, seed=seed, num_threads=1), neurons)


def descent(n, neighbours, reads):
    """Return a call of steepest descent; its unit is a read."""
    return sampled(SteepestDescentSampler(), ising(n, neighbours, normal), reads, num_reads=reads)


def enumeration(n):
    """Return a call of the exhaustive sampler; its unit is a state."""
    model = ising(n, n, normal)
    return timed(lambda seed: ExhaustiveSampler().sample(model, num_threads=1).record.energy, 2**n)


CASES = {
    "annealing, dense 512, integers (int16), 16 reads": lambda: annealing(512, 512, signs, 64, 200),
    "annealing, dense 512, real (float32), 16 reads": lambda: annealing(512, 512, normal, 64, 200),
    "annealing, dense 512, real, 1 read": lambda: annealing(512, 512, normal, 1, 2000),
    "annealing, dense 2048, real, 16 reads": lambda: annealing(2048, 2048, normal, 16, 50),
    "annealing, dense 512, float64, 16 reads": lambda: annealing(
        512, 512, normal, 16, 200, precision="float64"
    ),
    "annealing, sparse +-1 (bits), 512 reads": lambda: annealing(2000, 6, signs, 512, 200),
    "annealing, sparse +-1 (bits), 64 reads": lambda: annealing(2000, 6, signs, 64, 400),
    "annealing, sparse +-1 (bytes), 1 read": lambda: annealing(2000, 6, signs, 1, 5000),
    "annealing, sparse integers (int16), 16 reads": lambda: annealing(2000, 6, integers, 64, 200),
    "annealing, sparse real (float32), 16 reads": lambda: annealing(2000, 6, normal, 64, 200),
    "tempering, dense 256, real": lambda: tempering(256, 256, normal, 1000),
    "tempering, sparse +-1": lambda: tempering(2000, 6, signs, 300),
    "path integral, dense 256": lambda: fields(PathIntegralAnnealingSampler(), 256, 256, 30),
    "path integral, sparse": lambda: fields(PathIntegralAnnealingSampler(), 1000, 6, 30),
    "rotors, dense 256": lambda: fields(RotorModelAnnealingSampler(), 256, 256, 100),
    "rotors, sparse": lambda: fields(RotorModelAnnealingSampler(), 1000, 6, 100),
    "tabu search, dense 1000, integers (int16)": lambda: tabu(1000, signs, 20),
    "tabu search, dense 1000, real (float32)": lambda: tabu(1000, normal, 20),
    "batch, 256 problems of 64, a J each": lambda: batch(
        256, 64, coupling_matrices(256, 64, 64), 200
    ),
    "batch, 256 problems of 256, one J": lambda: batch(256, 256, coupling_matrices(256, 256), 100),
    "batch, 256 problems of 256, rank 32": lambda: batch(
        256, 256, LowRank(np.random.default_rng(4).normal(size=(32, 256)).astype(np.float32)), 50
    ),
    "projection, 128 samples, 512 inputs": lambda: projection(128, 512, 512, "quadratic"),
    "projection, sign, 128 samples, 512 inputs": lambda: projection(128, 512, 128, "sign"),
    "steepest descent, dense 1000": lambda: descent(1000, 1000, 64),
    "steepest descent, sparse": lambda: descent(20000, 6, 64),
    "enumeration of 24 variables": lambda: enumeration(24),
}


def measure(call, isas, rounds):
    """Return the median nanoseconds a unit of each instruction set."""
    times = {isa: [] for isa in isas}
    for round_ in range(rounds):
        expected = None
        for isa in isas:
            os.environ["QPSBGD_ISA"] = isa
            result, nanoseconds, units = call(round_)
            times[isa].append(nanoseconds / units)
            expected = result if expected is None else expected
            if not np.array_equal(result, expected):
                sys.exit(f"{isa}: the results are not those of {isas[0]}")
    return {isa: statistics.median(values) for isa, values in times.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cases", default="", help="only cases whose names contain this")
    parser.add_argument("--json", help="file for the figures")
    args = parser.parse_args()
    isas = list(reversed(_core.available_isas()))
    print("| kernel | ns with " + " | ".join(NAMES[isa] for isa in isas) + " |")
    print("|---" * (len(isas) + 1) + "|")
    figures = {}
    for name, make in CASES.items():
        if args.cases not in name:
            continue
        figures[name] = ns = measure(make(), isas, args.rounds)
        widest, *others = ns.values()
        time = float(f"{widest:.3g}")  # three digits, printed without an exponent
        cells = [f"{time:,.9g}", *(f"{100 * widest / other:.0f} %" for other in others)]
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)
    if args.json:
        with open(args.json, "w") as file:
            json.dump(figures, file, indent=1)


if __name__ == "__main__":
    main()
