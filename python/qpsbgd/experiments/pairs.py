"""Pairs of digits: images, two nets, a training run, and solvers of its steps.

The net that fits a D-Wave annealer has images of 7x7 signs and a few hidden neurons, the other one
all pixels. Steps of the former can also be solved as penalised QUBOs by simulated annealing, and on
the mock of an annealer: graph, embedding, scaling and reading are those of a real one, the answers
those of simulated annealing.
"""

import dataclasses
import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from qpsbgd import SamplerProjector, SimulatedAnnealingSampler
from qpsbgd.experiments.cosines import cosine_of_first_layer
from qpsbgd.experiments.optimizers import kernel_quantizer, make_optimizer, use_published_lambda
from qpsbgd.optim import QPSBGD, binary_weights
from qpsbgd.projection.layers import Projector
from qpsbgd.training.datasets import Dataset, data_folder, mnist5k
from qpsbgd.training.loop import accuracy, shifted
from qpsbgd.training.networks import BinaryMLP

PAIRS = {"0/2": (0, 2), "1/2": (1, 2), "1/7": (1, 7)}
NETS = ("embeddable", "full")
#: Hidden neurons, of one layer.
NUM_HIDDEN = {"embeddable": 8, "full": 128}
#: Side of the images.
SIDE = {"embeddable": 7, "full": 28}
#: Share of the training images that accuracies are of in tuning.
VALIDATION_SHARE = 0.2
#: Reads of a call to the annealer, and the copies in it: one for each hidden neuron.
NUM_READS = 5
MAX_COPIES = NUM_HIDDEN["embeddable"]
#: Sweeps of the simulated annealer on a penalised QUBO.
NUM_SWEEPS = 100

#: Inputs ``(N, n)`` and int64 labels ``(N,)``.
Images = tuple[Tensor, Tensor]


@dataclasses.dataclass(frozen=True)
class Course:
    """How long a run is.

    Attributes:
        batch_size: images a step.
        num_steps: of the run.
        every: steps from one evaluation to the next.
    """

    batch_size: int
    num_steps: int
    every: int


@dataclasses.dataclass(frozen=True)
class Trained:
    """One run.

    Attributes:
        accuracies: one an evaluation, of the images held out.
        losses: likewise, means of the steps since the last one.
        agreements: with sign(X^T T), of each layer at each evaluation; of QP-SBGD alone.
        cosines: likewise, of the first layer.
        calls: to the annealer.
    """

    accuracies: list[float] = dataclasses.field(default_factory=list)
    losses: list[float] = dataclasses.field(default_factory=list)
    agreements: list[float] = dataclasses.field(default_factory=list)
    cosines: list[float] = dataclasses.field(default_factory=list)
    calls: list[Mapping[str, Any]] = dataclasses.field(default_factory=list)


def pair_data(pair: str, net: str) -> Dataset:
    """Images and labels, 0 and 1.

    Args:
        pair: one of :data:`PAIRS`.
        net: one of :data:`NETS`, whose inputs they are.
    """
    return _pair_data(pair, net, data_folder())


