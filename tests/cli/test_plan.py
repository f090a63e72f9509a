"""Estimated cost of a run, against first principles."""

import math

import numpy as np
import pytest

pytest.importorskip("dwave.system", reason="dwave-system is not installed")

from dwave.cloud.testing.mocks import qpu_problem_timing_data

import qpsbgd
from qpsbgd.hardware import DWaveProjector, mock_annealer, plan
from qpsbgd.hardware.annealer.published import PUBLISHED, working_graph_of
from qpsbgd.hardware.embedding import ideal_graph


@pytest.fixture
def machine():
    return mock_annealer("pegasus", (3,))


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("embeddings")


def call_us(num_qubits, num_reads, annealing_time=20.0):
    """Programming once; anneal, readout and delay a read. In microseconds, of D-Wave's model."""
    timing = qpu_problem_timing_data()
    qubits, times = np.split(np.array(timing["readout_time_model_parameters"]), 2)
    readout = 10 ** np.interp(np.log10(num_qubits), qubits, times)
    programming = timing["typical_programming_time"] + timing["default_programming_thermalization"]
    read = annealing_time + readout + timing["qpu_delay_time_per_sample"]
    return programming + num_reads * read


@pytest.mark.parametrize("annealing_time", [None, 50.0])
def test_calls_and_access_time(machine, cache, annealing_time):
    found = plan(
        [("wide", (40, 6)), ("deep", (5, 9))], 32, 7,
        sampler=machine, num_reads=30, annealing_time=annealing_time, cache=cache,
    )  # fmt: skip
    assert (found.num_steps, found.num_reads) == (7, 30)
    time = annealing_time or 20.0
    alone = 0.0
    for layer, (name, m, n) in zip(found.layers, [("wide", 40, 6), ("deep", 5, 9)], strict=True):
        assert (layer.name, layer.num_neurons, layer.num_inputs) == (name, m, n)
        packing = DWaveProjector(machine, cache=cache).layouts.quadratic(n)
        assert layer.num_copies == packing.num_copies
        assert layer.num_calls == math.ceil(m / packing.num_copies)
        chains = [chain for copy in packing.embeddings for chain in copy.values()]
        assert layer.num_qubits == sum(map(len, chains))
        assert layer.longest_chain == max(map(len, chains))
        expected = layer.num_calls * call_us(layer.num_qubits, 30, time)
        assert layer.access_time_us == pytest.approx(expected)
        one = sum(map(len, packing.embeddings[0].values()))
        alone += m * call_us(one, 30, time)
    assert found.layers[0].num_calls > 1
    assert found.calls_per_step == sum(layer.num_calls for layer in found.layers)
    a_step = sum(layer.access_time_us for layer in found.layers)
    assert found.access_time_us_per_step == pytest.approx(a_step)
    assert found.access_time_us == pytest.approx(7 * a_step)
    assert found.gain == pytest.approx(alone / a_step)


@pytest.mark.parametrize("objective", ["quadratic", "sign"])
def test_a_step_takes_what_was_planned(rng, machine, cache, objective):
    (n, m), num_samples = (5, 7), 4
    options = {"num_reads": 10, "max_copies": 3, "cache": cache}
    found = plan(
        [("layer", (m, n))], num_samples, 1, sampler=machine, objective=objective, **options
    )
    projector = DWaveProjector(machine, **options)
    # The plan's own random signs: which samples are alike decides on the variables.
    X = np.random.default_rng(0).choice(np.array([-1.0, 1.0], np.float32), (num_samples, n))
    T = rng.normal(size=(num_samples, m)).astype(np.float32)
    projector(X, T, qpsbgd.ProjectionOptions(objective=objective))
    (layer,) = found.layers
    assert len(projector.last_calls) == layer.num_calls > 1
    assert {call["longest_chain"] for call in projector.last_calls} == {layer.longest_chain}
    (qubits,) = {call["qubits"] for call in projector.last_calls}
    if objective == "quadratic":
        assert qubits == layer.num_qubits
        assert projector.budget.spent_us == pytest.approx(found.access_time_us)
    else:
        # The graph has room for a sample more, whose qubits this step does not use.
        assert qubits < layer.num_qubits
        assert 0.98 * found.access_time_us < projector.budget.spent_us < found.access_time_us


