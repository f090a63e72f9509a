"""Slow, obvious NumPy twins of the core; for tests and for reading.

They round where the core rounds: :func:`project` returns the same bits as :func:`qpsbgd.project`.
Everything that the core vectorises is a plain loop here.
"""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from qpsbgd.samplers.schedule import geometric

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Spins = npt.NDArray[np.int8]

LOG2 = np.float32(0.6931472)  # median of the unit exponential distribution
INITIAL_STATE = 2**64 - 1  # names the stream of a random start
BLOCK = 64  # variables that the core visits between updates of its state


# ---- random streams ----------------------------------------------------------------------------


def splitmix64(x: int) -> int:
    """SplitMix64's output function on 64-bit words."""
    x = (x + 0x9E3779B97F4A7C15) % 2**64
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) % 2**64
    return x ^ (x >> 31)


def exponential(
    *, seed: int, problem: int, read: int, sweep: int, first: int, count: int
) -> Floats:
    """Unit exponential variates ``first, ..., first + count - 1`` of one stream."""
    words = _stream_key(seed, problem, read, sweep)
    return _minus_log(_uniforms(_bits(words, first, count)))


def noise(stream: tuple[int, int, int, int], count: int, gibbs: bool) -> Floats:
    """What an acceptance rule adds to the proposals of a sweep: exponential, or logistic."""
    u = _uniforms(_bits(_stream_key(*stream), 0, count))
    return _minus_log(np.float32(1) - u) - _minus_log(u) if gibbs else _minus_log(u)


def random_variables(stream: tuple[int, int, int, int], n: int) -> list[int]:
    """The ``n`` variables that a sweep in random order proposes."""
    word0, word1 = _stream_key(*stream)
    words = (word0 ^ np.uint32(0x9E3779B9), word1 ^ np.uint32(0x7F4A7C15))
    return [int(bits) * n >> 32 for bits in _bits(words, 0, n)]


def _stream_key(seed: int, problem: int, read: int, sweep: int) -> tuple[np.uint32, np.uint32]:
    key = splitmix64(seed)
    for part in (problem, read, sweep):
        key = splitmix64(key ^ part)
    return np.uint32(key % 2**32), np.uint32(key >> 32)


def _bits(words: tuple[np.uint32, np.uint32], first: int, count: int) -> npt.NDArray[np.uint32]:
    counter = np.arange(first, first + count, dtype=np.uint32)
    return _mix(_mix(counter) ^ words[0], words[1])


def _uniforms(bits: npt.NDArray[np.uint32]) -> Floats:
    result: Floats = (bits >> np.uint32(9)).astype(np.float32) + np.float32(0.5)
    result *= np.float32(2.0**-23)
    return result


def _mix(x: npt.NDArray[np.uint32], word: np.uint32 | int = 0) -> npt.NDArray[np.uint32]:
    x = x ^ (x >> np.uint32(16))
    x = x * np.uint32(0x21F0AAAD)
    x = x ^ (x >> np.uint32(15))
    x = (x + np.uint32(word)) * np.uint32(0xD35A2D97)
    result: npt.NDArray[np.uint32] = x ^ (x >> np.uint32(15))
    return result


def _minus_log(u: Floats) -> Floats:
    sqrt_half = np.int32(0x3F3504F3)
    shifted = u.view(np.int32) - sqrt_half
    k = shifted >> np.int32(23)
    m = ((shifted & np.int32(0x007FFFFF)) + sqrt_half).view(np.float32)
    f32 = np.float32
    r = m - f32(1)
    series = f32(0.1013406) * r
    for term in (-0.1623419, 0.1724701, -0.1989857, 0.2497007, -0.3333511, 0.5000036, -1.0):
        series = (series + f32(term)) * r
    result: Floats = series - k.astype(np.float32) * f32(0.6931472)
    return result


# ---- the problems ------------------------------------------------------------------------------


def multiply_add(a: Floats, b: Floats, c: Floats) -> Floats:
    """``a * b + c`` in float32, rounded once."""
    product = a.astype(np.float64) * b.astype(np.float64)  # exact
    total = product + c
    back = total - product
    lost = (product - (total - back)) + (c - back)  # exact
    # A sum that lost something is replaced by its odd neighbour: then float32 rounds as if from the
    # exact sum, never from a tie that rounding to float64 has made.
    neighbour = np.nextafter(total, np.where(lost > 0, np.inf, -np.inf))
    even = total.view(np.int64) % 2 == 0
    result: Floats = np.where((lost != 0) & even, neighbour, total).astype(np.float32)
    return result


