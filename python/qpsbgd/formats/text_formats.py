"""Readers of the text formats: rudy, qubo, biqmac, qs and coo."""

import re
from collections.abc import Callable

import dimod
import numpy as np

from qpsbgd.formats import comments
from qpsbgd.formats.instance import Format
from qpsbgd.formats.lines import Lines
from qpsbgd.formats.model import VARIABLES_LIMIT, check_num_variables, make_model

VARTYPE_HEADER = r"^[ \t]*#.*?vartype[:=][ \t]*([-_.a-zA-Z0-9]+)"
OFFSET = "ObjectiveOffset"


def read_rudy(lines: Lines) -> dimod.BinaryQuadraticModel:
    """Read a graph; the energy is the weight of the cut, sum of w (1 - s_i s_j) / 2."""
    comments.read_numbers(lines, (), "rudy")
    n, num_edges = lines.counts(0, 2, "must be the numbers of vertices and edges")
    lines.check_count(0, num_edges, len(lines) - 1, "edges")
    i, j, weights = lines.entries(1, 1, n, weight=1.0)
    lines.check(1, i != j, "an edge must join two vertices")
    check_num_variables(n, i, j, lambda rule: lines.error(0, rule))
    return make_model(n, i, j, weights / -2, dimod.SPIN, range(1, n + 1), weights.sum() / 2)


def read_qubo(lines: Lines) -> dimod.BinaryQuadraticModel:
    """Read qbsolv's format, with the offset and the scale that bqp2qubo puts into comments."""
    stated = comments.read_numbers(lines, ("offset", "scale"), "qubo")
    scale = stated.get("scale", 1.0)
    if scale <= 0:
        raise ValueError(f"{lines.path} has a scale of {scale}, but it must be positive")
    rule = "must be 'p qubo 0 maxNodes nNodes nCouplers'"
    if lines.words(0)[:2] != ["p", "qubo"]:
        raise lines.error(0, rule)
    n, num_nodes, num_couplers = lines.counts(0, 3, rule, skip=3)
    i, j, weights = lines.entries(1, 0, n)
    lines.check(1, i <= j, "the first must not exceed the second")
    diagonal = int((i == j).sum())
    lines.check_count(0, num_nodes, diagonal, "nodes")
    lines.check_count(0, num_couplers, len(i) - diagonal, "couplers")
    check_num_variables(n, i, j, lambda rule: lines.error(0, rule))
    bqm = make_model(n, i, j, weights, dimod.BINARY, range(n), stated.get("offset", 0.0))
    if scale != 1:
        bqm.scale(scale)
    return bqm


def read_biqmac(lines: Lines) -> dimod.BinaryQuadraticModel:
    """Read one triangle of a symmetric matrix."""
    comments.read_numbers(lines, (), "biqmac")
    return _triangle(lines, 0.0)


def read_qs(lines: Lines) -> dimod.BinaryQuadraticModel:
    """Read one triangle of a symmetric matrix and a constant."""
    return _triangle(lines, comments.read_numbers(lines, (OFFSET,), "qs").get(OFFSET, 0.0))


def _triangle(lines: Lines, offset: float) -> dimod.BinaryQuadraticModel:
    n, num_entries = lines.counts(0, 2, "must be the numbers of variables and entries")
    lines.check_count(0, num_entries, len(lines) - 1, "entries")
    i, j, weights = lines.entries(1, 1, n)
    check_num_variables(n, i, j, lambda rule: lines.error(0, rule))
    weights[i != j] *= 2
    return make_model(n, i, j, weights, dimod.BINARY, range(1, n + 1), offset)


def read_coo(lines: Lines) -> dimod.BinaryQuadraticModel:
    """Read what ``dimod.serialization.coo`` writes.

    dimod's reader skips a line that it does not understand, among them numbers such as 1e-05.
    """
    comments.read_numbers(lines, (), "coo")
    headers = re.findall(VARTYPE_HEADER, lines.text, re.MULTILINE)
    if len(headers) != 1 or headers[0] not in ("BINARY", "SPIN"):
        found = " and ".join(f"vartype={name}" for name in headers) or "no vartype"
        raise ValueError(
            f"{lines.path} has {found}, but must have one line '# vartype=BINARY' or "
            "'# vartype=SPIN'"
        )
    i, j, biases = lines.entries(0, 0, VARIABLES_LIMIT, unique=False)
    labels, index = np.unique(np.concatenate([i, j]), return_inverse=True)
    i, j = index.reshape(2, -1)
    return make_model(len(labels), i, j, biases, dimod.Vartype[headers[0]], labels.tolist())


READERS: dict[Format, Callable[[Lines], dimod.BinaryQuadraticModel]] = {
    "rudy": read_rudy,
    "qubo": read_qubo,
    "biqmac": read_biqmac,
    "qs": read_qs,
    "coo": read_coo,
}
