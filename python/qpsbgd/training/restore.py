"""Restoring the state of a run from a checkpoint, every entry of which is checked."""

import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from qpsbgd.optim.step.scale import SCALES
from qpsbgd.training.checkpoints import check_digest, damage_error, shortened
from qpsbgd.training.config import Config
from qpsbgd.training.loop import TrainingState

#: Columns of ``metrics.csv``.
COLUMNS = ("epoch", "lr", "train_loss", "train_accuracy", "test_accuracy", "seconds")
#: Numbers in the progress record of an unfinished epoch.
PROGRESS = ("batches", "loss_sum", "correct", "seconds")
#: Entries of QPSBGD's state that a layer may lack while another has them.
OWN_ENTRIES = {"scale_cosines", "scale_count", "past_inputs", "past_targets", "past_sizes"}


def restore(
    state: TrainingState, entries: dict[str, Any], path: Path, config: Config, num_images: int
) -> None:
    """Load the entries of a checkpoint into the state of a run that has not begun.

    Args:
        state: new state of the run; changed in place.
        entries: content of the checkpoint.
        path: path of the checkpoint, for messages.
        config: configuration of the run.
        num_images: number of training images.

    Raises:
        ValueError: an entry is damaged, or belongs to a run with other settings.
    """
    # Older checkpoints have neither settings nor an unfinished epoch.
    own_settings = config.decisive_settings
    _check_settings(path, entries.get("config", own_settings), own_settings)
    rows, epoch = entries["rows"], entries.get("epoch")
    _check_rows(path, rows, config.epochs)
    _check_progress(path, epoch, num_images, math.ceil(num_images / config.batch_size))
    check_alike(path, "model", entries["model"], state.model.state_dict())
    check_alike(path, "shuffle", entries["shuffle"], state.generator.get_state())
    own_groups = [dict(group) for group in state.optimizer.param_groups]
    own_scheduler = state.scheduler.state_dict()
    try:
        steps = entries["optimizer"]["state"]
        state.model.load_state_dict(entries["model"])
        state.optimizer.load_state_dict(entries["optimizer"])
        state.scheduler.load_state_dict(entries["scheduler"])
        state.generator.set_state(entries["shuffle"])
    except Exception as error:  # torch raises many types for entries that it does not expect
        raise damage_error(path, f"{type(error).__name__}: {error}") from error
    has_steps = bool(rows or (epoch and epoch["batches"]))
    _check_optimizer(path, state.optimizer, steps, own_groups, has_steps)
    scheduler = state.scheduler.state_dict()
    for name in own_scheduler.keys() & scheduler.keys():
        check_alike(path, f"the scheduler's {name}", scheduler[name], own_scheduler[name])
    if state.scheduler.last_epoch != len(rows):
        raise damage_error(
            path, f"the scheduler is at epoch {state.scheduler.last_epoch}, not {len(rows)}"
        )
    check_digest(path, entries)
    state.rows, state.epoch = rows, epoch


def check_alike(path: Path, name: str, value: Any, own: Any) -> None:
    """Raise ValueError if a value of a checkpoint has not the form of a run's own value.

    Tensors agree in shape and type, dicts in their keys, lists in their length, numbers in
    whether they are whole. All other values are equal.

    Example:
        >>> from pathlib import Path
        >>> check_alike(Path("checkpoint.pt"), "lr", "x", 0.1)
        Traceback (most recent call last):
        ValueError: checkpoint.pt is damaged: lr is 'x', but must be like 0.1
    """
    if isinstance(own, Tensor):
        if not isinstance(value, Tensor):
            raise damage_error(path, f"{name} is {shortened(value)}, but must be a tensor")
        if value.shape != own.shape or value.dtype != own.dtype:
            raise damage_error(
                path,
                f"{name} is {value.dtype} of shape {tuple(value.shape)}, but must be {own.dtype} "
                f"of shape {tuple(own.shape)}",
            )
        return
    if isinstance(own, dict):
        if not isinstance(value, dict) or list(value) != list(own):
            keys = ", ".join(map(str, value)) if isinstance(value, dict) else shortened(value)
            raise damage_error(path, f"{name} has {keys}, but must have {', '.join(own)}")
        for key, part in own.items():
            check_alike(path, f"{name} {key}", value[key], part)
        return
    if isinstance(own, (list, tuple)):
        fits = isinstance(value, type(own)) and len(value) == len(own)
        if fits:
            for part, own_part in zip(value, own, strict=True):
                check_alike(path, name, part, own_part)
    elif _is_number(own):
        fits = _is_number(value) and (isinstance(value, int) or isinstance(own, float))
    else:
        fits = type(value) is type(own) and value == own
    if not fits:
        raise damage_error(path, f"{name} is {shortened(value)}, but must be like {shortened(own)}")


def _check_settings(path: Path, settings: Any, own: dict[str, Any]) -> None:
    if not isinstance(settings, dict):
        raise damage_error(path, f"config is {shortened(settings)}, but must be a dict")
    for name in settings.keys() & own.keys():
        if isinstance(settings[name], Tensor) or settings[name] != own[name]:
            raise ValueError(
                f"{path.with_name('config.json')} has {name} {own[name]!r}, but {path.name} was "
                f"made with {shortened(settings[name])}: one of them is damaged"
            )


