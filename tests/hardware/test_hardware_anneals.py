"""Reverse anneals from the linear minimiser, and fast anneals with an ancilla."""

import itertools

import dimod
import numpy as np
import pytest

pytest.importorskip("dwave.system", reason="dwave-system is not installed")

from dwave.system.testing import MockDWaveSampler

import qpsbgd
from qpsbgd import ProjectionOptions
from qpsbgd.hardware import DWaveProjector, mock_annealer, plan
from qpsbgd.hardware.annealer.machine import Ranges
from qpsbgd.hardware.programming.qubit_problem import QubitProblem

REVERSE = [(0.0, 1.0), (5.0, 0.45), (15.0, 0.45), (20.0, 1.0)]
FAST = {"fast_anneal": True, "annealing_time": 0.02}
OBJECTIVES = ["quadratic", "sign"]


def data(rng, objective, num_samples=5, n=5, m=4):
    X = rng.normal(size=(num_samples, n)).astype(np.float32)
    if objective == "sign":
        X = np.where(X > 0, np.float32(1), np.float32(-1))
    return X, rng.normal(size=(num_samples, m)).astype(np.float32)


@pytest.fixture
def make(tmp_path):
    """A projector on a small mock, its embeddings in a folder of the test."""

    def projector(sampler=None, **options):
        sampler = sampler or mock_annealer("pegasus", (4,), num_sweeps=300)
        return DWaveProjector(sampler, **{"num_reads": 50, "cache": tmp_path, **options})

    return projector


class Frozen(MockDWaveSampler):
    """Answers the initial state, as an annealer does whose schedule never leaves s = 1."""

    def sample(self, bqm, **kwargs):
        self.sent = bqm, kwargs
        states = [[kwargs["initial_state"][q] for q in bqm.variables]]
        return dimod.SampleSet.from_samples_bqm(
            (states, list(bqm.variables)), bqm, num_occurrences=[kwargs["num_reads"]]
        )


# Reverse anneals


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("max_copies", [2, 20])
def test_reads_start_at_the_linear_minimiser(rng, make, objective, max_copies):
    """Whatever the embedding and the gauges: a frozen anneal returns each neuron's minimiser."""
    X, T = data(rng, objective)
    X[:, 0] = 0.0 if objective == "quadratic" else X[:, 0]  # sign(0) = +1
    sampler = Frozen(topology_type="pegasus", topology_shape=[4])
    projector = make(sampler, reverse_schedule=REVERSE, max_copies=max_copies)
    found = projector(X, T, ProjectionOptions(objective=objective, seed=3))
    start = qpsbgd.project(X, T, objective=objective, num_sweeps=0)
    np.testing.assert_array_equal(found, start)
    for call in projector.last_calls:
        assert call["protocol"] == "reverse"
        assert call["chain_break_fraction"] == 0.0
        assert call["starts_kept"] == call["neurons"]
        assert call["energy_found"] == pytest.approx(call["energy_start"])
    _, sent = sampler.sent
    assert sent["anneal_schedule"] == [list(point) for point in REVERSE]
    assert sent["reinitialize_state"] is True
    assert set(sent["initial_state"].values()) == {-1, 1}  # a gauge turns some spins


def test_the_state_has_the_lowest_energy_of_its_weights(rng, make):
    """Auxiliary variables of the sign objective start in the state that fits the weights."""
    X, T = data(rng, "sign")
    sampler = Frozen(topology_type="pegasus", topology_shape=[4])
    projector = make(sampler, reverse_schedule=REVERSE, max_copies=1)
    projector(X, T[:, :1], ProjectionOptions(objective="sign", seed=3))
    bqm, sent = sampler.sent
    (scale,) = projector.last_calls[0]["scales"]
    (bqms,) = [qpsbgd.gradient_bqms(X, T[:, :1], objective="sign")]
    start = qpsbgd.project(X, T[:, :1], objective="sign", num_sweeps=0)
    energy = qpsbgd.projection_energy(X, T[:, :1], start, objective="sign")[0]
    chains = sum(J for J in bqm.quadratic.values()) * 0.0
    inside = bqm.energy(sent["initial_state"]) - scale * (energy - bqms.offsets[0])
    # What is left is the energy of the chains, none of which is broken.
    strength = projector.last_calls[0]["chain_strength"] * bqms.factors[0] * scale
    assert inside / -strength == pytest.approx(round(inside / -strength), abs=1e-6)
    assert inside < chains


def test_reverse_anneals_find_better_states_than_the_start(rng, make):
    X, T = data(rng, "quadratic", num_samples=30, n=10, m=6)
    T *= 10.0
    start = qpsbgd.project(X, T, num_sweeps=0)
    found = make(reverse_schedule=REVERSE)(X, T, ProjectionOptions(seed=1))
    before, energies = (qpsbgd.projection_energy(X, T, rows) for rows in (start, found))
    assert (energies < before).any()
    # A schedule that hardly leaves s = 1 stays near the start.
    cold = make(reverse_schedule=[(0, 1), (10, 0.999), (20, 1)], num_reads=1)
    near = cold(X, T, ProjectionOptions(seed=1))
    assert (near != start).mean() < (found != start).mean()


