"""One solution of an instance, as good as a time limit allows."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import dimod
import numpy as np
from dimod.variables import iter_serialize_variables

from qpsbgd import __version__, _core, samplers
from qpsbgd.arguments import (
    COUNT_LIMIT,
    SEED_LIMIT,
    check_instance,
    checked_choice,
    checked_real,
    checked_seed,
    checked_threads,
    checked_time_limit,
)
from qpsbgd.formats import Instance

Solver = Literal["sa", "tabu", "exhaustive"]
StoppedBy = Literal["finished", "time_limit", "target", "interrupt"]
#: Called with the seconds so far and the best objective so far.
Progress = Callable[[float, float], object]

SOLVERS = ("sa", "tabu", "exhaustive")
#: By what samplers say.
STOPPED_BY: dict[str, StoppedBy] = {
    "finished": "finished",
    "time_limit": "time_limit",
    "energy_threshold": "target",
    "interrupt": "interrupt",
}
#: Sweeps of annealing's first round; each further one has twice as many, up to the most.
FIRST_SWEEPS, MOST_SWEEPS = 128, 2**20
#: Reads of a round for each thread: sparse problems are annealed sixteen at a time.
READS_PER_THREAD = 16


@dataclass(frozen=True)
class Solution:
    """The best state that a solver found.

    Attributes:
        instance: the problem.
        solver: ``"sa"``, ``"tabu"`` or ``"exhaustive"``.
        seed: that was used.
        threads: at most so many were used.
        parameters: the time limit and target asked for, and what was passed to the solver.
        energy: of ``instance.bqm``.
        assignment: value by variable, in the order of ``instance.bqm.variables``.
        stopped_by: ``"finished"``, ``"time_limit"``, ``"target"`` or ``"interrupt"``.
        seconds: that solving took, without reading the file.
        isa: instruction set.
    """

    instance: Instance
    solver: Solver
    seed: int
    threads: int
    parameters: dict[str, Any]
    energy: float
    assignment: list[int]
    stopped_by: StoppedBy
    seconds: float
    isa: str = field(default_factory=_core.isa)

    @property
    def objective(self) -> float:
        """In the sense of the file."""
        return self.instance.objective(self.energy)

    @property
    def optimal(self) -> bool:
        """Whether there is certainly no better one."""
        return self.solver == "exhaustive" and self.stopped_by == "finished"

    def to_dict(self) -> dict[str, Any]:
        """For JSON; ``assignment`` is in the order of ``variables``, the file's labels."""
        instance = self.instance
        return {
            "file": str(instance.path),
            "format": instance.format,
            "sha256": instance.sha256,
            "sense": instance.sense,
            "num_variables": instance.bqm.num_variables,
            "num_interactions": instance.bqm.num_interactions,
            "solver": self.solver,
            "seed": self.seed,
            "parameters": self.parameters,
            "objective": self.objective,
            "energy": self.energy,
            "optimal": self.optimal,
            "stopped_by": self.stopped_by,
            "seconds": self.seconds,
            "version": __version__,
            "isa": self.isa,
            "threads": self.threads,
            "vartype": instance.bqm.vartype.name,
            "variables": list(iter_serialize_variables(instance.bqm.variables)),
            "assignment": self.assignment,
        }


