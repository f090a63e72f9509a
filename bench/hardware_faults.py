"""Print what a fault of D-Wave's service costs, for each fault of each phase of a call.

D-Wave's own client talks to a stand-in for the service on loopback. A step of one call is taken
until it succeeds. The weights are compared with those of a step without faults.
"""

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "fixtures"))

from fault_table import FAULTS, outcome
from service import Service

NAMES = {
    "none": "none",
    "submit": "submission, problem not accepted",
    "accepted": "submission, problem accepted",
    "poll": "status",
    "load": "answer",
}


def row_of(found, plain):
    """Return the figures of a row; faults of a phase with equal figures share it."""
    weights = "equal" if (found.rows == plain.rows).all() else "different"
    figures = (found.num_steps, found.num_problems, found.bill_us, found.spent_us)
    return " | ".join([*(f"{figure:.0f}" for figure in figures), weights])


def main():
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    print("| phase | fault | attempts at the step | problems | bill, us | `spent_us` | weights |")
    print("|---|---|---:|---:|---:|---:|---|")
    with Service(patience=0.3) as service, tempfile.TemporaryDirectory() as cache:
        sampler = service.sampler()
        plain = outcome(service, sampler, {}, cache)
        rows = {("none", row_of(plain, plain)): ["none"]}
        for phase, faults in FAULTS.items():
            for fault in faults:
                found = outcome(service, sampler, {phase: [fault]}, cache)
                rows.setdefault((phase, row_of(found, plain)), []).append(fault.name)
        for (phase, row), faults in rows.items():
            print(f"| {NAMES[phase]} | {', '.join(faults)} | {row} |")
        sampler.close()


if __name__ == "__main__":
    main()
