"""The graph of a machine: it follows the solver, and a wrong one is refused."""

import collections
import copy

import dimod
import dwave.graphs
import numpy as np
import pytest

pytest.importorskip("dwave.system", reason="dwave-system is not installed")

from dwave.cloud.solver import StructuredSolver
from dwave.cloud.testing import mocks
from dwave.system import DWaveSampler
from dwave.system.testing import MockDWaveSampler

from qpsbgd import ProjectionOptions, gradient_bqms
from qpsbgd.hardware import DWaveProjector, mock_annealer
from qpsbgd.hardware.annealer.machine import Machine


class Switching(DWaveSampler):
    """D-Wave's sampler without a client: a failover switches to the next solver."""

    def __init__(self, *solvers):
        self.solvers, self.client = list(solvers), None
        self.solver = self.solvers.pop(0)
        self._solver_penalty = collections.Counter()

    def _get_solver(self, **_):
        return self.solvers.pop(0)

    def sample(self, bqm, **kwargs):
        if not self.solver.check_problem(bqm.linear, {tuple(sorted(e)): 0 for e in bqm.quadratic}):
            raise dimod.exceptions.BinaryQuadraticModelStructureError("graph incompatible")
        states = np.ones((1, len(bqm)))
        return dimod.SampleSet.from_samples_bqm(
            (states, list(bqm.variables)), bqm, num_occurrences=[kwargs["num_reads"]]
        )


def solver(graph, graph_id, **properties):
    data = mocks.structured_solver_data(
        name="Advantage_system0.0",
        graph_id=graph_id,
        qubits=sorted(graph.nodes),
        couplers=[sorted(edge) for edge in graph.edges],
        properties={
            "topology": {"type": "pegasus", "shape": [3]},
            "num_reads_range": [1, 100],
            "supported_problem_types": ["ising", "qubo"],
            "parameters": {"num_reads": "", "auto_scale": "", "anneal_schedule": ""},
            **properties,
        },
    )
    return StructuredSolver(None, data)


@pytest.mark.parametrize("has_switched_before", [False, True])
def test_a_failover_embeds_anew(rng, tmp_path, has_switched_before):
    X, T = rng.normal(size=(2, 12, 5)).astype(np.float32)
    graph = dwave.graphs.pegasus_graph(3)
    halves = [graph.copy(), graph.copy()]
    for half, other in ((0, 1), (1, 0)):  # calibrations without a common qubit
        halves[half].remove_nodes_from([q for q in graph if q % 2 == other])
    sampler = Switching(solver(halves[0], "a"), solver(halves[1], "b"), solver(halves[1], "b"))
    projector = DWaveProjector(sampler, num_reads=10, cache=tmp_path)
    if not has_switched_before:
        projector(X, T, ProjectionOptions(seed=0))
        assert projector.last_calls[0]["graph_id"].endswith("@a")
    first = copy.copy(projector.last_calls)
    sampler.trigger_failover()
    projector(X, T, ProjectionOptions(seed=0))  # would raise BinaryQuadraticModelStructureError
    call = projector.last_calls[-1]
    assert call["graph_id"].endswith("@b")
    assert all(call["embedding"] != before["embedding"] for before in first)
    layout = projector.layouts.layout(gradient_bqms(X, T))
    sampler.trigger_failover()  # the same graph: the layout stays
    assert projector.layouts.layout(gradient_bqms(X, T)) is layout


def test_ranges_and_parameters_follow_the_solver(rng, tmp_path):
    X, T = rng.normal(size=(2, 12, 3)).astype(np.float32)
    graph = dwave.graphs.pegasus_graph(3)
    wide = {"h_range": [-4.0, 4.0], "j_range": [-1.0, 1.0]}
    narrow = {"h_range": [-2.0, 2.0], "j_range": [-0.5, 0.5], "num_reads_range": [1, 5]}
    slow = {"annealing_time_range": [30.0, 2000.0]}
    solvers = (
        solver(graph, name, **each) for name, each in zip("abc", (wide, narrow, slow), strict=True)
    )
    sampler = Switching(*solvers)
    projector = DWaveProjector(
        sampler,
        num_reads=10,
        sample_kwargs={"anneal_schedule": [(0, 0), (20, 1)]},
        cache=tmp_path,
    )
    projector(X, T)
    assert projector.machine.ranges.h == (-4.0, 4.0)
    sampler.trigger_failover()
    assert projector.machine.ranges.h == (-2.0, 2.0)
    with pytest.raises(ValueError, match=r"num_reads is 10, but must lie in \[1, 5\]"):
        projector(X, T)
    sampler.trigger_failover()
    for _ in range(2):
        with pytest.raises(ValueError, match=r"a slope of 0\.05 per us"):
            projector(X, T)


def test_a_mock_that_loses_qubits(rng, tmp_path):
    X, T = rng.normal(size=(2, 12, 5)).astype(np.float32)
    sampler = MockDWaveSampler(topology_type="pegasus", topology_shape=[3])
    projector = DWaveProjector(sampler, num_reads=10, cache=tmp_path)
    projector(X, T)
    dead = set(projector.layouts.layout(gradient_bqms(X, T)).qubits[:3].tolist())
    fewer = MockDWaveSampler(
        topology_type="pegasus", topology_shape=[3], broken_nodes=dead, properties={"chip_id": "a"}
    )
    sampler.nodelist, sampler.edgelist = fewer.nodelist, fewer.edgelist
    sampler.__dict__.pop("_adjacency", None)  # of dimod, from the list of edges
    assert not dead & set(projector.machine.graph)
    projector(X, T)
    assert not dead & set(projector.layouts.layout(gradient_bqms(X, T)).qubits.tolist())


@pytest.mark.parametrize(
    ("topology", "shape", "wrong"),
    [
        ("pegasus", [3], [2]),
        ("pegasus", [3], [4]),
        ("pegasus", [3], [3, 3]),
        ("zephyr", [2, 4], [3, 4]),
        ("zephyr", [2, 4], [2, 2]),
        ("chimera", [3, 3, 4], [2, 3, 4]),
        ("chimera", [3, 3, 4], [3, 3, 2]),
        ("chimera", [3, 3, 4], None),
    ],
)
def test_a_wrong_shape_is_refused(topology, shape, wrong):
    """minorminer would end the process."""
    sampler = mock_annealer(topology, shape)
    assert len(Machine(sampler).graph) == len(sampler.nodelist)
    sampler.properties["topology"] = {"type": topology, "shape": wrong}
    with pytest.raises(ValueError, match=f"has the topology {topology} .* do not fit that shape"):
        _ = Machine(sampler).graph


def test_a_call_is_refused_before_minorminer_sees_a_wrong_shape(rng, tmp_path):
    X, T = rng.normal(size=(2, 12, 5)).astype(np.float32)
    sampler = mock_annealer("pegasus", (3,))
    sampler.properties["topology"] = {"type": "pegasus", "shape": [2]}
    with pytest.raises(ValueError, match="do not fit that shape"):
        DWaveProjector(sampler, cache=tmp_path)(X, T)
