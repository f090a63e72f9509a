"""Binary neural networks by projected gradients, and the solver behind them.

The functions and samplers here need NumPy and dimod alone. Layers are in :mod:`qpsbgd.nn` and the
optimiser in :mod:`qpsbgd.optim`; both import torch (``pip install qpsbgd[torch]``).
"""

from qpsbgd._core import __version__
from qpsbgd.answers import InvalidAnswer
from qpsbgd.batch import BatchResult, sample_batch
from qpsbgd.bqms import GradientBQMs, InexpressibleError, gradient_bqms
from qpsbgd.couplings import LowRank, SharedPattern
from qpsbgd.projection import (
    LayerProblem,
    NativeProjector,
    Projector,
    StepProjector,
    gradient_qubo,
    project,
    projection_energy,
)
from qpsbgd.sampler_projector import SamplerProjector
from qpsbgd.samplers import (
    ExhaustiveSampler,
    SimulatedAnnealingSampler,
    SteepestDescentSampler,
    TabuSampler,
)

__all__ = [
    "BatchResult",
    "ExhaustiveSampler",
    "GradientBQMs",
    "InexpressibleError",
    "InvalidAnswer",
    "LayerProblem",
    "LowRank",
    "NativeProjector",
    "Projector",
    "SamplerProjector",
    "SharedPattern",
    "SimulatedAnnealingSampler",
    "SteepestDescentSampler",
    "StepProjector",
    "TabuSampler",
    "__version__",
    "gradient_bqms",
    "gradient_qubo",
    "project",
    "projection_energy",
    "sample_batch",
]
