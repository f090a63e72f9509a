"""Couplings and arrays in every layout, and those that must be refused."""

import numpy as np
from hypothesis import strategies as st

import qpsbgd
from draws import KINDS, matrix_of, models, numbers, seeds
from fuzz.targets import Unchanged, is_refused, need, target

LAYOUTS = ("C", "Fortran", "strided", "reversed", "swapped bytes", "read-only", "unaligned")
SPARSE_FORMATS = (
    "csr", "csc", "coo", "lil", "dok", "dia", "bsr", "csr array", "duplicates", "explicit zeros",
    "unsorted", "int64 indices",
)  # fmt: skip

layouts = st.sampled_from(LAYOUTS)


def laid_out(array, layout):
    """The same values in another memory layout."""
    if layout == "Fortran":
        return np.asfortranarray(array)
    if layout == "strided":
        wide = np.zeros([2 * length for length in array.shape], array.dtype)
        view = wide[tuple(slice(None, None, 2) for _ in array.shape)]
        view[...] = array
        return view
    if layout == "reversed":
        backwards = tuple(slice(None, None, -1) for _ in array.shape)
        return array[backwards].copy()[backwards]
    if layout == "swapped bytes" and array.dtype.itemsize > 1:
        return array.astype(array.dtype.newbyteorder())
    if layout == "read-only":
        array = array.copy()
        array.flags.writeable = False
        return array
    if layout == "unaligned" and array.nbytes:
        raw = np.zeros(array.nbytes + 1, np.uint8)
        view = raw[1:].view(array.dtype).reshape(array.shape)
        view[...] = array
        return view
    return array


def scipy_matrix(J, form, seed):
    """The couplings as one of SciPy's sparse matrices."""
    import scipy.sparse as sp

    n, rng = len(J), np.random.default_rng(seed)
    rows, columns = np.nonzero(J)
    values = J[rows, columns]
    if form == "csr array":
        return sp.csr_array(J)
    if form == "duplicates":
        halves = np.concatenate([values / 2, values / 2])
        return sp.coo_matrix((halves, (np.tile(rows, 2), np.tile(columns, 2))), (n, n))
    if form == "explicit zeros":
        more = rng.integers(0, n, (2, 5))
        more = more[:, J[tuple(more)] == 0]
        places = np.append(rows, more[0]), np.append(columns, more[1])
        return sp.coo_matrix((np.append(values, np.zeros(more.shape[1])), places), (n, n))
    matrix = sp.csr_matrix(J)
    if form == "unsorted":
        for first, last in zip(matrix.indptr, matrix.indptr[1:], strict=False):
            order = first + rng.permutation(last - first)
            matrix.indices[first:last] = matrix.indices[order]
            matrix.data[first:last] = matrix.data[order]
        matrix.has_sorted_indices = False
        return matrix
    if form == "int64 indices":
        matrix.indices = matrix.indices.astype(np.int64)
        matrix.indptr = matrix.indptr.astype(np.int64)
        return matrix
    return matrix.asformat(form)


COMMON = {
    "model": models(most=65),
    "problems": st.sampled_from((1, 2, 17)),
    "method": st.sampled_from(("sa", "tabu", "descent")),
    "seed": seeds,
}


def call_of(model, problems, method, seed):
    """J (n, n), h (B, n) and options of a short call of sample_batch."""
    J, _ = matrix_of(model)
    h = numbers(np.random.default_rng(seed), (problems, len(J)), "small")
    options = {"method": method, "seed": seed, "num_threads": 1}
    if method != "descent":
        options["num_sweeps"] = 2
    return J, h, options


@target(**COMMON, layout=layouts, field_layout=layouts, own=st.booleans())
def array_layouts(model, problems, method, seed, layout, field_layout, own):
    J, h, options = call_of(model, problems, method, seed)
    if own:
        J = np.repeat(J[None], problems, axis=0)
    expected = qpsbgd.sample_batch(h, J, **options)
    other_J, other_h = laid_out(J, layout), laid_out(h, field_layout)
    with Unchanged(other_J, other_h):
        found = qpsbgd.sample_batch(other_h, other_J, **options)
    need((found.states == expected.states).all(), "other states in another layout")
    need((found.energies == expected.energies).all(), "other energies in another layout")


@target(**COMMON, form=st.sampled_from(SPARSE_FORMATS))
def sparse_matrices(model, problems, method, seed, form):
    J, h, options = call_of(model, problems, method, seed)
    expected = qpsbgd.sample_batch(h, J, form="sparse", **options)
    matrix = scipy_matrix(J, form, seed)
    parts = [getattr(matrix, name, None) for name in ("data", "indices", "indptr")]
    with Unchanged(*parts):
        found = qpsbgd.sample_batch(h, matrix, **options)
    need((found.states == expected.states).all(), f"{form}: other states than the array's")


@target(
    model=models(KINDS[:-1], most=33),
    problems=st.sampled_from((1, 3)),
    own=st.booleans(),
    fault=st.sampled_from(("diagonal", "not symmetric", "nan", "inf", "h nan")),
    seed=seeds,
)
def couplings_that_must_be_refused(model, problems, own, fault, seed):
    J, h, options = call_of(model, problems, "descent", seed)
    n = len(J)
    if own:
        J = np.repeat(J[None], problems, axis=0)
    rng = np.random.default_rng(seed)
    at = (int(rng.integers(len(J))),) if own else ()
    i, j = (int(k) for k in rng.integers(0, n, 2))
    if fault == "h nan":
        h[0, i] = np.nan
    elif fault == "diagonal":
        J[(*at, i, i)] = 1.0
    elif i == j:
        return
    elif fault == "not symmetric":
        J[(*at, i, j)] = 2 * abs(J[(*at, i, j)]) + 1
        J[(*at, j, i)] = J[(*at, i, j)] + 1  # entries in one triangle alone may be taken
    else:
        J[(*at, i, j)] = J[(*at, j, i)] = float(fault)
    need(is_refused(lambda: qpsbgd.sample_batch(h, J, **options), ValueError), "it is taken")


@target(
    model=models(most=17),
    fault=st.sampled_from(
        ("no problems", "three dimensions", "fewer variables", "no J", "complex", "words", "masked")
    ),
    seed=seeds,
)
def shapes_and_types_that_must_be_refused(model, fault, seed):
    J, h, options = call_of(model, 2, "descent", seed)
    if fault == "no J":
        J = None
    elif fault == "masked":
        J = np.ma.masked_array(J, mask=np.eye(len(J), dtype=bool))
    else:
        h = {
            "no problems": h[:0],
            "three dimensions": h[None],
            "fewer variables": h[:, :-1],
            "complex": h.astype(complex),
            "words": h.astype(str),
        }[fault]
    need(
        is_refused(lambda: qpsbgd.sample_batch(h, J, **options), TypeError, ValueError),
        f"{fault}: it is taken",
    )