@pytest.mark.slow
def test_64_neurons_of_16_inputs_take_a_twentieth_of_one_call_a_neuron(shared_cache):
    cache = shared_cache / "qpsbgd" / "embeddings"
    found = plan([("layer", (64, 16))], 50, 1, shape=(16,), num_reads=100, cache=cache)
    assert found.layers[0].num_calls == 1
    assert found.gain >= 20


def test_convolutions_are_planned_by_patches_and_groups(machine, cache):
    pytest.importorskip("torch")
    from torch import nn

    from qpsbgd.nn import BinaryConv2d, BinaryLinear

    model = nn.Sequential(
        BinaryConv2d(1, 4, 2), nn.ReLU(), BinaryConv2d(4, 6, (2, 1), groups=2),
        nn.Flatten(), BinaryLinear(8, 3), nn.Linear(3, 2),
    )  # fmt: skip
    found = plan(model, 16, 1, sampler=machine, cache=cache)
    shapes = [(layer.name, layer.num_neurons, layer.num_inputs) for layer in found.layers]
    assert shapes == [("0", 4, 4), ("2[0]", 3, 4), ("2[1]", 3, 4), ("4", 3, 8)]


def test_names_are_those_of_the_steps(rng, machine, cache):
    """The groups of a convolution have the names of the labels of their calls."""
    torch = pytest.importorskip("torch")
    from torch import nn

    from qpsbgd.nn import BinaryConv2d
    from qpsbgd.optim import QPSBGD

    model = nn.Sequential(BinaryConv2d(2, 4, 2, groups=2, bias=False))
    projector = DWaveProjector(machine, num_reads=5, cache=cache)
    optimizer = QPSBGD(model, projector=projector)
    model(torch.randn(2, 2, 4, 4)).square().sum().backward()
    optimizer.step()
    names = [call["label"].split("/")[3] for call in projector.last_calls]
    assert names == [layer.name for layer in plan(model, 2, 1, sampler=machine, cache=cache).layers]


def test_a_layer_that_does_not_fit(machine, cache):
    found = plan([("big", (3, 60)), ("small", (3, 4))], 8, 2, sampler=machine, cache=cache)
    big, small = found.layers
    assert (big.num_copies, big.num_calls, big.access_time_us) == (0, 0, 0.0)
    assert found.calls_per_step == small.num_calls == 1
    assert found.gain == pytest.approx(small.one_by_one_us / small.access_time_us)
    nothing = plan([("big", (3, 60))], 8, 2, sampler=machine, cache=cache)
    assert (nothing.access_time_us, nothing.gain) == (0.0, 1.0)
    assert "does not fit" in str(nothing)


def test_the_table(machine, cache):
    found = plan(
        [("first", (2, 60)), ("a longer name", (30, 6))], 8, 1000, sampler=machine, num_reads=25,
        cache=cache,
    )  # fmt: skip
    head, titles, first, second, total = str(found).splitlines()
    assert head == "Estimated access time on mock of pegasus 3, 25 reads a call:"
    assert titles.split("  ")[0] == "layer"
    assert first.split() == ["first", "2", "60", "does", "not", "fit"]
    layer = found.layers[1]
    figures = (30, 6, layer.num_copies, layer.num_calls, layer.num_qubits, layer.longest_chain,
               round(layer.access_time_us))  # fmt: skip
    assert second.split() == ["a", "longer", "name", *map(str, figures)]
    # A column is as wide as its widest cell.
    assert titles.index("neurons") + len("neurons") == second.index("30") + len("30")
    assert f"1000 steps: {1000 * layer.num_calls} calls, " in total
    assert "billed may differ" in total


