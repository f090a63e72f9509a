"""Many quadratic binary problems of one size in one call."""

import os
import warnings
from collections.abc import Callable, Iterable
from concurrent.futures import BrokenExecutor, Executor, Future
from dataclasses import dataclass
from typing import Any, Literal

import dimod
import numpy as np
import numpy.typing as npt

from qpsbgd import _core, schedule
from qpsbgd.arguments import (
    checked_choice,
    checked_count,
    checked_real,
    checked_seed,
    checked_threads,
    checked_time_limit,
)
from qpsbgd.ising import Problem

Floats = npt.NDArray[np.float64]
States = npt.NDArray[np.int8]
Method = Literal["sa", "tabu", "descent"]

DEFAULT_NUM_SWEEPS = {"sa": 1000, "tabu": 20, "descent": 0}
#: Problems whose energy differences decide on a batch's temperatures.
SCOUTS = 16
#: Chunks for each worker of an executor: an uneven end costs little then.
CHUNKS_PER_WORKER = 4
#: Times that a chunk is given out if its worker is lost.
ATTEMPTS = 3


@dataclass(frozen=True)
class LowRank:
    """Couplings ``scale * A.T @ A``, without their diagonal, which is a constant.

    Attributes:
        A: ``(N, n)``.
        scale: finite.
    """

    A: npt.ArrayLike
    scale: float = 1.0


@dataclass(frozen=True)
class BatchResult:
    """What :func:`sample_batch` found.

    Attributes:
        states: int8 ``(B, R, n)``, of -1 and +1, or 0 and 1.
        energies: float64 ``(B, R)``.
        info: ``method``, ``isa``, ``num_threads``, ``seed``, ``num_sweeps``, ``beta_range`` (of
            annealing, ``(B, 2)``), ``num_begun`` (problems that were begun; others have their
            initial states) and ``stopped_by`` (``"finished"``, ``"time_limit"`` or
            ``"interrupt"``).
        vartype: ``"SPIN"`` or ``"BINARY"``.
    """

    states: States
    energies: Floats
    info: dict[str, Any]
    vartype: str

    def to_samplesets(self) -> list[dimod.SampleSet]:
        """One dimod sample set a problem, of variables 0, 1, ..., n - 1."""
        return [
            dimod.SampleSet.from_samples(states, energy=energies, vartype=self.vartype)
            for states, energies in zip(self.states, self.energies, strict=True)
        ]


