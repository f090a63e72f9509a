"""Layers with binary weights and sign activations, for torch."""

try:
    import torch  # noqa: F401
except ImportError as error:
    raise ImportError("qpsbgd.nn needs PyTorch: pip install 'qpsbgd[torch]'") from error

from qpsbgd.nn import functional
from qpsbgd.nn.activations import ApproxSign, Sign, SwishSign
from qpsbgd.nn.conv import BinaryConv1d, BinaryConv2d
from qpsbgd.nn.convert import ConvertReport, convert_to_binary
from qpsbgd.nn.gcn import BinaryGCNConv
from qpsbgd.nn.layers import BinaryLayer
from qpsbgd.nn.linear import BinaryLinear
from qpsbgd.nn.packed_weight import PackedWeight
from qpsbgd.nn.packing import PackReport, pack

__all__ = [
    "ApproxSign",
    "BinaryConv1d",
    "BinaryConv2d",
    "BinaryGCNConv",
    "BinaryLayer",
    "BinaryLinear",
    "ConvertReport",
    "PackReport",
    "PackedWeight",
    "Sign",
    "SwishSign",
    "convert_to_binary",
    "functional",
    "pack",
]
