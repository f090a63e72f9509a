"""Sparse matrices: SciPy's .npz and Matrix Market's .mtx, read as x'Ax."""

import gzip
import io
import itertools
import zipfile

import numpy as np
import pytest

from qpsbgd import formats

scipy_sparse = pytest.importorskip("scipy.sparse")
scipy_io = pytest.importorskip("scipy.io")


def matrix(rng, n=6):
    """A matrix without symmetry, half of its elements 0."""
    return np.where(rng.random((n, n)) < 0.5, rng.normal(size=(n, n)).round(2), 0)


def check_objective(instance, dense):
    bqm = instance.bqm
    assert instance.sense == "minimise"
    assert instance.sense_reason.startswith("a matrix does not state a sense")
    states = np.array(list(itertools.product([0, 1], repeat=len(dense))))
    expected = ((states @ dense) * states).sum(axis=1)
    np.testing.assert_allclose(bqm.energies((states, bqm.variables)), expected, atol=1e-12)


def npz(path, stored):
    scipy_sparse.save_npz(path, stored)
    return path


@pytest.mark.parametrize("kind", ["matrix", "array"])
@pytest.mark.parametrize("layout", ["coo", "csr", "csc", "dia", "bsr"])
def test_npz(tmp_path, rng, layout, kind):
    dense = matrix(rng)
    stored = getattr(scipy_sparse, f"{layout}_{kind}")(dense)
    instance = formats.read(npz(tmp_path / "a.npz", stored))
    assert (instance.format, list(instance.bqm.variables)) == ("npz", list(range(6)))
    check_objective(instance, dense)


def test_blocks_of_a_bsr_matrix(tmp_path, rng):
    dense = matrix(rng)
    for shape in ((2, 3), (3, 1), (6, 6)):
        stored = scipy_sparse.bsr_array(dense, blocksize=shape)
        check_objective(formats.read(npz(tmp_path / "a.npz", stored)), dense)


@pytest.mark.parametrize("dtype", [np.int8, np.uint16, np.float32, bool])
def test_npz_of_any_real_type(tmp_path, dtype):
    dense = np.triu(np.ones((4, 4))).astype(dtype)
    instance = formats.read(npz(tmp_path / "a.npz", scipy_sparse.csr_array(dense)))
    check_objective(instance, dense.astype(float))


def test_entries_that_occur_twice_add_up_as_in_scipy(tmp_path):
    stored = scipy_sparse.coo_array(([1.0, 2.0, 4.0], ([0, 0, 1], [1, 1, 0])), shape=(2, 2))
    check_objective(formats.read(npz(tmp_path / "a.npz", stored)), stored.toarray())


def test_a_compressed_npz_without_its_suffix(tmp_path, rng):
    dense = matrix(rng)
    path = npz(tmp_path / "a.npz", scipy_sparse.csr_array(dense))
    packed = tmp_path / "matrix.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    check_objective(formats.read(packed), dense)


@pytest.mark.parametrize("symmetry", ["general", "symmetric"])
@pytest.mark.parametrize("sparse", [True, False])
@pytest.mark.parametrize("field", ["real", "integer"])
def test_mtx(tmp_path, rng, sparse, symmetry, field):
    dense = matrix(rng) * 100
    if symmetry == "symmetric":
        dense = dense + dense.T
    dense = dense.round().astype(int if field == "integer" else float)
    path = tmp_path / "a.mtx"
    stored = scipy_sparse.coo_array(dense) if sparse else dense
    scipy_io.mmwrite(path, stored, comment="minor scale", symmetry=symmetry)
    assert path.read_text().split("\n")[0].endswith(f"{field} {symmetry}")
    instance = formats.read(path)
    assert (instance.format, list(instance.bqm.variables)) == ("mtx", list(range(1, 7)))
    check_objective(instance, dense)


def test_mtx_without_its_suffix(tmp_path):
    path = tmp_path / "matrix"
    path.write_text("%%MatrixMarket matrix coordinate real symmetric\n%\n\n2 2 2\n1 1 -3\n2 1 2\n")
    check_objective(formats.read(path), np.array([[-3, 2], [2, 0]]))


