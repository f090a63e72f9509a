"""Closed-form tests of the random stream and of the annealing kernels."""

import itertools

import dimod
import numpy as np
import pytest
from scipy import stats

import qpsbgd
from problems import layer
from qpsbgd import _core

pytestmark = pytest.mark.usefixtures("isa")

# Fixed seeds: a bound passes for ever or fails for ever. 3-sigma, or p > 0.001.
P_MIN = 1e-3


def test_exponential_distribution():
    values = _core.exponential(seed=1, problem=0, read=0, sweep=0, first=0, count=200_000)
    assert (values > 0).all()
    assert stats.kstest(values, "expon").pvalue > P_MIN


@pytest.mark.parametrize("axis", ["seed", "problem", "read", "sweep"])
def test_streams_are_independent(axis):
    base = {"seed": 0, "problem": 0, "read": 0, "sweep": 0, "first": 0}
    streams = np.array(
        [_core.exponential(**{**base, axis: i}, count=1000) for i in range(100)]
    ).astype(float)
    uniform = np.exp(-streams)
    # Sum over streams at one counter: 1000 sums of 100 uniforms.
    z = (uniform.sum(axis=0) - 50) / np.sqrt(100 / 12)
    assert stats.kstest(z, "norm").pvalue > P_MIN
    correlation = np.corrcoef(uniform)[np.triu_indices(100, 1)] * np.sqrt(1000)
    assert stats.kstest(correlation, "norm").pvalue > P_MIN


@pytest.mark.parametrize("objective", ["quadratic", "sign"])
def test_annealing_at_one_temperature_samples_the_boltzmann_distribution(rng, objective):
    n, beta, copies = 5, 0.15, 4000
    X, T = layer(rng, 6, n, 1, kind="binary" if objective == "sign" else "real")
    if objective == "sign":
        T /= np.abs(T).mean()  # betas are in units of the objective for t / mean|t|
    states = np.array(list(itertools.product((-1, 1), repeat=n)), np.int8)
    energies = np.array(
        [qpsbgd.projection_energy(X, T, s[None, :], objective=objective)[0] for s in states]
    )
    weights = np.exp(-beta * (energies - energies.min()))
    # Each row is an independent chain; all rows have the same target.
    B = qpsbgd.project(
        X, np.repeat(T, copies, axis=1), objective=objective, num_sweeps=100,
        beta_range=(beta, beta), initial="random", seed=5,
    )  # fmt: skip
    index = ((B > 0) @ (1 << np.arange(n)[::-1])).astype(int)
    counts = np.bincount(index, minlength=2**n)
    expected = copies * weights / weights.sum()
    assert stats.chisquare(counts, expected).pvalue > P_MIN


@pytest.mark.parametrize("n", [10, 1000])
def test_wrong_spins_at_the_default_cold_end_follow_poissons_law(n):
    """0.01 of n independent spins are expected to be thermally excited, whatever n is."""
    reads = 4000
    bqm = dimod.BinaryQuadraticModel(dict.fromkeys(range(n), 1.0), {}, 0.0, "SPIN")
    result = qpsbgd.SimulatedAnnealingSampler().sample(
        bqm, num_sweeps=20, num_reads=reads, seed=2, keep="final"
    )
    wrong = int((result.record.sample > 0).sum())
    # Metropolis: each is wrong with p = a / (1 + a), a = exp(-beta barrier) = 0.01 / n, or less
    # where the knee, which has 2e-4 a spin, is colder.
    ratio = min(0.01 / n, 2e-4)
    expected = reads * n * ratio / (1 + ratio)
    assert abs(wrong - expected) < 3 * np.sqrt(expected)


def test_random_start_is_uniform():
    ones = np.ones((1, 200), np.float32), np.ones((1, 500), np.float32)
    B = qpsbgd.project(*ones, initial="random", num_sweeps=0, seed=9)
    count = int((B > 0).sum())
    assert abs(count - 50_000) < 3 * np.sqrt(100_000 / 4)
