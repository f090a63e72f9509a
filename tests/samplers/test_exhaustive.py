"""The exhaustive sampler: conformity, every state accounted for, the same answer everywhere."""

import itertools
import threading
import unittest

import dimod
import dimod.testing
import numpy as np
import pytest

import reference
from interrupts import ctrl_c_in_the_core
from qpsbgd import ExhaustiveSampler, _core
from qpsbgd.samplers.problem.ising import Problem


@dimod.testing.load_sampler_bqm_tests(ExhaustiveSampler)
class TestConformity(unittest.TestCase):
    """dimod's own tests."""


# Biases that the core enumerates in 16 bits, in float32 and in float64.
KINDS = {
    "int16": lambda rng: int(rng.integers(-9, 10)),
    "float": lambda rng: int(rng.integers(-9999, 10000)),
    "double": lambda rng: int(rng.integers(-(10**9), 10**9)),
    "real": lambda rng: rng.normal(),
}


def random_bqm(rng, n, kind="int16", vartype="SPIN", density=0.8):
    draw = KINDS[kind]
    bqm = dimod.BinaryQuadraticModel(vartype)
    for i in range(n):
        bqm.add_linear(f"x{i}", draw(rng))
    for i, j in itertools.combinations(range(n), 2):
        if rng.random() < density:
            bqm.add_quadratic(f"x{i}", f"x{j}", draw(rng))
    bqm.offset = 0.5
    return bqm


def spins(found, variables):
    """States as spins; a sample set sorts its variables."""
    states = found.record.sample[:, [found.variables.index(v) for v in variables]]
    return states if found.vartype is dimod.SPIN else 2 * states - 1


def endless(rng):
    """A problem whose enumeration takes hours."""
    return random_bqm(rng, 48, "real")


def test_api():
    sampler = ExhaustiveSampler()
    dimod.testing.assert_sampler_api(sampler)
    assert sampler.properties["max_num_variables"] == 48


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("vartype", ["SPIN", "BINARY"])
@pytest.mark.parametrize("n", [1, 2, 5, 9, 12, 15])
def test_equals_dimods_exact_solver(rng, n, vartype, kind):
    bqm = random_bqm(rng, n, kind, vartype)
    expected = np.sort(dimod.ExactSolver().sample(bqm).record.energy)
    for num_states in (1, 7, 2**n):
        found = ExhaustiveSampler().sample(bqm, num_states=num_states)
        count = min(num_states, 2**n)
        np.testing.assert_allclose(found.record.energy, expected[:count], rtol=1e-12, atol=1e-9)
        np.testing.assert_allclose(found.record.energy, bqm.energies(found), atol=1e-9)
        assert len(np.unique(found.record.sample, axis=0)) == count
        assert found.vartype is bqm.vartype
        assert found.info["num_visited"] == 2**n
        assert found.info["stopped_by"] == "finished"


@pytest.mark.parametrize("kind", ["int16", "float", "double"])
@pytest.mark.parametrize("n", [3, 11, 12, 13, 14, 16])
def test_equals_twin_on_every_isa(rng, isa, n, kind):
    bqm = random_bqm(rng, n, kind)
    problem = Problem(bqm)
    for num_states in (1, 50):
        expected = reference.lowest_states(
            problem.linear, problem.pairs, problem.quadratic, num_states
        )
        for threads in (1, 2, 5):
            found = ExhaustiveSampler().sample(bqm, num_states=num_states, num_threads=threads)
            np.testing.assert_array_equal(spins(found, bqm.variables), expected)
            assert found.info["isa"] == isa


@pytest.mark.parametrize("n", [7, 17])
def test_equal_energies_are_in_lexicographic_order(n):
    everything = dimod.BQM(dict.fromkeys(range(n), 0), {}, 0.0, "BINARY")
    chain = dimod.BQM({}, {(i, i + 1): -0.1 for i in range(n - 1)}, 0.0, "SPIN")
    pairs = dimod.BQM({n - 1: 0}, {(i, i + 1): 1 for i in range(0, n - 1, 2)}, 0.0, "SPIN")
    for bqm in (everything, chain, pairs):
        variables = sorted(bqm.variables)
        problem = Problem(bqm, variables=variables)
        expected = reference.lowest_states(problem.linear, problem.pairs, problem.quadratic, 2)
        # The order of variables in the model is what counts.
        ordered = dimod.BQM(dict.fromkeys(variables, 0), {}, 0.0, bqm.vartype)
        ordered.update(bqm)
        for threads in (1, 2):
            found = ExhaustiveSampler().sample(ordered, num_states=2, num_threads=threads)
            np.testing.assert_array_equal(spins(found, variables), expected)


