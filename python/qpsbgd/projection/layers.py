"""Projecting a layer's gradient onto binary variables.

A layer with inputs ``X (N, n)`` and gradients ``T (N, m)`` at its ``m`` outputs gives ``m`` binary
problems, one a neuron, that share ``X``. :func:`project` solves all of them in one call;
:func:`gradient_qubo` hands them out to be solved elsewhere; :func:`projection_energy` says how good
an answer is. Method: arXiv 2310.15128.
"""

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, get_args

import dimod
import numpy as np
import numpy.typing as npt

from qpsbgd import _core
from qpsbgd._checks import (
    BetaRange,
    BetaRule,
    checked_choice,
    checked_count,
    checked_geometric_range,
    checked_real,
    checked_seed,
    checked_threads,
    described,
    refuse_masked,
    tensor_array,
)
from qpsbgd.samplers.schedule import geometric

if TYPE_CHECKING:
    import torch

    ArrayLike: TypeAlias = npt.NDArray[Any] | torch.Tensor

Objective = Literal["quadratic", "sign"]
AlphaRule = Literal["norm", "fit"]
InitialKind = Literal["linear", "random"]
OBJECTIVES: tuple[str, ...] = get_args(Objective)
ALPHA_RULES: tuple[str, ...] = get_args(AlphaRule)

#: Sweeps of :func:`project` where the caller names none. Descent from the linear minimiser rarely
#: needs more; it stops early where nothing moves.
DEFAULT_NUM_SWEEPS = 10
DEFAULT_TARGET_EPS = 0.01


class Projector(Protocol):
    """Anything that solves a layer's problems; what ``QPSBGD(projector=...)`` takes."""

    def __call__(
        self,
        X: npt.NDArray[np.float32],
        T: npt.NDArray[np.float32],
        /,
        *,
        objective: Objective,
        scale: float,
        alpha: AlphaRule,
        num_sweeps: int,
        seed: int,
    ) -> npt.NDArray[np.int8]:
        """Binary gradient ``(m, n)`` of +-1 for inputs ``X (N, n)`` and targets ``T (N, m)``."""
        ...


@dataclass(frozen=True)
class LayerProblem:
    """The problems of one layer in one step of training.

    Attributes:
        name: of the layer, for messages and labels.
        step: steps that the layer has made before.
        X: inputs, float32 ``(N, n)``.
        T: targets, float32 ``(N, m)``.
        objective: as for :func:`project`, and so are those that follow.
        scale: see there.
        alpha: see there.
        num_sweeps: see there.
        seed: see there, but not None.
    """

    name: str
    step: int
    X: npt.NDArray[np.float32]
    T: npt.NDArray[np.float32]
    objective: Objective = "quadratic"
    scale: float = 1.0
    alpha: AlphaRule = "norm"
    num_sweeps: int = DEFAULT_NUM_SWEEPS
    seed: int = 0

    @property
    def shape(self) -> tuple[int, int]:
        """(m, n)."""
        return self.T.shape[1], self.X.shape[1]

    @property
    def minimised(self) -> dict[str, Any]:
        """What the problems minimise, as arguments of :func:`project`."""
        return {
            "objective": self.objective,
            "scale": self.scale,
            "alpha": self.alpha,
        }


class StepProjector(Projector, Protocol):
    """A projector that wants all layers of a step at once, such as to solve them side by side."""

    def project_step(self, layers: Sequence[LayerProblem], /) -> list[npt.NDArray[np.int8]]:
        """Binary gradients ``(m, n)`` of +-1, one a layer."""
        ...


