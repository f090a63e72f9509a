"""Layers with binary weights, for torch."""

from qpsbgd.nn import functional
from qpsbgd.nn.conv import BinaryConv1d, BinaryConv2d
from qpsbgd.nn.convert import convert_to_binary
from qpsbgd.nn.gcn import BinaryGCNConv
from qpsbgd.nn.linear import BinaryLinear

__all__ = [
    "BinaryConv1d",
    "BinaryConv2d",
    "BinaryGCNConv",
    "BinaryLinear",
    "convert_to_binary",
    "functional",
]
