"""Checks of arguments that several public functions take: errors show the value and the rule."""

import secrets
import sys
from collections.abc import Iterator, Mapping
from decimal import Decimal
from numbers import Integral, Number, Real
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import dimod
import numpy as np
import numpy.typing as npt

from qpsbgd import _core

if TYPE_CHECKING:
    import torch

    ArrayLike: TypeAlias = npt.NDArray[Any] | torch.Tensor

BetaRule = Literal["auto", "dwave"]
BetaRange: TypeAlias = BetaRule | tuple[float, float]

#: Seeds are what dimod's samplers take: integers in [0, SEED_LIMIT).
SEED_LIMIT = 2**31
#: Those of dwave-samplers' descent and tabu search: integers in [0, WIDE_SEED_LIMIT).
WIDE_SEED_LIMIT = 2**32
#: Numbers of sweeps, reads and threads are less.
COUNT_LIMIT = 2**31
#: Rules that find a range of temperatures; None stands for the first.
BETA_RULES = ("auto", "dwave")
#: How a model of another kind becomes a binary quadratic model.
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
#: What a model of another library has where it is like dimod's, such as cimod's.
MODEL_ATTRIBUTES = ("linear", "quadratic", "offset", "vartype")
OTHER_MODEL = (
    "dimod.BinaryQuadraticModel(model.linear, model.quadratic, model.offset, model.vartype.name)"
)


def described(value: Any) -> str:
    """Return what a value is, for messages: ``"a dict"``, ``"the class TabuSampler"``, ``"3"``."""
    if value is None or isinstance(value, Number):
        return repr(value)
    if isinstance(value, type):
        return f"the class {value.__name__}"
    return f"a {type(value).__name__}"


def check_model(name: str, value: Any) -> None:
    """Raise TypeError where a value is no binary quadratic model; say what makes one of it."""
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


def check_instance(name: str, value: Any, kind: type, rule: str) -> None:
    """Raise TypeError where a value is no instance of a class.

    Args:
        name: of the argument.
        value: of the argument.
        kind: the class.
        rule: what the value must be, such as ``"a dimod.Sampler"``.
    """
    if not isinstance(value, kind):
        is_class_of_kind = isinstance(value, type) and issubclass(value, kind)
        advice = f": write {value.__name__}() for an instance" if is_class_of_kind else ""
        raise TypeError(f"{name} is {described(value)}, but must be {rule}{advice}")


def refuse_masked(name: str, value: Any) -> None:
    """Raise TypeError where a value is a masked array or holds one: NumPy drops its mask."""
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(
            f"{name} is a masked array, but must be an ordinary one: decide what its masked "
            "entries are, such as with .filled(0)"
        )
    if isinstance(value, (list, tuple)):
        for item in value:
            if isinstance(item, (np.ma.MaskedArray, list, tuple, dict)):
                refuse_masked(f"an entry of {name}", item)
    elif isinstance(value, dict):
        refuse_masked(name, list(value.values()))


def tensor_array(name: str, value: Any) -> npt.NDArray[Any] | None:
    """Return the array of a torch tensor, without a copy; None where the value is no tensor.

    Raises:
        TypeError: the tensor is not dense, or its dtype is none of NumPy's.
        ValueError: the tensor is not on the CPU.
    """
    torch = sys.modules.get("torch")  # a tensor can only exist where it has been imported
    if torch is None or not isinstance(value, torch.Tensor):
        return None
    if value.device.type != "cpu":
        raise ValueError(f"{name} is on device {value.device}, but must be on the CPU")
    if value.layout is not torch.strided:
        raise TypeError(
            f"{name} has layout {value.layout}, but must be a dense tensor: pass {name}.to_dense()"
        )
    if value.is_quantized:
        raise TypeError(f"{name} is a quantized tensor, but must be one of numbers: dequantize it")
    try:
        array: npt.NDArray[Any] = value.detach().resolve_conj().resolve_neg().numpy()
    except TypeError as error:
        raise TypeError(
            f"{name} has dtype {value.dtype}, which NumPy does not have: pass {name}.float()"
        ) from error
    return array


def real_array(name: str, value: Any) -> npt.NDArray[Any]:
    """Return an array of booleans, integers or floats, without a copy where there is one.

    Raises:
        TypeError: a masked array, numbers that NumPy does not have, or no numbers.
        ValueError: a tensor that is not on the CPU.
    """
    refuse_masked(name, value)
    array = tensor_array(name, value)
    if array is None:
        try:
            array = np.asarray(value)
        except (TypeError, ValueError) as error:
            raise TypeError(
                f"{name} is {described(value)}, but must be an array of real numbers: {error}"
            ) from error
    if array.dtype.kind in "biuf":
        return array
    if array.dtype == object and array.size and array.ndim:
        entries = array.ravel().tolist()
        entry = next((e for e in entries if not isinstance(e, (bool, int, float))), entries[0])
        advice = ": convert them, such as with np.array(..., dtype=float)"
        raise TypeError(
            f"{name} has entries that are {described(entry)}, but must be an array of real numbers"
            f"{advice if isinstance(entry, (Decimal, Real)) else ''}"
        )
    kind = "" if array.dtype == object else f" of {array.dtype}"
    raise TypeError(
        f"{name} is {described(value)}{kind}, but must be an array of real numbers"
        + (": convert it with .astype(np.float32)" if array.dtype.kind == "V" else "")
    )


