"""Many problems in one call: the twin, the dimod samplers, splitting, bad input."""

from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context

import dimod
import numpy as np
import pytest
import scipy.sparse

import qpsbgd
import reference
from interrupts import ctrl_c_in_the_core
from problems import DRIFT, drifting_problem, largest_gain, random_bqm
from qpsbgd import LowRank, SparseBatch, _core, sample_batch
from qpsbgd.samplers.schedule import geometric


def problems(rng, count, n, *, shared=True, kind="integer"):
    draw = (lambda *shape: rng.integers(-9, 10, shape)) if kind == "integer" else None
    draw = draw or (lambda *shape: rng.normal(size=shape))
    J = np.triu(draw(*(() if shared else (count,)), n, n), 1).astype(float)
    return J + J.swapaxes(-1, -2), draw(count, n).astype(float)


def as_bqm(J, h, vartype):
    bqm = dimod.BinaryQuadraticModel(vartype)
    bqm.add_linear_from(enumerate(h))
    rows, columns = np.triu_indices(len(h), 1)
    bqm.add_quadratic_from(zip(rows, columns, J[rows, columns], strict=True))
    return bqm


def matrix(J, b):
    return J if J.ndim == 2 else J[b]


@pytest.mark.parametrize("keep", ["best", "final"])
@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize(("n", "reads"), [(1, 2), (17, 1), (70, 3)])
def test_annealing_equals_twin_on_every_isa(rng, isa, shared, n, reads, keep):
    J, h = problems(rng, 7, n, shared=shared)
    starts = rng.choice([-1, 1], size=(7, reads, n))
    found = sample_batch(
        h, J, num_reads=reads, num_sweeps=12, beta_range=(0.01, 2.0), keep=keep,
        initial_states=starts, seed=5, num_threads=2,
    )  # fmt: skip
    for b in range(7):
        rows, columns = np.triu_indices(n, 1)
        expected = reference.anneal(
            h[b], np.array([rows, columns]), matrix(J, b)[rows, columns], starts[b],
            np.array(geometric(0.01, 2.0, 12)), gibbs=False, random_order=False,
            keep_best=keep == "best", seed=5, problem=b,
        )  # fmt: skip
        np.testing.assert_array_equal(found.states[b], expected)


@pytest.mark.parametrize("shared", [True, False])
def test_descent_ends_at_the_minima_of_the_sampler(rng, shared):
    J, h = problems(rng, 5, 40, shared=shared, kind="real")
    starts = rng.choice([-1, 1], size=(5, 4, 40))
    found = sample_batch(h, J, method="descent", num_reads=4, initial_states=starts)
    for b in range(5):
        one = qpsbgd.SteepestDescentSampler().sample(
            as_bqm(matrix(J, b), h[b], "SPIN"), initial_states=(starts[b], range(40))
        )
        np.testing.assert_array_equal(found.states[b], one.record.sample)


@pytest.mark.parametrize("method", ["sa", "tabu", "descent"])
@pytest.mark.parametrize("vartype", ["SPIN", "BINARY"])
@pytest.mark.parametrize("shared", [True, False])
def test_energies_and_quality(rng, method, vartype, shared):
    J, h = problems(rng, 6, 12, shared=shared, kind="real")
    found = sample_batch(h, J, method=method, vartype=vartype, num_reads=30, seed=0)
    assert found.states.shape == (6, 30, 12)
    assert found.states.dtype == np.int8
    assert found.energies.dtype == np.float64
    for b, samples in enumerate(found.to_samplesets()):
        bqm = as_bqm(matrix(J, b), h[b], vartype)
        assert samples.vartype is bqm.vartype
        dimod.testing.assert_sampleset_energies(samples, bqm, precision=9)
        best = dimod.ExactSolver().sample(bqm).first.energy
        assert samples.first.energy == pytest.approx(best, abs=1e-9)


@pytest.mark.parametrize("method", ["sa", "tabu", "descent"])
@pytest.mark.parametrize("shared", [True, False])
def test_does_not_depend_on_threads_isa_or_splitting(rng, method, shared, monkeypatch):
    J, h = problems(rng, 23, 50, shared=shared, kind="real")
    options = {"method": method, "num_reads": 3, "seed": 4}
    if method != "descent":
        options["num_sweeps"] = 20
    whole = sample_batch(h, J, num_threads=1, **options)
    others = [sample_batch(h, J, num_threads=threads, **options) for threads in (2, 7)]
    with ThreadPoolExecutor(3) as executor:
        others.append(sample_batch(h, J, executor=executor, **options))
    for isa in _core.available_isas():
        monkeypatch.setenv("QPSBGD_ISA", isa)
        others.append(sample_batch(h, J, **options))
    for other in others:
        np.testing.assert_array_equal(whole.states, other.states)
        np.testing.assert_array_equal(whole.energies, other.energies)
    fewer = sample_batch(h, J, **{**options, "num_reads": 2})
    np.testing.assert_array_equal(whole.states[:, :2], fewer.states)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("n", [1, 15, 16, 33, 100])
