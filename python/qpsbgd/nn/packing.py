"""Packing of binary weights: one bit per weight, for inference."""

import copy
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from qpsbgd.nn.layers import binary_layers

Model = TypeVar("Model", bound=nn.Module)

_BYTES = np.arange(256, dtype=np.uint8)[:, None]
#: The eight signs of each byte, lowest bit first: int8 (256, 8).
SIGNS_OF_BYTES = 2 * np.unpackbits(_BYTES, axis=1, bitorder="little").astype(np.int8) - 1


class PackReport(NamedTuple):
    """Sizes of a model before and after packing; ``pack(model).pack_report``.

    Attributes:
        bytes_before: size of all parameters and buffers of the original model.
        bytes_after: size of all parameters and buffers of the packed model.

    Example:
        >>> from qpsbgd.nn import BinaryLinear, pack
        >>> pack(BinaryLinear(256, 64, bias=False)).pack_report
        PackReport(bytes_before=65536, bytes_after=2052)
    """

    bytes_before: int
    bytes_after: int


class PackedWeight(nn.Module):
    """Signs stored as bits, which replace the weight of a layer; a call returns them as numbers.

    The buffer ``bits``, uint8 ``(m, ceil(n / 8))``, has one row per output. A bit is 1 for +1. The
    lowest bit of a byte comes first, and zeros fill the last byte of a row.

    Args:
        signs: float tensor ``(m, ...)`` of -1 and +1, with n elements for each of the m outputs.

    Example:
        >>> import torch
        >>> from qpsbgd.nn import PackedWeight
        >>> weight = PackedWeight(torch.tensor([[1.0, -1.0, 1.0]]))
        >>> weight.bits.tolist()
        [[5]]
        >>> weight().tolist()
        [[1.0, -1.0, 1.0]]
    """

    bits: Tensor
    one: Tensor

    def __init__(self, signs: Tensor) -> None:
        super().__init__()
        self.shape = signs.shape
        # A convolution rounds differently if its weight has another memory format.
        # The attribute is a bool because pickle cannot store a torch.memory_format.
        self.is_channels_last = signs.dim() == 4 and signs.is_contiguous(
            memory_format=torch.channels_last
        )
        is_positive = (signs > 0).flatten(1).cpu().numpy()
        bits = torch.from_numpy(np.packbits(is_positive, axis=1, bitorder="little"))
        self.register_buffer("bits", bits.to(signs.device))
        # model.to(dtype) converts this buffer, unlike the bits, and so tells the dtype.
        self.register_buffer("one", signs.new_ones(()), persistent=False)

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the returned signs, which ``.to(dtype)`` changes."""
        return self.one.dtype

    def forward(self) -> Tensor:
        """Return the signs in the shape of the original weight."""
        signs = torch.from_numpy(SIGNS_OF_BYTES).to(self.bits.device, self.dtype)  # (256, 8)
        rows = nn.functional.embedding(self.bits.int(), signs)  # (m, n / 8, 8)
        rows = rows.flatten(1)[:, : self.shape[1:].numel()]  # (m, n)
        memory_format = torch.channels_last if self.is_channels_last else torch.contiguous_format
        return rows.reshape(self.shape).contiguous(memory_format=memory_format)

    def extra_repr(self) -> str:
        """Return the shape for ``repr``."""
        return ", ".join(map(str, self.shape))


def pack(model: Model) -> Model:
    """Return a copy of a model for inference, with one bit per binary weight.

    The outputs of the copy equal those of the model bit for bit. The layers of the copy unpack
    their weights in each call, so packing saves memory and file size, but no time.

    The packed weights cannot be trained. Biases, scales and layers with real weights can. The
    ``state_dict`` has ``weight.bits`` instead of ``weight``, and another packed model can load it.

    Args:
        model: any module with binary layers; the function does not change it.

    Returns:
        The copy. Its attribute ``pack_report`` is a :class:`PackReport` with the sizes of both
        models in bytes.

    Raises:
        ValueError: no layer can be packed, or a quantised weight has values other than -1 and +1.

    Example:
        >>> import torch
        >>> from qpsbgd.nn import BinaryLinear, pack
        >>> model = torch.nn.Sequential(BinaryLinear(256, 64, bias=False))
        >>> packed = pack(model)
        >>> packed.pack_report.bytes_before, packed.pack_report.bytes_after
        (65536, 2052)
        >>> x = torch.ones(3, 256)
        >>> torch.equal(packed(x), model(x))
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
        del layer.weight  # nn.Module refuses to assign a module to the name of a parameter
        layer.weight = PackedWeight(signs)  # type: ignore[assignment]
        layer.kernel_quantizer = None
    packed.pack_report = PackReport(_num_bytes(model), _num_bytes(packed))  # type: ignore[assignment]
    return packed


def _num_bytes(model: nn.Module) -> int:
    return sum(tensor.nbytes for tensor in (*model.parameters(), *model.buffers()))
