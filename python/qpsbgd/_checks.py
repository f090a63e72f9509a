"""Checks of the arguments of public functions, each in one place.

``check_...`` raises an error or returns nothing. ``checked_...`` raises an error or returns the
value in the type that the package computes with. Each message shows the value and the rule, and
says what to do where that does not follow from the rule.
"""

import secrets
import sys
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from numbers import Integral, Number, Real
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar

import dimod
import numpy as np
import numpy.typing as npt

from qpsbgd import _core

if TYPE_CHECKING:
    import torch

    ArrayLike: TypeAlias = npt.NDArray[Any] | torch.Tensor

BetaRule = Literal["auto", "dwave"]
BetaRange: TypeAlias = BetaRule | tuple[float, float]
Keep = Literal["best", "final"]
AnyCallable = TypeVar("AnyCallable", bound=Callable[..., Any])

#: Seeds are integers in [0, SEED_LIMIT), as in dimod's samplers.
SEED_LIMIT = 2**31
#: Seeds of dwave-samplers' descent and tabu search are integers in [0, WIDE_SEED_LIMIT).
WIDE_SEED_LIMIT = 2**32
#: Numbers of sweeps, reads and threads are smaller than this.
COUNT_LIMIT = 2**31
#: Largest number of sweeps of a schedule, which takes 8 bytes for each of them.
MAX_NUM_SWEEPS = 10**8
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


# ---- kinds of values ---------------------------------------------------------------------------


def described(value: Any) -> str:
    """Return words for a value in a message: ``"a dict"``, ``"the class TabuSampler"``, ``"3"``."""
    if value is None or isinstance(value, Number):
        return repr(value)
    if isinstance(value, type):
        return f"the class {value.__name__}"
    return f"a {type(value).__name__}"


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


def check_instance(name: str, value: Any, kind: type, rule: str) -> None:
    """Raise TypeError if a value is not an instance of a class.

    Args:
        name: name of the argument.
        value: value of the argument.
        kind: the class.
        rule: words for what the value must be, such as ``"a dimod.Sampler"``.
    """
    if not isinstance(value, kind):
        is_class_of_kind = isinstance(value, type) and issubclass(value, kind)
        advice = f": write {value.__name__}() for an instance" if is_class_of_kind else ""
        raise TypeError(f"{name} is {described(value)}, but must be {rule}{advice}")


def checked_callable(name: str, value: AnyCallable | None) -> AnyCallable | None:
    """Return a callable or None; raise TypeError for anything else."""
    if value is not None and not callable(value):
        raise TypeError(f"{name} is {value!r}, but must be callable")
    return value


# ---- arrays ------------------------------------------------------------------------------------


