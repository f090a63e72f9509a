"""Solvers of :func:`qpsbgd.solve.solve`: sequences of calls of samplers."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import dimod
import numpy as np

from qpsbgd import samplers
from qpsbgd._checks.numbers import COUNT_LIMIT, SEED_LIMIT

#: Sweeps of the first round of annealing. Each further round has twice as many sweeps,
FIRST_SWEEPS = 128
#: but at most this number.
MAX_SWEEPS = 2**20
#: Number of anneals of a round for each thread. Sparse problems are annealed sixteen at a time.
READS_PER_THREAD = 16
#: A portfolio enumerates the states of up to this number of variables, which takes milliseconds.
MAX_ENUMERATED = 20
#: A round makes one tabu search for this number of sweeps of its anneals, on dense and on sparse
#: problems. Both then take about the same time, as measured for 50 to 20,000 variables.
SWEEPS_PER_SEARCH, SPARSE_SWEEPS_PER_SEARCH = 128, 512
#: A round makes one descent for this number of sweeps of its anneals. All descents of a round take
#: a quarter of the time of its anneals.
SWEEPS_PER_DESCENT = 128
#: A problem is dense if at least this fraction of its pairs of variables interact.
DENSE = 0.1
#: Largest number of bytes of the states of a round's descents.
MAX_BYTES = 2**26
#: A round of annealing is the last one if it does not fit into this fraction of the time left.
LAST_ROUND = 0.5


class CallResult(NamedTuple):
    """The result of one call of a sampler.

    Attributes:
        name: name of the sampler.
        sampleset: result of the sampler.
        is_last: whether the search ends with this call.
    """

    name: str
    sampleset: Any
    is_last: bool = False


@dataclass
class Search:
    """A problem and the limits of its search.

    Attributes:
        bqm: the model to minimise.
        deadline: value of ``time.perf_counter()`` at which the search ends.
        seed: seed of all random numbers.
        threads: largest number of threads.
        threshold: energy at which the search ends; ``None`` for no threshold.
        initial: state at which the search starts, a value for each variable; ``None`` for random
            states.
        watch: function to call many times a second with the lowest energy of a call.
        parameters: record of the parameters that the search passes to samplers.
    """

    bqm: dimod.BinaryQuadraticModel
    deadline: float
    seed: int
    threads: int
    threshold: float | None
    initial: dict[Any, int] | None
    watch: Callable[[float], None]
    parameters: dict[str, Any] = field(default_factory=dict)

    def seconds_left(self) -> float:
        """Return the time until the deadline, or 1e-9: a time limit must be positive."""
        return max(self.deadline - time.perf_counter(), 1e-9)

    def limits(self) -> dict[str, Any]:
        """Return the options that all samplers take."""
        return {"num_threads": self.threads, "time_limit": self.seconds_left()}

    def watched_limits(self) -> dict[str, Any]:
        """Return the options of the samplers that have a threshold and report their progress."""
        return {**self.limits(), "energy_threshold": self.threshold, "progress": self.watch}


@dataclass
class _BestState:
    """The best state of a portfolio so far, at which the next tabu search begins."""

    state: dict[Any, int] | None
    energy: float = float("inf")

    def update(self, sampleset: Any) -> None:
        """Take the best state of a sampler's result if it has a lower energy."""
        first = sampleset.first
        if first.energy < self.energy:
            self.state, self.energy = dict(first.sample), float(first.energy)


def enumerate_states(search: Search) -> Iterator[CallResult]:
    """Enumerate all states."""
    result = samplers.ExhaustiveSampler().sample(search.bqm, **search.watched_limits())
    yield CallResult("exhaustive", result, is_last=True)


def search_tabu(search: Search) -> Iterator[CallResult]:
    """Run tabu searches in one read until the deadline."""
    result = samplers.TabuSampler().sample(
        search.bqm,
        timeout=None,
        num_restarts=COUNT_LIMIT - 1,
        initial_states=search.initial,
        seed=search.seed,
        **search.watched_limits(),
    )
    yield CallResult("tabu", result, is_last=True)


def temper(search: Search) -> Iterator[CallResult]:
    """Run parallel tempering in one read until the deadline."""
    result = samplers.ParallelTemperingSampler().sample(
        search.bqm,
        num_sweeps=COUNT_LIMIT - 1,
        initial_states=search.initial,
        seed=search.seed,
        **search.watched_limits(),
    )
    yield CallResult("pt", result, is_last=True)


