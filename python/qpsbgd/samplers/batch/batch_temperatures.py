"""Inverse temperatures of a batch, found in some of its problems."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt

from qpsbgd.samplers import temperature_rules
from qpsbgd.samplers.batch.batch_options import BatchOptions, Form
from qpsbgd.samplers.batch.chunks import Chunk, solve_chunk
from qpsbgd.samplers.batch.couplings import Couplings, Floats, States
from qpsbgd.samplers.batch.dense import DenseCouplings
from qpsbgd.samplers.batch.low_rank import LowRankCouplings
from qpsbgd.samplers.batch.sparse import SparseCouplings
from qpsbgd.samplers.temperature_rules import Temperatures

#: The local minima of at most this number of problems decide on a batch's temperatures.
MAX_SCOUTS = 16
#: The scouted problems have about this number of spins together.
SCOUTED_SPINS = 4096
#: Smallest number of scouted problems, whatever their size.
MIN_SCOUTS = 4
#: Number of sweeps at zero temperature that lead a random state of low rank close to a minimum.
SCOUT_SWEEPS = 40
#: Largest number of flips after these sweeps that correct what float32 has rounded.
POLISHING_FLIPS = 100
#: Smallest positive double.
SMALLEST = float(np.finfo(np.float64).smallest_subnormal)
#: Ends that a range of inverse temperatures may have.
BETA_LIMITS = float(np.finfo(np.float64).tiny), float(np.finfo(np.float64).max) / 4
#: A problem whose typical field differs by this ratio from those that share its J gets its own
#: units.
UNIT_RATIO = 2.0**400


def auto_temperatures(
    h: Floats, J: Couplings, options: BatchOptions
) -> tuple[Temperatures, Floats]:
    """Return temperatures of some problems, and the factor of each problem to them.

    The rule :func:`~qpsbgd.samplers.temperature_rules.temperatures_of_barriers` is applied to the
    local minima of up to ``MAX_SCOUTS`` problems together.

    If each problem has its own J, temperatures are in units of each problem's typical field,
    ``mean_i sqrt(h_i^2 + sum_j J_ij^2)``. Problems that share J have one range, in units of their
    largest field.

    Args:
        h: fields over spins, ``(B, n)``.
        J: couplings over spins.
        options: the form, the precision and the number of threads of the batch.

    Returns:
        The inverse temperatures, and a factor ``(B,)`` that turns them into those of each problem.
    """
    n = h.shape[1]
    hot, cold = temperature_rules.ARBITRARY
    arbitrary = Temperatures(hot, cold, cold)
    if h.size == 0:
        return arbitrary, np.ones(len(h))
    if J.is_shared:
        is_biased = np.full(len(h), True) if J.has_couplings() else h.any(axis=1)
    else:
        largest, units = J.magnitudes(h, options.num_threads)
        is_biased = largest > 0
    scouts = spread(np.flatnonzero(is_biased), n)
    if len(scouts) == 0:
        return arbitrary, np.ones(len(h))
    couplings = J.select(scouts)
    fields = np.ascontiguousarray(h[scouts])
    reads = min(max(SCOUTED_SPINS // (n * len(scouts)), 1), temperature_rules.MAX_SCOUTS)
    starts = np.random.default_rng(0).choice(np.array([-1, 1], np.int8), (len(scouts), reads, n))
    minima = local_minima(fields, couplings, starts, options)
    reach = couplings.reach(fields)  # (scouts, n)
    if J.is_shared:
        units = np.full(len(h), reach.max())
    # The mean of subnormal numbers may be 0. A problem without biases may have any unit.
    units = np.where(units > 0, units, np.where(is_biased, SMALLEST, 1))
    scout_units = units[scouts, None, None]
    # A field is divided before it is doubled, because the doubled field could overflow.
    local_fields = couplings.fields(fields, minima, options.num_threads)
    barriers = 2.0 * (np.abs(local_fields) / scout_units)
    highest = 2.0 * (reach[:, None, :] / scout_units)
    temperatures = temperature_rules.temperatures_of_barriers(barriers, highest)
    # The inverse of a subnormal number may be infinite, but temperatures must not be.
    largest_beta = temperature_rules.LARGEST
    return temperatures, 1.0 / np.maximum(units, temperatures.cold / largest_beta)


def local_minima(h: Floats, J: Couplings, starts: States, options: BatchOptions) -> States:
    """Return local minima ``(B, R, n)`` below some states.

    They are minima in float64, except where ``POLISHING_FLIPS`` flips of a state of low rank do not
    lead to one.

    Args:
        h: fields over spins, ``(B, n)``.
        J: couplings over spins.
        starts: states, int8 ``(B, R, n)``.
        options: the form, the precision and the number of threads of the batch.
    """
    options = BatchOptions(
        num_threads=options.num_threads, form=options.form, precision=options.precision
    )
    chunk = Chunk(h, J, starts, np.ones(len(h)))
    if options.form != "low_rank":
        form: Form = "sparse" if options.form == "sparse" else "dense"
        return _solved_states(chunk, replace(options, method="descent", form=form))
    # Descent does not take the low-rank form. Sweeps at zero temperature in float32 lead close to a
    # minimum, and single flips in float64 lead to it.
    states = _solved_states(chunk, replace(options, betas=(np.inf,) * SCOUT_SWEEPS))
    smallest_gains = temperature_rules.ROUNDING * J.reach(h)[:, None, :]
    rest = np.arange(len(h))  # problems with a state that may not be a minimum
    for _ in range(POLISHING_FLIPS):
        gains = states[rest] * J.fields(h[rest], states[rest], options.num_threads)  # (rest, R, n)
        gains[gains <= smallest_gains[rest]] = 0.0
        flips = np.nonzero(gains.any(axis=-1))
        if not len(flips[0]):
            break
        states[rest[flips[0]], flips[1], gains[flips].argmax(axis=-1)] *= -1
        rest = rest[np.unique(flips[0])]
    return states


def dwave_range(h: Floats, J: Couplings, num_threads: int) -> tuple[tuple[float, float], Floats]:
    """Return a range by dwave-samplers' rule, and the factor of each problem to it.

    The range is the median of those of up to ``MAX_SCOUTS`` problems.

    Args:
        h: fields over spins, ``(B, n)``.
        J: couplings over spins.
        num_threads: largest number of threads.

    Returns:
        ``(hot, cold)``, and a factor ``(B,)`` that turns them into those of each problem.
    """
    if h.size == 0:
        return temperature_rules.ARBITRARY, np.ones(len(h))
    if J.is_shared:
        # One range for all problems, from some that have a bias.
        is_biased = np.full(len(h), True) if J.has_couplings() else h.any(axis=1)
        scouts = spread(np.flatnonzero(is_biased), h.shape[1])
        scouted = _typical_fields(np.ascontiguousarray(h[scouts]), J, num_threads)
        scouts, scouted = scouts[scouted > 0], scouted[scouted > 0]
        # A median may add two numbers, so it is taken of halves, whose sum is finite. Half of the
        # smallest double is 0, hence the maximum.
        middle = max(2.0 * np.median(scouted / 2), SMALLEST) if len(scouted) else 0.0
        typical = np.full(len(h), middle)
    else:
        typical = _typical_fields(h, J, num_threads)
        scouts = spread(np.flatnonzero(typical), h.shape[1])
        scouted = typical[scouts]
    if len(scouts) == 0:
        return temperature_rules.ARBITRARY, np.ones(len(h))
    # In units of the problems' typical field, as a double may hold neither a difference of the
    # largest biases nor the inverse of the least. A problem of another magnitude than those that
    # share its J gets its own units, in which its differences do not underflow.
    units = typical[scouts]
    with np.errstate(over="ignore", under="ignore"):
        ratios = scouted / units
        units = np.where((ratios > 1 / UNIT_RATIO) & (ratios < UNIT_RATIO), units, scouted)
        factors = typical[scouts] / units
    couplings, fields = J.select(scouts), np.ascontiguousarray(h[scouts])
    with np.errstate(over="ignore", under="ignore", divide="ignore"):
        ranges = np.array(_dwave_ranges(fields, couplings, units))
        ranges = np.clip(ranges * factors[:, None], *BETA_LIMITS)
        first, last = np.median(ranges, axis=0)
        # A factor becomes infinite if a double does not hold the inverse. The annealing is then a
        # descent.
        return (float(first), float(last)), 1 / np.where(typical > 0, typical, 1.0)


def spread(problems: npt.NDArray[np.intp], n: int) -> npt.NDArray[np.intp]:
    """Return ``MIN_SCOUTS`` to ``MAX_SCOUTS`` of the problems of n variables, evenly spread."""
    count = min(max(SCOUTED_SPINS // n, MIN_SCOUTS), MAX_SCOUTS, len(problems))
    chosen = np.unique(np.linspace(0, len(problems) - 1, count).astype(np.intp))
    scouts: npt.NDArray[np.intp] = problems[chosen]
    return scouts


def _solved_states(chunk: Chunk, options: BatchOptions) -> States:
    result = solve_chunk(chunk, options)
    if result.error is not None:  # Ctrl-C
        raise result.error
    return result.states


def _typical_fields(h: Floats, J: Couplings, num_threads: int) -> Floats:
    """Return each problem's mean of sqrt(h_i^2 + sum_j J_ij^2), ``(B,)``; 0 without biases."""
    largest, typical = J.magnitudes(h, num_threads)
    # float64 rounds a mean of subnormal numbers to 0.
    fields: Floats = np.where(largest > 0, np.maximum(typical, SMALLEST), 0.0)
    return fields


def _dwave_ranges(h: Floats, J: Couplings, units: Floats) -> list[tuple[float, float]]:
    """Return the range of each problem by dwave-samplers' rule, in its units."""
    if isinstance(J, LowRankCouplings):
        J = J.to_dense()
    if isinstance(J, DenseCouplings):
        J = SparseCouplings.from_dense(J)
    assert isinstance(J, SparseCouplings)
    values = np.broadcast_to(J.values, (len(h), len(J.rows)))
    ranges = []
    for linear, couplings, unit in zip(h, values, units, strict=True):
        biases: Any = SimpleNamespace(
            linear=linear / unit, pairs=(J.rows, J.columns), quadratic=couplings / unit
        )
        ranges.append(temperature_rules.dwave_beta_range(biases))
    return ranges
