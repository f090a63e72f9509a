"""From neurons' problems to one Ising problem on the qubits, and back.

A call holds a neuron in each copy of a packing. A chain shares its variable's field evenly, and the
couplers between two chains share their coupling, as in ``dwave.embedding.embed_bqm``. Each copy has
a gauge of its own (which spins are read upside down) and a scale of its own: the largest factor
with which its biases are in the machine's ranges. Neither moves the lowest state.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dimod
import networkx as nx
import numpy as np
import numpy.typing as npt
from dwave.system.coupling_groups import coupling_groups

from qpsbgd.hardware.embedding import Packing
from qpsbgd.projection import GradientBQMs

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.integer[Any]]
Spins = npt.NDArray[np.int8]

#: Each shrinks all copies of a group that is out of range; opposite signs may need a few.
_GROUP_PASSES = 20


@dataclass(frozen=True)
class Ranges:
    """What biases a machine takes; unbounded where its properties say nothing.

    Attributes:
        h: lowest and highest field of a qubit.
        j: of a coupler.
        qubit: of the sum of a qubit's couplers.
        group: of the sum of each group of couplers that share a range, on graphs that have them.
    """

    h: tuple[float, float] = (-np.inf, np.inf)
    j: tuple[float, float] = (-np.inf, np.inf)
    qubit: tuple[float, float] = (-np.inf, np.inf)
    group: tuple[float, float] = (-np.inf, np.inf)

    @classmethod
    def of(cls, properties: Mapping[str, Any]) -> "Ranges":
        """The ranges in a sampler's ``properties``; couplers take the extended one."""
        names = {
            "h": ("h_range",),
            "j": ("extended_j_range", "j_range"),
            "qubit": ("per_qubit_coupling_range",),
            "group": ("per_group_coupling_range",),
        }
        found = {}
        for field, options in names.items():
            for name in options:
                if properties.get(name) is not None:
                    low, high = properties[name]
                    found[field] = (float(low), float(high))
                    break
        return cls(**found)


