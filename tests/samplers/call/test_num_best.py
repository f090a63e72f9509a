"""The best distinct states of many reads, without keeping the others."""

import tracemalloc

import dimod
import numpy as np
import pytest
import scipy.sparse

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
from qpsbgd.samplers.call import reads, sampler_call
from qpsbgd.samplers.call.best_states import BestStates

CALLS = {
    "annealing": (SimulatedAnnealingSampler(), {"num_sweeps": 3, "seed": 3}),
    "final": (SimulatedAnnealingSampler(), {"num_sweeps": 3, "beta_range": (0.2, 0.2), "seed": 3}),
    "tabu": (TabuSampler(), {"num_restarts": 1, "timeout": None, "seed": 3}),
    "descent": (SteepestDescentSampler(), {"seed": 3}),
    "tempering": (
        ParallelTemperingSampler(), {"num_sweeps": 2, "num_replicas": 2, "seed": 3},
    ),
    "paths": (
        PathIntegralAnnealingSampler(),
        {"beta_schedule_type": "custom", "Hp_field": [0.2, 0.5], "Hd_field": [1.0, 0.5], "seed": 3},
    ),
    "rotors": (
        RotorModelAnnealingSampler(),
        {"beta_schedule_type": "custom", "Hp_field": [0.2, 0.5], "Hd_field": [1.0, 0.5], "seed": 3},
    ),
}  # fmt: skip
every_sampler = pytest.mark.parametrize("name", CALLS)


def reduced(sampleset, num_best):
    """The lowest distinct states of a sample set, one state after another."""
    rows = {}
    for sample, energy in zip(sampleset.record.sample, sampleset.record.energy, strict=True):
        key = tuple(sample.tolist())
        rows[key] = (energy, rows.get(key, (energy, 0))[1] + 1)
    ordered = sorted((energy, key, count) for key, (energy, count) in rows.items())[:num_best]
    return ordered


def found(sampleset):
    record = sampleset.record
    return [
        (energy, tuple(sample), count)
        for energy, sample, count in zip(
            record.energy.tolist(),
            record.sample.tolist(),
            record.num_occurrences.tolist(),
            strict=True,
        )
    ]


@pytest.fixture
def small_chunks(monkeypatch):
    """Reads are solved 32 at a time."""
    monkeypatch.setattr(reads, "STATES_TOGETHER", 1)
    monkeypatch.setattr(reads, "LEAST_READS", 32)


@every_sampler
@pytest.mark.parametrize("vartype", ["SPIN", "BINARY"])
@pytest.mark.parametrize(("n", "num_best"), [(0, 3), (1, 1), (7, 4), (9, 100), (24, 10), (70, 5)])
def test_equals_the_reduction_of_all_reads(rng, small_chunks, name, vartype, n, num_best):
    sampler, options = CALLS[name]
    bqm = random_bqm(rng, n, vartype=vartype, kind="normal" if n == 24 else "integer")
    options = {"num_reads": 75, **options}
    expected = sampler.sample(bqm, **options)
    for threads in (1, 3):
        result = sampler.sample(bqm, num_best=num_best, num_threads=threads, **options)
        assert found(result) == reduced(expected, num_best)
        assert list(result.variables) == list(expected.variables)
        for key in ("num_sweeps", "num_moves", "tenure", "precision", "form", "stopped_by"):
            assert result.info.get(key) == expected.info.get(key)


@every_sampler
@pytest.mark.parametrize("num_reads", [33, 75, 200])
def test_equals_the_reduction_of_all_reads_of_small_integers(
    rng, small_chunks, name, num_reads, monkeypatch
):
    # Spins are bits. A thread that has up to three reads anneals them one by one.
    monkeypatch.setenv("QPSBGD_NS_PER_THREAD", "0")
    sampler, options = CALLS[name]
    bqm = dimod.BQM("SPIN")
    for i in range(30):
        bqm.add_linear(i, int(rng.integers(-1, 2)))
        for step in (1, 7):
            bqm.add_quadratic(i, (i + step) % 30, int(rng.choice([-1, 1])))
    options = {"num_reads": num_reads, "form": "sparse", **options}
    expected = sampler.sample(bqm, **options)
    if isinstance(sampler, SimulatedAnnealingSampler):
        assert expected.info["precision"] == "bits"
    for num_best in (4, num_reads):
        for threads in (1, 3, 40):
            result = sampler.sample(bqm, num_best=num_best, num_threads=threads, **options)
            assert found(result) == reduced(expected, num_best)
            assert result.info.get("precision") == expected.info.get("precision")


@pytest.mark.parametrize("n", [2, 7, 16_000, 20_000])
def test_chunks_begin_at_multiples_of_32_reads(n, monkeypatch):
    firsts = []

    class Stopped(Exception):
        pass

    def run_reads(call, limits, solve):
        firsts.append(call._num_together)
        raise Stopped

    monkeypatch.setattr(sampler_call.SamplerCall, "run_reads", run_reads)
    J = scipy.sparse.diags([np.ones(n - 1)], [1], shape=(n, n), format="csr")
    with pytest.raises(Stopped):
        SimulatedAnnealingSampler().sample_arrays(
            np.ones(n), J, num_reads=2**20 + 5, num_best=1, num_sweeps=1, seed=1
        )
    assert firsts[0] % 32 == 0
    assert firsts[0] >= 64


