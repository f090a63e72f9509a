"""The arguments of parallel tempering that describe its sweeps and its samples, checked."""

from typing import Any

import numpy as np

from qpsbgd._checks.numbers import checked_count
from qpsbgd.samplers.problem.ising import Problem
from qpsbgd.samplers.tempering.tempering_run import ENDLESS

DEFAULT_NUM_SWEEPS = 1000


def resolve_sweeps(num_sweeps: Any, time_limit: float) -> int:
    """Return the number of sweeps of a read; ``ENDLESS`` where only the time limit ends it."""
    if num_sweeps is None:
        return ENDLESS if time_limit < np.inf else DEFAULT_NUM_SWEEPS
    return checked_count("num_sweeps", num_sweeps, 0)


def checked_num_samples(num_samples: Any, num_sweeps: int, is_best: bool) -> int:
    """Return the number of samples of a read; raise ValueError if they cannot be different."""
    count = checked_count("num_samples", num_samples, 1)
    if count > 1 and is_best:
        raise ValueError(
            f"num_samples is {count}, but must be 1 without sample_betas, which names the inverse "
            "temperatures of the samples"
        )
    if count > max(1, num_sweeps // 2):
        raise ValueError(
            f"num_samples is {count}, but must be at most {max(1, num_sweeps // 2)}, half of "
            f"num_sweeps ({num_sweeps}): samples are taken over the second half of the sweeps"
        )
    return count


def refuse_with_samples(eliminate: Any, energy_threshold: Any, num_best: Any) -> None:
    """Raise ValueError for arguments that go with best states alone."""
    if eliminate:
        raise ValueError(f"eliminate is {eliminate!r}, but must not be with sample_betas")
    if energy_threshold is not None:
        raise ValueError(
            f"energy_threshold is {energy_threshold!r}, but must be None with sample_betas: the "
            "states of a call that ends at a low energy are not Boltzmann-distributed"
        )
    if num_best is not None:
        raise ValueError(
            f"num_best is {num_best!r}, but must be None with sample_betas: the lowest of some "
            "samples are not Boltzmann-distributed"
        )


def should_eliminate(eliminate: bool | None, is_best: bool, problem: Problem) -> bool:
    """Return whether to eliminate variables; raise ValueError if this problem has no such form."""
    if eliminate and problem.form != "sparse":
        raise ValueError(
            "eliminate is True, but needs form='sparse', and the form of this problem is "
            f"{problem.form!r}"
        )
    return (is_best and problem.form == "sparse") if eliminate is None else bool(eliminate)


def has_clusters(cluster_moves: bool | None, problem: Problem) -> bool:
    """Return whether to move clusters; raise ValueError if this problem has no such form."""
    if cluster_moves is None:
        return problem.form == "sparse"
    if cluster_moves and problem.form != "sparse":
        raise ValueError(
            "cluster_moves is True, but needs form='sparse', and the form of this problem is "
            f"{problem.form!r}"
        )
    return bool(cluster_moves)
