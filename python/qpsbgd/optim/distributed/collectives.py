"""Collective calls of the ranks of a process group, which succeed or fail together."""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import torch
import torch.distributed as dist


class Named(Protocol):
    """Object with a name for error messages."""

    @property
    def name(self) -> str:
        """The name."""
        ...


Layer = TypeVar("Layer", bound=Named)
Result = TypeVar("Result")


class Report(NamedTuple):
    """Message of one rank to all ranks after it has run a task for each layer.

    Attributes:
        num_layers: number of layers of the rank.
        failed_layer: name of the layer for which the task failed, or None.
        results: results of the task, as far as it got.
    """

    num_layers: int
    failed_layer: str | None
    results: list[Any]


class Ranks:
    """The ranks of a process group that take a step together.

    Each method is a collective call: every rank must make it, and in the same order. A rank whose
    task fails reports the failure in the same call, so that all ranks raise an error. A rank that
    dies closes its connections, so that torch raises an error on the others.

    Args:
        group: process group that can exchange CPU tensors (gloo); None for the default group, or
            for this process alone if there is no default group.

    Attributes:
        count: number of ranks.
        rank: number of this rank.

    Example:
        >>> from qpsbgd.optim.distributed import Ranks
        >>> ranks = Ranks()
        >>> ranks.count, ranks.rank
        (1, 0)
    """

    def __init__(self, group: "dist.ProcessGroup | None" = None) -> None:
        is_alone = group is None and not (dist.is_available() and dist.is_initialized())
        self._group = group
        self.count = 1 if is_alone else dist.get_world_size(group)
        self.rank = 0 if is_alone else dist.get_rank(group)

    def gather(
        self, layers: Sequence[Layer], task: Callable[[Layer], Result]
    ) -> list[list[Result]]:
        """Run a task for each layer, and send the results to all ranks.

        Returns:
            For each layer the results of all ranks, in the order of the ranks.

        Raises:
            ValueError: the task raised ValueError on this rank.
            RuntimeError: the task raised another error on this rank, or it failed on another rank;
                or the ranks have different numbers of layers.
        """
        results: list[Result] = []
        error: BaseException | None = None
        name = ""
        try:
            for layer in layers:
                name = layer.name
                results.append(task(layer))
        # This includes KeyboardInterrupt: the other ranks must not wait for this one.
        except BaseException as caught:
            error = caught
        failed_layer = None if error is None else name
        reports = self._exchange(Report(len(layers), failed_layer, results))
        if error is not None:
            raise _with_layer(error, name)
        counts = [report.num_layers for report in reports]
        if len(set(counts)) > 1:
            raise RuntimeError(f"ranks have {counts} binary layers, but must have the same number")
        for rank, report in enumerate(reports):
            if report.failed_layer is not None:
                raise RuntimeError(
                    f"layer {report.failed_layer!r} failed on rank {rank} of the process group; "
                    "the error of that rank gives the reason"
                )
        return [list(of_layer) for of_layer in zip(*(r.results for r in reports), strict=True)]

    def all_to_all(
        self, messages: Sequence[npt.NDArray[Any]], sizes: list[int]
    ) -> list[npt.NDArray[Any]]:
        """Send one array to each rank, and return the arrays that the ranks send to this one.

        Args:
            messages: one-dimensional array for each rank, all of one dtype.
            sizes: number of elements that each rank sends to this one.
        """
        if self.count == 1:
            return list(messages)
        sent = torch.from_numpy(np.concatenate(messages))
        received = sent.new_empty(sum(sizes))
        dist.all_to_all_single(
            received, sent, sizes, [len(message) for message in messages], group=self._group
        )
        return np.split(received.numpy(), np.cumsum(sizes)[:-1])

    def sum_arrays(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Add the arrays of all ranks element by element, in an order that torch chooses."""
        if self.count == 1:
            return values
        total = torch.from_numpy(values)
        dist.all_reduce(total, group=self._group)
        return total.numpy()

    def _exchange(self, report: Report) -> list[Report]:
        if self.count == 1:
            return [report]
        reports: list[Any] = [None] * self.count
        dist.all_gather_object(reports, report, group=self._group)
        return reports


def check_same(weights: Sequence[torch.Tensor], group: "dist.ProcessGroup | None" = None) -> None:
    """Raise an error on all ranks if their weights differ; every rank must call this.

    The ranks compare hashes of the weights.

    Raises:
        RuntimeError: the weights differ between ranks.
    """
    content = hashlib.blake2b(digest_size=16)
    for weight in weights:
        content.update(weight.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    digests: list[Any] = [None] * dist.get_world_size(group)
    dist.all_gather_object(digests, content.digest(), group=group)
    if len(set(digests)) > 1:
        raise RuntimeError(
            "ranks have different binary weights, but must begin with the same: give all ranks one "
            "seed or one checkpoint, or use DistributedDataParallel"
        )


def _with_layer(error: BaseException, name: str) -> BaseException:
    """Return an error whose message names the layer, or the error itself if it is of another kind.

    The new error is a plain ValueError or RuntimeError, because the constructor of a subclass may
    need more than a message.
    """
    if not isinstance(error, (ValueError, RuntimeError)):
        return error
    kind = ValueError if isinstance(error, ValueError) else RuntimeError
    named = kind(f"layer {name!r}: {error}")
    named.__cause__ = error
    return named
