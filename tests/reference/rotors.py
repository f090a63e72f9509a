"""Annealing of a rotor model, rotor by rotor."""

from typing import Any

import numpy as np
import numpy.typing as npt

from reference.streams import (
    INITIAL_STATE,
    Spins,
    bits_of,
    minus_log,
    splitmix64,
    stream_key,
    uniforms,
)

NUM_ANGLES = 256
ORDER = 2**64 - 1  # read number of the stream of a sweep's order
f32 = np.float32
ANGLES = 2 * np.pi * np.arange(NUM_ANGLES) / NUM_ANGLES
COSINES, SINES = np.cos(ANGLES).astype(f32), np.abs(np.sin(ANGLES)).astype(f32)


def anneal_rotors(
    linear: npt.NDArray[Any],
    couplings: npt.NDArray[Any],
    transverse: npt.NDArray[Any],
    starts: npt.NDArray[np.uint8],
    problem_fields: npt.NDArray[Any],
    transverse_fields: npt.NDArray[Any],
    *,
    criteria: str,
    randomize_order: bool,
    seed: int,
) -> tuple[npt.NDArray[np.uint8], Spins]:
    """Anneal the angles of each read; return the last angles and the measured spins."""
    n = len(linear)
    reach = (np.abs(linear) + np.abs(couplings).sum(axis=1)).max()
    scale = 2.0 ** -float(np.frexp(reach)[1]) if reach > 0 else 1.0
    h, J = (scale * linear).astype(f32), (scale * couplings).astype(f32)
    all_angles, all_spins = [], []
    for read, start in enumerate(starts):
        angles = start.astype(int)
        for sweep, fields in enumerate(zip(problem_fields, transverse_fields, strict=True)):
            words = stream_key(seed, 0, read, sweep)
            factor, field_factor = f32(fields[0] / scale), f32(fields[1])
            for place, i in enumerate(order_of(seed, sweep, n) if randomize_order else range(n)):
                bits = bits_of(words, 3 * place, 3)
                new = propose(criteria, int(angles[i]), bits, *fields)
                field = h[i]
                for j in range(n):
                    if J[i, j] != 0:
                        field = field + J[i, j] * COSINES[angles[j]]
                cost = factor * (field * (COSINES[new] - COSINES[angles[i]]))
                cost = cost - (field_factor * f32(transverse[i])) * (SINES[new] - SINES[angles[i]])
                u = uniforms(bits[2:])
                is_gibbs = criteria == "GibbsNonErgodic"
                noise = minus_log(f32(1) - u) - minus_log(u) if is_gibbs else minus_log(u)
                if noise[0] >= cost:
                    angles[i] = new
        all_angles.append(angles)
        all_spins.append(measure(angles, stream_key(seed, 0, read, INITIAL_STATE)))
    return np.array(all_angles, np.uint8), np.array(all_spins, np.int8)


def propose(
    criteria: str, angle: int, bits: npt.NDArray[np.uint32], problem: float, transverse: float
) -> int:
    """Return the proposed angle."""
    if criteria.endswith("NonErgodic"):
        return (angle + NUM_ANGLES // 2) % NUM_ANGLES
    reach = transverse / problem * NUM_ANGLES / 2 if problem > 0 else np.inf
    if criteria == "MetropolisUniform" or reach >= NUM_ANGLES / 2:
        return int(bits[0]) >> 24
    whole = max(0, int(reach - 0.5))  # angles that are proposed with one probability
    mean = whole * (whole + 1) / (2 * whole + 1)
    outside = int((reach / 2 - mean) / (whole + 1 - mean) * 2**24)
    if int(bits[1]) >> 8 < outside:
        step = (whole + 1) * (1 if int(bits[1]) & 1 else -1)
    else:
        step = ((int(bits[0]) >> 16) * (2 * whole + 1) >> 16) - whole
    return (angle + step) % NUM_ANGLES


def order_of(seed: int, sweep: int, n: int) -> list[int]:
    """Return the rotors that a sweep in random order visits."""
    word0, word1 = stream_key(seed, 0, ORDER, sweep)
    key = int(word1) << 32 | int(word0)
    return [(splitmix64(key ^ i) >> 32) * n >> 32 for i in range(n)]


def measure(angles: npt.NDArray[Any], words: Any) -> Spins:
    """Return spins that are +1 with the probability (1 + cosine) / 2."""
    noise = minus_log(uniforms(bits_of(words, 0, len(angles))))
    with np.errstate(divide="ignore"):
        bounds = -np.log(0.5 * (1 + np.cos(ANGLES))).astype(f32)
    return np.where(noise > bounds[angles], 1, -1).astype(np.int8)
