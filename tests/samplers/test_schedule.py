"""Default temperatures: their rule, and the answers that annealing gives with them."""

import math
import tracemalloc
import warnings

import dimod
import numpy as np
import pytest

from qpsbgd import (
    LowRank,
    PathIntegralAnnealingSampler,
    RotorModelAnnealingSampler,
    SimulatedAnnealingSampler,
    _core,
    sample_batch,
)
from qpsbgd.samplers import temperature_rules
from qpsbgd.samplers.batch import batch_temperatures
from qpsbgd.samplers.batch.arguments import checked_couplings
from qpsbgd.samplers.batch.batch_options import BatchOptions
from qpsbgd.samplers.batch.sparse import SparseCouplings
from qpsbgd.samplers.problem.ising import Problem
from qpsbgd.samplers.schedule import cooling
from qpsbgd.samplers.temperature_rules import Temperatures, auto_beta_range, auto_temperatures
from reference import temperatures

# Fixed seeds: a bound passes for ever or fails for ever.


def independent(fields):
    return dimod.BinaryQuadraticModel(dict(enumerate(fields)), {}, 0.0, "SPIN")


def spin_model(h, rows, columns, values):
    return dimod.BinaryQuadraticModel.from_numpy_vectors(h, (rows, columns, values), 0.0, "SPIN")


def degree_six(rng, n, draw):
    """Three random rings through all variables."""
    orders = [rng.permutation(n) for _ in range(3)]
    rows, columns = np.concatenate(orders), np.concatenate([np.roll(k, 1) for k in orders])
    return rows, columns, draw(rng, len(rows))


def lognormal(rng, count):
    return rng.lognormal(0.0, 2.0, count) * rng.choice([-1, 1], count)


def cauchy(rng, count):
    return rng.standard_cauchy(count)


def normal(rng, count):
    return rng.normal(size=count)


def matrices(rng, problems, n, draw):
    """Symmetric couplings (B, n, n) of degree six."""
    J = np.zeros((problems, n, n))
    for matrix in J:
        rows, columns, values = degree_six(rng, n, draw)
        np.add.at(matrix, (rows, columns), values)
        matrix += matrix.T
    return J


# ---- the rule ----------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2, 100, 10_000])
@pytest.mark.parametrize("field", [1.0, -3e5, 1e-7])
def test_temperatures_of_equal_barriers(n, field):
    barrier = 2 * abs(field)
    found = auto_temperatures(Problem(independent(np.full(n, field))))
    expected = np.array([2.5, math.log(1 / 2e-4), math.log(n / 0.01)]) / barrier
    np.testing.assert_allclose(found, np.maximum.accumulate(expected), rtol=1e-3)


def test_the_cold_end_grows_with_the_number_of_variables():
    ends = [auto_beta_range(Problem(independent(np.ones(n))))[1] for n in (1000, 10**4, 10**5)]
    np.testing.assert_allclose(np.diff(ends), math.log(10) / 2, rtol=2e-3)


