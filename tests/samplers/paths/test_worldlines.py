"""The physics of path-integral annealing: equality with the twin, and quantum equilibrium."""

import dimod
import numpy as np
import pytest
from scipy import stats

from qpsbgd import PathIntegralAnnealingSampler, SimulatedAnnealingSampler, _core
from reference.paths import NUM_SLICES, Chains, Worldline, anneal_paths


def model(rng, n, density, chain_length=1, kind="normal"):
    """Fields (n,) and symmetric couplings (n, n), none of them within a chain."""
    values = rng.normal(size=(n, n)) if kind == "normal" else rng.integers(-3, 4, (n, n)) * 1.0
    J = np.triu(values * (rng.random((n, n)) < density), 1)
    for first in range(0, n, chain_length):
        chain = slice(first, first + chain_length)
        J[chain, chain] = 0
    return rng.normal(size=n) if kind == "normal" else rng.integers(-2, 3, n) * 1.0, J + J.T


def bqm_of(h, J):
    pairs = np.nonzero(np.triu(J, 1))
    return dimod.BQM.from_numpy_vectors(h, (*pairs, J[pairs]), 0.0, "SPIN")


def sample(h, J, problem_fields, transverse_fields, **options):
    """Worldlines of reads: spins, numbers and places of breaks."""
    result = PathIntegralAnnealingSampler().sample(
        bqm_of(h, J), beta_schedule_type="custom", Hp_field=problem_fields,
        Hd_field=transverse_fields, **{"project_states": (True, False)} | options,
    )  # fmt: skip
    assert list(result.variables) == list(range(len(h)))
    assert result.info["complete_break_specification"]
    return result.record.sample, result.info["num_breaks"], result.info["break_positions"]


def flat(reads):
    """Spins, numbers and places of breaks of the twin's worldlines."""
    return (
        np.array([[line.spin for line in lines] for lines in reads]),
        np.array([[len(line.breaks) for line in lines] for lines in reads]),
        np.array([place for lines in reads for line in lines for place in line.breaks], int),
    )


def assert_equal_worldlines(found, expected):
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)


# ---- the twin ----------------------------------------------------------------------------------

#: Numbers of qubits, reads, length of chains that are updated together, and chain coupling.
CASES = [
    (1, 1, 1, 0.0),
    (2, 17, 1, 0.0),
    (9, 3, 1, 0.0),
    (16, 2, 1, 0.0),
    (65, 1, 1, 0.0),
    (4, 17, 2, -1.5),
    (9, 2, 3, 0.7),
    (8, 2, 8, -0.4),
]


@pytest.mark.parametrize("kind", ["normal", "integers"])
@pytest.mark.parametrize(("n", "reads", "length", "coupling"), CASES)
def test_every_isa_and_form_equals_the_twin(rng, on_every_isa, n, reads, length, coupling, kind):
    h, J = model(rng, n, 0.5, length, kind)
    starts = rng.choice(np.array([-1, 1], np.int8), (reads, n))
    problem_fields = np.array([0.0, 0.4, 3.0, 1.0])
    transverse_fields = np.array([2.0, 12.0, 0.0, 0.7])  # 12 needs more room than there is at first
    chains = Chains(length, coupling) if length > 1 else None
    expected = flat(
        anneal_paths(
            h, J, [[Worldline(int(s), []) for s in start] for start in starts], problem_fields,
            transverse_fields, seed=5, chains=chains, sweeps_per_step=2,
        )
    )  # fmt: skip
    assert expected[1].any()
    for form in ("dense", "sparse"):
        for found in on_every_isa(
            lambda form=form: sample(
                h, J, problem_fields, transverse_fields, initial_states=(starts, range(n)),
                num_sweeps_per_beta=2, qubits_per_chain=length, qubits_per_update=length,
                chain_coupler_strength=coupling if length > 1 else 1.0, form=form, seed=5,
            )
        ):  # fmt: skip
            assert_equal_worldlines(found, expected)


