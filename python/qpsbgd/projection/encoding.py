"""Encoding of a layer's problems as binary quadratic models.

The quadratic objective is an Ising problem over the weights already. The sign objective needs
auxiliary variables and a penalty. The encoding exists where all inputs of a sample that are not 0
have the same magnitude.
"""

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from qpsbgd import _core
from qpsbgd._checks.layer_arrays import checked_layer
from qpsbgd._checks.numbers import checked_real, checked_threads
from qpsbgd.errors import UnsupportedInputsError
from qpsbgd.projection.models import GradientBQMs
from qpsbgd.projection.options import AlphaRule, Objective, ProjectionOptions

if TYPE_CHECKING:
    from qpsbgd._checks.layer_arrays import ArrayLike

#: With a larger factor float64 rounds away more than a millionth of the loss.
MAX_PENALTY_FACTOR = 1e6
DEFAULT_PENALTY_FACTOR = 1.1


def gradient_bqms(
    X: "ArrayLike",
    T: "ArrayLike",
    *,
    objective: Objective = "quadratic",
    scale: float = 1.0,
    alpha: AlphaRule = "fit",
    target_eps: float | None = None,
    penalty_factor: float = DEFAULT_PENALTY_FACTOR,
    num_threads: int | None = None,
) -> GradientBQMs:
    """Return the problems that :func:`qpsbgd.project` solves as binary quadratic models.

    The energy of a model is the objective of :func:`qpsbgd.projection_energy`, up to rounding in
    float64, where the auxiliary variables have the best values for the weights ``b``.

    With ``objective="quadratic"`` the variables are the weights, and all pairs of them interact.

    With ``objective="sign"`` the inputs of a sample must have one magnitude, ``x_k = c s_k`` with
    ``s_k`` in {-1, 0, +1}. Let ``n'`` be the number of inputs that are not 0.

    * The output ``sign(x.b + target_eps)`` is +1 if at least ``tau`` of the ``n'`` weights agree
      with their inputs. ``tau`` is ``ceil(n' / 2)`` while ``target_eps`` is less than ``c`` (odd
      ``n'``) or ``2 c`` (even ``n'``), as ``sign(0) = +1``. It is one less for every further
      ``2 c``. An output that is +1 for every ``b`` needs no variables.
    * An indicator ``z = [q >= M]`` counts either the weights that agree, with ``M = tau``, or the
      others, with ``M = n' + 1 - tau``; then ``z`` is the opposite of the output. The encoding
      uses the larger ``M``.
    * The penalty ``(q - M z - sum_j w_j a_j)^2`` ties the indicator to the weights. It has
      ``ceil(log2 M)`` slack bits ``a_j``, whose weights ``w_j`` reach each of 0 to ``M - 1``.
    * Samples whose outputs always agree, or always differ (``x`` and ``-x`` of an odd ``n'``),
      share an indicator.
    * The strength of a neuron's penalty is ``penalty_factor`` times the largest difference that
      one indicator makes to its loss. That difference is ``4 |sum t|`` over the samples that share
      the indicator, or 1 where the sum is 0. The lowest state is exact for every factor above 1,
      but not for smaller ones.

    The offset of the sign objective is about ``N``, whatever the size of ``T``, while energies
    differ by multiples of ``4 |t|``. Scale ``T`` up where gradients are below 1e-10, so that
    float64 holds the differences. The best weights stay the same.

    Args:
        X: inputs of the layer, float32 ``(N, n)``; a NumPy array, or a torch tensor on the CPU.
        T: gradient of the loss with respect to the layer's outputs, float32 ``(N, m)``.
        objective: ``"quadratic"`` or ``"sign"``.
        scale: factor of the step length alpha, > 0; only the quadratic objective has one.
        alpha: rule for the step length alpha, ``"fit"`` or ``"norm"``; see :func:`qpsbgd.project`.
        target_eps: tie rule of the sign objective, in units of ``X``; >= 0; None for 0.01.
        penalty_factor: factor of the sign objective's penalty, in (1, 1e6]. A smaller factor
            leaves more of an annealer's limited precision to the loss.
        num_threads: largest number of threads; None for the processors of this process.

    Returns:
        ``m`` models of vartype SPIN, one for each neuron.

    Raises:
        TypeError: an argument has the wrong type or dtype.
        ValueError: shapes do not fit, an array is empty, or a value is NaN, infinite or out of
            range.
        UnsupportedInputsError: the objective is ``"sign"``, and the inputs of a sample have two
            magnitudes. This is a ValueError.

    Example:
        >>> import numpy as np
        >>> from qpsbgd import ExhaustiveSampler, gradient_bqms
        >>> rng = np.random.default_rng(0)
        >>> X = rng.choice(np.array([-1, 1], np.float32), size=(4, 5))
        >>> T = rng.normal(size=(4, 2)).astype(np.float32)
        >>> bqms = gradient_bqms(X, T, objective="sign")
        >>> np.array([bqms.decode(ExhaustiveSampler().sample(bqm)) for bqm in bqms]).shape
        (2, 5)

    Reference:
        Krahn et al., "Projected Stochastic Gradient Descent with Quantum Annealed Binary
        Gradients", BMVC 2024, arXiv 2310.15128. The encoding of outputs is our own.
    """
    options = ProjectionOptions(
        objective=objective,
        scale=scale,
        alpha=alpha,
        target_eps=target_eps,
        num_threads=num_threads,
    )
    return encode(X, T, options, penalty_factor)


