"""More copies of cliques: rounds of improvement, the time limit, and Ocean's function."""

import itertools

import pytest

pytest.importorskip(
    "dwave.system",
    reason="dwave-system is not installed: pip install 'qpsbgd[dwave]'",
    exc_type=ImportError,
)

import dwave.embedding
import minorminer
import networkx as nx
from minorminer.utils.parallel_embeddings import find_multiple_embeddings

from lattices import damaged
from qpsbgd.errors import UnembeddableError
from qpsbgd.hardware.embedding import (
    EmbeddingCache,
    check_packing,
    cliques,
    ideal_graph,
    pack_cliques,
    repacking,
    tiles,
)
from qpsbgd.hardware.embedding import cache as cache_module

SHAPES = {"pegasus": (4,), "zephyr": (3, 4), "chimera": (6, 6, 4)}
every_family = pytest.mark.parametrize("family", SHAPES)


def damaged_graph(family, share, seed=0):
    return nx.freeze(damaged(ideal_graph(family, SHAPES[family]), share, share, seed))


@pytest.fixture
def short_search(monkeypatch):
    monkeypatch.setattr(tiles, "NUM_COMPACT", 4)
    monkeypatch.setattr(tiles, "NUM_STEPS", 100)
    monkeypatch.setattr(repacking, "EMBEDDINGS_PER_COPY", 3)


class Clock:
    """Clock that advances by a second whenever it is read."""

    def __init__(self):
        self.seconds = 0.0

    def monotonic(self):
        self.seconds += 1.0
        return self.seconds


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    for module in (cliques, repacking, tiles):
        monkeypatch.setattr(module, "time", clock)
    return clock


@every_family
@pytest.mark.parametrize("n", [4, 8])
@pytest.mark.parametrize("share", [0.0, 0.06])
def test_copies_against_ocean(family, n, share):
    """Every chain limit of Ocean's copies up to our longest chain."""
    graph = damaged_graph(family, share, seed=n)
    packing = pack_cliques(graph, n)
    check_packing(packing, graph)
    theirs = find_multiple_embeddings(
        nx.complete_graph(n),
        graph,
        max_num_emb=None,
        one_to_iterable=True,
        embedder=lambda s, t: minorminer.find_embedding(s, t, random_seed=0, threads=1),
    )
    lengths = [max(map(len, copy.values())) for copy in theirs]
    assert theirs
    assert packing.num_copies >= sum(length <= packing.longest_chain for length in lengths)


@every_family
@pytest.mark.parametrize("n", [5, pytest.param(11, marks=pytest.mark.slow)])
def test_improved_packings_are_valid(family, n, short_search):
    """By D-Wave's verifier, on graphs with different defects."""
    for seed in range(3):
        graph = damaged_graph(family, 0.05, seed)
        start = pack_cliques(graph, n, effort=0)
        packing = pack_cliques(graph, n, effort=2)
        assert (start.effort, packing.effort) == (0, 2)
        assert packing.num_copies >= start.num_copies
        assert packing.longest_chain <= start.longest_chain
        used = [q for copy in packing.embeddings for chain in copy.values() for q in chain]
        assert len(used) == len(set(used))
        for copy in packing.embeddings:
            assert dwave.embedding.verify_embedding(copy, nx.complete_graph(n), graph)


def test_improvement_adds_copies():
    graph = damaged_graph("zephyr", 0.06)
    assert pack_cliques(graph, 6).num_copies > pack_cliques(graph, 6, effort=0).num_copies


@every_family
def test_a_continued_search_equals_an_uninterrupted_one(family, short_search):
    graph = damaged_graph(family, 0.04)
    first = pack_cliques(graph, 6, effort=1)
    whole = pack_cliques(graph, 6, effort=3)
    assert pack_cliques(graph, 6, effort=3, start=first) == whole
    assert pack_cliques(graph, 6, effort=2, start=whole) == whole


def test_a_search_ends_with_enough_copies(short_search):
    packing = pack_cliques(damaged_graph("zephyr", 0.04), 6, max_copies=3)
    assert (packing.num_copies, packing.effort) == (3, 1)


def test_a_search_that_is_late_returns_its_first_copy(clock):
    graph = damaged_graph("pegasus", 0.02)
    packing = pack_cliques(graph, 6, timeout=0.5)
    check_packing(packing, graph)
    assert packing.effort == 0
    assert packing.num_copies < pack_cliques(graph, 6, timeout=1e9).num_copies
    assert clock.seconds < 1e6