HEAD = "%%MatrixMarket matrix coordinate real "


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("2 2 1\n1 1 1\n", "line 1: '2 2 1', but must be '%%MatrixMarket matrix coordinate|array"),
        ("%%MatrixMarket vector coordinate real general\n2\n", "line 1: '%%MatrixMarket vector"),
        ("%%MatrixMarket matrix coordinate pattern general\n1 1 0\n", "'pattern' must be one of"),
        ("%%MatrixMarket matrix coordinate complex general\n1 1 0\n", "'complex' must be one of"),
        (f"{HEAD}skew-symmetric\n2 2 1\n2 1 3\n", "'skew-symmetric' must be one of general, sym"),
        (f"{HEAD}general\n2 3 1\n1 1 1\n", "line 2: '2 3 1', but the matrix must be square"),
        (f"{HEAD}general\n2 2\n1 1 1\n", "line 2: '2 2', but must be the numbers of rows, columns "
         "and entries"),
        (f"{HEAD}general\n2 2 2\n1 1 1\n", "the file has 1 entries, not 2"),
        (f"{HEAD}general\n2 2 1\n1 3 1\n", "line 3: '1 3 1', but the first two must lie in [1, 2]"),
        (f"{HEAD}general\n2 2 2\n1 2 1\n1 2 1\n", "line 4: '1 2 1', but an entry must be listed"),
        (f"{HEAD}symmetric\n2 2 2\n1 2 1\n2 1 1\n", "line 4: '2 1 1', but a pair must be listed"),
        (f"{HEAD}general\n2 2 1\n1 2 inf\n", "line 3: '1 2 inf', but the third must be finite"),
        (f"{HEAD}general\n% offset 3\n2 2 0\n", "line 2: '% offset 3', but the mtx format know"),
        (f"{HEAD}general\n% maximize\n2 2 0\n", "line 2: '% maximize', but a mtx file is to be"),
        (f"{HEAD}general\n9999999 9999999 0\n", "entries name only 0 of 9999999 variables"),
        ("%%MatrixMarket matrix array real general\n2 2\n1\n2\n3\n", "file has 3 entries, not 4"),
        ("%%MatrixMarket matrix array real general\n99999 99999\n1\n", "1 entries, not 9999800001"),
        ("%%MatrixMarket matrix array real general\n1 1\nx\n", "line 3: 'x', but must be one num"),
    ],
)  # fmt: skip
def test_malformed_mtx(tmp_path, text, message):
    path = tmp_path / "a.mtx"
    path.write_text(text)
    with pytest.raises(ValueError) as info:  # noqa: PT011
        formats.read(path)
    assert str(info.value).startswith(str(path))
    assert message in str(info.value)


def arrays(**changed):
    """Return the arrays that SciPy saves of a 3 x 3 CSR matrix, with replacements; None removes
    one."""
    stored = {
        "format": np.array(b"csr"), "shape": np.array([3, 3]), "data": np.array([1.0, -2.0, 3.0]),
        "indices": np.array([0, 2, 1]), "indptr": np.array([0, 2, 2, 3]), **changed,
    }  # fmt: skip
    return {name: array for name, array in stored.items() if array is not None}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"format": None}, "it has no array 'format', so it is no sparse matrix of SciPy"),
        ({"format": np.array("lil")}, "its format is 'lil', but must be one of coo, csr"),
        ({"format": np.array(["csr", "csr"])}, "its format is None, but must be one of coo, csr"),
        ({"shape": np.array([3, 4])}, "its shape is (3, 4), but must be square"),
        ({"shape": np.array([3.0, 3.0])}, "its shape is of type float64, but must be of integers"),
        ({"shape": np.array([2**40, 2**40])}, "its shape is (1099511627776, 1099511627776)"),
        ({"shape": None}, "shape"),
        ({"indices": np.array([0, 3, 1])}, "an index does not lie in [0, 3)"),
        ({"indices": np.array([0, -1, 1])}, "an index does not lie in [0, 3)"),
        ({"indices": np.array([0, 1])}, "its indptr, indices and data differ in length"),
        ({"indptr": np.array([0, 2, 1, 3])}, "its indptr must be 4 ascending numbers from 0"),
        ({"indptr": np.array([0, 3])}, "its indptr must be 4 ascending numbers from 0"),
        ({"indptr": np.array([0, 2, 2, 2**62])}, "its indptr, indices and data differ in length"),
        ({"data": np.array([1, 2j, 3])}, "its data are of type complex128"),
        ({"data": np.array([[1.0, 2.0, 3.0]])}, "2 dimensions, but must be real numbers in 1"),
        ({"data": np.array([1.0, np.nan, 3.0])}, "an entry is nan, but must be finite"),
        ({"format": np.array("dia"), "offsets": np.array([0])}, "its data are of type float64"),
        ({"format": np.array("coo")}, "row"),
        ({"format": np.array("coo"), "row": np.array([0]), "col": np.array([0])}, "differ in leng"),
        ({"format": np.array("bsr"), "data": np.ones((3, 2, 2))}, "2 x 2, which does not divide 3"),
        ({"data": np.array([1, "a", None], dtype=object)}, "'data.npy' has Python objects"),
    ],
)
def test_malformed_npz(tmp_path, changed, message):
    path = tmp_path / "a.npz"
    np.savez(path, **arrays(**changed))
    with pytest.raises(ValueError) as info:  # noqa: PT011
        formats.read(path)
    assert str(info.value).startswith(f"{path} is no sparse matrix of SciPy: ")
    assert message in str(info.value)


def test_the_unchanged_arrays_are_read(tmp_path):
    np.savez(tmp_path / "a.npz", **arrays())
    dense = np.array([[1, 0, -2], [0, 0, 0], [0, 3, 0]])
    check_objective(formats.read(tmp_path / "a.npz"), dense)


def test_a_header_that_claims_more_than_the_archive_has(tmp_path):
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        file, {"descr": "<f8", "fortran_order": False, "shape": (10**9,)}
    )
    path = tmp_path / "a.npz"
    np.savez(path, **arrays(data=None))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("data.npy", file.getvalue())
    with pytest.raises(ValueError, match=r"'data.npy' has not the size that its header says"):
        formats.read(path)


def test_no_zip_archive(tmp_path):
    path = tmp_path / "a.npz"
    path.write_bytes(b"PK\x03\x04")
    with pytest.raises(ValueError, match=r"a\.npz is damaged: File is not a zip file"):
        formats.read(path)
