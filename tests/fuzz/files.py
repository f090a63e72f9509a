"""Files of problems: damaged ones are refused, sound ones mean what was written."""

import functools
import gzip
import json
import math
import struct
import tempfile
from pathlib import Path

import dimod
import numpy as np
from hypothesis import strategies as st

from draws import seeds
from fuzz.damage import damaged
from fuzz.targets import Fault, need, target
from qpsbgd import formats, solve

TEXTS = (
    ("3 3\n1 2\n1 3\n2 3\n", ".rudy"),
    ("3 2\n1 2 -1\n2 3 2.5\n", ".mc"),
    ("p qubo 0 3 2 2\n0 0 1.5\n1 1 -2\n0 1 3\n1 2 -4\n", ".qubo"),
    ("c comment\np qubo target 4 1 1\n0 0 -1\n0 3 2\n", ".qubo"),
    ("3 4\n1 1 5\n1 2 -3\n2 2 1\n2 3 7\n", ".sparse"),
    ("# vartype=SPIN\n0 0 1.5\n0 1 -1\n1 2 3\n", ".coo"),
    ("# vartype=BINARY\n5 5 1\n7 5 2\n5 7 1\n", ".coo"),
    ("# ObjectiveOffset 0\n3 2\n1 2 -3\n2 3 4\n", ".qs"),
    ("3 2\n1 2 1\n2 3 1\n", ""),
)
SUFFIXES = (
    "", ".qubo", ".coo", ".sparse", ".mc", ".json", ".gz", ".qubo.gz", ".txt", ".bqm", ".qs",
    ".qs.xz", ".npz", ".mtx", ".bz2",
)  # fmt: skip


@functools.cache
def corpus():
    """Small sound files of every format: content and suffix."""
    files = [(text.encode(), suffix) for text, suffix in TEXTS]
    bqm = dimod.BinaryQuadraticModel(
        {"a": 1.0, "b": -2.0, 3: 0.5}, {("a", "b"): 1.5, ("b", 3): -1.0}, 2.0, "SPIN"
    )
    files.append((json.dumps(bqm.to_serializable()).encode(), ".json"))
    whole = dimod.BinaryQuadraticModel(np.triu(np.ones((6, 6))), "BINARY")
    for model, version in ((bqm, 1), (bqm, 2), (whole, 2), (dimod.BQM("SPIN"), 2)):
        with model.to_file(version=version) as file:
            files.append((file.read(), ".bqm"))
    return files


@functools.cache
def folder():
    """A folder for the files of this process; the session removes it."""
    return Path(tempfile.mkdtemp(prefix="files-"))


FILE = {
    "file": st.integers(0, 99),
    "changes": st.sampled_from((1, 0, 2, 3, 8)),
    "seed": seeds,
}


def write(file, changes, seed, suffix=None):
    """Write a damaged file of the corpus and return its path."""
    content, own = corpus()[file % len(corpus())]
    path = folder() / f"case{own if suffix is None else suffix}"
    path.write_bytes(damaged(content, seed, changes))
    return path


@target(
    **FILE,
    suffix=st.one_of(st.none(), st.none(), st.sampled_from(SUFFIXES)),
    file_format=st.one_of(st.none(), st.none(), st.sampled_from(formats.FORMATS)),
    sense=st.sampled_from((None, None, "maximise", "minimise")),
)
def damaged_files(file, changes, seed, suffix, file_format, sense):
    check_file(write(file, changes, seed, suffix), file_format, sense)


