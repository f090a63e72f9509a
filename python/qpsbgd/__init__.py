"""Binary neural networks by projected gradients, and the solver behind them.

The functions and samplers here need NumPy and dimod alone. Layers are in :mod:`qpsbgd.nn` and the
optimiser in :mod:`qpsbgd.optim`; both import torch (``pip install qpsbgd[torch]``).
"""

from qpsbgd._core import __version__
from qpsbgd.errors import (
    BudgetExceededError,
    CallError,
    InvalidSampleSetError,
    MissingDataError,
    QPSBGDError,
    UnembeddableError,
    UnsupportedInputsError,
)
from qpsbgd.projection.layers import (
    LayerProblem,
    NativeProjector,
    Projector,
    StepProjector,
    gradient_qubo,
    project,
    projection_energy,
)
from qpsbgd.projection.models import GradientBQMs, gradient_bqms
from qpsbgd.projection.sampler_projector import SamplerProjector
from qpsbgd.samplers import (
    ExhaustiveSampler,
    SimulatedAnnealingSampler,
    SteepestDescentSampler,
    TabuSampler,
)
from qpsbgd.samplers.batch import BatchResult, LowRank, SparseBatch, sample_batch

__all__ = [
    "BatchResult",
    "BudgetExceededError",
    "CallError",
    "ExhaustiveSampler",
    "GradientBQMs",
    "InvalidSampleSetError",
    "LayerProblem",
    "LowRank",
    "MissingDataError",
    "NativeProjector",
    "Projector",
    "QPSBGDError",
    "SamplerProjector",
    "SimulatedAnnealingSampler",
    "SparseBatch",
    "SteepestDescentSampler",
    "StepProjector",
    "TabuSampler",
    "UnembeddableError",
    "UnsupportedInputsError",
    "__version__",
    "gradient_bqms",
    "gradient_qubo",
    "project",
    "projection_energy",
    "sample_batch",
]
