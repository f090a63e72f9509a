"""Zachary's karate club as a task of node classification, and random clubs of its size.

Features are the identity, one node of each class is trained on, and no nodes are left for
validation: 34 nodes are too few. Options are tuned on random clubs instead, so that tuning sees no
label of the real one.
"""

from dataclasses import dataclass

import networkx
import numpy as np
import numpy.typing as npt

#: Usual labels: the communities of Brandes et al., which maximise the modularity.
LABELS = (
    *(1, 1, 1, 1, 3, 3, 3, 1, 0, 1, 3, 1, 1, 1, 0, 0, 3),
    *(1, 0, 1, 0, 1, 0, 0, 2, 2, 0, 0, 2, 0, 0, 2, 0, 0),
)
#: Friendships in the club.
NUM_EDGES = 78
#: Share of a random club's friendships that are within a class; its modularity is about 0.5.
SHARE_INSIDE = 0.75


@dataclass(frozen=True)
class Club:
    """A small graph.

    Attributes:
        labels: int64 ``(34,)``, 0 to 3.
        edge_index: int64 ``(2, E)``, both directions of each edge.
        train_mask: bool ``(34,)``, one node of each class. All other nodes are predicted.
    """

    labels: npt.NDArray[np.int64]
    edge_index: npt.NDArray[np.int64]
    train_mask: npt.NDArray[np.bool_]


def karate_club() -> Club:
    """Return networkx's club, unweighted, with the first node of each class for training."""
    labels = np.array(LABELS, np.int64)
    # PyTorch Geometric chooses the same training nodes.
    first = [int(np.argmax(labels == label)) for label in range(4)]
    edges = np.array(networkx.karate_club_graph().edges(), np.int64).T
    return _club(labels, edges, first)


def random_club(seed: int) -> Club:
    """Return a connected planted partition: 34 nodes, four classes of 8 or 9, about 78 edges."""
    rng = np.random.default_rng(seed)
    labels = np.sort(np.arange(len(LABELS)) % 4).astype(np.int64)
    pairs = np.array(np.triu_indices(len(labels), 1))
    inside = labels[pairs[0]] == labels[pairs[1]]
    probability = np.where(
        inside,
        NUM_EDGES * SHARE_INSIDE / inside.sum(),
        NUM_EDGES * (1 - SHARE_INSIDE) / (~inside).sum(),
    )
    while True:  # About every second graph is connected.
        edges = pairs[:, rng.random(len(inside)) < probability]
        graph = networkx.Graph()
        graph.add_nodes_from(range(len(labels)))
        graph.add_edges_from(edges.T.tolist())
        if networkx.is_connected(graph):
            break
    train = [int(rng.choice(np.flatnonzero(labels == label))) for label in range(4)]
    return _club(labels, edges, train)


def _club(labels: npt.NDArray[np.int64], edges: npt.NDArray[np.int64], train: list[int]) -> Club:
    mask = np.zeros(len(labels), np.bool_)
    mask[train] = True
    return Club(labels, np.concatenate([edges, edges[::-1]], axis=1), mask)
