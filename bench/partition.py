"""Partition function of a Boltzmann machine of two layers: estimates beside the exact sum.

Prints for some numbers of sweeps the estimate, its standard error, the deviation from the exact
value in standard errors, the effective sample size and seconds. The exact value is that of
tests/samplers/tempering/test_partition.py; --sum computes it again: 2^32 terms, each a product of
64 factors, which takes minutes. --hidden takes fewer hidden units, whose sum takes less time.
"""

import argparse
import time
import warnings

import numpy as np

from qpsbgd import UnreliableEstimateWarning, log_partition_batch

EXACT = 114.849217376478


def machine(num_hidden):
    """Weights (64, num_hidden) and biases of the visible and the hidden units, which are 0 or 1."""
    rng = np.random.default_rng(6432)
    W, b, c = rng.normal(scale=0.5, size=(64, 32)), rng.normal(size=64), rng.normal(size=32)
    return W[:, :num_hidden], b, c[:num_hidden]


def summed(W, b, c):
    """Return log sum_h exp(c.h) prod_v (1 + exp(b_v + W_v.h)) over all h.

    The factors exp(b_v + W_v.h) are products of those of two halves of h.
    """
    half = len(c) // 2
    parts = []
    for columns in (slice(None, half), slice(half, None)):
        weights = W[:, columns]
        states = (np.arange(2 ** weights.shape[1])[:, None] >> np.arange(weights.shape[1])) & 1
        parts.append((np.exp(states @ c[columns]), np.exp(states @ weights.T)))
    (first, outer), (second, inner) = parts
    outer = outer * np.exp(b)  # (2^half, 64)
    total, step = 0.0, 1 << 12
    for bias, factors in zip(first, outer, strict=True):
        for start in range(0, len(second), step):
            terms = second[start : start + step].copy()
            for visible, factor in enumerate(factors):
                terms *= 1.0 + factor * inner[start : start + step, visible]
            total += bias * terms.sum()
    return float(np.log(total))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sweeps", type=int, nargs="+", default=[100, 300, 1000, 3000])
    parser.add_argument("--hidden", type=int, default=32)
    parser.add_argument("--sum", action="store_true", help="compute the exact value")
    args = parser.parse_args()
    W, b, c = machine(args.hidden)
    exact = summed(W, b, c) if args.sum or args.hidden < 32 else EXACT
    n = len(b) + len(c)
    J = np.zeros((n, n))
    J[: len(b), len(b) :], J[len(b) :, : len(b)] = -W, -W.T
    h = -np.concatenate([b, c])
    print(f"exact: {exact:.12f}\n")
    print("| sweeps | estimate | standard error | deviation | effective of 1024 | seconds |")
    print("|---|---|---|---|---|---|")
    warnings.simplefilter("ignore", UnreliableEstimateWarning)
    for sweeps in args.sweeps:
        start = time.process_time()
        result = log_partition_batch(
            h[None], J, vartype="BINARY", num_sweeps=sweeps, seed=0, num_threads=1
        )
        seconds = time.process_time() - start
        estimate, error = result.log_z[0], result.standard_error[0]
        print(
            f"| {sweeps} | {estimate:.4f} | {error:.4f} | {(estimate - exact) / error:+.2f} | "
            f"{result.effective_sample_size[0]:.0f} | {seconds:.2f} |"
        )


if __name__ == "__main__":
    main()
