"""The couplings of a batch: what users hand over, checked, and as the core takes it."""

from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from qpsbgd import _core
from qpsbgd._checks import checked_real, real_array, refuse_masked, tensor_array

Floats: TypeAlias = npt.NDArray[np.float64]
States: TypeAlias = npt.NDArray[np.int8]
Part: TypeAlias = slice | npt.NDArray[np.intp]
Form = Literal["dense", "interleaved", "low_rank", "sparse"]

#: Largest ratio of a field to ``scale * max|A|**2`` that the low-rank form takes.
FACTOR_RANGE = 1e15
#: The low-rank form's bounds of ``max|A|`` and ``scale * max|A|**2``.
FACTOR_ENTRIES = (1e-30, 1e30)
FACTOR_UNITS = (1e-100, 1e100)
#: Matrices of float32 with no magnitude above this are divided in float64.
LEAST_FLOAT = 2.0**-100
#: Random states that tell how large the couplings of a factor are.
MAGNITUDE_STATES = 16
#: Entries of a temporary array at most, where that is as long as a batch's couplings.
CHUNK = 1 << 22


@dataclass(frozen=True)
class LowRank:
    """Couplings ``scale * A.T @ A``, without their diagonal, which is a constant.

    Attributes:
        A: ``(N, n)``.
        scale: finite.
    """

    A: npt.ArrayLike
    scale: float = 1.0


@dataclass(frozen=True)
class SparseBatch:
    """Sparse couplings whose pattern all problems share, in compressed rows (CSR).

    Attributes:
        data: ``(nnz,)``, one set of values for all problems, or ``(B, nnz)``.
        indices: column of each value, integers ``(nnz,)``.
        indptr: where each row begins, integers ``(n + 1,)``. Both triangles must be there, each
            entry once.
    """

    data: npt.ArrayLike
    indices: npt.ArrayLike
    indptr: npt.ArrayLike


def floats(name: str, value: Any, ndim: int | tuple[int, ...], *, finite: bool = True) -> Any:
    """A contiguous array of so many dimensions, in float64, or float32 as it is if not ``finite``.

    Raises:
        TypeError: not an array of real numbers.
        ValueError: other dimensions; NaN or infinity where ``finite`` asks to look for them.
    """
    array = real_array(name, value)
    dtype = np.float32 if array.dtype == np.float32 and not finite else np.float64
    array = np.require(array, dtype, ["C", "A"])
    if array.ndim not in np.atleast_1d(ndim):
        raise ValueError(
            f"{name} has shape {array.shape}, but must have "
            f"{' or '.join(str(d) for d in np.atleast_1d(ndim))} dimensions"
        )
    if finite:
        refuse(name, array, ~np.isfinite(array), "must be finite")
    return array


def refuse(name: str, array: npt.NDArray[Any], bad: npt.NDArray[np.bool_], rule: str) -> None:
    """An error that names the first bad entry, if there is one."""
    if bad.any():
        at = tuple(int(i) for i in np.argwhere(bad)[0])
        raise ValueError(f"{name}[{', '.join(map(str, at))}] is {array[at]}, but {rule}")


class Couplings(Protocol):
    """J of all problems."""

    @property
    def shared(self) -> bool:
        """Whether all have the same."""
        ...

    def halved_spins(self, h: Floats) -> tuple["Couplings", Floats]:
        """J and h over spins s of problems over x = (1 + s) / 2, but for a constant."""
        ...

    def part(self, part: Part) -> "Couplings":
        """Those of some problems."""
        ...

    def core(self) -> Any:
        """What ``_core.solve_batch`` takes."""
        ...

    def magnitudes(self, h: Floats, num_threads: int) -> tuple[Floats, Floats]:
        """``(B,)`` each: the largest bias, and the mean of sqrt(h_i^2 + sum_j J_ij^2)."""
        ...

    def reach(self, h: Floats) -> Floats:
        """Return the largest magnitude ``(B, n)`` of each field, or a bound that is not less."""
        ...

    def any(self) -> bool:
        """Whether a coupling is not 0."""
        ...

    def fields(self, h: Floats, states: States, num_threads: int) -> Floats:
        """``h + J x`` of states ``(B, R, n)``."""
        ...

    def energies(self, h: Floats, states: States, num_threads: int) -> Floats:
        """``h.x + x.J x / 2`` of states ``(B, R, n)``."""
        ...


