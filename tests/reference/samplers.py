"""Samplers of Ising problems, variable by variable."""

import itertools
import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from reference.streams import Spins, noise, random_variables, word_uniforms


def anneal(
    linear: npt.NDArray[Any],
    pairs: npt.NDArray[Any],
    quadratic: npt.NDArray[Any],
    starts: Spins,
    betas: npt.NDArray[Any],
    *,
    gibbs: bool,
    random_order: bool,
    keep_best: bool,
    seed: int,
    problem: int = 0,
) -> Spins:
    """Anneal each start, variable by variable; biases must be small integers."""
    n = starts.shape[1]
    couplings = np.zeros((n, n))
    np.add.at(couplings, tuple(pairs), quadratic)
    couplings += couplings.T
    # Biases are exact in float32 at any scale. The core scales the largest field below 1.
    reach = (np.abs(linear) + np.abs(couplings).sum(axis=1)).max()
    scale = 2.0 ** -float(np.frexp(reach)[1])
    results = []
    for read, start in enumerate(starts):
        s = start.astype(np.float64)
        best, best_energy = s.copy(), s @ linear + s @ couplings @ s / 2
        for sweep, beta in enumerate(betas):
            threshold = np.float32(scale / (2.0 * beta))
            stream = (seed, problem, read, sweep)
            slack = threshold * noise(stream, n, gibbs)
            order = random_variables(stream, n) if random_order else range(n)
            for k, i in enumerate(order):
                field = scale * (linear[i] + couplings[i] @ s)
                if np.float32(s[i] * field) + slack[k] >= 0:
                    s[i] = -s[i]
            energy = s @ linear + s @ couplings @ s / 2
            if energy < best_energy:
                best, best_energy = s.copy(), energy
        results.append(best if keep_best else s)
    return np.array(results, np.int8)


def anneal_bits(
    linear: npt.NDArray[Any],
    pairs: npt.NDArray[Any],
    quadratic: npt.NDArray[Any],
    starts: Spins,
    betas: npt.NDArray[Any],
    *,
    gibbs: bool,
    keep_best: bool,
    seed: int,
    unit: float = 1.0,
    reads: Iterable[int] | None = None,
) -> Spins:
    """Anneal each start with the random numbers of precision ``"bits"``, variable by variable.

    Biases must be small multiples of ``unit``, the largest power of two that allows it. The starts
    belong to reads 0, 1, ..., or to those of the numbers ``reads``.
    """
    n = starts.shape[1]
    couplings = np.zeros((n, n))
    np.add.at(couplings, tuple(pairs), quadratic)
    couplings += couplings.T
    results = []
    for read, start in zip(range(len(starts)) if reads is None else reads, starts, strict=True):
        s = start.astype(np.float64)
        best, best_energy = s.copy(), s @ linear + s @ couplings @ s / 2
        for sweep, beta in enumerate(betas):
            uniforms = word_uniforms(seed, 0, read, sweep, n)
            for i in range(n):
                gain = round(s[i] * (linear[i] + couplings[i] @ s) / unit)
                chance = acceptance_chance(2.0 * float(beta) * unit, gain, gibbs=gibbs)
                if (gain >= 0 and not gibbs) or uniforms[i] < chance:
                    s[i] = -s[i]
            energy = s @ linear + s @ couplings @ s / 2
            if energy < best_energy:
                best, best_energy = s.copy(), energy
        results.append(best if keep_best else s)
    return np.array(results, np.int8)


def acceptance_chance(step: float, gain: int, *, gibbs: bool) -> int:
    """Return the probability of a flip in units of 2**-32, at most 2**32 - 1."""
    small = 1.0 if gain == 0 else exp_of_minus(step * abs(gain))
    chance = small if gain < 0 else 1.0
    if gibbs:
        chance /= 1.0 + small
    return min(math.floor(chance * 2.0**32 + 0.5), 2**32 - 1)


def exp_of_minus(x: float) -> float:
    """Return ``exp(-x)`` by the series of the core."""
    if not x < 700.0:
        return 0.0
    k = math.floor(x * float.fromhex("0x1.71547652b82fep0") + 0.5)
    high, low = float.fromhex("0x1.62e42feep-1"), float.fromhex("0x1.a39ef35793c76p-33")
    r = (k * high - x) + k * low
    total = 1.0
    for term in range(14, 0, -1):
        total = 1.0 + total * (r * (1.0 / term))
    return math.ldexp(total, -k)


def descend(
    linear: npt.NDArray[Any],
    pairs: npt.NDArray[Any],
    quadratic: npt.NDArray[Any],
    starts: Spins,
) -> tuple[Spins, list[int]]:
    """Return the end of a steepest descent in float64 from each start, and its number of flips."""
    couplings = np.zeros((len(linear), len(linear)))
    np.add.at(couplings, tuple(pairs), quadratic)
    couplings += couplings.T
    results, steps = [], []
    for start in starts:
        s, count = start.astype(np.float64), 0
        while (gains := s * (linear + couplings @ s)).max(initial=0.0) > 0:
            i = np.argmax(gains)  # the first of the largest
            s[i] = -s[i]
            count += 1
        results.append(s)
        steps.append(count)
    return np.array(results, np.int8), steps


def lowest_states(
    linear: npt.NDArray[Any],
    pairs: npt.NDArray[Any],
    quadratic: npt.NDArray[Any],
    num_states: int,
) -> Spins:
    """Return the lowest states; equal energies are in lexicographic order, and must be exact."""
    states = np.array(list(itertools.product((-1, 1), repeat=len(linear))), np.int8)
    energies = states @ linear
    for i, j, value in zip(*pairs, quadratic, strict=True):
        energies = energies + value * states[:, i] * states[:, j]
    return states[np.argsort(energies, kind="stable")[:num_states]]
