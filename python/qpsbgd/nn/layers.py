"""What layers with binary weights have in common."""

import contextlib
import weakref
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor, nn

from qpsbgd.nn.functional import ON_ACTIVATION, Quantizer, get_quantizer

if TYPE_CHECKING:
    Module = nn.Module
else:
    Module = object


class Observer(Protocol):
    """An optimiser's eye on a layer: it works on X and T, and does not use dL/dW."""

    def watch(
        self, output: Tensor, input: Callable[[], Tensor], context: tuple[Any, ...]
    ) -> Callable[[Tensor, Tensor], None] | None:
        """Told of each forward pass on the graph.

        Args:
            output: Z, before any output scale.
            input: reads the quantised input from the graph, during the backward pass; it keeps the
                graph from nothing. Raises RuntimeError where the input was changed in place.
            context: what else went into ``linear_map``.

        Returns:
            A function to be called with Z and the output of an activation applied to Z itself.
        """
        ...


class _Observers(list["weakref.ref[Observer]"]):
    """An attribute of a layer that copies and pickles do not take along."""

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return _Observers, ()


class BinaryLayer(Module):
    """Mixin: a linear map of a quantised input by a quantised weight.

    A subclass is a module with ``weight`` and ``bias`` that gives :meth:`linear_map`, calls
    :meth:`init_binary` when made and :meth:`run` in its forward pass. For the optimiser it gives
    :meth:`samples`, which turns one call into matrix products ``Z = X W^T``.
    """

    weight: Tensor  # or the module that pack() puts in its place, which gives it when called
    bias: Any  # a parameter or None
    input_quantizer: Quantizer | None
    kernel_quantizer: Quantizer | None
    output_scale: nn.Parameter | None

    def init_binary(
        self,
        input_quantizer: str | Quantizer | None,
        kernel_quantizer: str | Quantizer | None,
        output_scale: bool,
    ) -> None:
        """Set the quantizers and the scale; after the weight has been made."""
        self.input_quantizer = get_quantizer("input_quantizer", input_quantizer)
        self.kernel_quantizer = get_quantizer("kernel_quantizer", kernel_quantizer)
        if not isinstance(output_scale, bool):
            raise TypeError(f"output_scale is {output_scale!r}, but must be True or False")
        self.register_parameter("output_scale", None)
        if output_scale:
            self.output_scale = nn.Parameter(self.weight.new_empty(len(self.weight)))
            self.reset_scale()
        self.observers = _Observers()

    def reset_parameters(self) -> None:
        """Draw weight and bias anew, as torch's layer does, and set the scale as at first."""
        super().reset_parameters()  # type: ignore[misc]
        self.reset_scale()

    def reset_scale(self) -> None:
        """Set the output scale, where there is one, as at first."""
        scale = getattr(self, "output_scale", None)  # torch's constructors reset before it is made
        if scale is not None:
            # Sums of fan_in signs have this standard deviation's inverse.
            fan_in = self.weight.shape[1:].numel()
            nn.init.constant_(scale, max(fan_in, 1) ** -0.5)

    @property
    def binary_weight(self) -> Tensor:
        """The weight that the forward pass uses, shaped as ``weight``, on the graph."""
        weight = self.weight
        if self.kernel_quantizer is not None:
            return self.kernel_quantizer(weight)
        return weight() if isinstance(weight, nn.Module) else weight

    @property
    def num_groups(self) -> int:
        """G: how many products with inputs of their own one call is made of."""
        return 1

    def linear_map(
        self, input: Tensor, weight: Tensor, bias: Tensor | None, *context: Any
    ) -> Tensor:
        """The layer's map with the weight and bias given."""
        raise NotImplementedError

    def samples(self, input: Tensor, grad: Tensor, *context: Any) -> tuple[Tensor, Tensor]:
        """One call as matrix products: inputs and gradients by samples.

        Args:
            input: the quantised input of :meth:`linear_map`.
            grad: of the loss with respect to its output.
            context: as for :meth:`linear_map`.

        Returns:
            X ``(G, N, n)`` and T ``(G, N, m)`` such that dL/dW, as ``(G, m, n)``, is T^T X.
        """
        raise NotImplementedError

    def scale_shape(self) -> tuple[int, ...]:
        """Shape in which ``output_scale`` and ``bias`` meet the output."""
        return (-1,)

    def run(self, input: Tensor, *context: Any) -> Tensor:
        """The forward pass: quantise, map, scale, add the bias."""
        if self.input_quantizer is not None:
            input = self.input_quantizer(input)
        scale, bias = self.output_scale, self.bias
        watched = bool(self.observers) and self.weight.requires_grad and torch.is_grad_enabled()
        # The optimiser that watches has no use for dL/dW: a third of a step's matrix products.
        with torch.no_grad() if watched else contextlib.nullcontext():
            weight = self.binary_weight
        z = self.linear_map(input, weight, bias if scale is None else None, *context)
        if watched:
            z = _observed(self, z, input, context)
        if scale is None:
            return z
        z = z * scale.view(self.scale_shape())
        return z if bias is None else z + bias.view(self.scale_shape())

    def extra_repr(self) -> str:
        """Shape and quantizers."""
        quantizers = [
            f"{name}={getattr(value, '__name__', value)}"
            for name, value in (
                ("input_quantizer", self.input_quantizer),
                ("kernel_quantizer", self.kernel_quantizer),
            )
        ]
        if self.output_scale is not None:
            quantizers.append("output_scale=True")
        return ", ".join([super().extra_repr(), *quantizers])


