"""Embeddings of problems in working graphs: packed, verified, kept on disk."""

import itertools
import json
import multiprocessing
import os
import random
import subprocess
import sys
import threading
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip(
    "dwave.system",
    reason="dwave-system is not installed: pip install 'qpsbgd[dwave]'",
    exc_type=ImportError,
)

import dwave.embedding
import dwave.graphs
import filelock
import networkx as nx
from dwave.system.testing import MockDWaveSampler

from lattices import damaged
from qpsbgd.errors import UnembeddableError
from qpsbgd.hardware.embedding import (
    EmbeddingCache,
    Packing,
    check_packing,
    graph_hash,
    ideal_graph,
    pack_cliques,
    pack_graph,
    repacking,
    tiles,
    working_graph,
)
from qpsbgd.hardware.embedding import cache as cache_module
from qpsbgd.hardware.embedding.selection import Selection

SMALL = {"pegasus": (4,), "zephyr": (3, 4), "chimera": (6, 6, 4)}
every_family = pytest.mark.parametrize("family", SMALL)


def all_pairs(n):
    return list(itertools.combinations(range(n), 2))


def assert_valid(packing, graph, edges):
    """By D-Wave's verifier, and disjoint."""
    source = nx.Graph(edges)
    source.add_nodes_from(range(packing.num_variables))
    used = [q for copy in packing.embeddings for chain in copy.values() for q in chain]
    assert len(used) == len(set(used)) == packing.num_qubits
    for copy in packing.embeddings:
        assert list(copy) == list(range(packing.num_variables))
        assert dwave.embedding.verify_embedding(copy, source, graph)
        assert all(chain == tuple(sorted(chain)) for chain in copy.values())
        assert all(type(qubit) is int for chain in copy.values() for qubit in chain)


# --- cliques


@every_family
@pytest.mark.parametrize(
    "n", [1, 2, 3, 4, 5, 8, 16, *(pytest.param(n, marks=pytest.mark.slow) for n in (12, 13))]
)
def test_cliques_are_valid(family, n):
    for graph in (
        ideal_graph(family, SMALL[family]),
        damaged(ideal_graph(family, SMALL[family]), 0.02, 0.02, seed=n),
    ):
        packing = pack_cliques(graph, n)
        assert_valid(packing, graph, all_pairs(n))
        assert packing.graph_hash == graph_hash(graph)


@every_family
def test_every_size_that_fits_is_embedded(family):
    graph = ideal_graph(family, SMALL[family])
    largest = {"pegasus": 36, "zephyr": 40, "chimera": 24}[family]
    assert_valid(pack_cliques(graph, largest, max_copies=1), graph, all_pairs(largest))
    with pytest.raises(UnembeddableError, match=f"{largest + 1} variables .* has {largest}$"):
        pack_cliques(graph, largest + 1)


@pytest.mark.parametrize("n", [1000, 10**9])
def test_more_variables_than_qubits(n):
    with pytest.raises(UnembeddableError, match=f"clique of {n} variables"):
        pack_cliques(ideal_graph("chimera", (2, 2, 4)), n)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_graph_without_qubits(n):
    graph = damaged(ideal_graph("zephyr", (2, 4)), qubits=1.0)
    with pytest.raises(UnembeddableError, match="0 qubits"):
        pack_cliques(graph, n)


def test_graph_without_couplers():
    graph = damaged(ideal_graph("zephyr", (2, 4)), couplers=1.0)
    assert pack_cliques(graph, 1).num_copies == len(graph)
    for n in (2, 3):
        with pytest.raises(UnembeddableError, match="does not fit into"):
            pack_cliques(graph, n)


def test_graph_that_is_not_square():
    graph = damaged(ideal_graph("chimera", (3, 7, 4)), 0.02)
    for n in (4, 8, 12):
        packing = pack_cliques(graph, n)
        assert_valid(packing, graph, all_pairs(n))


def test_a_chain_may_go_round_missing_couplers():
    graph = damaged(ideal_graph("pegasus", (5,)), couplers=0.08)
    packing = pack_cliques(graph, 10)
    assert packing.num_copies >= 5
    assert_valid(packing, graph, all_pairs(10))