@pytest.mark.parametrize("count", [1, 16, 19])
def test_interleaved_problems_give_the_samples_of_dense_ones(rng, isa, n, count, dtype):
    J, h = problems(rng, count, n, shared=False, kind="real")
    scale = 10.0 ** rng.uniform(-3, 3, count)  # every lane has units of its own
    J, h = (scale[:, None, None] * J).astype(dtype), scale[:, None] * h
    options = {"num_sweeps": 300, "num_reads": 2, "seed": 3}
    lanes = sample_batch(h, J, form="interleaved", **options)
    dense = sample_batch(h, J, form="dense", **options)
    assert (lanes.info["form"], dense.info["form"]) == ("interleaved", "dense")
    np.testing.assert_array_equal(lanes.states, dense.states)
    np.testing.assert_array_equal(lanes.energies, dense.energies)


@pytest.mark.parametrize("form", ["dense", "interleaved", "sparse"])
def test_fields_of_a_batch_are_refreshed(rng, isa, form):
    J, h = drifting_problem(rng, 40)
    J = J if form == "sparse" else np.repeat(J[None], 16, axis=0)
    found = sample_batch(np.repeat(h[None], 16, axis=0), J, form=form, **DRIFT)
    assert largest_gain(J if form == "sparse" else J[0], h, found.states[:, 0]) < 0.5


def low_rank(rng, count, n, rank):
    A, h = rng.normal(size=(rank, n)), rng.normal(size=(count, n))
    product = 0.3 * A.T @ A
    np.fill_diagonal(product, 0)
    return LowRank(A, 0.3), (product + product.T) / 2, h


@pytest.mark.parametrize("method", ["tabu", "descent"])
def test_low_rank_is_its_product(rng, method):
    low, J, h = low_rank(rng, 4, 20, 5)
    found = sample_batch(h, low, method=method, seed=1)
    full = sample_batch(h, J, method=method, seed=1)
    assert found.info["form"] == "dense"
    np.testing.assert_array_equal(found.states, full.states)
    low, J, h = low_rank(rng, 4, 20, 15)  # cheaper as a matrix
    found, full = (sample_batch(h, c, num_sweeps=30, seed=1) for c in (low, J))
    assert found.info["form"] == "dense"
    np.testing.assert_array_equal(found.states, full.states)


@pytest.mark.parametrize(("n", "rank", "reads"), [(1, 1, 1), (40, 3, 1), (150, 30, 2), (70, 90, 5)])
def test_residuals_make_the_flips_of_fields(rng, isa, n, rank, reads):
    # Small integers: floats are exact in both forms.
    A = rng.integers(-2, 3, size=(rank, n)).astype(float)
    A[0, 0] = 2.0
    J = A.T @ A
    np.fill_diagonal(J, 0)
    h = rng.integers(-9, 10, size=(6, n)).astype(float)
    options = {"num_sweeps": 280, "num_reads": reads, "beta_range": (0.02, 2.0), "seed": 1}
    for scale in (1.0, 4.0):
        low = sample_batch(h, LowRank(A, scale), form="low_rank", num_threads=2, **options)
        dense = sample_batch(h, scale * J, form="dense", **options)
        np.testing.assert_array_equal(low.states, dense.states)
        np.testing.assert_allclose(low.energies, dense.energies, rtol=1e-12, atol=1e-9)
        assert low.info["form"] == "low_rank"


def test_low_rank_is_chosen_by_the_problem_alone(rng):
    low, J, h = low_rank(rng, 40, 160, 6)
    found = sample_batch(h, low, num_sweeps=100, seed=1)
    assert found.info["form"] == "low_rank"
    fewer = sample_batch(h[:3], low, num_sweeps=100, seed=1, beta_range=(0.1, 5.0))
    assert fewer.info["form"] == "low_rank"
    rounded = sample_batch(h, J, num_sweeps=100, seed=1)
    np.testing.assert_allclose(found.energies.mean(), rounded.energies.mean(), rtol=0.02)
    # The cold end follows the smallest barrier that is met, the hot end does not.
    hot, cold = np.stack([found.info["beta_range"], rounded.info["beta_range"]]).T[:, 0]
    np.testing.assert_allclose(hot[0], hot[1], rtol=0.2)
    assert (cold > 50 * hot).all()
    for other in (LowRank(low.A, -0.3), LowRank(1e40 * low.A, 1e-80)):
        assert sample_batch(h, other, num_sweeps=5).info["form"] == "dense"
    assert sample_batch(1e17 * h, low, num_sweeps=5).info["form"] == "dense"