class _OnGraph(torch.autograd.Function):
    """Z itself, put on the graph by the latent weight, and the input kept for the observers."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, input: Tensor, weight: Tensor) -> Tensor:
        ctx.mark_dirty(z)  # not a view of it: activations may work in place
        ctx.save_for_backward(input)
        ctx.input = None
        return z

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        ctx.input = None
        return grads[0], None, None


# Left out of compiled graphs: what follows has effects that a graph cannot have.
@torch.compiler.disable  # type: ignore[untyped-decorator]
def _observed(layer: BinaryLayer, z: Tensor, input: Tensor, context: tuple[Any, ...]) -> Tensor:
    if z._is_view():  # nn.functional.linear with a bias; it would stay one
        z = z.clone()
    z = _OnGraph.apply(z, input, layer.weight)  # type: ignore[no-untyped-call]
    # A tensor hook that held the node, or its output, would be a cycle that is never collected.
    node = weakref.ref(z.grad_fn)

    def read() -> Tensor:
        ctx: Any = node()
        if ctx.input is None:  # activation checkpointing allows to unpack once
            (ctx.input,) = ctx.saved_tensors
        saved: Tensor = ctx.input
        return saved

    on_activation = [
        call
        for observer in (reference() for reference in layer.observers)
        if observer is not None
        for call in [observer.watch(z, read, context)]
        if call is not None
    ]
    if on_activation and layer.output_scale is None:
        setattr(z, ON_ACTIVATION, on_activation)
    return z


def add_observer(layer: BinaryLayer, observer: Observer) -> None:
    """Let ``observer`` watch ``layer`` until it is gone, and leave dL/dW out meanwhile."""
    reference = weakref.ref(observer)
    layer.observers.append(reference)
    weakref.finalize(observer, _remove, weakref.ref(layer), reference)


def _remove(layer: "weakref.ref[BinaryLayer]", reference: "weakref.ref[Observer]") -> None:
    alive = layer()
    if alive is not None:
        # By identity: dead references are no longer equal to anything else.
        alive.observers[:] = [other for other in alive.observers if other is not reference]


def binary_layers(model: nn.Module) -> Iterator[tuple[str, BinaryLayer]]:
    """Name and module of every layer with binary weights, each module once.

    The name of a model that is such a layer itself is its type's.
    """
    for name, module in model.named_modules():
        if isinstance(module, BinaryLayer) and module.kernel_quantizer is not None:
            yield name or type(module).__name__, module
