"""RotorModelAnnealingSampler: its twin, its equilibrium, and its parameters."""

import inspect
import json
import unittest

import dimod
import dimod.testing
import numpy as np
import pytest
from scipy import stats

from problems import random_bqm, random_graph
from qpsbgd import RotorModelAnnealingSampler, _core
from reference.rotors import COSINES, SINES, anneal_rotors

CRITERIA = ("MetropolisNonErgodic", "MetropolisUniform", "MetropolisTF", "GibbsNonErgodic")
STEPS = np.linspace(0.0, 1.0, 20)
#: A short anneal.
ANNEAL = {"beta_schedule_type": "custom", "Hp_field": 2 * STEPS, "Hd_field": 3 * (1.1 - STEPS)}


@dimod.testing.load_sampler_bqm_tests(RotorModelAnnealingSampler)
class TestConformity(unittest.TestCase):
    """dimod's own tests."""


def sample(bqm, **options):
    return RotorModelAnnealingSampler().sample(bqm, **{"seed": 4, **options})


def at_fields(problem, transverse, num_sweeps):
    """Options of a schedule of constant fields that returns the angles."""
    return {
        "beta_schedule_type": "custom", "Hp_field": np.full(num_sweeps, problem),
        "Hd_field": np.full(num_sweeps, transverse), "project_states": (False, False),
    }  # fmt: skip


@pytest.fixture
def bqm(rng):
    return random_bqm(rng, 12, kind="normal")


def test_api():
    sampler = RotorModelAnnealingSampler()
    dimod.testing.assert_sampler_api(sampler)
    assert sampler.properties["proposal_acceptance_options"] == CRITERIA
    peer = pytest.importorskip("dwave.samplers").RotorModelAnnealingSampler
    assert peer().parameters.keys() <= sampler.parameters.keys()
    theirs = inspect.signature(peer.sample).parameters
    ours = inspect.signature(RotorModelAnnealingSampler.sample).parameters
    assert {name: (ours[name].default, ours[name].kind) for name in theirs} == {
        name: (parameter.default, parameter.kind) for name, parameter in theirs.items()
    }


# ---- the twin and the equilibrium --------------------------------------------------------------


@pytest.mark.parametrize("criteria", CRITERIA)
@pytest.mark.parametrize(
    ("n", "reads", "random_order"), [(1, 3, False), (7, 18, True), (33, 2, True)]
)
def test_every_isa_and_form_equals_the_twin(rng, on_every_isa, criteria, n, reads, random_order):
    h, J = rng.normal(size=n), np.triu(rng.normal(size=(n, n)) * (rng.random((n, n)) < 0.5), 1)
    starts = rng.integers(0, 256, (reads, n)).astype(np.uint8)
    factors = rng.uniform(0, 2, n)
    # "MetropolisTF" proposes any angle, near ones, the next ones alone, and none.
    fields = [0.0, 0.5, 1.0, 2.0, 1.0], [1.0, 0.1, 2.0, 0.01, 0.0]
    angles, spins = anneal_rotors(
        h, J + J.T, factors, starts, *fields, criteria=criteria, randomize_order=random_order,
        seed=6,
    )  # fmt: skip
    pairs = np.nonzero(J)
    bqm = dimod.BQM.from_numpy_vectors(h, (*pairs, J[pairs]), 0.0, "SPIN")
    for form in ("dense", "sparse"):
        for found in on_every_isa(
            lambda form=form: sample(
                bqm, initial_states=starts, beta_schedule_type="custom", Hp_field=fields[0],
                Hd_field=fields[1], trans_fields=factors, randomize_order=random_order, form=form,
                proposal_acceptance_criteria=criteria, project_states=(False, False), seed=6,
            )
        ):  # fmt: skip
            np.testing.assert_array_equal(found.info["rotor_states"], angles)
            np.testing.assert_array_equal(found.record.sample, spins)


