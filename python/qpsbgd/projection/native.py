"""Calls of the core that solve and evaluate the problems of one layer."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from qpsbgd import _core
from qpsbgd._checks.beta_ranges import BetaRule
from qpsbgd._checks.layer_arrays import checked_layer, spin_matrix
from qpsbgd._checks.numbers import checked_threads
from qpsbgd._checks.real_arrays import checked_floats, refuse_entries
from qpsbgd.projection.options import ProjectionOptions
from qpsbgd.projection.temperatures import quadratic_beta_range, sign_beta_range

if TYPE_CHECKING:
    from qpsbgd._checks.layer_arrays import ArrayLike

#: Largest ratio of a target to a step times the largest input: float32 holds sums of residuals.
LARGEST_RATIO = 1e18


def minimise(
    X: "ArrayLike", T: "ArrayLike", options: ProjectionOptions, steps: Any = None
) -> npt.NDArray[np.int8]:
    """Return the binary gradient ``(m, n)`` that the core finds for one layer.

    Args:
        X: inputs, float32 ``(N, n)``.
        T: targets, float32 ``(N, m)``.
        options: options of the projection.
        steps: step length of each row, ``(m,)``, or None.

    Raises:
        TypeError: an array has the wrong type or dtype.
        ValueError: shapes do not fit, an array is empty, a value is NaN or infinite, the objective
            has no couplings for the rule of ``beta_range``, or another option does not go with
            ``steps``.
    """
    (inputs, targets), arguments = _task_arguments(X, T, options, steps)
    threads = checked_threads(options.num_threads)
    return _core.project(inputs, targets, num_threads=threads, **arguments)


def minimise_layers(
    layers: Sequence[tuple["ArrayLike", "ArrayLike"]],
    options: Sequence[ProjectionOptions],
    steps: Sequence[Any],
    num_threads: int | None,
) -> list[npt.NDArray[np.int8]]:
    """Return what :func:`minimise` returns for each layer, in one call of the core.

    Args:
        layers: inputs and targets of each layer.
        options: options of each layer; their numbers of threads do not matter.
        steps: steps of each layer, or None.
        num_threads: largest number of threads of all layers together.

    Raises:
        TypeError: an array has the wrong type or dtype.
        ValueError: a value that :func:`minimise` refuses; the message begins with the number of the
            layer.
    """
    threads = checked_threads(num_threads)
    tasks = []
    for number, (X, T) in enumerate(layers):
        try:
            arrays, arguments = _task_arguments(X, T, options[number], steps[number])
        except (TypeError, ValueError) as error:
            raise type(error)(f"layers[{number}]: {error}") from error
        tasks.append(_core.ProjectionTask(*arrays, **arguments))
    return _core.project_layers(tasks, num_threads=threads)


def _task_arguments(
    X: "ArrayLike", T: "ArrayLike", options: ProjectionOptions, steps: Any
) -> tuple[tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]], dict[str, Any]]:
    """Return the checked data, and the other arguments of a projection in the core but threads."""
    inputs, targets = checked_layer(X, T)
    threads = checked_threads(options.num_threads)
    states = None
    if not (options.initial is None or isinstance(options.initial, str)):
        states = spin_matrix("initial", options.initial, (targets.shape[1], inputs.shape[1]))
    lengths = None if steps is None else checked_steps(steps, inputs, targets, options)

    def find_range(rule: BetaRule) -> tuple[float, float]:
        objective = options.core_objective()
        if lengths is not None:
            raise ValueError(
                f"beta_range is {rule!r}, but there is no rule for rows with steps: give two "
                "numbers, in units of the squares of the steps"
            )
        if options.objective == "sign":
            if rule == "dwave":
                raise ValueError(
                    "beta_range is 'dwave', but that rule needs couplings, which objective='sign' "
                    "has not: use 'auto' or two numbers"
                )
            return sign_beta_range(
                inputs, targets, target_eps=objective["target_eps"], num_threads=threads
            )
        h, J, _ = _core.gradient_ising(
            inputs, targets, scale=options.scale, alpha=objective["alpha"], num_threads=threads
        )
        return quadratic_beta_range(rule, h, J, num_threads=threads)

    return (inputs, targets), {
        "initial_states": states,
        "steps": lengths,
        **options.core_arguments(find_range),
    }


def checked_steps(
    steps: Any,
    inputs: npt.NDArray[np.float32],
    targets: npt.NDArray[np.float32],
    options: ProjectionOptions,
) -> npt.NDArray[np.float64]:
    """Return the steps of a layer's rows, float64 ``(m,)``.

    Raises:
        TypeError: the steps are no array of real numbers.
        ValueError: another shape; a step that is not positive and finite, or so small beside the
            targets that float32 does not hold the residuals; or the sign objective.
    """
    if options.objective == "sign":
        raise ValueError("steps go with objective='quadratic', but objective is 'sign'")
    lengths = checked_floats("steps", steps, 1)
    m = targets.shape[1]
    if lengths.shape != (m,):
        raise ValueError(
            f"steps has shape {lengths.shape}, but must be ({m},) as T has {m} columns"
        )
    refuse_entries("steps", lengths, ~(lengths > 0), "must be positive")
    largest = float(np.abs(inputs).max())
    with np.errstate(over="ignore", under="ignore"):
        reached = np.abs(targets).max(axis=0) / (lengths * (options.scale * (largest or 1.0)))
    is_small = ~(reached <= LARGEST_RATIO)
    refuse_entries("steps", lengths, is_small, "must not be that small beside the targets")
    return lengths


def objective_values(
    X: "ArrayLike",
    T: "ArrayLike",
    B: npt.NDArray[Any],
    options: ProjectionOptions,
    steps: Any = None,
) -> npt.NDArray[np.float64]:
    """Return the objective ``(m,)`` of each row of ``B (m, n)``, summed in float64.

    Args:
        X: inputs, float32 ``(N, n)``.
        T: targets, float32 ``(N, m)``.
        B: rows of -1 and +1, any real dtype.
        options: options of the projection.
        steps: step length of each row, ``(m,)``, or None.

    Raises:
        TypeError: an array has the wrong type or dtype.
        ValueError: shapes do not fit, an array is empty, or a value is not allowed.
    """
    inputs, targets = checked_layer(X, T)
    return _core.projection_energy(
        inputs,
        targets,
        spin_matrix("B", B, (targets.shape[1], inputs.shape[1])),
        num_threads=checked_threads(options.num_threads),
        steps=None if steps is None else checked_steps(steps, inputs, targets, options),
        **options.core_objective(),
    )
