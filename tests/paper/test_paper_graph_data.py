"""Graphs of bench.paper: Planetoid's files, pickles that would run something, Karate's club."""

import io
import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest

networkx = pytest.importorskip("networkx")

from bench.paper import karate, planetoid
from qpsbgd.errors import MissingDataError

SHARED = os.environ.get("QPSBGD_DATA")
CORA = None if SHARED is None else Path(SHARED) / "data" / "planetoid"
needs_cora = pytest.mark.skipif(
    CORA is None or not (CORA / "ind.cora.x").exists(),
    reason="QPSBGD_DATA names no folder with data/planetoid/ind.cora.*",
)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache, and no data folder."""
    monkeypatch.delenv("QPSBGD_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(planetoid, "SOURCE", "http://127.0.0.1:9")
    return tmp_path / "qpsbgd" / "planetoid"


@pytest.fixture
def copied(cache):
    shutil.copytree(CORA, cache)
    for path in cache.iterdir():
        path.chmod(0o644)
    return cache


@needs_cora
def test_cora():
    graph = planetoid.load("cora")
    assert (graph.features.shape, graph.features.dtype) == ((2708, 1433), np.float32)
    assert set(np.unique(graph.features)) == {0.0, 1.0}
    assert graph.features.any(axis=1).all()
    assert graph.labels.dtype == np.int64
    assert np.bincount(graph.labels).tolist() == [351, 217, 418, 818, 426, 298, 180]
    assert (graph.edge_index.shape, graph.edge_index.dtype) == ((2, 2 * 5278), np.int64)
    masks = (graph.train_mask, graph.validation_mask, graph.test_mask)
    assert [int(mask.sum()) for mask in masks] == [140, 500, 1000]
    assert np.sum(masks, axis=0).max() == 1
    assert np.bincount(graph.labels[graph.train_mask]).tolist() == [20] * 7


@needs_cora
def test_edges_are_symmetric_and_sorted_and_join_documents_of_a_class():
    graph = planetoid.load("cora")
    edges = list(map(tuple, graph.edge_index.T.tolist()))
    assert edges == sorted(set(edges))
    assert set(edges) == {(j, i) for i, j in edges}
    assert all(i != j for i, j in edges)
    # If rows of tx went to other documents, test nodes' labels would be at chance.
    labels = graph.labels[graph.edge_index]
    at_test = graph.test_mask[graph.edge_index].any(axis=0)
    assert (labels[0] == labels[1])[at_test].mean() > 0.8


@needs_cora
def test_features_are_the_test_documents_own():
    """A document shares more words with those it cites than with others."""
    graph = planetoid.load("cora")
    source, target = graph.edge_index[:, graph.test_mask[graph.edge_index].all(axis=0)]
    shared = (graph.features[source] * graph.features[target]).sum(axis=1).mean()
    others = (graph.features[source] * graph.features[np.roll(target, 100)]).sum(axis=1).mean()
    assert shared > 2 * others


@needs_cora
@pytest.mark.parametrize("part", ["x", "graph", "test.index"])
def test_a_damaged_file_is_refused(copied, part):
    path = copied / f"ind.cora.{part}"
    path.write_bytes(path.read_bytes()[:-3])
    message = rf"{part} has SHA-256 \w+, but ind.cora.{part} has \w+: it is damaged"
    with pytest.raises(ValueError, match=message):
        planetoid.load("cora")


@needs_cora
def test_other_graphs_are_read_where_they_are(copied):
    """Their files have no checksum here: Cora's stand in for them."""
    assert not planetoid.is_present("pubmed")
    for path in list(copied.iterdir()):
        path.rename(path.with_name(path.name.replace("cora", "pubmed")))
    assert planetoid.is_present("pubmed")
    assert planetoid.load("pubmed").features.shape == (2708, 1433)
    for part in ("ally", "test.index"):
        path = copied / f"ind.pubmed.{part}"
        content = path.read_bytes()
        path.write_bytes(content[:-3] + b"!!!")
        with pytest.raises(ValueError, match=f"ind.pubmed.{part} is not a file of Planetoid's"):
            planetoid.load("pubmed")
        path.write_bytes(content)
    (copied / "ind.pubmed.test.index").write_bytes(b"1708 1709")
    with pytest.raises(ValueError, match=r"the files ind\.pubmed\.\* in .* do not fit"):
        planetoid.load("pubmed")


