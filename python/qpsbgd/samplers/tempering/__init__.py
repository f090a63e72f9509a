"""Parallel tempering: the sampler, its ladder of temperatures and its run in the core."""

from qpsbgd.samplers.tempering.parallel_tempering import ParallelTemperingSampler

__all__ = ["ParallelTemperingSampler"]
