"""Binary gradients of all layers in one step, on one rank or on several."""

import contextlib
import functools
import hashlib
import math
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from qpsbgd._checks import SEED_LIMIT, checked_layer, checked_threads
from qpsbgd.optim.capture import Capture
from qpsbgd.optim.device import to_host
from qpsbgd.optim.direct_gradients import add_direct_gradient
from qpsbgd.optim.sample_memory import SMALL_SHARE, PastSamples
from qpsbgd.optim.sampling import (
    FEW_INPUTS,
    Batch,
    LayerSamples,
    SampleRequest,
    choose_samples,
    masked,
)
from qpsbgd.optim.scale import ScaleComparison, ScaleScores, is_due
from qpsbgd.projection.options import LayerProblem, ProjectionOptions
from qpsbgd.projection.projectors import NativeProjector, Projector, as_native, check_binary

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup

#: Stream of the seeds that choose samples. Those of the projections have the number of a group.
SAMPLE_STREAM = 2**32

#: Hyper-parameters that all ranks of a process group must agree on beside the projection's.
AGREED = (
    "lr", "momentum", "weight_decay", "relative_lr", "memory", "update", "clip", "maximize",
)  # fmt: skip


@dataclass
class LayerGradient:
    """Binary gradient of one layer in one step.

    The optimiser fills in the first five attributes, and ``scores`` and ``past`` from before the
    step. :func:`solve` or :func:`solve_together` fill in the others, and update these two.
    A layer has several *groups* where it is a convolution with ``groups > 1``: products with inputs
    of their own.

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
        seconds: time that the projection took.
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

    def problems(self, projector: Projector) -> list[LayerProblem]:
        """Return the problems that a projector solves from samples: those of the groups with any.

        There is none where the projector takes products.
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
            return samples.gradient_from([next(answers) for X, _ in samples.batches if len(X)])
        options = [self.projection_options(group) for group in range(self.num_groups)]
        with _naming(self.options["layer"]):
            return samples.gradient_of(solver.project_products(samples.products, options))

    def _product_solver(self, projector: Projector) -> NativeProjector | None:
        """Return the projector if it can solve the layer from products of its samples."""
        return as_native(projector) if self.options["objective"] == "quadratic" else None


def solve(
    gradients: Sequence[LayerGradient], projector: Projector, *, has_energies: bool = False
) -> None:
    """Find the binary gradients of all layers from the samples of this process.

    Args:
        gradients: the layers.
        projector: solver of their problems.
        has_energies: whether energies of the problems will be computed. Without them a layer's
            samples are dropped before the next layer's are made.
    """
    # Layers elsewhere than on the CPU cross to the host in one copy.
    is_on_host = all(gradient.weight.device.type == "cpu" for gradient in gradients)
    if not is_on_host:
        fetch(gradients, projector, has_energies=has_energies)
    solves_steps = hasattr(projector, "project_step")
    for part in [gradients] if solves_steps else [[gradient] for gradient in gradients]:
        start = time.perf_counter()
        if is_on_host:
            fetch(part, projector, has_energies=has_energies)
        _solve_part(part, projector)
        for gradient in part:
            gradient.seconds = (time.perf_counter() - start) / len(part)
            if not has_energies:
                gradient.samples = gradient.step_samples = None


def _solve_part(part: Sequence[LayerGradient], projector: Projector) -> None:
    """Find the binary gradients of layers that a projector solves together."""
    num_threads = checked_threads(getattr(projector, "num_threads", None))
    for gradient in part:
        _join_past(gradient)
        _compare_scales(gradient, num_threads)
        _add_direct(gradient)
    problems = [problem for gradient in part for problem in gradient.problems(projector)]
    answers = iter(_solved(problems, projector))
    for gradient in part:
        gradient.binary = gradient.answer(projector, answers)


def solve_together(
    gradients: Sequence[LayerGradient],
    projector: Projector,
    process_group: "ProcessGroup | None",
) -> None:
    """Find the binary gradients of all layers from the samples of all ranks.

    Every rank gets the same result. Samples of past steps do not join the step. All ranks must have
    the same layers, but a layer may have samples on some ranks only.
    """
    from qpsbgd.optim.distributed import Shard, project_shards

    start = time.perf_counter()

    def samples(gradient: LayerGradient, group: int) -> Batch:
        if gradient.samples is None:
            fetch([gradient])
            _add_direct(gradient)
        assert gradient.samples is not None
        return gradient.samples.batches[group]

    comparisons = [gradient.comparison() for gradient in gradients]
    shards = [
        Shard(
            gradient.options["layer"],
            gradient.shape,
            None if gradient.capture.is_empty else functools.partial(samples, gradient, group),
            gradient.projection_options(group),
            agreed=tuple((name, str(gradient.options[name])) for name in AGREED),
            comparison=comparison,
            takes_part=comparison is not None and group in comparison.groups,
        )
        for gradient, comparison in zip(gradients, comparisons, strict=True)
        for group in range(gradient.num_groups)
    ]
    results = iter(project_shards(shards, projector, process_group))
    for gradient, comparison in zip(gradients, comparisons, strict=True):
        if comparison is not None:
            gradient.scores = comparison.scores
    for gradient in gradients:
        parts = [next(results) for _ in range(gradient.num_groups)]
        if any(part is not None for part in parts):
            gradient.binary = _stacked(
                [
                    np.zeros(gradient.shape, np.int8)
                    if part is None
                    else masked(part.binary, part.reached, part.seen)
                    for part in parts
                ]
            )
        # The layers are solved together, so only their mean time is known.
        gradient.seconds = (time.perf_counter() - start) / len(gradients)