def anneal(search: Search) -> Iterator[CallResult]:
    """Run rounds of annealing until the deadline, each of about twice as many sweeps.

    One read of the first round begins at the initial state.
    """
    reads = READS_PER_THREAD * search.threads
    rounds: list[int] = []
    search.parameters.update(num_reads=reads, num_sweeps=rounds)
    seeds = np.random.default_rng(search.seed)
    sweeps = FIRST_SWEEPS
    while True:
        start = time.perf_counter()
        rounds.append(sweeps)
        result = _anneal_round(search, seeds, sweeps, search.initial if len(rounds) == 1 else None)
        yield CallResult("sa", result)
        now = time.perf_counter()
        # A round that the deadline cuts off does not cool down. So the last round is as long as the
        # time that is left, and takes the time of two rounds if a third one would not fit.
        fitting = 0.95 * (search.deadline - now) / (now - start) * sweeps
        if fitting < FIRST_SWEEPS:
            return
        sweeps = int(min(fitting if fitting < 6 * sweeps else 2 * sweeps, MAX_SWEEPS))


def run_portfolio(search: Search) -> Iterator[CallResult]:
    """Run rounds of steepest descents, anneals and tabu searches; each uses all threads.

    A round has a fixed amount of work, twice that of the round before. Its time is not fixed. All
    rounds but the last one, which the deadline cuts, are therefore the same in each run with the
    same seed and number of threads. Tabu search begins at the best state so far.
    """
    n = search.bqm.num_variables
    if n <= MAX_ENUMERATED:
        yield from enumerate_states(search)
        return
    is_dense = search.bqm.num_interactions >= DENSE * n * (n - 1) / 2
    per_search = SWEEPS_PER_SEARCH if is_dense else SPARSE_SWEEPS_PER_SEARCH
    seeds = np.random.default_rng(search.seed)
    rounds: list[dict[str, int]] = []
    search.parameters["rounds"] = rounds
    reads = READS_PER_THREAD * search.threads
    best = _BestState(search.initial)
    sweeps = FIRST_SWEEPS
    seconds_per_sweep = 0.0  # of all anneals of a round; unknown before the first round

    while True:
        total = reads * sweeps
        descents = max(1, min(total // SWEEPS_PER_DESCENT, MAX_BYTES // n))
        searches = max(1, total // per_search)
        fitting = search.seconds_left() * LAST_ROUND / max(seconds_per_sweep, 1e-12)
        is_last = fitting < sweeps
        rounds.append({"num_descents": descents, "num_reads": reads})

        result = samplers.SteepestDescentSampler().sample(
            search.bqm,
            num_reads=descents,
            initial_states=search.initial if len(rounds) == 1 else None,
            seed=int(seeds.integers(SEED_LIMIT)),
            **search.limits(),
        )
        yield CallResult("descent", result)
        best.update(result)

        if is_last:
            sweeps = int(fitting)
        # Anneals that the deadline would cut off do not cool down: tabu search takes their time.
        if sweeps >= FIRST_SWEEPS:
            rounds[-1]["num_sweeps"] = sweeps
            start = time.perf_counter()
            result = _anneal_round(search, seeds, sweeps, None)
            yield CallResult("sa", result)
            seconds_per_sweep = (time.perf_counter() - start) / sweeps
            best.update(result)

        rounds[-1]["num_restarts"] = COUNT_LIMIT - 1 if is_last else searches - 1
        result = samplers.TabuSampler().sample(
            search.bqm,
            timeout=None,
            num_restarts=rounds[-1]["num_restarts"],
            initial_states=best.state,
            seed=int(seeds.integers(SEED_LIMIT)),
            **search.watched_limits(),
        )
        yield CallResult("tabu", result)
        best.update(result)
        sweeps = min(2 * sweeps, MAX_SWEEPS)


def _anneal_round(
    search: Search, seeds: np.random.Generator, sweeps: int, initial: dict[Any, int] | None
) -> Any:
    return samplers.SimulatedAnnealingSampler().sample(
        search.bqm,
        num_reads=READS_PER_THREAD * search.threads,
        num_sweeps=sweeps,
        initial_states=initial,
        seed=int(seeds.integers(SEED_LIMIT)),
        keep="best",
        **search.watched_limits(),
    )
