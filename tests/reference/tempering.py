"""Parallel tempering and annealed importance sampling, replica by replica."""

import itertools
from typing import Any

import numpy as np
import numpy.typing as npt

from reference.streams import (
    Doubles,
    Spins,
    exponential,
    noise,
    random_state,
    splitmix64,
    stream_word,
)

EXCHANGES, CLUSTERS = 2**64 - 1, 2**64 - 2  # in the place of a replica's number


def temper(
    linear: npt.NDArray[Any],
    pairs: npt.NDArray[Any],
    quadratic: npt.NDArray[Any],
    start: Spins,
    betas: npt.NDArray[Any],
    *,
    num_copies: int,
    num_sweeps: int,
    cluster_period: int,
    first_clustered: int,
    seed: int,
    read: int,
    gibbs: bool = False,
) -> Spins:
    """Return the states of the first copies after each sweep, ``(num_sweeps, betas, n)``.

    Biases must be small integers, so that energies are exact.
    """
    n, size = len(linear), len(betas)
    couplings, scale = _couplings(linear, pairs, quadratic)
    states = [random_state(seed, r, read, n).astype(float) for r in range(size * num_copies)]
    states[0] = start.astype(float)
    order = list(range(len(states)))  # the replica at each (copy, beta)
    order[0], order[size - 1] = order[size - 1], order[0]
    history = []
    for sweep in range(num_sweeps):
        for slot, replica in enumerate(order):
            stream = (seed, replica, read, sweep)
            _sweep(
                states[replica], linear, couplings, scale, float(betas[slot % size]), stream, gibbs
            )
        made = sweep + 1
        if cluster_period and made % cluster_period == 0:
            word = stream_word(seed, CLUSTERS, read, made)
            for t in range(first_clustered, size):
                for copy in range(0, num_copies - 1, 2):
                    a, b = (states[order[(copy + k) * size + t]] for k in (0, 1))
                    exchange_components(a, b, linear, pairs, splitmix64(word ^ (copy << 32 | t)))
        energies = [_energy(linear, couplings, s) for s in states]
        slack = exponential(
            seed=seed, problem=EXCHANGES, read=read, sweep=made, first=0, count=len(states)
        )
        for copy in range(num_copies):
            for t in range(made % 2, size - 1, 2):
                here = copy * size + t
                gain = (betas[t + 1] - betas[t]) * (
                    energies[order[here + 1]] - energies[order[here]]
                )
                if gain + float(slack[here]) >= 0:
                    order[here], order[here + 1] = order[here + 1], order[here]
        history.append([states[order[t]].copy() for t in range(size)])
    return np.array(history, np.int8)


def exchange_components(
    a: Doubles, b: Doubles, linear: npt.NDArray[Any], pairs: npt.NDArray[Any], word: int
) -> None:
    """Exchange connected components of the spins in which two states differ, each or not."""
    edges = {(int(i), int(j)) for pair in zip(*pairs, strict=True) for i, j in (pair, pair[::-1])}
    marked = a != b
    if not linear.any() and 2 * marked.sum() > len(a):
        marked = ~marked  # b and -b are equivalent
    left = set(np.flatnonzero(marked).tolist())
    while left:
        first = min(left)
        component, border = {first}, [first]
        while border:
            i = border.pop()
            near = {j for j in left if (i, j) in edges} - component
            component |= near
            border += near
        left -= component
        if splitmix64(word ^ splitmix64(first)) & 1:
            members = list(component)
            a[members] *= -1
            b[members] *= -1


def log_weights(
    linear: npt.NDArray[Any],
    pairs: npt.NDArray[Any],
    quadratic: npt.NDArray[Any],
    betas: npt.NDArray[Any],
    *,
    num_chains: int,
    seed: int,
    problem: int,
) -> Doubles:
    """Return the logarithm of each chain's weight before its sweep at each beta."""
    couplings, scale = _couplings(linear, pairs, quadratic)
    logs = np.zeros((num_chains, len(betas)))
    for chain in range(num_chains):
        s = random_state(seed, problem, chain, len(linear)).astype(float)
        log, before = 0.0, 0.0
        for k, beta in enumerate(betas):
            log -= (beta - before) * _energy(linear, couplings, s)
            logs[chain, k], before = log, beta
            _sweep(s, linear, couplings, scale, float(beta), (seed, problem, chain, k), True)
    return logs


def _couplings(
    linear: npt.NDArray[Any], pairs: npt.NDArray[Any], quadratic: npt.NDArray[Any]
) -> tuple[Doubles, float]:
    """Return J as a matrix, and the scale that brings the largest field below 1."""
    couplings = np.zeros((len(linear), len(linear)))
    np.add.at(couplings, tuple(pairs), quadratic)
    couplings += couplings.T
    reach = (np.abs(linear) + np.abs(couplings).sum(axis=1)).max()
    return couplings, 2.0 ** -float(np.frexp(reach)[1])


def _energy(linear: npt.NDArray[Any], couplings: Doubles, s: Doubles) -> float:
    return float(s @ linear + s @ couplings @ s / 2)


def _sweep(
    s: Doubles,
    linear: npt.NDArray[Any],
    couplings: Doubles,
    scale: float,
    beta: float,
    stream: tuple[int, int, int, int],
    gibbs: bool,
) -> None:
    """Make one sweep by Metropolis's or Gibbs's rule, variables in order."""
    largest = np.float32(np.finfo(np.float32).max / 64)
    threshold = np.float32(scale / (2.0 * beta)) if beta > 0 else largest
    slack = threshold * noise(stream, len(s), gibbs)
    for i in range(len(s)):
        field = scale * (linear[i] + couplings[i] @ s)
        if np.float32(s[i] * field) + slack[i] >= 0:
            s[i] = -s[i]


def log_partition(linear: npt.NDArray[Any], couplings: Doubles, betas: Any) -> Doubles:
    """Return the logarithms of the partition function at some betas by enumeration.

    A state is a state of the first half of the variables beside one of the second half.
    """
    half = len(linear) // 2
    halves = (slice(None, half), slice(half, None))
    states = [
        np.array(list(itertools.product((-1.0, 1.0), repeat=len(linear[part])))) for part in halves
    ]
    energies = states[0] @ couplings[halves] @ states[1].T
    for axis, (part, s) in enumerate(zip(halves, states, strict=True)):
        own = s @ linear[part] + ((s @ couplings[part, part]) * s).sum(axis=1) / 2
        energies += own[:, None] if axis == 0 else own
    lowest = float(energies.min())
    sums = [np.exp(-beta * (energies - lowest)).sum() for beta in betas]
    return np.log(sums) - np.asarray(betas) * lowest
