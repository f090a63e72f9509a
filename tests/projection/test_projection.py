"""Properties of project, projection_energy and gradient_ising with every kernel."""

import os
import subprocess
import sys
import threading
from functools import partial

import dimod
import numpy as np
import pytest

import qpsbgd
import reference
from interrupts import ctrl_c_in_the_core
from problems import layer
from qpsbgd import _core


def ising_energy(J, h, offset, b):
    return b @ np.triu(J.astype(float), 1) @ b + h @ b + offset


@pytest.mark.parametrize("objective", ["quadratic", "sign"])
@pytest.mark.parametrize(("samples", "inputs"), [(20, 8), (6, 10), (9, 1)])
def test_annealing_finds_the_exhaustive_optimum(rng, objective, samples, inputs):
    X, T = layer(rng, samples, inputs, 5, kind="binary")
    optimum = reference.exhaustive(X, T, objective=objective)
    B = qpsbgd.project(
        X, T, objective=objective, num_sweeps=100, num_reads=20, beta_range=(0.02, 5.0), seed=0
    )
    np.testing.assert_allclose(
        qpsbgd.projection_energy(X, T, B, objective=objective), optimum, rtol=1e-6
    )


@pytest.mark.parametrize("objective", ["quadratic", "sign"])
def test_descent_never_worsens_its_start_and_ends_at_a_local_optimum(rng, objective):
    X, T = layer(rng, 40, 30, 20)
    start = qpsbgd.project(X, T, objective=objective, num_sweeps=0)
    end = qpsbgd.project(X, T, objective=objective, num_sweeps=1000)
    energy = qpsbgd.projection_energy(X, T, end, objective=objective)
    before = qpsbgd.projection_energy(X, T, start, objective=objective)
    assert (energy <= before + 1e-9).all()
    assert (energy < before - 1e-3).any()
    for k in range(30):
        flipped = end.copy()
        flipped[:, k] *= -1
        neighbour = qpsbgd.projection_energy(X, T, flipped, objective=objective)
        assert (neighbour >= energy - 1e-4).all()


def test_start_is_the_linear_minimiser(rng):
    X, T = layer(rng, 20, 9, 4)
    T[:, 2] = 0
    expected = np.where(T.T.astype(float) @ X >= 0, 1, -1)
    np.testing.assert_array_equal(qpsbgd.project(X, T, num_sweeps=0), expected)


def test_small_scale_gives_the_linear_minimiser(rng):
    X, T = layer(rng, 20, 9, 4)
    np.testing.assert_array_equal(
        qpsbgd.project(X, T, scale=1e-6), qpsbgd.project(X, T, num_sweeps=0)
    )


def test_more_reads_never_give_a_worse_row(rng):
    X, T = layer(rng, 30, 40, 12)
    options = {"beta_range": (0.05, 1.0), "num_sweeps": 5, "seed": 4}
    energies = [
        qpsbgd.projection_energy(X, T, qpsbgd.project(X, T, num_reads=reads, **options))
        for reads in (1, 2, 8)
    ]
    assert (energies[1] <= energies[0]).all()
    assert (energies[2] <= energies[1]).all()
    assert (energies[2] < energies[0]).any()


def test_a_row_depends_on_the_seed_and_its_number_alone(rng):
    X, T = layer(rng, 20, 25, 50, kind="binary")
    options = {"objective": "sign", "beta_range": (0.1, 1.0), "num_sweeps": 4, "seed": 11}
    whole = qpsbgd.project(X, T, **options)
    np.testing.assert_array_equal(whole[:3], qpsbgd.project(X, T[:, :3], **options))
    other = qpsbgd.project(X, T, **{**options, "seed": 12})
    assert (whole != other).any()
    same_target = qpsbgd.project(X, np.repeat(T[:, :1], 2, axis=1), **options)
    assert (same_target[0] != same_target[1]).any()


def test_no_seed_draws_a_new_one(rng):
    X, T = layer(rng, 5, 64, 4)
    draws = {qpsbgd.project(X, T, initial="random", num_sweeps=0).tobytes() for _ in range(3)}
    assert len(draws) == 3