@every_family
def test_packing_is_the_same_each_time(family):
    graph = damaged(ideal_graph(family, SMALL[family]), 0.03)
    shuffled = nx.Graph(**graph.graph)
    shuffled.add_nodes_from(sorted(graph.nodes, key=lambda q: q * 7919 % 1009))
    shuffled.add_edges_from((b, a) for a, b in reversed(list(graph.edges)))
    assert graph_hash(shuffled) == graph_hash(graph)
    for n in (2, 6):
        packing = pack_cliques(graph, n)
        assert pack_cliques(shuffled, n) == packing


@pytest.mark.slow
def test_packing_is_the_same_in_every_process():
    code = (
        "from qpsbgd.hardware.embedding import *\n"
        "graph = ideal_graph('pegasus', [3])\n"
        "print(graph_hash(graph), pack_cliques(graph, 6).digest)"
    )
    graph = ideal_graph("pegasus", [3])
    expected = f"{graph_hash(graph)} {pack_cliques(graph, 6).digest}"
    for hash_seed in ("0", "1"):
        done = subprocess.run(
            [sys.executable, "-c", code],
            check=True,
            capture_output=True,
            text=True,
            timeout=120,
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
        )
        assert done.stdout.strip() == expected


@pytest.mark.parametrize("n", [1, 2, 8])
def test_max_copies(n):
    graph = ideal_graph("zephyr", (3, 4))
    packing = pack_cliques(graph, n, max_copies=3)
    assert packing.num_copies == 3
    assert_valid(packing, graph, all_pairs(n))


def test_good_copies_come_first():
    packing = pack_cliques(damaged(ideal_graph("pegasus", (6,)), 0.02), 12)
    quality = [
        (max(map(len, copy.values())), sum(map(len, copy.values()))) for copy in packing.embeddings
    ]
    assert quality == sorted(quality)
    assert packing.longest_chain == quality[-1][0]


