"""Projections, one row, read, sweep and variable at a time."""

from collections.abc import Callable

import numpy as np

from qpsbgd.samplers.schedule import geometric
from reference.objectives import (
    linear_minimiser,
    normalised_targets,
    ordered_product,
    ordered_sum,
    projection_energy,
    step_length_of_sums,
    unit_step_length,
)
from reference.streams import INITIAL_STATE, LOG2, Doubles, Floats, Spins, exponential

BLOCK = 64  # number of variables after which the core updates its state


def project(
    X: Floats,
    T: Floats,
    *,
    objective: str = "quadratic",
    scale: float = 1.0,
    alpha: str = "fit",
    num_sweeps: int | None = None,
    num_reads: int = 1,
    beta_range: tuple[float, float] | None = None,
    initial: str | Spins = "linear",
    target_eps: float = 0.01,
    seed: int = 0,
    steps: Doubles | None = None,
) -> Spins:
    """Do what :func:`qpsbgd.project` does, one row, read, sweep and variable at a time."""
    m, n = T.shape[1], X.shape[1]
    if num_sweeps is None:
        num_sweeps = {"quadratic": 2, "sign": 10}[objective]
    betas = None if beta_range is None else geometric(*beta_range, num_sweeps)
    step = scale if steps is not None else scale * unit_step_length(X, T, alpha)
    reads = []
    for read in range(num_reads):
        start = initial if read == 0 else "random"
        if isinstance(start, np.ndarray):
            B: Spins = start.copy()
        elif start == "linear":
            B = linear_minimiser(X, T, steps)
        else:
            B = np.array([_random_spins(seed, row, read, n) for row in range(m)])
        for row in range(m):
            t = normalised_targets(T, steps)[row]
            if objective == "quadratic":
                if step != 0:
                    _quadratic_row(X, t, step, B[row], num_sweeps, betas, (seed, row, read))
            else:
                _sign_row(X, t, target_eps, B[row], num_sweeps, betas, (seed, row, read))
        reads.append(B)
    if num_reads == 1:
        return reads[0]
    energies = [
        projection_energy(
            X,
            T,
            B,
            objective=objective,
            scale=scale,
            alpha=alpha,
            target_eps=target_eps,
            steps=steps,
        )
        for B in reads
    ]
    best = np.argmin(energies, axis=0)  # the first of equals, (m,)
    result: Spins = np.array([reads[best[row]][row] for row in range(m)])
    return result


def products(X: Floats, T: Floats) -> tuple[Doubles, Doubles, Doubles, Doubles]:
    """Return ``X^T X (n, n)``, ``T^T X (m, n)`` and the sums ``(m,)`` of ``|t|`` and of ``t^2``."""
    x, t = X.astype(np.float64), T.astype(np.float64)
    return x.T @ x, t.T @ x, np.abs(t).sum(axis=0), (t**2).sum(axis=0)


def project_products(
    gram: Doubles,
    cross: Doubles,
    magnitudes: Doubles,
    squares: Doubles,
    num_samples: int,
    *,
    scale: float = 1.0,
    alpha: str = "fit",
    num_sweeps: int = 2,
    num_reads: int = 1,
    beta_range: tuple[float, float] | None = None,
    initial: str = "linear",
    seed: int = 0,
) -> Spins:
    """Project with the quadratic objective, from the results of :func:`products`."""
    m, n = cross.shape
    betas = None if beta_range is None else geometric(*beta_range, num_sweeps)
    mean_square = gram.diagonal().max() / num_samples
    unit = 2.0 ** -np.ceil(np.frexp(mean_square)[1] / 2)  # brings it into [1/4, 1)
    mean = magnitudes / num_samples
    inverse = np.divide(1.0, mean, out=np.zeros(m), where=mean > 0)
    trace = ordered_sum(unit * unit * gram.diagonal())
    couplings = (unit * unit * gram).astype(np.float32)
    np.fill_diagonal(couplings, 0)
    linear = np.where(cross >= 0, 1, -1).astype(np.int8)

    def image(B: Spins) -> Floats:
        return ordered_product(B.astype(np.float32), couplings)  # (m, n), (n, n) -> (m, n)

    terms = linear * image(linear).astype(np.float64)
    margin2 = ordered_sum(np.array([max(ordered_sum(np.append(trace, row)), 0) for row in terms]))
    target2 = ordered_sum(squares * inverse * inverse)
    sums = np.array([ordered_sum(np.abs(row)) for row in cross])
    product = ordered_sum(sums * inverse * unit)
    step = scale * step_length_of_sums(target2, margin2, product, alpha)
    reads, energies = [], []
    for read in range(num_reads):
        B = linear.copy()
        if read > 0 or initial == "random":
            B = np.array([_random_spins(seed, row, read, n) for row in range(m)])
        images = image(B)
        for row in range(m if step != 0 else 0):
            factor = unit * inverse[row] / step
            fields = (images[row] - cross[row] * factor).astype(np.float32)
            _sweeps(couplings, fields, step, B[row], num_sweeps, betas, (seed, row, read))
        b = B.astype(np.float64)
        quadratic = ((b @ gram) * b).sum(axis=1) - np.trace(gram)
        a = step * unit
        reads.append(B)
        energies.append(a * (a * quadratic - 2 * ((b * cross).sum(axis=1) * inverse)))
    best = np.argmin(energies, axis=0)  # the first of equals, (m,)
    result: Spins = np.array([reads[best[row]][row] for row in range(m)])
    return result


