"""Several layers in one call, and rows with steps of their own."""

import functools
import itertools

import numpy as np
import pytest

import qpsbgd
import reference
from interrupts import ctrl_c_in_the_core
from problems import KERNEL_SHAPES, layer
from qpsbgd import ProjectionOptions, project, project_layers, projection_energy


def layers_of(rng):
    """Layers of every size class."""
    return [layer(rng, *shape) for shape in KERNEL_SHAPES]


@pytest.mark.parametrize("num_threads", [1, 2, 5])
def test_equals_separate_calls(rng, isa, num_threads):
    layers = layers_of(rng)
    options = [
        ProjectionOptions(
            objective="sign" if k % 3 == 2 else "quadratic",
            num_reads=1 + k % 2,
            beta_range=[None, (0.1, 3.0)][k % 2],
            initial=["linear", "random"][k % 2],
            scale=1.0 + k,
            seed=100 + k,
        )
        for k in range(len(layers))
    ]
    steps = [
        rng.uniform(0.5, 2.0, T.shape[1]) if each.objective == "quadratic" and k % 2 else None
        for k, ((_, T), each) in enumerate(zip(layers, options, strict=True))
    ]
    found = project_layers(iter(layers), options, steps=steps, num_threads=num_threads)
    for k, ((X, T), binary) in enumerate(zip(layers, found, strict=True)):
        own = {
            name: getattr(options[k], name)
            for name in ("objective", "num_reads", "beta_range", "initial", "scale", "seed")
        }
        np.testing.assert_array_equal(binary, project(X, T, steps=steps[k], **own))


def test_options_of_all_layers(rng):
    layers = layers_of(rng)
    common = ProjectionOptions(initial="random", seed=9, num_sweeps=1)
    for binary, (X, T) in zip(project_layers(layers, common), layers, strict=True):
        expected = project(X, T, initial="random", seed=9, num_sweeps=1)
        np.testing.assert_array_equal(binary, expected)
    for binary, (X, T) in zip(project_layers(layers), layers, strict=True):
        np.testing.assert_array_equal(binary, project(X, T))
    assert project_layers([]) == []


def test_given_states(rng):
    X, T = layer(rng, 7, 9, 3)
    states = rng.choice(np.array([-1, 1], np.int8), (3, 9))
    options = [ProjectionOptions(initial=states, num_sweeps=0), ProjectionOptions()]
    assert (project_layers([(X, T), (X, T)], options)[0] == states).all()


@pytest.mark.parametrize(
    ("arguments", "error", "rule"),
    [
        (([3],), TypeError, "layers\\[0\\] is 3, but must be a pair"),
        (
            ([(np.ones((2, 3)), np.ones((2, 1), np.float32))],),
            TypeError,
            "layers\\[0\\]: X has",
        ),
        (([(np.ones((2, 3), np.float32),) * 2], [ProjectionOptions()] * 2), ValueError, "2 entr"),
        (([(np.ones((2, 3), np.float32),) * 2], {"seed": 3}), TypeError, "options\\[0\\] is a str"),
    ],
)
def test_bad_layers(arguments, error, rule):
    with pytest.raises(error, match=rule):
        project_layers(*arguments)


def test_an_error_of_one_layer_ends_the_call(rng):
    X, T = layer(rng, 7, 9, 3)
    with pytest.raises(ValueError, match="scale is 1e\\+30, but must lie between"):
        project_layers(
            [(X, T), (X, T)], [ProjectionOptions(), ProjectionOptions(scale=1e30)], num_threads=2
        )


def test_ctrl_c_ends_the_call(rng):
    X, T = layer(rng, 400, 500, 3000)
    options = ProjectionOptions(num_sweeps=20_000, beta_range=(0.1, 1.0))
    with pytest.raises(KeyboardInterrupt), ctrl_c_in_the_core():
        project_layers([(X, T)] * 3, options, num_threads=2)