def sparse(rng, count, n, *, shared):
    pattern = np.triu(rng.random((n, n)) < 0.2, 1)
    J = np.where(pattern, np.triu(rng.normal(size=(n, n) if shared else (count, n, n)), 1), 0.0)
    J = J + J.swapaxes(-1, -2)
    rows, columns = np.nonzero(pattern | pattern.T)
    indptr = np.searchsorted(rows, np.arange(n + 1))
    return SparseBatch(J[..., rows, columns], columns, indptr), J, rng.normal(size=(count, n))


@pytest.mark.parametrize("vartype", ["SPIN", "BINARY"])
@pytest.mark.parametrize("method", ["sa", "tabu", "descent"])
@pytest.mark.parametrize("shared", [True, False])
def test_sparse_couplings(rng, method, shared, vartype):
    pattern, J, h = sparse(rng, 5, 40, shared=shared)
    options = {"method": method, "vartype": vartype, "num_reads": 3, "seed": 2}
    found = sample_batch(h, pattern, num_threads=2, **options)
    assert found.info["form"] == "sparse"
    dense = sample_batch(h, J, **options)
    np.testing.assert_allclose(found.energies.min(axis=1), dense.energies.min(axis=1), rtol=0.05)
    for b, samples in enumerate(found.to_samplesets()):
        dimod.testing.assert_sampleset_energies(
            samples, as_bqm(matrix(J, b), h[b], vartype), precision=9
        )
    formed = sample_batch(h, pattern, form="dense", **options)
    np.testing.assert_array_equal(formed.states, dense.states)
    taken = sample_batch(h, J, form="sparse", **options)
    np.testing.assert_array_equal(taken.states, found.states)
    with ThreadPoolExecutor(2) as executor:
        apart = sample_batch(h, pattern, executor=executor, **options)
    np.testing.assert_array_equal(apart.states, found.states)


@pytest.mark.parametrize("keep", ["best", "final"])
@pytest.mark.parametrize("largest", [2, 300, None])  # int16 and float fields
def test_problems_that_share_sparse_couplings_are_annealed_as_alone(rng, isa, largest, keep):
    pattern, _, h = sparse(rng, 21, 90, shared=True)
    if largest:
        pattern = SparseBatch(np.round(pattern.data * largest), pattern.indices, pattern.indptr)
        h = np.round(h * largest)
    own = SparseBatch(np.tile(pattern.data, (21, 1)), pattern.indices, pattern.indptr)
    options = {"num_sweeps": 40, "num_reads": 3, "seed": 2, "beta_range": (0.01, 2), "keep": keep}
    together, apart = (sample_batch(h, J, **options) for J in (pattern, own))
    np.testing.assert_array_equal(together.states, apart.states)
    h[3] *= 2.0**70  # one scale does not hold them all
    together, apart = (sample_batch(h, J, **options) for J in (pattern, own))
    np.testing.assert_array_equal(together.states, apart.states)


def test_a_shared_matrix_of_few_entries_is_kept_as_lists(rng):
    _, J, h = sparse(rng, 3, 90, shared=True)
    assert sample_batch(h, J, num_sweeps=5).info["form"] == "dense"
    J[rng.random(J.shape) < 0.7] = 0
    J *= J.T != 0
    few = sample_batch(h, J, num_sweeps=50, seed=1)
    assert few.info["form"] == "sparse"
    dense = sample_batch(h, J, num_sweeps=50, seed=1, form="dense")
    np.testing.assert_array_equal(few.states, dense.states)


def test_sparse_matrices_of_scipy(rng):
    scipy_sparse = pytest.importorskip("scipy.sparse")
    pattern, J, h = sparse(rng, 3, 30, shared=True)
    expected = sample_batch(h, pattern, num_sweeps=20, seed=1)
    for kind in (scipy_sparse.csr_array, scipy_sparse.coo_matrix, scipy_sparse.csc_array):
        found = sample_batch(h, kind(J), num_sweeps=20, seed=1)
        np.testing.assert_array_equal(found.states, expected.states)
    # A zero that is stored is none, in one triangle alone neither.
    row, column = np.argwhere((J == 0) & ~np.eye(30, dtype=bool))[0]
    stored = scipy_sparse.coo_array(J)
    ends = np.append(stored.row, row), np.append(stored.col, column)
    stored = scipy_sparse.coo_array((np.append(stored.data, 0.0), ends), shape=(30, 30))
    found = sample_batch(h, stored, num_sweeps=20, seed=1)
    np.testing.assert_array_equal(found.states, expected.states)
    none = sample_batch(h, SparseBatch([], [], [0] * 31), num_sweeps=20, seed=1)
    np.testing.assert_allclose(none.energies, -np.abs(h).sum(axis=1, keepdims=True))
    with pytest.raises(ValueError, match=r"J has shape \(4, 4\), but must be \(30, 30\)"):
        sample_batch(h, scipy_sparse.csr_array(np.zeros((4, 4))))


