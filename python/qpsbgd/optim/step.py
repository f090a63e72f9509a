"""Binary gradients of all layers in one step, on one rank or on several."""

import contextlib
import functools
import hashlib
import itertools
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
from qpsbgd.optim.sample_memory import SMALL_SHARE, PastSamples
from qpsbgd.optim.scale import ScaleComparison, ScaleScores, is_due
from qpsbgd.projection.options import LayerProblem, ProjectionOptions
from qpsbgd.projection.projectors import NativeProjector, Projector, check_binary

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup

Batch = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]

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
        batches: X ``(N, n)`` and T ``(N, m)`` of each group; empty where no gradient reached the
            layer on this rank.
        binary: int8 ``(groups * m, n)`` of -1 and +1. It is 0 in rows that no gradient reached and
            in columns whose input is 0 in all samples. None where no gradient reached the layer on
            any rank.
        seconds: time that the projection took.
        scores: scores of the scales that the layer chooses from.
        past: samples of past steps; afterwards with those of this step. None where the layer has
            enough samples without them.
    """

    index: int
    options: dict[str, Any]
    weight: Tensor
    capture: Capture
    num_steps: int
    batches: list[Batch] = field(default_factory=list)
    binary: npt.NDArray[np.int8] | None = None
    seconds: float = 0.0
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

    def problems(self) -> list[LayerProblem]:
        """Return the problems of the groups that samples reached."""
        name = self.options["layer"]
        return [
            LayerProblem(
                name if self.num_groups == 1 else f"{name}[{group}]",
                self.num_steps,
                X,
                T,
                self.projection_options(group),
            )
            for group, (X, T) in enumerate(self.batches)
            if len(X)
        ]


def solve(gradients: Sequence[LayerGradient], projector: Projector) -> None:
    """Find the binary gradients of all layers from the samples of this process."""
    fetch(gradients)
    for gradient in gradients:
        _join_past(gradient)
    num_threads = checked_threads(getattr(projector, "num_threads", None))
    for gradient in gradients:
        _compare_scales(gradient, num_threads)
    solves_steps = hasattr(projector, "project_step")
    for part in [gradients] if solves_steps else [[gradient] for gradient in gradients]:
        start = time.perf_counter()
        problems = [problem for gradient in part for problem in gradient.problems()]
        rows = iter(_solved(problems, projector))
        for gradient in part:
            gradient.binary = _stacked(
                [
                    _masked(next(rows), T.any(axis=0), X.any(axis=0))
                    if len(X)
                    else np.zeros(gradient.shape, np.int8)
                    for X, T in gradient.batches
                ]
            )
            gradient.seconds = (time.perf_counter() - start) / len(part)


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
        if not gradient.batches:
            fetch([gradient])
        return gradient.batches[group]

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
                    else _masked(part.binary, part.reached, part.seen)
                    for part in parts
                ]
            )
        # The layers are solved together, so only their mean time is known.
        gradient.seconds = (time.perf_counter() - start) / len(gradients)


def _compare_scales(gradient: LayerGradient, num_threads: int) -> None:
    """Update the scores of a layer's scales, if it compares them in this step."""
    comparison = gradient.comparison()
    if comparison is None or not gradient.batches:
        return
    for group in comparison.groups:
        X, T = gradient.batches[group]
        positions = comparison.positions(len(X))
        if len(positions):
            with _naming(gradient.options["layer"]):
                checked_layer(X, T)
            options = gradient.projection_options(group)
            own = np.ix_(positions, comparison.rows)
            comparison.add(comparison.run(X[positions], T[own], options, num_threads))
    gradient.scores = comparison.scores


def fetch(gradients: Sequence[LayerGradient]) -> None:
    """Make X and T of all captured layers on the host, in one copy."""
    captured = [gradient for gradient in gradients if not gradient.capture.is_empty]
    tensors = []
    for gradient in captured:
        with _naming(gradient.options["layer"]):
            tensors.append(_samples(gradient))
    arrays = iter(to_host([tensor for pair in itertools.chain(*tensors) for tensor in pair]))
    for gradient in captured:
        pairs = [(next(arrays), next(arrays)) for _ in range(gradient.num_groups)]
        if gradient.options["maximize"]:
            pairs = [(inputs, -targets) for inputs, targets in pairs]
        gradient.batches = [(inputs.numpy(), targets.numpy()) for inputs, targets in pairs]


def _join_past(gradient: LayerGradient) -> None:
    """Add samples of past steps to a layer whose samples are few, in a step of one process."""
    if not gradient.batches:
        return
    memory = gradient.options["memory"]
    is_few = gradient.num_groups == 1 and SMALL_SHARE * len(gradient.batches[0][0]) < memory
    if not is_few or gradient.options["objective"] != "quadratic":
        gradient.past = None
        return
    gradient.past = PastSamples.joined(gradient.past, *gradient.batches[0], memory)
    gradient.batches = [(gradient.past.inputs, gradient.past.targets)]


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


def _samples(gradient: LayerGradient) -> list[tuple[Tensor, Tensor]]:
    """Return X and T of each group of a layer, without the samples that no gradient reached."""
    pairs = []
    for inputs, targets in zip(*gradient.capture.batch(), strict=True):
        # The first neurons usually show that a gradient reached every sample.
        reached = targets[:, :16].any(dim=1)  # (N,)
        if not reached.all():
            reached = targets.any(dim=1)
        pairs.append((inputs, targets) if reached.all() else (inputs[reached], targets[reached]))
    return pairs


def _masked(binary: npt.NDArray[np.int8], reached: Any, seen: Any) -> npt.NDArray[np.int8]:
    """Return B ``(m, n)`` with 0 in the entries that no sample determines.

    Without this, every batch that lacks a rare input would move its weight, always in the same
    direction.

    Args:
        binary: rows of -1 and +1.
        reached: bool ``(m,)``; whether a neuron has a target other than 0.
        seen: bool ``(n,)``; whether an input is other than 0 in some sample.
    """
    if not seen.all():
        return binary * np.outer(reached, seen)
    return binary if reached.all() else binary * reached[:, None]


def _stacked(rows: list[npt.NDArray[np.int8]]) -> npt.NDArray[np.int8] | None:
    if not rows:
        return None
    return rows[0] if len(rows) == 1 else np.concatenate(rows)
