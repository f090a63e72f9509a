"""The QP-SBGD optimiser and its baselines, for torch."""

try:
    import torch  # noqa: F401
except ImportError as error:
    raise ImportError("qpsbgd.optim needs PyTorch: pip install 'qpsbgd[torch]'") from error

from qpsbgd.optim.baselines import (
    BinaryConnect,
    Bop,
    ProxConnect,
    ProxQuant,
    SignSGD,
    binarize_weights_of,
    binary_weights_of,
)
from qpsbgd.optim.claims import release
from qpsbgd.optim.joined import JoinedOptimizer
from qpsbgd.optim.optimizer import QPSBGD
from qpsbgd.optim.real_parameters import split_parameters
from qpsbgd.optim.recalibrate import recalibrate
from qpsbgd.optim.stats import LayerStep

__all__ = [
    "QPSBGD",
    "BinaryConnect",
    "Bop",
    "JoinedOptimizer",
    "LayerStep",
    "ProxConnect",
    "ProxQuant",
    "SignSGD",
    "binarize_weights_of",
    "binary_weights_of",
    "recalibrate",
    "release",
    "split_parameters",
]
