"""Planetoid's citation graphs: Cora, and Citeseer and Pubmed where their files are at hand.

A graph is eight files ``ind.<name>.*``, looked for in ``$QPSBGD_DATA/data/planetoid``, then in the
cache ``~/.cache/qpsbgd/planetoid`` (or below ``$XDG_CACHE_HOME``), into which Cora is downloaded
where it is in neither. Seven of them are pickles of Python 2, of which nothing is run: a class that
is not NumPy's array, a list or a dictionary has a stand-in here.

Reference:
    Yang, Cohen, Salakhutdinov, arXiv 1603.08861; github.com/kimiyoung/planetoid.
"""

import collections
import io
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from qpsbgd._checks import checked_choice
from qpsbgd.training import fetch

Name = Literal["cora", "citeseer", "pubmed"]
PARTS = ("x", "y", "tx", "ty", "allx", "ally", "graph", "test.index")
SOURCE = "https://raw.githubusercontent.com/kimiyoung/planetoid/master/data"
#: SHA-256 of the files that are downloaded; where they are known, other files are refused.
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
    """Documents that cite each other, each of one class; Planetoid's split.

    Attributes:
        name: of the data set.
        features: float32 ``(N, n)``, a row of word counts (or weights) a document.
        labels: int64 ``(N,)``; -1 for the few documents of Citeseer that have none.
        edge_index: int64 ``(2, E)``, sorted: both directions of each edge once, no loops.
        train_mask: bool ``(N,)``, 20 documents a class.
        validation_mask: bool ``(N,)``, 500 documents.
        test_mask: bool ``(N,)``, 1000 documents.
    """

    name: Name
    features: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]
    edge_index: npt.NDArray[np.int64]
    train_mask: npt.NDArray[np.bool_]
    validation_mask: npt.NDArray[np.bool_]
    test_mask: npt.NDArray[np.bool_]

    @property
    def num_classes(self) -> int:
        """Labels are 0 .. num_classes - 1."""
        return int(self.labels.max()) + 1


def load(name: Name = "cora") -> CitationGraph:
    """A citation graph, from the data folder, the cache, or the repository of its authors.

    Args:
        name: ``"cora"`` (2708 documents), ``"citeseer"`` (3327) or ``"pubmed"`` (19717); the last
            two are not downloaded.

    Raises:
        FileNotFoundError: files that are not downloaded are missing.
        OSError: a download fails.
        ValueError: an unknown name, or a file that is not what it should be.
    """
    checked_choice("name", name, get_args(Name))
    files = [f"ind.{name}.{part}" for part in PARTS]
    folder = fetch.find("planetoid", files, SOURCE, CHECKSUMS)
    content = {part: read(folder / file) for part, file in zip(PARTS, files, strict=True)}
    try:
        return assembled(name, content)
    except (TypeError, ValueError, LookupError, AttributeError) as error:
        raise ValueError(f"the files ind.{name}.* in {folder} do not fit: {error}") from error


def at_hand(name: str) -> bool:
    """Whether a graph that is never downloaded has its files in the data folder or the cache."""
    files = [f"ind.{name}.{part}" for part in PARTS]
    try:
        fetch.find("planetoid", files, SOURCE, CHECKSUMS)
    except FileNotFoundError:
        return False
    return True


def read(path: Path) -> Any:
    """What one file holds: an array or, of ``graph``, a dictionary of lists."""
    content = fetch.read(path.parent, path.name, CHECKSUMS)
    try:
        if path.name.endswith(".index"):
            return np.array(content.split(), dtype=np.int64)
        loaded = _Unpickler(io.BytesIO(content), encoding="latin1").load()
        return loaded.dense() if isinstance(loaded, _SparseRows) else loaded
    except Exception as error:  # the unpickler raises many types
        raise ValueError(f"{path} is not a file of Planetoid's: {error}") from error


class _SparseRows:
    """Stands in for SciPy's ``csr_matrix``; unpickling fills its attributes."""

    data: npt.NDArray[np.float32]
    indices: npt.NDArray[np.int32]
    indptr: npt.NDArray[np.int32]
    _shape: tuple[int, int]

    def dense(self) -> npt.NDArray[np.float32]:
        result = np.zeros(self._shape, np.float32)
        rows = np.repeat(np.arange(len(self.indptr) - 1), np.diff(self.indptr))
        np.add.at(result, (rows, self.indices), self.data)
        return result


class _Unpickler(pickle.Unpickler):
    """Admits the few classes that the files are made of, under their names in Python 2."""

    CLASSES = {  # noqa: RUF012
        ("numpy", "dtype"): np.dtype,
        ("numpy", "ndarray"): np.ndarray,
        # NumPy's own function; its module has a new name since NumPy 2.
        ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
        ("scipy.sparse.csr", "csr_matrix"): _SparseRows,
        ("collections", "defaultdict"): collections.defaultdict,
        ("__builtin__", "list"): list,
    }

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.CLASSES:
            raise pickle.UnpicklingError(f"{module}.{name} is not admitted")
        return self.CLASSES[module, name]


def assembled(name: Name, content: dict[str, Any]) -> CitationGraph:
    """The graph, its documents by their number.

    ``allx`` has the first documents, those of the training set ahead; row k of ``tx`` is document
    ``test.index[k]``.
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
    if not (
        0 <= min(sources.min(), targets.min()) <= max(sources.max(), targets.max()) < num_nodes
    ):
        raise ValueError(f"graph has nodes outside [0, {num_nodes})")
    # Lists have duplicates and loops; a number for each ordered pair finds them.
    codes = np.concatenate([sources * num_nodes + targets, targets * num_nodes + sources])
    edge_index = np.stack(np.divmod(np.unique(codes), num_nodes)).astype(np.int64)

    def mask(nodes: Any) -> npt.NDArray[np.bool_]:
        result = np.zeros(num_nodes, np.bool_)
        result[nodes] = True
        return result

    num_train = len(content["y"])
    return CitationGraph(
        name=name,
        features=features,
        labels=np.where(one_hot.any(axis=1), one_hot.argmax(axis=1), -1),
        edge_index=edge_index[:, edge_index[0] != edge_index[1]],
        train_mask=mask(slice(num_train)),
        validation_mask=mask(slice(num_train, num_train + NUM_VALIDATION)),
        test_mask=mask(test_index),
    )
