"""Comparison of scales of layers whose samples are divided over ranks."""

from typing import TYPE_CHECKING

import numpy as np

from qpsbgd._checks.numbers import checked_threads
from qpsbgd.optim.distributed.collectives import Ranks
from qpsbgd.optim.distributed.pooling import SamplePool
from qpsbgd.optim.step.scale import HeldOut, ScaleComparison

if TYPE_CHECKING:
    from qpsbgd.optim.distributed.shards import RankSamples


class ScalePart:
    """Part of one shard in a comparison of scales: its samples, all of which one rank receives."""

    def __init__(
        self, layer: "RankSamples", comparison: ScaleComparison, counts: list[int], rank: int
    ) -> None:
        self.name = layer.name
        self.comparison = comparison
        self._layer = layer
        ends = np.cumsum(counts)
        positions = comparison.positions(int(ends[-1]))
        self._counts = np.diff(np.searchsorted(positions, ends), prepend=0).tolist()
        end = int(ends[rank])
        own = positions[(positions >= end - counts[rank]) & (positions < end)]
        self._own = own - (end - counts[rank])
        self.has_samples = len(positions) > 0

    def exchange(self, ranks: Ranks, solver_rank: int) -> None:
        """Send the samples of all ranks to one rank."""
        rows = [
            slice(0, len(self.comparison.rows) if rank == solver_rank else 0)
            for rank in range(ranks.count)
        ]
        self._pool = SamplePool(
            self._layer.inputs[self._own],
            self._layer.targets[np.ix_(self._own, self.comparison.rows)],
            self._counts,
            rows,
            ranks.rank,
        )
        self._pool.pack()
        self._pool.exchange(ranks)

    def run(self) -> HeldOut | None:
        """Return the result of the comparison on the rank that has the samples."""
        samples = self._pool.join()
        if samples is None:
            return None
        options = self._layer.shard.options
        num_threads = checked_threads(getattr(self._layer.projector, "num_threads", None))
        return self.comparison.run(*samples, options, num_threads)


def compare_scales(layers: "list[RankSamples]", counts: list[list[int]], ranks: Ranks) -> None:
    """Compare the scales of the layers that are due for it, each on one rank.

    Args:
        layers: the layers of the step.
        counts: number of samples of each layer on each rank.
        ranks: the ranks.
    """
    parts = []
    for layer, layer_counts in zip(layers, counts, strict=True):
        comparison = layer.shard.comparison
        if comparison is not None and layer.shard.takes_part:
            part = ScalePart(layer, comparison, layer_counts, ranks.rank)
            if part.has_samples:
                parts.append(part)
    if not parts:
        return
    for index, part in enumerate(parts):
        part.exchange(ranks, index % ranks.count)
    for part, results in zip(parts, ranks.gather(parts, ScalePart.run), strict=True):
        (result,) = (each for each in results if each is not None)
        part.comparison.add(result)
