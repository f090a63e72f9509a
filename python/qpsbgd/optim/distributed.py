"""A step's projections where the batch is divided over the ranks of a process group.

Every rank has some samples of a layer, X ``(N_rank, n)`` and T ``(N_rank, m)``; the layer's
problems are about all of them, joined in the order of the ranks. Each rank solves its share of the
``m`` rows and gets the answers of the others. What the ranks send each other for that is, layer by
layer, what is fewer bytes:

* ``"gather"``: X goes to every rank, and of T the columns of the rank's rows. The answer is bit for
  bit that of :func:`qpsbgd.project` for the joined X and T, however they were divided.
* ``"gram"``, for the quadratic objective: X^T X and T^T X are summed in float64, in the order of
  the ranks, and the problems are made of the sums. Of integral data sums below 2^53 are exact: then
  the answer is a matter of the joined samples alone, bit for bit. Of other data the last bits of a
  sum depend on how the samples were divided. They are rounded away, to float32, before a variable
  is decided on, but for about one number in 10^7; so the answer is almost surely the same, without
  a promise. The problems are those of ``"gather"`` but for the rounding of float32: of decisions
  that are as close as that, some fall otherwise.

X and T themselves are up to the forward and backward pass: a matrix product over half of a batch
may round otherwise than over all of it. A factor of T does not matter, such as that between the
mean of a loss over a rank's samples and over all, if it is the same on all ranks: rows count
relative to their mean |t|. It changes no bit if it is a power of two.
"""

import functools
import hashlib
import itertools
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias, get_args

import numpy as np
import numpy.typing as npt
import torch
import torch.distributed as dist

from qpsbgd import _core
from qpsbgd._checks import checked_choice, checked_layer, checked_threads
from qpsbgd.projection.options import ProjectionOptions
from qpsbgd.projection.projectors import NativeProjector, Projector, check_binary

if TYPE_CHECKING:
    from qpsbgd._checks import ArrayLike

Exchange = Literal["auto", "gather", "gram"]

Array: TypeAlias = npt.NDArray[Any]
#: What a rank sends to each rank, and what it gets from each.
Parts: TypeAlias = list[tuple[Array, ...]]
Received: TypeAlias = list[npt.NDArray[np.uint8]]
Samples: TypeAlias = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]


@dataclass(frozen=True)
class Shard:
    """One layer of a step: what all ranks know of it, and the samples that this one has.

    Attributes:
        name: for messages.
        shape: ``(m, n)`` of the weight.
        samples: gives this rank's X ``(N_rank, n)`` and T ``(N_rank, m)``, float32 on the CPU; None
            where no gradient reached the layer here. :func:`project_shards` calls it, so that what
            it raises ends the step on every rank.
        options: options of the projection, which must be the same on all ranks.
        agreed: whatever else must be the same everywhere, such as the learning rate.
    """

    name: str
    shape: tuple[int, int]
    samples: "Callable[[], tuple[ArrayLike, ArrayLike]] | None"
    options: ProjectionOptions
    agreed: tuple[Any, ...] = ()


class Gradient(NamedTuple):
    """A layer's binary gradient.

    Attributes:
        binary: int8 ``(m, n)`` of -1 and +1.
        reached: bool ``(m,)``; whether a neuron has a target other than 0 on any rank.
        seen: bool ``(n,)``; whether an input is other than 0 in a sample of any rank.
    """

    binary: npt.NDArray[np.int8]
    reached: npt.NDArray[np.bool_]
    seen: npt.NDArray[np.bool_]


