"""Projections of a step whose samples are divided over the ranks of a process group.

Every rank has some samples of a layer: inputs ``(N_rank, n)`` and targets ``(N_rank, m)``. The
layer's binary problems are those of all samples, joined in the order of the ranks. Each rank solves
its share of the ``m`` rows and receives the answers of the other ranks. The ranks exchange, for
each layer, whichever needs fewer bytes:

* ``"gather"``: every rank receives all inputs, and the targets of its own rows. The answer equals
  that of :func:`qpsbgd.project` for the joined samples bit for bit, however they are divided.
* ``"gram"``, for the quadratic objective only: the ranks sum X^T X and T^T X in float64, and pose
  the problems from the sums. For integral data, sums below 2^53 are
  exact, so the answer depends on the joined samples alone, bit for bit. For other data, the last
  bits of a sum depend on how the samples are divided. The core rounds the sums to float32 before
  it decides on a variable, which hides the difference except in about one of 10^7 numbers. The
  answer is therefore almost surely the same, without a guarantee. Compared with ``"gather"`` the
  problems differ by rounding to float32, so very close decisions may differ.

The forward and backward passes that make X and T are not part of this: a matrix product over half
a batch may round differently from one over the whole batch. A common factor of T on all ranks, as
between a mean over a rank's samples and a mean over all, does not matter, because each row is
divided by its mean |t|. If the factor is a power of two, it changes no bit.
"""

from qpsbgd.optim.distributed.collectives import Ranks, check_same
from qpsbgd.optim.distributed.pooling import Exchange
from qpsbgd.optim.distributed.shards import Gradient, Shard, project_shards

__all__ = ["Exchange", "Gradient", "Ranks", "Shard", "check_same", "project_shards"]
