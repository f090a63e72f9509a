"""Files of problems: read as their formats say, or refused with the line that breaks a rule."""

import gzip
import itertools
import json
import math
import os
from pathlib import Path

import dimod
import numpy as np
import pytest
from dimod.serialization import coo

from qpsbgd import formats

RUDY = "4 4\n1 2 3\n3 2 -1.5\n\n3 4\n4 1 2 \n"
QUBO = "c a comment\np qubo 0 4 2 3\n0 0 3.5\n2 2 -1\nc couplers\n0 1 2\n1 3 -4\nC\n2 3 1e-1\n"
BIQMAC = "4 5\n1 1 -3\n2 2 1\n1 2 2\n4 3 -1\n2 4 .5\n"
COO = "# vartype=BINARY\n0 0 1.5\n0 7 -2\n7 3 1e-05\n3 3 1\n3 3 1\n7 0 -1\n"
MODEL = dimod.BinaryQuadraticModel(
    {"a": 1.5, "b": -1}, {("a", "b"): -1, ("b", ("c", 1)): 2}, 0.25, "SPIN"
)


def to_bytes(model):
    with model.to_file() as file:
        return file.read()


def cut(s):
    edges = [(1, 2, 3), (3, 2, -1.5), (3, 4, 1), (4, 1, 2)]
    return sum(w for i, j, w in edges if s[i] != s[j])


def qubo(x):
    return 3.5 * x[0] - x[2] + 2 * x[0] * x[1] - 4 * x[1] * x[3] + 0.1 * x[2] * x[3]


def biqmac(x):
    Q = np.zeros((5, 5))
    for i, j, q in [(1, 1, -3), (2, 2, 1), (1, 2, 2), (4, 3, -1), (2, 4, 0.5)]:
        Q[i, j] = Q[j, i] = q
    v = np.array([0] + [x[i] for i in range(1, 5)])
    return v @ Q @ v


def coordinates(x):
    return 1.5 * x[0] - 3 * x[0] * x[7] + 1e-5 * x[3] * x[7] + 2 * x[3]


EXAMPLES = [
    ("g.txt", RUDY, "rudy", "maximise", cut, [1, 2, 3, 4]),
    ("a.qubo", QUBO, "qubo", "minimise", qubo, [0, 1, 2, 3]),
    ("a.sparse", BIQMAC, "biqmac", "minimise", biqmac, [1, 2, 3, 4]),
    ("a.coo", COO, "coo", "minimise", coordinates, [0, 3, 7]),
    ("a.json", json.dumps(MODEL.to_serializable()), "dimod", "minimise", MODEL.energy,
     ["a", "b", ("c", 1)]),
    ("a.bqm", to_bytes(MODEL), "dimod", "minimise", MODEL.energy, ["a", "b", ("c", 1)]),
]  # fmt: skip