def fetch(
    gradients: Sequence[LayerGradient],
    projector: Projector | None = None,
    *,
    has_energies: bool = False,
) -> None:
    """Read the samples of all captured layers to the host, in one copy.

    Args:
        gradients: the layers.
        projector: solver of their problems; None to read all samples.
        has_energies: whether energies of the problems will be computed.
    """
    captured = [gradient for gradient in gradients if not gradient.capture.is_empty]
    choices = []
    for gradient in captured:
        with _naming(gradient.options["layer"]):
            choices.append(choose_samples(gradient.request(projector, has_energies=has_energies)))
    direct = [
        gradient.capture.direct_gradient.flatten(1)
        for gradient in captured
        if gradient.capture.direct_gradient is not None
    ]
    tensors = [tensor for choice in choices for tensor in choice.tensors]
    arrays = iter(to_host([*tensors, *direct]))
    for gradient, choice in zip(captured, choices, strict=True):
        with _naming(gradient.options["layer"]):
            gradient.samples = choice.on_host([next(arrays) for _ in choice.tensors])
        gradient.step_samples = gradient.samples
        gradient.num_samples = gradient.samples.num_samples
    for gradient in captured:
        if gradient.capture.direct_gradient is not None:
            whole = next(arrays)
            gradient.direct = (-whole if gradient.options["maximize"] else whole).numpy()


def _join_past(gradient: LayerGradient) -> None:
    """Add samples of past steps to a layer whose samples are few, in a step of one process."""
    samples, memory = gradient.samples, gradient.options["memory"]
    if samples is None:
        return
    is_whole = gradient.num_groups == 1 and samples.products is None
    is_few = is_whole and SMALL_SHARE * len(samples.pairs[0][0]) < memory
    if not is_few or gradient.options["objective"] != "quadratic":
        gradient.past = None
        return
    gradient.past = PastSamples.joined(gradient.past, *samples.pairs[0], memory)
    gradient.num_samples = len(gradient.past.inputs)
    gradient.samples = LayerSamples(
        [(gradient.past.inputs, gradient.past.targets)], gradient.num_samples
    )


def _compare_scales(gradient: LayerGradient, num_threads: int) -> None:
    """Update the scores of a layer's scales, if it compares them in this step."""
    comparison = gradient.comparison()
    if comparison is None or gradient.samples is None:
        return
    for group in comparison.groups:
        X, T = gradient.samples.batches[group]
        positions = comparison.positions(len(X))
        if len(positions):
            with _naming(gradient.options["layer"]):
                checked_layer(X, T)
            options = gradient.projection_options(group)
            own = np.ix_(positions, comparison.rows)
            comparison.add(comparison.run(X[positions], T[own], options, num_threads))
    gradient.scores = comparison.scores


def _add_direct(gradient: LayerGradient) -> None:
    """Add what reached the weight past the layer to its samples."""
    if gradient.samples is None or gradient.direct is None:
        return
    if not np.isfinite(gradient.direct).all():
        raise ValueError(
            f"layer {gradient.options['layer']!r}: the gradient that reached the weight past its "
            "layer, such as that of a penalty, has NaN or infinity"
        )
    gradient.samples = add_direct_gradient(
        gradient.samples, gradient.direct, gradient.options["objective"]
    )


def step_seed(seed: int, layer: int, step: int, group: int = 0) -> int:
    """Return the seed of the projection of one group of a layer in one step, in [0, 2**31)."""
    content = struct.pack("<4Q", seed, layer, step, group)
    digest = hashlib.blake2b(content, digest_size=4).digest()
    return int.from_bytes(digest, "little") % SEED_LIMIT


def _solved(
    problems: Sequence[LayerProblem], projector: Projector
) -> Sequence[npt.NDArray[np.int8]]:
    """Return the rows that a projector finds for each problem."""
    project_step: Callable[..., Any] | None = getattr(projector, "project_step", None)
    rows: Sequence[npt.NDArray[np.int8]]
    if project_step is not None:
        rows = project_step(problems)
        if not isinstance(rows, Sequence):
            raise ValueError(f"projector returned {rows!r}, but must return a list of arrays")
        if len(rows) != len(problems):
            raise ValueError(
                f"projector returned {len(rows)} binary gradients, but must return one for "
                f"each of {len(problems)} layers"
            )
    else:
        rows = []
        for problem in problems:
            with _naming(problem.name):
                rows.append(projector(problem.X, problem.T, problem.options))
    if not isinstance(projector, NativeProjector):
        for problem, binary in zip(problems, rows, strict=True):
            with _naming(problem.name):
                check_binary(binary, problem.shape)
    return rows


@contextlib.contextmanager
def _naming(layer: str) -> Iterator[None]:
    """Add the name of a layer to the errors that are raised inside."""
    try:
        yield
    except (ValueError, RuntimeError) as error:
        base = ValueError if isinstance(error, ValueError) else RuntimeError
        # A subclass with a constructor of its own may not take a single message.
        kind = type(error) if type(error).__init__ is base.__init__ else base
        raise kind(f"layer {layer!r}: {error}") from error


def _stacked(rows: list[npt.NDArray[np.int8]]) -> npt.NDArray[np.int8] | None:
    if not rows:
        return None
    return rows[0] if len(rows) == 1 else np.concatenate(rows)
