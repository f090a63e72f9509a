"""The type of local fields follows from the biases: results do not depend on penalties or constants
as long as float64 holds the differences."""

import itertools

import dimod
import dimod.testing
import numpy as np
import pytest

from problems import random_bqm, random_graph
from qpsbgd import (
    ExhaustiveSampler,
    LowRank,
    SimulatedAnnealingSampler,
    SteepestDescentSampler,
    TabuSampler,
    _core,
    sample_batch,
)
from qpsbgd.samplers.problem.ising import Problem

PENALTIES = [10.0**k for k in range(2, 13)]
#: Weights of a partition whose halves can be equal, and more digits than float32 has.
WEIGHTS = [
    8506, 6369, 5111, 2698, 3078, 410, 753, 166, 1753, 8132,
    6494, 9127, 5036, 6066, 9707, 7295, 6323, 5436, 5599, 9351,
]  # fmt: skip

SEARCHES = {
    "sa": (SimulatedAnnealingSampler(), {"num_reads": 200, "num_sweeps": 300}),
    "tabu": (TabuSampler(), {"num_reads": 4, "timeout": None, "num_restarts": 60}),
    "descent": (SteepestDescentSampler(), {"num_reads": 300}),
}


def partition(weights):
    """(sum_i a_i s_i)^2."""
    pairs = itertools.combinations(range(len(weights)), 2)
    J = {(i, j): 2.0 * weights[i] * weights[j] for i, j in pairs}
    return dimod.BQM.from_ising({}, J, float(sum(a * a for a in weights)))


def one_hot_chain(seed, penalty, groups=6, vartype="BINARY", real=False):
    """One variable of each group of four, with costs of variables and of neighbouring groups."""
    rng = np.random.default_rng(seed)
    shift = rng.random if real else lambda: 0.0
    bqm = dimod.BQM("BINARY")
    for g in range(groups):
        for k in range(4):
            bqm.add_linear((g, k), float(rng.integers(1, 10)) + shift())
        bqm.add_linear_equality_constraint([((g, k), 1.0) for k in range(4)], penalty, -1.0)
    for g, k, m in itertools.product(range(groups - 1), range(4), range(4)):
        bqm.add_quadratic((g, k), (g + 1, m), float(rng.integers(0, 5)) + shift())
    return bqm.change_vartype(vartype, inplace=True)


def best_choice(seed, **options):
    """The optimum of a chain by dynamic programming: no penalty, no energies to round."""
    bqm = one_hot_chain(seed, 0.0, **options)
    groups = bqm.num_variables // 4
    costs = np.array([[bqm.get_linear((g, k)) for k in range(4)] for g in range(groups)])
    steps = [
        [[bqm.get_quadratic((g, k), (g + 1, m)) for m in range(4)] for k in range(4)]
        for g in range(groups - 1)
    ]
    best = costs[0]
    for g, step in enumerate(np.array(steps)):
        best = (best[:, None] + step).min(axis=0) + costs[g + 1]
    return best.min()


def cost_of(sample, seed, **options):
    """Without penalties, of a state with one variable of each group."""
    bqm = one_hot_chain(seed, 0.0, **options)
    groups = bqm.num_variables // 4
    assert all(sum(sample[g, k] > 0 for k in range(4)) == 1 for g in range(groups))
    return bqm.energy({v: int(sample[v] > 0) for v in bqm.variables})


@pytest.mark.parametrize("seed", range(3))
def test_number_partitioning(isa, seed):
    found = TabuSampler().sample(
        partition(WEIGHTS), seed=seed, timeout=None, num_restarts=4000, num_threads=1
    )
    assert found.info["precision"] == "float64"
    assert found.first.energy == 0.0


@pytest.mark.parametrize("method", SEARCHES)
@pytest.mark.parametrize("real", [False, True])
@pytest.mark.parametrize("vartype", ["BINARY", "SPIN"])
@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_one_hot_chains_at_any_penalty(method, vartype, real, seed):
    sampler, options = SEARCHES[method]
    # In spins a penalty of 1e12 leaves the costs' real parts four digits.
    for penalty in PENALTIES:
        bqm = one_hot_chain(seed, penalty, vartype=vartype, real=real)
        found = sampler.sample(bqm, seed=seed, **options)
        cost = cost_of(found.first.sample, seed, real=real)
        assert cost == pytest.approx(best_choice(seed, real=real), abs=1e-9), penalty
        dimod.testing.assert_sampleset_energies(found, bqm)
        assert penalty < 1e8 or found.info["precision"] == "float64"


