"""Data that tests share."""

import itertools

import dimod
import numpy as np


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