@pytest.mark.parametrize("length", [1, 3])
def test_quantum_starts_equal_the_twin(rng, on_every_isa, length):
    """Breaks at both ends of the worldline, and more of them than a tile has room for at first."""
    h, J = model(rng, 6, 0.7, length)
    lines = [
        [Worldline(int(rng.choice([-1, 1])), places) for places in read]
        for read in (
            [[], [0, 65535], [65534, 65535], [0, 1], list(range(0, 65536, 4096)), [7, 9]],
            [[5, 6], [], [], [1, 2, 3, 4], [0, 30000], [30000, 65535]],
        )
    ]
    spins, numbers, places = flat(lines)
    chains = Chains(length, -1.0) if length > 1 else None
    expected = flat(anneal_paths(h, J, lines, [0.3], [2.0], seed=8, chains=chains))
    for found in on_every_isa(
        lambda: sample(
            h, J, [0.3], [2.0], initial_states=(spins.astype(np.int8), range(6)),
            project_states=(False, False), num_breaks=numbers, breaks_in=places,
            qubits_per_chain=length, qubits_per_update=length, seed=8,
            chain_coupler_strength=-1.0 if length > 1 else 1.0,
        )
    ):  # fmt: skip
        assert_equal_worldlines(found, expected)


def test_cuts_in_one_slice_are_one(rng):
    """So many cuts that many coincide: breaks stay different and even in number."""
    h, J = model(rng, 1, 1.0)
    fields = [0.1, 0.1], np.full(2, _core.largest_transverse_field)
    start = np.ones((1, 1), np.int8)
    spins, numbers, places = sample(h, J, *fields, initial_states=(start, [0]), seed=1)
    expected = flat(anneal_paths(h, J, [[Worldline(1, [])]], *fields, seed=1))
    assert_equal_worldlines((spins, numbers, places), expected)
    assert (numbers % 2 == 0).all()
    for line in np.split(places, numbers.ravel().cumsum()[:-1]):
        assert (np.diff(line) > 0).all()
        assert len(line) > 1000


# ---- equilibrium -------------------------------------------------------------------------------


def quantum_equilibrium(h, J, problem_field, transverse_field):
    """Probabilities and energies of all states, and <sigma^x> of each qubit, by diagonalisation."""
    n = len(h)
    codes = np.arange(2**n)
    states = 1 - 2 * ((codes[:, None] >> np.arange(n)) & 1)  # (2^n, n)
    energies = states @ h + ((states @ J) * states).sum(axis=1) / 2
    hamiltonian = np.diag(problem_field * energies)
    for i in range(n):
        hamiltonian[codes, codes ^ (1 << i)] -= transverse_field
    levels, vectors = np.linalg.eigh(hamiltonian.astype(np.float32))  # twice as fast as float64
    weights = np.exp(levels[0] - levels.astype(float))
    probabilities = vectors.astype(float) ** 2 @ weights
    total = probabilities.sum()
    transverse = [(vectors * vectors[codes ^ (1 << i)] @ weights).sum() for i in range(n)]
    return probabilities / total, energies, np.array(transverse) / total, states


#: Number of qubits, length of chains, qubits of an update, transverse field, and a number of sweeps
#: after which reads have forgotten their starts.
EQUILIBRIA = [
    (10, 1, 1, 0.5, 400),
    (10, 1, 1, 1.5, 80),
    (10, 1, 1, 4.0, 40),
    (6, 2, 1, 1.5, 100),
    (6, 3, 3, 0.7, 150),
    (6, 3, 3, 3.0, 40),
    (6, 2, 2, 1.5, 60),
]


