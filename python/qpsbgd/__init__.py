"""Binary neural networks by projected gradients, and the solver behind them.

The functions here need NumPy alone. Layers are in :mod:`qpsbgd.nn` and the optimiser in
:mod:`qpsbgd.optim`; both import torch (``pip install qpsbgd[torch]``).
"""

from qpsbgd._core import __version__
from qpsbgd.projection import NativeProjector, Projector, gradient_qubo, project, projection_energy

__all__ = [
    "NativeProjector",
    "Projector",
    "__version__",
    "gradient_qubo",
    "project",
    "projection_energy",
]
