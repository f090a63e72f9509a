"""Rules that find the inverse temperatures of an annealing schedule from a problem."""

import functools
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from qpsbgd import _core
from qpsbgd._warnings import warn_caller

if TYPE_CHECKING:
    from qpsbgd.samplers.problem.ising import Problem

Floats: TypeAlias = npt.NDArray[np.float64]

#: The hot end accepts a flip over a large barrier with probability exp(-HOT).
HOT = 5.0
#: A large barrier is this quantile of the barriers, weighted by the energy in dispute, which
#: :func:`temperatures_of_barriers` defines.
HOT_QUANTILE = 0.9
#: A large barrier is at least this multiple of the median barrier, because all may be equal.
LARGE_PER_MEDIAN = 2.0
#: Expected fraction of the spins that are thermally excited at the knee.
KNEE_EXCITED = 2e-4
#: Spins whose barriers are among this lowest fraction of all barriers count less for the knee.
KNEE_LOWEST = 0.05
#: Expected number of spins of a state that are thermally excited at the cold end.
COLD_EXCITED = 0.01
#: A barrier smaller than this fraction of a variable's highest barrier is a rounding error.
ROUNDING = 1e-14
#: A barrier smaller than this fraction of the highest barrier of all variables counts as zero,
#: because float64 cannot hold the temperatures of both.
SMALLEST = 1e-290
#: Largest inverse temperature. The powers of ten in NumPy's geomspace must not overflow.
LARGEST = 1e307
#: The random states from which minima are sought have about this many spins together.
SCOUTED_SPINS = 4096
#: Largest number of these states; there is at least one.
MAX_SCOUTS = 16
#: The hot end and the knee come from a random sample of this size if there are more barriers.
SAMPLED_BARRIERS = 65536
#: Range of a problem without any energy difference; it is the choice of dwave-samplers.
ARBITRARY = (0.1, 1.0)


class Temperatures(NamedTuple):
    """Inverse temperatures of an annealing schedule, ``0 < hot <= knee <= cold``.

    Attributes:
        hot: the first inverse temperature of a schedule.
        knee: the inverse temperature from which on a schedule cools fast.
        cold: the last inverse temperature of a schedule.
    """

    hot: float
    knee: float
    cold: float


def auto_temperatures(problem: "Problem") -> Temperatures:
    """Return inverse temperatures from the barriers at local minima of the problem.

    The barrier of a variable is the energy that its flip costs, ``2 |field|``. Steepest descents
    from random states, with fixed seeds, find local minima in float64. The result depends on the
    problem alone. :func:`temperatures_of_barriers` states the rule.

    Args:
        problem: at least one variable.

    Returns:
        Inverse temperatures in units of the inverse of the energy. If all biases are zero, the
        range is arbitrary and a warning says so.
    """
    reach = problem.core.reach  # (n,)
    scale = float(reach.max(initial=0.0))
    if scale == 0.0:
        hot, cold = _arbitrary_range()
        return Temperatures(hot, cold, cold)
    starts = _scouts(len(reach))
    minima, _, _, error = problem.core.descend(
        starts, precision=_core.Precision.float64, num_threads=1, time_limit=np.inf, watch=None
    )
    if error is not None:  # Ctrl-C
        raise error
    # Fields are divided by the largest field, because a doubled field could overflow.
    barriers = problem.core.fields(minima)  # (num_states, n)
    barriers /= scale
    np.abs(barriers, out=barriers)
    barriers *= 2.0
    reach /= scale
    reach *= 2.0
    hot, knee, cold = temperatures_of_barriers(barriers, reach)
    return Temperatures(*(min(beta / scale, LARGEST) for beta in (hot, knee, cold)))


def _scouts(n: int) -> npt.NDArray[np.int8]:
    """Return random states of n variables, int8 ``(num_states, n)``, the same ones at each call."""
    return _few_scouts(n) if n <= SCOUTED_SPINS else _drawn_scouts(n)


