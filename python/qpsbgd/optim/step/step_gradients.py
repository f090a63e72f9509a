"""Binary gradients of all layers in one step, on one rank or on several."""

import functools
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from qpsbgd._checks.numbers import checked_threads
from qpsbgd.optim.step.device import to_host
from qpsbgd.optim.step.layer_gradient import LayerGradient, naming_layer
from qpsbgd.optim.step.sampling import Batch, choose_samples, masked
from qpsbgd.projection.options import LayerProblem
from qpsbgd.projection.projectors import NativeProjector, Projector, check_binary

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup

#: Hyper-parameters that all ranks of a process group must agree on beside the projection's.
AGREED = (
    "lr", "momentum", "weight_decay", "relative_lr", "memory", "update", "clip", "maximize",
)  # fmt: skip


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
        gradient.join_past()
        gradient.compare_scales(num_threads)
        gradient.add_direct()
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
            gradient.add_direct()
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
        with naming_layer(gradient.options["layer"]):
            choices.append(choose_samples(gradient.request(projector, has_energies=has_energies)))
    direct = [
        gradient.capture.direct_gradient.flatten(1)
        for gradient in captured
        if gradient.capture.direct_gradient is not None
    ]
    tensors = [tensor for choice in choices for tensor in choice.tensors]
    arrays = iter(to_host([*tensors, *direct]))
    for gradient, choice in zip(captured, choices, strict=True):
        with naming_layer(gradient.options["layer"]):
            gradient.samples = choice.on_host([next(arrays) for _ in choice.tensors])
        gradient.step_samples = gradient.samples
        gradient.num_samples = gradient.samples.num_samples
    for gradient in captured:
        if gradient.capture.direct_gradient is not None:
            whole = next(arrays)
            gradient.direct = (-whole if gradient.options["maximize"] else whole).numpy()


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
            with naming_layer(problem.name):
                rows.append(projector(problem.X, problem.T, problem.options))
    if not isinstance(projector, NativeProjector):
        for problem, binary in zip(problems, rows, strict=True):
            with naming_layer(problem.name):
                check_binary(binary, problem.shape)
    return rows


def _stacked(rows: list[npt.NDArray[np.int8]]) -> npt.NDArray[np.int8] | None:
    if not rows:
        return None
    return rows[0] if len(rows) == 1 else np.concatenate(rows)
