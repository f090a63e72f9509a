"""Steepest descent: conformity, the peer's steps, local minima in float64."""

import itertools
import threading
import unittest

import dimod
import dimod.testing
import numpy as np
import pytest

import reference
from interrupts import ctrl_c_in_the_core
from problems import random_bqm, random_graph
from qpsbgd import SteepestDescentSampler, _core
from qpsbgd.samplers.problem.ising import Problem


@dimod.testing.load_sampler_bqm_tests(SteepestDescentSampler)
class TestConformity(unittest.TestCase):
    """dimod's own tests."""


def random_states(rng, bqm, reads):
    values = [-1, 1] if bqm.vartype is dimod.SPIN else [0, 1]
    states = rng.choice(np.array(values, np.int8), size=(reads, bqm.num_variables))
    return states, list(bqm.variables)


def assert_local_minima(bqm, result):
    problem = Problem(bqm, variables=list(result.variables))
    s = result.record.sample.astype(float)
    if bqm.vartype is dimod.BINARY:
        s = 2 * s - 1
    couplings = np.zeros((len(problem.linear),) * 2)
    np.add.at(couplings, tuple(problem.pairs), problem.quadratic)
    couplings += couplings.T
    reach = abs(problem.linear) + abs(couplings).sum(axis=0)
    assert (s * (problem.linear + s @ couplings) <= 1e-13 * reach).all()


def test_api():
    sampler = SteepestDescentSampler()
    dimod.testing.assert_sampler_api(sampler)
    peer = pytest.importorskip("dwave.samplers").SteepestDescentSampler()
    assert peer.parameters.keys() <= sampler.parameters.keys()
    assert peer.properties.items() <= sampler.properties.items()


@pytest.mark.parametrize("form", ["dense", "sparse"])
@pytest.mark.parametrize("n", [1, 2, 17, 64, 150])
def test_equals_twin_on_every_isa(rng, isa, form, n):
    problem = Problem(random_bqm(rng, n, 0.4), form)
    assert problem.core.exact
    starts = rng.choice(np.array([-1, 1], np.int8), size=(20, n))
    expected, expected_steps = reference.descend(
        problem.linear, problem.pairs, problem.quadratic, starts
    )
    for threads, precision in itertools.product((1, 2, 7), ("float32", "float64")):
        states, steps, reason, error = problem.core.descend(
            starts,
            precision=_core.Precision[precision],
            num_threads=threads,
            time_limit=np.inf,
            watch=None,
        )
        np.testing.assert_array_equal(states, expected)
        np.testing.assert_array_equal(steps, expected_steps)
        assert reason is _core.StopReason.finished
        assert error is None


@pytest.mark.parametrize("kind", ["integer", "real"])
@pytest.mark.parametrize("vartype", ["SPIN", "BINARY"])
@pytest.mark.parametrize("large_sparse_opt", [False, True])
def test_equals_the_peer(rng, kind, vartype, large_sparse_opt):
    peer = pytest.importorskip("dwave.samplers").SteepestDescentSampler()
    for n, density in ((1, 1.0), (5, 1.0), (40, 0.5), (130, 0.1), (130, 1.0)):
        bqm = random_bqm(rng, n, density, kind, vartype)
        options = {
            "initial_states": random_states(rng, bqm, 10),
            "num_reads": 25,
            "seed": 3,
            "large_sparse_opt": large_sparse_opt,
        }
        ours = SteepestDescentSampler().sample(bqm, **options)
        theirs = peer.sample(bqm, **options)
        assert list(ours.variables) == list(theirs.variables)
        np.testing.assert_array_equal(ours.record.sample, theirs.record.sample)
        np.testing.assert_array_equal(ours.record.num_steps, theirs.record.num_steps)
        np.testing.assert_allclose(ours.record.energy, theirs.record.energy, rtol=1e-12)
        assert theirs.info.keys() <= ours.info.keys()
        assert theirs.info["timing"].keys() == ours.info["timing"].keys()


