"""Any dimod sampler in the place of the native solver."""

from collections.abc import Mapping
from typing import Any

import dimod
import numpy as np
import numpy.typing as npt

from qpsbgd._checks import SEED_LIMIT, check_instance, checked_seed, checked_threads
from qpsbgd.projection.answers import Ranking, checked_spins, never_worse
from qpsbgd.projection.layers import (
    DEFAULT_NUM_SWEEPS,
    DEFAULT_TARGET_EPS,
    AlphaRule,
    LayerProblem,
    Objective,
    checked_eps,
    checked_layer,
)
from qpsbgd.projection.models import checked_penalty_factor, gradient_bqms


class SamplerProjector:
    """Solves a layer's problems with a dimod sampler, one SPIN BQM a neuron.

    All problems are handed to the sampler before the first answer is asked for: a sampler that
    returns at once, as those of remote machines do, works on them side by side. The answers'
    objective is computed anew, and a neuron gets the linear minimiser ``sign(X^T t)`` where the
    sampler found nothing better.

    Args:
        sampler: any ``dimod.Sampler`` that takes problems of any structure, such as a simulated
            annealer, or ``EmbeddingComposite(DWaveSampler())``. (For a quantum annealer
            ``qpsbgd.hardware.DWaveProjector`` solves many neurons a call.)
        sample_kwargs: keyword arguments of its ``sample``. A sampler that has a parameter ``seed``
            is given one, drawn from the projection's, unless it is here.
        polish: native descent from what was found, for as many sweeps as the projection is told.
            Without it, ``num_sweeps`` means nothing.
        target_eps: as for :func:`qpsbgd.project`.
        penalty_factor: as for :func:`qpsbgd.gradient_bqms`.
        num_threads: of what is done here, as for :func:`qpsbgd.project`; the sampler has its own.

    Raises:
        TypeError: no sampler.
        ValueError: a structured sampler, a parameter that it does not have, or a value out of
            range. The call raises :class:`~qpsbgd.InvalidSampleSetError` at an answer that is none,
            and whatever the sampler raises; nothing is retried.

    Example:
        >>> import dimod
        >>> X, T = np.ones((2, 3), np.float32), np.ones((2, 1), np.float32)
        >>> solve = SamplerProjector(dimod.ExactSolver())
        >>> solve(X, T, objective="sign").tolist()
        [[1, 1, 1]]
    """

    def __init__(
        self,
        sampler: dimod.Sampler,
        *,
        sample_kwargs: Mapping[str, Any] | None = None,
        polish: bool = False,
        target_eps: float = DEFAULT_TARGET_EPS,
        penalty_factor: float = 1.1,
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
        self.target_eps = checked_eps(target_eps)
        self.penalty_factor = checked_penalty_factor(penalty_factor)
        checked_threads(num_threads)
        self.num_threads = num_threads

    def __call__(
        self,
        X: npt.NDArray[np.float32],
        T: npt.NDArray[np.float32],
        /,
        *,
        objective: Objective = "quadratic",
        scale: float = 1.0,
        alpha: AlphaRule = "norm",
        num_sweeps: int = DEFAULT_NUM_SWEEPS,
        seed: int | None = None,
    ) -> npt.NDArray[np.int8]:
        """Solve a layer's problems; see :func:`qpsbgd.project` for arguments and errors."""
        X, T = checked_layer(X, T)
        seed = checked_seed(seed)
        layer = LayerProblem("", 0, X, T, objective, scale, alpha, num_sweeps, seed)
        bqms = gradient_bqms(
            X,
            T,
            **layer.minimised,
            target_eps=self.target_eps,
            penalty_factor=self.penalty_factor,
            num_threads=self.num_threads,
        )
        kwargs = self.sample_kwargs
        seeds = np.random.default_rng(seed).integers(SEED_LIMIT, size=len(bqms)).tolist()
        seeded = "seed" in self.sampler.parameters and "seed" not in kwargs
        reached = np.flatnonzero(T.any(axis=0))  # any row is as good for the others
        # A list, not one by one: see above.
        pending = [
            self.sampler.sample(bqms[row], **kwargs, **({"seed": seeds[row]} if seeded else {}))
            for row in reached.tolist()
        ]
        variables = np.arange(bqms.num_variables)
        found = np.ones(layer.shape, np.int8)
        ranking = Ranking(bqms, layer, self.target_eps, self.num_threads)
        for row, sampleset in zip(reached.tolist(), pending, strict=True):
            reads = checked_spins(sampleset, variables)[:, : bqms.num_inputs]
            found[row] = ranking.best(row, reads)
        return never_worse(
            layer,
            found,
            polish=self.polish,
            target_eps=self.target_eps,
            num_threads=self.num_threads,
        ).binary