class NativeProjector:
    """:func:`project` with some of its options fixed.

    Args:
        num_reads: as for :func:`project`.
        beta_range: as for :func:`project`.
        initial: ``"linear"`` or ``"random"``.
        target_eps: as for :func:`project`.
        num_threads: as for :func:`project`.

    Example:
        >>> import numpy as np
        >>> X, T = np.ones((2, 3), np.float32), np.ones((2, 1), np.float32)
        >>> solve = NativeProjector(num_threads=1)
        >>> solve(X, T, objective="quadratic", scale=1.0, num_sweeps=2, seed=0).tolist()
        [[1, 1, 1]]
    """

    def __init__(
        self,
        *,
        num_reads: int = 1,
        beta_range: BetaRange | None = None,
        initial: InitialKind = "linear",
        target_eps: float = DEFAULT_TARGET_EPS,
        num_threads: int | None = None,
    ) -> None:
        self.num_reads = checked_count("num_reads", num_reads, 1)
        _checked_beta_range(beta_range)
        self.beta_range = beta_range
        _checked_initial_kind(initial)
        self.initial = initial
        self.target_eps = checked_eps(target_eps)
        checked_threads(num_threads)
        self.num_threads = num_threads

    def __call__(
        self,
        X: npt.NDArray[np.float32],
        T: npt.NDArray[np.float32],
        /,
        *,
        objective: Objective,
        scale: float,
        alpha: AlphaRule = "norm",
        num_sweeps: int,
        seed: int,
    ) -> npt.NDArray[np.int8]:
        """Solve a layer's problems; see :func:`project`."""
        return project(
            X,
            T,
            objective=objective,
            scale=scale,
            alpha=alpha,
            num_sweeps=num_sweeps,
            num_reads=self.num_reads,
            beta_range=self.beta_range,
            initial=self.initial,
            target_eps=self.target_eps,
            seed=seed,
            num_threads=self.num_threads,
        )

    def core_options(
        self,
        objective: Objective,
        scale: float,
        alpha: AlphaRule,
        num_sweeps: int,
        seed: int,
    ) -> dict[str, Any]:
        """What a call with these options hands to the core beside data and threads, checked."""
        checked = _checked_options(
            objective,
            scale,
            alpha,
            num_sweeps,
            self.num_reads,
            self.beta_range,
            self.target_eps,
            seed,
            _no_rule,
        )
        return {**checked, "initial": _core.InitialState[self.initial]}


