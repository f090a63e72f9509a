"""Files of problems: what instance libraries and dimod write.

======  ========================================  ==============================  ========
format  first line                                then                            sense
======  ========================================  ==============================  ========
rudy    ``vertices edges``                        ``i j weight``, from 1          maximise
qubo    ``p qubo 0 maxNodes nNodes nCouplers``    ``i j q``, i <= j, from 0       minimise
biqmac  ``variables entries``                     ``i j q``, from 1               minimise
coo     ``# vartype=BINARY`` or ``SPIN``          ``i j bias``, from 0            minimise
dimod   JSON of ``to_serializable``, or bytes of ``to_file``                      minimise
======  ========================================  ==============================  ========

*rudy* is Max-Cut, as in the G-set: the objective is the weight of the cut, a missing weight is 1.
*qubo* is qbsolv's: an off-diagonal entry counts once. In *biqmac* an entry stands for ``q_ij`` and
``q_ji``, so that an off-diagonal one counts twice. To list a pair twice is an error but in *coo*,
where the biases add up, as dimod has it.

A .qubo file does not have its sense. qbsolv minimises unless told otherwise, and so does this
module; the OR-Library's bqp instances, which qbsolv ships as .qubo, are to be maximised.
"""

import gzip
import hashlib
import json
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import dimod
import numpy as np
import numpy.typing as npt

from qpsbgd.arguments import checked_choice

Format = Literal["rudy", "qubo", "biqmac", "coo", "dimod"]
Sense = Literal["maximise", "minimise"]

FORMATS = ("rudy", "qubo", "biqmac", "coo", "dimod")
SENSES = ("maximise", "minimise")
#: By suffix, that of ``.gz`` taken off.
SUFFIXES: dict[str, Format] = {
    ".qubo": "qubo",
    ".coo": "coo",
    ".sparse": "biqmac",
    ".bq": "biqmac",
    ".mat": "biqmac",
    ".mc": "rudy",
    ".rud": "rudy",
    ".rudy": "rudy",
}
#: Numbers of variables are less: the core's indices have 32 bits.
VARIABLES_LIMIT = 2**31
VARTYPE_HEADER = r"^[ \t]*#.*?vartype[:=][ \t]*([-_.a-zA-Z0-9]+)"

Indices = npt.NDArray[np.int64]
Weights = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Instance:
    """A problem from a file.

    Attributes:
        path: of the file.
        format: ``"rudy"``, ``"qubo"``, ``"biqmac"``, ``"coo"`` or ``"dimod"``.
        sense: ``"maximise"`` or ``"minimise"``, for the file's objective.
        bqm: to be minimised; its variables have the file's labels, in the file's order.
        sha256: of the file's bytes.
    """

    path: Path
    format: Format
    sense: Sense
    bqm: dimod.BinaryQuadraticModel
    sha256: str

    def objective(self, energy: float) -> float:
        """The file's objective where ``bqm`` has this energy; the same the other way round."""
        return (energy if self.sense == "minimise" else -energy) + 0.0  # no -0.0


def read(path: Path, format: Format | None = None, sense: Sense | None = None) -> Instance:
    """Read a problem.

    Args:
        path: of the file, which may be compressed with gzip.
        format: of the file; told from its content, then its suffix, if ``None``.
        sense: of its objective; the format's own if ``None``.

    Returns:
        The instance.

    Raises:
        ValueError: the file breaks a rule of its format; the error has its line.
        OSError: the file cannot be read.

    Example:
        >>> from pathlib import Path
        >>> path = Path("triangle.rudy")
        >>> _ = path.write_text("3 3\\n1 2\\n1 3\\n2 3\\n")
        >>> instance = read(path)
        >>> instance.objective(instance.bqm.energy({1: 1, 2: 1, 3: -1}))
        2.0
    """
    if format is not None:
        checked_choice("format", format, FORMATS)
    if sense is not None:
        checked_choice("sense", sense, SENSES)
    content = path.read_bytes()
    sha256 = hashlib.sha256(content).hexdigest()
    name = path.name
    if content.startswith(b"\x1f\x8b"):
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            raise ValueError(f"{path} is damaged: {error}") from error
        name = name.removesuffix(".gz")
    if format == "dimod" or (format is None and content.startswith((b"DIMOD", b"{"))):
        format, bqm = "dimod", _dimod(path, content)
    else:
        lines = _Lines(path, content.decode("utf-8-sig", errors="replace"))
        format = format or _told(lines, Path(name).suffix)
        bqm = _READERS[format](lines)
    if bqm.num_variables == 0:
        raise ValueError(f"{path} has no variables, but must have at least 1")
    sense = sense or ("maximise" if format == "rudy" else "minimise")
    if sense == "maximise":
        bqm.scale(-1)
    return Instance(path, format, sense, bqm, sha256)


