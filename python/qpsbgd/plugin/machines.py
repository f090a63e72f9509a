"""Boltzmann machines of the plugin as arrays."""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from dwave.plugins.torch.models.boltzmann_machine import GraphRestrictedBoltzmannMachine

from qpsbgd._checks.kinds import described

Floats = npt.NDArray[np.float64]


def checked_machine(grbm: Any) -> GraphRestrictedBoltzmannMachine:
    """Return a Boltzmann machine of the plugin.

    Raises:
        TypeError: anything else.
    """
    if not isinstance(grbm, GraphRestrictedBoltzmannMachine):
        raise TypeError(f"grbm is {described(grbm)}, but must be a GraphRestrictedBoltzmannMachine")
    return grbm


def scaled_biases(
    grbm: GraphRestrictedBoltzmannMachine,
    prefactor: float,
    linear_range: tuple[float, float] | None = None,
    quadratic_range: tuple[float, float] | None = None,
) -> tuple[Floats, Floats]:
    """Return the biases h ``(n,)`` and J ``(n, n)``, scaled and clipped as by ``to_ising``.

    Raises:
        ValueError: a NaN or infinite bias.
    """
    n = grbm.n_nodes
    biases = []
    for name, parameter, bounds in (
        ("linear", grbm.linear, linear_range),
        ("quadratic", grbm.quadratic, quadratic_range),
    ):
        scaled = prefactor * parameter.detach()
        if bounds is not None:
            scaled = scaled.clip(*bounds)
        values = scaled.to("cpu", torch.float64).numpy()
        if not np.isfinite(values).all():
            at = int(np.flatnonzero(~np.isfinite(values))[0])
            raise ValueError(f"prefactor * grbm.{name}[{at}] is {values[at]}, but must be finite")
        biases.append(values)
    ends = (end.cpu().numpy().astype(np.intp) for end in (grbm.edge_idx_i, grbm.edge_idx_j))
    J = np.zeros((n, n))
    np.add.at(J, tuple(ends), biases[1])
    return biases[0], J + J.T


def checked_states(x: Any, n: int) -> Floats:
    """Return the states of n units as float64 ``(B, n)`` of -1, 1 and NaN.

    Raises:
        TypeError: not a real tensor.
        ValueError: another shape, or another entry.
    """
    if not isinstance(x, torch.Tensor) or x.is_complex():
        kind = x.dtype if isinstance(x, torch.Tensor) else type(x).__name__
        raise TypeError(f"x is a {kind}, but must be a real torch.Tensor or None")
    if x.ndim != 2 or x.shape[1] != n:
        raise ValueError(f"x has shape {tuple(x.shape)}, but must be (batch size, {n})")
    states: Floats = x.detach().to("cpu", torch.float64).numpy()
    bad = np.argwhere(~(np.isnan(states) | (np.abs(states) == 1.0)))
    if len(bad):
        at = tuple(map(int, bad[0]))
        raise ValueError(f"x[{at[0]}, {at[1]}] is {states[at]}, but must be -1, 1 or NaN")
    return states


def rows_by_pattern(
    is_known: npt.NDArray[np.bool_],
) -> list[tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]]:
    """Return the rows with the same known units, and the unknown units of these rows.

    Args:
        is_known: whether each unit is known, ``(B, n)``.
    """
    patterns, pattern_of_row = np.unique(is_known, axis=0, return_inverse=True)
    return [
        (np.flatnonzero(pattern_of_row.ravel() == p), np.flatnonzero(~pattern))
        for p, pattern in enumerate(patterns)
    ]
