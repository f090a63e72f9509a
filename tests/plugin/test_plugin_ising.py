"""The Ising layer for D-Wave's PyTorch plugin, against the plugin's own layer and enumeration."""

import copy
import itertools
import pickle
from concurrent.futures import ThreadPoolExecutor

import dimod
import numpy as np
import pytest

import qpsbgd

torch = pytest.importorskip("torch")
pytest.importorskip(
    "dwave.plugins.torch.samplers",
    reason="dwave-pytorch-plugin is not installed: pip install 'qpsbgd[plugin]'",
    exc_type=ImportError,
)

from dwave.plugins.torch.nn.modules.ising import Ising as PluginIsing
from dwave.plugins.torch.nn.modules.ising import (
    IsingExpectation,
    IsingStatistic,
    SpinStatistic,
)
from dwave.samplers import SimulatedAnnealingSampler as PeerSampler

from qpsbgd.plugin import Ising, ising_layer
from qpsbgd.plugin.expectation import expected_statistics

NODES = ["a", 3, ("c", 1), "d", 0.5]
#: Both orders of the ends; ("d", "a") and ("a", "d") add up, of the two ("a", 3) the last counts.
EDGES = [("a", 3), (("c", 1), "a"), ("d", "a"), ("a", "d"), ("a", 3), (0.5, 3), ("d", 0.5)]


class Moments(SpinStatistic):
    """Sums and products, far from 0."""

    def __init__(self):
        super().__init__(3)

    def _transform(self, x):
        return torch.stack([x.sum(-1), x.prod(-1), 20 + x[..., 0] * x[..., -1]], dim=-1)


def biases(rng, batch, num_nodes, num_edges, *, scale=0.6, dtype=torch.float32):
    linear, quadratic = (
        torch.tensor(rng.normal(scale=scale, size=(batch, size)), dtype=dtype, requires_grad=True)
        for size in (num_nodes, num_edges)
    )
    return linear, quadratic


def complete(n):
    return list(range(n)), list(itertools.combinations(range(n), 2))


def layer_of(nodes, edges, *, beta=1.0, statistic=None, sampler=None, **params):
    params = {"num_reads": 8, "num_sweeps": 20, "seed": 1} | params
    sampler = qpsbgd.SimulatedAnnealingSampler() if sampler is None else sampler
    return Ising(nodes, edges, sampler, params, beta, statistic)


class Replay(dimod.Sampler):
    """Sampler that returns prepared states, row by row, and stores the models."""

    parameters = properties = {}  # noqa: RUF012

    def __init__(self, nodes, states):
        self.nodes, self.states, self.models = nodes, iter(states), []

    def sample(self, bqm, **options):
        self.models.append(bqm)
        return dimod.SampleSet.from_samples_bqm((next(self.states), self.nodes), bqm)


# ---- equal gradients ----------------------------------------------------------------------------


@pytest.mark.parametrize("num_edges", [0, 3, 100, 435])
def test_gradients_of_the_same_samples_equal_the_plugins(rng, num_edges):
    n, edges = 30, list(itertools.combinations(range(30), 2))
    chosen = rng.permutation(len(edges))[:num_edges]
    ends = torch.tensor([edges[k] for k in chosen], dtype=torch.int64).reshape(-1, 2)
    spins = torch.tensor(rng.choice([-1.0, 1.0], size=(4, 20, n)), dtype=torch.float32)
    statistics = torch.tensor(rng.normal(size=(4, 20, 6)) + 3, dtype=torch.float32)
    weights = torch.tensor(rng.normal(size=(4, 6)), dtype=torch.float32)
    products = spins[..., ends[:, 0]] * spins[..., ends[:, 1]]
    inputs, expected = (biases(rng, 4, n, num_edges) for _ in range(2))
    found = expected_statistics(spins, statistics, *inputs, *ends.T)
    own = IsingExpectation.apply(spins, products, statistics, *expected)
    assert torch.equal(found, own)
    (found * weights).sum().backward()
    (own * weights).sum().backward()
    for a, b in zip(inputs, expected, strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-5, atol=2e-6)
    # Of one input alone.
    linear, quadratic = inputs
    for x, others in ((linear, (quadratic.detach(),)), (quadratic, ())):
        before = x.grad.clone()
        x.grad = None
        arguments = (x, *others) if others else (linear.detach(), x)
        (expected_statistics(spins, statistics, *arguments, *ends.T) * weights).sum().backward()
        assert torch.equal(x.grad, before)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16])
