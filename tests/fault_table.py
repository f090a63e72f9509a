"""Faults of D-Wave's service in each phase of a call, and what they may cost.

``python bench/hardware_faults.py`` prints the table of docs/hardware.md.
"""

import itertools
from dataclasses import dataclass

import numpy as np
import service as standin

from qpsbgd import ProjectionOptions
from qpsbgd.errors import CallError
from qpsbgd.hardware import DWaveProjector

CODES = [standin.status(code) for code in (429, 500, 502, 503, 504)]
LOSSES = [*CODES, standin.drop, standin.garbage]
ENDS = [standin.fail, standin.cancel]
#: Faults of each phase. An accepted problem has no answer to its submission, or a late one.
FAULTS = {
    "submit": [*LOSSES, standin.odd],
    "accepted": [*LOSSES, standin.late],
    "poll": [*LOSSES, standin.odd, *ENDS],
    "load": [*LOSSES, standin.odd, standin.late],
}
NUM_READS = 5


@dataclass
class Outcome:
    """One layer on the stand-in, in spite of faults.

    Attributes:
        num_steps: attempts at the step; each but the last one raised CallError.
        num_problems: problems at the service.
        bill_us: bill at the service.
        spent_us: time spent by the budget.
        estimate_us: estimate of a call.
        rows: binary gradient.
    """

    num_steps: int
    num_problems: int
    bill_us: float
    spent_us: float
    estimate_us: float
    rows: np.ndarray


def problem(num_neurons=1):
    """Return the inputs and targets of a layer."""
    rng = np.random.default_rng(3)
    X = rng.normal(size=(12, 4)).astype(np.float32)
    return X, rng.normal(size=(12, num_neurons)).astype(np.float32)


def random_faults(rng):
    """Return up to six faults of random phases, and requests without faults among them."""
    phases = {**FAULTS, "find": [*LOSSES, standin.drop]}
    phases["accepted"] = [fault for fault in FAULTS["accepted"] if fault is not standin.late]
    phases["load"] = [fault for fault in FAULTS["load"] if fault is not standin.late]
    script = {phase: [] for phase in phases}
    for _ in range(rng.integers(1, 7)):
        phase = list(phases)[rng.integers(len(phases))]
        choices = [standin.nothing, *phases[phase]]
        script[phase].append(choices[rng.integers(len(choices))])
    return script


def outcome(service, sampler, faults, cache, num_neurons=1, most=20, **options):
    """Take a step of one call a neuron until it succeeds; return what it cost."""
    service.reset()
    service.faults = {phase: list(own) for phase, own in faults.items()}
    options = {"num_reads": NUM_READS, "retry_wait": 0.0, **options}
    projector = DWaveProjector(sampler, max_copies=1, cache=cache, **options)
    X, T = problem(num_neurons)
    for number in itertools.count(1):
        try:
            rows = projector(X, T, ProjectionOptions(seed=1))
            break
        except CallError:
            assert number < most
    assert projector.budget.reserved_us == 0.0
    estimate = projector.last_calls[0]["estimate_us"]
    return Outcome(
        number, len(service.problems), service.bill, projector.budget.spent_us, estimate, rows
    )
