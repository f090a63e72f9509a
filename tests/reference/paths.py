"""Path-integral annealing, qubit by qubit and segment by segment."""

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from reference.streams import Floats, bits_of, minus_log, splitmix64, stream_key, uniforms

NUM_SLICES = 2**16
ORDER = 2**64 - 1  # read number of the stream of a sweep's order
SEGMENTS, BONDS = 2**31, 2**30  # numbers of the first draws for segments and bonds
f32 = np.float32


class Worldline(NamedTuple):
    """Spin in the last slice, and the ascending places at which the spin changes."""

    spin: int
    breaks: list[int]


class Chains(NamedTuple):
    """Chains of qubits with consecutive numbers that are updated together."""

    length: int
    coupling: float


def anneal_paths(
    linear: npt.NDArray[Any],
    couplings: npt.NDArray[Any],
    starts: list[list[Worldline]],
    problem_fields: npt.NDArray[Any],
    transverse_fields: npt.NDArray[Any],
    *,
    seed: int,
    sweeps_per_step: int = 1,
    chains: Chains | None = None,
) -> list[list[Worldline]]:
    """Anneal the worldlines of each read.

    Args:
        linear: h, ``(n,)``.
        couplings: J, symmetric ``(n, n)`` with a zero diagonal.
        starts: the worldlines of each read.
        problem_fields: factor of the problem's energy at each step.
        transverse_fields: transverse field at each step.
        seed: the seed.
        sweeps_per_step: sweeps at each step.
        chains: chains that are updated together; None to update qubits.
    """
    reach = (np.abs(linear) + np.abs(couplings).sum(axis=1)).max()
    scale = 2.0 ** -float(np.frexp(reach)[1]) if reach > 0 else 1.0
    h, J = (scale * linear).astype(f32), (scale * couplings).astype(f32)
    length = chains.length if chains else 1
    results = []
    for read, start in enumerate(starts):
        lines, sweep = list(start), 0
        for problem_field, transverse in zip(problem_fields, transverse_fields, strict=True):
            factor = f32(2.0 * (problem_field / NUM_SLICES) / scale)
            for _ in range(sweeps_per_step):
                words = stream_key(seed, 0, read, sweep)
                for unit in order_of(seed, sweep, len(h) // length):
                    qubits = range(unit * length, (unit + 1) * length)
                    keys = [tuple(bits_of(words, 2 * i, 2)) for i in qubits]
                    cuts = [
                        cuts_of(lines[i], key, transverse)
                        for i, key in zip(qubits, keys, strict=True)
                    ]
                    energies = [
                        energies_of(h[i], J[i], lines, own)
                        for i, own in zip(qubits, cuts, strict=True)
                    ]
                    if chains is None:
                        lines[unit] = joined(*draw_spins(cuts[0], energies[0], factor, keys[0]))
                    else:
                        chain_factor = f32(
                            2.0 * abs(chains.coupling) * (problem_field / NUM_SLICES)
                        )
                        new = update_chain(
                            [lines[i] for i in qubits], cuts, energies, factor,
                            chain_factor, chains.coupling < 0, keys,
                        )  # fmt: skip
                        for i, line in zip(qubits, new, strict=True):
                            lines[i] = line
                sweep += 1
        results.append(lines)
    return results


def order_of(seed: int, sweep: int, count: int) -> list[int]:
    """Return the order in which a sweep visits qubits or chains."""
    word0, word1 = stream_key(seed, 0, ORDER, sweep)
    key = int(word1) << 32 | int(word0)
    order = list(range(count))
    for i in range(count - 1, 0, -1):
        j = (splitmix64(key ^ i) >> 32) * (i + 1) >> 32
        order[i], order[j] = order[j], order[i]
    return order


def cuts_of(line: Worldline, key: Any, transverse: float) -> list[int]:
    """Return the breaks and the proposed cuts in ascending order."""
    cuts, place, draw = list(line.breaks), -1, 0
    while transverse > 0:
        gap = f32(NUM_SLICES / transverse) * exponential(key, draw)
        place += 1 + int(min(gap, f32(2 * NUM_SLICES)))
        if place >= NUM_SLICES:
            break
        cuts.append(place)
        draw += 1
    return sorted(cuts)


def energies_of(
    h: np.float32, J: Floats, lines: list[Worldline], cuts: list[int]
) -> list[np.float32]:
    """Return the integral of a qubit's field over each segment between cuts.

    Segment m is the one before cut m, and segment 0 also lies behind the last cut.
    """
    field = h
    for coupling, line in zip(J, lines, strict=True):
        if coupling != 0:
            field = field + coupling * f32(line.spin)

    def integral(cut: int) -> np.float32:
        opposite = f32(0)
        for coupling, line in zip(J, lines, strict=True):
            if coupling != 0:
                ends = zip(line.breaks[::2], line.breaks[1::2], strict=True)
                time = sum(min(max(cut, start), end) - start for start, end in ends)
                opposite = opposite + coupling * f32(line.spin) * f32(time)
        return f32(cut) * field - f32(2) * opposite

    at_cuts = [integral(cut) for cut in cuts]
    whole = integral(NUM_SLICES)
    if not cuts:
        return [whole]
    inner = [after - before for before, after in pairwise(at_cuts)]
    return [at_cuts[0] + (whole - at_cuts[-1]), *inner]


def draw_spins(
    cuts: list[int], energies: list[np.float32], factor: np.float32, key: Any
) -> tuple[list[int], list[int]]:
    """Return the cuts and the spins of the segments, each drawn with the weight of its energy."""
    spins: list[int] = []
    for m, energy in enumerate(energies):
        is_empty = m > 0 and cuts[m] == cuts[m - 1]
        up = logistic(key, m) >= factor * energy
        spins.append(spins[-1] if is_empty else (1 if up else -1))
    return cuts, spins


def joined(cuts: list[int], spins: list[int]) -> Worldline:
    """Return the worldline of segments."""
    following = [*spins[1:], spins[0]]
    breaks = [
        cut for cut, spin, after in zip(cuts, spins, following, strict=False) if spin != after
    ]
    return Worldline(spins[0], breaks)


def update_chain(
    lines: list[Worldline],
    cuts: list[list[int]],
    integrals: list[list[np.float32]],
    factor: np.float32,
    chain_factor: np.float32,
    is_ferromagnetic: bool,
    keys: list[Any],
) -> list[Worldline]:
    """Return the worldlines of a chain, by the rule of Swendsen and Wang."""
    places, spins, energies = [], [], []
    for line, own_cuts, own_integrals in zip(lines, cuts, integrals, strict=True):
        different = [m for m, cut in enumerate(own_cuts) if m == 0 or cut != own_cuts[m - 1]]
        places.append([own_cuts[m] for m in different])
        spins.append([spin_before(line, cut) for cut in places[-1]] or [line.spin])
        energies.append([own_integrals[m] for m in different] or own_integrals)
    clusters = {(q, m): {(q, m)} for q, own in enumerate(spins) for m in range(len(own))}
    for q in range(len(lines) - 1):
        bounds = sorted({0, *places[q], *places[q + 1], NUM_SLICES})
        for number, (start, end) in enumerate(pairwise(bounds)):
            ends = [segment_at(places[p], start) for p in (q, q + 1)]
            are_equal = spins[q][ends[0]] == spins[q + 1][ends[1]]
            draw = BONDS + number + (0 in (places[q] + places[q + 1]))
            if are_equal == is_ferromagnetic and exponential(keys[q], draw) < chain_factor * f32(
                end - start
            ):
                union = clusters[q, ends[0]] | clusters[q + 1, ends[1]]
                for member in union:
                    clusters[member] = union
    new = [list(own) for own in spins]
    for q, own in enumerate(spins):
        for m in range(len(own)):
            members = sorted(clusters[q, m])
            (root_q, root_m), *others = members
            energy = f32(spins[root_q][root_m]) * energies[root_q][root_m]
            for p, k in others:
                energy = energy + f32(spins[p][k]) * energies[p][k]
            if not logistic(keys[root_q], root_m) >= factor * energy:
                new[q][m] = -own[m]
    return [joined(own, spin) for own, spin in zip(places, new, strict=True)]


def spin_before(line: Worldline, place: int) -> int:
    """Return the spin just before a place."""
    return line.spin * (-1) ** sum(b < place for b in line.breaks)


def segment_at(places: list[int], start: int) -> int:
    """Return the segment that begins at a place or lies across it."""
    number = sum(place <= start for place in places)
    return number % len(places) if places else 0


def exponential(key: Any, draw: int) -> np.float32:
    """Return a unit exponential variate."""
    value: np.float32 = minus_log(uniforms(bits_of(key, draw, 1)))[0]
    return value


def logistic(key: Any, segment: int) -> np.float32:
    """Return the logistic variate of a segment."""
    u = uniforms(bits_of(key, SEGMENTS + segment, 1))
    value: np.float32 = (minus_log(f32(1) - u) - minus_log(u))[0]
    return value
