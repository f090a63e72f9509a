"""Binary gradients: the projection of a layer's gradient onto binary variables.

A layer with inputs ``X (N, n)`` and gradients ``T (N, m)`` at its ``m`` outputs has ``m`` binary
problems, one for each neuron, that share ``X``. :func:`project` solves them in one call.
:func:`gradient_ising` returns them for another solver. :func:`projection_energy` rates solutions.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from qpsbgd import _core
from qpsbgd._checks.beta_ranges import BetaRange
from qpsbgd._checks.kinds import check_instance, described
from qpsbgd._checks.layer_arrays import checked_layer
from qpsbgd._checks.numbers import checked_threads
from qpsbgd.projection.native import minimise, minimise_layers, objective_values
from qpsbgd.projection.options import AlphaRule, InitialKind, Objective, ProjectionOptions
from qpsbgd.projection.projector_options import check_own_options
from qpsbgd.projection.projectors import (
    ProjectorLike,
    as_projector,
    check_binary,
    check_projector,
)

if TYPE_CHECKING:
    from qpsbgd._checks.layer_arrays import ArrayLike


def project(
    X: "ArrayLike",
    T: "ArrayLike",
    *,
    objective: Objective = "quadratic",
    scale: float = 1.0,
    alpha: AlphaRule = "fit",
    num_sweeps: int | None = None,
    num_reads: int | None = None,
    beta_range: BetaRange | None = None,
    initial: InitialKind | npt.NDArray[np.int8] | None = None,
    target_eps: float | None = None,
    seed: int | None = None,
    num_threads: int | None = None,
    projector: ProjectorLike = None,
    steps: Any = None,
) -> npt.NDArray[np.int8]:
    """Return the binary gradient of a layer: one binary problem per neuron, solved in one call.

    Let ``t`` be the column of ``T`` that belongs to a row ``b`` of the result.

    * ``objective="quadratic"``: ``b = argmin ||t / mean|t| - alpha X b||^2``, with one step length
      ``alpha`` for the layer. With ``T^ = T / mean|T|``, a mean for each neuron, and
      ``B0 = sign(X^T T)``, it is ``scale * <T^, X B0> / ||X B0||_F^2`` for ``alpha="fit"`` and
      ``scale * ||T^||_F / ||X B0||_F`` for ``alpha="norm"``. As ``scale`` goes to 0, ``b`` goes to
      ``sign(X^T t)``, the direction of signSGD.
    * ``objective="sign"``: ``b = argmin ||sign(X b + target_eps) - t||^2``, with ``sign(0) = +1``.

    The result is a local optimum or better, without a proof of optimality. Row ``r`` depends on
    the data, the options, ``seed`` and ``r`` alone. It does not depend on ``num_threads`` or on the
    instruction set.

    Args:
        X: inputs of the layer, float32 ``(N, n)``; a NumPy array, or a torch tensor on the CPU.
            C-contiguous data are not copied.
        T: gradient of the loss with respect to the layer's outputs, float32 ``(N, m)``.
        objective: ``"quadratic"`` or ``"sign"``.
        scale: factor of the step length alpha, > 0. The sign objective ignores it.
        alpha: rule for the step length alpha. ``"fit"`` makes ``alpha X B0`` the multiple of
            ``X B0`` that is nearest to ``T^``. ``"norm"``, the rule of the paper, makes it as long
            as ``T^``. The two differ by the cosine between ``X B0`` and ``T^``, which is small
            where a layer has many samples: 0.01 to 0.05 in convolutions. There ``"norm"`` is so
            long that ``b`` minimises ``||X b||`` instead of following ``t``, and ``scale`` must be
            searched for, down to 0.03. With ``"fit"`` the best scales were between 0.1 (a graph)
            and 3 (inputs with a common mean), and 1 was good. The sign objective ignores the rule.
        num_sweeps: passes over all variables; 0 returns the start. Descent stops earlier at a local
            optimum. None for 2 (quadratic) or 10 (sign). Annealing needs more: give a number
            together with ``beta_range``.
        num_reads: independent solutions per neuron, of which the best is returned; None for 1. The
            first starts from ``initial``, the others from random states.
        beta_range: inverse temperatures ``(hot, cold)`` of a geometric annealing schedule over
            ``num_sweeps``, with ``0 < hot <= cold``, in units of the objective for ``t / mean|t|``.
            ``"auto"`` finds them by the rule of the samplers from up to 16 neurons. ``"dwave"``
            uses the rule of dwave-samplers, which does not exist for the sign objective. None is
            descent: it accepts improvements only. (For the samplers None means ``"auto"``.)
        initial: start of the first read: ``"linear"`` for ``sign(X^T t)``, ``"random"``, or an
            int8 array ``(m, n)`` of -1 and +1; None for ``"linear"``.
        target_eps: tie rule of the sign objective, in units of ``X``; >= 0; None for 0.01.
        seed: integer in ``[0, 2**31)``; None for a random one. A single descent from a linear or
            given start draws no random numbers.
        num_threads: largest number of threads, of which at most four per processor are started;
            None for the processors of this process.
        projector: solver of the problems: None or ``"native"`` for the solver of this package; a
            ``dimod.Sampler``, for a :class:`~qpsbgd.SamplerProjector` of it; or a projector
            such as ``NativeProjector(...)`` or ``qpsbgd.hardware.DWaveProjector(...)``. A
            projector's own options hold where ``num_reads``, ``beta_range``, ``initial``,
            ``target_eps`` and ``num_threads`` are None. A value that differs from the projector's
            own is an error.
        steps: step length of each row, real ``(m,)``, > 0; quadratic objective and native projector
            only. Row r then minimises ``||t - scale * steps[r] * X b||^2``: the target is not
            divided by its mean, and ``alpha`` has no rule to choose. The ends of ``beta_range`` are
            two numbers in units of the square of each row's step.

    Returns:
        int8 array ``(m, n)`` of -1 and +1.

    Raises:
        TypeError: an argument has the wrong type or dtype.
        ValueError: shapes do not fit, an array is empty, a value is NaN, infinite or out of range,
            or the projector lacks an option.
        KeyboardInterrupt: the user pressed Ctrl-C, which also ends a long call.

    Example:
        >>> import numpy as np
        >>> from qpsbgd import project
        >>> rng = np.random.default_rng(0)
        >>> X = rng.normal(size=(8, 5)).astype(np.float32)
        >>> b = np.array([[1, -1, -1, 1, 1]], np.int8)
        >>> bool((project(X, X @ b.T.astype(np.float32)) == b).all())
        True

    Reference:
        Krahn et al., "Projected Stochastic Gradient Descent with Quantum Annealed Binary
        Gradients", BMVC 2024, arXiv 2310.15128.
    """
    check_projector("projector", projector)
    options = ProjectionOptions(
        objective=objective,
        scale=scale,
        alpha=alpha,
        num_sweeps=num_sweeps,
        seed=seed,
        num_reads=num_reads,
        beta_range=beta_range,
        initial=initial,
        target_eps=target_eps,
        num_threads=num_threads,
    )
    if projector is None or isinstance(projector, str):
        return minimise(X, T, options, steps)
    if steps is not None:
        raise ValueError("steps go with projector='native', but another projector is given")
    solve = as_projector(projector, target_eps=target_eps)
    check_own_options(solve, options)
    inputs, targets = checked_layer(X, T)
    binary = solve(inputs, targets, options)
    check_binary(binary, (targets.shape[1], inputs.shape[1]))
    return binary


def project_layers(
    layers: Iterable[tuple["ArrayLike", "ArrayLike"]],
    options: ProjectionOptions | Iterable[ProjectionOptions] | None = None,
    *,
    steps: Iterable[Any] | None = None,
    num_threads: int | None = None,
) -> list[npt.NDArray[np.int8]]:
    """Return the binary gradients of several layers, solved in one call.

    Each result equals :func:`project` of the layer with its options to the bit. Small layers, whose
    rows do not occupy all threads, share them.

    Args:
        layers: inputs X, float32 ``(N, n)``, and targets T, float32 ``(N, m)``, of each layer. The
            sizes may differ.
        options: options of every layer, or those of each; None for the defaults.
        steps: steps of each layer, ``(m,)`` or None, which :func:`project` describes; None for no
            steps.
        num_threads: largest number of threads of all layers together; None for the processors of
            this process. Numbers of threads in ``options`` do not matter.

    Returns:
        int8 arrays ``(m, n)`` of -1 and +1.

    Raises:
        TypeError: an argument has the wrong type or dtype.
        ValueError: numbers of entries differ, or a layer has a value that :func:`project` refuses.
        KeyboardInterrupt: the user pressed Ctrl-C, which also ends a long call.

    Example:
        >>> import numpy as np
        >>> from qpsbgd import project_layers
        >>> rng = np.random.default_rng(0)
        >>> layers = [
        ...     (rng.normal(size=(8, n)).astype(np.float32), np.ones((8, 3), np.float32))
        ...     for n in (5, 7)
        ... ]
        >>> [binary.shape for binary in project_layers(layers)]
        [(3, 5), (3, 7)]
    """
    pairs = [_pair(number, layer) for number, layer in enumerate(layers)]
    if options is None or isinstance(options, ProjectionOptions):
        all_options = [options or ProjectionOptions()] * len(pairs)
    else:
        all_options = list(options)
    all_steps: list[Any] = [None] * len(pairs) if steps is None else list(steps)
    for name, values in (("options", all_options), ("steps", all_steps)):
        if len(values) != len(pairs):
            raise ValueError(
                f"{name} has {len(values)} entries, but must have one for each of {len(pairs)} "
                "layers"
            )
    for number, each in enumerate(all_options):
        check_instance(f"options[{number}]", each, ProjectionOptions, "qpsbgd.ProjectionOptions")
    return minimise_layers(pairs, all_options, all_steps, num_threads)


def projection_energy(
    X: "ArrayLike",
    T: "ArrayLike",
    B: npt.NDArray[Any],
    *,
    objective: Objective = "quadratic",
    scale: float = 1.0,
    alpha: AlphaRule = "fit",
    target_eps: float | None = None,
    num_threads: int | None = None,
    steps: Any = None,
) -> npt.NDArray[np.float64]:
    """Return the objective of each row of ``B``, which :func:`project` minimises.

    Args:
        X: inputs of the layer, float32 ``(N, n)``.
        T: gradient of the loss with respect to the layer's outputs, float32 ``(N, m)``.
        B: rows of -1 and +1, ``(m, n)``, any real dtype.
        objective: ``"quadratic"`` or ``"sign"``.
        scale: factor of the step length alpha, > 0; quadratic only.
        alpha: rule for the step length alpha, ``"fit"`` or ``"norm"``; quadratic only.
        target_eps: tie rule of the sign objective, >= 0; None for 0.01.
        num_threads: largest number of threads; None for the processors of this process.
        steps: step length of each row, real ``(m,)``, > 0, or None; quadratic only.

    Returns:
        float64 array ``(m,)``: ``||t / mean|t| - alpha X b||^2``, with steps
        ``||t - scale * steps[r] * X b||^2``, or ``||sign(X b + target_eps) - t||^2``, summed in
        float64.

    Raises:
        TypeError: an argument has the wrong type or dtype.
        ValueError: shapes do not fit, an array is empty, or a value is NaN, infinite or out of
            range.

    Example:
        >>> import numpy as np
        >>> from qpsbgd import projection_energy
        >>> X, T = np.eye(2, dtype=np.float32), np.ones((2, 1), np.float32)
        >>> projection_energy(X, T, np.array([[1, 1]])).tolist()
        [0.0]

    Reference:
        Krahn et al., BMVC 2024, arXiv 2310.15128.
    """
    options = ProjectionOptions(
        objective=objective,
        scale=scale,
        alpha=alpha,
        target_eps=target_eps,
        num_threads=num_threads,
    )
    return objective_values(X, T, B, options, steps)


def gradient_ising(
    X: "ArrayLike",
    T: "ArrayLike",
    scale: float = 1.0,
    *,
    alpha: AlphaRule = "fit",
    num_threads: int | None = None,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.float64]]:
    """Return the problems of the quadratic objective as Ising problems for another solver.

    Row ``r`` of the layer is the problem over spins ``b`` in {-1, +1}^n with energy
    ``sum_i h[r, i] b_i + sum_{i<j} J[i, j] b_i b_j + offset[r]``, which equals
    ``||t / mean|t| - alpha X b||^2``.

    Args:
        X: inputs of the layer, float32 ``(N, n)``.
        T: gradient of the loss with respect to the layer's outputs, float32 ``(N, m)``.
        scale: factor of the step length alpha, > 0.
        alpha: rule for the step length alpha, ``"fit"`` or ``"norm"``; see :func:`project`.
        num_threads: largest number of threads; None for the processors of this process.

    Returns:
        Biases ``h`` float32 ``(m, n)``; couplings ``J`` float32 ``(n, n)``, symmetric with a zero
        diagonal, which all rows share; and ``offset`` float64 ``(m,)``.

    Raises:
        TypeError: an argument has the wrong type or dtype.
        ValueError: shapes do not fit, an array is empty, or a value is NaN, infinite or out of
            range.

    Example:
        >>> import dimod
        >>> import numpy as np
        >>> from qpsbgd import gradient_ising
        >>> X, T = np.eye(2, dtype=np.float32), np.ones((2, 1), np.float32)
        >>> h, J, offset = gradient_ising(X, T)
        >>> bqm = dimod.BinaryQuadraticModel(h[0], np.triu(J), float(offset[0]), "SPIN")
        >>> float(bqm.energy([1, 1]))
        0.0

    Reference:
        Krahn et al., BMVC 2024, arXiv 2310.15128.
    """
    options = ProjectionOptions(scale=scale, alpha=alpha)
    inputs, targets = checked_layer(X, T)
    return _core.gradient_ising(
        inputs,
        targets,
        scale=options.scale,
        alpha=options.core_objective()["alpha"],
        num_threads=checked_threads(num_threads),
    )


def _pair(number: int, layer: Any) -> tuple[Any, Any]:
    """Return the inputs and the targets of a layer."""
    if isinstance(layer, (tuple, list)) and len(layer) == 2:
        return layer[0], layer[1]
    raise TypeError(f"layers[{number}] is {described(layer)}, but must be a pair (X, T)")
