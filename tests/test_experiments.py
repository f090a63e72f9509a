"""Training loops of the paper's experiments."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("tqdm")

from networks import inputs_of, strengths
from qpsbgd.experiments import graphs, optimizers, rosenbrock
from qpsbgd.experiments.graphs import GraphEpoch, selected, train_graph, train_nodes
from qpsbgd.experiments.planetoid import CitationGraph
from qpsbgd.optim import QPSBGD, BinaryConnect
from qpsbgd.training.networks import BinaryGCN, BinaryMLP


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


def test_proxquants_strength_ends_at_what_the_options_say():
    """It grows from 0 by an equal part in each step."""
    model = BinaryMLP((4, 3, 2), kernel_quantizer=None)
    made = {
        0.3: optimizers.make_optimizer("ProxQuant", model, {"lr": 0.1, "strength": 0.3}, 8, seed=0),
        0.7: rosenbrock._baseline(
            "ProxQuant", {"lr": 0.1, "strength": 0.7}, torch.nn.Parameter(torch.ones(3)), 8
        ),
    }  # fmt: skip
    for strength, optimizer in made.items():
        assert strengths(optimizer, 8) == pytest.approx([strength * k / 8 for k in range(8)])