def test_a_document_without_a_row_has_no_label():
    """Citeseer's test.index has gaps."""
    content = {
        "y": np.array([[1, 0]]),
        "allx": np.array([[1.0], [2.0]]), "ally": np.array([[1, 0], [0, 1]]),
        "tx": np.array([[4.0], [3.0]]), "ty": np.array([[0, 1], [1, 0]]),
        "test.index": np.array([4, 2]), "graph": {0: [1, 1, 0], 2: [0], 3: []},
    }  # fmt: skip
    graph = planetoid.assemble(content)
    assert graph.features.ravel().tolist() == [1, 2, 3, 0, 4]
    assert graph.labels.tolist() == [0, 1, 0, -1, 1]
    assert graph.edge_index.tolist() == [[0, 0, 1, 2], [1, 2, 0, 0]]
    assert graph.train_mask.tolist() == [True, False, False, False, False]
    assert graph.test_mask.tolist() == [False, False, True, False, True]
    with pytest.raises(ValueError, match=r"graph has nodes outside \[0, 5\)"):
        planetoid.assemble({**content, "graph": {0: [5]}})


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_pickles_run_nothing(tmp_path, protocol):
    class Harmful:
        def __reduce__(self):
            return Path.touch, (tmp_path / "touched",)

    path = tmp_path / "ind.pubmed.x"
    path.write_bytes(pickle.dumps(Harmful(), protocol))
    with pytest.raises(ValueError, match=r"ind\.pubmed\.x is not a file of .* is not admitted"):
        planetoid.read(path)
    assert not (tmp_path / "touched").exists()


@needs_cora
def test_cora_is_downloaded_once(cache, monkeypatch):
    asked = []

    def urlopen(url, timeout):
        asked.append(url)
        return (CORA / url.rpartition("/")[2]).open("rb")

    monkeypatch.setattr("urllib.request.urlopen", urlopen)
    first = planetoid.load("cora")
    assert sorted(path.name for path in cache.iterdir()) == sorted(planetoid.CHECKSUMS)
    np.testing.assert_array_equal(planetoid.load("cora").edge_index, first.edge_index)
    assert len(asked) == 8


@needs_cora
def test_a_damaged_download_is_refused_and_leaves_nothing(cache, monkeypatch):
    monkeypatch.setattr("urllib.request.urlopen", lambda url, timeout: io.BytesIO(b"not found"))
    with pytest.raises(ValueError, match=r"http://.*/ind\.cora\.x has SHA-256"):
        planetoid.load("cora")
    assert list(cache.iterdir()) == []


def test_a_failed_download_says_where_files_belong(cache):
    with pytest.raises(MissingDataError, match=r"ind\.cora\.x could not be downloaded .*put it"):
        planetoid.load("cora")
    assert list(cache.iterdir()) == []


def test_graphs_that_are_not_downloaded(cache):
    with pytest.raises(MissingDataError) as caught:
        planetoid.load("citeseer")
    assert str(caught.value) == f"put ind.citeseer.x .. ind.citeseer.test.index into {cache}"
    with pytest.raises(ValueError, match="name is 'reddit', but must be one of cora, citeseer"):
        planetoid.load("reddit")


def test_karate_club():
    club = karate.karate_club()
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
    # Labels go with the edges, as they maximise the modularity.
    assert (club.labels[club.edge_index[0]] == club.labels[club.edge_index[1]]).mean() > 0.7


def test_random_clubs_are_of_its_size():
    clubs = [karate.random_club(seed) for seed in range(20)]
    for club in clubs:
        graph = networkx.Graph(club.edge_index.T.tolist())
        assert graph.number_of_nodes() == 34
        assert networkx.is_connected(graph)
        assert sorted(club.labels[club.train_mask]) == [0, 1, 2, 3]
    edges = np.mean([club.edge_index.shape[1] / 2 for club in clubs])
    # 20 binomials of variance below 78; connected ones have a few more.
    assert abs(edges - karate.NUM_EDGES) < 3 * (78 / 20) ** 0.5 + 3
    assert (karate.random_club(3).edge_index == clubs[3].edge_index).all()
    assert clubs[0].edge_index.shape != clubs[1].edge_index.shape
