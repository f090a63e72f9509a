"""The command line with the native solver."""

import json
import re
import shutil
import subprocess
import sys
import threading
from dataclasses import fields
from typing import get_args

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("click")
pytest.importorskip("tqdm")
pytest.importorskip("matplotlib")
pytest.importorskip("sklearn")

from commands import metrics, run, run_process
from qpsbgd.cli.train import train_command
from qpsbgd.training import folders, recipes, runs
from qpsbgd.training.config import Config


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
    assert summary["scale"] is None
    assert set(summary["scales"]) == {"layers.0", "layers.1", "layers.2"}
    assert set(summary["scales"].values()) <= {0.01, 0.03, 0.1, 0.3, 1.0}
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
        "--projector", "native", "--out", tmp_path / "run",
    )  # fmt: skip
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert (config["optimizer"], config["split"]) == (optimizer, 3)
    assert done.stdout.startswith("Test accuracy 0.")
    assert "Scale" not in done.stdout
    assert str(tmp_path / "run") in done.stdout


def test_the_command_line_knows_all_names():
    parameters = {each.name: each for each in train_command.params}
    for name, kind in (
        ("dataset", recipes.DatasetName),
        ("network", recipes.NetworkName),
        ("optimizer", recipes.OptimizerName),
    ):
        assert tuple(parameters[name].type.choices) == get_args(kind)
    for recipe in recipes.RECIPES.values():
        assert tuple(recipe.lr) == get_args(recipes.OptimizerName)


def test_each_setting_has_an_option_and_none_has_two():
    names = [each.name for each in train_command.params]
    assert len(names) == len(set(names))
    own = {"out", "resume", "compare", "as_json"}
    assert set(names) - own == {field.name for field in fields(Config)} - {"version"}


@pytest.mark.slow
def test_a_killed_run_resumes_to_the_same_weights(finished, tmp_path):
    whole, _ = finished
    folder = tmp_path / "killed"
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "qpsbgd",
            "train",
            "digits",
            "--epochs",
            "3",
            "--threads",
            "1",
            "--out",
            folder,
        ],
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


def test_runs_started_at_once_get_folders_of_their_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(folders.time, "strftime", lambda form: "20260101-120000")
    for lr in (0.01, 0.02, 0.03):
        run("train", "digits", "--network", "small", "--epochs", 1, "--lr", lr)
    stem = "digits-small-qpsbgd-seed0-20260101-120000"
    found = {
        path.parent.name: json.loads(path.read_text())["lr"]
        for path in (tmp_path / "runs").glob("*/config.json")
    }
    assert found == {stem: 0.01, f"{stem}-2": 0.02, f"{stem}-3": 0.03}


def test_of_runs_that_claim_a_folder_at_once_one_gets_it(tmp_path):
    config = Config.from_recipe("digits", network="small")
    gate = threading.Barrier(4)
    made, refused = [], []

    def claim():
        gate.wait()
        try:
            made.append(runs.Run(config, tmp_path / "run"))
        except FileExistsError as error:
            refused.append(error)

    claims = [threading.Thread(target=claim) for _ in range(4)]
    for thread in claims:
        thread.start()
    for thread in claims:
        thread.join()
    assert (len(made), len(refused)) == (1, 3)


def test_a_damaged_run_is_one_line_of_error(finished, tmp_path):
    whole, _ = finished
    configuration = shutil.copytree(whole, tmp_path / "configuration")
    content = {**json.loads((whole / "config.json").read_text()), "threads": 1.5}
    (configuration / "config.json").write_text(json.dumps(content))
    checkpoint = shutil.copytree(whole, tmp_path / "checkpoint")
    (checkpoint / "checkpoint.pt").write_text("PK")
    for folder, message in (
        (configuration, "threads is 1.5, but must be of type int"),
        (checkpoint, "checkpoint.pt is damaged"),
    ):
        done = run("train", "digits", "--resume", folder, expect=2)
        assert message in done.stderr
        assert done.stderr.startswith("Error: ")
        assert str(folder) in done.stderr
        assert len(done.stderr.splitlines()) == 1


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
    with pytest.warns(UserWarning, match=r"was started with qpsbgd 0\.0\.1"):
        run("train", "digits", "--resume", folder)


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
        (["--resume", "{run}", "--epochs", "9"], "falls to 0 over these epochs"),
        (["--resume", "{run}", "--out", "elsewhere"], "--out does not go with --resume"),
        (["--out", "{run}"], "holds a run already"),
        (["--out", "/dev/null/run"], "Not a directory"),
        (["--out", ""], "'' is no name"),
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


def test_python_runs_the_package():
    assert json.loads(run_process("info", "--json").stdout) == json.loads(
        run("info", "--json").stdout
    )
    assert run_process("train", "--help").stdout.startswith("Usage: qpsbgd train ")


def test_info():
    facts = json.loads(run("info", "--json").stdout)
    assert facts["isa"] in facts["isas_available"]
    assert facts["threads_backend"] in ("openmp", "std::thread", "serial")
    assert {"version", "compiler", "numpy", "torch"} <= facts.keys()
    text = run("info", QPSBGD_ISA="baseline").stdout
    assert "isa              baseline\n" in text


def test_help_has_each_option_once_under_a_heading():
    text = run("train", "--help").stdout
    headings = ("Run:", "QPSBGD and baselines:", "Projector:", "Annealer (with --projector dwave):")
    parts = re.split("|".join(f"^{re.escape(heading)}$" for heading in headings), text, flags=re.M)
    assert len(parts) == 5
    for part, options in zip(
        parts[1:], (("--epochs", "--out"), ("--scale",), ("--sampler",), ("--mock",)), strict=True
    ):
        for option in options:
            assert re.search(rf"^  {option} ", part, re.M)
    named = re.findall(r"^  (?:-h, )?(--[a-z-]+)", "".join(parts[1:]), re.M)
    assert len(named) == len(set(named)) > 30
    assert "{digits" not in parts[1]


@pytest.mark.parametrize("command", [[], ["train"], ["info"]])
def test_help(command):
    text = run(*command, "--help").stdout
    assert text.startswith("Usage: ")
    for line in text.splitlines():
        assert len(line) <= 80
    if command == ["train"]:
        for option in ("--resume", "--json", "--num-sweeps", "mnist5k"):
            assert option in text