def test_real_problems_do_not_depend_on_threads_or_isa(rng, monkeypatch):
    bqm = random_bqm(rng, 20, "real")
    whole = ExhaustiveSampler().sample(bqm, num_states=100, num_threads=1).record
    assert (np.diff(whole.energy) >= 0).all()
    for isa in _core.available_isas():
        monkeypatch.setenv("QPSBGD_ISA", isa)
        for threads in (1, 2, 7):
            again = ExhaustiveSampler().sample(bqm, num_states=100, num_threads=threads)
            np.testing.assert_array_equal(whole.sample, again.record.sample)
            np.testing.assert_array_equal(whole.energy, again.record.energy)


def test_biases_of_any_magnitude(rng):
    # Powers of two keep the ties of integers.
    for kind, base in (("int16", 2.0), ("real", 10.0)):
        bqm = random_bqm(rng, 15, kind)
        expected = ExhaustiveSampler().sample(bqm, num_states=3).record.sample
        for exponent in (-290, -30, 30, 290):
            scaled = bqm.copy()
            scaled.scale(base**exponent)
            found = ExhaustiveSampler().sample(scaled, num_states=3).record.sample
            np.testing.assert_array_equal(found, expected)


def test_limits_of_exact_sums():
    # Sums just within 16 bits, just beyond, and the same for float32's 24 bits.
    for total in (2**15 - 1, 2**15, 2**24, 2**24 + 1):
        n = 14
        bqm = dimod.BQM(dict.fromkeys(range(n), 1), {(0, n - 1): -(total - n)}, 0.0, "SPIN")
        found = ExhaustiveSampler().sample(bqm).first
        assert found.energy == -total
        assert set(found.sample.values()) == {-1}


def test_thirty_variables():
    bqm = dimod.BQM({}, {(i, (i + 1) % 30): 1 for i in range(30)}, 0.0, "SPIN")
    found = ExhaustiveSampler().sample(bqm, num_states=3)
    assert list(found.record.energy) == [-30, -30, -26]
    assert found.info["num_visited"] == 2**30


def test_states_that_grow_ever_better_take_no_longer():
    # In plain counting order every state would be lower than all before.
    bqm = dimod.BQM({i: -(2.0**-i) for i in range(30)}, {}, 0.0, "SPIN")
    found = ExhaustiveSampler().sample(bqm, num_states=2)
    assert spins(found, bqm.variables).sum(axis=1).tolist() == [30, 28]


def test_no_variables():
    found = ExhaustiveSampler().sample(dimod.BQM({}, {}, 2.5, "SPIN"), num_states=3)
    assert len(found) == 1
    assert found.first.energy == 2.5


def test_labels_of_any_kind():
    bqm = dimod.BQM({"a": 1, (1, 2): -1, 7: 0}, {("a", 7): 1}, 0.0, "BINARY")
    found = ExhaustiveSampler().sample(bqm)
    assert found.first.sample == {"a": 0, (1, 2): 1, 7: 0}


@pytest.mark.parametrize("threads", [1, 2])
def test_time_limit(rng, threads):
    bqm = endless(rng)
    found = ExhaustiveSampler().sample(bqm, time_limit=0.2, num_threads=threads, num_states=5)
    assert found.info["stopped_by"] == "time_limit"
    assert 0 < found.info["num_visited"] < 2**48
    assert len(found) == 5
    dimod.testing.assert_sampleset_energies(found, bqm)
    at_once = ExhaustiveSampler().sample(bqm, time_limit=1e-9)
    assert len(at_once) == 1


