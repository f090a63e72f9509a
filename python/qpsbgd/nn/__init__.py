"""Layers with binary weights, for torch."""

from qpsbgd.nn import functional
from qpsbgd.nn.linear import BinaryLinear

__all__ = ["BinaryLinear", "functional"]
