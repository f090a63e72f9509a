"""Result of a read of annealing: its last state at one temperature, else its best."""

import dimod
import numpy as np
import pytest

from problems import random_bqm
from qpsbgd import SimulatedAnnealingSampler, sample_batch

PAIR = dimod.BQM({}, {"ab": 1.0}, 0.0, "SPIN")
READS = 20_000
#: <s1 s2> = -tanh(J beta), and three standard deviations of the mean of so many reads.
EXACT = -np.tanh(1.0)
TOLERANCE = 3 * np.sqrt((1 - EXACT**2) / READS)


def kept(bqm=PAIR, **options):
    return SimulatedAnnealingSampler().sample(bqm, seed=1, **options).info["keep"]


def correlation(states):
    return states.prod(axis=-1).mean()


@pytest.mark.parametrize("acceptance", ["Metropolis", "Gibbs"])
def test_two_spins_at_one_temperature_are_sampled(acceptance):
    # An odd number, as two sweeps are a symmetry of Metropolis' flat moves.
    found = SimulatedAnnealingSampler().sample(
        PAIR, beta_range=(1.0, 1.0), num_reads=READS, seed=3,
        proposal_acceptance_criteria=acceptance,
    )  # fmt: skip
    assert found.info["keep"] == "final"
    assert abs(correlation(found.record.sample) - EXACT) < TOLERANCE
    coldest = SimulatedAnnealingSampler().sample(
        PAIR, beta_range=(1.0, 1.0), num_reads=100, seed=3, keep="best"
    )
    assert correlation(coldest.record.sample) == -1.0


@pytest.mark.parametrize("shared", [True, False])
def test_two_spins_of_a_batch_at_one_temperature_are_sampled(shared):
    J = np.array([[0.0, 1.0], [1.0, 0.0]])
    J = J if shared else np.stack([J] * 2)
    found = sample_batch(np.zeros((2, 2)), J, beta_range=(1.0, 1.0), num_reads=READS, seed=3)
    assert found.info["keep"] == "final"
    for states in found.states:
        assert abs(correlation(states) - EXACT) < TOLERANCE


def test_two_spins_of_models_at_one_temperature_are_sampled():
    (found,) = SimulatedAnnealingSampler().sample_many(
        [PAIR], beta_range=(1.0, 1.0), num_reads=READS, seed=3
    )
    assert found.info["keep"] == "final"
    assert abs(correlation(found.record.sample) - EXACT) < TOLERANCE


def test_the_schedule_decides():
    assert kept() == "best"
    assert kept(beta_range="dwave") == "best"
    assert kept(beta_range=(0.1, 2.0)) == "best"
    assert kept(beta_range=(2.0, 0.1)) == "best"
    assert kept(beta_range=(0.5, 0.5), beta_schedule_type="linear") == "final"
    assert kept(beta_range=(0.1, 2.0), num_sweeps=1) == "final"
    custom = {"beta_schedule_type": "custom"}
    assert kept(beta_schedule=[1.0, 1.0, 1.0], **custom) == "final"
    assert kept(beta_schedule=[1.0, 2.0, 1.0], **custom) == "best"


def test_a_rule_that_finds_one_temperature_still_searches():
    # Both ends of the range are equal for this ferromagnet; nobody has asked to sample.
    bqm = dimod.BQM({}, {(i, j): -1.0 for i in range(40) for j in range(i)}, 0.0, "SPIN")
    assert kept(bqm) == "best"
    assert kept(bqm, num_sweeps=1) == "best"
    J = -1.0 + np.eye(40)
    assert sample_batch(np.zeros((1, 40)), J, seed=1).info["keep"] == "best"


@pytest.mark.parametrize("keep", ["best", "final"])
def test_a_word_overrides_the_schedule(rng, keep):
    bqm = random_bqm(rng, 30, 0.5)
    for ends in ((0.01, 0.01), (0.01, 1.0)):
        options = {"beta_range": ends, "num_reads": 5}
        assert kept(bqm, keep=keep, **options) == keep
        J = np.array([[0.0, 1.0], [1.0, 0.0]])
        found = sample_batch(np.ones((2, 2)), J, beta_range=ends, keep=keep)
        assert found.info["keep"] == keep


def test_other_methods_keep_their_best():
    J, h = np.array([[0.0, 1.0], [1.0, 0.0]]), np.ones((2, 2))
    assert "keep" not in sample_batch(h, J, method="tabu").info
    with pytest.raises(ValueError, match="keep is 'final', but goes with method='sa' alone"):
        sample_batch(h, J, method="descent", keep="final")