@pytest.mark.slow
def test_nothing_is_written_to_the_embedders_own_cache(tmp_path):
    code = (
        "from qpsbgd.errors import UnembeddableError\n"
        "from qpsbgd.hardware.embedding import *\n"
        "pack_cliques(ideal_graph('zephyr', [2, 4]), 8)\n"
        "try: pack_cliques(ideal_graph('zephyr', [2, 4]), 99)\n"
        "except UnembeddableError: pass"
    )
    places = {"HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path)}
    subprocess.run(
        [sys.executable, "-c", code], check=True, timeout=120, env={**os.environ, **places}
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("family", "n", "dead", "copies"),
    [
        ("pegasus", 16, 0.01, 85),
        ("zephyr", 32, 0.01, 24),
    ],
)
@pytest.mark.slow
def test_copies_on_whole_machines(family, n, dead, copies):
    graph = damaged(ideal_graph(family), qubits=dead)
    packing = pack_cliques(graph, n)
    assert packing.num_copies >= copies
    assert_valid(packing, graph, all_pairs(n))


@pytest.mark.slow
def test_missing_couplers_cost_few_copies():
    graph = damaged(ideal_graph("pegasus", (8,)), qubits=0.01, couplers=0.005)
    packing = pack_cliques(graph, 16)
    assert packing.num_copies >= 12
    assert_valid(packing, graph, all_pairs(16))


@pytest.mark.parametrize("n", [128, 180])
@pytest.mark.slow
def test_large_cliques(n):
    graph = ideal_graph("pegasus")
    assert_valid(pack_cliques(graph, n, max_copies=1), graph, all_pairs(n))


# --- selection


def test_selection_finds_what_enumeration_finds():
    rng = random.Random(1)
    for _ in range(20):
        sets = [np.array(sorted(rng.sample(range(15), 3))) for _ in range(14)]
        best = max(
            size
            for size in range(1, 6)
            for group in itertools.combinations(sets, size)
            if len(set(np.concatenate(group).tolist())) == 3 * size
        )
        selection = Selection(sets)
        selection.improve(500, enough=99)
        chosen = np.concatenate([sets[member] for member in selection.members])
        assert len(chosen) == len(set(chosen.tolist()))
        assert len(selection.members) == best


def test_selection_ends_when_it_has_enough():
    selection = Selection([np.array([i]) for i in range(10)])
    selection.add(3)
    selection.improve(100, enough=1)
    assert 3 in selection.members


# --- sparse problems

RING = [(i, (i + 1) % 7) for i in range(7)]


@every_family
def test_sparse_problems(family):
    graph = damaged(ideal_graph(family, SMALL[family]), 0.02, 0.01)
    edges = [*RING, (0, 3), (3, 0), (1, 5)]
    packing = pack_graph(graph, edges, 9, max_copies=4, seed=3)
    assert packing.num_copies == 4
    assert_valid(packing, graph, edges)
    assert pack_graph(graph, edges, 9, max_copies=4, seed=3) == packing


def test_sparse_problems_fill_the_graph():
    graph = ideal_graph("zephyr", (1, 4))
    packing = pack_graph(graph, RING, 7)
    assert packing.num_copies >= 3
    assert_valid(packing, graph, RING)


def test_problem_without_couplings():
    graph = ideal_graph("chimera", (1, 1, 4))
    packing = pack_graph(graph, [], 3)
    assert packing.num_copies == 2
    assert_valid(packing, graph, [])


def test_sparse_problem_that_does_not_fit():
    graph = ideal_graph("chimera", (1, 1, 4))
    with pytest.raises(UnembeddableError, match="6 variables and 15 couplings in a chimera"):
        pack_graph(graph, all_pairs(6), 6)
    with pytest.raises(UnembeddableError, match="9 variables"):
        pack_graph(graph, [], 9)


@pytest.mark.parametrize("edge", [(0, 0), (0, 3), (-1, 2)])
def test_edges_join_two_variables(edge):
    with pytest.raises(ValueError, match="must join two different variables"):
        pack_graph(ideal_graph("chimera", (1, 1, 4)), [edge], 3)


# --- verification

#: Two copies of a triangle, of qubits of one Chimera cell; 0..3 are coupled to 4..7.
CELL = ideal_graph("chimera", (1, 1, 4))
TRIANGLES = ({0: (0, 4), 1: (1,), 2: (5,)}, {0: (2, 6), 1: (3,), 2: (7,)})


def triangles(*copies, n=3):
    return Packing(n, copies, graph_hash(CELL))


def test_valid_packing():
    check_packing(triangles(*TRIANGLES), CELL)
    check_packing(triangles(*TRIANGLES), CELL, [(0, 1), (2, 1)])


@pytest.mark.parametrize(
    ("copies", "rule"),
    [
        ((), "no copies"),
        (({**TRIANGLES[0], 2: ()},), "is empty"),
        (({**TRIANGLES[0], 2: (8,)},), "which the graph does not have"),
        (({**TRIANGLES[0], 0: (0, 2)},), "in pieces"),
        (({**TRIANGLES[0], 2: (4,)},), "already in use"),
        (({**TRIANGLES[0], 0: (0, 4, 4)},), "already in use"),
        ((TRIANGLES[0], {**TRIANGLES[1], 1: (1,)}), "copy 1 has qubit 1, which is already in use"),
        (({0: (0,), 1: (1,), 2: (5,)},), "no coupler between variables 0 and 1"),
        (({0: (0, 4), 1: (1,)},), "must have 0 .. 2"),
        (({**TRIANGLES[0], 3: (2,)},), "must have 0 .. 2"),
    ],
)
def test_invalid_packing(copies, rule):
    with pytest.raises(ValueError, match=rule):
        check_packing(triangles(*copies), CELL)


def test_verification_agrees_with_dwaves():
    """On random damage to a valid packing."""
    graph = ideal_graph("pegasus", (3,))
    packing = pack_cliques(graph, 9)
    edges = all_pairs(9)[::2]
    rng = random.Random(0)
    verdicts = set()
    for _ in range(200):
        copy = dict(packing.embeddings[0])
        variable = rng.randrange(9)
        spare = sorted(set(graph.nodes).difference(*copy.values()))
        chain = list(copy[variable])
        if rng.random() < 0.7:
            chain.pop(rng.randrange(len(chain)))
        if rng.random() < 0.7:
            chain.append(rng.choice(spare))
        copy[variable] = tuple(chain)
        for source in (edges, all_pairs(9)):
            valid = dwave.embedding.is_valid_embedding(copy, nx.Graph(source), graph)
            damaged_packing = replace(packing, embeddings=(copy,))
            if valid:
                check_packing(damaged_packing, graph, source)
            else:
                with pytest.raises(ValueError, match="copy 0"):
                    check_packing(damaged_packing, graph, source)
            verdicts.add(valid)
    assert verdicts == {True, False}


# --- graphs


@pytest.mark.parametrize(
    ("family", "shape"), [("pegasus", [3]), ("zephyr", [2, 4]), ("chimera", [4, 4, 4])]
)
def test_graph_of_a_sampler(family, shape):
    whole = ideal_graph(family, shape)
    nodes = sorted(whole.nodes)[3:]
    edges = [e for e in whole.edges if min(e) >= nodes[0]][5:]
    sampler = MockDWaveSampler(
        nodelist=nodes, edgelist=edges, topology_type=family, topology_shape=shape
    )
    graph = working_graph(sampler)
    assert set(graph.nodes) == set(nodes)
    assert {frozenset(e) for e in graph.edges} == {frozenset(e) for e in edges}
    assert graph.graph["family"] == family
    assert_valid(pack_cliques(graph, 4), graph, all_pairs(4))
    assert graph_hash(graph) != graph_hash(whole)
    assert graph_hash(working_graph(sampler)) == graph_hash(graph)


def test_sampler_without_a_graph():
    class Sampler:
        properties = None

    with pytest.raises(ValueError, match="Sampler has no nodelist"):
        working_graph(Sampler())
    sampler = MockDWaveSampler(topology_type="pegasus", topology_shape=[2])
    sampler.properties["topology"]["type"] = "torus"
    with pytest.raises(ValueError, match="'torus', but must be 'pegasus'"):
        working_graph(sampler)


def test_graph_of_another_kind():
    for graph in (nx.complete_graph(5), dwave.graphs.pegasus_graph(2, nice_coordinates=True)):
        with pytest.raises(ValueError, match=r"must be a graph of dwave\.graphs"):
            pack_cliques(graph, 3)


def test_hash_tells_lattices_qubits_and_couplers_apart():
    graph = ideal_graph("zephyr", (2, 4))
    graphs = [
        graph,
        ideal_graph("pegasus", (3,)),
        damaged(graph, qubits=0.01),
        damaged(graph, couplers=0.001),
    ]
    assert len(set(map(graph_hash, graphs))) == len(graphs)


def test_hash_of_a_graph_that_changes():
    graph = damaged(ideal_graph("zephyr", (2, 4)))
    before = graph_hash(graph)
    graph.remove_node(0)
    assert graph_hash(graph) != before


# --- cache


@pytest.fixture
def graph(monkeypatch):
    # Short searches: these tests are about files.
    monkeypatch.setattr(tiles, "NUM_COMPACT", 4)
    monkeypatch.setattr(tiles, "NUM_STEPS", 100)
    monkeypatch.setattr(repacking, "EMBEDDINGS_PER_COPY", 2)
    return nx.freeze(damaged(ideal_graph("zephyr", (2, 4)), 0.02))


@pytest.fixture
def packings(monkeypatch):
    """How often a packing was made."""
    made = []
    for name in ("pack_cliques", "pack_graph"):
        function = getattr(cache_module, name)

        def counted(*args, function=function, **options):
            made.append(args)
            return function(*args, **options)

        monkeypatch.setattr(cache_module, name, counted)
    return made


def stored_file(folder):
    (path,) = folder.glob("*.json")
    return path


def test_cache_finds_what_it_stored(graph, packings, tmp_path):
    cache = EmbeddingCache(tmp_path / "new" / "folder")
    packing = cache.cliques(graph, 8, graph_id="mock")
    assert cache.cliques(graph, 8, graph_id="mock") is packing
    again = EmbeddingCache(cache.folder).cliques(graph.copy(), 8, graph_id="mock")
    assert again == packing
    assert again.graph_id == "mock"
    assert again.digest == packing.digest
    assert len(packings) == 1
    assert_valid(again, graph, all_pairs(8))


def test_cache_keeps_problems_apart(graph, packings, tmp_path):
    cache = EmbeddingCache(tmp_path)
    whole = ideal_graph("zephyr", (2, 4))
    for arguments, options in [
        ((graph, 8), {"graph_id": "a"}),
        ((graph, 8), {"graph_id": "b"}),
        ((graph, 7), {"graph_id": "a"}),
        ((graph, 8), {"graph_id": "a", "max_copies": 1}),
        ((whole, 8), {"graph_id": "a"}),
    ]:
        cache.cliques(*arguments, **options)
        cache.cliques(*arguments, **options)
    for edges, n, seed in [(RING, 7, 0), (RING, 7, 1), (RING, 8, 0), (RING[1:], 7, 0)]:
        options = {"graph_id": "a", "seed": seed, "max_copies": 2}
        packing = cache.sparse(graph, edges, n, **options)
        assert cache.sparse(graph, [(b, a) for a, b in edges], n, **options) is packing
        assert EmbeddingCache(tmp_path).sparse(graph, edges, n, **options) == packing
    assert len(packings) == len(list(tmp_path.glob("*.json"))) == 9


def test_default_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert EmbeddingCache().folder == tmp_path / "qpsbgd" / "embeddings"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert EmbeddingCache().folder == tmp_path / ".cache" / "qpsbgd" / "embeddings"


def changed(**values):
    return lambda content: json.dumps({**json.loads(content), **values}).encode()


def without(key):
    return lambda content: json.dumps(
        {k: v for k, v in json.loads(content).items() if k != key}
    ).encode()


def with_chains(change):
    def damage(content):
        stored = json.loads(content)
        change(stored["chains"])
        return json.dumps(stored).encode()

    return damage


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[: len(content) // 2],
        lambda content: b"\xff" + content,
        lambda content: b"[]",
        lambda content: b"[" * 100_000,
        changed(schema=0),
        changed(schema=None),
        changed(graph_hash="0" * 64),
        changed(graph_id="another"),
        changed(source={"kind": "clique", "num_variables": 7, "max_copies": None}),
        changed(chains=[]),
        changed(chains=None),
        changed(chains=[[["0"]]]),
        changed(chains=[[[1.0]]]),
        changed(chains=[3]),
        changed(digest="0" * 64),
        changed(effort=-1),
        changed(effort="1"),
        without("effort"),
        without("digest"),
        without("chains"),
        without("graph_hash"),
        with_chains(lambda chains: chains.pop()),
        with_chains(lambda chains: chains[0].pop()),
        with_chains(lambda chains: chains.append(chains[0])),
        with_chains(lambda chains: chains[0][0].append(10**6)),
        with_chains(lambda chains: chains[0][0].pop()),
    ],
)
def test_damaged_files_are_made_anew(damage, graph, packings, tmp_path, caplog):
    packing = EmbeddingCache(tmp_path).cliques(graph, 8, graph_id="mock")
    path = stored_file(tmp_path)
    content = path.read_bytes()
    path.write_bytes(damage(content))
    assert EmbeddingCache(tmp_path).cliques(graph, 8, graph_id="mock") == packing
    assert len(packings) == 2
    assert "made anew" in caplog.text
    assert stored_file(tmp_path) == path
    assert path.read_bytes() == content


