"""Pooling of a layer's samples: each rank receives what the problems of its rows depend on."""

import itertools
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch

from qpsbgd import _core
from qpsbgd.optim.distributed.collectives import Ranks

Exchange = Literal["auto", "gather", "gram"]
Float32Array = npt.NDArray[np.float32]


def even_shares(count: int, num_ranks: int) -> list[slice]:
    """Divide ``count`` items into consecutive shares whose sizes differ by at most one."""
    bounds = [count * rank // num_ranks for rank in range(num_ranks + 1)]
    return [slice(first, end) for first, end in itertools.pairwise(bounds)]


def should_sum_products(
    shape: tuple[int, int], num_samples: int, num_ranks: int, exchange: Exchange
) -> bool:
    """Decide whether the ranks sum matrix products, or gather samples.

    Args:
        shape: ``(m, n)`` of the layer's weight.
        num_samples: number of samples of all ranks.
        num_ranks: number of ranks.
        exchange: ``"gather"``, ``"gram"``, or ``"auto"`` for the one that needs fewer bytes.
    """
    if exchange != "auto":
        return exchange == "gram"
    m, n = shape
    # Both are the bytes that a rank receives; the common factor (num_ranks - 1) / num_ranks is left
    # out. An all-reduce sends each number twice. X^T X is symmetric, so one triangle is sent.
    gather_bytes = 4 * num_samples * (n + m / num_ranks)
    gram_bytes = 2 * 8 * (n * (n + 1) / 2 + m * (n + 2))
    return num_ranks > 1 and gram_bytes < gather_bytes


class SamplePool:
    """Samples of one layer. Each rank with rows receives all inputs, and its rows' targets.

    Args:
        inputs: this rank's X ``(N_rank, n)``.
        targets: this rank's T ``(N_rank, m)``.
        counts: number of samples of each rank.
        rows: rows that each rank solves.
        rank: number of this rank.

    Attributes:
        reached: bool ``(rows,)``; whether a row of this rank has a target other than 0 in any
            sample. It is valid after :meth:`join`.
    """

    def __init__(
        self,
        inputs: Float32Array,
        targets: Float32Array,
        counts: list[int],
        rows: list[slice],
        rank: int,
    ) -> None:
        self.reached = np.empty(0, np.bool_)
        self._inputs = inputs
        self._targets = targets
        self._counts = counts
        self._rows = rows
        self._own_rows = rows[rank]
        self._messages: list[Float32Array] = []

    def pack(self) -> None:
        """Prepare one message to each rank: all inputs, and the targets of its rows."""
        self._messages = [
            np.concatenate([self._inputs.reshape(-1), self._targets[:, rows].reshape(-1)])
            if rows.stop > rows.start
            else np.empty(0, np.float32)
            for rows in self._rows
        ]

    def exchange(self, ranks: Ranks) -> None:
        """Send the messages, and receive those of the other ranks."""
        num_rows = self._own_rows.stop - self._own_rows.start
        sample_size = self._inputs.shape[1] + num_rows if num_rows else 0
        sizes = [count * sample_size for count in self._counts]
        self._messages = ranks.all_to_all(self._messages, sizes)

    def join(self) -> tuple[Float32Array, Float32Array] | None:
        """Return X ``(N, n)`` of all ranks and T ``(N, rows)``; None if this rank has no rows."""
        n, num_rows = self._inputs.shape[1], self._own_rows.stop - self._own_rows.start
        if num_rows == 0:
            return None
        pairs = [
            np.split(message, [count * n])
            for count, message in zip(self._counts, self._messages, strict=True)
        ]
        self._messages = []  # frees their memory before the problems are solved
        inputs = np.concatenate([pair[0] for pair in pairs]).reshape(-1, n)  # (N, n)
        targets = np.concatenate([pair[1] for pair in pairs]).reshape(-1, num_rows)  # (N, rows)
        self.reached = (targets != 0).any(axis=0)
        return inputs, targets

    def make_problems(self, num_threads: int) -> _core.SampleLayer | None:
        """Return the binary problems of this rank's rows, or None if it has no rows."""
        samples = self.join()
        if samples is None:
            return None
        return _core.SampleLayer(*samples, first_row=self._own_rows.start, num_threads=num_threads)


class ProductPool:
    """Products of one layer's samples: X^T X and T^T X, summed over all ranks.

    Args:
        inputs: this rank's X ``(N_rank, n)``.
        targets: this rank's T ``(N_rank, m)``.
        num_samples: number of samples of all ranks.
        rows: rows that this rank solves.

    Attributes:
        reached: bool ``(rows,)``; whether a row of this rank has a target other than 0 in any
            sample. It is valid after :meth:`make_problems`.
    """

    def __init__(
        self, inputs: Float32Array, targets: Float32Array, num_samples: int, rows: slice
    ) -> None:
        self.reached = np.empty(0, np.bool_)
        self._inputs = inputs
        self._targets = targets
        self._num_samples = num_samples
        self._rows = rows
        self._upper = np.triu_indices(inputs.shape[1])
        self._sums = np.empty(0)

    def pack(self) -> None:
        """Prepare this rank's summands as one flat array."""
        x = torch.from_numpy(self._inputs).double()  # (N_rank, n)
        t = torch.from_numpy(self._targets).double()  # (N_rank, m)
        triangle = (x.T @ x).numpy()[self._upper]  # (n (n + 1) / 2,)
        columns = (t.T @ x, t.abs().sum(0), t.square().sum(0))  # (m, n), (m,), (m,)
        self._sums = np.concatenate([triangle, *(each.numpy().reshape(-1) for each in columns)])

    def exchange(self, ranks: Ranks) -> None:
        """Add the summands of all ranks."""
        self._sums = ranks.sum_arrays(self._sums)

    def make_problems(self, num_threads: int) -> _core.GramLayer | None:
        """Return the binary problems of this rank's rows, or None if it has no rows."""
        m, n = self._targets.shape[1], self._inputs.shape[1]
        sizes = [len(self._upper[0]), m * n, m]
        triangle, cross, magnitudes, squares = np.split(self._sums, np.cumsum(sizes))
        self.reached = magnitudes[self._rows] > 0
        if len(self.reached) == 0:
            return None
        gram = np.empty((n, n))
        gram[self._upper] = gram.T[self._upper] = triangle
        return _core.GramLayer(
            gram,
            cross.reshape(m, n)[self._rows],
            magnitudes[self._rows],
            squares[self._rows],
            num_samples=self._num_samples,
            first_row=self._rows.start,
            num_threads=num_threads,
        )
