"""Objectives of a layer's problems, rounded as in the core."""

import itertools
from typing import Any

import numpy as np
import numpy.typing as npt

from reference.streams import Doubles, Floats, Spins


def multiply_add(a: Floats, b: Floats, c: Floats) -> Floats:
    """Return ``a * b + c`` in float32, rounded once."""
    product = a.astype(np.float64) * b.astype(np.float64)  # exact
    total = product + c
    back = total - product
    lost = (product - (total - back)) + (c - back)  # exact
    # If the float64 sum is inexact and even, its neighbour towards the exact sum replaces it (round
    # to odd). Rounding that to float32 equals rounding the exact sum, because no false tie arises.
    neighbour = np.nextafter(total, np.where(lost > 0, np.inf, -np.inf))
    even = total.view(np.int64) % 2 == 0
    result: Floats = np.where((lost != 0) & even, neighbour, total).astype(np.float32)
    return result


def ordered_product(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> Floats:
    """Return ``a @ b`` in float32, summed from left to right with one rounding per term."""
    c = np.zeros((a.shape[0], b.shape[1]), np.float32)
    for k in range(a.shape[1]):
        c = multiply_add(a[:, k : k + 1], b[k : k + 1, :], c)
    return c


def ordered_sum(values: npt.NDArray[Any]) -> float:
    """Return the sum in float64, from left to right."""
    return float(np.cumsum(values.astype(np.float64).ravel())[-1])


def normalised_targets(T: Floats, steps: Doubles | None = None) -> Floats:
    """Return ``t / mean|t|``, or ``t / step``, of each neuron as rows ``(m, N)``.

    Rows of zeros stay zero.
    """
    rows = []
    for r, t in enumerate(T.T.astype(np.float64)):
        unit = ordered_sum(np.abs(t)) / len(t) if steps is None else steps[r]
        rows.append((t * (1.0 / unit) if unit > 0 else 0 * t).astype(np.float32))
    return np.array(rows)


def linear_minimiser(X: Floats, T: Floats, steps: Doubles | None = None) -> Spins:
    """Return ``sign(X^T t)`` of each neuron, ``(m, n)``, with ``sign(0) = +1``."""
    sums = ordered_product(normalised_targets(T, steps), X)  # (m, N), (N, n) -> (m, n)
    return np.where(sums >= 0, 1, -1).astype(np.int8)


def unit_step_length(X: Floats, T: Floats, alpha: str) -> float:
    """Return the step length alpha of the quadratic objective for scale 1.

    It is 0 where T or X b0 is zero.
    """
    targets = normalised_targets(T)
    margins = ordered_product(linear_minimiser(X, T), X.T)  # (m, n), (n, N) -> (m, N)
    sums = ordered_product(targets, X)  # (m, N), (N, n) -> (m, n)
    product = _sum_by_rows(np.abs(sums.astype(np.float64)))  # <targets, margins>
    return step_length_of_sums(
        _sum_by_rows(targets.astype(np.float64) ** 2),
        _sum_by_rows(margins.astype(np.float64) ** 2),
        product,
        alpha,
    )


def step_length_of_sums(target2: float, margin2: float, product: float, alpha: str) -> float:
    """Return alpha for scale 1 from sums of squared targets, of squared margins and of products."""
    if margin2 <= 0:
        return 0.0
    return product / margin2 if alpha == "fit" else float(np.sqrt(target2 / margin2))


def _sum_by_rows(values: Doubles) -> float:
    """Return the sum of the row sums; both go from left to right."""
    return ordered_sum(np.array([ordered_sum(row) for row in values]))


def projection_energy(
    X: Floats,
    T: Floats,
    B: npt.NDArray[Any],
    *,
    objective: str = "quadratic",
    scale: float = 1.0,
    alpha: str = "fit",
    target_eps: float = 0.01,
    steps: Doubles | None = None,
) -> Doubles:
    """Return the objective ``(m,)`` of each row of ``B (m, n)``."""
    x, t = X.astype(np.float64), T.astype(np.float64)
    margins = B.astype(np.float64) @ x.T  # (m, N)
    if objective == "sign":
        residuals = np.where(margins + target_eps >= 0, 1.0, -1.0) - t.T
    elif steps is not None:
        residuals = t.T - scale * steps[:, None] * margins
    else:
        mean = np.abs(t).mean(axis=0)
        unit = t / np.where(mean > 0, mean, 1.0)
        residuals = unit.T - scale * unit_step_length(X, T, alpha) * margins
    energies: Doubles = (residuals**2).sum(axis=1)
    return energies


def gradient_ising(
    X: Floats, T: Floats, scale: float = 1.0, alpha: str = "fit"
) -> tuple[Doubles, Doubles, Doubles]:
    """Return ``h (m, n)``, ``J (n, n)`` and ``offset (m,)`` of the quadratic objective."""
    x, unit = X.astype(np.float64), normalised_targets(T).astype(np.float64)
    step = scale * unit_step_length(X, T, alpha)
    gram = step**2 * x.T @ x
    J = 2 * (gram - np.diag(np.diag(gram)))
    h = -2 * step * unit @ x
    return h, J, (unit**2).sum(axis=1) + np.trace(gram)


def exhaustive(X: Floats, T: Floats, **objective: Any) -> Doubles:
    """Return the lowest objective of each neuron over all 2^n binary rows; n <= 16."""
    n, m = X.shape[1], T.shape[1]
    if n > 16:
        raise ValueError(f"X has {n} columns, but exhaustive search needs at most 16")
    best = np.full(m, np.inf)
    for spins in itertools.product((-1, 1), repeat=n):
        B = np.tile(np.array(spins, np.int8), (m, 1))
        best = np.minimum(best, projection_energy(X, T, B, **objective))
    return best
