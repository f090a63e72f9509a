"""Capture of a layer's inputs X and of the gradients T at its outputs."""

import warnings
import weakref
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd.graph import Node

from qpsbgd.nn.layers import BinaryLayer
from qpsbgd.nn.observers import add_observer
from qpsbgd.nn.samples import CallSamples, joined
from qpsbgd.optim.claims import check_same_weight
from qpsbgd.optim.markers import GradMark

Target = Literal["preactivation", "activation"]


@dataclass(frozen=True)
class _Call:
    """Data of one call of the layer, after its backward passes."""

    input: Tensor
    input_version: int  # torch counts the changes in place
    grad: Tensor
    grad_version: int
    context: tuple[Any, ...]

    def check(self) -> None:
        """Raise RuntimeError if the input or the gradient was changed in place."""
        for name, tensor, version in (
            ("input", self.input, self.input_version),
            ("gradient at the layer's output", self.grad, self.grad_version),
        ):
            if tensor._version != version:
                raise RuntimeError(
                    f"the layer's {name} was changed in place between backward() and step(), "
                    "which needs it as it was"
                )


class Capture:
    """Inputs and output gradients of one layer from the backward passes since the last ``clear``.

    The layer calls :meth:`watch` with each of its outputs Z. A tensor hook on Z stores the gradient
    when it arrives, together with the input, which the graph has saved. Before that only the graph
    holds the input, so a forward pass without a backward pass stores nothing. The samples belong to
    the call: a second backward pass through it adds to its gradient. :meth:`batch` makes X and T of
    all calls. For a convolution X and T are many times as large as the stored tensors.

    With ``target="activation"`` the hook is on A = sign(Z): an activation that is applied to Z
    calls the function that :meth:`watch` returned, with its output. Without an activation A is Z.

    A pass that gives the weight no gradient stores nothing. Examples are ``torch.autograd.grad``
    for an input, and ``backward(inputs=...)`` without the weight.

    While the capture lives, the layer's backward pass does not compute dL/dW. Instead
    ``weight.grad`` becomes a tensor of zeros (:mod:`qpsbgd.optim.markers`). Whatever resets it
    discards all that was captured. Under autocast it has a NaN if T is not finite, as GradScaler
    tests gradients only. A gradient that reaches the weight past the layer is
    :attr:`direct_gradient`.

    Args:
        layer: layer to observe.
        target: ``"preactivation"`` or ``"activation"``.
        name: name of the layer, for error messages.

    Attributes:
        direct_gradient: sum of the gradients that reached the weight past its layer, such as that
            of a penalty on the weight; None if there was none.
        found_activation: whether a sign function was applied to an output of the layer.
        is_released: whether the capture has stopped to observe the layer.

    Raises:
        ValueError: another optimiser observes the layer.
    """

    def __init__(self, layer: BinaryLayer, target: Target, name: str = "") -> None:
        self.layer = layer
        self.name = name
        self._weight: Any = layer.weight
        self._target = target
        self._calls: dict[object, _Call] = {}
        self.direct_gradient: Tensor | None = None
        self.found_activation = False
        self.is_released = False
        self._has_warned = False
        self._node: Node | None = None
        self._mark = GradMark(layer.weight)
        if self._weight.requires_grad:
            self._hook_weight()
        add_observer(layer, self, name)

    def check(self) -> None:
        """Raise RuntimeError if the layer has another weight than when the capture was made."""
        check_same_weight(self.name, self.layer, self._weight)

    def check_claim(self) -> None:
        """Raise RuntimeError if the capture was released, so that its layer may be another's."""
        if self.is_released:
            raise RuntimeError(
                f"layer {self.name!r} no longer belongs to this QPSBGD: qpsbgd.optim.release() has "
                "ended its claim; take steps with the optimizer that was made after it"
            )

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
        """
        self._hook_weight()
        may_overflow = torch.is_autocast_enabled(output.device.type) or output.itemsize < 4
        call = object()
        # The graph must not keep the capture of a deleted optimiser alive.
        capture = weakref.ref(self)

        def keep(grad: Tensor) -> None:
            alive = capture()
            if alive is None:
                return
            if grad.requires_grad:  # the pass has create_graph=True
                grad.register_hook(warn_of_second_order)  # type: ignore[no-untyped-call]
            if alive._is_reached():
                alive._store(call, input, grad.detach(), context, may_overflow)

        def warn_of_second_order(_: Tensor) -> None:
            alive = capture()
            if alive is not None and not alive._has_warned and alive._is_reached():
                alive._has_warned = True
                warnings.warn(
                    f"layer {alive.name!r}: the loss depends on gradients (create_graph=True), and "
                    "through them on the layer's weight; QPSBGD does not see this dependence, but "
                    "trains the weight with the rest of the loss",
                    stacklevel=2,
                )

        handle = output.register_hook(keep)  # type: ignore[no-untyped-call]
        if self._target == "preactivation":
            return None
        version = output._version

        def on_activation(z: Tensor, activation: Tensor) -> None:
            alive = capture()
            # Ignore an activation under no_grad, and one that comes after Z was changed in place.
            if alive is not None and activation.requires_grad and z._version == version:
                handle.remove()
                alive.found_activation = True
                activation.register_hook(keep)  # type: ignore[no-untyped-call]

        return on_activation

    def refresh(self) -> None:
        """Discard what was captured if the gradient of the weight was reset since."""
        if not self.is_empty and not self._mark.is_present():
            self.clear()

    def check_grad(self) -> None:
        """Check that nothing but backward passes has written to the gradient of the weight.

        Raises:
            RuntimeError: ``weight.grad`` has values that no backward pass gave it.
        """
        if self.direct_gradient is not None or not self._weight.requires_grad:
            return
        if self._mark.has_foreign_values():
            raise RuntimeError(
                f"layer {self.name!r}: weight.grad has values that no backward pass gave it while "
                "the optimizer was alive; QPSBGD takes gradients from backward passes alone: add "
                "a term to the loss instead, or set weight.grad to None"
            )

    @property
    def is_empty(self) -> bool:
        """Whether no gradient has reached the layer or its weight since the last ``clear``."""
        return not self._calls and self.direct_gradient is None

    @property
    def has_samples(self) -> bool:
        """Whether a backward pass has reached an output of the layer since the last ``clear``."""
        return bool(self._calls)

    def calls(self) -> list[CallSamples]:
        """Return the samples of each call of the layer that a backward pass reached.

        Where gradients reached the weight past the layer alone, it is one call without samples.

        Raises:
            RuntimeError: an input or a gradient was changed in place after the backward pass.
        """
        for call in self._calls.values():
            call.check()
        if not self._calls:
            groups, weight = self.layer.num_groups, self._weight
            n, m = weight[0].numel(), len(weight) // groups
            shapes = (groups, 0, n), (groups, 0, m)
            return [CallSamples(*(weight.new_empty(shape) for shape in shapes))]
        return [
            self.layer.call_samples(call.input, call.grad, *call.context)
            for call in self._calls.values()
        ]

    def batch(self) -> tuple[Tensor, Tensor]:
        """Return X ``(G, N, n)`` and T ``(G, N, m)``, joined over the calls of the layer.

        G is the number of groups of a convolution, and 1 for other layers. N is 0 where gradients
        reached the weight past the layer alone.

        Raises:
            RuntimeError: an input or a gradient was changed in place after the backward pass.
        """
        return joined(self.calls())

    def clear(self) -> None:
        """Drop the stored inputs and gradients."""
        self._calls.clear()
        self.direct_gradient = None

    def release(self) -> None:
        """Stop observing for good, and drop all that was captured."""
        self.is_released = True
        self.consume()

    def consume(self) -> None:
        """Drop the stored inputs and gradients, and ``weight.grad`` with them."""
        self.clear()
        self._weight.grad = None

    def _hook_weight(self) -> None:
        """Observe the node at which gradients of the weight accumulate.

        A change of the weight's device or dtype replaces the node.
        """
        node = torch.autograd.graph.get_gradient_edge(self._weight).node
        if node is self._node:
            return
        self._node = node
        capture = weakref.ref(self)

        def add(grads: tuple[Tensor | None, ...]) -> None:
            alive = capture()
            if alive is None or alive.is_released:
                return
            if grads[0] is not None:  # the layer's own part of the gradient is None
                alive._add_direct(grads[0].detach())

        weakref.finalize(self, node.register_prehook(add).remove)

    def _is_reached(self) -> bool:
        """Return whether the running backward pass will accumulate the weight's gradient.

        A released capture takes part in no pass.
        """
        if self.is_released:
            return False
        try:
            return torch._C._will_engine_execute_node(self._node)  # type: ignore[arg-type]
        except RuntimeError as error:
            if "autograd.grad" in str(error):  # the call asks for the parameter's own gradient
                return False
            raise

    def _store(
        self,
        call: object,
        input: Callable[[], Tensor],
        grad: Tensor,
        context: tuple[Any, ...],
        may_overflow: bool,
    ) -> None:
        """Store the gradient at an output, or add it to that of an earlier pass."""
        if self._weight._backward_hooks:
            raise RuntimeError(
                f"layer {self.name!r}: its weight has a hook (register_hook), but QPSBGD computes "
                "no gradient that the hook could receive or change: remove the hook; last_step has "
                "the gradient's norm, and requires_grad_(False) freezes the weight"
            )
        self.refresh()
        self._mark.place()
        stored = self._calls.get(call)
        if stored is None:
            x = input().detach()
            self._calls[call] = _Call(x, x._version, grad, grad._version, context)
        else:
            stored.check()
            total = stored.grad + grad
            self._calls[call] = replace(stored, grad=total, grad_version=total._version)
        if may_overflow:
            self._mark.add_to_first(grad.float().mul(0).sum())

    def _add_direct(self, grad: Tensor) -> None:
        """Add a gradient that reached the weight past its layer."""
        self.refresh()
        self._mark.place()
        if grad.layout != torch.strided:  # of an embedding
            grad = grad.to_dense()
        total = self.direct_gradient
        # The gradient may be shared with a tensor that changes in place.
        self.direct_gradient = grad.clone() if total is None else total + grad
