"""Recipes: network sizes, batch size and learning rates for each data set and network."""

from dataclasses import dataclass, replace
from typing import Literal

DatasetName = Literal["digits", "mnist5k"]
NetworkName = Literal["mlp", "small", "cnn"]
OptimizerName = Literal[
    "qpsbgd",
    "binaryconnect",
    "binaryconnect-sgd",
    "signsgd",
    "signum",
    "proxquant",
    "bop",
    "proxconnect",
]


@dataclass(frozen=True)
class Recipe:
    """Values that a run uses if its caller names none; docs/defaults.md has the evidence.

    Attributes:
        sizes: sizes of the hidden layers, or channels of the convolutions.
        batch_size: images in a batch.
        lr: learning rate of each optimiser: the best of a grid, or one that ties with it.
    """

    sizes: tuple[int, ...]
    batch_size: int
    lr: dict[str, float]


#: Recipes by data set and network.
RECIPES: dict[tuple[str, str], Recipe] = {
    ("digits", "mlp"): Recipe(
        sizes=(128, 128),
        batch_size=50,
        lr={
            "qpsbgd": 0.01,
            "binaryconnect": 0.01,
            "binaryconnect-sgd": 0.03,
            "signsgd": 0.03,
            "signum": 0.01,
            "proxquant": 1.0,
            "bop": 1e-4,
            "proxconnect": 0.01,
        },
    ),
    ("mnist5k", "mlp"): Recipe(
        sizes=(256, 256),
        batch_size=100,
        lr={
            "qpsbgd": 0.01,
            "binaryconnect": 0.003,
            "binaryconnect-sgd": 0.03,
            "signsgd": 0.003,
            "signum": 0.001,
            "proxquant": 1.0,
            "bop": 3e-4,
            "proxconnect": 0.01,
        },
    ),
    ("digits", "cnn"): Recipe(
        sizes=(16, 32),
        batch_size=50,
        lr={
            "qpsbgd": 0.003,
            "binaryconnect": 0.003,
            "binaryconnect-sgd": 0.3,
            "signsgd": 0.003,
            "signum": 0.001,
            "proxquant": 3.0,
            "bop": 1e-3,
            "proxconnect": 0.01,
        },
    ),
    ("mnist5k", "cnn"): Recipe(
        sizes=(16, 32),
        batch_size=100,
        lr={
            "qpsbgd": 0.003,
            "binaryconnect": 0.003,
            "binaryconnect-sgd": 0.3,
            "signsgd": 0.01,
            "signum": 0.003,
            "proxquant": 3.0,
            "bop": 1e-3,
            "proxconnect": 0.003,
        },
    ),
}
# NOTES: "small" uses the rates of "mlp", without a grid search of its own.
RECIPES.update(
    {
        (dataset, "small"): replace(RECIPES[dataset, "mlp"], sizes=(16, 16))
        for dataset in ("digits", "mnist5k")
    }
)
#: Learning rates for comparisons by data set and network. ``python -m bench.tasks digits
#: --rate-seeds 10 --rates-only`` chose them with validation images, from one grid.
COMPARED_RATES: dict[tuple[str, str], dict[OptimizerName, float]] = {
    ("digits", "mlp"): {"qpsbgd": 0.01, "binaryconnect": 0.03, "signum": 0.001},
}