@pytest.mark.parametrize("form", ["dense", "sparse"])
@pytest.mark.parametrize("vartype", ["SPIN", "BINARY"])
def test_ends_at_local_minima(rng, form, vartype):
    real = random_bqm(rng, 120, 0.3, "real", vartype)
    tenths = random_bqm(rng, 120, 0.3, "integer", vartype)
    tenths.scale(0.1)
    # Biases of so different magnitudes that float32 fields lose the smaller ones.
    wide = random_bqm(rng, 120, 0.3, "real", vartype)
    for i, j in list(wide.quadratic):
        wide.set_quadratic(i, j, wide.get_quadratic(i, j) * 2.0 ** rng.integers(0, 45))
    for bqm in (real, tenths, wide):
        result = SteepestDescentSampler().sample(bqm, num_reads=30, seed=1, form=form)
        assert_local_minima(bqm, result)
        np.testing.assert_allclose(result.record.energy, bqm.energies(result), rtol=1e-12)
        assert result.info["form"] == form
        assert result.info["stopped_by"] == "finished"


@pytest.mark.parametrize("form", ["dense", "sparse"])
def test_gains_that_float32_does_not_see(form):
    # The field of a is 1, the difference of two biases that are equal in float32.
    bqm = dimod.BQM({"a": 2**30 + 1, "b": 2**34}, {"ab": 2**30}, 0.0, "SPIN")
    found = SteepestDescentSampler().sample(bqm, initial_states={"a": 1, "b": -1}, form=form)
    assert found.first.sample == {"a": -1, "b": -1}
    assert found.first.num_steps == 1


@pytest.mark.parametrize("form", ["dense", "sparse"])
def test_real_problems_do_not_depend_on_threads_or_isa(rng, form, monkeypatch):
    bqm = random_bqm(rng, 150, 0.2, "real")
    options = {"initial_states": random_states(rng, bqm, 12), "form": form}
    whole = SteepestDescentSampler().sample(bqm, num_threads=1, **options).record
    for isa in _core.available_isas():
        monkeypatch.setenv("QPSBGD_ISA", isa)
        for threads in (1, 2, 7):
            again = SteepestDescentSampler().sample(bqm, num_threads=threads, **options)
            np.testing.assert_array_equal(whole.sample, again.record.sample)
            np.testing.assert_array_equal(whole.num_steps, again.record.num_steps)
            assert again.info["isa"] == isa


def test_biases_of_any_magnitude(rng):
    bqm = random_bqm(rng, 30, kind="real")
    start = random_states(rng, bqm, 5)
    expected = SteepestDescentSampler().sample(bqm, initial_states=start).record.sample
    for factor in (1e-290, 1e-30, 1e30, 1e290):
        scaled = bqm.copy()
        scaled.scale(factor)
        found = SteepestDescentSampler().sample(scaled, initial_states=start).record.sample
        np.testing.assert_array_equal(found, expected)


def test_a_minimum_is_left_as_it_is():
    states = [{"a": -1, "b": 1}, {"a": 1, "b": -1}]
    found = SteepestDescentSampler().sample_ising({"a": 0}, {"ab": 1}, initial_states=states)
    assert [dict(s) for s in found.samples(sorted_by=None)] == states
    assert list(found.record.num_steps) == [0, 0]


def test_no_variables():
    found = SteepestDescentSampler().sample(dimod.BQM({}, {}, 2.5, "SPIN"), num_reads=3)
    assert len(found) == 3
    assert (found.record.energy == 2.5).all()
    assert (found.record.num_steps == 0).all()


def test_no_biases():
    found = SteepestDescentSampler().sample(dimod.BQM({"a": 0, "b": 0}, {"ab": 0}, 1.0, "BINARY"))
    assert found.first.energy == 1.0
    assert found.first.num_steps == 0


