"""Planetoid's citation graphs: Cora, and Citeseer and Pubmed where their files are present.

A graph is eight files ``ind.<name>.*`` in ``$QPSBGD_DATA/data/planetoid`` or in the cache, into
which Cora is downloaded if necessary. Seven of them are pickles of Python 2. The unpickler here
only admits arrays, lists and dictionaries, so that it runs no code from a file.

Reference:
    Yang, Cohen, Salakhutdinov, arXiv 1603.08861; github.com/kimiyoung/planetoid.
"""

import collections
import io
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.paper import fetch

NAMES = ("cora", "citeseer", "pubmed")
PARTS = ("x", "y", "tx", "ty", "allx", "ally", "graph", "test.index")
SOURCE = "https://raw.githubusercontent.com/kimiyoung/planetoid/master/data"
#: SHA-256 of the files that can be downloaded.
CHECKSUMS = {
    "ind.cora.x": "23cfa55d91c6f624233f5eb7b6e3f141f1bd2b2ae39608a63cf5d084bb27baab",
    "ind.cora.y": "94465c14eb53e04ca262198dcbb2521ee8af60fb3f3d546cd6ca24a511b0e7d1",
    "ind.cora.tx": "b9afbaa4a400df991f6f02ef677e1e44da55ffc04801fd02f9e673987829226a",
    "ind.cora.ty": "41f5ac76596a1699cc33f53084a2419e92961c42bb75f36fc38e616d348532ad",
    "ind.cora.allx": "9419ba2f26f5c35243db64aba110e0f35a04851609e0dc5433450676ca6b8543",
    "ind.cora.ally": "2b998f5cc7fedc86e7f97ca2498f47a1ffc1462c29e2d578b23bf3f62b6e7d71",
    "ind.cora.graph": "58f13302f39dde8852dad6fe6d15b89b077b6d7f837626bce671ef80344b383d",
    "ind.cora.test.index": "297ce89af2b51a6a194181c7dbe1796c6a1cf9cd9349a88383b1b1e227867875",
}
NUM_VALIDATION = 500


@dataclass(frozen=True)
class CitationGraph:
    """Documents that cite each other, each of one class, with Planetoid's split.

    Attributes:
        features: float32 ``(N, n)``, the word counts (or weights) of each document.
        labels: int64 ``(N,)``; -1 for the few documents of Citeseer that have no label.
        edge_index: int64 ``(2, E)``, sorted: both directions of each edge once, no loops.
        train_mask: bool ``(N,)``, 20 documents of each class.
        validation_mask: bool ``(N,)``, 500 documents.
        test_mask: bool ``(N,)``, 1000 documents.
    """

    features: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]
    edge_index: npt.NDArray[np.int64]
    train_mask: npt.NDArray[np.bool_]
    validation_mask: npt.NDArray[np.bool_]
    test_mask: npt.NDArray[np.bool_]


def load(name: str) -> CitationGraph:
    """Return a citation graph from the data folder, the cache, or its authors' repository.

    Args:
        name: ``"cora"`` (2708 documents), ``"citeseer"`` (3327) or ``"pubmed"`` (19717). The last
            two are not downloaded.

    Raises:
        MissingDataError: Files are missing and cannot be downloaded.
        ValueError: The name is unknown, or a file is damaged.
    """
    if name not in NAMES:
        raise ValueError(f"name is {name!r}, but must be one of {', '.join(NAMES)}")
    files = _files(name)
    folder = fetch.find("planetoid", files, SOURCE, CHECKSUMS)
    content = {part: read(folder / file) for part, file in zip(PARTS, files, strict=True)}
    try:
        return assemble(content)
    except (TypeError, ValueError, LookupError, AttributeError) as error:
        raise ValueError(f"the files ind.{name}.* in {folder} do not fit: {error}") from error


def is_present(name: str) -> bool:
    """Return whether a graph that is not downloaded has its files in the data folder or cache."""
    try:
        fetch.find("planetoid", _files(name), SOURCE, CHECKSUMS)
    except FileNotFoundError:
        return False
    return True


