"""Parallel tempering: conformity, its twin, its distributions, its ladders, its limits."""

import itertools
import unittest

import dimod
import dimod.testing
import numpy as np
import pytest
from scipy import stats

import reference
from problems import random_bqm, random_graph
from qpsbgd import ParallelTemperingSampler, SimulatedAnnealingSampler, _core, formats
from qpsbgd.samplers.problem.ising import Problem
from qpsbgd.samplers.tempering.ladder import Pilot, distances, levelled, measured_ladder, with_betas
from qpsbgd.samplers.tempering.tempering_run import last_samples
from qpsbgd.solve import solve


@dimod.testing.load_sampler_bqm_tests(ParallelTemperingSampler)
class TestConformity(unittest.TestCase):
    """dimod's own tests."""


def test_api():
    sampler = ParallelTemperingSampler()
    dimod.testing.assert_sampler_api(sampler)
    assert sampler.properties["form_options"] == ("dense", "sparse")
    assert sampler.properties["beta_range_options"] == ("auto", "dwave")


def temper(problem, start, betas, *, replicas=None, **options):
    """Return the core's result."""
    chosen = {
        "num_copies": 1, "num_sweeps": 10, "num_discarded": 0, "cluster_period": 0,
        "first_clustered": 0, "acceptance": _core.Acceptance.Metropolis, "keep_best": False,
        "sampled": list(range(len(betas))),
        "sample_sweeps": [10], "precision": _core.Precision.float32, "seed": 5, "first_read": 0,
        "num_threads": 1, "time_limit": np.inf, "seconds_per_read": np.inf,
        "energy_threshold": -np.inf, "watch": None, **options,
    }  # fmt: skip
    return _core.temper(problem.core, start, replicas=replicas, betas=list(betas), **chosen)


# ---- the twin -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("form", "precision"), [
    ("dense", "float32"), ("dense", "int16"), ("dense", "float64"),
    ("sparse", "float32"), ("sparse", "int16"), ("sparse", "float64"),
])  # fmt: skip
@pytest.mark.parametrize("has_linear", [True, False])
def test_temper_equals_twin(rng, isa, form, precision, has_linear):
    # More replicas than a tile has lanes, more variables than a block.
    bqm = random_bqm(rng, 66, 0.05)
    if not has_linear:
        bqm = dimod.BQM(dict.fromkeys(bqm.variables, 0), bqm.quadratic, 0.0, "SPIN")
    problem = Problem(bqm, form)
    copies, period = (2, 3) if form == "sparse" else (1, 0)
    betas = np.geomspace(0.02, 0.3, 11) if form == "sparse" else np.geomspace(0.02, 0.3, 21)
    starts = rng.choice(np.array([-1, 1], np.int8), (2, 66))
    states = temper(
        problem, starts, betas, num_copies=copies, num_sweeps=12, cluster_period=period,
        first_clustered=4, precision=_core.Precision[precision],
        sample_sweeps=list(range(1, 13)), num_threads=2,
    )[1]  # fmt: skip
    for read in range(2):
        expected = reference.temper(
            problem.linear, problem.pairs, problem.quadratic, starts[read], betas,
            num_copies=copies, num_sweeps=12, cluster_period=period, first_clustered=4, seed=5,
            read=read,
        )  # fmt: skip
        np.testing.assert_array_equal(states[read], expected)


@pytest.mark.parametrize("n", [1, 3, 16, 17, 64, 130])
@pytest.mark.parametrize("size", [1, 2, 5, 33])
@pytest.mark.parametrize("gibbs", [False, True])
def test_temper_equals_twin_at_every_size(rng, isa, n, size, gibbs):
    problem = Problem(random_bqm(rng, n, min(1.0, 8 / n)), "sparse" if n > 16 else "dense")
    betas = np.geomspace(0.02, 0.5, size)
    start = rng.choice(np.array([-1, 1], np.int8), (1, n))
    rule = _core.Acceptance.Gibbs if gibbs else _core.Acceptance.Metropolis
    states = temper(problem, start, betas, num_sweeps=3, sample_sweeps=[1, 2, 3], acceptance=rule)[
        1
    ]
    expected = reference.temper(
        problem.linear, problem.pairs, problem.quadratic, start[0], betas, num_copies=1,
        num_sweeps=3, cluster_period=0, first_clustered=0, seed=5, read=0, gibbs=gibbs,
    )  # fmt: skip
    np.testing.assert_array_equal(states[0], expected)


