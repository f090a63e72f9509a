"""Every kernel against its twin in tests/reference, bit for bit, on every instruction set."""

import itertools
from fractions import Fraction

import numpy as np
import pytest

import qpsbgd
import reference
from problems import KERNEL_SHAPES, layer
from qpsbgd import _core

pytestmark = pytest.mark.usefixtures("isa")


@pytest.mark.parametrize("alpha", ["norm", "fit"])
@pytest.mark.parametrize("shape", KERNEL_SHAPES)
def test_gradient_ising_equals_twin(rng, shape, alpha):
    X, T = layer(rng, *shape)
    h, J, offset = qpsbgd.gradient_ising(X, T, 0.7, alpha=alpha)
    h_slow, J_slow, offset_slow = reference.gradient_ising(X, T, 0.7, alpha)
    assert (J.dtype, h.dtype, offset.dtype) == (np.float32, np.float32, np.float64)
    np.testing.assert_allclose(J, J_slow, rtol=1e-5, atol=1e-5 * np.abs(J_slow).max(initial=1e-9))
    np.testing.assert_allclose(h, h_slow, rtol=1e-5, atol=1e-5 * np.abs(h_slow).max())
    np.testing.assert_allclose(offset, offset_slow, rtol=1e-6)
    np.testing.assert_array_equal(J, J.T)
    assert not J.diagonal().any()


@pytest.mark.parametrize("alpha", ["norm", "fit"])
@pytest.mark.parametrize("objective", ["quadratic", "sign"])
@pytest.mark.parametrize("shape", KERNEL_SHAPES)
def test_projection_energy_equals_twin(rng, objective, shape, alpha):
    X, T = layer(rng, *shape)
    B = rng.choice([-1, 1], size=(shape[2], shape[1]))
    options = {"objective": objective, "alpha": alpha}
    np.testing.assert_allclose(
        qpsbgd.projection_energy(X, T, B, **options),
        reference.projection_energy(X, T, B, **options),
        rtol=1e-9,
    )


def rounded_once(a, b, c):
    """a * b + c in float32 from exact rationals."""
    exact = Fraction(float(a)) * Fraction(float(b)) + Fraction(float(c))
    near = np.float32(float(exact))  # rounded twice: right but for ties
    candidates = [
        near,
        np.nextafter(near, np.float32(np.inf)),
        np.nextafter(near, -np.float32(np.inf)),
    ]
    # Nearest, and of two as near the one with an even last bit.
    return min(
        candidates, key=lambda x: (abs(Fraction(float(x)) - exact), int(x.view(np.int32)) & 1)
    )


def test_multiply_add_rounds_once(rng):
    a, b = rng.normal(size=(2, 3000)).astype(np.float32)
    c = (-(a * b) * (1 + rng.integers(-3, 4, size=3000) * 2.0**-23)).astype(np.float32)  # cancel
    c[::3] = rng.normal(size=1000).astype(np.float32)
    # Half a unit of c less 2^-70: in float64 a tie, of which float32 takes the wrong side.
    unit = 2.0**-23
    ties = list(itertools.product((1, -1), range(1, 4), range(8), (1, 2.0**-60)))
    a = np.append(a, [sign * unit / 2 * (1 + k * unit) for sign, k, _, _ in ties])
    b = np.append(b, [(1 - k * unit) * small for _, k, _, small in ties])
    c = np.append(c, [(1 + j * unit) * small for _, _, j, small in ties])
    # Sums that are exact in float64: ties, others, and numbers below the smallest normal one.
    exact = rng.integers(-(2**24), 2**24, size=(2, 2000)) * 2.0 ** rng.integers(-3, 4, (2, 2000))
    exact *= np.where(np.arange(2000) % 4 == 0, 2.0**-150, 1.0)
    a, c = np.append(a, exact[0]), np.append(c, exact[1])
    b = np.append(b, rng.choice([-1.0, 1.0], 2000))
    a, b, c = (x.astype(np.float32) for x in (a, b, c))
    expected = np.array([rounded_once(*abc) for abc in zip(a, b, c, strict=True)])
    np.testing.assert_array_equal(reference.multiply_add(a, b, c), expected)
    np.testing.assert_array_equal(_core.multiply_adds(a, b, c), expected)
    twice = (a.astype(np.float64) * b + c).astype(np.float32)
    assert (twice != expected).any()  # the cases are hard enough


