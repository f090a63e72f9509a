"""PathIntegralAnnealingSampler as a dimod sampler: conformity, parameters, limits."""

import itertools
import json
import unittest

import dimod
import dimod.testing
import numpy as np
import pytest

from interrupts import ctrl_c_in_the_core
from problems import random_bqm, random_graph
from qpsbgd import PathIntegralAnnealingSampler

STEPS = np.linspace(0.0, 1.0, 20)
#: A short quantum anneal.
ANNEAL = {"beta_schedule_type": "custom", "Hp_field": 2 * STEPS, "Hd_field": 3 * (1.1 - STEPS)}


@dimod.testing.load_sampler_bqm_tests(PathIntegralAnnealingSampler)
class TestConformity(unittest.TestCase):
    """dimod's own tests."""


def free_model(labels, bias=0.0):
    """A model without interactions, whose variables have this order."""
    bqm = dimod.BQM("SPIN")
    for label in labels:
        bqm.add_variable(label, bias)
    return bqm


def sample(bqm, **options):
    return PathIntegralAnnealingSampler().sample(bqm, **{"seed": 4, **options})


def spins(bqm, **options):
    return sample(bqm, **options).record.sample


@pytest.fixture
def bqm(rng):
    return random_bqm(rng, 12, kind="normal")


def test_api():
    sampler = PathIntegralAnnealingSampler()
    dimod.testing.assert_sampler_api(sampler)
    peer = pytest.importorskip("dwave.samplers").PathIntegralAnnealingSampler()
    assert peer.parameters.keys() <= sampler.parameters.keys()
    assert sampler.properties == {
        "beta_range_options": ("auto", "dwave"),
        "beta_schedule_options": ("linear", "geometric", "custom"),
        "form_options": ("dense", "sparse"),
    }


def test_the_defaults_are_those_of_dwave_samplers():
    import inspect

    peer = pytest.importorskip("dwave.samplers").PathIntegralAnnealingSampler
    theirs = inspect.signature(peer.sample).parameters
    ours = inspect.signature(PathIntegralAnnealingSampler.sample).parameters
    assert theirs.keys() <= ours.keys()
    assert {name: ours[name].default for name in theirs} == {
        name: parameter.default for name, parameter in theirs.items()
    }
    assert all(ours[name].kind == theirs[name].kind for name in theirs)


def test_default_schedule_is_that_of_dwave_samplers(bqm):
    peer = pytest.importorskip("dwave.samplers").PathIntegralAnnealingSampler()
    ours, theirs = sample(bqm), peer.sample(bqm, seed=4)
    assert ours.info["beta_range"] == pytest.approx(list(theirs.info["beta_range"]))
    assert ours.info["num_sweeps"] == [100, 100]
    assert ours.info.keys() >= theirs.info.keys()


@pytest.mark.parametrize("vartype", ["SPIN", "BINARY"])
@pytest.mark.parametrize("form", ["dense", "sparse"])
def test_energies_are_the_models(rng, vartype, form):
    bqm = random_bqm(rng, 30, 0.4, "normal", vartype)
    result = sample(bqm, num_reads=20, form=form, **ANNEAL)
    assert result.vartype.name == vartype
    dimod.testing.assert_sampleset_energies(result, bqm)
    assert result.info["form"] == form


@pytest.mark.parametrize("vartype", ["SPIN", "BINARY"])
@pytest.mark.parametrize("linear", [{}, {"a": -1.0}])
def test_tiny_problems(vartype, linear):
    bqm = dimod.BQM(linear, {}, 0.5, vartype)
    for options in ({}, ANNEAL, {**ANNEAL, "project_states": (True, False)}):
        result = sample(bqm, num_reads=3, schedule_sample_interval=7, **options)
        assert len(result) == 3
        assert result.info["statistics"].shape[::2] == (3, len(bqm))
        dimod.testing.assert_sampleset_energies(result, bqm)