def refuse_masked(name: str, value: Any) -> None:
    """Raise TypeError if a value is or contains a masked array, whose mask NumPy would drop."""
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
    """Return the array of a torch tensor without copying it; None if the value is not a tensor.

    Raises:
        TypeError: the tensor is not dense, or NumPy does not have its dtype.
        ValueError: the tensor is not on the CPU.
    """
    torch = sys.modules.get("torch")  # a tensor exists only if somebody has imported torch
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
    """Return an array of booleans, integers or floats; a value that is one is not copied.

    Raises:
        TypeError: a masked array, numbers of a type that NumPy does not have, or not numbers.
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


def checked_floats(name: str, value: Any, *ndims: int, finite: bool = True) -> npt.NDArray[Any]:
    """Return a contiguous array of floats.

    Args:
        name: name of the argument.
        value: value of the argument.
        ndims: the numbers of dimensions that the array may have.
        finite: whether the entries must be finite. If not, a float32 array stays float32.

    Returns:
        The array in float64, or in float32 (see ``finite``). It is not copied if it is contiguous
        and of that dtype already.

    Raises:
        TypeError: the value is not an array of real numbers.
        ValueError: another number of dimensions, or an entry that must be finite and is not.
    """
    array = real_array(name, value)
    dtype = np.float32 if array.dtype == np.float32 and not finite else np.float64
    array = np.require(array, dtype, ["C", "A"])
    if array.ndim not in ndims:
        raise ValueError(
            f"{name} has shape {array.shape}, but must have {' or '.join(map(str, ndims))} "
            "dimensions"
        )
    if finite:
        refuse_entries(name, array, ~np.isfinite(array), "must be finite")
    return array


def checked_integers(name: str, value: Any) -> npt.NDArray[np.intp]:
    """Return an array of integers ``(k,)``; an empty array may have any dtype."""
    refuse_masked(name, value)
    array = tensor_array(name, value)
    if array is None:
        array = np.asarray(value)
    if (array.size and array.dtype.kind not in "iu") or array.ndim != 1:
        raise TypeError(f"{name} is {value!r}, but must be integers of one dimension")
    return array.astype(np.intp)


def refuse_entries(
    name: str, array: npt.NDArray[Any], is_bad: npt.NDArray[np.bool_], rule: str
) -> None:
    """Raise ValueError with the index and the value of the first bad entry, if there is one."""
    if is_bad.any():
        at = tuple(int(i) for i in np.argwhere(is_bad)[0])
        index = f"[{', '.join(map(str, at))}]" if at else ""
        raise ValueError(f"{name}{index} is {array[at]}, but {rule}")


def is_scipy_sparse(value: Any) -> bool:
    """Return whether a value is a sparse matrix or array of SciPy, of any format."""
    return hasattr(value, "tocsr") and not isinstance(value, type)


def checked_symmetric(array: npt.NDArray[Any], num_threads: int) -> npt.NDArray[np.float64]:
    """Return the largest magnitude ``(B,)`` of matrices J ``(n, n)`` or ``(B, n, n)``.

    Raises:
        ValueError: an entry that is not finite, not symmetric or on the diagonal.
    """
    bad, largest = _core.check_matrices(array, num_threads=num_threads)
    if bad is None:
        return largest
    row, column = bad[-2:]
    at = bad[-array.ndim :]
    value = array[at]
    if not np.isfinite(value):
        rule = "must be finite"
    elif row == column:
        rule = "the diagonal must be zero"
    else:
        across = (*at[:-2], column, row)
        rule = f"must equal the entry across the diagonal, {array[across]}"
    raise ValueError(f"J[{', '.join(map(str, at))}] is {value}, but {rule}")


# ---- numbers and words -------------------------------------------------------------------------


def checked_real(name: str, value: Any) -> float:
    """Return a real number as float64; it may be infinite or NaN."""
    if isinstance(value, bool) or not isinstance(value, Real):
        advice = ""
        if isinstance(value, Decimal) or hasattr(value, "item"):  # an array or a tensor
            advice = f": pass float({name})"
        raise TypeError(f"{name} is {value!r}, but must be a real number{advice}")
    try:
        return float(value)
    except OverflowError:
        raise ValueError(f"{name} is {value!r}, but must be finite") from None


def checked_finite(name: str, value: Any) -> float:
    """Return a finite number as float64."""
    number = checked_real(name, value)
    if not np.isfinite(number):
        raise ValueError(f"{name} is {value!r}, but must be finite")
    return number


def checked_count(name: str, value: Any, minimum: int, limit: int = COUNT_LIMIT) -> int:
    """Return an integer in ``[minimum, limit)``."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} is {value!r}, but must be an integer")
    if not minimum <= int(value) < limit:
        raise ValueError(f"{name} is {value!r}, but must lie in [{minimum}, {limit})")
    return int(value)


def checked_num_sweeps(num_sweeps: Any, minimum: int = 0) -> int:
    """Return a number of sweeps for which a schedule has room."""
    return checked_count("num_sweeps", num_sweeps, minimum, MAX_NUM_SWEEPS + 1)


