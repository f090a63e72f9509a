"""What the solvers of :func:`qpsbgd.solve.solve` do: calls of samplers, one after another."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import dimod
import numpy as np

from qpsbgd import samplers
from qpsbgd._checks import COUNT_LIMIT, SEED_LIMIT

#: Sweeps of annealing's first round; each further one has twice as many, up to the most.
FIRST_SWEEPS, MOST_SWEEPS = 128, 2**20
#: Anneals of a round for each thread: sparse problems are annealed sixteen at a time.
READS_PER_THREAD = 16
#: A portfolio enumerates the states of so few variables, which takes milliseconds.
MOST_ENUMERATED = 20
#: Sweeps of all anneals of a round for each tabu search of that round, on dense and on sparse
#: problems: both then take about as long. Measured for 50 to 20,000 variables.
SWEEPS_PER_SEARCH, SPARSE_SWEEPS_PER_SEARCH = 128, 512
#: Sweeps of all anneals of a round for each descent, which take a quarter of that time.
SWEEPS_PER_DESCENT = 128
#: Share of the pairs that interact, from which on a problem counts as dense.
DENSE = 0.1
#: The states of a round's descents take at most so many bytes.
MOST_BYTES = 2**26
#: A round of annealing that does not fit into this share of the time left is the last one.
LAST_ROUND = 0.5


class Found(NamedTuple):
    """The result of one call.

    Attributes:
        name: name of the sampler.
        sampleset: its result.
        is_last: whether the search is over with it.
    """

    name: str
    sampleset: Any
    is_last: bool = False


@dataclass
class Search:
    """A problem and the limits of its search.

    Attributes:
        bqm: the model to minimise.
        deadline: time of ``perf_counter`` at which the search ends.
        seed: seed of all random numbers.
        threads: at most this many are used.
        threshold: the search ends at a state of this energy; ``None`` for no threshold.
        initial: start of the search, value by variable; ``None`` for random starts.
        watch: called with the lowest energy of a call, many times a second.
        parameters: what the search passes to samplers, for the record.
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
        """Return the time until the deadline; positive, as samplers take no other."""
        return max(self.deadline - time.perf_counter(), 1e-9)

    def limits(self) -> dict[str, Any]:
        """Return the options of a call that all samplers take."""
        return {"num_threads": self.threads, "time_limit": self.seconds_left()}

    def watched(self) -> dict[str, Any]:
        """Return the options of a call that can be watched and has a threshold."""
        return {**self.limits(), "energy_threshold": self.threshold, "progress": self.watch}


def enumerate_states(search: Search) -> Iterator[Found]:
    """Enumerate all states."""
    found = samplers.ExhaustiveSampler().sample(search.bqm, **search.watched())
    yield Found("exhaustive", found, is_last=True)


def search_tabu(search: Search) -> Iterator[Found]:
    """Run tabu searches without end in one read."""
    found = samplers.TabuSampler().sample(
        search.bqm,
        timeout=None,
        num_restarts=COUNT_LIMIT - 1,
        initial_states=search.initial,
        seed=search.seed,
        **search.watched(),
    )
    yield Found("tabu", found, is_last=True)


def anneal(search: Search) -> Iterator[Found]:
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
        found = _anneal_round(search, seeds, sweeps, search.initial if len(rounds) == 1 else None)
        yield Found("sa", found)
        now = time.perf_counter()
        # What the deadline cuts off has not cooled down: the last round is as long as the time that
        # is left, and gets the time of two where a third would not fit.
        fitting = 0.95 * (search.deadline - now) / (now - start) * sweeps
        if fitting < FIRST_SWEEPS:
            return
        sweeps = int(min(fitting if fitting < 6 * sweeps else 2 * sweeps, MOST_SWEEPS))


def run_portfolio(search: Search) -> Iterator[Found]:
    """Run rounds of steepest descents, anneals and tabu searches, on all threads each.

    The work of a round, not its time, is fixed, and twice that of the round before. So all rounds
    but the last, which the deadline cuts, are the same in each run of one seed and number of
    threads. Tabu search begins at the best state so far.
    """
    n = search.bqm.num_variables
    if n <= MOST_ENUMERATED:
        yield from enumerate_states(search)
        return
    is_dense = search.bqm.num_interactions >= DENSE * n * (n - 1) / 2
    per_search = SWEEPS_PER_SEARCH if is_dense else SPARSE_SWEEPS_PER_SEARCH
    seeds = np.random.default_rng(search.seed)
    rounds: list[dict[str, int]] = []
    search.parameters["rounds"] = rounds
    reads = READS_PER_THREAD * search.threads
    best, lowest = search.initial, float("inf")
    sweeps = FIRST_SWEEPS
    seconds_per_sweep = 0.0  # of a round's anneals; not known before the first

    while True:
        total = reads * sweeps
        descents = max(1, min(total // SWEEPS_PER_DESCENT, MOST_BYTES // n))
        searches = max(1, total // per_search)
        fitting = search.seconds_left() * LAST_ROUND / max(seconds_per_sweep, 1e-12)
        is_last = fitting < sweeps
        rounds.append({"num_descents": descents, "num_reads": reads})

        found = samplers.SteepestDescentSampler().sample(
            search.bqm,
            num_reads=descents,
            initial_states=search.initial if len(rounds) == 1 else None,
            seed=int(seeds.integers(SEED_LIMIT)),
            **search.limits(),
        )
        yield Found("descent", found)
        best, lowest = _better(best, lowest, found)

        if is_last:
            sweeps = int(fitting)
        # A round that would be cut off before it has cooled down is left to tabu search.
        if sweeps >= FIRST_SWEEPS:
            rounds[-1]["num_sweeps"] = sweeps
            start = time.perf_counter()
            found = _anneal_round(search, seeds, sweeps, None)
            yield Found("sa", found)
            seconds_per_sweep = (time.perf_counter() - start) / sweeps
            best, lowest = _better(best, lowest, found)

        rounds[-1]["num_restarts"] = COUNT_LIMIT - 1 if is_last else searches - 1
        found = samplers.TabuSampler().sample(
            search.bqm,
            timeout=None,
            num_restarts=rounds[-1]["num_restarts"],
            initial_states=best,
            seed=int(seeds.integers(SEED_LIMIT)),
            **search.watched(),
        )
        yield Found("tabu", found)
        best, lowest = _better(best, lowest, found)
        sweeps = min(2 * sweeps, MOST_SWEEPS)


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
        **search.watched(),
    )


def _better(
    best: dict[Any, int] | None, lowest: float, found: Any
) -> tuple[dict[Any, int] | None, float]:
    """Return the state to go on from, and its energy."""
    first = found.first
    if first.energy < lowest:
        return dict(first.sample), float(first.energy)
    return best, lowest
