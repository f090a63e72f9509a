"""Slow, obvious twin of the core's tabu search, for tests and for reading."""

from typing import Any

import numpy as np
import numpy.typing as npt

from reference.streams import Doubles, Spins, splitmix64

GENERATION = 8
BLOCK = 128


class _Words:
    """Random words of one search."""

    def __init__(self, seed: int, read: int, search: int) -> None:
        self._state = splitmix64(seed)
        for part in (0, read, search):
            self._state = splitmix64(self._state ^ part)

    def next(self) -> int:
        self._state = (self._state + 0x9E3779B97F4A7C15) % 2**64
        return splitmix64(self._state)

    def below(self, bound: int) -> int:
        return (self.next() >> 32) * bound >> 32

    def bits(self, count: int) -> list[int]:
        words = [self.next() for _ in range(0, count, 64)]
        return [words[i // 64] >> i % 64 & 1 for i in range(count)]


def tabu(
    linear: npt.NDArray[Any],
    pairs: npt.NDArray[Any],
    quadratic: npt.NDArray[Any],
    start: Spins,
    *,
    tenures: tuple[int, int],
    num_restarts: int,
    first_moves: int | None = None,
    restart_moves: int | None = None,
    num_elites: int = 8,
    barren_generations: int = 4,
    seed: int,
    read: int = 0,
) -> tuple[Spins, int]:
    """Return the best state of one read and its number of moves; biases must be small integers.

    ``tenures`` are the shortest and the longest tenure of a search.
    """
    n = len(linear)
    couplings = np.zeros((n, n))
    np.add.at(couplings, tuple(pairs), quadratic)
    couplings += couplings.T
    elites: list[tuple[float, Spins]] = []
    best_energy, best = np.inf, start
    moves, barren, relinking = 0, 0, False
    for begun in range(0, num_restarts + 1, GENERATION):
        generation = []
        for search in range(begun, min(begun + GENERATION, num_restarts + 1)):
            words = _Words(seed, read, search)
            spread = tenures[1] - tenures[0]
            tenure = tenures[0] + (words.below(spread + 1) if search else spread // 2)
            if search == 0:
                s = start
            elif relinking:
                s = _between(elites, bool(linear.any()), words)
            else:
                s = np.array([1 if bit else -1 for bit in words.bits(n)], np.int8)
            limit = restart_moves if search else first_moves
            generation.append(_search(linear, couplings, s, tenure, limit, words))
        renewed = False
        for energy, s, made in generation:
            moves += made
            if energy < best_energy:
                best_energy, best = energy, s
            renewed |= _offer(elites, num_elites, energy, s, bool(linear.any()))
        barren = 0 if renewed else barren + 1
        if not relinking:
            relinking = len(elites) == num_elites
        elif barren >= barren_generations:
            del elites[1:]
            relinking = False
    return best, moves


def _search(
    linear: npt.NDArray[Any],
    couplings: Doubles,
    start: Spins,
    tenure: int,
    moves: int | None,
    words: _Words,
) -> tuple[float, Spins, int]:
    """Return the best energy of one search, its state and the number of moves."""
    n = len(start)
    s = start.astype(np.float64)
    until = np.zeros(n, np.int64)  # first move at which a variable is allowed again
    gains = s * (linear + couplings @ s)
    energy = best_energy = (s @ linear + gains.sum()) / 2
    best = s.copy()
    now = improved = 0
    word = words.next()
    while now < moves if moves is not None else now - improved < max(100, 2 * n):
        allowed = until <= now + 1
        variable = _tied(np.flatnonzero(allowed & (gains == gains[allowed].max())), n, word)
        if energy - 2 * gains.max() < best_energy and gains.max() > gains[variable]:
            variable = int(
                np.argmax(gains)
            )  # aspiration: a tabu flip that leads to a new best state
        now += 1
        word = words.next()
        until[variable] = now + 1 + tenure
        energy -= 2 * gains[variable]
        s[variable] = -s[variable]
        gains = s * (linear + couplings @ s)
        if energy < best_energy:
            best_energy, best, improved = energy, s.copy(), now
    return best_energy, best.astype(np.int8), now


def _tied(variables: npt.NDArray[Any], n: int, word: int) -> int:
    """Return the first of some variables, counted from a random block and a random place in it."""
    random = word % 2**32
    blocks = -(-n // BLOCK)
    block, place = (random >> 8) * blocks >> 24, random % BLOCK
    result: int = min(
        variables.tolist(), key=lambda i: ((i // BLOCK - block) % blocks, (i - place) % BLOCK)
    )
    return result


def _between(elites: list[tuple[float, Spins]], fields: bool, words: _Words) -> Spins:
    """Return a random state between two elites: each differing variable has either value."""
    first = words.below(len(elites))
    second = words.below(len(elites) - 1)
    second += second >= first
    s: Spins = elites[first][1].copy()
    other = elites[second][1]
    if not fields and 2 * (s != other).sum() > len(s):
        other = -other  # the same state where there are no fields, and nearer
    differences = np.flatnonzero(s != other)
    for i, bit in zip(differences, words.bits(len(differences)), strict=True):
        if bit:
            s[i] = -s[i]
    return s


def _offer(
    elites: list[tuple[float, Spins]], most: int, energy: float, s: Spins, fields: bool
) -> bool:
    """Insert a state among the elites if it is good and new; return whether it was inserted."""
    if len(elites) == most and energy >= elites[-1][0]:
        return False
    if any((s == e).all() or (not fields and (s == -e).all()) for _, e in elites):
        return False
    del elites[most - 1 :]
    place = sum(e <= energy for e, _ in elites)
    elites.insert(place, (energy, s))
    return True