@pytest.mark.parametrize("alpha", ["norm", "fit"])
def test_gradient_ising_is_the_objective(rng, alpha):
    X, T = layer(rng, 15, 12, 6)
    options = {"scale": 0.9, "alpha": alpha}
    h, J, offset = qpsbgd.gradient_ising(X, T, **options)
    B = rng.choice([-1, 1], size=(6, 12))
    energies = qpsbgd.projection_energy(X, T, B, **options)
    for r in range(6):
        assert ising_energy(J, h[r], offset[r], B[r]) == pytest.approx(energies[r], rel=1e-5)
        bqm = dimod.BinaryQuadraticModel(h[r], np.triu(J), offset[r], "SPIN")
        assert bqm.energy(B[r]) == pytest.approx(energies[r], rel=1e-5)


def test_objective_is_the_papers(rng):
    X, T = layer(rng, 15, 12, 3)
    B = rng.choice([-1.0, 1.0], size=(3, 12))
    unit = T / np.abs(T.astype(float)).mean(axis=0)
    linear = np.where(X.T @ T >= 0, 1.0, -1.0)
    alpha = 0.5 * np.linalg.norm(unit) / np.linalg.norm(X @ linear)
    expected = ((unit - alpha * X @ B.T) ** 2).sum(axis=0)
    energies = qpsbgd.projection_energy(X, T, B, scale=0.5, alpha="norm")
    np.testing.assert_allclose(energies, expected, rtol=1e-5)
    signs = np.where(X @ B.T + 0.01 >= 0, 1.0, -1.0)
    np.testing.assert_allclose(
        qpsbgd.projection_energy(X, T, B, objective="sign"),
        ((signs - T) ** 2).sum(axis=0), rtol=1e-6,
    )  # fmt: skip


def test_fitted_alpha_is_the_least_squares(rng):
    X, T = layer(rng, 60, 12, 5)
    B = qpsbgd.project(X, T, num_sweeps=0)
    target, margins = (T / np.abs(T.astype(float)).mean(axis=0)).ravel(), (X @ B.T).ravel()
    [alpha], [least], *_ = np.linalg.lstsq(margins[:, None], target, rcond=None)
    assert alpha > 0

    def energy(scale):
        return qpsbgd.projection_energy(X, T, B, scale=scale, alpha="fit").sum()

    assert energy(1.0) == pytest.approx(least, rel=1e-6)
    assert energy(1.0) < min(energy(0.999), energy(1.001))
    _, J, _ = qpsbgd.gradient_ising(X, T, alpha="fit")
    gram = X.T @ X
    np.fill_diagonal(gram, 0)
    np.testing.assert_allclose(J, 2 * alpha**2 * gram, rtol=1e-4, atol=1e-6)


def test_what_no_input_explains_changes_nothing_of_a_fit(rng):
    X, T = layer(rng, 40, 15, 20)
    # Each sample twice, with noise added and taken away: X^T T / N stays, and the means of |t| all
    # grow by the factor of the noise.
    noise = 30 * np.abs(T) * rng.choice(np.array([-1, 1], np.float32), size=T.shape)
    noisy = np.concatenate([X, X]), np.concatenate([T + noise, T - noise])
    B0 = qpsbgd.project(X, T, num_sweeps=0)
    for alpha, same in (("fit", True), ("norm", False)):
        B = qpsbgd.project(X, T, alpha=alpha)
        assert (B != B0).any()
        assert (qpsbgd.project(*noisy, alpha=alpha) == B).all() == same


def test_sign_objective_has_no_alpha(rng):
    X, T = layer(rng, 20, 9, 4)
    B, other = (qpsbgd.project(X, T, objective="sign", alpha=s) for s in ("norm", "fit"))
    np.testing.assert_array_equal(B, other)


def test_sign_of_zero_follows_target_eps():
    X, T = np.array([[1, 1]], np.float32), np.array([[1]], np.float32)
    tie = np.array([[1, -1]])
    assert qpsbgd.projection_energy(X, T, tie, objective="sign")[0] == 0.0
    assert qpsbgd.projection_energy(X, T, tie, objective="sign", target_eps=0)[0] == 0.0
    assert qpsbgd.projection_energy(X, T, -np.ones((1, 2)), objective="sign")[0] == 4.0


