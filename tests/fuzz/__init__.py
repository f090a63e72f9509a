"""Fuzzing: random inputs to every public entry, with properties that must hold for each.

Run it from the root of the repository:

    python -m tests.fuzz                        # two minutes, all targets
    python -m tests.fuzz --minutes 60           # the long mode
    python -m tests.fuzz annealing batch        # these targets alone
    python -m tests.fuzz --case "descent(...)"  # one printed case again, in this process
    tests/fuzz/sanitized.sh --minutes 10        # with the address and UB sanitizers

Each file holds the targets of one topic. A target is a function that checks one case; Hypothesis
draws the case, a dict of plain values that prints in one line, and shrinks it if the check fails.
Targets run in worker processes, so that a crash or an endless loop is reported with its case too.
"""
