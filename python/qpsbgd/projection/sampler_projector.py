"""Projector that hands the problems of a layer to a dimod sampler."""

import inspect
from collections.abc import Mapping
from typing import Any

import dimod
import numpy as np
import numpy.typing as npt

from qpsbgd._checks.kinds import check_instance
from qpsbgd._checks.layer_arrays import checked_layer
from qpsbgd._checks.numbers import SEED_LIMIT, checked_nonnegative, checked_threads
from qpsbgd.projection.encoding import DEFAULT_PENALTY_FACTOR, checked_penalty_factor, encode
from qpsbgd.projection.models import GradientBQMs
from qpsbgd.projection.options import DEFAULT_TARGET_EPS, LayerProblem, ProjectionOptions
from qpsbgd.projection.projector_options import with_own_options
from qpsbgd.projection.sample_sets import Ranking, checked_spins, never_worse
from qpsbgd.samplers.base import CoreSampler


class SamplerProjector:
    """Projector that uses a dimod sampler, with one SPIN model for each neuron.

    The sampler receives all models before the first sample set is read. A sampler that returns at
    once, such as that of a remote machine, works on them side by side. The objective of the
    samples is computed anew. A neuron gets the linear minimiser ``sign(X^T t)`` where the sampler
    found nothing better.

    Args:
        sampler: ``dimod.Sampler`` such as a simulated annealer or
            ``EmbeddingComposite(DWaveSampler())``. A structured sampler suits if its graph holds
            the problems of every layer, as that of a ``FixedEmbeddingComposite`` of a complete
            graph does. ``qpsbgd.hardware.DWaveProjector`` suits quantum annealers better: it solves
            many neurons in one call.
        sample_kwargs: keyword arguments of the sampler's ``sample``, which refuses what it does not
            know. If ``sample`` has a parameter ``seed`` that is not here, it receives one drawn
            from the seed of the projection.
        polish: whether native descent follows, for the ``num_sweeps`` of the projection. Without
            it, ``num_sweeps`` has no effect.
        target_eps: tie rule of the sign objective, >= 0.
        penalty_factor: factor of the sign objective's penalty; see :func:`qpsbgd.gradient_bqms`.
        num_threads: largest number of threads outside the sampler; None for the processors of
            this process.

    Raises:
        TypeError: ``sampler`` is no dimod sampler.
        ValueError: the sampler is a bare annealer, ``sample`` certainly refuses a parameter, or a
            value is out of range. A call raises ValueError for a layer whose problems a structured
            sampler cannot hold, :class:`~qpsbgd.InvalidSampleSetError` for a sample set that does
            not fit, and whatever the sampler raises. Nothing is retried.

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
        if isinstance(sampler, dimod.Structured) and "topology" in sampler.properties:
            # The graph of an annealer's chip holds no complete graph of more than four variables.
            raise ValueError(_own_graph_alone(sampler))
        self.sampler = sampler
        self.sample_kwargs = dict(sample_kwargs or {})
        _check_kwargs(sampler, self.sample_kwargs)
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
        if isinstance(self.sampler, dimod.Structured) and not _holds(self.sampler, bqms):
            raise ValueError(_own_graph_alone(self.sampler))
        kwargs = self.sample_kwargs
        seeds = np.random.default_rng(options.seed).integers(SEED_LIMIT, size=len(bqms)).tolist()
        takes_seed = "seed" not in kwargs and _takes_seed(self.sampler)
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


def _check_kwargs(sampler: dimod.Sampler, kwargs: Mapping[str, Any]) -> None:
    """Raise ValueError for arguments that the sampler's ``sample`` is known to refuse.

    Samplers need not list all of their parameters, but those of this package do.
    """
    try:
        signature = inspect.signature(sampler.sample)
    except (TypeError, ValueError):  # a function without a signature, such as a compiled one
        return
    try:
        signature.bind(None, **kwargs)
    except TypeError as error:
        raise ValueError(
            f"sample_kwargs do not suit {type(sampler).__name__}.sample: {error}"
        ) from error
    unknown = sorted(set(kwargs) - set(sampler.parameters))
    if unknown and isinstance(sampler, CoreSampler):
        raise ValueError(
            f"sample_kwargs has {unknown[0]!r}, but {type(sampler).__name__} takes "
            f"{', '.join(sorted(sampler.parameters))}"
        )


def _holds(sampler: dimod.Structured, bqms: GradientBQMs) -> bool:
    """Return whether the graph of a sampler has all variables and pairs of a layer's problems."""
    adjacency = sampler.adjacency
    pairs = zip(bqms.rows.tolist(), bqms.columns.tolist(), strict=True)
    has_variables = all(variable in adjacency for variable in range(bqms.num_variables))
    return has_variables and all(second in adjacency[first] for first, second in pairs)


def _own_graph_alone(sampler: dimod.Structured) -> str:
    """Return the message for a structured sampler whose graph does not hold a layer's problems."""
    return (
        f"sampler is a {type(sampler).__name__}, which takes problems of its own graph alone: use "
        "qpsbgd.hardware.DWaveProjector(sampler), dwave.system.EmbeddingComposite(sampler), or a "
        "FixedEmbeddingComposite of a graph that has the variables and pairs of "
        "qpsbgd.gradient_bqms(X, T)"
    )


def _takes_seed(sampler: dimod.Sampler) -> bool:
    """Return whether ``sample`` has a parameter ``seed``, which a sampler need not list."""
    if "seed" in sampler.parameters:
        return True
    try:
        return "seed" in inspect.signature(sampler.sample).parameters
    except (TypeError, ValueError):  # a function without a signature, such as a compiled one
        return False