def sample_batch(
    J: Any,
    h: Any,
    *,
    vartype: Literal["SPIN", "BINARY"] = "SPIN",
    num_reads: int = 1,
    num_sweeps: int | None = None,
    method: Method = "sa",
    beta_range: Literal["auto"] | tuple[float, float] = "auto",
    keep: Literal["best", "final"] = "best",
    initial_states: Any = None,
    seed: int | None = None,
    num_threads: int | None = None,
    time_limit: float | None = None,
    executor: Executor | None = None,
) -> BatchResult:
    """Sample from many problems ``h.s + (1/2) s^T J s`` of one size.

    Args:
        J: couplings, symmetric with a zero diagonal: ``(n, n)``, shared by all problems, or ``(B,
            n, n)``; or :class:`LowRank`, shared. NumPy arrays and what becomes one, such as a torch
            tensor on the CPU.
        h: fields ``(B, n)``.
        vartype: ``"SPIN"`` for variables -1 and +1, ``"BINARY"`` for 0 and 1.
        num_reads: reads of each problem, R.
        num_sweeps: of an anneal, default 1000; a tabu search makes ``n`` moves for each, default
            20. A descent goes on to a local minimum and takes none.
        method: ``"sa"`` simulated annealing, ``"tabu"`` one tabu search a read, ``"descent"``
            steepest descent.
        beta_range: inverse temperatures ``(first, last)`` of annealing, > 0, between which they
            grow geometrically. ``"auto"`` takes them from the energy differences of up to 16
            problems (:func:`~qpsbgd.schedule.auto_beta_range`): one range for all that share J,
            else one in units of each problem's typical difference.
        keep: what a read of annealing returns: ``"best"`` the best state that it had at its start
            or after a sweep, ``"final"`` the last. Samples of a temperature, ``beta_range=(b, b)``,
            are ``"final"`` states; the best are colder.
        initial_states: ``(B, n)`` or ``(B, R, n)``; drawn at random if ``None``.
        seed: integer in ``[0, 2**31)``; drawn anew if ``None``.
        num_threads: at most this many, in each worker of an executor too; ``None`` for as many as
            OpenMP would use.
        time_limit: seconds, > 0, for the solving; of each chunk with an executor. ``None`` for no
            limit.
        executor: any ``concurrent.futures.Executor``, such as that of Dask's or MPI's pools. The
            batch is split into chunks; one whose worker is lost is given out again. The result is
            the same to the bit as without.

    Returns:
        States and energies. States do not depend on threads, instruction set, or how the batch is
        split; nor do energies, but for the last digits of NumPy's sums.

    Raises:
        TypeError: an argument of the wrong type.
        ValueError: a shape that does not fit, a value out of range, an entry that is NaN, infinite,
            not symmetric or on the diagonal.
        KeyboardInterrupt: at Ctrl-C; without an executor its attribute ``result`` is what would
            have been returned.

    Example:
        >>> J = np.array([[0.0, 1.0], [1.0, 0.0]])
        >>> result = sample_batch(J, [[0.5, 0.0], [0.0, -0.5]], num_sweeps=100, seed=1)
        >>> result.energies
        array([[-1.5],
               [-1.5]])
    """
    checked_choice("vartype", vartype, ("SPIN", "BINARY"))
    checked_choice("method", method, tuple(DEFAULT_NUM_SWEEPS))
    if checked_choice("keep", keep, ("best", "final")) != "best" and method != "sa":
        raise ValueError(f"keep is {keep!r}, but goes with method='sa' alone")
    linear = _floats("h", h, 2)
    if len(linear) == 0:
        raise ValueError(f"h has shape {linear.shape}, but must have at least one problem")
    couplings = _couplings(J, linear.shape)
    reads = checked_count("num_reads", num_reads, 1)
    sweeps = _sweeps(method, num_sweeps)
    seed = checked_seed(seed)
    threads = checked_threads(num_threads)
    limit = checked_time_limit(time_limit)
    if executor is not None and not isinstance(executor, Executor):
        raise TypeError(
            f"executor is a {type(executor).__name__}, but must be a concurrent.futures.Executor"
        )
    starts = _starts(initial_states, vartype, (len(linear), reads, linear.shape[1]), seed)
    spin_J, spin_h = couplings, linear
    if vartype == "BINARY":  # x = (1 + s) / 2
        with np.errstate(over="ignore"):
            spin_J, spin_h = couplings / 4, linear / 2 + couplings.sum(axis=-1) / 4
        _refuse("h of the spins", spin_h, ~np.isfinite(spin_h), "must be finite")
    betas, factors = _betas(method, beta_range, sweeps, spin_J, spin_h)
    n = linear.shape[1]
    options = {
        "method": method, "betas": betas, "keep_best": keep == "best", "moves": sweeps * n,
        "tenure": min(20, n // 4), "seed": seed, "num_threads": threads, "time_limit": limit,
    }  # fmt: skip
    if executor is None:
        parts = [_solve(spin_J, spin_h, starts, factors, number=0, **options)]
    else:
        parts = _solve_apart(executor, spin_J, spin_h, starts, factors, options)
    states, done, reasons, errors = zip(*parts, strict=True)
    result = _result(couplings, linear, np.concatenate(states), vartype)
    stopped = [reason for reason in reasons if reason != "finished"]
    result.info.update(
        method=method, isa=_core.isa(), num_threads=threads, seed=seed, num_sweeps=sweeps,
        num_begun=int(np.concatenate(done).sum()), stopped_by=stopped[0] if stopped else "finished",
    )  # fmt: skip
    if betas:
        result.info["beta_range"] = np.outer(factors, [betas[0], betas[-1]])
    for error in errors:
        if error is not None:
            error.result = result
            raise error
    return result


def sample_bqms(
    bqms: Iterable[dimod.BinaryQuadraticModel],
    method: Method,
    *,
    num_reads: int = 1,
    num_sweeps: int | None = None,
    beta_range: Literal["auto"] | tuple[float, float] = "auto",
    seed: int | None = None,
    num_threads: int | None = None,
    time_limit: float | None = None,
    executor: Executor | None = None,
) -> list[dimod.SampleSet]:
    """Samples of many dimod models, those of one size in one call of :func:`sample_batch`.

    Args:
        bqms: models of any vartype, size and labels; kept as matrices.
        method: as in :func:`sample_batch`.
        num_reads: as in :func:`sample_batch`, and so the others.
        num_sweeps: of an anneal or a tabu search.
        beta_range: of annealing.
        seed: one for all sizes.
        num_threads: at most this many.
        time_limit: seconds for the models of one size.
        executor: whose workers solve them.

    Returns:
        A sample set for each model, in its vartype and with its labels. ``info`` is the batch's.

    Raises:
        TypeError: one of ``bqms`` is no model, or an argument is of the wrong type.
        ValueError: a NaN or infinite bias, or a value out of range.
    """
    models = list(bqms)
    checked_choice("method", method, tuple(DEFAULT_NUM_SWEEPS))
    seed = checked_seed(seed)
    by_size: dict[int, list[int]] = {}
    for place, bqm in enumerate(models):
        if not isinstance(bqm, dimod.BinaryQuadraticModel):
            raise TypeError(
                f"bqms[{place}] is a {type(bqm).__name__}, but must be a dimod.BinaryQuadraticModel"
            )
        by_size.setdefault(bqm.num_variables, []).append(place)
    results: dict[int, dimod.SampleSet] = {}
    for n, places in by_size.items():
        problems = [Problem(models[place], "dense") for place in places]
        h = np.array([problem.linear for problem in problems])  # (B, n)
        J = np.zeros((len(places), n, n))
        for matrix, problem in zip(J, problems, strict=True):
            matrix[problem.pairs[0], problem.pairs[1]] = problem.quadratic
            matrix += matrix.T
        found = sample_batch(
            J, h, num_reads=num_reads, num_sweeps=num_sweeps, method=method,
            beta_range=beta_range, seed=seed, num_threads=num_threads, time_limit=time_limit,
            executor=executor,
        )  # fmt: skip
        for place, problem, states in zip(places, problems, found.states, strict=True):
            results[place] = dimod.SampleSet.from_samples(
                (states, problem.variables),
                energy=problem.energies(states, 1),
                info=dict(found.info),
                vartype=dimod.SPIN,
            ).change_vartype(models[place].vartype, inplace=True)
    return [results[place] for place in range(len(models))]


# ---- arguments ---------------------------------------------------------------------------------


def _floats(name: str, value: Any, ndim: int | tuple[int, ...]) -> Floats:
    """A finite array of so many dimensions."""
    if hasattr(value, "detach"):  # a tensor, which may want its gradient
        value = value.detach()
    try:
        array = np.asarray(value)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"{name} is a {type(value).__name__}, but must be an array of numbers"
        ) from error
    if array.dtype.kind not in "biuf":
        raise TypeError(
            f"{name} is a {type(value).__name__} of {array.dtype}, but must be an array of real "
            "numbers"
        )
    array = np.ascontiguousarray(array, np.float64)
    if array.ndim not in np.atleast_1d(ndim):
        raise ValueError(
            f"{name} has shape {array.shape}, but must have "
            f"{' or '.join(str(d) for d in np.atleast_1d(ndim))} dimensions"
        )
    _refuse(name, array, ~np.isfinite(array), "must be finite")
    return array


