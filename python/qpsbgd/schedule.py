"""Annealing schedules and their temperatures."""

import warnings
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from qpsbgd import _core

if TYPE_CHECKING:
    from qpsbgd.ising import Problem

#: `auto_beta_range` ends where the smallest barriers are passed with probability exp(-COLD) ...
COLD = 8.0
#: ... this quantile of the energy differences at local minima being the smallest that count ...
COLD_QUANTILE = 0.05
#: ... and begins at this inverse temperature, in units of the difference that a flip typically
#: makes in a random state, or at a local minimum if that is less.
HOT = 2.0
#: Sweeps at zero temperature that take a random state to a local minimum.
SCOUT_SWEEPS = 20
#: What is returned where there is no energy difference at all; dwave-samplers' choice.
ARBITRARY = (0.1, 1.0)


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


def auto_beta_range(problem: "Problem") -> tuple[float, float]:
    """Inverse temperatures (hot, cold) from the energy differences that flips make.

    Hot: 2 over the root mean square difference of a flip in a random state, averaged over the
    variables, or over the median difference at local minima where that is less, as with couplings
    of low rank. Cold: 8 over the 5 % quantile of the differences at local minima. These are found
    by descent from random states. Unlike a rule by the smallest bias it does not freeze most of a
    schedule where biases are real numbers; evidence in docs/defaults.md.

    Args:
        problem: at least one variable.

    Returns:
        ``0 < hot <= cold``, in units of the inverse of the energy.
    """
    linear, quadratic = problem.linear, problem.quadratic
    n = len(linear)
    scale = max(np.abs(linear).max(initial=0.0), np.abs(quadratic).max(initial=0.0))
    if scale == 0.0:
        return _arbitrary()
    h, J = linear / scale, quadratic / scale  # squares must not overflow
    square = h**2 + sum(np.bincount(end, J**2, n) for end in problem.pairs)
    mean_difference = 2.0 * np.sqrt(square).mean()
    num_reads = min(max(4096 // n, 1), 16)
    starts = np.random.default_rng(0).choice(np.array([-1, 1], np.int8), (num_reads, n))
    minima, *_ = problem.core.anneal(
        starts, betas=[np.inf] * SCOUT_SWEEPS, acceptance=_core.Acceptance.Metropolis,
        random_order=False, keep_best=False, seed=0, num_threads=1, time_limit=np.inf,
        energy_threshold=-np.inf, watch=None,
    )  # fmt: skip
    first, second = problem.pairs
    differences = []
    for s in minima:
        fields = h + np.bincount(first, J * s[second], n) + np.bincount(second, J * s[first], n)
        differences.append(2.0 * np.abs(fields))
    hot, cold = range_of_differences(mean_difference, np.concatenate(differences))
    return hot / scale, cold / scale


def range_of_differences(mean: float, barriers: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Inverse temperatures (hot, cold) from a flip's energy differences.

    Args:
        mean: of a flip in a random state, their root mean square averaged over the variables.
        barriers: of flips at local minima.
    """
    # Exact zeros, up to rounding, are moves that no temperature hinders.
    barriers = barriers[barriers > 1e-9 * mean]
    if not len(barriers):
        return (float(HOT / mean),) * 2
    least, median = np.quantile(barriers, (COLD_QUANTILE, 0.5))
    hot = HOT / min(mean, median)
    return float(hot), float(max(hot, COLD / least))


def dwave_beta_range(problem: "Problem") -> tuple[float, float]:
    """Inverse temperatures (hot, cold) by the rule of dwave-samplers.

    Hot: ``ln 2 / (2 max_i (|h_i| + sum_j |J_ij|))``. Cold: ``ln(k / .01) / (2 b)``, b being the
    smallest non-zero bias at any variable and k the number of variables that have it.

    Args:
        problem: at least one variable.

    Returns:
        ``(hot, cold)``, in units of the inverse of the energy.
    """
    linear, quadratic = np.abs(problem.linear), np.abs(problem.quadratic)
    reach, smallest = linear.copy(), np.where(linear > 0, linear, np.inf)
    nonzero = np.where(quadratic > 0, quadratic, np.inf)
    for end in problem.pairs:
        reach += np.bincount(end, quadratic, len(linear))
        np.minimum.at(smallest, end, nonzero)
    if reach.max(initial=0.0) == 0.0:
        return _arbitrary()
    bias = smallest.min()
    hot = np.log(2.0) / (2.0 * reach.max())
    cold = np.log((smallest == bias).sum() / 0.01) / (2.0 * bias)
    return float(hot), float(cold)


def _arbitrary() -> tuple[float, float]:
    warnings.warn(
        f"all biases are zero: the temperature range is set arbitrarily to {ARBITRARY}",
        stacklevel=4,
    )
    return ARBITRARY