def test_margins_of_binary_inputs_do_not_drift(rng):
    # Margins are odd, so that every eps < 1 poses the same problem. A small one is rounded once, to
    # what the largest margin is rounded to, and never again.
    X, T = layer(rng, 20, 101, 16, kind="binary")
    options = {"objective": "sign", "num_sweeps": 300, "beta_range": (0.01, 0.1), "seed": 2}
    expected = qpsbgd.project(X, T, target_eps=0.5, **options)
    for eps in (0.0, 1e-7, 1e-5, 0.01):
        np.testing.assert_array_equal(qpsbgd.project(X, T, target_eps=eps, **options), expected)
    X = X[:, 1:]  # even: 0 is positive, and any eps < 2 says so
    expected = qpsbgd.project(X, T, target_eps=0.0, **options)
    for eps in (1e-7, 1e-5, 0.01, 1.5):
        np.testing.assert_array_equal(qpsbgd.project(X, T, target_eps=eps, **options), expected)


def test_sign_descent_weighs_targets_of_any_size(rng):
    X, T = layer(rng, 40, 30, 50, kind="binary")
    T *= 10.0 ** rng.integers(-6, 7, size=T.shape)
    T = T.astype(np.float32)
    start = np.where(rng.random((50, 30)) < 0.5, 1, -1).astype(np.int8)
    end = qpsbgd.project(X, T, objective="sign", initial=start, num_sweeps=1000)
    t = T.T.astype(float)

    def score(B):
        return (np.where(B @ X.T.astype(float) + 0.01 >= 0, 1, -1) * t).sum(axis=1)

    assert (score(end) >= score(start)).all()
    assert (score(end) > score(start)).any()
    for k in range(30):
        flipped = end.copy()
        flipped[:, k] *= -1
        # Targets of a neuron are resolved to 2^-29 of their sum.
        assert (score(flipped) - score(end) <= 1e-6 * np.abs(t).sum(axis=1)).all()


@pytest.mark.parametrize(
    ("objective", "alpha"), [("quadratic", "norm"), ("quadratic", "fit"), ("sign", "norm")]
)
@pytest.mark.parametrize("factor", [2.0**-120, 2.0**100])
def test_extreme_magnitudes_change_nothing(rng, objective, alpha, factor):
    X, T = layer(rng, 20, 15, 5)
    options = {
        "objective": objective, "alpha": alpha, "seed": 0, "beta_range": (0.1, 2.0),
    }  # fmt: skip
    plain = qpsbgd.project(X, T, target_eps=0.0, **options)
    factor = np.float32(factor)
    np.testing.assert_array_equal(
        plain, qpsbgd.project(X * factor, T / factor, target_eps=0.0, **options)
    )


@pytest.mark.parametrize("alpha", ["norm", "fit"])
@pytest.mark.parametrize("objective", ["quadratic", "sign"])
def test_all_zero_data(objective, alpha):
    zeros, ones = np.zeros((4, 3), np.float32), np.ones((4, 2), np.float32)
    options = {"objective": objective, "alpha": alpha}
    for X, T in ((zeros, ones), (np.ones((4, 3), np.float32), 0 * ones), (zeros, 0 * ones)):
        B = qpsbgd.project(X, T, **options)
        np.testing.assert_array_equal(B, np.ones((2, 3), np.int8))
        assert np.isfinite(qpsbgd.projection_energy(X, T, B, **options)).all()
        problems = qpsbgd.gradient_ising(X, T, alpha=alpha)
        assert all(np.isfinite(part).all() for part in problems)


def test_targets_that_no_input_explains_leave_a_fit_at_its_start():
    X, T = np.ones((2, 3), np.float32), np.array([[1], [-1]], np.float32)
    np.testing.assert_array_equal(qpsbgd.project(X, T, alpha="fit"), np.ones((1, 3)))
    np.testing.assert_array_equal(
        qpsbgd.projection_energy(X, T, np.ones((1, 3)), alpha="fit"), [2.0]
    )


def test_torch_tensors_and_strided_arrays(rng):
    torch = pytest.importorskip("torch")
    X, T = layer(rng, 20, 15, 5)
    plain = qpsbgd.project(X, T)
    weight = torch.from_numpy(X).requires_grad_()
    np.testing.assert_array_equal(plain, qpsbgd.project(weight, torch.from_numpy(T)))
    wide = np.zeros((40, 30), np.float32)
    wide[::2, ::2] = X
    np.testing.assert_array_equal(plain, qpsbgd.project(wide[::2, ::2], np.asfortranarray(T)))
    np.testing.assert_array_equal(plain, qpsbgd.project(X, torch.from_numpy(T.T.copy()).T))


