"""Other files that outlive a process: embeddings, ledgers of access time, results of studies."""

import dataclasses
import functools
import json
import logging
import math
import tempfile
from pathlib import Path

import dwave.graphs
import networkx as nx
from hypothesis import strategies as st

from bench.paper.results import Results
from draws import seeds
from fuzz.damage import damaged_either_way
from fuzz.targets import need, target
from qpsbgd.hardware.embedding import EmbeddingCache, check_packing
from qpsbgd.hardware.service.budget import Budget
from qpsbgd.training.config import Config, read_config

counts = st.integers(1, 3)


@functools.cache
def graph():
    return nx.freeze(dwave.graphs.chimera_graph(2, 2, 4))


def folder(name):
    path = Path(tempfile.gettempdir()) / name
    path.mkdir(exist_ok=True)
    return path


@target(count=counts, seed=seeds)
def damaged_embeddings(count, seed):
    """A damaged cache is made anew."""
    logging.disable(logging.CRITICAL)
    cache = folder("embeddings")
    EmbeddingCache(cache).cliques(graph(), 4, graph_id="g")
    (path,) = cache.glob("*.json")
    path.write_bytes(damaged_either_way(path.read_bytes(), seed, count))
    packing = EmbeddingCache(cache).cliques(graph(), 4, graph_id="g")
    check_packing(packing, graph(), "all pairs")
    need(json.loads(path.read_bytes())["digest"] == packing.digest, "the file is not replaced")


@target(count=counts, seed=seeds)
def damaged_ledgers(count, seed):
    ledger = folder("ledgers") / "ledger.json"
    ledger.unlink(missing_ok=True)
    Budget(100.0, ledger).reserve(5.0, "a call")
    ledger.write_bytes(damaged_either_way(ledger.read_bytes(), seed, count))
    try:
        budget = Budget(100.0, ledger)
    except ValueError:
        return
    need(math.isfinite(budget.spent_us) and budget.spent_us >= 0, f"spent {budget.spent_us}")


@target(count=counts, seed=seeds)
def damaged_results(count, seed):
    """A damaged record is no record; one after it is read."""
    path = folder("results") / "cells.jsonl"
    path.unlink(missing_ok=True)
    record = {"key": "a", "score": 0.5, "curves": {"b": [[1.0, 2.0]]}}
    Results(path.parent).add(record)
    path.write_bytes(damaged_either_way(path.read_bytes(), seed, count))
    need(Results(path.parent).get("a") in (None, record), "a damaged record is read")
    Results(path.parent).add({"key": "c"})
    need(Results(path.parent).get("c") == {"key": "c"}, "a record after a damaged one is lost")


@target(count=counts, seed=seeds)
def damaged_configurations(count, seed):
    path = folder("configurations") / "config.json"
    content = json.dumps(dataclasses.asdict(Config.from_recipe("digits"))).encode()
    path.write_bytes(damaged_either_way(content, seed, count))
    try:
        read_config(path.parent)
    except (ValueError, FileNotFoundError):
        return
