"""The binary Rosenbrock function: the function, the methods on it, the rate, fixed points."""

import dataclasses
import itertools
import re

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("scipy")

from qpsbgd.experiments import rosenbrock as function
from qpsbgd.experiments.reproduce import rosenbrock as module
from qpsbgd.experiments.reproduce.experiment import Cell
from qpsbgd.experiments.reproduce.rosenbrock import CASES, FIXED, GRIDS, ROSENBROCK
from qpsbgd.experiments.reproduce.store import Store
from qpsbgd.experiments.reproduce.study import run_tables
from qpsbgd.experiments.rosenbrock import (
    GRADIENT_UNIT,
    HORIZONS,
    METHODS,
    Problem,
    Run,
    Sample,
    fitted_rate,
    mean_norms,
    optimise,
)
from qpsbgd.optim import ProxQuant

LATENT = {"lr": 0.1, "scale": 1.0, "momentum": 0.0}
PROJECTED = {"lr": 1.5, "scale": 1.0, "momentum": 0.9}


def test_the_function_of_two_variables():
    problem = Problem(2)
    for x, value in [((1, 1), 0), ((-1, 1), 4), ((1, -1), 400), ((-1, -1), 404)]:
        assert problem.value(np.array(x, float)) == value
    assert Problem(2, a=2.0).value(np.array([0.0, 1.0])) == 100 + 4 - 1


@pytest.mark.parametrize("problem", [Problem(6), Problem(6, a=0.5, closed=True)])
def test_gradients_are_those_of_the_value(problem, rng):
    x, eps = rng.normal(size=6), 1e-6
    for k, slope in enumerate(problem.gradient(x)):
        ahead, behind = x.copy(), x.copy()
        ahead[k] += eps
        behind[k] -= eps
        assert (problem.value(ahead) - problem.value(behind)) / (2 * eps) == pytest.approx(slope)


@pytest.mark.parametrize("problem", [p for p in CASES.values() if p.num_variables <= 10])
@pytest.mark.parametrize("a", [0.5, 1.0, 2.0])
def test_ones_are_the_only_minimum_over_signs(problem, a):
    problem = dataclasses.replace(problem, a=a, closed=True)
    points = itertools.product([-1.0, 1.0], repeat=problem.num_variables)
    values = sorted((problem.value(np.array(x)), x) for x in points)
    assert values[0] == (0.0, (1.0,) * problem.num_variables)
    assert values[1][0] > 0


def test_sampled_terms_are_unbiased(rng):
    problem = Problem(9)
    weights = np.stack([problem.sampled_terms(rng) for _ in range(4000)])
    assert (weights[:, -1] == 0).all()
    assert (np.count_nonzero(weights, axis=1) == 2).all()
    assert set(np.unique(weights)) == {0.0, 1.0}
    # A term is drawn with probability 1/4: variance 3/16.
    assert abs(weights[:, :-1].mean(axis=0) - 1 / 4).max() < 4 * (3 / 16 / 4000) ** 0.5


@pytest.mark.parametrize("sampling", ["directions", "terms"])
def test_estimates_are_unbiased(sampling, rng):
    problem = Problem(9, sampling=sampling)
    s, at = np.where(rng.random((2, 9)) < 0.5, -1.0, 1.0)
    draws = np.stack([Sample.draw(problem, at, s, rng).estimate for _ in range(4000)])
    expected = s * problem.gradient(at) / GRADIENT_UNIT
    error = draws.std(axis=0) / 4000**0.5
    assert (abs(draws.mean(axis=0) - expected) <= 4 * error).all()


