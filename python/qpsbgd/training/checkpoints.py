"""Checkpoints of training runs: written whole with a digest, and checked before they are used."""

import hashlib
import io
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from qpsbgd.atomic import write_atomically

#: Entries that a checkpoint must have; it may have ``"epoch"``, ``"config"`` and ``"digest"``.
REQUIRED = ("model", "optimizer", "scheduler", "shuffle", "rows", "data")
ROW = ("epoch", "lr", "train_loss", "train_accuracy", "test_accuracy", "seconds")
#: Members of ``"epoch"``, an epoch under way, beside the order of its images.
EPOCH = ("batches", "loss_sum", "correct", "seconds")


def write_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Replace a checkpoint by a state and its digest."""
    buffer = io.BytesIO()
    torch.save({**state, "digest": digest(state)}, buffer)
    write_atomically(path, buffer.getvalue())


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint, whose entries are not checked yet.

    Raises:
        ValueError: the file is no checkpoint, or an entry is missing.
        OSError: the file cannot be read.
    """
    content = io.BytesIO(path.read_bytes())
    try:
        state = torch.load(content, weights_only=True)
    except Exception as error:  # torch raises many types
        raise damaged(path, error) from error
    if not isinstance(state, dict):
        raise damaged(path, f"it holds a {type(state).__name__}, but must hold a dict")
    for name in REQUIRED:
        if name not in state:
            raise damaged(path, f"it has no {name!r}")
    if not isinstance(state["data"], str):
        raise damaged(path, f"data is {_short(state['data'])}, but must be a description")
    return state


def check_settings(path: Path, found: Any, own: dict[str, Any]) -> None:
    """Raise ValueError if a checkpoint was made with other settings than those of a run."""
    if not isinstance(found, dict):
        raise damaged(path, f"config is {_short(found)}, but must be a dict")
    for name in found.keys() & own.keys():
        if isinstance(found[name], Tensor) or found[name] != own[name]:
            raise ValueError(
                f"{path.with_name('config.json')} has {name} {own[name]!r}, but {path.name} was "
                f"made with {_short(found[name])}: one of them is damaged"
            )


def check_digest(path: Path, state: dict[str, Any]) -> None:
    """Raise ValueError if a state does not have its digest; older checkpoints have none."""
    content = {name: value for name, value in state.items() if name != "digest"}
    if "digest" in state and state["digest"] != digest(content):
        raise damaged(path, "its entries do not match its digest")


def check_rows(path: Path, rows: Any, most: int) -> None:
    """Raise ValueError if the rows of finished epochs are not those of 1, 2, ..., at most most."""
    if not isinstance(rows, list) or len(rows) > most:
        raise damaged(path, f"rows must be a list of at most {most} epochs")
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict) or set(row) != set(ROW):
            raise damaged(path, f"row {number} must have {', '.join(ROW)}")
        for name in ROW:
            if not _is_number(row[name]):
                raise damaged(path, f"{name} of row {number} is {_short(row[name])}, not a number")
        if row["epoch"] != number:
            raise damaged(path, f"row {number} is of epoch {row['epoch']}")


def check_epoch(path: Path, epoch: Any, num_images: int, num_batches: int) -> None:
    """Raise ValueError if the record of an epoch under way is damaged; None is between epochs."""
    if epoch is None:
        return
    if not isinstance(epoch, dict) or set(epoch) != {"order", *EPOCH}:
        raise damaged(path, f"epoch must have order, {', '.join(EPOCH)}")
    order = epoch["order"]
    if (
        not isinstance(order, Tensor)
        or order.dtype != torch.int64
        or order.shape != (num_images,)
        or not torch.equal(order.sort().values, torch.arange(num_images))
    ):
        raise damaged(path, f"order of epoch must be a permutation of {num_images} images")
    for name in EPOCH:
        if not _is_number(epoch[name]):
            raise damaged(path, f"{name} of epoch is {_short(epoch[name])}, not a number")
    if not isinstance(epoch["batches"], int) or not 0 <= epoch["batches"] <= num_batches:
        raise damaged(path, f"batches of epoch is {epoch['batches']}, not in [0, {num_batches}]")


