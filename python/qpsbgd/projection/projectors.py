"""Projectors: what may solve the problems of a layer."""

from collections.abc import Sequence
from typing import Any, Literal, Protocol, TypeAlias

import dimod
import numpy as np
import numpy.typing as npt

from qpsbgd._checks.beta_ranges import BetaRange, BetaRule
from qpsbgd._checks.choices import checked_choice
from qpsbgd._checks.kinds import described
from qpsbgd._checks.layer_arrays import row_pieces
from qpsbgd.projection.native import minimise
from qpsbgd.projection.options import (
    DEFAULT_TARGET_EPS,
    InitialKind,
    LayerProblem,
    ProjectionOptions,
)
from qpsbgd.projection.products import LayerProducts, minimise_products
from qpsbgd.projection.projector_options import with_own_options
from qpsbgd.projection.sampler_projector import SamplerProjector


class Projector(Protocol):
    """Callable that solves the problems of one layer.

    ``QPSBGD(projector=...)`` and ``project(..., projector=...)`` take one.

    Example:
        >>> import numpy as np
        >>> from qpsbgd import project
        >>> def sign_sgd(X, T, options, /):
        ...     return np.where(T.T @ X >= 0, 1, -1).astype(np.int8)
        >>> X, T = np.ones((2, 3), np.float32), np.ones((2, 1), np.float32)
        >>> project(X, T, projector=sign_sgd).tolist()
        [[1, 1, 1]]
    """

    def __call__(
        self,
        X: npt.NDArray[np.float32],
        T: npt.NDArray[np.float32],
        options: ProjectionOptions,
        /,
    ) -> npt.NDArray[np.int8]:
        """Return the binary gradient ``(m, n)`` of -1 and +1.

        Args:
            X: inputs, float32 ``(N, n)``.
            T: targets, float32 ``(N, m)``.
            options: objective, scale, alpha, sweeps and seed. Where another option is None, the
                projector chooses.
        """
        ...


class StepProjector(Projector, Protocol):
    """Projector that receives all layers of a training step at once.

    It can solve them side by side, as a remote machine does.
    """

    def project_step(self, layers: Sequence[LayerProblem], /) -> list[npt.NDArray[np.int8]]:
        """Return the binary gradients ``(m, n)`` of -1 and +1, one for each layer."""
        ...


#: Values of the arguments that are called ``projector``. None and ``"native"`` mean the same.
ProjectorLike: TypeAlias = Literal["native"] | dimod.Sampler | Projector | None