def _refuse(name: str, array: Floats, bad: npt.NDArray[np.bool_], rule: str) -> None:
    """An error that names the first bad entry, if there is one."""
    if bad.any():
        at = tuple(int(i) for i in np.argwhere(bad)[0])
        raise ValueError(f"{name}[{', '.join(map(str, at))}] is {array[at]}, but {rule}")


def _couplings(J: Any, shape: tuple[int, ...]) -> Floats:
    """``(n, n)`` or ``(B, n, n)``: symmetric, zero diagonal."""
    problems, n = shape
    if isinstance(J, LowRank):
        A, scale = _floats("J.A", J.A, 2), checked_real("J.scale", J.scale)
        if not np.isfinite(scale):
            raise ValueError(f"J.scale is {J.scale}, but must be finite")
        if A.shape[1] != n:
            raise ValueError(f"J.A has shape {A.shape}, but must be (N, {n}) as h is {shape}")
        with np.errstate(over="ignore", invalid="ignore"):
            product: Floats = scale * (A.T @ A)
        _refuse("scale * A.T @ A", product, ~np.isfinite(product), "must be finite")
        np.fill_diagonal(product, 0.0)
        symmetric: Floats = (product + product.T) / 2  # a BLAS may round the triangles differently
        return symmetric
    array = _floats("J", J, (2, 3))
    expected = (n, n) if array.ndim == 2 else (problems, n, n)
    if array.shape != expected:
        raise ValueError(
            f"J has shape {array.shape}, but must be ({n}, {n}) or ({problems}, {n}, {n}) as h is "
            f"{shape}"
        )
    diagonal = np.broadcast_to(np.eye(n, dtype=bool), array.shape)
    _refuse("J", array, diagonal & (array != 0), "the diagonal must be zero")
    turned = array.swapaxes(-1, -2)
    if not np.array_equal(array, turned):
        at = tuple(int(i) for i in np.argwhere(array != turned)[0])
        raise ValueError(
            f"J[{', '.join(map(str, at))}] is {array[at]}, but must equal the entry across the "
            f"diagonal, {turned[at]}"
        )
    return array


