"""Cache of a layer's binary weight for inference."""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from qpsbgd.nn.activations import ApproxSign, Sign, SwishSign
from qpsbgd.nn.functional import QUANTIZERS, Quantizer, is_observed


class _Entry(NamedTuple):
    """Signs of a weight, and what shows that neither has changed.

    torch counts the changes in place of a tensor as its version.
    """

    alias: Tensor  # of the weight; it keeps the allocator from using the address again
    version: int
    signs: Tensor
    signs_version: int

    def is_of(self, weight: Tensor) -> bool:
        return (
            self.version == weight._version
            and self.signs_version == self.signs._version
            and self.alias.dtype == weight.dtype
            and self.alias.is_set_to(weight)  # the same storage, offset, shape and strides
        )


class SignCache:
    """Binary weight of a layer, stored until the latent weight changes.

    torch counts the changes of a tensor. It does not count changes in place through ``weight.data``
    or through a NumPy array that shares the memory: call :meth:`clear` after those. A new tensor,
    ``weight.data = ...``, is noticed.

    A copy or a pickle of the cache is empty. Threads may share a cache.

    Example:
        >>> import torch
        >>> from qpsbgd.nn import BinaryLinear
        >>> layer = BinaryLinear(3, 2)
        >>> with torch.no_grad():
        ...     first, second = layer.binary_weight, layer.binary_weight
        >>> first is second
        True
    """

    def __init__(self) -> None:
        self._entry: _Entry | None = None

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return SignCache, ()

    def clear(self) -> None:
        """Forget the binary weight."""
        self._entry = None

    def quantize(self, weight: Tensor, quantizer: Quantizer) -> Tensor:
        """Return ``quantizer(weight)``, from the cache where the weight and torch's mode allow it.

        The result is cached only while gradients are off, for the sign functions of this package,
        which all return the same signs. A tracer gets the operations, not a constant.

        Args:
            weight: latent weight.
            quantizer: the layer's ``kernel_quantizer``.
        """
        if torch.compiler.is_compiling():
            return quantizer(weight)
        if torch.is_grad_enabled():
            self._entry = None  # in training the weight is about to change
        if not _is_cacheable(weight, quantizer):
            return quantizer(weight)
        entry = self._entry  # another thread may replace the attribute
        if entry is None or not entry.is_of(weight):
            version = weight._version  # before the signs, in case that a thread changes the weight
            # In inference mode the result could not take part in a later backward pass.
            with torch.inference_mode(False), torch.no_grad():
                signs = quantizer(weight)
                entry = _Entry(weight.detach(), version, signs, signs._version)
            self._entry = entry
        return entry.signs


def _is_cacheable(weight: Tensor, quantizer: Quantizer) -> bool:
    return (
        not torch.is_grad_enabled()
        # Exactly this type: fake tensors and those of functional_call are no parameters.
        and type(weight) is nn.Parameter
        and not weight.is_inference()  # torch does not count the changes of these
        and (quantizer in QUANTIZERS.values() or type(quantizer) in (Sign, ApproxSign, SwishSign))
        and not is_observed()
    )
