"""Samplers for dimod's models, and batches of problems in one call."""

from qpsbgd.samplers.annealing import SimulatedAnnealingSampler
from qpsbgd.samplers.descent import SteepestDescentSampler
from qpsbgd.samplers.exhaustive import ExhaustiveSampler
from qpsbgd.samplers.paths import PathIntegralAnnealingSampler, RotorModelAnnealingSampler
from qpsbgd.samplers.tabu import TabuSampler
from qpsbgd.samplers.tempering import ParallelTemperingSampler

__all__ = [
    "ExhaustiveSampler",
    "ParallelTemperingSampler",
    "PathIntegralAnnealingSampler",
    "RotorModelAnnealingSampler",
    "SimulatedAnnealingSampler",
    "SteepestDescentSampler",
    "TabuSampler",
]
