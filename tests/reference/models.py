"""Slow, obvious NumPy twins of the models of :mod:`qpsbgd.projection.models`."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from reference.objectives import unit_step_length
from reference.streams import Doubles, Floats, Spins

Indices = npt.NDArray[np.int32]


class Count(NamedTuple):
    """Condition that at least ``threshold`` weights agree with a pattern of -1, 0 and +1."""

    pattern: tuple[int, ...]
    threshold: int


class Problems(NamedTuple):
    """Arrays of :class:`qpsbgd.GradientBQMs`."""

    rows: Indices
    columns: Indices
    values: Doubles
    factors: Doubles
    fields: Doubles
    offsets: Doubles
    patterns: Spins
    thresholds: Indices


def slack_weights(threshold: int) -> list[int]:
    """Return the fewest weights whose sums are all numbers from 0 to ``threshold - 1``."""
    weights: list[int] = []
    while sum(weights) < threshold - 1:
        weights.append(min(2 ** len(weights), threshold - 1 - sum(weights)))
    return weights


def output_count(x: Floats, target_eps: float) -> tuple[Count, int] | None:
    """Return the count of a sample and the output, +1 or -1, that follows if the count holds.

    Return None for an output that is +1 for all weights.
    """
    magnitude = np.abs(x.astype(np.float64)).max()
    signs = np.sign(x).astype(int)
    size = int(np.abs(signs).sum())
    tau = next(p for p in range(size + 1) if magnitude * (2 * p - size) + target_eps >= 0)
    if tau == 0:
        return None
    agreeing = Count(tuple(signs.tolist()), tau)
    disagreeing = Count(tuple((-signs).tolist()), size + 1 - tau)
    if agreeing.threshold > disagreeing.threshold:
        return agreeing, +1
    if agreeing.threshold < disagreeing.threshold:
        return disagreeing, -1
    # Equal thresholds: take the pattern whose first entry is positive.
    return (agreeing, +1) if signs[signs != 0][0] > 0 else (disagreeing, -1)


def sign_bqms(
    X: Floats, T: Floats, *, target_eps: float = 0.01, penalty_factor: float = 1.1
) -> Problems:
    """Return the models of the sign objective; a ``penalty_factor`` below 1 makes them inexact."""
    m, n = T.shape[1], X.shape[1]
    outputs = [output_count(x, target_eps) for x in X]
    counts = list(dict.fromkeys(output[0] for output in outputs if output))
    coefficients = []  # v of each square (C + v.s / 2)^2
    sizes = [1 + len(slack_weights(count.threshold)) for count in counts]
    indicators = [n + sum(sizes[:k]) for k in range(len(counts))]
    num_variables = n + sum(sizes)
    for count, indicator in zip(counts, indicators, strict=True):
        v = np.zeros(num_variables)
        v[:n] = count.pattern
        v[indicator] = -count.threshold
        weights = slack_weights(count.threshold)
        v[indicator + 1 : indicator + 1 + len(weights)] = [-weight for weight in weights]
        coefficients.append(v)
    J, h, offset = np.zeros((num_variables, num_variables)), np.zeros(num_variables), 0.0
    for count, v in zip(counts, coefficients, strict=True):
        constant = (np.abs(count.pattern).sum() + 1) / 2 - count.threshold
        J += np.triu(np.outer(v, v), 1) / 2
        h += constant * v
        offset += constant**2 + (v**2).sum() / 4
    factors, fields, offsets = np.ones(m), np.zeros((m, num_variables)), np.zeros(m)
    for r in range(m):
        loss, sums = 0.0, dict.fromkeys(counts, 0.0)
        for output, t in zip(outputs, T[:, r].astype(np.float64), strict=True):
            if output is None:
                loss += (1 - t) * (1 - t)
            else:
                count, sign = output
                loss += 1 + t * t
                sums[count] += sign * t
        differences = [4 * abs(total) for total in sums.values()]
        if any(differences):
            factors[r] = penalty_factor * max(differences)
        fields[r] = factors[r] * h
        for indicator, total in zip(indicators, sums.values(), strict=True):
            fields[r, indicator] -= 2 * total
        offsets[r] = loss + factors[r] * offset
    rows, columns = np.nonzero(J)
    return Problems(
        rows.astype(np.int32),
        columns.astype(np.int32),
        J[rows, columns],
        factors,
        fields,
        offsets,
        np.array([count.pattern for count in counts], np.int8).reshape(-1, n),
        np.array([count.threshold for count in counts], np.int32),
    )


def quadratic_bqms(X: Floats, T: Floats, *, scale: float = 1.0, alpha: str = "fit") -> Problems:
    """Return the models of the quadratic objective."""
    m, n = T.shape[1], X.shape[1]
    x, t = X.astype(np.float64), T.astype(np.float64)
    mean = np.abs(t).mean(axis=0)
    unit = (t / np.where(mean > 0, mean, 1.0)).T  # (m, N)
    step = scale * unit_step_length(X, T, alpha)
    gram = step**2 * x.T @ x
    rows, columns = np.triu_indices(n, 1)
    return Problems(
        rows.astype(np.int32),
        columns.astype(np.int32),
        2 * gram[rows, columns],
        np.ones(m),
        -2 * step * unit @ x,
        (unit**2).sum(axis=1) + np.trace(gram),
        np.zeros((0, n), np.int8),
        np.zeros(0, np.int32),
    )
