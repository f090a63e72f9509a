"""D-Wave's own client against the stand-in for the service: new graphs, and the inspector."""

import numpy as np
import pytest

pytest.importorskip("dwave.system", reason="dwave-system is not installed")

from dwave.cloud import events
from dwave.cloud.testing import mocks
from dwave.system import EmbeddingComposite
from service import Service

from qpsbgd import ProjectionOptions
from qpsbgd.hardware import DWaveProjector, shim_flux_biases
from qpsbgd.hardware.embedding import ideal_graph


@pytest.fixture
def service():
    with Service(shape=(3, 3, 4)) as running:
        yield running


@pytest.fixture
def data(rng):
    X, T = rng.normal(size=(2, 12, 4)).astype(np.float32)
    return X, T


def calibrate(service, graph_id, dead):
    """Give the solver another graph, as a calibration does."""
    graph = ideal_graph(service.topology, service.shape)
    properties = dict(service.solver["properties"])
    qubits, couplers = sorted(set(graph) - dead), sorted(tuple(sorted(e)) for e in graph.edges)
    couplers = [list(pair) for pair in couplers if not dead & set(pair)]
    properties.update(qubits=qubits, couplers=couplers)
    service.solver = mocks.structured_solver_data(
        name="standin", graph_id=graph_id, properties=properties, qubits=qubits, couplers=couplers
    )


def test_a_failover_after_a_calibration_embeds_anew(service, data, tmp_path):
    sampler = service.sampler()
    with sampler:
        projector = DWaveProjector(sampler, num_reads=10, max_copies=2, cache=tmp_path)
        projector(*data, ProjectionOptions(seed=1))
        used = {q for problem in service.problems.values() for q in problem.bqm.variables}
        calibrate(service, "2", dead=used)
        sampler.trigger_failover()
        projector(*data, ProjectionOptions(seed=1))
        last = list(service.problems.values())[-1]
        assert not used & set(last.bqm.variables)
        assert projector.last_calls[0]["graph_id"] == "standin@2"


def test_shimming_uses_and_bills_the_service(service, tmp_path):
    service.solver["properties"]["parameters"]["flux_biases"] = ""
    sampler = service.sampler()
    with sampler:
        projector = DWaveProjector(sampler, num_reads=10, max_copies=2, cache=tmp_path)
        biases = shim_flux_biases(projector, 3, num_calls=2)
    assert len(service.problems) == 2
    assert projector.budget.spent_us == pytest.approx(service.bill)
    assert set(biases) == set(next(iter(service.problems.values())).bqm.variables)


@pytest.fixture
def inspector(monkeypatch):
    """D-Wave's inspector without a browser, which captures calls as if imported before them."""
    for name in ("warnings_default", "return_embedding_default"):
        monkeypatch.setattr(EmbeddingComposite, name, getattr(EmbeddingComposite, name))
    inspector = pytest.importorskip("dwave.inspector", reason="dwave-inspector is not installed")
    monkeypatch.setitem(events._client_event_hooks_registry, "after_sample", [])
    inspector.enable_data_capture()
    monkeypatch.setattr(inspector, "open_problem", lambda name, **_: name)
    return inspector


def test_the_inspector_shows_the_qubits_of_a_captured_call(service, data, tmp_path, inspector):
    from dwave.inspector import storage

    service.solver["properties"].update(
        default_annealing_time=20.0,
        default_programming_thermalization=1000.0,
        default_readout_thermalization=0.0,
    )
    sampler = service.sampler()
    with sampler:
        projector = DWaveProjector(sampler, num_reads=10, max_copies=2, cache=tmp_path)
        projector(*data, ProjectionOptions(seed=1))
    problem = service.problems[projector.last_call["sampleset"].info["problem_id"]]
    assert inspector.show(**projector.last_call) == problem.id
    stored = storage.problem_store.pop(problem.id)
    assert stored["details"]["label"] == problem.label
    qubits = stored["answer"]["active_variables"]
    assert sorted(qubits) == sorted(problem.bqm.variables)
    states = np.array(stored["answer"]["solutions"])
    np.testing.assert_allclose(
        problem.bqm.energies((states, qubits)), stored["answer"]["energies"], rtol=1e-6
    )
    chains = stored["data"]["data"]["embedding"]
    assert len(chains) == 2 * 4
    voted = np.array(stored["unembedded_answer"]["solutions"])
    for column, label in enumerate(stored["unembedded_answer"]["active_variables"]):
        sums = states[:, [qubits.index(q) for q in chains[label]]].sum(axis=1)
        assert (np.sign(sums) == voted[:, column])[sums != 0].all()
