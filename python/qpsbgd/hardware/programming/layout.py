"""Layouts: the qubits and couplers that represent the problems of a layer's neurons.

A layout holds one neuron in each copy of a packing. It says which variable of which copy each qubit
and coupler belongs to. It contains no biases: all calls for problems of one structure share it.
"""

import functools
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import numpy.typing as npt
from dwave.system.coupling_groups import coupling_groups

from qpsbgd.errors import UnembeddableError
from qpsbgd.hardware.annealer.machine import Machine, Version
from qpsbgd.hardware.embedding import EmbeddingCache, Packing
from qpsbgd.projection.models import GradientBQMs

Ints = npt.NDArray[np.integer[Any]]

#: The graph of the sign objective has room for a multiple of this number of different samples.
_SAMPLES_STEP = 5


class Layout:
    """Qubits and couplers of a packing's copies, for problems of one structure.

    The chain of a variable has all of the variable's qubits. With ``C`` copies, ``V`` variables,
    ``Q`` qubits, ``A`` couplers in chains and ``K`` couplers between chains:

    Args:
        packing: copies of a graph that has the problems' pairs, and possibly other pairs.
        graph: working graph.
        bqms: problems with the pairs and variables that the layout is for.
        places: for each variable of the problems, the variable of the packing that represents it;
            None where both are equal.
        has_ancilla: whether the packing's last variable is an ancilla. It is paired with all
            others, and their couplings to it replace their linear biases.

    Attributes:
        packing: the argument.
        has_ancilla: the argument.
        num_copies: ``C``.
        num_variables: ``V``, the ancilla included.
        qubits: ``(Q,)``: qubits, chain by chain and copy by copy.
        pairs: first and second variable of each coupling of the problems, those of an ancilla last.
        starts: ``(C * V,)``: position in ``qubits`` at which each chain starts.
        chain_lengths: ``(C, V)``: number of qubits of each chain.
        copy_of: ``(Q,)``: copy of each qubit.
        variable_of: ``(Q,)``: variable of each qubit.
        num_chain_couplers: ``A``.
        couplers: ``(A + K, 2)``: positions in ``qubits`` of both ends, couplers in chains first.
        copy_of_coupler: ``(A + K,)``: copy of each coupler.
        coupling_of: ``(K,)``: coupling of the problems that each coupler between chains carries;
            those of the variables to an ancilla follow the problems' own.
        share: ``(K,)``: share of the coupling that the coupler carries.
    """

    def __init__(
        self,
        packing: Packing,
        graph: nx.Graph,
        bqms: GradientBQMs,
        places: Sequence[int] | None = None,
        *,
        has_ancilla: bool = False,
    ) -> None:
        rows, columns = bqms.rows, bqms.columns
        num_variables, num_copies = bqms.num_variables, packing.num_copies
        places = list(range(num_variables)) if places is None else list(places)
        if has_ancilla:
            rows = np.concatenate([rows, np.arange(num_variables)])
            columns = np.concatenate([columns, np.full(num_variables, num_variables)])
            places.append(packing.num_variables - 1)
            num_variables += 1
        self.packing = packing
        self.has_ancilla = has_ancilla
        self.pairs = rows, columns
        self.num_copies, self.num_variables = num_copies, num_variables
        self._graph = graph
        chains = [packing.embeddings[copy][place] for copy in range(num_copies) for place in places]
        self.qubits = np.concatenate([np.asarray(chain, np.intp) for chain in chains])  # (Q,)
        lengths = np.array([len(chain) for chain in chains], np.intp)  # (C * V,)
        self.starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])  # (C * V,)
        self.chain_lengths = lengths.reshape(num_copies, num_variables)  # (C, V)
        owner = np.repeat(np.arange(len(chains)), lengths)  # (Q,), copy * V + variable
        self.copy_of, self.variable_of = np.divmod(owner, num_variables)  # (Q,), (Q,)

        # Couplers of the graph whose ends are qubits of the same copy, as positions in `qubits`.
        edges = np.asarray(graph.edges, np.intp).reshape(-1, 2)
        position = np.full(1 + max(int(edges.max(initial=0)), int(self.qubits.max())), -1, np.intp)
        position[self.qubits] = np.arange(len(self.qubits))
        ends = position[edges]
        ends = ends[(ends >= 0).all(axis=1)]
        ends = ends[self.copy_of[ends[:, 0]] == self.copy_of[ends[:, 1]]]
        is_inside = owner[ends[:, 0]] == owner[ends[:, 1]]
        inside, between = ends[is_inside], ends[~is_inside]  # (A, 2), (any, 2)

        number = np.full((num_variables, num_variables), -1, np.intp)
        number[rows, columns] = number[columns, rows] = np.arange(len(rows))
        coupling = number[self.variable_of[between[:, 0]], self.variable_of[between[:, 1]]]
        between = between[coupling >= 0]  # (K, 2)
        self.coupling_of = coupling[coupling >= 0]  # (K,)
        self.num_chain_couplers = len(inside)
        self.couplers = np.concatenate([inside, between])  # (A + K, 2)
        self.copy_of_coupler = self.copy_of[self.couplers[:, 0]]  # (A + K,)
        cell = self.copy_of_coupler[len(inside) :] * len(rows) + self.coupling_of  # (K,)
        num_shared = np.bincount(cell, minlength=num_copies * len(rows))
        self.share = 1.0 / num_shared[cell]  # (K,)

    @property
    def num_qubits(self) -> int:
        """Number of qubits that a call uses."""
        return len(self.qubits)

    @functools.cached_property
    def coupler_groups(self) -> tuple[Ints, Ints, int]:
        """Couplers, the group of each, and the number of groups.

        A coupler occurs twice: it belongs to one group at each end.
        """
        number = {
            frozenset(pair): index for index, pair in enumerate(self.qubits[self.couplers].tolist())
        }
        pairs = [
            (number[frozenset(edge)], group)
            for group, edges in enumerate(coupling_groups(self._graph))
            for edge in edges
            if frozenset(edge) in number
        ]
        couplers, groups = np.array(pairs, np.intp).reshape(-1, 2).T
        return couplers, groups, int(groups.max(initial=-1)) + 1


