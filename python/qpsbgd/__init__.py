"""Binary neural networks by projected gradients, and the solver behind them.

The functions and samplers here need NumPy and dimod alone. Layers are in :mod:`qpsbgd.nn` and the
optimiser in :mod:`qpsbgd.optim`; both import torch (``pip install qpsbgd[torch]``).
"""

from qpsbgd._core import __version__
from qpsbgd.batch import BatchResult, sample_batch
from qpsbgd.couplings import LowRank, SharedPattern
from qpsbgd.projection import NativeProjector, Projector, gradient_qubo, project, projection_energy
from qpsbgd.samplers import (
    ExhaustiveSampler,
    SimulatedAnnealingSampler,
    SteepestDescentSampler,
    TabuSampler,
)

__all__ = [
    "BatchResult",
    "ExhaustiveSampler",
    "LowRank",
    "NativeProjector",
    "Projector",
    "SharedPattern",
    "SimulatedAnnealingSampler",
    "SteepestDescentSampler",
    "TabuSampler",
    "__version__",
    "gradient_qubo",
    "project",
    "projection_energy",
    "sample_batch",
]
