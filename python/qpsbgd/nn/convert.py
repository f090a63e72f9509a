"""Conversion of the layers of an existing model to binary layers."""

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import NamedTuple, TypeVar, cast

from torch import nn
from torch.nn.parameter import UninitializedParameter

from qpsbgd.nn.conv import BinaryConv1d, BinaryConv2d
from qpsbgd.nn.functional import Quantizer
from qpsbgd.nn.layers import BinaryLayer
from qpsbgd.nn.linear import BinaryLinear

Model = TypeVar("Model", bound=nn.Module)

#: Binary layer for each class of torch layers that can be converted.
BINARY: dict[type[nn.Module], type[BinaryLayer]] = {
    nn.Linear: BinaryLinear,
    nn.Conv1d: BinaryConv1d,
    nn.Conv2d: BinaryConv2d,
}


class ConvertReport(NamedTuple):
    """Names of what became binary and of what stayed real in a conversion.

    ``convert_to_binary(model).convert_report`` is one.

    Attributes:
        converted: names of the layers that were converted.
        real: names of the matrices that stay real, with the class of the module that has each.
            A matrix is a parameter with two or more dimensions. Those in ``skip`` are left out.

    Example:
        >>> from torch import nn
        >>> from qpsbgd.nn import convert_to_binary
        >>> model = nn.ModuleDict({"words": nn.Embedding(9, 4), "head": nn.Linear(4, 2)})
        >>> convert_to_binary(model).convert_report
        ConvertReport(converted=('head',), real={'words.weight': 'Embedding'})
    """

    converted: tuple[str, ...]
    real: dict[str, str]


def convert_to_binary(
    model: Model,
    skip: str | Iterable[str] = (),
    *,
    input_quantizer: str | Quantizer | None = None,
    kernel_quantizer: str | Quantizer | None = "ste_sign",
    output_scale: bool = False,
    strict: bool = False,
) -> Model:
    """Convert each ``nn.Linear``, ``nn.Conv1d`` and ``nn.Conv2d`` of a model to a binary layer.

    The conversion works in place: each module remains the same object with the same parameters,
    hyper-parameters, hooks and mode, and changes only its class. Optimisers, tied weights and
    modules that occur twice are not affected.

    The function does not convert

    - subclasses of the three, such as the ``out_proj`` of ``nn.MultiheadAttention``,
    - lazy layers, which become one of the three at their first call,
    - other modules with matrices: recurrent layers, embeddings, attention, and
    - layers that are binary already.

    Half of the matrices of an ``nn.TransformerEncoder`` and all of an ``nn.LSTM`` stay real. The
    attribute ``convert_report`` of the model, a :class:`ConvertReport`, lists them, and
    ``strict=True`` refuses them.

    Code that reads a layer's weight instead of calling the layer sees the real weight. The
    encoders of torch do so in their fast path for inference, so this function turns the fast path
    off.

    Args:
        model: any module, also a single layer.
        skip: names of modules in ``model``, or :mod:`fnmatch` patterns of such names. The function
            leaves these modules, and all modules inside them, as they are. Example:
            ``["head", "*.downsample"]``.
        input_quantizer: function that is applied to the inputs; see :class:`BinaryLinear`.
        kernel_quantizer: function that is applied to the weights; see :class:`BinaryLinear`.
        output_scale: whether each layer learns a factor for each output. The factors are new
            parameters, so make the optimiser after the conversion.
        strict: whether a matrix that is not in ``skip`` and would stay real is an error.

    Returns:
        ``model``, with the attribute ``convert_report``.

    Raises:
        TypeError: ``output_scale`` is not a bool.
        ValueError: there is nothing to convert, a name or pattern matches no module, the name of a
            quantizer is unknown, a layer computes its weight from other tensors (weight
            normalisation, pruning), or ``strict`` is True and a matrix would stay real. The model
            remains unchanged.

    Example:
        >>> from torch import nn
        >>> from qpsbgd.nn import convert_to_binary
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
                "is computed from others: remove its weight normalisation or pruning first, or "
                "skip it"
            )
    real = _real_matrices(model, {*layers.values(), *skipped})
    if strict and real:
        names = ", ".join(f"{name!r} ({kind})" for name, kind in real.items())
        raise ValueError(
            f"strict is True, but these matrices would stay real: {names}; give the modules' names "
            "to skip"
        )
    options = (input_quantizer, kernel_quantizer, output_scale)
    # This raises an error for a wrong option before any layer has changed.
    BinaryLinear(1, 1, device="meta").init_binary(*options)
    for module in layers.values():
        module.__class__ = BINARY[type(module)]
        cast(BinaryLayer, module).init_binary(*options)
    for module in model.modules():
        _disable_fast_path(module)
    converted = tuple(name or type(module).__name__ for name, module in layers.items())
    model.convert_report = ConvertReport(converted, real)  # type: ignore[assignment]
    return model


def _real_matrices(model: nn.Module, others: set[nn.Module]) -> dict[str, str]:
    """Return the names of real matrices and the classes of their modules.

    Args:
        model: model before its conversion.
        others: modules that are skipped or will be binary.
    """
    binary = {
        module.weight
        for module in model.modules()
        if module in others
        or (isinstance(module, BinaryLayer) and module.kernel_quantizer is not None)
        if isinstance(getattr(module, "weight", None), nn.Parameter)
    }
    return {
        f"{prefix}.{name}" if prefix else name: type(module).__name__
        for prefix, module in model.named_modules()
        if module not in others
        for name, parameter in module.named_parameters(recurse=False)
        if parameter not in binary  # tied weights are binary in one of their layers
        # A lazy parameter has no dimensions yet.
        if (
            name != "bias" if isinstance(parameter, UninitializedParameter) else parameter.dim() > 1
        )
    }


def _skipped(model: nn.Module, patterns: Iterable[str]) -> set[nn.Module]:
    """Return the modules whose names match a pattern, and all modules inside them."""
    named = list(model.named_modules(remove_duplicate=False))
    skipped: set[nn.Module] = set()
    for pattern in patterns:
        matches = [module for name, module in named if name == pattern] or [
            module for name, module in named if fnmatchcase(name, pattern)
        ]
        if not matches:
            raise ValueError(f"skip has {pattern!r}, but no module in model has such a name")
        skipped.update(inner for module in matches for inner in module.modules())
    return skipped


def _disable_fast_path(module: nn.Module) -> None:
    """Make an encoder of torch call its layers; the fast path for inference reads their weights."""
    if isinstance(module, nn.TransformerEncoderLayer):
        if isinstance(module.linear1, BinaryLayer) or isinstance(module.linear2, BinaryLayer):
            module.activation_relu_or_gelu = (
                0  # torch's value for an activation without a fast path
            )
    elif isinstance(module, nn.TransformerEncoder) and any(
        isinstance(inner, BinaryLayer) for inner in module.modules()
    ):
        module.use_nested_tensor = False  # only the fast path uses nested tensors
