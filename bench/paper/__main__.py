"""Command line of the paper's experiments: ``python -m bench.paper``."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

try:
    import seaborn  # noqa: F401, I001
    import jinja2  # noqa: F401
    import mlxtend  # noqa: F401
    import dwave.system  # noqa: F401
except ImportError as error:
    sys.exit(f"This needs {error.name}, which is not installed: pip install '.[paper]'")

from bench.paper.adult import ADULT2, ADULT10
from bench.paper.graphs import GCN
from bench.paper.pairs import MNIST_PAIRS
from bench.paper.report import write_report
from bench.paper.results import Results, run_cases
from bench.paper.rosenbrock import ROSENBROCK
from bench.paper.study import SETTINGS, Case, Experiment
from qpsbgd.errors import MissingDataError

EXPERIMENTS: dict[str, Experiment] = {
    each.name: each for each in (ROSENBROCK, ADULT2, ADULT10, MNIST_PAIRS, GCN)
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run experiments, write the page, and return the exit code."""
    args = _parser().parse_args(argv)
    folder = args.out / "quick" if args.quick else args.out
    names = list(EXPERIMENTS) if args.experiment == "all" else [args.experiment]
    faults: list[str] = []
    try:
        results = Results(folder)
        for name in names:
            experiment = EXPERIMENTS[name]
            settings = SETTINGS if args.setting is None else [args.setting]
            cases = list(_cases(experiment, settings, args, faults))
            run_cases(experiment, cases, results, args.jobs)
        finished = _finished(results, args)
        if finished:
            print(f"Report: {write_report(finished, results, folder, faults)}")
    except KeyboardInterrupt:
        print(f"\nInterrupted. The same command continues {folder}.", file=sys.stderr)
        return 130  # The exit code of a shell command that Ctrl-C ends.
    except OSError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    for fault in faults:
        print(f"Error: {fault}", file=sys.stderr)
    return 1 if faults else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench.paper",
        description="Run the paper's experiments and compare the results with the published ones.",
        epilog="OUT gets report.html, results.csv and cells.jsonl. The report has all tables in "
        "OUT that are finished for this number of seeds. A command that was stopped continues.",
    )
    parser.add_argument("experiment", choices=[*EXPERIMENTS, "all"])
    parser.add_argument("--setting", choices=SETTINGS, help="[default: both]")
    parser.add_argument("--seeds", type=_positive, default=5, help="final runs [default: 5]")
    parser.add_argument("--quick", action="store_true", help="short runs, kept in OUT/quick")
    parser.add_argument("--jobs", type=_positive, default=1, help="processes [default: 1]")
    parser.add_argument("--out", type=Path, default=Path("reproduction"))
    return parser


def _positive(text: str) -> int:
    if (value := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{text} must be positive")
    return value


def _cases(
    experiment: Experiment,
    settings: Sequence[str],
    args: argparse.Namespace,
    faults: list[str],
) -> Iterator[Case]:
    """Yield the cases whose data are there; faults of the others are added to ``faults``."""
    for setting in settings:
        for name in experiment.cases(setting, args.quick):
            try:
                protocol = experiment.protocol(name, setting, args.quick)
            except (MissingDataError, ValueError) as error:
                if (fault := f"{experiment.name}: {error}") not in faults:
                    faults.append(fault)
                continue
            yield Case(experiment, name, setting, args.seeds, args.quick, protocol)


def _finished(results: Results, args: argparse.Namespace) -> list[Case]:
    """Return all cases, of any experiment, whose cells are finished."""
    found = {record["experiment"] for record in results.values()}
    # Data of the other experiments are not looked for: that could download them.
    cases = [
        case
        for name, experiment in EXPERIMENTS.items()
        if name in found
        for case in _cases(experiment, SETTINGS, args, faults=[])
    ]
    return [case for case in cases if case.is_finished(results)]


if __name__ == "__main__":
    sys.exit(main())