@target(
    file=st.integers(0, 3),
    place=st.integers(0, 150),
    value=st.sampled_from((-1, 0, 1, 2, 5, 1000, 2**24, 2**31 - 1, -(2**31))),
)
def damaged_binary_files(file, place, value):
    """One 32-bit number of a model that dimod wrote: an index, a count, half of a bias."""
    content = bytearray([content for content, suffix in corpus() if suffix == ".bqm"][file])
    at = 4 * (place % (len(content) // 4))
    content[at : at + 4] = struct.pack("<i", value)
    path = folder() / "binary.bqm"
    path.write_bytes(content)
    check_file(path)


def check_file(path, file_format=None, sense=None):
    """Require that a file is refused, or read as a model that can be solved."""
    try:
        instance = formats.read(path, file_format, sense)
    except (ValueError, OSError):
        return
    except MemoryError:
        raise Fault(f"MemoryError for {path.stat().st_size} bytes") from None
    bqm = instance.bqm
    linear, (_, _, quadratic), offset = bqm.to_numpy_vectors()
    is_finite = np.isfinite(linear).all() and np.isfinite(quadratic).all() and np.isfinite(offset)
    need(bqm.num_variables >= 1, "no variables")
    need(is_finite, "biases that are not finite")
    if bqm.num_variables > 300:
        return
    solver = "exhaustive" if bqm.num_variables <= 12 else "tabu"
    size = np.abs(linear).sum() + np.abs(quadratic).sum() + abs(offset)
    try:
        solution = solve.solve(instance, solver, time_limit=0.02, seed=0, num_threads=1)
    except ValueError:
        need(not size < 1e300, "a problem of ordinary biases is refused")
        return
    json.dumps(solution.to_dict())
    energy = bqm.energy(dict(zip(bqm.variables, solution.assignment, strict=True)))
    is_right = abs(energy - solution.energy) <= 1e-9 * size or not math.isfinite(energy)
    need(is_right, f"the solution's energy is {solution.energy}, the model's {energy}")


@target(
    n=st.integers(1, 8),
    kind=st.sampled_from(("integers", "real", "small real")),
    file_format=st.sampled_from(("rudy", "qubo", "biqmac", "coo")),
    line_end=st.sampled_from(("\n", "\r\n")),
    last=st.sampled_from((0, 1, 2)),
    has_mark=st.booleans(),
    is_compressed=st.booleans(),
    seed=seeds,
)
def round_trips(n, kind, file_format, line_end, last, has_mark, is_compressed, seed):
    """A file that was written from a matrix means that matrix."""
    rng = np.random.default_rng(seed)
    Q = rng.integers(-9, 10, (n, n)).astype(float)
    if kind != "integers":
        Q = rng.normal(size=(n, n)) * (1e-7 if kind == "small real" else 1.0)
    Q = np.triu(Q, 1 if file_format == "rudy" else 0)
    entries = [(int(i), int(j), float(Q[i, j])) for i, j in np.argwhere(Q)]
    entries = [entries[k] for k in rng.permutation(len(entries))]
    if file_format == "coo" and not entries:
        return
    base = 0 if file_format in ("qubo", "coo") else 1
    lines = {
        "rudy": [f"{n} {len(entries)}"],
        "biqmac": [f"{n} {len(entries)}"],
        "coo": ["# vartype=BINARY"],
        "qubo": [f"p qubo 0 {n} {np.count_nonzero(np.diag(Q))} "
                 f"{np.count_nonzero(np.triu(Q, 1))}"],
    }[file_format]  # fmt: skip
    for i, j, value in entries:
        ends = (i, j) if file_format == "qubo" or rng.random() < 0.5 else (j, i)
        text = repr(value) if rng.random() < 0.5 else f"{value:+.17e}"
        lines.append(f"{ends[0] + base} {ends[1] + base} {text}")
    text = "\ufeff" * has_mark + line_end.join(lines) + line_end * last
    path = folder() / "round"
    path.write_bytes(gzip.compress(text.encode()) if is_compressed else text.encode())
    instance = formats.read(path, file_format)
    x = rng.integers(0, 2, n)
    if file_format == "rudy":
        expected = sum(value * (x[i] != x[j]) for i, j, value in entries)
    else:
        factor = 2 if file_format == "biqmac" else 1
        expected = sum((factor if i != j else 1) * v * x[i] * x[j] for i, j, v in entries)
    low = -1 if instance.bqm.vartype is dimod.SPIN else 0
    sample = {v: 1 if x[v - base] else low for v in instance.bqm.variables}
    found = instance.objective(instance.bqm.energy(sample))
    is_same = abs(found - expected) <= 1e-9 * (1 + np.abs(Q).sum())
    need(is_same, f"{found}, but {expected}: {text!r}")