class Layouts:
    """Layouts of the problems that a machine solves.

    Args:
        machine: machine whose working graph holds them.
        cache: folder of the embeddings; None for the default folder.
        max_copies: upper limit of the neurons of a call; None for as many as fit.
        has_ancilla: whether each copy has an ancilla in place of linear biases.
    """

    def __init__(
        self,
        machine: Machine,
        cache: Path | None,
        max_copies: int | None,
        *,
        has_ancilla: bool = False,
    ) -> None:
        self._machine = machine
        self._cache = EmbeddingCache(cache)
        self._max_copies = max_copies
        self._has_ancilla = has_ancilla
        #: Layouts by number of inputs, for one version of the machine's graph.
        self._quadratic_layouts: dict[int, Layout] = {}
        self._version: Version | None = None

    def layout(self, bqms: GradientBQMs) -> Layout:
        """Return the layout of a layer's problems.

        Raises:
            UnembeddableError: the problems do not fit the machine, or the search found no embedding
                in time.
        """
        version, graph, has_ancilla = self._machine.version, self._machine.graph, self._has_ancilla
        if bqms.objective == "sign":
            # The pairs of the sign objective differ from step to step.
            packing = self.sign(bqms)
            return Layout(packing, graph, bqms, _places(bqms), has_ancilla=has_ancilla)
        if version != self._version:
            self._quadratic_layouts, self._version = {}, version
        layout = self._quadratic_layouts.get(bqms.num_inputs)
        if layout is None:
            packing = self.quadratic(bqms.num_inputs)
            layout = Layout(packing, graph, bqms, has_ancilla=has_ancilla)
            self._quadratic_layouts[bqms.num_inputs] = layout
        return layout

    def quadratic(self, num_inputs: int) -> Packing:
        """Return copies of the complete graph that the quadratic objective needs.

        Raises:
            UnembeddableError: no copy fits.
        """
        return self._cache.cliques(
            self._machine.graph,
            num_inputs + self._has_ancilla,
            graph_id=self._machine.graph_id,
            max_copies=self._max_copies,
        )

    def sign(self, bqms: GradientBQMs) -> Packing:
        """Return copies of a graph that holds these and similar problems of the sign objective.

        From step to step, the coupled weights differ, and so do the number of samples that have
        auxiliary variables and the number of these. The graph therefore has all possible pairs. It
        has room for a few samples more, and each sample has as many variables as the largest one
        has, so that later steps can use the same graph.

        Raises:
            UnembeddableError: no copy fits, or the search found none in time.
        """
        num_samples, size = len(bqms.thresholds), max(_sizes(bqms), default=0)
        num_places = num_samples + -num_samples % _SAMPLES_STEP
        if num_places > num_samples:
            try:
                return self._sign(bqms, num_places, size)
            except UnembeddableError:
                pass
        return self._sign(bqms, num_samples, size)

    def _sign(self, bqms: GradientBQMs, num_samples: int, size: int) -> Packing:
        num_inputs, max_copies = bqms.num_inputs, bqms.num_neurons
        # The search for a copy of a sparse graph takes long, so no more copies than neurons are
        # sought.
        if self._max_copies is not None:
            max_copies = min(max_copies, self._max_copies)
        num_variables = num_inputs + num_samples * size
        weights = range(num_inputs)
        edges = list(itertools.combinations(weights, 2))
        for first in range(num_inputs, num_variables, size or 1):
            own = range(first, first + size)
            edges += [*itertools.product(weights, own), *itertools.combinations(own, 2)]
        if self._has_ancilla:
            edges += itertools.product(range(num_variables), [num_variables])
            num_variables += 1
        return self._cache.sparse(
            self._machine.graph,
            edges,
            num_variables,
            graph_id=self._machine.graph_id,
            max_copies=max_copies,
        )


def _sizes(bqms: GradientBQMs) -> list[int]:
    """Return, for each count of the sign objective, the number of its auxiliary variables."""
    # One indicator, and the slack bits that represent 0 .. threshold - 1.
    return [1 + (threshold - 1).bit_length() for threshold in bqms.thresholds.tolist()]


def _places(bqms: GradientBQMs) -> list[int]:
    """Return the variable of the embedded graph for each variable of the sign objective."""
    sizes = _sizes(bqms)
    places = list(range(bqms.num_inputs))
    for number, size in enumerate(sizes):
        first = bqms.num_inputs + number * max(sizes)
        places += range(first, first + size)
    return places