def test_contiguous_input_is_not_copied(rng, monkeypatch):
    seen = []
    real = _core.project
    monkeypatch.setattr(
        _core, "project", lambda X, T, **options: (seen.extend((X, T)), real(X, T, **options))[1]
    )
    torch = pytest.importorskip("torch")
    X, T = layer(rng, 4, 3, 2)
    qpsbgd.project(X, torch.from_numpy(T))
    assert np.shares_memory(seen[0], X)
    assert np.shares_memory(seen[1], T)


X_OK, T_OK = np.ones((4, 3), np.float32), np.ones((4, 2), np.float32)


def spoiled(array, value):
    copy = array.copy()
    copy[2, 1] = value
    return copy


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"X": np.ones((5, 3), np.float32)}, ValueError, r"X has shape \(5, 3\) and T \(4, 2\)"),
        ({"X": np.ones(4, np.float32)}, ValueError, r"X has shape \(4,\).* two dimensions"),
        ({"X": np.ones((4, 0), np.float32)}, ValueError, r"X has shape \(4, 0\).* not be empty"),
        ({"T": np.ones((4, 0), np.float32)}, ValueError, r"T has shape \(4, 0\).* not be empty"),
        ({"X": np.ones((4, 3))}, TypeError, "X has dtype float64, but must be float32"),
        ({"T": np.ones((4, 2), np.int32)}, TypeError, "T has dtype int32"),
        ({"X": [[1.0]]}, TypeError, "X is a list"),
        ({"X": spoiled(X_OK, np.nan)}, ValueError, r"X\[2, 1\] is nan"),
        ({"T": spoiled(T_OK, np.inf)}, ValueError, r"T\[2, 1\] is inf"),
        ({"T": spoiled(T_OK, -np.inf)}, ValueError, r"T\[2, 1\] is -inf"),
        ({"objective": "cubic"}, ValueError, "objective is 'cubic'"),
        ({"scale": 0}, ValueError, "scale is 0, but must be positive"),
        ({"scale": float("nan")}, ValueError, "scale is nan"),
        ({"scale": "1"}, TypeError, "scale is '1'"),
        ({"scale": 1e-30}, ValueError, "scale is 1e-30, but must lie between"),
        ({"scale": 1e-30, "alpha": "fit"}, ValueError, "scale is 1e-30, but must lie"),
        ({"alpha": "long"}, ValueError, "alpha is 'long', but must be 'norm' or 'fit'"),
        ({"num_sweeps": -1}, ValueError, "num_sweeps is -1, but must lie in"),
        ({"num_sweeps": 1.5}, TypeError, "num_sweeps is 1.5"),
        ({"num_reads": 2**31}, ValueError, "num_reads is 2147483648"),
        ({"num_sweeps": 2**64}, ValueError, "num_sweeps is 18446744073709551616"),
        ({"scale": 10**400}, ValueError, "scale is 1000"),
        ({"objective": np.array(["sign"])}, ValueError, "objective is array"),
        ({"initial": [[1, 1, 1]]}, TypeError, "initial is a list"),
        ({"num_reads": 0}, ValueError, "num_reads is 0, but must lie in"),
        ({"beta_range": (2.0, 1.0)}, ValueError, r"beta_range is \(2.0, 1.0\)"),
        ({"beta_range": (0.0, 1.0)}, ValueError, r"beta_range is \(0.0, 1.0\)"),
        ({"beta_range": 3}, ValueError, "beta_range is 3"),
        ({"initial": "warm"}, ValueError, "initial is 'warm'"),
        ({"initial": np.ones((3, 2), np.int8)}, ValueError, r"initial has shape \(3, 2\)"),
        ({"initial": np.zeros((2, 3), np.int8)}, ValueError, r"initial\[0, 0\] is 0"),
        ({"target_eps": -0.1}, ValueError, "target_eps is -0.1"),
        ({"seed": -1}, ValueError, r"seed is -1, but must lie in \[0, 2147483648\)"),
        ({"seed": 2**31}, ValueError, "seed is 2147483648"),
        ({"seed": 0.5}, TypeError, "seed is 0.5"),
        ({"num_threads": 0}, ValueError, "num_threads is 0"),
        ({"num_threads": True}, TypeError, "num_threads is True"),
    ],
)
def test_bad_input(changes, error, message):
    with pytest.raises(error, match=message):
        qpsbgd.project(**{"X": X_OK, "T": T_OK, **changes})


