"""Capture of a layer's inputs X and of the gradients T at its outputs."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd.graph import Node

from qpsbgd.nn.layers import BinaryLayer
from qpsbgd.nn.observers import add_observer
from qpsbgd.nn.samples import CallSamples, joined

Target = Literal["preactivation", "activation"]

#: Backward passes without a step after which a warning appears: nobody accumulates so many.
MANY_PASSES = 100


@dataclass(frozen=True)
class _Call:
    """Data of one call of the layer, after its backward pass."""

    input: Tensor
    version: int  # torch counts the in-place changes of the input
    grad: Tensor
    context: tuple[Any, ...]


class Capture:
    """Inputs and output gradients of one layer from the backward passes since the last ``clear``.

    The layer calls :meth:`watch` with each of its outputs Z. A tensor hook on Z stores the gradient
    when it arrives, together with the input, which the graph has saved. Before that only the graph
    holds the input, so a forward pass without a backward pass stores nothing. :meth:`batch` makes X
    and T of the two. For a convolution X and T are many times as large as the stored tensors.

    With ``target="activation"`` the hook is on A = sign(Z): an activation that is applied to Z
    calls the function that :meth:`watch` returned, with its output. Without an activation A is Z.

    A pass that gives the weight no gradient stores nothing. Examples are ``torch.autograd.grad``
    for an input, and ``backward(inputs=...)`` without the weight.

    While the capture lives, the layer's backward pass does not compute dL/dW. Under autocast
    ``weight.grad`` becomes 0, or NaN if T is not finite, as GradScaler tests gradients only.

    Args:
        layer: layer to observe.
        target: ``"preactivation"`` or ``"activation"``.
    """

    def __init__(self, layer: BinaryLayer, target: Target) -> None:
        self.layer = layer
        self._weight = layer.weight
        self._target = target
        self._calls: list[_Call] = []
        self._num_passes, self._last_pass = 0, -1
        self.found_activation = False
        add_observer(layer, self)

    def watch(
        self, output: Tensor, input: Callable[[], Tensor], context: tuple[Any, ...]
    ) -> Callable[[Tensor, Tensor], None] | None:
        """Store the gradient that will arrive at an output of the layer.

        Args:
            output: output Z of the layer.
            input: returns the input that the graph has saved.
            context: further arguments of ``BinaryLayer.samples``.

        Returns:
            A function for the activation that is applied to Z, or None where the gradient at Z
            itself is wanted.

        Raises:
            RuntimeError: the layer has another weight than when the capture was made.
        """
        if self.layer.weight is not self._weight:
            raise RuntimeError(
                "a binary layer's weight is not the parameter that the optimizer claimed: make the "
                "optimizer after load_state_dict(assign=True), and delete it for functional_call"
            )
        may_overflow = torch.is_autocast_enabled(output.device.type)
        accumulation = torch.autograd.graph.get_gradient_edge(self._weight).node

        def keep(grad: Tensor) -> None:
            if not _is_reached(accumulation):
                return
            self._count_passes()
            x = input().detach()
            self._calls.append(_Call(x, x._version, grad.detach(), context))
            if may_overflow:
                weight = self.layer.weight
                if weight.grad is None:
                    weight.grad = torch.zeros_like(weight)
                # view(-1) fails where the weight is not row-major.
                weight.grad[(0,) * weight.dim()] += grad.detach().float().mul(0).sum()

        handle = output.register_hook(keep)  # type: ignore[no-untyped-call]
        if self._target == "preactivation":
            return None
        version = output._version

        def on_activation(z: Tensor, activation: Tensor) -> None:
            # Ignore an activation under no_grad, and one that comes after Z was changed in place.
            if activation.requires_grad and z._version == version:
                handle.remove()
                self.found_activation = True
                activation.register_hook(keep)  # type: ignore[no-untyped-call]

        return on_activation

    def _count_passes(self) -> None:
        """Warn once where many backward passes come without a step or zero_grad."""
        task = torch._C._current_graph_task_id()
        if task != self._last_pass:
            self._last_pass = task
            self._num_passes += 1
            if self._num_passes == MANY_PASSES:
                warnings.warn(
                    f"QPSBGD has kept the inputs and gradients of {MANY_PASSES} backward passes "
                    "without a step: call its step or zero_grad (the model's does not do), or "
                    "delete it to train the model with another optimizer",
                    stacklevel=2,
                )

    @property
    def is_empty(self) -> bool:
        """Whether no backward pass has reached the layer since the last ``clear``."""
        return not self._calls

    def calls(self) -> list[CallSamples]:
        """Return the samples of each call of the layer that a backward pass reached.

        Raises:
            RuntimeError: an input was changed in place after the backward pass.
        """
        for call in self._calls:
            if call.input._version != call.version:
                raise RuntimeError(
                    "the layer's input was changed in place between backward() and step(), which "
                    "needs it as it was"
                )
        return [
            self.layer.call_samples(call.input, call.grad, *call.context) for call in self._calls
        ]

    def batch(self) -> tuple[Tensor, Tensor]:
        """Return X ``(G, N, n)`` and T ``(G, N, m)``, joined over the backward passes.

        G is the number of groups of a convolution, and 1 for other layers.

        Raises:
            RuntimeError: an input was changed in place after the backward pass.
        """
        return joined(self.calls())

    def clear(self) -> None:
        """Drop the stored inputs and gradients."""
        self._calls.clear()
        self._num_passes = 0


def _is_reached(node: Node) -> bool:
    """Return whether the running backward pass will accumulate a parameter's gradient."""
    try:
        return torch._C._will_engine_execute_node(node)
    except RuntimeError as error:
        if "autograd.grad" in str(error):  # the call asks for the parameter's own gradient
            return False
        raise