@every_sampler
def test_counts_of_the_first_read(rng, small_chunks, name):
    sampler, options = CALLS[name]
    bqm = random_bqm(rng, 6)
    column = {"tabu": "num_restarts", "descent": "num_steps"}.get(name)
    expected = sampler.sample(bqm, num_reads=60, **options)
    result = sampler.sample(bqm, num_reads=60, num_best=3, **options)
    if column is not None:
        for state, value in zip(result.record.sample, result.record[column], strict=True):
            first = (expected.record.sample == state).all(axis=1).argmax()
            assert value == expected.record[column][first]


@pytest.mark.parametrize("size", [1, 7, 40, 1000])
def test_the_set_does_not_depend_on_chunks(rng, size):
    # Few states of few energies, many of which leave the set and come again.
    states = rng.choice(np.array([-1, 1], np.int8), (1000, 7))
    energies = (states.sum(axis=1) // 4).astype(float)
    best = BestStates(20, 7)
    for first in range(0, 1000, size):
        part = slice(first, first + size)
        best.add(states[part], energies[part], np.arange(1000)[part])
    lowest, values, occurrences, firsts = best.arrays()
    unique, at, counts = np.unique(states, axis=0, return_index=True, return_counts=True)
    order = np.lexsort((np.arange(len(unique)), energies[at]))[:20]
    np.testing.assert_array_equal(lowest, unique[order])
    np.testing.assert_array_equal(values, energies[at][order])
    np.testing.assert_array_equal(occurrences, counts[order])
    np.testing.assert_array_equal(firsts, at[order])


def test_arrays_and_initial_states(rng, small_chunks):
    J = np.triu(rng.integers(-3, 4, (8, 8)), 1).astype(float)
    starts = rng.choice(np.array([-1, 1], np.int8), (3, 8))
    for generator in ("tile", "random"):
        options = {
            "num_reads": 50, "initial_states": starts, "seed": 1,
            "initial_states_generator": generator,
        }  # fmt: skip
        sampler = SteepestDescentSampler()
        expected = sampler.sample_arrays(np.zeros(8), J, **options).to_sampleset()
        result = sampler.sample_arrays(np.zeros(8), J, num_best=4, **options)
        assert found(result.to_sampleset()) == reduced(expected, 4)
        assert result.num_occurrences.sum() <= 50


def test_an_energy_threshold_ends_the_call(small_chunks):
    bqm = dimod.BQM(dict.fromkeys(range(12), 1.0), {}, 0.0, "SPIN")
    result = SimulatedAnnealingSampler().sample(
        bqm, num_reads=10**6, num_best=2, num_sweeps=20, seed=1, energy_threshold=-12.0,
        num_threads=1,
    )  # fmt: skip
    assert result.info["stopped_by"] == "energy_threshold"
    assert result.first.energy == -12.0
    assert result.record.num_occurrences.sum() <= 32


def test_a_time_limit_ends_the_call(monkeypatch, small_chunks):
    ticks = iter(range(10**6))
    monkeypatch.setattr(sampler_call.time, "perf_counter", lambda: float(next(ticks)))
    bqm = dimod.BQM(dict.fromkeys(range(5), 1.0), {}, 0.0, "SPIN")
    # The clock is read once before the reads and once after each 32.
    result = SteepestDescentSampler().sample(
        bqm, num_reads=1000, num_best=9, time_limit=3.5, seed=1
    )
    assert result.info["stopped_by"] == "time_limit"
    assert result.record.num_occurrences.tolist() == [4 * 32]


def test_an_interrupted_call_has_its_best_states(small_chunks):
    seen = []

    def progress(energy):
        seen.append(energy)
        if len(seen) > 3:
            raise RuntimeError("enough")

    bqm = dimod.BQM(dict.fromkeys(range(12), 1.0), {}, 7.0, "SPIN")
    with pytest.raises(RuntimeError, match="enough") as caught:
        SimulatedAnnealingSampler().sample(
            bqm, num_reads=10**6, num_best=2, num_sweeps=20_000, seed=1, progress=progress,
            num_threads=1,
        )  # fmt: skip
    sampleset = caught.value.sampleset
    assert sampleset.info["stopped_by"] == "interrupt"
    assert len(sampleset) <= 2
    assert seen == sorted(seen, reverse=True)


def test_memory_is_that_of_the_best_states(rng):
    n, reads = 200, 60_000
    bqm = random_bqm(rng, n, 0.02)
    SteepestDescentSampler().sample(bqm, num_reads=1)
    tracemalloc.start()
    result = SteepestDescentSampler().sample(bqm, num_reads=reads, num_best=5, seed=1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(result) == 5
    assert peak < 8 << 20  # all states take 12 MB, and copies of them as much again


@pytest.mark.parametrize(
    ("value", "error"), [(0, ValueError), (-1, ValueError), (1.5, TypeError), ("3", TypeError)]
)
@pytest.mark.parametrize("sampler", [each for each, _ in CALLS.values()] + [ExhaustiveSampler()])
def test_bad_numbers(rng, sampler, value, error):
    with pytest.raises(error, match="num_best is"):
        sampler.sample(random_bqm(rng, 3), num_best=value)


def test_exhaustive_search_has_the_name_too(rng):
    bqm = random_bqm(rng, 8)
    expected = ExhaustiveSampler().sample(bqm, num_states=5)
    assert found(ExhaustiveSampler().sample(bqm, num_best=5)) == found(expected)
    assert len(ExhaustiveSampler().sample(bqm)) == 1
    with pytest.raises(ValueError, match="give one of them"):
        ExhaustiveSampler().sample(bqm, num_best=5, num_states=5)