@pytest.mark.parametrize("precision", ["int16", "float32", "float64"])
@pytest.mark.parametrize("form", ["dense", "sparse"])
def test_gibbs_sweeps_equal_twin(rng, isa, form, precision):
    problem = Problem(random_bqm(rng, 66, 0.05), form)
    betas = np.geomspace(0.02, 0.3, 11)
    start = rng.choice(np.array([-1, 1], np.int8), (1, 66))
    states = temper(
        problem, start, betas, sample_sweeps=[1, 5, 10], acceptance=_core.Acceptance.Gibbs,
        precision=_core.Precision[precision],
    )[1]  # fmt: skip
    expected = reference.temper(
        problem.linear, problem.pairs, problem.quadratic, start[0], betas, num_copies=1,
        num_sweeps=10, cluster_period=0, first_clustered=0, seed=5, read=0, gibbs=True,
    )  # fmt: skip
    np.testing.assert_array_equal(states[0], expected[[0, 4, 9]])


@pytest.mark.parametrize("form", ["dense", "sparse"])
@pytest.mark.parametrize("n", [3, 12])
def test_samples_of_rings_without_linear_biases(n, form):
    # Metropolis sweeps in order only move the domain walls of a ring around, for ever.
    beta = 0.7
    ring = dimod.BQM.from_ising({}, {(i, (i + 1) % n): -1.0 for i in range(n)})
    energies = (
        ParallelTemperingSampler()
        .sample(ring, sample_betas=beta, num_reads=2000, num_sweeps=60, seed=1, form=form)
        .record.energy
    )
    states = dimod.ExactSolver().sample(ring).record.energy
    weights = np.exp(-beta * states)
    mean = (weights * states).sum() / weights.sum()
    deviation = np.sqrt((weights * (states - mean) ** 2).sum() / weights.sum())
    assert abs(energies.mean() - mean) < 4 * deviation / np.sqrt(2000)


