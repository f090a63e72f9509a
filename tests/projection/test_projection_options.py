"""Options of a projection: one table of defaults, checked once, the same for every caller."""

import dataclasses
import inspect

import numpy as np
import pytest

import qpsbgd
from problems import layer
from qpsbgd import ProjectionOptions
from qpsbgd.projection.options import DEFAULT_NUM_SWEEPS, DEFAULT_TARGET_EPS

FUNCTIONS = {
    "project": qpsbgd.project,
    "projection_energy": qpsbgd.projection_energy,
    "gradient_ising": qpsbgd.gradient_ising,
    "gradient_bqms": qpsbgd.gradient_bqms,
}


def defaults(callable_):
    parameters = inspect.signature(callable_).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not p.empty}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_have_the_defaults_of_the_options(name):
    table = defaults(ProjectionOptions)
    found = defaults(FUNCTIONS[name])
    common = found.keys() & table.keys()
    assert {"scale", "alpha", "num_threads"} <= common
    assert {key: found[key] for key in common} == {key: table[key] for key in common}


def test_the_optimiser_has_the_defaults_of_the_options():
    pytest.importorskip("torch")
    from qpsbgd.optim import QPSBGD

    table, found = defaults(ProjectionOptions), defaults(QPSBGD)
    for key in ("objective", "alpha", "num_sweeps"):
        assert found[key] == table[key]
    assert found["scale"] is None  # the optimiser chooses it


@pytest.mark.parametrize("objective", ["quadratic", "sign"])
def test_none_stands_for_the_value_of_the_table(rng, objective):
    X, T = layer(rng, 40, 60, 5)
    named = {
        "num_sweeps": DEFAULT_NUM_SWEEPS[objective],
        "num_reads": 1,
        "initial": "linear",
        "target_eps": DEFAULT_TARGET_EPS,
    }
    np.testing.assert_array_equal(
        qpsbgd.project(X, T, objective=objective, **dict.fromkeys(named)),
        qpsbgd.project(X, T, objective=objective, **named),
    )


def test_options_are_frozen_and_checked_when_they_are_replaced():
    options = ProjectionOptions(seed=3)
    with pytest.raises(dataclasses.FrozenInstanceError):
        options.scale = 2.0
    assert dataclasses.replace(options, scale=2).seed == 3
    with pytest.raises(ValueError, match="scale is -1, but must be positive and finite"):
        dataclasses.replace(options, scale=-1)


def test_a_seed_is_drawn_once():
    options = ProjectionOptions()
    assert 0 <= options.seed < 2**31
    assert dataclasses.replace(options, num_sweeps=1).seed == options.seed


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"objective": "cubic"}, ValueError, "objective is 'cubic'"),
        ({"scale": float("inf")}, ValueError, "scale is inf, but must be positive and finite"),
        ({"alpha": "long"}, ValueError, "alpha is 'long'"),
        ({"num_sweeps": 1.5}, TypeError, r"num_sweeps is 1\.5"),
        ({"num_reads": 0}, ValueError, "num_reads is 0"),
        ({"initial": "zero"}, ValueError, "initial is 'zero', but must be 'linear', 'random' or"),
        ({"target_eps": -1.0}, ValueError, r"target_eps is -1\.0, but must be finite and at least"),
        ({"num_threads": 0}, ValueError, "num_threads is 0"),
        ({"beta_range": (2.0, 1.0)}, ValueError, "must be 0 < hot <= cold < inf"),
    ],
)
def test_bad_options(options, error, message):
    with pytest.raises(error, match=message):
        ProjectionOptions(**options)
