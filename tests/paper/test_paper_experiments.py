"""Experiments of bench.paper: published numbers and options, runs, what tuning may see."""

import dataclasses
import itertools
import os
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("seaborn", reason="bench.paper needs qpsbgd[paper]")
pytest.importorskip("mlxtend")
pytest.importorskip("dwave.system")

from bench.paper import adult, graphs, methods, pairs, planetoid, rosenbrock
from bench.paper.__main__ import EXPERIMENTS, main
from bench.paper.adult import ADULT2, ADULT10, Rows, StraightThroughMLP
from bench.paper.graphs import GCN, KARATE, STRENGTHS, Epoch, Task, best_epoch, drop_features
from bench.paper.minimisation import (
    GRADIENT_UNIT,
    LATENT,
    PROJECTED,
    Problem,
    fitted_rate,
    mean_norms,
    minimise,
    sample_gradient,
)
from bench.paper.pairs import MNIST_PAIRS, MOCK, QUBO, SIGN, load_pair
from bench.paper.rosenbrock import ROSENBROCK
from bench.paper.study import MAX_POINTS, SETTINGS, Case, Cell, Outcome
from bench.paper.tables import PUBLISHED
from qpsbgd.optim import ProxQuant

pytestmark = pytest.mark.slow  # bench.paper is not part of the package

QP, BC = "QP-SBGD", "BinaryConnect"
DATA = Path(os.environ.get("QPSBGD_DATA", "/none")) / "data"
needs_data = pytest.mark.skipif(
    not all((DATA / f).exists() for f in ("adult/a1a.gz", "planetoid/ind.cora.x", "mnist")),
    reason="QPSBGD_DATA names no folder with data/adult, data/planetoid and data/mnist",
)


def cell(experiment, case, method, setting="sound", stage="final", seed=0, option=0, **protocol):
    grid = experiment.grids(case, setting)[method]
    found = experiment.protocol(case, setting, True) | protocol
    option = grid[min(option, len(grid) - 1)]
    return Cell(experiment.name, case, setting, method, option, seed, stage, found)


def small_graph():
    """Four communities of 50 documents, whose words tell a little."""
    rng = np.random.default_rng(0)
    labels = np.arange(200) % 4
    same = labels[:, None] == labels
    edges = np.argwhere(np.triu(rng.random((200, 200)) < np.where(same, 0.1, 0.01), 1)).T
    features = (rng.random((200, 40)) < 0.1).astype(np.float32)
    features[np.arange(200), labels * 10 + rng.integers(10, size=200)] = 1
    nodes = np.arange(200)
    masks = nodes < 40, (nodes >= 40) & (nodes < 100), nodes >= 100
    edges = np.concatenate([edges, edges[::-1]], axis=1)
    return planetoid.CitationGraph(features, labels, edges, *masks)


def made_rows(seed, size):
    """Labels say whether more of the first ten features are set than of the next."""
    features = (np.random.default_rng(seed).random((size, 123)) < 0.3).astype(np.float32)
    labels = features[:, :10].sum(axis=1) > features[:, 10:20].sum(axis=1)
    return Rows(features, labels.astype(np.float32))


@pytest.fixture(autouse=True)
def made(monkeypatch):
    """Random data in the place of Adult's and Cora's."""
    rows = {"a1a": made_rows(0, 400), "a1a.t": made_rows(1, 500)}
    monkeypatch.setattr(adult, "load_rows", rows.__getitem__)
    monkeypatch.setattr(graphs, "load_graph", lambda name: small_graph())
    return rows


@pytest.fixture
def thresholds(monkeypatch):
    """Thresholds of all steps that ProxQuant takes from now on."""
    found, move = [], ProxQuant._map

    def recorded(self, weight, group):
        found.append(group["lr"] * group["strength"])
        move(self, weight, group)

    monkeypatch.setattr(ProxQuant, "_map", recorded)
    return found


# Published numbers and options


