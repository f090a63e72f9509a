"""One bit a weight, for inference."""

import copy
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from qpsbgd.nn.layers import binary_layers


class PackedModel(NamedTuple):
    """What :func:`pack` returns.

    Attributes:
        model: the copy with packed weights.
        bytes_before: size of all parameters and buffers of the model that was packed.
        bytes_after: the same of the copy.
    """

    model: nn.Module
    bytes_before: int
    bytes_after: int


class PackedWeight(nn.Module):
    """Signs, one bit each, in the place of a layer's weight; a call gives them as numbers.

    The buffer ``bits``, uint8 ``(m, ceil(n / 8))``, has a row for each of the m outputs: 1 for +1,
    the lowest bit first, and zeros up to whole bytes.

    Args:
        signs: -1 and +1, ``(m, ...)``, with n to each of the m.
    """

    bits: Tensor
    one: Tensor

    def __init__(self, signs: Tensor) -> None:
        super().__init__()
        self.shape = signs.shape
        # Convolutions in another order of memory would round differently.
        last = signs.dim() == 4 and signs.is_contiguous(memory_format=torch.channels_last)
        self.memory_format = torch.channels_last if last else torch.contiguous_format
        positive = (signs > 0).flatten(1).cpu().numpy()
        bits = torch.from_numpy(np.packbits(positive, axis=1, bitorder="little"))
        self.register_buffer("bits", bits.to(signs.device))
        # Takes on the type to which the model is moved; bytes do not.
        self.register_buffer("one", signs.new_ones(()), persistent=False)

    @property
    def dtype(self) -> torch.dtype:
        """The type of the signs, which ``.to(dtype)`` changes."""
        return self.one.dtype

    def forward(self) -> Tensor:
        """The signs, shaped as the weight was."""
        byte = torch.arange(256, device=self.bits.device).unsqueeze(1)
        bit = torch.arange(8, device=self.bits.device)
        signs = (2 * (byte >> bit & 1) - 1).to(self.dtype)  # (256, 8): what each byte stands for
        rows = nn.functional.embedding(self.bits.int(), signs)  # (m, n / 8) -> (m, n / 8, 8)
        rows = rows.flatten(1)[:, : self.shape[1:].numel()]  # (m, n)
        return rows.reshape(self.shape).contiguous(memory_format=self.memory_format)

    def extra_repr(self) -> str:
        """Shape."""
        return ", ".join(map(str, self.shape))


def pack(model: nn.Module) -> PackedModel:
    """A copy for inference whose binary layers keep one bit a weight.

    The copy's outputs are those of the model, bit for bit. Its layers unpack their weights at each
    call: what gets smaller is the model at rest and its file, not the time that it takes.

    The weights cannot be trained any more; biases, scales and the real layers can. The state_dict
    has ``weight.bits`` in the place of ``weight``, and can be loaded into another packed model.
    Layers with ``kernel_quantizer=None`` stay as they are.

    Args:
        model: any module with binary layers; it is not changed.

    Returns:
        The copy, and the sizes of both in bytes.

    Raises:
        ValueError: no layer to pack, or a layer whose quantised weight is not of -1 and +1 alone.

    Example:
        >>> from qpsbgd.nn import BinaryLinear
        >>> model = nn.Sequential(BinaryLinear(256, 64, bias=False))
        >>> packed = pack(model)
        >>> packed.bytes_before, packed.bytes_after
        (65536, 2052)
        >>> x = torch.ones(3, 256)
        >>> torch.equal(packed.model(x), model(x))
        True
    """
    packed = copy.deepcopy(model)
    layers = list(binary_layers(packed))
    if not layers:
        raise ValueError(f"model ({type(model).__name__}) has no layer with binary weights")
    for name, layer in layers:
        with torch.no_grad():
            signs = layer.binary_weight
        wrong = signs[signs.abs() != 1]
        if len(wrong):
            quantizer = getattr(layer.kernel_quantizer, "__name__", layer.kernel_quantizer)
            raise ValueError(
                f"layer {name!r} has the weight {wrong[0].item()} after its kernel_quantizer "
                f"({quantizer}), but a packed weight must be -1 or +1"
            )
        del layer.weight  # a parameter gives way to nothing but a parameter
        layer.weight = PackedWeight(signs)  # type: ignore[assignment]
        layer.kernel_quantizer = None
    return PackedModel(packed, _size(model), _size(packed))


def _size(model: nn.Module) -> int:
    return sum(tensor.nbytes for tensor in (*model.parameters(), *model.buffers()))
