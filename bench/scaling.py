"""How a projection's time grows with its samples N, inputs n, neurons m and sweeps.

One of the four at a time is varied about N = 128, n = m = 512, 2 sweeps (quadratic objective) or 10
(sign), inputs of +-1 as behind a sign activation, targets of noise; descent, and annealing of the
quadratic objective. Prints the times over that of the middle and the slope of the last doublings;
--plot draws them, log-log.
"""

import argparse
import time

import numpy as np

import qpsbgd

MIDDLE = {"N": 128, "n": 512, "m": 512}
VALUES = {
    "N": [16, 32, 64, 128, 256, 512, 1024],
    "n": [64, 128, 256, 512, 1024, 2048],
    "m": [16, 32, 64, 128, 256, 512, 1024],
    "sweeps": [1, 2, 4, 8, 16, 32],
}
KINDS = {
    "quadratic, descent": {"objective": "quadratic", "alpha": "norm", "num_sweeps": 2},
    "sign, descent": {"objective": "sign", "num_sweeps": 10},
    "quadratic, annealing": {
        "objective": "quadratic",
        "alpha": "norm",
        "num_sweeps": 2,
        "beta_range": (0.01, 1.0),
    },
}


def seconds(shape, options, rounds, threads):
    rng = np.random.default_rng(0)
    X = rng.choice([-1.0, 1.0], size=(shape["N"], shape["n"])).astype(np.float32)
    T = rng.normal(size=(shape["N"], shape["m"])).astype(np.float32)
    best = np.inf
    for _ in range(rounds):
        begin = time.perf_counter()
        qpsbgd.project(X, T, seed=0, num_threads=threads, **options)
        best = min(best, time.perf_counter() - begin)
    return best


def curve(kind, variable, rounds, threads):
    """Seconds for each of the variable's values."""
    times = []
    for value in VALUES[variable]:
        options, shape = dict(KINDS[kind]), dict(MIDDLE)
        if variable == "sweeps":
            options["num_sweeps"] = value
        else:
            shape[variable] = value
        times.append(seconds(shape, options, rounds, threads))
    return np.array(times)


def plot(path, curves):
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(VALUES), figsize=(4 * len(VALUES), 3.6), sharey=True)
    for axis, variable in zip(axes, VALUES, strict=True):
        for kind in KINDS:
            axis.loglog(VALUES[variable], curves[kind, variable] * 1e3, "o-", label=kind)
        axis.set(xlabel=variable, xticks=VALUES[variable], xticklabels=VALUES[variable])
        axis.minorticks_off()
    axes[0].set(ylabel="ms a projection")
    axes[0].legend(fontsize="small")
    figure.savefig(path, bbox_inches="tight", dpi=80)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--plot", metavar="FILE")
    args = parser.parse_args()
    curves = {}
    for kind in KINDS:
        middle = seconds(MIDDLE, KINDS[kind], args.rounds, args.threads)
        print(f"{kind}: {middle * 1e3:.2f} ms at N, n, m = {tuple(MIDDLE.values())}")
        for variable, values in VALUES.items():
            times = curves[kind, variable] = curve(kind, variable, args.rounds, args.threads)
            slope = np.log(times[-1] / times[-3]) / np.log(values[-1] / values[-3])
            cells = "  ".join(f"{v}: {t / middle:.2f}" for v, t in zip(values, times, strict=True))
            print(f"  {variable:<6} {cells}  slope {slope:.2f}", flush=True)
    if args.plot:
        plot(args.plot, curves)


if __name__ == "__main__":
    main()