def test_published_numbers():
    """PAPER: its tables and the ends of its curves."""
    found = {}
    for (experiment, case, method, measure), value in PUBLISHED["value"].items():
        found.setdefault((experiment, case, measure), {})[method] = value
    expected = {
        ("adult2", "a1a", "final_batch_accuracy"): {QP: 0.637, BC: 0.507, "signSGD": 0.447},
        ("adult10", "a1a", "final_batch_loss"): {QP: 0.67, BC: 0.74, "signSGD": 0.77},
    }
    digits = {
        "0/2": {QP: 0.66, MOCK: 0.62, BC: 0.64, "signSGD": 0.71, "ProxQuant": 0.65},
        "1/2": {QP: 0.73, MOCK: 0.70, BC: 0.72, "signSGD": 0.66, "ProxQuant": 0.67},
        "1/7": {QP: 0.75, MOCK: 0.74, BC: 0.74, "signSGD": 0.68, "ProxQuant": 0.64},
    }
    for pair, values in digits.items():
        small = {**values, SIGN: values[QP]}
        expected["mnist-pairs", f"{pair}, embeddable", "score"] = small
        full = {method: value for method, value in small.items() if method != MOCK}
        expected["mnist-pairs", f"{pair}, full", "score"] = full
    names = (BC, "signSGD", "ProxQuant", QP)
    for graph, last, best in (
        ("karate", (0.457, 0.464, 0.375, 0.560), (0.471, 0.464, 0.393, 0.572)),
        ("cora", (0.367, 0.566, 0.540, 0.570), (0.417, 0.579, 0.543, 0.620)),
        ("pubmed", (0.344, 0.504, 0.662, 0.657), (0.351, 0.621, 0.700, 0.702)),
    ):
        expected["gcn", graph, "score"] = dict(zip(names, last, strict=True))
        expected["gcn", graph, "best epoch"] = dict(zip(names, best, strict=True))
    assert found == expected
    assert "0.369" in PUBLISHED.loc["adult2", "a1a", QP, "final_batch_accuracy"]["note"]


def test_published_curves_end_where_the_numbers_say():
    from bench.paper.pictures import PUBLISHED_CURVES

    curves = dict(list(PUBLISHED_CURVES.groupby(["experiment", "case", "method"])))
    assert len(curves) == 3 + 12
    for (experiment, case, method), curve in curves.items():
        is_graph = experiment == "gcn"
        measure = "score" if is_graph else "final_batch_accuracy"
        last = PUBLISHED.loc[experiment, case, method, measure]["value"]
        assert curve["y"].iloc[-1] == pytest.approx(last, abs=0.001)
        assert curve["x"].is_monotonic_increasing
        # The paper's iterations of Adult begin at 0, our steps at 1.
        ends = (0, graphs.PAPER_EPOCHS[case]) if is_graph else (1, 20)
        assert (curve["x"].iloc[0], curve["x"].iloc[-1]) == ends


@pytest.mark.parametrize(
    ("experiment", "case", "rates"),
    [
        (ROSENBROCK, "n = 2", {LATENT: 0.1, PROJECTED: 1.5, BC: 0.01, "signSGD": 0.02}),
        (ADULT2, "a1a", {QP: 0.008, BC: 0.01, "signSGD": 0.005}),
        (ADULT10, "a1a", {QP: 0.1, BC: 0.01, "signSGD": 0.02, "ProxQuant": 0.1}),
        (MNIST_PAIRS, "1/7, embeddable", {QP: 0.008, SIGN: 0.008, QUBO: 0.008, MOCK: 0.008}),
        (MNIST_PAIRS, "1/7, full", {BC: 0.01, "signSGD": 0.005, "ProxQuant": 0.1}),
        (GCN, KARATE, {QP: 0.1, BC: 0.01, "signSGD": 0.02, "ProxQuant": 0.1}),
    ],
)
def test_published_rates(experiment, case, rates):
    grids = experiment.grids(case, "paper")
    assert rates.items() <= {method: grid[0]["lr"] for method, grid in grids.items()}.items()
    assert {len(grid) for grid in grids.values()} == {1}


