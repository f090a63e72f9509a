"""Binary layers in the place of an existing model's."""

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import TypeVar, cast

from torch import nn

from qpsbgd.nn.conv import BinaryConv1d, BinaryConv2d
from qpsbgd.nn.functional import Quantizer
from qpsbgd.nn.layers import BinaryLayer
from qpsbgd.nn.linear import BinaryLinear

Model = TypeVar("Model", bound=nn.Module)

#: Binary layers by the torch layers that they are in all else.
BINARY: dict[type[nn.Module], type[BinaryLayer]] = {
    nn.Linear: BinaryLinear,
    nn.Conv1d: BinaryConv1d,
    nn.Conv2d: BinaryConv2d,
}


def convert_to_binary(
    model: Model,
    skip: str | Iterable[str] = (),
    *,
    input_quantizer: str | Quantizer | None = None,
    kernel_quantizer: str | Quantizer | None = "ste_sign",
    output_scale: bool = False,
) -> Model:
    """Make binary layers of a model's ``nn.Linear``, ``nn.Conv1d`` and ``nn.Conv2d``, in place.

    Each module stays the object it is, with its parameters, hyper-parameters, hooks and mode, and
    changes its class: optimisers, tied weights and modules that occur twice go on as before.

    Subclasses of the three are left, like the ``out_proj`` of ``nn.MultiheadAttention``, and so are
    binary layers and lazy ones, which become ``nn.Linear`` or so at their first call. Code that
    reads a layer's weight instead of calling the layer gets the real weight; torch's encoders do so
    in their fast path for inference, which is turned off.

    Args:
        model: any module, also a layer.
        skip: names of modules in ``model``, or patterns (:mod:`fnmatch`), to leave with all that is
            in them: ``["head", "*.downsample"]``.
        input_quantizer: as for :class:`BinaryLinear`, like the two that follow.
        kernel_quantizer: likewise.
        output_scale: likewise; the scales are new parameters, for an optimiser yet to be made.

    Returns:
        ``model``.

    Raises:
        TypeError: ``output_scale`` is no bool.
        ValueError: nothing to convert, a name or pattern that matches no module, an unknown
            quantizer, or a layer whose weight is made of others (weight normalisation, pruning).
            The model is as it was.

    Example:
        >>> model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4, 2))
        >>> [type(layer).__name__ for layer in convert_to_binary(model, skip="3")]
        ['BinaryConv2d', 'ReLU', 'Flatten', 'Linear']
    """
    skipped = _skipped(model, [skip] if isinstance(skip, str) else skip)
    layers = {
        name: module
        for name, module in model.named_modules()  # each module once
        if type(module) in BINARY and module not in skipped
    }
    if not layers:
        kinds = ", ".join(f"nn.{kind.__name__}" for kind in BINARY)
        raise ValueError(f"model ({type(model).__name__}) has none of {kinds} outside of skip")
    for name, module in layers.items():
        if not isinstance(module._parameters.get("weight"), nn.Parameter):
            raise ValueError(
                f"layer {name or type(module).__name__!r} has a weight that is no parameter but "
                "made of others: remove its weight normalisation or pruning first, or skip it"
            )
    options = (input_quantizer, kernel_quantizer, output_scale)
    # Refuses wrong options before any layer has changed.
    BinaryLinear(1, 1, device="meta").init_binary(*options)
    for module in layers.values():
        module.__class__ = BINARY[type(module)]
        cast(BinaryLayer, module).init_binary(*options)
    for module in model.modules():
        _leave_fast_path(module)
    return model


def _skipped(model: nn.Module, patterns: Iterable[str]) -> set[nn.Module]:
    """Modules whose name matches, and those in them."""
    named = list(model.named_modules(remove_duplicate=False))
    skipped: set[nn.Module] = set()
    for pattern in patterns:
        found = [module for name, module in named if name == pattern] or [
            module for name, module in named if fnmatchcase(name, pattern)
        ]
        if not found:
            raise ValueError(f"skip has {pattern!r}, but no module in model has such a name")
        skipped.update(inner for module in found for inner in module.modules())
    return skipped


def _leave_fast_path(module: nn.Module) -> None:
    """Have torch's encoders call their layers; the fast path for inference reads their weights."""
    if isinstance(module, nn.TransformerEncoderLayer):
        if isinstance(module.linear1, BinaryLayer) or isinstance(module.linear2, BinaryLayer):
            module.activation_relu_or_gelu = 0  # as for an activation without a fast path
    elif isinstance(module, nn.TransformerEncoder) and any(
        isinstance(inner, BinaryLayer) for inner in module.modules()
    ):
        module.use_nested_tensor = False  # nested tensors are for the fast path alone
