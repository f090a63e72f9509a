"""Networks and training loops behind the command line and the benchmarks."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("tqdm")

from qpsbgd.experiments import graphs, rosenbrock
from qpsbgd.experiments.graphs import GraphEpoch, selected, train_graph, train_nodes
from qpsbgd.experiments.planetoid import CitationGraph
from qpsbgd.nn.layers import binary_layers
from qpsbgd.optim import QPSBGD, BinaryConnect
from qpsbgd.training import loop as training
from qpsbgd.training import optimizers
from qpsbgd.training.networks import BinaryCNN, BinaryGCN, BinaryMLP


@pytest.mark.parametrize(
    ("make", "sizes", "shapes"),
    [
        (BinaryMLP, (64, 16, 10), [(16, 64), (10, 16)]),
        (BinaryCNN, (64, 4, 8, 10), [(4, 1, 3, 3), (8, 4, 3, 3), (10, 8 * 4 * 4)]),
        (BinaryCNN, (784, 4, 8, 10), [(4, 1, 3, 3), (8, 4, 3, 3), (10, 8 * 7 * 7)]),
    ],
)
def test_networks_are_binary_throughout(make, sizes, shapes):
    net = make(sizes)
    layers = [layer for _, layer in binary_layers(net)]
    assert [tuple(layer.weight.shape) for layer in layers] == shapes
    assert sum(1 for _ in net.parameters()) == len(layers)
    logits = net(torch.randn(5, sizes[0]))
    assert logits.shape == (5, sizes[-1])
    logits.sum().backward()
    assert all(layer.weight.grad.any() for layer in layers)
    assert not list(binary_layers(make(sizes, kernel_quantizer=None)))


def test_images_must_be_square():
    with pytest.raises(ValueError, match="num_pixels is 50, but must be a square"):
        BinaryCNN((50, 4, 10))


def two_communities(rng, size=60):
    """Nodes of two classes, which mostly cite their own, with noisy features."""
    labels = np.arange(size) % 2
    pairs = [
        (i, j) for i in range(size) for j in range(i) if (i + j) % 2 == 0 or rng.random() < 0.1
    ]
    edges = np.array([pair for i, j in pairs if rng.random() < 0.2 for pair in ((i, j), (j, i))]).T
    features = rng.random((size, 20)).astype(np.float32)
    features[labels == 1, :10] += 0.5
    nodes = rng.permutation(size)
    masks = np.zeros((3, size), bool)
    for mask, part in zip(masks, np.split(nodes, [20, 40]), strict=True):
        mask[part] = True
    return CitationGraph("cora", features, labels, edges, *masks)


@pytest.mark.parametrize(
    "make_optimizer",
    [
        lambda model: QPSBGD(model, lr=0.03, momentum=0.9),
        lambda model: BinaryConnect(model.parameters(), lr=0.01),
    ],
    ids=["qpsbgd", "binaryconnect"],
)
def test_a_graph_network_learns(rng, make_optimizer):
    epochs = list(train_graph(two_communities(rng), make_optimizer, seed=0, num_epochs=30))
    assert len(epochs) == 30
    assert epochs[-1].loss < epochs[0].loss
    assert selected(epochs).test_accuracy > 0.8


def test_the_epoch_selected_is_the_first_of_the_best_validation():
    epochs = [GraphEpoch(1.0, 0.5, 0.9), GraphEpoch(0.9, 0.7, 0.6), GraphEpoch(0.8, 0.7, 0.8)]
    assert selected(epochs) is epochs[1]


def test_hidden_units_are_standardised_over_nodes():
    net = BinaryGCN(4, 8, 3)
    x, edges = torch.randn(6, 4), torch.tensor([[0, 1, 2], [1, 2, 3]])
    plain = net(x, edges)
    assert plain.shape == (6, 3)
    torch.testing.assert_close(net(3 * x, edges), plain)


def inputs_of(monkeypatch, kind):
    """What models of a class get in training from now on."""
    found, forward = [], kind.forward

    def recorded(self, x, *args):
        if torch.is_grad_enabled():
            found.append(x.clone())
        return forward(self, x, *args)

    monkeypatch.setattr(kind, "forward", recorded)
    return found


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_features_of_a_graph_are_left_out_anew_in_each_epoch(rng, monkeypatch, dropout):
    task = graphs.task_of(two_communities(rng))
    seen = inputs_of(monkeypatch, BinaryGCN)
    epochs = train_nodes(
        task, lambda model: BinaryConnect(model.parameters(), lr=0.01), 0, 3, dropout=dropout
    )
    assert len(list(epochs)) == len(seen) == 3
    if dropout == 0.0:
        assert all(torch.equal(features, task.features) for features in seen)
        return
    for features in seen:
        left = features != 0
        assert torch.equal(features[left], 2 * task.features[left])
        # Of 1200 features, at three standard deviations.
        assert abs(left.double().mean().item() - 0.5) < 3 * 0.5 / 1200**0.5
    assert not torch.equal(seen[0], seen[1])


@pytest.mark.parametrize("shift", [0, 1])
def test_images_are_shifted_in_training_alone(tmp_path, monkeypatch, shift):
    config = training.Config("digits", epochs=1, network="small", shift=shift, batch_size=500)
    run = training.Run(config, tmp_path / "run")
    seen = inputs_of(monkeypatch, type(run.model))
    run.train()
    rows = {row.tobytes() for row in run.data.train_inputs}
    are_originals = [row.tobytes() in rows for row in torch.cat(seen).numpy()]
    assert len(are_originals) == len(run.data.train_inputs)
    # One shift of nine leaves an image where it is; three standard deviations of 1437.
    share = np.mean(are_originals)
    assert share == 1.0 if shift == 0 else abs(share - 1 / 9) < 3 * (8 / 81 / 1437) ** 0.5 + 0.01


def test_proxquants_strength_ends_at_what_the_options_say():
    """It grows from 0 by an equal part in each step."""
    model = BinaryMLP((4, 3, 2), kernel_quantizer=None)
    config = training.Config("digits", optimizer="proxquant")
    made = {
        0.1: training.make_optimizer(config, model, 8, None),
        0.3: optimizers.make_optimizer("ProxQuant", model, {"lr": 0.1, "strength": 0.3}, 8, seed=0),
        0.7: rosenbrock._baseline(
            "ProxQuant", {"lr": 0.1, "strength": 0.7}, torch.nn.Parameter(torch.ones(3)), 8
        ),
    }  # fmt: skip
    for strength, optimizer in made.items():
        for group in optimizer.param_groups:
            for weight in group["params"]:
                weight.grad = torch.zeros_like(weight)
        for step in range(8):
            (group,) = optimizer.param_groups
            assert group["strength"] == pytest.approx(strength * step / 8)
            optimizer.step()
