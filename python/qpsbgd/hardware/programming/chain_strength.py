"""Strength of chains: a number, a function, or Ocean's rule for the problems of a layer."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import dimod
import numpy as np
from dwave.embedding.chain_strength import uniform_torque_compensation

from qpsbgd._checks.numbers import checked_real
from qpsbgd.hardware.programming.layout import Layout
from qpsbgd.projection import GradientBQMs

ChainStrength: TypeAlias = (
    float | Callable[[dimod.BinaryQuadraticModel, Mapping[int, Sequence[int]]], float]
)


def checked_chain_strength(value: Any) -> ChainStrength | None:
    """Return a number, a function or None; raise ValueError for a number that is no strength."""
    if value is None or callable(value):
        option: ChainStrength | None = value
        return option
    strength = checked_real("chain_strength", value)
    if not 0.0 < strength < math.inf:
        raise ValueError(f"chain_strength is {value!r}, but must be positive and finite")
    return strength


def chain_strength(option: ChainStrength | None, bqms: GradientBQMs, layout: Layout) -> float:
    """Return the coupling in chains for problems of factor 1.

    Raises:
        ValueError: a function returned a strength that is negative or not finite.
    """
    if isinstance(option, float):
        return option
    values = bqms.values
    if layout.has_ancilla:
        # The linear biases are couplings, which differ between neurons.
        is_scaled = bqms.factors > 0
        biases = bqms.fields[is_scaled] / bqms.factors[is_scaled, None]
        values = np.concatenate([values, np.sqrt(np.mean(biases**2, axis=0))])
    bqm = dimod.BinaryQuadraticModel.from_numpy_vectors(
        np.zeros(layout.num_variables), (*layout.pairs, values), 0.0, "SPIN"
    )
    choose = option or uniform_torque_compensation
    strength = float(choose(bqm, layout.packing.embeddings[0]))
    if not 0.0 <= strength < math.inf:
        raise ValueError(f"chain_strength returned {strength}, but must be finite and >= 0")
    return strength
