"""Batches of problems that are given as arrays."""

from concurrent.futures import Executor
from dataclasses import dataclass, replace
from typing import Any, Literal

import dimod
import numpy as np

from qpsbgd import _core
from qpsbgd._checks.beta_ranges import BetaRange
from qpsbgd._checks.binary_models import checked_vartype
from qpsbgd._checks.choices import Keep
from qpsbgd._checks.real_arrays import real_array, refuse_entries
from qpsbgd.samplers import schedule
from qpsbgd.samplers.batch.arguments import (
    RunArguments,
    check_executor,
    checked_couplings,
    checked_fields,
    initial_spins,
    real_couplings,
)
from qpsbgd.samplers.batch.batch_options import Acceptance, BatchOptions, Form, Method, Precision
from qpsbgd.samplers.batch.batch_temperatures import auto_temperatures, dwave_range
from qpsbgd.samplers.batch.chunks import Chunk, ChunkResult, solve_chunk
from qpsbgd.samplers.batch.couplings import Couplings, Floats, States
from qpsbgd.samplers.batch.executors import solve_with_executor
from qpsbgd.samplers.batch.forms import choose_form


@dataclass(frozen=True)
class BatchResult:
    """The states that :func:`sample_batch` found.

    Attributes:
        states: int8 ``(B, R, n)`` of -1 and +1, or 0 and 1.
        energies: float64 ``(B, R)``.
        info: ``method``, ``form``, ``precision`` (``"float64"``, or ``"float32"``, which includes
            small integers if all biases fit), ``isa``, ``num_threads``, ``seed``, ``num_sweeps``,
            ``num_begun`` (number of problems that were begun; the states of others are their
            initial ones) and ``stopped_by`` (``"finished"``, ``"time_limit"`` or
            ``"interrupt"``). Annealing adds ``keep`` and ``beta_range``, float64 ``(B, 2)``.
        vartype: ``"SPIN"`` or ``"BINARY"``.

    Example:
        >>> from qpsbgd import sample_batch
        >>> result = sample_batch([[0.5, 0.0]], [[0.0, 1.0], [1.0, 0.0]], seed=1)
        >>> result.states.shape, result.info["stopped_by"]
        ((1, 1, 2), 'finished')
    """

    states: States
    energies: Floats
    info: dict[str, Any]
    vartype: str

    def to_samplesets(self) -> list[dimod.SampleSet]:
        """Return a dimod sample set of each problem, over the variables 0, 1, ..., n - 1.

        Example:
            >>> from qpsbgd import sample_batch
            >>> result = sample_batch([[0.5, 0.0]], [[0.0, 1.0], [1.0, 0.0]], seed=1)
            >>> print(result.to_samplesets()[0].first.energy)
            -1.5
        """
        return [
            dimod.SampleSet.from_samples(states, energy=energies, vartype=self.vartype)
            for states, energies in zip(self.states, self.energies, strict=True)
        ]


