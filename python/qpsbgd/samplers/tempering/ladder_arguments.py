"""The arguments that describe the inverse temperatures of parallel tempering, checked."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from qpsbgd._checks.beta_ranges import BetaRange, checked_geometric_range
from qpsbgd._checks.numbers import checked_count
from qpsbgd._checks.real_arrays import real_array
from qpsbgd.samplers import temperature_rules
from qpsbgd.samplers.tempering.ladder import (
    SEARCH_DISTANCE,
    RunPilot,
    measured_ladder,
    with_betas,
)

if TYPE_CHECKING:
    from qpsbgd.samplers.problem.ising import Problem

Floats = npt.NDArray[np.float64]

#: Largest number of replicas of a read. Pilot runs compare every two of their temperatures.
MAX_REPLICAS = 4096
#: A search for low energies needs no replicas above this part of the first temperature of an
#: annealing, where all barriers are low.
SEARCH_HOT = 1.5


@dataclass(frozen=True)
class LadderArguments:
    """Checked arguments.

    Attributes:
        given: the inverse temperatures of the caller, ascending; None for pilot runs.
        ends: the ends of the ladder, or the name of the rule that finds them.
        num_replicas: number of replicas of a read; None for the pilot runs to choose.
        sampled: inverse temperatures at which to take samples, ascending; None for best states.
    """

    given: Floats | None
    ends: BetaRange
    num_replicas: int | None
    sampled: Floats | None

    @classmethod
    def checked(
        cls, *, betas: Any, beta_range: Any, num_replicas: Any, sample_betas: Any
    ) -> "LadderArguments":
        """Check the arguments; the names are those of :class:`ParallelTemperingSampler`.

        Raises:
            TypeError: an argument of the wrong type.
            ValueError: a value out of range, or arguments that contradict each other.
        """
        ends = checked_geometric_range(beta_range)
        given = None if betas is None else np.sort(checked_betas("betas", betas))
        sampled = None
        if sample_betas is not None:
            sampled = np.unique(checked_betas("sample_betas", sample_betas))
        if num_replicas is not None:
            num_replicas = checked_count("num_replicas", num_replicas, 1)
        if given is not None:
            for name, value in (("beta_range", beta_range), ("num_replicas", num_replicas)):
                if value is not None:
                    raise ValueError(f"{name} is {value!r}, but must be None with betas")
            if sampled is not None and not np.isin(sampled, given).all():
                beta = sampled[~np.isin(sampled, given)][0]
                raise ValueError(f"sample_betas has {beta}, but must be among betas")
        elif not isinstance(ends, str):
            ends = min(ends), max(ends)
            if sampled is not None and not (ends[0] <= sampled[0] and sampled[-1] <= ends[1]):
                raise ValueError(
                    f"sample_betas is {sample_betas!r}, but must lie within beta_range, {ends}"
                )
        return cls(given, ends, num_replicas, sampled)

    def num_betas(self, num_copies: int) -> int | None:
        """Return the number of inverse temperatures; None if pilot runs choose it.

        Args:
            num_copies: replicas at each inverse temperature.

        Raises:
            ValueError: the number of replicas is no multiple of ``num_copies``, or too large.
        """
        for name, values in (("betas", self.given), ("sample_betas", self.sampled)):
            if values is not None and len(values) * num_copies > MAX_REPLICAS:
                raise ValueError(
                    f"{name} has {len(values)} values, but a read may have at most "
                    f"{MAX_REPLICAS} replicas, of which {num_copies} have one inverse temperature"
                )
        if self.given is not None:
            return len(self.given)
        if self.num_replicas is None:
            return None
        if self.num_replicas > MAX_REPLICAS:
            raise ValueError(
                f"num_replicas is {self.num_replicas}, but must be at most {MAX_REPLICAS}"
            )
        if self.num_replicas % num_copies:
            raise ValueError(
                f"num_replicas is {self.num_replicas}, but must be even with cluster moves: make "
                "it even, or pass cluster_moves=False"
            )
        return self.num_replicas // num_copies

    def betas(
        self, problem: "Problem", num_betas: int | None, max_sweeps: int, run_pilot: RunPilot
    ) -> Floats:
        """Return the inverse temperatures of a call, ascending.

        Args:
            problem: the problem.
            num_betas: result of :meth:`num_betas`.
            max_sweeps: largest number of sweeps of a pilot run.
            run_pilot: function that makes a pilot run.
        """
        if self.given is not None:
            return self.given
        hot, cold = self._find_ends(problem)
        if self.sampled is None:
            return measured_ladder(
                hot, cold, num_betas, run_pilot, max_sweeps=max_sweeps, distance=SEARCH_DISTANCE
            )
        if isinstance(self.ends, str):
            cold = float(self.sampled[-1])
            if cold <= hot:  # warm enough to need no exchanges
                return self.sampled
        ladder = measured_ladder(hot, cold, num_betas, run_pilot, max_sweeps=max_sweeps)
        return with_betas(ladder, self.sampled)

    def _find_ends(self, problem: "Problem") -> tuple[float, float]:
        if not isinstance(self.ends, str):
            return self.ends
        if not problem.variables:
            return temperature_rules.ARBITRARY
        if self.ends == "dwave":
            return temperature_rules.dwave_beta_range(problem)
        hot, knee, _ = temperature_rules.auto_temperatures(problem)
        return (hot if self.sampled is not None else min(SEARCH_HOT * hot, knee)), knee


def checked_betas(name: str, value: Any) -> Floats:
    """Return inverse temperatures, >= 0 and finite, as float64 ``(k,)`` with k > 0.

    Raises:
        TypeError: the value is neither a number nor a sequence of numbers.
        ValueError: another shape, or a number that is negative or not finite.
    """
    betas = np.atleast_1d(np.array(real_array(name, value), np.float64))
    if betas.ndim != 1 or len(betas) == 0:
        raise ValueError(
            f"{name} has shape {betas.shape}, but must be a number or a sequence of numbers, at "
            "least one"
        )
    bad = np.flatnonzero(~((betas >= 0) & np.isfinite(betas)))
    if len(bad):
        raise ValueError(f"{name}[{bad[0]}] is {betas[bad[0]]}, but must be at least 0 and finite")
    return betas