def test_file_of_a_graph_that_has_changed_since(graph, packings, tmp_path, caplog):
    """Under the right name, as if hashes collided: its qubits are looked at all the same."""
    EmbeddingCache(tmp_path).cliques(graph, 8, graph_id="mock")
    path = stored_file(tmp_path)
    stored = json.loads(path.read_bytes())
    qubit = stored["chains"][0][0][0]
    now = graph.copy()
    now.remove_node(qubit)
    packing = EmbeddingCache(tmp_path / "now").cliques(now, 8, graph_id="mock")
    target = stored_file(tmp_path / "now")
    target.write_bytes(json.dumps({**stored, "graph_hash": graph_hash(now)}).encode())
    assert EmbeddingCache(tmp_path / "now").cliques(now, 8, graph_id="mock") == packing
    assert f"has qubit {qubit}, which the graph does not have" in caplog.text
    assert len(packings) == 3


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_folder_that_cannot_be_written(place, graph, packings, tmp_path):
    """Not by permissions, which root has all of."""
    (tmp_path / "file").write_bytes(b"")
    cache = EmbeddingCache(tmp_path / place)
    with pytest.warns(UserWarning, match="not stored for the next run") as caught:
        packing = cache.cliques(graph, 8, graph_id="mock")
    assert caught[0].filename == __file__
    assert cache.cliques(graph, 8, graph_id="mock") is packing
    cache.cliques(graph, 7, graph_id="mock")
    assert len(packings) == 2


