"""What samplers with a transverse field share: their schedules, and the order of variables."""

from collections.abc import Sequence
from typing import Any, TypeAlias

import dimod
import numpy as np
import numpy.typing as npt

from qpsbgd._checks import checked_count, checked_floats, described
from qpsbgd.samplers.call.initial_states import sorted_labels
from qpsbgd.samplers.problem.ising import Problem
from qpsbgd.samplers.schedule import BetaRange, ScheduleType, schedule_betas

Field: TypeAlias = Sequence[float] | npt.NDArray[Any]

#: Default of ``num_sweeps``, which is that of dwave-samplers 1.8.0 (its documentation says 1000).
DEFAULT_NUM_SWEEPS = 100


def checked_projections(value: Any) -> tuple[bool, bool]:
    """Return two booleans; raise TypeError for anything else."""
    is_pair = isinstance(value, (tuple, list)) and len(value) == 2
    if not is_pair or not all(isinstance(part, (bool, np.bool_)) for part in value):
        raise TypeError(f"project_states is {value!r}, but must be two booleans")
    return bool(value[0]), bool(value[1])


def checked_interval(value: Any, num_steps: int) -> int:
    """Return the number of steps between samples; 0 for none."""
    return (
        0 if value is None else checked_count("schedule_sample_interval", value, 1, num_steps + 1)
    )


def refuse_with_best(num_best: Any, *, is_projected: bool, **arguments: Any) -> None:
    """Raise ValueError for arguments that ask for more of each read than ``num_best`` keeps.

    Args:
        num_best: number of states to keep, or None.
        is_projected: whether the final states are classical.
        arguments: values by name, which must be None.
    """
    if num_best is None:
        return
    for name, value in arguments.items():
        if value is not None:
            raise ValueError(
                f"{name} is {described(value)}, but must be None with num_best, which keeps no "
                "arrays of all reads"
            )
    if not is_projected:
        raise ValueError(
            "project_states is (..., False), but must be (..., True) with num_best, which keeps no "
            "arrays of all reads"
        )


def sorted_variables(bqm: dimod.BinaryQuadraticModel) -> list[Any]:
    """Return the variables in the order of sample sets: sorted, where that is possible."""
    return list(sorted_labels(list(bqm.variables))[1])


def variable_places(variables: Sequence[Any], order: Sequence[Any]) -> npt.NDArray[np.intp]:
    """Return the place of each variable of ``order`` in ``variables``."""
    places = {variable: place for place, variable in enumerate(variables)}
    return np.array([places[variable] for variable in order], np.intp)


def field_schedule(
    problem: Problem,
    beta_range: BetaRange | None,
    num_sweeps: int | None,
    num_sweeps_per_beta: int,
    kind: ScheduleType,
    Hp_field: Field | None,
    Hd_field: Field | None,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the factor of the problem and the transverse field of each step.

    Args:
        problem: the problem, for the rules that find temperatures.
        beta_range: ends of the factors, ``"auto"``, ``"dwave"`` or None for ``"dwave"``.
        num_sweeps: number of sweeps of a read, or None for the default.
        num_sweeps_per_beta: sweeps at each step.
        kind: ``"geometric"``, ``"linear"`` or ``"custom"``.
        Hp_field: the factors, for ``"custom"``.
        Hd_field: the transverse fields, or None for 0.

    Returns:
        Two arrays, float64 ``(num_sweeps / num_sweeps_per_beta,)``, finite and >= 0.

    Raises:
        TypeError: an argument of the wrong type.
        ValueError: a value out of range, or arguments that contradict each other.
    """
    ends = "dwave" if beta_range is None and kind != "custom" else beta_range
    factors = schedule_betas(
        problem, ends, num_sweeps, num_sweeps_per_beta, kind, Hp_field,
        custom_name="Hp_field", default_sweeps=DEFAULT_NUM_SWEEPS,
    )  # fmt: skip
    if not np.isfinite(factors).all():
        name = "Hp_field"
        if kind != "custom":
            is_rule = ends is None or isinstance(ends, str)
            name = f"the range of the rule beta_range={ends!r}" if is_rule else "beta_range"
        raise ValueError(f"{name} ends at {factors.max()}, but must be finite")
    if Hd_field is None:
        return factors, np.zeros(len(factors))
    fields = checked_floats("Hd_field", Hd_field, 1)
    if len(fields) != len(factors):
        raise ValueError(
            f"Hd_field has {len(fields)} values, but must have one for each of the "
            f"{len(factors)} steps of the schedule"
        )
    if (fields < 0).any():
        raise ValueError(f"Hd_field has the value {fields.min()}, but must be at least 0")
    return factors, fields
