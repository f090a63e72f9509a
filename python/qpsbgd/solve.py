"""One solution of an instance, as good as a time limit allows."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from dimod.variables import iter_serialize_variables

from qpsbgd import __version__, _core, strategies
from qpsbgd._checks import (
    check_instance,
    checked_choice,
    checked_real,
    checked_seed,
    checked_threads,
    checked_time_limit,
)
from qpsbgd.formats import Instance

Solver = Literal["portfolio", "sa", "tabu", "exhaustive"]
StoppedBy = Literal["finished", "time_limit", "target", "interrupt"]
#: Called with the seconds so far and the best objective so far.
Progress = Callable[[float, float], object]

SOLVERS: tuple[Solver, ...] = get_args(Solver)
STRATEGIES: dict[Solver, Callable[[strategies.Search], Iterator[strategies.Found]]] = {
    "portfolio": strategies.run_portfolio,
    "sa": strategies.anneal,
    "tabu": strategies.search_tabu,
    "exhaustive": strategies.enumerate_states,
}
#: By what samplers say.
STOPPED_BY: dict[str, StoppedBy] = {
    "finished": "finished",
    "time_limit": "time_limit",
    "energy_threshold": "target",
    "interrupt": "interrupt",
}
#: A target counts as reached at this relative distance: decimal numbers are rounded to binary.
TARGET_TOLERANCE = 1e-12


@dataclass(frozen=True)
class Solution:
    """The best state that a solver found.

    Attributes:
        instance: the problem.
        solver: ``"portfolio"``, ``"sa"``, ``"tabu"`` or ``"exhaustive"``.
        found_by: the sampler that found the state: ``"descent"``, ``"sa"``, ``"tabu"`` or
            ``"exhaustive"``; ``"initial"`` if none found a better one than the start.
        seed: the seed that was used.
        threads: at most this many were used.
        parameters: the time limit and target asked for, and what was passed to the samplers.
        energy: energy of ``instance.bqm``, float64.
        assignment: values of the variables, in the order of ``instance.bqm.variables``.
        optimal: whether there is certainly no better state.
        stopped_by: ``"finished"``, ``"time_limit"``, ``"target"`` or ``"interrupt"``.
        seconds: time that solving took, without reading the file.
        isa: instruction set.
    """

    instance: Instance
    solver: Solver
    found_by: str
    seed: int
    threads: int
    parameters: dict[str, Any]
    energy: float
    assignment: list[int]
    optimal: bool
    stopped_by: StoppedBy
    seconds: float
    isa: str = field(default_factory=_core.isa)

    @property
    def objective(self) -> float:
        """The objective of the file."""
        return self.instance.objective(self.energy)

    def to_dict(self) -> dict[str, Any]:
        """Return a dictionary for JSON; ``assignment`` is in the order of ``variables``."""
        instance = self.instance
        return {
            "file": str(instance.path),
            "format": instance.format,
            "sha256": instance.sha256,
            "sense": instance.sense,
            "sense_source": instance.sense_source,
            "sense_reason": instance.sense_reason,
            "num_variables": instance.bqm.num_variables,
            "num_interactions": instance.bqm.num_interactions,
            "solver": self.solver,
            "found_by": self.found_by,
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


class _Best(NamedTuple):
    """The best state so far."""

    energy: float
    sample: Mapping[Any, int]
    found_by: str


def solve(
    instance: Instance,
    solver: Solver = "portfolio",
    time_limit: float | None = 10.0,
    target: float | None = None,
    seed: int | None = None,
    num_threads: int | None = None,
    progress: Progress | None = None,
    initial: Mapping[Any, int] | None = None,
) -> Solution:
    """Solve an instance.

    Args:
        instance: the problem.
        solver: ``"portfolio"``, rounds of steepest descents, anneals and tabu searches, or an
            enumeration where there are at most 20 variables; ``"sa"``, rounds of simulated
            annealing, each of twice as many sweeps; ``"tabu"`` search; or ``"exhaustive"`` search,
            which proves its solution and is for few variables.
        time_limit: seconds, > 0; ``None`` for no limit.
        target: the search ends at an objective as good as this.
        seed: integer in ``[0, 2**31)``; drawn anew if ``None``.
        num_threads: at most this many; ``None`` for the processors of this process.
        progress: called many times a second.
        initial: state from which the search starts, a value for each variable of
            ``instance.bqm``; the solution is never worse. Descent and tabu search of a portfolio, a
            read of the first round of ``"sa"`` and the first search of ``"tabu"`` begin there.

    Returns:
        The best solution found. Ctrl-C ends the search, not the call: the solution is then
        ``stopped_by="interrupt"``.

    Raises:
        TypeError: an argument of the wrong type.
        ValueError: a value out of range, an ``initial`` that is no state of the model, or one
            together with ``solver="exhaustive"``.
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
    best: _Best | None = None
    if initial is not None:
        if solver == "exhaustive":
            raise ValueError("initial goes with other solvers than 'exhaustive'")
        initial = _checked_state(instance, initial)
        best = _Best(float(instance.bqm.energy(initial)), initial, "initial")
    lowest = float("inf")

    def watch(energy: float) -> None:
        nonlocal lowest
        lowest = min(lowest, energy)
        if progress is not None and lowest < float("inf"):
            progress(time.perf_counter() - start, instance.objective(lowest))

    search = strategies.Search(
        instance.bqm, start + limit, seed, threads, threshold, initial, watch
    )
    stopped_by: StoppedBy = "time_limit"  # where a strategy sees that no further call fits
    optimal = False
    if best is not None and _reached(best.energy, threshold):
        stopped_by = "target"
    else:
        try:
            for found in STRATEGIES[solver](search):
                best = _better(best, found.name, found.sampleset)
                watch(best.energy)
                reason = STOPPED_BY[found.sampleset.info["stopped_by"]]
                optimal = found.name == "exhaustive" and reason == "finished"
                if reason != "finished" or found.is_last:
                    stopped_by = reason
                    break
                if _reached(best.energy, threshold):
                    stopped_by = "target"
                    break
                if time.perf_counter() >= search.deadline:
                    break
        except KeyboardInterrupt as error:
            sampleset = getattr(error, "sampleset", None)
            if sampleset is not None:
                best = _better(best, solver, sampleset)
            if best is None:
                raise
            stopped_by = "interrupt"
    assert best is not None  # each strategy makes at least one call
    return Solution(
        instance=instance,
        solver=solver,
        found_by=best.found_by,
        seed=seed,
        threads=threads,
        parameters={
            "time_limit": None if limit == float("inf") else limit,
            "target": target,
            **search.parameters,
        },
        energy=float(instance.bqm.energy(best.sample)),
        assignment=[int(best.sample[v]) for v in instance.bqm.variables],
        optimal=optimal,
        stopped_by=stopped_by,
        seconds=time.perf_counter() - start,
    )


def _reached(energy: float, threshold: float | None) -> bool:
    return threshold is not None and energy <= threshold + TARGET_TOLERANCE * abs(threshold)


def _better(best: _Best | None, name: str, sampleset: Any) -> _Best:
    """Return the better of the best state so far and that of a result; the former if equal."""
    first = sampleset.first
    if best is None or first.energy < best.energy:
        return _Best(float(first.energy), first.sample, name)
    return best


def _checked_state(instance: Instance, state: Mapping[Any, int]) -> dict[Any, int]:
    bqm = instance.bqm
    if not isinstance(state, Mapping):
        raise TypeError(f"initial is a {type(state).__name__}, but must be a mapping")
    if missing := [v for v in bqm.variables if v not in state]:
        raise ValueError(f"initial has no value of {missing[0]!r}")
    if len(state) != bqm.num_variables:
        unknown = next(v for v in state if v not in bqm.variables)
        raise ValueError(f"initial has {unknown!r}, which is no variable")
    for variable, value in state.items():
        if value not in bqm.vartype.value:
            allowed = " or ".join(map(str, sorted(bqm.vartype.value)))
            raise ValueError(f"initial[{variable!r}] is {value!r}, but must be {allowed}")
    return {v: int(state[v]) for v in bqm.variables}
