"""Initial states of reads: those of the caller, and generated ones."""

import secrets
from collections.abc import Hashable, Sequence
from typing import Any

import dimod
import numpy as np
import numpy.typing as npt
from dimod.sampleset import infer_vartype

from qpsbgd import _core
from qpsbgd._checks.choices import checked_choice
from qpsbgd._checks.numbers import WIDE_SEED_LIMIT, checked_count
from qpsbgd._checks.real_arrays import refuse_masked

States = npt.NDArray[np.int8]


class InitialStates:
    """Initial state of each read, as ``dimod.Initialized.parse_initial_states`` makes them.

    dimod's function also computes energies and makes a sample set. For many variables this takes
    longer than a short anneal. Here the states of some reads can be made at a time.

    Args:
        variables: labels of the model's variables; a range needs no sorting.
        vartype: vartype of the model.
        given: states in a form that ``dimod.as_samples`` takes, or None.
        generator: ``"none"``, ``"tile"`` or ``"random"``: way to make the missing states.
        num_reads: number of reads; None for the number of states that are given, or 1.
        seed: seed of the random states; drawn if None.

    Attributes:
        labels: the labels in the order of the states' columns, which is sorted if they can be
            sorted.
        num_reads: number of reads.

    Raises:
        TypeError: a masked array, or a number of reads that is not an integer.
        ValueError: other variables than the model's, too few states, or a value out of range.
    """

    def __init__(
        self,
        variables: Sequence[Hashable],
        vartype: dimod.Vartype,
        given: Any,
        generator: str,
        num_reads: int | None,
        seed: int | None,
    ) -> None:
        refuse_masked("initial_states", given)
        if given is None:
            states, labels = np.empty((0, len(variables)), np.int8), variables
        else:
            states, labels = _given_spins(variables, vartype, given)
        if num_reads is None:
            num_reads = len(states) or 1
        self.num_reads = checked_count("num_reads", num_reads, 1)
        checked_choice("initial_states_generator", generator, ("none", "tile", "random"))
        if self.num_reads > len(states) and generator == "none":
            raise ValueError(
                f"initial_states has {len(states)} states, but initial_states_generator='none' "
                f"needs one for each of {self.num_reads} reads"
            )
        if generator == "tile" and not len(states):
            raise ValueError("initial_states is empty, but its generator 'tile' needs a state")
        self._order, self.labels = sorted_labels(labels)
        self._given = states
        self._is_tiled = generator == "tile"
        self._random = _core.RandomSpins(
            secrets.randbelow(WIDE_SEED_LIMIT) if seed is None else seed
        )
        self._next = 0

    def take(self, count: int) -> States:
        """Return the states of the next reads as spins, contiguous int8 ``(count, n)``."""
        first, last = self._next, self._next + count
        self._next = last
        if self._is_tiled:
            states = self._given[np.arange(first, last) % len(self._given)]
        else:
            states = self._given[first:last]
            if len(states) < count:
                # The spins that dimod draws for a seed.
                drawn = self._random.draw(count - len(states), self._given.shape[1])
                states = np.concatenate([states, drawn]) if len(states) else drawn
        if self._order is not None:
            states = states[:, self._order]
        return np.ascontiguousarray(states, np.int8)


def sorted_labels(
    labels: Sequence[Hashable],
) -> tuple[npt.NDArray[np.intp] | None, Sequence[Hashable]]:
    """Return the order that sorts labels, and the labels in this order.

    Returns:
        ``(None, labels)`` if the labels are sorted already or cannot be sorted.
    """
    if isinstance(labels, range):
        return None, labels
    labels = list(labels)
    try:
        order: Any = sorted(range(len(labels)), key=labels.__getitem__)
    except TypeError:
        return None, labels
    if order == list(range(len(labels))):
        return None, labels
    return np.array(order, np.intp), [labels[i] for i in order]


def _given_spins(
    variables: Sequence[Hashable], vartype: dimod.Vartype, given: Any
) -> tuple[States, Sequence[Hashable]]:
    """Return the states of the caller as spins ``(k, n)``, and the labels of their columns."""
    is_labelled = isinstance(given, dimod.SampleSet)
    kind = given.vartype if is_labelled else infer_vartype(given) or vartype
    states, labels = dimod.as_samples(given)
    if set(labels) != set(variables):
        raise ValueError(
            "initial_states has other variables than the model: mismatch between variables in "
            "'initial_states' and 'bqm'"
        )
    if kind is dimod.BINARY:
        states = 2 * states - 1
    return states, list(labels)
