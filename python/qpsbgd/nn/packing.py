"""Packing of binary weights: one bit per weight, for inference."""

import copy
from typing import NamedTuple, TypeVar

import torch
from torch import nn

from qpsbgd.nn.layers import binary_layers
from qpsbgd.nn.packed_weight import PackedWeight

Model = TypeVar("Model", bound=nn.Module)


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


def pack(model: Model) -> Model:
    """Return a copy of a model for inference, with one bit per binary weight.

    The outputs of the copy equal those of the model up to rounding. On the CPU, linear layers and
    graph convolutions multiply inputs of -1 and +1, and up to four other inputs, with the bits.
    With at least 1024 inputs and outputs this is faster than ``nn.Linear``; ``docs/inference.md``
    has the figures. In all other cases a layer unpacks its weight in each call. It then gives the
    same bits as the model, and packing saves memory and file size, but no time.

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
