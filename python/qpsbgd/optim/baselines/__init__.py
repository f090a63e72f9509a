"""Baselines for QP-SBGD: published methods that train binary weights, one file per paper.

The methods differ in the weights at which they need the gradient, and so in the layers that they
work with:

================  =========================  =================================================
optimiser         ``kernel_quantizer``       the parameter holds
================  =========================  =================================================
``BinaryConnect`` ``"ste_sign"`` (default)   the latent weight V
``SignSGD``       ``"ste_sign"`` (default)   the latent weight V
``Bop``           either                     the binary weight; there is no latent weight
``ProxQuant``     ``None``                   the real weight V, which approaches -1 or +1
``ProxConnect``   ``None``                   F(V); the optimiser's state holds V
================  =========================  =================================================

``binarize_weights_of(optimizer)`` makes the weights binary after training, and
``with binary_weights_of(optimizer):`` makes them binary for an evaluation during training.
"""

from qpsbgd.optim.baselines.binaryconnect import BinaryConnect
from qpsbgd.optim.baselines.bop import Bop
from qpsbgd.optim.baselines.proxconnect import ProxConnect
from qpsbgd.optim.baselines.proxquant import ProxQuant
from qpsbgd.optim.baselines.signs import binarize_weights_of, binary_weights_of
from qpsbgd.optim.baselines.signsgd import SignSGD

__all__ = [
    "BinaryConnect",
    "Bop",
    "ProxConnect",
    "ProxQuant",
    "SignSGD",
    "binarize_weights_of",
    "binary_weights_of",
]
