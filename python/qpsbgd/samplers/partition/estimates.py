"""Estimates of partition functions."""

from dataclasses import dataclass
from typing import Any

import numpy as np

#: Largest number of estimates that ``repr`` shows one by one.
MOST_SHOWN = 8


class UnreliableEstimateWarning(UserWarning):
    """Warning that an estimate of a partition function rests on too few weights."""


@dataclass(frozen=True, repr=False)
class LogPartition:
    """Estimates of the natural logarithms of partition functions.

    All arrays have one shape: ``()`` for a model at one inverse temperature; an axis for the
    problems of a batch comes first, and one for several inverse temperatures last. ``repr`` and
    ``print`` show the estimates, or their range if there are many, without ``info``.

    Attributes:
        log_z: estimates, float64.
        standard_error: their standard errors, float64.
        effective_sample_size: number of equal weights that would have the relative variance of the
            weights, float64: from 1 to the number of reads.
        is_reliable: whether the effective sample size is at least 50 and at least 5 % of the number
            of reads, bool. Otherwise the error may be much larger than ``standard_error``.
        info: ``betas`` (of the sweeps), ``num_reads``, ``num_sweeps``, ``seed``, ``isa`` and
            ``num_threads``.
    """

    log_z: Any
    standard_error: Any
    effective_sample_size: Any
    is_reliable: Any
    info: dict[str, Any]

    def __repr__(self) -> str:
        shape = np.shape(self.log_z)
        if np.size(self.log_z) > MOST_SHOWN:
            logs = np.asarray(self.log_z)
            return (
                f"LogPartition({shape} estimates: log_z from {logs.min():.6g} to "
                f"{logs.max():.6g}, standard_error up to {np.max(self.standard_error):.2g}, "
                f"is_reliable for {np.count_nonzero(self.is_reliable)} of {logs.size})"
            )
        log_z = _written(self.log_z, ".10g")
        error = _written(self.standard_error, ".2g")
        is_reliable = np.asarray(self.is_reliable).tolist()
        return f"LogPartition(log_z={log_z}, standard_error={error}, is_reliable={is_reliable})"


def _written(values: Any, digits: str) -> str:
    """Return a number or an array in a format, such as ``".2g"``."""
    write: Any = {"float": lambda value: format(value, digits)}
    return np.array2string(np.asarray(values), separator=", ", formatter=write)
