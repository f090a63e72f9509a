"""Binary quadratic models that are given as arrays."""

from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from qpsbgd import _core
from qpsbgd._checks.binary_models import checked_vartype
from qpsbgd._checks.numbers import checked_finite
from qpsbgd._checks.real_arrays import (
    checked_symmetric,
    is_scipy_sparse,
    real_array,
    refuse_entries,
)

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.uint32]

#: Entries of a matrix that NumPy handles in one call: some milliseconds.
PIECE = 1 << 20
#: Couplings over binary variables are divided by 4 without a copy between these magnitudes.
SMALLEST, LARGEST = 1e-290, 1e300


class ArrayModel:
    """Model ``h.v + sum of J_ij v_i v_j over pairs i < j + offset`` of variables 0, ..., n - 1.

    It has those attributes of a ``dimod.BinaryQuadraticModel`` that samplers read.

    Args:
        h: linear biases, real ``(n,)``.
        J: couplings, real ``(n, n)`` with a zero diagonal, an array or a matrix of
            ``scipy.sparse``: symmetric, or all in one triangle.
        offset: constant part of the energy.
        vartype: ``"SPIN"`` or ``dimod.SPIN`` for variables -1 and +1, ``"BINARY"`` or
            ``dimod.BINARY`` for 0 and 1.

    Attributes:
        linear: h, float64 ``(n,)``.
        matrix: J as a symmetric C-contiguous array, float64 or float32; None if J is sparse.
        vartype: vartype of the variables.
        variables: ``range(n)``.
        offset: constant part of the energy.

    Raises:
        TypeError: an argument is not of real numbers.
        ValueError: a shape that does not fit; an entry that is NaN, infinite or on the diagonal; a
            J that is neither symmetric nor in one triangle.
    """

    matrix: npt.NDArray[Any] | None = None
    _pairs: tuple[Indices, Indices, Floats] | None = None

    def __init__(self, h: Any, J: Any, offset: Any, vartype: Any) -> None:
        self.vartype = checked_vartype(vartype)
        self.offset = checked_finite("offset", offset)
        linear = real_array("h", h)
        if linear.ndim != 1:
            raise ValueError(f"h has shape {linear.shape}, but must have one dimension")
        self.linear = np.ascontiguousarray(linear, np.float64)
        refuse_entries("h", self.linear, ~np.isfinite(self.linear), "must be finite")
        self.variables = range(len(self.linear))
        is_sparse = is_scipy_sparse(J)
        J = J if is_sparse else _float_array(real_array("J", J))
        n = len(self.linear)
        if J.shape != (n, n):
            raise ValueError(f"J has shape {J.shape}, but must be ({n}, {n}) as h is ({n},)")
        if is_sparse:
            self._sparse, self._pairs = J, _lower_entries(J)
            self.num_interactions = len(self._pairs[2])
        else:
            self.matrix, self.largest = _symmetric(J)

    @property
    def num_variables(self) -> int:
        """Number of variables, n."""
        return len(self.linear)

    @cached_property
    def num_interactions(self) -> int:
        """Number of pairs whose coupling is not zero."""
        assert self.matrix is not None  # the number of a sparse J is set by its reading
        return int(np.count_nonzero(self.matrix)) // 2

    def pairs(self) -> tuple[Indices, Indices, Floats]:
        """Return the coupled pairs, ``(k,)`` each: the larger variable, the smaller one, and J.

        The order is that of rows and columns of the lower triangle, as in ``to_numpy_vectors`` of a
        dimod model.
        """
        if self.matrix is None:
            # They are large. A second caller has them read again.
            pairs, self._pairs = self._pairs, None
            return _lower_entries(self._sparse) if pairs is None else pairs
        parts: list[tuple[Any, ...]] = [(np.empty(0, np.uint32),) * 2 + (np.empty(0),)]
        step = max(1, PIECE // max(1, self.num_variables))
        for first in range(0, self.num_variables, step):
            block = np.tril(self.matrix[first : first + step], first - 1)
            at = np.nonzero(block)
            row, column = (index.astype(np.uint32) for index in at)
            parts.append((row + np.uint32(first), column, block[at].astype(np.float64)))
        rows, columns, values = zip(*parts, strict=True)
        return np.concatenate(rows), np.concatenate(columns), np.concatenate(values)


def _float_array(J: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return an array in float64, or in float32 if that holds all numbers of its type."""
    if J.dtype.kind != "f" or J.dtype.itemsize not in (4, 8):
        J = J.astype(np.float32 if J.dtype.itemsize <= 2 else np.float64)
    return J


def _symmetric(J: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], float]:
    """Return a C-contiguous symmetric matrix and its largest magnitude.

    A symmetric matrix is not copied if its memory is contiguous, in order of rows or columns.
    """
    dtype = J.dtype.newbyteorder("=")
    if J.flags.f_contiguous and not J.flags.c_contiguous:
        transposed = np.require(J.T, dtype, ["C", "A"])
        if _core.check_matrices(transposed, num_threads=1)[0] is None:
            J = transposed
    J = np.require(J, dtype, ["C", "A"])
    bad, largest = _core.check_matrices(J, num_threads=1)
    if bad is None:
        return J, float(largest[0])
    row, column = bad[-2:]
    if row != column and np.isfinite(J[row, column]) and _is_triangular(J):
        J = J + J.T
    return J, float(checked_symmetric(J, 1)[0])


def _is_triangular(J: npt.NDArray[Any]) -> bool:
    """Return whether all entries below the diagonal are zero, or all above it."""
    step = max(1, PIECE // max(1, len(J)))
    has_lower = has_upper = False
    for first in range(0, len(J), step):
        block = J[first : first + step]
        has_lower |= bool(np.tril(block, first - 1).any())
        has_upper |= bool(np.triu(block, first + 1).any())
    return not (has_lower and has_upper)


def _lower_entries(J: Any) -> tuple[Indices, Indices, Floats]:
    """Return row, column and value of the pairs of a sparse matrix, in the lower triangle's order.

    Values that are stored twice are added up, as SciPy does.
    """
    _check_indices(J)
    csr = J.tocsr()
    if csr.data.dtype.kind not in "biuf":
        raise TypeError(f"J has dtype {csr.data.dtype}, but must be of real numbers")
    if not csr.has_canonical_format:
        csr = csr.copy()
        csr.sum_duplicates()
    rows = np.repeat(np.arange(csr.shape[0], dtype=csr.indices.dtype), np.diff(csr.indptr))
    _refuse_stored(csr, rows, ~np.isfinite(csr.data), "must be finite")
    is_stored = csr.data != 0
    _refuse_stored(csr, rows, is_stored & (csr.indices == rows), "the diagonal must be zero")
    lower = _selected(csr, rows, is_stored & (csr.indices < rows))
    if len(lower[2]) == np.count_nonzero(is_stored):
        return lower
    del rows, is_stored
    other = csr.T.tocsr()  # its rows are sorted by column
    rows = np.repeat(np.arange(other.shape[0], dtype=other.indices.dtype), np.diff(other.indptr))
    upper = _selected(other, rows, (other.data != 0) & (other.indices < rows))
    if len(lower[2]) == 0:
        return upper
    if not all(np.array_equal(lower[k], upper[k]) for k in range(3)):
        difference = (csr.astype(np.float64) - other.astype(np.float64)).tocoo()
        at = np.flatnonzero(difference.data)[0]
        i, j = int(difference.row[at]), int(difference.col[at])
        raise ValueError(
            f"J[{i}, {j}] is {csr[i, j]}, but must equal the entry across the diagonal, "
            f"{csr[j, i]}, or all entries must lie in one triangle"
        )
    return lower


def _check_indices(J: Any) -> None:
    """Raise ValueError if the indices of a sparse matrix are damaged: SciPy would not notice."""
    try:
        if hasattr(J, "check_format"):
            J.check_format(full_check=True)
        elif J.format == "coo":
            type(J)((J.data, (J.row, J.col)), shape=J.shape)  # the constructor checks
    except (ValueError, IndexError) as error:
        raise ValueError(f"J is a damaged sparse matrix: {error}") from error


def _selected(
    csr: Any, rows: npt.NDArray[Any], is_chosen: npt.NDArray[np.bool_]
) -> tuple[Indices, Indices, Floats]:
    return (
        rows[is_chosen].astype(np.uint32),
        csr.indices[is_chosen].astype(np.uint32),
        csr.data[is_chosen].astype(np.float64),
    )


def _refuse_stored(
    csr: Any, rows: npt.NDArray[Any], is_bad: npt.NDArray[np.bool_], rule: str
) -> None:
    if is_bad.any():
        k = int(is_bad.argmax())
        raise ValueError(f"J[{rows[k]}, {csr.indices[k]}] is {csr.data[k]}, but {rule}")