def ordered_product(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> Floats:
    """``a @ b`` in float32, each element summed from left to right, one rounding a term."""
    c = np.zeros((a.shape[0], b.shape[1]), np.float32)
    for k in range(a.shape[1]):
        c = multiply_add(a[:, k : k + 1], b[k : k + 1, :], c)
    return c


def ordered_sum(values: npt.NDArray[Any]) -> float:
    """Sum in float64 from left to right."""
    return float(np.cumsum(values.astype(np.float64).ravel())[-1])


def normalised_targets(T: Floats) -> Floats:
    """``t / mean|t|`` for every neuron, as rows ``(m, N)``; 0 where a neuron's targets are."""
    rows = []
    for t in T.T.astype(np.float64):
        mean = ordered_sum(np.abs(t)) / len(t)
        rows.append((t * (1.0 / mean) if mean > 0 else 0 * t).astype(np.float32))
    return np.array(rows)


def linear_minimiser(X: Floats, T: Floats) -> Spins:
    """``sign(X^T t)`` for every neuron, ``(m, n)``, with ``sign(0) = +1``."""
    sums = ordered_product(normalised_targets(T), X)  # (m, N), (N, n) -> (m, n)
    return np.where(sums >= 0, 1, -1).astype(np.int8)


def unit_alpha(X: Floats, T: Floats, alpha: str) -> float:
    """The quadratic objective's alpha for scale 1; 0 where T or X b0 vanishes."""
    targets = normalised_targets(T)
    margins = ordered_product(linear_minimiser(X, T), X.T)  # (m, n), (n, N) -> (m, N)
    sums = ordered_product(targets, X)  # (m, N), (N, n) -> (m, n)
    product = _sum_by_rows(np.abs(sums.astype(np.float64)))  # <targets, margins>
    return _unit_alpha(
        _sum_by_rows(targets.astype(np.float64) ** 2),
        _sum_by_rows(margins.astype(np.float64) ** 2),
        product,
        alpha,
    )


def _unit_alpha(target2: float, margin2: float, product: float, alpha: str) -> float:
    if margin2 <= 0:
        return 0.0
    return product / margin2 if alpha == "fit" else float(np.sqrt(target2 / margin2))


def _sum_by_rows(values: Doubles) -> float:
    """Sum of each row from left to right, then of the rows' sums."""
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
) -> Doubles:
    """Objective of each row of ``B (m, n)``."""
    x, t = X.astype(np.float64), T.astype(np.float64)
    margins = B.astype(np.float64) @ x.T  # (m, N)
    if objective == "sign":
        residuals = np.where(margins + target_eps >= 0, 1.0, -1.0) - t.T
    else:
        mean = np.abs(t).mean(axis=0)
        unit = t / np.where(mean > 0, mean, 1.0)
        residuals = unit.T - scale * unit_alpha(X, T, alpha) * margins
    energies: Doubles = (residuals**2).sum(axis=1)
    return energies


def gradient_ising(
    X: Floats, T: Floats, scale: float = 1.0, alpha: str = "fit"
) -> tuple[Doubles, Doubles, Doubles]:
    """Return ``h (m, n)``, ``J (n, n)`` and ``offset (m,)`` of the quadratic objective."""
    x, unit = X.astype(np.float64), normalised_targets(T).astype(np.float64)
    step = scale * unit_alpha(X, T, alpha)
    gram = step**2 * x.T @ x
    J = 2 * (gram - np.diag(np.diag(gram)))
    h = -2 * step * unit @ x
    return h, J, (unit**2).sum(axis=1) + np.trace(gram)


def exhaustive(X: Floats, T: Floats, **objective: Any) -> Doubles:
    """Lowest objective of every neuron over all 2^n binary rows; n <= 16."""
    n, m = X.shape[1], T.shape[1]
    if n > 16:
        raise ValueError(f"X has {n} columns, but exhaustive search needs at most 16")
    best = np.full(m, np.inf)
    for spins in itertools.product((-1, 1), repeat=n):
        B = np.tile(np.array(spins, np.int8), (m, 1))
        best = np.minimum(best, projection_energy(X, T, B, **objective))
    return best


# ---- the solver --------------------------------------------------------------------------------


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
) -> Spins:
    """:func:`qpsbgd.project`, one row, read, sweep and variable at a time."""
    m, n = T.shape[1], X.shape[1]
    if num_sweeps is None:
        num_sweeps = {"quadratic": 2, "sign": 10}[objective]
    betas = None if beta_range is None else geometric(*beta_range, num_sweeps)
    step = scale * unit_alpha(X, T, alpha)
    reads = []
    for read in range(num_reads):
        start = initial if read == 0 else "random"
        if isinstance(start, np.ndarray):
            B: Spins = start.copy()
        elif start == "linear":
            B = linear_minimiser(X, T)
        else:
            B = np.array([_random_spins(seed, row, read, n) for row in range(m)])
        for row in range(m):
            t = normalised_targets(T)[row]
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
        )
        for B in reads
    ]
    best = np.argmin(energies, axis=0)  # the first of equals, (m,)
    result: Spins = np.array([reads[best[row]][row] for row in range(m)])
    return result