def test_rule_equals_twin(rng):
    barriers = np.round(rng.gamma(1.0, 2.0, (3, 400)), 1)  # with equal ones, and zeros
    highest = barriers.max(axis=0) * rng.uniform(1.0, 3.0, 400) + 1e-3
    found = temperature_rules.temperatures_of_barriers(barriers, highest)
    counted = [(b, m) for row in barriers for b, m in zip(row, highest, strict=True) if b > 0]
    median = sorted(b for b, _ in counted)
    median = (median[(len(median) - 1) // 2] + median[len(median) // 2]) / 2
    disputed = sorted((b, min(b, m - b + median)) for b, m in counted)
    below, total = 0.0, sum(energy for _, energy in disputed)
    for barrier, energy in disputed:  # noqa: B007
        below += energy
        if below >= 0.9 * total:
            break
    assert found.hot == pytest.approx(5.0 / barrier)
    weights = [min(1.0, sum(c <= b for c, _ in counted) / len(counted) / 0.05) for b, _ in counted]
    excited = [math.exp(-found.knee * b) * w**2 for (b, _), w in zip(counted, weights, strict=True)]
    assert np.mean(excited) == pytest.approx(2e-4, rel=2e-3)
    assert sum(math.exp(-found.cold * b) for b, _ in counted) / 3 == pytest.approx(0.01, rel=2e-3)


def test_one_strong_coupling_among_many_does_not_move_the_hot_end_or_the_knee(rng):
    rows, columns, values = degree_six(rng, 1000, normal)
    plain = auto_temperatures(Problem(spin_model(np.zeros(1000), rows, columns, values)))
    values[0] = 1e6
    found = auto_temperatures(Problem(spin_model(np.zeros(1000), rows, columns, values)))
    np.testing.assert_allclose(found[:2], plain[:2], rtol=0.3)


def test_few_variables_that_hold_most_of_the_energy_in_dispute_set_the_hot_end(rng):
    rows, columns, values = degree_six(rng, 1000, normal)
    plain = auto_temperatures(Problem(spin_model(np.zeros(1000), rows, columns, values)))
    few = degree_six(rng, 50, normal)
    joined = [np.concatenate(pair) for pair in zip((rows, columns), (few[0], few[1]), strict=True)]
    joined[0][len(rows) :] += 1000
    joined[1][len(rows) :] += 1000
    strong = np.concatenate([values, 1000 * few[2]])
    found = auto_temperatures(Problem(spin_model(np.zeros(1050), *joined, strong)))
    assert plain.hot / 2000 < found.hot < plain.hot / 500
    assert found.knee == pytest.approx(plain.knee, rel=0.3)  # most variables are as they were


def test_the_cold_end_reaches_few_small_barriers_that_are_sums_of_large_biases():
    """Maximum independent set beside a penalty: a member's barrier is its weight."""
    n, weight = 400, 1.0
    rng = np.random.default_rng(3)
    rows, columns = np.triu_indices(n, 1)
    kept = rng.random(len(rows)) < 0.5
    for penalty in (10.0, 1e3, 1e6, 1e9):
        bqm = dimod.BinaryQuadraticModel.from_numpy_vectors(
            np.full(n, -weight), (rows[kept], columns[kept], np.full(kept.sum(), penalty)), 0.0,
            "BINARY",
        )  # fmt: skip
        # Seven to ten members: less than three in a hundred variables.
        assert math.log(7 / 0.01) < weight * auto_temperatures(Problem(bqm)).cold < 7.2


@pytest.mark.parametrize("form", ["dense", "sparse"])
def test_temperatures_depend_on_the_problem_alone(rng, form):
    rows, columns, _ = degree_six(rng, 80, normal)
    values = rng.integers(-9, 10, len(rows)).astype(float)
    bqm = spin_model(rng.integers(-3, 4, 80).astype(float), rows, columns, values)
    expected = auto_temperatures(Problem(bqm, "dense"))
    np.random.seed(1)  # noqa: NPY002
    assert auto_temperatures(Problem(bqm, form)) == expected
    infos = [
        SimulatedAnnealingSampler().sample(bqm, num_sweeps=5, seed=s, num_threads=t, form=form).info
        for s, t in ((1, 1), (2, 2))
    ]
    for info in infos:
        assert info["beta_range"] == pytest.approx([expected.hot, expected.cold])


def test_one_hot_penalties_scale_the_temperatures(rng):
    costs, found = rng.integers(1, 10, 200), []
    for penalty in (1e6, 1e9, 1e12):
        bqm = dimod.BinaryQuadraticModel({i: float(c) for i, c in enumerate(costs)}, {}, "BINARY")
        for first in range(0, 200, 5):
            group = [(i, 1.0) for i in range(first, first + 5)]
            bqm.add_linear_equality_constraint(group, penalty, -1.0)
        found.append(np.multiply(auto_temperatures(Problem(bqm)), penalty))
    # All flips of a state with one variable of each group cost the penalty.
    expected = [2.5, math.log(1 / 2e-4), math.log(200 / 0.01)]
    np.testing.assert_allclose(found, [expected] * 3, rtol=5e-3)


# ---- schedules ---------------------------------------------------------------------------------


def test_cooling_spends_at_most_a_tenth_beyond_the_knee():
    for num_sweeps in (2, 3, 10, 15, 100, 1000):
        betas = cooling(Temperatures(0.5, 4.0, 4e6), num_sweeps)
        tail = math.ceil(num_sweeps / 10)
        assert len(betas) == num_sweeps
        np.testing.assert_allclose(
            betas[: num_sweeps - tail], np.geomspace(0.5, 4, num_sweeps - tail)
        )
        np.testing.assert_allclose(betas[num_sweeps - tail :], np.geomspace(4, 4e6, tail + 1)[1:])


def test_cooling_spends_no_more_beyond_the_knee_than_an_even_schedule():
    # A twentieth of the way from 1 to 10^4 is beyond the knee.
    betas = cooling(Temperatures(1.0, 10**3.8, 10**4.0), 400)
    np.testing.assert_allclose(betas, np.geomspace(1, 1e4, 400), rtol=0.03)
    assert betas[-1] == pytest.approx(1e4)


def test_linear_cooling():
    betas = cooling(Temperatures(0.5, 5.0, 5e4), 20, "linear")
    np.testing.assert_allclose(betas[:18], np.linspace(0.5, 5, 18))
    np.testing.assert_allclose(betas[18:], [5e2, 5e4])


def test_short_cooling():
    temperatures = Temperatures(1.0, 2.0, 8.0)
    assert cooling(temperatures, 0).shape == (0,)
    assert cooling(temperatures, 1).tolist() == [8.0]
    assert cooling(temperatures, 2) == pytest.approx([1.0, 8.0])
    np.testing.assert_allclose(cooling(Temperatures(1.0, 4.0, 4.0), 3), [1.0, 2.0, 4.0])


@pytest.mark.parametrize("kind", ["geometric", "linear"])
def test_the_sampler_cools_in_two_parts(kind):
    """An annealer at the default temperatures makes the moves of their custom schedule."""
    rng = np.random.default_rng(4)
    rows, columns, values = degree_six(rng, 60, normal)
    bqm = spin_model(np.zeros(60), rows, columns, values)
    temperatures = auto_temperatures(Problem(bqm))
    assert temperatures.cold > 2 * temperatures.knee
    options = {"num_reads": 8, "seed": 3, "keep": "final"}
    betas = cooling(temperatures, 6, kind)
    custom = SimulatedAnnealingSampler().sample(
        bqm, beta_schedule=betas, beta_schedule_type="custom", **options
    )
    options |= {"num_sweeps": 6, "beta_schedule_type": kind}
    for beta_range in (None, "auto"):
        found = SimulatedAnnealingSampler().sample(bqm, beta_range, **options)
        np.testing.assert_array_equal(found.record.sample, custom.record.sample)
        assert found.info["beta_range"] == pytest.approx([temperatures.hot, temperatures.cold])


# ---- extremes ----------------------------------------------------------------------------------

EXTREMES = {
    "one spin": ([0.3], [], [], []),
    "one spin without a field beside another": ([0.0, 0.3], [], [], []),
    "spins without fields": ([0.0, 0.0, 0.0], [0], [1], [-2.0]),
    "frustrated ring": ([0.0] * 4, [0, 1, 2, 0], [1, 2, 3, 3], [1.0, 1.0, 1.0, -1.0]),
    "subnormal": ([5e-324, 0.0], [0], [1], [1.5e-323]),
    "huge": ([8e307, -2e306], [0], [1], [3e307]),
    "huge beside subnormal": ([1e307, 5e-324], [], [], []),
    "317 decades": ([1e307, 1e-10], [], [], []),
    "300 decades": (10.0 ** np.arange(-290, 11, 30), [], [], []),
}  # fmt: skip


@pytest.mark.parametrize("name", EXTREMES)
def test_extreme_biases_have_a_finite_range(name):
    h, rows, columns, values = EXTREMES[name]
    h, values = np.array(h), np.array(values)
    problem = Problem(spin_model(h, rows, columns, values))
    with np.errstate(divide="raise", invalid="raise", over="raise"):
        found = auto_temperatures(problem)
        assert 0 < found.hot <= found.knee <= found.cold < np.inf
        betas = cooling(found, 30)
    assert np.isfinite(betas).all()
    assert (np.diff(betas) >= 0).all()
    J = np.zeros((len(h), len(h)))
    J[rows, columns] = J[columns, rows] = values
    shared, own = (J, np.stack([J, J / 2, 0 * J])), np.stack([h, h / 2, 0 * h])
    for couplings in shared:
        ends = sample_batch(own, couplings, num_sweeps=5, seed=1).info["beta_range"]
        assert (ends > 0).all()
        assert np.isfinite(ends).all()
        assert (ends[:, 0] <= ends[:, 1]).all()


@pytest.mark.parametrize("scale", [1e-300, 1e-310, 1e300])
def test_a_batch_of_mixed_magnitudes_has_finite_ranges(rng, scale):
    J = matrices(rng, 6, 20, normal)
    h = rng.normal(size=(6, 20))
    J[1], h[2] = scale * J[1], scale * h[2]
    J[3], h[3] = 0, 0
    for couplings in (J, J[0]):
        ends = sample_batch(h, couplings, num_sweeps=5, seed=1).info["beta_range"]
        assert np.isfinite(ends).all()
        assert (ends > 0).all()


@pytest.mark.parametrize("beta_range", [None, "dwave"])
def test_problems_without_biases_warn_at_the_call(beta_range):
    bqm = independent(np.zeros(5))
    with pytest.warns(UserWarning, match="all biases are zero") as caught:
        result = SimulatedAnnealingSampler().sample(bqm, beta_range, num_sweeps=5)
    assert caught[0].filename == __file__
    assert result.info["beta_range"] == pytest.approx([0.1, 1.0])


# ---- answers -----------------------------------------------------------------------------------


def test_independent_spins_are_all_right():
    n = 10_000
    result = SimulatedAnnealingSampler().sample(
        independent(np.ones(n)), num_sweeps=200, num_reads=20, seed=0
    )
    np.testing.assert_array_equal(result.record.energy, -n)


def test_independent_spins_of_any_size_are_all_right(rng):
    fields = rng.normal(size=5000) * 10.0 ** rng.uniform(-4, 4, 5000)
    result = SimulatedAnnealingSampler().sample(
        independent(fields), num_sweeps=200, num_reads=5, seed=0, keep="final"
    )
    wrong = result.record.sample[:, np.argsort(result.variables)] * np.sign(fields) > 0
    # 0.01 are expected in a read.
    assert not wrong.any()


@pytest.mark.parametrize("num_sweeps", [20, 200])
def test_small_biases_of_their_own_beside_large_couplings(num_sweeps):
    """300 spins of a glass with couplings up to 100, 20 free spins and 20 weakly coupled pairs."""
    rng = np.random.default_rng(5)
    rows, columns = np.triu_indices(300, 1)
    values = rng.integers(-100, 101, len(rows)).astype(float)
    small = rng.uniform(0.5, 2.0, 40) * 1e-4 * rng.choice([-1, 1], 40)
    h = np.zeros(360)
    h[300:320] = small[:20]
    first = np.arange(320, 360, 2)
    rows, columns = np.concatenate([rows, first]), np.concatenate([columns, first + 1])
    bqm = spin_model(h, rows, columns, np.concatenate([values, small[20:]]))
    result = SimulatedAnnealingSampler().sample(
        bqm, num_sweeps=num_sweeps, num_reads=10, seed=1, keep="final"
    )
    s = result.record.sample[:, np.argsort(result.variables)]
    np.testing.assert_array_equal(s[:, 300:320], np.tile(-np.sign(small[:20]), (10, 1)))
    np.testing.assert_array_equal(
        s[:, first] * s[:, first + 1], np.tile(-np.sign(small[20:]), (10, 1))
    )


@pytest.mark.parametrize("draw", [lognormal, cauchy])
@pytest.mark.parametrize(
    ("n", "num_reads"), [(1000, 32), pytest.param(10_000, 8, marks=pytest.mark.slow)]
)
def test_heavy_tails(draw, n, num_reads):
    """Mean energies of 1000 sweeps are below those of dwave-samplers' rule and its annealer."""
    peer = pytest.importorskip("dwave.samplers").SimulatedAnnealingSampler()
    bqm = spin_model(np.zeros(n), *degree_six(np.random.default_rng(0), n, draw))
    options = {"num_sweeps": 1000, "num_reads": num_reads, "seed": 1}
    auto, dwave = (
        SimulatedAnnealingSampler().sample(bqm, rule, keep="final", **options).record.energy.mean()
        for rule in ("auto", "dwave")
    )
    assert auto < dwave
    assert auto < peer.sample(bqm, **options).record.energy.mean()


# ---- batches -----------------------------------------------------------------------------------


def test_a_batch_of_one_problem_has_the_samplers_range(rng):
    J = matrices(rng, 1, 100, normal)
    h = rng.normal(size=(1, 100))
    rows, columns = np.nonzero(np.triu(J[0]))
    expected = auto_beta_range(Problem(spin_model(h[0], rows, columns, J[0, rows, columns])))
    for couplings in (J, J[0]):
        found = sample_batch(h, couplings, num_sweeps=20).info["beta_range"]
        np.testing.assert_allclose(found[0], expected, rtol=1e-6)


@pytest.mark.parametrize("form", ["dense", "interleaved", "low_rank", "sparse"])
def test_minima_that_a_batch_looks_at_are_minima_in_float64(rng, form, monkeypatch):
    monkeypatch.setattr(
        batch_temperatures, "SCOUT_SWEEPS", 3
    )  # too few: the low-rank form has to go on
    A, h = rng.normal(size=(20, 60)), rng.normal(size=(4, 60))
    couplings = checked_couplings(LowRank(A), h.shape, 1)
    if form != "low_rank":
        couplings = couplings.to_dense()
    if form == "sparse":
        couplings = SparseCouplings.from_dense(couplings)
    starts = rng.choice(np.array([-1, 1], np.int8), (4, 8, 60))
    states = batch_temperatures.local_minima(
        h, couplings, starts, BatchOptions(num_threads=1, form=form)
    )
    gains = states * couplings.fields(h, states, 1)
    assert (gains <= 1e-14 * couplings.reach(h)[:, None, :]).all()


@pytest.mark.parametrize("shared", [True, False])
def test_independent_spins_in_a_batch_are_all_right(shared):
    n, problems = 1000, 10
    J = np.zeros((n, n) if shared else (problems, n, n))
    h = np.outer(np.ones(problems) if shared else 10.0 ** np.arange(problems), np.ones(n))
    found = sample_batch(h, J, num_sweeps=100, seed=1, keep="final")
    np.testing.assert_array_equal(found.states, -1)


def test_small_fields_in_a_batch_that_shares_j(rng):
    J = np.zeros((60, 60))
    J[:40, :40] = np.triu(rng.integers(-9, 10, (40, 40)), 1)
    J += J.T
    h = np.zeros((30, 60))
    h[:, 40:] = rng.choice([-1e-4, 1e-4], (30, 20))
    found = sample_batch(h, J, num_sweeps=100, num_reads=4, seed=1, keep="final")
    wrong = (found.states[..., 40:] != -np.sign(h[:, None, 40:])).sum()
    # 0.01 are expected in each of 120 states. Poisson: more than 5 with p = 0.0015.
    assert wrong <= 5


@pytest.mark.parametrize("draw", [lognormal, cauchy])
def test_heavy_tails_in_a_batch(draw):
    """Mean energies of 1000 sweeps are below those of dwave-samplers' rule for each problem."""
    rng = np.random.default_rng(0)
    J = matrices(rng, 16, 200, draw)
    h = np.zeros((16, 200))
    energies = sample_batch(h, J, num_sweeps=1000, num_reads=4, seed=1, keep="final").energies
    rows, columns = np.triu_indices(200, 1)
    means = []
    for matrix in J:
        bqm = spin_model(h[0], rows, columns, matrix[rows, columns])
        result = SimulatedAnnealingSampler().sample(
            bqm, "dwave", num_sweeps=1000, num_reads=4, seed=1, keep="final"
        )
        means.append(result.record.energy.mean())
    ratios = energies.mean(axis=1) / means  # energies are negative
    assert ratios.mean() > 1


@pytest.mark.parametrize("rule", ["auto", "dwave"])
def test_a_problem_without_biases_warns_the_callers_line(rule):
    bqm = dimod.BinaryQuadraticModel({"a": 0.0}, {}, 0.0, "SPIN")
    with pytest.warns(UserWarning, match="all biases are zero") as caught:
        SimulatedAnnealingSampler().sample(bqm, rule)
    assert [warning.filename for warning in caught] == [__file__]


def test_a_problem_of_a_batch_without_biases_says_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = sample_batch(np.zeros((2, 4)), np.zeros((2, 4, 4)), num_sweeps=5)
    np.testing.assert_allclose(found.info["beta_range"], [temperature_rules.ARBITRARY] * 2)


@pytest.mark.parametrize("count", [1, 2, 3, 10, 999, 4096])
@pytest.mark.parametrize("kind", ["continuous", "equal", "integers", "heavy"])
def test_hot_and_knee_equal_their_twin(rng, count, kind):
    barriers = {
        "continuous": lambda: rng.exponential(size=count),
        "equal": lambda: np.full(count, 0.7),
        "integers": lambda: rng.integers(1, 6, count).astype(float),
        "heavy": lambda: np.exp(4 * rng.normal(size=count)),
    }[kind]()
    highest = barriers * rng.uniform(1.0, 3.0, count)
    constants = {
        "hot": 5.0, "hot_quantile": 0.9, "large_per_median": 2.0, "knee_excited": 2e-4,
        "knee_lowest": 0.05,
    }  # fmt: skip
    expected = temperatures.hot_and_knee(barriers, highest, **constants)
    assert _core.hot_and_knee(barriers, highest, **constants) == pytest.approx(expected, rel=1e-9)
    cold = temperatures.beta_of_excitations(barriers, np.ones(count), 0.01, expected[1])
    found = _core.beta_of_excitations(barriers, number=0.01, least=expected[1])
    assert found == pytest.approx(cold, rel=1e-9)
    assert cold == expected[1] or np.exp(-found * barriers).sum() == pytest.approx(0.01, rel=2e-3)


def test_a_long_schedule_takes_no_more_than_its_arrays():
    num_sweeps = 10**6
    bqm = independent([1.0, -1.0])
    tracemalloc.start()
    try:
        SimulatedAnnealingSampler().sample(
            bqm, num_sweeps=num_sweeps, seed=1, interrupt_function=lambda: True
        )
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 48 * num_sweeps  # six arrays; Python's floats would take 32 bytes each


@pytest.mark.parametrize(
    "sampler", [SimulatedAnnealingSampler, PathIntegralAnnealingSampler, RotorModelAnnealingSampler]
)
def test_more_sweeps_than_a_schedule_can_hold_are_refused(sampler):
    with pytest.raises(
        ValueError, match=r"num_sweeps is 1000000000, but must lie in \[0, 10000000"
    ):
        sampler().sample(independent([1.0]), num_sweeps=10**9, time_limit=0.1)