def solve(
    instance: Instance,
    solver: Solver = "sa",
    time_limit: float | None = 10.0,
    target: float | None = None,
    seed: int | None = None,
    num_threads: int | None = None,
    progress: Progress | None = None,
) -> Solution:
    """Solve an instance.

    Args:
        instance: the problem.
        solver: ``"sa"``, rounds of simulated annealing, each of twice as many sweeps; ``"tabu"``
            search; or ``"exhaustive"`` search, which proves its solution and is for few variables.
        time_limit: seconds, > 0; ``None`` for no limit.
        target: the search ends at an objective as good as this.
        seed: integer in ``[0, 2**31)``; drawn anew if ``None``.
        num_threads: at most this many; ``None`` for as many as OpenMP would use.
        progress: called many times a second.

    Returns:
        The best solution found. Ctrl-C ends the search, not the call: the solution is then
        ``stopped_by="interrupt"``.

    Raises:
        TypeError: an argument of the wrong type.
        ValueError: a value out of range.
        KeyboardInterrupt: Ctrl-C before there was any solution.
    """
    start = time.perf_counter()
    rule = "a qpsbgd.formats.Instance, which qpsbgd.formats.read makes of a file"
    check_instance("instance", instance, Instance, rule)
    checked_choice("solver", solver, SOLVERS)
    limit = checked_time_limit(time_limit)
    seed = checked_seed(seed)
    threads = checked_threads(num_threads)
    threshold = None
    if target is not None:
        if not np.isfinite(checked_real("target", target)):
            raise ValueError(f"target is {target!r}, but must be finite")
        threshold = instance.objective(target)
    lowest = float("inf")

    def watch(energy: float) -> None:
        nonlocal lowest
        lowest = min(lowest, energy)
        if progress is not None and lowest < float("inf"):
            progress(time.perf_counter() - start, instance.objective(lowest))

    call: dict[str, Any] = {"num_threads": threads, "progress": watch}
    parameters: dict[str, Any] = {}
    if solver == "sa":
        parameters = {"num_reads": READS_PER_THREAD * threads, "num_sweeps": []}
        calls = _anneals(
            instance.bqm, start + limit, seed, **parameters, energy_threshold=threshold, **call
        )
    elif solver == "tabu":
        calls = _tabu(instance.bqm, time_limit=limit, seed=seed, energy_threshold=threshold, **call)
    else:
        calls = _enumeration(instance.bqm, time_limit=limit, energy_threshold=threshold, **call)

    best: Any = None
    stopped_by = "finished"
    try:
        for found in calls:
            best = _better(best, found)
            watch(best.energy)
            stopped_by = found.info["stopped_by"]
    except KeyboardInterrupt as error:
        best = _better(best, getattr(error, "sampleset", None))
        if best is None:
            raise
        stopped_by = "interrupt"
    if stopped_by == "finished" and solver == "sa":
        stopped_by = "time_limit"  # between two rounds
    return Solution(
        instance=instance,
        solver=solver,
        seed=seed,
        threads=threads,
        parameters={
            "time_limit": None if limit == float("inf") else limit,
            "target": target,
            **parameters,
        },
        energy=float(best.energy),
        assignment=[int(best.sample[v]) for v in instance.bqm.variables],
        stopped_by=STOPPED_BY[stopped_by],
        seconds=time.perf_counter() - start,
    )


def _enumeration(bqm: dimod.BinaryQuadraticModel, **options: Any) -> Iterator[Any]:
    """One enumeration of all states."""
    yield samplers.ExhaustiveSampler().sample(bqm, **options)


def _tabu(bqm: dimod.BinaryQuadraticModel, **options: Any) -> Iterator[Any]:
    """One read of tabu search, of searches without end."""
    yield samplers.TabuSampler().sample(bqm, timeout=None, num_restarts=COUNT_LIMIT - 1, **options)


def _anneals(
    bqm: dimod.BinaryQuadraticModel,
    deadline: float,
    seed: int,
    num_reads: int,
    num_sweeps: list[int],
    **options: Any,
) -> Iterator[Any]:
    """Rounds of annealing until the deadline; ``num_sweeps`` gets the sweeps of each."""
    sampler = samplers.SimulatedAnnealingSampler()
    seeds = np.random.default_rng(seed)
    sweeps = FIRST_SWEEPS
    while True:
        start = time.perf_counter()
        num_sweeps.append(sweeps)
        found = sampler.sample(
            bqm,
            num_reads=num_reads,
            num_sweeps=sweeps,
            seed=int(seeds.integers(SEED_LIMIT)),
            time_limit=max(deadline - start, 1e-9),
            **options,
        )
        yield found
        now = time.perf_counter()
        # What the deadline cuts off has not cooled down: the last round is as long as the time that
        # is left, and gets the time of two where a third would not fit.
        fitting = 0.95 * (deadline - now) / (now - start) * sweeps
        if found.info["stopped_by"] != "finished" or fitting < FIRST_SWEEPS:
            return
        sweeps = int(min(fitting if fitting < 6 * sweeps else 2 * sweeps, MOST_SWEEPS))


def _better(best: Any, found: Any) -> Any:
    """The best sample of two results, either of which may be missing."""
    first = None if found is None else found.first
    if best is None or (first is not None and first.energy < best.energy):
        return first
    return best
