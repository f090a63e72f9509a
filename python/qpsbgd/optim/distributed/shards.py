"""One step of all layers on all ranks: from each rank's samples to the layers' binary gradients."""

import functools
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from qpsbgd import _core
from qpsbgd._checks.choices import checked_choice
from qpsbgd._checks.layer_arrays import checked_layer
from qpsbgd._checks.numbers import checked_threads
from qpsbgd.optim.distributed.collectives import Ranks
from qpsbgd.optim.distributed.pooling import (
    Exchange,
    ProductPool,
    SamplePool,
    even_shares,
    should_sum_products,
)
from qpsbgd.optim.distributed.scale_comparison import compare_scales
from qpsbgd.optim.step.scale import ScaleComparison
from qpsbgd.projection.options import ProjectionOptions
from qpsbgd.projection.projectors import Projector, as_native, check_binary

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup

    from qpsbgd._checks.layer_arrays import ArrayLike


@dataclass(frozen=True)
class Shard:
    """One layer of a step: options that all ranks share, and the samples of this rank.

    Attributes:
        name: name of the layer, for error messages.
        shape: ``(m, n)`` of the weight.
        samples: returns this rank's X ``(N_rank, n)`` and T ``(N_rank, m)``, float32 on the CPU;
            None if no gradient reached the layer on this rank. :func:`project_shards` makes the
            call, so that an error in it ends the step on every rank.
        options: options of the projection.
        agreed: further values that must be equal on all ranks, such as the learning rate.
        comparison: comparison of scales that comes before the projection. It then has the results
            of all shards that share it. None for no comparison.
        takes_part: whether this shard has a part in the comparison. The scale of the projection is
            the best one after the comparison in either case.

    Example:
        >>> import numpy as np
        >>> from qpsbgd import ProjectionOptions
        >>> from qpsbgd.optim.distributed import Shard
        >>> X, T = np.ones((2, 3), np.float32), np.ones((2, 1), np.float32)
        >>> shard = Shard("first", (1, 3), lambda: (X, T), ProjectionOptions(seed=0))
    """

    name: str
    shape: tuple[int, int]
    samples: "Callable[[], tuple[ArrayLike, ArrayLike]] | None"
    options: ProjectionOptions
    agreed: tuple[Any, ...] = ()
    comparison: ScaleComparison | None = None
    takes_part: bool = False

    def final_options(self) -> ProjectionOptions:
        """Return the options of the projection, after the comparison of scales."""
        if self.comparison is None:
            return self.options
        return replace(self.options, scale=self.comparison.scores.best)


class Gradient(NamedTuple):
    """Binary gradient of a layer.

    Attributes:
        binary: int8 ``(m, n)`` of -1 and +1.
        reached: bool ``(m,)``; whether a neuron has a target other than 0 on any rank.
        seen: bool ``(n,)``; whether an input is other than 0 in a sample of any rank.
    """

    binary: npt.NDArray[np.int8]
    reached: npt.NDArray[np.bool_]
    seen: npt.NDArray[np.bool_]


def project_shards(
    shards: Sequence[Shard],
    projector: Projector,
    group: "ProcessGroup | None" = None,
    *,
    exchange: Exchange = "auto",
) -> list[Gradient | None]:
    """Return the binary gradients of a step's layers, whose samples are divided over ranks.

    Every rank must call this function with the same layers. The layers go through the step
    together, in four rounds of messages, with one exchange of samples or products for each layer.
    Comparisons of scales take another round, with an exchange of their samples for each layer.

    If a rank fails, for example because its samples contain NaN, all ranks raise an error. If a
    rank dies, torch raises an error on the others.

    :class:`~qpsbgd.NativeProjector` runs on all ranks. Any other projector runs on the first rank,
    which receives all samples.

    Args:
        shards: one :class:`Shard` per layer.
        projector: solver of the binary problems.
        group: process group that can exchange CPU tensors (gloo); None for the default group, or
            for this process alone if there is no default group.
        exchange: ``"gather"``, ``"gram"``, or ``"auto"`` for the one that needs fewer bytes. The
            sign objective, and projectors other than the native one, always use ``"gather"``.

    Returns:
        The gradient of each layer, which is the same on all ranks; None if no rank has samples.

    Raises:
        ValueError: the samples or options of this rank are invalid.
        RuntimeError: another error on this rank; an error on another rank, with the names of the
            rank and the layer; layers or options that differ between ranks; or torch's error if a
            rank has died.

    Example:
        >>> import numpy as np
        >>> from qpsbgd import NativeProjector, ProjectionOptions
        >>> from qpsbgd.optim.distributed import Shard, project_shards
        >>> X, T = np.ones((2, 3), np.float32), np.ones((2, 1), np.float32)
        >>> shard = Shard("first", (1, 3), lambda: (X, T), ProjectionOptions(seed=0))
        >>> [gradient] = project_shards([shard], NativeProjector(), exchange="gram")
        >>> gradient.binary.tolist(), gradient.reached.tolist(), gradient.seen.tolist()
        ([[1, 1, 1]], [True], [True, True, True])
    """
    checked_choice("exchange", exchange, get_args(Exchange))
    ranks = Ranks(group)
    layers = [RankSamples(shard, projector, exchange) for shard in shards]
    descriptions = ranks.gather(layers, RankSamples.describe)
    solvers = [
        layer.make_solver(from_ranks, ranks)
        for layer, from_ranks in zip(layers, descriptions, strict=True)
    ]
    compare_scales(layers, [[each.num_samples for each in known] for known in descriptions], ranks)
    reached = [solver for solver in solvers if solver is not None]
    ranks.gather(reached, lambda solver: solver.pool.pack())
    for solver in reached:
        solver.pool.exchange(ranks)
    norms = ranks.gather(reached, _LayerSolver.pose)
    for solver, parts in zip(reached, norms, strict=True):
        solver.norms = np.concatenate(parts)
    answers = iter(ranks.gather(reached, _LayerSolver.solve))
    return [None if solver is None else solver.join(next(answers)) for solver in solvers]