def project(
    X: "ArrayLike",
    T: "ArrayLike",
    *,
    objective: Objective = "quadratic",
    scale: float = 1.0,
    alpha: AlphaRule = "norm",
    num_sweeps: int = DEFAULT_NUM_SWEEPS,
    num_reads: int | None = None,
    beta_range: BetaRange | None = None,
    initial: InitialKind | npt.NDArray[np.int8] | None = None,
    target_eps: float | None = None,
    seed: int | None = None,
    num_threads: int | None = None,
    backend: "Backend" = "native",
) -> npt.NDArray[np.int8]:
    """Binary gradient of a layer: one quadratic binary problem per neuron, solved in one call.

    With ``t`` the column of ``T`` that belongs to a row ``b`` of the result:

    * ``objective="quadratic"``: ``b = argmin ||t / mean|t| - alpha X b||^2``, with one ``alpha``
      for the layer. With ``T^ = T / mean|T|``, the means taken neuron by neuron, and
      ``B0 = sign(X^T T)``, it is ``scale * ||T^||_F / ||X B0||_F`` for ``alpha="norm"`` and
      ``scale * <T^, X B0> / ||X B0||_F^2`` for ``"fit"``. ``scale -> 0`` gives
      ``sign(X^T t)``, signSGD's direction.
    * ``objective="sign"``: ``b = argmin ||sign(X b + target_eps) - t||^2``, ``sign(0) = +1``.

    The answer is a local optimum or better, not a proof of optimality. Row ``r`` depends on the
    data, the parameters, ``seed`` and ``r`` alone: not on ``num_threads`` or the instruction set.

    Args:
        X: inputs of the layer, float32 ``(N, n)``; NumPy, or torch on the CPU. Not copied if it is
            C-contiguous.
        T: gradient of the loss with respect to the layer's outputs, float32 ``(N, m)``.
        objective: ``"quadratic"`` or ``"sign"``.
        scale: factor of ``alpha``, > 0; the sign objective has none and ignores it.
        alpha: ``"norm"``, the paper's, makes ``X B0`` as long as ``T^``; ``"fit"`` makes it
            the multiple nearest to ``T^``, shorter by the cosine between the two. That is small
            where samples are many, as in convolutions (.01 to .05): there ``"norm"``
            is far too long, so that ``b`` minimises ``||X b||`` instead of following ``t``, and
            ``scale`` has to be searched for, down to .03. With ``"fit"`` scales from .1 (a graph)
            to 3 (inputs with a common mean) were best in the networks tried, and 1 good. The sign
            objective ignores it.
        num_sweeps: passes over all variables; 0 returns the start. Descent stops at a local
            optimum.
        num_reads: independent solutions per neuron, of which the best is returned; default 1. The
            first starts from ``initial``, the others from random states.
        beta_range: ``(hot, cold)`` inverse temperatures of a geometric annealing schedule over
            ``num_sweeps``, ``0 < hot <= cold``, in units of the objective for ``t / mean|t|``;
            ``"auto"`` for the rule of the samplers
            (:func:`~qpsbgd.samplers.schedule.auto_beta_range`), applied to up to 16
            neurons; ``"dwave"`` for that of dwave-samplers, which the sign
            objective does not have. Other than for samplers, ``None`` is descent (zero
            temperature), which changes nothing that is no improvement.
        initial: ``"linear"``, the default, for ``sign(X^T t)``, ``"random"``, or an int8 array
            ``(m, n)`` of +-1.
        target_eps: the sign objective's tie rule, in units of ``X``; >= 0; default 0.01.
        seed: integer in ``[0, 2**31)``; drawn anew if ``None``. A single descent from a given or
            linear start draws nothing.
        num_threads: at most this many threads, of which no more than four a processor are started;
            ``None`` for as many as there are processors for this process.
        backend: ``"native"``; any unstructured ``dimod.Sampler``, for
            :class:`~qpsbgd.SamplerProjector` of it; or a projector, such as
            ``NativeProjector(...)`` or ``qpsbgd.hardware.DWaveProjector(...)``. A projector's own
            options hold where the call leaves ``num_reads``, ``beta_range``, ``initial``,
            ``target_eps`` and ``num_threads`` at ``None``; a call that gives another value than the
            projector's is an error.

    Returns:
        int8 array ``(m, n)`` of -1 and +1.

    Raises:
        TypeError: an argument of the wrong type or dtype.
        ValueError: shapes that do not fit, an empty array, NaN or infinity, a value out of range,
            an option that the back end does not have.
        KeyboardInterrupt: at Ctrl-C, also amid a long call.

    Example:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> X = rng.normal(size=(8, 5)).astype(np.float32)
        >>> b = np.array([[1, -1, -1, 1, 1]], np.int8)
        >>> bool((project(X, X @ b.T.astype(np.float32)) == b).all())
        True

    Reference:
        Krahn et al., "Projected Stochastic Gradient Descent with Quantum Annealed Binary
        Gradients", BMVC 2024, arXiv 2310.15128.
    """
    check_backend("backend", backend)
    inputs, targets = checked_layer(X, T)
    if not isinstance(backend, str):
        own = {"num_reads": num_reads, "beta_range": beta_range, "initial": initial}
        _check_projector_options(backend, {**own, "num_threads": num_threads})
        solve = as_projector(backend, target_eps=target_eps)
        binary = solve(
            inputs,
            targets,
            objective=objective,
            scale=checked_scale(scale),
            alpha=alpha,
            num_sweeps=checked_count("num_sweeps", num_sweeps, 0),
            seed=checked_seed(seed),
        )
        check_binary(binary, (targets.shape[1], inputs.shape[1]))
        return binary
    threads = checked_threads(num_threads)
    kind, states = _checked_initial(
        "linear" if initial is None else initial, (targets.shape[1], inputs.shape[1])
    )
    options = _checked_options(
        objective,
        scale,
        alpha,
        num_sweeps,
        1 if num_reads is None else num_reads,
        beta_range,
        DEFAULT_TARGET_EPS if target_eps is None else target_eps,
        checked_seed(seed),
        lambda rule, checked: _found_beta_range(rule, inputs, targets, checked, threads),
    )
    return _core.project(
        inputs,
        targets,
        initial=kind,
        initial_states=states,
        num_threads=threads,
        **options,
    )


def projection_energy(
    X: "ArrayLike",
    T: "ArrayLike",
    B: npt.NDArray[Any],
    *,
    objective: Objective = "quadratic",
    scale: float = 1.0,
    alpha: AlphaRule = "norm",
    target_eps: float = DEFAULT_TARGET_EPS,
    num_threads: int | None = None,
) -> npt.NDArray[np.float64]:
    """Objective of each row of ``B``, as :func:`project` minimises it.

    Args:
        X: as for :func:`project`.
        T: as for :func:`project`.
        B: ``(m, n)`` of -1 and +1, any real dtype.
        objective: as for :func:`project`.
        scale: as for :func:`project`.
        alpha: as for :func:`project`.
        target_eps: as for :func:`project`.
        num_threads: as for :func:`project`.

    Returns:
        float64 array ``(m,)``: ``||t / mean|t| - alpha X b||^2``, or
        ``||sign(X b + target_eps) - t||^2``, summed in float64.

    Raises:
        TypeError: an argument of the wrong type or dtype.
        ValueError: shapes that do not fit, an empty array, NaN or infinity, a value out of range.

    Example:
        >>> import numpy as np
        >>> X, T = np.eye(2, dtype=np.float32), np.ones((2, 1), np.float32)
        >>> projection_energy(X, T, np.array([[1, 1], ])).tolist()
        [0.0]
    """
    inputs, targets = checked_layer(X, T)
    return _core.projection_energy(
        inputs,
        targets,
        _checked_states("B", B, (targets.shape[1], inputs.shape[1])),
        objective=_core.Objective[checked_choice("objective", objective, OBJECTIVES)],
        scale=checked_scale(scale),
        alpha=checked_alpha(alpha),
        target_eps=checked_eps(target_eps),
        num_threads=checked_threads(num_threads),
    )


