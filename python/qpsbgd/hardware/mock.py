"""A machine to try things on: the graph of a real one, and a simulated annealer behind it."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import dimod
import numpy as np
from dwave.cloud.testing.mocks import qpu_problem_timing_data
from dwave.system.testing import MockDWaveSampler

from qpsbgd._checks import SEED_LIMIT
from qpsbgd.hardware.embedding import ideal_graph
from qpsbgd.hardware.timing import access_time_us
from qpsbgd.samplers import SimulatedAnnealingSampler


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
    """D-Wave's mock of a sampler, whose answers are those of simulated annealing.

    By itself the mock answers with local minima, and with the same times for every call. This one
    anneals, and its times are those that the timing model estimates.

    Args:
        topology: ``"pegasus"``, ``"zephyr"`` or ``"chimera"``.
        shape: of the graph; None for P16, Z12 or C16.
        dead_qubits: share of the qubits that do not work, drawn from ``seed``.
        num_sweeps: of a read.
        num_threads: of the annealer.
        seed: with a call's problem it makes the seed of its reads: the same problem has the same
            answer, whatever the name of its run.
        properties: of a real solver (``topology``, ``qubits``, ``couplers`` and whatever else), in
            the place of topology, shape and dead qubits.

    Raises:
        ValueError: another topology, a share outside [0, 1), or properties that lack a graph.

    Example:
        >>> annealer = mock_annealer("chimera", (2, 2, 4))
        >>> len(annealer.nodelist)
        32
    """
    substitute = _Annealer(num_sweeps, num_threads, seed)
    told = {"problem_timing_data": qpu_problem_timing_data(), **(properties or {})}
    common = {
        "properties": told, "parameter_warnings": False, "substitute_sampler": substitute
    }  # fmt: skip
    if properties is not None:
        missing = [name for name in ("topology", "qubits", "couplers") if name not in properties]
        if missing:
            raise ValueError(f"properties have no {missing[0]!r}")
        couplers = [tuple(pair) for pair in properties["couplers"]]
        return _MockAnnealer(nodelist=list(properties["qubits"]), edgelist=couplers, **common)
    if not 0.0 <= dead_qubits < 1.0:
        raise ValueError(f"dead_qubits is {dead_qubits!r}, but must lie in [0, 1)")
    graph = ideal_graph(topology, shape)
    nodes = np.array(sorted(graph.nodes))
    count = round(dead_qubits * len(nodes))
    dead = np.random.default_rng(seed).choice(nodes, count, replace=False).tolist()
    told["chip_id"] = f"mock of {topology} {'x'.join(map(str, _shape(graph)))}"
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
        result = super().sample(bqm, **kwargs)
        time_us = access_time_us(self.properties, len(bqm), kwargs.get("num_reads", 1), kwargs)
        result.info["timing"] = {"qpu_access_time": time_us}
        return result


class _Annealer(dimod.Sampler):
    """Takes the parameters of a machine, and heeds the number of reads."""

    parameters: dict[str, Any] = {}  # noqa: RUF012 - as dimod asks for
    properties: dict[str, Any] = {}  # noqa: RUF012

    def __init__(self, num_sweeps: int, num_threads: int | None, seed: int) -> None:
        self._num_sweeps, self._num_threads, self._seed = num_sweeps, num_threads, seed

    def sample(
        self, bqm: dimod.BinaryQuadraticModel, num_reads: int = 1, **_: Any
    ) -> dimod.SampleSet:
        digest = hashlib.blake2b(str(self._seed).encode(), digest_size=4)
        linear, (rows, columns, couplings), *_rest = bqm.to_numpy_vectors(sort_indices=True)
        for array in (linear, rows, columns, couplings):
            digest.update(array.tobytes())
        seed = int.from_bytes(digest.digest(), "little") % SEED_LIMIT
        return SimulatedAnnealingSampler().sample(
            bqm,
            num_reads=num_reads,
            num_sweeps=self._num_sweeps,
            seed=seed,
            num_threads=self._num_threads,
            keep="final",
        )
