"""Multi-spin coding: reads of sparse problems with small integer biases as bits."""

import functools
import itertools
import math

import dimod
import numpy as np
import pytest
from scipy import stats

import reference
from qpsbgd import SimulatedAnnealingSampler, _core
from qpsbgd.samplers.problem.ising import Problem

P_MIN = 1e-3


def anneal(problem, starts, betas, *, acceptance="Metropolis", threads=1, **options):
    states, sweeps, reason, _ = problem.core.anneal(
        starts, betas=list(betas), acceptance=_core.Acceptance[acceptance], num_threads=threads,
        precision=_core.Precision.bits, random_order=False, time_limit=np.inf,
        energy_threshold=-np.inf, watch=None, **{"keep_best": False, "seed": 3} | options,
    )  # fmt: skip
    assert (sweeps == len(betas)).all()
    assert reason is _core.StopReason.finished
    return states


def random_starts(rng, reads, n):
    return rng.choice(np.array([-1, 1], np.int8), size=(reads, n))


def ring_problem(rng, n, steps, weights, fields=(0,), unit=1.0):
    """Each variable is joined to those some steps further on, with weights drawn from a list."""
    bqm = dimod.BinaryQuadraticModel("SPIN")
    for i in range(n):
        bqm.add_linear(i, unit * int(rng.choice(fields)))
    for i, step in itertools.product(range(n), steps):
        if (i + step) % n != i:
            bqm.add_quadratic(i, (i + step) % n, unit * int(rng.choice(weights)))
    return Problem(bqm, "sparse", range(n))


SIGNS = (-1, 1)
#: Every number of digits of the sums, even and odd fields, one and several lists of terms.
PROBLEMS = {
    "chain": lambda rng: ring_problem(rng, 40, (1,), SIGNS),
    "degree 4": lambda rng: ring_problem(rng, 33, (1, 5), SIGNS),
    "degree 4 with fields": lambda rng: ring_problem(rng, 20, (1, 5), SIGNS, (-1, 0, 1)),
    "degree 6, weights 2 and 3": lambda rng: ring_problem(rng, 21, (1, 2, 4), (-2, 3), (0, 5)),
    "degree 20": lambda rng: ring_problem(rng, 24, range(1, 11), (-1, 1, 1)),
    "degree 12, weights up to 5": lambda rng: ring_problem(rng, 30, range(1, 7), range(-5, 6)),
    "one strong field": lambda rng: ring_problem(rng, 9, (1,), SIGNS, (0, 61)),
    "no biases": lambda rng: ring_problem(rng, 70, (1,), (0,)),
    "one variable": lambda rng: ring_problem(rng, 1, (), SIGNS, (3,)),
    "halves": lambda rng: ring_problem(rng, 12, (1, 3), SIGNS, (-1, 1), unit=0.5),
}
#: Hot, cold and what lies between; 0 and infinity.
BETAS = (0.0, 0.02, 0.1, 0.3, 0.6, 1.5, 4.0, np.inf, 0.2)


@pytest.mark.parametrize("name", PROBLEMS)
@pytest.mark.parametrize("acceptance", ["Metropolis", "Gibbs"])
def test_equals_twin(rng, on_every_isa, name, acceptance, monkeypatch):
    # One read, few of them in bytes, and words of 32 that fill a vector in part.
    monkeypatch.setenv("QPSBGD_NS_PER_THREAD", "0")
    problem = PROBLEMS[name](rng)
    n = problem.core.num_variables
    starts = random_starts(rng, 300, n)
    unit = 0.5 if name == "halves" else 2.0 if name == "no biases" else 1.0
    reads = np.array([0, 1, 2, 31, 32, 35])
    for keep_best in (False, True):
        expected = reference.anneal_bits(
            problem.linear, problem.pairs, problem.quadratic, starts[reads], BETAS, unit=unit,
            gibbs=acceptance == "Gibbs", keep_best=keep_best, seed=3, reads=reads.tolist(),
        )  # fmt: skip
        for count, threads in ((1, 1), (3, 1), (36, 1), (36, 2), (36, 12), (300, 1), (300, 3)):
            call = functools.partial(
                anneal, problem, starts[:count], BETAS, acceptance=acceptance, threads=threads,
                keep_best=keep_best,
            )  # fmt: skip
            for states in on_every_isa(call):
                chosen = reads[reads < count]
                np.testing.assert_array_equal(states[chosen], expected[: len(chosen)])