@pytest.mark.parametrize("statistic", [None, Moments(), IsingStatistic([0, 2], [1, 3], [0, 4])])
def test_the_layer_is_the_plugins_on_the_same_samples(rng, monkeypatch, dtype, statistic):
    results = []

    def recorded(*arguments, **options):
        results.append(qpsbgd.sample_batch(*arguments, **options))
        return results[-1]

    monkeypatch.setattr(ising_layer, "sample_batch", recorded)
    layer = layer_of(NODES, EDGES, beta=1.7, statistic=statistic, num_reads=50)
    inputs = biases(rng, 6, 5, 7, dtype=dtype)
    output = layer(*inputs)
    (result,) = results
    replay = Replay(NODES, result.states)
    own = PluginIsing(NODES, EDGES, replay, {}, 1.7, statistic)
    expected = [x.detach().clone().requires_grad_() for x in inputs]
    expected_output = own(*expected)
    assert output.dtype == expected_output.dtype
    torch.testing.assert_close(output, expected_output, rtol=0, atol=0)
    for row, bqm in enumerate(replay.models):  # the biases of every row are the plugin's
        energies = bqm.energies((result.states[row], NODES))
        np.testing.assert_allclose(result.energies[row], energies, atol=1e-6)
    weights = torch.tensor(rng.normal(size=output.shape), dtype=torch.float32)
    (output * weights).sum().backward()
    (expected_output * weights).sum().backward()
    for a, b in zip(inputs, expected, strict=True):
        assert a.grad.dtype == b.grad.dtype == dtype
        tolerance = {"rtol": 2e-3, "atol": 1e-3} if dtype is torch.float16 else {}
        torch.testing.assert_close(a.grad, b.grad, **(tolerance or {"rtol": 1e-5, "atol": 2e-6}))


@pytest.mark.parametrize("of_plugin", [False, True])
def test_outputs_and_gradients_are_within_sampling_error(rng, of_plugin):
    """Means and covariances of a small model against enumeration, 4 standard errors."""
    n, reads = 4, 3000
    nodes, edges = complete(n)
    size = n + len(edges)
    linear, quadratic = (x.detach() for x in biases(rng, 1, n, len(edges)))
    inputs = [x.repeat(size, 1).requires_grad_() for x in (linear, quadratic)]  # a row a statistic
    params = {
        "num_reads": reads,
        "num_sweeps": 60,
        "seed": 3,
        "proposal_acceptance_criteria": "Gibbs",
    }
    statistic = IsingStatistic(nodes, *zip(*edges, strict=True))
    if of_plugin:
        params |= {"beta_range": (2.0, 2.0), "beta_schedule_type": "linear"}
        # One seed for all rows gives them the same samples, which does not matter here.
        layer = PluginIsing(nodes, edges, PeerSampler(), params, 2.0, statistic)
    else:
        layer = Ising(nodes, edges, qpsbgd.SimulatedAnnealingSampler(), params, 2.0, statistic)
    output = layer(*inputs)
    output.diagonal().sum().backward()
    gradient = torch.cat([x.grad for x in inputs], dim=1).double()

    states = torch.tensor(list(itertools.product([-1.0, 1.0], repeat=n)), dtype=torch.float64)
    first, second = zip(*edges, strict=True)
    features = torch.cat([states, states[:, first] * states[:, second]], dim=1)
    theta = torch.cat([linear, quadratic], dim=1)[0].double()
    p = torch.softmax(-features @ theta, dim=0)
    mean = p @ features
    centred = features - mean
    covariance = centred.T @ (p[:, None] * centred)
    error = torch.sqrt((1 - mean**2) / reads)
    assert ((output.double() - mean).abs() <= 4.5 * error).all()
    fourth = (centred**2).T @ (p[:, None] * centred**2)
    error = torch.sqrt((fourth - covariance**2) / reads)
    assert ((gradient + covariance).abs() <= 4.5 * error + 1e-6).all()