def encode(
    X: "ArrayLike", T: "ArrayLike", options: ProjectionOptions, penalty_factor: float
) -> GradientBQMs:
    """Return the models of :func:`gradient_bqms` for the options of a projection."""
    inputs, targets = checked_layer(X, T)
    factor = checked_penalty_factor(penalty_factor)
    threads = checked_threads(options.num_threads)
    objective = options.core_objective()
    if options.objective == "sign":
        _check_magnitudes(inputs)
        patterns, thresholds, rows, columns, values, factors, fields, offsets = _core.sign_qubo(
            inputs, targets, target_eps=objective["target_eps"], penalty_factor=factor,
            num_threads=threads,
        )  # fmt: skip
    else:
        rows, columns, values, fields, offsets = _core.gradient_ising_pairs(
            inputs, targets, scale=options.scale, alpha=objective["alpha"], num_threads=threads
        )
        factors = np.ones(targets.shape[1])
        patterns, thresholds = np.zeros((0, inputs.shape[1]), np.int8), np.zeros(0, np.int32)
    return GradientBQMs(
        objective=options.objective,
        rows=rows,
        columns=columns,
        values=values,
        factors=factors,
        fields=fields,
        offsets=offsets,
        patterns=patterns,
        thresholds=thresholds,
    )


def checked_penalty_factor(penalty_factor: float) -> float:
    """Return a number that is more than 1 and not too large for float64."""
    checked = checked_real("penalty_factor", penalty_factor)
    if not 1.0 < checked <= MAX_PENALTY_FACTOR:
        raise ValueError(
            f"penalty_factor is {penalty_factor!r}, but must be more than 1 and at most "
            f"{MAX_PENALTY_FACTOR:g}"
        )
    return checked


def _check_magnitudes(inputs: npt.NDArray[np.float32]) -> None:
    """Raise UnsupportedInputsError where the inputs of a sample have two magnitudes beside 0."""
    bad = _core.first_other_magnitude(inputs)
    if bad == inputs.size:
        return
    row, column = divmod(bad, inputs.shape[1])
    magnitude = abs(inputs[row, np.flatnonzero(inputs[row])[0]])
    raise UnsupportedInputsError(
        f"X[{row}, {column}] is {inputs[row, column]}, but objective='sign' needs the inputs of a "
        f"sample to be 0, -c or +c, with c = {magnitude} here: make them binary, take "
        "objective='quadratic', or solve the layer with qpsbgd.project, which takes any inputs"
    )