def test_arrays_are_taken_as_they_are(rng):
    J, h = problems(rng, 20, 12, shared=False, kind="real")
    for dtype in (np.float32, np.float64):
        given = J.astype(dtype)
        found = sample_batch(h, given, num_sweeps=20, seed=1, num_reads=2)
        same = sample_batch(h, given.astype(np.float64), num_sweeps=20, seed=1, num_reads=2)
        np.testing.assert_array_equal(found.states, same.states)
        np.testing.assert_array_equal(found.energies, same.energies)
    every_other = np.ascontiguousarray(np.repeat(J, 2, axis=2))[:, :, ::2]
    found = sample_batch(h, every_other, num_sweeps=20, seed=1, num_reads=2)
    np.testing.assert_array_equal(found.states, same.states)
    ints = np.round(J).astype(int)
    assert sample_batch(h, ints, num_sweeps=5).states.shape == (20, 1, 12)


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("vartype", ["SPIN", "BINARY"])
@pytest.mark.parametrize(("n", "reads"), [(1, 1), (6, 3), (53, 20)])
def test_energies_are_those_of_numpy(rng, isa, n, reads, shared, vartype):
    J, h = problems(rng, 5, n, shared=shared, kind="real")
    low = -1 if vartype == "SPIN" else 0
    starts = rng.choice([low, 1], size=(5, reads, n))
    options = {"num_reads": reads, "num_sweeps": 0, "initial_states": starts, "vartype": vartype}
    found = sample_batch(h, J, num_threads=2, **options)
    x = found.states.astype(float)
    expected = (x * (0.5 * x @ J + h[:, None])).sum(axis=-1)
    np.testing.assert_allclose(found.energies, expected, rtol=1e-12, atol=1e-12)


def test_tensors(rng):
    torch = pytest.importorskip("torch")
    J, h = problems(rng, 3, 8)
    options = {"num_sweeps": 20, "seed": 1}
    tensors = torch.tensor(h, requires_grad=True), torch.tensor(J, dtype=torch.float32)
    np.testing.assert_array_equal(
        sample_batch(*tensors, **options).states, sample_batch(h, J, **options).states
    )


def test_auto_range_is_in_units_of_each_problem(rng):
    J, h = problems(rng, 6, 30, shared=False, kind="real")
    factors = 2.0 ** np.arange(6)
    ranges = [
        sample_batch(c[:, None] * h, c[:, None, None] * J, num_sweeps=5).info["beta_range"]
        for c in (np.ones(6), factors)
    ]
    np.testing.assert_allclose(ranges[1] * factors[:, None], ranges[0])
    assert (ranges[0][:, 0] < ranges[0][:, 1]).all()
    shared = sample_batch(h, J[0], num_sweeps=5).info["beta_range"]
    np.testing.assert_array_equal(shared, np.tile(shared[0], (6, 1)))


def test_no_sweeps_return_the_initial_states(rng):
    J, h = problems(rng, 4, 9)
    starts = rng.choice([0, 1], size=(4, 9))
    found = sample_batch(h, J, vartype="BINARY", initial_states=starts, num_sweeps=0, num_reads=2)
    np.testing.assert_array_equal(found.states, np.repeat(starts[:, None], 2, axis=1))


def test_problems_without_biases(rng):
    found = sample_batch(np.zeros((2, 3)), np.zeros((3, 3)), num_sweeps=5)
    assert (found.energies == 0).all()


@pytest.mark.parametrize("method", ["sa", "tabu"])
@pytest.mark.parametrize("shared", [True, False])
def test_time_limit(rng, method, shared):
    J, h = problems(rng, 200, 60, shared=shared)
    found = sample_batch(h, J, method=method, num_sweeps=10**6, time_limit=0.2, num_threads=2)
    assert found.info["stopped_by"] == "time_limit"
    assert 0 < found.info["num_begun"] < 200
    x = found.states.astype(float)
    expected = (x * (0.5 * x @ J + h[:, None])).sum(axis=-1)
    np.testing.assert_array_equal(found.energies, expected)  # also of those not begun


def test_control_c(rng):
    J, h = problems(rng, 100, 60)
    with ctrl_c_in_the_core(), pytest.raises(KeyboardInterrupt) as caught:
        sample_batch(h, J, num_sweeps=10**6, num_threads=2)
    assert caught.value.result.info["stopped_by"] == "interrupt"


class LosingExecutor(ThreadPoolExecutor):
    """Loses every third chunk that it is given, at most so many."""

    def __init__(self, losses, error):
        super().__init__(2)
        self.losses, self.error, self.submitted = losses, error, 0

    def submit(self, function, /, *args, **kwargs):
        self.submitted += 1
        if self.losses == 0 or self.submitted % 3:
            return super().submit(function, *args, **kwargs)
        self.losses -= 1
        lost = Future()
        lost.set_exception(self.error)
        return lost


