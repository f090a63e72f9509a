"""Ladders of inverse temperatures for parallel tempering, from measured exchanges."""

import itertools
import math
from collections.abc import Callable
from statistics import NormalDist
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]
States: TypeAlias = npt.NDArray[np.int8]

#: Number of inverse temperatures of the first pilot run.
FIRST_SIZE = 32
#: Largest number of inverse temperatures that a rule chooses.
LARGEST_SIZE = 256
#: Sweeps of the first pilot run. Each of the next ones has twice as many.
FIRST_SWEEPS = 32
#: Smallest number of pilot runs.
MIN_PILOTS = 3
#: A ladder is level if no distance is larger than this multiple of the mean.
LEVEL = 1.25
#: Distance between neighbours, at which exchanges are accepted with probability 0.4.
DISTANCE = 1.2
#: The same for a search for low energies: with fewer replicas, of which exchanges are accepted with
#: probability 0.23, each makes more sweeps in the same time.
SEARCH_DISTANCE = 1.7
#: Below this probability the variances of energies replace measured exchanges.
SMALLEST_RATE = 0.02
#: Smallest distance between neighbours, which keeps a ladder from collapsing to one point.
SMALLEST_DISTANCE = 0.01


class Pilot(NamedTuple):
    """Measurements of a short run at some inverse temperatures.

    Attributes:
        exchanges: mean probability of an exchange of neighbours, ``(k - 1,)``.
        variances: variance of the energies at each inverse temperature, ``(k,)``.
        states: last states, int8 ``(k, n)``.
    """

    exchanges: Floats
    variances: Floats
    states: States


#: Runs a pilot: takes inverse temperatures, initial states or None, and a number of sweeps. Returns
#: None where the call must end.
RunPilot: TypeAlias = Callable[[Floats, States | None, int], Pilot | None]


def distances(betas: Floats, exchanges: Floats, variances: Floats) -> Floats:
    """Return the distances between neighbouring inverse temperatures.

    If energies are normally distributed with the standard deviation sigma, an exchange between
    beta and beta + delta is accepted with probability ``erfc(d / 2)`` for ``d = delta * sigma``. A
    measured probability is therefore turned into a distance. If exchanges are too rare to be
    measured, the distance follows from the variances.

    Args:
        betas: inverse temperatures, ascending, ``(k,)``.
        exchanges: mean probability of an exchange of neighbours, ``(k - 1,)``.
        variances: variance of the energies at each, ``(k,)``.

    Returns:
        float64 ``(k - 1,)``.

    Example:
        >>> import numpy as np
        >>> from qpsbgd.samplers.tempering.ladder import distances
        >>> distances(np.array([1.0, 1.5]), np.array([0.0]), np.array([16.0, 16.0]))
        array([2.])
    """
    result = np.diff(betas) * np.sqrt((variances[1:] + variances[:-1]) / 2)
    for t, rate in enumerate(exchanges):
        if rate >= SMALLEST_RATE:
            result[t] = math.sqrt(2) * NormalDist().inv_cdf(1 - min(float(rate), 1 - 1e-9) / 2)
    return np.maximum(result, SMALLEST_DISTANCE)


def levelled(betas: Floats, steps: Floats, size: int) -> Floats:
    """Return a ladder with the same ends whose neighbours have equal distances.

    Args:
        betas: inverse temperatures, ascending, ``(k,)``.
        steps: the distances between them, ``(k - 1,)``.
        size: number of inverse temperatures of the result.

    Returns:
        float64 ``(size,)``, ascending, rounded to six digits except for the ends: the result does
        not depend on the last bits of what was measured.
    """
    places = np.concatenate([[0.0], np.cumsum(steps)])
    ladder = np.interp(np.linspace(0.0, places[-1], size), places, betas)
    ladder[1:-1] = [float(f"{beta:.6g}") for beta in ladder[1:-1]]
    ladder[0], ladder[-1] = betas[0], betas[-1]
    return np.maximum.accumulate(ladder)


def measured_ladder(
    hot: float,
    cold: float,
    size: int | None,
    run_pilot: RunPilot,
    *,
    max_sweeps: int,
    distance: float = DISTANCE,
) -> Floats:
    """Return inverse temperatures between which exchanges are about equally likely.

    Short runs measure the probabilities of exchanges, and after each the ladder is levelled. Every
    run has twice as many sweeps as the one before and goes on from its states. The last run is the
    first, after ``MIN_PILOTS``, that finds the ladder level, or the last one that ``max_sweeps``
    allows.

    Args:
        hot: smallest inverse temperature, > 0.
        cold: largest inverse temperature, >= ``hot``.
        size: number of inverse temperatures; None for the number at which neighbours are
            ``distance`` apart, from 2 to ``LARGEST_SIZE``.
        run_pilot: function that makes a run.
        max_sweeps: largest number of sweeps of a run after the first ``MIN_PILOTS``.
        distance: distance between neighbours, as :func:`distances` defines it.

    Returns:
        float64, ascending.

    Reference:
        S. Syed, A. Bouchard-Côté, G. Deligiannidis, A. Doucet, J. R. Stat. Soc. B 84, 321 (2022).
    """
    if size == 1 or hot == cold:
        return np.array([cold])
    betas = np.geomspace(hot, cold, FIRST_SIZE if size is None else size)
    states: States | None = None
    for number in itertools.count():
        num_sweeps = FIRST_SWEEPS << number
        if number >= MIN_PILOTS and num_sweeps > max_sweeps:
            break
        pilot = run_pilot(betas, states, num_sweeps)
        if pilot is None:
            break
        steps = distances(betas, pilot.exchanges, pilot.variances)
        count = size
        if count is None:
            count = min(max(math.ceil(float(steps.sum()) / distance) + 1, 2), LARGEST_SIZE)
        is_level = count == len(betas) and bool(steps.max() <= LEVEL * steps.mean())
        if is_level and number + 1 >= MIN_PILOTS:
            break
        before, betas = betas, levelled(betas, steps, count)
        nearest = np.abs(betas[:, None] - before).argmin(axis=1)
        states = np.ascontiguousarray(pilot.states[nearest])
    return betas


def with_betas(ladder: Floats, wanted: Floats) -> Floats:
    """Return a ladder that contains some inverse temperatures.

    Each of them replaces the nearest one that is not an end of the ladder, or is added where that
    one is taken.

    Args:
        ladder: ascending, ``(k,)``.
        wanted: between the ends of the ladder.
    """
    rungs = list(ladder)
    is_fixed = [index in (0, len(rungs) - 1) for index in range(len(rungs))]
    for beta in wanted:
        if beta in rungs:
            is_fixed[rungs.index(beta)] = True
            continue
        nearest = min(range(len(rungs)), key=lambda index: abs(rungs[index] - beta))
        if is_fixed[nearest]:
            rungs.append(float(beta))
            is_fixed.append(True)
        else:
            rungs[nearest], is_fixed[nearest] = float(beta), True
    return np.sort(np.array(rungs))
