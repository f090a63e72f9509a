"""Compare what surrounds a sampler's sweeps with what dimod takes for a model and a sample set.

``small`` times a call of 20 variables, 10 reads and 100 sweeps: all of it, and without the sampling
itself. dimod alone makes the model from dictionaries and a sample set of as many states. ``sparse``
times one read of a 3-regular-like graph of a million variables, from a dimod model and from arrays,
without the sampling, and the memory that the call takes in a new process, in bytes a coupling.
``dense`` gives the peak memory of a call with a float32 matrix of n = 12,000, relative to that
matrix. Times are medians of several rounds, taken in turn. Memory is the growth of the resident set
beyond what it was before the call, which only Linux reports.
"""

import argparse
import gc
import multiprocessing
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import dimod
import numpy as np

from qpsbgd import SimulatedAnnealingSampler

OPTIONS = {"num_threads": 1, "seed": 1}
SAMPLER = SimulatedAnnealingSampler()


def seconds(function):
    begin = time.perf_counter()
    result = function()
    return time.perf_counter() - begin, result


def outside(took, info):
    """Seconds of a call that were not sampling."""
    return took - info["timing"]["sampling_ns"] / 1e9


def status(key):
    """Bytes of an entry of Linux' status of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line.split()[1] for line in lines if line.startswith(key)))


def peak_bytes(function):
    """Growth of the resident set during a call, and the call's result."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the peak is that of now
    before = status("VmRSS")
    result = function()
    return status("VmHWM") - before, result


def check(states, energies, h, rows, columns, values):
    expected = states @ h + (states[:, rows] * states[:, columns]) @ values
    np.testing.assert_allclose(energies, expected, rtol=1e-9, atol=1e-6)


def small(rounds):
    rng = np.random.default_rng(0)
    n, reads = 20, 10
    h = dict(enumerate(rng.normal(size=n).tolist()))
    rows, columns = np.tril_indices(n, -1)
    values = rng.normal(size=len(rows))
    J = dict(zip(zip(rows.tolist(), columns.tolist(), strict=True), values.tolist(), strict=True))
    matrix = np.zeros((n, n))
    matrix[rows, columns] = matrix[columns, rows] = values
    linear = np.array(list(h.values()))
    states = rng.choice(np.array([-1, 1], np.int8), (reads, n))
    energies = np.zeros(reads)
    options = {"num_reads": reads, "num_sweeps": 100, **OPTIONS}

    def dimod_alone():
        dimod.BQM.from_ising(h, J)
        dimod.SampleSet.from_samples(states, energy=energies, vartype="SPIN")

    def with_model(**more):
        return SAMPLER.sample(dimod.BQM.from_ising(h, J), **options, **more)

    def with_arrays(**more):
        return SAMPLER.sample_arrays(linear, matrix, **options, **more)

    given = {"beta_range": (0.1, 5.0)}
    calls = {
        "sample, default temperatures": with_model,
        "sample, given temperatures": lambda: with_model(**given),
        "sample_arrays, default temperatures": with_arrays,
        "sample_arrays, given temperatures": lambda: with_arrays(**given),
    }
    peer, times = [], {name: [] for name in calls}
    for _ in range(rounds):
        peer.append(seconds(dimod_alone)[0])
        for name, call in calls.items():
            took, result = seconds(call)
            times[name].append((took, outside(took, result.info)))
    found = with_arrays()
    check(found.states, found.energies, linear, rows, columns, values)
    np.testing.assert_array_equal(found.states, with_model().record.sample)
    alone = statistics.median(peer)
    print(f"dimod's model and sample set: {1e6 * alone:.0f} us")
    for name, pairs in times.items():
        whole, rest = (statistics.median(column) for column in zip(*pairs, strict=True))
        print(
            f"{name:36} {1e6 * whole:5.0f} us = {whole / alone:.2f} times; without sampling "
            f"{1e6 * rest:5.0f} us = {rest / alone:.2f} times"
        )


def sparse_calls(n):
    """A problem of degree 3 as its vectors, and calls that sample from it."""
    import scipy.sparse

    rng = np.random.default_rng(0)
    first, second = rng.integers(0, n, (2, 16 * n // 10))
    keys = np.unique(np.minimum(first, second) * n + np.maximum(first, second))
    rows, columns = np.divmod(keys[keys // n != keys % n], n)
    chosen = rng.permutation(len(rows))[: 3 * n // 2]
    rows, columns = rows[chosen], columns[chosen]
    values, h = rng.choice([-1.0, 1.0], len(rows)), np.zeros(n)
    bqm = dimod.BQM.from_numpy_vectors(h, (rows, columns, values), 0.0, "SPIN")
    J = scipy.sparse.coo_array((values, (rows, columns)), (n, n))
    J = (J + J.T).tocsr()
    options = {"num_reads": 1, "num_sweeps": 1, **OPTIONS}
    calls = {
        "sample": lambda: SAMPLER.sample(bqm, **options),
        "sample_arrays": lambda: SAMPLER.sample_arrays(h, J, **options),
    }
    return (h, rows, columns, values), calls


def sparse(rounds, n):
    vectors, calls = sparse_calls(n)
    times = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            took, result = seconds(call)
            times[name].append(outside(took, result.info))
            if name == "sample":
                check(result.record.sample, result.record.energy, *vectors)
            else:
                check(result.states, result.energies, *vectors)
    for name, taken in times.items():
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as executor:
            used = executor.submit(peak_of_sparse_call, n, name).result()
        print(
            f"{name:14} without sampling {statistics.median(taken):.2f} s, peak "
            f"{used / len(vectors[1]):.0f} bytes a coupling"
        )


def peak_of_sparse_call(n, name):
    _, calls = sparse_calls(n)
    SAMPLER.sample_arrays([1.0], [[0.0]])  # imports and thread pools
    return peak_bytes(calls[name])[0]


def dense(n):
    rng = np.random.default_rng(0)
    J = rng.normal(size=(n, n)).astype(np.float32)
    for i in range(n):
        J[i, i] = 0
        J[i, i + 1 :] = J[i + 1 :, i]
    h = np.zeros(n)
    options = {"num_reads": 1, "num_sweeps": 1, **OPTIONS}
    used, (took, result) = peak_bytes(
        lambda: seconds(lambda: SAMPLER.sample_arrays(h, J, **options))
    )
    state = result.states[0].astype(np.float64)
    expected = sum(float(s * (row @ state)) for s, row in zip(state, J, strict=True)) / 2
    np.testing.assert_allclose(result.energies, [expected], rtol=1e-9)
    print(
        f"n = {n}: {outside(took, result.info):.2f} s without sampling, peak "
        f"{used / J.nbytes:.2f} times the matrix"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=["small", "sparse", "dense"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--variables", type=int, help="n of sparse or dense")
    args = parser.parse_args()
    if args.what == "small":
        small(40 * args.rounds)
    elif args.what == "sparse":
        sparse(args.rounds, args.variables or 1_000_000)
    else:
        dense(args.variables or 12_000)