def gradient_qubo(
    X: "ArrayLike",
    T: "ArrayLike",
    scale: float = 1.0,
    *,
    alpha: AlphaRule = "norm",
    num_threads: int | None = None,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.float64]]:
    """The quadratic objective's problems, to be solved elsewhere.

    Row ``r`` of the layer is the Ising problem over spins ``b`` in {-1, +1}^n with energy
    ``sum_{i<j} J[i, j] b_i b_j + sum_i h[r, i] b_i + offset[r]``, which is
    ``||t / mean|t| - alpha X b||^2``.

    Args:
        X: as for :func:`project`.
        T: as for :func:`project`.
        scale: as for :func:`project`.
        alpha: as for :func:`project`.
        num_threads: as for :func:`project`.

    Returns:
        ``J`` float32 ``(n, n)``, symmetric with a zero diagonal, shared by all rows; ``h`` float32
        ``(m, n)``; ``offset`` float64 ``(m,)``.

    Raises:
        TypeError: an argument of the wrong type or dtype.
        ValueError: shapes that do not fit, an empty array, NaN or infinity, a value out of range.

    Example:
        >>> import dimod
        >>> import numpy as np
        >>> X, T = np.eye(2, dtype=np.float32), np.ones((2, 1), np.float32)
        >>> J, h, offset = gradient_qubo(X, T)
        >>> bqm = dimod.BinaryQuadraticModel(h[0], np.triu(J), float(offset[0]), "SPIN")
        >>> bqm.energy([1, 1])
        0.0
    """
    inputs, targets = checked_layer(X, T)
    return _core.gradient_qubo(
        inputs,
        targets,
        scale=checked_scale(scale),
        alpha=checked_alpha(alpha),
        num_threads=checked_threads(num_threads),
    )


def _checked_options(
    objective: str,
    scale: float,
    alpha: str,
    num_sweeps: int,
    num_reads: int,
    beta_range: BetaRange | None,
    target_eps: float,
    seed: int,
    find: Callable[[BetaRule, dict[str, Any]], tuple[float, float]],
) -> dict[str, Any]:
    """Options as the core takes them; ``find`` takes a rule for temperatures and the others."""
    num_sweeps = checked_count("num_sweeps", num_sweeps, 0)
    ends = _checked_beta_range(beta_range)
    options = {
        "objective": _core.Objective[checked_choice("objective", objective, OBJECTIVES)],
        "scale": checked_scale(scale),
        "alpha": checked_alpha(alpha),
        "num_sweeps": num_sweeps,
        "num_reads": checked_count("num_reads", num_reads, 1),
        "target_eps": checked_eps(target_eps),
        "seed": seed,
    }
    if isinstance(ends, str):
        ends = find(ends, options)
    return {**options, "betas": [] if ends is None else geometric(*ends, num_sweeps)}


def _found_beta_range(
    rule: BetaRule,
    X: npt.NDArray[np.float32],
    T: npt.NDArray[np.float32],
    options: dict[str, Any],
    num_threads: int,
) -> tuple[float, float]:
    """Temperatures that a rule finds for a layer."""
    from qpsbgd.projection.temperatures import quadratic_beta_range, sign_beta_range

    if options["objective"] is _core.Objective.quadratic:
        return quadratic_beta_range(
            rule, X, T, scale=options["scale"], alpha=options["alpha"],
            num_threads=num_threads,
        )  # fmt: skip
    if rule == "dwave":
        raise ValueError(
            "beta_range is 'dwave', but that rule needs couplings, which objective='sign' has not: "
            "take 'auto' or two numbers"
        )
    return sign_beta_range(X, T, target_eps=options["target_eps"], num_threads=num_threads)


