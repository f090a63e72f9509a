"""Many quadratic binary problems of one size in one call."""

import os
import time
import warnings
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from concurrent.futures import BrokenExecutor, Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Literal

import dimod
import numpy as np
import numpy.typing as npt

from qpsbgd import _core
from qpsbgd._checks import (
    SEED_LIMIT,
    BetaRange,
    check_model,
    checked_choice,
    checked_count,
    checked_geometric_range,
    checked_keep,
    checked_seed,
    checked_threads,
    checked_time_limit,
    described,
    real_array,
    resolved_keep,
)
from qpsbgd.samplers import schedule
from qpsbgd.samplers.couplings import (
    Couplings,
    Factor,
    Floats,
    Form,
    Matrices,
    Pattern,
    States,
    checked_couplings,
    floats,
    refuse,
    typed_couplings,
)
from qpsbgd.samplers.model_groups import ModelGroup, grouped

Method = Literal["sa", "tabu", "descent"]
Precision = Literal["float32", "float64"]

DEFAULT_NUM_SWEEPS = {"sa": 1000, "tabu": 20, "descent": 0}
#: Largest number of problems whose local minima decide on a batch's temperatures ...
MAX_SCOUTS = 16
#: ... which together have about so many spins; but at least so many problems.
SCOUTED_SPINS = 4096
MIN_SCOUTS = 4
#: Sweeps at zero temperature that take a random state close to a local minimum of low rank ...
SCOUT_SWEEPS = 40
#: ... and flips after them that may correct what float32 has rounded.
POLISHING = 100
#: The least positive double, and the ends that a range of inverse temperatures may have.
SMALLEST = float(np.finfo(np.float64).smallest_subnormal)
BETA_LIMITS = float(np.finfo(np.float64).tiny), float(np.finfo(np.float64).max) / 4
#: A problem whose typical field is more times that of those with which it shares J, or less, has
#: units of its own.
UNIT_RATIO = 2.0**400
#: Time limit of a call whose time is over, which must be positive.
LEAST_SECONDS = 1e-9
#: Chunks for each worker of an executor: an uneven end costs little then.
CHUNKS_PER_WORKER = 4
#: Times that a chunk is given out if its worker is lost.
ATTEMPTS = 3
#: Sixteen problems are annealed interleaved up to so many variables, and fewer times reads.
#: Measured, as the two that follow: docs/batch.md.
INTERLEAVED_VARIABLES = 256
INTERLEAVED_SPINS = 2048
#: Couplings of low rank are kept as their factor up to the rank n^2 / 2048, and n / 3.
LOW_RANK_AREA = 2048
LOW_RANK_PART = 3