class _Description(NamedTuple):
    """Message about one layer from one rank to all ranks.

    Attributes:
        digest: hash of everything that must be equal on all ranks.
        num_samples: number of samples on the rank.
        seen: bits of n booleans; whether an input is other than 0 in a sample of the rank.
    """

    digest: bytes
    num_samples: int
    seen: npt.NDArray[np.uint8]


class RankSamples:
    """One layer's samples on this rank, and the means to solve its problems."""

    def __init__(self, shard: Shard, projector: Projector, exchange: Exchange) -> None:
        self.name = shard.name
        self.shard = shard
        self.projector = projector
        self.exchange = exchange
        self.native = as_native(projector)
        self.core_options: dict[str, Any] = {}

    def describe(self) -> _Description:
        """Check the options, read the samples and return their description."""
        shard = self.shard
        if self.native is not None:
            self.core_options = self.native.core_options(shard.options)
        self.inputs, self.targets = _read_samples(shard)
        agreed = (
            shard.name, shard.shape, shard.options, self.core_options, self.exchange, shard.agreed,
            shard.comparison is not None and shard.comparison.scores, shard.takes_part,
        )  # fmt: skip
        digest = hashlib.blake2b(repr(agreed).encode(), digest_size=8).digest()
        return _Description(digest, len(self.inputs), np.packbits(self.inputs.any(axis=0)))

    def make_solver(self, descriptions: list[_Description], ranks: Ranks) -> "_LayerSolver | None":
        """Return this rank's solver of the layer's problems; None if no rank has samples.

        Raises:
            RuntimeError: the descriptions disagree; then this happens on every rank.
        """
        if len({description.digest for description in descriptions}) > 1:
            raise RuntimeError(
                f"layer {self.name!r}: ranks differ in the layer's shape or options, but must be "
                "the same"
            )
        if not any(description.num_samples for description in descriptions):
            return None
        return _LayerSolver(self, descriptions, ranks)


class _LayerSolver:
    """Solver of one layer's problems on one rank.

    Attributes:
        name: name of the layer.
        pool: samples or products of all ranks.
        norms: norms of all rows ``(m, 3)``, to be set to the results of :meth:`pose` on all ranks.
    """

    def __init__(self, layer: RankSamples, descriptions: list[_Description], ranks: Ranks) -> None:
        m, n = layer.shard.shape
        counts = [description.num_samples for description in descriptions]
        bits = functools.reduce(np.bitwise_or, [each.seen for each in descriptions])
        self.name = layer.name
        self.norms = np.empty((0, 3))
        self._layer = layer
        self._seen = np.unpackbits(bits, count=n).astype(np.bool_)
        self._rows = even_shares(m, ranks.count)
        if layer.native is None:  # the first rank solves all rows
            self._rows = [slice(0, m)] + [slice(0, 0)] * (ranks.count - 1)
        self.pool: SamplePool | ProductPool
        if (
            layer.native is not None
            and layer.shard.options.objective == "quadratic"
            and should_sum_products((m, n), sum(counts), ranks.count, layer.exchange)
        ):
            rows = self._rows[ranks.rank]
            self.pool = ProductPool(layer.inputs, layer.targets, sum(counts), rows)
        else:
            self.pool = SamplePool(layer.inputs, layer.targets, counts, self._rows, ranks.rank)
        self._problems: _core.SampleLayer | _core.GramLayer | None = None

    def pose(self) -> npt.NDArray[np.float64]:
        """Pose the problems of this rank's rows, and return the norms ``(rows, 3)`` for alpha."""
        native = self._layer.native
        if native is not None:
            self._problems = self.pool.make_problems(checked_threads(native.num_threads))
        return np.empty((0, 3)) if self._problems is None else self._problems.norms()

    def solve(self) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]:
        """Return the answers for this rank's rows as bits, and which rows have a target."""
        shard, options = self._layer.shard, self._layer.shard.final_options()
        binary = np.empty((0, shard.shape[1]), np.int8)
        if self._problems is not None:
            core_options = {**self._layer.core_options, "scale": options.scale}
            binary = self._problems.project(self.norms, **core_options)
        elif isinstance(self.pool, SamplePool) and (samples := self.pool.join()) is not None:
            binary = self._layer.projector(*samples, options)
            check_binary(binary, shard.shape)
        return np.packbits(binary > 0), self.pool.reached

    def join(self, answers: list[tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]]) -> Gradient:
        """Join the answers of all ranks."""
        n = len(self._seen)
        rows = []
        for (bits, _), share in zip(answers, self._rows, strict=True):
            num_rows = share.stop - share.start
            rows.append(np.unpackbits(bits, count=num_rows * n).reshape(num_rows, n))
        binary = 2 * np.concatenate(rows).view(np.int8) - np.int8(1)
        return Gradient(binary, np.concatenate([reached for _, reached in answers]), self._seen)


def _read_samples(shard: Shard) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    m, n = shard.shape
    empty = np.empty((0, n), np.float32), np.empty((0, m), np.float32)
    if shard.samples is None:
        return empty
    samples = shard.samples()
    if len(samples[0]) == len(samples[1]) == 0:  # an empty batch
        return empty
    inputs, targets = checked_layer(*samples)
    if (targets.shape[1], inputs.shape[1]) != shard.shape:
        raise ValueError(
            f"X has shape {inputs.shape} and T {targets.shape}, but must be (N, {n}) and (N, {m})"
        )
    return inputs, targets
