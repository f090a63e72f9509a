"""Observers of binary layers: they receive the inputs and output gradients of each pass.

An optimiser that trains a layer from its inputs and output gradients does not need the gradient
dL/dW of the weight. While a layer has an observer, its backward pass omits the product for dL/dW.
"""

import gc
import inspect
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor

from qpsbgd.nn.functional import ON_ACTIVATION

if TYPE_CHECKING:
    from qpsbgd.nn.layers import BinaryLayer


class Observer(Protocol):
    """Callback through which an optimiser receives a layer's inputs and output gradients."""

    def check(self) -> None:
        """Raise RuntimeError if the layer cannot be observed as it is, before a forward pass."""
        ...

    def watch(
        self, output: Tensor, input: Callable[[], Tensor], context: tuple[Any, ...]
    ) -> Callable[[Tensor, Tensor], None] | None:
        """Receive one forward pass that is recorded on the autograd graph.

        Args:
            output: the layer's output Z, before any output scale.
            input: returns the quantised input; to be called during the backward pass. Holding this
                callable does not keep the graph alive. It raises RuntimeError if the input was
                changed in place.
            context: further arguments of ``linear_map``.

        Returns:
            None, or a function that a sign function calls with Z and its own output when it is
            applied to Z itself.
        """
        ...

    def release(self) -> None:
        """Stop observing the layer for good."""
        ...


class Observers(list["weakref.ref[Observer]"]):
    """Weak references to a layer's observers. A copy or a pickle of the list is empty."""

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return Observers, ()


def add_observer(layer: "BinaryLayer", observer: Observer, name: str) -> None:
    """Let an observer watch a layer for as long as the observer is alive.

    Args:
        layer: the layer.
        observer: the observer; the layer does not keep it alive.
        name: name of the layer, for the error message.

    Raises:
        ValueError: the layer has a live observer.
    """
    if layer.observers:
        gc.collect()  # an optimiser in a reference cycle lives on after `del`
    if layer.observers:
        raise ValueError(
            f"layer {name!r} belongs to another QPSBGD, which is still alive: end its claim with "
            "qpsbgd.optim.release(model), or delete that one first (`del optimizer`), and what "
            "holds it, such as a scheduler"
        )
    reference = weakref.ref(observer)
    layer.observers.append(reference)
    weakref.finalize(observer, _remove_reference, weakref.ref(layer), reference)


def release_observers(layer: "BinaryLayer") -> None:
    """Release all observers of a layer and remove them from it."""
    observers = [reference() for reference in layer.observers]
    layer.observers.clear()
    for observer in observers:
        if observer is not None:
            observer.release()


def _remove_reference(
    layer: "weakref.ref[BinaryLayer]", reference: "weakref.ref[Observer]"
) -> None:
    alive = layer()
    if alive is not None:
        # The comparison is by identity because dead references equal only themselves.
        alive.observers[:] = [other for other in alive.observers if other is not reference]


class _AttachToWeight(torch.autograd.Function):
    """Identity on Z that connects Z to the latent weight and saves the input for the observers.

    The weight receives no gradient. The connection alone puts Z on the graph and lets observers
    find out whether a backward pass reaches the weight.
    """

    @staticmethod
    def forward(ctx: Any, z: Tensor, input: Tensor, weight: Tensor) -> Tensor:
        ctx.mark_dirty(z)  # Z itself is returned, not a view, so activations may work in place.
        ctx.save_for_backward(input)
        ctx.input = None
        return z

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        ctx.input = None
        return grads[0], None, None


def _disable_compiler(function: Any) -> Any:
    """Make torch.compile break its graph at a function, and say why with ``fullgraph=True``."""
    reason = (
        "QPSBGD takes samples from this layer, so the graph breaks after it: compile with "
        "fullgraph=False, or delete the optimizer"
    )
    disable: Any = torch.compiler.disable
    # torch 2.4 takes no reason.
    options = {"reason": reason} if "reason" in inspect.signature(disable).parameters else {}
    return disable(function, **options)


# A compiled graph cannot contain these side effects.
@_disable_compiler
def notify_observers(
    layer: "BinaryLayer", z: Tensor, input: Tensor, context: tuple[Any, ...]
) -> Tensor:
    """Announce one forward pass to a layer's observers.

    Args:
        layer: the layer with observers.
        z: output of ``linear_map``.
        input: quantised input of ``linear_map``.
        context: further arguments of ``linear_map``.

    Returns:
        Z, attached to the layer's latent weight on the graph.
    """
    observers = [reference() for reference in layer.observers]
    for observer in observers:
        if observer is not None:
            observer.check()
    if z._is_view():  # nn.functional.linear with a bias returns a view; mark_dirty refuses views
        z = z.clone()
    z = _AttachToWeight.apply(z, input, layer.weight)  # type: ignore[no-untyped-call]
    # A strong reference from a hook of Z to Z's node would be a cycle that is never collected.
    node = weakref.ref(z.grad_fn)

    def read_input() -> Tensor:
        ctx: Any = node()
        if ctx.input is None:  # Activation checkpointing allows only one access to saved_tensors.
            (ctx.input,) = ctx.saved_tensors
        saved: Tensor = ctx.input
        return saved

    on_activation = [
        observer.watch(z, read_input, context) for observer in observers if observer is not None
    ]
    callbacks = [callback for callback in on_activation if callback is not None]
    if callbacks and layer.output_scale is None:
        setattr(z, ON_ACTIVATION, callbacks)
    return z
