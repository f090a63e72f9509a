"""Whole calls under pytest-benchmark; each asserts its answer.

`pytest bench` runs them once; `pytest bench --benchmark-enable` times them, and
`--benchmark-autosave`, `--benchmark-compare` set two commits side by side.
"""

import numpy as np
import pytest

import qpsbgd


@pytest.fixture(scope="module")
def layer():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(100, 784)).astype(np.float32)
    return X, rng.normal(size=(100, 256)).astype(np.float32)


@pytest.mark.parametrize("objective", ["quadratic", "sign"])
@pytest.mark.parametrize("beta_range", [None, (1.0, 100.0)], ids=["descent", "anneal"])
def test_project(benchmark, layer, objective, beta_range):
    X, T = layer
    options = {"objective": objective, "alpha": "norm", "beta_range": beta_range, "seed": 0}
    B = benchmark(qpsbgd.project, X, T, num_sweeps=10, **options)
    start = qpsbgd.project(X, T, num_sweeps=0)
    energy, before = (
        qpsbgd.projection_energy(X, T, rows, objective=objective, alpha="norm").mean()
        for rows in (B, start)
    )
    assert energy < before


def test_gradient_ising(benchmark, layer):
    X, T = layer
    h, J, offset = benchmark(qpsbgd.gradient_ising, X, T)
    b = np.ones((256, 784), np.int8)
    ising = np.triu(J, 1).sum(dtype=np.float64) + h.sum(axis=1, dtype=np.float64) + offset
    np.testing.assert_allclose(ising, qpsbgd.projection_energy(X, T, b), rtol=1e-4)


def test_projection_energy(benchmark, layer):
    X, T = layer
    assert np.isfinite(benchmark(qpsbgd.projection_energy, X, T, np.ones((256, 784)))).all()


def test_training_step(benchmark):
    torch = pytest.importorskip("torch")
    from qpsbgd.optim import QPSBGD
    from qpsbgd.training.networks import BinaryMLP

    torch.manual_seed(0)
    net = BinaryMLP((784, 256, 256, 10))
    optimizer = QPSBGD(net)
    x, y = torch.randn(100, 784), torch.randint(10, (100,))

    def step():
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(net(x), y)
        loss.backward()
        optimizer.step()
        return loss.item()

    first = step()
    for _ in range(5):
        step()
    assert benchmark(step) < first


@pytest.mark.parametrize("form", ["dense", "interleaved", "low_rank", "sparse"])
def test_sample_batch(benchmark, form):
    rng = np.random.default_rng(0)
    A, h = rng.normal(size=(10, 200)), rng.normal(size=(64, 200))
    if form == "low_rank":
        J = qpsbgd.LowRank(A)
    else:
        J = A.T @ A if form == "dense" else np.tile(rng.normal(size=(200, 200)), (64, 1, 1))
        J = np.triu(J, 1) * (form != "sparse" or rng.random(size=(200, 200)) < 0.05)
        J = J + J.swapaxes(-1, -2)
    options = {"seed": 0, "form": form}
    found = benchmark(qpsbgd.sample_batch, J, h, num_sweeps=20, **options)
    start = qpsbgd.sample_batch(J, h, num_sweeps=0, **options)
    assert found.info["form"] == form
    assert (found.energies < start.energies).all()
