"""Inference of binary linear layers: times as multiples of nn.Linear's, in one process, in turn.

`binary` is a BinaryLinear, whose signs are cached. `packed` is its packed copy, for real inputs and
for inputs of -1 and +1. A figure below 1 is faster than nn.Linear. Each time is the least of the
rounds, as a busy machine disturbs most calls of some microseconds.
"""

import argparse
import json
import time

import torch
from torch import nn

from qpsbgd.nn import BinaryLinear, pack


def seconds(layer, x, repeats):
    start = time.perf_counter()
    for _ in range(repeats):
        layer(x)
    return (time.perf_counter() - start) / repeats


@torch.no_grad()
def ratios(size, batch_size, rounds):
    binary = BinaryLinear(size, size).eval()
    packed = pack(binary)
    plain = nn.Linear(size, size)
    real = torch.randn(batch_size, size)
    signs = torch.where(real >= 0, 1.0, -1.0)
    torch.testing.assert_close(packed(real), binary(real), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(packed(signs), binary(signs), rtol=0, atol=1e-4)  # biases round
    cases = {
        "plain": (plain, real), "binary": (binary, real), "packed": (packed, real),
        "packed, signs": (packed, signs),
    }  # fmt: skip
    repeats = max(3, int(2e-3 / seconds(plain, real, 3)))
    times = {name: [] for name in cases}
    for _ in range(rounds):
        for name, case in cases.items():
            times[name].append(seconds(*case, repeats))
    least = {name: min(values) for name, values in times.items()}
    figures = {name: round(least[name] / least["plain"], 2) for name in cases}
    return {**figures, "plain": f"{1e6 * least['plain']:.0f} us"}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 512, 1024, 2048, 4096])
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[1, 4, 16, 128])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(args.threads)
    for size in args.sizes:
        for batch_size in args.batch_sizes:
            figures = ratios(size, batch_size, args.rounds)
            if args.json:
                print(json.dumps({"size": size, "batch": batch_size, **figures}))
                continue
            shown = ", ".join(f"{name} {value}" for name, value in figures.items())
            print(f"{size} x {size}, batch {batch_size}: {shown}")


if __name__ == "__main__":
    main()