@pytest.mark.parametrize(
    ("experiment", "case", "expected"),
    [
        (ADULT2, "a1a", {"sizes": [3, 5, 1], "features": [6, 22, 36], "num_batches": 30}),
        (ADULT10, "a1a", {"sizes": [123, *[128] * 9, 1], "num_batches": 32, "num_epochs": 2}),
        (GCN, KARATE, {"num_epochs": 266, "dropout": 0.0, "scored epoch": "last"}),
        (GCN, "cora", {"num_epochs": 494, "dropout": 0.0, "scored epoch": "last"}),
        (ROSENBROCK, "n = 2", {"num_steps": 1000, "rate falls": False}),
    ],
)
def test_published_protocols(experiment, case, expected):
    assert expected.items() <= experiment.protocol(case, "paper", False).items()


def test_tuned_methods_have_equal_grids_of_different_options():
    sizes = {"rosenbrock": 8, "adult2": 8, "adult10": 8, "mnist-pairs": 6, "gcn": 9}
    for experiment, setting, quick in itertools.product(
        EXPERIMENTS.values(), SETTINGS, (False, True)
    ):
        for name in experiment.cases(setting, quick):
            grids = Case(experiment, name, setting, 5, quick, {}).grids
            assert next(iter(grids)).startswith(QP)
            tuned = {len(grid) for grid in grids.values() if len(grid) > 1}
            size = {2 if quick else sizes[experiment.name]}
            assert tuned == (size if setting == "sound" and name != STRENGTHS else set())
            assert all(len({*map(str, grid)}) == len(grid) for grid in grids.values())
        assert experiment.remarks[setting]


# Cells


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_a_quick_cell_has_one_outcome(name, setting):
    experiment = EXPERIMENTS[name]
    case = experiment.cases(setting, True)[0]
    for method in list(experiment.grids(case, setting))[:: 3 if name == "mnist-pairs" else 1]:
        if method in (QUBO, MOCK):  # Their tests are below.
            continue
        asked = cell(experiment, case, method, setting)
        found = experiment.run(asked)
        assert experiment.run(asked) == found
        assert found.score >= 0
        assert set(found.curves) <= set(experiment.axes)
        assert set(found.curves)


@pytest.mark.parametrize(
    ("experiment", "case", "threshold"),
    [(ADULT10, "a1a", 0.62), (MNIST_PAIRS, "1/7, embeddable", 0.8), (GCN, KARATE, 0.5)],
)
def test_networks_learn(experiment, case, threshold):
    length = {} if experiment is MNIST_PAIRS else {"num_epochs": 20}
    for method in (QP, "BinaryConnect Adam"):
        assert experiment.run(cell(experiment, case, method, option=4, **length)).score > threshold


def test_a_quick_study_of_the_command_line(tmp_path, capsys):
    args = ["adult2", "--quick", "--seeds", "2", "--setting", "paper", "--out", str(tmp_path)]
    assert main(args) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"quick"}
    text = (tmp_path / "quick" / "report.html").read_text()
    assert "<td class=number>0.6370 (on a D-Wave annealer 0.369)" in text
    assert "Report: " in capsys.readouterr().out


def test_the_page_of_all_experiments_is_below_2_mb(tmp_path, monkeypatch, rng):
    """Every case in both settings, with curves as long as they may be."""

    def run(experiment, cell):
        points = [(float(x), float(y)) for x, y in enumerate(rng.normal(size=MAX_POINTS))]
        details = dict(zip(experiment.details, rng.random(len(experiment.details)), strict=True))
        return Outcome(rng.random(), rng.random(), dict.fromkeys(experiment.axes, points), details)

    for experiment in EXPERIMENTS.values():
        monkeypatch.setattr(type(experiment), "run", run)
        monkeypatch.setattr(type(experiment), "protocol", lambda *_: {})
    assert main(["all", "--seeds", "3", "--out", str(tmp_path)]) == 0
    page = (tmp_path / "report.html").read_bytes()
    assert page.count(b"<svg") >= 2 * len(EXPERIMENTS)
    assert len(page) < 2e6


