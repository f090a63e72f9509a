"""Description of a machine: its graph, ranges, parameters and access times.

Access times follow D-Wave's timing model: typical times for programming, and for reading a number
of qubits. They are estimates; the bill is the ``qpu_access_time`` of an answer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any, Literal, TypeAlias

import dimod
import networkx as nx
import numpy as np
from dwave.cloud.solver import StructuredSolver
from dwave.cloud.testing.mocks import qpu_problem_timing_data
from dwave.system import DWaveSampler
from dwave.system.testing import MockDWaveSampler

from qpsbgd._checks.kinds import check_instance
from qpsbgd.hardware.annealer.client import hide_secret
from qpsbgd.hardware.annealer.parameters import (
    check_parameters,
    check_range,
    checked_parameters,
    is_reverse,
)
from qpsbgd.hardware.embedding import working_graph

Kind = Literal["QPU", "mock", "sampler"]
#: Name of the solver with the identifier of its graph, number of qubits, number of couplers.
Version: TypeAlias = tuple[str, int, int]

#: Parameters of a call that its access time depends on.
TIMED_PARAMETERS = (
    "annealing_time",
    "anneal_schedule",
    "reinitialize_state",
    "programming_thermalization",
    "readout_thermalization",
    "reduce_intersample_correlation",
)


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
    def from_properties(
        cls, properties: Mapping[str, Any], *, extended_j_range: bool = True
    ) -> "Ranges":
        """Return the ranges in a sampler's properties.

        Args:
            properties: properties of the sampler.
            extended_j_range: whether couplings use the extended range where there is one.
        """
        names = {
            "h": ("h_range",),
            "J": ("extended_j_range", "j_range")[not extended_j_range :],
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

    def with_gains(self, points: Sequence[Sequence[float]]) -> "Ranges":
        """Return ranges in which linear biases stay during a schedule of gains ``(time, gain)``."""
        low, high = self.h
        for _, gain in points:
            if gain:
                ends = sorted((self.h[0] / gain, self.h[1] / gain))
                low, high = max(low, ends[0]), min(high, ends[1])
        return replace(self, h=(low, high))


class Machine:
    """Quantum annealer, or another sampler of problems on a fixed graph.

    The graph follows the sampler: it is read anew when the solver or its working graph changes, as
    after ``sampler.trigger_failover()``.

    Args:
        sampler: dimod sampler with ``nodelist``, ``edgelist`` and ``properties``.
        extended_j_range: whether couplings use the extended range where there is one.

    Attributes:
        sampler: the argument.

    Raises:
        TypeError: the sampler is no structured dimod sampler.
        ValueError: its topology is unknown (raised when the graph is first used).
    """

    def __init__(self, sampler: dimod.Sampler, *, extended_j_range: bool = True) -> None:
        rule = "a structured dimod sampler, such as dwave.system.DWaveSampler()"
        check_instance("sampler", sampler, dimod.Sampler, rule)
        if not isinstance(sampler, dimod.Structured):
            raise TypeError(
                f"sampler is a {type(sampler).__name__}, but must be {rule}: others go to "
                "qpsbgd.SamplerProjector"
            )
        self.sampler = sampler
        self._extended_j_range = extended_j_range
        self._graph: tuple[Version, nx.Graph] | None = None
        self._checked_version: Version | None = None  # that parameters were last checked for
        client = getattr(sampler, "client", None)
        hide_secret(getattr(getattr(client, "config", None), "token", None))

    @property
    def version(self) -> Version:
        """Key of the solver and its working graph."""
        return self.graph_id, len(self.sampler.nodelist), len(self.sampler.edgelist)

    @property
    def graph(self) -> nx.Graph:
        """Working qubits and couplers."""
        version = self.version
        if self._graph is None or self._graph[0] != version:
            self._graph = version, working_graph(self.sampler)
        return self._graph[1]

    @property
    def properties(self) -> dict[str, Any]:
        """Properties of the solver."""
        properties: dict[str, Any] = self.sampler.properties
        return properties

    @property
    def ranges(self) -> Ranges:
        """Ranges of the solver's biases."""
        return Ranges.from_properties(self.properties, extended_j_range=self._extended_j_range)

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
        self,
        sample_kwargs: Mapping[str, Any],
        *,
        annealing_time: float | None = None,
        reverse_schedule: Any = None,
    ) -> dict[str, Any]:
        """Return the parameters of every call, apart from ``num_reads`` and ``label``.

        The arguments and errors are those of
        :func:`~qpsbgd.hardware.annealer.parameters.checked_parameters`.
        """
        accepted = self.sampler.parameters
        parameters = checked_parameters(
            {"chip_id": self.name, **self.properties},
            accepted,
            sample_kwargs,
            annealing_time=annealing_time,
            reverse_schedule=reverse_schedule,
        )
        # Each copy already has its own scale. One factor for all would make most of them smaller.
        is_fixed = self.kind == "QPU" or "flux_biases" in parameters
        if is_fixed and "auto_scale" in accepted:
            parameters["auto_scale"] = False
        self._checked_version = self.version
        return parameters

    def check_again(self, parameters: Mapping[str, Any]) -> None:
        """Check parameters again if the solver or its working graph has changed.

        Raises:
            ValueError: the solver refuses a parameter.
        """
        if self.version != self._checked_version:
            check_parameters(self.properties, parameters)
            self._checked_version = self.version


def access_time_us(
    properties: Mapping[str, Any], num_qubits: int, num_reads: int, parameters: Mapping[str, Any]
) -> float:
    """Return the estimated access time of a call in microseconds.

    Args:
        properties: properties of the solver. Typical times of D-Wave's client replace what
            ``problem_timing_data`` lacks, such as all times of mocks.
        num_qubits: number of qubits that the call uses.
        num_reads: number of reads, at least 1.
        parameters: parameters of the call; only :data:`TIMED_PARAMETERS` matter.
    """
    given = properties.get("problem_timing_data") or {}
    timing = qpu_problem_timing_data()
    timing |= {name: value for name, value in given.items() if value is not None}
    solver = SimpleNamespace(properties={**properties, "problem_timing_data": timing})
    timed = {name: value for name, value in parameters.items() if name in TIMED_PARAMETERS}
    # The client wants to know that there is a state, whichever it is.
    timed["initial_state"] = [(0.0, 1.0)] if is_reverse(parameters) else None
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
    is_fast = bool(parameters.get("fast_anneal"))
    for name, value in {**parameters, "num_reads": num_reads}.items():
        check_range(properties, name, value, is_fast=is_fast)
    bounds = properties.get("problem_run_duration_range")
    if bounds is None:
        return
    one, two = (access_time_us(properties, num_qubits, n, parameters) for n in (1, 2))
    time_per_read = two - one
    # The limit covers the reads and the thermalization after programming, not programming itself.
    name = "programming_thermalization"
    thermalization = parameters.get(name) or properties.get(f"default_{name}") or 0.0
    longest = int((bounds[1] - thermalization) / time_per_read)
    if num_reads > longest:
        raise ValueError(
            f"num_reads is {num_reads}, but must be at most {longest}: a read of {num_qubits} "
            f"qubits takes {time_per_read:.1f} us, and a run at most {bounds[1]:.0f} us"
        )
