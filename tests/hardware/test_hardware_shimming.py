"""Flux biases that balance chains, found on a machine whose qubits lean to one side."""

import json

import numpy as np
import pytest

pytest.importorskip("dwave.system", reason="dwave-system is not installed")

import dimod
from dwave.system.testing import MockDWaveSampler

from qpsbgd.errors import BudgetExceededError, CallError
from qpsbgd.hardware import DWaveProjector, shim_flux_biases

#: Mean spin of a single qubit is tanh((flux bias - offset) / WIDTH), in flux quanta.
WIDTH = 7e-5


class Leaning(MockDWaveSampler):
    """Chains follow the sum of their qubits' offsets and flux biases; nothing else matters."""

    def __init__(self, spread=3e-5):
        super().__init__(topology_type="pegasus", topology_shape=[2])
        rng = np.random.default_rng(1)
        self.offsets = spread * rng.normal(size=self.properties["num_qubits"])
        self.sent, self._rng = [], rng

    def sample(self, bqm, **kwargs):
        self.sent.append((bqm, kwargs))
        biases = np.array(kwargs.get("flux_biases", np.zeros_like(self.offsets)))
        spins = np.zeros((kwargs["num_reads"], len(bqm)))
        order = {q: column for column, q in enumerate(bqm.variables)}
        for chain in chains_of(bqm):
            push = np.sum(biases[chain] - self.offsets[chain]) / WIDTH
            up = self._rng.random(len(spins)) < (1 + np.tanh(push)) / 2
            spins[:, [order[q] for q in chain]] = np.where(up, 1, -1)[:, None]
        result = dimod.SampleSet.from_samples_bqm((spins, list(bqm.variables)), bqm)
        result.info["timing"] = {"qpu_access_time": 1000.0}
        return result


def chains_of(bqm):
    """Sets of qubits that couplings other than 0 join."""
    left, chains = set(bqm.variables), []
    while left:
        chain, border = [], [left.pop()]
        while border:
            qubit = border.pop()
            chain.append(qubit)
            joined = {v for v, J in bqm.adj[qubit].items() if J and v in left}
            left -= joined
            border += joined
        chains.append(chain)
    return chains


@pytest.fixture
def make(tmp_path):
    def projector(sampler, **options):
        return DWaveProjector(
            sampler, **{"num_reads": 400, "cache": tmp_path / "cache", "max_copies": 2, **options}
        )

    return projector


def test_chains_are_balanced(make, tmp_path):
    sampler = Leaning()
    projector = make(sampler, log=tmp_path / "calls.jsonl", budget_us=1e9)
    biases = shim_flux_biases(projector, 7, num_calls=15)
    lines = [json.loads(line) for line in (tmp_path / "calls.jsonl").read_text().splitlines()]
    first, last = lines[0]["imbalance"], lines[-1]["imbalance"]
    assert first > 0.3
    assert last < 0.1  # 400 reads leave 0.05 of noise
    assert len(lines) == len(sampler.sent) == 15
    assert projector.budget.spent_us == 15 * 1000.0
    for bqm, kwargs in sampler.sent:
        assert not any(bqm.linear.values())
        assert min(bqm.quadratic.values()) == -2.0  # chains as strong as the machine allows
        assert max(bqm.quadratic.values()) <= 0.0
        assert kwargs["auto_scale"] is False
        assert len(kwargs["flux_biases"]) == sampler.properties["num_qubits"]
        assert kwargs["label"].startswith("qpsbgd/run/shim/7/")
    # Qubits of other copies keep a bias of 0, and those of a chain have the same one.
    assert set(biases) == set(sampler.sent[0][0].variables)
    for chain in chains_of(sampler.sent[0][0]):
        assert len({biases[q] for q in chain}) == 1
        assert np.mean([biases[q] for q in chain]) == pytest.approx(
            np.mean(sampler.offsets[chain]), abs=1e-5
        )


def test_later_calls_use_the_biases(rng, make):
    sampler = Leaning()
    projector = make(sampler, num_reads=50)
    biases = shim_flux_biases(projector, 4, num_calls=2)
    projector(*rng.normal(size=(2, 10, 4)).astype(np.float32))
    _, kwargs = sampler.sent[-1]
    assert {q: kwargs["flux_biases"][q] for q in biases} == biases
    assert kwargs["auto_scale"] is False
    # A second search goes on from there.
    again = shim_flux_biases(projector, 4, num_calls=1, step=1e-12)
    assert again == pytest.approx(biases, abs=1e-11)


def test_with_an_ancilla_and_with_own_biases(make):
    sampler = Leaning()
    own = {5: 1e-4}
    kwargs = {"fast_anneal": True, "flux_biases": own}
    projector = make(sampler, sample_kwargs=kwargs)
    biases = shim_flux_biases(projector, 3, num_calls=1)
    assert sampler.sent[0][1]["flux_biases"][5] == 1e-4
    assert sampler.sent[0][1]["fast_anneal"] is True
    assert len(chains_of(sampler.sent[0][0])) == 2 * 4  # three weights and the ancilla
    assert len(biases) == len(sampler.sent[0][0])


def test_a_budget_that_ends(make):
    sampler = Leaning()
    projector = make(sampler, budget_us=200_000.0)
    with pytest.raises(BudgetExceededError):
        shim_flux_biases(projector, 4, num_calls=1000)
    assert 0 < len(sampler.sent) < 1000
    assert projector.budget.reserved_us == 0.0
    assert projector.budget.spent_us == 1000.0 * len(sampler.sent)
    assert any(projector.options.parameters["flux_biases"])  # those found so far are in use


def test_a_call_without_an_answer(make):
    class Broken(Leaning):
        def sample(self, bqm, **kwargs):
            raise RuntimeError("?")

    projector = make(Broken())
    with pytest.raises(CallError):
        shim_flux_biases(projector, 4)
    assert projector.budget.reserved_us == 0.0


def test_what_is_refused(make):
    class Without(Leaning):
        def __init__(self):
            super().__init__()
            del self.parameters["flux_biases"]

    for fault, error, message in (
        ({"num_inputs": 0}, ValueError, "num_inputs is 0"),
        ({"num_calls": 0}, ValueError, "num_calls is 0"),
        ({"step": 0.0}, ValueError, "step is 0.0, but must be positive"),
        ({"step": float("inf")}, ValueError, "must be positive and finite"),
        ({"step": "much"}, TypeError, "step"),
    ):
        with pytest.raises(error, match=message):
            shim_flux_biases(make(Leaning()), **{"num_inputs": 3, **fault})
    with pytest.raises(ValueError, match="takes no flux_biases"):
        shim_flux_biases(make(Without()), 3)
    reverse = make(Leaning(), reverse_schedule=[(0, 1), (5, 0.5), (10, 1)])
    with pytest.raises(ValueError, match="shimming needs forward anneals"):
        shim_flux_biases(reverse, 3)
