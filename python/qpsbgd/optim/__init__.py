"""The QP-SBGD optimiser and its baselines, for torch."""

from qpsbgd.optim.baselines import BinaryConnect, SignSGD
from qpsbgd.optim.qpsbgd import QPSBGD

__all__ = ["QPSBGD", "BinaryConnect", "SignSGD"]
