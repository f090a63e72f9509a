"""Graph convolution, against dense matrices."""

import copy
import pickle

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from qpsbgd.nn import BinaryGCNConv
from qpsbgd.optim import QPSBGD

NODES = 7
#: Node 6 is alone; 0 -> 1 twice; a self-loop at 2; 3 -> 4 in one direction.
EDGES = torch.tensor([[0, 0, 1, 2, 3, 1, 2, 5], [1, 1, 0, 2, 4, 2, 1, 4]])
WEIGHTS = torch.tensor([0.5, 2.0, 1.5, 3.0, 0.25, 1.0, 1.0, 0.75], dtype=torch.float64)


def dense(edges, weights, improved=False, add_self_loops=None, normalize=True, **ignored):
    """The (N, N) matrix that nodes gather by."""
    A = np.zeros((NODES, NODES))
    for (source, target), weight in zip(edges.T.tolist(), weights.tolist(), strict=True):
        A[target, source] += weight
    if normalize if add_self_loops is None else add_self_loops:
        looped = {source for source, target in edges.T.tolist() if source == target}
        for node in set(range(NODES)) - looped:
            A[node, node] = 2 if improved else 1
    if not normalize:
        return A
    degree = A.sum(axis=1)
    factor = np.array([d**-0.5 if d > 0 else 0 for d in degree])
    return factor[:, None] * A * factor


def features(seed=0):
    return torch.randn(NODES, 5, generator=torch.Generator().manual_seed(seed)).double()


def twin(layer, x, A):
    """Return the layer's output, computed with NumPy."""
    W = np.where(layer.weight.detach().numpy() >= 0, 1, -1)
    y = A @ (x.numpy() @ W.T)
    if layer.output_scale is not None:
        y = y * layer.output_scale.detach().numpy()
    return y if layer.bias is None else y + layer.bias.detach().numpy()


def make(**options):
    torch.manual_seed(0)
    layer = BinaryGCNConv(5, 3, **options, dtype=torch.float64)
    if layer.bias is not None:
        torch.nn.init.normal_(layer.bias)
    return layer


OPTIONS = [
    {},
    {"improved": True},
    {"normalize": False},
    {"add_self_loops": False},
    {"improved": True, "bias": False, "output_scale": True},
    {"output_scale": True},
]


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta")
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_is_the_dense_product(options, weighted):
    layer, x = make(**options), features()
    weights = WEIGHTS if weighted else torch.ones_like(WEIGHTS)
    A = dense(EDGES, weights, **options)
    expected = twin(layer, x, A)
    adjacency = torch.sparse_coo_tensor(
        EDGES.flip(0), weights, (NODES, NODES), check_invariants=True
    )
    outputs = [
        layer(x, EDGES, weights) if weighted else layer(x, EDGES),
        layer(x, adjacency),
        layer(x, adjacency.coalesce().to_sparse_csr()),
    ]
    for output in outputs:
        np.testing.assert_allclose(output.detach().numpy(), expected, rtol=1e-12, atol=1e-13)


def test_graphs_without_edges():
    x = features()
    none = torch.empty(2, 0, dtype=torch.int64)
    for options, A in (
        ({}, np.eye(NODES)),
        ({"add_self_loops": False}, np.zeros((NODES, NODES))),
        ({"normalize": False}, np.zeros((NODES, NODES))),
    ):
        layer = make(**options)
        np.testing.assert_allclose(layer(x, none).detach().numpy(), twin(layer, x, A))


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_samples_are_what_the_weights_gradient_is_made_of(options):
    layer = make(**options)
    watched = copy.deepcopy(layer)
    optimizer = QPSBGD(watched)
    chosen = torch.tensor([0, 4, 6])  # as with a mask of training nodes
    results = []
    for each in (layer, watched):
        x, weights = features().requires_grad_(), WEIGHTS.clone().requires_grad_()
        output = each(x, EDGES, weights)
        output[chosen].square().sum().backward()
        results.append([output, x.grad, weights.grad])
        results[-1] += [p.grad for p in (each.bias, each.output_scale) if p is not None]
    for plain, observed in zip(*results, strict=True):
        assert torch.equal(plain, observed)
    assert not watched.weight.grad.any()
    X, T = optimizer.captures()[0].batch()
    A = dense(EDGES, WEIGHTS, **options)
    reached = [node for node in chosen.tolist() if results[0][0][node].any()]
    assert X.shape == (1, len(reached), 5)
    np.testing.assert_allclose(X[0].numpy(), (A @ features().numpy())[reached], rtol=1e-12)
    product = torch.einsum("gnm,gnk->gmk", T, X)[0]
    torch.testing.assert_close(product, layer.weight.grad)


