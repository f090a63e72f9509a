"""Which of the shared instances `qpsbgd solve` brings to their best-known values, and how soon.

Default settings but for --solver; QPSBGD_DATA names the folder that holds instances/. Files of be,
gka and bqp get --limit seconds each, graphs of the G-set --graph-limit.
"""

import argparse
import json
import os
import statistics
import sys
from pathlib import Path

from qpsbgd import formats, solve


def cases(root):
    """Family, file, sense and best-known value."""
    best = json.loads((root / "best_known.json").read_text())
    for family, pattern, sense in (
        ("be", "*.sparse", None),
        ("gka", "*.sparse", None),
        ("bqp", "*.qubo", "maximise"),
        ("gset", "*.txt", None),
    ):
        for path in sorted((root / family).glob(pattern)):
            name = path.stem.replace("_", ".") if family == "bqp" else path.stem
            if best[family].get(name) is not None:
                yield family, path, sense, best[family][name]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--families", nargs="+", default=["be", "gka", "bqp", "gset"])
    parser.add_argument("--solver", choices=["portfolio", "sa", "tabu"], default=solve.SOLVERS[0])
    parser.add_argument("--limit", type=float, default=2.0)
    parser.add_argument("--graph-limit", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int)
    args = parser.parse_args()
    folder = os.environ.get("QPSBGD_DATA")
    if not folder:
        sys.exit("QPSBGD_DATA must name the folder that holds instances/")
    times = {family: [] for family in args.families}
    totals = dict.fromkeys(args.families, 0)
    for family, path, sense, best in cases(Path(folder) / "instances"):
        if family not in times:
            continue
        instance = formats.read(path, sense=sense)
        found = solve.solve(
            instance, args.solver, args.graph_limit if family == "gset" else args.limit, best,
            args.seed, args.threads,
        )  # fmt: skip
        totals[family] += 1
        if found.stopped_by == "target":
            times[family].append(found.seconds)
        else:
            print(f"missed: {path.name} {found.objective:.12g}, best known {best}", flush=True)
    for family, seconds in times.items():
        spread = (
            f", seconds: median {statistics.median(seconds):.3f}, most {max(seconds):.2f}"
            if seconds
            else ""
        )
        print(f"{family}: {len(seconds)} of {totals[family]}{spread}")


if __name__ == "__main__":
    main()
