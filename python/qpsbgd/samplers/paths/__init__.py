"""Samplers with a transverse field: path-integral annealing and a rotor model."""

from qpsbgd.samplers.paths.path_integral import PathIntegralAnnealingSampler
from qpsbgd.samplers.paths.rotor_model import RotorModelAnnealingSampler

__all__ = ["PathIntegralAnnealingSampler", "RotorModelAnnealingSampler"]
