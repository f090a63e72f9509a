"""Binary gradient of one layer in one step: its samples, its problems and their solutions."""

import contextlib
import hashlib
import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from qpsbgd._checks.layer_arrays import checked_layer
from qpsbgd._checks.numbers import SEED_LIMIT
from qpsbgd.optim.capture import Capture
from qpsbgd.optim.step.direct_gradients import add_direct_gradient
from qpsbgd.optim.step.sample_memory import SMALL_SHARE, PastSamples
from qpsbgd.optim.step.sampling import FEW_INPUTS, LayerSamples, SampleRequest
from qpsbgd.optim.step.scale import ScaleComparison, ScaleScores, is_due
from qpsbgd.projection.options import LayerProblem, ProjectionOptions
from qpsbgd.projection.projectors import NativeProjector, Projector, as_native

#: Stream of the seeds that choose samples. Those of the projections have the number of a group.
SAMPLE_STREAM = 2**32


@dataclass
class LayerGradient:
    """Binary gradient of one layer in one step.

    The optimiser fills in the first five attributes, and ``scores`` and ``past`` from before the
    step. The functions of :mod:`qpsbgd.optim.step.step_gradients` fill in the others, and update
    these two. A layer has several *groups* where it is a convolution with ``groups > 1``: products
    with inputs of their own.

    Attributes:
        index: number of the layer.
        options: hyper-parameters of the layer (a parameter group of the optimiser).
        weight: latent weight.
        capture: inputs and gradients since the last step.
        num_steps: number of steps that the layer has made before.
        step_samples: the layer's samples on the host, as long as they are needed; None where no
            gradient reached the layer on this rank.
        samples: ``step_samples`` with those of past steps and those that stand for ``direct``.
        num_samples: number of samples that a gradient reached, summed over the groups, with those
            of past steps.
        binary: int8 ``(groups * m, n)`` of -1 and +1. It is 0 in rows that no gradient reached and
            in columns whose input is 0 in all samples. None where no gradient reached the layer on
            any rank.
        seconds: time from reading the samples on the host to ``binary``, with a comparison of
            scales; an equal share where several layers are solved together.
        direct: gradient ``(groups * m, n)`` that reached the weight past the layer on this rank, or
            None.
        scores: scores of the scales that the layer chooses from.
        past: samples of past steps; afterwards with those of this step. None where the layer has
            enough samples without them.
    """

    index: int
    options: dict[str, Any]
    weight: Tensor
    capture: Capture
    num_steps: int
    step_samples: LayerSamples | None = None
    samples: LayerSamples | None = None
    num_samples: int = 0
    binary: npt.NDArray[np.int8] | None = None
    seconds: float = 0.0
    direct: npt.NDArray[np.float32] | None = None
    scores: ScaleScores = field(default_factory=ScaleScores)
    past: PastSamples | None = None

    @property
    def num_groups(self) -> int:
        """Number of groups of the layer."""
        return self.capture.layer.num_groups

    @property
    def shape(self) -> tuple[int, int]:
        """Shape ``(m, n)`` of the weight of one group."""
        return len(self.weight) // self.num_groups, self.weight[0].numel()

    @property
    def scale(self) -> float:
        """Scale of the projections: the hyper-parameter, or the layer's best one."""
        scale = self.options["scale"]
        return self.scores.best if scale is None else float(scale)

    def projection_options(self, group: int) -> ProjectionOptions:
        """Return the options of the projection of one group."""
        options = self.options
        return ProjectionOptions(
            objective=options["objective"],
            scale=self.scale,
            alpha=options["alpha"],
            num_sweeps=options["num_sweeps"],
            seed=step_seed(options["seed"], self.index, self.num_steps, group),
        )

    def comparison(self) -> ScaleComparison | None:
        """Return the comparison of scales that this step makes for the layer, if it makes one."""
        options = self.options
        is_needed = (
            options["scale"] is None
            and options["objective"] == "quadratic"
            and options["num_sweeps"] > 0
        )
        if not is_needed or not is_due(self.num_steps):
            return None
        return ScaleComparison(self.scores, self.num_groups, self.shape)

    def request(self, projector: Projector | None, *, has_energies: bool) -> SampleRequest:
        """Return what a step needs of the layer's samples.

        Args:
            projector: solver of the layer's problems; None to take all samples.
            has_energies: whether energies of the problems will be computed.
        """
        options = self.options
        return SampleRequest(
            self.capture.calls(),
            max_samples=math.inf if projector is None else options["max_samples"],
            seed=step_seed(options["seed"], self.index, self.num_steps, SAMPLE_STREAM),
            uses_products=projector is not None and self._product_solver(projector) is not None,
            has_small_groups=self.num_groups > 1 and self.shape[1] <= FEW_INPUTS,
            needs_squares=has_energies or options["alpha"] == "norm",
            maximize=options["maximize"],
        )

    def join_past(self) -> None:
        """Add samples of past steps to a layer whose samples are few, in a step of one process."""
        samples, memory = self.samples, self.options["memory"]
        if samples is None:
            return
        is_whole = self.num_groups == 1 and samples.products is None
        is_few = is_whole and SMALL_SHARE * len(samples.pairs[0][0]) < memory
        if not is_few or self.options["objective"] != "quadratic":
            self.past = None
            return
        self.past = PastSamples.joined(self.past, *samples.pairs[0], memory)
        self.num_samples = len(self.past.inputs)
        self.samples = LayerSamples([(self.past.inputs, self.past.targets)], self.num_samples)

    def compare_scales(self, num_threads: int) -> None:
        """Update the scores of a layer's scales, if it compares them in this step."""
        comparison = self.comparison()
        if comparison is None or self.samples is None:
            return
        for group in comparison.groups:
            X, T = self.samples.batches[group]
            positions = comparison.positions(len(X))
            if len(positions):
                with naming_layer(self.options["layer"]):
                    checked_layer(X, T)
                options = self.projection_options(group)
                own = np.ix_(positions, comparison.rows)
                comparison.add(comparison.run(X[positions], T[own], options, num_threads))
        self.scores = comparison.scores

    def add_direct(self) -> None:
        """Add the gradient that reached the weight past the layer to the samples."""
        if self.samples is None or self.direct is None:
            return
        if not np.isfinite(self.direct).all():
            raise ValueError(
                f"layer {self.options['layer']!r}: the gradient that reached the weight past its "
                "layer, such as that of a penalty, has NaN or infinity"
            )
        self.samples = add_direct_gradient(self.samples, self.direct, self.options["objective"])

    def problems(self, projector: Projector) -> list[LayerProblem]:
        """Return the problems that a projector solves from samples: those of the groups with any.

        The list is empty if the projector solves the layer from products.
        """
        name = self.options["layer"]
        if self.samples is None:
            return []
        if self.samples.products is not None and self._product_solver(projector) is not None:
            return []
        return [
            LayerProblem(
                name if self.num_groups == 1 else f"{name}[{group}]",
                self.num_steps,
                X,
                T,
                self.projection_options(group),
            )
            for group, (X, T) in enumerate(self.samples.batches)
            if len(X)
        ]

    def answer(
        self, projector: Projector, answers: Iterator[npt.NDArray[np.int8]]
    ) -> npt.NDArray[np.int8] | None:
        """Return the binary gradient, from the answers to :meth:`problems` if there are any."""
        samples = self.samples
        if samples is None:
            return None
        solver = self._product_solver(projector)
        if solver is None or samples.products is None:
            rows = [next(answers) for X, _ in samples.batches if len(X)]
            return samples.gradient_from_batches(rows)
        options = [self.projection_options(group) for group in range(self.num_groups)]
        with naming_layer(self.options["layer"]):
            answer = solver.project_products(samples.products, options)
            return samples.gradient_from_products(answer)

    def _product_solver(self, projector: Projector) -> NativeProjector | None:
        """Return the projector if it can solve the layer from products of its samples."""
        return as_native(projector) if self.options["objective"] == "quadratic" else None


def step_seed(seed: int, layer: int, step: int, group: int = 0) -> int:
    """Return the seed of the projection of one group of a layer in one step, in [0, 2**31)."""
    content = struct.pack("<4Q", seed, layer, step, group)
    digest = hashlib.blake2b(content, digest_size=4).digest()
    return int.from_bytes(digest, "little") % SEED_LIMIT


@contextlib.contextmanager
def naming_layer(layer: str) -> Iterator[None]:
    """Add the name of a layer to the errors that are raised inside."""
    try:
        yield
    except (ValueError, RuntimeError) as error:
        base = ValueError if isinstance(error, ValueError) else RuntimeError
        # A subclass with a constructor of its own may not take a single message.
        kind = type(error) if type(error).__init__ is base.__init__ else base
        raise kind(f"layer {layer!r}: {error}") from error
