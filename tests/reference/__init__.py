"""Slow, obvious NumPy twins of the core, for tests and for reading.

They round where the core rounds: :func:`project` returns the same bits as :func:`qpsbgd.project`.
Plain loops stand for everything that the core vectorises. ``reference.models`` and
``reference.tabu`` are twins of the binary quadratic models and of tabu search.
"""

from reference.objectives import (
    exhaustive,
    gradient_ising,
    multiply_add,
    projection_energy,
)
from reference.packed import multiply_packed
from reference.projections import products, project, project_products
from reference.samplers import anneal, anneal_bits, descend, lowest_states
from reference.streams import exponential
from reference.tempering import log_partition, log_weights, temper

__all__ = [
    "anneal",
    "anneal_bits",
    "descend",
    "exhaustive",
    "exponential",
    "gradient_ising",
    "log_partition",
    "log_weights",
    "lowest_states",
    "multiply_add",
    "multiply_packed",
    "products",
    "project",
    "project_products",
    "projection_energy",
    "temper",
]