def test_a_read_does_not_depend_on_the_others(rng, on_every_isa, monkeypatch):
    monkeypatch.setenv("QPSBGD_NS_PER_THREAD", "0")
    problem = ring_problem(rng, 90, (1, 2, 9), SIGNS, (-1, 0, 1))
    starts = random_starts(rng, 1100, 90)
    whole = anneal(problem, starts, [0.2, 0.5, 0.9], keep_best=True)
    for count, threads in itertools.product((1, 2, 33, 500, 513, 1100), (1, 2, 5)):
        call = functools.partial(
            anneal, problem, starts[:count], [0.2, 0.5, 0.9], keep_best=True, threads=threads
        )
        for states in on_every_isa(call):
            np.testing.assert_array_equal(states, whole[:count])


def test_first_read_names_the_streams(rng, on_every_isa, monkeypatch):
    monkeypatch.setenv("QPSBGD_NS_PER_THREAD", "0")
    problem = ring_problem(rng, 50, (1, 7), SIGNS, (-1, 0, 1))
    starts = random_starts(rng, 130, 50)
    betas = [0.2, 0.5, 0.9]
    whole = anneal(problem, starts, betas)
    # Words of 32 reads, and up to three reads a thread.
    for first, threads in itertools.product((32, 64, 96, 128), (1, 3, 40)):
        call = functools.partial(
            anneal, problem, starts[first:], betas, first_read=first, threads=threads
        )
        for states in on_every_isa(call):
            np.testing.assert_array_equal(states, whole[first:])
    with pytest.raises(ValueError, match="first_read is 33, but must be a multiple of 32"):
        anneal(problem, starts, betas, first_read=33)


def boltzmann(problem, beta):
    """Return all states, the code of a state's bits, and the probabilities of the states."""
    n = problem.core.num_variables
    states = np.array(list(itertools.product((-1, 1), repeat=n)), np.int8)
    energies = problem.energies(states, 1)
    weights = np.exp(-beta * (energies - energies.min()))
    return states, 1 << np.arange(n)[::-1], weights / weights.sum()


@pytest.mark.parametrize("acceptance", ["Metropolis", "Gibbs"])
@pytest.mark.parametrize("beta", [0.05, 0.3, 0.8])
@pytest.mark.parametrize("name", ["grid", "weights", "degree 7"])
def test_samples_the_boltzmann_distribution(rng, isa, name, beta, acceptance):
    problem = {
        "grid": lambda: ring_problem(rng, 8, (1, 3), SIGNS),
        "weights": lambda: ring_problem(rng, 8, (1, 2), (-3, -1, 2), (-1, 0, 1)),
        "degree 7": lambda: ring_problem(rng, 8, (1, 2, 3), SIGNS, (0, 1)),
    }[name]()
    reads = 20_000
    states, code, weights = boltzmann(problem, beta)
    # Exact samples, which sweeps at this temperature must leave as they are.
    starts = states[rng.choice(len(states), reads, p=weights)]
    found = anneal(problem, starts, [beta] * 20, acceptance=acceptance)
    counts = np.bincount((found > 0) @ code, minlength=len(states))
    expected = reads * weights
    order = np.argsort(expected)
    rare = max(1, int(np.searchsorted(np.cumsum(expected[order]), 10)) + 1)
    counts = [counts[order[:rare]].sum(), *counts[order[rare:]]]
    expected = [expected[order[:rare]].sum(), *expected[order[rare:]]]
    assert stats.chisquare(counts, expected).pvalue > P_MIN


def test_random_starts_reach_the_boltzmann_distribution(rng, isa):
    problem = ring_problem(rng, 9, (1, 2), SIGNS, (-1, 0, 1))
    states, code, weights = boltzmann(problem, 0.4)
    found = anneal(problem, random_starts(rng, 30_000, 9), [0.4] * 40)
    counts = np.bincount((found > 0) @ code, minlength=len(states))
    assert stats.chisquare(counts, 30_000 * weights).pvalue > P_MIN


def test_reads_are_independent(rng, isa):
    # Spins without couplings: after a sweep those that were +1 are -1 with probability
    # exp(-2 beta) or stay, and any two of them, in a read or in a vector, are independent.
    n, reads, beta = 400, 512, 0.3
    problem = Problem(dimod.BQM(dict.fromkeys(range(n), 1.0), {}, 0.0, "SPIN"), "sparse", range(n))
    found = anneal(problem, np.full((reads, n), -1, np.int8), [beta])
    flipped = (found > 0).astype(float)
    p = math.exp(-2 * beta)
    sigma = math.sqrt(p * (1 - p))
    assert abs(flipped.mean() - p) < 3 * sigma / math.sqrt(n * reads)
    for table in (flipped, flipped.T):  # pairs of reads, pairs of variables
        z = (table - p) / sigma
        product = (z @ z.T)[np.triu_indices(len(z), 1)] / math.sqrt(z.shape[1])
        assert stats.kstest(product, "norm").pvalue > P_MIN
        assert np.abs(product).max() < stats.norm.isf(1e-3 / len(product))


