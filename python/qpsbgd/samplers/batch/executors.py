"""Solution of a batch by the workers of a ``concurrent.futures`` executor."""

import os
from concurrent.futures import BrokenExecutor, Executor, Future

from qpsbgd._warnings import warn_caller
from qpsbgd.samplers.batch.batch_options import BatchOptions
from qpsbgd.samplers.batch.chunks import Chunk, ChunkResult, solve_chunk

#: Chunks for each worker. With several, workers that finish early take over the rest.
CHUNKS_PER_WORKER = 4
#: Number of times that a chunk is submitted if its worker is lost.
MAX_ATTEMPTS = 3


def count_workers(executor: Executor) -> int:
    """Return the number of workers of an executor; the number of processors if it is unknown."""
    return getattr(executor, "_max_workers", None) or os.cpu_count() or 1


def solve_with_executor(
    executor: Executor, batch: Chunk, options: BatchOptions
) -> list[ChunkResult]:
    """Split a batch into chunks and solve them with the workers of an executor.

    A chunk whose worker is lost is submitted again. If the executor has lost all its workers, this
    process solves the chunk.

    Args:
        executor: the executor.
        batch: all problems.
        options: the options of the batch.

    Returns:
        The results in the order of the problems.

    Raises:
        Exception: an error that a worker raised, after ``MAX_ATTEMPTS`` attempts.
    """
    size = -(-len(batch.h) // (CHUNKS_PER_WORKER * count_workers(executor)))
    chunks = [batch.select(first, size) for first in range(0, len(batch.h), size)]
    futures = [executor.submit(solve_chunk, chunk, options) for chunk in chunks]
    try:
        return [
            _wait(executor, future, chunk, options)
            for future, chunk in zip(futures, chunks, strict=True)
        ]
    except BaseException:
        for future in futures:
            future.cancel()
        raise


def _wait(
    executor: Executor, future: Future[ChunkResult], chunk: Chunk, options: BatchOptions
) -> ChunkResult:
    """Return the result of a chunk; submit the chunk again if its worker is lost."""
    for attempt in range(1, MAX_ATTEMPTS + 1):
        try:
            return future.result()
        except (TypeError, ValueError):
            raise  # the fault of the problem, not of the worker
        except BrokenExecutor as error:
            warn_caller(
                f"the executor has lost its workers ({error!r}): problems from {chunk.first} on "
                "are solved in this process"
            )
            break
        except Exception:
            if attempt == MAX_ATTEMPTS:
                raise
            future = executor.submit(solve_chunk, chunk, options)
    return solve_chunk(chunk, options)
