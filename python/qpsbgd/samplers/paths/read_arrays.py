"""Arrays of all reads, which samplers with a transverse field take and return."""

from collections.abc import Sequence
from typing import Any

import dimod
import numpy as np
import numpy.typing as npt

from qpsbgd._checks.kinds import described
from qpsbgd._checks.numbers import checked_count
from qpsbgd.samplers.call.initial_states import sorted_labels
from qpsbgd.samplers.call.reads import Reads
from qpsbgd.samplers.call.sampler_call import SamplerCall


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


def finish_with_arrays(
    call: SamplerCall,
    reads: Reads,
    factors: npt.NDArray[np.float64],
    arrays: dict[str, Any],
    *,
    should_list: bool,
    **info: Any,
) -> Any:
    """Make the sample set of a call.

    Args:
        call: the call.
        reads: what the reads found.
        factors: factor of the problem at each step.
        arrays: entries of ``info`` with a row for each read.
        should_list: whether ``info`` has lists in the place of these arrays.
        **info: further entries of ``info``.
    """
    if should_list:
        arrays = {key: np.asarray(value).tolist() for key, value in arrays.items()}
    return call.finish(
        reads,
        is_whole=bool(arrays),
        beta_range=[float(factors[0]), float(factors[-1])] if len(factors) else None,
        **info,
        form=call.problem.form,
        num_sweeps=list(reads.extremes),
        **arrays,
    )
