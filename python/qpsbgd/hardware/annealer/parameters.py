"""Checks of a call's parameters by the rules that D-Wave documents, before anything is sent.

A machine refuses a call whose parameters break these rules. The projector therefore refuses them in
its constructor. A rule whose property is missing, as from other samplers, is not checked.

Reference: D-Wave's pages "QPU Solver Parameters" and "QPU Solver Properties".
"""

import itertools
from collections.abc import Iterable, Mapping
from numbers import Real
from typing import Any

import numpy as np

from qpsbgd._checks.numbers import checked_real

#: Parameters that this package sets, and advice for those who give them.
RESERVED_PARAMETERS = {
    "num_reads": "it is an argument of its own",
    "label": "run= names the run in it",
    "auto_scale": "each copy already has its own scale",
    "answer_mode": "reads are used in any order",
    "initial_state": (
        "neurons change their qubits from call to call; reverse_schedule= starts the reads from "
        "the linear minimiser"
    ),
}
#: Parameters with a value for each qubit.
PER_QUBIT = {"flux_biases", "anneal_offsets"}
#: Parameters in microseconds.
TIMES = {"annealing_time", "programming_thermalization", "readout_thermalization"}
#: Parameters that the fast-anneal protocol does not allow.
NOT_FAST = ("h_gain_schedule", "initial_state", "reinitialize_state")

Points = list[list[float]]


def checked_parameters(
    properties: Mapping[str, Any],
    accepted: Iterable[str],
    sample_kwargs: Mapping[str, Any],
    *,
    annealing_time: float | None = None,
    reverse_schedule: Any = None,
) -> dict[str, Any]:
    """Return the parameters of every call in the form that the machine takes.

    Args:
        properties: properties of the solver.
        accepted: names of the parameters that the sampler takes.
        sample_kwargs: parameters of the sampler.
        annealing_time: microseconds of each read; None for the solver's default.
        reverse_schedule: schedule of a reverse anneal; None for forward anneals.

    Raises:
        TypeError: a value has the wrong type.
        ValueError: a parameter is set by this package, is given twice or is unknown to the sampler,
            or the machine would refuse it.
    """
    for name, advice in RESERVED_PARAMETERS.items():
        if name in sample_kwargs:
            raise ValueError(
                f"sample_kwargs has {name!r}, but this package sets it: remove it ({advice})"
            )
    parameters, known = dict(sample_kwargs), sorted(accepted)
    name = properties.get("chip_id", "the sampler")
    if annealing_time is not None:
        _add(parameters, "annealing_time", annealing_time)
    if reverse_schedule is not None:
        _add(parameters, "anneal_schedule", reverse_schedule, argument="reverse_schedule")
        missing = [each for each in ("anneal_schedule", "initial_state") if each not in known]
        if missing:
            raise ValueError(f"reverse_schedule is given, but {name} takes no {missing[0]}")
        if "reinitialize_state" in known:
            # D-Wave's default, which the estimate of the access time has to know.
            parameters.setdefault("reinitialize_state", True)
    elif "reinitialize_state" in parameters:
        raise ValueError("reinitialize_state goes with reverse_schedule=, which is None")
    unknown = sorted(set(parameters) - set(known))
    if unknown:
        raise ValueError(f"sample_kwargs has {unknown[0]!r}, but {name} takes {', '.join(known)}")
    for each in TIMES & parameters.keys():
        parameters[each] = checked_real(each, parameters[each])
    for each in {"anneal_schedule", "h_gain_schedule"} & parameters.keys():
        is_given = each == "anneal_schedule" and reverse_schedule is not None
        argument = "reverse_schedule" if is_given else each
        parameters[each] = _checked_points(argument, parameters[each])
    for each in PER_QUBIT & parameters.keys():
        parameters[each] = _checked_list(each, parameters[each], properties)
    if reverse_schedule is None and is_reverse(parameters):
        raise ValueError(
            "anneal_schedule starts at s = 1, which is a reverse anneal: give it as "
            "reverse_schedule="
        )
    if reverse_schedule is not None and not is_reverse(parameters):
        start = parameters["anneal_schedule"][0]
        raise ValueError(f"reverse_schedule starts at {start}, but must start at [0.0, 1.0]")
    check_parameters(properties, parameters)
    return parameters