def _sweeps(method: Method, num_sweeps: Any) -> int:
    if num_sweeps is None:
        return DEFAULT_NUM_SWEEPS[method]
    if method == "descent":
        raise ValueError(f"num_sweeps is {num_sweeps!r}, but a descent takes none")
    return checked_count("num_sweeps", num_sweeps, 0)


def _starts(initial: Any, vartype: str, shape: tuple[int, int, int], seed: int) -> States:
    """Spins ``(B, R, n)``."""
    problems, reads, n = shape
    if initial is None:
        # Read by read, so that one does not depend on the number of reads.
        bits = np.random.default_rng(seed).integers(0, 2, (reads, problems, n), np.int8)
        return np.ascontiguousarray((2 * bits - 1).swapaxes(0, 1))
    array = _floats("initial_states", initial, (2, 3))
    if array.shape not in ((problems, n), shape):
        raise ValueError(
            f"initial_states has shape {array.shape}, but must be {(problems, n)} or {shape}"
        )
    low = -1 if vartype == "SPIN" else 0
    rule = f"must be {low} or 1"
    _refuse("initial_states", array, (array != low) & (array != 1), rule)
    if array.ndim == 2:
        array = array[:, None, :]
    states = np.where(array == 1, 1, -1).astype(np.int8)
    return np.ascontiguousarray(np.broadcast_to(states, shape))


def _betas(
    method: Method, beta_range: Any, sweeps: int, J: Floats, h: Floats
) -> tuple[list[float], Floats]:
    """Inverse temperatures of the sweeps, and each problem's factor to them."""
    ones = np.ones(len(h))
    if method != "sa":
        if not (isinstance(beta_range, str) and beta_range == "auto"):
            raise ValueError(f"beta_range is {beta_range!r}, but goes with method='sa' alone")
        return [], ones
    if isinstance(beta_range, str):
        checked_choice("beta_range", beta_range, ("auto",))
        (first, last), factors = _auto_range(J, h)
    else:
        try:
            first, last = (float(end) for end in beta_range)
        except (TypeError, ValueError):
            raise ValueError(
                f"beta_range is {beta_range!r}, but must be 'auto' or two numbers"
            ) from None
        if not (0 < first < np.inf and 0 < last < np.inf):
            raise ValueError(f"beta_range is {beta_range!r}, but must be positive and finite")
        factors = ones
    return (schedule.geometric(first, last, sweeps) if sweeps else []), factors


