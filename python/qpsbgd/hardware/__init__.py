"""Quantum annealers in the place of the native solver: :class:`DWaveProjector`, and what it costs.

Needs dwave-system (``pip install qpsbgd[dwave]``); nothing else of this package imports it.
"""

try:
    import dwave.system  # noqa: F401
    import minorminer  # noqa: F401
except ImportError as error:
    raise ImportError("qpsbgd.hardware needs dwave-system: pip install 'qpsbgd[dwave]'") from error

from qpsbgd.hardware.budget import Budget, QPUBudgetExceeded
from qpsbgd.hardware.cache import EmbeddingCache
from qpsbgd.hardware.calls import CallFailed
from qpsbgd.hardware.embedding import Packing, UnembeddableError
from qpsbgd.hardware.mock import mock_annealer
from qpsbgd.hardware.plan import LayerPlan, Plan, plan
from qpsbgd.hardware.projector import DWaveProjector
from qpsbgd.hardware.redact import redact_client_logs

redact_client_logs()

__all__ = [
    "Budget",
    "CallFailed",
    "DWaveProjector",
    "EmbeddingCache",
    "LayerPlan",
    "Packing",
    "Plan",
    "QPUBudgetExceeded",
    "UnembeddableError",
    "mock_annealer",
    "plan",
]
