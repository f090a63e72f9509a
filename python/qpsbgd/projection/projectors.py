"""Projectors: what may solve the problems of a layer."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol, TypeAlias

import dimod
import numpy as np
import numpy.typing as npt

from qpsbgd._checks import (
    SEED_LIMIT,
    BetaRange,
    BetaRule,
    check_instance,
    checked_choice,
    checked_layer,
    checked_nonnegative,
    checked_threads,
    described,
    row_pieces,
)
from qpsbgd.projection.encoding import DEFAULT_PENALTY_FACTOR, checked_penalty_factor, encode
from qpsbgd.projection.native import minimise
from qpsbgd.projection.options import (
    DEFAULT_TARGET_EPS,
    InitialKind,
    LayerProblem,
    ProjectionOptions,
)
from qpsbgd.projection.products import LayerProducts, minimise_products
from qpsbgd.projection.sample_sets import Ranking, checked_spins, never_worse

#: Options that belong to a projector: where a call leaves them at None, the projector's own hold.
OWN_OPTIONS = ("num_reads", "beta_range", "initial", "target_eps", "num_threads")


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


class SamplerProjector:
    """Projector that uses a dimod sampler, with one SPIN model for each neuron.

    The sampler receives all models before the first sample set is read. A sampler that returns at
    once, such as that of a remote machine, works on them side by side. The objective of the
    samples is computed anew. A neuron gets the linear minimiser ``sign(X^T t)`` where the sampler
    found nothing better.

    Args:
        sampler: ``dimod.Sampler`` for problems of any structure, such as a simulated annealer or
            ``EmbeddingComposite(DWaveSampler())``. ``qpsbgd.hardware.DWaveProjector`` suits
            quantum annealers better: it solves many neurons in one call.
        sample_kwargs: keyword arguments of the sampler's ``sample``. If the sampler takes a
            ``seed`` that is not here, it receives one drawn from the seed of the projection.
        polish: whether native descent follows, for the ``num_sweeps`` of the projection. Without
            it, ``num_sweeps`` has no effect.
        target_eps: tie rule of the sign objective, >= 0.
        penalty_factor: factor of the sign objective's penalty; see :func:`qpsbgd.gradient_bqms`.
        num_threads: largest number of threads outside the sampler; None for the processors of
            this process.

    Raises:
        TypeError: ``sampler`` is no dimod sampler.
        ValueError: the sampler is structured or lacks a parameter of ``sample_kwargs``, or a value
            is out of range. A call raises :class:`~qpsbgd.InvalidSampleSetError` for a sample set
            that does not fit, and whatever the sampler raises. Nothing is retried.

    Example:
        >>> import dimod
        >>> import numpy as np
        >>> from qpsbgd import ProjectionOptions, SamplerProjector
        >>> X, T = np.ones((2, 3), np.float32), np.ones((2, 1), np.float32)
        >>> solve = SamplerProjector(dimod.ExactSolver())
        >>> solve(X, T, ProjectionOptions(objective="sign")).tolist()
        [[1, 1, 1]]
    """

    def __init__(
        self,
        sampler: dimod.Sampler,
        *,
        sample_kwargs: Mapping[str, Any] | None = None,
        polish: bool = False,
        target_eps: float = DEFAULT_TARGET_EPS,
        penalty_factor: float = DEFAULT_PENALTY_FACTOR,
        num_threads: int | None = None,
    ) -> None:
        check_instance("sampler", sampler, dimod.Sampler, "a dimod.Sampler")
        if isinstance(sampler, dimod.Structured):
            raise ValueError(
                f"sampler is a {type(sampler).__name__}, which takes problems of its own graph "
                "alone: use qpsbgd.hardware.DWaveProjector(sampler), or "
                "dwave.system.EmbeddingComposite(sampler)"
            )
        self.sampler = sampler
        self.sample_kwargs = dict(sample_kwargs or {})
        unknown = sorted(set(self.sample_kwargs) - set(sampler.parameters))
        if unknown:
            raise ValueError(
                f"sample_kwargs has {unknown[0]!r}, but {type(sampler).__name__} takes "
                f"{', '.join(sorted(sampler.parameters))}"
            )
        self.polish = polish
        self.target_eps = checked_nonnegative("target_eps", target_eps)
        self.penalty_factor = checked_penalty_factor(penalty_factor)
        checked_threads(num_threads)
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
            TypeError: an array has the wrong type or dtype.
            ValueError: shapes do not fit, a value is refused, or an option differs from the
                projector's own.
        """
        X, T = checked_layer(X, T)
        options = options or ProjectionOptions()
        layer = LayerProblem("", 0, X, T, with_own_options(self, options))
        bqms = encode(X, T, layer.options, self.penalty_factor)
        kwargs = self.sample_kwargs
        seeds = np.random.default_rng(options.seed).integers(SEED_LIMIT, size=len(bqms)).tolist()
        takes_seed = "seed" in self.sampler.parameters and "seed" not in kwargs
        # A neuron whose targets are all 0 has no preferred row.
        reached = np.flatnonzero(T.any(axis=0)).tolist()
        # A list, not a generator: the sampler receives all models before a sample set is read.
        pending = [
            self.sampler.sample(bqms[row], **kwargs, **({"seed": seeds[row]} if takes_seed else {}))
            for row in reached
        ]
        variables = np.arange(bqms.num_variables)
        found = np.ones(layer.shape, np.int8)
        ranking = Ranking(bqms, layer)
        for row, sampleset in zip(reached, pending, strict=True):
            reads = checked_spins(sampleset, variables)[:, : bqms.num_inputs]
            found[row] = ranking.best(row, reads)
        return never_worse(layer, found, polish=self.polish).binary


def check_projector(name: str, projector: Any) -> None:
    """Raise where a value cannot solve the problems of a layer.

    Raises:
        TypeError: the value is no word, sampler or projector.
        ValueError: the value is a word other than ``"native"``.
    """
    if projector is None:
        return
    if isinstance(projector, str):
        checked_choice(name, projector, ("native",))
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


def check_own_options(projector: Projector, options: ProjectionOptions) -> None:
    """Raise ValueError where an option is not the projector's own.

    A projector without a tie rule of its own uses that of the options.
    """
    for name in OWN_OPTIONS:
        value = getattr(options, name)
        if value is None:
            continue
        if hasattr(projector, name):
            own = getattr(projector, name)
            if not np.array_equal(value, own):
                raise ValueError(
                    f"{name} is {value!r}, but the projector was made with {own!r}: give it to the "
                    "projector"
                )
        elif name != "target_eps":
            raise ValueError(
                f"{name} is {value!r}, but {type(projector).__name__} has no such option: give it "
                "to the projector, or use the native one"
            )


def with_own_options(projector: Projector, options: ProjectionOptions) -> ProjectionOptions:
    """Return options in which a projector's own values replace None.

    Raises:
        ValueError: an option is given that is not the projector's own.
    """
    check_own_options(projector, options)
    return options.filled(
        **{name: getattr(projector, name) for name in OWN_OPTIONS if hasattr(projector, name)}
    )


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
