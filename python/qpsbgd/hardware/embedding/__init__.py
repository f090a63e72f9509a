"""Embeddings of source graphs in the working graphs of D-Wave's annealers.

This package knows graphs only: nothing of neurons, budgets or calls.
"""

from qpsbgd.hardware.embedding.cache import EmbeddingCache
from qpsbgd.hardware.embedding.cliques import pack_cliques
from qpsbgd.hardware.embedding.copies import Packing, check_packing, pack_graph
from qpsbgd.hardware.embedding.lattices import graph_hash, ideal_graph, working_graph

__all__ = [
    "EmbeddingCache",
    "Packing",
    "check_packing",
    "graph_hash",
    "ideal_graph",
    "pack_cliques",
    "pack_graph",
    "working_graph",
]