@pytest.mark.parametrize("threads", [1, 2])
def test_interrupt_function(rng, threads):
    calls = []

    def interrupt():
        calls.append(threading.get_ident())
        return len(calls) == 5

    found = ExhaustiveSampler().sample(
        endless(rng), interrupt_function=interrupt, num_threads=threads
    )
    assert found.info["stopped_by"] == "interrupt"
    assert set(calls) == {threading.get_ident()}
    assert len(found) == 1


def test_an_exception_of_the_interrupt_function_keeps_the_samples(rng):
    def interrupt():
        raise ZeroDivisionError("enough")

    with pytest.raises(ZeroDivisionError, match="enough") as caught:
        ExhaustiveSampler().sample(endless(rng), interrupt_function=interrupt)
    assert len(caught.value.sampleset) == 1


@pytest.mark.parametrize("threads", [1, 2])
def test_control_c(rng, threads):
    bqm = endless(rng)
    with ctrl_c_in_the_core(), pytest.raises(KeyboardInterrupt) as caught:
        ExhaustiveSampler().sample(bqm, num_threads=threads)
    dimod.testing.assert_sampleset_energies(caught.value.sampleset, bqm)


def test_energy_threshold(rng):
    bqm = random_bqm(rng, 40)
    known = ExhaustiveSampler().sample(bqm, time_limit=0.05).first.energy
    found = ExhaustiveSampler().sample(bqm, energy_threshold=known)
    assert found.info["stopped_by"] == "energy_threshold"
    assert found.first.energy <= known
    assert found.info["num_visited"] < 2**40
    small = random_bqm(rng, 10)
    assert ExhaustiveSampler().sample(small, energy_threshold=-1e9).info["stopped_by"] == "finished"


def test_progress_gets_the_lowest_energy_so_far(rng):
    seen = []
    found = ExhaustiveSampler().sample(endless(rng), time_limit=0.3, progress=seen.append)
    assert len(seen) > 3
    assert seen == sorted(seen, reverse=True)
    assert found.first.energy <= seen[-1] + 1e-9


def test_two_python_threads_at_once(rng):
    bqm = random_bqm(rng, 24, "real")
    expected = ExhaustiveSampler().sample(bqm, num_states=9).record.sample
    results = [None, None]

    def work(slot):
        results[slot] = ExhaustiveSampler().sample(bqm, num_states=9).record.sample

    threads = [threading.Thread(target=work, args=(slot,)) for slot in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result in results:
        np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"num_states": 0}, ValueError, "num_states is 0"),
        ({"num_states": 1.5}, TypeError, "num_states is 1.5"),
        ({"num_threads": 0}, ValueError, "num_threads is 0"),
        ({"time_limit": 0}, ValueError, "time_limit is 0"),
        ({"interrupt_function": 3}, TypeError, "interrupt_function is 3"),
        ({"progress": 3}, TypeError, "progress is 3"),
        ({"energy_threshold": np.nan}, ValueError, "energy_threshold is nan"),
        ({"energy_threshold": "low"}, TypeError, "energy_threshold is 'low'"),
    ],
)
def test_bad_options(options, error, message):
    with pytest.raises(error, match=message):
        ExhaustiveSampler().sample_ising({"a": 1}, {"ab": 1}, **options)


def test_bad_problems():
    sampler = ExhaustiveSampler()
    with pytest.raises(ValueError, match="bqm has 49 variables, but must have at most 48"):
        sampler.sample_ising(dict.fromkeys(range(49), 1), {})
    with pytest.raises(ValueError, match="linear bias of 'b' is nan"):
        sampler.sample_ising({"a": 1, "b": np.nan}, {})
    with pytest.raises(TypeError, match="bqm is a dict"):
        sampler.sample({"a": 1})
    core = _core.Ising(np.ones(49), *(np.empty(0, np.uint32),) * 2, np.empty(0))
    with pytest.raises(ValueError, match="49 variables, but must have at most 48"):
        core.enumerate(
            num_states=1, num_threads=1, time_limit=1.0, energy_threshold=0.0, watch=None
        )


def test_unknown_options_warn():
    with pytest.warns(dimod.exceptions.SamplerUnknownArgWarning, match="num_reads"):
        ExhaustiveSampler().sample_ising({"a": 1}, {}, num_reads=3)
