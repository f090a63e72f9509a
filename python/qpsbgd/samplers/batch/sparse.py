"""Couplings of a batch as the values of some pairs of variables."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from qpsbgd._checks.real_arrays import checked_floats, checked_integers, refuse_entries
from qpsbgd.samplers.batch.couplings import Floats, Selection, States
from qpsbgd.samplers.batch.dense import DenseCouplings

#: Largest number of entries of a temporary array that grows with the batch's couplings.
CHUNK = 1 << 22


@dataclass(frozen=True)
class SparseBatch:
    """Sparse couplings in compressed rows (CSR); all problems share the pattern.

    Attributes:
        data: real ``(nnz,)``, values that all problems share, or ``(B, nnz)``.
        indices: column of each value, integers ``(nnz,)``.
        indptr: position of each row's first value, integers ``(n + 1,)``. Both triangles must be
            present, with each entry once.

    Example:
        >>> from qpsbgd import SparseBatch, sample_batch
        >>> pairs = SparseBatch(data=[[-1.0, -1.0], [1.0, 1.0]], indices=[1, 0], indptr=[0, 1, 2])
        >>> sample_batch([[0.5, 0.0], [0.5, 0.0]], pairs, seed=1).states[:, 0]
        array([[-1, -1],
               [-1,  1]], dtype=int8)
    """

    data: npt.ArrayLike
    indices: npt.ArrayLike
    indptr: npt.ArrayLike


@dataclass(frozen=True)
class SparseCouplings:
    """Couplings of some pairs of variables; all problems share the pairs.

    Attributes:
        rows: first variable of each pair, uint32 ``(k,)``.
        columns: second variable of each pair, uint32 ``(k,)``.
        values: coupling of each pair, float64 ``(k,)``, shared, or ``(B, k)``.
    """

    rows: npt.NDArray[np.uint32]
    columns: npt.NDArray[np.uint32]
    values: Floats

    @classmethod
    def checked(cls, J: SparseBatch, shape: tuple[int, ...]) -> "SparseCouplings":
        """Check the compressed rows of problems whose ``h`` has this shape ``(B, n)``.

        Raises:
            TypeError: the data are not real numbers, or the indices are not integers.
            ValueError: another shape, or an entry that is not finite, not symmetric, on the
                diagonal or stored twice.
        """
        data, rows, indices = _stored_entries(J, shape)
        across = _entries_across(rows, indices, shape[1])
        is_bad = (data != data[..., across]) | ((rows == indices) & (data != 0))
        if is_bad.any():
            at = tuple(np.argwhere(is_bad)[0])
            k = at[-1]
            where = ", ".join(map(str, (*at[:-1], rows[k], indices[k])))
            if rows[k] == indices[k]:
                rule = "the diagonal must be zero"
            else:
                mirrored_at = (*at[:-1], across[k])
                rule = f"must equal the entry across the diagonal, {data[mirrored_at]}"
            raise ValueError(f"J[{where}] is {data[at]}, but {rule}")
        upper = np.flatnonzero(rows < indices)
        values = np.ascontiguousarray(data[..., upper])
        return cls(rows[upper].astype(np.uint32), indices[upper].astype(np.uint32), values)

    @classmethod
    def from_dense(cls, couplings: DenseCouplings) -> "SparseCouplings":
        """Return the couplings of the pairs that are coupled in any problem."""
        J = couplings.J[None] if couplings.is_shared else couplings.J
        rows, columns = np.nonzero(np.triu((J != 0).any(axis=0)))
        values = np.ascontiguousarray(couplings.J[..., rows, columns], np.float64)
        return cls(rows.astype(np.uint32), columns.astype(np.uint32), values)

    @property
    def is_shared(self) -> bool:
        """Whether all problems have the same couplings."""
        return self.values.ndim == 1

    def to_dense(self, n: int) -> DenseCouplings:
        """Return the same couplings as matrices of n variables."""
        J = np.zeros((*self.values.shape[:-1], n, n))
        J[..., self.rows, self.columns] = J[..., self.columns, self.rows] = self.values
        return DenseCouplings(J, np.atleast_1d(np.abs(self.values).max(axis=-1, initial=0.0)))

    def for_spins(self, h: Floats) -> tuple[Floats, "SparseCouplings"]:
        """Return h and J over spins s of problems over x = (1 + s) / 2, up to a constant."""
        ones = np.ones((len(h), 1, h.shape[1]), np.int8)
        quarter = SparseCouplings(self.rows, self.columns, self.values / 4)
        return quarter.fields(h / 2, ones, 1)[:, 0], quarter

    def select(self, problems: Selection) -> "SparseCouplings":
        """Return the couplings of some problems."""
        if self.is_shared:
            return self
        return SparseCouplings(self.rows, self.columns, self.values[problems])

    def core(self) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32], Floats]:
        """Return the arrays that ``_core.solve_batch`` takes."""
        return self.rows, self.columns, self.values

    def magnitudes(self, h: Floats, num_threads: int) -> tuple[Floats, Floats]:
        """Return each problem's largest bias and its mean of sqrt(h_i^2 + sum_j J_ij^2), (B,)."""
        couplings = np.abs(self.values).max(axis=-1, initial=0.0)
        largest = np.maximum(np.abs(h).max(axis=1), couplings)
        unit = np.maximum(largest, np.finfo(np.float64).tiny)
        squares = np.square(h / unit[:, None])
        for b, scale in enumerate(unit):
            values = np.square(self._values_of(b) / scale)
            for end in (self.rows, self.columns):
                squares[b] += np.bincount(end, values, h.shape[1])
        return largest, unit * np.sqrt(squares).mean(axis=1)

    def reach(self, h: Floats) -> Floats:
        """Return the largest magnitude ``(B, n)`` of each local field."""
        reach = np.abs(h)
        for b, row in enumerate(reach):
            values = np.abs(self._values_of(b))
            for end in (self.rows, self.columns):
                row += np.bincount(end, values, h.shape[1])
        return reach

    def has_couplings(self) -> bool:
        """Return whether any coupling is not zero."""
        return bool(self.values.any())

    def fields(self, h: Floats, states: States, num_threads: int) -> Floats:
        """Return ``h + J x`` of states x, ``(B, R, n)``."""
        fields = np.repeat(h[:, None, :], states.shape[1], axis=1)
        for b in range(len(h)):
            values = self._values_of(b)
            for s, row in zip(states[b], fields[b], strict=True):
                row += np.bincount(self.rows, values * s[self.columns], len(s))
                row += np.bincount(self.columns, values * s[self.rows], len(s))
        return fields

    def energies(self, h: Floats, states: States, num_threads: int) -> Floats:
        """Return ``h.x + x.J x / 2`` of states x, ``(B, R)``."""
        energies: Floats = (states * h[:, None, :]).sum(axis=-1)
        step = max(1, CHUNK // max(1, states.shape[1] * len(self.rows)))
        for first in range(0, len(h), step):
            part = slice(first, first + step)
            pairs = states[part, :, self.rows] * states[part, :, self.columns]
            values = self.values if self.is_shared else self.values[part, None]
            energies[part] += (pairs * values).sum(axis=-1)
        return energies

    def _values_of(self, problem: int) -> Floats:
        return self.values if self.is_shared else self.values[problem]


def _stored_entries(
    J: SparseBatch, shape: tuple[int, ...]
) -> tuple[Floats, npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Return the values, and the row and the column of each, of checked compressed rows."""
    problems, n = shape
    data: Any = checked_floats("J.data", J.data, 1, 2)
    indices, indptr = (
        checked_integers("J.indices", J.indices),
        checked_integers("J.indptr", J.indptr),
    )
    if indptr.shape != (n + 1,) or indptr[0] != 0 or (np.diff(indptr) < 0).any():
        raise ValueError(
            f"J.indptr has shape {indptr.shape}, but must be ({n + 1},) as h is {shape}, begin "
            "with 0 and never fall"
        )
    nnz = int(indptr[-1])
    if indices.shape != (nnz,) or data.shape not in ((nnz,), (problems, nnz)):
        raise ValueError(
            f"J.indices has shape {indices.shape} and J.data {data.shape}, but must be "
            f"({nnz},) and ({nnz},) or ({problems}, {nnz}) as J.indptr ends with {nnz}"
        )
    refuse_entries("J.indices", indices, (indices < 0) | (indices >= n), f"must be in [0, {n})")
    return data, np.repeat(np.arange(n), np.diff(indptr)), indices


def _entries_across(
    rows: npt.NDArray[np.intp], columns: npt.NDArray[np.intp], n: int
) -> npt.NDArray[np.intp]:
    """Return the position of the entry across the diagonal from each entry, ``(nnz,)``."""
    keys, mirrored = rows * n + columns, columns * n + rows
    order, mirrored_order = np.argsort(keys, kind="stable"), np.argsort(mirrored)
    is_repeated = np.diff(keys[order]) == 0
    if is_repeated.any():
        k = order[np.flatnonzero(is_repeated)[0]]
        raise ValueError(f"J[{rows[k]}, {columns[k]}] comes twice, but must come once")
    if not np.array_equal(keys[order], mirrored[mirrored_order]):
        k = np.flatnonzero(~np.isin(keys, mirrored))[0]
        raise ValueError(
            f"J[{rows[k]}, {columns[k]}] is there, but the entry across the diagonal is not"
        )
    across = np.empty(len(rows), np.intp)
    across[order] = mirrored_order
    return across
