"""Adult: the loader, the two networks, cells, what tuning may see."""

import gzip
import hashlib
import os
import re
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("sklearn")

from qpsbgd.experiments import adult as training
from qpsbgd.experiments import libsvm
from qpsbgd.experiments.adult import StraightThroughMLP
from qpsbgd.experiments.optimizers import kernel_quantizer, make_optimizer, use_published_lambda
from qpsbgd.experiments.reproduce import adult as module
from qpsbgd.experiments.reproduce.adult import ADULT2, ADULT10, GRIDS_10
from qpsbgd.experiments.reproduce.experiment import Cell, grid
from qpsbgd.experiments.reproduce.store import Store
from qpsbgd.experiments.reproduce.study import run_tables
from qpsbgd.optim import ProxQuant

SHARED = os.environ.get("QPSBGD_DATA")
needs_data = pytest.mark.skipif(
    SHARED is None or not (Path(SHARED) / "data" / "adult" / "a1a.gz").exists(),
    reason="QPSBGD_DATA names no folder with data/adult/a1a.gz",
)
ROWS = b"-1 3:1 11:1 123:1 \n+1 1:1 \n-1 2:1 \n"


def made_rows(seed, size):
    """Labels are those of whether more of the first ten features are set than of the next."""
    rng = np.random.default_rng(seed)
    features = (rng.random((size, 123)) < 0.3).astype(np.float32)
    labels = features[:, :10].sum(axis=1) > features[:, 10:20].sum(axis=1)
    return libsvm.Rows(features, labels.astype(np.float32))


