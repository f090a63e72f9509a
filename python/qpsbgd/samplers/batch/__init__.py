"""Many problems of one size in one call: as arrays, or as dimod models."""

from qpsbgd.samplers.batch.batch_sampling import BatchResult, sample_batch
from qpsbgd.samplers.batch.dimod_models import sample_many
from qpsbgd.samplers.batch.low_rank import LowRank
from qpsbgd.samplers.batch.sparse import SparseBatch

__all__ = ["BatchResult", "LowRank", "SparseBatch", "sample_batch", "sample_many"]
