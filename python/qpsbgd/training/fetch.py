"""Data files from the data folder, from a cache, or by a download with a checksum.

Files are looked for in ``$QPSBGD_DATA/data/<part>``, then in ``~/.cache/qpsbgd/<part>`` (or below
``$XDG_CACHE_HOME``), into which those that can be are downloaded where they are in neither.
"""

import gzip
import hashlib
import http.client
import tempfile
import urllib.request
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from qpsbgd.atomic import cache_folder
from qpsbgd.errors import MissingDataError
from qpsbgd.training.datasets import data_folder


def find(part: str, files: Sequence[str], source: str, checksums: Mapping[str, str]) -> Path:
    """The folder that has all files, as they are or with ``.gz``; if need be by a download.

    Args:
        part: name of the data set's folder.
        files: names; compressed files are those with ``.gz`` appended.
        source: URL of the folder to download from.
        checksums: SHA-256 of the uncompressed files; only if all are known there is a download.

    Raises:
        MissingDataError: files that are not downloaded are missing, or a download fails.
        OSError: the cache cannot be written.
        ValueError: what is downloaded is not what it should be.
    """
    data, cache = data_folder(), cache_folder(part)
    folders = [cache] if data is None else [data / "data" / part, cache]
    for folder in folders:
        if all((folder / f).is_file() or (folder / f"{f}.gz").is_file() for f in files):
            return folder
    if not checksums.keys() >= set(files):
        places = " or ".join(map(str, folders))
        raise MissingDataError(f"put {files[0]} .. {files[-1]} into {places}")
    download(files, cache, source, checksums)
    return cache


def download(files: Sequence[str], folder: Path, source: str, checksums: Mapping[str, str]) -> None:
    """Fetch files whose checksums are known; all arrive whole, or none does."""
    folder.mkdir(parents=True, exist_ok=True)
    # In a folder of its own: another process may download the same.
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        for file in files:
            try:
                with urllib.request.urlopen(f"{source}/{file}", timeout=60) as response:
                    content = response.read()
            except (OSError, http.client.HTTPException) as error:
                raise MissingDataError(
                    f"{source}/{file} could not be downloaded ({error}): put it into {folder}"
                ) from error
            check(f"{source}/{file}", file, content, checksums)
            (Path(temporary) / file).write_bytes(content)
        for file in files:
            (Path(temporary) / file).replace(folder / file)


def read(folder: Path, file: str, checksums: Mapping[str, str]) -> bytes:
    """Content of a file that was found, uncompressed and checked.

    Raises:
        ValueError: it is damaged.
    """
    path = folder / file
    if path.is_file():
        content = path.read_bytes()
    else:
        path = folder / f"{file}.gz"
        try:
            content = gzip.decompress(path.read_bytes())
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise ValueError(f"{path} is no whole gzip file: {error}") from error
    check(str(path), file, content, checksums)
    return content


def check(place: str, file: str, content: bytes, checksums: Mapping[str, str]) -> None:
    """Refuse content that has not the file's checksum, where that is known."""
    found, expected = hashlib.sha256(content).hexdigest(), checksums.get(file)
    if expected is not None and found != expected:
        raise ValueError(f"{place} has SHA-256 {found}, but {file} {expected}: it is damaged")