def _random_spins(seed: int, row: int, read: int, n: int) -> Spins:
    e = exponential(seed=seed, problem=row, read=read, sweep=INITIAL_STATE, first=0, count=n)
    spins: Spins = np.where(e < LOG2, 1, -1).astype(np.int8)
    return spins


def _variates(stream: tuple[int, int, int], sweep: int, n: int) -> Floats:
    seed, row, read = stream
    return exponential(seed=seed, problem=row, read=read, sweep=sweep, first=0, count=n)


def keeps_residuals(num_samples: int, num_inputs: int, num_sweeps: int) -> bool:
    """Return whether the core stores residuals and not fields; the two round differently."""
    later = max(num_sweeps - 1, 0)
    return later * num_samples < (0.30 + 0.06 * later) * 2.0 * num_inputs


def _quadratic_row(
    X: Floats,
    t: Floats,
    alpha: float,
    b: Spins,
    num_sweeps: int,
    betas: list[float] | None,
    stream: tuple[int, int, int],
) -> None:
    """Sweep over one row ``b (n,)`` in place. A flip of b_k changes E by -4 alpha^2 b_k f_k.

    A flip updates either all fields or the residuals. In the second form the sweep computes the
    fields of each block of variables from the residuals.
    """
    n = len(b)
    gram = ordered_product(X.T, X)  # (n, N), (N, n) -> (n, n)
    diagonal = np.diag(gram).copy()
    np.fill_diagonal(gram, 0)
    margins = ordered_product(b[None, :], X.T)[0]  # (N,)
    residuals = (margins.astype(np.float64) - t * (1.0 / np.float64(alpha))).astype(np.float32)

    def fields_from_residuals() -> Floats:
        fields = ordered_product(residuals[None, :], X)[0]  # (1, N), (N, n) -> (n,)
        result: Floats = fields - diagonal * b.astype(np.float32)
        return result

    def flipped(k: int, change: np.float32) -> None:
        nonlocal residuals
        residuals = residuals + change * X[:, k]

    refreshed = fields_from_residuals if keeps_residuals(len(t), n, num_sweeps) else None
    fields = fields_from_residuals()
    _sweeps(gram, fields, alpha, b, num_sweeps, betas, stream, flipped, refreshed)


def _sweeps(
    gram: Floats,
    fields: Floats,
    alpha: float,
    b: Spins,
    num_sweeps: int,
    betas: list[float] | None,
    stream: tuple[int, int, int],
    flipped: Callable[[int, np.float32], None] = lambda k, change: None,
    refreshed: Callable[[], Floats] | None = None,
) -> None:
    """Sweep over ``b (n,)`` in place with the quadratic objective.

    Args:
        gram: couplings ``(n, n)`` with a zero diagonal.
        fields: local fields ``(n,)``.
        alpha: step length.
        b: spins.
        num_sweeps: number of sweeps.
        betas: inverse temperatures of the sweeps, or None for descent.
        stream: seed, row and read.
        flipped: called with a variable and its change after each flip.
        refreshed: returns new fields at the start of each block of variables, if given.
    """
    for sweep in range(num_sweeps):
        if betas is not None:
            threshold = np.float32(1.0 / (4.0 * alpha * alpha * betas[sweep]))
            slack = threshold * _variates(stream, sweep, len(b))
        for k in range(len(b)):
            if refreshed is not None and k % BLOCK == 0:
                fields = refreshed()
            gain = np.float32(b[k]) * fields[k]
            if gain > 0 if betas is None else gain + slack[k] >= 0:
                change = np.float32(-2 * b[k])
                fields = fields + change * gram[k]
                flipped(k, change)
                b[k] = -b[k]


def _sign_row(
    X: Floats,
    t: Floats,
    target_eps: float,
    b: Spins,
    num_sweeps: int,
    betas: list[float] | None,
    stream: tuple[int, int, int],
) -> None:
    """Sweep over one row ``b (n,)`` in place to raise the score <sign(X b + eps), t>.

    Targets are integers: multiples of a power of two, rounded towards 0. The power is such that
    the magnitudes of a row add up to at most 2^30, so that all sums are exact.
    """
    n = len(b)
    margins = ordered_product(b[None, :], X.T)[0] + np.float32(target_eps)  # (N,)
    scale = np.float32(2.0 ** (30 - (len(t) - 1).bit_length()))
    targets = (t * scale).astype(np.int64)  # (N,)
    for sweep in range(num_sweeps):
        if betas is not None:
            threshold = np.float32(scale / (4.0 * betas[sweep]))
            slack = threshold * _variates(stream, sweep, n)
        for k in range(n):
            after = margins - np.float32(2 * b[k]) * X[:, k]
            gain = targets[(margins < 0) & (after >= 0)].sum()  # half the gain of the score
            gain -= targets[(margins >= 0) & (after < 0)].sum()
            if gain > 0 if betas is None else np.float32(gain) + slack[k] >= 0:
                margins = after
                b[k] = -b[k]
