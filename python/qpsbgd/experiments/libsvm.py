"""The Adult data in LIBSVM's format: a1a, of which the paper has its two networks.

1605 training and 30956 test rows of 123 binary features, about 14 of which are set in each row:
age, education, occupation and so on in classes. Labels: whether a person's income was above 50,000
dollars in 1994; 24.6 % of the training and 24.1 % of the test rows are.

Reference:
    csie.ntu.edu.tw/~cjlin/libsvmtools/datasets/binary.html, a1a; UCI Adult.
"""

import io
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qpsbgd.training import fetch

SOURCE = "https://www.csie.ntu.edu.tw/~cjlin/libsvmtools/datasets/binary"
#: SHA-256 of the uncompressed files, as the source serves them.
CHECKSUMS = {
    "a1a": "eb54c45f1bdb51286f803dd092eb8202b44637a858fc6c4e533a2d64a0d94b4e",
    "a1a.t": "0212d0c4a3996fe6fb6a0ab54033d9f4fa4b60369b6e3bb141821d9ffc40c04d",
}
NUM_FEATURES = 123


@dataclass(frozen=True)
class Rows:
    """Features and labels.

    Attributes:
        features: float32 ``(N, 123)`` of 0 and 1; feature k of the file is column k - 1.
        labels: float32 ``(N,)`` of 0 and 1.
    """

    features: npt.NDArray[np.float32]
    labels: npt.NDArray[np.float32]


def adult() -> tuple[Rows, Rows]:
    """Training and test rows of a1a, from the data folder, the cache, or LIBSVM's site.

    Raises:
        OSError: a download fails.
        ValueError: a file that is not what it should be.
    """
    folder = fetch.find("adult", list(CHECKSUMS), SOURCE, CHECKSUMS)
    train, test = (parsed(file, fetch.read(folder, file, CHECKSUMS)) for file in CHECKSUMS)
    return train, test


def parsed(name: str, content: bytes) -> Rows:
    """Rows of a file in LIBSVM's format, with labels -1 and +1 and features from 1 to 123.

    Args:
        name: for messages.
        content: of the file.

    Raises:
        ValueError: not such a file.
    """
    from sklearn.datasets import load_svmlight_file

    try:
        sparse, labels = load_svmlight_file(
            io.BytesIO(content), n_features=NUM_FEATURES, dtype=np.float32, zero_based=False
        )
    except ValueError as error:
        raise ValueError(f"{name} is not in LIBSVM's format with features 1 to 123: {error}") from (
            error
        )
    features = sparse.toarray()
    if not len(labels) or set(np.unique(labels)) - {-1.0, 1.0}:
        raise ValueError(f"{name} has labels {np.unique(labels)[:4]}, but must have -1 and 1 alone")
    if set(np.unique(features)) - {0.0, 1.0}:
        raise ValueError(f"{name} has features other than 0 and 1")
    return Rows(features, (labels > 0).astype(np.float32))
