"""Inverse temperatures from barriers, by NumPy."""

import math

import numpy as np

from reference.streams import Doubles


def hot_and_knee(
    barriers: Doubles,
    highest: Doubles,
    *,
    hot: float,
    hot_quantile: float,
    large_per_median: float,
    knee_excited: float,
    knee_lowest: float,
) -> tuple[float, float]:
    """Return the hot end and the knee from barriers > 0 and the highest ones of their variables."""
    order = np.argsort(barriers)
    barriers, highest = barriers[order], highest[order]
    unsatisfied = np.maximum(highest - barriers, 0.0)
    disputed = np.cumsum(np.minimum(barriers, unsatisfied + np.median(barriers)))
    large = float(barriers[np.searchsorted(disputed, hot_quantile * disputed[-1])])
    first = hot / max(large, large_per_median * float(np.median(barriers)))
    fractions = np.searchsorted(barriers, barriers, "right") / len(barriers)
    weights = np.minimum(1.0, fractions / knee_lowest) ** 2
    return first, beta_of_excitations(barriers, weights, knee_excited * len(barriers), first)


def beta_of_excitations(barriers: Doubles, weights: Doubles, number: float, least: float) -> float:
    """Solve ``sum(weights * exp(-beta * barriers)) = number`` for ``beta >= least``."""
    beta = least
    while True:
        with np.errstate(under="ignore"):
            excited = np.exp(-beta * barriers) * weights
        total = float(excited.sum())
        if total < 1.001 * number:
            return beta
        beta += math.log(total / number) * total / float(excited @ barriers)
        kept = excited > 1e-9 * number / len(excited)
        barriers, weights = barriers[kept], weights[kept]
