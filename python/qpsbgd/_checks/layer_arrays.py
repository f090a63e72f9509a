"""Checks of a layer's inputs, targets and binary weights."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from qpsbgd import _core
from qpsbgd._checks.kinds import described
from qpsbgd._checks.real_arrays import refuse_masked, tensor_array

if TYPE_CHECKING:
    import torch

    ArrayLike: TypeAlias = npt.NDArray[Any] | torch.Tensor


#: Entries of an array that NumPy handles in one call: Ctrl-C has no effect until it returns.
_PIECE = 1 << 18


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
