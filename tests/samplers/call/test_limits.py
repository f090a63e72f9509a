"""Limits of time cut a search, never its first descent."""

import itertools
import time

import dimod
import numpy as np
import pytest

from problems import random_bqm, random_graph
from qpsbgd import SimulatedAnnealingSampler, SteepestDescentSampler, TabuSampler, sample_batch
from qpsbgd.samplers.problem.ising import Problem

#: Over before any thread has begun.
NO_TIME = 1e-9


def assert_local_minima(bqm, samples):
    """No flip of a variable lowers the energy by more than rounding."""
    problem = Problem(bqm, variables=list(samples.variables))
    states = samples.record.sample.astype(np.int8)
    if samples.vartype is dimod.BINARY:
        states = 2 * states - 1
    first, second = problem.pairs
    n = len(problem.linear)
    for s in states:
        fields = problem.linear.copy()
        fields += np.bincount(first, problem.quadratic * s[second], n)
        fields += np.bincount(second, problem.quadratic * s[first], n)
        assert (s * fields).max() <= 1e-9 * max(1.0, np.abs(fields).max())


def problems():
    rng = np.random.default_rng(7)
    return {
        "small": dimod.generators.ran_r(10, 30, seed=5),
        "one variable": dimod.BQM({0: 1.0}, {}, 0.0, "BINARY"),
        "dense integers": random_bqm(rng, 100),
        "dense reals": random_bqm(rng, 60, kind="normal", vartype="BINARY"),
        "sparse": random_graph(rng, 20_000),
        "sparse integers": dimod.generators.ran_r(3, (range(500), itertools.pairwise(range(500)))),
    }


PROBLEMS = problems()


@pytest.mark.parametrize("kind", PROBLEMS)
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize(
    "options",
    [{"timeout": 0}, {"time_limit": NO_TIME}, {"timeout": None, "time_limit": NO_TIME}],
)
def test_tabu_descends_however_little_time_there_is(kind, threads, options):
    bqm = PROBLEMS[kind]
    found = TabuSampler().sample(bqm, num_reads=2, seed=3, num_threads=threads, **options)
    assert found.info["stopped_by"] in ("timeout", "time_limit")
    assert len(found) >= 1
    assert_local_minima(bqm, found)


@pytest.mark.parametrize("kind", PROBLEMS)
@pytest.mark.parametrize("options", [{}, {"num_sweeps": 100_000}, {"keep": "final"}])
def test_annealing_ends_with_a_descent(kind, options):
    bqm = PROBLEMS[kind]
    for limit in (NO_TIME, 0.02):
        found = SimulatedAnnealingSampler().sample(
            bqm, num_reads=20, seed=3, time_limit=limit, num_threads=2, **options
        )
        if found.info["stopped_by"] == "time_limit":
            assert_local_minima(bqm, found)


def test_a_sample_of_one_temperature_is_not_brought_to_a_minimum():
    bqm = PROBLEMS["dense integers"]
    found = SimulatedAnnealingSampler().sample(
        bqm, num_reads=4, seed=3, time_limit=NO_TIME, num_sweeps=1000, beta_range=(1e-6, 1e-6),
        keep="final",
    )  # fmt: skip
    assert found.info["stopped_by"] == "time_limit"
    assert found.record.energy.min() > 0.5 * TabuSampler().sample(bqm, seed=1).first.energy


@pytest.mark.parametrize("kind", PROBLEMS)
def test_a_descent_is_not_cut(kind):
    bqm = PROBLEMS[kind]
    found = SteepestDescentSampler().sample(bqm, num_reads=30, seed=3, time_limit=NO_TIME)
    assert found.info["stopped_by"] == "time_limit"
    assert len(found) >= 1
    assert_local_minima(bqm, found)


@pytest.mark.parametrize("method", ["sa", "tabu", "descent"])
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("form", ["auto", "dense"])
def test_batches_end_at_minima(method, shared, form):
    rng = np.random.default_rng(1)
    J = rng.normal(size=(40, 50, 50))
    J = np.triu(J, 1) + np.triu(J, 1).swapaxes(1, 2)
    h = rng.normal(size=(40, 50))
    for limit in (NO_TIME, 0.01):
        result = sample_batch(
            h, J[0] if shared else J, method=method, num_reads=30, seed=2, time_limit=limit,
            num_threads=2, form=form,
            **({} if method == "descent" else {"num_sweeps": 10_000}),
        )  # fmt: skip
        assert limit > NO_TIME or result.info["stopped_by"] == "time_limit"
        moved = (result.states != sample_batch_starts(h, 30, 2)).any(axis=(1, 2))
        assert moved.sum() <= result.info["num_begun"]
        for b in np.flatnonzero(moved):
            fields = h[b] + result.states[b] @ J[0 if shared else b]
            assert (result.states[b] * fields).max() < 1e-9


def sample_batch_starts(h, reads, seed):
    """Return the initial states of a batch: it makes no sweeps."""
    n = h.shape[1]
    return sample_batch(h, np.zeros((n, n)), num_reads=reads, num_sweeps=0, seed=seed).states


def test_time_limit_replaces_the_default_timeout():
    bqm = PROBLEMS["small"]
    found = TabuSampler().sample(bqm, time_limit=0.3, seed=1, num_threads=1)
    assert found.info["stopped_by"] == "time_limit"
    # The default timeout of 20 ms ends a read, where no limit is given.
    assert TabuSampler().sample(bqm, seed=1).info["stopped_by"] == "timeout"
    both = TabuSampler().sample(bqm, time_limit=60, timeout=5, seed=1)
    assert both.info["stopped_by"] == "timeout"
    with pytest.raises(TypeError, match="timeout is 'soon', but must be"):
        TabuSampler().sample(bqm, timeout="soon")


def test_a_schedule_fits_into_its_limit(monkeypatch):
    clock = itertools.count(step=4.0)
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    bqm = PROBLEMS["sparse"]
    sampler = SimulatedAnnealingSampler()
    short = sampler.sample(bqm, num_reads=32, seed=1, time_limit=60)
    # As many sweeps as fit, from the hot end to the cold one: two took 4 seconds by this clock, and
    # 56 are left.
    assert short.info["num_sweeps"] == [28, 28]
    assert short.info["beta_range"] == sampler.sample(bqm, seed=1, num_sweeps=9).info["beta_range"]
    monkeypatch.undo()
    # No more than the default.
    small = sampler.sample(PROBLEMS["small"], seed=1, time_limit=60)
    assert small.info["num_sweeps"] == [1000, 1000]
    free = sampler.sample(PROBLEMS["small"], seed=1)
    np.testing.assert_array_equal(small.record.sample, free.record.sample)


def test_an_interrupt_says_so():
    calls = iter([False, True])
    found = TabuSampler().sample(
        PROBLEMS["dense integers"], timeout=None, seed=1, interrupt_function=lambda: next(calls)
    )
    assert found.info["stopped_by"] == "interrupt"
