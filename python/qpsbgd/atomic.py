"""Files that are replaced whole, and where files go that are kept from one run to the next."""

import os
from pathlib import Path


def write_atomically(path: Path, content: bytes) -> None:
    """Replace a file whole: a reader, or a run killed now, sees the old or the new content."""
    # By the process: two that write one file at once do not write one temporary file.
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def cache_folder(part: str) -> Path:
    """The part's folder in the user's cache, ``~/.cache/qpsbgd`` or below ``$XDG_CACHE_HOME``."""
    caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(caches) / "qpsbgd" / part
