"""Data files: missing ones told apart from damaged ones, and both from a disk's faults."""

import errno
import gzip
import hashlib
import http.client
import urllib.error
import urllib.request

import pytest

from bench.paper import fetch
from qpsbgd.errors import MissingDataError
from qpsbgd.training import datasets

CONTENT = bytes(range(256)) * 8
CHECKSUMS = {"a": hashlib.sha256(CONTENT).hexdigest()}


@pytest.fixture
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv(datasets.DATA_VARIABLE, raising=False)
    return tmp_path / "qpsbgd" / "part"


def refused(error):
    def urlopen(*args, **kwargs):
        raise error

    return urlopen


def test_what_is_not_downloaded_is_missing(cache):
    with pytest.raises(MissingDataError, match=r"put a \.\. a into"):
        fetch.find("part", ["a"], "http://nowhere", {})


@pytest.mark.parametrize(
    "error",
    [urllib.error.URLError("no net"), TimeoutError("slow"), http.client.IncompleteRead(b"")],
)
def test_what_cannot_be_downloaded_is_missing(cache, monkeypatch, error):
    monkeypatch.setattr(urllib.request, "urlopen", refused(error))
    with pytest.raises(MissingDataError, match="could not be downloaded"):
        fetch.find("part", ["a"], "http://nowhere", CHECKSUMS)


def test_a_full_disk_is_not_missing_data(cache, monkeypatch):
    full = OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr("tempfile.TemporaryDirectory", refused(full))
    with pytest.raises(OSError, match="No space left") as caught:
        fetch.find("part", ["a"], "http://nowhere", CHECKSUMS)
    assert not isinstance(caught.value, MissingDataError)


def damaged_gzips():
    whole = gzip.compress(CONTENT)
    middle = bytearray(whole)
    middle[10:20] = b"\xff" * 10  # no deflate stream
    return {"half": whole[:-12], "stream": bytes(middle), "header": b"x" + whole[1:]}


@pytest.mark.parametrize("name", ["half", "stream", "header"])
def test_damaged_gzip_files_are_value_errors(cache, name):
    cache.mkdir(parents=True)
    (cache / "a.gz").write_bytes(damaged_gzips()[name])
    with pytest.raises(ValueError, match=r"a\.gz is no whole gzip file"):
        fetch.read(cache, "a", CHECKSUMS)
    with pytest.raises(ValueError, match=r"a\.gz is no whole gzip file"):
        datasets.read_idx(cache / "a.gz")


def test_a_data_folder_that_is_not_there_is_missing_data(monkeypatch):
    monkeypatch.setenv(datasets.DATA_VARIABLE, "/no/such/folder")
    with pytest.raises(MissingDataError, match="no such folder"):
        datasets.data_folder()
