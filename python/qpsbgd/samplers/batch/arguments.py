"""The arguments of :func:`qpsbgd.sample_batch`, checked."""

from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

import dimod
import numpy as np

from qpsbgd._checks.beta_ranges import BetaRange, checked_geometric_range
from qpsbgd._checks.choices import Keep, checked_choice, checked_keep
from qpsbgd._checks.numbers import (
    checked_count,
    checked_num_sweeps,
    checked_real,
    checked_seed,
    checked_threads,
    checked_time_limit,
)
from qpsbgd._checks.real_arrays import checked_floats, is_scipy_sparse, real_array, refuse_entries
from qpsbgd.samplers.batch.batch_options import ACCEPTANCES, METHODS, Acceptance, Method
from qpsbgd.samplers.batch.couplings import Couplings, Floats, States
from qpsbgd.samplers.batch.dense import DenseCouplings
from qpsbgd.samplers.batch.low_rank import LowRank, LowRankCouplings
from qpsbgd.samplers.batch.sparse import SparseBatch, SparseCouplings

#: Sweeps of each method by default. A descent takes none.
DEFAULT_NUM_SWEEPS: dict[Method, int] = {"sa": 1000, "tabu": 20, "descent": 0}


@dataclass(frozen=True)
class RunArguments:
    """Checked arguments of a batch beside its problems.

    Attributes:
        method: ``"sa"``, ``"tabu"`` or ``"descent"``.
        num_reads: reads of each problem.
        num_sweeps: sweeps of a read.
        beta_range: two inverse temperatures, or the name of a rule.
        keep: the state that a read of annealing returns; None lets the schedule decide.
        acceptance: the acceptance rule of annealing.
        seed: seed of the random numbers.
        num_threads: largest number of threads.
        time_limit: seconds, or infinity.
    """

    method: Method
    num_reads: int
    num_sweeps: int
    beta_range: BetaRange
    keep: Keep | None
    acceptance: Acceptance
    seed: int
    num_threads: int
    time_limit: float

    @classmethod
    def checked(
        cls,
        *,
        method: Any,
        num_reads: Any,
        num_sweeps: Any,
        beta_range: Any,
        keep: Any,
        proposal_acceptance_criteria: Any,
        seed: Any,
        num_threads: Any,
        time_limit: Any,
    ) -> "RunArguments":
        """Check the arguments; the names are those of :func:`qpsbgd.sample_batch`.

        Raises:
            TypeError: an argument of the wrong type.
            ValueError: a value out of range, or one that the method does not take.
        """
        checked_choice("method", method, METHODS)
        if checked_keep(keep) == "final" and method != "sa":
            raise ValueError(f"keep is {keep!r}, but goes with method='sa' alone")
        checked_choice("proposal_acceptance_criteria", proposal_acceptance_criteria, ACCEPTANCES)
        if proposal_acceptance_criteria != "Metropolis" and method != "sa":
            raise ValueError(
                f"proposal_acceptance_criteria is {proposal_acceptance_criteria!r}, but goes with "
                "method='sa' alone"
            )
        ends = checked_geometric_range(beta_range)
        if method != "sa" and ends != "auto":
            raise ValueError(f"beta_range is {beta_range!r}, but goes with method='sa' alone")
        if num_sweeps is None:
            num_sweeps = DEFAULT_NUM_SWEEPS[method]
        elif method == "descent":
            raise ValueError(f"num_sweeps is {num_sweeps!r}, but a descent takes none")
        return cls(
            method=method,
            num_reads=checked_count("num_reads", num_reads, 1),
            num_sweeps=checked_num_sweeps(num_sweeps),
            beta_range=ends,
            keep=keep,
            acceptance=proposal_acceptance_criteria,
            seed=checked_seed(seed),
            num_threads=checked_threads(num_threads),
            time_limit=checked_time_limit(time_limit),
        )


def real_couplings(J: Any) -> Any:
    """Return ``J`` with its values as an array of real numbers.

    Raises:
        TypeError: ``J`` is of no kind that :func:`qpsbgd.sample_batch` takes.
        ValueError: a tensor that is not on the CPU.
    """
    if isinstance(J, LowRank):
        return LowRank(real_array("J.A", J.A), checked_real("J.scale", J.scale))
    if isinstance(J, SparseBatch):
        return SparseBatch(real_array("J.data", J.data), J.indices, J.indptr)
    if isinstance(J, SparseCouplings) or is_scipy_sparse(J):
        return J
    return real_array("J", J)