@pytest.fixture
def made(monkeypatch):
    """Data in place of Adult's."""
    data = made_rows(0, 400), made_rows(1, 500)
    monkeypatch.setattr(module, "_rows", lambda: data)
    return data


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Files in the cache, with checksums of their own, and no data folder."""
    monkeypatch.delenv("QPSBGD_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(libsvm, "SOURCE", "http://127.0.0.1:9")
    sums = {name: hashlib.sha256(ROWS).hexdigest() for name in libsvm.CHECKSUMS}
    monkeypatch.setattr(libsvm, "CHECKSUMS", sums)
    folder = tmp_path / "qpsbgd" / "adult"
    folder.mkdir(parents=True)
    (folder / "a1a").write_bytes(ROWS)
    (folder / "a1a.t.gz").write_bytes(gzip.compress(ROWS))
    return folder


@needs_data
def test_the_data_are_adults():
    train, test = libsvm.adult()
    assert (train.features.shape, test.features.shape) == ((1605, 123), (30956, 123))
    assert (train.features.dtype, train.labels.dtype) == (np.float32, np.float32)
    assert (int(train.labels.sum()), int(test.labels.sum())) == (395, 7446)
    assert 1 - test.labels.mean() == pytest.approx(module.MAJORITY, abs=1e-4)
    assert train.features[0].nonzero()[0][:3].tolist() == [2, 10, 13]  # "3:1 11:1 14:1"
    assert set(np.unique(test.features)) == {0.0, 1.0}


def test_files_are_read_plain_and_compressed(files):
    for rows in libsvm.adult():
        assert rows.labels.tolist() == [0, 1, 0]
        assert [row.nonzero()[0].tolist() for row in rows.features] == [[2, 10, 122], [0], [1]]


@pytest.mark.parametrize("name", ["a1a", "a1a.t"])
def test_a_damaged_file_is_refused(files, name):
    damaged = ROWS.replace(b"123", b"122")
    for path in files.glob(f"{name}*"):
        if path.name in (name, f"{name}.gz"):
            path.write_bytes(gzip.compress(damaged) if path.suffix == ".gz" else damaged)
    with pytest.raises(ValueError, match=rf"SHA-256 \w+, but {name} \w+: it is damaged"):
        libsvm.adult()


def test_half_a_compressed_file_is_refused(files):
    path = files / "a1a.t.gz"
    path.write_bytes(path.read_bytes()[:-12])
    with pytest.raises(ValueError, match=r"a1a\.t\.gz is no whole gzip file"):
        libsvm.adult()


def test_missing_files_are_downloaded_or_it_says_where_they_belong(files):
    (files / "a1a").unlink()
    with pytest.raises(OSError, match=r"9/a1a could not be downloaded .* put it into .*adult"):
        libsvm.adult()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"-1 3:x\n", "a1a is not in LIBSVM's format"),
        (b"-1 124:1\n", "a1a is not in LIBSVM's format with features 1 to 123"),
        (b"-1 0:1\n", "a1a is not in LIBSVM's format with features 1 to 123"),
        (b"2 3:1\n", "a1a has labels .*, but must have -1 and 1 alone"),
        (b"", "a1a"),
        (b"-1 3:0.5\n", "a1a has features other than 0 and 1"),
    ],
)
def test_other_content_is_refused(content, message):
    with pytest.raises(ValueError, match=message):
        libsvm.parsed("a1a", content)


def cell(experiment, setting, method, options, stage="final", seed=1):
    return Cell(experiment.name, "a1a", setting, method, options, seed, stage, quick=True)


@pytest.mark.parametrize("method", list(GRIDS_10))
def test_a_cell_is_the_same_again(made, method):
    for experiment in (ADULT2, ADULT10):
        one = cell(experiment, "sound", method, experiment.grids[method][2])
        assert experiment.run(one) == experiment.run(one)
        if method in experiment.fixed:
            paper = cell(experiment, "paper", method, experiment.fixed[method])
            first = experiment.run(paper)
            assert first == experiment.run(paper)
            assert len(first.curves["batch_accuracy"]) == (
                experiment.num_epochs * -(-400 // experiment.batch_size)
                if experiment.num_batches * experiment.batch_size > 400
                else experiment.num_epochs * experiment.num_batches
            )


@pytest.mark.parametrize("method", ["QP-SBGD", "BinaryConnect Adam", "ProxQuant"])
def test_tuning_sees_no_test_data(made, monkeypatch, method):
    """The same with test rows that would be an error to look at."""
    options = GRIDS_10[method][2]
    expected = ADULT10.run(cell(ADULT10, "sound", method, options, "tune"))
    poisoned = libsvm.Rows(
        np.full((7, 123), np.nan, np.float32), 1 - made[1].labels[:7] + np.float32(np.nan)
    )
    monkeypatch.setattr(module, "_rows", lambda: (made[0], poisoned))
    assert ADULT10.run(cell(ADULT10, "sound", method, options, "tune")) == expected
    assert expected.score == 0.0
    assert -2 < expected.validation < 0


@pytest.mark.parametrize(("quick", "num_folds"), [(False, 4), (True, 2)])
def test_tuning_holds_out_each_row_once(made, monkeypatch, quick, num_folds):
    """The loss of a row that is held out is its number here, so that the mean tells all of them."""
    kept, seeds = [], []

    def trained(method, options, seed, sizes, inputs, labels, rows, **kwargs):
        kept.append(rows)
        seeds.append(seed)
        return lambda inputs: inputs

    monkeypatch.setattr(training, "train", trained)
    monkeypatch.setattr(module.Adult, "_inputs", lambda self, rows: np.arange(399.0)[:, None])
    rows = libsvm.Rows(made[0].features[:399], made[0].labels[:399])
    monkeypatch.setattr(module, "_rows", lambda: (rows, made[1]))
    monkeypatch.setattr(training, "loss_of", lambda outputs, labels: outputs.mean())
    for seed in (1000, 1001):
        one = Cell("adult10", "a1a", "sound", "signSGD", {}, seed, "tune", quick)
        assert ADULT10.run(one).validation == pytest.approx(-np.mean(np.arange(399.0)))
    held_out = [np.setdiff1d(np.arange(399), rows) for rows in kept]
    for run in (held_out[:num_folds], held_out[num_folds:]):
        assert np.sort(np.concatenate(run)).tolist() == list(range(399))
    assert len(set(seeds)) == 2 * num_folds
    assert not np.array_equal(held_out[0], held_out[num_folds])


def test_test_labels_change_the_score_alone(made, monkeypatch):
    one = cell(ADULT10, "sound", "BinaryConnect Adam", {"lr": 0.01})
    before = ADULT10.run(one)
    turned = libsvm.Rows(made[1].features, 1 - made[1].labels)
    monkeypatch.setattr(module, "_rows", lambda: (made[0], turned))
    after = ADULT10.run(one)
    assert after.score == pytest.approx(1 - before.score)
    assert (after.details, after.curves) == (before.details, before.curves)


def test_all_layers_are_trained(made):
    """The released loop returned after the first."""
    for method in ADULT10.fixed:
        torch.manual_seed(0)
        model = StraightThroughMLP(ADULT10.sizes, kernel_quantizer(method), sign_output=True)
        before = [weight.detach().clone() for weight in model.parameters()]
        optimizer = make_optimizer(method, model, ADULT10.fixed[method], num_steps=1, seed=0)
        inputs = torch.from_numpy(made[0].features[:16])
        labels = torch.from_numpy(made[0].labels[:16])
        loss = torch.nn.functional.binary_cross_entropy_with_logits(model(inputs), labels)
        loss.backward()
        optimizer.step()
        assert len(before) == 10
        changed = [bool((w != b).any()) for w, b in zip(model.parameters(), before, strict=True)]
        assert all(changed), method


def test_a_network_learns(made, monkeypatch):
    for method, options in (("QP-SBGD", {"lr": 0.01}), ("BinaryConnect Adam", {"lr": 0.01})):
        full = Cell("adult10", "a1a", "sound", method, options, 0, "final")
        outcome = ADULT10.run(full)
        assert outcome.score > 0.62, method
        assert len(outcome.curves["train_loss"]) == ADULT10.sound_epochs


def test_all_methods_have_the_same_budget():
    for experiment in (ADULT2, ADULT10):
        assert {len(grid) for grid in experiment.grids.values()} == {8}
        assert {len({*map(str, grid)}) for grid in experiment.grids.values()} == {8}


# method.md, the table of experiments: batch x steps, epochs, rates.
@pytest.mark.parametrize(
    ("experiment", "network", "features", "batches", "rates"),
    [
        (
            ADULT2, (3, 5, 1), [6, 22, 36], (20, 30, 1),
            {"BinaryConnect": 0.01, "signSGD": 0.005, "QP-SBGD": 0.008},
        ),
        (
            ADULT10, (123, *[128] * 9, 1), [*range(1, 124)], (16, 32, 2),
            {"BinaryConnect": 0.01, "signSGD": 0.02, "QP-SBGD": 0.1, "ProxQuant": 0.1},
        ),
    ],
)  # fmt: skip
def test_the_published_settings(experiment, network, features, batches, rates):
    assert experiment.sizes == network
    assert list(experiment.features) == features
    assert (experiment.batch_size, experiment.num_batches, experiment.num_epochs) == batches
    own = {"QP-SBGD": {"objective": "sign", "target": "activation"}}
    expected = {method: {"lr": lr, **own.get(method, {})} for method, lr in rates.items()}
    assert experiment.fixed == expected


# method.md: SGD .507, signSGD .447, QP (Gurobi) .637; QP .67, SGD .74, signSGD .77.
@pytest.mark.parametrize(
    ("experiment", "detail", "ends"),
    [
        (
            ADULT2, "final_batch_accuracy",
            {"QP-SBGD": 0.637, "BinaryConnect": 0.507, "signSGD": 0.447},
        ),
        (
            ADULT10, "final_batch_loss",
            {"QP-SBGD": 0.67, "BinaryConnect": 0.74, "signSGD": 0.77},
        ),
    ],
)  # fmt: skip
def test_the_published_numbers(made, experiment, detail, ends):
    published = experiment.published("a1a")
    assert {method: dict(each.details) for method, each in published.items()} == {
        method: {detail: end} for method, end in ends.items()
    }
    assert list(experiment.details) == [detail]
    outcome = experiment.run(cell(experiment, "paper", "BinaryConnect", {"lr": 0.01}))
    curve = detail.removeprefix("final_")
    assert outcome.details[detail] == outcome.curves[curve][-1]
    for method, each in published.items():
        assert each.score is None
        if experiment is ADULT10:
            assert (each.curves, each.ends) == ({}, {curve: ends[method]})
        else:
            (x, y) = each.curves[curve]
            # Iterations 0 to 19 of the paper are our steps 1 to 20.
            assert x == tuple(range(1, 21))
            assert (len(y), y[-1], each.ends) == (20, ends[method], {})
    assert ".369" in ADULT2.published("a1a")["QP-SBGD"].note


@pytest.mark.parametrize("experiment", [ADULT2, ADULT10], ids=lambda e: e.name)
def test_settings_are_those_of_the_run(experiment):
    full, quick = (experiment.settings("a1a", "sound", quick) for quick in (False, True))
    assert full["options"].startswith("best of 8 a method by 4-fold cross-validation")
    assert "2 time(s)" in full["options"]
    assert quick["options"].startswith("best of 2 a method by 2-fold cross-validation")
    assert "1 time(s)" in quick["options"]
    assert (full["batches"], quick["batches"]) == (
        "of 50 rows, 20 epochs", "of 50 rows, 2 epochs"
    )  # fmt: skip
    paper = experiment.settings("a1a", "paper", quick=True)
    assert ("ProxQuant" in paper) == ("ProxQuant" in experiment.fixed)
    model = StraightThroughMLP((3, 1), "ste_sign", sign_output=True)
    for told, options in (
        (full, experiment.grids["QP-SBGD"][0]),
        (paper, experiment.fixed["QP-SBGD"]),
    ):
        group = make_optimizer("QP-SBGD", model, options, 1, seed=0).param_groups[0]
        assert told["QP-SBGD"].startswith(f"{group['objective']} objective")
        assert told["QP-SBGD"].endswith(f"{group['num_sweeps']} sweeps")
        if group["objective"] == "quadratic":
            assert f"alpha {group['alpha']}" in told["QP-SBGD"]


@pytest.mark.parametrize("experiment", [ADULT2, ADULT10], ids=lambda e: e.name)
@pytest.mark.parametrize("setting", ["paper", "sound"])
def test_remarks_hold_whatever_comes_out(experiment, setting):
    for remark in experiment.remarks("a1a", setting):
        assert not re.search(r"\b(level|ahead|behind|order)\b", remark), remark


@pytest.mark.parametrize("setting", ["paper", "sound"])
@pytest.mark.parametrize("stage", ["tune", "final"])
def test_it_is_the_network_of_signs_that_is_tested(made, monkeypatch, setting, stage):
    """ProxQuant's weights are real until then."""
    tested, forward = [], StraightThroughMLP.forward

    def recorded(self, x):
        if not torch.is_grad_enabled():
            tested.append(all(bool((w.abs() == 1).all()) for w in self.parameters()))
        return forward(self, x)

    monkeypatch.setattr(StraightThroughMLP, "forward", recorded)
    ADULT10.run(cell(ADULT10, setting, "ProxQuant", {"lr": 0.1}, stage))
    assert tested
    assert all(tested)


