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
import numpy as np
from hypothesis import strategies as st

from draws import seeds
from fuzz.damage import damaged_either_way
from fuzz.targets import need, target
from qpsbgd.experiments.reproduce.experiment import Cell, Outcome
from qpsbgd.experiments.reproduce.store import Run, Store
from qpsbgd.hardware.budget import Budget
from qpsbgd.hardware.embedding import EmbeddingCache, check_packing
from qpsbgd.training.loop import Config, read_config

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
    store = Store(folder("results"))
    known = {field.name for field in dataclasses.fields(Cell)}
    values = {
        "experiment": "e", "case": "c", "setting": "paper", "quick": True, "method": "m",
        "options": {"lr": 0.1}, "stage": "final", "seed": 0,
    }  # fmt: skip
    cell = Cell(**{name: value for name, value in values.items() if name in known})
    outcome = Outcome(score=0.5, validation=0.5, curves={"a": [1.0]}, details={"b": 2.0})
    store.save(Run(cell, outcome, 1.0), {"s": "t"})
    (path,) = store.folder.glob("*.json")
    path.write_bytes(damaged_either_way(path.read_bytes(), seed, count))
    run = store.load(cell, {"s": "t"})
    if run is not None:
        are_numbers = np.isreal(run.outcome.score) and np.isreal(run.seconds)
        need(are_numbers, f"a score {run.outcome.score!r}, seconds {run.seconds!r}")


@target(count=counts, seed=seeds)
def damaged_configurations(count, seed):
    path = folder("configurations") / "config.json"
    content = json.dumps(dataclasses.asdict(Config("digits"))).encode()
    path.write_bytes(damaged_either_way(content, seed, count))
    try:
        read_config(path.parent)
    except (ValueError, FileNotFoundError):
        return
