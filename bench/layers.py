"""Compare one call of ``project_layers`` with a call of ``project`` for each layer.

The layers are those of networks of several sizes. The results must be equal. Times are minima of
interleaved rounds, since on a shared machine the shortest time is the least disturbed one.
"""

import argparse
import itertools
import time

import numpy as np

from qpsbgd import ProjectionOptions, project, project_layers

#: Samples, and widths of the layers of a network.
NETWORKS = {
    "20 layers of 32": (32, [32] * 21),
    "8 layers of 64": (64, [64] * 9),
    "MLP 64-100-100-10": (100, [64, 100, 100, 10]),
    "MLP 784-512-512-10": (128, [784, 512, 512, 10]),
    "tree of 128 to 8": (100, [128, 64, 32, 16, 8]),
}


def seconds(function):
    begin = time.perf_counter()
    result = function()
    return time.perf_counter() - begin, result


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    for name, (samples, widths) in NETWORKS.items():
        layers = [
            (
                rng.normal(size=(samples, n)).astype(np.float32),
                rng.normal(size=(samples, m)).astype(np.float32),
            )
            for n, m in itertools.pairwise(widths)
        ]
        options = ProjectionOptions(seed=1)

        def separately(threads, layers=layers):
            return [project(X, T, seed=1, num_threads=threads) for X, T in layers]

        def together(threads, layers=layers, options=options):
            return project_layers(layers, options, num_threads=threads)

        calls = {
            (kind, threads): lambda call=call, threads=threads: call(threads)
            for kind, call in (("separately", separately), ("together", together))
            for threads in (1, args.threads)
        }
        times = dict.fromkeys(calls, float("inf"))
        results = {}
        for _ in range(args.rounds):
            for key, call in calls.items():
                took, results[key] = seconds(call)
                times[key] = min(times[key], took)
        for found in results.values():
            assert all((a == b).all() for a, b in zip(found, results["separately", 1], strict=True))
        one, many = (times["separately", k] / times["together", k] for k in (1, args.threads))
        print(
            f"{name:20} separately {1e6 * times['separately', args.threads]:7.0f} us, together "
            f"{1e6 * times['together', args.threads]:7.0f} us on {args.threads} threads: "
            f"{many:.2f} times; on one thread {one:.2f} times"
        )
