"""Graph networks: the Karate club, cells, tuning without test labels, which graphs are there."""

import dataclasses
import os
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
networkx = pytest.importorskip("networkx", reason="networkx, which has the club, is not installed")

from qpsbgd.experiments import graphs, karate, optimizers, planetoid
from qpsbgd.experiments.graphs import GraphEpoch, thinned
from qpsbgd.experiments.karate import karate_club, made_up_club
from qpsbgd.experiments.optimizers import QP
from qpsbgd.experiments.reproduce import gcn
from qpsbgd.experiments.reproduce.experiment import Cell, tuning_seeds
from qpsbgd.experiments.reproduce.gcn import GCN, KARATE, STRENGTHS
from qpsbgd.training import fetch

SHARED = os.environ.get("QPSBGD_DATA")
needs_cora = pytest.mark.skipif(
    SHARED is None or not (Path(SHARED) / "data/planetoid/ind.cora.x").exists(),
    reason="QPSBGD_DATA names no folder with data/planetoid/ind.cora.*",
)
METHODS = (QP, "BinaryConnect", "BinaryConnect Adam", "signSGD", "ProxQuant")


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
    graphs.citation_task.cache_clear()


def cell(method, case=KARATE, setting="sound", stage="final", seed=0):
    (grid,) = (m.grid for m in GCN.methods(case, setting, False) if m.name == method)
    return Cell("gcn", case, setting, method, grid[-3:][0], seed, stage, True)


def test_karate_club():
    club = karate_club()
    assert np.bincount(club.labels).tolist() == [13, 12, 4, 5]
    assert np.flatnonzero(club.train_mask).tolist() == [0, 4, 8, 24]
    assert sorted(club.labels[club.train_mask]) == [0, 1, 2, 3]
    edges = set(map(tuple, club.edge_index.T.tolist()))
    assert len(edges) == club.edge_index.shape[1] == 2 * karate.NUM_EDGES
    assert edges == {(j, i) for i, j in edges}
    # The two who fell out with each other have the most friends and different classes.
    degrees = np.bincount(club.edge_index[0])
    assert (degrees[0], degrees[33]) == (16, 17)
    assert club.labels[0] != club.labels[33]
    # Labels go with the edges: found by modularity.
    assert (club.labels[club.edge_index[0]] == club.labels[club.edge_index[1]]).mean() > 0.7


def test_made_up_clubs_are_of_its_size():
    clubs = [made_up_club(seed) for seed in range(20)]
    for club in clubs:
        graph = networkx.Graph(club.edge_index.T.tolist())
        assert graph.number_of_nodes() == 34
        assert networkx.is_connected(graph)
        assert sorted(club.labels[club.train_mask]) == [0, 1, 2, 3]
    edges = np.mean([club.edge_index.shape[1] / 2 for club in clubs])
    # 20 binomials of variance below 78; connected ones have a few more.
    assert abs(edges - karate.NUM_EDGES) < 3 * (78 / 20) ** 0.5 + 3
    assert (made_up_club(3).edge_index == clubs[3].edge_index).all()
    assert clubs[0].edge_index.shape != clubs[1].edge_index.shape


def test_the_papers_curves_end_where_its_numbers_say():
    curves = gcn.published_curves()
    assert len(curves) == 12
    for graph, methods in gcn.ACCURACIES.items():
        for method, (last, best) in methods.items():
            epochs, accuracies = curves[graph, method]
            assert len(epochs) == len(accuracies) <= 60
            assert epochs == sorted(epochs)
            assert (epochs[0], epochs[-1]) == (0, gcn.PAPER_EPOCHS[graph])
            assert accuracies[-1] == pytest.approx(last, abs=0.001)
            assert max(accuracies) == pytest.approx(best, abs=0.001)
            assert GCN.published(graph)[method].curves["test accuracy"] == (epochs, accuracies)


#: PAPER: the last epoch and the best.
PUBLISHED = {
    KARATE: {
        "BinaryConnect": (0.457, 0.471), "signSGD": (0.464, 0.464),
        "ProxQuant": (0.375, 0.393), QP: (0.560, 0.572),
    },
    "cora": {
        "BinaryConnect": (0.367, 0.417), "signSGD": (0.566, 0.579),
        "ProxQuant": (0.540, 0.543), QP: (0.570, 0.620),
    },
    "pubmed": {
        "BinaryConnect": (0.344, 0.351), "signSGD": (0.504, 0.621),
        "ProxQuant": (0.662, 0.700), QP: (0.657, 0.702),
    },
    "citeseer": {},
    STRENGTHS: {},
}  # fmt: skip


@pytest.mark.parametrize("case", PUBLISHED)
def test_published_accuracies(case):
    found = {
        m: (paper.score, paper.details["best epoch"]) for m, paper in GCN.published(case).items()
    }
    assert found == PUBLISHED[case]
    assert "best epoch" in GCN.details


