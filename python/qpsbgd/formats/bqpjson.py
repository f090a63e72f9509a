"""Reader of bqpjson 1.0.0, the JSON format of Los Alamos National Laboratory.

The objective is ``scale * (sum of the terms + offset)``, to be minimised.
"""

import dimod
import numpy as np

from qpsbgd.formats.json_documents import Document, is_integer
from qpsbgd.formats.model import make_model

VERSION = "1.0.0"
VARTYPES = {"spin": dimod.SPIN, "boolean": dimod.BINARY}
#: Members that do not change the objective.
DESCRIPTIVE = ("id", "metadata", "description", "solutions")
KNOWN = (
    "version",
    "variable_ids",
    "variable_domain",
    "scale",
    "offset",
    "linear_terms",
    "quadratic_terms",
    *DESCRIPTIVE,
)


def is_bqpjson(document: Document) -> bool:
    """Return whether a JSON object looks like bqpjson."""
    return "variable_domain" in document.members or "variable_ids" in document.members


def read_bqpjson(document: Document) -> dimod.BinaryQuadraticModel:
    """Read a model.

    Raises:
        ValueError: the document breaks a rule of bqpjson, or has a member that bqpjson does not
            define.
    """
    path = document.path
    if document["version"] != VERSION:
        raise document.error("version", f"must be {VERSION!r}")
    for name in document.members:
        if name not in KNOWN:
            raise ValueError(f"{path} has {name!r}, which bqpjson {VERSION} does not define")
    domain = document["variable_domain"]
    if not isinstance(domain, str) or domain not in VARTYPES:
        raise document.error("variable_domain", "must be 'spin' or 'boolean'")
    scale, offset = document.number("scale"), document.number("offset")
    if scale < 0:
        raise document.error("scale", "must not be negative")
    labels = document.list("variable_ids")
    for label in labels:
        if not is_integer(label) or label < 0:
            raise ValueError(f"{path}: variable_ids has {label!r}, but must have integers from 0")
    index = {label: k for k, label in enumerate(labels)}
    if len(index) != len(labels):
        raise document.error("variable_ids", "an id must be listed only once")

    entries: dict[tuple[int, int], float] = {}
    for name, ends in (("linear_terms", ("id", "id")), ("quadratic_terms", ("id_tail", "id_head"))):
        for term in document.list(name):
            if not isinstance(term, dict) or set(term) != {*ends, "coeff"}:
                rule = f"must have objects of {', '.join(sorted({*ends, 'coeff'}))}"
                raise ValueError(f"{path}: {name} has {term!r}, but {rule}")
            key = tuple(term[end] for end in ends)
            for label in key:
                if not is_integer(label) or label not in index:
                    raise ValueError(f"{path}: {name} has id {label!r}, which variable_ids has not")
            if name == "quadratic_terms" and key[0] == key[1]:
                raise ValueError(f"{path}: {name} has {term!r}, but its ids must differ")
            pair = (index[key[0]], index[key[1]])
            if pair in entries:
                raise ValueError(f"{path}: {name} has {term!r}, but its ids occurred before")
            entries[pair] = document.checked_number(name, term["coeff"])
    i, j = np.array(list(entries), np.int64).reshape(-1, 2).T
    weights = np.array(list(entries.values()), np.float64)
    bqm = make_model(len(labels), i, j, weights, VARTYPES[domain], labels, offset)
    if scale != 1:
        bqm.scale(scale)
    return bqm