@dataclass(frozen=True)
class Matrices:
    """``(n, n)``, or ``(B, n, n)``, in float64 or float32; and each one's largest magnitude."""

    J: npt.NDArray[Any]
    largest: Floats

    @classmethod
    def checked(cls, J: Any, shape: tuple[int, ...], num_threads: int) -> "Matrices":
        """Symmetric with a zero diagonal, for fields of a shape (B, n)."""
        problems, n = shape
        array = floats("J", J, (2, 3), finite=False)
        expected = (n, n) if array.ndim == 2 else (problems, n, n)
        if array.shape != expected:
            raise ValueError(
                f"J has shape {array.shape}, but must be ({n}, {n}) or ({problems}, {n}, {n}) as h "
                f"is {shape}"
            )
        bad, largest = _core.check_matrices(array, num_threads=num_threads)
        if bad is not None:
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
        return cls(array, largest)

    @property
    def shared(self) -> bool:
        return self.J.ndim == 2

    def halved_spins(self, h: Floats) -> tuple["Matrices", Floats]:
        J = self.J
        if ((self.largest > 0) & (self.largest < LEAST_FLOAT)).any():
            J = J.astype(np.float64)  # a quarter may be no float32
        return Matrices(J / 4, self.largest / 4), h / 2 + J.sum(axis=-1, dtype=np.float64) / 4

    def part(self, part: Part) -> "Matrices":
        return self if self.shared else Matrices(self.J[part], self.largest[part])

    def core(self) -> npt.NDArray[Any]:
        return self.J

    def magnitudes(self, h: Floats, num_threads: int) -> tuple[Floats, Floats]:
        return _core.batch_magnitudes(self.J, self.largest, h, num_threads=num_threads)

    def reach(self, h: Floats) -> Floats:
        reach: Floats = np.abs(h) + np.abs(self.J).sum(axis=-1, dtype=np.float64)
        return reach

    def any(self) -> bool:
        return bool(self.largest.any())

    def fields(self, h: Floats, states: States, num_threads: int) -> Floats:
        return _core.batch_fields(self.J, h, states, num_threads=num_threads)

    def energies(self, h: Floats, states: States, num_threads: int) -> Floats:
        return _core.batch_energies(self.J, h, states, num_threads=num_threads)

    def pattern(self) -> "Pattern":
        """The pairs that interact in any problem."""
        J = self.J[None] if self.shared else self.J
        rows, columns = np.nonzero(np.triu((J != 0).any(axis=0)))
        values = np.ascontiguousarray(self.J[..., rows, columns], np.float64)
        return Pattern(rows.astype(np.uint32), columns.astype(np.uint32), values)


@dataclass(frozen=True)
class Factor:
    """``scale * A.T @ A`` without its diagonal, of all problems. ``A`` float64 ``(N, n)``."""

    A: Floats
    scale: float

    @property
    def shared(self) -> bool:
        return True

    @classmethod
    def checked(cls, J: LowRank, shape: tuple[int, ...]) -> "Factor":
        n = shape[1]
        A, scale = floats("J.A", J.A, 2), checked_real("J.scale", J.scale)
        if not np.isfinite(scale):
            raise ValueError(f"J.scale is {J.scale}, but must be finite")
        if A.shape[1] != n:
            raise ValueError(f"J.A has shape {A.shape}, but must be (N, {n}) as h is {shape}")
        return cls(A, scale)

    def formed(self) -> Matrices:
        with np.errstate(over="ignore", invalid="ignore"):
            product: Floats = (self.scale * self.A.T) @ self.A
        np.fill_diagonal(product, 0.0)
        refuse("(scale * A.T @ A)", product, ~np.isfinite(product), "must be finite")
        product = product / 2 + product.T / 2  # the triangles may be rounded differently
        return Matrices(product, np.atleast_1d(np.abs(product).max(initial=0.0)))

    def misfit(self, h: Floats) -> str | None:
        """Why the core cannot take it as it is, if so."""
        if not self.scale > 0:
            return f"J.scale is {self.scale}, but must be positive"
        largest = float(np.abs(self.A).max(initial=0.0))
        low, high = FACTOR_ENTRIES
        if not low < largest < high:
            return f"max|J.A| is {largest}, but must lie in ({low}, {high})"
        unit = self.scale * largest**2
        low, high = FACTOR_UNITS
        if not low < unit < high:
            return f"J.scale * max|J.A|^2 is {unit}, but must lie in ({low}, {high})"
        field = float(np.abs(h).max(initial=0.0))
        if field > FACTOR_RANGE * unit:
            return (
                f"max|h| is {field}, but must be at most {FACTOR_RANGE:.0e} J.scale max|J.A|^2, "
                f"{FACTOR_RANGE * unit}"
            )
        return None

    def halved_spins(self, h: Floats) -> tuple["Factor", Floats]:
        ones = np.ones((len(h), 1, h.shape[1]), np.int8)
        halved = Factor(self.A, self.scale / 4)
        return halved, halved.fields(h / 2, ones, 1)[:, 0]

    def part(self, part: Part) -> "Factor":
        return self

    def core(self) -> tuple[npt.NDArray[np.float32], float]:
        return self.A.astype(np.float32), self.scale

    def magnitudes(self, h: Floats, num_threads: int) -> tuple[Floats, Floats]:
        # In random states the mean square of sum_j J_ij x_j is that of J_ij, summed. Not by NumPy's
        # products, whose threads wait on the processors that the core is to use next.
        shape = (1, MAGNITUDE_STATES, h.shape[1])
        states = np.random.default_rng(0).choice(np.array([-1, 1], np.int8), shape)
        fields = self.fields(np.zeros((1, h.shape[1])), states, num_threads)[0]
        unit = max(float(np.abs(fields).max(initial=0.0)), np.finfo(np.float64).tiny)
        rows = unit * np.sqrt(np.square(fields / unit).mean(axis=0))  # (n,)
        largest = np.maximum(np.abs(h).max(axis=1), rows.max(initial=0.0))
        return largest, np.hypot(h, rows).mean(axis=1)

    def reach(self, h: Floats) -> Floats:
        # sum_j |sum_k A_ki A_kj| <= sum_k |A_ki| sum_j |A_kj|
        A = np.abs(self.A)
        reach: Floats = np.abs(h) + abs(self.scale) * np.einsum("ki,k->i", A, A.sum(axis=1))
        return reach

    def any(self) -> bool:
        return bool(self.scale) and bool(self.A.any())

    def fields(self, h: Floats, states: States, num_threads: int) -> Floats:
        return _core.factor_fields(self.A, self.scale, h, states, num_threads=num_threads)

    def energies(self, h: Floats, states: States, num_threads: int) -> Floats:
        return _core.factor_energies(self.A, self.scale, h, states, num_threads=num_threads)


