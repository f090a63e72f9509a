"""Data that tests share."""

import numpy as np


def layer(rng, samples, inputs, neurons, *, kind="real"):
    """X (N, n) and T (N, m) of a layer: real inputs, or +-1 as behind a sign activation."""
    X = rng.normal(size=(samples, inputs))
    if kind == "binary":
        X = np.sign(X)
    return X.astype(np.float32), rng.normal(size=(samples, neurons)).astype(np.float32)