def test_bad_binary_for_energy():
    B = np.ones((2, 3), np.int8)
    B[1, 2] = 3
    with pytest.raises(ValueError, match=r"B\[1, 2\] is 3"):
        qpsbgd.projection_energy(X_OK, T_OK, B)
    with pytest.raises(ValueError, match=r"B has shape \(3, 2\), but must be \(m, n\) = \(2, 3\)"):
        qpsbgd.projection_energy(X_OK, T_OK, np.ones((3, 2)))


def test_bad_alpha_elsewhere():
    for call in (qpsbgd.gradient_ising, partial(qpsbgd.projection_energy, B=np.ones((2, 3)))):
        with pytest.raises(ValueError, match="alpha is 'long'"):
            call(X_OK, T_OK, alpha="long")


def test_bad_tensors():
    torch = pytest.importorskip("torch")
    with pytest.raises(TypeError, match=r"X has dtype float64"):
        qpsbgd.project(torch.ones(4, 3, dtype=torch.float64), T_OK)
    with pytest.raises(TypeError, match=r"X has layout torch\.sparse"):
        qpsbgd.project(torch.ones(4, 3).to_sparse(), T_OK)
    with pytest.raises(ValueError, match="X is on device meta"):
        qpsbgd.project(torch.ones(4, 3, device="meta"), T_OK)


def test_impossible_isa_lists_what_there_is(monkeypatch):
    monkeypatch.setenv("QPSBGD_ISA", "v9")
    with pytest.raises(ValueError, match=r"QPSBGD_ISA is 'v9', but this build .* has: baseline"):
        qpsbgd.project(X_OK, T_OK)


def test_two_python_threads_at_once(rng):
    X, T = layer(rng, 60, 80, 60)
    expected = qpsbgd.project(X, T, seed=0, beta_range=(0.1, 1.0))
    results = []

    def work():
        for _ in range(20):
            results.append(qpsbgd.project(X, T, seed=0, beta_range=(0.1, 1.0), num_threads=2))

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 40
    assert all((result == expected).all() for result in results)


def test_a_forked_child_can_project():
    # A child has none of its parent's threads, and must start its own.
    code = """
import os
import numpy as np, qpsbgd
X, T = np.ones((50, 60), np.float32), np.ones((50, 100), np.float32)
qpsbgd.project(X, T, num_threads=2)
child = os.fork()
if child == 0:
    for num_threads in (1, 2, None):
        qpsbgd.project(X, T, num_threads=num_threads)
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_the_best_read_does_not_depend_on_the_scale_of_the_gradient(rng):
    X, T = layer(rng, 30, 12, 20)
    options = {"objective": "sign", "num_sweeps": 2, "num_reads": 20, "seed": 1}
    expected = qpsbgd.project(X, T, **options)
    assert (expected != qpsbgd.project(X, T, **{**options, "num_reads": 1})).any()
    for power in (-60, 60):
        scaled = np.ldexp(T, power)
        np.testing.assert_array_equal(qpsbgd.project(X, scaled, **options), expected)


def test_more_threads_than_the_system_has_are_not_started():
    code = """
import resource
import numpy as np, qpsbgd
limit = 1 << 30
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
one = np.ones((1, 1), np.float32)
assert qpsbgd.project(one, one, num_reads=2000, num_threads=2**31 - 1) == 1
"""
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60, env=environment)


def test_masked_arrays_are_refused():
    X = np.ma.masked_array(np.ones((2, 3), np.float32), mask=np.eye(2, 3))
    with pytest.raises(TypeError, match="X is a masked array"):
        qpsbgd.project(X, np.ones((2, 1), np.float32))


def test_byte_swapped_arrays_are_copied(rng):
    X, T = layer(rng, 9, 5, 2)
    np.testing.assert_array_equal(
        qpsbgd.project(X.astype(">f4"), T.astype(">f4")), qpsbgd.project(X, T)
    )


@pytest.mark.parametrize("objective", ["quadratic", "sign"])
@pytest.mark.parametrize("num_threads", [1, 2])
def test_control_c_ends_a_long_call(rng, objective, num_threads):
    X, T = layer(rng, 50, 100, 100)
    with ctrl_c_in_the_core(), pytest.raises(KeyboardInterrupt):
        qpsbgd.project(
            X, T, objective=objective, num_sweeps=1_000_000, beta_range=(0.1, 0.2),
            num_threads=num_threads,
        )  # fmt: skip