# ---- steps -------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", KERNEL_SHAPES)
@pytest.mark.parametrize("beta_range", [None, (0.05, 5.0)])
def test_steps_equal_twin(rng, on_every_isa, shape, beta_range):
    X, T = layer(rng, *shape)
    steps = np.exp(rng.normal(size=shape[2]))
    T[:, 0] = 0.0
    options = {
        "num_sweeps": 3, "num_reads": 2, "beta_range": beta_range, "seed": 7, "scale": 0.8,
        "steps": steps,
    }  # fmt: skip
    expected = reference.project(X, T, **options)
    for binary in on_every_isa(functools.partial(project, X, T, **options)):
        np.testing.assert_array_equal(binary, expected)
    for energies in on_every_isa(lambda: projection_energy(X, T, expected, scale=0.8, steps=steps)):
        np.testing.assert_allclose(
            energies,
            reference.projection_energy(X, T, expected, scale=0.8, steps=steps),
            rtol=1e-12,
        )


def test_steps_find_the_minimum_of_their_objective(rng):
    X, T = layer(rng, 12, 8, 5)
    steps = np.array([0.05, 0.2, 0.7, 2.0, 9.0])
    states = np.array(list(itertools.product([-1, 1], repeat=8)), np.int8)
    binary = project(X, T, steps=steps, num_reads=200, num_sweeps=30, seed=1)
    energies = projection_energy(X, T, binary, steps=steps)
    for r, step in enumerate(steps):
        residuals = T[:, r].astype(float) - step * (states @ X.T.astype(float))
        values = (residuals**2).sum(axis=1)
        assert energies[r] == pytest.approx(values.min(), rel=1e-9)
        assert (states[values.argmin()] == binary[r]).all()


@pytest.mark.parametrize("factor", [2.0**-60, 2.0**40])
def test_units_of_data_and_steps_do_not_matter(rng, factor):
    X, T = layer(rng, 30, 40, 6)
    steps = rng.uniform(0.1, 1.0, 6)
    options = {"num_sweeps": 6, "beta_range": (0.1, 10.0), "seed": 2, "initial": "random"}
    expected = project(X, T, steps=steps, **options)
    f = np.float32(factor)
    np.testing.assert_array_equal(expected, project(X, T * f, steps=steps * factor, **options))
    # In units of the square of a step the energy is that of X.
    scaled = (0.1 / factor**2, 10.0 / factor**2)
    found = project(X * f, T, steps=steps / factor, **{**options, "beta_range": scaled})
    np.testing.assert_array_equal(expected, found)
    # Rows do not depend on each other.
    np.testing.assert_array_equal(
        expected[:2], project(X, T[:, :2].copy(), steps=steps[:2], **options)
    )


def test_equal_steps_equal_the_rule(rng):
    X, T = layer(rng, 30, 40, 6)
    T /= np.abs(T).mean(axis=0)
    h, J, _ = qpsbgd.gradient_ising(X, T, alpha="norm")
    gram = X.T.astype(float) @ X.astype(float)
    alpha = np.sqrt(J[0, 1] / (2 * gram[0, 1]))
    expected = project(X, T, alpha="norm", num_sweeps=20)
    found = project(X, T, steps=np.full(6, alpha), num_sweeps=20)
    assert (found == expected).mean() > 0.99
    assert h.shape == found.shape


@pytest.mark.parametrize(
    ("options", "error", "rule"),
    [
        ({"steps": [1.0, 2.0]}, ValueError, "steps has shape \\(2,\\)"),
        ({"steps": 1.0}, ValueError, "steps has shape \\(\\)"),
        ({"steps": [1.0, 0.0, 1.0]}, ValueError, "steps\\[1\\] is 0.0, but must be positive"),
        ({"steps": [1.0, np.nan, 1.0]}, ValueError, "steps\\[1\\] is nan"),
        ({"steps": [1.0, 1e-30, 1.0]}, ValueError, "steps\\[1\\] is 1e-30, but must not be that"),
        ({"steps": ["a", "b", "c"]}, TypeError, "steps"),
        ({"steps": np.ones(3), "objective": "sign"}, ValueError, "objective is 'sign'"),
        (
            {"steps": np.ones(3), "beta_range": "auto", "num_sweeps": 5}, ValueError,
            "no rule for rows with steps",
        ),
        (
            {"steps": np.ones(3), "projector": qpsbgd.NativeProjector()}, ValueError,
            "another projector",
        ),
    ],
)  # fmt: skip
def test_bad_steps(rng, options, error, rule):
    X, T = layer(rng, 4, 5, 3)
    with pytest.raises(error, match=rule):
        project(X, T, **options)