def test_sweeps_are_independent(rng, isa):
    n, reads, sweeps, beta = 50, 512, 40, 0.2
    problem = Problem(dimod.BQM(dict.fromkeys(range(n), 1.0), {}, 0.0, "SPIN"), "sparse", range(n))
    states, flips = np.full((reads, n), -1, np.int8), []
    for seed in range(sweeps):  # another seed is another stream, as another sweep is
        flips.append(anneal(problem, states, [beta], seed=seed) > 0)
    p = math.exp(-2 * beta)
    z = (np.array(flips).reshape(sweeps, -1) - p) / math.sqrt(p * (1 - p))
    product = (z @ z.T)[np.triu_indices(sweeps, 1)] / math.sqrt(n * reads)
    assert stats.kstest(product, "norm").pvalue > P_MIN


@pytest.mark.parametrize("gain", [-1, -3, -20])
def test_chances_are_right_to_the_last_digit(gain):
    for step in (0.0, 1e-9, 0.01, 0.3, 1.0, 2.5):
        exact = math.exp(step * gain) * 2.0**32
        found = reference.samplers.acceptance_chance(step, gain, gibbs=False)
        assert found == min(round(exact), 2**32 - 1)


def test_chances_equal_twin(rng):
    for acceptance in (_core.Acceptance.Metropolis, _core.Acceptance.Gibbs):
        is_gibbs = acceptance is _core.Acceptance.Gibbs
        for step in (0.0, math.inf, *rng.exponential(size=2000)):
            gain = int(rng.integers(-126, 127))
            found = _core.acceptance_chance(acceptance, step, gain)
            assert found == reference.samplers.acceptance_chance(step, gain, gibbs=is_gibbs)


def test_series_of_the_exponential_function():
    x = np.concatenate([np.linspace(0, 50, 5001), [0.0, 1e-300, 699.0]])
    found = [reference.samplers.exp_of_minus(float(value)) for value in x]
    np.testing.assert_allclose(found, np.exp(-x), rtol=2e-15)
    assert reference.samplers.exp_of_minus(math.inf) == 0.0


def test_what_does_not_fit_is_refused(rng):
    sample = SimulatedAnnealingSampler().sample
    grid = dimod.BQM.from_ising({}, {(i, (i + 1) % 100): 1 for i in range(100)})
    for bqm, options in (
        (grid, {"form": "dense"}),
        (grid, {"randomize_order": True}),
        (dimod.BQM({0: 0.1}, {(0, i): 1.0 for i in range(1, 99)}, 0.0, "SPIN"), {}),
        (dimod.BQM({}, {(0, i): 1.0 for i in range(1, 66)}, 0.0, "SPIN"), {"form": "sparse"}),
    ):
        with pytest.raises(ValueError, match="precision is 'bits', but this problem's"):
            sample(bqm, precision="bits", **options)
    star = dimod.BQM({}, {(0, i): 1.0 for i in range(1, 64)}, 0.0, "SPIN")
    assert sample(star, form="sparse", seed=1).info["precision"] == "bits"


def test_limits_and_thresholds(rng):
    problem = ring_problem(rng, 3000, (1, 7), SIGNS)
    pairs = [(i, (i + step) % 200) for i in range(200) for step in (1, 14)]
    bqm = dimod.BQM({}, dict.fromkeys(pairs, -1), 0.0, "SPIN")
    found = SimulatedAnnealingSampler().sample(bqm, num_reads=600, seed=1, energy_threshold=-380)
    assert found.info["precision"] == "bits"
    assert found.info["stopped_by"] == "energy_threshold"
    assert found.first.energy <= -380
    states, sweeps, reason, _ = problem.core.anneal(
        random_starts(rng, 600, 3000), betas=[0.5] * 100_000,
        acceptance=_core.Acceptance.Metropolis, random_order=False, keep_best=True, seed=1,
        num_threads=2, time_limit=0.05, energy_threshold=-np.inf, watch=None,
        descend_at_limit=True,
    )  # fmt: skip
    assert reason is _core.StopReason.time_limit
    begun = sweeps >= 0
    assert begun.any()
    assert (np.abs(states) == 1).all()
    couplings = np.zeros((3000, 3000))
    couplings[tuple(problem.pairs)] = problem.quadratic
    gains = states[begun] * (states[begun].astype(float) @ (couplings + couplings.T))
    assert gains.max() <= 0  # local minima
