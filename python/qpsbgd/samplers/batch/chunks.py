"""Consecutive problems of a batch, and their solution in this process."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from qpsbgd import _core
from qpsbgd.samplers.batch.batch_options import BatchOptions
from qpsbgd.samplers.batch.couplings import Couplings, Floats, States


@dataclass(frozen=True)
class Chunk:
    """Consecutive problems of a batch over spins.

    Attributes:
        h: fields, float64 ``(B, n)``.
        J: couplings of these problems.
        starts: initial states, int8 ``(B, R, n)``.
        beta_factors: factor of each problem's inverse temperatures, float64 ``(B,)``.
        first: number of the first problem in the whole batch. It selects the random numbers, so a
            result does not depend on how a batch is split.
    """

    h: Floats
    J: Couplings
    starts: States
    beta_factors: Floats
    first: int = 0

    def select(self, first: int, size: int) -> "Chunk":
        """Return at most ``size`` problems from ``first`` on, without a copy of the arrays."""
        part = slice(first, first + size)
        return Chunk(
            self.h[part], self.J.select(part), self.starts[part], self.beta_factors[part],
            self.first + first,
        )  # fmt: skip


class ChunkResult(NamedTuple):
    """The result of a chunk.

    Attributes:
        states: spins, int8 ``(B, R, n)``.
        energies: float64 ``(B, R)``; None if the core did not compute them.
        is_begun: whether the core began each problem, uint8 ``(B,)``.
        stopped_by: ``"finished"``, ``"time_limit"`` or ``"interrupt"``.
        error: an exception that ended the solving early, or None.
    """

    states: States
    energies: Floats | None
    is_begun: npt.NDArray[np.uint8]
    stopped_by: str
    error: BaseException | None


def solve_chunk(chunk: Chunk, options: BatchOptions) -> ChunkResult:
    """Solve the problems of a chunk in this process.

    Args:
        chunk: the problems.
        options: the options of the batch.
    """
    states, energies, is_begun, reason, error = _core.solve_batch(
        chunk.J.core(),
        chunk.h,
        chunk.starts,
        method=_core.BatchMethod[options.method],
        form=_core.BatchForm["dense" if options.form == "sparse" else options.form],
        wide=options.precision == "float64",
        betas=options.betas,
        beta_factors=chunk.beta_factors.tolist(),
        acceptance=_core.Acceptance[options.acceptance],
        keep_best=options.keep_best,
        moves=options.num_moves,
        tenure=options.tenure,
        seed=options.seed,
        number=chunk.first,
        num_threads=options.num_threads,
        time_limit=options.time_limit,
    )
    return ChunkResult(states, energies, is_begun, reason.name, error)
