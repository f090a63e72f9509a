"""Training a binary graph network on a graph's nodes, full batch."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from qpsbgd.experiments.networks import BinaryGCN
from qpsbgd.experiments.planetoid import CitationGraph
from qpsbgd.optim import binary_weights

NUM_HIDDEN = 64
NUM_EPOCHS = 100


@dataclass(frozen=True)
class Task:
    """Nodes to classify.

    Attributes:
        features: ``(nodes, n)``.
        edges: int64 ``(2, E)``.
        labels: int64 ``(nodes,)``.
        train: bool ``(nodes,)``.
        validation: likewise; None where there are no such nodes.
        test: likewise; None where they must not be seen.
    """

    features: Tensor
    edges: Tensor
    labels: Tensor
    train: Tensor
    validation: Tensor | None
    test: Tensor | None


@dataclass(frozen=True)
class GraphEpoch:
    """One epoch; accuracies are 0 where a task has no such nodes.

    Attributes:
        loss: on the training nodes, before the step.
        validation_accuracy: after it.
        test_accuracy: after it.
        train_accuracy: after it.
    """

    loss: float
    validation_accuracy: float
    test_accuracy: float
    train_accuracy: float = 0.0


def train_graph(
    graph: CitationGraph,
    make_optimizer: Callable[[nn.Module], torch.optim.Optimizer],
    seed: int,
    num_epochs: int = NUM_EPOCHS,
) -> Iterator[GraphEpoch]:
    """:func:`train_nodes` of a citation graph, as plainly as can be."""
    return train_nodes(task_of(graph), make_optimizer, seed, num_epochs)


def train_nodes(
    task: Task,
    make_optimizer: Callable[[nn.Module], torch.optim.Optimizer],
    seed: int,
    num_epochs: int,
    *,
    kernel_quantizer: str | None = "ste_sign",
    dropout: float = 0.0,
    constant: bool = False,
) -> Iterator[GraphEpoch]:
    """Train a BinaryGCN, an epoch at a time, the learning rate falling along half a cosine.

    Args:
        task: graph and masks.
        make_optimizer: makes the optimiser of a model.
        seed: of the initial weights.
        num_epochs: steps, each on all training nodes.
        kernel_quantizer: of the layers.
        dropout: share of the features and hidden activations that is left out in training.
        constant: the learning rate does not fall.
    """
    torch.manual_seed(seed)
    num_classes = int(task.labels.max()) + 1
    model = BinaryGCN(task.features.shape[1], NUM_HIDDEN, num_classes, kernel_quantizer, dropout)
    optimizer = make_optimizer(model)
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=num_epochs)
    places = task.features.nonzero(as_tuple=True)
    for _ in range(num_epochs):
        model.train()
        optimizer.zero_grad()
        logits = model(thinned(task.features, places, dropout), task.edges)
        loss = nn.functional.cross_entropy(logits[task.train], task.labels[task.train])
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if not constant:
            falling.step()
        model.eval()
        with torch.no_grad(), binary_weights(optimizer):
            right = (model(task.features, task.edges).argmax(dim=1) == task.labels).double()
        validation, test, train = (
            0.0 if mask is None else float(right[mask].mean())
            for mask in (task.validation, task.test, task.train)
        )
        yield GraphEpoch(loss.item(), validation, test, train)


def task_of(graph: CitationGraph, with_test: bool = True) -> Task:
    """A citation graph's nodes, those of its test only where they are asked for."""
    return Task(
        scaled_features(graph),
        torch.from_numpy(graph.edge_index),
        torch.from_numpy(graph.labels),
        torch.from_numpy(graph.train_mask),
        torch.from_numpy(graph.validation_mask),
        torch.from_numpy(graph.test_mask) if with_test else None,
    )


def thinned(features: Tensor, places: tuple[Tensor, ...], share: float) -> Tensor:
    """Features with a share of them left out, as ``nn.functional.dropout`` does it.

    Args:
        features: ``(nodes, n)``.
        places: of those that are not 0. There are few, and a random number for each of the others
            takes longer than the rest of an epoch.
        share: 0 for all features as they are.
    """
    if share == 0:
        return features
    found = torch.zeros_like(features)
    found[places] = nn.functional.dropout(features[places], share)
    return found


def scaled_features(graph: CitationGraph) -> Tensor:
    """Features ``(nodes, n)``: rows of equal sum, then one scale for all."""
    sums = np.maximum(graph.features.sum(axis=1, keepdims=True), 1)
    features = torch.from_numpy(graph.features / sums)
    return features / features.std()


def selected(epochs: list[GraphEpoch]) -> GraphEpoch:
    """The (first) epoch with the best validation accuracy."""
    return max(epochs, key=lambda epoch: epoch.validation_accuracy)
