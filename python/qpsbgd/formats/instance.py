"""A problem from a file, and the reason for its sense."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import dimod

Format = Literal["rudy", "qubo", "biqmac", "qs", "coo", "dimod", "bqpjson", "npz", "mtx"]
Sense = Literal["maximise", "minimise"]
#: ``"argument"``: the caller named the sense. ``"header"``: a line of the file states it.
#: ``"format"``: the format defines it, or :data:`RULES` does if the format leaves it open.
SenseSource = Literal["argument", "header", "format"]

FORMATS: tuple[Format, ...] = get_args(Format)
SENSES: tuple[Sense, ...] = get_args(Sense)

#: The sense of each format and the reason for it.
RULES: dict[Format, tuple[Sense, str]] = {
    "rudy": ("maximise", "a rudy file is a Max-Cut problem"),
    "qubo": (
        "minimise",
        "a qubo file does not state its sense, and qbsolv minimises; the bqp instances of the "
        "OR-Library are to be maximised",
    ),
    "biqmac": ("minimise", "the matrices of Biq Mac are to be minimised"),
    "qs": ("minimise", "the qs files of QOBLIB are to be minimised"),
    "coo": ("minimise", "dimod minimises its models"),
    "dimod": ("minimise", "dimod minimises its models"),
    "bqpjson": ("minimise", "a bqpjson file is a minimisation problem"),
    "npz": ("minimise", "a matrix does not state a sense, and x'Ax is minimised unless told"),
    "mtx": ("minimise", "a matrix does not state a sense, and x'Ax is minimised unless told"),
}


@dataclass(frozen=True)
class Instance:
    """Problem from a file.

    Attributes:
        path: path of the file.
        format: one of :data:`FORMATS`.
        sense: ``"maximise"`` or ``"minimise"``, the sense of the file's objective.
        bqm: the model to minimise; its variables have the file's labels, in the file's order.
        sha256: digest of the file's bytes, as hexadecimal digits.
        sense_source: ``"argument"``, ``"header"`` or ``"format"``, the source of the sense.
        sense_reason: the reason for the sense, as a clause for the user.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from qpsbgd.formats import read
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "triangle.rudy")
        ...     _ = path.write_text("3 3\\n1 2\\n1 3\\n2 3\\n")
        ...     instance = read(path)
        >>> instance.format, instance.sense, instance.sense_reason
        ('rudy', 'maximise', 'a rudy file is a Max-Cut problem')
    """

    path: Path
    format: Format
    sense: Sense
    bqm: dimod.BinaryQuadraticModel
    sha256: str
    sense_source: SenseSource = "format"
    sense_reason: str = ""

    def objective(self, energy: float) -> float:
        """Return the file's objective for an energy of ``bqm``, or the energy for an objective."""
        return float(energy if self.sense == "minimise" else -energy) + 0.0  # no -0.0
