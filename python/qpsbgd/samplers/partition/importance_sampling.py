"""Partition functions by annealed importance sampling."""

import warnings
from typing import Any, Literal

import dimod
import numpy as np
import numpy.typing as npt

from qpsbgd import _core
from qpsbgd._checks.binary_models import checked_vartype
from qpsbgd._checks.numbers import checked_count, checked_num_sweeps, checked_seed, checked_threads
from qpsbgd._checks.real_arrays import checked_floats
from qpsbgd.samplers.batch.arguments import checked_fields
from qpsbgd.samplers.partition.estimates import LogPartition, UnreliableEstimateWarning
from qpsbgd.samplers.partition.shared_problems import SharedProblems
from qpsbgd.samplers.problem.ising import Problem
from qpsbgd.samplers.tempering.ladder_arguments import checked_betas

Floats = npt.NDArray[np.float64]

DEFAULT_NUM_READS = 1024
DEFAULT_NUM_SWEEPS = 1000
#: Chains and sweeps of the pilot runs that find the schedule.
PILOT_READS = 64
PILOT_SWEEPS = (64, 256)
#: Number of the first problem of the pilot runs, far from those of the estimates.
PILOT_NUMBER = 2**40
#: An estimate is trusted if its weights count for at least so many independent ones of equal size,
SMALLEST_SIZE = 50.0
#: and for at least this part of their number.
SMALLEST_SHARE = 0.05
#: Largest sum of the magnitudes of a problem's biases: its square is a float64 number.
LARGEST_ENERGY = 1e150
#: Largest product of that sum and an inverse temperature.
LARGEST_EXPONENT = 1e300


def log_partition(
    bqm: dimod.BinaryQuadraticModel,
    beta: float | Any = 1.0,
    *,
    num_reads: int = DEFAULT_NUM_READS,
    num_sweeps: int = DEFAULT_NUM_SWEEPS,
    seed: int | None = None,
    num_threads: int | None = None,
) -> LogPartition:
    """Estimate the logarithm of a partition function.

    The partition function is ``Z(beta) = sum exp(-beta E(x))`` over all states x of the model. Each
    read anneals a random state from ``beta = 0`` to the largest ``beta`` and multiplies a weight
    by the factors ``exp(-(beta_k - beta_(k-1)) E)``. The mean of the weights is an unbiased
    estimate of ``Z(beta) / 2^n`` (annealed importance sampling). Energies and weights are float64.

    Args:
        bqm: the model, of either vartype; its offset is part of the energy.
        beta: inverse temperature, >= 0, or several of them.
        num_reads: number of weights. The standard error falls with its square root.
        num_sweeps: sweeps of each read. More of them make the weights more alike.
        seed: integer in ``[0, 2**31)``; drawn if ``None``.
        num_threads: largest number of threads; ``None`` for the number of processors of this
            process. The result does not depend on it, nor on the instruction set.

    Returns:
        The estimate, its standard error, and whether it is to be trusted.

    Warns:
        UnreliableEstimateWarning: some estimate is not to be trusted: a few weights outweigh all
            others. More sweeps help most.

    Raises:
        TypeError: an argument of the wrong type.
        ValueError: a value out of range, or a NaN or infinite bias.

    Reference:
        R. M. Neal, "Annealed importance sampling", Statistics and Computing 11 (2001) 125.

    Example:
        >>> import math
        >>> import dimod
        >>> from qpsbgd import log_partition
        >>> bqm = dimod.BinaryQuadraticModel({"a": 1.0}, {("a", "b"): -1.0}, 0.0, "SPIN")
        >>> result = log_partition(bqm, beta=0.5, seed=1)
        >>> exact = math.log(4 * (math.cosh(0.5) ** 2))
        >>> bool(abs(result.log_z - exact) < 3 * result.standard_error)
        True
    """
    problem = Problem(bqm)
    shared = SharedProblems(
        problem.linear[None], problem.pairs, problem.quadratic, np.array([problem.offset])
    )
    return _only(_estimate(shared, beta, num_reads, num_sweeps, seed, num_threads))


