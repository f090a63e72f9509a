"""Annealing schedules."""

import numpy as np


def geometric(hot: float, cold: float, num_sweeps: int) -> list[float]:
    """Inverse temperatures from ``hot`` to ``cold``, each the same factor above the last.

    Example:
        >>> geometric(1.0, 4.0, 3)
        [1.0, 2.0, 4.0]
    """
    if num_sweeps == 1:
        return [cold]
    betas: list[float] = np.geomspace(hot, cold, num_sweeps).tolist()
    return betas