def test_one_hot_chains_in_a_batch():
    for penalty in (1e3, 1e6, 1e9, 1e12):
        bqms = [one_hot_chain(seed, penalty) for seed in range(8)]
        h, J = np.zeros((8, 24)), np.zeros((8, 24, 24))
        for b, bqm in enumerate(bqms):
            linear, (rows, columns, values), _ = bqm.to_numpy_vectors(
                variable_order=list(bqm.variables)
            )
            h[b], J[b, rows, columns], J[b, columns, rows] = linear, values, values
        for method, reads in (("sa", 60), ("tabu", 30), ("descent", 300)):
            result = sample_batch(h, J, vartype="BINARY", num_reads=reads, method=method, seed=1)
            for seed, bqm in enumerate(bqms):
                k = result.energies[seed].argmin()
                sample = dict(zip(bqm.variables, result.states[seed, k], strict=True))
                assert cost_of(sample, seed) == best_choice(seed), (method, penalty)
            assert penalty < 1e8 or result.info["precision"] == "float64"


def test_one_problem_of_a_batch_decides():
    rng = np.random.default_rng(3)
    J = rng.normal(size=(64, 24, 24))
    J = np.triu(J, 1) + np.triu(J, 1).swapaxes(1, 2)
    h = rng.normal(size=(64, 24))
    assert sample_batch(h, J, num_sweeps=1, seed=0).info["precision"] == "float32"
    bqm = one_hot_chain(0, 1e9, vartype="SPIN")
    linear, (rows, columns, values), _ = bqm.to_numpy_vectors(variable_order=list(bqm.variables))
    J[37], h[37] = 0.0, linear
    J[37, rows, columns] = J[37, columns, rows] = values
    assert sample_batch(h, J, num_sweeps=1, seed=0).info["precision"] == "float64"


def test_low_rank_partitions_are_kept_as_matrices():
    weights = np.array(WEIGHTS * 3, float)
    result = sample_batch(np.zeros((1, 60)), LowRank(weights[None, :]), num_reads=64, seed=1)
    assert result.info["precision"] == "float64"
    assert result.info["form"] == "dense"
    sums = np.abs(result.states[0] @ weights)
    assert sums.min() == 0


@pytest.mark.parametrize("method", SEARCHES)
@pytest.mark.parametrize("constant", [0.0, 1e6, -1e9, 1e12])
def test_a_constant_changes_nothing(method, constant):
    sampler, options = SEARCHES[method]
    plain = random_bqm(np.random.default_rng(5), 30, 0.5)
    moved = plain.copy()
    moved.offset += constant
    before, after = (sampler.sample(bqm, seed=4, **options) for bqm in (plain, moved))
    np.testing.assert_array_equal(before.record.sample, after.record.sample)
    np.testing.assert_array_equal(after.record.energy, before.record.energy + constant)


@pytest.mark.parametrize("method", SEARCHES)
@pytest.mark.parametrize("power", [-300, -30, 7, 40, 280])
def test_a_power_of_two_changes_nothing(method, power):
    sampler, options = SEARCHES[method]
    plain = one_hot_chain(1, 1e9, groups=3)
    scaled = plain.copy()
    scaled.scale(2.0**power)
    before, after = (sampler.sample(bqm, seed=4, **options) for bqm in (plain, scaled))
    np.testing.assert_array_equal(before.record.sample, after.record.sample)


def test_what_is_kept_in_float32():
    rng = np.random.default_rng(0)
    wide = {
        "normal, dense": [Problem(random_bqm(rng, n, kind="normal")) for n in (20, 60, 200)],
        "normal, sparse": [Problem(random_graph(rng, n)) for n in (100, 3000)],
        "small integers": [Problem(random_bqm(rng, 50))],
        "no bias": [Problem(dimod.BQM(dict.fromkeys(range(5), 0.0), {}, 0.0, "SPIN"))],
    }
    for kind, problems in wide.items():
        assert not any(problem.core.needs_float64() for problem in problems), kind


def test_what_needs_float64():
    rng = np.random.default_rng(0)
    small = dimod.BQM(dict.fromkeys(range(50), 10000000.0) | {99: 1.5e-3}, {}, 0.0, "SPIN")
    real = dimod.BQM("BINARY")
    for i, j in itertools.combinations(range(30), 2):
        real.add_quadratic(i, j, rng.normal())
    real.add_linear_equality_constraint([(i, 1.0) for i in range(30)], 1e8, -7.0)
    for bqm in (partition(WEIGHTS), one_hot_chain(0, 1e9), one_hot_chain(0, 1e9, real=True),
                small, real):  # fmt: skip
        assert Problem(bqm).core.needs_float64()


