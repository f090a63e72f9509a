"""Description of a machine: its graph, ranges, parameters and access times.

Access times follow D-Wave's timing model: typical times for programming, and for reading a number
of qubits. They are estimates; the bill is the ``qpu_access_time`` of an answer.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real
from types import SimpleNamespace
from typing import Any, Literal

import dimod
import networkx as nx
import numpy as np
from dwave.cloud.solver import StructuredSolver
from dwave.cloud.testing.mocks import qpu_problem_timing_data
from dwave.system import DWaveSampler
from dwave.system.testing import MockDWaveSampler

from qpsbgd._checks import check_instance, checked_real
from qpsbgd.hardware.client import hide_secret
from qpsbgd.hardware.embedding import working_graph

Kind = Literal["QPU", "mock", "sampler"]

#: Parameters of a call that its access time depends on.
TIMED_PARAMETERS = (
    "annealing_time",
    "anneal_schedule",
    "initial_state",
    "reinitialize_state",
    "programming_thermalization",
    "readout_thermalization",
    "reduce_intersample_correlation",
)
#: Parameters of a call that this package sets.
RESERVED_PARAMETERS = ("num_reads", "label", "auto_scale", "answer_mode")


@dataclass(frozen=True)
class Ranges:
    """Ranges of the biases that a machine accepts; unbounded where its properties name none.

    Attributes:
        h: lowest and highest linear bias of a qubit.
        J: lowest and highest coupling of a coupler.
        qubit: range of the sum of a qubit's couplings.
        group: range of the sum of each group of couplers, on graphs that have such groups.
    """

    h: tuple[float, float] = (-np.inf, np.inf)
    J: tuple[float, float] = (-np.inf, np.inf)
    qubit: tuple[float, float] = (-np.inf, np.inf)
    group: tuple[float, float] = (-np.inf, np.inf)

    @classmethod
    def from_properties(cls, properties: Mapping[str, Any]) -> "Ranges":
        """Return the ranges in a sampler's properties; couplings use the extended range."""
        names = {
            "h": ("h_range",),
            "J": ("extended_j_range", "j_range"),
            "qubit": ("per_qubit_coupling_range",),
            "group": ("per_group_coupling_range",),
        }
        ranges = {}
        for field, options in names.items():
            for name in options:
                if properties.get(name) is not None:
                    low, high = properties[name]
                    ranges[field] = (float(low), float(high))
                    break
        return cls(**ranges)