@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_real_biases_give_the_same_bits_everywhere(rng, on_every_isa, kind):
    bqm = random_bqm(rng, 40, kind="real") if kind == "dense" else random_graph(rng, 200)

    def sample():
        states = [
            ParallelTemperingSampler().sample(
                bqm, num_reads=reads, num_sweeps=100, seed=3, num_threads=threads,
                precision=precision,
            ).record
            for precision in ("float32", "float64")
            for reads, threads in ((3, 1), (2, 2), (1, 4))
        ]  # fmt: skip
        return [(record.sample[0], record.energy[0]) for record in states]

    results = list(on_every_isa(sample))
    for one in results:
        for k, (state, energy) in enumerate(one):
            np.testing.assert_array_equal(state, results[0][k // 3 * 3][0])
            assert energy == results[0][k // 3 * 3][1]


def test_small_integers_are_not_bits(rng):
    bqm = dimod.BQM({}, {(i, (i + 1) % 100): 1.0 for i in range(100)}, 0.0, "SPIN")
    sampler = ParallelTemperingSampler()
    options = {"form": "sparse", "eliminate": False, "num_sweeps": 5, "seed": 1}
    assert sampler.sample(bqm, **options).info["precision"] == "int16"
    assert "bits" not in sampler.properties["precision_options"]
    with pytest.raises(ValueError, match="precision is 'bits'"):
        sampler.sample(bqm, precision="bits", **options)


# ---- distributions ------------------------------------------------------------------------------


def boltzmann(problem, beta):
    """Probabilities of all states, the first variable in the highest bit."""
    states = np.array(list(itertools.product((-1, 1), repeat=len(problem.linear))), np.int8)
    weights = -beta * problem.core.energies(states, num_threads=1)
    weights = np.exp(weights - weights.max())
    return weights / weights.sum()


def codes(states):
    return (states > 0) @ (1 << np.arange(states.shape[-1])[::-1])


@pytest.mark.parametrize("has_linear", [True, False])
@pytest.mark.parametrize("form", ["dense", "sparse"])
def test_replicas_are_boltzmann_distributed(rng, form, has_linear):
    # A ring with a chord. Chi-square at every temperature, at level 1e-3 for all together.
    n, reads, betas = 7, 4000, [0.1, 0.3, 0.6, 1.0]
    linear = {i: float(rng.integers(-1, 2)) * has_linear for i in range(n)}
    edges = {(i, (i + 1) % n): float(rng.choice([-1, 1])) for i in range(n)} | {(0, 3): 1.0}
    problem = Problem(dimod.BQM(linear, edges, 0.0, "SPIN"), form)
    starts = np.ones((reads, n), np.int8)  # far from a typical state
    copies, period = (2, 2) if form == "sparse" else (1, 0)
    states = temper(
        problem, starts, betas, num_copies=copies, cluster_period=period, num_sweeps=24,
        sample_sweeps=[24],
    )[1][:, 0]  # fmt: skip
    for t, beta in enumerate(betas):
        expected = reads * boltzmann(problem, beta)
        counts = np.bincount(codes(states[:, t]), minlength=2**n)
        rare = expected < 5
        counts = np.append(counts[~rare], counts[rare].sum())
        expected = np.append(expected[~rare], expected[rare].sum())
        if expected[-1] < 5:
            counts, expected = counts[:-1], expected[:-1] * counts[:-1].sum() / expected[:-1].sum()
        assert stats.chisquare(counts, expected).pvalue > 1e-3 / len(betas)


def test_coldest_samples_are_right_where_annealing_fails():
    # Two valleys behind a barrier of 50 / T. Which one a read of annealing ends in is decided where
    # it is hot, and the valleys differ little there.
    n, beta, reads = 10, 1.0, 1500
    bqm = dimod.BQM.from_ising(
        dict.fromkeys(range(n), -0.1), dict.fromkeys(itertools.combinations(range(n), 2), -1.0)
    )
    exact = boltzmann(Problem(bqm), beta)
    magnetisation = np.array([sum(s) for s in itertools.product((-1, 1), repeat=n)])
    share = exact[magnetisation > 0].sum()
    error = np.sqrt(share * (1 - share) / reads)
    annealed = SimulatedAnnealingSampler().sample(
        bqm, beta_range=(0.01, beta), num_reads=reads, num_sweeps=300, keep="final", seed=1
    )
    tempered = ParallelTemperingSampler().sample(
        bqm, sample_betas=beta, num_reads=reads, num_sweeps=300, seed=1
    )
    assert (tempered.record.beta == beta).all()
    is_up = [result.record.sample.sum(axis=1) > 0 for result in (annealed, tempered)]
    assert abs(is_up[0].mean() - share) > 10 * error
    assert abs(is_up[1].mean() - share) < 4 * error
    # The energies within both valleys.
    energies = tempered.record.energy
    mean = exact @ Problem(bqm).core.energies(
        np.array(list(itertools.product((-1, 1), repeat=n)), np.int8), num_threads=1
    )
    assert abs(energies.mean() - mean) < 4 * energies.std() / np.sqrt(reads)


def test_samples_of_one_read_are_taken_evenly(rng):
    bqm = random_bqm(rng, 12)
    result = ParallelTemperingSampler().sample(
        bqm, betas=[0.5, 0.01, 0.1], sample_betas=[0.5, 0.01], num_samples=4, num_reads=3,
        num_sweeps=80, seed=1,
    )  # fmt: skip
    np.testing.assert_array_equal(result.record.beta, np.tile([0.01, 0.5], 12))
    assert result.info["betas"] == [0.01, 0.1, 0.5]
    dimod.testing.assert_sampleset_energies(result, bqm, precision=9)
    problem = Problem(bqm)
    # The last samples are those after all sweeps, the first of four those after 50.
    expected = temper(
        problem, np.ones((1, 12), np.int8), [0.01, 0.1, 0.5], num_sweeps=80, seed=1,
        sample_sweeps=[50, 60, 70, 80], sampled=[0, 2],
        precision=_core.Precision[result.info["precision"]],
        replicas=None,
    )  # fmt: skip
    assert expected[1].shape == (1, 4, 2, 12)


# ---- best states --------------------------------------------------------------------------------


@pytest.mark.parametrize("vartype", ["SPIN", "BINARY"])
@pytest.mark.parametrize("form", ["dense", "sparse"])
def test_ground_states_are_found(rng, vartype, form):
    for kind in ("integer", "real"):
        bqm = random_bqm(rng, 16, 0.3, kind, vartype)
        lowest = dimod.ExactSolver().sample(bqm).first.energy
        result = ParallelTemperingSampler().sample(
            bqm, num_sweeps=200, num_reads=3, form=form, seed=1
        )
        np.testing.assert_allclose(result.record.energy, lowest, atol=1e-9)
        dimod.testing.assert_sampleset_energies(result, bqm, precision=9)
        assert result.info["stopped_by"] == "finished"


def best_by_rest(problem, reduction, kept):
    """Lowest energy over the values of the eliminated variables."""
    rest = np.setdiff1d(np.arange(len(problem.linear)), reduction.kept)
    states = np.ones((2 ** len(rest), len(problem.linear)), np.int8)
    states[:, reduction.kept] = kept
    states[:, rest] = list(itertools.product((-1, 1), repeat=len(rest)))
    return problem.core.energies(states, num_threads=1).min()


@pytest.mark.parametrize("density", [0.1, 0.3])
def test_elimination_keeps_the_lowest_energies(rng, density):
    for kind in ("integer", "real"):
        problem = Problem(random_bqm(rng, 14, density, kind), "sparse")
        reduction = _core.Reduction(problem.core)
        smaller = Problem.from_vectors(
            reduction.linear, (reduction.rows, reduction.columns), reduction.values, "dense"
        )
        k = len(reduction.kept)
        degrees = np.bincount(np.concatenate([reduction.rows, reduction.columns]), minlength=k)
        assert (degrees > 2).all()
        for kept in rng.choice(np.array([-1, 1], np.int8), (4, k)):
            energy = smaller.core.energies(kept[None], num_threads=1)[0] + reduction.offset
            assert energy == pytest.approx(best_by_rest(problem, reduction, kept), abs=1e-9)
            restored = reduction.restore(kept[None])
            np.testing.assert_array_equal(restored[0, reduction.kept], kept)
            assert problem.core.energies(restored, num_threads=1)[0] == pytest.approx(energy)


def test_trees_are_solved_by_elimination_alone(rng):
    bqm = dimod.BQM("SPIN")
    for i in range(1, 100):
        bqm.add_quadratic(i, int(rng.integers(i)), int(rng.choice([-1, 1])))
    result = ParallelTemperingSampler().sample(bqm, num_sweeps=1, seed=1)
    assert result.first.energy == -99
    assert result.info["num_eliminated"] == 100


def test_best_states_of_a_torus_join_those_of_replicas(rng):
    # Without components from other replicas the best state is that of one replica.
    bqm = dimod.BQM("SPIN")
    for i, j in itertools.product(range(24), repeat=2):
        for k, m in ((i, (j + 1) % 24), ((i + 1) % 24, j)):
            bqm.add_quadratic((i, j), (k, m), int(rng.choice([-1, 1])))
    energies = [
        ParallelTemperingSampler().sample(
            bqm, cluster_moves=clusters, num_sweeps=200, num_reads=4, seed=1
        ).record.energy.mean()
        for clusters in (False, True)
    ]  # fmt: skip
    long = ParallelTemperingSampler().sample(bqm, num_sweeps=2000, num_reads=2, seed=2)
    assert long.first.energy <= energies[1] <= energies[0] - 2


# ---- ladders ------------------------------------------------------------------------------------


def test_pilots_make_exchanges_level(rng):
    bqm = random_graph(rng, 400)
    ends, options = (0.02, 2.0), {"num_sweeps": 2000, "seed": 1}
    result = ParallelTemperingSampler().sample(bqm, ends, sample_betas=2.0, **options)
    rates = np.array(result.info["exchange_rates"])
    assert abs(rates.mean() - 0.4) < 0.1
    assert rates.min() > 0.6 * rates.mean()
    assert sum(result.info["round_trips"]) > 0
    even = ParallelTemperingSampler().sample(
        bqm, betas=np.geomspace(*ends, len(rates) + 1), **options
    )
    assert min(even.info["exchange_rates"]) < 0.5 * rates.min()


def test_distances():
    # Energies of standard deviation 3: the exact probability and the variances agree.
    betas = np.array([1.0, 1.2, 1.5])
    variances = np.full(3, 9.0)
    rates = stats.norm.sf(np.array([0.6, 0.9]) / np.sqrt(2)) * 2
    np.testing.assert_allclose(distances(betas, rates, variances), [0.6, 0.9])
    np.testing.assert_allclose(distances(betas, np.zeros(2), variances), [0.6, 0.9])
    np.testing.assert_allclose(levelled(betas, np.array([0.6, 0.9]), 6), np.linspace(1, 1.5, 6))


def test_measured_ladder_ends_when_it_is_level():
    calls = []

    def pilot(betas, states, num_sweeps):
        calls.append((num_sweeps, None if states is None else len(states)))
        # Of a specific heat for which logarithmic spacing is level.
        rates = stats.norm.sf(5 * np.diff(np.log(betas)) / np.sqrt(2)) * 2
        return Pilot(rates, 25 / betas**2, np.ones((len(betas), 3), np.int8))

    ladder = measured_ladder(0.1, 1.0, None, pilot, max_sweeps=10**6)
    assert calls == [(32, None), (64, len(ladder)), (128, len(ladder))]
    np.testing.assert_allclose(np.diff(np.log(ladder)), np.log(10) / (len(ladder) - 1), rtol=0.1)
    unmeasured = measured_ladder(0.1, 1.0, None, lambda *_: None, max_sweeps=10**6)
    np.testing.assert_allclose(unmeasured, np.geomspace(0.1, 1, 32))


def test_with_betas():
    ladder = np.array([0.1, 0.2, 0.4, 0.8])
    np.testing.assert_array_equal(with_betas(ladder, np.array([0.25])), [0.1, 0.25, 0.4, 0.8])
    np.testing.assert_array_equal(
        with_betas(ladder, np.array([0.1, 0.7, 0.0])), [0.0, 0.1, 0.2, 0.4, 0.7, 0.8]
    )
    np.testing.assert_array_equal(
        with_betas(ladder, np.array([0.38, 0.41])), [0.1, 0.2, 0.38, 0.41, 0.8]
    )


# ---- arguments and limits -----------------------------------------------------------------------


@pytest.mark.parametrize(("options", "error", "message"), [
    ({"betas": [1.0, -1.0]}, ValueError, r"betas\[1\] is -1.0"),
    ({"betas": [np.inf]}, ValueError, "finite"),
    ({"betas": []}, ValueError, "betas has shape"),
    ({"betas": ["a"]}, TypeError, "betas"),
    ({"betas": [1.0], "num_replicas": 3}, ValueError, "num_replicas is 3"),
    ({"betas": [1.0], "beta_range": (1, 2)}, ValueError, "beta_range is"),
    ({"betas": [1.0], "sample_betas": 2.0}, ValueError, "among betas"),
    ({"beta_range": (1, 2), "sample_betas": 3.0}, ValueError, "within beta_range"),
    ({"num_replicas": 3, "form": "sparse"}, ValueError, "must be even"),
    ({"num_replicas": 0}, ValueError, "num_replicas is 0"),
    ({"num_samples": 0, "sample_betas": 1.0}, ValueError, "num_samples is 0"),
    ({"num_samples": 2}, ValueError, "num_samples is 2, but must be 1 without sample_betas"),
    ({"num_samples": 6, "sample_betas": 1.0, "num_sweeps": 11}, ValueError, "at most 5, half of"),
    ({"num_samples": 501, "sample_betas": 1.0}, ValueError, r"half of num_sweeps \(1000\)"),
    ({"num_samples": 2, "sample_betas": 1.0, "num_sweeps": 1}, ValueError, "at most 1"),
    ({"num_replicas": 100_000}, ValueError, "num_replicas is 100000, but must be at most 4096"),
    ({"num_replicas": 4098, "form": "sparse"}, ValueError, "at most 4096"),
    ({"betas": np.ones(4097)}, ValueError, "betas has 4097 values, but .* at most 4096 replicas"),
    ({"betas": np.ones(2049), "form": "sparse"}, ValueError, "of which 2 have one inverse"),
    ({"sample_betas": np.linspace(0, 1, 4097)}, ValueError, "sample_betas has 4097 values"),
    ({"sample_betas": 1.0, "energy_threshold": -3.0}, ValueError, "energy_threshold is -3.0"),
    ({"sample_betas": 1.0, "num_best": 3}, ValueError, "num_best is 3, .* sample_betas"),
    ({"cluster_moves": True, "form": "dense"}, ValueError, "cluster_moves is True"),
    ({"eliminate": True, "form": "dense"}, ValueError, "eliminate is True"),
    ({"eliminate": True, "form": "sparse", "sample_betas": 1.0}, ValueError, "eliminate is True"),
    ({"num_sweeps": -1}, ValueError, "num_sweeps is -1"),
    ({"seed": 2**31}, ValueError, "seed"),
    ({"time_limit": 0}, ValueError, "time_limit"),
])  # fmt: skip
def test_bad_arguments_are_named(rng, options, error, message):
    with pytest.raises(error, match=message):
        ParallelTemperingSampler().sample(random_bqm(rng, 5), **options)


def test_no_sweeps_return_the_initial_states(rng):
    bqm = dimod.generators.ran_r(1, 30, seed=1)
    starts = rng.choice([-1, 1], (3, 30))
    result = ParallelTemperingSampler().sample(
        bqm, initial_states=(starts, list(bqm.variables)), num_sweeps=0, form="sparse"
    )
    np.testing.assert_array_equal(result.record.sample, starts)


@pytest.mark.parametrize("form", ["dense", "sparse"])
def test_an_energy_threshold_ends_the_call(rng, form):
    bqm = random_bqm(rng, 40, 0.2)
    best = ParallelTemperingSampler().sample(bqm, num_sweeps=300, seed=1, form=form).first.energy
    result = ParallelTemperingSampler().sample(
        bqm, num_sweeps=10**6, num_reads=5, seed=1, form=form, energy_threshold=best
    )
    assert result.info["stopped_by"] == "energy_threshold"
    assert result.first.energy == best


@pytest.mark.parametrize("bqm", [
    dimod.BQM("SPIN"), dimod.BQM("BINARY"),
    dimod.BQM.from_ising({}, {(i, (i + 1) % 100): 1.0 for i in range(100)}, 2.5),
], ids=["spin", "binary", "ring"])  # fmt: skip
@pytest.mark.parametrize("options", [{}, {"form": "sparse"}, {"time_limit": 60.0}])
def test_problems_without_variables_are_finished(bqm, options):
    # Whether there were none, or all of them are eliminated: not even a time limit is used up.
    result = ParallelTemperingSampler().sample(bqm, num_reads=2, seed=1, **options)
    assert result.info["stopped_by"] == "finished"
    assert result.info["num_eliminated"] == bqm.num_variables
    assert len(result) == 2
    np.testing.assert_array_equal(result.record.energy, -97.5 if bqm.num_variables else 0.0)


def test_an_eliminated_problem_is_solved_at_once(tmp_path):
    path = tmp_path / "ring.rudy"
    path.write_text("100 100\n" + "".join(f"{i + 1} {(i + 1) % 100 + 1}\n" for i in range(100)))
    solution = solve(formats.read(path), "pt", time_limit=60.0)
    assert solution.stopped_by == "finished"
    assert solution.objective == 100


def test_a_reduced_problem_has_the_form_of_the_whole(rng):
    # A ring of cliques of four, each with a tail: few variables are left.
    bqm = dimod.BQM("SPIN")
    for k in range(8):
        for i, j in itertools.combinations(range(4), 2):
            bqm.add_quadratic((k, i), (k, j), float(rng.choice([-1, 1])))
        bqm.add_quadratic((k, 0), ((k + 1) % 8, 1), 1.0)
        for i in range(20):
            bqm.add_quadratic((k, i + 3), (k, i + 4), 1.0)
    whole = ParallelTemperingSampler().sample(bqm, num_sweeps=100, seed=1)
    assert whole.info["num_eliminated"] > 100
    assert whole.info["form"] == "sparse"
    assert whole.info["cluster_moves"]
    again = ParallelTemperingSampler().sample(
        bqm, num_sweeps=100, seed=1, form="sparse", cluster_moves=True, eliminate=True
    )
    np.testing.assert_array_equal(whole.record.sample, again.record.sample)
    assert whole.info["betas"] == again.info["betas"]
    # An initial state is that of the variables that are left: the result is not worse.
    start = ParallelTemperingSampler().sample(bqm, num_sweeps=300, seed=2)
    for seed in range(5):
        result = ParallelTemperingSampler().sample(
            bqm, initial_states=start, betas=[0.01], cluster_moves=False, num_sweeps=1, seed=seed
        )
        assert result.first.energy == start.first.energy


@pytest.mark.parametrize("num_sweeps", [1, 7, 8, 9, 16, 33, 50, 100, 257])
@pytest.mark.parametrize("spread", [1, 2, 5])
def test_samples_of_a_read_without_a_known_end(rng, num_sweeps, spread):
    # They are those after multiples of a power of two, and cover the last quarter at least.
    problem = Problem(random_bqm(rng, 20))
    starts = rng.choice(np.array([-1, 1], np.int8), (2, 20))
    options = {"num_sweeps": num_sweeps, "sampled": [0, 2]}
    every = temper(
        problem, starts, [0.01, 0.1, 0.2], sample_sweeps=list(range(1, num_sweeps + 1)), **options
    )[1]  # fmt: skip
    result = temper(
        problem, starts, [0.01, 0.1, 0.2], sample_sweeps=[], num_spread=spread, **options
    )
    interval = 1
    while num_sweeps // interval > 4 * spread:
        interval *= 2
    due = np.arange(interval, num_sweeps + 1, interval)
    np.testing.assert_array_equal(result[3], len(due))
    np.testing.assert_array_equal(result[1][:, : len(due)], every[:, due - 1])
    if len(due) >= 2 * spread:
        assert num_sweeps // 4 <= num_sweeps - due[-spread] + interval <= num_sweeps // 2 + interval


def test_samples_use_the_time(rng):
    result = ParallelTemperingSampler().sample(
        random_bqm(rng, 12), sample_betas=[0.1, 0.2], num_samples=3, time_limit=0.2, seed=1
    )
    assert result.info["stopped_by"] == "time_limit"
    assert result.info["num_sweeps"][0] > 1000
    np.testing.assert_array_equal(result.record.beta, np.tile([0.1, 0.2], 3))


def test_a_read_that_ends_early_counts_its_samples(rng):
    problem = Problem(random_bqm(rng, 30))
    options = {"num_sweeps": 50, "sample_sweeps": [2, 3, 30, 50], "sampled": [1]}
    starts = rng.choice(np.array([-1, 1], np.int8), (6, 30))
    third = temper(problem, starts, [0.01, 0.1], **options)[1][:, 2, 0]
    lowest = problem.core.energies(np.ascontiguousarray(third), num_threads=1)
    _, _, sweeps, taken, *_ = temper(
        problem, starts, [0.01, 0.1], energy_threshold=float(np.sort(lowest)[2]), **options
    )  # fmt: skip
    begun = sweeps >= 0
    due = np.array(options["sample_sweeps"])
    np.testing.assert_array_equal(taken[begun], (due <= sweeps[begun, None]).sum(axis=1))
    assert (sweeps[begun] < 50).any()


def test_last_samples():
    samples = np.arange(2 * 4 * 3).reshape(2, 4, 3, 1).astype(np.int8)
    found = last_samples(samples, [4, 1], 2)
    np.testing.assert_array_equal(found[:, 0], [6, 7, 8, 9, 10, 11, 12, 13, 14])


def test_a_call_that_ends_early_has_no_copies_of_its_last_state(rng):
    calls = []
    result = ParallelTemperingSampler().sample(
        random_bqm(rng, 200), sample_betas=0.01, num_samples=40, num_sweeps=10**6, seed=1,
        interrupt_function=lambda: calls.append(1) or len(calls) > 1,
    )  # fmt: skip
    assert result.info["stopped_by"] == "interrupt"
    assert result.info["num_sweeps"][0] < 500_000
    assert len(result) == 1


def test_num_best_has_the_info_of_all_reads(rng):
    # With elimination, and with round trips of all reads.
    bqm = dimod.generators.ran_r(2, 30, seed=1)
    sparse = dimod.BQM("SPIN")
    for k, (u, v) in enumerate(bqm.quadratic):
        if k % 7 == 0:
            sparse.add_quadratic(u, v, bqm.quadratic[u, v])
    options = {"num_reads": 70, "num_sweeps": 4, "seed": 1, "form": "sparse"}
    every = ParallelTemperingSampler().sample(sparse, **options)
    best = ParallelTemperingSampler().sample(sparse, num_best=3, **options)
    for key in ("round_trips", "num_eliminated", "num_sweeps", "stopped_by", "betas"):
        assert best.info[key] == every.info[key]
    np.testing.assert_allclose(best.info["exchange_rates"], every.info["exchange_rates"])
    assert best.first.energy == every.first.energy


def test_a_time_limit_ends_a_read_without_a_number_of_sweeps(rng):
    result = ParallelTemperingSampler().sample(random_bqm(rng, 60), time_limit=0.1, seed=1)
    assert result.info["stopped_by"] == "time_limit"
    assert len(result) == 1


def test_a_read_that_used_its_share_leaves_time_for_the_others(rng):
    problem = Problem(random_bqm(rng, 20))
    sweeps = temper(problem, np.ones((3, 20), np.int8), [0.1, 0.2], seconds_per_read=1e-9)[2]
    np.testing.assert_array_equal(sweeps, [0, 0, 0])  # begun, all of them


def test_an_interrupt_ends_the_call(rng):
    calls = []
    result = ParallelTemperingSampler().sample(
        random_graph(rng, 500),
        num_sweeps=10**7,
        interrupt_function=lambda: calls.append(1) or len(calls) > 3,
    )
    assert result.info["stopped_by"] == "interrupt"


def test_an_exception_of_the_caller_has_the_states_so_far(rng):
    def fail(energy):
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop") as caught:
        ParallelTemperingSampler().sample(random_graph(rng, 500), num_sweeps=10**7, progress=fail)
    assert len(caught.value.sampleset) == 1


def test_samples_of_a_model_without_variables():
    sampleset = ParallelTemperingSampler().sample(
        dimod.BQM("SPIN"), sample_betas=[0.5, 1.0], num_sweeps=10, num_reads=3
    )
    assert sampleset.record.sample.shape == (6, 0)
    assert sampleset.record.beta.tolist() == [0.5, 1.0] * 3
