"""Files of problems: read as their formats say, or refused with the line that breaks a rule."""

import bz2
import gzip
import itertools
import json
import lzma
import math
import os
from pathlib import Path

import dimod
import numpy as np
import pytest
from dimod.serialization import coo

from qpsbgd import formats

RUDY = "4 4\n1 2 3\n3 2 -1.5\n\n3 4 1\n4 1 2 \n"
QUBO = "c a comment\np qubo 0 4 2 3\n0 0 3.5\n2 2 -1\nc couplers\n0 1 2\n1 3 -4\nC\n2 3 1e-1\n"
BIQMAC = "4 5\n1 1 -3\n2 2 1\n1 2 2\n4 3 -1\n2 4 .5\n"
COO = "# vartype=BINARY\n0 0 1.5\n0 7 -2\n7 3 1e-05\n3 3 1\n3 3 1\n7 0 -1\n"
QS = "# ObjectiveOffset -2.5\n# Vars Non-zeros\n4 4\n1 1 -3\n1 2 2\n3 2 -1.5\n4 4 2\n"
BQPJSON = {
    "version": "1.0.0", "id": 3, "metadata": {"generated": "by hand"}, "variable_ids": [7, 2, 4],
    "variable_domain": "spin", "scale": 2.5, "offset": -1.0,
    "linear_terms": [{"id": 2, "coeff": 1.3}, {"id": 7, "coeff": -0.7}],
    "quadratic_terms": [
        {"id_tail": 2, "id_head": 4, "coeff": -0.2}, {"id_tail": 2, "id_head": 7, "coeff": 1.5},
        {"id_tail": 7, "id_head": 2, "coeff": 0.25},
    ],
    "description": "a scale of 3 is no member", "solutions": [],
}  # fmt: skip
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


def qs(x):
    return -2.5 - 3 * x[1] + 4 * x[1] * x[2] - 3 * x[2] * x[3] + 2 * x[4]


def bqpjson(s):
    terms = 1.3 * s[2] - 0.7 * s[7] - 0.2 * s[2] * s[4] + 1.75 * s[2] * s[7]
    return 2.5 * (terms - 1)


def coordinates(x):
    return 1.5 * x[0] - 3 * x[0] * x[7] + 1e-5 * x[3] * x[7] + 2 * x[3]


