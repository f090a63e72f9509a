"""Runs that are resumed: bit for bit, or refused in one line if a file is damaged."""

import io
import json
import shutil
import warnings
from typing import get_args

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("tqdm")
pytest.importorskip("matplotlib")
pytest.importorskip("sklearn")

from commands import metrics
from qpsbgd.training import checkpoints, datasets, loop
from qpsbgd.training.config import Config
from qpsbgd.training.recipes import OptimizerName
from qpsbgd.training.runs import Run

OPTIMIZERS = get_args(OptimizerName)
BASELINES = [name for name in OPTIMIZERS if name != "qpsbgd"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of a run of three epochs."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    Run(Config.from_recipe("digits", epochs=3), folder).train()
    return folder


def train_one_epoch(run):
    """Train as a run does that is stopped after its first epoch."""
    loop.fit(
        run.state,
        run.data,
        epochs=1,
        batch_size=run.config.batch_size,
        after_epoch=run._save_epoch,
    )


@pytest.mark.parametrize("optimizer", BASELINES)
def test_baselines_resume_bit_for_bit(tmp_path, optimizer):
    config = Config.from_recipe("digits", optimizer=optimizer, epochs=2)
    whole = Run(config, tmp_path / "whole")
    first = Run(config, tmp_path / "first")
    train_one_epoch(first)
    whole.train()
    resumed = Run.resume(tmp_path / "first")
    assert len(resumed.state.rows) == 1
    resumed.train()
    assert metrics(tmp_path / "first") == metrics(tmp_path / "whole")
    weights = [run.state.model.parameters() for run in (resumed, whole)]
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(*weights, strict=True))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_what_is_tested_is_the_binary_network(tmp_path, optimizer, monkeypatch):
    config = Config.from_recipe("digits", optimizer=optimizer, epochs=1)
    run = Run(config, tmp_path / "run")
    seen = []

    def look(model, inputs, labels):
        seen.extend(layer.binary_weight.detach().clone() for layer in model.layers)
        return 0.0

    monkeypatch.setattr(loop, "accuracy", look)
    run.train()
    assert len(seen) == 3
    for weight in seen:
        assert set(weight.unique().tolist()) == {-1.0, 1.0}


def changed(path, **settings):
    """The text of a config.json with other settings; ``...`` leaves one out."""
    content = {**json.loads(path.read_text()), **settings}
    return json.dumps({name: value for name, value in content.items() if value is not ...})


def check_refused(folder, message):
    with pytest.raises(ValueError, match=r"run|damaged") as caught:
        Run.resume(folder)
    text = str(caught.value)
    assert message in text
    assert str(folder) in text
    assert "\n" not in text


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("config.json", "", "config.json is not a run's"),
        ("config.json", "[]", "config.json is not a run's: it is a JSON list"),
        ("config.json", '{"dataset": "mnist"}', "dataset is 'mnist', but must be one of digits"),
        (
            "config.json",
            '{"dataset": "digits", "color": 1}',
            "it has the setting 'color', which qpsbgd",
        ),
        ("checkpoint.pt", "", "checkpoint.pt is damaged"),
        ("checkpoint.pt", "PK", "checkpoint.pt is damaged"),
    ],
)
def test_a_damaged_run_is_not_resumed(whole, tmp_path, file, content, message):
    folder = shutil.copytree(whole, tmp_path / "damaged")
    (folder / file).write_text(content)
    check_refused(folder, message)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epochs": "1"}, "epochs is '1', but must be of type int"),
        ({"epochs": True}, "epochs is True, but must be of type int"),
        ({"threads": 1.5}, "threads is 1.5, but must be of type int"),
        ({"threads": 10**9}, "threads is 1000000000, but must lie in [1, 4096)"),
        ({"seed": 2**70}, "but must lie in [0, 2147483648)"),
        ({"lr": float("nan")}, "lr is nan, but must lie in (0, inf)"),
        ({"scale": []}, "scale is [], but must be of type float"),
        ({"momentum": 1.0}, "momentum is 1.0, but must lie in [0, 1)"),
        ({"objective": "x"}, "objective is 'x', but must be one of quadratic, sign"),
        ({"backend": "native"}, "it has the setting 'backend', which qpsbgd"),
        ({"projector": {}}, "projector is {}, but must be one of native, sampler, dwave"),
        ({"mock": "hexagon"}, "has mock 'hexagon', but checkpoint.pt was made with None"),
        ({"sampler_options": [1]}, "sampler_options is [1], but must be of type dict"),
        ({"lr": ...}, "config.json is not a run's: it has no 'lr'"),
        ({"version": ...}, "config.json is not a run's: it has no 'version'"),
        ({"lr": 0.5}, "config.json has lr 0.5, but checkpoint.pt was made with 0.01"),
        ({"optimizer": "signsgd"}, "has optimizer 'signsgd', but checkpoint.pt was made with 'qps"),
    ],
)
def test_a_damaged_configuration_is_one_line(whole, tmp_path, settings, message):
    folder = shutil.copytree(whole, tmp_path / "damaged")
    text = changed(folder / "config.json", **settings)
    (folder / "config.json").write_text(text)
    with pytest.raises(ValueError, match="config") as info:
        Run.resume(folder)
    assert message in str(info.value)
    assert str(folder / "config.json") in str(info.value)


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
    (
        ("optimizer", "state", 0, "scale_cosines"),
        [0.1, 0.2],
        "the optimizer's scale_cosines of parameter 0 does not fit",
    ),
    (
        ("optimizer", "state", 1, "scale_count"),
        "x",
        "the optimizer's scale_count of parameter 1 does not fit",
    ),
    (
        ("optimizer", "state", 0, "past_sizes"),
        [3],
        "the optimizer's past_sizes of parameter 0 does not fit",
    ),
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
def test_a_replaced_entry_of_a_checkpoint(whole, tmp_path, keys, value, message):
    folder = shutil.copytree(whole, tmp_path / "damaged")
    state = torch.load(folder / "checkpoint.pt", weights_only=True)
    entry(state, *keys[:-1])[keys[-1]] = value
    torch.save(state, folder / "checkpoint.pt")
    with pytest.raises(ValueError, match=r"checkpoint\.pt is damaged") as info:
        Run.resume(folder)
    assert message in str(info.value)
    assert "\n" not in str(info.value)


