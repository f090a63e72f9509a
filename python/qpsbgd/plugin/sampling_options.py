"""Options of :func:`qpsbgd.sample_batch` that the classes for the plugin pass on."""

from collections.abc import Mapping
from typing import Any

from qpsbgd._checks.beta_ranges import checked_geometric_range
from qpsbgd.samplers.batch.batch_options import Method

#: ``time_limit`` is missing, as a state that never left its start is no sample.
OPTIONS = (
    "num_reads", "num_sweeps", "beta_range", "keep", "proposal_acceptance_criteria", "num_threads",
    "executor",
)  # fmt: skip


def checked_options(name: str, options: Any, others: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return the options that a caller passes in an argument, as a new dict.

    Args:
        name: the argument.
        options: its value.
        others: names that are allowed beside ``OPTIONS``.

    Raises:
        TypeError: not a mapping.
        ValueError: a name that is not allowed.
    """
    if not isinstance(options, Mapping):
        raise TypeError(f"{name} is {options!r}, but must be a dict")
    allowed = (*OPTIONS, *others)
    for option in options:
        if option not in allowed:
            raise ValueError(
                f"{name} has {option!r}, but may have only {', '.join(map(repr, allowed))}"
            )
    return dict(options)


def with_defaults(method: Method, options: Mapping[str, Any], beta: float) -> dict[str, Any]:
    """Return options with the defaults that differ from those of ``sample_batch``.

    Annealing takes the inverse temperature ``beta`` and returns last states. Gibbs sweeps sample a
    single temperature, as Metropolis sweeps in order do not reach all states of some problems.
    """
    completed = dict(options)
    if method == "sa":
        ends = checked_geometric_range(completed.setdefault("beta_range", (beta, beta)))
        if not isinstance(ends, str) and ends[0] == ends[1]:
            completed.setdefault("proposal_acceptance_criteria", "Gibbs")
    return completed
