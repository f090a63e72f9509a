"""Training a binary graph network on a citation graph, full batch."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from qpsbgd.experiments.networks import BinaryGCN
from qpsbgd.experiments.planetoid import CitationGraph

NUM_HIDDEN = 64
NUM_EPOCHS = 100


@dataclass(frozen=True)
class GraphEpoch:
    """One epoch.

    Attributes:
        loss: on the training nodes, before the step.
        validation_accuracy: after it.
        test_accuracy: after it.
    """

    loss: float
    validation_accuracy: float
    test_accuracy: float


def train_graph(
    graph: CitationGraph,
    make_optimizer: Callable[[nn.Module], torch.optim.Optimizer],
    seed: int,
    num_epochs: int = NUM_EPOCHS,
) -> Iterator[GraphEpoch]:
    """Train a BinaryGCN, an epoch at a time, the learning rate falling along half a cosine.

    Args:
        graph: with its split.
        make_optimizer: makes the optimiser of a model.
        seed: of the initial weights.
        num_epochs: steps, each on all training nodes.
    """
    torch.manual_seed(seed)
    features = scaled_features(graph)
    edges = torch.from_numpy(graph.edge_index)
    labels = torch.from_numpy(graph.labels)
    model = BinaryGCN(graph.features.shape[1], NUM_HIDDEN, graph.num_classes)
    optimizer = make_optimizer(model)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=num_epochs)
    train = torch.from_numpy(graph.train_mask)

    def accuracy(right: Tensor, mask: np.ndarray) -> float:
        return float(right[torch.from_numpy(mask)].double().mean())

    for _ in range(num_epochs):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(features, edges)[train], labels[train])
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        scheduler.step()
        with torch.no_grad():
            right = model(features, edges).argmax(dim=1) == labels
        yield GraphEpoch(
            loss.item(), accuracy(right, graph.validation_mask), accuracy(right, graph.test_mask)
        )


def scaled_features(graph: CitationGraph) -> Tensor:
    """Features ``(nodes, n)``: rows of equal sum, then one scale for all."""
    sums = np.maximum(graph.features.sum(axis=1, keepdims=True), 1)
    features = torch.from_numpy(graph.features / sums)
    return features / features.std()


def selected(epochs: list[GraphEpoch]) -> GraphEpoch:
    """The (first) epoch with the best validation accuracy."""
    return max(epochs, key=lambda epoch: epoch.validation_accuracy)