def check_parameters(properties: Mapping[str, Any], parameters: Mapping[str, Any]) -> None:
    """Raise ValueError where a machine would refuse parameters of :func:`checked_parameters`.

    A machine that was calibrated anew has other properties, so its parameters are checked again.
    """
    is_fast = bool(parameters.get("fast_anneal"))
    if "annealing_time" in parameters and "anneal_schedule" in parameters:
        raise ValueError("annealing_time and anneal_schedule are both given: remove one of them")
    for name, value in parameters.items():
        check_range(properties, name, value, is_fast=is_fast)
    for name in NOT_FAST if is_fast else ():
        if name in parameters:
            raise ValueError(f"{name} does not go with fast_anneal=True: remove one of them")
    if "anneal_schedule" in parameters:
        _check_schedule(properties, parameters["anneal_schedule"], is_fast=is_fast)
    if "h_gain_schedule" in parameters:
        _check_gains(properties, parameters)
    for name in PER_QUBIT & parameters.keys():
        _checked_list(name, parameters[name], properties)


def is_reverse(parameters: Mapping[str, Any]) -> bool:
    """Return whether parameters ask for reverse anneals."""
    schedule = parameters.get("anneal_schedule")
    return schedule is not None and schedule[0][1] == 1.0


def protocol(parameters: Mapping[str, Any]) -> str:
    """Return the name of the annealing protocol for records."""
    if is_reverse(parameters):
        return "reverse"
    return "fast" if parameters.get("fast_anneal") else "standard"


def check_range(
    properties: Mapping[str, Any], name: str, value: Any, *, is_fast: bool = False
) -> None:
    """Raise ValueError if a number is outside the range that the solver's properties name."""
    if not isinstance(value, Real) or isinstance(value, bool):
        return
    named = "fast_anneal_time" if is_fast and name == "annealing_time" else name
    bounds = properties.get(f"{named}_range")
    if bounds is not None and not bounds[0] <= value <= bounds[1]:
        raise ValueError(f"{name} is {value}, but must lie in [{bounds[0]}, {bounds[1]}]")


def _add(parameters: dict[str, Any], name: str, value: Any, *, argument: str = "") -> None:
    if name in parameters:
        twice = f"{argument} and {name} are both given" if argument else f"{name} is given twice"
        raise ValueError(f"{twice}: remove it from the arguments or from sample_kwargs")
    parameters[name] = value


def _checked_points(name: str, value: Any) -> Points:
    """Return a schedule as the client sends it: a list of lists of two floats."""
    try:
        points = [[float(time), float(level)] for time, level in value]
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"{name} is {value!r}, but must be a list of pairs (time, value)"
        ) from error
    if not np.isfinite(points).all():
        raise ValueError(f"{name} is {points}, but must have finite numbers")
    if len(points) < 2:
        raise ValueError(f"{name} has {len(points)} points, but must have at least 2")
    times = [time for time, _ in points]
    if times[0] != 0.0 or any(later <= earlier for earlier, later in itertools.pairwise(times)):
        raise ValueError(f"{name} has the times {times}, but they must start at 0 and increase")
    return points


