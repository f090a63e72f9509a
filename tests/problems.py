"""Data that tests share."""

import itertools

import dimod
import numpy as np

#: Samples, inputs and neurons around the widths of kernels: 16 lanes, panels of 6, 12, 16 and 32,
#: tiles of 24 rows, depth blocks of 128, words of 64 samples.
KERNEL_SHAPES = [
    (1, 1, 1),
    (3, 2, 5),
    (7, 15, 16),
    (16, 16, 17),
    (5, 33, 49),
    (130, 20, 3),
    (12, 131, 2),
    (200, 150, 3),
]


def layer(rng, samples, inputs, neurons, *, kind="real"):
    """X (N, n) and T (N, m) of a layer: real inputs, or +-1 as behind a sign activation."""
    X = rng.normal(size=(samples, inputs))
    if kind == "binary":
        X = np.sign(X)
    return X.astype(np.float32), rng.normal(size=(samples, neurons)).astype(np.float32)


def random_bqm(rng, n, density=1.0, kind="integer", vartype="SPIN"):
    """Biases are integers in -9 .. 9, or normal variates; labels x0, x1, ..."""
    bqm = dimod.BinaryQuadraticModel(vartype)
    draw = (lambda: int(rng.integers(-9, 10))) if kind == "integer" else rng.normal
    for i in range(n):
        bqm.add_linear(f"x{i}", draw())
    for i, j in itertools.combinations(range(n), 2):
        if rng.random() < density:
            bqm.add_quadratic(f"x{i}", f"x{j}", draw())
    bqm.offset = 0.5
    return bqm


def random_graph(rng, n, degree=6):
    """Normal biases on a graph of about this degree."""
    rows = np.repeat(np.arange(n), degree // 2)
    columns = (rows + rng.integers(1, n, len(rows))) % n
    return dimod.BQM.from_numpy_vectors(
        rng.normal(size=n), (rows, columns, rng.normal(size=len(rows))), 0.0, "SPIN"
    )


def drifting_problem(rng, n):
    """J and h whose float32 fields drift while spins 0 and 1 flip, each 2^20 times the others.

    The two cancel where they agree, as they do once it is cold.
    """
    J = np.triu(rng.normal(size=(n, n)), 1)
    J[0, 2:], J[1, 2:], J[0, 1] = 2.0**20, -(2.0**20), -(2.0**27)
    return J + J.T, rng.normal(size=n)


#: Spins 0 and 1 flip for 190 sweeps of 300; the others freeze after sweep 256.
DRIFT = {"beta_range": (1e-30, 1e5), "num_sweeps": 300, "keep": "final", "seed": 3}


def largest_gain(J, h, states):
    """The most that a flip of one spin would lower the energy of any state."""
    states = states.astype(float)
    return 2 * (states * (h + states @ J)).max()