class Program:
    """The qubits and couplers of a packing's copies, for problems of one structure.

    Args:
        packing: copies of a graph that has the problems' pairs, and maybe others.
        graph: the working graph.
        bqms: problems whose pairs and number of variables are those of all to come.
        ranges: of the machine.
        places: for each variable of the problems, which one of the packing's it is; None where
            they are the same.
    """

    def __init__(
        self,
        packing: Packing,
        graph: nx.Graph,
        bqms: GradientBQMs,
        ranges: Ranges,
        places: Sequence[int] | None = None,
    ) -> None:
        rows, columns = bqms.rows, bqms.columns
        num_variables, copies = bqms.num_variables, packing.num_copies
        self.packing = packing
        self.num_copies, self.num_variables = copies, num_variables
        self.ranges = ranges
        chains = [
            packing.embeddings[copy][place]
            for copy in range(copies)
            for place in (range(num_variables) if places is None else places)
        ]
        self.qubits = np.concatenate([np.asarray(chain, np.intp) for chain in chains])  # (Q,)
        lengths = np.array([len(chain) for chain in chains], np.intp)
        self.starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])  # of chains, in qubits
        self.chain_lengths = lengths.reshape(copies, num_variables)
        owner = np.repeat(np.arange(len(chains)), lengths)  # of each qubit: copy * V + variable
        self.copy_of, self.variable_of = np.divmod(owner, num_variables)

        # Positions in `qubits` of the ends of each coupler both of whose ends are in use.
        edges = np.asarray(graph.edges, np.intp).reshape(-1, 2)
        position = np.full(1 + max(int(edges.max(initial=0)), int(self.qubits.max())), -1, np.intp)
        position[self.qubits] = np.arange(len(self.qubits))
        ends = position[edges]
        ends = ends[(ends >= 0).all(axis=1)]
        ends = ends[self.copy_of[ends[:, 0]] == self.copy_of[ends[:, 1]]]
        inside = owner[ends[:, 0]] == owner[ends[:, 1]]
        self.chain_couplers = ends[inside]  # (C, 2)

        number = np.full((num_variables, num_variables), -1, np.intp)
        number[rows, columns] = number[columns, rows] = np.arange(len(rows))
        between = ends[~inside]
        coupling = number[self.variable_of[between[:, 0]], self.variable_of[between[:, 1]]]
        self.couplers = between[coupling >= 0]  # (K, 2)
        self.coupling_of = coupling[coupling >= 0]
        self.copy_of_coupler = self.copy_of[self.couplers[:, 0]]
        cell = self.copy_of_coupler * len(rows) + self.coupling_of
        shared = np.bincount(cell, minlength=copies * len(rows))
        self.share = 1.0 / shared[cell]  # (K,) of a coupling that a coupler has

        self._all_couplers = np.concatenate([self.chain_couplers, self.couplers])
        self._groups = self._coupler_groups(graph) if np.isfinite(ranges.group).any() else None

    @property
    def num_qubits(self) -> int:
        """That a call uses."""
        return len(self.qubits)

    def _coupler_groups(self, graph: nx.Graph) -> tuple[Ints, Ints, int]:
        """Coupler, group and the number of groups: a coupler is in one group at each end."""
        number = {
            frozenset(pair): index
            for index, pair in enumerate(self.qubits[self._all_couplers].tolist())
        }
        pairs = [
            (number[frozenset(edge)], group)
            for group, edges in enumerate(coupling_groups(graph))
            for edge in edges
            if frozenset(edge) in number
        ]
        couplers, groups = np.array(pairs, np.intp).reshape(-1, 2).T
        return couplers, groups, int(groups.max(initial=-1)) + 1

    def call(
        self, bqms: GradientBQMs, neurons: Ints, gauges: Spins, chain_strength: float
    ) -> "Call":
        """The Ising problem of a neuron in each copy.

        Args:
            bqms: of the layer.
            neurons: ``(copies,)``, which one is in each copy.
            gauges: ``(copies, num_variables)`` of +-1.
            chain_strength: for problems of factor 1.
        """
        copies, spins = self.copy_of, gauges.reshape(-1).astype(np.float64)
        factors = bqms.factors[neurons]  # (copies,)
        fields = bqms.fields[neurons] * gauges / self.chain_lengths  # (copies, V)
        h = fields[copies, self.variable_of]  # (Q,)
        first, second = self.couplers.T
        signs = (
            spins[copies[first] * self.num_variables + self.variable_of[first]]
            * spins[copies[second] * self.num_variables + self.variable_of[second]]
        )
        inter = factors[self.copy_of_coupler] * bqms.values[self.coupling_of] * self.share * signs
        chain = -chain_strength * factors[copies[self.chain_couplers[:, 0]]]
        j = np.concatenate([chain, inter])
        # Where a neuron has no couplings that hold its chains, its largest field does.
        weakest = np.abs(fields).max(axis=1, initial=0.0)
        if chain_strength == 0.0:
            j[: len(chain)] = -weakest[copies[self.chain_couplers[:, 0]]]
        scales = self._scales(h, j)
        h *= scales[copies]
        j *= scales[copies[self._all_couplers[:, 0]]]
        h, j = np.clip(h, *self.ranges.h), np.clip(j, *self.ranges.j)  # off by rounding alone
        return Call(self, np.asarray(neurons), gauges, scales, h, j)

    def _scales(self, h: Floats, j: Floats) -> Floats:
        """For each copy the largest factor, at most, with which all its biases are in range."""
        inverse = np.zeros(self.num_copies)
        copy_of_coupler = self.copy_of[self._all_couplers[:, 0]]
        sums = np.zeros(self.num_qubits)
        for end in self._all_couplers.T:
            np.add.at(sums, end, j)
        bounded = [
            (h, self.copy_of, self.ranges.h),
            (j, copy_of_coupler, self.ranges.j),
            (sums, self.copy_of, self.ranges.qubit),
        ]
        for values, copies, (low, high) in bounded:
            needed = np.where(values < 0, values / low, values / high)
            np.maximum.at(inverse, copies, needed)
        scales = np.divide(1.0, inverse, out=np.ones_like(inverse), where=inverse > 0)
        if self._groups is None:
            return scales
        # A group has couplers of several copies, each with its scale.
        couplers, groups, count = self._groups
        owners = copy_of_coupler[couplers]
        low, high = self.ranges.group
        for _ in range(_GROUP_PASSES):
            totals = np.zeros(count)
            np.add.at(totals, groups, scales[owners] * j[couplers])
            excess = np.where(totals < 0, totals / low, totals / high)
            if (excess <= 1.0 + 1e-9).all():
                break
            needed = np.ones(self.num_copies)
            np.maximum.at(needed, owners, excess[groups])
            scales /= needed
        else:
            raise ValueError(
                f"no scale was found with which every group of couplers is in {self.ranges.group}"
            )
        return scales


@dataclass(frozen=True)
class Call:
    """One problem for the machine, and what it stands for.

    Attributes:
        program: whose qubits it uses.
        neurons: ``(copies,)``.
        gauges: ``(copies, num_variables)`` of +-1.
        scales: ``(copies,)``.
        h: fields of the qubits.
        j: of the couplers, those in chains first.
    """

    program: Program
    neurons: Ints
    gauges: Spins
    scales: Floats
    h: Floats
    j: Floats

    def bqm(self) -> dimod.BinaryQuadraticModel:
        """SPIN, its variables the qubits."""
        program = self.program
        first, second = program._all_couplers.T
        return dimod.BinaryQuadraticModel.from_numpy_vectors(
            self.h, (first, second, self.j), 0.0, "SPIN", variable_order=program.qubits.tolist()
        )

    def read(self, samples: Spins, occurrences: Ints) -> tuple[Spins, Floats]:
        """Majority vote in each chain, its first qubit decides a tie; then the gauge is undone.

        Args:
            samples: ``(samples, qubits)`` of +-1, columns in the order of ``program.qubits``.
            occurrences: ``(samples,)``, reads that each stands for.

        Returns:
            Spins ``(copies, samples, num_variables)``, and the share of the chains of each copy
            that were broken, ``(copies,)``.
        """
        program = self.program
        shape = (len(samples), program.num_copies, program.num_variables)
        sums = np.add.reduceat(samples, program.starts, axis=1, dtype=np.int32).reshape(shape)
        first = samples[:, program.starts].reshape(shape)
        voted = np.where(sums == 0, first, np.sign(sums)).astype(np.int8)
        breaks = (np.abs(sums) != program.chain_lengths).mean(axis=2)  # (samples, copies)
        broken = occurrences @ breaks / occurrences.sum()
        return (voted * self.gauges).transpose(1, 0, 2), broken