# ---- equilibrium --------------------------------------------------------------------------------


def correlation_of_triangle(layer, coupling):
    """Return the mean product of neighbours on a triangle without linear biases."""
    return layer(torch.zeros((1, 3)), torch.full((1, 3), coupling)).mean().item()


def test_gibbs_sweeps_are_right_where_metropolis_sweeps_are_not():
    nodes, edges = complete(3)
    statistic = IsingStatistic([], [0, 0, 1], [1, 2, 2])
    # Energies -3 b in two states and b in six.
    weights = 2 * np.exp(2.1), 6 * np.exp(-0.7)
    expected = (weights[0] - weights[1] / 3) / sum(weights)
    options = {"statistic": statistic, "num_reads": 4000, "num_sweeps": 100}
    error = 4 / 4000**0.5
    for beta in (0.5, 1.0, 3.0):  # its samples do not depend on the layer's beta
        layer = layer_of(nodes, edges, beta=beta, **options)
        assert correlation_of_triangle(layer, -0.7) == pytest.approx(expected, abs=error)
    named = layer_of(nodes, edges, proposal_acceptance_criteria="Metropolis", **options)
    assert abs(correlation_of_triangle(named, -0.7) - expected) > 2 * error


def test_cooling_finds_minima(rng):
    nodes, edges = complete(6)
    inputs = biases(rng, 4, 6, 15)
    sampled = {}
    for name, make in (
        ("sa", qpsbgd.SimulatedAnnealingSampler),
        ("tabu", qpsbgd.TabuSampler),
        ("descent", qpsbgd.SteepestDescentSampler),
    ):
        options = {"beta_range": "auto"} if name == "sa" else {}
        params = {"num_reads": 10, "seed": 1} | options
        sampled[name] = Ising(nodes, edges, make(), params, 1.0)(*inputs)
    states = torch.tensor(list(itertools.product([-1.0, 1.0], repeat=6)))
    first, second = zip(*edges, strict=True)
    features = torch.cat([states, states[:, first] * states[:, second]], dim=1)
    lowest = states[(features @ torch.cat(inputs, dim=1).T).argmin(dim=0)]
    assert torch.equal(sampled["sa"], lowest)
    # A descent, and a tabu search of a few moves, are near it: unbiased spins would have 0.
    assert (sampled["tabu"] * lowest).mean().item() > 0.3
    assert (sampled["descent"] * lowest).mean().item() > 0.3


# ---- calls, seeds, copies -----------------------------------------------------------------------


@pytest.mark.parametrize("is_sparse", [False, True])
@pytest.mark.parametrize("shared", [False, True])
def test_one_call_for_a_batch(rng, monkeypatch, shared, is_sparse):
    calls = []

    def counted(h, J, **options):
        calls.append((h, J))
        return qpsbgd.sample_batch(h, J, **options)

    monkeypatch.setattr(ising_layer, "sample_batch", counted)
    n = 80
    nodes, edges = (
        (list(range(n)), [(i, (i + 1) % n) for i in range(n)]) if is_sparse else complete(n)
    )
    linear, quadratic = biases(rng, 5, n, len(edges))
    if shared:
        quadratic = quadratic[:1].expand(5, -1)
    output = layer_of(nodes, edges)(linear, quadratic)
    ((h, J),) = calls
    assert output.shape == h.shape == (5, n)
    if is_sparse:
        assert J.values.shape == ((n,) if shared else (5, n))
    else:
        assert J.shape == ((n, n) if shared else (5, n, n))


