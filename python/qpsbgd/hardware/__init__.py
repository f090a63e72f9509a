"""Quantum annealers in the place of the native solver: :class:`DWaveProjector`, and what it costs.

Needs dwave-system (``pip install qpsbgd[dwave]``); nothing else of this package imports it.
"""

try:
    import dwave.system  # noqa: F401
    import minorminer  # noqa: F401
except ImportError as error:
    raise ImportError("qpsbgd.hardware needs dwave-system: pip install 'qpsbgd[dwave]'") from error

from qpsbgd.errors import BudgetExceededError, CallError, UnembeddableError
from qpsbgd.hardware.budget import Budget
from qpsbgd.hardware.cache import EmbeddingCache
from qpsbgd.hardware.embedding import Packing
from qpsbgd.hardware.mock import mock_annealer
from qpsbgd.hardware.plan import LayerPlan, Plan, plan
from qpsbgd.hardware.projector import DWaveProjector
from qpsbgd.hardware.redact import redact_client_logs

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
]