def _check_rows(path: Path, rows: Any, most: int) -> None:
    """Raise ValueError if rows are not the metrics of epochs 1, 2, ..., at most ``most``."""
    if not isinstance(rows, list) or len(rows) > most:
        raise damage_error(path, f"rows must be a list of at most {most} epochs")
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict) or set(row) != set(COLUMNS):
            raise damage_error(path, f"row {number} must have {', '.join(COLUMNS)}")
        _check_numbers(path, row, COLUMNS, f"row {number}")
        if row["epoch"] != number:
            raise damage_error(path, f"row {number} is of epoch {row['epoch']}")


def _check_progress(path: Path, epoch: Any, num_images: int, num_batches: int) -> None:
    """Raise ValueError if the progress record of an unfinished epoch is damaged."""
    if epoch is None:
        return
    if not isinstance(epoch, dict) or set(epoch) != {"order", *PROGRESS}:
        raise damage_error(path, f"epoch must have order, {', '.join(PROGRESS)}")
    order = epoch["order"]
    if (
        not isinstance(order, Tensor)
        or order.dtype != torch.int64
        or order.shape != (num_images,)
        or not torch.equal(order.sort().values, torch.arange(num_images))
    ):
        raise damage_error(path, f"order of epoch must be a permutation of {num_images} images")
    _check_numbers(path, epoch, PROGRESS, "epoch")
    if not isinstance(epoch["batches"], int) or not 0 <= epoch["batches"] <= num_batches:
        raise damage_error(
            path, f"batches of epoch is {epoch['batches']}, not in [0, {num_batches}]"
        )


def _check_optimizer(
    path: Path,
    optimizer: torch.optim.Optimizer,
    steps: Any,
    own_groups: list[dict[str, Any]],
    has_steps: bool,
) -> None:
    """Raise ValueError if the loaded state of an optimiser does not fit its parameters.

    Args:
        path: path of the checkpoint.
        optimizer: optimiser that has loaded the state.
        steps: state of each parameter, by the parameter's number.
        own_groups: parameter groups before the state was loaded.
        has_steps: whether the optimiser has made a step, so that each parameter has a state.
    """
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    if not isinstance(steps, dict):
        raise damage_error(path, f"the optimizer's state is {shortened(steps)}, but must be a dict")
    numbers = set(range(len(parameters)))
    # Plain SGD keeps no state at all.
    if not set(steps) <= numbers or (has_steps and set(steps) not in (set(), numbers)):
        raise damage_error(path, f"the optimizer has states of parameters {shortened(list(steps))}")
    names: set[str] | None = None
    for number, values in steps.items():
        own_names = set(values) - OWN_ENTRIES if isinstance(values, dict) else None
        if own_names is None or (names is not None and own_names != names):
            raise damage_error(
                path, f"the optimizer's state of parameter {number} has other entries"
            )
        names = own_names
        for name, value in values.items():
            if not _fits_parameter(name, value, parameters[number], values):
                raise damage_error(
                    path, f"the optimizer's {name} of parameter {number} does not fit it"
                )
    for own, group in zip(own_groups, optimizer.param_groups, strict=True):
        for name in own.keys() - {"params"}:
            if name not in group:
                raise damage_error(path, f"the optimizer has no {name}")
            check_alike(path, f"the optimizer's {name}", group[name], own[name])


def _fits_parameter(name: str, value: Any, parameter: Tensor, values: dict[str, Any]) -> bool:
    """Return whether an entry of an optimiser's state has the form that its parameter needs.

    Args:
        name: name of the entry.
        value: the entry.
        parameter: the parameter.
        values: all entries of the parameter's state.
    """
    match name:
        case "step" if not isinstance(value, Tensor):
            return _is_number(value)
        case "step":
            shape = torch.Size(())
        case "unit":
            return _is_number(value) and value > 0
        case "scale_cosines":
            return (
                isinstance(value, list)
                and len(value) == len(SCALES)
                and all(map(_is_number, value))
                and "scale_count" in values
            )
        case "scale_count":
            return isinstance(value, int) and value > 0 and "scale_cosines" in values
        case "past_sizes":
            has_samples = {"past_inputs", "past_targets"} <= values.keys()
            return (
                has_samples
                and isinstance(value, list)
                and all(isinstance(size, int) and size > 0 for size in value)
            )
        case "past_inputs" | "past_targets":
            sizes: Any = values.get("past_sizes")
            if not _fits_parameter("past_sizes", sizes, parameter, values):
                return False
            is_inputs = name == "past_inputs"
            width = parameter[0].numel() if is_inputs else len(parameter)
            shape = torch.Size((sum(sizes), width))
        case _:
            shape = parameter.shape
    return isinstance(value, Tensor) and value.is_floating_point() and value.shape == shape


def _check_numbers(path: Path, values: dict[str, Any], names: tuple[str, ...], place: str) -> None:
    for name in names:
        if not _is_number(values[name]):
            raise damage_error(
                path, f"{name} of {place} is {shortened(values[name])}, not a number"
            )


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
