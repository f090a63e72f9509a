"""Solvers that the comparison runs, each on one thread.

A solver is a function ``(problem, effort, seed) -> (states, seconds)``: states ``(k, n)`` of -1 and
+1, and the seconds of sampling that the solver reports (the script's own for
simulated-bifurcation), or None. ``effort`` is 1 for the shortest call and grows by factors of 4.
The model is made inside, since a user waits for this too.
"""

import importlib
import os
import subprocess
import tempfile
import time
from importlib import metadata
from pathlib import Path

import numpy as np

NUM_READS = 16
SWEEPS = 50
TABU_MS = 20


def _seconds(sampleset):
    timing = sampleset.info.get("timing", {})
    return timing["sampling_ns"] / 1e9 if "sampling_ns" in timing else None


def _states(sampleset, n):
    order = [list(sampleset.variables).index(i) for i in range(n)]
    return sampleset.record.sample[:, order]


def qpsbgd_annealing(problem, effort, seed):
    from qpsbgd import SimulatedAnnealingSampler

    sampleset = SimulatedAnnealingSampler().sample(
        problem.bqm(), num_reads=NUM_READS, num_sweeps=SWEEPS * effort, seed=seed, num_threads=1
    )
    return _states(sampleset, problem.n), _seconds(sampleset)


def qpsbgd_tabu(problem, effort, seed):
    from qpsbgd import TabuSampler

    sampleset = TabuSampler().sample(
        problem.bqm(), num_reads=1, timeout=TABU_MS * effort, seed=seed, num_threads=1
    )
    return _states(sampleset, problem.n), _seconds(sampleset)


def dwave_annealing(problem, effort, seed):
    from dwave.samplers import SimulatedAnnealingSampler

    sampleset = SimulatedAnnealingSampler().sample(
        problem.bqm(), num_reads=NUM_READS, num_sweeps=SWEEPS * effort, seed=seed
    )
    return _states(sampleset, problem.n), _seconds(sampleset)


def dwave_tabu(problem, effort, seed):
    from dwave.samplers import TabuSampler

    sampleset = TabuSampler().sample(
        problem.bqm(), num_reads=1, timeout=TABU_MS * effort, seed=seed
    )
    return _states(sampleset, problem.n), _seconds(sampleset)


def openjij_annealing(problem, effort, seed):
    import openjij

    response = openjij.SASampler().sample(
        problem.bqm(), num_reads=NUM_READS, num_sweeps=SWEEPS * effort, seed=seed
    )
    return _states(response, problem.n), response.info["sampling_time"] / 1e6


def simulated_bifurcation(problem, effort, seed):
    import simulated_bifurcation as sb
    import torch

    torch.manual_seed(seed)
    matrix = torch.from_numpy(problem.matrix() / 2).float()
    start = time.perf_counter()
    states, _ = sb.minimize(
        matrix, domain="spin", agents=NUM_READS, max_steps=SWEEPS * effort, mode="discrete",
        best_only=False, early_stopping=False, verbose=False,
    )  # fmt: skip
    return states.numpy().reshape(NUM_READS, -1), time.perf_counter() - start


def qanneal_annealing(problem, effort, seed):
    import qanneal

    edges = [
        qanneal.SparseEdge(int(i), int(j), float(value))
        for i, j, value in zip(problem.rows, problem.columns, problem.values, strict=True)
    ]
    model = qanneal.SparseIsing(np.zeros(problem.n), edges, problem.n)
    result = qanneal.solve(
        model, method="sa", reads=NUM_READS, sweeps_per_beta=effort, seed=seed, progress=False
    )
    return np.array(result.samples), None


def mqlib(path, heuristic):
    """Return the solver that runs a heuristic of MQLib's program, in a process of its own."""

    def solve(problem, effort, seed):
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "graph.txt"
            lines = [f"{problem.n} {len(problem.rows)}"]
            lines += [
                f"{i + 1} {j + 1} {value:.17g}"
                for i, j, value in zip(problem.rows, problem.columns, problem.values, strict=True)
            ]
            file.write_text("\n".join(lines) + "\n")
            # The largest cut has the least energy: E = sum J - 2 cut.
            command = [path, "-fM", file, "-h", heuristic, "-ps", "-s", str(seed)]
            command += ["-r", str(TABU_MS * effort / 1000)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
        first, _, values = done.stdout.partition("Solution:")
        return np.array([[int(value) for value in values.split()]]), float(first.split(",")[4])

    return solve


def version_of(module):
    """Return the version of an importable module, or None if it is missing."""
    try:
        found = importlib.import_module(module)
    except ImportError:
        return None
    try:
        return metadata.version(module.replace(".", "-").replace("_", "-"))
    except metadata.PackageNotFoundError:
        return getattr(found, "__version__", "?")


def solvers(mqlib_path=None):
    """Return the solvers whose packages are installed: ``{name: (version, function)}``."""
    known = {
        "qpsbgd annealing": ("qpsbgd", qpsbgd_annealing),
        "qpsbgd tabu": ("qpsbgd", qpsbgd_tabu),
        "dwave-samplers annealing": ("dwave.samplers", dwave_annealing),
        "dwave-samplers tabu": ("dwave.samplers", dwave_tabu),
        "OpenJij annealing": ("openjij", openjij_annealing),
        "simulated-bifurcation dSB": ("simulated_bifurcation", simulated_bifurcation),
        "qanneal annealing": ("qanneal", qanneal_annealing),
    }
    found = {
        name: (version, function)
        for name, (module, function) in known.items()
        if (version := version_of(module)) is not None
    }
    if mqlib_path is not None:
        if not os.access(mqlib_path, os.X_OK):
            raise SystemExit(f"--mqlib is {mqlib_path}, which is not a program")
        for heuristic in ("BURER2002", "PALUBECKIS2004bMST2"):
            found[f"MQLib {heuristic}"] = ("?", mqlib(mqlib_path, heuristic))
    return found
