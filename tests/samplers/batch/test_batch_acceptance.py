"""Acceptance rules of a batch: the twin, the forms, the exact distribution of rings."""

import dimod
import numpy as np
import pytest

import qpsbgd
import reference
from qpsbgd import LowRank, SparseBatch, sample_batch
from qpsbgd.samplers.schedule import geometric

GIBBS = {"proposal_acceptance_criteria": "Gibbs"}


def problems(rng, count, n, *, shared, density=1.0):
    """Return J and h of small integers, which float32 holds exactly."""
    J = np.triu(rng.integers(-9, 10, (n, n) if shared else (count, n, n)), 1).astype(float)
    J *= np.triu(rng.random((n, n)) < density)
    return J + J.swapaxes(-1, -2), rng.integers(-9, 10, (count, n)).astype(float)


def anneal_twin(h, J, starts, betas, **options):
    """Return the states (B, R, n) of the slow twin."""
    found = []
    for b in range(len(h)):
        matrix = J if J.ndim == 2 else J[b]
        pairs = np.array(np.nonzero(np.triu(matrix)))
        found.append(
            reference.anneal(
                h[b], pairs, matrix[tuple(pairs)], starts[b], np.array(betas), gibbs=True,
                random_order=False, problem=b, **options,
            )
        )  # fmt: skip
    return np.array(found)


@pytest.mark.parametrize("keep", ["best", "final"])
@pytest.mark.parametrize(
    ("form", "shared"),
    [
        ("dense", True),
        ("dense", False),
        ("interleaved", False),
        ("sparse", True),
        ("sparse", False),
    ],
)
@pytest.mark.parametrize(("n", "reads"), [(1, 2), (17, 1), (40, 3)])
def test_gibbs_sweeps_equal_the_twin_on_every_isa(rng, on_every_isa, form, shared, n, reads, keep):
    J, h = problems(rng, 5, n, shared=shared, density=0.2 if form == "sparse" else 1.0)
    starts = rng.choice([-1, 1], size=(5, reads, n))
    expected = anneal_twin(
        h, J, starts, geometric(0.01, 1.0, 10), keep_best=keep == "best", seed=5
    )  # fmt: skip
    for found in on_every_isa(
        lambda: sample_batch(
            h, J, num_reads=reads, num_sweeps=10, beta_range=(0.01, 1.0), keep=keep, form=form,
            initial_states=starts, seed=5, num_threads=2, **GIBBS,
        )
    ):  # fmt: skip
        assert found.info["form"] == form
        np.testing.assert_array_equal(found.states, expected)


@pytest.mark.parametrize("n", [1, 15, 16, 33, 100])
@pytest.mark.parametrize("count", [1, 16, 19])
def test_interleaved_problems_give_the_samples_of_dense_ones(rng, isa, n, count):
    J = np.triu(rng.normal(size=(count, n, n)), 1)
    scale = 10.0 ** rng.uniform(-3, 3, count)  # every lane has units of its own
    J, h = scale[:, None, None] * (J + J.swapaxes(1, 2)), scale[:, None] * rng.normal(size=n)
    options = {"num_sweeps": 100, "num_reads": 2, "seed": 3, **GIBBS}
    lanes = sample_batch(h, J, form="interleaved", **options)
    dense = sample_batch(h, J, form="dense", **options)
    np.testing.assert_array_equal(lanes.states, dense.states)
    np.testing.assert_array_equal(lanes.energies, dense.energies)


@pytest.mark.parametrize(("n", "rank", "reads"), [(1, 1, 1), (150, 30, 2), (70, 90, 5)])
def test_low_rank_problems_give_the_samples_of_dense_ones(rng, isa, n, rank, reads):
    # Small integers: floats are exact in both forms.
    A = rng.integers(-2, 3, size=(rank, n)).astype(float)
    A[0, 0] = 2.0
    J = A.T @ A
    np.fill_diagonal(J, 0)
    h = rng.integers(-9, 10, size=(6, n)).astype(float)
    options = {"num_sweeps": 100, "num_reads": reads, "beta_range": (0.02, 2.0), "seed": 1, **GIBBS}
    low = sample_batch(h, LowRank(A), form="low_rank", num_threads=2, **options)
    dense = sample_batch(h, J, form="dense", **options)
    np.testing.assert_array_equal(low.states, dense.states)


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("form", ["dense", "sparse"])
def test_precisions_give_the_same_samples_of_integers(rng, isa, form, precision):
    J, h = problems(rng, 3, 70, shared=False, density=0.2)
    options = {"num_sweeps": 50, "num_reads": 2, "beta_range": (0.01, 1.0), "seed": 2, **GIBBS}
    found = sample_batch(h, J, form=form, precision=precision, **options)
    assert found.info["precision"] == precision
    expected = sample_batch(h, J, form="dense", **options)
    np.testing.assert_array_equal(found.states, expected.states)


