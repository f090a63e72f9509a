"""Damaged files of problems: one line of error, and never another problem."""

import bz2
import gzip
import io
import json
import lzma
import struct

import dimod
import numpy as np
import pytest

pytest.importorskip("click")
pytest.importorskip("tqdm")

from commands import run_process
from qpsbgd import formats

MODEL = dimod.generators.gnm_random_bqm(30, 100, "BINARY", random_state=1)
LABELLED = dimod.BinaryQuadraticModel(
    {"a": 1.5, "b": -1}, {("a", "b"): -1, ("b", ("c", 1)): 2}, 0.25, "SPIN"
)
BQPJSON = {
    "version": "1.0.0", "id": 3, "metadata": {}, "variable_ids": [7, 2], "variable_domain": "spin",
    "scale": 2.5, "offset": -1.0, "linear_terms": [{"id": 2, "coeff": 1.3}],
    "quadratic_terms": [{"id_tail": 2, "id_head": 7, "coeff": -0.2}],
}  # fmt: skip
RUDY = b"4 4\n1 2 3\n3 2 -1.5\n3 4 1\n4 1 2\n"


def to_bytes(model, version=2):
    with model.to_file(version=version) as file:
        return file.read()


def npz():
    rng = np.random.default_rng(3)
    rows = np.sort(rng.integers(20, size=60))
    file = io.BytesIO()
    np.savez_compressed(
        file, format=b"csr", shape=(20, 20), data=rng.normal(size=60),
        indices=rng.integers(20, size=60), indptr=np.searchsorted(rows, np.arange(21)),
    )  # fmt: skip
    return file.getvalue()


#: Formats with a checksum, or that hold each coupling twice: a change of any byte is noticed, but
#: for those of linear biases, offsets and labels of .bqm files.
CHECKED = {
    "a.rudy.gz": gzip.compress(RUDY), "a.rudy.xz": lzma.compress(RUDY),
    "a.rudy.bz2": bz2.compress(RUDY), "a.npz": npz(),
}  # fmt: skip
UNCHECKED = {
    "a.rudy": RUDY,
    "a.qubo": b"p qubo 0 4 2 3\n0 0 3.5\n2 2 -1\n0 1 2\n1 3 -4\n2 3 1e-1\n",
    "a.qs": b"# ObjectiveOffset 5\n3 3\n1 1 -1\n1 2 -3\n2 3 4\n",
    "a.mtx": b"%%MatrixMarket matrix coordinate real symmetric\n2 2 2\n1 1 -3\n2 1 2\n",
    "a.coo": b"# vartype=SPIN\n0 0 1.5\n0 7 -2\n7 3 1e-05\n",
    "a.json": json.dumps(LABELLED.to_serializable()).encode(),
    "b.json": json.dumps(BQPJSON).encode(),
    "a.bqm": to_bytes(LABELLED), "b.bqm": to_bytes(LABELLED, 1), "c.bqm": to_bytes(MODEL),
}  # fmt: skip


def damaged(rng, content):
    """Some bytes changed, removed, inserted or replaced by a number, or the end cut off."""
    for _ in range(rng.integers(1, 4)):
        at, size = int(rng.integers(len(content) + 1)), int(rng.integers(1, 12))
        number = [-1, 0, 1, 2**31 - 1, 2**40, 2**62][rng.integers(6)]
        word = [b"0", b"-1", b"nan", b"1e999", b"9" * 30, b"#", b"\0", b"[", b","][rng.integers(9)]
        content = [
            content[:at] + bytes([rng.integers(256)]) + content[at + 1 :],
            content[:at],
            content[:at] + content[at + size :],
            content[:at] + rng.bytes(size) + content[at:],
            content[:at] + struct.pack("<q", number) + content[at + 8 :],
            content[:at] + struct.pack("<i", int(np.int64(number).astype(np.int32)))
            + content[at + 4 :],
            content[:at] + word + content[at:],
        ][rng.integers(7)]  # fmt: skip
    return content


@pytest.mark.parametrize("name", [*CHECKED, *UNCHECKED])
def test_random_damage(tmp_path, name):
    """Each damaged file is refused in one line, or is a whole and finite problem."""
    good = {**CHECKED, **UNCHECKED}[name]
    path = tmp_path / name
    path.write_bytes(good)
    expected = formats.read(path).bqm
    rng = np.random.default_rng(11)
    refused = 0
    for _ in range(150):
        path.write_bytes(damaged(rng, good))
        found, message = None, str(path)
        try:
            found = formats.read(path).bqm
        except ValueError as error:
            message = str(error)
            refused += 1
        assert str(path) in message
        assert "\n" not in message
        if found is not None:
            assert name in UNCHECKED or found == expected
            linear, (_, _, quadratic), offset = found.to_numpy_vectors()
            assert np.isfinite([*linear, *quadratic, offset]).all()
    assert refused > 75


