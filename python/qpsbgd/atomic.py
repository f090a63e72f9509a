"""Files that are replaced as a whole, and the folder for files that later runs need."""

import os
import secrets
import tempfile
from pathlib import Path


def write_atomically(path: Path, content: bytes) -> None:
    """Replace a file as a whole.

    A reader sees the old or the new content, even if this process is killed meanwhile.

    Args:
        path: path of the file, in a folder that exists.
        content: the new content.

    Raises:
        OSError: the file cannot be written. The old file is then unchanged.
    """
    # Each call has a temporary file of its own: threads and processes may write the same path.
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(8)}.tmp")
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
    """Return the folder of a part of the package below the user's cache.

    Args:
        part: name of the part, such as ``"embeddings"``.

    Returns:
        ``$XDG_CACHE_HOME/qpsbgd/part``, or ``~/.cache/qpsbgd/part``. A user without a home folder,
        as in many containers, has ``qpsbgd-UID/part`` in the folder for temporary files. The folder
        need not exist.
    """
    caches = os.environ.get("XDG_CACHE_HOME")
    if caches:
        return Path(caches) / "qpsbgd" / part
    try:
        return Path.home() / ".cache" / "qpsbgd" / part
    except RuntimeError:  # no $HOME, and no entry in the password database
        return Path(tempfile.gettempdir()) / f"qpsbgd-{os.getuid()}" / part
