"""Samplers of Ising problems, variable by variable."""

import itertools
from typing import Any

import numpy as np
import numpy.typing as npt

from reference.streams import Spins, noise, random_variables


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