def log_partition_batch(
    h: Any,
    J: Any,
    beta: float | Any = 1.0,
    *,
    vartype: Literal["SPIN", "BINARY"] | dimod.Vartype = "SPIN",
    num_reads: int = DEFAULT_NUM_READS,
    num_sweeps: int = DEFAULT_NUM_SWEEPS,
    seed: int | None = None,
    num_threads: int | None = None,
) -> LogPartition:
    """Estimate the logarithms of the partition functions of problems that share their couplings.

    The energies are ``h.x + sum of J_ij x_i x_j over all pairs i < j``. For a symmetric J this is
    ``h.x + (1/2) x^T J x``, as in :func:`qpsbgd.sample_batch`. :func:`log_partition` says how the
    partition functions are estimated. The temperatures of the sweeps are the same for all problems.
    The result of problem k depends on the other problems only through them.

    Args:
        h: fields, real ``(B, n)``, or ``(n,)`` for one problem.
        J: couplings that all problems share, with a zero diagonal: an array ``(n, n)`` or a matrix
            of ``scipy.sparse``. It is symmetric, or has all its entries in one triangle.
        beta: inverse temperature, >= 0, or several of them.
        vartype: ``"SPIN"`` or ``dimod.SPIN`` for variables -1 and +1, ``"BINARY"`` or
            ``dimod.BINARY`` for 0 and 1.
        num_reads: number of weights of each problem.
        num_sweeps: sweeps of each read.
        seed: integer in ``[0, 2**31)``; drawn if ``None``.
        num_threads: largest number of threads; ``None`` for the number of processors of this
            process.

    Returns:
        Estimates of shape ``(B,)``, or ``(B, k)`` for k inverse temperatures; without the axis of
        length B if h has one dimension.

    Warns:
        UnreliableEstimateWarning: some estimate is not to be trusted.

    Raises:
        TypeError: an argument of the wrong type.
        ValueError: a value out of range, an entry that is NaN, infinite or on the diagonal, or a J
            that is neither symmetric nor in one triangle.

    Example:
        >>> import numpy as np
        >>> from qpsbgd import log_partition_batch
        >>> h = np.array([[0.0, 0.0], [1.0, 0.0]])
        >>> J = np.array([[0.0, -1.0], [-1.0, 0.0]])
        >>> result = log_partition_batch(h, J, seed=1)
        >>> exact = np.log(4 * np.cosh([0.0, 1.0]) * np.cosh(1.0))
        >>> bool((abs(result.log_z - exact) < 3 * result.standard_error).all())
        True
    """
    kind = checked_vartype(vartype).name
    fields = checked_floats("h", h, 1, 2)
    threads = checked_threads(num_threads)
    shared = SharedProblems.checked(checked_fields(np.atleast_2d(fields)), J, kind, threads)
    batch = _estimate(shared, beta, num_reads, num_sweeps, seed, num_threads)
    return batch if fields.ndim == 2 else _only(batch)


def _only(batch: LogPartition) -> LogPartition:
    """Return the estimates of a batch of one problem, without the axis of problems."""
    return LogPartition(
        batch.log_z[0], batch.standard_error[0], batch.effective_sample_size[0],
        batch.is_reliable[0], batch.info,
    )  # fmt: skip


