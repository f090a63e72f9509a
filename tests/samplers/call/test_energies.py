"""Energies of samples, the order in which they are summed, and reads that are solved in parts."""

import dimod
import numpy as np
import pytest

from problems import random_bqm
from qpsbgd import SimulatedAnnealingSampler, SteepestDescentSampler
from qpsbgd.samplers.call import reads
from qpsbgd.samplers.problem import ising
from qpsbgd.samplers.problem.ordered_energies import is_order_of_consequence


def penalised(rng, n, vartype, degree=None):
    """Return a model of real biases and a few large penalties."""
    rows, columns = np.triu_indices(n, 1)
    if degree is not None:
        chosen = rng.random(len(rows)) < degree / n
        rows, columns = rows[chosen], columns[chosen]
    values = rng.normal(size=len(rows)) + 1e11 * (rng.random(len(rows)) < 0.2)
    linear = rng.normal(size=n) * 10.0 ** rng.integers(-3, 3, n)
    return dimod.BQM.from_numpy_vectors(linear, (rows, columns, values), 0.1, vartype)


@pytest.mark.parametrize("vartype", ["SPIN", "BINARY"])
@pytest.mark.parametrize(("n", "degree"), [(7, None), (17, None), (60, None), (90, 4)])
@pytest.mark.parametrize("form", ["dense", "sparse"])
def test_bits_are_those_of_dimod_where_they_matter(rng, isa, vartype, n, degree, form):
    bqm = penalised(rng, n, vartype, degree)
    labels = rng.permutation(n).tolist()
    bqm.relabel_variables(dict(enumerate(map(str, labels))))
    for order in (None, sorted(bqm.variables)):
        problem = ising.Problem(bqm, form, order)
        states = rng.choice(np.array([-1, 1], np.int8), size=(37, n))
        own = states if vartype == "SPIN" else (states + 1) // 2
        expected = bqm.energies((own, list(problem.variables)))
        for count, threads in ((1, 1), (5, 2), (37, 3)):
            found = problem.energies(states[:count], threads)
            np.testing.assert_array_equal(found, expected[:count])
    assert problem._is_ordered


@pytest.mark.parametrize("vartype", ["SPIN", "BINARY"])
def test_large_integers_need_no_order(rng, vartype):
    bqm = random_bqm(rng, 40, vartype=vartype, kind="integer")
    bqm.scale(2.0**36)
    problem = ising.Problem(bqm)
    assert not problem._is_ordered
    states = rng.choice(np.array([-1, 1], np.int8), size=(20, 40))
    own = states if vartype == "SPIN" else (states + 1) // 2
    found = problem.energies(states, 1)
    np.testing.assert_array_equal(found, bqm.energies((own, list(problem.variables))))


def test_the_order_matters_for_penalties_alone(rng):
    values = rng.normal(size=10**5) * 1e4
    total = float(np.abs(values).sum())
    assert not is_order_of_consequence(values[:1], values[1:], 0.0, total, is_binary=False)
    values[::9] *= 1e9
    total = float(np.abs(values).sum())
    assert is_order_of_consequence(values[:1], values[1:], 0.0, total, is_binary=False)


def test_reads_do_not_depend_on_how_many_are_solved_together(rng, monkeypatch):
    bqm = random_bqm(rng, 12)
    calls = (
        (SimulatedAnnealingSampler(), {"num_sweeps": 3}),
        (SteepestDescentSampler(), {"initial_states": dict.fromkeys(bqm.variables, 1)}),
    )
    for sampler, options in calls:
        options = {"num_reads": 100, "seed": 3, "time_limit": 1e6, **options}
        expected = sampler.sample(bqm, **options)
        with monkeypatch.context() as patch:
            patch.setattr("qpsbgd.samplers.call.sampler_call.reads_together", lambda *_, **__: 32)
            found = sampler.sample(bqm, **options)
        np.testing.assert_array_equal(found.record.sample, expected.record.sample)
        np.testing.assert_array_equal(found.record.energy, expected.record.energy)


def test_a_time_limit_draws_no_more_states_than_it_needs():
    together = reads.reads_together(10**9, 20, is_best=False, time_limit=0.5, num_threads=2)
    assert together * 20 <= 0.5 * reads.TOGETHER_PER_SECOND
    assert together % reads.LANES == 0
    longest = reads.reads_together(10**9, 20, is_best=False, time_limit=60.0, num_threads=2)
    assert longest * 20 <= reads.LIMITED_TOGETHER  # a longer limit makes no longer parts
    assert reads.reads_together(100, 20, is_best=False, time_limit=0.5, num_threads=2) == 100
    bqm = dimod.BQM(dict.fromkeys(range(20), 1.0), {}, 0.0, "SPIN")
    found = SteepestDescentSampler().sample(bqm, num_reads=10**9, time_limit=1e-9, seed=1)
    assert found.info["stopped_by"] == "time_limit"
    assert 1 <= len(found) <= 10**6


def test_reads_that_cannot_be_held_are_refused():
    bqm = dimod.BQM(dict.fromkeys(range(2000), 1.0), {}, 0.0, "SPIN")
    with pytest.raises(ValueError, match=r"num_reads is 2000000000, .* GiB, .*num_best"):
        SteepestDescentSampler().sample(bqm, num_reads=2 * 10**9)