def test_shared_couplings_give_the_samples_of_own_ones(rng, monkeypatch):
    nodes, edges = complete(20)
    linear, quadratic = biases(rng, 3, 20, 190)
    quadratic = quadratic[:1].expand(3, -1)
    together = layer_of(nodes, edges)(linear, quadratic)
    last = quadratic.clone()
    last[2] += 1
    apart = layer_of(nodes, edges)(linear, last)
    assert torch.equal(together[:2], apart[:2])
    assert not torch.equal(together[2], apart[2])


def test_every_call_draws_anew_and_a_seed_repeats_them_all(rng):
    nodes, edges = complete(24)
    inputs = biases(rng, 6, 24, 276, scale=0.05)
    inputs = [x[:1].expand(6, -1) for x in inputs]

    def outputs(**params):
        layer = layer_of(nodes, edges, **params)
        return [layer(*inputs) for _ in range(3)]

    first = outputs()
    assert not torch.equal(first[0], first[1])
    assert len(torch.unique(first[0], dim=0)) == 6  # equal rows do not share random numbers
    for again in (outputs(), outputs(num_threads=1), outputs(num_threads=3)):
        assert all(map(torch.equal, first, again))
    with ThreadPoolExecutor(2) as executor:
        assert all(map(torch.equal, first, outputs(executor=executor)))
    assert not torch.equal(first[0], outputs(seed=2)[0])
    assert not torch.equal(outputs(seed=None)[0], outputs(seed=None)[0])
    layer = layer_of(nodes, edges)
    layer(*inputs)
    layer.set_sample_params(layer.sample_params)
    assert torch.equal(layer(*inputs), first[0])


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copies(rng, copied):
    layer = layer_of(NODES, EDGES, beta=2.0)
    inputs = biases(rng, 3, 5, 7)
    layer(*inputs)
    other = copied(layer)
    assert other.nodes == NODES
    assert other.beta.item() == 2.0
    assert torch.equal(layer(*inputs), other(*inputs))


def test_state_dicts_are_the_plugins(rng):
    layer = layer_of(NODES, EDGES, beta=2.0)
    own = PluginIsing(NODES, EDGES, PeerSampler(), {}, 5.0)
    layer.load_state_dict(own.state_dict())
    assert layer.beta.item() == 5.0
    own.load_state_dict(layer_of(NODES, EDGES, beta=3.0).state_dict())
    assert own.beta.item() == 3.0
    assert isinstance(layer, PluginIsing)
    assert list(layer.parameters()) == [layer.beta]
    assert layer.dim_out == 5
    layer.set_beta(4.0)
    assert layer.beta.item() == 4.0
    with pytest.raises(ValueError, match="beta must be positive"):
        layer.set_beta(0.0)


def test_devices_dtypes_and_hooks(rng):
    layer = layer_of(NODES, EDGES).to("cpu", torch.float64)
    inputs = biases(rng, 3, 5, 7, dtype=torch.float64)
    shapes = []
    layer.register_forward_hook(lambda module, arguments, output: shapes.append(output.shape))
    network = torch.nn.Sequential(torch.nn.Linear(4, 5, dtype=torch.float64))
    loss = layer(network(torch.ones((3, 4), dtype=torch.float64)), inputs[1]).pow(2).sum()
    loss.backward()
    assert shapes == [(3, 5)]
    assert network[0].weight.grad.abs().sum() > 0
    with torch.no_grad():
        assert not layer(*inputs).requires_grad


@pytest.mark.parametrize("batch", [0, 1])
def test_batches_of_none_and_one(rng, batch):
    inputs = biases(rng, batch, 5, 7)
    output = layer_of(NODES, EDGES)(*inputs)
    assert output.shape == (batch, 5)
    output.sum().backward()
    assert inputs[0].grad.shape == (batch, 5)
    assert inputs[1].grad.shape == (batch, 7)