@pytest.mark.parametrize("timeout", [30.0, 100.0, 300.0])
def test_the_time_limit_ends_every_stage(timeout, clock):
    graph = damaged_graph("zephyr", 0.06)
    check_packing(pack_cliques(graph, 6, timeout=timeout), graph)
    # The few readings after the end: one in each loop that the search leaves.
    assert clock.seconds < timeout + 30


@pytest.mark.parametrize(("option", "value"), [("effort", -1), ("timeout", -1.0)])
def test_limits_out_of_range(option, value):
    with pytest.raises(ValueError, match=option if option == "effort" else "time"):
        pack_cliques(ideal_graph("chimera", (2, 2, 4)), 4, **{option: value})


def test_trimming_removes_only_what_is_not_needed():
    graph = ideal_graph("chimera", (1, 1, 4))
    neighbours = {q: sorted(graph.adj[q]) for q in graph}
    chains = repacking.trimmed({0: {0, 4}, 1: {1}, 2: {5, 2, 6}}, neighbours)
    owner = {q: v for v, chain in chains.items() for q in chain}
    assert len(owner) == 4
    for a, b in itertools.combinations(range(3), 2):
        assert any(graph.has_edge(p, q) for p in chains[a] for q in chains[b])


# --- cache


@pytest.fixture
def searches(monkeypatch):
    """Effort of each search, and of the packing that it began with."""
    made = []
    search = cache_module.pack_cliques

    def recorded(*args, **options):
        start = options["start"]
        made.append((options["effort"], None if start is None else start.effort))
        return search(*args, **options)

    monkeypatch.setattr(cache_module, "pack_cliques", recorded)
    return made


def test_the_cache_improves_a_packing(searches, short_search, tmp_path):
    graph = damaged_graph("zephyr", 0.05)
    first = EmbeddingCache(tmp_path).cliques(graph, 6, graph_id="a")
    cache = EmbeddingCache(tmp_path)
    better = cache.cliques(graph, 6, graph_id="a", effort=3)
    assert better.num_copies >= first.num_copies
    assert better.effort == 3
    assert better == cache.cliques(graph, 6, graph_id="a")
    assert better == EmbeddingCache(tmp_path).cliques(graph, 6, graph_id="a")
    assert searches == [(1, None), (3, 1)]
    assert len(list(tmp_path.glob("*.json"))) == 1


def test_a_search_that_was_late_is_continued_by_the_next_process(
    searches, short_search, clock, tmp_path
):
    graph = damaged_graph("zephyr", 0.05)
    cache = EmbeddingCache(tmp_path)
    first = cache.cliques(graph, 6, graph_id="a", timeout=0.5)
    assert cache.cliques(graph, 6, graph_id="a") is first  # not again in the same process
    packing = EmbeddingCache(tmp_path).cliques(graph, 6, graph_id="a", timeout=1e9)
    assert (first.effort, packing.effort) == (0, 1)
    assert packing.num_copies > first.num_copies
    assert searches == [(1, None), (1, 0)]


def test_an_improvement_survives_a_folder_that_cannot_be_written(short_search, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    graph = damaged_graph("zephyr", 0.05)
    cache = EmbeddingCache(tmp_path / "file")
    with pytest.warns(UserWarning, match="not stored"):
        cache.cliques(graph, 6, graph_id="a")
    assert cache.cliques(graph, 6, graph_id="a", effort=2).effort == 2


# --- large cliques


def test_a_clique_that_no_window_holds_is_searched_in_the_whole_graph(monkeypatch):
    graph = damaged_graph("zephyr", 0.03)
    monkeypatch.setattr(cliques, "pack_tiles", lambda *args: [])
    packing = pack_cliques(graph, 16, effort=0)
    check_packing(packing, graph)
    assert packing.num_copies == 1


@every_family
def test_the_largest_clique_in_an_error_is_packed(family):
    """The error names a size that fits, and no size above it does."""
    graph = damaged_graph(family, 0.06)
    with pytest.raises(UnembeddableError) as caught:
        pack_cliques(graph, 99)
    largest = int(str(caught.value).rsplit(" ", 1)[1])
    check_packing(pack_cliques(graph, largest, max_copies=1), graph)
    with pytest.raises(UnembeddableError, match=f"has {largest}$"):
        pack_cliques(graph, largest + 1)