def checked_real(name: str, value: Any) -> float:
    """A number that float64 holds; may be infinite or NaN."""
    if isinstance(value, bool) or not isinstance(value, Real):
        advice = ""
        if isinstance(value, Decimal) or hasattr(value, "item"):  # an array, or a tensor
            advice = f": pass float({name})"
        raise TypeError(f"{name} is {value!r}, but must be a real number{advice}")
    try:
        return float(value)
    except OverflowError:
        raise ValueError(f"{name} is {value!r}, but must be finite") from None


def checked_count(name: str, value: Any, minimum: int, limit: int = COUNT_LIMIT) -> int:
    """An integer in ``[minimum, limit)``."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} is {value!r}, but must be an integer")
    if not minimum <= int(value) < limit:
        raise ValueError(f"{name} is {value!r}, but must lie in [{minimum}, {limit})")
    return int(value)


def checked_choice(name: str, value: Any, choices: tuple[str, ...]) -> str:
    """One of some words."""
    if not isinstance(value, str) or value not in choices:
        text = " or ".join(repr(choice) for choice in choices)
        raise ValueError(f"{name} is {value!r}, but must be {text}")
    return value


def checked_seed(seed: Any, limit: int = SEED_LIMIT) -> int:
    """A seed below ``limit``; drawn anew for None."""
    if seed is None:
        return secrets.randbelow(limit)
    return checked_count("seed", seed, 0, limit)


def checked_threads(num_threads: Any) -> int:
    """At most this many threads; what the core would use for None."""
    if num_threads is None:
        return _core.default_num_threads()
    return checked_count("num_threads", num_threads, 1)


def checked_time_limit(time_limit: Any) -> float:
    """Seconds, more than none; infinite for None."""
    if time_limit is None:
        return float("inf")
    seconds = checked_real("time_limit", time_limit)
    if not seconds > 0:
        raise ValueError(f"time_limit is {time_limit!r}, but must be positive")
    return seconds


def checked_beta_range(value: Any) -> BetaRange:
    """Inverse temperatures of a geometric schedule, or the rule that finds them.

    Args:
        value: ``"auto"`` or ``None`` for :func:`~qpsbgd.samplers.schedule.auto_beta_range`,
            ``"dwave"`` for the rule of dwave-samplers, or two numbers, >= 0.

    Returns:
        ``"auto"``, ``"dwave"``, or both numbers.

    Raises:
        TypeError: a masked array, or an end that is no number.
        ValueError: another word, another number of ends, or an end that is negative or NaN.
    """
    if value is None:
        return "auto"
    rule = f"beta_range is {value!r}, but must be 'auto', 'dwave', None or two numbers"
    if isinstance(value, str):
        if value not in BETA_RULES:
            raise ValueError(rule)
        return "auto" if value == "auto" else "dwave"
    refuse_masked("beta_range", value)
    array = tensor_array("beta_range", value)
    try:
        first, last = value if array is None else array
    except (TypeError, ValueError):
        raise ValueError(rule) from None
    ends = checked_real("beta_range[0]", first), checked_real("beta_range[1]", last)
    if not (ends[0] >= 0 and ends[1] >= 0):
        raise ValueError(f"beta_range is {value!r}, but its ends must be at least 0")
    return ends


def checked_geometric_range(value: Any) -> BetaRange:
    """Return :func:`checked_beta_range` where its ends are positive and finite.

    Raises:
        TypeError: a masked array, or an end that is no number.
        ValueError: another word, another number of ends, or an end that is out of range.
    """
    ends = checked_beta_range(value)
    if not isinstance(ends, str) and not all(0 < end < float("inf") for end in ends):
        raise ValueError(
            f"beta_range is {value!r}, but a geometric schedule needs positive, finite ends"
        )
    return ends


def checked_keep(keep: Any) -> Literal["best", "final"] | None:
    """Which state a read of annealing returns; None where the schedule decides."""
    if keep is not None and (not isinstance(keep, str) or keep not in ("best", "final")):
        raise ValueError(f"keep is {keep!r}, but must be 'best' or 'final' or None")
    return keep  # type: ignore[return-value]


def resolved_keep(
    keep: Literal["best", "final"] | None,
    betas: npt.NDArray[np.float64] | list[float],
    *,
    is_found: bool,
) -> Literal["best", "final"]:
    """Return what a read keeps: its last state where it samples one temperature, else its best.

    Args:
        keep: as the caller gave it; None for the choice made here.
        betas: inverse temperatures of all sweeps.
        is_found: whether a rule found the temperatures. Such a schedule searches for low energies,
            even where both ends that the rule finds are equal.
    """
    if keep is not None:
        return keep
    is_constant = len(betas) > 0 and bool((np.asarray(betas) == betas[0]).all())
    return "final" if is_constant and not is_found else "best"


def checked_positive(name: str, value: Any) -> float:
    """Return a number that is positive and finite."""
    number = checked_real(name, value)
    if not 0.0 < number < float("inf"):
        raise ValueError(f"{name} is {value!r}, but must be positive and finite")
    return number


def checked_nonnegative(name: str, value: Any) -> float:
    """Return a number that is finite and at least 0."""
    number = checked_real(name, value)
    if not 0.0 <= number < float("inf"):
        raise ValueError(f"{name} is {value!r}, but must be finite and at least 0")
    return number


def checked_layer(
    X: "ArrayLike", T: "ArrayLike"
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return inputs ``(N, n)`` and targets ``(N, m)`` of a layer as :func:`float32_matrix` does.

    Raises:
        TypeError: an array has the wrong type or dtype.
        ValueError: the numbers of samples differ, or :func:`float32_matrix` refuses a value.
    """
    inputs, targets = float32_matrix("X", X), float32_matrix("T", T)
    if inputs.shape[0] != targets.shape[0]:
        raise ValueError(
            f"X has shape {inputs.shape} and T {targets.shape}, but both need one row per sample: "
            "X (N, n) and T (N, m)"
        )
    return inputs, targets


