"""The QP-SBGD optimiser and its baselines, for torch."""

from qpsbgd.optim.baselines import BinaryConnect, SignSGD
from qpsbgd.optim.parameters import split_parameters
from qpsbgd.optim.qpsbgd import QPSBGD
from qpsbgd.optim.stats import LayerStep

__all__ = ["QPSBGD", "BinaryConnect", "LayerStep", "SignSGD", "split_parameters"]