def _estimate(
    problems: SharedProblems,
    beta: Any,
    num_reads: Any,
    num_sweeps: Any,
    seed: Any,
    num_threads: Any,
) -> LogPartition:
    """Return estimates of shape ``(B,)``, or ``(B, k)`` for k inverse temperatures."""
    wanted = checked_betas("beta", beta)
    num_reads = checked_count("num_reads", num_reads, 2)
    num_sweeps = checked_num_sweeps(num_sweeps, 1)
    seed, threads = checked_seed(seed), checked_threads(num_threads)
    _check_magnitudes(problems.largest_energy, float(wanted.max()))
    schedule = _schedule(problems, float(wanted.max()), num_sweeps, seed, threads)
    betas = np.union1d(schedule, wanted)
    ascending, inverse = np.unique(wanted, return_inverse=True)
    logs, _ = problems.weigh(
        betas, np.searchsorted(betas, ascending), num_reads, seed, 0, threads
    )  # (B, num_reads, k)
    largest = logs.max(axis=1, keepdims=True)
    weights = np.exp(logs - largest)
    mean = weights.mean(axis=1)  # (B, k)
    spread = ((weights / mean[:, None] - 1.0) ** 2).sum(axis=1)
    error = np.sqrt(spread / (num_reads * (num_reads - 1)))
    size = num_reads / (1.0 + spread / num_reads)
    constant = problems.num_variables * np.log(2.0) - ascending * problems.offsets[:, None]
    log_z = largest[:, 0] + np.log(mean) + constant
    is_reliable = size >= max(SMALLEST_SIZE, SMALLEST_SHARE * num_reads)
    if not is_reliable.all():
        warnings.warn(
            f"the estimate of a partition function rests on {size.min():.1f} effective weights of "
            f"{num_reads}: its error may be much larger than its standard error. Pass more "
            "num_sweeps, or more num_reads.",
            UnreliableEstimateWarning,
            stacklevel=3,
        )
    # The order and the shape of the caller's beta.
    order = inverse[0] if np.ndim(beta) == 0 else inverse.reshape(wanted.shape)
    info = {
        "betas": betas.tolist(),
        "num_reads": num_reads,
        "num_sweeps": len(betas) - 1,
        "seed": seed,
        "isa": _core.isa(),
        "num_threads": threads,
    }
    return LogPartition(
        log_z[:, order], error[:, order], size[:, order], is_reliable[:, order], info
    )


def _check_magnitudes(energy: float, beta: float) -> None:
    """Raise ValueError if the logarithms of weights, or variances, would leave float64's range."""
    if not energy <= LARGEST_ENERGY:
        raise ValueError(
            f"the magnitudes of a problem's biases sum to {energy:g}, but must sum to at most "
            f"{LARGEST_ENERGY:g}: divide the biases by a number, and multiply beta by it"
        )
    if not beta * energy <= LARGEST_EXPONENT:
        raise ValueError(
            f"beta is {beta:g}, but its product with the sum of the magnitudes of a problem's "
            f"biases, {energy:g}, must be at most {LARGEST_EXPONENT:g}"
        )


def _schedule(
    problems: SharedProblems, last: float, num_sweeps: int, seed: int, threads: int
) -> Floats:
    """Return inverse temperatures from 0 to ``last``, between which the weights change equally.

    A step of beta adds the variance of ``step * E`` to that of the log weights. Pilot runs measure
    the standard deviation of E, and the steps are made inversely proportional to it. The result is
    rounded to six digits, so that it does not depend on the last bits of what was measured.

    Returns:
        float64 ``(num_sweeps + 1,)``, or fewer where neighbours would be equal.
    """
    if last == 0.0:
        return np.zeros(1)
    reach = problems.largest_field
    hot = min(last, 0.1 / reach) if reach > 0 else last
    betas = np.concatenate([[0.0], np.geomspace(hot, last, PILOT_SWEEPS[0])])
    for count in (*PILOT_SWEEPS[1:], num_sweeps):
        _, variances = problems.weigh(
            betas, np.zeros(0, np.intp), PILOT_READS, seed, PILOT_NUMBER, threads
        )
        deviations = np.sqrt(variances)
        # A floor spends some of the sweeps where energies hardly vary any more.
        deviations = np.maximum(deviations, 0.02 * deviations.max(initial=0.0) + 1e-300)
        steps = np.diff(betas) * (deviations[1:] + deviations[:-1]) / 2
        places = np.concatenate([[0.0], np.cumsum(steps)])
        betas = np.interp(np.linspace(0.0, places[-1], count + 1), places, betas)
        betas[1:-1] = [float(f"{beta:.6g}") for beta in betas[1:-1]]
        betas = np.unique(np.clip(betas, 0.0, last))
    return betas