@functools.lru_cache
def _pair_data(pair: str, net: str, folder: Path | None) -> Dataset:
    data = _all_digits(folder)
    digits = PAIRS[pair]
    side = SIDE[net]

    def chosen(inputs: Any, labels: Any) -> tuple[Any, Any]:
        rows = np.isin(labels, digits)
        blocks = inputs[rows].reshape(-1, side, 28 // side, side, 28 // side)
        images = blocks.mean(axis=(2, 4)).reshape(-1, side * side)
        return images.astype(np.float32), (labels[rows] == digits[1]).astype(np.int64)

    train_inputs, train_labels = chosen(data.train_inputs, data.train_labels)
    test_inputs, test_labels = chosen(data.test_inputs, data.test_labels)
    name = f"{pair}, {net}"
    found = Dataset(name, train_inputs, train_labels, test_inputs, test_labels, data.test_source)
    return found.in_signs() if net == "embeddable" else found


@functools.lru_cache(maxsize=1)
def _all_digits(folder: Path | None) -> Dataset:
    return mnist5k()


def split(data: Dataset, tuning: bool, seed: int) -> tuple[Images, Images]:
    """What to train on, and what accuracies are of.

    Args:
        data: of a pair.
        tuning: accuracies are of a share of the training images, which are left out, and not of the
            test images.
        seed: of the choice of them.
    """
    inputs, labels = torch.from_numpy(data.train_inputs), torch.from_numpy(data.train_labels)
    if not tuning:
        test = torch.from_numpy(data.test_inputs), torch.from_numpy(data.test_labels)
        return (inputs, labels), test
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    num_held_out = round(VALIDATION_SHARE * len(labels))
    held_out, rest = order[:num_held_out], order[num_held_out:]
    return (inputs[rest], labels[rest]), (inputs[held_out], labels[held_out])


def qubo_projector() -> SamplerProjector:
    """The sign objective as a penalised QUBO, by simulated annealing."""
    annealer = SimulatedAnnealingSampler()
    kwargs = {"num_reads": 1, "num_sweeps": NUM_SWEEPS, "num_threads": 1}
    return SamplerProjector(annealer, sample_kwargs=kwargs, num_threads=1)


def mock_projector(seed: int, cache: Path | None) -> Projector:
    """The quadratic objective on the mock of an annealer.

    Args:
        seed: of its answers.
        cache: folder for embeddings; None for the projector's own.
    """
    from qpsbgd.hardware import DWaveProjector, mock_annealer

    return DWaveProjector(
        mock_annealer("pegasus", num_threads=1, seed=seed),
        num_reads=NUM_READS,
        max_copies=MAX_COPIES,
        num_threads=1,
        cache=cache,
    )


def train(
    method: str,
    options: Mapping[str, Any],
    seed: int,
    images: Images,
    others: Images,
    num_hidden: int,
    course: Course,
    *,
    constant: bool,
    augmented: bool,
    projector: Projector | None,
) -> Trained:
    """One run.

    Args:
        method: see :func:`make_optimizer`.
        options: of the optimiser.
        seed: of weights, batches and projections.
        images: to train on.
        others: that accuracies are of.
        num_hidden: neurons.
        course: how long it is.
        constant: rates do not fall, and ProxQuant has the published lambda; else they fall to 0
            along half a cosine.
        augmented: images are moved by up to a pixel.
        projector: of QP-SBGD; None for the native one.
    """
    torch.manual_seed(seed)
    model = BinaryMLP((images[0].shape[1], num_hidden, 2), kernel_quantizer(method))
    optimizer = make_optimizer(
        method, model, options, course.num_steps, seed=seed, projector=projector
    )
    if isinstance(optimizer, QPSBGD):
        optimizer.stats_every = course.every
    scheduler = None
    if not constant:
        scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=course.num_steps)
    elif method == "ProxQuant":
        # PAPER: rates are constant. NOTES: the steps are of the first epoch, which has more.
        use_published_lambda(optimizer, epoch=0)
    found = Trained()
    loss_sum = 0.0
    batches = shuffled(*images, course, seed, augmented)
    for step, (inputs, labels) in enumerate(batches, start=1):
        evaluated = step % course.every == 0
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(inputs), labels)
        loss.backward()  # type: ignore[no-untyped-call]
        if isinstance(optimizer, QPSBGD) and evaluated:
            cosine = cosine_of_first_layer(optimizer)
            found.cosines.extend([] if cosine is None else [cosine])
        optimizer.step()
        if scheduler is not None:
            scheduler.step()
        loss_sum += loss.item()
        found.calls.extend(getattr(projector, "last_calls", []))
        if not evaluated:
            continue
        found.losses.append(loss_sum / course.every)
        loss_sum = 0.0
        with binary_weights(optimizer):
            found.accuracies.append(accuracy(model, *others))
        if isinstance(optimizer, QPSBGD):
            # None of a layer that no gradient reached.
            found.agreements.extend(
                layer.agreement
                for layer in optimizer.last_step.values()
                if layer.agreement is not None
            )
    return found


def shuffled(
    inputs: Tensor, labels: Tensor, course: Course, seed: int, augmented: bool
) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches, the images in another order in each epoch."""
    generator = torch.Generator().manual_seed(seed)
    left = torch.empty(0, dtype=torch.int64)
    for _ in range(course.num_steps):
        if len(left) < course.batch_size:
            left = torch.randperm(len(labels), generator=generator)
        rows, left = left[: course.batch_size], left[course.batch_size :]
        batch = inputs[rows]
        yield shifted(batch, 1, generator) if augmented else batch, labels[rows]


def costs(calls: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """What the calls of a run took on the annealer; nothing where there were none."""
    if not calls:
        return {}
    largest = max(calls, key=lambda call: call["qubits"])
    return {
        "calls": len(calls),
        "qubits a call": largest["qubits"],
        "qubits a row": math.ceil(largest["qubits"] / largest["copies"]),
        "longest chain": largest["longest_chain"],
        "access time (s)": sum(call["estimate_us"] for call in calls) / 1e6,
    }
