"""Training runs: a binary network, a data set and an optimiser, in a folder of their own.

The folder holds ``config.json`` (the settings), ``metrics.csv`` (a row for each epoch),
``checkpoint.pt`` (everything that is needed to continue bit for bit) and ``curve.png``. A run on an
annealer adds ``calls.jsonl`` (a line for each call) and ``access_time.json``.
"""

import json
import warnings
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

import qpsbgd
from qpsbgd.atomic import write_atomically
from qpsbgd.optim import QPSBGD
from qpsbgd.training.checkpoints import read_checkpoint, write_checkpoint
from qpsbgd.training.config import Config, read_config
from qpsbgd.training.datasets import DATA_VARIABLE, load_dataset
from qpsbgd.training.folders import claim_folder, write_metrics
from qpsbgd.training.initial_training_state import initial_state, steps_per_epoch
from qpsbgd.training.loop import fit
from qpsbgd.training.plots import plot_curve
from qpsbgd.training.restore import restore
from qpsbgd.training.run_projectors import make_projector

if TYPE_CHECKING:
    from qpsbgd.hardware import DWaveProjector, Plan


class Run:
    """Training run with its folder.

    Args:
        config: settings of the run.
        folder: folder of the run; made if it is missing. It must hold no other run.

    Raises:
        FileExistsError: ``folder`` holds a run already; :meth:`resume` continues it.
        ValueError: the annealer would refuse the calls of the run, or its layers do not fit.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from qpsbgd.training.config import Config
        >>> config = Config.from_recipe("digits", network="small", epochs=1)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     summary = Run(config, Path(folder) / "run").train()
        >>> summary["epochs"], summary["test_accuracy"] > 0.5
        (1, True)
    """

    def __init__(self, config: Config, folder: Path) -> None:
        self._prepare(config, folder)
        if config.projector == "dwave":
            # Everything that can fail fails before there is a folder.
            too_large = [layer.name for layer in self.plan().layers if not layer.num_copies]
            if too_large and config.on_unembeddable == "error":
                raise ValueError(
                    f"{', '.join(too_large)} do not fit the annealer; with "
                    "on_unembeddable='native' they are solved without it"
                )
        claim_folder(folder, asdict(config))

    @classmethod
    def resume(cls, folder: Path, **changes: Any) -> "Run":
        """Return the run in a folder as its last checkpoint left it.

        Args:
            folder: folder of the run.
            **changes: new values of settings in :data:`qpsbgd.training.config.RESUMABLE`.

        Raises:
            FileNotFoundError: the folder holds no run.
            ValueError: a file of the run is damaged, or its data set has changed.
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
            run._restore(read_checkpoint(run.checkpoint))
        if changes:
            content = json.dumps(asdict(config), indent=2).encode()
            write_atomically(folder / "config.json", content)
        return run

    def _prepare(self, config: Config, folder: Path) -> None:
        if config.threads is not None:
            torch.set_num_threads(config.threads)
        self.config = config
        self.folder = folder
        self.checkpoint = folder / "checkpoint.pt"
        self.data = load_dataset(config.dataset, config.split, config.inputs)
        self.num_steps = config.epochs * steps_per_epoch(config, self.data)
        self.projector = make_projector(config, folder)
        self.state = initial_state(config, self.data, self.projector)

    def train(self) -> dict[str, Any]:
        """Train to the end, with a progress bar for each epoch on standard error.

        Returns:
            The summary that ``qpsbgd train --json`` prints.
        """
        is_paid = self.config.projector == "dwave"
        if is_paid:
            self._annealer.log = self.folder / "calls.jsonl"
        fit(
            self.state,
            self.data,
            epochs=self.config.epochs,
            batch_size=self.config.batch_size,
            shift=self.config.shift,
            # A step that costs money is saved at once, so that it is never paid for twice.
            after_step=self._save if is_paid else None,
            after_epoch=self._save_epoch,
        )
        self._write_metrics()
        config, rows = self.config, self.state.rows
        title = (
            f"{config.dataset}, {config.network}, {config.optimizer}, seed {config.seed}: "
            f"test {rows[-1]['test_accuracy']:.4f}"
        )
        write_atomically(self.folder / "curve.png", plot_curve(rows, title))
        return self.summary()

    def plan(self) -> "Plan":
        """Return an estimate of what all steps of the run cost on its annealer."""
        from qpsbgd.hardware import plan_for

        return plan_for(
            self._annealer,
            self.state.model,
            self.config.batch_size,
            self.num_steps,
            self.config.objective,
        )

    @property
    def _annealer(self) -> "DWaveProjector":
        from qpsbgd.hardware import DWaveProjector

        if not isinstance(self.projector, DWaveProjector):
            raise ValueError(f"projector is {self.config.projector!r}, but must be 'dwave'")
        return self.projector

    def summary(self) -> dict[str, Any]:
        """Return results and settings of the finished run in one flat dictionary."""
        config, rows = asdict(self.config), self.state.rows
        return {
            "dataset": config.pop("dataset"),
            "optimizer": config.pop("optimizer"),
            "seed": config.pop("seed"),
            "epochs": len(rows),
            "test_accuracy": rows[-1]["test_accuracy"],
            "seconds": sum(row["seconds"] for row in rows),
            "run_dir": str(self.folder),
            "test_source": self.data.test_source,
            "scales": self._scales(),
            **{key: value for key, value in config.items() if key != "epochs"},
        }

    def _scales(self) -> dict[str, float | None] | None:
        """Return the scale of each layer after the last step; None for another optimiser."""
        optimizer = self.state.optimizer
        return optimizer.scales if isinstance(optimizer, QPSBGD) else None

    def _save_epoch(self) -> None:
        self._save()
        self._write_metrics()

    def _save(self) -> None:
        entries = {
            **self.state.state_dict(),
            "data": self.data.description,
            "config": self.config.decisive_settings,
        }
        write_checkpoint(self.checkpoint, entries)

    def _write_metrics(self) -> None:
        write_metrics(self.folder / "metrics.csv", self.state.rows)

    def _restore(self, entries: dict[str, Any]) -> None:
        if entries["data"] != self.data.description:
            raise ValueError(
                f"the run in {self.folder} was started on {entries['data']}, but the data are now "
                f"{self.data.description}: set {DATA_VARIABLE} as it was"
            )
        num_images = len(self.data.train_inputs)
        restore(self.state, entries, self.checkpoint, self.config, num_images)