def test_as_a_dictionary(machine, cache):
    found = plan([("first", (3, 4))], 8, 10, sampler=machine, cache=cache)
    told = found.to_dict()
    assert told["access_time_us"] == found.access_time_us
    assert told["layers"][0]["name"] == "first"
    assert told["layers"][0]["num_calls"] == 1


def test_a_machine_with_properties_of_its_own(cache):
    """Its graph, its timing, its name."""
    properties = mock_annealer("pegasus", (3,), dead_qubits=0.1).properties
    timing = {**qpu_problem_timing_data(), "typical_programming_time": 1e6}
    told = {**properties, "chip_id": "Advantage_x", "problem_timing_data": timing}
    found = plan([("a", (1, 4))], 8, 1, sampler=mock_annealer(properties=told), cache=cache)
    assert found.solver == "Advantage_x"
    assert found.layers[0].num_qubits < len(properties["qubits"])
    assert found.access_time_us > 1e6


def test_what_is_refused(machine, cache):
    shapes = [("layer", (3, 4))]
    with pytest.raises(ValueError, match=r"num_reads is 10001, but must lie in \[1, 10000\]"):
        plan(shapes, 8, 1, sampler=machine, num_reads=10_001, cache=cache)
    with pytest.raises(ValueError, match=r"num_reads is 9000, but must be at most \d+: a read of"):
        plan(shapes, 8, 1, sampler=machine, num_reads=9_000, annealing_time=2000.0, cache=cache)
    with pytest.raises(ValueError, match="batch_size is 0"):
        plan(shapes, 0, 1, sampler=machine, cache=cache)
    with pytest.raises(ValueError, match="steps is -1"):
        plan(shapes, 8, -1, sampler=machine, cache=cache)
    with pytest.raises(ValueError, match="objective is 'cubic'"):
        plan(shapes, 8, 1, sampler=machine, objective="cubic", cache=cache)
    with pytest.raises(ValueError, match="'torus'"):
        plan(shapes, 8, 1, topology="torus", cache=cache)


def test_nothing_is_sent(machine, cache, monkeypatch):
    def sample(*args, **kwargs):
        raise AssertionError("a plan has sent something")

    monkeypatch.setattr(type(machine), "sample", sample)
    plan([("layer", (3, 4))], 8, 1, sampler=machine, cache=cache)
    assert isinstance(machine, qpsbgd.hardware.annealer.mock._MockAnnealer)


@pytest.mark.parametrize("topology", ["chimera", "zephyr"])
@pytest.mark.slow
def test_published_counts(topology):
    """All that is left out is drawn at random, the same for the same seed."""
    counts = PUBLISHED[topology]
    ideal = ideal_graph(topology, counts.shape)
    graph = working_graph_of(ideal, counts, 0)
    assert (len(graph), graph.number_of_edges()) == (counts.num_qubits, counts.num_couplers)
    assert set(graph.edges) <= {*ideal.edges, *((b, a) for a, b in ideal.edges)}
    again, other = (working_graph_of(ideal, counts, seed) for seed in (0, 1))
    assert set(graph.nodes) == set(again.nodes) != set(other.nodes)
    assert {frozenset(e) for e in graph.edges} == {frozenset(e) for e in again.edges}


def test_a_plan_without_a_shape_is_of_a_published_machine(cache):
    found = plan([("a", (3, 4))], 8, 1, topology="chimera", max_copies=2, cache=cache)
    assert found.solver == "mock of 2000Q (chimera 16x16x4, 2041 qubits, 5974 couplers)"
    found = plan([("a", (3, 4))], 8, 1, topology="chimera", shape=(2, 2, 4), cache=cache)
    assert found.solver == "mock of chimera 2x2x4"
