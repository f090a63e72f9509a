"""Schedules of samplers with a transverse field."""

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from qpsbgd import _core
from qpsbgd._checks.real_arrays import checked_floats
from qpsbgd.samplers.problem.ising import Problem
from qpsbgd.samplers.schedule import BetaRange, ScheduleType, schedule_betas

Field: TypeAlias = Sequence[float] | npt.NDArray[Any]

#: Default of ``num_sweeps``, which is that of dwave-samplers 1.8.0 (its documentation says 1000).
DEFAULT_NUM_SWEEPS = 100


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


def strengthened(fields: npt.NDArray[np.float64], gamma: float) -> npt.NDArray[np.float64]:
    """Return the transverse fields times ``Gamma``."""
    product = float(gamma) * fields
    largest = _core.largest_transverse_field
    if not product.max(initial=0.0) <= largest:
        raise ValueError(
            f"Gamma times Hd_field is {product.max()}, but must be at most {largest:.0f}"
        )
    return product
