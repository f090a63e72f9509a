"""Training runs: a binary network on a bundled data set, with any of the optimisers.

A run lives in a folder: ``config.json`` (what was asked), ``metrics.csv`` (a row an epoch),
``checkpoint.pt`` (all that is needed to go on bit for bit) and ``curve.png``.
"""

import csv
import io
import json
import math
import time
import warnings
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

import qpsbgd
from qpsbgd.atomic import write_atomically
from qpsbgd.optim import (
    QPSBGD,
    BinaryConnect,
    Bop,
    ProxConnect,
    ProxQuant,
    SignSGD,
    binary_weights,
)
from qpsbgd.projection.layers import Projector
from qpsbgd.training import checkpoints
from qpsbgd.training.backends import make_projector
from qpsbgd.training.config import Config, read_config
from qpsbgd.training.datasets import DATA_VARIABLE, DATASETS, Dataset
from qpsbgd.training.networks import BinaryCNN, BinaryMLP
from qpsbgd.training.recipes import RECIPES

if TYPE_CHECKING:
    from qpsbgd.hardware import DWaveProjector, Plan

NETWORKS: dict[str, type[BinaryMLP] | type[BinaryCNN]] = {
    "mlp": BinaryMLP,
    "small": BinaryMLP,
    "cnn": BinaryCNN,
}
#: They quantize the weights themselves: layers take them as they are.
REAL_LAYERS = ("proxquant", "proxconnect")
MOMENTUM = 0.9
#: Settings that may change when a run is resumed.
RESUMABLE = ("budget_us",)