def test_a_grid_has_all_combinations():
    assert grid(lr=(1, 2), scale=(3, 4), momentum=(5,)) == (
        {"lr": 1, "scale": 3, "momentum": 5},
        {"lr": 1, "scale": 4, "momentum": 5},
        {"lr": 2, "scale": 3, "momentum": 5},
        {"lr": 2, "scale": 4, "momentum": 5},
    )


def test_the_published_lambda_is_the_threshold_itself():
    optimizer = ProxQuant([torch.nn.Parameter(torch.zeros(1))], lr=0.1, reg_rate=0.0)
    for epoch, threshold in ((0, 0.01), (1, 0.02), (9, 0.1)):
        use_published_lambda(optimizer, epoch)
        group = optimizer.param_groups[0]
        assert group["lr"] * group["strength"] == pytest.approx(threshold)


@pytest.fixture
def thresholds(monkeypatch):
    """Of all steps that ProxQuant takes from now on."""
    found, move = [], ProxQuant._map

    def recorded(self, weight, group):
        found.append(group["lr"] * group["strength"])
        move(self, weight, group)

    monkeypatch.setattr(ProxQuant, "_map", recorded)
    return found


def test_proxquant_has_the_published_lambda(made, thresholds):
    ADULT10.run(cell(ADULT10, "paper", "ProxQuant", ADULT10.fixed["ProxQuant"]))
    # Ten layers; 400 rows in batches of 16.
    assert thresholds == pytest.approx([0.01] * 250 + [0.02] * 250)


