"""The paper's experiments, each a table of cells that are tuned, run, kept and reported.

``study.py`` is what all have in common, ``report.py`` makes tables, plots and the page of what was
found, and each experiment has a file of its own. ``docs/reproduction.md`` tells what the paper says
and what was decided where it is silent.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qpsbgd.experiments.reproduce.study import Experiment


def experiments() -> "list[Experiment]":
    """All of them, in the order of the report."""
    from qpsbgd.experiments.reproduce import adult, gcn, mnist_pairs, rosenbrock

    return [
        rosenbrock.ROSENBROCK,
        adult.ADULT2,
        adult.ADULT10,
        mnist_pairs.MNIST_PAIRS,
        gcn.GCN,
    ]
