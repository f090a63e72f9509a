"""Partition functions of one model, or of many problems that share their couplings."""

from qpsbgd.samplers.partition.estimates import LogPartition, UnreliableEstimateWarning
from qpsbgd.samplers.partition.importance_sampling import log_partition, log_partition_batch

__all__ = ["LogPartition", "UnreliableEstimateWarning", "log_partition", "log_partition_batch"]