def test_unsortable_labels_and_the_order_of_arrays():
    """Arrays in info follow the variables of the sample set, which are sorted where they can be."""
    for labels in ([("t", 1), "a", 3, frozenset()], ["z", "b", "a", "y"]):
        bqm = dimod.BQM("SPIN")
        for label, bias in zip(labels, (-9.0, 9.0, 0.0, 9.0), strict=True):
            bqm.add_variable(label, bias)
        result = sample(
            bqm, num_reads=40, beta_schedule_type="custom", Hp_field=np.full(9, 2.0),
            Hd_field=np.full(9, 3.0), project_states=(True, False), schedule_sample_interval=8,
        )  # fmt: skip
        assert list(result.variables) == (sorted(labels) if "z" in labels else labels)
        means = dict(zip(result.variables, result.info["num_breaks"].mean(axis=0), strict=True))
        assert means[labels[2]] > 2  # the free qubit
        assert all(means[label] < 1 for label in labels if label != labels[2])
        np.testing.assert_array_equal(result.info["statistics"][:, 1], result.record.sample)


# ---- reproducibility ---------------------------------------------------------------------------


@pytest.mark.parametrize("graph", ["dense", "sparse"])
def test_a_read_does_not_depend_on_the_others(rng, isa, graph):
    bqm = random_bqm(rng, 40) if graph == "dense" else random_graph(rng, 200)
    starts = rng.choice(np.array([-1, 1], np.int8), (40, len(bqm)))
    options = {**ANNEAL, "project_states": (True, False)}

    def reads(count, threads):
        result = sample(
            bqm, initial_states=(starts[:count], bqm.variables), num_threads=threads, **options
        )
        numbers = result.info["num_breaks"]
        lines = np.split(result.info["break_positions"], numbers.sum(axis=1).cumsum()[:-1])
        return list(zip(result.record.sample.tolist(), [x.tolist() for x in lines], strict=True))

    all_reads = reads(40, 1)
    assert reads(40, 3) == all_reads
    for count in (1, 15, 17, 33):
        assert reads(count, 2) == all_reads[:count]


def test_seeds(bqm):
    options = {**ANNEAL, "num_reads": 20}
    first = sample(bqm, **options | {"seed": 7})
    np.testing.assert_array_equal(first.record.sample, spins(bqm, **options, seed=7))
    assert (first.record.sample != spins(bqm, **options, seed=8)).any()
    drawn = sample(bqm, **options, seed=None)
    again = sample(bqm, **options, seed=drawn.info["seed"])
    np.testing.assert_array_equal(drawn.record.sample, again.record.sample)


# ---- parameters --------------------------------------------------------------------------------


def test_schedules_that_are_equal_give_equal_samples(bqm):
    options = {"num_reads": 20, "Hd_field": np.full(10, 0.5)}
    betas = np.geomspace(0.2, 3.0, 10)
    custom = {"beta_schedule_type": "custom", "Hp_field": betas}
    expected = spins(bqm, **options, **custom)
    np.testing.assert_array_equal(
        expected, spins(bqm, **options, beta_range=(0.2, 3.0), num_sweeps=10)
    )
    np.testing.assert_array_equal(
        expected, spins(bqm, **options, **custom, beta_range=(0.2, 3.0), num_sweeps=10)
    )
    linear = spins(
        bqm, **options, beta_range=(0.2, 3.0), num_sweeps=10, beta_schedule_type="linear"
    )
    assert (linear != expected).any()
    np.testing.assert_array_equal(
        linear,
        spins(bqm, **options, beta_schedule_type="custom", Hp_field=np.linspace(0.2, 3.0, 10)),
    )


def test_sweeps_per_beta_repeat_a_step(bqm):
    repeated = {
        "beta_schedule_type": "custom",
        "Hp_field": np.repeat([0.5, 1.5], 3),
        "Hd_field": np.repeat([2.0, 1.0], 3),
    }
    np.testing.assert_array_equal(
        spins(bqm, num_reads=20, **repeated),
        spins(
            bqm, num_reads=20, beta_schedule_type="custom", Hp_field=[0.5, 1.5],
            Hd_field=[2.0, 1.0], num_sweeps_per_beta=3, num_sweeps=6,
        ),
    )  # fmt: skip


def test_gamma_is_a_factor_of_the_transverse_field(bqm):
    options = {"num_reads": 20, "beta_schedule_type": "custom", "Hp_field": [1.0, 1.0]}
    doubled = spins(bqm, Hd_field=[2.0, 4.0], **options)
    np.testing.assert_array_equal(doubled, spins(bqm, Hd_field=[1.0, 2.0], Gamma=2, **options))
    assert (doubled != spins(bqm, Hd_field=[1.0, 2.0], **options)).any()
    np.testing.assert_array_equal(
        spins(bqm, **options), spins(bqm, Hd_field=[1.0, 2.0], Gamma=0.0, **options)
    )


