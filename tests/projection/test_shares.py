"""Rows of a layer that are solved apart, from samples and from products of samples."""

import itertools

import numpy as np
import pytest

import qpsbgd
import reference
from problems import layer
from qpsbgd import _core
from qpsbgd.samplers.schedule import geometric

pytestmark = pytest.mark.usefixtures("isa")

OPTIONS = {
    "objective": "quadratic", "scale": 0.8, "alpha": "norm", "target_eps": 0.01,
    "num_sweeps": 3, "betas": [], "num_reads": 1, "initial": "linear", "seed": 7,
}  # fmt: skip


def solved(shares, **changes):
    """The rows of all shares, each given the norms of all."""
    options = {**OPTIONS, **changes}
    options["objective"] = _core.Objective[options["objective"]]
    options["alpha"] = _core.AlphaRule[options["alpha"]]
    options["initial"] = _core.InitialState[options["initial"]]
    norms = np.concatenate([share.norms() for share in shares])
    return np.concatenate([share.project(norms, **options) for share in shares])


def sample_shares(X, T, splits):
    return [
        _core.SampleLayer(X, np.ascontiguousarray(T[:, a:b]), first_row=a, num_threads=2)
        for a, b in itertools.pairwise(splits)
    ]


def gram_shares(X, T, splits):
    gram, cross, magnitudes, squares = reference.products(X, T)
    return [
        _core.GramLayer(
            gram, cross[a:b], magnitudes[a:b], squares[a:b],
            num_samples=len(X), first_row=a, num_threads=2,
        )
        for a, b in itertools.pairwise(splits)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("objective", "alpha"), [("quadratic", "norm"), ("quadratic", "fit"), ("sign", "norm")]
)
@pytest.mark.parametrize("beta_range", [None, (0.05, 5.0)])
@pytest.mark.parametrize("shape", [(40, 70, 49), (200, 20, 49)])  # residuals, fields
@pytest.mark.parametrize(("num_reads", "initial"), [(1, "linear"), (3, "linear"), (1, "random")])
def test_any_shares_are_the_whole(rng, objective, alpha, beta_range, shape, num_reads, initial):
    X, T = layer(rng, *shape)
    T[:, 20] = 0
    whole = qpsbgd.project(
        X, T, objective=objective, scale=0.8, alpha=alpha, num_sweeps=3,
        beta_range=beta_range, num_reads=num_reads, initial=initial, seed=7,
    )  # fmt: skip
    betas = [] if beta_range is None else geometric(*beta_range, 3)
    for splits in ((0, 49), (0, 24, 49), (0, 1, 18, 19, 49)):
        parts = solved(
            sample_shares(X, T, splits), objective=objective, alpha=alpha, betas=betas,
            num_reads=num_reads, initial=initial,
        )  # fmt: skip
        np.testing.assert_array_equal(parts, whole)


@pytest.mark.parametrize("alpha", ["norm", "fit"])
@pytest.mark.parametrize("kind", ["real", "binary", "integral"])
@pytest.mark.parametrize("beta_range", [None, (0.05, 5.0)])
@pytest.mark.parametrize("shape", [(1, 1, 1), (5, 33, 49), (12, 131, 4), (200, 20, 17)])
@pytest.mark.parametrize(("num_reads", "initial"), [(1, "linear"), (3, "random")])
def test_products_equal_twin(rng, alpha, kind, beta_range, shape, num_reads, initial):
    X, T = layer(rng, *shape, kind="binary" if kind == "binary" else "real")
    if kind == "integral":
        X, T = np.rint(4 * X), np.rint(3 * T)
    T[:, 0] = 0
    options = {
        "scale": 0.8, "alpha": alpha, "num_sweeps": 3, "num_reads": num_reads,
        "seed": 7, "initial": initial,
    }  # fmt: skip
    expected = reference.project_products(
        *reference.products(X, T), len(X), beta_range=beta_range, **options
    )
    betas = [] if beta_range is None else geometric(*beta_range, 3)
    for splits in ((0, shape[2]), (0, shape[2] // 2, shape[2])):
        if splits[1] > 0:
            found = solved(gram_shares(X, T, splits), betas=betas, **options)
            np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("alpha", ["norm", "fit"])
def test_products_and_samples_pose_the_same_problems(rng, alpha):
    X, T = layer(rng, 300, 40, 25)
    options = {"scale": 1.0, "alpha": alpha, "num_sweeps": 1000}
    from_samples = qpsbgd.project(X, T, **options)
    from_products = solved(gram_shares(X, T, (0, 25)), **options)
    # Rounding may decide a tie otherwise, of which normal variates have none.
    np.testing.assert_array_equal(from_products, from_samples)


def test_start_of_products_is_exact_for_integral_data(rng):
    X, T = (np.rint(3 * a) for a in layer(rng, 50, 30, 20))
    expected = np.where(T.T.astype(np.int64) @ X.astype(np.int64) >= 0, 1, -1)
    np.testing.assert_array_equal(solved(gram_shares(X, T, (0, 20)), num_sweeps=0), expected)


@pytest.mark.parametrize("alpha", ["norm", "fit"])
@pytest.mark.parametrize("factor", [2.0**-60, 2.0**-17, 2.0**55])
def test_extreme_magnitudes_of_products_change_nothing(rng, factor, alpha):
    X, T = layer(rng, 20, 15, 5)
    options = {"alpha": alpha, "num_reads": 3, "betas": [0.1, 1.0, 2.0]}
    plain = solved(gram_shares(X, T, (0, 5)), **options)
    X, T = X * np.float32(factor), T / np.float32(factor)
    np.testing.assert_array_equal(solved(gram_shares(X, T, (0, 5)), **options), plain)


def test_all_zero_products():
    zeros, ones = np.zeros((4, 3), np.float32), np.ones((4, 2), np.float32)
    for X, T in ((zeros, ones), (np.ones((4, 3), np.float32), 0 * ones), (zeros, 0 * ones)):
        found = solved(gram_shares(X, T, (0, 2)), num_reads=2)
        np.testing.assert_array_equal(found, np.ones((2, 3), np.int8))


def test_shares_keep_their_arrays(rng):
    X, T = layer(rng, 40, 70, 9)
    expected = qpsbgd.project(X, T, scale=0.8, alpha="norm", num_sweeps=3)
    shares = sample_shares(X.copy(), T.copy(), (0, 4, 9))
    [np.full((40, 70), np.nan, np.float32) for _ in range(50)]
    np.testing.assert_array_equal(solved(shares), expected)


def test_what_does_not_fit_is_refused(rng):
    X, T = layer(rng, 6, 5, 4)
    (samples,), (products,) = sample_shares(X, T, (0, 4)), gram_shares(X, T, (0, 4))
    with pytest.raises(ValueError, match="sign objective needs samples"):
        solved([products], objective="sign")
    with pytest.raises(ValueError, match="no initial states"):
        solved([samples], initial="given")
    with pytest.raises(ValueError, match="scale is 1e-30, but must lie between"):
        solved([products], scale=1e-30)
    with pytest.raises(ValueError, match="scale is 1e-30, but must lie between"):
        solved([products], scale=1e-30, alpha="fit")
    with pytest.raises(ValueError, match="must have shapes"):
        _core.GramLayer(
            np.eye(3), np.ones((2, 4)), np.ones(2), np.ones(2),
            num_samples=1, first_row=0, num_threads=1,
        )  # fmt: skip
