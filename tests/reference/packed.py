"""Products of packed signs, rounded as in the core."""

import numpy as np
import numpy.typing as npt

from reference.streams import Floats

LANES = 16


def multiply_packed(inputs: Floats, bits: npt.NDArray[np.uint8]) -> Floats:
    """Return the products ``(N, m)`` of inputs ``(N, n)`` with signs ``(m, n / 8)``."""
    n = inputs.shape[1]
    width = -(-n // LANES) * LANES
    signs = 2.0 * np.unpackbits(bits, axis=1, bitorder="little", count=n) - 1
    X = np.zeros((len(inputs), 1, width), np.float32)
    X[:, 0, :n] = inputs
    S = np.zeros((len(bits), width), np.float32)
    S[:, :n] = signs
    sums = np.zeros((len(inputs), len(bits), LANES), np.float32)
    for first in range(0, width, LANES):  # each lane sums every 16th input in order
        sums += X[..., first : first + LANES] * S[:, first : first + LANES]
    while sums.shape[-1] > 1:
        half = sums.shape[-1] // 2
        sums = sums[..., :half] + sums[..., half:]
    return sums[..., 0]