def test_the_number_of_threads_is_restored(made, monkeypatch):
    before = torch.get_num_threads()
    one = cell(ADULT2, "paper", "BinaryConnect", {"lr": 0.01})
    try:
        torch.set_num_threads(3)
        ADULT2.run(one)
        assert torch.get_num_threads() == 3
        monkeypatch.setattr(module, "_rows", torch.get_num_threads)  # 1, which is no pair of rows
        with pytest.raises(TypeError, match="cannot unpack"):
            ADULT2.run(one)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_features_are_the_files_numbers(made):
    columns = ADULT2._inputs(made[0])
    np.testing.assert_array_equal(columns, made[0].features[:, [5, 21, 35]])


@pytest.mark.parametrize("experiment", [ADULT2, ADULT10], ids=lambda e: e.name)
@pytest.mark.parametrize("setting", ["paper", "sound"])
def test_quick_tables(made, tmp_path, experiment, setting):
    (table,) = run_tables(experiment, setting, Store(tmp_path), num_seeds=1, quick=True)
    names = list(experiment.fixed if setting == "paper" else experiment.grids)
    assert [row.method for row in table.rows] == names
    assert all(0 <= row.mean <= 1 for row in table.rows)
    assert all(set(row.outcomes[0].curves) <= set(experiment.axes) for row in table.rows)
    assert experiment.settings("a1a", setting, quick=False)
    assert experiment.remarks("a1a", setting)