@pytest.mark.parametrize("form", ["dense", "sparse"])
@pytest.mark.parametrize("random_order", [False, True])
@pytest.mark.parametrize("acceptance", ["Metropolis", "Gibbs"])
@pytest.mark.parametrize("n", [1, 15, 16, 17, 64, 65, 130])
def test_float64_is_the_twin_where_float32_is_exact(isa, n, form, random_order, acceptance):
    bqm = random_bqm(np.random.default_rng(n), n, 0.3)
    options = {
        "num_reads": 6, "num_sweeps": 40, "seed": 3, "form": form, "keep": "final",
        "randomize_order": random_order, "proposal_acceptance_criteria": acceptance,
        "beta_range": (0.02, 0.3),
    }  # fmt: skip
    found = [
        SimulatedAnnealingSampler().sample(bqm, precision=precision, **options)
        for precision in ("float32", "float64")
    ]
    assert [result.info["precision"] for result in found] == ["float32", "float64"]
    np.testing.assert_array_equal(found[0].record.sample, found[1].record.sample)


@pytest.mark.parametrize("form", ["dense", "sparse"])
@pytest.mark.parametrize("n", [4, 17, 128, 150, 300])
def test_tabu_in_float64_is_the_twin_where_float32_is_exact(isa, n, form):
    bqm = random_bqm(np.random.default_rng(n), n, 0.3)
    found = [
        TabuSampler().sample(
            bqm, precision=precision, form=form, num_reads=3, num_restarts=20, timeout=None, seed=2
        )
        for precision in ("float32", "float64")
    ]
    np.testing.assert_array_equal(found[0].record.sample, found[1].record.sample)
    assert found[0].info["num_moves"] == found[1].info["num_moves"]


@pytest.mark.parametrize("real", [False, True])
def test_float64_gives_the_same_on_every_isa_and_thread_count(monkeypatch, real):
    bqm = one_hot_chain(2, 1e9, groups=12, real=real)
    for sampler, options in SEARCHES.values():
        results = []
        for isa, threads in itertools.product(_core.available_isas(), (1, 2, 3)):
            monkeypatch.setenv("QPSBGD_ISA", isa)
            results.append(sampler.sample(bqm, seed=1, num_threads=threads, **options))
        for result in results[1:]:
            np.testing.assert_array_equal(result.record.sample, results[0].record.sample)


def test_tabu_ends_on_wide_ranges():
    for seed in range(8):
        rng = np.random.default_rng(seed)
        J = np.triu(rng.normal(size=(65, 65)) * 10 ** rng.uniform(-8, 0, (65, 65)), 1)
        bqm = dimod.BQM(rng.normal(size=65) * 10 ** rng.uniform(-8, 0, 65), J, 0.0, "SPIN")
        for precision in ("float32", "float64"):
            found = TabuSampler().sample(
                bqm, num_restarts=20, timeout=None, time_limit=60, precision=precision, seed=seed
            )
            assert found.info["stopped_by"] == "finished"
            assert found.info["num_moves"] < 100_000


def test_energies_of_large_penalties_are_the_models(rng):
    for penalty, vartype in itertools.product((1e9, 1e12, 1e15), ("BINARY", "SPIN")):
        bqm = one_hot_chain(3, penalty, groups=3, vartype=vartype, real=True)
        for sampler in (SimulatedAnnealingSampler(), TabuSampler(), SteepestDescentSampler()):
            found = sampler.sample(bqm, num_reads=20, seed=1)
            np.testing.assert_array_equal(found.record.energy, bqm.energies(found))
        found = ExhaustiveSampler().sample(bqm, num_states=5)
        np.testing.assert_array_equal(found.record.energy, bqm.energies(found))


