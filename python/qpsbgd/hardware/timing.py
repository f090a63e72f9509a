"""How long a call occupies an annealer, before it is made: D-Wave's own timing model.

An estimate: the machine's typical figures for programming, and for reading so many qubits. What is
billed is ``qpu_access_time``, which its answer tells.
"""

from collections.abc import Mapping
from numbers import Real
from types import SimpleNamespace
from typing import Any

from dwave.cloud.solver import StructuredSolver
from dwave.cloud.testing.mocks import qpu_problem_timing_data

#: Parameters of a call that its access time depends on.
TIMED = (
    "annealing_time",
    "anneal_schedule",
    "initial_state",
    "reinitialize_state",
    "programming_thermalization",
    "readout_thermalization",
    "reduce_intersample_correlation",
)


def access_time_us(
    properties: Mapping[str, Any], num_qubits: int, num_reads: int, parameters: Mapping[str, Any]
) -> float:
    """Estimated access time of a call in microseconds.

    Args:
        properties: of the solver; where they have no ``problem_timing_data``, as those of mocks and
            ideal graphs, typical ones of D-Wave's client stand in.
        num_qubits: that the call uses.
        num_reads: >= 1.
        parameters: of the call; those in :data:`TIMED` count.
    """
    timing = properties.get("problem_timing_data") or qpu_problem_timing_data()
    solver = SimpleNamespace(properties={**properties, "problem_timing_data": timing})
    timed = {name: value for name, value in parameters.items() if name in TIMED}
    return float(
        StructuredSolver.estimate_qpu_access_time(
            solver, num_qubits=num_qubits, num_reads=num_reads, **timed
        )
    )


def check_run_time(
    properties: Mapping[str, Any], num_qubits: int, num_reads: int, parameters: Mapping[str, Any]
) -> None:
    """Refuse a call that the machine would.

    Raises:
        ValueError: more reads, a longer anneal or a longer run than the solver's ranges allow.
    """
    fast = {"annealing_time": "fast_anneal_time"} if parameters.get("fast_anneal") else {}
    for name, value in {**parameters, "num_reads": num_reads}.items():
        bounds = properties.get(f"{fast.get(name, name)}_range")
        if bounds is None or not isinstance(value, Real):
            continue
        if not bounds[0] <= value <= bounds[1]:
            raise ValueError(f"{name} is {value}, but must lie in [{bounds[0]}, {bounds[1]}]")
    bounds = properties.get("problem_run_duration_range")
    if bounds is None:
        return
    one, two = (access_time_us(properties, num_qubits, n, parameters) for n in (1, 2))
    a_read = two - one
    # The limit has the reads and the thermalization after programming, not programming itself.
    rest = parameters.get("programming_thermalization") or properties.get(
        "default_programming_thermalization", 0.0
    )
    longest = int((bounds[1] - rest) / a_read)
    if num_reads > longest:
        raise ValueError(
            f"num_reads is {num_reads}, but must be at most {longest}: a read of {num_qubits} "
            f"qubits takes {a_read:.1f} us, and a run at most {bounds[1]:.0f} us"
        )