def _no_rule(rule: BetaRule, _: dict[str, Any]) -> tuple[float, float]:
    """Raise, as ranks that share a layer do not have its problems."""
    raise ValueError(
        f"beta_range is {rule!r}, but ranks that share a layer need one without its data: give two "
        "numbers"
    )


#: What solves a layer's problems; see :func:`as_projector`.
Backend: TypeAlias = Literal["native"] | dimod.Sampler | Projector


def check_backend(name: str, backend: Any) -> None:
    """Raise where a value is none of the back ends of :func:`project`.

    Raises:
        TypeError: no word, no sampler and no projector.
        ValueError: another word than ``"native"``.
    """
    if isinstance(backend, str):
        checked_choice(name, backend, ("native",))
    elif isinstance(backend, type) or not (isinstance(backend, dimod.Sampler) or callable(backend)):
        advice = (
            f": write {backend.__name__}() for an instance" if isinstance(backend, type) else ""
        )
        raise TypeError(
            f"{name} is {described(backend)}, but must be 'native', a dimod.Sampler or a projector"
            f"{advice}"
        )


def as_projector(
    backend: Backend, *, name: str = "backend", target_eps: float | None = None
) -> Projector:
    """The projector that a back end stands for: itself, a sampler's, or the native one.

    Args:
        backend: see :func:`project`.
        name: of the argument, for messages.
        target_eps: for a projector made here; one that is given must have it. None for any.

    Raises:
        TypeError: no back end.
        ValueError: another word than ``"native"``, a sampler that takes problems of its own graph
            alone, or a projector made with another ``target_eps``.
    """
    check_backend(name, backend)
    eps = DEFAULT_TARGET_EPS if target_eps is None else target_eps
    if isinstance(backend, str):
        return NativeProjector(target_eps=eps)
    if isinstance(backend, dimod.Sampler):
        from qpsbgd.projection.sampler_projector import SamplerProjector

        return SamplerProjector(backend, target_eps=eps)
    own = getattr(backend, "target_eps", eps)
    if target_eps is not None and own != target_eps:
        raise ValueError(
            f"target_eps is {target_eps!r}, but the projector was made with {own!r}: give it to "
            "the projector"
        )
    projector: Projector = backend
    return projector


def _check_projector_options(backend: Any, options: Mapping[str, Any]) -> None:
    """Raise ValueError where an option is given that a back end has not, or has with another value.

    Args:
        backend: a sampler or a projector.
        options: of :func:`project`, for the native back end; None where the call leaves it.
    """
    for name, value in options.items():
        if value is None:
            continue
        if isinstance(backend, dimod.Sampler) or not hasattr(backend, name):
            raise ValueError(f"{name} goes with backend='native' alone: give it to the projector")
        own = getattr(backend, name)
        if not np.array_equal(value, own):
            raise ValueError(
                f"{name} is {value!r}, but the projector was made with {own!r}: give it to the "
                "projector"
            )


@contextlib.contextmanager
def naming(layer: str) -> Iterator[None]:
    """Errors of one layer say which."""
    try:
        yield
    except (ValueError, RuntimeError) as error:
        base = ValueError if isinstance(error, ValueError) else RuntimeError
        # Of the error's own type, unless that is made otherwise than from one message.
        kind = type(error) if type(error).__init__ is base.__init__ else base
        raise kind(f"layer {layer!r}: {error}") from error


def check_binary(binary: Any, shape: tuple[int, ...]) -> None:
    """Raise ValueError where a projector's answer is no int8 array ``shape`` of -1 and +1."""
    if not isinstance(binary, np.ndarray) or binary.dtype != np.int8 or binary.shape != shape:
        raise ValueError(
            f"projector returned {type(binary).__name__} of dtype "
            f"{getattr(binary, 'dtype', None)} and shape {getattr(binary, 'shape', None)}, "
            f"but must return an int8 array of shape {shape}"
        )
    if not all((np.abs(binary[rows]) == 1).all() for rows in _pieces(binary)):
        raise ValueError("projector returned values other than -1 and +1")


