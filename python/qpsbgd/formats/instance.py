"""A problem from a file, and how its sense was decided."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import dimod

Format = Literal["rudy", "qubo", "biqmac", "qs", "coo", "dimod", "bqpjson", "npz", "mtx"]
Sense = Literal["maximise", "minimise"]
#: ``"argument"``: the caller named the sense. ``"header"``: a line of the file states it.
#: ``"format"``: the definition of the format, or a stated rule where the format leaves it open.
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
    """A problem from a file.

    Attributes:
        path: path of the file.
        format: one of :data:`FORMATS`.
        sense: ``"maximise"`` or ``"minimise"``: what to do with the file's objective.
        bqm: the model to minimise; its variables have the file's labels, in the file's order.
        sha256: digest of the file's bytes.
        sense_source: who decided the sense, see :data:`SenseSource`.
        sense_reason: the same as a clause for the user.
    """

    path: Path
    format: Format
    sense: Sense
    bqm: dimod.BinaryQuadraticModel
    sha256: str
    sense_source: SenseSource = "format"
    sense_reason: str = ""

    def objective(self, energy: float) -> float:
        """Return the file's objective where ``bqm`` has this energy, and the other way round."""
        return float(energy if self.sense == "minimise" else -energy) + 0.0  # no -0.0