def test_seeds_are_the_peers():
    bqm = dimod.BQM(dict.fromkeys(range(20), 0), {}, 0.0, "SPIN")
    sampler = SteepestDescentSampler()
    first, again, other = (
        sampler.sample(bqm, seed=seed).record.sample for seed in (2**32 - 1, 2**32 - 1, 0)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_large_sparse_problem(rng):
    bqm = random_graph(rng, 100_000)
    result = SteepestDescentSampler().sample(bqm, seed=1, large_sparse_opt=True)
    assert result.info["form"] == "sparse"
    problem = Problem(bqm)
    s = result.record.sample[0]
    fields = problem.linear.copy()
    for a, b in (problem.pairs, problem.pairs[::-1]):
        np.add.at(fields, a, problem.quadratic * s[b])
    assert (s * fields <= 1e-12).all()


@pytest.mark.parametrize("form", ["dense", "sparse"])
@pytest.mark.parametrize("threads", [1, 2])
def test_time_limit(rng, form, threads):
    bqm = random_bqm(rng, 200, 0.5)
    start = random_states(rng, bqm, 60_000)
    result = SteepestDescentSampler().sample(
        bqm, initial_states=start, time_limit=0.02, form=form, num_threads=threads
    )
    assert result.info["stopped_by"] == "time_limit"
    assert 0 < len(result) < 60_000
    dimod.testing.assert_sampleset_energies(result.slice(20), bqm)
    assert len(SteepestDescentSampler().sample(bqm, time_limit=1e-9)) == 1


@pytest.mark.parametrize("threads", [1, 2])
def test_interrupt_function(rng, threads):
    bqm = random_bqm(rng, 200, 0.5)
    calls = []

    def interrupt():
        calls.append(threading.get_ident())
        return len(calls) == 3

    result = SteepestDescentSampler().sample(
        bqm, initial_states=random_states(rng, bqm, 60_000), interrupt_function=interrupt,
        num_threads=threads,
    )  # fmt: skip
    assert result.info["stopped_by"] == "interrupt"
    assert set(calls) == {threading.get_ident()}
    assert 1 <= len(result) < 60_000


def test_an_exception_of_the_interrupt_function_keeps_the_samples(rng):
    bqm = random_bqm(rng, 200)

    def interrupt():
        raise ZeroDivisionError("enough")

    with pytest.raises(ZeroDivisionError, match="enough") as caught:
        SteepestDescentSampler().sample(
            bqm, initial_states=random_states(rng, bqm, 60_000), interrupt_function=interrupt
        )
    dimod.testing.assert_sampleset_energies(caught.value.sampleset.slice(20), bqm)


def test_control_c(rng):
    bqm = random_bqm(rng, 200)
    core = Problem(bqm).core
    starts = random_states(rng, bqm, 200_000)[0]
    with ctrl_c_in_the_core():
        _, steps, reason, error = core.descend(
            starts,
            precision=_core.Precision.float32,
            num_threads=1,
            time_limit=np.inf,
            watch=None,
        )
    assert isinstance(error, KeyboardInterrupt)
    assert reason is _core.StopReason.interrupt
    assert steps[-1] == -1


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"seed": 0.5}, TypeError, "seed is 0.5"),
        ({"seed": 2**32}, ValueError, "seed is 4294967296"),
        ({"form": "full"}, ValueError, "form is 'full'"),
        ({"form": "dense", "large_sparse_opt": True}, ValueError, "form is 'dense', but must be"),
        ({"time_limit": 0}, ValueError, "time_limit is 0"),
        ({"num_threads": 0}, ValueError, "num_threads is 0"),
        ({"interrupt_function": 3}, TypeError, "interrupt_function is 3"),
        ({"initial_states_generator": "none"}, ValueError, "initial"),
    ],
)
def test_bad_options(options, error, message):
    with pytest.raises(error, match=message):
        SteepestDescentSampler().sample_ising({"a": 1}, {"ab": 1}, **options)


def test_unknown_options_warn():
    with pytest.warns(dimod.exceptions.SamplerUnknownArgWarning, match="num_sweeps"):
        SteepestDescentSampler().sample_ising({"a": 1}, {}, num_sweeps=3)
