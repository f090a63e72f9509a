"""Copy tensors to the host and back, with one copy each way for all layers of a step."""

from collections import defaultdict
from collections.abc import Sequence

import torch
from torch import Tensor


def to_host(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Return the tensors as float32 on the CPU, row-major.

    Such tensors are not copied. The others are joined on their device and cross in one copy to
    pinned memory.
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
    """Return CPU tensors of one dtype on other devices, one device for each tensor."""
    result = list(tensors)
    for device, places in _elsewhere(devices).items():
        joined = torch.cat([tensors[place].reshape(-1) for place in places])
        if _can_pin(device):
            joined = joined.pin_memory()
        there = joined.to(device, non_blocking=True)
        _wait(device)  # the pinned memory may be freed when this function returns
        parts = there.split([tensors[place].numel() for place in places])  # type: ignore[no-untyped-call]
        for place, part in zip(places, parts, strict=True):
            result[place] = part.view(tensors[place].shape)
    return result


def _elsewhere(devices: Sequence[torch.device]) -> dict[torch.device, list[int]]:
    """Return, for each device other than the CPU, the positions of its tensors."""
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