@pytest.mark.parametrize("per_update", [1, 3])
@pytest.mark.parametrize(("strength", "sign"), [(-4.0, 1), (4.0, -1), (0.0, None)])
def test_chains(per_update, strength, sign):
    """Neighbours in a chain agree, disagree or ignore each other; energies leave the chains out."""
    bqm = free_model(range(6))
    bqm.add_quadratic(0, 3, 0.5)
    result = sample(
        bqm, num_reads=300, beta_schedule_type="custom", Hp_field=np.ones(30),
        Hd_field=np.full(30, 0.5), qubits_per_chain=3, qubits_per_update=per_update,
        chain_coupler_strength=strength,
    )  # fmt: skip
    dimod.testing.assert_sampleset_energies(result, bqm)
    s = result.record.sample.astype(int)
    inside = (s[:, [0, 1, 3, 4]] * s[:, [1, 2, 4, 5]]).mean(axis=0)
    across = (s[:, 2] * s[:, 3]).mean()
    if sign is None:
        assert (abs(inside) < 0.25).all()  # four times the standard error
    else:
        assert (sign * inside > 0.9).all()
        assert abs(across) < 0.6  # <s_0 s_3> is -tanh(0.5)


def test_chain_updates_move_chains_that_qubit_updates_cannot():
    bqm = free_model(range(8))
    options = {
        "initial_states": dict.fromkeys(range(8), 1), "initial_states_generator": "tile",
        "num_reads": 200, "beta_schedule_type": "custom", "Hp_field": np.ones(10),
        "qubits_per_chain": 4, "chain_coupler_strength": -20.0,
    }  # fmt: skip
    assert (spins(bqm, **options) == 1).all()
    moved = spins(bqm, **options, qubits_per_update=4)
    assert (moved == np.repeat(moved[:, ::4], 4, axis=1)).all()
    assert abs(moved[:, ::4].mean()) < 0.2  # four times the standard error


def test_chains_are_consecutive_labels():
    """Neither the order of the model nor that of an initial state matter."""
    bqm = free_model("dacb")  # chains a-b and c-d
    result = sample(
        bqm, initial_states={"c": 1, "b": 1, "a": 1, "d": 1}, initial_states_generator="tile",
        num_reads=100, qubits_per_chain=2, chain_coupler_strength=-30.0, qubits_per_update=2,
        beta_schedule_type="custom", Hp_field=[1.0],
    )  # fmt: skip
    s = dict(zip(result.variables, result.record.sample.T, strict=True))
    assert (s["a"] == s["b"]).all()
    assert (s["c"] == s["d"]).all()
    assert (s["a"] != s["c"]).any()


def test_statistics_are_the_states_on_the_way(bqm):
    options = {"num_reads": 18, "num_threads": 2, "beta_schedule_type": "custom"}
    fields = {"Hp_field": np.ones(8), "Hd_field": np.ones(8)}
    result = sample(bqm, **options, **fields, num_sweeps_per_beta=2, schedule_sample_interval=3)
    statistics = result.info["statistics"]
    assert statistics.shape == (18, 3, len(bqm))
    assert statistics.dtype == np.int8
    for number, steps in enumerate((1, 4, 7)):
        start = {name: values[:steps] for name, values in fields.items()}
        np.testing.assert_array_equal(
            statistics[:, number], spins(bqm, **options, **start, num_sweeps_per_beta=2)
        )
    assert "statistics" not in sample(bqm, **options, **fields).info