@pytest.mark.parametrize(("n", "length", "per_update", "transverse", "num_sweeps"), EQUILIBRIA)
def test_equilibrium_is_that_of_exact_diagonalisation(
    n, length, per_update, transverse, num_sweeps
):
    """All states by chi-square; energies, magnetisations and breaks by 4 sigma."""
    rng = np.random.default_rng(10 * length + per_update)
    reads, problem_field, strength = 4800, 0.8, (-0.9 if length == 3 else 0.6)
    h, J = model(rng, n, 1.0, length)
    h, J = 0.4 * h, 0.6 * J
    chained = J.copy()
    for i in range(n - 1):
        if i % length < length - 1:
            chained[i, i + 1] = chained[i + 1, i] = strength
    probabilities, energies, sigma_x, states = quantum_equilibrium(
        h, chained, problem_field, transverse
    )
    spins, numbers, _ = sample(
        h, J, np.full(num_sweeps, problem_field), np.full(num_sweeps, transverse), num_reads=reads,
        qubits_per_chain=length, qubits_per_update=per_update, seed=3,
        chain_coupler_strength=strength if length > 1 else 1.0,
    )  # fmt: skip
    codes = ((1 - spins.astype(int)) // 2) @ (1 << np.arange(n))

    counts = np.bincount(codes, minlength=2**n)
    is_common = reads * probabilities >= 5
    observed = np.append(counts[is_common], counts[~is_common].sum())
    expected = reads * np.append(probabilities[is_common], probabilities[~is_common].sum())
    observed, expected = observed[expected > 0], expected[expected > 0]
    assert stats.chisquare(observed, expected * reads / expected.sum()).pvalue > 1e-4

    mean = probabilities @ energies
    error = np.sqrt(probabilities @ (energies - mean) ** 2 / reads)
    assert abs(energies[codes].mean() - mean) < 4 * error
    magnetisation = probabilities @ states
    errors = np.sqrt((1 - magnetisation**2) / reads)
    assert (abs(spins.mean(axis=0) - magnetisation) < 4 * errors).all()
    # The mean number of breaks is the transverse energy in units of the temperature.
    errors = numbers.std(axis=0) / np.sqrt(reads)
    assert (abs(numbers.mean(axis=0) - transverse * sigma_x) < 4 * errors).all()


def test_without_a_transverse_field_it_is_gibbs_sampling(rng):
    """The distribution is Boltzmann's, and reads have no breaks."""
    h, J = model(rng, 5, 1.0)
    probabilities, *_ = quantum_equilibrium(h, J, 0.5, 0.0)
    spins, numbers, places = sample(h, J, np.full(60, 0.5), None, num_reads=6400, seed=1)
    codes = ((1 - spins.astype(int)) // 2) @ (1 << np.arange(5))
    counts = np.bincount(codes, minlength=32)
    assert stats.chisquare(counts, 6400 * probabilities).pvalue > 1e-4
    assert not numbers.any()
    assert not len(places)


def test_a_free_qubit_has_poisson_distributed_breaks():
    """Without a problem the number of breaks of a qubit follows Poisson's law of even numbers."""
    field, reads = 2.0, 3200
    _, numbers, places = sample(
        np.zeros(4), np.zeros((4, 4)), np.zeros(30), np.full(30, field), num_reads=reads, seed=2
    )
    even = np.arange(0, 14, 2)
    weights = stats.poisson.pmf(even, field)  # an odd number closes no circle
    weights /= np.cosh(field) * np.exp(-field)
    counts = [(numbers == k).sum() for k in even[:-1]]
    counts.append(4 * reads - sum(counts))
    expected = 4 * reads * np.append(weights[:-1], 1 - weights[:-1].sum())
    assert stats.chisquare(counts, expected).pvalue > 1e-4
    assert stats.kstest(places / NUM_SLICES, "uniform").pvalue > 1e-4


def test_a_quantum_anneal_finds_ground_states(rng):
    h, J = model(rng, 24, 1.0)
    time = np.linspace(0, 1, 200)
    spins, numbers, _ = sample(h, J, 4 * time, 3 * (1 - time), num_reads=32, seed=1)
    energies = bqm_of(h, J).energies(spins)
    best = SimulatedAnnealingSampler().sample(bqm_of(h, J), num_reads=200, seed=1).first.energy
    assert energies.min() == pytest.approx(best)
    assert not numbers.any()  # the transverse field ends at 0