@pytest.mark.parametrize(
    ("experiment", "case"), [(ADULT10, "a1a"), (MNIST_PAIRS, "1/7, embeddable"), (GCN, "cora")]
)
@pytest.mark.parametrize("method", [QP, "ProxQuant"])
def test_tuning_sees_no_test_data(experiment, case, method, made, monkeypatch):
    asked = {
        stage: cell(experiment, case, method, stage=stage, seed=1000, option=3)
        for stage in ("tune", "final")
    }
    before = {stage: experiment.run(each) for stage, each in asked.items()}
    made["a1a.t"] = made["a1a.t"]._replace(labels=1 - made["a1a.t"].labels)
    pair = load_pair(case) if experiment is MNIST_PAIRS else None
    if pair:
        turned = dataclasses.replace(pair, test_labels=1 - pair.test_labels)
        monkeypatch.setattr(pairs, "load_pair", lambda case: turned)
    graph = small_graph()
    labels = np.where(graph.test_mask, (graph.labels + 1) % 4, graph.labels)
    turned_graph = dataclasses.replace(graph, labels=labels)
    monkeypatch.setattr(graphs, "load_graph", lambda name: turned_graph)
    after = {stage: experiment.run(each) for stage, each in asked.items()}
    assert after["tune"].validation == before["tune"].validation
    assert np.isnan(after["tune"].score)
    assert not after["tune"].curves
    assert after["final"].score != before["final"].score


def test_karate_is_not_seen_in_tuning(monkeypatch):
    def refused():
        raise AssertionError("the club was used")

    monkeypatch.setattr(graphs, "karate_club", refused)
    monkeypatch.setattr(graphs, "NUM_CLUBS", 3)
    assert GCN.run(cell(GCN, KARATE, QP, stage="tune", seed=1000, option=8)).validation > 0.4
    with pytest.raises(AssertionError, match="the club was used"):
        GCN.run(cell(GCN, KARATE, QP))


def test_a_tuning_run_has_25_clubs_of_its_own():
    first, second = (graphs.tuning_tasks(KARATE, seed) for seed in (1000, 1001))
    assert len(first) == len(second) == 25
    shapes = {tuple(task.edges.flatten().tolist()) for task in (*first, *second)}
    assert len(shapes) == 50


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize(
    ("experiment", "case"), [(ADULT10, "a1a"), (MNIST_PAIRS, "1/7, embeddable"), (GCN, KARATE)]
)
def test_binary_weights_are_what_is_tested(experiment, case, setting, monkeypatch):
    """ProxQuant's weights are real until then."""
    kinds = set()
    for network in (StraightThroughMLP, pairs.BinaryMLP, graphs.BinaryGCN):

        def recorded(self, *args, forward=network.forward):
            if not torch.is_grad_enabled():
                kinds.update(float(w.abs().max()) for w in self.parameters())
                kinds.update(float(w.abs().min()) for w in self.parameters())
            return forward(self, *args)

        monkeypatch.setattr(network, "forward", recorded)
    experiment.run(cell(experiment, case, "ProxQuant", setting))
    assert kinds == {1.0}


