"""Reader of initial states: solutions of ``qpsbgd solve --out``, or plain values."""

import re
from pathlib import Path
from typing import Any

import dimod

from qpsbgd.formats.compression import unpack
from qpsbgd.formats.json_documents import Document, is_integer

#: Values by their notation in a file of plain values.
VALUES = {"0": 0, "1": 1, "+1": 1, "-1": -1, "+": 1, "-": -1}
DOMAINS = {"BINARY": (0, 1), "SPIN": (-1, 1)}


def read_start(path: Path, bqm: dimod.BinaryQuadraticModel) -> dict[Any, int]:
    """Read a state of a model.

    A JSON file has the members ``variables``, ``assignment`` and ``vartype``, as ``qpsbgd solve
    --out`` writes them. Any other file has one value for each variable, in the order of
    ``bqm.variables``: numbers -1 and 1, or 0 and 1, separated by blanks; or one word of 0 and 1, or
    of + and -. A line that starts with # is a comment. Spins and binary variables are converted
    into each other.

    Args:
        path: path of the file, which may be compressed with gzip, xz or bzip2.
        bqm: the model.

    Returns:
        The value of each variable, in the vartype of ``bqm``.

    Raises:
        ValueError: the file does not hold a state of the model.
        OSError: the file cannot be read.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> import dimod
        >>> from qpsbgd.formats import read_start
        >>> bqm = dimod.BinaryQuadraticModel({"a": 1.0, "b": 1.0}, {}, 0.0, "SPIN")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "start.txt")
        ...     _ = path.write_text("0 1")
        ...     read_start(path, bqm)
        {'a': -1, 'b': 1}
    """
    content, _ = unpack(path, path.read_bytes())
    if content.lstrip().startswith(b"{"):
        state, domain = _solution_state(Document(path, content), bqm)
    else:
        state, domain = _plain_state(path, content.decode("utf-8-sig", errors="replace"), bqm)
    low, high = DOMAINS[bqm.vartype.name]
    return {v: high if value == domain[1] else low for v, value in state.items()}


def _solution_state(
    document: Document, bqm: dimod.BinaryQuadraticModel
) -> tuple[dict[Any, int], tuple[int, int]]:
    path = document.path
    labels = [_tuples(label) for label in document.list("variables")]
    values = document.list("assignment")
    vartype = document["vartype"]
    if not isinstance(vartype, str) or vartype not in DOMAINS:
        raise document.error("vartype", "must be 'SPIN' or 'BINARY'")
    if len(labels) != len(values):
        raise ValueError(f"{path} has {len(labels)} variables and {len(values)} values")
    domain = DOMAINS[vartype]
    for value in values:
        if not is_integer(value) or value not in domain:
            raise ValueError(f"{path} has the value {value!r}, but must have {_either(domain)}")
    try:
        state = dict(zip(labels, values, strict=True))
    except TypeError:
        raise document.error("variables", "must be strings, numbers and lists of them") from None
    for variable in bqm.variables:
        if variable not in state:
            raise ValueError(f"{path} has no value of the variable {variable!r}")
    if len(labels) != bqm.num_variables:
        raise ValueError(f"{path} has {len(labels)} values, but must have {bqm.num_variables}")
    return {v: state[v] for v in bqm.variables}, domain


def _plain_state(
    path: Path, text: str, bqm: dimod.BinaryQuadraticModel
) -> tuple[dict[Any, int], tuple[int, int]]:
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    words = " ".join(lines).split()
    n = bqm.num_variables
    if len(words) == 1 and len(words[0]) == n and re.fullmatch("[01]+|[+-]+", words[0]):
        words = list(words[0])
    values = []
    for word in words:
        if word not in VALUES:
            shown = word if len(word) <= 20 else word[:20] + "..."
            raise ValueError(f"{path} has the value {shown!r}, but must have -1 and 1, or 0 and 1")
        values.append(VALUES[word])
    if len(values) != n:
        raise ValueError(f"{path} has {len(values)} values, but must have {n}")
    if -1 in values and 0 in values:
        raise ValueError(f"{path} has values of -1 and of 0, but must have -1 and 1, or 0 and 1")
    domain = DOMAINS[
        "BINARY" if 0 in values else "SPIN"
    ]  # if all are 1, both have the same meaning
    return dict(zip(bqm.variables, values, strict=True)), domain


def _tuples(label: Any) -> Any:
    return tuple(map(_tuples, label)) if isinstance(label, list) else label


def _either(domain: tuple[int, int]) -> str:
    return " or ".join(map(str, domain))
