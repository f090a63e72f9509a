"""`qpsbgd train --compare`: optimisers on the same splits, each at its own rate."""

import csv
import json
import statistics

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("click")
pytest.importorskip("tqdm")
pytest.importorskip("matplotlib")
pytest.importorskip("sklearn")

from commands import run
from qpsbgd.training import comparison as module
from qpsbgd.training.comparison import Comparison, Estimate
from qpsbgd.training.config import Config, read_config
from qpsbgd.training.recipes import COMPARED_RATES, RECIPES
from qpsbgd.training.runs import Run

OPTIMIZERS = ["qpsbgd", "binaryconnect", "signum"]


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """A comparison by the command line, and its summary."""
    folder = tmp_path_factory.mktemp("runs") / "comparison"
    done = run(
        "train", "digits", "--compare", "--epochs", 2, "--batch-size", 400, "--seed", 5, "--json",
        "--out", folder,
    )  # fmt: skip
    assert len(done.stdout.splitlines()) == 1
    return folder, json.loads(done.stdout)


def read_rows(folder):
    with (folder / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def test_the_run_folder_has_the_epochs_of_all_runs(compared):
    folder, summary = compared
    assert {path.name for path in folder.iterdir()} == {"config.json", "metrics.csv", "curve.png"}
    assert (folder / "curve.png").read_bytes().startswith(b"\x89PNG")
    rows = read_rows(folder)
    found = [(row["optimizer"], int(row["split"]), int(row["epoch"])) for row in rows]
    assert found == [(o, s, e) for s in range(10) for o in OPTIMIZERS for e in (1, 2)]
    assert all(int(row["seed"]) == 5 + int(row["split"]) for row in rows)
    settings = json.loads((folder / "config.json").read_text())
    assert (settings["batch_size"], settings["num_splits"]) == (400, 10)
    assert settings["rates"] == COMPARED_RATES["digits", "mlp"]
    assert (summary["epochs"], summary["batch_size"]) == (2, 400)
    assert summary["run_dir"] == str(folder)


def test_the_summary_has_means_and_standard_errors(compared):
    folder, summary = compared
    last = [row for row in read_rows(folder) if row["epoch"] == "2"]
    assert list(summary["results"]) == OPTIMIZERS
    accuracies = {}
    for name, result in summary["results"].items():
        values = [float(row["test_accuracy"]) for row in last if row["optimizer"] == name]
        accuracies[name] = np.array(values)
        assert result["test_accuracies"] == values
        assert result["test_accuracy"] == pytest.approx(np.mean(values))
        assert result["standard_error"] == pytest.approx(np.std(values, ddof=1) / 10**0.5)
        assert result["lr"] == COMPARED_RATES["digits", "mlp"][name]
        gains = accuracies[name] - accuracies["qpsbgd"]
        assert result["difference"] == pytest.approx(gains.mean(), abs=1e-12)
        assert result["difference_error"] == pytest.approx(gains.std(ddof=1) / 10**0.5)
    assert summary["test_accuracy"] == summary["results"]["qpsbgd"]["test_accuracy"] > 0.5
    assert len(set(accuracies["qpsbgd"])) > 1  # the splits differ


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_each_training_equals_a_run_of_its_own(compared, tmp_path, optimizer):
    folder, _ = compared
    lr = COMPARED_RATES["digits", "mlp"][optimizer]
    config = Config.from_recipe(
        "digits", optimizer=optimizer, lr=lr, epochs=2, batch_size=400, seed=5 + 7, split=7
    )
    alone = Run(config, tmp_path / "run")
    alone.train()
    rows = [r for r in read_rows(folder) if (r["optimizer"], r["split"]) == (optimizer, "7")]
    for row, own in zip(rows, alone.state.rows, strict=True):
        assert {k: float(row[k]) for k in own if k != "seconds"} == {
            k: v for k, v in own.items() if k != "seconds"
        }


def test_the_table(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "NUM_SPLITS", 2)
    monkeypatch.setattr(Comparison.__init__, "__kwdefaults__", {"num_splits": 2})
    monkeypatch.chdir(tmp_path)
    done = run("train", "digits", "--compare", "--epochs", 1, "--batch-size", 500)
    lines = done.stdout.splitlines()
    assert lines[0].startswith("Test accuracy (held-out 20%) after 1 epochs, means of 2 splits")
    assert [line.split()[0] for line in lines[3:6]] == OPTIMIZERS
    assert all(line.count("+-") == 2 for line in lines[4:6])
    (folder,) = (tmp_path / "runs").iterdir()
    assert folder.name.startswith("digits-mlp-compare-seed0-")
    assert str(folder.name) in lines[-1]


def test_settings_of_qpsbgd_leave_the_others_alone(compared, tmp_path):
    folder, _ = compared
    config = Config.from_recipe("digits", epochs=2, batch_size=400, seed=5, num_sweeps=0)
    changed = Comparison(config, tmp_path / "run", num_splits=2)
    changed.train()
    for name in OPTIMIZERS:
        accuracies = [
            [float(row["test_accuracy"]) for row in rows if row["optimizer"] == name][:4]
            for rows in (read_rows(folder), changed.rows)
        ]
        assert (accuracies[0] == accuracies[1]) == (name != "qpsbgd")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--resume", "{run}"], "--compare does not go with --resume"),
        (["--optimizer", "signum"], "--compare does not go with --optimizer"),
        (["--lr", "0.1"], "--compare does not go with --lr"),
        (["--split", "0"], "--compare does not go with --split"),
        (["--projector", "sampler"], "--compare goes with --projector native, not sampler"),
        (["--reads", "5"], "--reads goes with --projector dwave"),
        (["--network", "cnn"], "digits with mlp, not for digits with cnn"),
        (["--out", "{run}"], "holds a run already"),
        (["--out", ""], "'' is no name"),
    ],
)
def test_options_that_make_no_sense_are_refused(compared, args, message):
    folder, _ = compared
    before = {path: path.read_bytes() for path in folder.iterdir()}
    words = [arg.format(run=folder) for arg in args]
    done = run("train", "digits", "--compare", *words, expect=2)
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_a_comparison_is_not_resumed(compared):
    folder, _ = compared
    done = run("train", "digits", "--resume", folder, expect=2)
    assert "it belongs to a comparison, which cannot be resumed" in done.stderr


