"""From what was captured of layers to their binary gradients, on one rank or on several."""

import functools
import hashlib
import itertools
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from qpsbgd._checks import SEED_LIMIT
from qpsbgd.optim.capture import Capture
from qpsbgd.optim.device import to_host
from qpsbgd.projection.layers import (
    DEFAULT_TARGET_EPS,
    LayerProblem,
    NativeProjector,
    Projector,
    check_binary,
    naming,
    project,
    projection_energy,
)

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup

Batch = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]


@dataclass
class LayerGradient:
    """One layer's part of a step; :func:`solve` or :func:`solve_together` fills in what it finds.

    Attributes:
        index: of the layer.
        group: its hyper-parameters.
        weight: its latent weight.
        capture: what was captured of it.
        num_steps: that it has made before.
        batches: X ``(N, n)`` and T ``(N, m)`` of each group of the layer; none where no gradient
            reached it on this rank.
        binary: int8 ``(groups * m, n)``, 0 in rows that no gradient reached and in columns whose
            input was 0 in all samples; None where no gradient reached the layer, on any rank.
        seconds: that finding it took.
    """

    index: int
    group: dict[str, Any]
    weight: Tensor
    capture: Capture
    num_steps: int
    batches: list[Batch] = field(default_factory=list)
    binary: npt.NDArray[np.int8] | None = None
    seconds: float = 0.0

    @property
    def num_groups(self) -> int:
        """Of the layer: products with inputs of their own."""
        return self.capture.layer.num_groups

    @property
    def shape(self) -> tuple[int, int]:
        """(m, n) of a group."""
        return len(self.weight) // self.num_groups, self.weight[0].numel()

    @property
    def objective(self) -> dict[str, Any]:
        """What the problems minimise, as arguments of :func:`qpsbgd.project`."""
        return {
            "objective": self.group["objective"],
            "scale": float(self.group["scale"]),
            "alpha": self.group["alpha"],
        }

    def options(self, number: int) -> dict[str, Any]:
        """What the projector is told for one group of the layer."""
        return {
            **self.objective,
            "num_sweeps": self.group["num_sweeps"],
            "seed": step_seed(self.group["seed"], self.index, self.num_steps, number),
        }

    def problems(self) -> list[LayerProblem]:
        """Of each group, as projectors take them."""
        name = self.group["layer"]
        return [
            LayerProblem(
                name if self.num_groups == 1 else f"{name}[{number}]",
                self.num_steps,
                X,
                T,
                **self.options(number),
            )
            for number, (X, T) in enumerate(self.batches)
        ]

    def energies(self, projector: Projector) -> tuple[float | None, float | None, float | None]:
        """Energy before, energy after and agreement, as in :class:`~qpsbgd.optim.LayerStep`.

        Means over the neurons that a gradient reached, of this rank's samples; None without any.
        """
        if self.binary is None:
            return None, None, None
        target_eps = getattr(projector, "target_eps", DEFAULT_TARGET_EPS)
        parts = []
        binaries = np.split(self.binary, self.num_groups) if self.batches else ()
        for (X, T), binary in zip(self.batches, binaries, strict=True):
            # Of an input that other ranks alone have seen, this one's start is arbitrary.
            moved = (binary != 0) & X.any(axis=0)
            reached = T.any(axis=0) & moved.any(axis=1)
            if not reached.any():
                continue
            start = project(X, T, **self.objective, num_sweeps=0)
            after = np.where(moved, binary, start)
            before, after = (
                projection_energy(X, T, states, **self.objective, target_eps=target_eps)
                for states in (start, after)
            )
            same = (binary == start) & moved
            agreement = same.sum(axis=1) / np.maximum(moved.sum(axis=1), 1)
            parts.append(np.stack([before, after, agreement])[:, reached])  # (3, neurons)
        if not parts:
            return None, None, None
        before, after, agreement = np.concatenate(parts, axis=1).mean(axis=1).tolist()
        return before, after, agreement


def fetch(gradients: Sequence[LayerGradient]) -> None:
    """Make the batches of what was captured, on the host: one copy for all of them."""
    tensors = []
    for gradient in gradients:
        if not gradient.capture.empty:
            with naming(gradient.group["layer"]):
                tensors.append(_samples(gradient))
    arrays = iter(to_host([tensor for pair in itertools.chain(*tensors) for tensor in pair]))
    for gradient in gradients:
        if not gradient.capture.empty:
            pairs = [(next(arrays), next(arrays)) for _ in range(gradient.num_groups)]
            if gradient.group["maximize"]:
                pairs = [(inputs, -targets) for inputs, targets in pairs]
            gradient.batches = [(inputs.numpy(), targets.numpy()) for inputs, targets in pairs]


