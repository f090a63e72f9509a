"""Random streams of the core: a variate is a hash of its stream and its number."""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Spins = npt.NDArray[np.int8]

LOG2 = np.float32(0.6931472)  # median of the unit exponential distribution
INITIAL_STATE = 2**64 - 1  # sweep number of the stream of a random start


def splitmix64(x: int) -> int:
    """Return the output of SplitMix64 for a 64-bit word."""
    x = (x + 0x9E3779B97F4A7C15) % 2**64
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) % 2**64
    return x ^ (x >> 31)


def exponential(
    *, seed: int, problem: int, read: int, sweep: int, first: int, count: int
) -> Floats:
    """Return the unit exponential variates ``first, ..., first + count - 1`` of one stream."""
    words = stream_key(seed, problem, read, sweep)
    return minus_log(uniforms(bits_of(words, first, count)))


def noise(stream: tuple[int, int, int, int], count: int, gibbs: bool) -> Floats:
    """Return the noise of an acceptance rule for the proposals of a sweep.

    It is exponential for Metropolis's rule and logistic for Gibbs's.
    """
    u = uniforms(bits_of(stream_key(*stream), 0, count))
    return minus_log(np.float32(1) - u) - minus_log(u) if gibbs else minus_log(u)


def random_variables(stream: tuple[int, int, int, int], n: int) -> list[int]:
    """Return the ``n`` variables that a sweep in random order proposes."""
    word0, word1 = stream_key(*stream)
    words = (word0 ^ np.uint32(0x9E3779B9), word1 ^ np.uint32(0x7F4A7C15))
    return [int(bits) * n >> 32 for bits in bits_of(words, 0, n)]


def word_uniforms(seed: int, problem: int, read: int, sweep: int, n: int) -> list[int]:
    """Return the 32-bit uniforms with which a bit-sliced read meets the ``n`` proposals of a sweep.

    The reads of a word of 32 share a stream. Each has a bit of its successive words as digits.
    """
    word, bit = divmod(read, 32)
    keys = stream_key(seed, problem, 32 * word, sweep)
    start = _mix(np.arange(n, dtype=np.uint32)) ^ keys[0]
    start = (start ^ (start >> np.uint32(16))) * np.uint32(0x21F0AAAD)
    start = (start ^ (start >> np.uint32(15))) + keys[1]
    uniforms = [0] * n
    for round_ in range(32):
        constant = _mix(np.array([0x9E3779B9 * (round_ + 1) % 2**32], np.uint32))
        x = (start ^ constant) * np.uint32(0x21F0AAAD)
        x = (x ^ (x >> np.uint32(15))) * np.uint32(0xD35A2D97)
        x = x ^ (x >> np.uint32(16))
        uniforms = [2 * u + (int(w) >> bit & 1) for u, w in zip(uniforms, x, strict=True)]
    return uniforms


def stream_key(seed: int, problem: int, read: int, sweep: int) -> tuple[np.uint32, np.uint32]:
    key = splitmix64(seed)
    for part in (problem, read, sweep):
        key = splitmix64(key ^ part)
    return np.uint32(key % 2**32), np.uint32(key >> 32)


def bits_of(words: tuple[np.uint32, np.uint32], first: int, count: int) -> npt.NDArray[np.uint32]:
    counter = np.arange(first, first + count, dtype=np.uint32)
    return _mix(_mix(counter) ^ words[0], words[1])


def uniforms(bits: npt.NDArray[np.uint32]) -> Floats:
    result: Floats = (bits >> np.uint32(9)).astype(np.float32) + np.float32(0.5)
    result *= np.float32(2.0**-23)
    return result


def _mix(x: npt.NDArray[np.uint32], word: np.uint32 | int = 0) -> npt.NDArray[np.uint32]:
    x = x ^ (x >> np.uint32(16))
    x = x * np.uint32(0x21F0AAAD)
    x = x ^ (x >> np.uint32(15))
    x = (x + np.uint32(word)) * np.uint32(0xD35A2D97)
    result: npt.NDArray[np.uint32] = x ^ (x >> np.uint32(15))
    return result


def minus_log(u: Floats) -> Floats:
    """Return ``-log(u)`` by the polynomial of the core."""
    sqrt_half = np.int32(0x3F3504F3)
    shifted = u.view(np.int32) - sqrt_half
    k = shifted >> np.int32(23)
    m = ((shifted & np.int32(0x007FFFFF)) + sqrt_half).view(np.float32)
    f32 = np.float32
    r = m - f32(1)
    series = f32(0.1013406) * r
    for term in (-0.1623419, 0.1724701, -0.1989857, 0.2497007, -0.3333511, 0.5000036, -1.0):
        series = (series + f32(term)) * r
    result: Floats = series - k.astype(np.float32) * f32(0.6931472)
    return result


def stream_word(seed: int, problem: int, read: int, sweep: int) -> int:
    """Return the 64-bit word that names a stream."""
    word0, word1 = stream_key(seed, problem, read, sweep)
    return int(word1) << 32 | int(word0)


def random_state(seed: int, problem: int, read: int, n: int) -> Spins:
    """Return the random state ``(n,)`` at which a replica or a chain starts."""
    word = stream_word(seed, problem, read, INITIAL_STATE)
    bits = [splitmix64((word + i // 64) % 2**64) >> i % 64 & 1 for i in range(n)]
    return np.array([1 if bit else -1 for bit in bits], np.int8)