@pytest.mark.parametrize("n", [1, 2, 7, 8, 9, 40, 150])
def test_energies_add_in_one_order_whatever_their_number(rng, isa, n):
    linear, pairs = rng.normal(size=n), np.tril_indices(n, -1)
    rows, columns = (np.asarray(each, np.uint32) for each in pairs)
    couplings = np.zeros((n, n))
    couplings[rows, columns] = rng.normal(size=len(rows)) * 10.0 ** rng.integers(-5, 5, len(rows))
    problem = _core.Ising(linear, rows, columns, couplings[rows, columns], _core.Form.dense)
    states = rng.choice(np.array([-1, 1], np.int8), size=(37, n))
    expected = []
    for state in states:
        terms = [0.0, *(state * linear)]
        for i in range(1, n):
            terms.append(state[i] * np.cumsum(couplings[i, :i] * state[:i])[-1])
        expected.append(np.cumsum(terms)[-1])  # cumsum adds from left to right
    for count in (1, 3, 4, 5, 16, 17, 37):
        for threads in (1, 3):
            found = problem.energies(states[:count], num_threads=threads)
            np.testing.assert_array_equal(found, expected[:count])


@pytest.mark.parametrize("precision", ["float32", "int16", None])
def test_energies_of_large_sums_decide_exactly(precision):
    # Fields fit; their sum over all variables has more bits than float32.
    rng = np.random.default_rng(2)
    bqm = random_graph(rng, 2000)
    bqm = dimod.BQM.from_ising(
        {v: round(9 * bias) for v, bias in bqm.linear.items()},
        {pair: round(9 * bias) for pair, bias in bqm.quadratic.items()},
        2.0**40,
    )
    found = SimulatedAnnealingSampler().sample(
        bqm, num_reads=4, num_sweeps=50, seed=1, beta_range=(0.05, 0.1),
        precision=precision, keep="best",
    )  # fmt: skip
    best = SimulatedAnnealingSampler().sample(
        bqm, num_reads=4, num_sweeps=50, seed=1, beta_range=(0.05, 0.1), precision="float64",
        keep="best",
    )  # fmt: skip
    np.testing.assert_array_equal(found.record.sample, best.record.sample)


@pytest.mark.parametrize("penalty", [1e6, 1e9, 1e12])
def test_a_threshold_is_met_by_the_models_energy(penalty):
    bqm = one_hot_chain(0, penalty, groups=3)
    optimum = best_choice(0, groups=3)
    for sampler, options in (SEARCHES["sa"], SEARCHES["tabu"]):
        found = sampler.sample(bqm, seed=1, energy_threshold=optimum, **options)
        assert found.info["stopped_by"] == "energy_threshold"
        assert found.first.energy == optimum
        found = sampler.sample(bqm, seed=1, energy_threshold=optimum - 1, **options)
        assert found.info["stopped_by"] == "finished"
    exact = ExhaustiveSampler().sample(bqm, energy_threshold=optimum)
    assert exact.info["stopped_by"] == "energy_threshold"
    assert exact.first.energy == optimum


def test_a_threshold_may_be_an_energy_that_was_found(rng):
    for kind in ("normal", "integer"):
        bqm = random_bqm(rng, 60, kind=kind, vartype="BINARY")
        options = {"seed": 5, "num_reads": 4, "timeout": None, "num_restarts": 20}
        best = TabuSampler().sample(bqm, **options).first.energy
        found = TabuSampler().sample(bqm, energy_threshold=best, **options)
        assert found.info["stopped_by"] == "energy_threshold"
        assert found.first.energy == pytest.approx(best, abs=1e-9)


def test_float64_is_refused_where_a_form_has_none():
    with pytest.raises(ValueError, match="float32 alone"):
        sample_batch(np.zeros((2, 3)), np.zeros((2, 3, 3)), form="interleaved", precision="float64")
    with pytest.raises(ValueError, match="precision is 'double', but must be"):
        sample_batch(np.zeros((2, 3)), np.zeros((2, 3, 3)), precision="double")


@pytest.mark.parametrize("method", ["tabu", "sa", "descent"])
def test_batches_of_mixed_fields_do_not_depend_on_the_split(method, thread_pool):
    for seed in range(40):
        rng = np.random.default_rng(seed)
        n = int(rng.integers(2, 40))
        J = np.triu(rng.integers(-3000, 3000, (n, n)), 1).astype(float)
        h = rng.integers(-3000, 3000, (8, n)).astype(float)
        h[1::2] += rng.normal(size=(4, n))
        options = {"method": method, "num_reads": 2, "seed": seed}
        if method != "descent":
            options["num_sweeps"] = 20
        whole = sample_batch(h, J + J.T, **options)
        split = sample_batch(h, J + J.T, executor=thread_pool, **options)
        np.testing.assert_array_equal(whole.states, split.states)


@pytest.fixture
def thread_pool():
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(2) as pool:
        yield pool