def checked_layer(
    X: "ArrayLike", T: "ArrayLike"
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """X ``(N, n)`` and T ``(N, m)`` as the core takes them; see :func:`project` for errors."""
    inputs, targets = _checked_matrix("X", X), _checked_matrix("T", T)
    if inputs.shape[0] != targets.shape[0]:
        raise ValueError(
            f"X has shape {inputs.shape} and T {targets.shape}, but both need one row per sample: "
            "X (N, n) and T (N, m)"
        )
    return inputs, targets


def _checked_matrix(name: str, value: "ArrayLike") -> npt.NDArray[np.float32]:
    array = _as_numpy(name, value)
    if array.dtype.newbyteorder("=") != np.float32:
        raise TypeError(f"{name} has dtype {array.dtype}, but must be float32")
    if array.ndim != 2:
        raise ValueError(f"{name} has shape {array.shape}, but must have two dimensions")
    if array.size == 0:
        raise ValueError(f"{name} has shape {array.shape}, but must not be empty")
    # A copy only where the memory is not row-major, aligned and of native byte order.
    if not (array.flags.c_contiguous and array.flags.aligned and array.dtype.isnative):
        array = _copied(array, np.float32)
    bad = _core.first_nonfinite(array)
    if bad < array.size:
        row, column = divmod(bad, array.shape[1])
        raise ValueError(f"{name}[{row}, {column}] is {array[row, column]}, but must be finite")
    return array


def _as_numpy(name: str, value: "ArrayLike") -> npt.NDArray[Any]:
    refuse_masked(name, value)
    if isinstance(value, np.ndarray):
        return value
    array = tensor_array(name, value)
    if array is None:
        raise TypeError(
            f"{name} is {described(value)}, but must be a NumPy array or a torch tensor"
        )
    return array


def _checked_states(name: str, value: "ArrayLike", shape: tuple[int, int]) -> npt.NDArray[np.int8]:
    array = _as_numpy(name, value)
    if array.dtype.kind not in "iuf":
        raise TypeError(f"{name} has dtype {array.dtype}, but must be an integer or float type")
    if array.shape != shape:
        raise ValueError(f"{name} has shape {array.shape}, but must be (m, n) = {shape}")
    for rows in _pieces(array):
        wrong = np.argwhere((array[rows] != 1) & (array[rows] != -1))
        if len(wrong):
            row, column = rows.start + wrong[0, 0], wrong[0, 1]
            raise ValueError(
                f"{name}[{row}, {column}] is {array[row, column]}, but must be -1 or +1"
            )
    if array.dtype == np.int8 and array.flags.c_contiguous:
        return array
    return _copied(array, np.int8)


#: Entries of an array that NumPy handles in one call: Ctrl-C waits until it returns.
_PIECE = 1 << 18


def _pieces(array: npt.NDArray[Any]) -> Iterator[slice]:
    """Slices of rows that together are all rows, of about ``_PIECE`` entries each."""
    step = max(1, _PIECE // max(1, array.shape[1]))
    for first in range(0, len(array), step):
        yield slice(first, min(first + step, len(array)))


def _copied(array: npt.NDArray[Any], dtype: Any) -> npt.NDArray[Any]:
    """A row-major copy, made in pieces."""
    copy = np.empty(array.shape, dtype)
    for rows in _pieces(array):
        copy[rows] = array[rows]
    return copy


def _checked_initial(
    initial: InitialKind | npt.NDArray[np.int8], shape: tuple[int, int]
) -> tuple[_core.InitialState, npt.NDArray[np.int8] | None]:
    if isinstance(initial, str):
        return _checked_initial_kind(initial), None
    return _core.InitialState.given, _checked_states("initial", initial, shape)


def _checked_initial_kind(initial: str) -> _core.InitialState:
    if initial not in ("linear", "random"):
        raise ValueError(f"initial is {initial!r}, but must be 'linear', 'random' or an array")
    return _core.InitialState[initial]


def checked_scale(scale: float) -> float:
    checked = checked_real("scale", scale)
    if not (0.0 < checked < math.inf):
        raise ValueError(f"scale is {scale!r}, but must be positive and finite")
    return checked


def checked_alpha(alpha: str) -> _core.AlphaRule:
    return _core.AlphaRule[checked_choice("alpha", alpha, ALPHA_RULES)]


def checked_eps(target_eps: float) -> float:
    checked = checked_real("target_eps", target_eps)
    if not (0.0 <= checked < math.inf):
        raise ValueError(f"target_eps is {target_eps!r}, but must be finite and at least 0")
    return checked


def _checked_beta_range(beta_range: BetaRange | None) -> BetaRange | None:
    """None for descent, a rule, or numbers that do not fall."""
    if beta_range is None:
        return None
    ends = checked_geometric_range(beta_range)
    if not isinstance(ends, str) and ends[0] > ends[1]:
        raise ValueError(f"beta_range is {beta_range!r}, but must be 0 < hot <= cold < inf")
    return ends