def project_shards(
    layers: Sequence[Shard],
    projector: Projector,
    group: "dist.ProcessGroup | None" = None,
    *,
    exchange: Exchange = "auto",
) -> list[Gradient | None]:
    """Binary gradients of a step's layers, whose samples are divided over the ranks of a group.

    To be called on every rank, with the same layers. At most five exchanges a step, whatever the
    number of layers.

    A rank that fails, be it for a NaN in its samples, says so in the next exchange: all ranks
    raise. A rank that dies closes its connections, and torch raises on the others.
    :class:`~qpsbgd.NativeProjector` runs on all ranks, another projector on the first one, which
    gets all samples.

    Args:
        layers: one :class:`Shard` a layer.
        projector: solves the problems.
        group: of ranks that can exchange CPU tensors (gloo); None for the default group, or for
            this process alone if there is none.
        exchange: ``"gather"``, ``"gram"``, or ``"auto"`` for the one of fewer bytes. The sign
            objective, and projectors other than the native, are always gathered.

    Returns:
        For every layer its gradient, the same on all ranks; None where no rank has samples.

    Raises:
        ValueError: what a layer's samples or options are refused for, on the rank that has them.
        RuntimeError: another error of this rank, or one of another, naming rank and layer; ranks
            whose layers or options differ; or torch's, where a rank is gone.

    Example:
        >>> X, T = np.ones((2, 3), np.float32), np.ones((2, 1), np.float32)
        >>> layer = Shard("first", (1, 3), lambda: (X, T), ProjectionOptions(seed=0))
        >>> [gradient] = project_shards([layer], NativeProjector(), exchange="gram")
        >>> gradient.binary.tolist(), gradient.reached.tolist(), gradient.seen.tolist()
        ([[1, 1, 1]], [True], [True, True, True])
    """
    checked_choice("exchange", exchange, get_args(Exchange))
    ranks = _Ranks(group, [layer.name for layer in layers])
    return ranks.in_step([_solve(layer, projector, ranks, exchange) for layer in layers])