def checked_choice(name: str, value: Any, choices: tuple[str | None, ...]) -> Any:
    """Return a value that is one of the choices: strings, and None where that is among them."""
    is_choice = value is None or isinstance(value, str)
    if not is_choice or value not in choices:
        text = " or ".join("None" if choice is None else repr(choice) for choice in choices)
        raise ValueError(f"{name} is {value!r}, but must be {text}")
    return value


def checked_vartype(vartype: Any) -> dimod.Vartype:
    """Return the vartype that dimod recognises, such as ``"SPIN"`` or ``dimod.BINARY``."""
    try:
        return dimod.as_vartype(vartype)
    except TypeError:
        raise ValueError(f"vartype is {vartype!r}, but must be 'SPIN' or 'BINARY'") from None


def checked_seed(seed: Any, limit: int = SEED_LIMIT) -> int:
    """Return a seed in ``[0, limit)``; draw one if it is None."""
    if seed is None:
        return secrets.randbelow(limit)
    return checked_count("seed", seed, 0, limit)


def checked_threads(num_threads: Any) -> int:
    """Return the largest number of threads; the core's default if it is None."""
    if num_threads is None:
        return _core.default_num_threads()
    return checked_count("num_threads", num_threads, 1)


def checked_time_limit(time_limit: Any) -> float:
    """Return a time limit in seconds, > 0; infinity if it is None."""
    if time_limit is None:
        return float("inf")
    seconds = checked_real("time_limit", time_limit)
    if not seconds > 0:
        raise ValueError(f"time_limit is {time_limit!r}, but must be positive")
    return seconds


def checked_range(name: str, bounds: Any) -> tuple[float, float] | None:
    """Return ``(low, high)`` with low <= high, or None."""
    if bounds is None:
        return None
    refuse_masked(name, bounds)
    try:
        low, high = (float(end) for end in bounds)
    except (TypeError, ValueError):
        raise TypeError(f"{name} is {bounds!r}, but must be None or two numbers") from None
    if not low <= high:
        raise ValueError(f"{name} is {bounds!r}, but must be (low, high) with low <= high")
    return low, high


# ---- annealing ---------------------------------------------------------------------------------


def checked_beta_range(value: Any) -> BetaRange:
    """Return a range of inverse temperatures, or the name of the rule that finds one.

    Args:
        value: ``"auto"`` or ``None`` for the rule
            :func:`~qpsbgd.samplers.temperature_rules.auto_beta_range`, ``"dwave"`` for the rule of
            dwave-samplers, or two numbers, >= 0.

    Returns:
        ``"auto"``, ``"dwave"``, or both numbers.

    Raises:
        TypeError: a masked array, or an end that is not a number.
        ValueError: another word, another number of ends, or an end that is negative or NaN.
    """
    if value is None:
        return "auto"
    rule = f"beta_range is {value!r}, but must be 'auto', 'dwave', None or two numbers"
    if isinstance(value, str):
        if value not in ("auto", "dwave"):
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
    """Return :func:`checked_beta_range` of a geometric schedule, whose ends are > 0 and finite.

    Raises:
        TypeError: a masked array, or an end that is not a number.
        ValueError: another word, another number of ends, or an end that is out of range.
    """
    ends = checked_beta_range(value)
    if not isinstance(ends, str) and not all(0 < end < float("inf") for end in ends):
        raise ValueError(
            f"beta_range is {value!r}, but a geometric schedule needs positive, finite ends"
        )
    return ends


def checked_keep(keep: Any) -> Keep | None:
    """Return which state a read of annealing keeps; None lets the schedule decide."""
    choice: Keep | None = checked_choice("keep", keep, ("best", "final", None))
    return choice


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
        raise TypeError(
            f"{name} has dtype {array.dtype}, but must be float32: NumPy converts it with "
            ".astype(np.float32), torch with .float()"
        )
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