def test_a_repeated_step_starts_at_the_same_states(rng, make):
    X, T = data(rng, "quadratic")
    states = []
    for _ in range(2):
        sampler = Frozen(topology_type="pegasus", topology_shape=[4])
        make(sampler, reverse_schedule=REVERSE)(X, T, ProjectionOptions(seed=3))
        states.append(sampler.sent[1]["initial_state"])
    assert states[0] == states[1]


def test_forward_anneals_have_no_state(rng, make):
    class Listening(MockDWaveSampler):
        def sample(self, bqm, **kwargs):
            assert "initial_state" not in kwargs
            return super().sample(bqm, num_reads=kwargs["num_reads"])

    projector = make(Listening(topology_type="pegasus", topology_shape=[4]))
    projector(*data(rng, "quadratic"))
    assert projector.last_calls[0]["protocol"] == "standard"


# Fast anneals


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_fast_anneals_have_no_linear_biases_and_find_the_optimum(rng, make, objective):
    X, T = data(rng, objective)
    projector = make(sample_kwargs=FAST, num_reads=100)  # the mock refuses linear biases
    found = projector(X, T, ProjectionOptions(objective=objective, seed=0))
    best = qpsbgd.project(X, T, objective=objective, num_reads=200, num_sweeps=50)
    energies, least = (
        qpsbgd.projection_energy(X, T, rows, objective=objective) for rows in (found, best)
    )
    np.testing.assert_allclose(energies, least, rtol=1e-6)
    assert projector.last_calls[0]["protocol"] == "fast"


def test_the_mock_refuses_linear_biases_with_fast_anneal():
    sampler = mock_annealer("pegasus", (2,))
    u, v = sampler.edgelist[0]
    with pytest.raises(ValueError, match="linear biases must be 0"):
        sampler.sample_ising({u: 1.0}, {(u, v): 1.0}, fast_anneal=True)
    sampler.sample_ising({u: 0.0}, {(u, v): 1.0}, fast_anneal=True)


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("chain_strength", [None, 5.0])
def test_an_ancilla_changes_no_energy(rng, make, objective, chain_strength):
    """Energies of all states agree up to each copy's scale and the constant of its chains."""
    X, T = data(rng, objective, n=4, num_samples=3)
    options = {"chain_strength": chain_strength, "max_copies": 3}
    projector = make(sample_kwargs=FAST, **options)
    bqms = qpsbgd.gradient_bqms(X, T, objective=objective)
    layout = projector.layouts.layout(bqms)
    copies, size = layout.num_copies, bqms.num_variables
    assert layout.num_variables == size + 1
    gauges = rng.choice([-1, 1], (copies, size + 1)).astype(np.int8)
    neurons = rng.integers(len(bqms), size=copies)
    ranges = Ranges(h=(-4, 4), J=(-2, 1), qubit=(-18, 15))
    problem = QubitProblem.of_neurons(
        layout, bqms, neurons, gauges, chain_strength=2.0, ranges=ranges
    )
    assert (problem.h == 0.0).all()
    assert problem.J.min() >= -2.0
    assert problem.J.max() <= 1.0
    states = rng.choice([-1, 1], (8, copies, size)).astype(np.int8)
    ancillas = rng.choice([-1, 1], (8, copies, 1)).astype(np.int8)
    whole = np.concatenate([states * ancillas, ancillas], axis=2) * gauges
    qubits = whole[:, layout.copy_of, layout.variable_of]
    spins, broken = problem.read(qubits, np.ones(8, int))
    np.testing.assert_array_equal(spins, states.transpose(1, 0, 2))
    assert (broken == 0).all()
    energies = problem.bqm().energies((qubits, layout.qubits.tolist()))
    expected = sum(
        problem.scales[copy]
        * (bqms.energies(neurons[copy], states[:, copy]) - bqms.offsets[neurons[copy]])
        for copy in range(copies)
    )
    np.testing.assert_allclose(energies - expected, (energies - expected)[0], rtol=1e-9)
    initial = problem.initial_state(states[0])
    row = np.array([[initial[q] for q in layout.qubits.tolist()]], np.int8)
    np.testing.assert_array_equal(problem.read(row, np.ones(1))[0][:, 0], states[0])


def test_the_strength_of_chains_knows_the_ancilla(rng, make):
    """Biases are couplings now, so they count for the chains."""
    seen = []

    def strength(bqm, embedding):
        seen.append((bqm, sorted(embedding)))
        return 3.0

    X, T = data(rng, "quadratic")
    bqms = qpsbgd.gradient_bqms(X, T)
    make(sample_kwargs=FAST, chain_strength=strength)(X, T)
    ((bqm, variables),) = seen
    assert variables == list(range(6))
    assert not any(bqm.linear.values())
    for v in range(5):
        assert bqm.adj[v][5] == pytest.approx(np.sqrt(np.mean(bqms.fields[:, v] ** 2)))
    for u, v in itertools.combinations(range(5), 2):
        assert bqm.adj[u][v] == pytest.approx(bqms[0].adj[u][v])


def test_plans_of_fast_anneals_have_room_for_the_ancilla():
    shapes = [("first", (3, 4))]
    options = {"topology": "chimera", "shape": (2, 2, 4)}
    standard = plan(shapes, 10, 100, **options).layers[0]
    fast = plan(shapes, 10, 100, **options, sample_kwargs=FAST).layers[0]
    assert fast.num_qubits / fast.num_copies > standard.num_qubits / standard.num_copies
    assert fast.access_time_us / fast.num_calls < standard.access_time_us / standard.num_calls
