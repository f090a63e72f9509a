"""Checks of binary quadratic models and their variables."""

from collections.abc import Mapping
from typing import Any

import dimod

from qpsbgd._checks.kinds import described

#: Expressions that turn a model of another kind into a binary quadratic model.
CONVERSIONS: tuple[tuple[type, str], ...] = (
    (dimod.ConstrainedQuadraticModel, "dimod.cqm_to_bqm(cqm)[0]"),
    (
        dimod.DiscreteQuadraticModel,
        "dimod.cqm_to_bqm(dimod.ConstrainedQuadraticModel.from_dqm(dqm))[0]",
    ),
    (dimod.QuadraticModel, "dimod.cqm_to_bqm(dimod.ConstrainedQuadraticModel.from_qm(qm))[0]"),
    (dimod.BinaryPolynomial, "dimod.make_quadratic(poly, strength, vartype)"),
    (Mapping, "dimod.BinaryQuadraticModel.from_qubo(Q) or .from_ising(h, J)"),
)
#: Attributes by which to recognise a model of another library, such as cimod.
MODEL_ATTRIBUTES = ("linear", "quadratic", "offset", "vartype")
OTHER_MODEL = (
    "dimod.BinaryQuadraticModel(model.linear, model.quadratic, model.offset, model.vartype.name)"
)


def check_model(name: str, value: Any) -> None:
    """Raise TypeError if a value is not a binary quadratic model; name the way to make one."""
    if isinstance(value, dimod.BinaryQuadraticModel):
        return
    message = f"{name} is {described(value)}, but must be a dimod.BinaryQuadraticModel"
    if not isinstance(value, type):
        for kind, conversion in CONVERSIONS:
            if isinstance(value, kind):
                raise TypeError(f"{message}: {conversion} makes one")
        if all(hasattr(value, attribute) for attribute in MODEL_ATTRIBUTES):
            raise TypeError(f"{message}: {OTHER_MODEL} makes one")
    raise TypeError(message)


def checked_vartype(vartype: Any) -> dimod.Vartype:
    """Return the vartype that dimod recognises, such as ``"SPIN"`` or ``dimod.BINARY``."""
    try:
        return dimod.as_vartype(vartype)
    except TypeError:
        raise ValueError(f"vartype is {vartype!r}, but must be 'SPIN' or 'BINARY'") from None