def test_write_that_fails_leaves_the_old_file(graph, tmp_path, monkeypatch):
    cache = EmbeddingCache(tmp_path)
    cache.cliques(graph, 8, graph_id="mock")
    path = stored_file(tmp_path)
    path.write_bytes(b"old")

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.warns(UserWarning, match="No space left"):
        EmbeddingCache(tmp_path).cliques(graph, 8, graph_id="mock")
    assert stored_file(tmp_path) == path
    assert path.read_bytes() == b"old"


def _write_again_and_again(folder, ready, count):
    graph = ideal_graph("chimera", (2, 2, 4))
    packing = pack_cliques(graph, 4)
    ready.wait()
    for _ in range(count):
        cache = EmbeddingCache(folder)
        source = {"kind": "clique", "num_variables": 4, "max_copies": None}
        head = {"graph_hash": packing.graph_hash, "graph_id": "mock", "source": source}
        path = cache._path(head)
        with cache._locked(path):
            cache._write(path, head, packing)


@pytest.mark.slow
def test_two_writers(tmp_path):
    context = multiprocessing.get_context("spawn")
    ready = context.Barrier(3)
    writers = [
        context.Process(target=_write_again_and_again, args=(tmp_path, ready, 30)) for _ in range(2)
    ]
    for writer in writers:
        writer.start()
    graph = ideal_graph("chimera", (2, 2, 4))
    expected = pack_cliques(graph, 4).digest
    ready.wait(timeout=120)
    read = 0
    while any(writer.is_alive() for writer in writers):
        for path in tmp_path.glob("*.json"):
            assert json.loads(path.read_bytes())["digest"] == expected
            read += 1
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    assert read
    assert len(list(tmp_path.glob("*.json"))) == 1