def products(X: Floats, T: Floats) -> tuple[Doubles, Doubles, Doubles, Doubles]:
    """``X^T X (n, n)``, ``T^T X (m, n)``, sums of ``|t|`` and of ``t^2`` ``(m,)``."""
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
    """The quadratic objective's :func:`project`, of what :func:`products` gives."""
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
    step = scale * _unit_alpha(target2, margin2, product, alpha)
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
    """Which of its two forms the core takes: they are equal but for rounding."""
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
    """Sweeps over one row ``b (n,)``, in place. Flipping b_k changes E by -4 alpha^2 b_k f_k.

    Either all fields are kept up to date, or the residuals are, and the fields of a block of
    variables are computed from them when the sweep comes to it.
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
    """The quadratic objective's sweeps over ``b (n,)``; ``gram (n, n)`` has a zero diagonal.

    ``refreshed`` gives new fields at the start of each block of variables.
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
    """Sweeps over one row ``b (n,)``, in place; raises the score <sign(X b + eps), t>.

    Targets count a power of two, so large that the magnitudes of a row add up to no more than
    2^30, so that sums of them are exact; what is less is cut off.
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
            gain = targets[(margins < 0) & (after >= 0)].sum()  # half of the score's
            gain -= targets[(margins >= 0) & (after < 0)].sum()
            if gain > 0 if betas is None else np.float32(gain) + slack[k] >= 0:
                margins = after
                b[k] = -b[k]


# ---- Ising problems ------------------------------------------------------------------------------


def anneal(
    linear: npt.NDArray[Any],
    pairs: npt.NDArray[Any],
    quadratic: npt.NDArray[Any],
    starts: Spins,
    betas: npt.NDArray[Any],
    *,
    gibbs: bool,
    random_order: bool,
    keep_best: bool,
    seed: int,
    problem: int = 0,
) -> Spins:
    """Simulated annealing of each start, variable by variable; biases must be small integers."""
    n = starts.shape[1]
    couplings = np.zeros((n, n))
    np.add.at(couplings, tuple(pairs), quadratic)
    couplings += couplings.T
    # Biases are exact in float32 at any scale; the core's makes the largest field less than 1.
    reach = (np.abs(linear) + np.abs(couplings).sum(axis=1)).max()
    scale = 2.0 ** -float(np.frexp(reach)[1])
    results = []
    for read, start in enumerate(starts):
        s = start.astype(np.float64)
        best, best_energy = s.copy(), s @ linear + s @ couplings @ s / 2
        for sweep, beta in enumerate(betas):
            threshold = np.float32(scale / (2.0 * beta))
            stream = (seed, problem, read, sweep)
            slack = threshold * noise(stream, n, gibbs)
            order = random_variables(stream, n) if random_order else range(n)
            for k, i in enumerate(order):
                field = scale * (linear[i] + couplings[i] @ s)
                if np.float32(s[i] * field) + slack[k] >= 0:
                    s[i] = -s[i]
            energy = s @ linear + s @ couplings @ s / 2
            if energy < best_energy:
                best, best_energy = s.copy(), energy
        results.append(best if keep_best else s)
    return np.array(results, np.int8)


def descend(
    linear: npt.NDArray[Any],
    pairs: npt.NDArray[Any],
    quadratic: npt.NDArray[Any],
    starts: Spins,
) -> tuple[Spins, list[int]]:
    """Steepest descent of each start in float64: where it ends, and after how many flips."""
    couplings = np.zeros((len(linear), len(linear)))
    np.add.at(couplings, tuple(pairs), quadratic)
    couplings += couplings.T
    results, steps = [], []
    for start in starts:
        s, count = start.astype(np.float64), 0
        while (gains := s * (linear + couplings @ s)).max(initial=0.0) > 0:
            i = np.argmax(gains)  # the first of the largest
            s[i] = -s[i]
            count += 1
        results.append(s)
        steps.append(count)
    return np.array(results, np.int8), steps


def lowest_states(
    linear: npt.NDArray[Any],
    pairs: npt.NDArray[Any],
    quadratic: npt.NDArray[Any],
    num_states: int,
) -> Spins:
    """The lowest states, equal energies in lexicographic order; energies must be exact."""
    states = np.array(list(itertools.product((-1, 1), repeat=len(linear))), np.int8)
    energies = states @ linear
    for i, j, value in zip(*pairs, quadratic, strict=True):
        energies = energies + value * states[:, i] * states[:, j]
    return states[np.argsort(energies, kind="stable")[:num_states]]
