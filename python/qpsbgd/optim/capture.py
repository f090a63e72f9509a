"""What a layer's binary problems are made of: its inputs X and the gradients T at its outputs."""

import weakref
from collections.abc import Iterable
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from qpsbgd.nn.functional import ON_ACTIVATION
from qpsbgd.nn.linear import BinaryLinear, claim, input_on_graph, release

Target = Literal["preactivation", "activation"]


class Capture:
    """X and T of one layer, from the backward passes since the last ``clear``.

    One forward hook a layer. It registers a tensor hook on the layer's output Z, which keeps the
    gradient as it arrives, with the X that the graph has kept. Until then only the graph holds X,
    so a forward pass without a backward pass leaves nothing behind.

    ``target="activation"`` takes the gradient at A = ste_sign(Z) instead: an activation that is
    applied to Z itself finds a call-back there and reports its output. Where none is, A is Z.

    While it lives, the layer's backward pass leaves dL/dW out; when it goes, so does the hook.
    """

    def __init__(self, layer: BinaryLinear, target: Target) -> None:
        self._target = target
        self._inputs: list[Tensor] = []
        self._versions: list[int] = []
        self._targets: list[Tensor] = []
        self.found_activation = False
        claim(layer)
        # First of the layer's hooks: it must see the output that the layer itself has made.
        handle = layer.register_forward_hook(_ForwardHook(self, layer), prepend=True)
        weakref.finalize(self, _finish, weakref.ref(layer), handle)

    def watch(self, output: Tensor) -> None:
        """Keep the gradient that will arrive at ``output`` of the layer."""
        read_input = input_on_graph(output)

        def keep(grad: Tensor) -> None:
            # Leading dimensions are samples: (..., n) -> (N, n), (..., m) -> (N, m).
            inputs = read_input().detach()
            self._inputs.append(inputs.reshape(-1, inputs.shape[-1]))
            self._versions.append(self._inputs[-1]._version)
            self._targets.append(grad.detach().reshape(-1, grad.shape[-1]))

        handle = output.register_hook(keep)  # type: ignore[no-untyped-call]
        if self._target == "activation":

            def on_activation(activation: Tensor) -> None:
                if not activation.requires_grad:  # under no_grad: only looked at
                    return
                handle.remove()
                self.found_activation = True
                activation.register_hook(keep)  # type: ignore[no-untyped-call]

            setattr(output, ON_ACTIVATION, on_activation)

    @property
    def empty(self) -> bool:
        """Whether no backward pass has come through the layer since the last ``clear``."""
        return not self._targets

    def batch(self) -> tuple[Tensor, Tensor]:
        """X ``(N, n)`` and T ``(N, m)``; several backward passes are one joined batch.

        Raises:
            RuntimeError: X was changed in place since the backward pass.
        """
        for inputs, version in zip(self._inputs, self._versions, strict=True):
            if inputs._version != version:
                raise RuntimeError(
                    "the layer's input was changed in place between backward() and step(), which "
                    "needs it as it was"
                )
        if len(self._targets) == 1:
            return self._inputs[0], self._targets[0]
        return torch.cat(self._inputs), torch.cat(self._targets)

    def clear(self) -> None:
        """Drop what was kept."""
        self._inputs.clear()
        self._versions.clear()
        self._targets.clear()


class _ForwardHook:
    """Tells a capture of its layer's outputs. In a copied or pickled layer it does nothing."""

    def __init__(self, capture: Capture, layer: BinaryLinear) -> None:
        self._capture = weakref.ref(capture)
        self._layer = weakref.ref(layer)

    def __call__(self, module: nn.Module, args: Any, output: Tensor) -> None:
        capture = self._capture()
        if capture is not None and module is self._layer() and output.requires_grad:
            capture.watch(output)

    def __reduce__(self) -> tuple[Any, tuple[()]]:
        return _NoHook, ()


class _NoHook:
    def __call__(self, module: nn.Module, args: Any, output: Tensor) -> None:
        pass


def _finish(layer: "weakref.ref[BinaryLinear]", handle: RemovableHandle) -> None:
    handle.remove()
    alive = layer()
    if alive is not None:
        release(alive)


def binary_layers(model: nn.Module) -> Iterable[tuple[str, BinaryLinear]]:
    """Name and module of every layer with binary weights, each module once."""
    for name, module in model.named_modules():
        if isinstance(module, BinaryLinear) and module.weight_quantizer is not None:
            yield name, module
