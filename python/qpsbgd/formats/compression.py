"""Decompression of files that gzip, xz or bzip2 compressed; their first bytes tell which."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

#: First bytes and file suffix of each kind of compression.
KINDS = ((b"\x1f\x8b", ".gz"), (b"\xfd7zXZ\x00", ".xz"), (b"BZh", ".bz2"))


def unpack(path: Path, content: bytes) -> tuple[bytes, str]:
    """Decompress the bytes of a file.

    Args:
        path: path of the file, for errors.
        content: its bytes.

    Returns:
        The decompressed bytes, or ``content`` if it is not compressed, and the name of the file
        without the suffix of the compression.

    Raises:
        ValueError: the compressed data are damaged or cut short.
    """
    for magic, suffix in KINDS:
        if content.startswith(magic):
            try:
                return _streams(content, _decompressor(suffix)), path.name.removesuffix(suffix)
            except _errors(suffix) as error:
                raise ValueError(f"{path} is damaged: {error}") from error
    return content, path.name


def _decompressor(suffix: str) -> Callable[[], Any]:
    # Some builds of Python lack these modules, and only compressed files need them.
    if suffix == ".gz":
        import zlib

        return lambda: zlib.decompressobj(wbits=31)  # 31: a gzip header and its checksum
    if suffix == ".xz":
        import lzma

        return lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ)
    import bz2

    return bz2.BZ2Decompressor


def _errors(suffix: str) -> tuple[type[Exception], ...]:
    errors: tuple[type[Exception], ...] = (OSError, EOFError, ValueError)
    if suffix == ".gz":
        import zlib

        return (*errors, zlib.error)
    if suffix == ".xz":
        import lzma

        return (*errors, lzma.LZMAError)
    return errors


def _streams(content: bytes, make: Callable[[], Any]) -> bytes:
    """Decompress all streams. The library functions skip a stream whose first bytes are damaged."""
    pieces = []
    while content:
        stream = make()
        pieces.append(stream.decompress(content))
        if not stream.eof:
            raise ValueError("the compressed data are cut short")
        content = stream.unused_data.lstrip(b"\0")  # padding between streams
    return b"".join(pieces)
