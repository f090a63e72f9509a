"""Options of a projection: checked once, then carried from the caller to the core."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from qpsbgd import _core
from qpsbgd._checks.beta_ranges import BetaRange, BetaRule, checked_geometric_range
from qpsbgd._checks.choices import checked_choice
from qpsbgd._checks.numbers import (
    checked_count,
    checked_nonnegative,
    checked_num_sweeps,
    checked_positive,
    checked_seed,
    checked_threads,
)
from qpsbgd.samplers.schedule import geometric

Objective = Literal["quadratic", "sign"]
AlphaRule = Literal["norm", "fit"]
InitialKind = Literal["linear", "random"]
OBJECTIVES: tuple[str, ...] = get_args(Objective)
ALPHA_RULES: tuple[str, ...] = get_args(AlphaRule)
INITIAL_KINDS: tuple[str, ...] = get_args(InitialKind)

#: Sweeps of a projection whose caller names no number, by objective. Two sweeps of the quadratic
#: objective gave most of the accuracy that more sweeps gave (docs/defaults.md). Descent ends by
#: itself at a local minimum. The sign objective usually reaches one within two sweeps, so that its
#: ten cost nothing more.
DEFAULT_NUM_SWEEPS: dict[str, int] = {"quadratic": 2, "sign": 10}
DEFAULT_TARGET_EPS = 0.01


@dataclass(frozen=True, eq=False, init=False)
class ProjectionOptions:
    """Options of one projection.

    The constructor takes the attributes as keyword arguments and checks them.
    :func:`qpsbgd.project` describes what each one does. The last five belong to a solver: where
    they are None, the projector that receives the options uses its own value.

    Attributes:
        objective: ``"quadratic"`` (default) or ``"sign"``.
        scale: factor of the step length alpha, > 0; default 1.
        alpha: rule for the step length alpha, ``"fit"`` (default) or ``"norm"``.
        num_sweeps: passes over all variables, >= 0. The constructor replaces None by
            2 (quadratic) or 10 (sign).
        seed: integer in ``[0, 2**31)``. The constructor replaces None by a random one.
        num_reads: independent solutions per neuron, >= 1, or None.
        beta_range: inverse temperatures ``(hot, cold)``, a rule, or None.
        initial: ``"linear"``, ``"random"``, an int8 array ``(m, n)`` of -1 and +1, or None.
        target_eps: tie rule of the sign objective, >= 0, or None.
        num_threads: largest number of threads, >= 1, or None.

    Raises:
        TypeError: an option has the wrong type.
        ValueError: an option is out of range.

    Example:
        >>> from qpsbgd import ProjectionOptions
        >>> options = ProjectionOptions(objective="sign", seed=3)
        >>> options.num_sweeps, options.alpha, options.num_reads
        (10, 'fit', None)
    """

    objective: Objective
    scale: float
    alpha: AlphaRule
    num_sweeps: int
    seed: int
    num_reads: int | None
    beta_range: BetaRange | None
    initial: InitialKind | npt.NDArray[np.int8] | None
    target_eps: float | None
    num_threads: int | None

    def __init__(
        self,
        *,
        objective: Objective = "quadratic",
        scale: float = 1.0,
        alpha: AlphaRule = "fit",
        num_sweeps: int | None = None,
        seed: int | None = None,
        num_reads: int | None = None,
        beta_range: BetaRange | None = None,
        initial: InitialKind | npt.NDArray[np.int8] | None = None,
        target_eps: float | None = None,
        num_threads: int | None = None,
    ) -> None:
        checked_choice("objective", objective, OBJECTIVES)
        if num_sweeps is None:
            num_sweeps = DEFAULT_NUM_SWEEPS[objective]
        if isinstance(initial, str) and initial not in INITIAL_KINDS:
            raise ValueError(f"initial is {initial!r}, but must be 'linear', 'random' or an array")
        if target_eps is not None:
            target_eps = checked_nonnegative("target_eps", target_eps)
        vars(self).update(  # the class is frozen
            objective=objective,
            scale=checked_positive("scale", scale),
            alpha=checked_choice("alpha", alpha, ALPHA_RULES),
            num_sweeps=checked_num_sweeps(num_sweeps),
            seed=checked_seed(seed),
            num_reads=None if num_reads is None else checked_count("num_reads", num_reads, 1),
            beta_range=_checked_beta_range(beta_range),
            initial=initial,  # the shape of an array is checked beside the layer's
            target_eps=target_eps,
            num_threads=None if num_threads is None else checked_threads(num_threads),
        )

    def filled(self, **values: Any) -> "ProjectionOptions":
        """Return these options with values in the place of those that are None.

        Args:
            **values: values by the names of the attributes.

        Example:
            >>> from qpsbgd import ProjectionOptions
            >>> options = ProjectionOptions(num_reads=3).filled(num_reads=1, target_eps=0.5)
            >>> options.num_reads, options.target_eps
            (3, 0.5)
        """
        missing = {name: value for name, value in values.items() if getattr(self, name) is None}
        return dataclasses.replace(self, **missing)

    def core_objective(self) -> dict[str, Any]:
        """Return the arguments that tell the core what to minimise."""
        return {
            "objective": _core.Objective[self.objective],
            "scale": self.scale,
            "alpha": _core.AlphaRule[self.alpha],
            "target_eps": DEFAULT_TARGET_EPS if self.target_eps is None else self.target_eps,
        }

    def core_arguments(
        self, find_range: Callable[[BetaRule], tuple[float, float]]
    ) -> dict[str, Any]:
        """Return all arguments of a projection in the core but data, start states and threads.

        Args:
            find_range: returns the inverse temperatures ``(hot, cold)`` of a rule.
        """
        ends = self.beta_range
        if isinstance(ends, str):
            ends = find_range(ends)
        kind = "linear" if self.initial is None else self.initial
        return {
            **self.core_objective(),
            "num_sweeps": self.num_sweeps,
            "num_reads": 1 if self.num_reads is None else self.num_reads,
            "betas": [] if ends is None else geometric(*ends, self.num_sweeps),
            "initial": _core.InitialState[kind if isinstance(kind, str) else "given"],
            "seed": self.seed,
        }


@dataclass(frozen=True, eq=False)
class LayerProblem:
    """Problems of one layer in one training step, one problem for each of its ``m`` neurons.

    Attributes:
        name: name of the layer, for messages and labels.
        step: number of steps that the layer has made before.
        X: inputs, float32 ``(N, n)``.
        T: targets, float32 ``(N, m)``.
        options: what to minimise, and how.

    Example:
        >>> import numpy as np
        >>> from qpsbgd import LayerProblem, ProjectionOptions
        >>> X, T = np.ones((2, 3), np.float32), np.ones((2, 1), np.float32)
        >>> LayerProblem("first", 0, X, T, ProjectionOptions(scale=0.5)).shape
        (1, 3)
    """

    name: str
    step: int
    X: npt.NDArray[np.float32]
    T: npt.NDArray[np.float32]
    options: ProjectionOptions = dataclasses.field(default_factory=ProjectionOptions)

    @property
    def shape(self) -> tuple[int, int]:
        """Shape ``(m, n)`` of the layer's weight."""
        return self.T.shape[1], self.X.shape[1]


def _checked_beta_range(beta_range: Any) -> BetaRange | None:
    """Return None (descent), a rule, or two numbers that do not decrease."""
    if beta_range is None:
        return None
    ends = checked_geometric_range(beta_range)
    if not isinstance(ends, str) and ends[0] > ends[1]:
        raise ValueError(f"beta_range is {beta_range!r}, but must be 0 < hot <= cold < inf")
    return ends