def _auto_range(J: Floats, h: Floats) -> tuple[tuple[float, float], Floats]:
    """One range, and each problem's factor to it."""
    if h.size == 0:
        return schedule.ARBITRARY, np.ones(len(h))
    # Energy differences (B,), in units whose squares do not overflow.
    unit = np.maximum(np.abs(h).max(axis=1), np.abs(J).max(axis=(-2, -1)))
    biased = np.flatnonzero(unit)
    if len(biased) == 0:
        return schedule.ARBITRARY, np.ones(len(h))
    unit[unit == 0] = 1.0
    scaled = J / unit[:, None, None] if J.ndim == 3 else J / np.abs(J).max(initial=1e-300)
    ratio = 1.0 if J.ndim == 3 else (np.abs(J).max() / unit)[:, None]
    squares = (h / unit[:, None]) ** 2 + (scaled**2).sum(axis=-1) * np.square(ratio)
    typical = 2 * unit * np.sqrt(squares).mean(axis=-1)
    if J.ndim == 2:
        typical[:] = np.median(typical[biased])
    chosen = biased[
        np.unique(np.linspace(0, len(biased) - 1, min(SCOUTS, len(biased))).astype(int))
    ]
    rows, columns = np.triu_indices(h.shape[1], 1)
    ranges = []
    for b in chosen:
        matrix = J if J.ndim == 2 else J[b]
        problem = Problem.from_vectors(h[b], (rows, columns), matrix[rows, columns], "dense")
        ranges.append(np.array(schedule.auto_beta_range(problem)) * typical[b])
    first, last = np.median(ranges, axis=0)
    return (float(first), float(last)), 1 / np.where(typical > 0, typical, 1.0)


# ---- solving -----------------------------------------------------------------------------------

Part = tuple[States, npt.NDArray[np.uint8], str, BaseException | None]


def _solve(
    J: Floats, h: Floats, starts: States, factors: Floats, *, method: Method, **options: Any
) -> Part:
    """Some problems of a batch, here; picklable, for workers."""
    states, done, reason, error = _core.solve_batch(
        J, h, starts, method=_core.BatchMethod[method], beta_factors=factors.tolist(), **options
    )
    return states, done, reason.name, error


def _solve_apart(
    executor: Executor,
    J: Floats,
    h: Floats,
    starts: States,
    factors: Floats,
    options: dict[str, Any],
) -> list[Part]:
    """The batch in chunks, by the workers of an executor."""
    workers = getattr(executor, "_max_workers", None) or os.cpu_count() or 1
    size = -(-len(h) // (CHUNKS_PER_WORKER * workers))

    def call(first: int) -> tuple[Callable[..., Part], tuple[Any, ...], dict[str, Any]]:
        part = slice(first, first + size)
        matrices = J if J.ndim == 2 else J[part]
        arrays = (matrices, h[part], starts[part], factors[part])
        return _solve, arrays, {"number": first, **options}

    def submitted(first: int) -> Future[Part]:
        function, arrays, keywords = call(first)
        return executor.submit(function, *arrays, **keywords)

    futures = {first: submitted(first) for first in range(0, len(h), size)}
    try:
        return [_outcome(future, submitted, call, first) for first, future in futures.items()]
    except BaseException:
        for future in futures.values():
            future.cancel()
        raise


def _outcome(
    future: Future[Part],
    submitted: Callable[[int], Future[Part]],
    call: Callable[[int], tuple[Callable[..., Part], tuple[Any, ...], dict[str, Any]]],
    first: int,
) -> Part:
    """What a chunk came to; given out again if its worker was lost."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return future.result()
        except (TypeError, ValueError):
            raise  # the problem's fault, not the worker's
        except BrokenExecutor as error:
            warnings.warn(
                f"the executor has lost its workers ({error!r}): problems from {first} on are "
                "solved in this process",
                stacklevel=5,
            )
            break
        except Exception:
            if attempt == ATTEMPTS:
                raise
            future = submitted(first)
    function, arrays, keywords = call(first)
    return function(*arrays, **keywords)


def _result(J: Floats, h: Floats, spins: States, vartype: str) -> BatchResult:
    """With energies in float64."""
    states = spins if vartype == "SPIN" else ((spins + 1) // 2).astype(np.int8)
    x = states.astype(np.float64)  # (B, R, n)
    # Problems that share J in one product: (B R, n) @ (n, n). Else (B, R, n) @ (B, n, n).
    products = np.tensordot(x, J, 1) if J.ndim == 2 else x @ J
    fields = 0.5 * products + h[:, None, :]
    return BatchResult(states, (x * fields).sum(axis=-1), {}, vartype)