class NativeProjector:
    """Projector that uses the solver of this package, with options of its own.

    :func:`qpsbgd.project` describes the options.

    Args:
        num_reads: independent solutions per neuron, >= 1.
        beta_range: inverse temperatures ``(hot, cold)``, a rule, or None for descent.
        initial: start of the first read, ``"linear"`` or ``"random"``.
        target_eps: tie rule of the sign objective, >= 0.
        num_threads: largest number of threads; None for the processors of this process.

    Raises:
        TypeError: an option has the wrong type.
        ValueError: an option is out of range.

    Example:
        >>> import numpy as np
        >>> from qpsbgd import NativeProjector, ProjectionOptions
        >>> X, T = np.ones((2, 3), np.float32), np.ones((2, 1), np.float32)
        >>> solve = NativeProjector(num_threads=1)
        >>> solve(X, T, ProjectionOptions(num_sweeps=2, seed=0)).tolist()
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
        checked_choice("initial", initial, ("linear", "random"))
        options = ProjectionOptions(
            num_reads=num_reads,
            beta_range=beta_range,
            target_eps=target_eps,
            num_threads=num_threads,
        )
        self.num_reads = num_reads
        self.beta_range = options.beta_range
        self.initial = initial
        self.target_eps = options.target_eps
        self.num_threads = num_threads

    def __call__(
        self,
        X: npt.NDArray[np.float32],
        T: npt.NDArray[np.float32],
        options: ProjectionOptions | None = None,
        /,
    ) -> npt.NDArray[np.int8]:
        """Return the binary gradient ``(m, n)`` of a layer; see :class:`~qpsbgd.Projector`.

        Raises:
            ValueError: an option differs from the projector's own, or a value of :func:`project`
                is refused.
        """
        return minimise(X, T, with_own_options(self, options or ProjectionOptions()))

    def project_products(
        self, products: LayerProducts, options: Sequence[ProjectionOptions]
    ) -> npt.NDArray[np.int8]:
        """Return the binary gradients ``(G, m, n)`` of a layer's groups from products of samples.

        Args:
            products: products of the layer's samples.
            options: options of each group, which differ in the seed only.

        Raises:
            ValueError: an option differs from the projector's own, or scale is out of range.
        """
        return minimise_products(products, [with_own_options(self, each) for each in options])

    def core_options(self, options: ProjectionOptions) -> dict[str, Any]:
        """Return what the core takes for a layer whose samples are divided over several ranks.

        Raises:
            ValueError: ``beta_range`` is a rule. No rank has the samples that a rule needs.
        """
        return with_own_options(self, options).core_arguments(_refuse_rule)


def check_projector(name: str, projector: Any) -> None:
    """Raise where a value cannot solve the problems of a layer.

    Raises:
        TypeError: the value is no word, sampler or projector.
        ValueError: the value is a word other than ``"native"``.
    """
    if projector is None:
        return
    if isinstance(projector, str):
        if projector != "native":
            raise ValueError(
                f"{name} is {projector!r}, but must be 'native', a dimod.Sampler or a projector"
            )
    elif isinstance(projector, type) or not (
        isinstance(projector, dimod.Sampler) or callable(projector)
    ):
        advice = (
            f": write {projector.__name__}() for an instance" if isinstance(projector, type) else ""
        )
        raise TypeError(
            f"{name} is {described(projector)}, but must be 'native', a dimod.Sampler or a "
            f"projector{advice}"
        )


def as_projector(
    projector: ProjectorLike, *, name: str = "projector", target_eps: float | None = None
) -> Projector:
    """Return a projector for a value of an argument ``projector``.

    Args:
        projector: None or ``"native"`` for a :class:`NativeProjector`, a dimod sampler for a
            :class:`SamplerProjector`, or a projector, which is returned.
        name: name of the argument, for messages.
        target_eps: tie rule of a projector that is made here; None for the default.

    Raises:
        TypeError: the value is no word, sampler or projector.
        ValueError: the value is another word, or a sampler for problems of its own graph.
    """
    check_projector(name, projector)
    own: dict[str, Any] = {} if target_eps is None else {"target_eps": target_eps}
    if projector is None or isinstance(projector, str):
        return NativeProjector(**own)
    if isinstance(projector, dimod.Sampler):
        return SamplerProjector(projector, **own)
    return projector


def as_native(projector: Projector) -> NativeProjector | None:
    """Return the projector where it is this package's own, else None."""
    # A subclass that overrides __call__ does more than its options say.
    if isinstance(projector, NativeProjector):
        return projector if type(projector).__call__ is NativeProjector.__call__ else None
    return None


def check_binary(binary: Any, shape: tuple[int, ...]) -> None:
    """Raise ValueError where a projector's result is no int8 array of -1 and +1 of a shape."""
    if not isinstance(binary, np.ndarray) or binary.dtype != np.int8 or binary.shape != shape:
        raise ValueError(
            f"projector returned {type(binary).__name__} of dtype "
            f"{getattr(binary, 'dtype', None)} and shape {getattr(binary, 'shape', None)}, "
            f"but must return an int8 array of shape {shape}"
        )
    if not all((np.abs(binary[rows]) == 1).all() for rows in row_pieces(binary)):
        raise ValueError("projector returned values other than -1 and +1")


def _refuse_rule(rule: BetaRule) -> tuple[float, float]:
    raise ValueError(
        f"beta_range is {rule!r}, but ranks that share a layer need one without its data: give two "
        "numbers"
    )