def write(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def check_objective(instance, objective):
    bqm = instance.bqm
    for values in itertools.product(sorted(bqm.vartype.value), repeat=bqm.num_variables):
        state = dict(zip(bqm.variables, values, strict=True))
        energy = bqm.energy(state)
        assert instance.objective(energy) == pytest.approx(objective(state))
        assert energy == pytest.approx(objective(state) * (-1 if is_max(instance) else 1))


def is_max(instance):
    return instance.sense == "maximise"


@pytest.mark.parametrize("sense", [None, "maximise", "minimise"])
@pytest.mark.parametrize(
    ("name", "content", "format", "own_sense", "objective", "labels"),
    EXAMPLES,
    ids=[example[0] for example in EXAMPLES],
)
def test_objective(tmp_path, name, content, format, own_sense, objective, labels, sense):
    instance = formats.read(write(tmp_path / name, content), sense=sense)
    assert (instance.format, instance.sense) == (format, sense or own_sense)
    assert list(instance.bqm.variables) == labels
    check_objective(instance, objective)


@pytest.mark.parametrize(
    ("name", "content"), [e[:2] for e in EXAMPLES], ids=[e[0] for e in EXAMPLES]
)
def test_gzip(tmp_path, name, content):
    plain = formats.read(write(tmp_path / name, content))
    packed = write(tmp_path / f"{name}.gz", gzip.compress(plain.path.read_bytes()))
    assert formats.read(packed).bqm == plain.bqm
    assert formats.read(packed).format == plain.format
    write(packed, packed.read_bytes()[:-9])
    with pytest.raises(ValueError, match=r"\.gz is damaged"):
        formats.read(packed)


@pytest.mark.parametrize(
    ("name", "content", "format"),
    [
        ("g", "2 1\n1 2 3\n", "rudy"),
        ("g", "2 2\n1 1 3\n1 2 3\n", "biqmac"),
        ("g.bq", "2 1\n1 2 3\n", "biqmac"),
        ("g.mat.gz", "2 1\n1 2 3\n", "biqmac"),
        ("g.sparse", "2 1\n1 2 3\n", "biqmac"),
        ("g.sparse", "p qubo 0 2 0 1\n0 1 3\n", "qubo"),
        ("g.txt", "p qubo 0 2 0 1\n0 1 3\n", "qubo"),
        ("g.txt", "# vartype=SPIN\n0 1 3\n", "coo"),
        ("g.txt", "\ufeff2 1\r\n1 2 3\r\n", "rudy"),
        ("g.txt", "# a graph\n2 1\n1 2 3", "rudy"),
    ],
)
def test_format_is_told(tmp_path, name, content, format):
    content = content.encode()
    path = write(tmp_path / name, gzip.compress(content) if name.endswith(".gz") else content)
    assert formats.read(path).format == format


def test_format_is_forced(tmp_path):
    path = write(tmp_path / "g.rudy", "2 1\n1 2 3\n")
    assert formats.read(path).bqm.vartype is dimod.SPIN
    instance = formats.read(path, "biqmac")
    assert instance.bqm == dimod.BinaryQuadraticModel({1: 0, 2: 0}, {(1, 2): 6}, 0, "BINARY")
    with pytest.raises(ValueError, match="is not a model that dimod wrote"):
        formats.read(path, "dimod")
    with pytest.raises(ValueError, match="format is 'lp', but must be 'rudy' or 'qubo'"):
        formats.read(path, "lp")
    with pytest.raises(ValueError, match="sense is 'max', but must be 'maximise' or 'minimise'"):
        formats.read(path, sense="max")


@pytest.mark.parametrize("vartype", ["BINARY", "SPIN"])
def test_coo_reads_what_dimod_does(tmp_path, vartype):
    bqm = dimod.generators.gnm_random_bqm(8, 20, vartype, random_state=1)
    bqm.offset = 0  # has no place in the format
    text = coo.dumps(bqm, vartype_header=True)
    read = formats.read(write(tmp_path / "a.coo", text)).bqm
    assert read == coo.loads(text)
    assert read.is_almost_equal(bqm, places=5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, object])