def test_a_lost_chunk_is_given_out_again(rng):
    J, h = problems(rng, 32, 20)
    options = {"num_sweeps": 20, "seed": 2}
    expected = sample_batch(h, J, **options)
    with LosingExecutor(3, RuntimeError("a worker was lost")) as executor:
        found = sample_batch(h, J, executor=executor, **options)
        assert executor.submitted == 8 + 3
    np.testing.assert_array_equal(found.states, expected.states)


def test_a_chunk_that_is_always_lost_is_an_error(rng):
    J, h = problems(rng, 32, 20)
    with LosingExecutor(99, RuntimeError("no worker left")) as executor:

        def always_lost(*args, **kwargs):
            executor.submitted = 2
            return LosingExecutor.submit(executor, None)

        executor.submit = always_lost
        with pytest.raises(RuntimeError, match="no worker left"):
            sample_batch(h, J, num_sweeps=5, executor=executor)
        assert executor.losses == 99 - 8 - 2  # three attempts


def test_an_executor_that_breaks_is_done_without(rng):
    J, h = problems(rng, 32, 20)
    options = {"num_sweeps": 20, "seed": 2}
    expected = sample_batch(h, J, **options)
    broken = LosingExecutor(1, BrokenProcessPool("a child process ended"))
    message = "problems from 8 on are solved in"
    with broken as executor, pytest.warns(UserWarning, match=message) as caught:
        found = sample_batch(h, J, executor=executor, **options)
    assert {warning.filename for warning in caught} == {__file__}
    np.testing.assert_array_equal(found.states, expected.states)


