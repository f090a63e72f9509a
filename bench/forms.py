"""Measure where one form of a batch's couplings becomes faster than another, for `form="auto"`.

"own" compares the interleaved and the dense form for problems that each have their own J, by size
and reads. "rank" compares the factor with the matrix for a shared J of low rank, by size and rank;
the time to form the matrix counts. Each number is the ratio of the two times, measured in turn on
one thread. --plot draws the crossovers.
"""

import argparse
import statistics
import time

import numpy as np

import qpsbgd

NUM_SWEEPS = 20


def own(n, reads, rng):
    problems = max(64, 2**21 // (n * n * reads) // 16 * 16)
    J = np.triu(rng.normal(size=(problems, n, n)), 1)
    h = rng.normal(size=(problems, n))
    return J + J.swapaxes(1, 2), h, {"num_reads": reads}, ("interleaved", "dense")


def rank(n, part, rng):
    A = rng.normal(size=(max(1, round(part * n)), n))
    return qpsbgd.LowRank(A), rng.normal(size=(128, len(A))) @ A, {}, ("low_rank", "dense")


CASES = {
    "own": (own, "reads", (1, 2, 4, 8, 16, 32), (8, 16, 32, 64, 96, 128, 192, 256)),
    "rank": (rank, "rank / n", (0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0), (128, 256, 512, 1024)),
}


def ratio(make, n, other, rounds):
    """Time of the first form over that of the second."""
    J, h, options, forms = make(n, other, np.random.default_rng(0))
    ratios = []
    for seed in range(rounds):
        seconds = []
        for form in forms:
            begin = time.perf_counter()
            qpsbgd.sample_batch(
                h, J, form=form, num_sweeps=NUM_SWEEPS, seed=seed, num_threads=1, **options
            )
            seconds.append(time.perf_counter() - begin)
        ratios.append(seconds[0] / seconds[1])
    return statistics.median(ratios)


def plot(path, tables):
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(tables), figsize=(5 * len(tables), 4), squeeze=False)
    for axis, (name, table) in zip(axes[0], tables.items(), strict=True):
        _, label, others, sizes = CASES[name]
        for other, row in zip(others, table, strict=True):
            axis.loglog(sizes, row, "o-", label=f"{label} {other}")
        axis.axhline(1, color="black", linewidth=0.5)
        axis.set(xlabel="variables", ylabel="time over the dense form's", title=name)
        axis.legend(fontsize="small")
    figure.savefig(path, bbox_inches="tight")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--plot", metavar="FILE")
    args = parser.parse_args()
    tables = {}
    for name in args.cases:
        make, label, others, sizes = CASES[name]
        print(f"{name}: {label} \\ n".ljust(18) + "".join(f"{n:8d}" for n in sizes))
        tables[name] = []
        for other in others:
            row = [ratio(make, n, other, args.rounds) for n in sizes]
            tables[name].append(row)
            print(f"{other:<18}" + "".join(f"{value:8.2f}" for value in row), flush=True)
    if args.plot:
        plot(args.plot, tables)


if __name__ == "__main__":
    main()
