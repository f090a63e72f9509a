"""Reads in the lanes: a tile of at most eight has vectors of its own."""

import numpy as np
import pytest

from qpsbgd import SimulatedAnnealingSampler

READS = 16


def dense_problem(rng, n, kind):
    """Return h and J whose fields are int16, leave int16 on their way, or are float32."""
    if kind == "real":
        return rng.normal(size=n), np.triu(rng.normal(size=(n, n)), 1)
    J = np.triu(rng.choice([-127.0, -1.0, 0.0, 1.0, 126.0, 127.0], size=(n, n)), 1)
    h = np.ones(n)
    if kind == "wide":
        h[0] = 16300.0
    return h, J


@pytest.mark.parametrize("kind", ["narrow", "wide", "real"])
@pytest.mark.parametrize("n", [20, 33, 64, 65, 200])
def test_a_read_does_not_depend_on_the_rows_beside_it(rng, isa, kind, n):
    h, J = dense_problem(rng, n, kind)
    sampler = SimulatedAnnealingSampler()
    beta_range = (0.05, 3.0) if kind == "real" else (1e-4, 0.02)

    def states(num_reads, acceptance):
        found = sampler.sample_arrays(
            h, J, num_reads=num_reads, num_sweeps=20, beta_range=beta_range, seed=5,
            num_threads=1, proposal_acceptance_criteria=acceptance, form="dense",
        )  # fmt: skip
        return found.states

    for acceptance in ("Metropolis", "Gibbs"):
        full = states(READS, acceptance)
        assert len(np.unique(full, axis=0)) > 1
        for num_reads in (1, 4, 7, 8, 9):
            np.testing.assert_array_equal(states(num_reads, acceptance), full[:num_reads])
