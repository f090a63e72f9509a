"""The folder for files that later runs need."""

import tempfile
from pathlib import Path

import pytest

from qpsbgd.atomic import cache_folder, write_atomically


@pytest.fixture
def without_variables(monkeypatch):
    for name in ("XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)


def test_below_the_users_cache(monkeypatch, tmp_path, without_variables):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_folder("embeddings") == tmp_path / "home" / ".cache" / "qpsbgd" / "embeddings"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert cache_folder("embeddings") == tmp_path / "cache" / "qpsbgd" / "embeddings"


def test_a_user_without_a_home_has_a_cache(monkeypatch, tmp_path, without_variables):
    """As in a container that runs under a user without an entry in the password database."""

    def nobody():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", nobody)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    folder = cache_folder("embeddings")
    assert folder.parent.parent == tmp_path
    assert folder.name == "embeddings"
    folder.mkdir(parents=True)
    write_atomically(folder / "file", b"content")
    assert (cache_folder("embeddings") / "file").read_bytes() == b"content"