class Machine:
    """Quantum annealer, or another sampler of problems on a fixed graph.

    Args:
        sampler: dimod sampler with ``nodelist``, ``edgelist`` and ``properties``.

    Attributes:
        sampler: the argument.

    Raises:
        TypeError: the sampler is no structured dimod sampler.
        ValueError: its topology is unknown (raised when the graph is first used).
    """

    def __init__(self, sampler: dimod.Sampler) -> None:
        rule = "a structured dimod sampler, such as dwave.system.DWaveSampler()"
        check_instance("sampler", sampler, dimod.Sampler, rule)
        if not isinstance(sampler, dimod.Structured):
            raise TypeError(
                f"sampler is a {type(sampler).__name__}, but must be {rule}: others go to "
                "qpsbgd.SamplerProjector"
            )
        self.sampler = sampler
        client = getattr(sampler, "client", None)
        hide_secret(getattr(getattr(client, "config", None), "token", None))

    @functools.cached_property
    def graph(self) -> nx.Graph:
        """Working qubits and couplers."""
        return working_graph(self.sampler)

    @property
    def properties(self) -> dict[str, Any]:
        """Properties of the solver."""
        properties: dict[str, Any] = self.sampler.properties
        return properties

    @functools.cached_property
    def ranges(self) -> Ranges:
        """Ranges of the solver's biases."""
        return Ranges.from_properties(self.properties)

    @property
    def name(self) -> str:
        """Name of the solver."""
        return str(self.properties.get("chip_id") or type(self.sampler).__name__)

    @property
    def graph_id(self) -> str:
        """Identifier that changes when the solver's working graph changes."""
        solver = getattr(self.sampler, "solver", None)
        version = getattr(solver, "graph_id", None)
        return f"{self.name}@{version}" if isinstance(version, str) else self.name

    @property
    def kind(self) -> Kind:
        """``"QPU"`` for a D-Wave annealer, ``"mock"`` for D-Wave's mock, else ``"sampler"``."""
        innermost = self.sampler
        while isinstance(innermost, dimod.ComposedSampler):
            innermost = innermost.child
        if isinstance(innermost, MockDWaveSampler):
            return "mock"
        is_real = isinstance(innermost, DWaveSampler) and innermost.solver.qpu is True
        return "QPU" if is_real else "sampler"

    def checked_parameters(
        self, annealing_time: float | None, sample_kwargs: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Return the parameters of every call, apart from ``num_reads`` and ``label``.

        Raises:
            ValueError: a parameter is set by this package, is given twice, or is unknown to the
                sampler.
        """
        for name in RESERVED_PARAMETERS:
            if name in sample_kwargs:
                raise ValueError(f"sample_kwargs has {name!r}, but this package sets it: remove it")
        parameters = dict(sample_kwargs)
        if annealing_time is not None:
            if "annealing_time" in parameters:
                raise ValueError(
                    "annealing_time is given twice: remove it from the arguments or from "
                    "sample_kwargs"
                )
            parameters["annealing_time"] = checked_real("annealing_time", annealing_time)
        accepted = self.sampler.parameters
        unknown = sorted(set(parameters) - set(accepted))
        if unknown:
            raise ValueError(
                f"sample_kwargs has {unknown[0]!r}, but {self.name} takes "
                f"{', '.join(sorted(accepted))}"
            )
        # Each copy already has its own scale. One factor for all would make most of them smaller.
        if self.kind == "QPU" and "auto_scale" in accepted:
            parameters["auto_scale"] = False
        return parameters


def access_time_us(
    properties: Mapping[str, Any], num_qubits: int, num_reads: int, parameters: Mapping[str, Any]
) -> float:
    """Return the estimated access time of a call in microseconds.

    Args:
        properties: properties of the solver. Where they have no ``problem_timing_data``, as those
            of mocks, the typical times of D-Wave's client replace them.
        num_qubits: number of qubits that the call uses.
        num_reads: number of reads, at least 1.
        parameters: parameters of the call; only :data:`TIMED_PARAMETERS` matter.
    """
    timing = properties.get("problem_timing_data") or qpu_problem_timing_data()
    solver = SimpleNamespace(properties={**properties, "problem_timing_data": timing})
    timed = {name: value for name, value in parameters.items() if name in TIMED_PARAMETERS}
    return float(
        StructuredSolver.estimate_qpu_access_time(
            solver, num_qubits=num_qubits, num_reads=num_reads, **timed
        )
    )


def check_run_time(
    properties: Mapping[str, Any], num_qubits: int, num_reads: int, parameters: Mapping[str, Any]
) -> None:
    """Refuse a call that the machine would refuse; the arguments are those of `access_time_us`.

    Raises:
        ValueError: the call has more reads, a longer anneal or a longer run than the solver's
            ranges allow.
    """
    ranges = {"annealing_time": "fast_anneal_time"} if parameters.get("fast_anneal") else {}
    for name, value in {**parameters, "num_reads": num_reads}.items():
        bounds = properties.get(f"{ranges.get(name, name)}_range")
        if bounds is None or not isinstance(value, Real):
            continue
        if not bounds[0] <= value <= bounds[1]:
            raise ValueError(f"{name} is {value}, but must lie in [{bounds[0]}, {bounds[1]}]")
    bounds = properties.get("problem_run_duration_range")
    if bounds is None:
        return
    one, two = (access_time_us(properties, num_qubits, n, parameters) for n in (1, 2))
    time_per_read = two - one
    # The limit covers the reads and the thermalization after programming, not programming itself.
    thermalization = parameters.get("programming_thermalization") or properties.get(
        "default_programming_thermalization", 0.0
    )
    longest = int((bounds[1] - thermalization) / time_per_read)
    if num_reads > longest:
        raise ValueError(
            f"num_reads is {num_reads}, but must be at most {longest}: a read of {num_qubits} "
            f"qubits takes {time_per_read:.1f} us, and a run at most {bounds[1]:.0f} us"
        )
