"""Print what a fault of D-Wave's service costs, for each fault of each phase of a call.

D-Wave's own client talks to a stand-in for the service on loopback. A step of one call is taken
until it succeeds. The weights are compared with those of a step without faults.
"""

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from fault_table import FAULTS, outcome
from service import Service


def main():
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    names = {
        "submit": "submission, not accepted",
        "accepted": "submission, accepted",
        "poll": "status",
        "load": "answer",
    }
    print("| phase | fault | attempts at the step | problems | bill, us | `spent_us` | weights |")
    print("|---|---|---:|---:|---:|---:|---|")
    with Service(patience=0.3) as service, tempfile.TemporaryDirectory() as cache:
        sampler = service.sampler()
        plain = outcome(service, sampler, {}, cache)
        rows = [("", "none", plain)]
        for phase, faults in FAULTS.items():
            rows += [
                (names[phase], fault.name, outcome(service, sampler, {phase: [fault]}, cache))
                for fault in faults
            ]
        for phase, fault, found in rows:
            same = "equal" if (found.rows == plain.rows).all() else "different"
            print(
                f"| {phase} | {fault} | {found.num_steps} | {found.num_problems} | "
                f"{found.bill_us:.0f} | {found.spent_us:.0f} | {same} |"
            )
        sampler.close()


if __name__ == "__main__":
    main()
