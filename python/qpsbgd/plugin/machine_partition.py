"""Partition functions of the plugin's Boltzmann machines."""

import numpy as np
import torch
from dwave.plugins.torch.models.boltzmann_machine import GraphRestrictedBoltzmannMachine

from qpsbgd import _core
from qpsbgd._checks.numbers import (
    SEED_LIMIT,
    checked_count,
    checked_finite,
    checked_num_sweeps,
    checked_seed,
    checked_threads,
)
from qpsbgd.plugin.machines import checked_machine, checked_states, rows_by_pattern, scaled_biases
from qpsbgd.samplers.partition import LogPartition, log_partition_batch
from qpsbgd.samplers.partition.importance_sampling import DEFAULT_NUM_READS, DEFAULT_NUM_SWEEPS


def log_partition(
    grbm: GraphRestrictedBoltzmannMachine,
    x: torch.Tensor | None = None,
    *,
    prefactor: float = 1.0,
    num_reads: int = DEFAULT_NUM_READS,
    num_sweeps: int = DEFAULT_NUM_SWEEPS,
    seed: int | None = None,
    num_threads: int | None = None,
) -> LogPartition:
    """Return the logarithm of a Boltzmann machine's partition function, or of parts of it.

    The partition function is the sum of ``exp(-prefactor * E)`` over all states. With ``x``, each
    row restricts the sum to the states that have the row's known units. A row's result is then its
    free energy with the opposite sign, and

    ``log_partition(grbm, x).log_z - log_partition(grbm).log_z``

    is the log-likelihood of each row, with the other units, such as hidden ones, summed out.

    The sum is exact if the unknown units of a row are not coupled with one another, as the hidden
    units of a restricted Boltzmann machine. Otherwise :func:`qpsbgd.log_partition_batch` estimates
    it for all rows with the same known units in one call.

    Args:
        grbm: the model.
        x: real ``(B, n)`` on any device, with columns in the order of the model's nodes: -1 or 1
            for a unit that is known, NaN for a unit to sum over. ``None`` to sum over all units.
        prefactor: finite factor of the linear and the quadratic biases.
        num_reads: number of weights of each estimate. Its standard error falls with its square
            root.
        num_sweeps: sweeps of each read. More of them make the weights more alike.
        seed: integer in ``[0, 2**31)``; drawn if ``None``.
        num_threads: largest number of threads; ``None`` for the number of processors of this
            process.

    Returns:
        Float64 arrays of shape ``(B,)``, or ``()`` without ``x``. An exact sum has the standard
        error 0 and the effective sample size ``num_reads``. ``info`` has ``num_reads``,
        ``num_sweeps``, ``seed``, ``isa``, ``num_threads`` and ``num_exact``, the number of exact
        sums.

    Warns:
        UnreliableEstimateWarning: some estimate is not to be trusted. More sweeps help most.

    Raises:
        TypeError: an argument of the wrong type.
        ValueError: ``x`` has another shape or other entries, a value is out of range, or the model
            has a NaN or infinite parameter.

    Example:
        >>> import math
        >>> import torch
        >>> from dwave.plugins.torch.models.boltzmann_machine import GraphRestrictedBoltzmannMachine
        >>> from qpsbgd.plugin import log_partition
        >>> grbm = GraphRestrictedBoltzmannMachine("ab", ["ab"], hidden_nodes=["b"])
        >>> grbm.set_quadratic({("a", "b"): 0.5})
        >>> log_z = log_partition(grbm, seed=1)
        >>> exact = math.log(4 * math.cosh(0.5))
        >>> bool(abs(log_z.log_z - exact) <= 3 * log_z.standard_error)
        True
        >>> x = torch.tensor([[1.0, float("nan")]])
        >>> log_likelihood = log_partition(grbm, x).log_z - exact
        >>> print(round(float(log_likelihood[0]), 6), round(math.log(0.5), 6))
        -0.693147 -0.693147
    """
    n = checked_machine(grbm).n_nodes
    known = np.full((1, n), np.nan) if x is None else checked_states(x, n)  # (B, n)
    h, J = scaled_biases(grbm, checked_finite("prefactor", prefactor))  # (n,), (n, n)
    num_reads = checked_count("num_reads", num_reads, 2)
    num_sweeps = checked_num_sweeps(num_sweeps, 1)
    seed, threads = checked_seed(seed), checked_threads(num_threads)
    is_known = ~np.isnan(known)
    states = np.where(is_known, known, 0.0)
    fields = h + states @ J  # (B, n)
    log_z = -((h + fields) * states).sum(axis=1) / 2  # of the known units
    errors = np.zeros(len(known))
    sizes = np.full(len(known), float(num_reads))
    is_reliable = np.ones(len(known), bool)
    num_exact = 0
    groups = rows_by_pattern(is_known)
    seeds = np.random.default_rng(seed).integers(SEED_LIMIT, size=len(groups))
    for (rows, free), group_seed in zip(groups, seeds, strict=True):
        own, couplings = fields[np.ix_(rows, free)], J[np.ix_(free, free)]
        if not couplings.any():
            log_z[rows] += np.logaddexp(own, -own).sum(axis=1)
            num_exact += len(rows)
            continue
        estimate = log_partition_batch(
            own, couplings, num_reads=num_reads, num_sweeps=num_sweeps, seed=int(group_seed),
            num_threads=threads,
        )  # fmt: skip
        log_z[rows] += estimate.log_z
        errors[rows] = estimate.standard_error
        sizes[rows] = estimate.effective_sample_size
        is_reliable[rows] = estimate.is_reliable
    info = {
        "num_reads": num_reads,
        "num_sweeps": num_sweeps,
        "seed": seed,
        "isa": _core.isa(),
        "num_threads": threads,
        "num_exact": num_exact,
    }
    place = 0 if x is None else slice(None)
    return LogPartition(log_z[place], errors[place], sizes[place], is_reliable[place], info)