def check_tensors(path: Path, name: str, found: Any, own: Mapping[str, Tensor]) -> None:
    """Raise ValueError if tensors differ in name, shape or type from a run's own."""
    if not isinstance(found, dict) or list(found) != list(own):
        names = ", ".join(map(str, found)) if isinstance(found, dict) else _short(found)
        raise damaged(path, f"{name} has {names}, but must have {', '.join(own)}")
    for key, tensor in own.items():
        check_tensor(path, f"{name} {key}", found[key], tensor)


def check_tensor(path: Path, name: str, found: Any, own: Tensor) -> None:
    """Raise ValueError if a value is no tensor of a shape and type."""
    if not isinstance(found, Tensor):
        raise damaged(path, f"{name} is {_short(found)}, but must be a tensor")
    if found.shape != own.shape or found.dtype != own.dtype:
        raise damaged(
            path,
            f"{name} is {found.dtype} of shape {tuple(found.shape)}, but must be {own.dtype} of "
            f"shape {tuple(own.shape)}",
        )


def check_optimizer_state(
    path: Path, state: Any, parameters: list[Tensor], is_started: bool
) -> None:
    """Raise ValueError if the state of an optimiser does not fit its parameters.

    Args:
        path: path of the checkpoint.
        state: entries by the number of a parameter.
        parameters: the parameters, in the order of their numbers.
        is_started: whether the optimiser has made a step, so that each parameter has a state.
    """
    if not isinstance(state, dict):
        raise damaged(path, f"the optimizer's state is {_short(state)}, but must be a dict")
    numbers = set(range(len(parameters)))
    # Plain SGD keeps no state at all.
    if not set(state) <= numbers or (is_started and set(state) not in (set(), numbers)):
        raise damaged(path, f"the optimizer has states of parameters {_short(list(state))}")
    names: set[str] | None = None
    for number, entries in state.items():
        if not isinstance(entries, dict) or (names is not None and set(entries) != names):
            raise damaged(path, f"the optimizer's state of parameter {number} has other entries")
        names = set(entries)
        shape = parameters[number].shape
        for name, value in entries.items():
            if isinstance(value, Tensor):
                expected = torch.Size(()) if name == "step" else shape
                fits = value.is_floating_point() and value.shape == expected
            else:
                fits = name == "step" and _is_number(value)
            if not fits:
                raise damaged(path, f"the optimizer's {name} of parameter {number} does not fit it")


def check_like(path: Path, name: str, found: Any, own: Any) -> None:
    """Raise ValueError if a value has another type than a run's own value of that name."""
    if isinstance(own, (list, tuple)):
        fits = isinstance(found, type(own)) and len(found) == len(own)
        if fits:
            for part, own_part in zip(found, own, strict=True):
                check_like(path, name, part, own_part)
    elif _is_number(own):
        fits = _is_number(found) and (isinstance(found, int) or isinstance(own, float))
    else:
        fits = type(found) is type(own) and found == own
    if not fits:
        raise damaged(path, f"{name} is {_short(found)}, but must be like {_short(own)}")


def digest(value: Any) -> str:
    """Return the SHA-256 of a tree of dicts, lists, tensors, strings and numbers."""
    made = hashlib.sha256()
    _add(made, value)
    return made.hexdigest()


def _add(made: Any, value: Any) -> None:
    """Add a value to a digest, in front of it its kind and its length."""
    if isinstance(value, Tensor):
        array = value.detach().cpu().contiguous()
        data = array.view(-1).view(torch.uint8).numpy().tobytes() if array.numel() else b""
        head = f"tensor {array.dtype} {tuple(array.shape)}"
    elif isinstance(value, Mapping):
        head, data = f"dict {len(value)}", b""
    elif isinstance(value, (list, tuple)):
        head, data = f"list {len(value)}", b""
    elif isinstance(value, float):
        head, data = "float", struct.pack("<d", value)
    else:
        data = repr(value).encode()
        head = f"{type(value).__name__} {len(data)}"
    made.update(f"{head}\n".encode() + data)
    if isinstance(value, Mapping):
        for key, part in value.items():
            _add(made, key)
            _add(made, part)
    elif isinstance(value, (list, tuple)):
        for part in value:
            _add(made, part)


def damaged(path: Path, fault: object) -> ValueError:
    """Make the error of a checkpoint that cannot be used, in one line."""
    return ValueError(f"{path} is damaged: {' '.join(str(fault).split())[:300]}")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _short(value: Any) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else text[:60] + "..."
