"""Calls of the core for parallel tempering."""

import math
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from qpsbgd import _core
from qpsbgd.samplers.ising import Form, Problem
from qpsbgd.samplers.ladder import Pilot

Floats = npt.NDArray[np.float64]
States = npt.NDArray[np.int8]

#: Sweeps between two cluster moves.
CLUSTER_PERIOD = 40
#: Cluster moves take place in the colder part of the temperatures, from this fraction on.
CLUSTERED_FROM = 0.5
#: Largest fraction of a time limit that pilot runs take.
PILOT_SHARE = 0.1
#: Number of the read whose random streams the pilot runs use, far from those of the reads.
PILOT_READ = 2**40


@dataclass(frozen=True)
class TemperedReads:
    """What the reads of a call did.

    Attributes:
        states: best states, int8 ``(reads, n)``.
        samples: int8 ``(reads, samples, temperatures, n)``.
        sweeps: sweeps of each read, -1 for a read that was not begun, ``(reads,)``.
        round_trips: ``(reads,)``.
        exchanges: mean probability of an exchange of neighbours, ``(reads, betas - 1)``.
        reason: the reason for which the core stopped.
        error: an exception that ended the call early, or None.
    """

    states: States
    samples: States
    sweeps: npt.NDArray[np.int64]
    round_trips: npt.NDArray[np.int64]
    exchanges: Floats
    reason: _core.StopReason
    error: BaseException | None


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
    """

    problem: Problem
    num_copies: int
    precision: _core.Precision
    seed: int
    energy_threshold: float
    acceptance: _core.Acceptance
    _limits: dict[str, Any] = field(default_factory=dict)
    _deadline: float = math.inf
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
        """Measure a ladder in a short run, as :class:`~qpsbgd.samplers.ladder.RunPilot` says."""
        n = len(self.problem.variables)
        start = np.ones((1, n), np.int8)
        limits = {**self._limits, "time_limit": PILOT_SHARE * self.seconds_left()}
        _, samples, _, _, exchanges, _, variances, reason, error = _core.temper(
            self.problem.core, start, replicas=None if states is None else states[None],
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
        self,
        initial: States,
        betas: Floats,
        num_sweeps: int,
        sampled: Floats | None,
        num_samples: int,
    ) -> TemperedReads:
        """Temper all reads.

        Args:
            initial: states at which the coldest replicas begin, int8 ``(reads, n)``.
            betas: inverse temperatures, ascending.
            num_sweeps: sweeps of each replica.
            sampled: inverse temperatures at which to take samples; None for best states.
            num_samples: samples of a read at each of these.
        """
        places = [] if sampled is None else np.searchsorted(betas, sampled).tolist()
        half = num_sweeps // 2
        due = [num_sweeps - (num_samples - 1 - k) * half // num_samples for k in range(num_samples)]
        has_clusters = self.num_copies > 1
        if self._interruption is not None:
            num_sweeps = 0
        seconds = self.seconds_left()
        rounds = math.ceil(max(len(initial), 1) / self._limits["num_threads"])
        states, samples, sweeps, trips, exchanges, _, _, reason, error = _core.temper(
            self.problem.core, initial, replicas=None, betas=betas.tolist(),
            num_copies=self.num_copies, num_sweeps=num_sweeps, num_discarded=0,
            cluster_period=CLUSTER_PERIOD if has_clusters else 0,
            first_clustered=int(CLUSTERED_FROM * len(betas)), acceptance=self.acceptance,
            keep_best=sampled is None,
            sampled=places, sample_sweeps=due if sampled is not None else [], first_read=0,
            seconds_per_read=seconds / rounds, energy_threshold=self.energy_threshold,
            precision=self.precision, seed=self.seed, **{**self._limits, "time_limit": seconds},
        )  # fmt: skip
        if self._interruption is not None:
            reason, error = self._interruption
        return TemperedReads(states, samples, sweeps, trips, exchanges, reason, error)


def reduced_problem(problem: Problem, form: Form | None) -> tuple[Problem, _core.Reduction]:
    """Return a sparse problem without its variables of at most two neighbours.

    Args:
        problem: the problem, in sparse form.
        form: form of the result; None for the faster one.

    Returns:
        The smaller problem, whose offset makes its lowest energy that of ``problem``, and the
        reduction, which knows the other variables' best values.
    """
    reduction = _core.Reduction(problem.core)
    pairs = reduction.rows, reduction.columns
    smaller = Problem.from_vectors(reduction.linear, pairs, reduction.values, form)
    smaller.offset = problem.offset + reduction.offset
    return smaller, reduction