@pytest.mark.parametrize("random_order", [False, True])
@pytest.mark.parametrize("criteria", ["MetropolisUniform", "MetropolisTF"])
def test_equilibrium_of_two_rotors(criteria, random_order):
    """All pairs of angles by their weights: a histogram of 8 x 8 cells."""
    bqm = dimod.BQM.from_ising({0: 0.3, 1: -0.2}, {(0, 1): 0.9})
    problem, transverse, factors, reads = 1.5, 1.2, np.array([1.0, 0.4]), 6400
    field = problem * (0.3 * COSINES[:, None] - 0.2 * COSINES + 0.9 * np.outer(COSINES, COSINES))
    weights = np.exp(transverse * (factors[0] * SINES[:, None] + factors[1] * SINES) - field)
    weights = weights.reshape(8, 32, 8, 32).sum(axis=(1, 3)) / weights.sum()
    result = sample(
        bqm, num_reads=reads, trans_fields=factors, proposal_acceptance_criteria=criteria,
        randomize_order=random_order, **at_fields(problem, transverse, 60),
    )  # fmt: skip
    cells = result.info["rotor_states"] // 32
    counts = np.bincount(8 * cells[:, 0] + cells[:, 1], minlength=64)
    assert stats.chisquare(counts, reads * weights.ravel()).pvalue > 1e-4
    # A measurement of spin i is +1 with the probability (1 + cosine) / 2.
    spins, cosines = result.record.sample, COSINES[result.info["rotor_states"]]
    assert (abs((spins - cosines).mean(axis=0)) < 4 / np.sqrt(reads)).all()
    assert (abs(((spins - cosines) * cosines).mean(axis=0)) < 4 / np.sqrt(reads)).all()


