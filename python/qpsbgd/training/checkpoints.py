"""Checkpoint files of training runs, which carry a digest of their content."""

import hashlib
import io
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from qpsbgd.atomic import write_atomically

#: Entries that a checkpoint must have; ``"epoch"``, ``"config"`` and ``"digest"`` may be missing.
REQUIRED = ("model", "optimizer", "scheduler", "shuffle", "rows", "data")


def write_checkpoint(path: Path, entries: dict[str, Any]) -> None:
    """Replace a checkpoint file by entries and their digest.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> entries = {name: [] for name in REQUIRED} | {"data": "digits"}
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "checkpoint.pt"
        ...     write_checkpoint(path, entries)
        ...     read_checkpoint(path) == entries | {"digest": digest(entries)}
        True
    """
    buffer = io.BytesIO()
    torch.save({**entries, "digest": digest(entries)}, buffer)
    write_atomically(path, buffer.getvalue())


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Return the entries of a checkpoint; :mod:`qpsbgd.training.restore` checks their content.

    Raises:
        ValueError: the file is no checkpoint, or an entry is missing.
        OSError: the file cannot be read.
    """
    content = io.BytesIO(path.read_bytes())
    try:
        entries = torch.load(content, weights_only=True)
    except Exception as error:  # torch raises many types
        raise damage_error(path, error) from error
    if not isinstance(entries, dict):
        raise damage_error(path, f"it holds a {type(entries).__name__}, but must hold a dict")
    for name in REQUIRED:
        if name not in entries:
            raise damage_error(path, f"it has no {name!r}")
    if not isinstance(entries["data"], str):
        raise damage_error(path, f"data is {shortened(entries['data'])}, but must be a description")
    return entries


def check_digest(path: Path, entries: dict[str, Any]) -> None:
    """Raise ValueError if entries do not have their digest; older checkpoints have none."""
    content = {name: value for name, value in entries.items() if name != "digest"}
    if "digest" in entries and entries["digest"] != digest(content):
        raise damage_error(path, "its entries do not match its digest")


def digest(tree: Any) -> str:
    """Return the SHA-256 of a tree of dicts, lists, tensors, strings and numbers.

    Example:
        >>> digest([1, 2]) == digest([1, 2]), digest([1, 2]) == digest([1, 2.0])
        (True, False)
    """
    total = hashlib.sha256()
    _add_to_digest(total, tree)
    return total.hexdigest()


def _add_to_digest(total: Any, tree: Any) -> None:
    """Add a tree to a digest: for each node its type and size, then its content."""
    if isinstance(tree, Tensor):
        array = tree.detach().cpu().contiguous()
        data = array.view(-1).view(torch.uint8).numpy().tobytes() if array.numel() else b""
        head = f"tensor {array.dtype} {tuple(array.shape)}"
    elif isinstance(tree, Mapping):
        head, data = f"dict {len(tree)}", b""
    elif isinstance(tree, (list, tuple)):
        head, data = f"list {len(tree)}", b""
    elif isinstance(tree, float):
        head, data = "float", struct.pack("<d", tree)
    else:
        data = repr(tree).encode()
        head = f"{type(tree).__name__} {len(data)}"
    total.update(f"{head}\n".encode() + data)
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            _add_to_digest(total, key)
            _add_to_digest(total, value)
    elif isinstance(tree, (list, tuple)):
        for value in tree:
            _add_to_digest(total, value)


def damage_error(path: Path, fault: object) -> ValueError:
    """Return the error of a checkpoint that cannot be used, in one line."""
    return ValueError(f"{path} is damaged: {' '.join(str(fault).split())[:300]}")


def shortened(value: Any) -> str:
    """Return a value for an error message, in one line of at most 63 characters.

    Example:
        >>> len(shortened("x" * 100))
        63
    """
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else text[:60] + "..."