@dataclass(frozen=True)
class Pattern:
    """Pairs of variables, uint32 ``(k,)`` each, and values, float64 ``(k,)`` or ``(B, k)``."""

    rows: npt.NDArray[np.uint32]
    columns: npt.NDArray[np.uint32]
    values: Floats

    @classmethod
    def checked(cls, J: SparseBatch, shape: tuple[int, ...]) -> "Pattern":
        """Symmetric with a zero diagonal, for fields of a shape (B, n)."""
        problems, n = shape
        data = floats("J.data", J.data, (1, 2))
        indices, indptr = _integers("J.indices", J.indices), _integers("J.indptr", J.indptr)
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
        refuse("J.indices", indices, (indices < 0) | (indices >= n), f"must be in [0, {n})")
        rows = np.repeat(np.arange(n), np.diff(indptr))
        names = rows * n + indices
        order, turned = np.argsort(names, kind="stable"), np.argsort(indices * n + rows)
        if (np.diff(names[order]) == 0).any():
            k = order[np.flatnonzero(np.diff(names[order]) == 0)[0]]
            raise ValueError(f"J[{rows[k]}, {indices[k]}] comes twice, but must come once")
        if not np.array_equal(names[order], (indices * n + rows)[turned]):
            alone = ~np.isin(names, indices * n + rows)
            k = np.flatnonzero(alone)[0]
            raise ValueError(
                f"J[{rows[k]}, {indices[k]}] is there, but the entry across the diagonal is not"
            )
        across = np.empty(nnz, np.intp)
        across[order] = turned  # of each entry, the number of the one across the diagonal
        bad = (data != data[..., across]) | ((rows == indices) & (data != 0))
        if bad.any():
            at = tuple(np.argwhere(bad)[0])
            k = at[-1]
            where = ", ".join(map(str, (*at[:-1], rows[k], indices[k])))
            if rows[k] == indices[k]:
                rule = "the diagonal must be zero"
            else:
                turned_at = (*at[:-1], across[k])
                rule = f"must equal the entry across the diagonal, {data[turned_at]}"
            raise ValueError(f"J[{where}] is {data[at]}, but {rule}")
        upper = np.flatnonzero(rows < indices)
        values = np.ascontiguousarray(data[..., upper])
        return cls(rows[upper].astype(np.uint32), indices[upper].astype(np.uint32), values)

    @property
    def shared(self) -> bool:
        return self.values.ndim == 1

    def formed(self, n: int) -> Matrices:
        J = np.zeros((*self.values.shape[:-1], n, n))
        J[..., self.rows, self.columns] = J[..., self.columns, self.rows] = self.values
        return Matrices(J, np.atleast_1d(np.abs(self.values).max(axis=-1, initial=0.0)))

    def halved_spins(self, h: Floats) -> tuple["Pattern", Floats]:
        halved = Pattern(self.rows, self.columns, self.values / 4)
        return halved, halved.fields(h / 2, np.ones((len(h), 1, h.shape[1]), np.int8), 1)[:, 0]

    def part(self, part: Part) -> "Pattern":
        return self if self.shared else Pattern(self.rows, self.columns, self.values[part])

    def core(self) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32], Floats]:
        return self.rows, self.columns, self.values

    def magnitudes(self, h: Floats, num_threads: int) -> tuple[Floats, Floats]:
        couplings = np.abs(self.values).max(axis=-1, initial=0.0)
        largest = np.maximum(np.abs(h).max(axis=1), couplings)
        unit = np.maximum(largest, np.finfo(np.float64).tiny)
        squares = np.square(h / unit[:, None])
        for b, scale in enumerate(unit):
            values = np.square((self.values if self.shared else self.values[b]) / scale)
            for end in (self.rows, self.columns):
                squares[b] += np.bincount(end, values, h.shape[1])
        return largest, unit * np.sqrt(squares).mean(axis=1)

    def reach(self, h: Floats) -> Floats:
        reach = np.abs(h)
        for b, out in enumerate(reach):
            values = np.abs(self.values if self.shared else self.values[b])
            for end in (self.rows, self.columns):
                out += np.bincount(end, values, h.shape[1])
        return reach

    def any(self) -> bool:
        return bool(self.values.any())

    def fields(self, h: Floats, states: States, num_threads: int) -> Floats:
        fields = np.repeat(h[:, None, :], states.shape[1], axis=1)
        for b in range(len(h)):
            values = self.values if self.shared else self.values[b]
            for s, out in zip(states[b], fields[b], strict=True):
                out += np.bincount(self.rows, values * s[self.columns], len(s))
                out += np.bincount(self.columns, values * s[self.rows], len(s))
        return fields

    def energies(self, h: Floats, states: States, num_threads: int) -> Floats:
        energies: Floats = (states * h[:, None, :]).sum(axis=-1)
        step = max(1, CHUNK // max(1, states.shape[1] * len(self.rows)))
        for first in range(0, len(h), step):
            part = slice(first, first + step)
            pairs = states[part, :, self.rows] * states[part, :, self.columns]
            values = self.values if self.shared else self.values[part, None]
            energies[part] += (pairs * values).sum(axis=-1)
        return energies


def _integers(name: str, value: Any) -> npt.NDArray[np.intp]:
    refuse_masked(name, value)
    array = tensor_array(name, value)
    if array is None:
        array = np.asarray(value)
    if (array.size and array.dtype.kind not in "iu") or array.ndim != 1:  # [] is of floats
        raise TypeError(f"{name} is {value!r}, but must be integers of one dimension")
    return array.astype(np.intp)


def typed_couplings(J: Any) -> Any:
    """Return ``J`` of :func:`~qpsbgd.sample_batch` with its values as an array of real numbers.

    Raises:
        TypeError: it is of none of the kinds that J may be.
        ValueError: a tensor that is not on the CPU.
    """
    if isinstance(J, LowRank):
        return LowRank(real_array("J.A", J.A), checked_real("J.scale", J.scale))
    if isinstance(J, SparseBatch):
        return SparseBatch(real_array("J.data", J.data), J.indices, J.indptr)
    if isinstance(J, Pattern) or _is_scipy_sparse(J):
        return J
    return real_array("J", J)


def _is_scipy_sparse(J: Any) -> bool:
    return hasattr(J, "tocsr") and not isinstance(J, type)


def checked_couplings(J: Any, shape: tuple[int, ...], num_threads: int) -> Couplings:
    """What ``J`` of :func:`~qpsbgd.sample_batch` is, for fields of a shape (B, n).

    Raises:
        TypeError: not an array of real numbers, nor one of the other kinds.
        ValueError: an entry that is NaN, infinite, not symmetric, or on the diagonal.
    """
    if isinstance(J, Pattern):  # of models, which are symmetric
        return J
    if isinstance(J, LowRank):
        return Factor.checked(J, shape)
    if _is_scipy_sparse(J):
        if J.shape != (shape[1], shape[1]):
            raise ValueError(
                f"J has shape {J.shape}, but must be ({shape[1]}, {shape[1]}) as h is {shape}"
            )
        rows = J.tocsr(copy=True)
        rows.sum_duplicates()
        rows.eliminate_zeros()  # what is stored in one triangle alone need not be a coupling
        J = SparseBatch(rows.data, rows.indices, rows.indptr)
    if isinstance(J, SparseBatch):
        return Pattern.checked(J, shape)
    return Matrices.checked(J, shape, num_threads)