@pytest.mark.parametrize(
    ("experiment", "case", "expected"),
    [
        (ROSENBROCK, "n = 2", [0.01] * 100 + [0.02] * 100),
        # Ten layers; 400 rows in batches of 16.
        (ADULT10, "a1a", [0.01] * 250 + [0.02] * 250),
        (MNIST_PAIRS, "1/7, embeddable", [0.01] * 20),
        (GCN, KARATE, [0.01 * (epoch // 2 + 1) for epoch in range(20)]),
    ],
)
def test_the_published_lambda_is_the_threshold(experiment, case, expected, thresholds):
    experiment.run(cell(experiment, case, "ProxQuant", "paper"))
    assert thresholds == pytest.approx(expected)


@pytest.mark.parametrize(
    ("experiment", "case"), [(ADULT2, "a1a"), (MNIST_PAIRS, "1/7, embeddable"), (GCN, KARATE)]
)
@pytest.mark.parametrize("setting", SETTINGS)
def test_rates_fall_to_zero_in_the_sound_setting(experiment, case, setting, monkeypatch):
    made = []

    def recorded(*args, **kwargs):
        made.append(methods.make_optimizer(*args, **kwargs))
        return made[-1]

    for module in (adult, pairs, graphs):
        monkeypatch.setattr(module, "make_optimizer", recorded)
    asked = cell(experiment, case, BC, setting)
    experiment.run(asked)
    last = 0.0 if setting == "sound" else asked.options["lr"]
    assert made[0].param_groups[0]["lr"] == pytest.approx(last, abs=1e-9)


def test_proxquants_strength_ends_at_what_the_options_say():
    model = torch.nn.Linear(3, 2)
    options = {"lr": 0.1, "strength": 0.3}
    optimizer = methods.make_optimizer("ProxQuant", model, options, 8, seed=0)
    for weight in model.parameters():
        weight.grad = torch.zeros_like(weight)
    for step in range(8):
        assert optimizer.param_groups[0]["strength"] == pytest.approx(0.3 * step / 8)
        optimizer.step()
    with pytest.raises(ValueError, match="method is 'SGD', but must be one of the paper's"):
        methods.make_optimizer("SGD", model, {}, 8, seed=0)


# Adult


@needs_data
def test_the_data_are_adults(monkeypatch):
    monkeypatch.undo()
    train, test = (adult.load_rows(name) for name in ("a1a", "a1a.t"))
    assert (train.features.shape, test.features.shape) == ((1605, 123), (30956, 123))
    assert (train.features.dtype, train.labels.dtype) == (np.float32, np.float32)
    assert (int(train.labels.sum()), int(test.labels.sum())) == (395, 7446)
    assert train.features[0].nonzero()[0][:3].tolist() == [2, 10, 13]  # "3:1 11:1 14:1"
    assert set(np.unique(test.features)) == {0.0, 1.0}
    np.testing.assert_array_equal(ADULT2.inputs(train), train.features[:, [5, 21, 35]])


def test_cross_validation_holds_out_each_row_once(monkeypatch):
    """The loss of a row that is held out is its number here."""
    kept, seeds = [], []

    class Identity:
        def outputs(self, inputs):
            return inputs

    def trained(cell, inputs, labels, rows, seed):
        kept.append(rows)
        seeds.append(seed)
        return Identity(), []

    monkeypatch.setattr(adult, "train", trained)
    monkeypatch.setattr(adult, "loss_of", lambda outputs, labels: outputs.mean())
    inputs, labels = np.arange(399.0)[:, None], torch.zeros(399)
    for seed in (1000, 1001):
        asked = cell(ADULT10, "a1a", "signSGD", stage="tune", seed=seed, num_folds=4)
        assert adult.held_out_loss(asked, inputs, labels) == pytest.approx(199.0)
    held_out = [np.setdiff1d(np.arange(399), rows) for rows in kept]
    for run in (held_out[:4], held_out[4:]):
        assert np.sort(np.concatenate(run)).tolist() == list(range(399))
    assert len(set(seeds)) == 8
    assert not np.array_equal(held_out[0], held_out[4])


def test_all_layers_are_trained(made):
    """The released loop returned after the first."""
    for method in ADULT10.fixed:
        net = adult.Net(cell(ADULT10, "a1a", method, "paper"), num_steps=1)
        before = [weight.detach().clone() for weight in net.model.parameters()]
        rows = made["a1a"]
        net.train_on(torch.from_numpy(rows.features[:16]), torch.from_numpy(rows.labels[:16]))
        after = net.model.parameters()
        assert len(before) == 10
        assert all(bool((w != b).any()) for w, b in zip(after, before, strict=True)), method


# Pairs


def test_images():
    small, whole = load_pair("1/7, embeddable"), load_pair("1/7, full")
    assert small.train_inputs.shape == (1000 if "t10k" in small.test_source else 800, 49)
    assert set(np.unique(small.train_inputs)) == set(np.unique(small.test_inputs)) == {-1.0, 1.0}
    assert whole.train_inputs.shape[1] == 784
    for data in (small, whole):
        assert np.bincount(data.train_labels)[0] == np.bincount(data.train_labels)[1]
    assert (small.test_labels == whole.test_labels).all()
    # A seven has more ink in its first three rows of blocks than a one.
    ink = (small.train_inputs[:, :21] > 0).sum(axis=1)
    assert ink[small.train_labels == 1].mean() > ink[small.train_labels == 0].mean() + 2


@needs_data
def test_mnists_own_test_images():
    # 980 zeros, 1135 ones, 1032 twos, 1028 sevens.
    data = [load_pair(f"{pair}, full") for pair in ("0/2", "1/7")]
    assert [np.bincount(each.test_labels).tolist() for each in data] == [[980, 1032], [1135, 1028]]


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("case", ["1/7, embeddable", "1/7, full"])
def test_images_of_the_full_network_are_moved_in_the_sound_setting(case, setting, monkeypatch):
    seen, forward = [], pairs.BinaryMLP.forward

    def recorded(self, x):
        if torch.is_grad_enabled():
            seen.append(x.clone())
        return forward(self, x)

    monkeypatch.setattr(pairs.BinaryMLP, "forward", recorded)
    MNIST_PAIRS.run(cell(MNIST_PAIRS, case, BC, setting))
    rows = {row.tobytes() for row in load_pair(case).train_inputs}
    share = np.mean([row.tobytes() in rows for row in torch.cat(seen).numpy()])
    if setting == "sound" and "full" in case:
        assert 0.0 < share < 0.3  # One of nine moves leaves an image where it is.
    else:
        assert share == 1.0


def test_the_penalised_qubo_is_solved_by_an_annealer(monkeypatch):
    sizes, sample = [], pairs.SimulatedAnnealingSampler.sample

    def recorded(self, bqm, **kwargs):
        sizes.append(bqm.num_variables)
        return sample(self, bqm, **kwargs)

    monkeypatch.setattr(pairs.SimulatedAnnealingSampler, "sample", recorded)
    assert MNIST_PAIRS.run(cell(MNIST_PAIRS, "1/7, embeddable", QUBO, "paper")).score > 0.5
    # In each of ten steps two rows of eight weights, and the rows of 49 that a gradient reached.
    assert 10 * 2 < len(sizes) <= 10 * 10
    assert max(sizes) > 49 + 20


def test_the_mock_annealer_is_called(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    found = MNIST_PAIRS.run(cell(MNIST_PAIRS, "1/7, embeddable", MOCK, "paper"))
    # One call for all rows of a layer, and two layers.
    assert found.details["calls"] == 2 * 10
    assert found.details["qubits a row"] * 8 >= found.details["qubits a call"] > 49 * 8
    assert found.details["qubits a call"] < 5640
    assert found.details["access time (s)"] > 0
    assert set(MNIST_PAIRS.details) <= set(found.details)


# Graphs


@needs_data
def test_cora(monkeypatch):
    monkeypatch.undo()
    found = GCN.run(cell(GCN, "cora", QP, option=6))
    assert found.score > 0.4
    assert 0 < found.details["cosine"] < found.details["agreement"] < 1


@pytest.mark.parametrize(
    ("case", "setting", "score"),
    [("cora", "sound", 0.6), ("cora", "paper", 0.8), (KARATE, "sound", 0.8)],
)
def test_the_scored_epoch_is_not_the_best_test_epoch(case, setting, score, monkeypatch):
    epochs = [Epoch(0.5, 0.9), Epoch(0.7, 0.6), Epoch(0.7, 0.9), Epoch(0.6, 0.8)]
    assert best_epoch(epochs) is epochs[1]
    monkeypatch.setattr(graphs, "train_nodes", lambda *args, **kwargs: epochs)
    monkeypatch.setattr(graphs, "NUM_CLUBS", 1)
    found = GCN.run(cell(GCN, case, "signSGD", setting))
    assert found.score == score
    assert (found.details["last epoch"], found.details["best epoch"]) == (0.8, 0.9)
    tuned = GCN.run(cell(GCN, case, "signSGD", setting, stage="tune"))
    assert tuned.validation == (0.8 if case == KARATE else 0.7)


def test_features_are_dropped_anew_in_each_epoch(monkeypatch):
    seen, forward = [], graphs.BinaryGCN.forward

    def recorded(self, x, *args):
        if self.training:
            seen.append(x.clone())
        return forward(self, x, *args)

    monkeypatch.setattr(graphs.BinaryGCN, "forward", recorded)
    features = Task.from_citations(small_graph()).features
    for setting in SETTINGS:
        GCN.run(cell(GCN, "cora", BC, setting))
    sound, paper = seen[:10], seen[10:]
    assert len(paper) == 10
    assert all(torch.equal(each, features) for each in paper)
    for each in sound:
        is_left = each != 0
        assert torch.equal(each[is_left], 2 * features[is_left])
        share = is_left.sum() / (features != 0).sum()
        assert abs(share.item() - 0.5) < 3 * 0.5 / (features != 0).sum().item() ** 0.5
    assert not torch.equal(sound[0], sound[1])
    places = features.nonzero(as_tuple=True)
    assert drop_features(features, places, 0.0) is features


# Rosenbrock


def test_the_function_of_two_variables():
    for x, value in [((1, 1), 0), ((-1, 1), 4), ((1, -1), 400), ((-1, -1), 404)]:
        assert Problem(2).value(np.array(x, float)) == value
    assert Problem(2, a=2.0).value(np.array([0.0, 1.0])) == 100 + 4 - 1


@pytest.mark.parametrize("problem", [Problem(6), Problem(6, a=0.5, closed=True)])
def test_gradients_are_those_of_the_value(problem, rng):
    x, eps = rng.normal(size=6), 1e-6
    for k, slope in enumerate(problem.gradient(x)):
        step = eps * (np.arange(6) == k)
        assert (problem.value(x + step) - problem.value(x - step)) / (2 * eps) == pytest.approx(
            slope
        )


@pytest.mark.parametrize("a", [0.5, 1.0, 2.0])
def test_ones_are_the_only_minimum_over_signs(a):
    problem = Problem(10, a, closed=True)
    points = itertools.product([-1.0, 1.0], repeat=10)
    values = sorted((problem.value(np.array(x)), x) for x in points)
    assert values[0] == (0.0, (1.0,) * 10)
    assert values[1][0] > 0
    # A fixed point of the projected rule, V = sign(V - lr B), is where B = -V.
    assert (np.sign(problem.gradient(np.ones(10))) == np.sign(1 - a)).all()


@pytest.mark.parametrize("samples_terms", [False, True])
def test_estimates_are_unbiased(samples_terms, rng):
    problem = Problem(9, samples_terms=samples_terms)
    s, at = np.where(rng.random((2, 9)) < 0.5, -1.0, 1.0)
    draws = np.stack([sample_gradient(problem, at, s, rng).estimate for _ in range(4000)])
    expected = s * problem.gradient(at) / GRADIENT_UNIT
    assert (abs(draws.mean(axis=0) - expected) <= 4 * draws.std(axis=0) / 4000**0.5).all()


@pytest.mark.parametrize("a", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("samples_terms", [False, True])
def test_estimates_are_0_where_exact_sums_are(a, samples_terms):
    """Rounding is not 0, and signSGD would take a whole step along it."""
    problem, zeros = Problem(100, a, True, samples_terms), 0
    at = np.where(np.arange(100) == 0, -1.0, 1.0)
    for seed in range(20):
        rng = np.random.default_rng
        s = np.where(rng(seed).random(100) < 0.5, -1.0, 1.0)
        sample = sample_gradient(problem, at, s, rng(seed))
        weights = problem.sampled_weights(rng(seed)) if samples_terms else None
        gradient = s * problem.gradient(at, weights)
        np.testing.assert_array_equal(gradient, np.rint(gradient))
        Z = sample.Z.astype(np.int64)
        slopes = Z @ gradient.astype(np.int64)
        exact = gradient if samples_terms else Z.T @ slopes
        np.testing.assert_array_equal(sample.slopes, slopes)
        # float32 is exact below 2^24, so that the start sign(Z^T Z g) is no matter of rounding.
        assert abs(slopes).max() < 2**24 / 100
        np.testing.assert_array_equal(np.sign(sample.estimate), np.sign(exact))
        zeros += np.count_nonzero(exact == 0)
    assert zeros > 0


@pytest.mark.parametrize("method", rosenbrock.GRIDS)
def test_where_gradients_are_taken(method, monkeypatch):
    """ProxQuant's at the real point, the others' at its signs."""
    points, gradient = [], Problem.gradient

    def recorded(self, x, weights=None):
        points.append(x)
        return gradient(self, x, weights)

    monkeypatch.setattr(Problem, "gradient", recorded)
    minimise(Problem(10), method, rosenbrock.FIXED[method], 0, 5)
    is_real = [not (abs(x) == 1).all() for x in points]
    # Before each step the whole gradient at the signs, then the one that is sampled.
    assert is_real == [False, method == "ProxQuant"] * 5


def test_no_run_starts_at_the_optimum():
    """The optimum is at random signs: with a rate of 0 no run ends there."""
    options = {"lr": 0.0, "momentum": 0.0}
    runs = [minimise(Problem(2), "signSGD", options, seed, 1) for seed in range(40)]
    assert all(run.values[0] > 0 and run.values[-1] > 0 and run.norms[0] > 0 for run in runs)


MOMENTUM = {"lr": 1.5, "scale": 1.0, "momentum": 0.9}


@pytest.mark.parametrize("seed", range(3))
def test_the_optimum_is_reached_and_kept(seed):
    latent = {"lr": 0.1, "scale": 1.0, "momentum": 0.0}
    for method, options in ((LATENT, latent), (PROJECTED, MOMENTUM)):
        run = minimise(Problem(10), method, options, seed, 400)
        assert run.first_hit is not None, method
        assert run.stays == 1.0
        assert run.norms[-1] == 0.0


def test_a_binary_fixed_point_is_kept_only_where_there_is_one():
    stays = []
    for case in ("n = 20, attracting fixed point", "n = 20, no fixed point"):
        problem = rosenbrock.CASES[case]
        runs = [minimise(problem, PROJECTED, MOMENTUM, seed, 600) for seed in range(3)]
        assert all(run.first_hit is not None for run in runs)
        stays.append([run.stays for run in runs])
    assert stays[0] == [1.0] * 3
    assert max(stays[1]) < 0.5


@pytest.mark.parametrize("power", [-0.5, -1.0, 0.0])
def test_the_rate_of_a_power_law(power, rng):
    steps = np.geomspace(10, 10_000, 12)
    assert fitted_rate(steps, 3 * steps**power) == pytest.approx([power] * 3)
    noisy = [fitted_rate(steps, steps**power * np.exp(rng.normal(0, 0.2, 12))) for _ in range(400)]
    inside = sum(low < power < high for _, low, high in noisy)
    # Binomial of 400 and 0.95: a deviation of 4.4.
    assert abs(inside - 380) < 3 * 4.4


def test_the_latent_rule_falls_at_least_as_the_square_root():
    horizons, options = (32, 64, 128, 256, 512), {"scale": 1.0, "momentum": 0.0}
    slopes = [
        fitted_rate(horizons, mean_norms(Problem(5), options, seed, horizons))[0]
        for seed in range(4)
    ]
    assert np.mean(slopes) < -0.4


def test_final_runs_of_the_latent_rule_have_a_rate():
    horizons = [8, 16, 32]
    found = ROSENBROCK.run(cell(ROSENBROCK, "n = 2", LATENT, horizons=horizons))
    assert len(found.curves["rate"]) == 3
    assert found.details["rate_low"] <= found.details["rate"] <= found.details["rate_high"]
    other = ROSENBROCK.run(cell(ROSENBROCK, "n = 2", PROJECTED, horizons=horizons))
    assert "rate" not in other.curves


def test_tuning_starts_are_those_of_no_final_run(monkeypatch):
    seeds = []

    def minimised(problem, method, options, seed, num_steps, decay):
        seeds.append(seed)
        return dataclasses.replace(run, values=[100.0, float(seed % 5)])

    run = minimise(Problem(2), LATENT, rosenbrock.FIXED[LATENT], 0, 1)
    monkeypatch.setattr(rosenbrock, "minimise", minimised)
    for seed in (1000, 1001):
        asked = cell(ROSENBROCK, "n = 5", LATENT, stage="tune", seed=seed)
        asked.protocol["starts of a tuning run"] = 5
        tuned = ROSENBROCK.run(asked)
        assert tuned.validation == pytest.approx(-(2.0 + 1e-6 * 51.0), abs=1e-12)
    assert seeds == list(range(5000, 5010))
