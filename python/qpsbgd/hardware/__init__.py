"""Projections on quantum annealers with :class:`DWaveProjector`, and estimates of their cost.

This package needs dwave-system (``pip install qpsbgd[dwave]``). The only other module that imports
dwave-system is ``qpsbgd.plugin.ising_layer``, which uses ``dwave.system.temperatures``.
"""

try:
    import dwave.system  # noqa: F401
    import filelock  # noqa: F401
    import minorminer  # noqa: F401
except ImportError as error:
    raise ImportError("qpsbgd.hardware needs dwave-system: pip install 'qpsbgd[dwave]'") from error

from qpsbgd.errors import BudgetExceededError, CallError, UnembeddableError
from qpsbgd.hardware.annealer.client import redact_client_logs
from qpsbgd.hardware.annealer.mock import mock_annealer
from qpsbgd.hardware.annealer.published import published_annealer
from qpsbgd.hardware.embedding import EmbeddingCache, Packing
from qpsbgd.hardware.planning import LayerPlan, Plan, plan, plan_for
from qpsbgd.hardware.projector import DWaveProjector
from qpsbgd.hardware.service.budget import Budget
from qpsbgd.hardware.shimming import shim_flux_biases

redact_client_logs()

__all__ = [
    "Budget",
    "BudgetExceededError",
    "CallError",
    "DWaveProjector",
    "EmbeddingCache",
    "LayerPlan",
    "Packing",
    "Plan",
    "UnembeddableError",
    "mock_annealer",
    "plan",
    "plan_for",
    "published_annealer",
    "shim_flux_biases",
]