class _Lines:
    """The lines of a text that are neither blank nor comments."""

    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        self.text = text
        self._all = text.split("\n")
        self._numbers = [
            number
            for number, line in enumerate(self._all)
            if (start := line.lstrip()[:1]) and start not in "#cC"
        ]
        if not self._numbers and not text.strip():
            raise ValueError(f"{path} is empty, but must hold a problem")

    def __len__(self) -> int:
        return len(self._numbers)

    def words(self, row: int) -> list[str]:
        """The row's words; none past the end."""
        return self._all[self._numbers[row]].split() if row < len(self) else []

    def error(self, row: int, rule: str) -> ValueError:
        """To raise: what a row is and what it must be."""
        if row >= len(self):
            return ValueError(f"{self.path} ends, but {rule}")
        number = self._numbers[row]
        text = self._all[number].strip()
        if len(text) > 60:
            text = text[:60] + "..."
        return ValueError(f"{self.path}, line {number + 1}: {text!r}, but {rule}")

    def header(self, rule: str, words: tuple[str, ...] = ()) -> list[int]:
        """The two or three counts that end the first row, after ``words`` and one more."""
        numbers = self.words(0)
        if words:
            if tuple(numbers[: len(words)]) != words:
                raise self.error(0, rule)
            del numbers[: len(words) + 1]
        expected = 3 if words else 2
        if len(numbers) != expected or not all(re.fullmatch("[0-9]+", word) for word in numbers):
            raise self.error(0, rule)
        counts = [int(word) for word in numbers]
        if not 1 <= counts[0] < VARIABLES_LIMIT:
            raise self.error(0, f"the first count must lie in [1, {VARIABLES_LIMIT})")
        return counts

    def entries(
        self,
        first: int,
        base: int,
        num_variables: int,
        weight: float | None = None,
        unique: bool = True,
    ) -> tuple[Indices, Indices, Weights]:
        """``i j weight`` of the rows from ``first`` on.

        Args:
            first: row.
            base: the index of the first variable.
            num_variables: all indices are less than ``base`` plus this.
            weight: where one is missing; ``None`` if none may be.
            unique: whether it is an error to list a pair twice.

        Returns:
            i and j, int64 ``(k,)`` counted from 0, and the weights, float64 ``(k,)``.
        """
        table = self._table(first, weight)  # (k, 3)
        i, j, weights = table.T
        last = base + num_variables - 1
        pairs = table[:, :2]
        self.check(first, (pairs == np.floor(pairs)).all(axis=1), "the first two must be integers")
        self.check(
            first,
            ((pairs >= base) & (pairs <= last)).all(axis=1),
            f"the first two must lie in [{base}, {last}]",
        )
        self.check(first, np.isfinite(weights), "the third must be finite")
        i, j = (index.astype(np.int64) - base for index in (i, j))
        if unique:
            key = np.minimum(i, j) * num_variables + np.maximum(i, j)
            again = np.ones(len(key), bool)
            again[np.unique(key, return_index=True)[1]] = False
            self.check(first, ~again, "a pair must be listed only once")
        return i, j, np.ascontiguousarray(weights)

    def _table(self, first: int, weight: float | None) -> Weights:
        """Three numbers a row; float64 ``(k, 3)``."""
        if first == len(self):
            return np.empty((0, 3))
        rows = [self._all[number] for number in self._numbers[first:]]
        try:
            table: Weights = np.loadtxt(rows, comments=None, ndmin=2)
        except ValueError:
            table = np.empty((0, 0))
        if table.shape[1] == 3:
            return table
        # Line by line, some ten times slower: something is missing or wrong.
        table = np.empty((len(rows), 3))
        for row in range(len(rows)):
            words = self.words(first + row)
            if len(words) == 2 and weight is not None:
                words.append(repr(weight))
            try:
                i, j, w = words
                table[row] = float(i), float(j), float(w)
            except ValueError:
                rule = "must be two integers and a number"
                raise self.error(first + row, rule) from None
        return table

    def check(self, first: int, good: Any, rule: str) -> None:
        """Raises the error of the first row, from ``first`` on, that is not good."""
        if not good.all():
            raise self.error(first + int(np.argmin(good)), rule)


def _told(lines: _Lines, suffix: str) -> Format:
    """The format of a text."""
    words = lines.words(0)
    if words[:1] == ["p"]:
        return "qubo"
    if suffix in SUFFIXES:
        return SUFFIXES[suffix]
    if len(words) == 3 or re.search(VARTYPE_HEADER, lines.text, re.MULTILINE):
        return "coo"
    # Graphs and matrices look the same, but for the diagonal that no graph has.
    diagonal = any(len(w) == 3 and w[0] == w[1] for w in map(lines.words, range(1, len(lines))))
    return "biqmac" if diagonal else "rudy"


