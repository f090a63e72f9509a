"""What QP-SBGD is measured against: published ways to train binary weights, one file each.

They differ in the weights at which they want the gradient, and so in the layers they go with:

================  =========================  ===========================================
optimiser         ``kernel_quantizer``       the parameter holds
================  =========================  ===========================================
``BinaryConnect`` ``"ste_sign"`` (default)   the latent weight V
``SignSGD``       ``"ste_sign"`` (default)   the latent weight V
``Bop``           either                     the binary weight; there is no latent one
``ProxQuant``     ``None``                   the real weight V, ever nearer to +-1
``ProxConnect``   ``None``                   F(V); V itself is in the optimiser's state
================  =========================  ===========================================

After training, ``binarize(optimizer)`` makes the weights +-1 for good, and
``with binary_weights(optimizer):`` does it for an evaluation in between.
"""

from qpsbgd.optim.baselines.binaryconnect import BinaryConnect
from qpsbgd.optim.baselines.bop import Bop
from qpsbgd.optim.baselines.proxconnect import ProxConnect
from qpsbgd.optim.baselines.proxquant import ProxQuant
from qpsbgd.optim.baselines.signs import binarize, binary_weights
from qpsbgd.optim.baselines.signsgd import SignSGD

__all__ = [
    "BinaryConnect",
    "Bop",
    "ProxConnect",
    "ProxQuant",
    "SignSGD",
    "binarize",
    "binary_weights",
]
