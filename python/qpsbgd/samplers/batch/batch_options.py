"""The options with which the core solves a batch."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

Method = Literal["sa", "tabu", "descent"]
Form = Literal["dense", "interleaved", "low_rank", "sparse"]
Precision = Literal["float32", "float64"]
Acceptance = Literal["Metropolis", "Gibbs"]

METHODS: tuple[Method, ...] = ("sa", "tabu", "descent")
ACCEPTANCES: tuple[Acceptance, ...] = ("Metropolis", "Gibbs")


@dataclass(frozen=True, kw_only=True)
class BatchOptions:
    """Options of a batch that hold for all its problems.

    Attributes:
        method: ``"sa"``, ``"tabu"`` or ``"descent"``.
        form: the form that stores the couplings.
        precision: type of the local fields.
        betas: inverse temperatures of the sweeps of annealing, in units of each problem's factor.
        acceptance: the acceptance rule of annealing.
        keep_best: whether a read of annealing returns its best state instead of its last.
        num_moves: moves of a tabu search.
        tenure: tenure of a tabu search, in moves.
        seed: seed of the random numbers.
        num_threads: largest number of threads.
        time_limit: seconds, or infinity.
    """

    num_threads: int
    method: Method = "sa"
    form: Form = "dense"
    precision: Precision = "float32"
    betas: tuple[float, ...] = ()
    acceptance: Acceptance = "Metropolis"
    keep_best: bool = False
    num_moves: int = 0
    tenure: int = 0
    seed: int = 0
    time_limit: float = np.inf
