"""Random problems of every kind, for the property tests and the fuzzer.

Hypothesis draws a case: a dict of plain numbers and words. The arrays of a case follow from its
seed. A case therefore prints in one line, and that line makes the same arrays again.
"""

import contextlib
import os
from concurrent.futures import Executor, Future

import dimod
import numpy as np
from hypothesis import strategies as st

#: Around the widths that kernels work in: 16 lanes, blocks of 64 variables, tabu blocks of 128.
SIZES = (1, 2, 3, 5, 8, 15, 16, 17, 31, 33, 63, 64, 65, 100, 127, 128, 129)
#: Values that every solver must rank rightly.
KINDS = (
    "signs", "small", "bounded", "integers", "int16", "big", "large", "dyadic", "normal", "gaps",
    "wide", "zeros",
)  # fmt: skip
#: Values that float32 holds as integers, so that every sum of them is exact.
EXACT = ("signs", "small", "bounded", "integers", "sixteen", "dyadic", "zeros")
#: Local fields of "bounded" problems come near one of these: ends of integer types and of tables.
REACHES = (64, 127, 2**14, 2**15 - 1, 2**24)
#: Values at the ends of the number range.
EXTREME = ("tiny", "huge", "subnormal", "vast", "infinitesimal", "full range")
GRAPHS = ("complete", "ring", "grid", "random", "few", "star", "none")

seeds = st.integers(0, 2**31 - 1)


def sizes(most=129):
    return st.sampled_from([n for n in SIZES if n <= most])


def numbers(rng, shape, kind):
    """Finite float64 numbers of a kind."""
    if kind == "signs":
        return rng.choice([-1.0, 1.0], shape)
    if kind == "small":
        return rng.integers(-9, 10, shape).astype(float)
    if kind == "integers":  # up to a bound that differs from problem to problem
        bound = int(2.0 ** rng.uniform(0, 9))
        return rng.integers(-bound, bound + 1, shape).astype(float)
    if kind in ("sixteen", "bounded"):
        return rng.integers(-16, 17, shape).astype(float)
    if kind == "int16":
        return rng.integers(-300, 301, shape).astype(float)
    if kind == "big":  # some are exact in float32, and their sums may not be
        return np.round(rng.normal(size=shape) * 10.0 ** rng.uniform(2, 9))
    if kind == "large":  # more than the 24 bits of a float32
        return rng.integers(-(2**40), 2**40, shape).astype(float)
    if kind == "dyadic":
        return rng.integers(-4, 5, shape) * 2.0 ** int(rng.integers(-20, 20))
    if kind == "normal":
        return rng.normal(size=shape)
    if kind == "gaps":
        return rng.normal(size=shape) * (rng.random(shape) < 0.2)
    if kind == "wide":
        return rng.normal(size=shape) * 10.0 ** rng.uniform(-8, 8, shape)
    if kind == "zeros":
        return np.zeros(shape)
    if kind == "tiny":
        return rng.normal(size=shape) * 1e-30
    if kind == "huge":
        return rng.normal(size=shape) * 1e37
    if kind == "subnormal":
        return rng.integers(-3, 4, shape) * 5e-324
    if kind == "vast":
        return rng.normal(size=shape) * 1e300
    if kind == "infinitesimal":
        return rng.normal(size=shape) * 1e-300
    if kind == "full range":
        return rng.normal(size=shape) * 10.0 ** rng.uniform(-320, 300, shape)
    raise ValueError(kind)


def models(kinds=KINDS, most=129, graphs=GRAPHS):
    """Cases of Ising problems."""
    return st.fixed_dictionaries(
        {
            "n": sizes(most),
            "graph": st.sampled_from(graphs),
            "kind": st.sampled_from(kinds),
            "fields": st.sampled_from(("as couplings", "zeros", "small", "normal")),
            "seed": seeds,
        }
    )


def edges(rng, n, graph):
    """Pairs (2, k) of a graph on n variables, each pair once, smaller number first."""
    if graph in ("complete", "random", "few"):
        pairs = np.array(np.triu_indices(n, 1))
        share = {"complete": 1.0, "random": 0.3, "few": 0.03}[graph]
        return pairs[:, rng.random(pairs.shape[1]) < share]
    first = np.arange(n)
    if graph == "star":
        return np.array([np.zeros(max(n - 1, 0), int), first[1:]])
    steps = {"ring": [1], "grid": [1, max(int(n**0.5), 2)], "none": []}[graph]
    ends = [np.sort([first, (first + step) % n], axis=0) for step in steps]
    pairs = np.concatenate([*ends, np.zeros((2, 0), int)], axis=1)
    return np.unique(pairs[:, pairs[0] < pairs[1]], axis=1)


def arrays(case):
    """Fields (n,), pairs (2, k) and couplings (k,) of a case of `models`."""
    rng = np.random.default_rng(case["seed"])
    n, pairs = case["n"], edges(rng, case["n"], case["graph"])
    if case["kind"] == "bounded":
        values = rng.uniform(-1, 1, n + pairs.shape[1])
        values[:n] *= case["fields"] == "as couplings"
        reach = np.abs(values[:n])
        for end in pairs:
            reach = reach + np.bincount(end, np.abs(values[n:]), n)
        values = np.trunc(values * (rng.choice(REACHES) / max(reach.max(), 1e-9)))
    else:
        values = numbers(rng, n + pairs.shape[1], case["kind"])
    fields = values[:n] if case["fields"] == "as couplings" else numbers(rng, n, case["fields"])
    return fields, pairs, values[n:]


def is_exact(case):
    """Whether the biases of a case of `models` are small integers, up to a power of two."""
    dyadic_alone = case["kind"] != "dyadic" or case["fields"] in ("as couplings", "zeros")
    fields = case["fields"] if case["fields"] != "as couplings" else case["kind"]
    return case["kind"] in EXACT and fields in EXACT and dyadic_alone


def bqm_of(case, vartype="SPIN", offset=0.0):
    """The case's problem with variables 0, 1, ..., n - 1."""
    linear, pairs, quadratic = arrays(case)
    return dimod.BinaryQuadraticModel.from_numpy_vectors(
        linear, (*pairs, quadratic), offset, vartype
    )


def matrix_of(case):
    """Symmetric couplings (n, n) with a zero diagonal, and fields (n,)."""
    linear, pairs, quadratic = arrays(case)
    J = np.zeros((case["n"], case["n"]))
    J[pairs[0], pairs[1]] = quadratic
    return J + J.T, linear


def typical_field(linear, pairs, quadratic):
    """Root mean square of a field in a random state; 1 where all biases are 0."""
    scale = max(np.abs(linear).max(initial=0.0), np.abs(quadratic).max(initial=0.0))
    if scale == 0.0:
        return 1.0
    square = (linear / scale) ** 2
    for end in pairs:
        square = square + np.bincount(end, (quadratic / scale) ** 2, len(linear))
    return float(scale * np.sqrt(square.mean()))


@contextlib.contextmanager
def forced_isa(name):
    """Run the body on one instruction set."""
    before = os.environ.get("QPSBGD_ISA")
    os.environ["QPSBGD_ISA"] = name
    try:
        yield
    finally:
        if before is None:
            del os.environ["QPSBGD_ISA"]
        else:
            os.environ["QPSBGD_ISA"] = before


class InlineExecutor(Executor):
    """An executor that runs each call at once, and claims to have so many workers."""

    def __init__(self, workers):
        self._max_workers = workers

    def submit(self, function, /, *args, **kwargs):
        future = Future()
        try:
            future.set_result(function(*args, **kwargs))
        except BaseException as error:
            future.set_exception(error)
        return future
