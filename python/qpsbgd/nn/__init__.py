"""Layers with binary weights, for torch."""

from qpsbgd.nn import functional
from qpsbgd.nn.conv import BinaryConv1d, BinaryConv2d
from qpsbgd.nn.convert import convert_to_binary
from qpsbgd.nn.gcn import BinaryGCNConv
from qpsbgd.nn.linear import BinaryLinear
from qpsbgd.nn.packing import PackedModel, PackedWeight, pack

__all__ = [
    "BinaryConv1d",
    "BinaryConv2d",
    "BinaryGCNConv",
    "BinaryLinear",
    "PackedModel",
    "PackedWeight",
    "convert_to_binary",
    "functional",
    "pack",
]