def checked_couplings(J: Any, shape: tuple[int, ...], num_threads: int) -> Couplings:
    """Return the couplings of problems whose ``h`` has this shape ``(B, n)``.

    A matrix of ``scipy.sparse`` and arrays may have all their entries in one triangle.

    Raises:
        TypeError: neither an array of real numbers nor one of the other kinds.
        ValueError: another shape, or an entry that is NaN, infinite, on the diagonal, or neither
            symmetric nor in one triangle.
    """
    try:
        return _symmetric_couplings(J, shape, num_threads)
    except ValueError:
        whole = _completed(J)
        if whole is None:
            raise
        return _symmetric_couplings(whole, shape, num_threads)


def _completed(J: Any) -> Any:
    """Return symmetric couplings from those of one triangle; None if they are not of that kind."""
    if is_scipy_sparse(J):
        entries = J.tocoo()
        rows, columns = (index[entries.data != 0] for index in (entries.row, entries.col))
        is_triangular = (rows < columns).all() or (rows > columns).all()
        return J + J.T if is_triangular and J.shape[0] == J.shape[1] else None
    if isinstance(J, (LowRank, SparseBatch, SparseCouplings)):
        return None
    array = real_array("J", J)
    if array.ndim not in (2, 3) or array.shape[-1] != array.shape[-2]:
        return None
    if np.triu(array).any() and np.tril(array).any():  # an entry on the diagonal is in both
        return None
    return array + array.swapaxes(-1, -2)


def _symmetric_couplings(J: Any, shape: tuple[int, ...], num_threads: int) -> Couplings:
    if isinstance(J, SparseCouplings):  # made from models, and therefore symmetric
        return J
    if isinstance(J, LowRank):
        return LowRankCouplings.checked(J, shape)
    if is_scipy_sparse(J):
        if J.shape != (shape[1], shape[1]):
            raise ValueError(
                f"J has shape {J.shape}, but must be ({shape[1]}, {shape[1]}) as h is {shape}"
            )
        rows = J.tocsr(copy=True)
        rows.sum_duplicates()
        rows.eliminate_zeros()  # SciPy may store a zero in one triangle alone
        J = SparseBatch(rows.data, rows.indices, rows.indptr)
    if isinstance(J, SparseBatch):
        return SparseCouplings.checked(J, shape)
    return DenseCouplings.checked(J, shape, num_threads)


def checked_fields(h: Any, J: Any = None) -> Floats:
    """Return ``h`` in float64 ``(B, n)`` with at least one problem.

    An h of one dimension is that of all problems: of as many as J has arrays, or of one.
    """
    fields = checked_floats("h", h, 1, 2)
    if fields.ndim == 1:
        count = len(J) if isinstance(J, np.ndarray) and J.ndim == 3 else 1
        fields = np.ascontiguousarray(np.broadcast_to(fields, (count, len(fields))))
    if len(fields) == 0:
        raise ValueError(f"h has shape {fields.shape}, but must have at least one problem")
    return fields


def initial_spins(
    initial: Any, vartype: dimod.Vartype, shape: tuple[int, int, int], seed: int
) -> States:
    """Return the initial states as spins ``(B, R, n)``; draw them if there are none."""
    problems, reads, n = shape
    if initial is None:
        # Read by read, so that a state does not depend on the number of reads.
        bits = np.random.default_rng(seed).integers(0, 2, (reads, problems, n), np.int8)
        return np.ascontiguousarray((2 * bits - 1).swapaxes(0, 1))
    array = checked_floats("initial_states", initial, 2, 3)
    if array.shape not in ((problems, n), shape):
        raise ValueError(
            f"initial_states has shape {array.shape}, but must be {(problems, n)} or {shape}"
        )
    low = min(vartype.value)
    is_bad = (array != low) & (array != 1)
    refuse_entries("initial_states", array, is_bad, f"must be {low} or 1")
    if array.ndim == 2:
        array = array[:, None, :]
    states = np.where(array == 1, 1, -1).astype(np.int8)
    return np.ascontiguousarray(np.broadcast_to(states, shape))


def check_executor(executor: Any) -> None:
    """Raise TypeError if a value is neither an executor nor None."""
    if executor is not None and not isinstance(executor, Executor):
        raise TypeError(
            f"executor is a {type(executor).__name__}, but must be a concurrent.futures.Executor"
        )
