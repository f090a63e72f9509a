"""Binary neural networks by projected gradients, and the solver behind them.

The functions and samplers here need NumPy and dimod alone. Layers are in :mod:`qpsbgd.nn` and the
optimiser in :mod:`qpsbgd.optim`; both import torch (``pip install qpsbgd[torch]``).
"""

import qpsbgd._interpreters  # noqa: F401 - raises before the core, whose import would hang
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
from qpsbgd.projection import (
    GradientBQMs,
    LayerProblem,
    NativeProjector,
    ProjectionOptions,
    Projector,
    SamplerProjector,
    StepProjector,
    gradient_bqms,
    gradient_ising,
    project,
    project_layers,
    projection_energy,
)
from qpsbgd.samplers import (
    ExhaustiveSampler,
    ParallelTemperingSampler,
    PathIntegralAnnealingSampler,
    RotorModelAnnealingSampler,
    SimulatedAnnealingSampler,
    SteepestDescentSampler,
    TabuSampler,
)
from qpsbgd.samplers.batch import BatchResult, LowRank, SparseBatch, sample_batch
from qpsbgd.samplers.call.sample_arrays import SampleArrays
from qpsbgd.samplers.partition import (
    LogPartition,
    UnreliableEstimateWarning,
    log_partition,
    log_partition_batch,
)

__all__ = [
    "BatchResult",
    "BudgetExceededError",
    "CallError",
    "ExhaustiveSampler",
    "GradientBQMs",
    "InvalidSampleSetError",
    "LayerProblem",
    "LogPartition",
    "LowRank",
    "MissingDataError",
    "NativeProjector",
    "ParallelTemperingSampler",
    "PathIntegralAnnealingSampler",
    "ProjectionOptions",
    "Projector",
    "QPSBGDError",
    "RotorModelAnnealingSampler",
    "SampleArrays",
    "SamplerProjector",
    "SimulatedAnnealingSampler",
    "SparseBatch",
    "SteepestDescentSampler",
    "StepProjector",
    "TabuSampler",
    "UnembeddableError",
    "UnreliableEstimateWarning",
    "UnsupportedInputsError",
    "__version__",
    "gradient_bqms",
    "gradient_ising",
    "log_partition",
    "log_partition_batch",
    "project",
    "project_layers",
    "projection_energy",
    "sample_batch",
]
