"""Compare the memory traffic of flips with that of copies: bytes per second on one thread.

At infinite temperature an anneal accepts every proposal. Each flip reads one row of couplings (n
floats), and each block of 64 variables reads and writes a read's fields once. The reported time is
that of these sweeps minus that of equally many sweeps at zero temperature from local minima, where
nothing flips; drawing and deciding remain in it. For comparison the script copies an array of the
couplings' size, and one that fits the first cache, from which the sixteen reads of a tile take a
block of rows. A copy counts the bytes read and written.
"""

import argparse
import statistics
import time

import numpy as np

import qpsbgd

BLOCK = 64
FIRST_CACHE = 1 << 14  # bytes; twice that is in use


def seconds(function):
    begin = time.perf_counter()
    function()
    return time.perf_counter() - begin


def copied(num_bytes, rounds):
    """Bytes a second."""
    source = np.ones(num_bytes // 8)
    target = np.empty_like(source)
    repeats = max(1, (1 << 27) // num_bytes)

    def copies():
        for _ in range(repeats):
            np.copyto(target, source)

    copies()
    return 2 * num_bytes * repeats / min(seconds(copies) for _ in range(rounds))


def flipped(n, problems, num_sweeps, rounds):
    """Bytes a second, and flips a second."""
    rng = np.random.default_rng(0)
    J = np.triu(rng.normal(size=(n, n)), 1).astype(np.float32)
    J, h = J + J.T, rng.normal(size=(problems, n))
    options = {"num_threads": 1, "keep": "final", "seed": 0, "form": "dense"}
    minima = qpsbgd.sample_batch(h, J, method="descent", num_threads=1, seed=0).states

    def anneal(sweeps, beta):
        # The fixed cost of a call, such as reading the problems, is in both times and cancels.
        return seconds(
            lambda: qpsbgd.sample_batch(
                h, J, num_sweeps=sweeps, beta_range=(beta, beta), initial_states=minima, **options
            )
        )

    times = []
    for _ in range(rounds):
        hot = anneal(num_sweeps, 1e-30) - anneal(1, 1e-30)
        cold = anneal(num_sweeps, 1e30) - anneal(1, 1e30)
        times.append(hot - cold)
    flips = problems * n * (num_sweeps - 1)
    moved = 4 * n * (flips + 2 * flips / BLOCK)
    return moved / statistics.median(times), flips / statistics.median(times)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[128, 256, 512, 784, 1024, 2048])
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    nearest = copied(FIRST_CACHE, args.rounds)
    print(f"copying {FIRST_CACHE >> 10} KiB: {nearest / 1e9:.1f} GB/s")
    for n in args.sizes:
        problems = 64
        num_sweeps = max(4, (1 << 25) // (problems * n * n))
        moved, flips = flipped(n, problems, num_sweeps, args.rounds)
        copy = copied(4 * n * n, args.rounds)
        print(
            f"n = {n:4d}: {flips / 1e6:6.1f} million flips a second, {moved / 1e9:6.1f} GB/s; "
            f"copying {4 * n * n >> 10} KiB {copy / 1e9:6.1f} GB/s: {moved / copy:.2f} of it, "
            f"{moved / nearest:.2f} of the first cache's"
        )


if __name__ == "__main__":
    main()