def test_dimod_models_of_any_type(tmp_path, dtype):
    bqm = dimod.BinaryQuadraticModel({0: 1, 1: 0}, {(0, 1): -2}, 3, "BINARY", dtype=dtype)
    path = write(tmp_path / "a", to_bytes(bqm))
    assert formats.read(path).bqm == bqm
    assert formats.read(path, sense="maximise").bqm == -bqm


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        # The whole
        ("g.txt", "", "g.txt is empty"),
        ("g.txt", " \n\n", "g.txt is empty"),
        ("g.txt.gz", gzip.compress(b""), "g.txt.gz is empty"),
        ("g.txt", "# only a comment\n", "g.txt ends, but must be the numbers of vertices"),
        ("g.txt", b"\xff\x00\x01", "g.txt, line 1: '\ufffd"),
        # Headers
        ("g.txt", "x y\n", "g.txt, line 1: 'x y', but must be the numbers of vertices and edges"),
        ("g.txt", "5\n", "line 1: '5', but must be the numbers of vertices and edges"),
        ("g.mc", "5 6 7\n", "line 1: '5 6 7', but must be the numbers of vertices and edges"),
        ("g.txt", "-5 6\n", "line 1: '-5 6', but must be"),
        ("g.txt", "5.5 6\n", "line 1: '5.5 6', but must be"),
        ("g.txt", "0 0\n", "line 1: '0 0', but the first count must lie in [1, 2147483648)"),
        ("g.txt", "2147483648 0\n", "the first count must lie in [1, 2147483648)"),
        ("g.sparse", "x\n", "line 1: 'x', but must be the numbers of variables and entries"),
        ("a.qubo", "p ising 0 2 0 1\n0 1 1\n", "line 1: 'p ising 0 2 0 1', but must be 'p qubo"),
        ("a.qubo", "p qubo 0 2 0\n0 1 1\n", "but must be 'p qubo 0 maxNodes nNodes nCouplers'"),
        ("a.qubo", "c\n0 1 1\n", "line 2: '0 1 1', but must be 'p qubo"),
        ("a.qubo", "p\n", "line 1: 'p', but must be 'p qubo"),
        # Counts
        ("g.txt", "3 3\n1 2\n2 3\n", "line 1: '3 3', but the file has 2 edges, not 3"),
        ("g.txt", "3 1\n1 2\n2 3\n", "line 1: '3 1', but the file has 2 edges, not 1"),
        ("g.txt", "3 1\n", "the file has 0 edges, not 1"),
        ("g.sparse", "3 3\n1 1 2\n", "line 1: '3 3', but the file has 1 entries, not 3"),
        ("a.qubo", "c\np qubo 0 3 2 1\n0 0 1\n0 1 1\n", "line 2: 'p qubo 0 3 2 1', but the file "
         "has 1 nodes, not 2"),
        ("a.qubo", "p qubo 0 3 1 2\n0 0 1\n0 1 1\n", "the file has 1 couplers, not 2"),
        # Entries
        ("g.txt", "3 2\n1 2\n\n2 4\n", "line 4: '2 4', but the first two must lie in [1, 3]"),
        ("g.txt", "3 2\n1 2 1\n0 2 1\n", "line 3: '0 2 1', but the first two must lie in [1, 3]"),
        ("a.qubo", "p qubo 0 3 0 1\n0 3 1\n", "line 2: '0 3 1', but the first two must lie in "
         "[0, 2]"),
        ("a.coo", "# vartype=SPIN\n0 -1 1\n", "line 2: '0 -1 1', but the first two must lie in "
         "[0, 2147483647]"),
        ("g.txt", "3 2\n1 2 1\n1.5 2 1\n", "line 3: '1.5 2 1', but the first two must be integers"),
        ("g.txt", "3 1\nnan 2 1\n", "line 2: 'nan 2 1', but the first two must be integers"),
        ("g.txt", "3 1\ninf 2 1\n", "line 2: 'inf 2 1', but the first two must lie in"),
        ("g.txt", "3 2\n1 2 1\n1 three 1\n", "line 3: '1 three 1', but must be two integers and a"),
        ("g.txt", "3 2\n1 2 1\n1 3 1 1\n", "line 3: '1 3 1 1', but must be two integers and a"),
        ("g.txt", "3 2\n1 2 1\n1\n", "line 3: '1', but must be two integers and a number"),
        ("g.sparse", "3 1\n1 2\n", "line 2: '1 2', but must be two integers and a number"),
        ("g.txt", f"3 1\n1 {'x' * 99}\n", f"line 2: '1 {'x' * 58}...', but must be"),
        ("g.txt", "3 1\n1 2 nan\n", "line 2: '1 2 nan', but the third must be finite"),
        ("g.sparse", "3 2\n1 1 1\n1 2 -inf\n", "line 3: '1 2 -inf', but the third must be finite"),
        ("a.coo", "# vartype=SPIN\n0 1 1e999\n", "line 2: '0 1 1e999', but the third must be fin"),
        ("g.mc", "3 1\n2 2 1\n", "line 2: '2 2 1', but an edge must join two vertices"),
        ("a.qubo", "p qubo 0 3 0 1\n1 0 1\n", "line 2: '1 0 1', but the first must not exceed"),
        ("g.txt", "3 3\n1 2\n1 3\n2 1\n", "line 4: '2 1', but a pair must be listed only once"),
        ("g.sparse", "3 2\n1 1 1\n1 1 1\n", "line 3: '1 1 1', but a pair must be listed only"),
        ("a.qubo", "p qubo 0 3 2 0\n1 1 1\n1 1 2\n", "line 3: '1 1 2', but a pair must be listed"),
        # Variables' types
        ("a.coo", "0 1 1\n", "a.coo has 'no vartype', but must have a line '# vartype=BINARY' or"),
        ("a.txt", "0 1 1\n", "a.txt has 'no vartype', but must have a line '# vartype=BINARY' or"),
        ("a.coo", "# vartype=INTEGER\n0 1 1\n", "a.coo has '# vartype=INTEGER', but must have"),
        ("a.coo", "# vartype=SPIN\n", "a.coo has no variables, but must have at least 1"),
        # dimod's own
        ("a.json", "{", "a.json is not a model that dimod wrote"),
        ("a.json", "{}", "a.json is not a model that dimod wrote"),
        ("a.json", json.dumps({**MODEL.to_serializable(), "quadratic_head": [-1, 0]}),
         "quadratic_head has -1, which is no variable's index"),
        ("a.json", json.dumps({**MODEL.to_serializable(), "quadratic_tail": [1, 3]}),
         "quadratic_tail has 3, which is no variable's index"),
        ("a.json", json.dumps({**MODEL.to_serializable(), "offset": math.nan}),
         "a.json has a bias of nan, but biases must be finite"),
        ("a.json", json.dumps({**MODEL.to_serializable(), "linear_biases": [1, -math.inf, 0]}),
         "a.json has a bias of -inf, but biases must be finite"),
        ("a.json", json.dumps(dimod.BinaryQuadraticModel("SPIN").to_serializable()),
         "a.json has no variables, but must have at least 1"),
        ("a", to_bytes(MODEL)[:-100], "a is not a model that dimod wrote"),
        ("a", b"DIMODBQM", "a is not a model that dimod wrote"),
        ("a", to_bytes(dimod.ConstrainedQuadraticModel()), "a is not a model that dimod"),
    ],
)  # fmt: skip
def test_malformed(tmp_path, name, content, message):
    path = write(tmp_path / name, content)
    with pytest.raises(ValueError) as info:  # noqa: PT011
        formats.read(path)
    assert str(info.value).startswith(str(path))
    assert message in str(info.value)