def test_a_changed_neighbour_index(tmp_path):
    """Each index of each neighbour in turn; dimod's reader crashes the process at some."""
    content = to_bytes(MODEL)
    n, m = MODEL.shape
    start = len(content) - 2 * m * 12  # of (int32, float64), without labels behind them
    path = tmp_path / "a.bqm"
    for k in range(2 * m):
        at = start + 12 * k
        (old,) = struct.unpack_from("<i", content, at)
        for new in (-1, old - 1, old + 1, n, 2**31 - 1):
            changed = bytearray(content)
            struct.pack_into("<i", changed, at, new)
            path.write_bytes(changed)
            with pytest.raises(ValueError, match="is not a model that dimod wrote: ") as info:
                formats.read(path)
            assert str(info.value).startswith(str(path))


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("labels", ["numbers", "strings"])
def test_a_bqm_cut_short(tmp_path, version, labels):
    model = MODEL.copy()
    if labels == "strings":
        model.relabel_variables({v: f"x{v}" for v in model.variables})
    content = to_bytes(model, version)
    path = tmp_path / "a.bqm"
    path.write_bytes(content)
    assert formats.read(path).bqm == model
    for size in range(0, len(content.rstrip(b" ")) - 1, 37):
        path.write_bytes(content[:size])
        with pytest.raises(ValueError, match=r"a\.bqm"):
            formats.read(path)


def with_header(**changed):
    """A .bqm file with a changed header."""
    header = {
        "dtype": "float64", "itype": "int32", "ntype": "int32", "shape": [1, 0],
        "type": "BinaryQuadraticModel", "variables": False, "vartype": "SPIN", **changed,
    }  # fmt: skip
    text = json.dumps(header).encode()
    body = struct.pack("<did", 0.5, 0, 1.5)[:8] + struct.pack("<id", 0, 1.5)
    return b"DIMODBQM\x02\x00" + struct.pack("<I", len(text)) + text + body


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (with_header(shape=[10**9, 0]), "it ends within its linear biases"),
        (with_header(shape=[1, 2**60]), "it ends within its couplings"),
        (with_header(shape=[1, -1]), "shape is [1, -1], but must be the numbers of variables"),
        (with_header(shape="x"), "shape is 'x', but must be"),
        (with_header(dtype="object"), "dtype is 'object', but must be one of float32, float64"),
        (with_header(itype="float64"), "itype is 'float64', but must be one of int16"),
        (with_header(vartype="INTEGER"), "vartype is 'INTEGER', but must be 'SPIN' or 'BINARY'"),
        (with_header(variables=["a", "b"]), "has 2 labels, but must have 1"),
        (with_header(variables=True), "it ends within its labels"),
        (with_header(variables=[None]), "has the label None, but labels must be strings or num"),
        (with_header() + b"x", "bytes follow its end"),
        (b"DIMODBQM\x07\x00" + bytes(60), "its version is (7, 0), but must be (1, 0) or (2, 0)"),
        (b"DIMODBQM\x02\x00\xff\xff\xff\xff{}", "it ends within its header"),
        (b"DIMODQM_" + bytes(60), "it starts with b'DIMODQM_', not b'DIMODBQM'"),
        (b"XIMODBQM\x02\x00", "it starts with b'XIMODBQM', not b'DIMODBQM'"),
    ],
)
def test_damaged_headers(tmp_path, content, message):
    path = tmp_path / "a.bqm"
    path.write_bytes(content)
    with pytest.raises(ValueError) as info:  # noqa: PT011
        formats.read(path)
    assert str(info.value).startswith(str(path))
    assert message in str(info.value)


def test_the_unchanged_header_is_read(tmp_path):
    path = tmp_path / "a.bqm"
    path.write_bytes(with_header())
    assert formats.read(path).bqm == dimod.BinaryQuadraticModel({0: 1.5}, {}, 0.5, "SPIN")


def neighbour_of_none():
    content = bytearray(to_bytes(MODEL))
    struct.pack_into("<i", content, len(content) - 12, 2**30)
    return bytes(content)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.bqm", neighbour_of_none(), "a neighbour's index is 1073741824, but must lie in"),
        ("a.qubo", b"p qubo 0 999999999 1 0\n0 0 1", "entries name only 1 of 999999999 variables"),
        ("a.npz", npz()[:-30], "a.npz is damaged: File is not a zip file"),
        ("a.rudy.xz", lzma.compress(RUDY)[:-8], "a.rudy.xz is damaged"),
        ("a.lp", b"Maximize\n obj: x\n", "is in none of the formats that are known (rudy, qubo"),
    ],
    ids=["bqm", "billion", "npz", "xz", "lp"],
)  # fmt: skip
def test_the_command_line_takes_one_line(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content)
    done = run_process(
        "solve", path, expect=2
    )  # a process of its own, which a wrong index would end
    assert message in done.stderr
    assert done.stderr.startswith("Error: ")
    assert str(path) in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""