def test_exponential_equals_twin():
    name = {"seed": 2**40 + 5, "problem": 3, "read": 1, "sweep": 9, "first": 5, "count": 1000}
    np.testing.assert_array_equal(_core.exponential(**name), reference.exponential(**name))


def test_results_do_not_depend_on_isa_or_threads(rng, monkeypatch):
    X, T = layer(rng, 100, 150, 70)
    for options in (
        {"objective": "quadratic", "beta_range": (0.01, 3.0), "num_reads": 3},
        {"objective": "quadratic"},
        {"objective": "quadratic", "alpha": "fit"},
        {"objective": "sign", "beta_range": (0.1, 3.0)},
        {"objective": "sign", "initial": "random"},
    ):
        forced = qpsbgd.project(X, T, seed=1, num_threads=1, **options)
        for threads in (2, 7):
            np.testing.assert_array_equal(
                forced, qpsbgd.project(X, T, seed=1, num_threads=threads, **options)
            )
        with monkeypatch.context() as patch:
            patch.delenv("QPSBGD_ISA")
            np.testing.assert_array_equal(forced, qpsbgd.project(X, T, seed=1, **options))


def test_forced_isa_is_used(isa):
    assert _core.isa() == isa


# Around words of 64 signs, 16 lanes, groups of 4 rows and runs of 256 rows.
@pytest.mark.parametrize("shape", [(1, 1), (3, 7), (4, 16), (5, 17), (2, 64), (9, 200), (600, 71)])
@pytest.mark.parametrize("kind", ["real", "signs", "mixed"])
def test_packed_products_equal_twin(rng, shape, kind):
    num_outputs, num_inputs = shape
    bits = np.packbits(rng.random(shape) < 0.5, axis=1, bitorder="little")
    X = rng.normal(size=(3, num_inputs)).astype(np.float32)
    if kind != "real":
        X[kind == "mixed" :] = np.where(X[kind == "mixed" :] >= 0, 1, -1)
    result = _core.multiply_packed(X, bits, max_real=3, num_threads=2)
    np.testing.assert_array_equal(result, reference.multiply_packed(X, bits))
    assert result.dtype == np.float32
    assert result.shape == (3, num_outputs)


@pytest.mark.parametrize(
    "value", [0.0, -0.0, 0.5, 1.0 + 2**-23, 1.0 - 2**-24, -3.0, np.inf, np.nan]
)
@pytest.mark.parametrize("where", [0, 15, 16, 20])
def test_inputs_that_are_no_signs_are_multiplied(rng, value, where):
    bits = np.packbits(rng.random((5, 21)) < 0.5, axis=1, bitorder="little")
    X = np.where(rng.random((2, 21)) < 0.5, 1, -1).astype(np.float32)
    X[1, where] = value
    result = _core.multiply_packed(X, bits, max_real=1, num_threads=1)
    np.testing.assert_array_equal(result, reference.multiply_packed(X, bits))
    assert _core.multiply_packed(X, bits, max_real=0, num_threads=1) is None


def test_packed_products_of_nothing_and_of_wrong_shapes():
    bits = np.zeros((3, 0), np.uint8)
    X = np.zeros((2, 0), np.float32)
    np.testing.assert_array_equal(
        _core.multiply_packed(X, bits, max_real=0, num_threads=1), np.zeros((2, 3))
    )
    with pytest.raises(ValueError, match="one bit per input"):
        _core.multiply_packed(np.zeros((2, 9), np.float32), bits, max_real=0, num_threads=1)