def _drawn_scouts(n: int) -> npt.NDArray[np.int8]:
    num_states = min(max(SCOUTED_SPINS // n, 1), MAX_SCOUTS)
    states = np.random.default_rng(0).integers(0, 2, (num_states, n), np.int64).astype(np.int8)
    states += states
    states -= 1
    return states


#: In a short call the drawing takes a tenth of the time around the sweeps.
_few_scouts = functools.lru_cache(maxsize=64)(_drawn_scouts)


def auto_beta_range(problem: "Problem") -> tuple[float, float]:
    """Return the ends ``(hot, cold)`` of :func:`auto_temperatures`.

    Args:
        problem: at least one variable.

    Returns:
        ``0 < hot <= cold < inf``, in units of the inverse of the energy.
    """
    temperatures = auto_temperatures(problem)
    return temperatures.hot, temperatures.cold


def temperatures_of_barriers(barriers: Floats, highest: Floats) -> Temperatures:
    """Return inverse temperatures from the barriers of some local minima.

    A variable at a local minimum is thermally excited with probability ``exp(-beta * barrier)``.
    Barriers that are zero up to rounding do not count: no temperature matters to these moves.

    **Hot end.** Flips with large barriers must be accepted now and then, but only where annealing
    can gain something. A variable whose couplings are all satisfied gains nothing, however strong
    they are. The energy in dispute at variable i is ``min(barrier_i, highest_i - barrier_i +
    median barrier)``: ``highest_i - barrier_i`` is twice the magnitude of its unsatisfied biases,
    and the median stands for disputes of its neighbours. ``b`` is the 90 % quantile of the
    barriers, weighted by the energy in dispute. The hot end is ``5 / b``. In homogeneous problems
    ``b`` is about twice the mean barrier; where barriers are nearly equal, as with penalties, twice
    the median takes its place. With heavy-tailed couplings it is much larger, since few
    variables hold most of the energy. One strong coupling among many weak ones does not move it.
    Barriers at minima, unlike energy differences in random states, do not overestimate problems of
    low rank, whose fields shrink as the energy falls.

    **Knee.** The energy is an extensive quantity, and so is the gain of slow cooling. The
    temperature at which cooling should become fast does therefore not depend on the number of
    variables. At the knee ``mean_i(w_i exp(-beta * barrier_i)) = 2e-4``. The weight is ``w_i =
    min(1, F_i / 0.05)^2``, where ``F_i`` is the fraction of barriers that are not larger than
    ``barrier_i``. Real-valued problems have a continuum of barriers down to zero that have next to
    no energy; the weight keeps them from prolonging the schedule.

    **Cold end.** No spin should be wrong in the last state, not even those that have tiny biases.
    At the cold end ``sum_i(exp(-beta * barrier_i)) = 0.01`` for a state, without weights. For equal
    barriers this grows as ``log(n)``, for a continuum as ``n``. As :func:`cooling` spends at most a
    tenth of the sweeps beyond the knee, a tiny barrier does not slow down the annealing of others.

    Args:
        barriers: ``(..., n)``, >= 0, of at least one variable.
        highest: the largest barrier that each variable can have in any state, >= 0 and not all of
            them 0; of the same shape or broadcast to it.

    Returns:
        Inverse temperatures in units of the inverse of the barriers.
    """
    num_states = barriers.size // barriers.shape[-1]
    all_highest = np.empty_like(barriers)
    all_highest[...] = highest
    least = ROUNDING * highest
    np.maximum(least, SMALLEST * highest.max(), out=least)
    counts = barriers > least
    del least  # there may be millions of variables
    if counts.all():
        barriers, all_highest = barriers.ravel(), all_highest.ravel()
    else:
        barriers, all_highest = barriers[counts], all_highest[counts]  # (num_counted,) each
    if not len(barriers):
        return Temperatures(*(HOT / float(highest.max()),) * 3)
    sampled, sampled_highest = barriers, all_highest
    if len(barriers) > SAMPLED_BARRIERS:
        sample = np.random.default_rng(0).integers(0, len(barriers), SAMPLED_BARRIERS)
        sampled, sampled_highest = barriers[sample], all_highest[sample]
    hot, knee = _core.hot_and_knee(
        np.ascontiguousarray(sampled),
        np.ascontiguousarray(sampled_highest),
        hot=HOT,
        hot_quantile=HOT_QUANTILE,
        large_per_median=LARGE_PER_MEDIAN,
        knee_excited=KNEE_EXCITED,
        knee_lowest=KNEE_LOWEST,
    )
    del all_highest, sampled_highest
    cold = _core.beta_of_excitations(
        np.ascontiguousarray(barriers), number=COLD_EXCITED * num_states, least=knee
    )
    return Temperatures(hot, knee, cold)


def dwave_beta_range(problem: "Problem") -> tuple[float, float]:
    """Return inverse temperatures ``(hot, cold)`` by the rule of dwave-samplers.

    The hot end is ``ln 2 / (2 max_i (|h_i| + sum_j |J_ij|))``. The cold end is ``ln(k / 0.01) / (2
    b)``, where b is the smallest non-zero bias at any variable and k is the number of variables
    that have it.

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
        return _arbitrary_range()
    bias = smallest.min()
    hot = np.log(2.0) / (2.0 * reach.max())
    cold = np.log((smallest == bias).sum() / 0.01) / (2.0 * bias)
    return float(hot), float(cold)


def _arbitrary_range() -> tuple[float, float]:
    """Return ``ARBITRARY`` and warn the caller of the sampler."""
    warn_caller(f"all biases are zero: the temperature range is set arbitrarily to {ARBITRARY}")
    return ARBITRARY