@pytest.fixture(scope="module")
def small_batches(tmp_path_factory):
    """The folder of a run whose batches are filled up with past samples."""
    folder = tmp_path_factory.mktemp("runs") / "small"
    config = Config.from_recipe("digits", network="small", batch_size=20, epochs=2)
    Run(config, folder).train()
    return folder


def test_small_batches_resume_bit_for_bit(small_batches, tmp_path):
    config = Config.from_recipe("digits", network="small", batch_size=20, epochs=2)
    first = Run(config, tmp_path / "first")
    train_one_epoch(first)
    resumed = Run.resume(tmp_path / "first")
    summary = resumed.train()
    assert metrics(tmp_path / "first") == metrics(small_batches)
    assert set(summary["scales"]) == {"layers.0", "layers.1", "layers.2"}
    assert Run.resume(small_batches).summary()["scales"] == summary["scales"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("past_inputs", torch.zeros(5, 64)),
        ("past_targets", torch.zeros(5, 16)),
        ("past_targets", None),
        ("past_sizes", [20]),
        ("past_sizes", [50, -10]),
        ("past_sizes", "x"),
    ],
)
def test_damaged_past_samples(small_batches, tmp_path, name, value):
    folder = shutil.copytree(small_batches, tmp_path / "damaged")
    state = torch.load(folder / "checkpoint.pt", weights_only=True)
    assert name in state["optimizer"]["state"][0]
    state["optimizer"]["state"][0][name] = value
    torch.save(state, folder / "checkpoint.pt")
    check_refused(folder, "checkpoint.pt is damaged: the optimizer's past_")


@pytest.mark.parametrize("name", ["model", "optimizer", "scheduler", "shuffle", "rows", "data"])
def test_a_missing_entry_of_a_checkpoint(whole, tmp_path, name):
    folder = shutil.copytree(whole, tmp_path / "damaged")
    state = torch.load(folder / "checkpoint.pt", weights_only=True)
    del state[name]
    torch.save(state, folder / "checkpoint.pt")
    with pytest.raises(ValueError, match=rf"checkpoint\.pt is damaged: it has no '{name}'"):
        Run.resume(folder)


def test_a_checkpoint_without_a_groups_option(whole, tmp_path):
    folder = shutil.copytree(whole, tmp_path / "damaged")
    state = torch.load(folder / "checkpoint.pt", weights_only=True)
    del state["optimizer"]["param_groups"][1]["lr"]
    torch.save(state, folder / "checkpoint.pt")
    check_refused(folder, "checkpoint.pt is damaged")


def test_a_checkpoint_of_an_older_version_is_resumed(whole, tmp_path):
    folder = shutil.copytree(whole, tmp_path / "older")
    state = torch.load(folder / "checkpoint.pt", weights_only=True)
    for name in ("digest", "config", "epoch"):
        del state[name]
    torch.save(state, folder / "checkpoint.pt")
    assert len(Run.resume(folder).state.rows) == 3


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
    """Return the values that determine how a run goes on."""
    return {**run.state.state_dict(), "settings": run.config.decisive_settings}


@pytest.mark.parametrize("kind", ["bytes", "entries", "config"])
@pytest.mark.parametrize("optimizer", ["qpsbgd", "binaryconnect"])
def test_random_damage(tmp_path, monkeypatch, kind, optimizer):
    """A damaged run is refused in one line, or goes on as the undamaged one."""
    data = datasets.digits()
    monkeypatch.setitem(datasets.DATASETS, "digits", lambda split: data)
    folder = tmp_path / "run"
    config = Config.from_recipe("digits", optimizer=optimizer, network="small", epochs=2, threads=1)
    first = Run(config, folder)
    train_one_epoch(first)
    checkpoint, settings = folder / "checkpoint.pt", folder / "config.json"
    good, good_settings = checkpoint.read_bytes(), settings.read_bytes()
    expected = checkpoints.digest(settled(Run.resume(folder)))
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
                resumed = Run.resume(folder)
        except ValueError as error:
            message = str(error)
            refused += 1
        assert str(folder) in message
        # threads and version alone may be others.
        assert resumed is None or checkpoints.digest(settled(resumed)) == expected
    assert refused > 30
