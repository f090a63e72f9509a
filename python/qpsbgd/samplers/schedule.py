"""Annealing schedules: the inverse temperature of each sweep."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from qpsbgd._checks.beta_ranges import BetaRule, checked_beta_range
from qpsbgd._checks.choices import Keep, checked_choice
from qpsbgd._checks.numbers import checked_count, checked_num_sweeps
from qpsbgd._checks.real_arrays import real_array
from qpsbgd.samplers import temperature_rules
from qpsbgd.samplers.temperature_rules import Temperatures

if TYPE_CHECKING:
    from qpsbgd.samplers.problem.ising import Problem

Floats: TypeAlias = npt.NDArray[np.float64]
BetaRange: TypeAlias = BetaRule | Sequence[float]
ScheduleType = Literal["linear", "geometric", "custom"]

DEFAULT_NUM_SWEEPS = 1000
#: Largest fraction of the sweeps that :func:`cooling` spends between the knee and the cold end.
TAIL = 0.1


def geometric(hot: float, cold: float, num_sweeps: int) -> list[float]:
    """Return inverse temperatures from ``hot`` to ``cold`` with a constant ratio.

    Args:
        hot: first inverse temperature, > 0.
        cold: last inverse temperature, > 0.
        num_sweeps: number of inverse temperatures, > 0. A single one is ``cold``.

    Example:
        >>> from qpsbgd.samplers.schedule import geometric
        >>> geometric(1.0, 4.0, 3)
        [1.0, 2.0, 4.0]
    """
    if num_sweeps == 1:
        return [cold]
    betas: list[float] = geometric_space(hot, cold, num_sweeps).tolist()
    return betas


def geometric_space(first: float, last: float, count: int) -> Floats:
    """Return ``np.geomspace(first, last, count)`` of positive numbers, to the bit.

    NumPy's function takes 20 us, as it also serves arrays, complex and negative numbers.

    Args:
        first: the first number, > 0.
        last: the last number, > 0; a single number is the first one.
        count: number of numbers, >= 0.

    Example:
        >>> from qpsbgd.samplers.schedule import geometric_space
        >>> geometric_space(1.0, 4.0, 3)
        array([1., 2., 4.])
    """
    if count <= 1:
        return np.full(count, first)
    low, high = np.log10(first), np.log10(last)
    exponents = np.arange(count, dtype=np.float64)
    if high > low or high < low:
        exponents *= (high - low) / (count - 1)
    else:
        exponents *= 0.0
    exponents += low
    exponents[-1] = high
    numbers: Floats = np.power(10.0, exponents)
    numbers[0], numbers[-1] = first, last
    return numbers


def cooling(
    temperatures: Temperatures, num_sweeps: int, kind: Literal["geometric", "linear"] = "geometric"
) -> Floats:
    """Return a schedule from ``hot`` to ``knee``, then geometric to ``cold``.

    The second part takes at most ``TAIL`` of the sweeps (rounded up), and fewer if a single
    geometric schedule from ``hot`` to ``cold`` would spend fewer there. A cold end that is very
    far away therefore costs little.

    Args:
        temperatures: inverse temperatures, for example from
            :func:`~qpsbgd.samplers.temperature_rules.auto_temperatures`.
        num_sweeps: number of inverse temperatures, >= 0.
        kind: spacing of the inverse temperatures of the first part.

    Returns:
        float64 ``(num_sweeps,)``: inverse temperatures that never decrease. The last is ``cold``.

    Example:
        >>> from qpsbgd.samplers.schedule import cooling
        >>> from qpsbgd.samplers.temperature_rules import Temperatures
        >>> cooling(Temperatures(1.0, 4.0, 64.0), 4).round(6)
        array([ 1.,  2.,  4., 64.])
    """
    hot, knee, cold = temperatures
    if num_sweeps <= 1:
        return np.full(num_sweeps, cold)
    tail = 0
    if knee < cold:
        even = num_sweeps * math.log(cold / knee) / math.log(cold / hot)
        tail = min(math.ceil(TAIL * num_sweeps), max(1, round(even)))
    space = geometric_space if kind == "geometric" else np.linspace
    main = space(hot, knee, num_sweeps - tail)
    return np.concatenate([main, geometric_space(knee, cold, tail + 1)[1:]])


def schedule_betas(
    problem: "Problem",
    beta_range: BetaRange | None,
    num_sweeps: int | None,
    num_sweeps_per_beta: int,
    kind: ScheduleType,
    custom: Sequence[float] | npt.NDArray[Any] | None,
    *,
    custom_name: str = "beta_schedule",
    default_sweeps: int = DEFAULT_NUM_SWEEPS,
) -> Floats:
    """Return the inverse temperatures that the arguments of an annealer describe.

    Args:
        problem: the problem, for the rules that find temperatures.
        beta_range: ``(first, last)``, ``"auto"``, ``"dwave"`` or None.
        num_sweeps: number of sweeps of a read, or None for the default.
        num_sweeps_per_beta: sweeps at each inverse temperature.
        kind: ``"geometric"``, ``"linear"`` or ``"custom"``.
        custom: the inverse temperatures, for ``"custom"``.
        custom_name: name of the argument ``custom``, for messages.
        default_sweeps: the default of ``num_sweeps``.

    Returns:
        float64 ``(num_sweeps / num_sweeps_per_beta,)``.

    Raises:
        TypeError: an argument of the wrong type.
        ValueError: a value out of range, or arguments that contradict each other.
    """
    checked_choice("beta_schedule_type", kind, ("linear", "geometric", "custom"))
    checked_count("num_sweeps_per_beta", num_sweeps_per_beta, 1)
    if num_sweeps is not None:
        checked_num_sweeps(num_sweeps)
    if kind == "custom":
        return _custom_betas(custom_name, custom, beta_range, num_sweeps, num_sweeps_per_beta)
    if custom is not None:
        raise ValueError(f"{custom_name} goes with beta_schedule_type='custom', not {kind!r}")
    if num_sweeps is None:
        num_sweeps = default_sweeps
    num_betas, rest = divmod(num_sweeps, num_sweeps_per_beta)
    if rest:
        raise ValueError(
            f"num_sweeps is {num_sweeps}, but must be a multiple of num_sweeps_per_beta, "
            f"{num_sweeps_per_beta}"
        )
    ends = checked_beta_range(beta_range)
    if not problem.variables:
        ends = temperature_rules.ARBITRARY
    elif ends == "auto":
        return cooling(temperature_rules.auto_temperatures(problem), num_betas, kind)
    elif ends == "dwave":
        ends = temperature_rules.dwave_beta_range(problem)
    assert not isinstance(ends, str)
    return _betas_between(*ends, num_betas, kind, beta_range)


def resolve_keep(
    keep: Keep | None, betas: npt.NDArray[np.float64] | list[float], *, is_by_rule: bool
) -> Keep:
    """Return which state a read of annealing keeps.

    Args:
        keep: the choice of the caller; None for the choice that is made here.
        betas: inverse temperatures of all sweeps.
        is_by_rule: whether a rule found the inverse temperatures. Such a schedule searches for low
            energies, even if both ends that the rule finds are equal.

    Returns:
        ``"final"`` if the caller names a single temperature, as the last states are then samples
        of a Boltzmann distribution; otherwise ``"best"``.
    """
    if keep is not None:
        return keep
    is_constant = len(betas) > 0 and bool((np.asarray(betas) == betas[0]).all())
    return "final" if is_constant and not is_by_rule else "best"


def _betas_between(
    first: float, last: float, num_betas: int, kind: ScheduleType, beta_range: Any
) -> Floats:
    is_finite = first < np.inf and last < np.inf
    if kind == "geometric" and not (is_finite and first > 0 and last > 0):
        raise ValueError(
            f"beta_range is {beta_range!r}, but a geometric schedule needs positive, finite ends"
        )
    if kind == "linear" and not is_finite:
        raise ValueError(f"beta_range is {beta_range!r}, but a linear schedule needs finite ends")
    if num_betas == 1:
        return np.array([last])
    space = geometric_space if kind == "geometric" else np.linspace
    return space(first, last, num_betas)


def _custom_betas(
    name: str, custom: Any, beta_range: Any, num_sweeps: int | None, num_sweeps_per_beta: int
) -> Floats:
    if custom is None:
        raise ValueError(f"{name} is None, but beta_schedule_type='custom' needs one")
    if isinstance(custom, (list, tuple)) and any(isinstance(beta, str) for beta in custom):
        raise ValueError(f"{name} is {custom!r}, but must be numbers")
    betas = np.array(real_array(name, custom), np.float64)
    if betas.ndim != 1:
        raise ValueError(f"{name} has shape {betas.shape}, but must have one dimension")
    bad = np.flatnonzero(~(betas >= 0))
    if len(bad):
        raise ValueError(f"{name}[{bad[0]}] is {betas[bad[0]]}, but must be at least 0")
    if num_sweeps is not None and num_sweeps != len(betas) * num_sweeps_per_beta:
        raise ValueError(
            f"num_sweeps is {num_sweeps}, but {name} and num_sweeps_per_beta make "
            f"{len(betas) * num_sweeps_per_beta}"
        )
    if beta_range is not None and (
        len(betas) == 0 or checked_beta_range(beta_range) != (betas[0], betas[-1])
    ):
        raise ValueError(f"beta_range is {beta_range!r}, but must be None or the ends of {name}")
    return betas