def test_a_missing_file():
    with pytest.raises(FileNotFoundError, match="no-such-file"):
        formats.read(Path("no-such-file"))


def test_no_negative_zero(tmp_path):
    instance = formats.read(write(tmp_path / "g.txt", "2 1\n1 2\n"))
    assert math.copysign(1, instance.objective(instance.bqm.energy({1: 1, 2: 1}))) == 1


def instances():
    """The folder of shared instances."""
    folder = os.environ.get("QPSBGD_DATA")
    if not folder:
        pytest.skip("QPSBGD_DATA is not set")
    path = Path(folder) / "instances"
    if not path.is_dir():
        pytest.skip(f"QPSBGD_DATA is {folder!r}, which holds no instances")
    return path


@pytest.mark.parametrize(
    ("folder", "format", "count"),
    [("gset", "rudy", 20), ("bqp", "qubo", 40), ("gka", "biqmac", 45), ("be", "biqmac", 10)],
)
def test_all_instances_are_told_and_read(folder, format, count):
    paths = sorted((instances() / folder).iterdir())
    assert len(paths) == count
    for path in paths:
        instance = formats.read(path)
        assert instance.format == format
        words = next(
            line.split() for line in path.read_text().splitlines() if not line.startswith("c")
        )
        assert instance.bqm.num_variables == int(words[-2 if folder != "bqp" else 3])


def test_a_graph_has_its_edges():
    instance = formats.read(instances() / "gset" / "G11.txt")
    assert instance.bqm.shape == (800, 1600)
    assert set(np.abs(list(instance.bqm.quadratic.values()))) == {0.5}
