"""What a layer's binary problems are made of: its inputs X and the gradients T at its outputs."""

import weakref
from collections.abc import Iterable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from qpsbgd.nn.functional import ON_ACTIVATION
from qpsbgd.nn.linear import WITHOUT_WEIGHT_GRADIENT, BinaryLinear

Target = Literal["preactivation", "activation"]


class Capture:
    """X and T of one layer, from the backward passes since the last ``clear``.

    One forward hook a layer. It registers a tensor hook on the layer's output Z, which keeps X with
    the gradient as it arrives. Until then only the autograd graph holds X, so a forward pass
    without a backward pass leaves nothing behind.

    ``target="activation"`` takes the gradient at A = ste_sign(Z) instead: an activation that is
    applied to Z itself finds a call-back there and reports its output. Where none is, A is Z.

    While it lives, the layer's backward pass leaves dL/dW out; when it goes, so does the hook.
    """

    def __init__(self, layer: BinaryLinear, target: Target) -> None:
        self._inputs: list[Tensor] = []
        self._targets: list[Tensor] = []
        self.found_activation = False
        own, layer_ref = weakref.ref(self), weakref.ref(layer)

        def on_forward(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
            capture = own()
            # A deep copy of the model brings the hook along, but is not the optimiser's model.
            if capture is not None and module is layer_ref() and output.requires_grad:
                with torch.no_grad():
                    inputs = layer_ref().quantized_input(args[0].detach())  # type: ignore[union-attr]
                capture._watch(inputs, output, target)

        handle = layer.register_forward_hook(on_forward)
        WITHOUT_WEIGHT_GRADIENT.add(layer)
        weakref.finalize(self, _release, layer_ref, handle)

    def _watch(self, inputs: Tensor, output: Tensor, target: Target) -> None:
        def keep(grad: Tensor) -> None:
            # Leading dimensions are samples: (..., n) -> (N, n), (..., m) -> (N, m).
            self._inputs.append(inputs.reshape(-1, inputs.shape[-1]))
            self._targets.append(grad.detach().reshape(-1, grad.shape[-1]))

        handle = output.register_hook(keep)  # type: ignore[no-untyped-call]
        if target == "activation":

            def on_activation(activation: Tensor) -> None:
                handle.remove()
                self.found_activation = True
                activation.register_hook(keep)  # type: ignore[no-untyped-call]

            setattr(output, ON_ACTIVATION, on_activation)

    @property
    def empty(self) -> bool:
        """Whether no backward pass has come through the layer since the last ``clear``."""
        return not self._targets

    def batch(self) -> tuple[Tensor, Tensor]:
        """X ``(N, n)`` and T ``(N, m)``; several backward passes are one joined batch."""
        if len(self._targets) == 1:
            return self._inputs[0], self._targets[0]
        return torch.cat(self._inputs), torch.cat(self._targets)

    def clear(self) -> None:
        """Drop what was kept."""
        self._inputs.clear()
        self._targets.clear()


def _release(layer: "weakref.ref[BinaryLinear]", handle: RemovableHandle) -> None:
    handle.remove()
    alive = layer()
    if alive is not None:
        WITHOUT_WEIGHT_GRADIENT.discard(alive)


def binary_layers(model: nn.Module) -> Iterable[tuple[str, BinaryLinear]]:
    """Name and module of every layer with binary weights, each module once."""
    for name, module in model.named_modules():
        if isinstance(module, BinaryLinear) and module.weight_quantizer is not None:
            yield name, module
