"""Behaviour that Ocean users expect of every sampler: dwave-samplers' and dimod's documented
behaviour."""

import dimod
import numpy as np
import pytest

import qpsbgd
from problems import random_bqm

SAMPLERS = {
    "sa": (qpsbgd.SimulatedAnnealingSampler, {"num_sweeps": 50}),
    "tabu": (qpsbgd.TabuSampler, {"num_restarts": 3}),
    "descent": (qpsbgd.SteepestDescentSampler, {}),
    "exhaustive": (qpsbgd.ExhaustiveSampler, {}),
}
#: Those that start somewhere.
INITIALIZED = ("sa", "tabu", "descent")

every_sampler = pytest.mark.parametrize("name", SAMPLERS)
initialized = pytest.mark.parametrize("name", INITIALIZED)


def sample(name, bqm, **options):
    sampler, defaults = SAMPLERS[name]
    return sampler().sample(bqm, **defaults | options)


@every_sampler
def test_labels_of_any_kind(name):
    bqm = dimod.BQM({"a": 1, 0: -1, ("b", 1): 0.5, frozenset("c"): 1}, {}, 0.0, "SPIN")
    bqm.add_quadratic("a", ("b", 1), -2)
    found = sample(name, bqm)
    assert set(found.variables) == set(bqm.variables)
    dimod.testing.assert_sampleset_energies(found, bqm)


@every_sampler
@pytest.mark.parametrize("dtype", [np.float32, np.float64, object])
@pytest.mark.parametrize("vartype", ["SPIN", "BINARY"])
def test_biases_of_any_dtype(rng, name, dtype, vartype):
    bqm = dimod.BinaryQuadraticModel(random_bqm(rng, 10, vartype=vartype), dtype=dtype)
    found = sample(name, bqm)
    assert found.vartype is bqm.vartype
    assert found.record.energy.dtype == np.float64
    dimod.testing.assert_sampleset_energies(found, bqm)


@every_sampler
def test_the_model_is_left_as_it_was(rng, name):
    for vartype in ("SPIN", "BINARY"):
        bqm = random_bqm(rng, 10, vartype=vartype)
        copy = bqm.copy()
        sample(name, bqm)
        assert bqm == copy
        assert bqm.vartype is copy.vartype


@every_sampler
def test_qubo_and_ising(name):
    sampler, options = SAMPLERS[name]
    found = sampler().sample_qubo({("a", "a"): -1, ("a", "b"): 2, ("b", "b"): -1}, **options)
    assert found.vartype is dimod.BINARY
    assert found.first.energy == -1
    found = sampler().sample_ising({"a": 0.5}, {("a", "b"): -1}, **options)
    assert found.vartype is dimod.SPIN
    dimod.testing.assert_sampleset_energies(found, dimod.BQM.from_ising({"a": 0.5}, {"ab": -1}))


@every_sampler
def test_offsets_count(rng, name):
    bqm = random_bqm(rng, 8)
    moved = bqm.copy()
    moved.offset += 1e6
    options = {} if name == "exhaustive" else {"seed": 1}
    difference = (
        sample(name, moved, **options).record.energy - sample(name, bqm, **options).record.energy
    )
    np.testing.assert_allclose(difference, 1e6)


@initialized
def test_as_many_reads_as_initial_states(rng, name):
    bqm = random_bqm(rng, 12)
    assert len(sample(name, bqm)) == 1
    states = (rng.choice([-1, 1], size=(5, 12)), list(bqm.variables))
    assert len(sample(name, bqm, initial_states=states)) == 5
    assert len(sample(name, bqm, initial_states=states, num_reads=3)) == 3
    assert len(sample(name, bqm, initial_states=states, num_reads=7)) == 7


@initialized
def test_initial_states_in_another_order_and_vartype(rng, name):
    bqm = random_bqm(rng, 12)
    labels = list(bqm.variables)
    states = rng.choice([-1, 1], size=(4, 12))
    plain = sample(name, bqm, initial_states=(states, labels), seed=1)
    turned = sample(name, bqm, initial_states=(states[:, ::-1], labels[::-1]), seed=1)
    binary = dimod.SampleSet.from_samples_bqm(
        ((states + 1) // 2, labels), bqm.change_vartype("BINARY", inplace=False)
    )
    other = sample(name, bqm, initial_states=binary, seed=1)
    for result in (turned, other):
        assert sorted(result.record.energy) == sorted(plain.record.energy)


@initialized
def test_initial_states_generators(rng, name):
    bqm = random_bqm(rng, 12)
    states = (rng.choice([-1, 1], size=(2, 12)), list(bqm.variables))
    with pytest.raises(ValueError, match="initial"):
        sample(name, bqm, initial_states=states, num_reads=3, initial_states_generator="none")
    stay = {
        "sa": {"num_sweeps": 0},
        "tabu": {"num_restarts": 0, "coefficient_z_first": 0, "lower_bound_z": 0},
    }
    if name in stay:
        tiled = sample(
            name, bqm, initial_states=states, num_reads=5, initial_states_generator="tile",
            **stay[name],
        )  # fmt: skip
        columns = [tiled.variables.index(v) for v in bqm.variables]
        np.testing.assert_array_equal(tiled.record.sample[:, columns], states[0][[0, 1, 0, 1, 0]])


@initialized
def test_the_same_seed_gives_the_same_samples(rng, name):
    bqm = random_bqm(rng, 40, 0.5, "real")
    options = {"num_reads": 6, "timeout": None} if name == "tabu" else {"num_reads": 6}
    first, again, other = (sample(name, bqm, seed=seed, **options) for seed in (7, 7, 8))
    np.testing.assert_array_equal(first.record.sample, again.record.sample)
    assert name == "tabu" or (first.record.sample != other.record.sample).any()
    # Reads are not copies of one another.
    assert name == "tabu" or len(np.unique(first.record.sample, axis=0)) > 1


def test_a_thousand_sweeps_by_default(rng):
    found = qpsbgd.SimulatedAnnealingSampler().sample(random_bqm(rng, 5))
    assert found.info["num_sweeps"] == [1000, 1000]
    assert found.info["beta_schedule_type"] == "geometric"


def test_twenty_milliseconds_a_tabu_read_by_default(rng):
    found = qpsbgd.TabuSampler().sample(random_bqm(rng, 30), num_reads=2, num_threads=1)
    assert found.info["stopped_by"] == "timeout"
    assert 40 <= found.info["timing"]["sampling_ns"] / 1e6 < 1000


@every_sampler
def test_info_tells_what_was_used(rng, name):
    info = sample(name, random_bqm(rng, 10), num_threads=1).info
    assert info["timing"].keys() == {"preprocessing_ns", "sampling_ns", "postprocessing_ns"}
    assert info["isa"] in qpsbgd._core.available_isas()
    assert info["num_threads"] == 1
    assert info["stopped_by"] in ("finished", "timeout")


@every_sampler
def test_biases_whose_sum_overflows(name):
    bqm = dimod.BQM(dict.fromkeys(range(20), -1.7e308), {(0, 1): -1.7e308}, 0.0, "SPIN")
    with pytest.raises(ValueError, match="must have a sum that float64 holds"):
        sample(name, bqm)