def test_worldlines_go_back_in():
    """A call without sweeps returns the worldlines at which it starts, in any order of labels."""
    bqm = free_model("dacb", 0.3)
    bqm.add_quadratic("a", "d", 1.0)
    first = sample(bqm, num_reads=20, project_states=(True, False), **ANNEAL)
    again = sample(
        bqm, initial_states=first, project_states=(False, False), num_sweeps=0,
        num_breaks=first.info["num_breaks"], breaks_in=first.info["break_positions"],
    )  # fmt: skip
    assert first.info["num_breaks"].any()
    np.testing.assert_array_equal(again.record.sample, first.record.sample)
    for name in ("num_breaks", "break_positions"):
        np.testing.assert_array_equal(again.info[name], first.info[name])
    # The breaks count: a classical start goes another way.
    step = {"beta_schedule_type": "custom", "Hp_field": [1.0], "Hd_field": [0.1]}
    quantum = sample(
        bqm, initial_states=first, project_states=(False, False), **step,
        num_breaks=first.info["num_breaks"], breaks_in=first.info["break_positions"],
    )  # fmt: skip
    classical = sample(bqm, initial_states=first, project_states=(True, False), **step)
    assert quantum.info["num_breaks"].sum() != classical.info["num_breaks"].sum()


def test_a_buffer_receives_the_breaks(bqm):
    options = {**ANNEAL, "num_reads": 20, "project_states": (True, False)}
    places = sample(bqm, **options).info["break_positions"]
    for size in (len(places) + 5, len(places), 7, 0):
        buffer = np.full(size, -1, np.int32)
        info = sample(bqm, **options, breaks_buffer_out=buffer).info
        fitting = min(size, len(places))
        np.testing.assert_array_equal(buffer[:fitting], places[:fitting])
        assert (buffer[fitting:] == -1).all()
        np.testing.assert_array_equal(info["break_positions"], places[:fitting])
        assert info["complete_break_specification"] == (size >= len(places))
    assert "num_breaks" not in sample(bqm, **ANNEAL).info


def test_info_can_be_serializable(bqm):
    options = {**ANNEAL, "num_reads": 3, "project_states": (True, False)}
    plain = sample(bqm, **options, schedule_sample_interval=5)
    with pytest.raises(TypeError):
        json.dumps(plain.info)
    info = sample(bqm, **options, schedule_sample_interval=5, make_info_json_serializable=True).info
    assert json.loads(json.dumps(info))["statistics"] == plain.info["statistics"].tolist()


def test_zero_sweeps_return_the_initial_states(bqm, rng):
    starts = rng.choice(np.array([-1, 1], np.int8), (5, len(bqm)))
    result = sample(bqm, initial_states=(starts, bqm.variables), num_sweeps=0)
    order = [list(bqm.variables).index(variable) for variable in result.variables]
    np.testing.assert_array_equal(result.record.sample, starts[:, order])
    assert result.info["beta_range"] is None


# ---- limits ------------------------------------------------------------------------------------

LONG = {"beta_schedule_type": "custom", "Hp_field": [1.0], "Hd_field": [2.0],
        "num_sweeps_per_beta": 2**30}  # fmt: skip


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("per_chain", [1, 2])
def test_time_limit(rng, threads, per_chain):
    bqm = random_bqm(rng, 60, 0.0)
    result = sample(
        bqm, num_reads=200, time_limit=0.1, num_threads=threads, schedule_sample_interval=1,
        project_states=(True, False), qubits_per_chain=per_chain, qubits_per_update=per_chain,
        **LONG,
    )  # fmt: skip
    assert result.info["stopped_by"] == "time_limit"
    assert len(result) == 16 * threads
    assert result.info["num_breaks"].shape == result.record.sample.shape
    assert result.info["num_breaks"].sum() == len(result.info["break_positions"]) > 0
    assert not result.info["statistics"].any()
    assert 0 < result.info["num_sweeps"][0] <= result.info["num_sweeps"][1] < 2**30
    dimod.testing.assert_sampleset_energies(result, bqm)


def test_interrupts_keep_the_samples(bqm):
    calls = itertools.count()
    result = sample(bqm, interrupt_function=lambda: next(calls) == 2, **LONG)
    assert result.info["stopped_by"] == "interrupt"
    dimod.testing.assert_sampleset_energies(result, bqm)

    def fail():
        raise OSError("no")

    with pytest.raises(OSError, match="no") as caught:
        sample(bqm, interrupt_function=fail, project_states=(True, False), **LONG)
    assert "num_breaks" in caught.value.sampleset.info
    with pytest.raises(KeyboardInterrupt) as caught, ctrl_c_in_the_core():
        sample(bqm, **LONG)
    dimod.testing.assert_sampleset_energies(caught.value.sampleset, bqm)