def _search_with_others(folder, ready, searches):
    made = cache_module.pack_cliques

    def counted(*args, **options):
        searches.put(1)
        return made(*args, **options)

    cache_module.pack_cliques = counted
    graph = ideal_graph("zephyr", (3, 4))
    ready.wait(timeout=120)
    EmbeddingCache(folder).cliques(graph, 8, graph_id="mock")


@pytest.mark.slow
def test_one_process_searches_while_the_others_wait(tmp_path):
    context = multiprocessing.get_context("spawn")
    ready, searches = context.Barrier(2), context.Queue()
    processes = [
        context.Process(target=_search_with_others, args=(tmp_path, ready, searches))
        for _ in range(2)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert searches.get(timeout=10)
    assert searches.empty()


def test_threads_write_one_file(graph, packings, tmp_path):
    """A temporary file is named by the process alone: without the lock, threads share it."""
    ready, found = threading.Barrier(4), []

    def search():
        ready.wait(timeout=60)
        found.append(EmbeddingCache(tmp_path).cliques(graph, 8, graph_id="mock"))

    threads = [threading.Thread(target=search) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len({packing.digest for packing in found}) == len(packings) == 1


def test_a_source_graph_that_does_not_fit_is_searched_once(graph, packings, tmp_path):
    cache = EmbeddingCache(tmp_path)
    for _ in range(2):
        with pytest.raises(UnembeddableError, match="99 variables does not fit"):
            cache.cliques(graph, 99, graph_id="mock")
    assert len(packings) == 1
    assert not list(tmp_path.glob("*.json"))


def test_a_lock_that_is_never_released_delays_a_search(graph, packings, tmp_path, monkeypatch):
    cache = EmbeddingCache(tmp_path / "first")
    expected = cache.cliques(graph, 8, graph_id="mock")
    monkeypatch.setattr(cache_module, "LOCK_TIMEOUT", 0.0)
    name = stored_file(cache.folder).name
    folder = tmp_path / "second"
    folder.mkdir()
    with filelock.FileLock(folder / f"{name}.lock"):
        assert EmbeddingCache(folder).cliques(graph, 8, graph_id="mock") == expected
    assert len(packings) == 2
    assert stored_file(folder).read_bytes() == stored_file(cache.folder).read_bytes()
