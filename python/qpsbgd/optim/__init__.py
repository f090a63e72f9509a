"""The QP-SBGD optimiser and its baselines, for torch."""

from qpsbgd.optim.baselines import (
    BinaryConnect,
    Bop,
    ProxConnect,
    ProxQuant,
    SignSGD,
    binarize,
    binary_weights,
)
from qpsbgd.optim.qpsbgd import QPSBGD

__all__ = [
    "QPSBGD",
    "BinaryConnect",
    "Bop",
    "ProxConnect",
    "ProxQuant",
    "SignSGD",
    "binarize",
    "binary_weights",
]