def _rudy(lines: _Lines) -> dimod.BinaryQuadraticModel:
    """The weight of the cut, sum of w (1 - s_i s_j) / 2."""
    n, num_edges = lines.header("must be the numbers of vertices and edges")
    _check_count(lines, num_edges, len(lines) - 1, "edges")
    i, j, weights = lines.entries(1, 1, n, weight=1.0)
    lines.check(1, i != j, "an edge must join two vertices")
    return _model(n, i, j, weights / -2, dimod.SPIN, range(1, n + 1), weights.sum() / 2)


def _qubo(lines: _Lines) -> dimod.BinaryQuadraticModel:
    rule = "must be 'p qubo 0 maxNodes nNodes nCouplers'"
    n, num_nodes, num_couplers = lines.header(rule, ("p", "qubo"))
    i, j, weights = lines.entries(1, 0, n)
    lines.check(1, i <= j, "the first must not exceed the second")
    diagonal = int((i == j).sum())
    _check_count(lines, num_nodes, diagonal, "nodes")
    _check_count(lines, num_couplers, len(i) - diagonal, "couplers")
    return _model(n, i, j, weights, dimod.BINARY, range(n))


def _biqmac(lines: _Lines) -> dimod.BinaryQuadraticModel:
    n, num_entries = lines.header("must be the numbers of variables and entries")
    _check_count(lines, num_entries, len(lines) - 1, "entries")
    i, j, weights = lines.entries(1, 1, n)
    weights[i != j] *= 2
    return _model(n, i, j, weights, dimod.BINARY, range(1, n + 1))


def _coo(lines: _Lines) -> dimod.BinaryQuadraticModel:
    """What ``dimod.serialization.coo`` reads, which skips a line that it does not understand.

    Among them are numbers as 1e-05.
    """
    header = re.search(VARTYPE_HEADER, lines.text, re.MULTILINE)
    if header is None or header[1] not in ("BINARY", "SPIN"):
        raise ValueError(
            f"{lines.path} has {header[0].strip() if header else 'no vartype'!r}, but must have a "
            "line '# vartype=BINARY' or '# vartype=SPIN'"
        )
    i, j, biases = lines.entries(0, 0, VARIABLES_LIMIT, unique=False)
    labels, index = np.unique(np.concatenate([i, j]), return_inverse=True)
    i, j = index.reshape(2, -1)
    return _model(len(labels), i, j, biases, dimod.Vartype[header[1]], labels.tolist())


def _dimod(path: Path, content: bytes) -> dimod.BinaryQuadraticModel:
    try:
        if content.startswith(b"DIMOD"):
            bqm = dimod.BinaryQuadraticModel.from_file(content)
        else:
            model = json.loads(content)
            # dimod checks no index: a wrong one crashes the process.
            for end in ("quadratic_head", "quadratic_tail"):
                bad = [v for v in model[end] if not 0 <= v < len(model["linear_biases"])]
                if bad:
                    raise ValueError(f"{end} has {bad[0]}, which is no variable's index")
            bqm = dimod.BinaryQuadraticModel.from_serializable(model)
    except Exception as error:  # dimod raises many types
        raise ValueError(f"{path} is not a model that dimod wrote: {error}") from error
    linear, (_, _, quadratic), offset = bqm.to_numpy_vectors()
    for biases in (linear, quadratic, offset):
        if not np.isfinite(biases).all():
            bad = np.atleast_1d(biases)[~np.isfinite(np.atleast_1d(biases))][0]
            raise ValueError(f"{path} has a bias of {bad}, but biases must be finite")
    return bqm


def _check_count(lines: _Lines, announced: int, found: int, what: str) -> None:
    if announced != found:
        raise lines.error(0, f"the file has {found} {what}, not {announced}")


def _model(
    n: int,
    i: Indices,
    j: Indices,
    weights: Weights,
    vartype: dimod.Vartype,
    labels: Any,
    offset: float = 0.0,
) -> dimod.BinaryQuadraticModel:
    """A BQM of matrix entries; those of the diagonal are linear, which dimod wants apart."""
    diagonal = i == j
    linear = np.bincount(i[diagonal], weights[diagonal], n)
    pairs = ~diagonal
    return dimod.BinaryQuadraticModel.from_numpy_vectors(
        linear, (i[pairs], j[pairs], weights[pairs]), offset, vartype, variable_order=labels
    )


_READERS: dict[Format, Callable[[_Lines], dimod.BinaryQuadraticModel]] = {
    "rudy": _rudy,
    "qubo": _qubo,
    "biqmac": _biqmac,
    "coo": _coo,
}
