"""Signs stored as bits: the weight of a packed layer."""

import numpy as np
import torch
from torch import Tensor, nn

from qpsbgd import _core
from qpsbgd.nn.functional import is_observed

_BYTES = np.arange(256, dtype=np.uint8)[:, None]
#: The eight signs of each byte, lowest bit first: int8 (256, 8).
SIGNS_OF_BYTES = torch.from_numpy(
    2 * np.unpackbits(_BYTES, axis=1, bitorder="little").astype(np.int8) - 1
)

#: Largest number of inputs with values other than -1 and +1 that a product takes without unpacking.
#: For more inputs, torch's product of matrices is faster.
MAX_REAL_INPUTS = 4
#: Least number of weights of a layer that multiplies real inputs without unpacking. Below it the
#: time is that of the call, and the unpacked weight gives the bits of the unpacked layer.
MIN_WEIGHTS = 1 << 14


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
        signs = SIGNS_OF_BYTES.to(self.bits.device, self.dtype)  # (256, 8)
        rows = nn.functional.embedding(self.bits.int(), signs)  # (m, n / 8, 8)
        rows = rows.flatten(1)[:, : self.shape[1:].numel()]  # (m, n)
        memory_format = torch.channels_last if self.is_channels_last else torch.contiguous_format
        return rows.reshape(self.shape).contiguous(memory_format=memory_format)

    def linear(self, input: Tensor, bias: Tensor | None = None) -> Tensor:
        """Return ``input weight^T + bias`` for a weight of two dimensions.

        Where it is faster, the product uses the bits without unpacking them. It is exact for
        inputs of -1 and +1.

        Args:
            input: ``(*, n)``.
            bias: ``(m,)`` or None.
        """
        output = self._multiply_bits(input) if self._may_multiply_bits(input) else None
        if output is None:
            return nn.functional.linear(input, self(), bias)
        return output if bias is None else output + bias

    def _may_multiply_bits(self, input: Tensor) -> bool:
        return (
            not torch.compiler.is_compiling()
            and not (torch.is_grad_enabled() and input.requires_grad)
            and input.dtype == self.dtype == torch.float32
            and type(input) is Tensor
            and input.device.type == self.bits.device.type == "cpu"
            and not torch.is_autocast_enabled("cpu")
            and not is_observed()
        )

    def _multiply_bits(self, input: Tensor) -> Tensor | None:
        """Return the product; None if torch's product is faster."""
        num_outputs, num_inputs = self.shape
        output = _core.multiply_packed(
            input.detach().reshape(-1, num_inputs).contiguous().numpy(),
            self.bits.numpy(),
            max_real=MAX_REAL_INPUTS if self.shape.numel() >= MIN_WEIGHTS else 0,
            num_threads=torch.get_num_threads(),
        )
        if output is None:
            return None
        return torch.from_numpy(output).view(*input.shape[:-1], num_outputs)

    def extra_repr(self) -> str:
        """Return the shape for ``repr``."""
        return ", ".join(map(str, self.shape))
