"""Readers of dimod's files: the JSON of ``to_serializable`` and the bytes of ``to_file``.

dimod's own readers do not check indices: a wrong index crashes the process or changes the model.
These readers decode the documented layouts and pass checked arrays to dimod.
"""

import json
import struct
from pathlib import Path
from typing import Any

import dimod
import numpy as np
import numpy.typing as npt

from qpsbgd.formats.json_documents import Document, is_integer, is_number
from qpsbgd.formats.model import Indices, Weights

MAGIC = b"DIMODBQM"
BIAS_TYPES = ("float32", "float64")
INDEX_TYPES = ("int16", "int32", "int64", "uint16", "uint32", "uint64")
VARTYPES = {"SPIN": dimod.SPIN, "BINARY": dimod.BINARY}


def read_json(document: Document) -> dimod.BinaryQuadraticModel:
    """Read the JSON of ``BinaryQuadraticModel.to_serializable()``, schema 2 or 3.

    Raises:
        ValueError: the document is not such a model, or its members contradict each other.
    """
    path = document.path
    if document.members.get("type") != "BinaryQuadraticModel":
        raise document.error("type", "must be 'BinaryQuadraticModel'")
    version = document["version"]
    schema = version.get("bqm_schema") if isinstance(version, dict) else None
    if not isinstance(schema, str) or schema.split(".")[0] not in ("2", "3"):
        raise document.error("version", "must be {'bqm_schema': '3.0.0'}")
    if document["use_bytes"] is not False:
        raise document.error("use_bytes", "must be false")
    linear = document.weights("linear_biases")
    quadratic = document.weights("quadratic_biases")
    n, ends = len(linear), []
    for name in ("quadratic_head", "quadratic_tail"):
        for index in document.list(name):
            if not is_integer(index) or not 0 <= index < n:
                raise ValueError(f"{path}: {name} has {index!r}, which is no variable's index")
        ends.append(np.array(document[name], np.int64))
    head, tail = ends
    for name, size in (("num_variables", n), ("num_interactions", len(quadratic))):
        if document.members.get(name, size) != size:
            raise document.error(name, f"the file has {size}")
    if not len(head) == len(tail) == len(quadratic):
        raise ValueError(
            f"{path} has {len(head)} quadratic_head, {len(tail)} quadratic_tail and "
            f"{len(quadratic)} quadratic_biases, but must have as many of each"
        )
    vartype = document["variable_type"]
    if not isinstance(vartype, str) or vartype not in VARTYPES:
        raise document.error("variable_type", "must be 'SPIN' or 'BINARY'")
    labels = _labels(path, document["variable_labels"], n)
    _check_pairs(path, head, tail, n)
    return dimod.BinaryQuadraticModel.from_numpy_vectors(
        linear,
        (head, tail, quadratic),
        document.number("offset"),
        VARTYPES[vartype],
        variable_order=labels,
    )


def read_bytes(path: Path, content: bytes) -> dimod.BinaryQuadraticModel:
    """Read the bytes of ``BinaryQuadraticModel.to_file()``, version 1 or 2.

    Raises:
        ValueError: the bytes do not have that layout.
    """
    if not content.startswith(MAGIC):
        raise _error(path, f"it starts with {content[:8]!r}, not {MAGIC!r}")
    cursor = _Cursor(path, content, len(MAGIC))
    version = tuple(cursor.take(2, "version"))
    if version not in ((1, 0), (2, 0)):
        raise _error(path, f"its version is {version}, but must be (1, 0) or (2, 0)")
    (header_size,) = struct.unpack("<I", cursor.take(4, "header"))
    header = Document(path, cursor.take(header_size, "header"))
    shape, types = header["shape"], {}
    if (
        not isinstance(shape, list)
        or len(shape) != 2
        or not all(is_integer(size) and size >= 0 for size in shape)
    ):
        raise header.error("shape", "must be the numbers of variables and interactions")
    for name, choices in (("dtype", BIAS_TYPES), ("itype", INDEX_TYPES), ("ntype", INDEX_TYPES)):
        if not isinstance(header[name], str) or header[name] not in choices:
            raise header.error(name, f"must be one of {', '.join(choices)}")
        types[name] = np.dtype(header[name]).newbyteorder("<")
    if not isinstance(header["vartype"], str) or header["vartype"] not in VARTYPES:
        raise header.error("vartype", "must be 'SPIN' or 'BINARY'")

    n, num_interactions = shape
    bias = types["dtype"]
    offset = cursor.array(1, bias, "offset")
    linear = cursor.array(n, np.dtype([("start", types["ntype"]), ("bias", bias)]), "linear biases")
    pairs = cursor.array(
        2 * num_interactions, np.dtype([("other", types["itype"]), ("bias", bias)]), "couplings"
    )
    labels: Any = header["variables"]
    if version == (2, 0) and labels is True:
        if cursor.take(4, "labels") != b"VARS":
            raise _error(path, "its labels do not start with b'VARS'")
        (size,) = struct.unpack("<I", cursor.take(4, "labels"))
        try:
            labels = json.loads(cursor.take(size, "labels").decode("ascii"))
        except (ValueError, RecursionError) as error:
            raise _error(path, f"its labels are no JSON: {error}") from error
    elif labels is False or labels == []:
        labels = list(range(n))
    if cursor.rest().strip(b" \n\0"):
        raise _error(path, "bytes follow its end")

    rows, columns, biases = _lower_triangle(path, linear["start"], pairs, n)
    checked = [_finite(path, b) for b in (linear["bias"], biases, offset)]
    return dimod.BinaryQuadraticModel.from_numpy_vectors(
        checked[0],
        (rows, columns, checked[1]),
        checked[2][0],
        VARTYPES[header["vartype"]],
        variable_order=_labels(path, labels, n),
    )