def test_cached():
    layer, x = make(cached=True), features()
    first = layer(x, EDGES, WEIGHTS)
    other = torch.tensor([[0], [3]])
    for each in (layer, copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert torch.equal(each(x, other), first)  # the first graph, whatever is given
    with pytest.raises(ValueError, match="x has 6 nodes, but the cached adjacency has 7"):
        layer(x[:6], other)
    layer.reset_parameters()
    expected = twin(layer, x, dense(other, torch.ones(1)))
    np.testing.assert_allclose(layer(x, other).detach().numpy(), expected, atol=1e-13)
    assert layer.state_dict().keys() == {"weight", "bias"}


def test_a_cached_adjacency_is_of_no_graph():
    layer, x = make(cached=True), features()
    for _ in range(2):  # the first pass's graph is gone in the second
        layer(x, EDGES, WEIGHTS.clone().requires_grad_()).sum().backward()


def test_a_cached_adjacency_takes_on_the_layers_type():
    layer = make(cached=True, bias=False).float()
    layer(features().float(), EDGES)
    assert layer.double()(features(), EDGES).dtype == torch.float64


def test_reset_parameters_sets_the_bias_to_zero():
    layer = make()
    layer.reset_parameters()
    assert not layer.bias.any()


@pytest.mark.filterwarnings("ignore:Sparse CSC tensor support is in beta")
def test_bad_input():
    layer, x = make(), features()
    with pytest.raises(ValueError, match=r"x has shape \(7, 4\), but must be \(num_nodes, 5\)"):
        layer(x[:, :4], EDGES)
    for edges in (EDGES.T, EDGES.float(), torch.eye(7).to_sparse_csc()):
        with pytest.raises(ValueError, match=r"but must be int64 \(2, num_edges\) or a sparse"):
            layer(x, edges)
    for node in (-1, 7):
        with pytest.raises(ValueError, match=f"edge_index has node {node}, but x has nodes 0 to 6"):
            layer(x, torch.tensor([[0], [node]]))
    with pytest.raises(ValueError, match=r"edge_weight has shape \(3,\), but must be \(num_edges"):
        layer(x, EDGES, WEIGHTS[:3])
    adjacency = torch.sparse_coo_tensor(EDGES, WEIGHTS, (8, 8), check_invariants=True)
    with pytest.raises(ValueError, match=r"edge_index has shape \(8, 8\)"):
        layer(x, adjacency)
    with pytest.raises(ValueError, match="edge_weight is given, but must be None"):
        layer(x, adjacency, WEIGHTS)
    with pytest.raises(ValueError, match="out_channels is 0, but must be at least 1"):
        BinaryGCNConv(5, 0)
    with pytest.raises(ValueError, match="add_self_loops is True, but must be False"):
        BinaryGCNConv(5, 3, add_self_loops=True, normalize=False)


def test_state_dict_and_repr():
    layer = make(output_scale=True)
    assert list(layer.state_dict()) == ["weight", "bias", "output_scale"]
    assert list(make(bias=False).state_dict()) == ["weight"]
    other = BinaryGCNConv(5, 3, output_scale=True, dtype=torch.float64)
    other.load_state_dict(layer.state_dict())
    assert torch.equal(other(features(), EDGES), layer(features(), EDGES))
    assert repr(layer).startswith("BinaryGCNConv(5, 3, ")
    assert "output_scale=True" in repr(layer)
