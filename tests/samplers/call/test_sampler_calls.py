"""Calls of all samplers: interrupts of short calls, and many models."""

import time
from concurrent.futures import ThreadPoolExecutor

import dimod
import numpy as np
import pytest
from short_calls import CALLS, every_sampler

from problems import random_bqm
from qpsbgd import ParallelTemperingSampler, SteepestDescentSampler

#: Samplers whose sample_many calls sample for each model.
LOOPS = ["tempering", "paths", "rotors"]


@every_sampler
@pytest.mark.parametrize("n", [0, 3])
def test_a_short_call_asks_at_least_once(rng, name, n):
    sampler, options = CALLS[name]
    calls = []
    result = sampler.sample(
        random_bqm(rng, n), interrupt_function=lambda: bool(calls.append(1)), **options
    )
    assert calls
    assert result.info["stopped_by"] == "finished"


@every_sampler
def test_a_short_call_may_end_itself(rng, name):
    sampler, options = CALLS[name]
    found = sampler.sample(random_bqm(rng, 3), interrupt_function=lambda: True, **options)
    assert found.info["stopped_by"] == "interrupt"
    if "progress" in sampler.parameters:
        seen = []
        found = sampler.sample(random_bqm(rng, 3), progress=seen.append, **options)
        assert seen == pytest.approx([found.first.energy])


@every_sampler
def test_an_interrupt_in_a_short_call_has_the_samples(rng, name):
    sampler, options = CALLS[name]

    def interrupt():
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough") as caught:
        sampler.sample(random_bqm(rng, 3), interrupt_function=interrupt, **options)
    assert len(caught.value.sampleset) == 1
    assert caught.value.sampleset.info["stopped_by"] == "interrupt"


@every_sampler
@pytest.mark.parametrize("has_best", [False, True])
def test_later_models_do_not_matter(rng, name, has_best):
    sampler, options = CALLS[name]
    models = [
        random_bqm(rng, n, vartype=vartype)
        for n, vartype in ((5, "SPIN"), (0, "SPIN"), (9, "BINARY"), (5, "SPIN"))
    ]
    if name != "exhaustive":
        options = {"num_reads": 3, "seed": 4, **options}
    if name == "annealing":
        options = {**options, "beta_range": (0.1, 1.0)}
    if has_best:
        options = {**options, "num_best": 2}
    results = sampler.sample_many(iter(models), **options)
    again = sampler.sample_many(models[:2], **options)
    with ThreadPoolExecutor(2) as executor:
        apart = sampler.sample_many(models, executor=executor, **options)
    for model, result, *others in zip(models, results, apart, strict=True):
        assert result.vartype is model.vartype
        assert set(result.variables) == set(model.variables)
        dimod.testing.assert_sampleset_energies(result, model, precision=9)
        for other in others:
            np.testing.assert_array_equal(other.record.sample, result.record.sample)
    for one, other in zip(again, results[:2], strict=True):
        np.testing.assert_array_equal(one.record.sample, other.record.sample)
    if name in LOOPS or has_best:
        expected = sampler.sample(models[0], **options)
        np.testing.assert_array_equal(results[0].record.sample, expected.record.sample)


def test_models_alike_have_random_numbers_of_their_own(rng):
    bqm = dimod.BQM(dict.fromkeys(range(40), 1e-9), {}, 0.0, "SPIN")
    for name in ("annealing", "paths"):
        sampler, options = CALLS[name]
        options = {**options, "beta_range": (0.1, 1.0)}
        for best in ({}, {"num_best": 1}):
            first, second = sampler.sample_many([bqm] * 2, seed=1, **options, **best)
            assert (first.record.sample != second.record.sample).any()


@every_sampler
def test_many_models_take_the_options_of_sample(rng, name):
    sampler, options = CALLS[name]
    models = [random_bqm(rng, 3) for _ in range(2)]
    calls = []

    def interrupt():
        calls.append(1)
        return True

    for found in sampler.sample_many(models, interrupt_function=interrupt, **options):
        assert found.info["stopped_by"] == "interrupt"
    assert len(calls) == 2
    with pytest.warns(Warning, match="method"):
        sampler.sample_many(models, method="sa", **options)
    with ThreadPoolExecutor(1) as executor, pytest.raises(ValueError, match="with an executor"):
        sampler.sample_many(models, executor=executor, interrupt_function=interrupt, **options)
    with pytest.raises(TypeError, match="executor is a int"):
        sampler.sample_many(models, executor=3, **options)


def test_initial_states_are_those_of_each_model():
    models = [dimod.BQM(dict.fromkeys("ab", 0.0), {}, 0.0, "SPIN") for _ in range(2)]
    states = [{"a": 1, "b": -1}, {"a": -1, "b": -1}]
    found = SteepestDescentSampler().sample_many(models, initial_states=states)
    assert [dict(each.first.sample) for each in found] == states
    with pytest.raises(ValueError, match=r"initial_states is a dict, .* each of the 2 models"):
        SteepestDescentSampler().sample_many(models, initial_states=states[0])


def test_many_models_share_the_time(rng, monkeypatch):
    now, limits = [0.0], []

    class Sampler(ParallelTemperingSampler):
        def sample(self, bqm, time_limit=None, **options):
            limits.append(time_limit)
            now[0] += 4.0
            return bqm

    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    models = [random_bqm(rng, 3) for _ in range(4)]
    assert Sampler().sample_many(models, time_limit=8.0) == models
    assert limits == pytest.approx([8 / 4, 4 / 3, 1e-9, 1e-9])
    assert Sampler().sample_many(models[:1]) == models[:1]
    assert limits[-1] is None


@pytest.mark.parametrize("bqms", [dimod.BQM("SPIN"), 3, [1]])
def test_bad_models_are_named(bqms):
    with pytest.raises(TypeError, match="bqms"):
        ParallelTemperingSampler().sample_many(bqms)
