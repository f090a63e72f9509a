"""Calls of the core for parallel tempering."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from qpsbgd import _core
from qpsbgd.samplers.call.reads import is_begun
from qpsbgd.samplers.problem.ising import Problem
from qpsbgd.samplers.tempering.ladder import Pilot

Floats = npt.NDArray[np.float64]
States = npt.NDArray[np.int8]

#: Sweeps between two cluster moves.
CLUSTER_PERIOD = 20
#: Cluster moves take place in the colder part of the temperatures, from this fraction on.
CLUSTERED_FROM = 0.5
#: Largest fraction of a time limit that pilot runs take.
PILOT_SHARE = 0.1
#: Number of sweeps of a read that only a limit ends.
ENDLESS = 2**62
#: Number of the read whose random streams the pilot runs use, far from those of the reads.
PILOT_READ = 2**40


@dataclass(frozen=True)
class Plan:
    """Work that the reads of a call are to do.

    Attributes:
        betas: inverse temperatures, ascending.
        num_sweeps: sweeps of each replica.
        num_reads: number of reads of the call.
        sampled: inverse temperatures at which to take samples; None for best states.
        num_samples: samples of a read at each of these.
    """

    betas: Floats
    num_sweeps: int
    num_reads: int
    sampled: Floats | None
    num_samples: int

    def due(self) -> list[int]:
        """Return the sweeps after which samples are taken; none where a limit ends the read."""
        if self.sampled is None or self.num_sweeps == ENDLESS:
            return []
        half = self.num_sweeps // 2
        return [
            self.num_sweeps - (self.num_samples - 1 - k) * half // self.num_samples
            for k in range(self.num_samples)
        ]


@dataclass
class Records:
    """Records of the reads of a call, beside their states.

    Attributes:
        round_trips: of each read that was begun.
        num_taken: of each read that the call returns: how often it took samples, at least 1.
        is_short: whether a read ended before its last sweep.
    """

    round_trips: list[int] = field(default_factory=list)
    num_taken: list[int] = field(default_factory=list)
    is_short: bool = False
    _rates: Floats | float = 0.0

    def add(self, exchanges: Floats, round_trips: npt.NDArray[np.int64]) -> None:
        """Add reads that were begun.

        Args:
            exchanges: mean probability of an exchange of neighbours, ``(reads, betas - 1)``.
            round_trips: ``(reads,)``.
        """
        self._rates = self._rates + exchanges.sum(axis=0)
        self.round_trips += round_trips.tolist()

    def rates(self) -> list[float]:
        """Return the mean over all reads of the probabilities of an exchange of neighbours."""
        rates: list[float] = (np.atleast_1d(self._rates) / max(1, len(self.round_trips))).tolist()
        return rates if self.round_trips else []


@dataclass
class TemperingRun:
    """The pilot runs and the reads of one call.

    Attributes:
        problem: the problem.
        num_copies: replicas at each temperature; 2 with cluster moves.
        precision: type of the local fields.
        seed: seed of the random numbers.
        energy_threshold: energy that ends the call.
        acceptance: rule of the sweeps.
        in_core: caller of a function of the core, :meth:`SamplerCall.in_core`.
        records: what the reads did.
    """

    problem: Problem
    num_copies: int
    precision: _core.Precision
    seed: int
    energy_threshold: float
    acceptance: _core.Acceptance
    in_core: Callable[..., Any]
    records: Records = field(default_factory=Records)
    _limits: dict[str, Any] = field(default_factory=dict)
    _deadline: float = math.inf
    _seconds_per_read: float | None = None
    _interruption: tuple[_core.StopReason, BaseException | None] | None = None

    def start(self, limits: dict[str, Any]) -> None:
        """Start the clock.

        Args:
            limits: ``num_threads``, ``time_limit`` in seconds, and ``watch``.
        """
        self._limits = dict(limits)
        self._deadline = time.perf_counter() + limits["time_limit"]

    def seconds_left(self) -> float:
        """Return the seconds until the time limit, > 0."""
        return max(self._deadline - time.perf_counter(), 1e-9)

    def pilot(self, betas: Floats, states: States | None, num_sweeps: int) -> Pilot | None:
        """Measure a ladder in a short run, as :data:`.ladder.RunPilot` says."""
        n = len(self.problem.variables)
        start = np.ones((1, n), np.int8)
        limits = {**self._limits, "time_limit": PILOT_SHARE * self.seconds_left()}
        _, samples, _, _, _, exchanges, _, variances, reason, error = self.in_core(
            _core.temper, self.problem.core, start,
            replicas=None if states is None else states[None],
            betas=betas.tolist(), num_copies=1, num_sweeps=num_sweeps,
            num_discarded=num_sweeps // 2, cluster_period=0, first_clustered=0,
            acceptance=self.acceptance, keep_best=False,
            sampled=list(range(len(betas))), sample_sweeps=[num_sweeps], first_read=PILOT_READ,
            seconds_per_read=math.inf, energy_threshold=-math.inf, precision=self.precision,
            seed=self.seed, **limits,
        )  # fmt: skip
        if reason is not _core.StopReason.finished:
            if reason is not _core.StopReason.time_limit:
                self._interruption = reason, error
            return None
        return Pilot(exchanges[0], variances[0], samples[0, 0])

    def reads(
        self, plan: Plan, initial: States, first: int
    ) -> tuple[States, npt.NDArray[np.int64], _core.StopReason, BaseException | None]:
        """Temper some reads of a call and record what they did.

        Args:
            plan: what the reads of the call do.
            initial: states at which the coldest replicas begin, int8 ``(reads, n)``.
            first: number of the first of these reads.

        Returns:
            Best states ``(reads, n)``, or samples ``(reads, samples, temperatures, n)``; the number
            of sweeps of each read, -1 for a read that was not begun; the reason for which the core
            stopped; an exception that ended the call early, or None.
        """
        is_best, betas = plan.sampled is None, plan.betas
        due = plan.due()
        num_sweeps = 0 if self._interruption is not None else plan.num_sweeps
        seconds = self.seconds_left()
        if self._seconds_per_read is None:
            rounds = math.ceil(plan.num_reads / self._limits["num_threads"])
            self._seconds_per_read = seconds / max(rounds, 1)
        states, samples, sweeps, taken, trips, exchanges, _, _, reason, error = self.in_core(
            _core.temper, self.problem.core, initial, replicas=None, betas=betas.tolist(),
            num_copies=self.num_copies, num_sweeps=num_sweeps, num_discarded=0,
            cluster_period=CLUSTER_PERIOD if self.num_copies > 1 else 0,
            first_clustered=int(CLUSTERED_FROM * len(betas)), acceptance=self.acceptance,
            keep_best=is_best,
            sampled=[] if plan.sampled is None else np.searchsorted(betas, plan.sampled).tolist(),
            sample_sweeps=due, num_spread=0 if is_best or due else plan.num_samples,
            first_read=first, seconds_per_read=self._seconds_per_read,
            energy_threshold=self.energy_threshold, precision=self.precision, seed=self.seed,
            **{**self._limits, "time_limit": seconds},
        )  # fmt: skip
        if self._interruption is not None:
            reason, error = self._interruption
        has_variables = len(self.problem.variables) > 0
        self.records.is_short |= has_variables and bool((sweeps < num_sweeps).any())
        self.records.add(exchanges[sweeps >= 0], trips[sweeps >= 0])
        self.records.num_taken += np.maximum(taken, 1)[is_begun(sweeps, reason, first)].tolist()
        return states if is_best else samples, sweeps, reason, error


def last_samples(samples: States, num_taken: list[int], num_samples: int) -> States:
    """Return the last samples of each read, in the order of reads and times.

    Args:
        samples: ``(reads, times, temperatures, n)``.
        num_taken: number of times at which each read took samples, ``(reads,)``, at least 1.
        num_samples: largest number of times to return of a read.

    Returns:
        int8 ``(rows, n)``.
    """
    parts = [
        samples[read, max(0, taken - num_samples) : taken] for read, taken in enumerate(num_taken)
    ]
    rows = np.concatenate(parts)  # (times of all reads, temperatures, n)
    return np.ascontiguousarray(rows.reshape(len(rows) * rows.shape[1], rows.shape[2]))


def reduced_problem(problem: Problem) -> tuple[Problem, _core.Reduction]:
    """Return a sparse problem without its variables of at most two neighbours.

    Args:
        problem: the problem, in sparse form.

    Returns:
        The smaller problem in sparse form, whose offset makes its lowest energy that of
        ``problem``, and the reduction, which knows the other variables' best values.
    """
    reduction = _core.Reduction(problem.core)
    pairs = reduction.rows, reduction.columns
    smaller = Problem.from_vectors(reduction.linear, pairs, reduction.values, "sparse")
    smaller.offset = problem.offset + reduction.offset
    return smaller, reduction
