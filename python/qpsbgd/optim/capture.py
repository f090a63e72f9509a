"""What a layer's binary problems are made of: its inputs X and the gradients T at its outputs."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd.graph import Node

from qpsbgd.nn.layers import BinaryLayer
from qpsbgd.nn.observers import add_observer

Target = Literal["preactivation", "activation"]

#: More than anyone accumulates: then a warning.
MANY_PASSES = 100


@dataclass(frozen=True)
class _Call:
    """One call of the layer, after its backward pass."""

    input: Tensor
    version: int  # of the input, which counts its changes in place
    grad: Tensor
    context: tuple[Any, ...]


class Capture:
    """X and T of one layer, from the backward passes since the last ``clear``.

    The layer tells of each of its outputs Z. A tensor hook on Z keeps the gradient as it arrives,
    with the input that the graph has kept. Until then only the graph holds the input, so a forward
    pass without a backward pass leaves nothing behind. :meth:`batch` makes X and T of the two: for
    a convolution they are many times as large.

    ``target="activation"`` takes the gradient at A = sign(Z) instead: an activation that is applied
    to Z itself finds a call-back there and reports its output. Where none is, A is Z.

    A pass that gives the weight no gradient adds nothing: ``torch.autograd.grad`` for an input, or
    ``backward(inputs=...)`` without the weight.

    While it lives, the layer's backward pass leaves dL/dW out. Where autocast is on,
    ``weight.grad`` becomes 0, and NaN if T is not finite: GradScaler looks nowhere else.
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
        """Keep the gradient that will arrive at ``output`` of the layer.

        Raises:
            RuntimeError: the layer has another weight than when this was made.
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
                # Not by view(-1): the memory may be in another order.
                weight.grad[(0,) * weight.dim()] += grad.detach().float().mul(0).sum()

        handle = output.register_hook(keep)  # type: ignore[no-untyped-call]
        if self._target == "preactivation":
            return None
        version = output._version

        def on_activation(z: Tensor, activation: Tensor) -> None:
            # Not under no_grad, where it is only looked at; not once Z was changed in place.
            if activation.requires_grad and z._version == version:
                handle.remove()
                self.found_activation = True
                activation.register_hook(keep)  # type: ignore[no-untyped-call]

        return on_activation

    def _count_passes(self) -> None:
        """Warn, once, where backward passes pile up: nobody calls step or zero_grad."""
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
    def empty(self) -> bool:
        """Whether no backward pass has come through the layer since the last ``clear``."""
        return not self._calls

    def batch(self) -> tuple[Tensor, Tensor]:
        """X ``(G, N, n)`` and T ``(G, N, m)``; several backward passes are one joined batch.

        Raises:
            RuntimeError: an input was changed in place since the backward pass.
        """
        for call in self._calls:
            if call.input._version != call.version:
                raise RuntimeError(
                    "the layer's input was changed in place between backward() and step(), which "
                    "needs it as it was"
                )
        samples = [self.layer.samples(call.input, call.grad, *call.context) for call in self._calls]
        if len(samples) == 1:
            return samples[0]
        inputs, grads = zip(*samples, strict=True)
        return torch.cat(inputs, dim=1), torch.cat(grads, dim=1)

    def clear(self) -> None:
        """Drop what was kept."""
        self._calls.clear()
        self._num_passes = 0


def _is_reached(node: Node) -> bool:
    """Whether the backward pass under way will run a parameter's accumulation of its gradient."""
    try:
        return torch._C._will_engine_execute_node(node)
    except RuntimeError as error:
        if "autograd.grad" in str(error):  # for the parameter itself
            return False
        raise
