"""Checks of arrays of any shape."""

import sys
from decimal import Decimal
from numbers import Real
from typing import Any

import numpy as np
import numpy.typing as npt

from qpsbgd import _core
from qpsbgd._checks.kinds import described


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
