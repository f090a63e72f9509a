"""Data files from the data folder, from the user's cache, or from a download with checksums.

The folders are ``$QPSBGD_DATA/data/<part>`` and ``~/.cache/qpsbgd/<part>`` (or
``$XDG_CACHE_HOME/qpsbgd/<part>``). Files that are in neither are downloaded into the cache if their
checksums are known.
"""

import hashlib
import http.client
import tempfile
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path

from qpsbgd.atomic import cache_folder
from qpsbgd.errors import MissingDataError
from qpsbgd.training.datasets import data_folder, read_gzip


def find(part: str, files: Sequence[str], source: str, checksums: Mapping[str, str]) -> Path:
    """Return the folder that holds all files of a data set; download them if there is none.

    Args:
        part: name of the data set's folder.
        files: names of the files; each may be there compressed, with ``.gz`` appended.
        source: URL of the folder to download from.
        checksums: SHA-256 of the uncompressed files. Without all of them there is no download.

    Raises:
        MissingDataError: files are missing and cannot be downloaded.
        OSError: the cache cannot be written.
        ValueError: a downloaded file has another checksum.
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
    """Download files into a folder: all of them, each with its checksum, or none."""
    folder.mkdir(parents=True, exist_ok=True)
    # Another process may download the same files, so each uses a temporary folder of its own.
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
    """Return the uncompressed content of a file in a folder that :func:`find` returned.

    Raises:
        ValueError: the file is damaged.
    """
    path = folder / file
    if path.is_file():
        content = path.read_bytes()
    else:
        path = folder / f"{file}.gz"
        content = read_gzip(path)
    check(str(path), file, content, checksums)
    return content


def check(place: str, file: str, content: bytes, checksums: Mapping[str, str]) -> None:
    """Raise ValueError if content does not have the file's checksum, if that is known."""
    found, expected = hashlib.sha256(content).hexdigest(), checksums.get(file)
    if expected is not None and found != expected:
        raise ValueError(f"{place} has SHA-256 {found}, but {file} has {expected}: it is damaged")