class Run:
    """One training run and its folder.

    Args:
        config: what to do.
        folder: made if missing; must hold no other run.

    Raises:
        FileExistsError: ``folder`` holds a run already (see :meth:`resume`).
    """

    def __init__(self, config: Config, folder: Path) -> None:
        self._prepare(config, folder)
        if config.backend == "dwave":
            # What cannot be done is told before there is a folder: a call that the machine would
            # refuse, and layers that do not fit.
            too_large = [layer.name for layer in self.plan().layers if not layer.num_copies]
            if too_large and config.on_unembeddable == "error":
                raise ValueError(
                    f"{', '.join(too_large)} do not fit the annealer; with on_unembeddable "
                    "'native' they are solved without it"
                )
        folder.mkdir(parents=True, exist_ok=True)
        try:
            # The file is the claim: of two runs started at once for one folder, one gets it.
            with (folder / "config.json").open("x") as file:
                json.dump(asdict(config), file, indent=2)
        except FileExistsError:
            raise FileExistsError(
                f"{folder} holds a run already: resume it or name another folder"
            ) from None

    @classmethod
    def resume(cls, folder: Path, **changes: Any) -> "Run":
        """The run in ``folder``, as its last checkpoint left it.

        Args:
            folder: of the run.
            **changes: to its configuration; of :data:`RESUMABLE` alone.

        Raises:
            FileNotFoundError: no run there.
            ValueError: its files are damaged, or its data are no longer the same.
        """
        config = replace(read_config(folder), **changes)
        if config.version != qpsbgd.__version__:
            warnings.warn(
                f"the run in {folder} was started with qpsbgd {config.version} and goes on with "
                f"{qpsbgd.__version__}: the weights may differ from those of one version",
                stacklevel=2,
            )
        run = cls.__new__(cls)
        run._prepare(config, folder)
        if run.checkpoint.exists():
            run._load(checkpoints.read_checkpoint(run.checkpoint))
        if changes:
            content = json.dumps(asdict(config), indent=2).encode()
            write_atomically(folder / "config.json", content)
        return run

    def _prepare(self, config: Config, folder: Path) -> None:
        if config.threads is not None:
            torch.set_num_threads(config.threads)
        self.config = config
        #: The configuration as far as it decides what the run computes.
        self.settings = {
            name: value
            for name, value in asdict(config).items()
            if name not in (*RESUMABLE, "version", "threads")
        }
        self.folder = folder
        self.checkpoint = folder / "checkpoint.pt"
        self.data = DATASETS[config.dataset](config.split)
        if config.inputs == "unit":
            self.data = self.data.in_unit_range()
        elif config.inputs == "binary":
            self.data = self.data.in_signs()
        torch.manual_seed(config.seed)
        recipe = RECIPES[config.dataset, config.network]
        self.model = NETWORKS[config.network](
            (self.data.num_inputs, *recipe.sizes, self.data.num_classes),
            None if config.optimizer in REAL_LAYERS else "ste_sign",
        )
        num_steps = config.epochs * math.ceil(len(self.data.train_inputs) / config.batch_size)
        self.num_steps = num_steps
        self.projector = make_projector(config, folder)
        self.optimizer = make_optimizer(config, self.model, num_steps, self.projector)
        self.scheduler = make_scheduler(config, self.optimizer)
        self.shuffle = torch.Generator().manual_seed(config.seed)
        self.rows: list[dict[str, float]] = []
        #: What is done of the epoch under way; None between epochs.
        self.epoch: dict[str, Any] | None = None

    def train(self) -> dict[str, Any]:
        """Train to the end, a progress bar an epoch on standard error.

        Returns:
            Summary of the run: what ``--json`` prints.
        """
        if self.config.backend == "dwave":
            self._annealer.log = self.folder / "calls.jsonl"
        inputs, labels = (
            torch.from_numpy(self.data.train_inputs),
            torch.from_numpy(self.data.train_labels),
        )
        for epoch in range(len(self.rows) + 1, self.config.epochs + 1):
            lr = self.optimizer.param_groups[0]["lr"]
            done = self._train_epoch(epoch, inputs, labels)
            start = time.perf_counter()
            self.scheduler.step()
            self.epoch = None
            self.rows.append(
                {
                    "epoch": epoch,
                    "lr": lr,
                    "train_loss": done["loss_sum"] / len(inputs),
                    "train_accuracy": done["correct"] / len(inputs),
                    "test_accuracy": self._test(),
                    "seconds": done["seconds"] + time.perf_counter() - start,
                }
            )
            self._save()
            self._write_metrics()
        self._write_metrics()
        write_atomically(self.folder / "curve.png", curve(self.rows, self.config))
        return self.summary()

    def plan(self) -> "Plan":
        """What all steps of the run cost on its annealer, estimated."""
        from qpsbgd.hardware import plan_for

        return plan_for(
            self._annealer,
            self.model,
            self.config.batch_size,
            self.num_steps,
            self.config.objective,
        )

    @property
    def _annealer(self) -> "DWaveProjector":
        from qpsbgd.hardware import DWaveProjector

        if not isinstance(self.projector, DWaveProjector):
            raise ValueError(f"backend is {self.config.backend!r}, but must be 'dwave'")
        return self.projector

    def summary(self) -> dict[str, Any]:
        """The finished run in a flat dictionary."""
        config = asdict(self.config)
        return {
            "dataset": config.pop("dataset"),
            "optimizer": config.pop("optimizer"),
            "seed": config.pop("seed"),
            "epochs": len(self.rows),
            "test_accuracy": self.rows[-1]["test_accuracy"],
            "seconds": sum(row["seconds"] for row in self.rows),
            "run_dir": str(self.folder),
            "test_source": self.data.test_source,
            **{key: value for key, value in config.items() if key != "epochs"},
        }

    def _train_epoch(self, epoch: int, inputs: Tensor, labels: Tensor) -> dict[str, Any]:
        """What is done of the epoch, which is all of it: sums over its batches, and seconds.

        Where steps cost money each of them is saved, so that none has to be taken twice.
        """
        if self.epoch is None:
            order = torch.randperm(len(inputs), generator=self.shuffle)
            self.epoch = {
                "order": order, "batches": 0, "loss_sum": 0.0, "correct": 0, "seconds": 0.0
            }  # fmt: skip
        done = self.epoch
        batches = done["order"].split(self.config.batch_size)
        before, start = done["seconds"], time.perf_counter()
        with tqdm(
            total=len(batches),
            initial=done["batches"],
            desc=f"epoch {epoch}/{self.config.epochs}",
            unit="batch",
            dynamic_ncols=True,
        ) as bar:
            for batch in batches[done["batches"] :]:
                self.optimizer.zero_grad()
                images = inputs[batch]
                if self.config.shift:
                    images = shifted(images, self.config.shift, self.shuffle)
                logits = self.model(images)
                loss = nn.functional.cross_entropy(logits, labels[batch])
                loss.backward()  # type: ignore[no-untyped-call]
                self.optimizer.step()
                done["loss_sum"] += loss.item() * len(batch)
                done["correct"] += int((logits.argmax(dim=1) == labels[batch]).sum())
                done["batches"] += 1
                done["seconds"] = before + time.perf_counter() - start
                if self.config.backend == "dwave":
                    self._save()
                bar.update()
            bar.set_postfix_str(
                f"loss {done['loss_sum'] / len(inputs):.3f}, "
                f"train accuracy {done['correct'] / len(inputs):.3f}",
                refresh=False,
            )
        return done

    def _test(self) -> float:
        """Accuracy of the binary network, whatever the optimiser keeps in the weights."""
        with binary_weights(self.optimizer):
            return evaluate(self.model, self.data)

    def _save(self) -> None:
        state = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "shuffle": self.shuffle.get_state(),
            "rows": self.rows,
            "epoch": self.epoch,
            "data": self.data.description,
            "config": self.settings,
        }
        checkpoints.write_checkpoint(self.checkpoint, state)

    def _write_metrics(self) -> None:
        table = io.StringIO()
        writer = csv.DictWriter(table, self.rows[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        write_atomically(self.folder / "metrics.csv", table.getvalue().encode())

    def _load(self, state: dict[str, Any]) -> None:
        if state["data"] != self.data.description:
            raise ValueError(
                f"the run in {self.folder} was started on {state['data']}, but the data are now "
                f"{self.data.description}: set {DATA_VARIABLE} as it was"
            )
        path = self.checkpoint
        checkpoints.check_settings(path, state.get("config", self.settings), self.settings)
        rows, epoch = state["rows"], state.get("epoch")  # none in older checkpoints
        num_images = len(self.data.train_inputs)
        checkpoints.check_rows(path, rows, self.config.epochs)
        num_batches = math.ceil(num_images / self.config.batch_size)
        checkpoints.check_epoch(path, epoch, num_images, num_batches)
        checkpoints.check_tensors(path, "model", state["model"], self.model.state_dict())
        checkpoints.check_tensor(path, "shuffle", state["shuffle"], self.shuffle.get_state())
        own_groups = [dict(group) for group in self.optimizer.param_groups]
        own_scheduler = self.scheduler.state_dict()
        try:
            steps = state["optimizer"]["state"]
            self.model.load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.scheduler.load_state_dict(state["scheduler"])
            self.shuffle.set_state(state["shuffle"])
        except Exception as error:  # torch raises many types for what it does not expect
            raise checkpoints.damaged(path, f"{type(error).__name__}: {error}") from error
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        is_started = bool(rows or (epoch and epoch["batches"]))
        checkpoints.check_optimizer_state(path, steps, parameters, is_started)
        for own, group in zip(own_groups, self.optimizer.param_groups, strict=True):
            for name in own.keys() - {"params"}:
                if name not in group:
                    raise checkpoints.damaged(path, f"the optimizer has no {name}")
                checkpoints.check_like(path, f"the optimizer's {name}", group[name], own[name])
        for name in own_scheduler.keys() & self.scheduler.state_dict().keys():
            value = self.scheduler.state_dict()[name]
            checkpoints.check_like(path, f"the scheduler's {name}", value, own_scheduler[name])
        if self.scheduler.last_epoch != len(rows):
            raise checkpoints.damaged(
                path, f"the scheduler is at epoch {self.scheduler.last_epoch}, not {len(rows)}"
            )
        checkpoints.check_digest(path, state)
        self.rows, self.epoch = rows, epoch


def make_optimizer(
    config: Config, model: nn.Module, num_steps: int, projector: Projector
) -> torch.optim.Optimizer:
    """The optimiser that a configuration names, on all of ``model``'s weights.

    Hyper-parameters beside ``lr`` were chosen in trials on digits; docs/defaults.md has them.
    """
    params, lr = model.parameters(), config.lr
    match config.optimizer:
        case "qpsbgd":
            return QPSBGD(
                model,
                lr=lr,
                objective=config.objective,
                scale=config.scale,
                alpha=config.alpha,
                momentum=config.momentum,
                num_sweeps=config.num_sweeps,
                seed=config.seed,
                projector=projector,
            )
        case "binaryconnect":
            return BinaryConnect(params, lr=lr)
        case "binaryconnect-sgd":
            return BinaryConnect(params, torch.optim.SGD, lr=lr, momentum=MOMENTUM)
        case "signsgd":
            return SignSGD(params, lr=lr)
        case "signum":
            return SignSGD(params, lr=lr, momentum=MOMENTUM)
        case "proxquant":
            # The strength ends at .1, in units of the gradient.
            return ProxQuant(
                params, torch.optim.SGD, lr=lr, momentum=MOMENTUM, reg_rate=0.1 / num_steps
            )
        case "bop":
            return Bop(params, lr=lr, tau=3e-5)
        case "proxconnect":
            # The sharpness grows from 5 to 100.
            growth = 20 ** (1 / num_steps)
            return ProxConnect(params, torch.optim.Adam, lr=lr, mu=5.0, mu_growth=growth)


def make_scheduler(
    config: Config, optimizer: torch.optim.Optimizer
) -> torch.optim.lr_scheduler.LRScheduler:
    """From ``lr`` down to zero along half a cosine, or times .75 an epoch."""
    if config.schedule == "exponential":
        return torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.75)
    return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=config.epochs)