def _files(name: str) -> list[str]:
    return [f"ind.{name}.{part}" for part in PARTS]


def read(path: Path) -> Any:
    """Return the content of one file: an array, or a dictionary of lists (of ``graph``).

    Raises:
        ValueError: The file is damaged, or contains other classes.
    """
    content = fetch.read(path.parent, path.name, CHECKSUMS)
    try:
        if path.name.endswith(".index"):
            return np.array(content.split(), dtype=np.int64)
        loaded = _Unpickler(io.BytesIO(content), encoding="latin1").load()
        return loaded.dense() if isinstance(loaded, _SparseRows) else loaded
    except Exception as error:  # The unpickler raises many types.
        raise ValueError(f"{path} is not a file of Planetoid's: {error}") from error


class _SparseRows:
    """Replacement for SciPy's ``csr_matrix``; unpickling sets its attributes."""

    data: npt.NDArray[np.float32]
    indices: npt.NDArray[np.int32]
    indptr: npt.NDArray[np.int32]
    _shape: tuple[int, int]

    def dense(self) -> npt.NDArray[np.float32]:
        result = np.zeros(self._shape, np.float32)
        rows = np.repeat(np.arange(len(self.indptr) - 1), np.diff(self.indptr))
        np.add.at(result, (rows, self.indices), self.data)
        return result


#: The classes in the files, by their names in Python 2.
_ADMITTED: Mapping[tuple[str, str], Any] = {
    ("numpy", "dtype"): np.dtype,
    ("numpy", "ndarray"): np.ndarray,
    # This function of NumPy's has moved in NumPy 2.
    ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
    ("scipy.sparse.csr", "csr_matrix"): _SparseRows,
    ("collections", "defaultdict"): collections.defaultdict,
    ("__builtin__", "list"): list,
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ADMITTED:
            raise pickle.UnpicklingError(f"{module}.{name} is not admitted")
        return _ADMITTED[module, name]


def assemble(content: Mapping[str, Any]) -> CitationGraph:
    """Return the graph of the files' contents, with documents in the order of their numbers.

    ``allx`` has the first documents, of which the training set comes first. Row k of ``tx`` is the
    document ``test.index[k]``.
    """
    test_index, first = content["test.index"], len(content["allx"])
    num_nodes = max(first, int(test_index.max()) + 1)
    features = np.zeros((num_nodes, content["allx"].shape[1]), np.float32)
    one_hot = np.zeros((num_nodes, content["ally"].shape[1]), np.int64)
    for array, known, test in ((features, "allx", "tx"), (one_hot, "ally", "ty")):
        array[:first] = content[known]
        array[test_index] = content[test]

    lists = content["graph"]
    sources = np.repeat(list(lists), [len(neighbours) for neighbours in lists.values()])
    targets = np.concatenate([np.asarray(n, np.int64) for n in lists.values()])
    ends = np.concatenate([sources, targets])
    if ends.min() < 0 or ends.max() >= num_nodes:
        raise ValueError(f"graph has nodes outside [0, {num_nodes})")
    # The lists contain duplicates and loops. One code for each ordered pair removes duplicates.
    codes = np.concatenate([sources * num_nodes + targets, targets * num_nodes + sources])
    edge_index = np.stack(np.divmod(np.unique(codes), num_nodes)).astype(np.int64)  # (2, E)

    num_train, nodes = len(content["y"]), np.arange(num_nodes)
    return CitationGraph(
        features=features,
        labels=np.where(one_hot.any(axis=1), one_hot.argmax(axis=1), -1),
        edge_index=edge_index[:, edge_index[0] != edge_index[1]],
        train_mask=nodes < num_train,
        validation_mask=(nodes >= num_train) & (nodes < num_train + NUM_VALIDATION),
        test_mask=np.isin(nodes, test_index),
    )