def float32_matrix(name: str, value: "ArrayLike") -> npt.NDArray[np.float32]:
    """Return a finite float32 matrix as the core takes it, without a copy where that is possible.

    A copy is made where the memory is not row-major, not aligned, or not of native byte order.

    Raises:
        TypeError: the value is no array or tensor, or its dtype is not float32.
        ValueError: the value is not two-dimensional, is empty, or has an entry that is not finite.
    """
    array = _array_or_tensor(name, value)
    if array.dtype.newbyteorder("=") != np.float32:
        raise TypeError(f"{name} has dtype {array.dtype}, but must be float32")
    if array.ndim != 2:
        raise ValueError(f"{name} has shape {array.shape}, but must have two dimensions")
    if array.size == 0:
        raise ValueError(f"{name} has shape {array.shape}, but must not be empty")
    if not (array.flags.c_contiguous and array.flags.aligned and array.dtype.isnative):
        array = _copied(array, np.float32)
    bad = _core.first_nonfinite(array)
    if bad < array.size:
        row, column = divmod(bad, array.shape[1])
        raise ValueError(f"{name}[{row}, {column}] is {array[row, column]}, but must be finite")
    return array


def spin_matrix(
    name: str, value: "ArrayLike", shape: tuple[int | None, int]
) -> npt.NDArray[np.int8]:
    """Return a row-major int8 matrix of -1 and +1, without a copy where it is one already.

    Args:
        name: name of the argument.
        value: array or tensor of any real dtype.
        shape: rows and columns; None allows any number of rows.

    Raises:
        TypeError: the value is no array or tensor of real numbers.
        ValueError: the shape differs, or an entry is neither -1 nor +1.
    """
    array = _array_or_tensor(name, value)
    if array.dtype.kind not in "iuf":
        raise TypeError(f"{name} has dtype {array.dtype}, but must be an integer or float type")
    rows, columns = shape
    if array.ndim != 2 or array.shape[1] != columns or rows not in (None, len(array)):
        rule = f"(k, {columns})" if rows is None else f"(m, n) = {shape}"
        raise ValueError(f"{name} has shape {array.shape}, but must be {rule}")
    for piece in row_pieces(array):
        wrong = np.argwhere((array[piece] != 1) & (array[piece] != -1))
        if len(wrong):
            row, column = piece.start + wrong[0, 0], wrong[0, 1]
            raise ValueError(
                f"{name}[{row}, {column}] is {array[row, column]}, but must be -1 or +1"
            )
    if array.dtype == np.int8 and array.flags.c_contiguous:
        return array
    return _copied(array, np.int8)


#: Entries of an array that NumPy handles in one call: Ctrl-C has no effect until it returns.
_PIECE = 1 << 18


def row_pieces(array: npt.NDArray[Any]) -> Iterator[slice]:
    """Yield slices of rows that together cover a matrix, with about ``_PIECE`` entries each."""
    step = max(1, _PIECE // max(1, array.shape[1]))
    for first in range(0, len(array), step):
        yield slice(first, min(first + step, len(array)))


def _copied(array: npt.NDArray[Any], dtype: Any) -> npt.NDArray[Any]:
    """Return a row-major copy, made piece by piece."""
    copy = np.empty(array.shape, dtype)
    for rows in row_pieces(array):
        copy[rows] = array[rows]
    return copy


def _array_or_tensor(name: str, value: "ArrayLike") -> npt.NDArray[Any]:
    """Return an array, or the array of a CPU tensor, without a copy.

    Raises:
        TypeError: the value is a masked array, or neither an array nor a dense tensor.
        ValueError: the tensor is not on the CPU.
    """
    refuse_masked(name, value)
    if isinstance(value, np.ndarray):
        return value
    array = tensor_array(name, value)
    if array is None:
        raise TypeError(
            f"{name} is {described(value)}, but must be a NumPy array or a torch tensor"
        )
    return array