class _Cursor:
    """Reader that takes bytes from the front of a file's content."""

    def __init__(self, path: Path, content: bytes, position: int) -> None:
        self._path, self._content, self._position = path, content, position

    def take(self, size: int, what: str) -> bytes:
        if size > len(self._content) - self._position:
            raise _error(self._path, f"it ends within its {what}")
        self._position += size
        return self._content[self._position - size : self._position]

    def array(self, size: int, dtype: Any, what: str) -> npt.NDArray[Any]:
        return np.frombuffer(self.take(size * dtype.itemsize, what), dtype)

    def rest(self) -> bytes:
        return self._content[self._position :]


def _lower_triangle(
    path: Path, starts: npt.NDArray[Any], pairs: npt.NDArray[Any], n: int
) -> tuple[Indices, Indices, Weights]:
    """Return each coupling once; the file stores it in the neighbourhoods of both variables."""
    ends = np.append(starts.astype(np.float64), len(pairs))  # exact below 2**53, and no overflow
    if n and (ends[0] != 0 or (np.diff(ends) < 0).any()):
        raise _error(path, "its neighbourhoods do not follow one another")
    if not n and len(pairs):
        raise _error(path, "it has couplings, but no variables")
    rows: Indices = np.repeat(np.arange(n, dtype=np.int64), np.diff(ends).astype(np.int64))
    others = pairs["other"].astype(np.float64)
    if (bad := others[~((others >= 0) & (others < n))]).size:
        raise _error(path, f"a neighbour's index is {bad[0]:.0f}, but must lie in [0, {n})")
    columns: Indices = others.astype(np.int64)
    keys = rows * n + columns
    if (rows == columns).any() or (np.diff(keys) <= 0).any():
        raise _error(path, "its neighbours are not in ascending order")
    lower, upper = rows > columns, rows < columns
    # Sorted by the larger index, then by the smaller: the order of the lower triangle.
    order = np.argsort(columns[upper] * n + rows[upper], kind="stable")
    biases = pairs["bias"]
    if not np.array_equal(keys[lower], (columns[upper] * n + rows[upper])[order]) or (
        biases[lower].tobytes() != biases[upper][order].tobytes()
    ):
        raise _error(path, "the two directions of a coupling differ")
    return rows[lower], columns[lower], biases[lower].astype(np.float64)


def _labels(path: Path, labels: Any, n: int) -> list[Any]:
    """Return the labels of n variables; lists become tuples."""
    if not isinstance(labels, list) or len(labels) != n:
        found = len(labels) if isinstance(labels, list) else repr(labels)
        raise ValueError(f"{path} has {found} labels, but must have {n}")
    made = [_label(path, label) for label in labels]
    if len(set(made)) != n:
        raise ValueError(f"{path} has two variables of one label, but labels must differ")
    return made


def _label(path: Path, label: Any) -> Any:
    if isinstance(label, list):
        return tuple(_label(path, part) for part in label)
    if isinstance(label, str) or (is_number(label) and np.isfinite(float(label))):
        return label
    raise ValueError(f"{path} has the label {label!r}, but labels must be strings or numbers")


def _check_pairs(path: Path, head: Indices, tail: Indices, n: int) -> None:
    if (head == tail).any():
        raise ValueError(f"{path} couples a variable with itself")
    keys = np.minimum(head, tail) * n + np.maximum(head, tail)
    if len(np.unique(keys)) != len(keys):
        raise ValueError(f"{path} couples two variables more than once")


def _finite(path: Path, biases: npt.NDArray[Any]) -> Weights:
    values = biases.astype(np.float64)
    if not np.isfinite(values).all():
        bad = values[~np.isfinite(values)][0]
        raise ValueError(f"{path} has a bias of {bad}, but biases must be finite")
    return values


def _error(path: Path, fault: str) -> ValueError:
    return ValueError(f"{path} is not a model that dimod wrote: {fault}")