@pytest.mark.parametrize("case", [KARATE, "cora"])
def test_published_rates(case):
    found = {method.name: method.grid[0]["lr"] for method in GCN.methods(case, "paper", False)}
    # PAPER: Adult's ten layers; Adam is not in the paper.
    assert found == {
        QP: 0.1, "BinaryConnect": 0.01, "BinaryConnect Adam": 0.001, "signSGD": 0.02,
        "ProxQuant": 0.1,
    }  # fmt: skip


def optimizers_of(monkeypatch):
    """Those that cells make from now on."""
    made = []
    make = optimizers.make_optimizer

    def recorded(*args, **kwargs):
        made.append(make(*args, **kwargs))
        return made[-1]

    monkeypatch.setattr(optimizers, "make_optimizer", recorded)
    return made


def test_the_papers_lambda_is_the_threshold(monkeypatch):
    made = optimizers_of(monkeypatch)
    thresholds = []
    use = optimizers.use_published_lambda

    def noted(optimizer, epoch):
        use(optimizer, epoch)
        thresholds.extend(group["lr"] * group["strength"] for group in optimizer.param_groups)

    monkeypatch.setattr(optimizers, "use_published_lambda", noted)
    GCN.run(cell("ProxQuant", setting="paper"))
    assert thresholds == pytest.approx([0.01 * (epoch + 1) for epoch in range(10)])
    assert made[0].param_groups[0]["reg_rate"] == 0


def test_binary_weights_are_what_is_tested(monkeypatch):
    kinds = set()
    forward = graphs.BinaryGCN.forward

    def noted(self, x, edges):
        if not self.training:
            kinds.update(self.hidden.weight.abs().unique().tolist())
        return forward(self, x, edges)

    monkeypatch.setattr(graphs.BinaryGCN, "forward", noted)
    GCN.run(cell("ProxQuant"))
    assert kinds == {1.0}


@pytest.mark.parametrize(("setting", "last"), [("paper", 1.0), ("sound", 0.0)])
def test_rates_fall_to_zero_in_the_sound_setting(setting, last, monkeypatch):
    made = optimizers_of(monkeypatch)
    asked = cell("BinaryConnect", setting=setting)
    GCN.run(asked)
    assert made[0].param_groups[0]["lr"] == pytest.approx(last * asked.options["lr"], abs=1e-9)


@pytest.mark.parametrize(
    ("case", "setting", "score"),
    [("cora", "sound", 0.6), ("cora", "paper", 0.8), (KARATE, "sound", 0.8)],
)
def test_the_epoch_that_counts_is_not_the_best_test_epoch(case, setting, score, monkeypatch):
    epochs = [GraphEpoch(1.0, 0.5, 0.9), GraphEpoch(0.9, 0.7, 0.6), GraphEpoch(0.8, 0.6, 0.8)]
    monkeypatch.setattr(gcn, "train_method", lambda *args, **kwargs: (epochs, gcn.FirstLayer()))
    monkeypatch.setattr(gcn, "final_task", lambda graph: None)
    monkeypatch.setattr(gcn, "tuning_tasks", lambda cell: [None])
    found = GCN.run(cell("signSGD", case, setting))
    assert found.score == score
    assert (found.details["last epoch"], found.details["best epoch"]) == (0.8, 0.9)
    tuned = GCN.run(cell("signSGD", case, setting, stage="tune"))
    assert tuned.validation == (0.8 if case == KARATE else 0.7)


@pytest.mark.parametrize(
    ("case", "setting", "quick", "num_epochs"),
    [
        (KARATE, "paper", False, 266), ("cora", "paper", False, 494),
        ("pubmed", "paper", False, 494), (KARATE, "sound", False, 100),
        ("cora", "sound", False, 200), (STRENGTHS, "sound", False, 200),
        (KARATE, "paper", True, 10), (KARATE, "sound", True, 10), ("cora", "sound", True, 10),
    ],
)  # fmt: skip
def test_settings_say_what_is_done(case, setting, quick, num_epochs, monkeypatch):
    found = GCN.settings(case, setting, quick)
    assert found["training"].startswith(f"{num_epochs} epochs, full batch")
    assert gcn.epochs_of(case, setting, quick) == num_epochs
    if setting == "paper":
        assert "lambda = .01 (epoch + 1)" in found["ProxQuant"]
    elif case != STRENGTHS:
        (size,) = {len(method.grid) for method in GCN.methods(case, setting, quick)}
        num_runs = len(tuning_seeds(quick))
        clubs = f"{num_runs} times 25 runs each" if case == KARATE else f"{num_runs} runs each"
        assert found["tuning"].startswith(f"{size} options a method, {clubs}")


def test_a_tuning_run_has_25_clubs():
    (first, *_), (second, *_) = (
        gcn.tuning_tasks(cell(QP, stage="tune", seed=seed)) for seed in (1000, 1001)
    )
    assert len(gcn.tuning_tasks(cell(QP, stage="tune", seed=1000))) == 25
    assert first.edges.shape != second.edges.shape or (first.edges != second.edges).any()


