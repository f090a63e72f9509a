"""Comparison of QPSBGD with other optimisers over several splits of a data set."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch
from tqdm import tqdm

from qpsbgd.atomic import write_atomically
from qpsbgd.training.config import Config
from qpsbgd.training.datasets import Dataset, load_dataset
from qpsbgd.training.folders import claim_folder, write_metrics
from qpsbgd.training.initial_training_state import initial_state
from qpsbgd.training.loop import fit
from qpsbgd.training.plots import plot_comparison
from qpsbgd.training.recipes import COMPARED_RATES, OptimizerName

#: Trainings with each optimiser.
NUM_SPLITS = 10
#: Settings that a comparison chooses for each run.
CHOSEN = ("lr", "optimizer", "split")


@dataclass(frozen=True)
class Estimate:
    """Mean of several values, with its standard error.

    Attributes:
        mean: the mean.
        error: standard error of the mean.

    Example:
        >>> from qpsbgd.training.comparison import Estimate
        >>> str(Estimate.of([0.9, 0.92, 0.94]))
        '0.9200 +- 0.0115'
    """

    mean: float
    error: float

    @classmethod
    def of(cls, values: list[float]) -> "Estimate":
        """Return the estimate from at least two independent values."""
        return cls(mean(values), stdev(values) / len(values) ** 0.5)

    def __str__(self) -> str:
        return f"{self.mean:.4f} +- {self.error:.4f}"


class Comparison:
    """Trainings with each optimiser on the same splits, from the same seeds.

    Split number i trains with the seed ``config.seed + i``. The learning rates are those in
    :data:`qpsbgd.training.recipes.COMPARED_RATES`.

    Args:
        config: settings of all runs; those of QPSBGD alone apply to its runs.
        folder: folder for ``config.json``, ``metrics.csv`` and ``curve.png``; made if it is
            missing. It must hold no run.

    Raises:
        FileExistsError: ``folder`` holds a run already.
        ValueError: no learning rates were chosen for the data set and network.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from qpsbgd.training.comparison import Comparison
        >>> from qpsbgd.training.config import Config
        >>> config = Config.from_recipe("digits", epochs=1, batch_size=500)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     summary = Comparison(config, Path(folder) / "run", num_splits=2).train()
        >>> list(summary["results"])
        ['qpsbgd', 'binaryconnect', 'signum']
    """

    def __init__(self, config: Config, folder: Path, *, num_splits: int = NUM_SPLITS) -> None:
        if (config.dataset, config.network) not in COMPARED_RATES:
            known = " or ".join(f"{data} with {network}" for data, network in COMPARED_RATES)
            raise ValueError(
                "a comparison needs learning rates that validation data chose: they exist for "
                f"{known}, not for {config.dataset} with {config.network}"
            )
        self.config = config
        self.folder = folder
        self.rates: dict[OptimizerName, float] = COMPARED_RATES[config.dataset, config.network]
        self.num_splits = num_splits
        #: Metrics of all finished epochs.
        self.rows: list[dict[str, Any]] = []
        if config.threads is not None:
            torch.set_num_threads(config.threads)
        # Missing packages and data are errors before there is a folder.
        self._first_data = self._data(0)
        settings = {**self._common_settings, "rates": self.rates, "num_splits": num_splits}
        claim_folder(folder, settings)

    def train(self) -> dict[str, Any]:
        """Train with all optimisers on all splits, with a progress bar on standard error.

        Returns:
            The summary that ``qpsbgd train --compare --json`` prints.
        """
        total = self.num_splits * len(self.rates) * self.config.epochs
        with tqdm(total=total, unit="epoch", dynamic_ncols=True) as bar:
            for split in range(self.num_splits):
                data = self._data(split) if split else self._first_data
                for optimizer in self.rates:
                    bar.set_description(f"{optimizer}, split {split + 1}/{self.num_splits}")
                    self._train_once(optimizer, split, data, bar)
        write_metrics(self.folder / "metrics.csv", self.rows)
        title = (
            f"{self.config.dataset}, {self.config.network}: "
            f"mean and standard deviation of {self.num_splits} splits"
        )
        write_atomically(self.folder / "curve.png", plot_comparison(self.rows, title))
        return self.summary()

    def summary(self) -> dict[str, Any]:
        """Return the results and settings of the finished comparison.

        ``results`` has for each optimiser its learning rate, the test accuracies after the last
        epoch, their mean and standard error, the mean difference from QPSBGD on the same split with
        its standard error, and the mean seconds of a run.
        """
        settings = self._common_settings
        accuracies = {name: self._accuracies(name) for name in self.rates}
        results = {}
        for name, values in accuracies.items():
            estimate = Estimate.of(values)
            pairs = zip(values, accuracies["qpsbgd"], strict=True)
            difference = Estimate.of([value - own for value, own in pairs])
            seconds = sum(row["seconds"] for row in self.rows if row["optimizer"] == name)
            results[name] = {
                "lr": self.rates[name],
                "test_accuracies": values,
                "test_accuracy": estimate.mean,
                "standard_error": estimate.error,
                "difference": difference.mean,
                "difference_error": difference.error,
                "seconds": seconds / self.num_splits,
            }
        return {
            "dataset": settings.pop("dataset"),
            "epochs": settings.pop("epochs"),
            "test_accuracy": results["qpsbgd"]["test_accuracy"],
            "results": results,
            "num_splits": self.num_splits,
            "run_dir": str(self.folder),
            "test_source": self._first_data.test_source,
            **settings,
        }

    @property
    def _common_settings(self) -> dict[str, Any]:
        """The settings of all runs; the comparison chooses the others."""
        return {name: value for name, value in asdict(self.config).items() if name not in CHOSEN}

    def _data(self, split: int) -> Dataset:
        return load_dataset(self.config.dataset, split, self.config.inputs)

    def _train_once(
        self, optimizer: OptimizerName, split: int, data: Dataset, bar: "tqdm[Any]"
    ) -> None:
        config = replace(
            self.config,
            optimizer=optimizer,
            lr=self.rates[optimizer],
            seed=self.config.seed + split,
        )
        state = initial_state(config, data, None)
        fit(
            state,
            data,
            epochs=config.epochs,
            batch_size=config.batch_size,
            shift=config.shift,
            has_bar=False,
            after_epoch=bar.update,
        )
        about = {"optimizer": optimizer, "split": split, "seed": config.seed}
        self.rows += [{**about, **row} for row in state.rows]

    def _accuracies(self, optimizer: str) -> list[float]:
        """Return the test accuracy after the last epoch on each split."""
        return [
            row["test_accuracy"]
            for row in self.rows
            if row["optimizer"] == optimizer and row["epoch"] == self.config.epochs
        ]


def comparison_table(summary: dict[str, Any]) -> str:
    """Return the results of a comparison as a table of text.

    Args:
        summary: summary that :meth:`Comparison.train` returns.

    Example:
        >>> from qpsbgd.training.comparison import comparison_table
        >>> result = {"lr": 0.01, "test_accuracy": 0.9, "standard_error": 0.01}
        >>> result |= {"difference": 0.0, "difference_error": 0.0, "seconds": 1.5}
        >>> print(comparison_table({"results": {"qpsbgd": result}}))
        optimizer        rate     test accuracy         minus qpsbgd   seconds
        qpsbgd           0.01  0.9000 +- 0.0100                            1.5
    """
    lines = [
        f"{'optimizer':<14}{'rate':>7}{'test accuracy':>18}{'minus qpsbgd':>21}{'seconds':>10}"
    ]
    for name, result in summary["results"].items():
        accuracy = Estimate(result["test_accuracy"], result["standard_error"])
        difference = f"{result['difference']:+.4f} +- {result['difference_error']:.4f}"
        lines.append(
            f"{name:<14}{result['lr']:>7g}{accuracy!s:>18}"
            f"{'' if name == 'qpsbgd' else difference:>21}{result['seconds']:>10.1f}"
        )
    return "\n".join(lines)