@pytest.mark.parametrize("a", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("sampling", ["directions", "terms"])
def test_estimates_are_0_where_exact_sums_are(a, sampling):
    """Rounding is not 0, and signSGD would take a whole step along it."""
    problem = Problem(100, a=a, closed=True, sampling=sampling)
    rng, zeros = np.random.default_rng, 0
    at = np.ones(100)
    at[0] = -1.0
    for seed in range(20):
        s = np.where(rng(seed).random(100) < 0.5, -1.0, 1.0)
        sample = Sample.draw(problem, at, s, rng(seed))
        Z = sample.Z.astype(np.int64)
        weights = problem.sampled_terms(rng(seed)) if sampling == "terms" else None
        gradient = (s * problem.gradient(at, weights)).astype(np.int64)
        slopes = Z @ gradient
        exact = gradient if sampling == "terms" else Z.T @ slopes
        np.testing.assert_array_equal(sample.slopes, slopes)
        np.testing.assert_array_equal(np.sign(sample.estimate), np.sign(exact))
        zeros += np.count_nonzero(exact == 0)
    assert zeros > 0


def test_gradients_at_signs_are_integers(rng):
    for problem in CASES.values():
        x = np.where(rng.random(problem.num_variables) < 0.5, -1.0, 1.0)
        gradient = problem.gradient(x)
        np.testing.assert_array_equal(gradient, np.rint(gradient))


@pytest.mark.parametrize("method", METHODS)
def test_where_gradients_are_taken(method, monkeypatch):
    """ProxQuant's at the real point, the others' at its signs."""
    points, gradient = [], Problem.gradient

    def recorded(self, x, weights=None):
        points.append(x)
        return gradient(self, x, weights)

    monkeypatch.setattr(Problem, "gradient", recorded)
    optimise(Problem(10), method, FIXED[method], 0, 5)
    real = [not (abs(x) == 1).all() for x in points]
    # Before each step that of the whole function at the signs, then that which is sampled.
    assert real == [False, method == "ProxQuant"] * 5


def test_no_run_starts_at_the_optimum():
    """Of two variables a quarter would: their gradient is 0, of which there is no logarithm."""
    for seed in range(40):
        run = optimise(Problem(2), "signSGD", {"lr": 0.1, "momentum": 0.0}, seed, 1)
        assert run.values[0] > 0
        assert run.norms[0] > 0


def test_the_published_lambda_is_the_threshold_itself(monkeypatch):
    found, move = [], ProxQuant._map

    def recorded(self, weight, group):
        found.append(group["lr"] * group["strength"])
        move(self, weight, group)

    monkeypatch.setattr(ProxQuant, "_map", recorded)
    ROSENBROCK.run(paper_cell("n = 10", "ProxQuant", quick=True))
    half = module.QUICK_STEPS // 2
    assert found == pytest.approx([0.01] * half + [0.02] * half)


def test_rates_are_those_of_adult_with_ten_layers():
    """method.md: SGD .01, signSGD .02, QP .1, ProxQuant .1."""
    lrs = {method: options["lr"] for method, options in FIXED.items()}
    assert lrs == {
        "QP-SBGD latent": 0.1,
        # Signs do not move along steps shorter than 1.
        "QP-SBGD projected": 1.5,
        "BinaryConnect": 0.01,
        "signSGD": 0.02,
        "ProxQuant": 0.1,
    }
    assert "strength" not in FIXED["ProxQuant"]
    assert FIXED["BinaryConnect"]["optimizer"] == "sgd"


def test_what_the_parameter_a_means_at_the_optimum():
    """A fixed point of the projected rule, V = sign(V - lr B), is where B = -V."""
    ones = np.ones(20)
    assert (CASES["n = 20"].gradient(ones) == 0).all()
    assert (CASES["n = 20, attracting fixed point"].gradient(ones) < 0).all()
    assert (CASES["n = 20, no fixed point"].gradient(ones) > 0).all()


def cell(case, method, options, **changes):
    return Cell("rosenbrock", case, "sound", method, options, 3, "final", **changes)


def paper_cell(case, method, **changes):
    return Cell("rosenbrock", case, "paper", method, FIXED[method], 3, "final", **changes)


@pytest.mark.parametrize("method", list(GRIDS))
def test_a_cell_is_the_same_again(method):
    cells = [cell("n = 10", method, GRIDS[method][2], quick=True) for _ in range(2)]
    first, second = map(ROSENBROCK.run, cells)
    assert first == second
    assert len(first.curves["value"]) == len(first.curves["gradient"]) == module.QUICK_STEPS
    assert first.score == first.curves["value"][-1]


@pytest.mark.parametrize("seed", range(3))
def test_the_optimum_is_reached_and_kept(seed):
    for method, options in (("QP-SBGD latent", LATENT), ("QP-SBGD projected", PROJECTED)):
        run = optimise(Problem(10), method, options, seed, 400)
        assert run.first_hit is not None, method
        assert run.stays == 1.0
        assert run.norms[-1] == 0.0


def test_a_binary_fixed_point_is_kept_only_where_there_is_one():
    stays = {}
    for case in ("n = 20, attracting fixed point", "n = 20, no fixed point"):
        runs = [
            optimise(CASES[case], "QP-SBGD projected", PROJECTED, seed, 600) for seed in range(3)
        ]
        assert all(run.first_hit is not None for run in runs)
        stays[case] = [run.stays for run in runs]
    attracting, none = stays.values()
    assert attracting == [1.0] * 3
    assert max(none) < 0.5


def test_the_optimum_is_not_where_zeros_are_rounded_to():
    """With a rate of 0 nothing moves: the signs of the optimum are random, and so is the start."""
    values = [
        optimise(Problem(10), "signSGD", {"lr": 0.0, "momentum": 0.0}, seed, 1).values[-1]
        for seed in range(20)
    ]
    assert min(values) > 0


@pytest.mark.parametrize("power", [-0.5, -1.0, 0.0])
def test_the_rate_of_a_power_law(power, rng):
    steps = np.geomspace(10, 10_000, 12)
    exact = fitted_rate(steps, 3 * steps**power)
    assert exact.slope == pytest.approx(power)
    assert exact.high - exact.low == pytest.approx(0, abs=1e-6)
    inside = 0
    for _ in range(400):
        noisy = fitted_rate(steps, 3 * steps**power * np.exp(rng.normal(0, 0.2, 12)))
        inside += noisy.low < power < noisy.high
    # Binomial of 400 and .95: a deviation of 4.4.
    assert abs(inside - 380) < 3 * 4.4


def test_rates_of_too_little():
    with pytest.raises(ValueError, match="2 steps and 2 norms, but must be 3 or more pairs"):
        fitted_rate([1, 2], [1, 2])
    with pytest.raises(ValueError, match="must be positive"):
        fitted_rate([1, 2, 3], [1, 0, 2])


def test_the_latent_rule_falls_at_least_as_the_square_root():
    horizons = (32, 64, 128, 256, 512, 1024)
    means = [mean_norms(Problem(5), LATENT, seed, horizons) for seed in range(4)]
    assert np.mean([fitted_rate(horizons, each).slope for each in means]) < -0.4


def test_the_rate_is_a_curve_of_the_final_runs_of_the_latent_rule(monkeypatch):
    means = [1.0 / horizon for horizon in HORIZONS]
    monkeypatch.setattr(module, "mean_norms", lambda problem, options, seed: means)
    monkeypatch.setattr(module, "NUM_STEPS", 5)
    axes = ROSENBROCK.axes["rate"]
    assert (axes.at, axes.log, axes.power) == (HORIZONS, True, -0.5)
    for setting in ("paper", "sound"):
        one = dataclasses.replace(cell("n = 2", "QP-SBGD latent", LATENT), setting=setting)
        outcome = ROSENBROCK.run(one)
        assert outcome.curves["rate"] == means
        assert outcome.details["rate"] == pytest.approx(-1)
        assert set(ROSENBROCK.details) <= set(outcome.details)
        for other in (
            dataclasses.replace(one, stage="tune"),
            dataclasses.replace(one, quick=True),
            dataclasses.replace(one, method="QP-SBGD projected", options=PROJECTED),
        ):
            assert "rate" not in ROSENBROCK.run(other).curves


def test_options_are_chosen_by_several_starts_that_no_final_run_has(monkeypatch):
    seeds = []

    def optimised(problem, method, options, seed, num_steps, *, decay):
        seeds.append(seed)
        return Run([100.0, float(seed % 5)], [1.0])

    monkeypatch.setattr(module, "optimise", optimised)
    for seed in (1000, 1001):
        tuned = ROSENBROCK.run(
            dataclasses.replace(cell("n = 5", "QP-SBGD latent", LATENT), stage="tune", seed=seed)
        )
        assert tuned.score == 2.0  # the mean of 0 to 4
        assert tuned.validation == pytest.approx(-(2.0 + 1e-6 * 51.0), abs=1e-12)
    assert seeds == list(range(5000, 5010))


def test_settings_are_those_of_the_run(monkeypatch):
    full, quick = (ROSENBROCK.settings("n = 10", "sound", quick) for quick in (False, True))
    assert (full["steps"], quick["steps"]) == ("1000", "200")
    assert full["options"].startswith("best of 8 a method by the mean final value of 10 run(s)")
    assert quick["options"].startswith("best of 2 a method by the mean final value of 1 run(s)")
    assert "4096" in full["exponent of T"]
    assert "not measured" in quick["exponent of T"]
    for setting in ("paper", "sound"):
        told = ROSENBROCK.settings("n = 10", setting, quick=False)
        assert "3 sweeps" in told["QP-SBGD"]
    project = spied(monkeypatch)
    optimise(Problem(2), "QP-SBGD latent", LATENT, 0, 1)
    _, options = project[0]
    assert (options["num_sweeps"], options["alpha"]) == (3, "fit")


def spied(monkeypatch):
    """Targets and options of the projections from now on."""
    found, project = [], function.project

    def recorded(X, T, **options):
        found.append((T, options))
        return project(X, T, **options)

    monkeypatch.setattr(function, "project", recorded)
    return found


@pytest.mark.parametrize("sampling", ["directions", "terms"])
def test_projections_have_integers(monkeypatch, sampling):
    """So that the start sign(Z^T Z g) is no matter of rounding: float32 is exact below 2^24."""
    project = spied(monkeypatch)
    optimise(Problem(100, sampling=sampling), "QP-SBGD latent", LATENT, 0, 5)
    assert len(project) == 5
    for T, _ in project:
        np.testing.assert_array_equal(T, np.rint(T))
        assert 1 < abs(T).max() < 2**24 / 100


@pytest.mark.parametrize("setting", ["paper", "sound"])
def test_remarks_hold_whatever_comes_out(setting):
    for case in CASES:
        for remark in ROSENBROCK.remarks(case, setting):
            assert not re.search(r"\b(level|ahead|behind|order|rarely)\b", remark), remark


def test_the_number_of_threads_is_restored():
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        ROSENBROCK.run(paper_cell("n = 2", "QP-SBGD latent", quick=True))
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_all_methods_have_the_same_budget():
    assert {len(grid) for grid in GRIDS.values()} == {8}
    assert tuple(GRIDS) == tuple(FIXED) == METHODS
    for quick in (True, False):
        sizes = {len(method.grid) for method in ROSENBROCK.methods("n = 2", "sound", quick)}
        assert len(sizes) == 1


@pytest.mark.parametrize("setting", ["paper", "sound"])
def test_quick_tables(tmp_path, setting):
    tables = list(run_tables(ROSENBROCK, setting, Store(tmp_path), num_seeds=1, quick=True))
    assert [table.case for table in tables] == list(module.QUICK_CASES)
    for table in tables:
        assert [row.method for row in table.rows] == list(GRIDS)
        assert all(row.mean >= 0 for row in table.rows)
        assert ROSENBROCK.settings(table.case, setting, quick=False)
        assert ROSENBROCK.remarks(table.case, setting)
    if setting == "sound":
        assert {row.method: row.mean for row in tables[0].rows}["QP-SBGD latent"] == 0
