"""dimod samplers: faster ones in the place of dwave-samplers'."""

from qpsbgd.samplers.annealing import SimulatedAnnealingSampler

__all__ = ["SimulatedAnnealingSampler"]