@pytest.mark.parametrize("criteria", ["MetropolisNonErgodic", "GibbsNonErgodic"])
def test_reflections_sample_boltzmanns_distribution_of_spins(rng, criteria):
    h, J = rng.normal(size=3), np.triu(rng.normal(size=(3, 3)), 1)
    pairs = np.nonzero(J)
    bqm = dimod.BQM.from_numpy_vectors(h, (*pairs, J[pairs]), 0.0, "SPIN")
    states = 1 - 2 * ((np.arange(8)[:, None] >> np.arange(3)) & 1)
    weights = np.exp(-0.7 * bqm.energies(states))
    result = sample(
        bqm, num_reads=4800, proposal_acceptance_criteria=criteria, **at_fields(0.7, 5.0, 40)
    )
    assert set(np.unique(result.info["rotor_states"])) == {0, 128}
    counts = np.bincount(((1 - result.record.sample.astype(int)) // 2) @ [1, 2, 4], minlength=8)
    assert stats.chisquare(counts, 4800 * weights / weights.sum()).pvalue > 1e-4


# ---- reproducibility and parameters ------------------------------------------------------------


@pytest.mark.parametrize("graph", ["dense", "sparse"])
def test_a_read_does_not_depend_on_the_others(rng, isa, graph):
    bqm = random_bqm(rng, 40) if graph == "dense" else random_graph(rng, 200)
    starts = rng.integers(0, 256, (40, len(bqm))).astype(np.uint8)
    options = {**ANNEAL, "project_states": (True, False), "randomize_order": True}
    whole = sample(bqm, initial_states=starts, num_threads=1, **options)
    for count, threads in ((1, 2), (15, 1), (17, 3), (40, 3)):
        part = sample(bqm, initial_states=starts[:count], num_threads=threads, **options)
        np.testing.assert_array_equal(part.record.sample, whole.record.sample[:count])
        np.testing.assert_array_equal(part.info["rotor_states"], whole.info["rotor_states"][:count])


@pytest.mark.parametrize("vartype", ["SPIN", "BINARY"])
def test_energies_are_those_of_the_measured_spins(rng, vartype):
    bqm = random_bqm(rng, 30, 0.4, "normal", vartype)
    dimod.testing.assert_sampleset_energies(sample(bqm, num_reads=20, **ANNEAL), bqm)
    for tiny in (dimod.BQM(vartype), dimod.BQM({"a": 1.0}, {}, 0.5, vartype)):
        result = sample(tiny, num_reads=3, schedule_sample_interval=7, **ANNEAL)
        assert result.info["statistics"].shape == (3, 3, len(tiny))
        dimod.testing.assert_sampleset_energies(result, tiny)


def test_seeds_and_rules_have_an_effect(bqm):
    options = {**ANNEAL, "num_reads": 20}
    results = [
        sample(bqm, **options | more).record.sample.tobytes()
        for more in (
            {}, {"seed": 8}, {"randomize_order": True}, {"trans_fields": 0.5},
            {"Hd_field": np.zeros(20)}, {"proposal_acceptance_criteria": "MetropolisTF"},
            {"proposal_acceptance_criteria": "GibbsNonErgodic"},
        )
    ]  # fmt: skip
    assert len(set(results)) == len(results)
    assert results[0] == sample(bqm, **options, trans_fields=np.ones(12)).record.sample.tobytes()


def test_factors_without_a_field_cause_a_warning(bqm):
    with pytest.warns(UserWarning, match="trans_fields have no effect without Hd_field") as caught:
        sample(bqm, trans_fields=0.5)
    assert caught[0].filename == __file__


def test_factors_of_the_field_follow_the_sample_set():
    bqm = dimod.BQM("SPIN")
    for label in "dacb":
        bqm.add_variable(label, 0.0)
    result = sample(
        bqm, num_reads=200, trans_fields=[9.0, 0.0, 0.0, 0.0], **at_fields(0.0, 2.0, 30)
    )
    assert list(result.variables) == list("abcd")
    sines = SINES[result.info["rotor_states"]].mean(axis=0)
    assert sines[0] > 0.9
    assert (sines[1:] < 0.8).all()  # 2 / pi without a field


def test_statistics_are_the_angles_on_the_way(bqm):
    options = {"num_reads": 18, "num_threads": 2}
    result = sample(bqm, **options, **at_fields(1.0, 1.0, 8), schedule_sample_interval=3)
    statistics = result.info["statistics"]
    assert statistics.dtype == np.uint8
    for number, steps in enumerate((1, 4, 7)):
        np.testing.assert_array_equal(
            statistics[:, number],
            sample(bqm, **options, **at_fields(1.0, 1.0, steps)).info["rotor_states"],
        )
    info = sample(
        bqm, num_reads=2, **at_fields(1.0, 1.0, 8), schedule_sample_interval=3,
        make_info_json_serializable=True,
    ).info  # fmt: skip
    assert np.array(json.loads(json.dumps(info))["rotor_states"]).shape == (2, len(bqm))


def test_initial_angles_are_kept_or_measured(bqm, rng):
    angles = rng.integers(0, 256, (800, len(bqm))).astype(np.uint8)
    kept = sample(bqm, initial_states=angles, num_sweeps=0, project_states=(False, False))
    np.testing.assert_array_equal(kept.info["rotor_states"], angles)
    measured = sample(bqm, initial_states=angles, num_sweeps=0, project_states=(True, False))
    assert set(np.unique(measured.info["rotor_states"])) == {0, 128}
    spins = COSINES[measured.info["rotor_states"]]
    np.testing.assert_array_equal(measured.record.sample, spins)
    assert abs((spins - COSINES[angles]).mean()) < 4 / np.sqrt(angles.size)
    assert (spins != kept.record.sample).any()  # each measurement draws its own numbers
    states = {"x0": 1, **{f"x{i}": -1 for i in range(1, 12)}}
    result = sample(bqm, initial_states=states, num_sweeps=0, project_states=(False, False))
    assert result.first.sample == states


@pytest.mark.parametrize("threads", [1, 2])
def test_limits(rng, threads):
    bqm = random_bqm(rng, 60, 0.5)
    options = {**at_fields(1.0, 1.0, 1), "num_sweeps_per_beta": 2**30, "num_reads": 200}
    result = sample(bqm, time_limit=0.1, num_threads=threads, **options)
    assert result.info["stopped_by"] == "time_limit"
    assert len(result) == len(result.info["rotor_states"]) == 16 * threads
    dimod.testing.assert_sampleset_energies(result, bqm)
    result = sample(bqm, interrupt_function=lambda: True, **options)
    assert result.info["stopped_by"] == "interrupt"

    def fail():
        raise OSError("no")

    with pytest.raises(OSError, match="no") as caught:
        sample(bqm, interrupt_function=fail, **options)
    assert "rotor_states" in caught.value.sampleset.info


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"beta_schedule_type": "custom"}, ValueError, "Hp_field is None"),
        ({"beta_schedule_type": "custom", "Hp_field": [1.0], "Hd_field": [1.0, 2.0]},
         ValueError, "Hd_field has 2 values"),
        ({"proposal_acceptance_criteria": "Gibbs"}, ValueError, "criteria is 'Gibbs'"),
        ({"randomize_order": 1}, TypeError, "randomize_order is 1"),
        ({"trans_fields": [1.0]}, ValueError, "trans_fields has 1 values, .* 12 variables"),
        ({"trans_fields": -1.0}, ValueError, "trans_fields has the value -1.0"),
        ({"trans_fields": np.nan}, ValueError, "trans_fields is nan, but must be finite"),
        ({"trans_fields": [1.0] * 11 + [np.nan]}, ValueError, r"trans_fields\[11\] is nan, but"),
        ({"num_best": 2, "schedule_sample_interval": 3}, ValueError, "schedule_sample_interval is"),
        ({"num_best": 2, "project_states": (True, False)}, ValueError, r"must be \(..., True\)"),
        ({"num_best": 2, "initial_states": np.zeros((1, 12), np.uint8)}, ValueError, "angles"),
        ({"trans_fields": "x"}, TypeError, "trans_fields is a str"),
        ({"initial_states": np.zeros((2, 3), np.uint8)}, ValueError, r"\(num_reads, 12\)"),
        ({"initial_states": np.zeros((2, 12), np.uint8), "num_reads": 3}, ValueError, r"\(3, 12\)"),
        ({"project_states": None}, TypeError, "project_states is None"),
        ({"schedule_sample_interval": 101}, ValueError, "schedule_sample_interval is 101"),
    ],
)  # fmt: skip
def test_refusals(bqm, options, error, message):
    with pytest.raises(error, match=message):
        sample(bqm, **options)


def test_the_core_refuses_what_would_be_unsafe():
    problem = _core.Ising(np.zeros(4), *np.zeros((2, 0), np.uint32), np.zeros(0))
    good = {
        "problem_fields": [1.0], "transverse_fields": [1.0], "transverse": np.ones(4, np.float32),
        "proposal": _core.RotorProposal.near, "acceptance": _core.Acceptance.Metropolis,
        "draw_order": True, "sweeps_per_step": 1, "sample_interval": 0, "seed": 0,
        "num_threads": 1, "time_limit": np.inf, "watch": None,
    }  # fmt: skip
    angles = np.zeros((2, 4), np.uint8)
    _core.anneal_rotors(problem, angles, **good)
    for bad in ({"transverse": np.ones(3, np.float32)}, {"problem_fields": []},
                {"transverse_fields": [np.inf]}):  # fmt: skip
        with pytest.raises(ValueError, match=r"must|out of range"):
            _core.anneal_rotors(problem, angles, **good | bad)
    with pytest.raises(ValueError, match="one column for each"):
        _core.anneal_rotors(problem, angles[:, :3].copy(), **good)
    with pytest.raises(ValueError, match="two dimensions"):
        _core.project_rotors(angles[0], 1)