def solve(gradients: Sequence[LayerGradient], projector: Projector) -> None:
    """Find the binary gradients of all layers from this process's samples."""
    fetch(gradients)
    # One after another, or all at once where the projector can.
    at_once = hasattr(projector, "project_step")
    for some in [gradients] if at_once else [[gradient] for gradient in gradients]:
        start = time.perf_counter()
        # Without those that no sample with a gradient reached.
        problems = [
            problem for gradient in some for problem in gradient.problems() if len(problem.X)
        ]
        found = iter(_solved(problems, projector))
        for gradient in some:
            gradient.binary = _stacked(
                [
                    _masked(next(found), np.asarray(T.any(axis=0)), np.asarray(X.any(axis=0)))
                    if len(X)
                    else np.zeros(gradient.shape, np.int8)
                    for X, T in gradient.batches
                ]
            )
            gradient.seconds = (time.perf_counter() - start) / len(some)


def solve_together(
    gradients: Sequence[LayerGradient],
    projector: Projector,
    process_group: "ProcessGroup | None",
) -> None:
    """Find the binary gradients of all layers from the samples of all ranks, the same on each.

    All ranks must have the same layers; not all need to have samples of each.
    """
    from qpsbgd.optim.distributed import Shard, project_shards

    start = time.perf_counter()

    def samples(gradient: LayerGradient, number: int) -> Batch:
        if not gradient.batches:
            fetch([gradient])
        return gradient.batches[number]

    shards = [
        Shard(
            gradient.group["layer"],
            gradient.shape,
            None if gradient.capture.empty else functools.partial(samples, gradient, number),
            **gradient.options(number),
            agreed=tuple(
                (name, str(gradient.group[name]))
                for name in ("lr", "momentum", "update", "clip", "maximize")
            ),
        )
        for gradient in gradients
        for number in range(gradient.num_groups)
    ]
    found = iter(project_shards(shards, projector, process_group))
    for gradient in gradients:
        own = [next(found) for _ in range(gradient.num_groups)]
        if any(part is not None for part in own):
            gradient.binary = _stacked(
                [
                    np.zeros(gradient.shape, np.int8)
                    if part is None
                    else _masked(part.binary, part.reached, part.seen)
                    for part in own
                ]
            )
        # They are solved together: the mean is all there is.
        gradient.seconds = (time.perf_counter() - start) / len(gradients)


def _solved(
    problems: Sequence[LayerProblem], projector: Projector
) -> Sequence[npt.NDArray[np.int8]]:
    if hasattr(projector, "project_step"):
        answers: Sequence[npt.NDArray[np.int8]] = projector.project_step(problems)
        if not isinstance(answers, Sequence):
            raise ValueError(f"projector returned {answers!r}, but must return a list of arrays")
        if len(answers) != len(problems):
            raise ValueError(
                f"projector returned {len(answers)} binary gradients, but must return one for "
                f"each of {len(problems)} layers"
            )
    else:
        answers = []
        for problem in problems:
            with naming(problem.name):
                answers.append(
                    projector(
                        problem.X,
                        problem.T,
                        **problem.minimised,
                        num_sweeps=problem.num_sweeps,
                        seed=problem.seed,
                    )
                )
    if not isinstance(projector, NativeProjector):
        for problem, answer in zip(problems, answers, strict=True):
            with naming(problem.name):
                check_binary(answer, problem.shape)
    return answers


def step_seed(seed: int, layer: int, step: int, group: int = 0) -> int:
    """Seed of the projection of one group of a layer in one step, in [0, 2**31)."""
    content = struct.pack("<4Q", seed, layer, step, group)
    digest = hashlib.blake2b(content, digest_size=4).digest()
    return int.from_bytes(digest, "little") % SEED_LIMIT


def _samples(gradient: LayerGradient) -> list[tuple[Tensor, Tensor]]:
    """X and T of each group of a layer, without the samples that no gradient reached."""
    pairs = []
    for inputs, targets in zip(*gradient.capture.batch(), strict=True):
        # (N, m) -> (N); most often a few neurons tell that all are.
        reached = targets[:, :16].any(dim=1)
        if not reached.all():
            reached = targets.any(dim=1)
        pairs.append((inputs, targets) if reached.all() else (inputs[reached], targets[reached]))
    return pairs


def _masked(
    binary: npt.NDArray[np.int8], reached: npt.NDArray[np.bool_], seen: npt.NDArray[np.bool_]
) -> npt.NDArray[np.int8]:
    """B ``(m, n)`` without what is arbitrary in it: what no sample tells anything of.

    Args:
        binary: of -1 and +1.
        reached: ``(m,)``, neurons with a target other than 0.
        seen: ``(n,)``, inputs other than 0. Without this a weight whose input is rare would be
            moved by every batch that does not have it, always to the same side.
    """
    if not seen.all():
        return binary * np.outer(reached, seen)
    return binary if reached.all() else binary * reached[:, None]


def _stacked(rows: list[npt.NDArray[np.int8]]) -> npt.NDArray[np.int8] | None:
    if not rows:
        return None
    return rows[0] if len(rows) == 1 else np.concatenate(rows)
