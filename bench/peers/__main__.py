"""Compare the samplers with those of other packages: energies beside times, one thread each.

The command installs no package and skips solvers whose packages are missing. The others solve four
problems with growing effort, in turn. A series ends after the first effort whose median call takes
more than --seconds.
The table has the lowest energy of a call, as the distance to the best energy that any solver found,
and the times of the call and of its sampling alone.
"""

import os

# Before NumPy and torch start their threads.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import argparse
import platform
import statistics
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

from bench.peers.problems import problems
from bench.peers.solvers import solvers

EFFORTS = (1, 4, 16, 64, 256)


@dataclass
class Point:
    """Medians over the seeds of one solver's calls with one effort."""

    problem: str
    solver: str
    effort: int
    energy: float
    call: float
    sampling: float | None


def measure(chosen, made, seconds, seeds):
    """Return the points of all solvers on all problems."""
    points = []
    for problem in made:
        is_running = dict.fromkeys(chosen, True)
        for effort in EFFORTS:
            runs = {name: [] for name, running in is_running.items() if running}
            for seed in range(seeds):
                for name in runs:
                    start = time.perf_counter()
                    states, sampling = chosen[name][1](problem, effort, seed)
                    call = time.perf_counter() - start
                    runs[name].append((float(problem.energies(states).min()), call, sampling))
            for name, results in runs.items():
                energies, calls, samplings = zip(*results, strict=True)
                sampling = None if None in samplings else statistics.median(samplings)
                call = statistics.median(calls)
                points.append(
                    Point(problem.name, name, effort, statistics.median(energies), call, sampling)
                )
                print(
                    f"{problem.name}, {name}: {points[-1].energy:.6g} in {call:.3f} s",
                    flush=True,
                )
                is_running[name] = call < seconds
    return points


def gaps(points):
    """Return the distance of each point to the best energy of its problem, in percent."""
    best = {}
    for point in points:
        best[point.problem] = min(point.energy, best.get(point.problem, 0.0))
    return [100 * (1 - point.energy / best[point.problem]) for point in points]


def table(points):
    """Return the table in Markdown."""
    lines = ["| problem | solver | gap in % | call in s | sampling in s |", "|---|---|---|---|---|"]
    for point, gap in zip(points, gaps(points), strict=True):
        sampling = "not reported" if point.sampling is None else f"{point.sampling:.3f}"
        lines.append(
            f"| {point.problem} | {point.solver} | {gap:.2f} | {point.call:.3f} | {sampling} |"
        )
    return "\n".join(lines)


def draw(points, path):
    """Draw gaps over the times of whole calls, a panel for each problem."""
    import matplotlib.pyplot as plt

    names = list(dict.fromkeys(point.problem for point in points))
    figure, grid = plt.subplots(2, 2, figsize=(9, 6.5), layout="constrained")
    solver_names = list(dict.fromkeys(point.solver for point in points))
    for axes, name in zip(grid.flat, names, strict=True):
        for solver in solver_names:
            chosen = [
                (point.call, max(gap, 0.01))
                for point, gap in zip(points, gaps(points), strict=True)
                if (point.problem, point.solver) == (name, solver)
            ]
            style = {"linewidth": 2} if solver.startswith("qpsbgd") else {"linestyle": "--"}
            axes.plot(*zip(*chosen, strict=True), marker="o", markersize=4, label=solver, **style)
        axes.set(xscale="log", yscale="log", title=name)
        axes.set(
            xlabel="seconds of a whole call, one thread", ylabel="gap to the best in % (0.01: none)"
        )
    figure.legend(*grid.flat[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    figure.savefig(path, dpi=110)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--seconds", type=float, default=3.0, help="longest call after which a series goes on"
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--mqlib", help="path of MQLib's program")
    parser.add_argument("--only", nargs="+", help="solvers whose names begin so")
    parser.add_argument(
        "--out", type=Path, default=Path("docs"), help="folder of peers.md and peers.png"
    )
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    chosen = solvers(args.mqlib)
    if args.only:
        chosen = {
            name: entry for name, entry in chosen.items() if name.startswith(tuple(args.only))
        }
    start = time.perf_counter()
    points = measure(chosen, problems(), args.seconds, args.seeds)
    minutes = (time.perf_counter() - start) / 60
    versions = ", ".join(
        sorted({f"{name.split()[0]} {version}" for name, (version, _) in chosen.items()})
    )
    args.out.mkdir(exist_ok=True)
    draw(points, args.out / "peers.png")
    (args.out / "peers.md").write_text(
        f"""# Comparison with other solvers

`python -m bench.peers --seconds {args.seconds:g} --seeds {args.seeds}` wrote this page in
{minutes:.0f} minutes.

- Versions: {versions}, Python {platform.python_version()}.
- Processor: {processor()}.

All solvers ran in turn on one thread, each with its default temperatures. An effort of k is 50 k
sweeps of an annealer (k at each of qanneal's temperatures, 50 k steps of the bifurcation) or 20 k
ms of a tabu search or of MQLib; k is 1, 4, 16, 64, 256. Values are medians of {args.seeds} calls
with different seeds. Annealers make 16 reads. The gap is the distance of the
best read to the best energy that any solver found.

![Gaps over times](peers.png)

{table(points)}
"""
    )


def processor():
    """Return the name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
