"""Calls of the core that solve and evaluate the problems of one layer."""

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from qpsbgd import _core
from qpsbgd._checks import BetaRule, checked_layer, checked_threads, spin_matrix
from qpsbgd.projection.options import ProjectionOptions
from qpsbgd.projection.temperatures import quadratic_beta_range, sign_beta_range

if TYPE_CHECKING:
    from qpsbgd._checks import ArrayLike


def minimise(X: "ArrayLike", T: "ArrayLike", options: ProjectionOptions) -> npt.NDArray[np.int8]:
    """Return the binary gradient ``(m, n)`` that the core finds for one layer.

    Args:
        X: inputs, float32 ``(N, n)``.
        T: targets, float32 ``(N, m)``.
        options: options of the projection.

    Raises:
        TypeError: an array has the wrong type or dtype.
        ValueError: shapes do not fit, an array is empty, a value is NaN or infinite, or the
            objective has no couplings for the rule of ``beta_range``.
    """
    inputs, targets = checked_layer(X, T)
    threads = checked_threads(options.num_threads)
    states = None
    if not (options.initial is None or isinstance(options.initial, str)):
        states = spin_matrix("initial", options.initial, (targets.shape[1], inputs.shape[1]))

    def find_range(rule: BetaRule) -> tuple[float, float]:
        objective = options.core_objective()
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

    return _core.project(
        inputs,
        targets,
        initial_states=states,
        num_threads=threads,
        **options.core_arguments(find_range),
    )


def objective_values(
    X: "ArrayLike", T: "ArrayLike", B: npt.NDArray[Any], options: ProjectionOptions
) -> npt.NDArray[np.float64]:
    """Return the objective ``(m,)`` of each row of ``B (m, n)``, summed in float64.

    Args:
        X: inputs, float32 ``(N, n)``.
        T: targets, float32 ``(N, m)``.
        B: rows of -1 and +1, any real dtype.
        options: options of the projection.

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
        **options.core_objective(),
    )
