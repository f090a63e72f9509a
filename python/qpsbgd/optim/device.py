"""Tensors to the host and back: one copy each way for all layers of a step."""

from collections import defaultdict
from collections.abc import Sequence

import torch
from torch import Tensor


def to_host(tensors: Sequence[Tensor]) -> list[Tensor]:
    """The tensors as float32 on the CPU, row-major.

    Those that are there already are not copied. The others are joined on their device and cross in
    one copy into pinned memory.
    """
    result = [tensor.to(torch.float32).contiguous() for tensor in tensors]
    for device, places in _elsewhere([tensor.device for tensor in result]).items():
        joined = torch.cat([result[place].reshape(-1) for place in places])
        host = torch.empty(joined.shape, dtype=joined.dtype, pin_memory=_can_pin(device))
        host.copy_(joined, non_blocking=True)
        _wait(device)
        parts = host.split([result[place].numel() for place in places])  # type: ignore[no-untyped-call]
        for place, part in zip(places, parts, strict=True):
            result[place] = part.view(result[place].shape)
    return result


def to_devices(tensors: Sequence[Tensor], devices: Sequence[torch.device]) -> list[Tensor]:
    """CPU tensors of one dtype on the devices named, one each; the way back."""
    result = list(tensors)
    for device, places in _elsewhere(devices).items():
        joined = torch.cat([tensors[place].reshape(-1) for place in places])
        if _can_pin(device):
            joined = joined.pin_memory()
        there = joined.to(device, non_blocking=True)
        _wait(device)  # the pinned memory may go when this returns
        parts = there.split([tensors[place].numel() for place in places])  # type: ignore[no-untyped-call]
        for place, part in zip(places, parts, strict=True):
            result[place] = part.view(tensors[place].shape)
    return result


def _elsewhere(devices: Sequence[torch.device]) -> dict[torch.device, list[int]]:
    """Positions of the devices that are not the CPU, by device."""
    places = defaultdict(list)
    for place, device in enumerate(devices):
        if device.type != "cpu":
            places[device].append(place)
    return places


def _can_pin(device: torch.device) -> bool:
    return device.type == "cuda"


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.current_stream(device).synchronize()