def test_processes(rng):
    J, h = problems(rng, 12, 20)
    options = {"num_sweeps": 20, "seed": 2}
    expected = sample_batch(h, J, **options)
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as executor:
        found = sample_batch(h, J, executor=executor, **options)
    np.testing.assert_array_equal(found.states, expected.states)


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"J": [[0, 1], [2, 0]]}, ValueError, r"J\[0, 1\] is 1.0, but must equal .* 2.0"),
        ({"J": [[0, 1], [1, 3]]}, ValueError, r"J\[1, 1\] is 3.0, but the diagonal must be zero"),
        ({"J": [[0, np.nan], [1, 0]]}, ValueError, r"J\[0, 1\] is nan, but must be finite"),
        ({"J": np.zeros((3, 3))}, ValueError, r"J has shape \(3, 3\), but must be \(2, 2\) or"),
        ({"J": np.zeros(4)}, ValueError, r"J has shape \(4,\), but must have 2 or 3 dimensions"),
        ({"J": "couplings"}, TypeError, "J is a str"),
        ({"J": LowRank(np.zeros((4, 3)))}, ValueError, r"J.A has shape \(4, 3\)"),
        ({"J": LowRank(np.zeros((4, 2)), np.inf)}, ValueError, "J.scale is inf"),
        ({"h": 1.0}, ValueError, r"h has shape \(\), but must have 1 or 2 dimensions"),
        ({"h": [[1.0, np.inf]]}, ValueError, r"h\[0, 1\] is inf"),
        ({"h": np.zeros((0, 2))}, ValueError, "must have at least one problem"),
        ({"vartype": "TERNARY"}, ValueError, "vartype is 'TERNARY'"),
        ({"method": "magic"}, ValueError, "method is 'magic'"),
        ({"num_reads": 0}, ValueError, "num_reads is 0"),
        ({"num_sweeps": -1}, ValueError, "num_sweeps is -1"),
        ({"method": "descent", "num_sweeps": 3}, ValueError, "a descent takes none"),
        ({"method": "tabu", "beta_range": (1, 2)}, ValueError, "goes with method='sa' alone"),
        ({"beta_range": (0.0, 1.0)}, ValueError, r"beta_range is \(0.0, 1.0\)"),
        ({"beta_range": "cold"}, ValueError, "beta_range is 'cold'"),
        ({"initial_states": [[1, 0]]}, ValueError, r"initial_states\[0, 1\] is 0.0, but must be"),
        ({"initial_states": [1, 1]}, ValueError, r"initial_states has shape \(2,\)"),
        ({"initial_states": [[1, 1, 1]]}, ValueError, r"must be \(1, 2\) or \(1, 1, 2\)"),
        ({"seed": -1}, ValueError, "seed is -1"),
        ({"num_threads": 0}, ValueError, "num_threads is 0"),
        ({"time_limit": 0}, ValueError, "time_limit is 0"),
        ({"executor": 3}, TypeError, "executor is a int"),
        ({"beta_range": (1.0,)}, ValueError, r"must be 'auto', 'dwave', None or two numbers"),
        ({"J": [[0, 1j], [1j, 0]]}, TypeError, "J is a list of complex128"),
        ({"h": [["a", "b"]]}, TypeError, "h is a list of <U1"),
        ({"J": LowRank(np.full((2, 2), 1e200))}, ValueError, r"A.T @ A\)\[0, 1\] is inf"),
        ({"method": "tabu", "beta_range": np.ones(2)}, ValueError, "goes with method='sa' alone"),
        (
            {"J": np.array([[[0, 1], [1, np.inf]]])},
            ValueError,
            r"J\[0, 1, 1\] is inf, but must be f",
        ),
        (
            {"J": np.float32([[[0, 1], [2, 0]]])},
            ValueError,
            r"J\[0, 0, 1\] is 1.0, .* diagonal, 2.0",
        ),
        ({"J": [[[0, 1], [1, 0]]] * 2}, ValueError, r"J has shape \(2, 2, 2\)"),
        ({"form": "magic"}, ValueError, "form is 'magic'"),
        ({"form": "low_rank"}, ValueError, "form is 'low_rank', but J is no LowRank"),
        ({"form": "interleaved"}, ValueError, "a J of each problem's own"),
        (
            {"J": LowRank(np.ones((1, 2)), -1.0), "form": "low_rank"},
            ValueError,
            "form is 'low_rank': J.scale is -1.0, but must be positive",
        ),
        (
            {"J": LowRank(np.ones((1, 2))), "form": "low_rank", "method": "tabu"},
            ValueError,
            "form is 'low_rank': method is 'tabu', but must be 'sa'",
        ),
        (
            {"J": LowRank(np.zeros((1, 2))), "form": "low_rank"},
            ValueError,
            r"form is 'low_rank': max\|J.A\| is 0.0, but must lie in",
        ),
        (
            {"J": LowRank(np.ones((1, 2)), 1e-15), "form": "low_rank"},
            ValueError,
            r"form is 'low_rank': max\|h\| is 2.0, but must be at most 1e\+15 J.scale",
        ),
        (
            {"J": LowRank(np.ones((1, 2)), 1e101), "form": "low_rank"},
            ValueError,
            r"form is 'low_rank': J.scale \* max\|J.A\|\^2 is 1e\+101, but must lie in",
        ),
        ({"J": SparseBatch([1.0], [1], [0, 1])}, ValueError, r"J.indptr has shape \(2,\)"),
        ({"J": SparseBatch([1.0], [1], [0, 2, 1])}, ValueError, "and never fall"),
        ({"J": SparseBatch([1.0], [1], [0, 1, 2])}, ValueError, r"J.data \(1,\), but must be"),
        ({"J": SparseBatch([1.0, 1.0], [1, 2], [0, 1, 2])}, ValueError, r"J.indices\[1\] is 2"),
        ({"J": SparseBatch([1.0], [1], [0, 1, 1])}, ValueError, r"J\[0, 1\] is there, but"),
        ({"J": SparseBatch([1.0] * 4, [1, 1, 0, 0], [0, 2, 4])}, ValueError, "comes twice"),
        (
            {"J": SparseBatch([[1.0, 3.0]], [1, 0], [0, 1, 2])},
            ValueError,
            r"J\[0, 0, 1\] is 1.0, but must equal the entry across the diagonal, 3.0",
        ),
        (
            {"J": SparseBatch([1.0], [0], [0, 1, 1])},
            ValueError,
            r"J\[0, 0\] is 1.0, but the diag",
        ),
        ({"J": SparseBatch([1.0], [0.5], [0, 1, 1])}, TypeError, "J.indices is"),
        ({"method": "tabu", "keep": "final"}, ValueError, "keep is 'final', but goes with method"),
        ({"keep": "last"}, ValueError, "keep is 'last', but must be 'best' or 'final'"),
    ],
)
def test_bad_arguments(changed, error, message):
    arguments = {"J": [[0.0, 1.0], [1.0, 0.0]], "h": [[1.0, 2.0]], **changed}
    with pytest.raises(error, match=message):
        sample_batch(arguments.pop("h"), arguments.pop("J"), **arguments)


