"""The best solution of an instance that a time limit allows."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, get_args

from dimod.variables import iter_serialize_variables

from qpsbgd import __version__, _core, strategies
from qpsbgd._checks.choices import checked_choice
from qpsbgd._checks.kinds import check_instance
from qpsbgd._checks.numbers import checked_finite, checked_seed, checked_threads, checked_time_limit
from qpsbgd.formats import Instance

Solver = Literal["portfolio", "sa", "tabu", "pt", "exhaustive"]
StoppedBy = Literal["finished", "time_limit", "target", "interrupt"]
#: Function of the seconds so far and of the best objective so far.
Progress = Callable[[float, float], object]

SOLVERS: tuple[Solver, ...] = get_args(Solver)
STRATEGIES: dict[Solver, Callable[[strategies.Search], Iterator[strategies.CallResult]]] = {
    "portfolio": strategies.run_portfolio,
    "sa": strategies.anneal,
    "tabu": strategies.search_tabu,
    "pt": strategies.temper,
    "exhaustive": strategies.enumerate_states,
}
#: Reasons of :class:`Solution` by those of samplers.
STOPPED_BY: dict[str, StoppedBy] = {
    "finished": "finished",
    "time_limit": "time_limit",
    "energy_threshold": "target",
    "interrupt": "interrupt",
}
#: A target is reached within this relative distance, as decimal numbers are rounded to binary.
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
        threads: largest number of threads that were used.
        parameters: the time limit and the target, and the parameters of the samplers.
        energy: energy of ``instance.bqm``, float64.
        assignment: values of the variables, in the order of ``instance.bqm.variables``.
        optimal: whether the solver proved that no state is better.
        stopped_by: ``"finished"``, ``"time_limit"``, ``"target"`` or ``"interrupt"``.
        seconds: time of the solving, without reading the file.
        isa: instruction set.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from qpsbgd.formats import read
        >>> from qpsbgd.solve import solve
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "triangle.rudy")
        ...     _ = path.write_text("3 3\\n1 2\\n1 3\\n2 3\\n")
        ...     solution = solve(read(path))
        >>> solution.objective, solution.optimal
        (2.0, True)
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
        """The objective that the file defines."""
        return self.instance.objective(self.energy)

    def to_dict(self) -> dict[str, Any]:
        """Return a dictionary for JSON.

        Its ``assignment`` has the values of the variables in the order of its ``variables``.
        """
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


class _Outcome(NamedTuple):
    """The end of a search."""

    best: _Best
    stopped_by: StoppedBy
    optimal: bool = False


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
        solver: ``"portfolio"`` runs rounds of steepest descents, anneals and tabu searches, or an
            enumeration if there are at most 20 variables. ``"sa"`` runs rounds of simulated
            annealing, each with twice as many sweeps as the one before. ``"tabu"`` runs tabu
            search. ``"pt"`` runs parallel tempering. ``"exhaustive"`` visits every state, which
            proves the solution and is for few variables.
        time_limit: seconds, > 0; ``None`` for no limit.
        target: objective at which the search ends.
        seed: integer in ``[0, 2**31)``; drawn if ``None``.
        num_threads: largest number of threads; ``None`` for the number of processors of this
            process.
        progress: function to call many times a second with the seconds so far and the best
            objective so far.
        initial: state at which the search starts, a value for each variable of ``instance.bqm``.
            The solution is never worse. Descent and tabu search of a portfolio, a read of the first
            round of ``"sa"``, the first search of ``"tabu"`` and the coldest replica of ``"pt"``
            begin there.

    Returns:
        The best solution. Ctrl-C ends the search, not the call: ``stopped_by`` of the solution is
        then ``"interrupt"``.

    Raises:
        TypeError: an argument of the wrong type.
        ValueError: a value out of range, an ``initial`` that is not a state of the model, or an
            ``initial`` together with ``solver="exhaustive"``.
        KeyboardInterrupt: Ctrl-C before there was any solution.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from qpsbgd.formats import read
        >>> from qpsbgd.solve import solve
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "path.rudy")
        ...     _ = path.write_text("3 2\\n1 2\\n2 3\\n")
        ...     solution = solve(read(path), "tabu", target=2.0, seed=1)
        >>> solution.objective, solution.stopped_by
        (2.0, 'target')
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
        threshold = instance.objective(checked_finite("target", target))
    best: _Best | None = None
    if initial is not None:
        if solver == "exhaustive":
            raise ValueError(
                "initial is a state, but must be None with solver='exhaustive', which has no start"
            )
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
    if best is not None and _reached(best.energy, threshold):
        outcome = _Outcome(best, "target")
    else:
        outcome = _run(solver, search, best)
    best = outcome.best
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
        optimal=outcome.optimal,
        stopped_by=outcome.stopped_by,
        seconds=time.perf_counter() - start,
    )


def _run(solver: Solver, search: strategies.Search, best: _Best | None) -> _Outcome:
    """Call the samplers of a solver until it ends, starting from the best state so far."""
    try:
        for result in STRATEGIES[solver](search):
            best = _better(best, result.name, result.sampleset)
            search.watch(best.energy)
            reason = STOPPED_BY[result.sampleset.info["stopped_by"]]
            if reason != "finished" or result.is_last:
                optimal = result.name == "exhaustive" and reason == "finished"
                return _Outcome(best, reason, optimal)
            if _reached(best.energy, search.threshold):
                return _Outcome(best, "target")
            if time.perf_counter() >= search.deadline:
                break
    except KeyboardInterrupt as error:
        sampleset = getattr(error, "sampleset", None)
        if sampleset is not None:
            best = _better(best, solver, sampleset)
        if best is None:
            raise
        return _Outcome(best, "interrupt")
    assert best is not None  # each strategy calls a sampler at least once
    return _Outcome(best, "time_limit")


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
        raise ValueError(
            f"initial has no value of {missing[0]!r}, but must have one of each variable"
        )
    if len(state) != bqm.num_variables:
        unknown = next(v for v in state if v not in bqm.variables)
        raise ValueError(f"initial has {unknown!r}, but must have the variables of the model alone")
    for variable, value in state.items():
        if value not in bqm.vartype.value:
            allowed = " or ".join(map(str, sorted(bqm.vartype.value)))
            raise ValueError(f"initial[{variable!r}] is {value!r}, but must be {allowed}")
    return {v: int(state[v]) for v in bqm.variables}