EXAMPLES = [
    ("g.rudy", RUDY, "rudy", "maximise", cut, [1, 2, 3, 4]),
    ("a.qubo", QUBO, "qubo", "minimise", qubo, [0, 1, 2, 3]),
    ("a.sparse", BIQMAC, "biqmac", "minimise", biqmac, [1, 2, 3, 4]),
    ("a.qs", QS, "qs", "minimise", qs, [1, 2, 3, 4]),
    ("a.coo", COO, "coo", "minimise", coordinates, [0, 3, 7]),
    ("b.json", json.dumps(BQPJSON), "bqpjson", "minimise", bqpjson, [7, 2, 4]),
    ("b.json", json.dumps({**BQPJSON, "variable_domain": "boolean"}), "bqpjson", "minimise",
     bqpjson, [7, 2, 4]),
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
    assert instance.sense_source == ("format" if sense is None else "argument")
    assert list(instance.bqm.variables) == labels
    check_objective(instance, objective)


@pytest.mark.parametrize("module", [gzip, lzma, bz2])
@pytest.mark.parametrize(
    ("name", "content"), [e[:2] for e in EXAMPLES], ids=[e[0] for e in EXAMPLES]
)
def test_compression(tmp_path, module, name, content):
    suffix = {gzip: ".gz", lzma: ".xz", bz2: ".bz2"}[module]
    plain = formats.read(write(tmp_path / name, content))
    packed = write(tmp_path / f"{name}{suffix}", module.compress(plain.path.read_bytes()))
    assert formats.read(packed).bqm == plain.bqm
    assert formats.read(packed).format == plain.format
    write(packed, packed.read_bytes()[:-9])
    with pytest.raises(ValueError, match=rf"\{suffix} is damaged"):
        formats.read(packed)


@pytest.mark.parametrize("module", [gzip, lzma, bz2])
def test_no_stream_of_a_compressed_file_is_skipped(tmp_path, module):
    half = len(QS) // 2
    first, second = (module.compress(part.encode()) for part in (QS[:half], QS[half:]))
    path = write(tmp_path / "a.qs", first + second)
    assert formats.read(path).bqm == formats.read(write(tmp_path / "b.qs", QS)).bqm
    # Python's own readers ignore what follows the first stream if it is no stream.
    write(path, first + b"x" + second[1:])
    with pytest.raises(ValueError, match=r"a\.qs is damaged"):
        formats.read(path)


def test_offdiagonal_entries_of_qs_files_count_twice(tmp_path):
    """The case that was taken for Max-Cut: objective 4, maximised."""
    text = "# ObjectiveOffset 0\n3 2\n1 2 -3\n2 3 4\n"
    for name in ("nodiag.qs", "nodiag.txt", "nodiag"):
        instance = formats.read(write(tmp_path / name, text))
        assert (instance.format, instance.sense) == ("qs", "minimise")
        assert optimum(instance) == -6
    diagonal = text.replace("Offset 0", "Offset 100").replace("3 2\n", "3 3\n1 1 -1\n")
    assert optimum(formats.read(write(tmp_path / "diagonal.qs", diagonal))) == 93


def optimum(instance):
    bqm = instance.bqm
    states = itertools.product(sorted(bqm.vartype.value), repeat=bqm.num_variables)
    return instance.objective(min(bqm.energies((list(states), bqm.variables))))


def test_the_sense_is_never_guessed(tmp_path):
    path = write(tmp_path / "g.txt", "3 2\n1 2 -3\n2 3 4\n")
    with pytest.raises(ValueError, match=r"g\.txt may be a graph .* or a matrix .*--format"):
        formats.read(path)
    assert formats.read(path, "rudy").sense == "maximise"
    assert formats.read(path, "biqmac").sense == "minimise"
    reason = formats.read(write(tmp_path / "a.qubo", QUBO)).sense_reason
    assert reason.startswith("a qubo file does not state its sense")


@pytest.mark.parametrize(
    ("comment", "sense"),
    [
        ("ObjectiveSense maximize", "maximise"),
        ("sense: MAX", "maximise"),
        ("sense = minimise", "minimise"),
    ],
)
def test_a_header_states_the_sense(tmp_path, comment, sense):
    path = write(tmp_path / "a.qubo", f"c {comment}\n{QUBO}")
    instance = formats.read(path)
    assert (instance.sense, instance.sense_source) == (sense, "header")
    assert instance.sense_reason == "line 1 of the file says so"
    check_objective(instance, qubo)
    assert formats.read(path, sense="maximise").sense_source == "argument"


def test_a_comment_on_the_other_sense_asks_for_the_sense(tmp_path):
    path = write(tmp_path / "a.qubo", f"c to be maximized\n{QUBO}")
    with pytest.raises(ValueError, match=r"line 1: .* is to be minimised unless told: .*--maxim"):
        formats.read(path)
    for sense in formats.SENSES:
        check_objective(formats.read(path, sense=sense), qubo)
    write(path, f"c sense max\nc sense min\n{QUBO}")
    with pytest.raises(ValueError, match=r"line 2: .* line 1 states another sense"):
        formats.read(path)


def test_offset_and_scale_of_bqp2qubo(tmp_path):
    path = write(tmp_path / "a.qubo", f"c id : 4\nc scale : 2.5\nc offset : -3\n{QUBO}")
    check_objective(formats.read(path), lambda x: 2.5 * (qubo(x) - 3))


def test_the_program_in_the_comments_of_a_qs_file_is_none(tmp_path):
    program = (
        "# param scale := 10;\n# maximize profit: sum <i> in I: x[i];\n# SolutionCardinality 3\n"
    )
    assert formats.read(write(tmp_path / "a.qs", program + QS)).bqm == (
        formats.read(write(tmp_path / "b.qs", QS)).bqm
    )


@pytest.mark.parametrize(
    ("name", "comment", "content"),
    [
        ("a.rudy", "# offset 5", RUDY),
        ("a.rudy", "c Scale factor: 0.5", RUDY),
        ("a.qubo", "c constant = -1e3", QUBO),
        ("a.qubo", "c the energies are scaled by 4", QUBO),
        ("a.qubo", "c ObjectiveOffset 2", QUBO),
        ("a.sparse", "# ObjectiveOffset 2", BIQMAC),
        ("a.coo", "# offset=1.5", COO),
        ("a.qs", "# ObjectiveScale 2", QS),
        ("a.qs", "# ObjectivfOffset 2", QS),
        ("a.qs", "# ConstantTerm x", QS),
        ("a.qs", "# ObjectiveOffset# 2", QS),
        ("a.qs", "# Objective5", QS),
    ],
)
def test_a_comment_that_changes_the_value_is_not_skipped(tmp_path, name, comment, content):
    path = write(tmp_path / name, f"{comment}\n{content}")
    with pytest.raises(ValueError, match=r"line 1: .* format knows .*remove the line if"):
        formats.read(path)


@pytest.mark.parametrize(
    "comment", ["# scale-free graph of 20 vertices", "# seed 5", "c 12 constants", "# large-scale"]
)
def test_other_comments_are_skipped(tmp_path, comment):
    plain = formats.read(write(tmp_path / "a.rudy", RUDY))
    assert formats.read(write(tmp_path / "b.rudy", f"{comment}\n{RUDY}")).bqm == plain.bqm


def test_an_unknown_format_names_the_known_ones(tmp_path):
    known = "rudy, qubo, biqmac, qs, coo, dimod, bqpjson, npz, mtx"
    for name, content in (
        ("a.lp", "Maximize\n obj: x1 + 2 x2\n"), ("a.txt", "1 2 3\n"), ("a", b"\x89HDF\r\n\0"),
        ("a.json", '{"a": 1}'), ("a.txt", "# only a comment\n"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=rf"{name} is in none of the formats .*\({known}\)"):
            formats.read(write(tmp_path / name, content))


@pytest.mark.parametrize(
    ("name", "content", "format"),
    [
        ("g", "3 2\n1 2\n1 3\n", "rudy"),
        ("G1", "2 1\n1 2 3\n", "rudy"),
        ("G81.txt", "2 1\n1 2 3\n", "rudy"),
        ("g", "2 2\n1 1 3\n1 2 3\n", "biqmac"),
        ("g.bq", "2 1\n1 2 3\n", "biqmac"),
        ("g.mat.gz", "2 1\n1 2 3\n", "biqmac"),
        ("g.sparse", "2 1\n1 2 3\n", "biqmac"),
        ("g.sparse", "p qubo 0 2 0 1\n0 1 3\n", "qubo"),
        ("g.txt", "p qubo 0 2 0 1\n0 1 3\n", "qubo"),
        ("g.txt", "# vartype=SPIN\n0 1 3\n", "coo"),
        ("g.mc", "\ufeff2 1\r\n1 2 3\r\n", "rudy"),
        ("g.txt", "# a graph\n2 1\n1 2", "rudy"),
        ("g.qs", "2 1\n1 2 3\n", "qs"),
        ("g.txt", "# ObjectiveOffset 0\n2 1\n1 2 3\n", "qs"),
        ("g.txt", "# Vars Non-zeros\n2 1\n1 2 3\n", "qs"),
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
    with pytest.raises(
        ValueError, match="format is 'lp', but must be 'rudy' or 'qubo' or 'biqmac'"
    ):
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
        ("g.rudy", "", "g.rudy is empty"),
        ("g.rudy", " \n\n", "g.rudy is empty"),
        ("g.rudy.gz", gzip.compress(b"", mtime=0), "g.rudy.gz is empty"),
        ("g.rudy", "# only a comment\n", "g.rudy ends, but must be the numbers of vertices"),
        ("g.rudy", b"\xff\x00\x01", "g.rudy, line 1: '\ufffd"),
        # Headers
        ("g.rudy", "x y\n", "g.rudy, line 1: 'x y', but must be the numbers of vertices and edges"),
        ("g.rudy", "5\n", "line 1: '5', but must be the numbers of vertices and edges"),
        ("g.mc", "5 6 7\n", "line 1: '5 6 7', but must be the numbers of vertices and edges"),
        ("g.rudy", "-5 6\n", "line 1: '-5 6', but must be"),
        ("g.rudy", "5.5 6\n", "line 1: '5.5 6', but must be"),
        ("g.rudy", "0 0\n", "line 1: '0 0', but the first count must lie in [1, 2147483648)"),
        ("g.rudy", "2147483648 0\n", "the first count must lie in [1, 2147483648)"),
        ("g.sparse", "x\n", "line 1: 'x', but must be the numbers of variables and entries"),
        ("a.qubo", "p ising 0 2 0 1\n0 1 1\n", "line 1: 'p ising 0 2 0 1', but must be 'p qubo"),
        ("a.qubo", "p qubo 0 2 0\n0 1 1\n", "but must be 'p qubo 0 maxNodes nNodes nCouplers'"),
        ("a.qubo", "c\n0 1 1\n", "line 2: '0 1 1', but must be 'p qubo"),
        ("a.qubo", "p\n", "line 1: 'p', but must be 'p qubo"),
        # Counts
        ("g.rudy", "3 3\n1 2\n2 3\n", "line 1: '3 3', but the file has 2 edges, not 3"),
        ("g.rudy", "3 1\n1 2\n2 3\n", "line 1: '3 1', but the file has 2 edges, not 1"),
        ("g.rudy", "3 1\n", "the file has 0 edges, not 1"),
        ("g.sparse", "3 3\n1 1 2\n", "line 1: '3 3', but the file has 1 entries, not 3"),
        ("a.qubo", "c\np qubo 0 3 2 1\n0 0 1\n0 1 1\n", "line 2: 'p qubo 0 3 2 1', but the file "
         "has 1 nodes, not 2"),
        ("a.qubo", "p qubo 0 3 1 2\n0 0 1\n0 1 1\n", "the file has 1 couplers, not 2"),
        # Entries
        ("g.rudy", "3 2\n1 2\n\n2 4\n", "line 4: '2 4', but the first two must lie in [1, 3]"),
        ("g.rudy", "3 2\n1 2 1\n0 2 1\n", "line 3: '0 2 1', but the first two must lie in [1, 3]"),
        ("a.qubo", "p qubo 0 3 0 1\n0 3 1\n", "line 2: '0 3 1', but the first two must lie in "
         "[0, 2]"),
        ("a.coo", "# vartype=SPIN\n0 -1 1\n", "line 2: '0 -1 1', but the first two must lie in "
         "[0, 2147483647]"),
        ("g.rudy", "3 2\n1 2 1\n1.5 2 1\n", "line 3: '1.5 2 1', but the first two must be int"),
        ("g.rudy", "3 1\nnan 2 1\n", "line 2: 'nan 2 1', but the first two must be integers"),
        ("g.rudy", "3 1\ninf 2 1\n", "line 2: 'inf 2 1', but the first two must lie in"),
        ("g.rudy", "3 2\n1 2 1\n1 three 1\n", "line 3: '1 three 1', but must be two integers"),
        ("g.rudy", "3 2\n1 2 1\n1 3 1 1\n", "line 3: '1 3 1 1', but must be two integers and a"),
        ("g.rudy", "3 2\n1 2 1\n1\n", "line 3: '1', but must be two integers and a number"),
        ("g.sparse", "3 1\n1 2\n", "line 2: '1 2', but must be two integers and a number"),
        ("g.rudy", f"3 1\n1 {'x' * 99}\n", f"line 2: '1 {'x' * 58}...', but must be"),
        ("g.rudy", "3 1\n1 2 nan\n", "line 2: '1 2 nan', but the third must be finite"),
        ("g.sparse", "3 2\n1 1 1\n1 2 -inf\n", "line 3: '1 2 -inf', but the third must be finite"),
        ("a.coo", "# vartype=SPIN\n0 1 1e999\n", "line 2: '0 1 1e999', but the third must be fin"),
        ("g.mc", "3 1\n2 2 1\n", "line 2: '2 2 1', but an edge must join two vertices"),
        ("a.qubo", "p qubo 0 3 0 1\n1 0 1\n", "line 2: '1 0 1', but the first must not exceed"),
        ("g.rudy", "3 3\n1 2\n1 3\n2 1\n", "line 4: '2 1', but a pair must be listed only once"),
        ("g.sparse", "3 2\n1 1 1\n1 1 1\n", "line 3: '1 1 1', but a pair must be listed only"),
        ("a.qubo", "p qubo 0 3 2 0\n1 1 1\n1 1 2\n", "line 3: '1 1 2', but a pair must be listed"),
        ("g.rudy", "3 2\n1 2 5\n2 3\n", "line 3: '2 3', but must be two integers and a number"),
        ("g.rudy", "3 2\n1 2\n2 3 5\n", "line 3: '2 3 5', but must be two integers, as the first"),
        ("g.rudy", "3 1\n1 2 1_000\n", "line 2: '1 2 1_000', but must be two integers and a num"),
        ("g.rudy", "3 1\n1 2 \u0663\n", "line 2: '1 2 \u0663', but must be two integers and"),
        ("g.rudy", "3 1\n1 2\r3\n", "line 2: '1 2\\r3', but a text must not have control ch"),
        ("g.rudy", f"3 {'9' * 5000}\n1 2\n", "but must be the numbers of vertices and edges"),
        # More variables than memory
        ("g.rudy", "1000000000 1\n1 2 1\n", "line 1: '1000000000 1', but the file's entries name "
         "only 2 of 1000000000 variables"),
        ("a.qubo", "p qubo 0 999999999 0 0\n", "entries name only 0 of 999999999 variables"),
        ("a.qs", "2000000000 0\n", "the file's entries name only 0 of 2000000000 variables"),
        # Statements
        ("a.qs", "# ObjectiveOffset x\n1 0\n", "line 1: '# ObjectiveOffset x', but ObjectiveOffset "
         "must be followed by a number"),
        ("a.qs", "# ObjectiveOffset\n1 0\n", "ObjectiveOffset must be followed by a number"),
        ("a.qs", "# ObjectiveOffset inf\n1 0\n", "ObjectiveOffset must be finite"),
        ("a.qs", "# ObjectiveOffset 1\n# ObjectiveOffset 1\n1 0\n", "line 2: '# ObjectiveOffset 1',"
         " but ObjectiveOffset must be given only once"),
        ("a.qs", "# Vars Non-zeros Offset\n2 1 5\n1 2 1\n", "line 2: '2 1 5', but must be the "
         "numbers of variables and entries"),
        ("a.qs", "WARNING: not connected\n2 1\n1 2 1\n", "line 1: 'WARNING: not connected', but"),
        ("a.qubo", "c scale : 0\np qubo 0 1 1 0\n0 0 1\n", "has a scale of 0.0, but it must be"),
        ("a.qubo", "c sense up\np qubo 0 1 1 0\n0 0 1\n", "line 1: 'c sense up', but the sense mu"),
        ("a.coo", "# vartype=SPIN\n0 1 1e308\n1 0 1e308\n", "a.coo has a bias of inf, but biases"),
        # Variables' types
        ("a.coo", "0 1 1\n", "a.coo has no vartype, but must have one line '# vartype=BINARY' or"),
        ("a.coo", "# vartype=SPIN\n# vartype=BINARY\n0 1 1\n",
         "a.coo has vartype=SPIN and vartype=BINARY, but must have one line"),
        ("a.coo", "# vartype=INTEGER\n0 1 1\n", "a.coo has vartype=INTEGER, but must have"),
        ("a.coo", "# vartype=SPIN\n", "a.coo has no variables, but must have at least 1"),
        # dimod's own
        ("a.json", "{", "a.json is not JSON"),
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
        # bqpjson
        *(
            ("b.json", json.dumps({**BQPJSON, **change}), message)
            for change, message in [
                ({"version": "2.0.0"}, "version is '2.0.0', but must be '1.0.0'"),
                ({"sense": "max"}, "has 'sense', which bqpjson 1.0.0 does not define"),
                ({"variable_domain": "integer"}, "but must be 'spin' or 'boolean'"),
                ({"scale": -1}, "scale is -1, but must not be negative"),
                ({"scale": "2"}, "scale has '2', but must have numbers"),
                ({"offset": math.inf}, "has a bias of inf, but biases must be finite"),
                ({"variable_ids": [2, 4, 7, 2]}, "an id must be listed only once"),
                ({"variable_ids": [2, True, 7]}, "variable_ids has True, but must have integers"),
                ({"variable_ids": [2, 4]}, "linear_terms has id 7, which variable_ids has not"),
                ({"linear_terms": [{"id": 2}]}, "but must have objects of coeff, id"),
                ({"linear_terms": [{"id": 2, "coeff": 1}] * 2}, "but its ids occurred before"),
                ({"linear_terms": {}}, "linear_terms is {}, but must be a list"),
                ({"quadratic_terms": [{"id_tail": 2, "id_head": 2, "coeff": 1}]}, "ids must"),
                ({"quadratic_terms": [{"id_tail": 2, "id_head": 4, "coeff": 1}] * 2}, "occurred"),
            ]
        ),
        ("b.json", '{"version": "1.0.0", "variable_ids": [1]}', "b.json has no 'variable_domain'"),
        ("b.json", json.dumps(BQPJSON)[:-1] + ', "offset": 2}', "'offset' occurs twice"),
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
    instance = formats.read(write(tmp_path / "g.mc", "2 1\n1 2\n"))
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
