"""Where the problems of layers are on a machine: found once for each kind of layer."""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from qpsbgd.errors import UnembeddableError
from qpsbgd.hardware.cache import EmbeddingCache
from qpsbgd.hardware.embedding import Packing
from qpsbgd.hardware.machine import Machine
from qpsbgd.hardware.programming import Program
from qpsbgd.projection import GradientBQMs

#: The sign objective's problems are embedded for a multiple of so many different samples.
_SAMPLES_AT_A_TIME = 5


class Layouts:
    """The packings and programs of a machine's problems.

    Args:
        machine: whose working graph it is.
        cache: folder for embeddings; None for the default.
        max_copies: neurons a call at most; None for as many as fit.
    """

    def __init__(self, machine: Machine, cache: Path | None, max_copies: int | None) -> None:
        self._machine = machine
        self._cache = EmbeddingCache(cache)
        self._max_copies = max_copies
        self._packings: dict[tuple[Any, ...], Packing | UnembeddableError] = {}
        self._programs: dict[int, Program] = {}  # of the quadratic objective, by inputs

    def program(self, bqms: GradientBQMs) -> Program:
        """Qubits and couplers for a layer's problems.

        Raises:
            UnembeddableError: they do not fit, or no place was found in time.
        """
        graph, ranges = self._machine.graph, self._machine.ranges
        if bqms.objective == "sign":
            # Of these pairs, which are other ones in the next step.
            return Program(self.sign(bqms), graph, bqms, ranges, _places(bqms))
        if bqms.num_inputs not in self._programs:
            packing = self.quadratic(bqms.num_inputs)
            self._programs[bqms.num_inputs] = Program(packing, graph, bqms, ranges)
        return self._programs[bqms.num_inputs]

    def quadratic(self, num_inputs: int) -> Packing:
        """Copies of the quadratic objective's problems of so many inputs.

        Raises:
            UnembeddableError: not one fits.
        """
        return self._found_once(
            ("quadratic", num_inputs),
            lambda: self._cache.cliques(
                self._machine.graph,
                num_inputs,
                graph_id=self._machine.graph_id,
                max_copies=self._max_copies,
            ),
        )

    def sign(self, bqms: GradientBQMs) -> Packing:
        """Copies of a graph that has the pairs of these problems and of others of their kind.

        Which weights are coupled, how many samples have variables of their own, and how many each,
        changes from step to step: all pairs that there could be are embedded, of a few samples
        more, with as many variables as any has, so that steps to come have use for it.

        Raises:
            UnembeddableError: not one fits, or none was found in time.
        """
        count, size = len(bqms.thresholds), max(_sizes(bqms), default=0)
        more = count + -count % _SAMPLES_AT_A_TIME
        if more > count:
            try:
                return self._sign(bqms.num_inputs, more, size, bqms.num_neurons)
            except UnembeddableError:
                pass
        return self._sign(bqms.num_inputs, count, size, bqms.num_neurons)

    def _sign(self, num_inputs: int, count: int, size: int, num_neurons: int) -> Packing:
        # Copies of sparse problems take long to find: no more than there are neurons.
        most = num_neurons if self._max_copies is None else min(num_neurons, self._max_copies)
        weights = range(num_inputs)
        edges = list(itertools.combinations(weights, 2))
        for first in range(num_inputs, num_inputs + count * size, size or 1):
            own = range(first, first + size)
            edges += [*itertools.product(weights, own), *itertools.combinations(own, 2)]
        return self._found_once(
            ("sign", num_inputs, count, size, most),
            lambda: self._cache.sparse(
                self._machine.graph,
                edges,
                num_inputs + count * size,
                graph_id=self._machine.graph_id,
                max_copies=most,
            ),
        )

    def _found_once(self, key: tuple[Any, ...], pack: Callable[[], Packing]) -> Packing:
        """Also that there is none: a search may take a minute."""
        if key not in self._packings:
            try:
                self._packings[key] = pack()
            except UnembeddableError as error:
                self._packings[key] = error
        found = self._packings[key]
        if isinstance(found, UnembeddableError):
            raise UnembeddableError(str(found)) from found
        return found


def _sizes(bqms: GradientBQMs) -> list[int]:
    """Variables of each count of the sign objective: its indicator and its slack bits."""
    return [1 + (threshold - 1).bit_length() for threshold in bqms.thresholds.tolist()]


def _places(bqms: GradientBQMs) -> list[int]:
    """For each variable of the sign objective, which one of the embedded graph it is."""
    sizes = _sizes(bqms)
    places = list(range(bqms.num_inputs))
    for number, size in enumerate(sizes):
        first = bqms.num_inputs + number * max(sizes)
        places += range(first, first + size)
    return places