@dataclass(frozen=True)
class BatchResult:
    """What :func:`sample_batch` found.

    Attributes:
        states: int8 ``(B, R, n)``, of -1 and +1, or 0 and 1.
        energies: float64 ``(B, R)``.
        info: ``method``, ``isa``, ``num_threads``, ``seed``, ``num_sweeps``, ``beta_range`` (of
            annealing, ``(B, 2)``), ``keep`` (of annealing), ``num_begun`` (problems that were
            begun; others have their initial states), ``form``, ``precision`` (``"float64"``, or
            ``"float32"``, which includes narrow integers where all biases fit) and ``stopped_by``
            (``"finished"``,
            ``"time_limit"`` or ``"interrupt"``).
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
    beta_range: BetaRange | None = "auto",
    keep: Literal["best", "final"] | None = None,
    initial_states: Any = None,
    seed: int | None = None,
    form: Literal["auto"] | Form = "auto",
    precision: Precision | None = None,
    num_threads: int | None = None,
    time_limit: float | None = None,
    executor: Executor | None = None,
) -> BatchResult:
    """Sample from many problems ``h.s + (1/2) s^T J s`` of one size.

    Args:
        J: couplings, symmetric with a zero diagonal: ``(n, n)``, shared by all problems, or ``(B,
            n, n)``, NumPy arrays or torch tensors on the CPU, not copied if they are contiguous
            and float64 or float32; :class:`LowRank`, shared; a matrix of ``scipy.sparse``, shared;
            or :class:`SparseBatch`, whose problems share what is not zero.
        h: fields ``(B, n)``.
        vartype: ``"SPIN"`` for variables -1 and +1, ``"BINARY"`` for 0 and 1.
        num_reads: reads of each problem, R.
        num_sweeps: of an anneal, default 1000; a tabu search makes ``n`` moves for each, default
            20. A descent goes on to a local minimum and takes none.
        method: ``"sa"`` simulated annealing, ``"tabu"`` one tabu search a read, ``"descent"``
            steepest descent.
        beta_range: inverse temperatures ``(first, last)`` of annealing, > 0, between which they
            change geometrically. ``"auto"`` or ``None`` takes them from local minima of up to 16
            problems by the rule of :func:`~qpsbgd.samplers.schedule.temperatures_of_barriers`,
            ``"dwave"`` from the biases of up to 16 by the rule of dwave-samplers. Problems that
            share J get one
            range. Others get one in units of each problem's typical field.
        keep: what a read of annealing returns: ``"best"`` the best state that it had at its start
            or after a sweep, ``"final"`` the last. ``None`` is ``"final"`` where ``beta_range``
            names one temperature, as ``(b, b)`` does: these states are samples of a Boltzmann
            distribution, and the best would be colder. Otherwise it is ``"best"``.
        initial_states: ``(B, n)`` or ``(B, R, n)``; drawn at random if ``None``.
        seed: integer in ``[0, 2**31)``; drawn anew if ``None``.
        form: how couplings are kept. ``"dense"``: as matrices. ``"interleaved"``: sixteen problems'
            matrices entry by entry, for annealing small problems that each have their own.
            ``"low_rank"``: by their factor, for annealing; a flip and a field take O(N) instead of
            O(n). ``"sparse"``: as lists of neighbours. ``"auto"`` for what is expected to be
            fastest; told in ``info``. Dense and interleaved forms give the same samples
            in one precision.
        precision: ``"float32"`` or ``"float64"``: what local fields are kept as, narrow integers
            included where all biases fit. ``"float64"`` goes with the dense and the sparse form.
            ``None`` for ``"float64"`` where float32 would round away what tells states of a
            problem apart (docs/precision.md has the rule); one for all problems.
        num_threads: at most this many, in each worker of an executor too; ``None`` for as many as
            OpenMP would use.
        time_limit: seconds, > 0, for the solving; of each chunk with an executor. ``None`` for no
            limit. Problems that were begun go on to a local minimum, but not samples of one
            temperature.
        executor: any ``concurrent.futures.Executor``, such as that of Dask's or MPI's pools. The
            batch is split into chunks; one whose worker is lost is given out again. The result is
            the same to the bit as without.

    Returns:
        States and energies. They do not depend on threads, instruction set, or how the batch is
        split, but for the last digits of energies of other couplings than arrays.

    Raises:
        TypeError: an argument of the wrong type.
        ValueError: a shape that does not fit, a value out of range, an entry that is NaN, infinite,
            not symmetric or on the diagonal; a ``form`` that the couplings or the method do not
            have.
        KeyboardInterrupt: at Ctrl-C; without an executor its attribute ``result`` is what would
            have been returned.

    Example:
        >>> J = np.array([[0.0, 1.0], [1.0, 0.0]])
        >>> result = sample_batch(J, [[0.5, 0.0], [0.0, -0.5]], num_sweeps=100, seed=1)
        >>> result.energies
        array([[-1.5],
               [-1.5]])
    """
    J, h = typed_couplings(J), real_array("h", h)
    if initial_states is not None:
        initial_states = real_array("initial_states", initial_states)
    checked_choice("vartype", vartype, ("SPIN", "BINARY"))
    checked_choice("method", method, tuple(DEFAULT_NUM_SWEEPS))
    if checked_keep(keep) == "final" and method != "sa":
        raise ValueError(f"keep is {keep!r}, but goes with method='sa' alone")
    ends = checked_geometric_range(beta_range)
    if method != "sa" and ends != "auto":
        raise ValueError(f"beta_range is {beta_range!r}, but goes with method='sa' alone")
    linear = floats("h", h, 2)
    if len(linear) == 0:
        raise ValueError(f"h has shape {linear.shape}, but must have at least one problem")
    threads = checked_threads(num_threads)
    couplings = checked_couplings(J, linear.shape, threads)
    reads = checked_count("num_reads", num_reads, 1)
    sweeps = _sweeps(method, num_sweeps)
    seed = checked_seed(seed)
    limit = checked_time_limit(time_limit)
    if executor is not None and not isinstance(executor, Executor):
        raise TypeError(
            f"executor is a {type(executor).__name__}, but must be a concurrent.futures.Executor"
        )
    couplings, form, precision = _formed(couplings, form, precision, method, linear, reads, threads)
    starts = _starts(initial_states, vartype, (len(linear), reads, linear.shape[1]), seed)
    spin_J, spin_h = couplings, linear
    if vartype == "BINARY":  # x = (1 + s) / 2
        with np.errstate(over="ignore", invalid="ignore"):
            spin_J, spin_h = couplings.halved_spins(linear)
        refuse("h of the spins", spin_h, ~np.isfinite(spin_h), "must be finite")
    wide = precision == "float64"
    betas, factors = _betas(method, ends, sweeps, spin_J, spin_h, form, wide, threads)
    kept = resolved_keep(keep, betas, is_found=isinstance(ends, str))
    n = linear.shape[1]
    options = {
        "method": method, "form": form, "wide": wide, "betas": betas, "keep_best": kept == "best",
        "moves": sweeps * n,
        "tenure": min(20, n // 4), "seed": seed, "num_threads": threads, "time_limit": limit,
    }  # fmt: skip
    if executor is None:
        parts = [_solve(spin_J, spin_h, starts, factors, number=0, **options)]
    else:
        parts = _solve_apart(executor, spin_J, spin_h, starts, factors, options)
    spins, spin_energies, done, reasons, errors = zip(*parts, strict=True)
    states = spins[0] if len(spins) == 1 else np.concatenate(spins)
    if vartype == "BINARY":
        states = ((states + 1) // 2).astype(np.int8)
    if vartype == "SPIN" and spin_energies[0] is not None:
        energies = np.concatenate(spin_energies)
    else:
        energies = couplings.energies(linear, states, threads)
    result = BatchResult(states, energies, {}, vartype)
    stopped = [reason for reason in reasons if reason != "finished"]
    result.info.update(
        method=method, form=form, precision=precision, isa=_core.isa(), num_threads=threads,
        seed=seed, num_sweeps=sweeps, num_begun=int(np.concatenate(done).sum()),
        stopped_by=stopped[0] if stopped else "finished",
    )  # fmt: skip
    if method == "sa":
        result.info["keep"] = kept
    if betas:
        with np.errstate(over="ignore"):  # then infinite: nothing but descent
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
    beta_range: BetaRange | None = "auto",
    keep: Literal["best", "final"] | None = None,
    seed: int | None = None,
    num_threads: int | None = None,
    time_limit: float | None = None,
    executor: Executor | None = None,
) -> list[dimod.SampleSet]:
    """Samples of many dimod models, in as few calls of :func:`sample_batch` as their forms allow.

    Models of one size go together, as matrices, if lists of neighbours would not be faster. Sparse
    models of more than 64 variables are never made matrices: they go together where they have the
    same pairs of variables, in the order of their variables, and each alone otherwise.

    What other models change: the rules of ``beta_range`` find temperatures for a group, in units of
    each model's typical energy difference, and a model's random numbers are those of its number in
    its group. Two numbers for ``beta_range`` leave the random numbers alone.

    Args:
        bqms: models of any vartype, size and labels.
        method: as in :func:`sample_batch`.
        num_reads: of each model.
        num_sweeps: of an anneal or a tabu search.
        beta_range: of annealing, as in :func:`sample_batch`.
        keep: what a read of annealing returns, as in :func:`sample_batch`.
        seed: integer in ``[0, 2**31)``; drawn anew if ``None``. The first group of each size takes
            it, further groups of the same size take seeds drawn from it.
        num_threads: at most this many.
        time_limit: seconds, > 0, for the call. Each group gets the part of the time that is left
            which its number of models is of those that are left. With an executor, the limit of
            each chunk. ``None`` for no limit.
        executor: whose workers solve them.

    Returns:
        A sample set for each model, in its vartype and with its labels. Energies are those of the
        model in float64. ``info`` is that of its call of :func:`sample_batch`.

    Raises:
        TypeError: one of ``bqms`` is no model, or an argument is of the wrong type.
        ValueError: a NaN or infinite bias, or a value out of range.
    """
    models = _checked_models(bqms)
    checked_choice("method", method, tuple(DEFAULT_NUM_SWEEPS))
    seed = checked_seed(seed)
    limit = checked_time_limit(time_limit)
    start = time.monotonic()
    options: dict[str, Any] = {
        "method": method, "num_reads": num_reads, "num_sweeps": num_sweeps,
        "beta_range": beta_range, "keep": keep, "num_threads": num_threads, "executor": executor,
    }  # fmt: skip
    results: dict[int, dimod.SampleSet] = {}
    groups_by_size: dict[int, int] = {}

    def solve(group: ModelGroup, seed: int, seconds: float) -> None:
        found = sample_batch(
            group.J, group.h, seed=seed, time_limit=None if np.isinf(seconds) else seconds,
            **options,
        )  # fmt: skip
        for place, variables, states in zip(
            group.places, group.variables, found.states, strict=True
        ):
            results[place] = _sampleset(models[place], variables, states, found.info)

    def seeded() -> Iterator[tuple[ModelGroup, int]]:
        for group in grouped(models):
            number = groups_by_size.get(group.h.shape[1], 0)
            groups_by_size[group.h.shape[1]] = number + 1
            drawn = np.random.SeedSequence([seed, number]).generate_state(1)[0] % SEED_LIMIT
            yield group, int(drawn) if number else seed

    if executor is None:
        for group, own_seed in seeded():
            left = max(limit - (time.monotonic() - start), LEAST_SECONDS)
            solve(group, own_seed, left * len(group.h) / (len(models) - len(results)))
    else:
        # Threads wait for small groups, so that those occupy all workers together.
        workers = _num_workers(executor)
        with ThreadPoolExecutor(workers) as waiting:
            small = []
            for group, own_seed in seeded():
                if len(group.h) < workers:
                    small.append(waiting.submit(solve, group, own_seed, limit))
                else:
                    solve(group, own_seed, limit)
            for future in small:
                future.result()
    return [results[place] for place in range(len(models))]


def _checked_models(bqms: Any) -> list[dimod.BinaryQuadraticModel]:
    is_one = isinstance(bqms, (str, Mapping, dimod.BinaryQuadraticModel))
    if is_one or isinstance(bqms, type) or not isinstance(bqms, Iterable):
        raise TypeError(
            f"bqms is {described(bqms)}, but must be an iterable of dimod.BinaryQuadraticModel"
        )
    models = list(bqms)
    for place, bqm in enumerate(models):
        check_model(f"bqms[{place}]", bqm)
    return models


def _sampleset(
    bqm: dimod.BinaryQuadraticModel, variables: list[Hashable], spins: States, info: dict[str, Any]
) -> dimod.SampleSet:
    """Samples of a model from spins ``(R, n)``."""
    states = spins if bqm.vartype is dimod.SPIN else (spins + 1) // 2
    return dimod.SampleSet.from_samples(
        (states, variables),
        energy=np.asarray(bqm.energies((states, variables)), np.float64),
        info=dict(info),
        vartype=bqm.vartype,
    )


# ---- arguments ---------------------------------------------------------------------------------


def _formed(
    couplings: Couplings,
    form: Any,
    precision: Any,
    method: Method,
    h: Floats,
    reads: int,
    num_threads: int,
) -> tuple[Couplings, Form, Precision]:
    """The couplings in the form that is asked for, or best, which that is, and the precision."""
    checked_choice("form", form, ("auto", "dense", "interleaved", "low_rank", "sparse"))
    if precision is not None:
        checked_choice("precision", precision, ("float32", "float64"))
        if precision == "float64" and form in ("interleaved", "low_rank"):
            raise ValueError(
                f"precision is 'float64', but form is {form!r}, which has float32 alone: leave out "
                "one of them"
            )
    n = h.shape[1]
    if isinstance(couplings, Factor):
        misfit = (
            couplings.misfit(h) if method == "sa" else f"method is {method!r}, but must be 'sa'"
        )
        if form == "low_rank" and misfit is not None:
            raise ValueError(f"form is 'low_rank': {misfit}")
        # By the problem alone: a batch's size must not matter, and forms round differently.
        rank = len(couplings.A)
        fast = LOW_RANK_AREA * rank <= n * n and LOW_RANK_PART * rank <= n
        if form == "low_rank":
            return couplings, "low_rank", "float32"
        if form == "auto" and misfit is None and fast and precision != "float64":
            if precision == "float32" or not _needs_float64(couplings, h, num_threads):
                return couplings, "low_rank", "float32"
            precision = "float64"
        couplings = couplings.formed()
    # First the form, so that a matrix is examined alike however it is given.
    if isinstance(couplings, Matrices) and (
        form == "sparse" or (form == "auto" and couplings.shared and _is_sparse(couplings.J))
    ):
        couplings = couplings.pattern()
    elif isinstance(couplings, Pattern) and form not in ("auto", "sparse"):
        couplings = couplings.formed(n)
    if precision is None:
        wide = form not in ("interleaved", "low_rank") and _needs_float64(couplings, h, num_threads)
        precision = "float64" if wide else "float32"
    if isinstance(couplings, Pattern):
        return couplings, "sparse", precision
    assert isinstance(couplings, Matrices)
    if form == "low_rank":
        raise ValueError("form is 'low_rank', but J is no LowRank")
    possible = method == "sa" and not couplings.shared
    if form == "interleaved" and not possible:
        raise ValueError(
            "form is 'interleaved', but that is for method='sa' and a J of each problem's own"
        )
    fast = n <= INTERLEAVED_VARIABLES and reads * n < INTERLEAVED_SPINS and precision == "float32"
    if form == "interleaved" or (form == "auto" and possible and fast):
        return couplings, "interleaved", precision
    return couplings, "dense", precision


def _needs_float64(couplings: Couplings, h: Floats, num_threads: int) -> bool:
    """Whether float32 would round away what tells states of a problem apart."""
    return _core.batch_needs_float64(couplings.core(), h, num_threads=num_threads)


def _is_sparse(J: npt.NDArray[Any]) -> bool:
    """Whether lists of neighbours are expected to be faster, by the samplers' rule."""
    return _core.better_form(len(J), np.count_nonzero(J) // 2) is _core.Form.sparse


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
    array = floats("initial_states", initial, (2, 3))
    if array.shape not in ((problems, n), shape):
        raise ValueError(
            f"initial_states has shape {array.shape}, but must be {(problems, n)} or {shape}"
        )
    low = -1 if vartype == "SPIN" else 0
    rule = f"must be {low} or 1"
    refuse("initial_states", array, (array != low) & (array != 1), rule)
    if array.ndim == 2:
        array = array[:, None, :]
    states = np.where(array == 1, 1, -1).astype(np.int8)
    return np.ascontiguousarray(np.broadcast_to(states, shape))


def _betas(
    method: Method,
    ends: BetaRange,
    sweeps: int,
    J: Couplings,
    h: Floats,
    form: Form,
    wide: bool,
    num_threads: int,
) -> tuple[list[float], Floats]:
    """Inverse temperatures of the sweeps, and each problem's factor to them."""
    factors = np.ones(len(h))
    if method != "sa":
        return [], factors
    if isinstance(ends, str) and ends == "auto":
        temperatures, factors = auto_temperatures(J, h, form, wide, num_threads)
        return schedule.cooling(temperatures, sweeps).tolist(), factors
    if isinstance(ends, str):
        ends, factors = dwave_range(J, h, num_threads)
    return (schedule.geometric(*ends, sweeps) if sweeps else []), factors


def auto_temperatures(
    J: Couplings, h: Floats, form: Form, wide: bool, num_threads: int
) -> tuple[schedule.Temperatures, Floats]:
    """Return temperatures of some problems, and the factor of each problem to them.

    The rule is that of :func:`~qpsbgd.samplers.schedule.temperatures_of_barriers`. It is applied to
    the minima of up to ``MAX_SCOUTS`` problems together.

    Temperatures are in units of each problem's typical field, ``mean_i sqrt(h_i^2 + sum_j
    J_ij^2)``, if each has its own J. Problems that share J have one range, in units of their
    largest field.
    """
    n = h.shape[1]
    arbitrary = schedule.Temperatures(*schedule.ARBITRARY, schedule.ARBITRARY[1])
    if h.size == 0:
        return arbitrary, np.ones(len(h))
    if J.shared:
        biased = np.full(len(h), True) if J.any() else h.any(axis=1)
    else:
        largest, units = J.magnitudes(h, num_threads)
        biased = largest > 0
    scouts = spread(np.flatnonzero(biased), n)
    if len(scouts) == 0:
        return arbitrary, np.ones(len(h))
    couplings = J.part(scouts)
    fields = np.ascontiguousarray(h[scouts])
    reads = min(max(SCOUTED_SPINS // (n * len(scouts)), 1), schedule.MAX_SCOUTS)
    starts = np.random.default_rng(0).choice(np.array([-1, 1], np.int8), (len(scouts), reads, n))
    minima = _minima(couplings, fields, starts, form, wide, num_threads)
    reach = couplings.reach(fields)  # (scouts, n)
    if J.shared:
        units = np.full(len(h), reach.max())
    # The mean of subnormal numbers may be 0. A problem without biases may have any unit.
    units = np.where(units > 0, units, np.where(biased, np.finfo(np.float64).smallest_subnormal, 1))
    own = units[scouts, None, None]
    # Divided first: the doubled field could overflow.
    barriers = 2.0 * (np.abs(couplings.fields(fields, minima, num_threads)) / own)
    temperatures = schedule.temperatures_of_barriers(barriers, 2.0 * (reach[:, None, :] / own))
    # The inverse of a subnormal number may be infinite, but temperatures must not.
    return temperatures, 1.0 / np.maximum(units, temperatures.cold / schedule.LARGEST)


def _minima(
    J: Couplings, h: Floats, starts: States, form: Form, wide: bool, num_threads: int
) -> States:
    """Return local minima ``(B, R, n)``, in float64 but for ``POLISHING`` flips a state at most."""
    options: dict[str, Any] = {
        "wide": wide, "number": 0, "keep_best": False, "moves": 0, "tenure": 0, "seed": 0,
        "num_threads": num_threads, "time_limit": np.inf,
    }  # fmt: skip
    ones = np.ones(len(h))
    if form != "low_rank":
        kept: Form = "sparse" if form == "sparse" else "dense"
        return _solve_all(J, h, starts, ones, method="descent", form=kept, betas=[], **options)
    # No descent takes factors: sweeps at zero temperature in float32, then single flips.
    betas = [np.inf] * SCOUT_SWEEPS
    states = _solve_all(J, h, starts, ones, method="sa", form=form, betas=betas, **options)
    least = schedule.ROUNDING * J.reach(h)[:, None, :]
    rest = np.arange(len(h))  # problems with a state that may be no minimum
    for _ in range(POLISHING):
        gains = states[rest] * J.fields(h[rest], states[rest], num_threads)  # (rest, R, n)
        gains[gains <= least[rest]] = 0.0
        flips = np.nonzero(gains.any(axis=-1))
        if not len(flips[0]):
            break
        states[rest[flips[0]], flips[1], gains[flips].argmax(axis=-1)] *= -1
        rest = rest[np.unique(flips[0])]
    return states


def _solve_all(*arrays: Any, **options: Any) -> States:
    """Return the states of :func:`_solve`, or raise what has interrupted it."""
    states, _, _, _, error = _solve(*arrays, **options)
    if error is not None:
        raise error
    return states


def _typical_fields(J: Couplings, h: Floats, num_threads: int) -> Floats:
    """Each problem's mean of sqrt(h_i^2 + sum_j J_ij^2), ``(B,)``; 0 where all biases are 0."""
    largest, typical = J.magnitudes(h, num_threads)
    # float64 rounds a mean of subnormal numbers to 0.
    fields: Floats = np.where(largest > 0, np.maximum(typical, SMALLEST), 0.0)
    return fields


def dwave_range(J: Couplings, h: Floats, num_threads: int) -> tuple[tuple[float, float], Floats]:
    """Return one range by dwave-samplers' rule, from some problems, and each problem's factor."""
    if h.size == 0:
        return schedule.ARBITRARY, np.ones(len(h))
    if J.shared:
        # One range for all, from some problems that have a bias.
        scouts = spread(np.arange(len(h)) if J.any() else np.flatnonzero(h.any(axis=1)), h.shape[1])
        own = _typical_fields(J, np.ascontiguousarray(h[scouts]), num_threads)
        scouts, own = scouts[own > 0], own[own > 0]
        # Halves, as a median of two adds them; that of the least double is 0.
        middle = max(2.0 * np.median(own / 2), SMALLEST) if len(own) else 0.0
        typical = np.full(len(h), middle)
    else:
        typical = _typical_fields(J, h, num_threads)
        scouts = spread(np.flatnonzero(typical), h.shape[1])
        own = typical[scouts]
    if len(scouts) == 0:
        return schedule.ARBITRARY, np.ones(len(h))
    # In units of the problems' typical field: a difference of the largest that there are, or its
    # inverse of the least, is more than a double holds. A problem of another magnitude than those
    # with which it shares J gets units of its own, in which its differences do not underflow.
    units = typical[scouts]
    with np.errstate(over="ignore", under="ignore"):
        ratios = own / units
        units = np.where((ratios > 1 / UNIT_RATIO) & (ratios < UNIT_RATIO), units, own)
        factors = typical[scouts] / units
    couplings, fields = J.part(scouts), np.ascontiguousarray(h[scouts])
    with np.errstate(over="ignore", under="ignore", divide="ignore"):
        ranges = np.array(_dwave_ranges(couplings, fields, units))
        ranges = np.clip(ranges * factors[:, None], *BETA_LIMITS)
        first, last = np.median(ranges, axis=0)
        # Infinite where a double holds no inverse: nothing but descent.
        return (float(first), float(last)), 1 / np.where(typical > 0, typical, 1.0)


def _dwave_ranges(J: Couplings, h: Floats, units: Floats) -> list[tuple[float, float]]:
    """Ranges of problems in their units, by schedule.dwave_beta_range."""
    matrices = J.formed() if isinstance(J, Factor) else J
    pairs = matrices.pattern() if isinstance(matrices, Matrices) else matrices
    assert isinstance(pairs, Pattern)
    values = np.broadcast_to(pairs.values, (len(h), len(pairs.rows)))
    ranges = []
    for linear, couplings, unit in zip(h, values, units, strict=True):
        biases: Any = SimpleNamespace(
            linear=linear / unit, pairs=(pairs.rows, pairs.columns), quadratic=couplings / unit
        )
        ranges.append(schedule.dwave_beta_range(biases))
    return ranges


def spread(problems: npt.NDArray[np.intp], n: int) -> npt.NDArray[np.intp]:
    """Return ``MIN_SCOUTS`` to ``MAX_SCOUTS`` problems of n variables, evenly spread."""
    count = min(max(SCOUTED_SPINS // n, MIN_SCOUTS), MAX_SCOUTS, len(problems))
    chosen = np.unique(np.linspace(0, len(problems) - 1, count).astype(np.intp))
    spread: npt.NDArray[np.intp] = problems[chosen]
    return spread


# ---- solving -----------------------------------------------------------------------------------

Part = tuple[States, Floats | None, npt.NDArray[np.uint8], str, BaseException | None]


def _solve(
    J: Couplings,
    h: Floats,
    starts: States,
    factors: Floats,
    *,
    method: Method,
    form: Form,
    **options: Any,
) -> Part:
    """Some problems of a batch, here; picklable, for workers."""
    states, energies, done, reason, error = _core.solve_batch(
        J.core(), h, starts, method=_core.BatchMethod[method],
        form=_core.BatchForm["dense" if form == "sparse" else form],
        beta_factors=factors.tolist(), **options,
    )  # fmt: skip
    return states, energies, done, reason.name, error


def _solve_apart(
    executor: Executor,
    J: Couplings,
    h: Floats,
    starts: States,
    factors: Floats,
    options: dict[str, Any],
) -> list[Part]:
    """The batch in chunks, by the workers of an executor."""
    size = -(-len(h) // (CHUNKS_PER_WORKER * _num_workers(executor)))

    def call(first: int) -> tuple[Callable[..., Part], tuple[Any, ...], dict[str, Any]]:
        part = slice(first, first + size)
        arrays = (J.part(part), h[part], starts[part], factors[part])
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


def _num_workers(executor: Executor) -> int:
    return getattr(executor, "_max_workers", None) or os.cpu_count() or 1


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
