"""What calls of all samplers have in common: interrupts of short calls, and many models."""

import time

import dimod
import numpy as np
import pytest

from problems import random_bqm
from qpsbgd import (
    ExhaustiveSampler,
    ParallelTemperingSampler,
    PathIntegralAnnealingSampler,
    RotorModelAnnealingSampler,
    SimulatedAnnealingSampler,
    SteepestDescentSampler,
    TabuSampler,
)

CALLS = {
    "annealing": (SimulatedAnnealingSampler(), {"num_sweeps": 2}),
    "descent": (SteepestDescentSampler(), {}),
    "exhaustive": (ExhaustiveSampler(), {}),
    "tabu": (TabuSampler(), {"num_restarts": 0, "timeout": None}),
    "tempering": (ParallelTemperingSampler(), {"num_sweeps": 2, "num_replicas": 2}),
    "paths": (PathIntegralAnnealingSampler(), {"num_sweeps": 2}),
    "rotors": (RotorModelAnnealingSampler(), {"num_sweeps": 2}),
}
#: Samplers whose sample_many calls sample for each model.
LOOPS = ["tempering", "paths", "rotors"]
every_sampler = pytest.mark.parametrize("name", CALLS)


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
def test_an_interrupt_in_a_short_call_has_the_samples(rng, name):
    sampler, options = CALLS[name]

    def interrupt():
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough") as caught:
        sampler.sample(random_bqm(rng, 3), interrupt_function=interrupt, **options)
    assert len(caught.value.sampleset) == 1
    assert caught.value.sampleset.info["stopped_by"] == "interrupt"


@pytest.mark.parametrize("name", LOOPS)
def test_results_of_many_models_do_not_depend_on_each_other(rng, name):
    sampler, options = CALLS[name]
    models = [
        random_bqm(rng, n, vartype=vartype)
        for n, vartype in ((5, "SPIN"), (0, "SPIN"), (9, "BINARY"), (5, "SPIN"))
    ]
    options = {"num_reads": 3, "seed": 4, **options}
    results = sampler.sample_many(iter(models), **options)
    backwards = sampler.sample_many(models[::-1], **options)[::-1]
    for model, result, other in zip(models, results, backwards, strict=True):
        expected = sampler.sample(model, **options)
        assert result.vartype is model.vartype
        assert list(result.variables) == list(expected.variables)
        np.testing.assert_array_equal(result.record.sample, expected.record.sample)
        np.testing.assert_array_equal(other.record.sample, expected.record.sample)
        dimod.testing.assert_sampleset_energies(result, model, precision=9)


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