@pytest.mark.parametrize(("nodes", "edges"), [(["a"], []), (["a", "b"], [])])
def test_no_edges(nodes, edges):
    linear = torch.full((2, len(nodes)), 9.0, requires_grad=True)
    quadratic = torch.zeros((2, 0), requires_grad=True)
    output = layer_of(nodes, edges)(linear, quadratic)
    assert (output == -1).all()
    output.sum().backward()
    assert quadratic.grad.shape == (2, 0)


def test_one_read_has_no_gradient(rng):
    inputs = biases(rng, 2, 5, 7)
    output = layer_of(NODES, EDGES, num_reads=1)(*inputs)
    assert set(output.unique().tolist()) <= {-1.0, 1.0}
    with pytest.raises(ValueError, match="num_reads is 1, but a backward pass needs at least 2"):
        output.sum().backward()


def test_temperatures_are_estimated_from_samples(rng):
    nodes, edges = complete(6)
    inputs = biases(rng, 3, 6, 15)
    for beta in (0.5, 2.0):
        estimates = layer_of(nodes, edges, beta=beta, num_reads=3000).estimate_betas(*inputs)
        assert estimates.shape == (3,)
        assert estimates.tolist() == pytest.approx([beta] * 3, rel=0.15)


def test_other_samplers_sample_row_by_row(rng):
    inputs = biases(rng, 4, 5, 7)
    options = {"num_reads": 6, "num_sweeps": 10, "beta_range": (1.0, 1.0), "seed": 1}
    options |= {"beta_schedule_type": "linear", "randomize_order": True}
    ours = Ising(NODES, EDGES, PeerSampler(), options, 1.0)
    own = PluginIsing(NODES, EDGES, PeerSampler(), options, 1.0)
    assert torch.equal(ours(*inputs), own(*inputs))
    assert torch.equal(ours.estimate_betas(*inputs), own.estimate_betas(*inputs))
    with pytest.raises(ValueError, match="sample_params has 'beta_schedule_type'"):
        ours.set_sampler(qpsbgd.SimulatedAnnealingSampler())
    assert isinstance(ours.sampler, PeerSampler)
    ours.set_sample_params({"num_reads": 6})
    ours.set_sampler(qpsbgd.SimulatedAnnealingSampler())
    assert ours(*inputs).shape == (4, 5)


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"sample_params": {"reads": 3}}, ValueError, "sample_params has 'reads', but may have"),
        ({"sample_params": {"time_limit": 3}}, ValueError, "sample_params has 'time_limit'"),
        ({"sample_params": 3}, TypeError, "sample_params is 3, but must be a dict"),
        ({"sample_params": {"num_reads": 0}}, ValueError, r"num_reads is 0, but must lie in \[1"),
        ({"sample_params": {"seed": -1}}, ValueError, "seed is -1"),
        ({"sample_params": {"num_sweeps": 0.5}}, TypeError, "num_sweeps is 0.5"),
        ({"sample_params": {"beta_range": (0, 1)}}, ValueError, "needs positive, finite ends"),
        ({"beta": 0.0}, ValueError, r"beta is .* must be positive"),
        ({"nodes": ["a", "b", "a"]}, ValueError, "must have no two equal nodes"),
        ({"edges": [("a", "b"), ("b", "b")]}, ValueError, r"edges\[1\] connects node 1 with itse"),
        ({"edges": [("a", "c")]}, ValueError, "'c' is not in nodes"),
        ({"linear": torch.zeros(2)}, ValueError, "linear.ndim should be exactly 2"),
        ({"quadratic": torch.zeros(1)}, ValueError, "quadratic.ndim should be exactly 2"),
        ({"linear": torch.zeros((3, 1))}, ValueError, r"\(3, 1\), but must be \(3, 2\)"),
        ({"quadratic": torch.zeros((2, 1))}, ValueError, r"\(2, 1\), but must be \(3, 1\)"),
        ({"linear": torch.tensor([[0, 0], [0, np.nan], [0, 0]])}, ValueError, r"linear\[1, 1\] / "),
        ({"quadratic": torch.full((3, 1), np.inf)}, ValueError, r"quadratic\[0, 0\] / beta is inf"),
    ],
)
def test_bad_arguments(changed, error, message):
    changed = dict(changed)
    linear = changed.pop("linear", torch.zeros((3, 2)))
    quadratic = changed.pop("quadratic", torch.zeros((3, 1)))
    arguments = {
        "nodes": ["a", "b"], "edges": [("a", "b")], "sampler": qpsbgd.SimulatedAnnealingSampler(),
        "sample_params": {}, "beta": 1.0, **changed,
    }  # fmt: skip
    with pytest.raises(error, match=message):
        Ising(**arguments)(linear, quadratic)


