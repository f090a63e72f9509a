"""Training a binary graph network on a graph's nodes, full batch."""

import functools
import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor, nn

from qpsbgd.experiments import optimizers, planetoid
from qpsbgd.experiments.cosines import FirstLayer
from qpsbgd.experiments.karate import Club
from qpsbgd.experiments.planetoid import CitationGraph
from qpsbgd.optim import QPSBGD, binary_weights
from qpsbgd.training.networks import BinaryGCN

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


def train_method(
    task: Task,
    method: str,
    options: Mapping[str, Any],
    seed: int,
    num_epochs: int,
    *,
    number: int = 0,
    dropout: float = 0.0,
    constant: bool = False,
    measured: bool = False,
) -> tuple[list[GraphEpoch], FirstLayer]:
    """A run of :func:`train_nodes` with one of the paper's optimisers, and what was measured in it.

    Args:
        task: graph and masks.
        method: see :func:`~qpsbgd.experiments.optimizers.make_optimizer`.
        options: of the optimiser.
        seed: of weights and projections.
        num_epochs: steps.
        number: of the run among those of one seed: its weights are others.
        dropout: see :func:`train_nodes`.
        constant: the learning rate does not fall, and ProxQuant has the published lambda.
        measured: whether QP-SBGD's first layer is.
    """
    layer = FirstLayer()

    def optimizer_of(model: nn.Module) -> torch.optim.Optimizer:
        optimizer = optimizers.make_optimizer(method, model, options, num_epochs, seed=seed)
        if isinstance(optimizer, QPSBGD) and measured:
            layer.watch(optimizer)
        if method == "ProxQuant" and constant:
            # NOTES: an epoch is a step here. Lambda was published for two epochs of 32 steps; that
            # it grows for hundreds is taken from its formula all the same, for want of another.
            epoch = itertools.count()
            optimizer.register_step_pre_hook(
                lambda *args: optimizers.use_published_lambda(optimizer, next(epoch))
            )
        return optimizer

    epochs = train_nodes(
        task,
        optimizer_of,
        seed + 10_000 * number,
        num_epochs,
        kernel_quantizer=optimizers.kernel_quantizer(method),
        dropout=dropout,
        constant=constant,
    )
    return list(epochs), layer


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


def club_task(club: Club) -> Task:
    """A club, whose nodes are tested but for those trained on; a node's feature is itself."""
    features = torch.eye(len(club.labels))
    train = torch.from_numpy(club.train_mask)
    return Task(
        features / features.std(),
        torch.from_numpy(club.edge_index.copy()),
        torch.from_numpy(club.labels),
        train,
        None,
        ~train,
    )


@functools.lru_cache(maxsize=2)
def citation_task(graph: str, folder: Path | None, with_test: bool) -> Task:
    """One of Planetoid's; its test nodes only where they are asked for."""
    (name,) = (name for name in get_args(planetoid.Name) if name == graph)
    return task_of(planetoid.load(name), with_test)


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