@pytest.mark.parametrize(
    "sampler",
    [
        qpsbgd.SimulatedAnnealingSampler(), qpsbgd.TabuSampler(), qpsbgd.SteepestDescentSampler(),
    ],
)  # fmt: skip
def test_models_of_all_sizes_in_one_call(rng, sampler):
    bqms = [
        random_bqm(rng, n, kind=kind, vartype=vartype)
        for n, kind, vartype in [
            (7, "real", "SPIN"), (4, "integer", "BINARY"), (7, "integer", "BINARY"),
            (0, "real", "SPIN"), (1, "real", "BINARY"),
        ]
    ]  # fmt: skip
    found = sampler.sample_many(bqms, num_reads=20, seed=3)
    assert len(found) == len(bqms)
    for bqm, samples in zip(bqms, found, strict=True):
        assert samples.vartype is bqm.vartype
        assert set(samples.variables) == set(bqm.variables)
        assert len(samples) == 20
        dimod.testing.assert_sampleset_energies(samples, bqm, precision=9)
        best = dimod.ExactSolver().sample(bqm).first.energy if len(bqm) else bqm.offset
        assert samples.first.energy == pytest.approx(best)
        assert samples.info["stopped_by"] == "finished"
    assert sampler.sample_many([]) == []
    again = sampler.sample_many(iter(bqms), num_reads=20, seed=3)
    assert [s.first.energy for s in again] == [s.first.energy for s in found]
    with pytest.raises(TypeError, match=r"bqms\[1\] is a str"):
        sampler.sample_many([bqms[0], "model"])


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("vartype", ["SPIN", "BINARY"])
def test_couplings_in_one_triangle_and_one_h(rng, shared, vartype):
    J, h = problems(rng, 3, 12, shared=shared)
    options = {"num_sweeps": 5, "seed": 1, "beta_range": (0.1, 1.0), "vartype": vartype}
    expected = sample_batch(h, J, **options)
    kinds = [np.triu(J), np.tril(J)]
    if shared:
        kinds.append(scipy.sparse.csr_array(np.triu(J)))
    for triangle in kinds:
        found = sample_batch(h, triangle, **options)
        if not scipy.sparse.issparse(triangle):
            np.testing.assert_array_equal(found.states, expected.states)
        np.testing.assert_allclose(found.energies.shape, expected.energies.shape)
    count = 1 if shared else 3
    one = sample_batch(h[0], J, **options)
    np.testing.assert_array_equal(
        one.states, sample_batch(np.tile(h[0], (count, 1)), J, **options).states
    )


@pytest.mark.parametrize("method", ["sa", "tabu", "descent"])
@pytest.mark.parametrize("kind", ["real", "integer"])
def test_other_problems_do_not_matter(rng, method, kind):
    J, h = problems(rng, 30, 40, kind=kind)
    options = {"method": method, "seed": 1}
    if method == "sa":
        options |= {"num_sweeps": 30, "beta_range": (0.1, 5.0)}
    expected = sample_batch(h, J, **options)
    for factor in (np.pi, 1e10, 1e42, 1e100):
        large = h.copy()
        large[3] *= factor
        found = sample_batch(large, J, **options)
        with ThreadPoolExecutor(2) as executor:
            apart = sample_batch(large, J, executor=executor, **options)
        np.testing.assert_array_equal(found.states, apart.states)
        others = np.arange(30) != 3
        np.testing.assert_array_equal(found.states[others], expected.states[others])


def test_temperatures_are_those_of_problems_with_a_bias(rng):
    J, h = problems(rng, 20, 30, shared=False, kind="real")
    J[3:], h[3:] = 0, 0
    few = sample_batch(h[:3], J[:3], num_sweeps=5).info["beta_range"]
    np.testing.assert_array_equal(sample_batch(h, J, num_sweeps=5).info["beta_range"][:3], few)
    huge = sample_batch(h[:3] * 1e200, J[:3] * 1e200, num_sweeps=5).info["beta_range"]
    np.testing.assert_allclose(huge * 1e200, few)


@pytest.mark.parametrize("form", ["dense", "interleaved", "sparse"])
@pytest.mark.parametrize("shared", [True, False])
def test_no_variables(shared, form):
    form = "auto" if shared and form == "interleaved" else form
    J, h = np.zeros((0, 0) if shared else (2, 0, 0)), np.zeros((2, 0))
    used = np.full((2, 3), 7.0)  # memory that an array of energies is likely to get
    del used
    found = sample_batch(h, J, num_reads=3, form=form)
    assert found.states.shape == (2, 3, 0)
    assert (found.energies == 0).all()


@pytest.mark.parametrize("form", ["dense", "interleaved", "sparse"])
def test_magnitudes_whose_sum_is_infinite_are_refused(form):
    J = np.full((3, 17, 17), 1e307) * (1 - np.eye(17))
    with pytest.raises(ValueError, match="must have a sum that float64 holds"):
        sample_batch(np.zeros((3, 17)), J, form=form, beta_range=(1e-308, 1e-307))
    # The check also covers problems after the first.
    J, h = np.zeros((17, 17)), np.zeros((3, 17))
    h[1] = 1.7e307
    with pytest.raises(ValueError, match="must have a sum that float64 holds"):
        sample_batch(
            h, np.stack([J] * 3) if form == "interleaved" else J, form=form, beta_range=(1.0, 1.0)
        )