def sample_batch(
    h: Any,
    J: Any,
    *,
    vartype: Literal["SPIN", "BINARY"] | dimod.Vartype = "SPIN",
    num_reads: int = 1,
    num_sweeps: int | None = None,
    method: Method = "sa",
    beta_range: BetaRange | None = "auto",
    keep: Keep | None = None,
    proposal_acceptance_criteria: Acceptance = "Metropolis",
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
        h: fields, real ``(B, n)``, or ``(n,)`` for all problems; with a shared J that is one.
        J: couplings with a zero diagonal, symmetric or all in one triangle: an array ``(n, n)``
            that all problems share, or an array ``(B, n, n)``; :class:`LowRank` or a matrix of
            ``scipy.sparse``, which all
            problems share; or :class:`SparseBatch`, whose problems share the pattern. Arrays are
            NumPy arrays or torch tensors on the CPU. They are not copied if they are contiguous and
            float64 or float32.
        vartype: ``"SPIN"`` or ``dimod.SPIN`` for variables -1 and +1, ``"BINARY"`` or
            ``dimod.BINARY`` for 0 and 1.
        num_reads: reads of each problem, R.
        num_sweeps: sweeps of a read. An anneal makes 1000 by default. A tabu search makes ``n``
            moves for each sweep, 20 sweeps by default. A descent goes on to a local minimum and
            takes no number of sweeps.
        method: ``"sa"`` for simulated annealing, ``"tabu"`` for one tabu search a read,
            ``"descent"`` for steepest descent.
        beta_range: inverse temperatures ``(first, last)`` of a geometric schedule of annealing,
            > 0. ``"auto"`` or ``None`` finds them from local minima of up to 16 problems
            (:func:`~qpsbgd.samplers.temperature_rules.temperatures_of_barriers`). ``"dwave"`` finds
            them from the biases of up to 16 problems by the rule of dwave-samplers. Problems that
            share J get one range. Other problems get ranges in units of their typical fields.
        keep: ``"best"`` returns the best of the states that a read of annealing had at its start
            and after each sweep; ``"final"`` returns the last one. ``None`` means ``"final"`` if
            ``beta_range`` names a single temperature, such as ``(b, b)``: these states are samples
            of a Boltzmann distribution, and the best states would be colder. Otherwise it means
            ``"best"``.
        proposal_acceptance_criteria: acceptance rule of annealing. At inverse temperature b a flip
            that raises the energy by d is made with the probability ``min(1, exp(-b d))`` for
            ``"Metropolis"``, and ``1 / (1 + exp(b d))`` for ``"Gibbs"``. Metropolis sweeps find low
            energies sooner. On some problems without linear biases, such as rings, they do not
            reach all states, so that samples of a single temperature need ``"Gibbs"``.
        initial_states: initial states, ``(B, n)`` or ``(B, R, n)``; drawn if ``None``.
        seed: integer in ``[0, 2**31)``; drawn if ``None``.
        form: form that stores the couplings. ``"dense"``: matrices. ``"interleaved"``: the matrices
            of sixteen problems entry by entry, for annealing small problems with a J each.
            ``"low_rank"``: the factor, for annealing; a flip and a field take O(N) instead of O(n)
            operations. ``"sparse"``: lists of neighbours. ``"auto"``: the form that is expected to
            be the fastest; ``info`` names it. The dense and the interleaved form give the same
            samples in one precision.
        precision: ``"float32"`` or ``"float64"``: type of the local fields. ``"float32"`` includes
            small integers if all biases fit. ``"float64"`` goes with the dense and the sparse form.
            ``None`` for ``"float64"`` if float32 would round away the differences between states of
            a problem (docs/precision.md states the rule). All problems have one precision.
        num_threads: largest number of threads, in each worker if there is an executor; ``None`` for
            the number of processors of this process.
        time_limit: seconds for the solving, > 0, or for each chunk if there is an executor;
            ``None`` for no limit. A problem that began goes on to a local minimum, unless it
            samples a single temperature.
        executor: a ``concurrent.futures.Executor``, such as that of a pool of Dask or MPI. The
            batch is split into chunks, and a chunk whose worker is lost is submitted again. The
            result is the same to the bit as without an executor.

    Returns:
        States and energies. They do not depend on the number of threads, the instruction set, or
        the way in which the batch is split, except for the last digits of the energies if J is not
        an array.

    Raises:
        TypeError: an argument of the wrong type.
        ValueError: a shape that does not fit; a value out of range; an entry that is NaN, infinite,
            on the diagonal, or neither symmetric nor in one triangle; or a ``form`` that the
            couplings or the method do not have.
        KeyboardInterrupt: Ctrl-C. Without an executor its attribute ``result`` is the result so
            far.

    Example:
        >>> import numpy as np
        >>> from qpsbgd import sample_batch
        >>> J = np.array([[0.0, 1.0], [1.0, 0.0]])
        >>> result = sample_batch([[0.5, 0.0], [0.0, -0.5]], J, num_sweeps=100, seed=1)
        >>> result.energies
        array([[-1.5],
               [-1.5]])
    """
    h, J = real_array("h", h), real_couplings(J)
    if initial_states is not None:
        initial_states = real_array("initial_states", initial_states)
    vartype = checked_vartype(vartype)
    run = RunArguments.checked(
        method=method, num_reads=num_reads, num_sweeps=num_sweeps, beta_range=beta_range,
        keep=keep, proposal_acceptance_criteria=proposal_acceptance_criteria, seed=seed,
        num_threads=num_threads, time_limit=time_limit,
    )  # fmt: skip
    check_executor(executor)
    h = checked_fields(h, J)
    problems, n = h.shape
    J = checked_couplings(J, h.shape, run.num_threads)
    J, form, precision = choose_form(
        h, J, method=run.method, num_reads=run.num_reads, num_threads=run.num_threads,
        form=form, precision=precision,
    )  # fmt: skip
    starts = initial_spins(initial_states, vartype, (problems, run.num_reads, n), run.seed)
    spin_h, spin_J = h, J
    if vartype is dimod.BINARY:  # x = (1 + s) / 2
        with np.errstate(over="ignore", invalid="ignore"):
            spin_h, spin_J = J.for_spins(h)
        refuse_entries("h of the spins", spin_h, ~np.isfinite(spin_h), "must be finite")
    options, factors = _batch_options(run, spin_h, spin_J, form, precision)
    batch = Chunk(spin_h, spin_J, starts, factors)
    if executor is None:
        results = [solve_chunk(batch, options)]
    else:
        results = solve_with_executor(executor, batch, options)
    return _joined(results, h, J, vartype, run, options, factors)


def _batch_options(
    run: RunArguments, h: Floats, J: Couplings, form: Form, precision: Precision
) -> tuple[BatchOptions, Floats]:
    """Return the options of the batch, and each problem's factor to the inverse temperatures."""
    options = BatchOptions(
        num_threads=run.num_threads,
        method=run.method,
        form=form,
        precision=precision,
        acceptance=run.acceptance,
        num_moves=run.num_sweeps * h.shape[1],
        tenure=min(20, h.shape[1] // 4),
        seed=run.seed,
        time_limit=run.time_limit,
    )
    betas: list[float] = []
    factors = np.ones(len(h))
    ends = run.beta_range
    if run.method == "sa" and ends == "auto":
        temperatures, factors = auto_temperatures(h, J, options)
        betas = schedule.cooling(temperatures, run.num_sweeps).tolist()
    elif run.method == "sa":
        if isinstance(ends, str):
            ends, factors = dwave_range(h, J, run.num_threads)
        betas = schedule.geometric(*ends, run.num_sweeps) if run.num_sweeps else []
    keep = schedule.resolve_keep(run.keep, betas, is_by_rule=isinstance(run.beta_range, str))
    return replace(options, betas=tuple(betas), keep_best=keep == "best"), factors


def _joined(
    results: list[ChunkResult],
    h: Floats,
    J: Couplings,
    vartype: dimod.Vartype,
    run: RunArguments,
    options: BatchOptions,
    factors: Floats,
) -> BatchResult:
    """Join the results of a batch's chunks; raise an error that ended one of them."""
    states = results[0].states  # without a copy if there is one chunk
    if len(results) > 1:
        states = np.concatenate([part.states for part in results])
    core_energies = [part.energies for part in results if part.energies is not None]
    if vartype is dimod.BINARY:
        states = ((states + 1) // 2).astype(np.int8)
    if vartype is dimod.SPIN and core_energies:
        energies = np.concatenate(core_energies)
    else:
        energies = J.energies(h, states, run.num_threads)
    early = [part.stopped_by for part in results if part.stopped_by != "finished"]
    info: dict[str, Any] = {
        "method": run.method,
        "form": options.form,
        "precision": options.precision,
        "isa": _core.isa(),
        "num_threads": run.num_threads,
        "seed": run.seed,
        "num_sweeps": run.num_sweeps,
        "num_begun": int(sum(part.is_begun.sum() for part in results)),
        "stopped_by": early[0] if early else "finished",
    }
    if run.method == "sa":
        info["keep"] = "best" if options.keep_best else "final"
    if options.betas:
        with np.errstate(over="ignore"):  # infinite temperatures are a descent
            info["beta_range"] = np.outer(factors, [options.betas[0], options.betas[-1]])
    result = BatchResult(states, energies, info, vartype.name)
    for part in results:
        if part.error is not None:
            part.error.result = result  # type: ignore[attr-defined]
            raise part.error
    return result