def _check_schedule(properties: Mapping[str, Any], points: Points, *, is_fast: bool) -> None:
    levels = np.array([level for _, level in points])
    is_backwards = levels[0] == 1.0
    name = "reverse_schedule" if is_backwards else "anneal_schedule"
    if levels.min() < 0.0 or levels.max() > 1.0 or levels[-1] != 1.0 or levels[0] not in (0.0, 1.0):
        raise ValueError(
            f"{name} has the anneal fractions {levels.tolist()}, but they must lie in "
            "[0, 1], start at 0 (or at 1 for a reverse anneal) and end at 1"
        )
    if not is_backwards and (np.diff(levels) < 0.0).any():
        raise ValueError(
            f"{name} has the anneal fractions {levels.tolist()}, but they must not "
            "decrease in a forward anneal"
        )
    if is_fast:
        if len(points) != 2 or is_backwards:
            raise ValueError(
                f"{name} is {points}, but fast_anneal=True allows two points alone, "
                "[[0, 0], [time, 1]]"
            )
        check_range(properties, "annealing_time", points[-1][0], is_fast=True)
        return
    most = properties.get("max_anneal_schedule_points")
    if most is not None and len(points) > most + is_backwards:
        raise ValueError(
            f"{name} has {len(points)} points, but must have at most {most + is_backwards}"
        )
    bounds = properties.get("annealing_time_range")
    if bounds is None:
        return
    if points[-1][0] > bounds[1]:
        raise ValueError(f"{name} ends at {points[-1][0]}, but must end by {bounds[1]} us")
    slopes = np.diff(levels) / np.diff([time for time, _ in points])
    steepest = 1.0 / bounds[0] if bounds[0] else np.inf
    # Times such as 0.1 have no exact binary form.
    if np.abs(slopes).max() > steepest * (1.0 + 1e-9):
        raise ValueError(
            f"{name} has a slope of {np.abs(slopes).max():.6g} per us, but it must be at "
            f"most {steepest:.6g}"
        )


def _check_gains(properties: Mapping[str, Any], parameters: Mapping[str, Any]) -> None:
    points = parameters["h_gain_schedule"]
    most = properties.get("max_h_gain_schedule_points")
    if most is not None and len(points) > most:
        raise ValueError(f"h_gain_schedule has {len(points)} points, but must have at most {most}")
    for _, gain in points:
        check_range(properties, "h_gain_schedule", gain)
    schedule = parameters.get("anneal_schedule")
    end = schedule[-1][0] if schedule else parameters.get("annealing_time")
    end = properties.get("default_annealing_time") if end is None else end
    if end is not None and points[-1][0] != end:
        raise ValueError(
            f"h_gain_schedule ends at {points[-1][0]}, but must end with the anneal, at {end} us"
        )


def _checked_list(name: str, value: Any, properties: Mapping[str, Any]) -> list[float]:
    """Return a parameter of the qubits as a list with an entry for each, working or not."""
    num_qubits = properties.get("num_qubits")
    if isinstance(value, Mapping):
        if num_qubits is None:
            raise ValueError(f"{name} is a mapping, but must be a list: num_qubits is unknown")
        outside = [q for q in value if not (isinstance(q, int) and 0 <= q < num_qubits)]
        if outside:
            raise ValueError(
                f"{name} has the qubit {outside[0]!r}, but qubits are 0 .. {num_qubits - 1}"
            )
        values = np.zeros(num_qubits)
        values[list(value)] = [checked_real(name, each) for each in value.values()]
    else:
        values = np.asarray(value, np.float64)
        if values.ndim != 1 or (num_qubits is not None and len(values) != num_qubits):
            raise ValueError(
                f"{name} has shape {values.shape}, but must have a value for each of the "
                f"{num_qubits} qubits, working or not"
            )
    if not np.isfinite(values).all():
        raise ValueError(f"{name} must have finite values, and 0 for unused qubits")
    _check_offsets(name, values, properties)
    numbers: list[float] = values.tolist()
    return numbers


def _check_offsets(name: str, values: Any, properties: Mapping[str, Any]) -> None:
    ranges = properties.get(f"{name.removesuffix('s')}_ranges")
    if ranges is None or len(ranges) != len(values):
        return
    low, high = np.array(ranges, np.float64).T
    outside = np.flatnonzero((values != 0.0) & ((values < low) | (values > high)))
    if len(outside):
        qubit = outside[0]
        raise ValueError(
            f"{name}[{qubit}] is {values[qubit]}, but must lie in [{low[qubit]}, {high[qubit]}]"
        )
