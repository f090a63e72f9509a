"""Readers of matrices: SciPy's .npz and Matrix Market's .mtx.

The objective of a matrix A is x'Ax over x in {0, 1}^n. An entry counts as often as the matrix has
it. SciPy is not used, as its constructors do not check the indices of a damaged file.
"""

import io
import zipfile
import zlib
from pathlib import Path
from typing import Any

import dimod
import numpy as np
import numpy.typing as npt

from qpsbgd.formats import comments
from qpsbgd.formats.lines import Lines
from qpsbgd.formats.model import (
    VARIABLES_LIMIT,
    Indices,
    Weights,
    check_num_variables,
    make_model,
)

BANNER = "%%MatrixMarket"
Entries = tuple[Indices, Indices, Weights]


def read_npz(path: Path, content: bytes) -> dimod.BinaryQuadraticModel:
    """Read a matrix that ``scipy.sparse.save_npz`` wrote in the format coo, csr, csc, bsr or dia.

    Raises:
        ValueError: the archive is damaged, or does not hold a square, real and finite sparse
            matrix.
    """
    try:
        arrays = _arrays(content)
        if "format" not in arrays:
            raise ValueError("it has no array 'format', so it is no sparse matrix of SciPy")
        name = arrays["format"].item() if arrays["format"].size == 1 else None
        name = name.decode("ascii", errors="replace") if isinstance(name, bytes) else name
        readers: dict[Any, Any] = {
            "coo": _coo, "csr": _compressed, "csc": _compressed, "bsr": _blocks, "dia": _diagonals
        }  # fmt: skip
        if name not in readers:
            raise ValueError(f"its format is {name!r}, but must be one of {', '.join(readers)}")
        shape = _integers(arrays, "shape")
        if shape.shape != (2,) or shape[0] != shape[1] or not 1 <= shape[0] < VARIABLES_LIMIT:
            raise ValueError(f"its shape is {tuple(shape.tolist())}, but must be square")
        n = int(shape[0])
        i, j, weights = readers[name](arrays, n)
        if name == "csc":
            i, j = j, i
        for index in (i, j):
            if len(index) and not (index.min() >= 0 and index.max() < n):
                raise ValueError(f"an index does not lie in [0, {n})")
        if not np.isfinite(weights).all():
            raise ValueError(f"an entry is {weights[~np.isfinite(weights)][0]}, but must be finite")
        check_num_variables(n, i, j, ValueError)
    except (ValueError, KeyError, OSError, EOFError, NotImplementedError, RuntimeError) as error:
        raise ValueError(f"{path} is no sparse matrix of SciPy: {error}") from error
    except (zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    return make_model(n, i, j, weights, dimod.BINARY, range(n))


def _arrays(content: bytes) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays of an .npz file; check their sizes before allocating memory."""
    arrays = {}
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for member in archive.infolist():
            if member.file_size > 2000 * len(content):  # deflate shrinks at most 1032 times
                raise ValueError(f"{member.filename!r} claims {member.file_size} bytes")
            file = io.BytesIO(archive.read(member))  # checks the checksum
            version = np.lib.format.read_magic(file)
            header = {
                (1, 0): np.lib.format.read_array_header_1_0,
                (2, 0): np.lib.format.read_array_header_2_0,
            }.get(version)
            if header is None:
                raise ValueError(f"{member.filename!r} has version {version} of the npy format")
            shape, fortran, dtype = header(file)
            if dtype.hasobject:
                raise ValueError(f"{member.filename!r} has Python objects")
            data = file.read()
            size = int(np.prod([int(s) for s in shape], dtype=object)) if shape else 1
            if size < 0 or size * dtype.itemsize != len(data):
                raise ValueError(f"{member.filename!r} has not the size that its header says")
            array = np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")
            arrays[member.filename.removesuffix(".npy")] = array
    return arrays


def _integers(arrays: dict[str, npt.NDArray[Any]], name: str) -> Indices:
    array = arrays[name]
    if array.dtype.kind not in "iu":
        raise ValueError(f"its {name} is of type {array.dtype}, but must be of integers")
    if array.dtype.kind == "u" and array.size and array.max() > np.iinfo(np.int64).max:
        raise ValueError(f"its {name} has {array.max()}, which is too large")
    return array.astype(np.int64)


def _data(arrays: dict[str, npt.NDArray[Any]], ndim: int) -> Weights:
    array = arrays["data"]
    if array.dtype.kind not in "iufb" or array.ndim != ndim:
        raise ValueError(
            f"its data are of type {array.dtype} and {array.ndim} dimensions, but must be real "
            f"numbers in {ndim}"
        )
    return array.astype(np.float64)


def _coo(arrays: dict[str, npt.NDArray[Any]], n: int) -> Entries:
    weights = _data(arrays, 1)
    if "coords" in arrays:
        coords = _integers(arrays, "coords")
        if coords.ndim != 2 or len(coords) != 2:
            raise ValueError(f"its coords have shape {coords.shape}, but must have two rows")
        i, j = coords
    else:
        i, j = _integers(arrays, "row"), _integers(arrays, "col")
    if not i.shape == j.shape == weights.shape:
        raise ValueError("its row, col and data differ in length")
    return i, j, weights


def _compressed(arrays: dict[str, npt.NDArray[Any]], n: int) -> Entries:
    weights = _data(arrays, 1)
    return (*_rows(arrays, n, weights), weights)


def _rows(arrays: dict[str, npt.NDArray[Any]], n: int, data: Weights) -> tuple[Indices, Indices]:
    """Return the row and the column of each stored entry or block."""
    starts, indices = _integers(arrays, "indptr"), _integers(arrays, "indices")
    if starts.shape != (n + 1,) or starts[0] != 0 or (np.diff(starts) < 0).any():
        raise ValueError(f"its indptr must be {n + 1} ascending numbers from 0")
    if indices.shape != (len(data),) or starts[-1] != len(data):
        raise ValueError("its indptr, indices and data differ in length")
    return np.repeat(np.arange(n, dtype=np.int64), np.diff(starts)), indices


def _blocks(arrays: dict[str, npt.NDArray[Any]], n: int) -> Entries:
    weights = _data(arrays, 3)  # (blocks, height, width)
    _, height, width = weights.shape
    if not height or not width or n % height or n % width:
        raise ValueError(f"its blocks are {height} x {width}, which does not divide {n}")
    i, j = _rows(arrays, n // height, weights)
    if len(j) and not (j.min() >= 0 and j.max() < n // width):
        raise ValueError("a block's index is out of range")
    rows = (i * height)[:, None, None] + np.arange(height)[:, None] + np.zeros(width, np.int64)
    columns = (j * width)[:, None, None] + np.zeros((height, 1), np.int64) + np.arange(width)
    return rows.ravel(), columns.ravel(), weights.ravel()


def _diagonals(arrays: dict[str, npt.NDArray[Any]], n: int) -> Entries:
    weights, offsets = _data(arrays, 2), _integers(arrays, "offsets")
    if offsets.shape != (len(weights),) or len(np.unique(offsets)) != len(offsets):
        raise ValueError("its offsets must be one different number for each row of data")
    if len(offsets) and not (-n < offsets.min() and offsets.max() < n):
        raise ValueError(f"its offsets must lie between -{n} and {n}")
    columns = np.broadcast_to(np.arange(weights.shape[1]), weights.shape)
    rows = columns - offsets[:, None]  # data[k, j] is the entry (j - offsets[k], j)
    inside = (rows >= 0) & (rows < n) & (columns < n) & (weights != 0)
    return rows[inside], columns[inside], weights[inside]


def read_mtx(lines: Lines) -> dimod.BinaryQuadraticModel:
    """Read a Matrix Market file.

    Raises:
        ValueError: the file breaks a rule of the format, or its matrix is not square and real.
    """
    words = lines.text.split("\n", 1)[0].split()
    if len(words) != 5 or words[0] != BANNER or words[1].lower() != "matrix":
        rule = f"must be '{BANNER} matrix coordinate|array real|integer general|symmetric'"
        raise lines.line_error(1, rule)
    layout, field, symmetry = (word.lower() for word in words[2:])
    for word, choices in (
        (layout, ("coordinate", "array")),
        (field, ("real", "integer", "double")),
        (symmetry, ("general", "symmetric")),
    ):
        if word not in choices:
            raise lines.line_error(1, f"{word!r} must be one of {', '.join(choices)}")
    del lines.comments[0]  # the banner
    comments.read_numbers(lines, (), "mtx")
    number = 3 if layout == "coordinate" else 2
    rule = "must be the numbers of rows, columns" + (" and entries" if number == 3 else "")
    n, num_columns, *counts = lines.counts(0, number, rule)
    if num_columns != n:
        raise lines.error(0, "the matrix must be square")
    if layout == "array":
        i, j, weights = _dense(lines, n, symmetry == "symmetric")
    else:
        lines.check_count(0, counts[0], len(lines) - 1, "entries")
        i, j, weights = lines.entries(1, 1, n, unique=symmetry == "symmetric")
        if symmetry == "general":
            lines.check_unique(1, i * n + j, "an entry must be listed only once")
        check_num_variables(n, i, j, lambda rule: lines.error(0, rule))
    if symmetry == "symmetric":
        weights[i != j] *= 2  # an entry stands for its mirror image too
    return make_model(n, i, j, weights, dimod.BINARY, range(1, n + 1))


def _dense(lines: Lines, n: int, symmetric: bool) -> Entries:
    """Return entries listed by columns; a symmetric matrix lists its lower triangle alone."""
    size = n * (n + 1) // 2 if symmetric else n * n
    lines.check_count(0, size, len(lines) - 1, "entries")
    weights = lines.column(1)
    if symmetric:
        j, i = np.triu_indices(n)  # by columns of the lower triangle
    else:
        j, i = (index.ravel() for index in np.indices((n, n)))
    stored = weights != 0
    return i[stored].astype(np.int64), j[stored].astype(np.int64), weights[stored]