def test_an_interrupted_comparison_says_so(tmp_path, monkeypatch):
    def interrupt(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "fit", interrupt)
    done = run("train", "digits", "--compare", "--out", tmp_path / "run", expect=130)
    assert "A comparison cannot be resumed" in done.stderr


def test_estimates():
    values = [0.91, 0.95, 0.92, 0.97]
    estimate = Estimate.of(values)
    assert estimate.mean == pytest.approx(statistics.mean(values))
    assert estimate.error == pytest.approx(np.std(values, ddof=1) / 2)
    with pytest.raises(statistics.StatisticsError):
        Estimate.of([0.9])


def test_rates_are_points_of_the_grid_that_chose_them():
    from bench.tasks import RATES

    for (dataset, network), rates in COMPARED_RATES.items():
        assert (dataset, network) in RECIPES
        assert list(rates) == OPTIMIZERS
        assert set(rates.values()) <= set(RATES)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--weight-decay", "0.5"], {"weight_decay": 0.5}),
        (["--relative-lr"], {"relative_lr": True}),
        (["--memory", "0"], {"memory": 0}),
        (["--max-samples", "7"], {"max_samples": 7}),
    ],
)
def test_options_of_qpsbgd_reach_the_optimizer(tmp_path, options, expected):
    folder = tmp_path / "run"
    arguments = ["--network", "small", "--epochs", 1, "--batch-size", 500, "--out", folder]
    run("train", "digits", *arguments, *options)
    resumed = Run.resume(folder)
    ((name, value),) = expected.items()
    assert getattr(read_config(folder), name) == value
    assert all(group[name] == value for group in resumed.state.optimizer.param_groups)
    done = run("train", "digits", "--optimizer", "signum", *options, "--out", folder, expect=2)
    assert f"{options[0]} goes with --optimizer qpsbgd" in done.stderr