def check_same(weights: Sequence[torch.Tensor], group: dist.ProcessGroup | None = None) -> None:
    """Compare weights across ranks, by a hash; to be called on every rank.

    Raises:
        RuntimeError: on every rank, where they differ.
    """
    content = hashlib.blake2b(digest_size=16)
    for weight in weights:
        content.update(weight.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    own = torch.frombuffer(bytearray(content.digest()), dtype=torch.uint8)
    others = [torch.empty_like(own) for _ in range(dist.get_world_size(group))]
    dist.all_gather(others, own, group=group)
    if not all(torch.equal(own, other) for other in others):
        raise RuntimeError(
            "ranks have different binary weights, but must begin with the same: by one seed, a "
            "checkpoint, or DistributedDataParallel"
        )


#: A layer's way: it yields what it has for each rank, gets what each has for it, and so on.
Way: TypeAlias = Generator[Parts, Received, Any]


class _Ranks:
    """The ranks of a group, which leave an exchange with an error if one of them has one."""

    def __init__(self, group: "dist.ProcessGroup | None", names: list[str]) -> None:
        alone = group is None and not (dist.is_available() and dist.is_initialized())
        self._group = group
        self._names = names
        self.count = 1 if alone else dist.get_world_size(group)
        self.own = 0 if alone else dist.get_rank(group)

    def in_step(self, ways: list[Way]) -> list[Any]:
        """Go all layers' ways, their exchanges made together; return what they return."""
        results: list[Any] = [None] * len(ways)
        inbox: list[Received | None] = [None] * len(ways)
        going = list(range(len(ways)))
        while going:
            outbox: list[Received] = [[_joined(())] * self.count for _ in ways]
            still, error, layer = [], None, 0
            try:
                for layer in going:
                    try:
                        parts = ways[layer].send(inbox[layer])  # type: ignore[arg-type]
                    except StopIteration as end:
                        results[layer] = end.value
                    else:
                        outbox[layer] = [_joined(part) for part in parts]
                        still.append(layer)
            # A KeyboardInterrupt too: the others must not wait for this rank.
            except BaseException as caught:
                error = caught
            if still or error is not None:
                inbox = self._trade(outbox, error, layer)
            going = still
        return results

    def _trade(
        self, outbox: list[Received], error: BaseException | None, layer: int
    ) -> list[Received | None]:
        """Send every layer's part to each rank; first which layer failed, or what there is."""
        count = len(outbox)
        parts: Parts = []  # by rank: the lengths of the layers' parts, and these
        for row in zip(*outbox, strict=True):
            parts.append((np.array([len(part) for part in row]).view(np.uint8), *row))
        failed = 0 if error is None else 1 + layer
        heads: Parts = [
            (np.array([failed, count, sum(map(len, part))]).view(np.uint8),) for part in parts
        ]
        received = self._all_to_all(heads, [heads[0][0].nbytes] * self.count)
        if error is not None:
            raise self._named(error, layer)
        told = np.stack(received).view(np.int64)  # (ranks, 3)
        if (told[:, 1] != count).any():
            raise RuntimeError(
                f"ranks have {told[:, 1].tolist()} binary layers, but must have the same number"
            )
        for rank, failed in enumerate(told[:, 0].tolist()):
            if failed:
                raise RuntimeError(
                    f"layer {self._names[failed - 1]!r} failed on rank {rank} of the process "
                    "group, whose own error says why"
                )
        split = []
        for message in self._all_to_all(parts, told[:, 2].tolist()):
            lengths, rest = np.split(message, [8 * count])
            split.append(np.split(rest, np.cumsum(lengths.view(np.int64))[:-1]))
        return [list(messages) for messages in zip(*split, strict=True)]

    def _all_to_all(self, parts: Parts, sizes: list[int]) -> Received:
        sent = np.concatenate([array for part in parts for array in part])
        if self.count == 1:
            return [sent]
        received = torch.empty(sum(sizes), dtype=torch.uint8)
        sent_sizes = [sum(map(len, part)) for part in parts]
        dist.all_to_all_single(
            received, torch.from_numpy(sent), sizes, sent_sizes, group=self._group
        )
        return np.split(received.numpy(), np.cumsum(sizes)[:-1])

    def _named(self, error: BaseException, layer: int) -> BaseException:
        if not isinstance(error, (ValueError, RuntimeError)):
            return error
        # Not of the error's own type: a subclass may be made otherwise than from one message.
        kind = ValueError if isinstance(error, ValueError) else RuntimeError
        named = kind(f"layer {self._names[layer]!r}: {error}")
        named.__cause__ = error
        return named


def _solve(layer: Shard, projector: Projector, ranks: _Ranks, exchange: Exchange) -> Way:
    native = _native(projector)
    options = layer.options
    core_options = {} if native is None else native.core_options(options)
    X, T = _own_samples(layer)
    shared = hashlib.blake2b(
        repr((layer.name, layer.shape, options, core_options, exchange, layer.agreed)).encode(),
        digest_size=8,
    )
    numbers = np.frombuffer(shared.digest(), np.int64)
    own_seen = np.packbits(X.any(axis=0))
    inbox = yield [(numbers, np.array([len(X)]), own_seen)] * ranks.count
    table = np.stack([message[:16] for message in inbox]).view(np.int64)  # (ranks, 2)
    if (table[:, 0] != numbers).any():
        raise RuntimeError("ranks differ in the layer's shape or options, but must be the same")
    counts: list[int] = table[:, 1].tolist()
    if sum(counts) == 0:
        return None

    (m, n), size = layer.shape, ranks.count
    packed = functools.reduce(np.bitwise_or, [message[16:] for message in inbox])
    seen = np.unpackbits(packed, count=n).astype(np.bool_)
    if native is None:
        rows = [slice(0, m)] + [slice(0, 0)] * (size - 1)
        X, T = yield from _gathered(X, T, counts, rows, ranks)
        binary = np.empty((0, n), np.int8)
        if ranks.own == 0:
            binary = projector(X, T, options)
            check_binary(binary, layer.shape)
        return (yield from _answers(binary, (T != 0).any(axis=0), seen, rows))

    rows = _shares(m, size)
    own = rows[ranks.own]
    placed = {"first_row": own.start, "num_threads": checked_threads(native.num_threads)}
    share: _core.SampleLayer | _core.GramLayer | None = None
    if options.objective == "quadratic" and _sums(layer.shape, sum(counts), size, exchange):
        gram, cross, magnitudes, squares = yield from _summed(X, T, rows, ranks)
        reached = magnitudes > 0
        if len(cross):
            share = _core.GramLayer(
                gram, cross, magnitudes, squares, num_samples=sum(counts), **placed
            )
    else:
        X, T = yield from _gathered(X, T, counts, rows, ranks)
        reached = (T != 0).any(axis=0)
        if T.size:
            share = _core.SampleLayer(X, T, **placed)
    norms = np.empty((0, 3)) if share is None else share.norms()
    if options.objective == "quadratic":  # its step length is the layer's
        inbox = yield [(norms,)] * size
        norms = np.concatenate(inbox).view(np.float64).reshape(-1, 3)
    binary = np.empty((0, n), np.int8)
    if share is not None:
        binary = share.project(norms, **core_options)
    return (yield from _answers(binary, reached, seen, rows))


def _native(projector: Projector) -> NativeProjector | None:
    # A subclass with a call of its own does more than its options say.
    if isinstance(projector, NativeProjector):
        return projector if type(projector).__call__ is NativeProjector.__call__ else None
    return None


def _own_samples(layer: Shard) -> Samples:
    m, n = layer.shape
    nothing = np.empty((0, n), np.float32), np.empty((0, m), np.float32)
    if layer.samples is None:
        return nothing
    samples = layer.samples()
    if len(samples[0]) == len(samples[1]) == 0:  # an empty batch
        return nothing
    X, T = checked_layer(*samples)
    if (T.shape[1], X.shape[1]) != layer.shape:
        raise ValueError(
            f"X has shape {X.shape} and T {T.shape}, but must be (N, {n}) and (N, {m})"
        )
    return X, T


def _shares(count: int, ranks: int) -> list[slice]:
    """Even shares of ``count`` things, in order."""
    bounds = [count * rank // ranks for rank in range(ranks + 1)]
    return [slice(first, end) for first, end in itertools.pairwise(bounds)]


def _sums(shape: tuple[int, int], num_samples: int, ranks: int, exchange: Exchange) -> bool:
    """Whether products are summed, rather than samples gathered."""
    if exchange != "auto":
        return exchange == "gram"
    m, n = shape
    # Bytes that a rank gets, times ranks / (ranks - 1). Of X^T X one half is enough, of which each
    # rank sums up its share and gets those of the others.
    gathered = 4 * num_samples * (n + m / ranks)
    summed = 8 * (n * (n + 1) + m * (n + 2))
    return ranks > 1 and summed < gathered


def _gathered(
    X: npt.NDArray[np.float32],
    T: npt.NDArray[np.float32],
    counts: list[int],
    rows: list[slice],
    ranks: _Ranks,
) -> Generator[Parts, Received, Samples]:
    """X of all ranks and their T's columns of this rank's rows; none of either if it has none."""
    n, own = X.shape[1], rows[ranks.own]
    inbox = yield [(X, T[:, share]) if share.stop > share.start else () for share in rows]
    width = own.stop - own.start
    if width == 0:
        return X[:0], T[:0, own]
    pairs = [
        np.split(message.view(np.float32), [count * n])
        for count, message in zip(counts, inbox, strict=True)
    ]
    return (
        np.concatenate([x for x, _ in pairs]).reshape(-1, n),
        np.concatenate([t for _, t in pairs]).reshape(-1, width),
    )


def _summed(
    X: npt.NDArray[np.float32], T: npt.NDArray[np.float32], rows: list[slice], ranks: _Ranks
) -> Generator[Parts, Received, tuple[npt.NDArray[np.float64], ...]]:
    """X^T X ``(n, n)`` of all ranks, and of this rank's rows T^T X, sums of |t| and of t^2."""
    n = X.shape[1]
    x, t = torch.from_numpy(X).double(), torch.from_numpy(T).double()
    upper = np.triu_indices(n)
    products = (
        (x.T @ x).numpy()[upper],
        (t.T @ x).numpy(),
        t.abs().sum(0).numpy(),
        t.square().sum(0).numpy(),
    )
    corners = _shares(len(upper[0]), ranks.count)
    inbox = yield [
        (products[0][corner], *(product[share] for product in products[1:]))
        for corner, share in zip(corners, rows, strict=True)
    ]
    total = functools.reduce(np.add, [message.view(np.float64) for message in inbox])
    corner, share = corners[ranks.own], rows[ranks.own]
    m = share.stop - share.start
    sizes = [corner.stop - corner.start, m * n, m]
    part, cross, magnitudes, squares = np.split(total, np.cumsum(sizes))
    inbox = yield [(part,)] * ranks.count
    gram = np.empty((n, n))
    gram[upper] = gram.T[upper] = np.concatenate(inbox).view(np.float64)
    return gram, cross.reshape(m, n), magnitudes, squares


def _answers(
    binary: npt.NDArray[np.int8],
    reached: npt.NDArray[np.bool_],
    seen: npt.NDArray[np.bool_],
    rows: list[slice],
) -> Generator[Parts, Received, Gradient]:
    n = len(seen)
    inbox = yield [(np.packbits(binary > 0), reached)] * len(rows)
    bits, masks = [], []
    for share, message in zip(rows, inbox, strict=True):
        m = share.stop - share.start
        packed, mask = np.split(message, [len(message) - m])
        bits.append(np.unpackbits(packed, count=m * n).reshape(m, n))
        masks.append(mask.view(np.bool_))
    joined = 2 * np.concatenate(bits).view(np.int8) - np.int8(1)
    return Gradient(joined, np.concatenate(masks), seen)


def _joined(arrays: tuple[Array, ...]) -> npt.NDArray[np.uint8]:
    flat = [np.ascontiguousarray(array).reshape(-1).view(np.uint8) for array in arrays]
    return np.concatenate(flat) if flat else np.empty(0, np.uint8)