def shifted(images: Tensor, pixels: int, generator: torch.Generator) -> Tensor:
    """Square images ``(N, side * side)``, each moved by up to some pixels in each direction.

    What comes in is the lowest value of all, the background's.
    """
    count, side = len(images), math.isqrt(images.shape[1])
    square = images.view(count, side, side)
    padded = nn.functional.pad(square, (pixels,) * 4, value=float(images.min()))
    top, left = torch.randint(0, 2 * pixels + 1, (2, count, 1), generator=generator)
    rows, columns = top + torch.arange(side), left + torch.arange(side)  # (N, side)
    each = torch.arange(count)[:, None, None]
    return padded[each, rows[:, :, None], columns[:, None, :]].view(count, -1)


def evaluate(model: nn.Module, data: Dataset) -> float:
    """Accuracy on the test set."""
    return accuracy(model, torch.from_numpy(data.test_inputs), torch.from_numpy(data.test_labels))


@torch.no_grad()
def accuracy(model: nn.Module, inputs: Tensor, labels: Tensor) -> float:
    """Share of the labels ``(M,)`` that a model's logits ``(M, classes)`` tell."""
    return float((model(inputs).argmax(dim=1) == labels).double().mean())


def curve(rows: list[dict[str, float]], config: Config) -> bytes:
    """PNG of accuracy against epoch."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    epochs = [row["epoch"] for row in rows]
    for name in ("train", "test"):
        axes.plot(epochs, [row[f"{name}_accuracy"] for row in rows], marker=".", label=name)
    axes.set(
        xlabel="epoch",
        ylabel="accuracy",
        title=f"{config.dataset}, {config.network}, {config.optimizer}, seed {config.seed}: "
        f"test {rows[-1]['test_accuracy']:.4f}",
    )
    axes.grid(alpha=0.3)
    axes.legend()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    return buffer.getvalue()


def default_folders(parent: Path, config: Config) -> Iterator[Path]:
    """Names for a run's folder below ``parent``: with the time, then with a number too."""
    run = f"{config.dataset}-{config.network}-{config.optimizer}-seed{config.seed}"
    stem = f"{run}-{time.strftime('%Y%m%d-%H%M%S')}"
    yield parent / stem
    number = 2
    while True:
        yield parent / f"{stem}-{number}"
        number += 1