class Aggregated(dimod.Sampler):
    """A sampler that returns each state once, with the number of its reads, as annealers do."""

    parameters: dict = {}  # noqa: RUF012
    properties: dict = {}  # noqa: RUF012

    def sample(self, bqm, **options):
        states = np.array([[1], [-1]], np.int8).repeat(len(bqm), axis=1)
        return dimod.SampleSet.from_samples(
            (states, list(bqm.variables)), energy=[0, 0], num_occurrences=[9, 1], vartype="SPIN"
        )


def test_states_of_other_samplers_count_as_often_as_they_occurred():
    layer = Ising(range(3), [(0, 1)], Aggregated(), {}, 1.0)
    means = layer(torch.ones(2, 3), torch.ones(2, 1))
    torch.testing.assert_close(means, torch.full((2, 3), 0.8))


def test_a_second_derivative_is_an_error():
    layer = layer_of(range(3), [(0, 1)], num_reads=4)
    linear = torch.zeros((2, 3), requires_grad=True)
    (gradient,) = torch.autograd.grad(
        layer(linear, torch.zeros((2, 1))).square().sum(), linear, create_graph=True
    )
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


@pytest.mark.parametrize("beta", [float("nan"), "1", None, float("inf"), 0.0])
def test_beta_is_checked(beta):
    error = TypeError if beta in ("1", None) else ValueError
    with pytest.raises(error, match=f"^beta is {beta!r}"):
        Ising("ab", ["ab"], qpsbgd.SimulatedAnnealingSampler(), {}, beta=beta)


def test_unknown_nodes_and_arrays_are_named():
    with pytest.raises(ValueError, match=r"edges\[1\] is 'bc', but 'c' is not in nodes"):
        Ising("ab", ["ab", "bc"], qpsbgd.SimulatedAnnealingSampler(), {}, beta=1.0)
    layer = Ising("ab", ["ab"], qpsbgd.SimulatedAnnealingSampler(), {}, beta=1.0)
    with pytest.raises(TypeError, match=r"linear is a ndarray, but must be a torch\.Tensor"):
        layer(np.zeros((1, 2)), np.zeros((1, 1)))


@pytest.mark.parametrize("sample_betas", [None, 2.0, (0.5, 1.0)])
def test_tempering_must_sample_at_beta(sample_betas):
    params = {"num_sweeps": 10, "seed": 1, "num_samples": 4}
    if sample_betas is not None:
        params["sample_betas"] = sample_betas
    layer = Ising("ab", ["ab"], qpsbgd.ParallelTemperingSampler(), params, beta=1.0)
    with pytest.raises(ValueError, match="only with sample_betas=1, its beta"):
        layer(torch.ones(1, 2), torch.ones(1, 1))


@pytest.mark.parametrize("beta", [1.0, 0.3])
def test_tempering_samples_the_layers_models(beta):
    params = {"num_sweeps": 2000, "num_reads": 2, "num_samples": 1000, "seed": 1}
    layer = Ising(
        "ab", [], qpsbgd.ParallelTemperingSampler(), {**params, "sample_betas": beta}, beta=beta
    )
    linear = torch.tensor([[0.5, -1.0]])
    means = layer(linear, torch.zeros(1, 0))
    assert (means + torch.tanh(linear)).abs().max() < 4 / 2000**0.5