def ring(n, coupling):
    """Return the couplings of a ring without linear biases, (n, n)."""
    J = np.zeros((n, n))
    at = np.arange(n)
    J[at, (at + 1) % n] = J[(at + 1) % n, at] = coupling
    return J


def exact_energies(h, J, beta):
    """Return each energy of a problem with its probability at inverse temperature beta."""
    bits = np.arange(2 ** len(h))[:, None] >> np.arange(len(h)) & 1
    states = 2 * bits - 1
    energies = states @ h + ((states @ J) * states).sum(axis=1) / 2
    values, place = np.unique(energies.round(9), return_inverse=True)
    counts = np.bincount(place)
    weights = counts * np.exp(-beta * (values - values.min()))
    return values, weights / weights.sum()


def largest_deviation(energies, h, J, beta):
    """Return the largest deviation of the energies' frequencies, in standard errors."""
    values, probabilities = exact_energies(h, J, beta)
    found = np.array([(energies.round(9) == value).mean() for value in values])
    error = np.sqrt(probabilities * (1 - probabilities) / energies.size)
    return (np.abs(found - probabilities) / error).max()


FORMS = {
    "dense": lambda J: J,
    "interleaved": lambda J: np.stack([J, J]),
    "sparse": lambda J: SparseBatch(J[J != 0], np.nonzero(J)[1], 2 * np.arange(len(J) + 1)),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("n", [3, 8])
def test_rings_without_biases_have_the_exact_distribution(form, n):
    """Gibbs sweeps sample it; Metropolis sweeps do not, so that this test can fail."""
    J, h = ring(n, -1.0), np.zeros((2, n))
    options = {"num_reads": 4000, "num_sweeps": 100, "beta_range": (0.7, 0.7), "seed": 1}
    found, metropolis = (
        sample_batch(h, FORMS[form](J), form=form, proposal_acceptance_criteria=rule, **options)
        for rule in ("Gibbs", "Metropolis")
    )
    assert found.info["keep"] == "final"
    assert largest_deviation(found.energies, h[0], J, 0.7) < 4
    assert largest_deviation(metropolis.energies, h[0], J, 0.7) > 10


def test_models_of_many_sizes(rng):
    models = [dimod.BQM.from_ising({}, {(i, (i + 1) % n): -1.0 for i in range(n)}) for n in (3, 5)]
    found = qpsbgd.SimulatedAnnealingSampler().sample_many(
        models, num_reads=4000, num_sweeps=100, beta_range=(0.7, 0.7), seed=1, **GIBBS
    )
    for n, samples in zip((3, 5), found, strict=True):
        deviation = largest_deviation(samples.record.energy, np.zeros(n), ring(n, -1.0), 0.7)
        assert deviation < 4


def test_metropolis_is_the_default(rng):
    J, h = problems(rng, 4, 20, shared=True)
    options = {"num_sweeps": 20, "seed": 1, "beta_range": (0.02, 0.02)}
    default, named, gibbs = (
        sample_batch(h, J, **options, **rule).states
        for rule in ({}, {"proposal_acceptance_criteria": "Metropolis"}, GIBBS)
    )
    np.testing.assert_array_equal(default, named)
    assert (default != gibbs).any()


@pytest.mark.parametrize("rule", ["gibbs", "Heat", None, 1])
def test_a_rule_that_does_not_exist_is_refused(rule):
    with pytest.raises(ValueError, match="but must be 'Metropolis' or 'Gibbs'"):
        sample_batch([[1.0]], [[0.0]], proposal_acceptance_criteria=rule)


@pytest.mark.parametrize("method", ["tabu", "descent"])
def test_searches_take_no_gibbs_rule(method):
    with pytest.raises(ValueError, match="is 'Gibbs', but goes with method='sa' alone"):
        sample_batch([[1.0]], [[0.0]], method=method, **GIBBS)
    sample_batch([[1.0]], [[0.0]], method=method, proposal_acceptance_criteria="Metropolis")