@pytest.mark.parametrize("magnitude", [1e-310, 1e-300, 1e300, 1e308])
@pytest.mark.parametrize("form", ["dense", "interleaved", "sparse"])
def test_default_temperatures_of_the_largest_and_smallest_magnitudes(form, magnitude):
    J, h = np.zeros((1, 1, 1)), np.array([[magnitude]])
    found = sample_batch(h, J, form=form, num_sweeps=20, num_reads=8, seed=1)
    np.testing.assert_array_equal(found.energies, -magnitude)
    assert not np.isnan(found.info["beta_range"]).any()


MAGNITUDES = {
    "subnormal": lambda rng, shape: rng.integers(-3, 4, shape) * 5e-324,
    "mixed": lambda rng, shape: rng.normal(size=shape) * 10.0 ** rng.uniform(-323, 0, shape),
    "any": lambda rng, shape: rng.normal(size=shape) * 10.0 ** rng.uniform(-323, 300, shape),
    "one": lambda rng, shape: rng.normal(size=shape),
}


@pytest.mark.parametrize("rule", ["auto", "dwave"])
@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("of_J", MAGNITUDES)
@pytest.mark.parametrize("of_h", MAGNITUDES)
def test_rules_for_temperatures_take_any_magnitudes(rng, rule, shared, of_J, of_h):
    for n, count in ((1, 1), (2, 3), (9, 17)):
        for vartype in ("SPIN", "BINARY"):
            J = np.triu(MAGNITUDES[of_J](rng, (n, n) if shared else (count, n, n)), 1)
            J, h = J + J.swapaxes(-1, -2), MAGNITUDES[of_h](rng, (count, n))
            starts = rng.choice([-1 if vartype == "SPIN" else 0, 1], size=(count, n))
            options = {"vartype": vartype, "initial_states": starts}
            found = sample_batch(h, J, beta_range=rule, num_sweeps=20, seed=1, **options)
            betas = found.info["beta_range"]
            assert (betas > 0).all()
            assert (betas[:, 0] <= betas[:, 1]).all()
            before = sample_batch(h, J, num_sweeps=0, **options).energies
            scale = np.abs(J).sum() + np.abs(h).sum(axis=1, keepdims=True)
            # A quarter of a subnormal number, a coupling of the spins, may be rounded to 0.
            assert (found.energies <= before + 1e-5 * scale + 1e-321).all()


def test_one_subnormal_bias_has_a_temperature():
    # Its mean over the variables is 0 in float64.
    h = np.zeros((2, 9))
    h[:, 4] = [5e-324, -5e-324]
    for J in (np.zeros((9, 9)), np.zeros((2, 9, 9))):
        found = sample_batch(h, J, num_sweeps=20, seed=1)
        np.testing.assert_array_equal(found.states[:, 0, 4], [-1, 1])


def test_low_rank_of_the_largest_and_smallest_magnitudes(rng):
    A, h = rng.normal(size=(4, 40)), np.zeros((3, 40))
    options = {"num_sweeps": 20, "seed": 1}
    expected = sample_batch(h, LowRank(A), form="low_rank", **options).energies
    for size, scale in ((1e-29, 1e157), (1e29, 1e-157)):  # in their form
        found = sample_batch(h, LowRank(size * A, scale), form="low_rank", **options)
        np.testing.assert_allclose(found.energies / scale / size**2, expected, rtol=1e-6)
    for size, scale in ((1e200, 1e-300), (1e-200, 1e300)):  # as matrices
        found = sample_batch(h, LowRank(size * A, scale), **options)
        matrix = (scale * (size * A).T) @ (size * A)
        np.fill_diagonal(matrix, 0.0)
        dense = sample_batch(h, (matrix + matrix.T) / 2, form="dense", **options)
        np.testing.assert_allclose(found.energies, dense.energies, rtol=1e-9)


def test_binary_problems_of_the_smallest_floats(rng):
    J, h = problems(rng, 3, 9, shared=False)
    J = (J * 1e-45).astype(np.float32)
    found = sample_batch(0 * h, J, vartype="BINARY", num_sweeps=20, seed=1)
    wide = sample_batch(0 * h, J.astype(float), vartype="BINARY", num_sweeps=20, seed=1)
    np.testing.assert_array_equal(found.states, wide.states)


def test_vartypes_of_dimod():
    h, J = [[0.5, -1.0]], np.zeros((2, 2))
    for word in ("SPIN", "BINARY"):
        named, expected = (
            sample_batch(h, J, vartype=vartype, seed=1)
            for vartype in (dimod.as_vartype(word), word)
        )
        assert named.vartype == word
        np.testing.assert_array_equal(named.states, expected.states)
    with pytest.raises(ValueError, match=r"vartype is <Vartype\.INTEGER"):
        sample_batch(h, J, vartype=dimod.INTEGER)
