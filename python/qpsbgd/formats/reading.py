"""Reader of a file whose format follows from its name and content."""

import hashlib
import re
from pathlib import Path

import dimod

from qpsbgd._checks.choices import checked_choice
from qpsbgd.formats import bqpjson, comments, dimod_files, matrices, text_formats
from qpsbgd.formats.compression import unpack
from qpsbgd.formats.instance import (
    FORMATS,
    RULES,
    SENSES,
    Format,
    Instance,
    Sense,
    SenseSource,
)
from qpsbgd.formats.json_documents import Document
from qpsbgd.formats.lines import Lines
from qpsbgd.formats.model import check_finite

#: Formats by the suffix of the file, without that of the compression.
SUFFIXES: dict[str, Format] = {
    ".qubo": "qubo",
    ".qs": "qs",
    ".coo": "coo",
    ".sparse": "biqmac",
    ".bq": "biqmac",
    ".mat": "biqmac",
    ".mc": "rudy",
    ".rud": "rudy",
    ".rudy": "rudy",
    ".mtx": "mtx",
    ".npz": "npz",
    ".bqm": "dimod",
}
#: Names of the graphs of the G-set, which have no suffix of their own.
GSET = re.compile(r"G[0-9]+(\.txt)?")
#: Comments that only qs files have.
QS_COMMENT = re.compile(r"ObjectiveOffset\b|Vars Non-zeros", re.IGNORECASE)


def read(path: Path, format: Format | None = None, sense: Sense | None = None) -> Instance:
    """Read a problem.

    Args:
        path: path of the file, which may be compressed with gzip, xz or bzip2.
        format: format of the file; ``None`` to recognise it by content and name.
        sense: ``"maximise"`` or ``"minimise"``; ``None`` for the sense that the file states, or
            otherwise that of its format.

    Returns:
        The instance.

    Raises:
        ValueError: the file is in no known format, may be in two formats, or breaks a rule of its
            format. The message names the file, and the line of a text.
        OSError: the file cannot be read.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from qpsbgd.formats import read
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "triangle.rudy")
        ...     _ = path.write_text("3 3\\n1 2\\n1 3\\n2 3\\n")
        ...     instance = read(path)
        >>> instance.objective(instance.bqm.energy({1: 1, 2: 1, 3: -1}))
        2.0
    """
    if format is not None:
        checked_choice("format", format, FORMATS)
    if sense is not None:
        checked_choice("sense", sense, SENSES)
    packed = path.read_bytes()
    content, name = unpack(path, packed)
    try:
        format, bqm, stated = _parsed(path, name, content, format, sense)
        check_finite(path, bqm)
    except MemoryError:
        raise ValueError(f"{path} holds a problem that does not fit into memory") from None
    if bqm.num_variables == 0:
        raise ValueError(f"{path} has no variables, but must have at least 1")
    rule, reason = RULES[format]
    source: SenseSource = "format"
    if stated is not None:
        rule, reason, source = stated.sense, f"line {stated.number} of the file says so", "header"
    if sense is not None:
        rule, reason, source = sense, "the caller says so", "argument"
    if rule == "maximise":
        bqm.scale(-1)
    return Instance(path, format, rule, bqm, hashlib.sha256(packed).hexdigest(), source, reason)


def _parsed(
    path: Path, name: str, content: bytes, format: Format | None, sense: Sense | None
) -> tuple[Format, dimod.BinaryQuadraticModel, comments.StatedSense | None]:
    """Return the format, the objective as a model, and the sense that a line states."""
    suffix = Path(name).suffix.lower()
    start = content[:64].removeprefix(b"\xef\xbb\xbf").lstrip()
    if format is None:
        if content.startswith(dimod_files.MAGIC[:5]):
            format = "dimod"
        elif content.startswith((b"PK\x03\x04", b"PK\x05\x06")):
            format = "npz"
        elif start.startswith(matrices.BANNER.encode()):
            format = "mtx"
        elif start.startswith(b"{"):
            document = Document(path, content)
            if bqpjson.is_bqpjson(document):
                format = "bqpjson"
            elif "type" in document.members:
                format = "dimod"
            else:
                raise _unknown(path, "it is JSON, but neither of bqpjson nor of dimod")
        elif suffix in (".npz", ".bqm"):
            format = SUFFIXES[suffix]  # the file is damaged; the reader reports the damage
        elif suffix not in SUFFIXES and b"\0" in content:
            raise _unknown(path, "it is no text")
    if format == "npz":
        return format, matrices.read_npz(path, content), None
    if format == "bqpjson":
        return format, bqpjson.read_bqpjson(Document(path, content)), None
    if format == "dimod":
        if start.startswith(b"{"):
            return format, dimod_files.read_json(Document(path, content)), None
        return format, dimod_files.read_bytes(path, content), None
    lines = Lines(
        path,
        content.decode("utf-8-sig", errors="replace"),
        "%" if format == "mtx" or (format is None and suffix == ".mtx") else "#",
    )
    format = format or _text_format(lines, name, suffix)
    stated = comments.read_sense(lines, format, RULES[format][0], sense)
    bqm = matrices.read_mtx(lines) if format == "mtx" else text_formats.READERS[format](lines)
    return format, bqm, stated


def _text_format(lines: Lines, name: str, suffix: str) -> Format:
    """Return the format of a text."""
    words = lines.words(0)
    if words[:1] == ["p"]:
        return "qubo"
    if suffix in SUFFIXES:
        return SUFFIXES[suffix]
    if any(QS_COMMENT.match(comment) for _, comment in lines.comments):
        return "qs"
    if re.search(text_formats.VARTYPE_HEADER, lines.text, re.MULTILINE):
        return "coo"
    if len(words) != 2 or not all(re.fullmatch("[0-9]+", word) for word in words):
        raise _unknown(lines.path, "its first line is no header of a text format")
    if GSET.fullmatch(name):
        return "rudy"
    # Files of graphs and of matrices look alike. Only a graph may leave out weights, and only a
    # matrix has diagonal entries.
    if len(lines) > 1 and len(lines.words(1)) == 2:
        return "rudy"
    if any(len(w) == 3 and w[0] == w[1] for w in map(lines.words, range(1, len(lines)))):
        return "biqmac"
    raise ValueError(
        f"{lines.path} may be a graph (rudy, to be maximised) or a matrix (biqmac or qs, to be "
        "minimised): name the format (--format, format=)"
    )


def _unknown(path: Path, fault: str) -> ValueError:
    return ValueError(
        f"{path} is in none of the formats that are known ({', '.join(FORMATS)}): {fault}"
    )
