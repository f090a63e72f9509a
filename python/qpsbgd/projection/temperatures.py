"""Rules that find the inverse temperatures of a layer's problems."""

from typing import Any

import numpy as np
import numpy.typing as npt

from qpsbgd import _core
from qpsbgd._checks.beta_ranges import BetaRule
from qpsbgd.samplers import temperature_rules
from qpsbgd.samplers.batch.batch_options import BatchOptions
from qpsbgd.samplers.batch.batch_temperatures import auto_temperatures, dwave_range, spread
from qpsbgd.samplers.batch.dense import DenseCouplings

Inputs = npt.NDArray[np.float32]

#: For the sign objective the rule measures energy differences in SIGN_READS reads of a neuron, for
#: at most SIGN_FLIPS flips in each.
SIGN_READS = 2
SIGN_FLIPS = 64
#: Sweeps of a descent to a local minimum.
SCOUT_SWEEPS = 20


def quadratic_beta_range(
    rule: BetaRule, h: npt.NDArray[Any], J: npt.NDArray[Any], *, num_threads: int
) -> tuple[float, float]:
    """Return inverse temperatures ``(hot, cold)`` for the quadratic problems of a layer.

    Args:
        rule: ``"auto"`` or ``"dwave"``.
        h: biases of the problems ``(m, n)``.
        J: couplings ``(n, n)`` that they share.
        num_threads: largest number of threads.
    """
    couplings = DenseCouplings.checked(J, h.shape, num_threads)  # (n, n)
    fields = np.ascontiguousarray(h, np.float64)  # (m, n)
    if rule == "dwave":
        (first, last), factors = dwave_range(fields, couplings, num_threads)
    else:
        # A projection has few sweeps and stops at the knee. The part beyond it serves the smallest
        # barriers, which only long schedules resolve.
        temperatures, factors = auto_temperatures(
            fields, couplings, BatchOptions(num_threads=num_threads)
        )
        first, last = temperatures.hot, temperatures.knee
    return float(first * factors[0]), float(last * factors[0])


def sign_beta_range(
    X: Inputs, T: Inputs, *, target_eps: float, num_threads: int
) -> tuple[float, float]:
    """Return inverse temperatures ``(hot, cold)`` for the sign problems of a layer.

    The rule is that of :func:`qpsbgd.samplers.temperature_rules.temperatures_of_barriers`, from hot
    to knee: the median over up to 16 neurons, each with ``SIGN_READS`` random states and the minima
    below them. The largest difference that is met stands for the highest barrier.

    Args:
        X: inputs, float32 ``(N, n)``.
        T: targets, float32 ``(N, m)``.
        target_eps: tie rule of the sign objective.
        num_threads: largest number of threads.
    """
    n = X.shape[1]
    rng = np.random.default_rng(0)
    flips = np.unique(np.linspace(0, n - 1, min(n, SIGN_FLIPS)).astype(np.intp))
    ranges = []
    for neuron in spread(np.flatnonzero(T.any(axis=0)), n):
        t = T[:, neuron].astype(np.float64)
        t /= np.abs(t / np.abs(t).max()).mean() * np.abs(t).max()  # the mean must not overflow
        states = rng.choice(np.array([-1, 1], np.int8), (SIGN_READS, n))
        minima = _core.project(
            X, _copies(t, SIGN_READS), initial=_core.InitialState.given, initial_states=states,
            objective=_core.Objective.sign, scale=1.0, alpha=_core.AlphaRule.norm,
            num_sweeps=SCOUT_SWEEPS, num_reads=1, betas=[], target_eps=target_eps,
            seed=0, num_threads=num_threads,
        )  # fmt: skip
        differences, barriers = (
            np.concatenate(
                [_differences(X, t, state, flips, target_eps, num_threads) for state in group]
            )
            for group in (states, minima)
        )
        highest = np.full(len(barriers), max(differences.max(), barriers.max()))
        if highest.max() > 0:
            temperatures = temperature_rules.temperatures_of_barriers(barriers, highest)
            ranges.append((temperatures.hot, temperatures.knee))
    if not ranges:
        return temperature_rules.ARBITRARY
    first, last = np.median(ranges, axis=0)
    return float(first), float(last)


def _differences(
    X: Inputs,
    t: npt.NDArray[np.float64],
    state: npt.NDArray[np.int8],
    flips: npt.NDArray[np.intp],
    target_eps: float,
    num_threads: int,
) -> npt.NDArray[np.float64]:
    """Return the magnitudes ``(flips,)`` of the energy differences of single flips of a state."""
    states = np.tile(state, (len(flips) + 1, 1))  # the last row stays the state itself
    states[np.arange(len(flips)), flips] *= -1
    energies = _core.projection_energy(
        X, _copies(t, len(states)), states, objective=_core.Objective.sign, scale=1.0,
        alpha=_core.AlphaRule.norm, target_eps=target_eps, num_threads=num_threads,
    )  # fmt: skip
    magnitudes: npt.NDArray[np.float64] = np.abs(energies[:-1] - energies[-1])
    return magnitudes


def _copies(t: npt.NDArray[np.float64], count: int) -> Inputs:
    """Return the targets ``(N, count)`` of equal neurons."""
    return np.ascontiguousarray(np.repeat(t[:, None], count, axis=1), np.float32)