def test_all_methods_have_the_same_budget():
    for case in (KARATE, "cora"):
        for setting, size in (("paper", 1), ("sound", 9)):
            methods = GCN.methods(case, setting, False)
            assert tuple(method.name for method in methods) == METHODS
            assert {len(method.grid) for method in methods} == {size}
            assert all(GCN.remarks(case, setting))
    for setting in ("paper", "sound"):
        assert {len(m.grid) for m in GCN.methods(KARATE, setting, quick=True)} <= {1, 2}
    assert {len(method.grid) for method in GCN.methods(STRENGTHS, "sound", False)} == {1}


@pytest.mark.parametrize("method", METHODS)
def test_a_cell_has_one_outcome(method):
    asked = cell(method)
    found = GCN.run(asked)
    assert GCN.run(asked) == found
    assert found.score > 0.3
    assert {len(values) for values in found.curves.values()} == {10}
    assert found.details["best epoch"] >= found.score
    assert GCN.run(dataclasses.replace(asked, seed=1)) != found


def test_the_club_is_not_seen_in_tuning(monkeypatch):
    asked = cell(QP, stage="tune", seed=1000)
    found = GCN.run(asked)

    def refused():
        raise AssertionError("the club was looked at")

    monkeypatch.setattr(gcn, "karate_club", refused)
    assert GCN.run(asked) == found
    assert found.validation > 0.5
    with pytest.raises(AssertionError, match="the club was looked at"):
        GCN.run(dataclasses.replace(asked, stage="final"))


def small_graph():
    """Four communities of 50 documents, whose words tell a little."""
    rng = np.random.default_rng(0)
    labels = np.arange(200) % 4
    same = labels[:, None] == labels
    edges = np.argwhere(np.triu(rng.random((200, 200)) < np.where(same, 0.1, 0.01), 1)).T
    features = (rng.random((200, 40)) < 0.1).astype(np.float32)
    features[np.arange(200), labels * 10 + rng.integers(10, size=200)] = 1
    masks = np.zeros((3, 200), bool)
    masks[0, :40], masks[1, 40:100], masks[2, 100:] = True, True, True
    edges = np.concatenate([edges, edges[::-1]], axis=1)
    return planetoid.CitationGraph("cora", features, labels, edges, *masks)


@pytest.mark.parametrize("method", [QP, "ProxQuant"])
def test_test_nodes_are_not_seen_in_tuning(method, monkeypatch):
    graph = small_graph()
    poisoned = np.where(graph.test_mask, (graph.labels + 1) % 4, graph.labels)
    scores = {}
    for name, labels in (("true", graph.labels), ("poisoned", poisoned)):
        graphs.citation_task.cache_clear()
        monkeypatch.setattr(
            planetoid, "load", lambda name, given=labels: dataclasses.replace(graph, labels=given)
        )
        runs = [GCN.run(cell(method, "cora", stage=stage)) for stage in ("tune", "final")]
        scores[name] = runs
        assert not runs[0].curves
    assert scores["true"][0] == scores["poisoned"][0]
    assert scores["true"][1].validation == scores["poisoned"][1].validation
    assert scores["true"][1].score > scores["poisoned"][1].score + 0.2


@needs_cora
def test_cora():
    found = GCN.run(cell(QP, "cora"))
    assert found.score > 0.4
    # Training nodes and their neighbours, 644, but for those whose dropout leaves no gradient.
    assert 640 <= found.details["samples, first layer"] <= 644
    assert 0 < found.details["cosine, first layer"] < 1


def test_graphs_that_are_there(monkeypatch, tmp_path):
    monkeypatch.delenv("QPSBGD_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert list(GCN.cases("paper", False)) == [KARATE, "cora"]
    assert list(GCN.cases("sound", False)) == [KARATE, "cora", STRENGTHS]
    for part in planetoid.PARTS:
        path = fetch.cache_folder("planetoid") / f"ind.pubmed.{part}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert list(GCN.cases("paper", False)) == [KARATE, "cora", "pubmed"]


@pytest.mark.parametrize("setting", ["paper", "sound"])
@pytest.mark.parametrize("case", [KARATE, "cora"])
def test_dropout_is_for_the_sound_setting_of_large_graphs(case, setting, monkeypatch):
    shares = []

    def recorded(*args, dropout, **kwargs):
        shares.append(dropout)
        raise StopIteration

    monkeypatch.setattr(graphs, "train_nodes", recorded)
    with pytest.raises(StopIteration):
        GCN._trained(cell(QP, case, setting), None, 0)
    assert shares == [gcn.DROPOUT if (case, setting) == ("cora", "sound") else 0.0]
    assert gcn.DROPOUT == 0.5


def test_features_are_left_out():
    torch.manual_seed(0)
    features = (torch.rand(50, 40) < 0.3).float() * 3
    places = features.nonzero(as_tuple=True)
    assert thinned(features, places, 0.0) is features
    found = thinned(features, places, 0.5)
    assert set(found.unique().tolist()) == {0.0, 6.0}
    assert not found[features == 0].any()
    # A binomial of about 600: three standard deviations.
    kept = (found[places] > 0).double().mean().item()
    assert abs(kept - 0.5) < 3 * 0.5 / len(places[0]) ** 0.5
