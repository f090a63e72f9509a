"""Projections against their twin in tests/reference, bit for bit, on every instruction set."""

import functools

import numpy as np
import pytest

import qpsbgd
import reference
from problems import KERNEL_SHAPES, layer


@pytest.mark.parametrize(
    ("objective", "alpha"), [("quadratic", "norm"), ("quadratic", "fit"), ("sign", "norm")]
)
@pytest.mark.parametrize("kind", ["real", "binary"])
@pytest.mark.parametrize(
    "shape", [*KERNEL_SHAPES[:-1], pytest.param(KERNEL_SHAPES[-1], marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("beta_range", [None, (0.05, 5.0)])
def test_project_equals_twin(rng, on_every_isa, objective, alpha, kind, shape, beta_range):
    X, T = layer(rng, *shape, kind=kind)
    options = {
        "objective": objective, "num_sweeps": 3, "num_reads": 2, "beta_range": beta_range,
        "seed": 7, "scale": 0.8, "alpha": alpha,
    }  # fmt: skip
    expected = reference.project(X, T, **options)
    for binary in on_every_isa(lambda: qpsbgd.project(X, T, **options)):
        np.testing.assert_array_equal(binary, expected)


# Hot enough that most flips are accepted, and cold enough that few are.
@pytest.mark.parametrize("beta_range", [None, (0.01, 0.02), (10.0, 20.0), (0.01, 100.0)])
@pytest.mark.parametrize("kind", ["real", "binary", "sparse"])
@pytest.mark.parametrize("shape", [(1, 1, 3), (70, 130, 17), (150, 65, 3)])
def test_sign_objective_equals_twin(rng, on_every_isa, shape, kind, beta_range):
    X, T = layer(rng, *shape, kind="real" if kind == "sparse" else kind)
    if kind == "sparse":  # as pixels, and as gradients behind a clipped straight-through estimator
        X[rng.random(X.shape) < 0.7] = 0
        T[rng.random(T.shape) < 0.7] = 0
        T[:, 0] = 0
        T[0] *= 1000
    options = {
        "objective": "sign", "initial": "random", "num_sweeps": 6, "seed": 3,
        "beta_range": beta_range,
    }  # fmt: skip
    expected = reference.project(X, T, **options)
    for binary in on_every_isa(lambda: qpsbgd.project(X, T, **options)):
        np.testing.assert_array_equal(binary, expected)


@pytest.mark.parametrize("initial", ["linear", "random", "array"])
def test_project_equals_twin_from_each_start(rng, on_every_isa, initial):
    X, T = layer(rng, 9, 21, 6)
    if initial == "array":
        initial = rng.choice(np.array([-1, 1], np.int8), size=(6, 21))
    for sweeps in (0, 4):
        options = {"initial": initial, "num_sweeps": sweeps, "seed": 3}
        expected = reference.project(X, T, **options)
        for binary in on_every_isa(functools.partial(qpsbgd.project, X, T, **options)):
            np.testing.assert_array_equal(binary, expected)
