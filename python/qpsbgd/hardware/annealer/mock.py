"""Mock of a machine: the graph of a real one, and a simulated annealer that answers."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import dimod
import numpy as np
import numpy.typing as npt
from dwave.cloud.testing.mocks import qpu_problem_timing_data
from dwave.system.testing import MockDWaveSampler

from qpsbgd._checks.numbers import SEED_LIMIT
from qpsbgd.hardware.annealer.machine import access_time_us
from qpsbgd.hardware.embedding import ideal_graph
from qpsbgd.samplers import SimulatedAnnealingSampler
from qpsbgd.samplers.problem.ising import Problem
from qpsbgd.samplers.temperature_rules import auto_beta_range


def mock_annealer(
    topology: str = "pegasus",
    shape: Sequence[int] | None = None,
    *,
    dead_qubits: float = 0.0,
    num_sweeps: int = 100,
    num_threads: int | None = None,
    seed: int = 0,
    properties: Mapping[str, Any] | None = None,
) -> MockDWaveSampler:
    """Return D-Wave's mock of a sampler with answers of simulated annealing.

    D-Wave's mock answers with local minima, and with the same times for every call. This mock
    anneals, and its times are the estimates of the timing model. With ``initial_state``, each read
    starts there and follows ``anneal_schedule``: the anneal fraction sets the temperature. Other
    parameters of an annealer do not change the answers. As a real machine does, the mock refuses
    linear biases with ``fast_anneal``.

    Args:
        topology: ``"pegasus"``, ``"zephyr"`` or ``"chimera"``.
        shape: shape of the graph; None for P16, Z12 or C16.
        dead_qubits: share of the qubits that do not work; ``seed`` chooses them.
        num_sweeps: sweeps of each read.
        num_threads: upper limit of the annealer's threads.
        seed: seed of the answers. The seed of a call's reads depends on this seed and the problem
            only, so equal problems have equal answers.
        properties: properties of a real solver, at least ``topology``, ``qubits`` and
            ``couplers``. They replace topology, shape and dead qubits.

    Raises:
        ValueError: the topology is unknown, the share is outside [0, 1), or the properties lack a
            graph.

    Example:
        >>> from qpsbgd.hardware import mock_annealer
        >>> annealer = mock_annealer("chimera", (2, 2, 4))
        >>> len(annealer.nodelist)
        32
    """
    substitute = _Annealer(num_sweeps, num_threads, seed)
    own_properties = {"problem_timing_data": qpu_problem_timing_data(), **(properties or {})}
    common = {
        "properties": own_properties,
        "parameter_warnings": False,
        "substitute_sampler": substitute,
    }
    if properties is not None:
        missing = [name for name in ("topology", "qubits", "couplers") if name not in properties]
        if missing:
            raise ValueError(
                f"properties have no {missing[0]!r}, but must have topology, qubits and couplers"
            )
        couplers = [tuple(pair) for pair in properties["couplers"]]
        return _MockAnnealer(nodelist=list(properties["qubits"]), edgelist=couplers, **common)
    if not 0.0 <= dead_qubits < 1.0:
        raise ValueError(f"dead_qubits is {dead_qubits!r}, but must lie in [0, 1)")
    graph = ideal_graph(topology, shape)
    nodes = np.array(sorted(graph.nodes))
    count = round(dead_qubits * len(nodes))
    dead = np.random.default_rng(seed).choice(nodes, count, replace=False).tolist()
    own_properties["chip_id"] = f"mock of {topology} {'x'.join(map(str, _shape(graph)))}"
    return _MockAnnealer(
        topology_type=topology,
        topology_shape=_shape(graph),
        broken_nodes=dead or None,
        **common,
    )


def _shape(graph: Any) -> list[int]:
    names = {
        "pegasus": ("rows",),
        "zephyr": ("rows", "tile"),
        "chimera": ("rows", "columns", "tile"),
    }[graph.graph["family"]]
    return [int(graph.graph[name]) for name in names]


class _MockAnnealer(MockDWaveSampler):
    def sample(self, bqm: dimod.BinaryQuadraticModel, **kwargs: Any) -> dimod.SampleSet:
        if kwargs.get("fast_anneal") and any(bqm.linear.values()):
            raise ValueError("linear biases must be 0 with fast_anneal=True")
        result = super().sample(bqm, **kwargs)
        time_us = access_time_us(self.properties, len(bqm), kwargs.get("num_reads", 1), kwargs)
        result.info["timing"] = {"qpu_access_time": time_us}
        return result


class _Annealer(dimod.Sampler):
    """Simulated annealer that accepts a machine's parameters."""

    parameters: dict[str, Any] = {}  # noqa: RUF012 - dimod requires a mapping
    properties: dict[str, Any] = {}  # noqa: RUF012

    def __init__(self, num_sweeps: int, num_threads: int | None, seed: int) -> None:
        self._num_sweeps, self._num_threads, self._seed = num_sweeps, num_threads, seed

    def sample(
        self,
        bqm: dimod.BinaryQuadraticModel,
        num_reads: int = 1,
        initial_state: Mapping[int, int] | None = None,
        anneal_schedule: Sequence[Sequence[float]] | None = None,
        **_: Any,
    ) -> dimod.SampleSet:
        digest = hashlib.blake2b(str(self._seed).encode(), digest_size=4)
        linear, (rows, columns, couplings), *_rest = bqm.to_numpy_vectors(sort_indices=True)
        for array in (linear, rows, columns, couplings):
            digest.update(array.tobytes())
        seed = int.from_bytes(digest.digest(), "little") % SEED_LIMIT
        options: dict[str, Any] = {"num_sweeps": self._num_sweeps}
        if initial_state is not None and anneal_schedule is not None:
            betas = _reverse_betas(bqm, anneal_schedule, self._num_sweeps)
            options = {"beta_schedule_type": "custom", "beta_schedule": betas}
            options |= {"initial_states": initial_state, "initial_states_generator": "tile"}
        return SimulatedAnnealingSampler().sample(
            bqm,
            num_reads=num_reads,
            seed=seed,
            num_threads=self._num_threads,
            keep="final",
            **options,
        )


def _reverse_betas(
    bqm: dimod.BinaryQuadraticModel, schedule: Sequence[Sequence[float]], num_sweeps: int
) -> npt.NDArray[np.float64]:
    """Return inverse temperatures: cold at the anneal fraction 1, hot at 0, geometric between."""
    hot, cold = auto_beta_range(Problem(bqm, None))
    times, fractions = np.array(schedule, np.float64).T
    s = np.interp(np.linspace(0.0, times[-1], num_sweeps), times, fractions)  # (num_sweeps,)
    betas: npt.NDArray[np.float64] = hot * (cold / hot) ** s
    return betas
