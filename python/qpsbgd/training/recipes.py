"""Network, batch size and learning rates for each data set, and the names of what there is."""

from dataclasses import dataclass, replace
from typing import Literal

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
NetworkName = Literal["mlp", "small", "cnn"]


@dataclass(frozen=True)
class Recipe:
    """What is fixed for a data set and a network; evidence in docs/defaults.md.

    Attributes:
        sizes: of the hidden layers, or channels of the convolutions.
        batch_size: where none is asked for.
        scale: of the quadratic objective, where none is asked for.
        lr: by optimiser, where none is asked for: the best of a grid, or one that ties with it.
    """

    sizes: tuple[int, ...]
    batch_size: int
    scale: float
    lr: dict[str, float]


#: By data set and network.
RECIPES: dict[tuple[str, NetworkName], Recipe] = {
    ("digits", "mlp"): Recipe(
        sizes=(128, 128),
        batch_size=50,
        scale=1.0,
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
        scale=1.0,
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
        scale=0.3,
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
        scale=1.0,
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
# The rates of mlp, not searched for anew.
RECIPES.update(
    {
        (dataset, "small"): replace(RECIPES[dataset, "mlp"], sizes=(16, 16))
        for dataset in ("digits", "mnist5k")
    }
)
