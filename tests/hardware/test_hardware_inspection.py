"""Calls as D-Wave's inspector shows them. No browser is opened, and nothing is sent."""

import dimod
import numpy as np
import orjson
import pytest

pytest.importorskip("dwave.system", reason="dwave-system is not installed")

from dwave.cloud import events
from dwave.cloud.solver import StructuredSolver
from dwave.cloud.testing import mocks
from dwave.embedding import embed_bqm
from dwave.system import EmbeddingComposite
from dwave.system.testing import MockDWaveSampler

import qpsbgd
from qpsbgd import ProjectionOptions
from qpsbgd.hardware import DWaveProjector, mock_annealer


class Online(MockDWaveSampler):
    """A mock with the solver of a service, which the inspector asks for its properties."""

    def __init__(self):
        data = mocks.qpu_pegasus_solver_data(3)
        data["properties"].update(
            default_annealing_time=20.0,
            default_programming_thermalization=1000.0,
            default_readout_thermalization=0.0,
        )
        self.solver = StructuredSolver(None, data)
        super().__init__(
            properties=dict(self.solver.properties),
            nodelist=sorted(self.solver.nodes),
            edgelist=sorted(self.solver.undirected_edges),
            parameter_warnings=False,
        )

    def sample(self, bqm, **kwargs):
        self.sent = bqm
        self.answered = super().sample(bqm, **kwargs)
        return self.answered


@pytest.fixture
def data(rng):
    X = rng.normal(size=(12, 6)).astype(np.float32)
    return X, rng.normal(size=(12, 4)).astype(np.float32)


def test_there_is_no_call_before_the_first(tmp_path):
    projector = DWaveProjector(mock_annealer("pegasus", (2,)), cache=tmp_path)
    with pytest.raises(RuntimeError, match="no call has an answer yet"):
        _ = projector.last_call


@pytest.mark.parametrize("fast", [False, True])
def test_the_embedded_problem_is_what_was_sent(data, tmp_path, fast):
    """By Ocean's own embedding."""
    sampler = Online()
    kwargs = {"fast_anneal": True} if fast else {}
    projector = DWaveProjector(
        sampler, num_reads=10, sample_kwargs=kwargs, max_copies=3, cache=tmp_path
    )
    projector(*data, ProjectionOptions(seed=2))
    call = projector.last_call
    context = call["sampleset"].info["embedding_context"]
    assert len(call["bqm"]) == 3 * (6 + fast)
    twin = embed_bqm(
        call["bqm"],
        context["embedding"],
        dimod.StructureComposite(dimod.ExactSolver(), sampler.nodelist, sampler.edgelist).adjacency,
        chain_strength=context["chain_strength"],
    )
    assert set(twin.variables) == set(sampler.sent.variables)
    for qubit, bias in twin.linear.items():
        assert sampler.sent.linear[qubit] == pytest.approx(bias, abs=1e-9)
    for (u, v), bias in twin.quadratic.items():
        assert sampler.sent.adj[u].get(v, 0.0) == pytest.approx(bias, abs=1e-9)


def test_samples_are_majorities_of_the_qubits(data, tmp_path):
    sampler = Online()
    projector = DWaveProjector(sampler, num_reads=10, max_copies=3, cache=tmp_path)
    projector(*data, ProjectionOptions(seed=2))
    call, answer = projector.last_call, sampler.answered
    sampleset = call["sampleset"]
    assert sampleset.info["problem_id"] == answer.info["problem_id"]
    assert sampleset.info["timing"] == answer.info["timing"]
    np.testing.assert_array_equal(sampleset.record.num_occurrences, answer.record.num_occurrences)
    columns = {q: column for column, q in enumerate(answer.variables)}
    for label, chain in sampleset.info["embedding_context"]["embedding"].items():
        sums = answer.record.sample[:, [columns[q] for q in chain]].sum(axis=1)
        found = sampleset.record.sample[:, list(sampleset.variables).index(label)]
        assert (found[sums != 0] == np.sign(sums[sums != 0])).all()
    np.testing.assert_allclose(
        sampleset.record.energy,
        call["bqm"].energies((sampleset.record.sample, sampleset.variables)),
    )
    broken = projector.last_calls[0]["chain_break_fraction"]
    mean = np.average(
        sampleset.record.chain_break_fraction, weights=sampleset.record.num_occurrences
    )
    assert mean == pytest.approx(broken)


def test_a_call_that_fails_does_not_replace_the_last_answer(data, tmp_path):
    class Once(Online):
        def sample(self, bqm, **kwargs):
            if hasattr(self, "sent"):
                raise RuntimeError("?")
            return super().sample(bqm, **kwargs)

    projector = DWaveProjector(Once(), num_reads=10, cache=tmp_path)
    projector(*data, ProjectionOptions(seed=2))
    before = projector.last_call["sampleset"].info["problem_id"]
    with pytest.raises(qpsbgd.CallError):
        projector(*data, ProjectionOptions(seed=3))
    assert projector.last_call["sampleset"].info["problem_id"] == before


@pytest.fixture
def inspector(monkeypatch):
    """D-Wave's inspector without a browser. What its import changes in Ocean is restored."""
    names = ("warnings_default", "return_embedding_default")
    for name in names:
        monkeypatch.setattr(EmbeddingComposite, name, getattr(EmbeddingComposite, name))
    inspector = pytest.importorskip("dwave.inspector", reason="dwave-inspector is not installed")
    monkeypatch.setitem(events._client_event_hooks_registry, "after_sample", [])
    shown = []
    monkeypatch.setattr(inspector, "open_problem", lambda name, **_: shown.append(name))
    inspector.shown = shown
    return inspector


def test_the_inspector_takes_a_call(data, tmp_path, inspector):
    from dwave.inspector import storage

    sampler = Online()
    projector = DWaveProjector(sampler, num_reads=10, max_copies=3, cache=tmp_path)
    projector(*data, ProjectionOptions(seed=2))
    inspector.show(**projector.last_call)
    (problem_id,) = inspector.shown
    assert problem_id == sampler.answered.info["problem_id"]
    stored = orjson.loads(
        orjson.dumps(storage.problem_store.pop(problem_id), option=orjson.OPT_SERIALIZE_NUMPY)
    )  # as the server does
    order = stored["data"]["data"]
    sent = sampler.sent
    for qubit, bias in zip(sampler.solver._encoding_qubits, order["lin"], strict=True):
        assert bias == (pytest.approx(sent.linear[qubit]) if qubit in sent.linear else None)
    assert sorted(stored["answer"]["active_variables"]) == sorted(sent.variables)
    assert stored["unembedded_answer"]["active_variables"] == list(
        projector.last_call["sampleset"].variables
    )
    assert stored["data"]["stats"]["num_source_variables"] == 18


def test_the_inspector_refuses_a_mock_without_a_solver(data, tmp_path, inspector):
    projector = DWaveProjector(mock_annealer("pegasus", (3,)), num_reads=5, cache=tmp_path)
    projector(*data)
    with pytest.raises(TypeError, match="doesn't use DWaveSampler"):
        inspector.show(**projector.last_call)
