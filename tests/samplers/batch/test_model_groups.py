"""Batches of dimod models: sparse ones stay sparse, and what other models change is documented."""

import itertools
import subprocess
import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import dimod
import numpy as np
import pytest

import qpsbgd
from problems import random_bqm, random_graph
from qpsbgd.samplers.batch import model_groups, sample_many
from qpsbgd.samplers.batch.dimod_models import initial_spins_of_models

SAMPLERS = (
    qpsbgd.SimulatedAnnealingSampler,
    qpsbgd.TabuSampler,
    qpsbgd.SteepestDescentSampler,
)
METHODS = ("sa", "tabu", "descent")
#: Fewer than in use, so that a test is short.
SWEEPS = {"sa": {"num_sweeps": 30}, "tabu": {"num_sweeps": 2}, "descent": {}}


def chain(rng, n, labels=None):
    labels = list(range(n)) if labels is None else list(labels)
    pairs = itertools.pairwise(labels)
    bqm = dimod.BQM(dict.fromkeys(range(n), 0.0), {}, 0.25, "SPIN")
    bqm.add_quadratic_from((u, v, float(rng.normal())) for u, v in pairs)
    return bqm


def chains(rng, kind, count=20, n=1500):
    """Chains over the same variables, along one path or along a path each."""
    return [chain(rng, n, rng.permutation(n) if kind == "own" else None) for _ in range(count)]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", ["shared", "own"])
@pytest.mark.slow
def test_twenty_chains_take_memory_in_proportion_to_their_biases(rng, method, kind):
    bqms = chains(rng, kind)
    tracemalloc.start()
    try:
        found = sample_many(bqms, method, seed=1, **SWEEPS[method])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 10e6  # one matrix of float64 has 18e6
    assert {samples.info["form"] for samples in found} == {"sparse"}
    for k in (0, -1):
        dimod.testing.assert_sampleset_energies(found[k], bqms[k])


# The core's memory is not NumPy's: the process may not have more than that of a few matrices.
LIMITED = """
import resource, sys
sys.path.insert(0, sys.argv[1])
import numpy as np
import dimod
import qpsbgd
rng = np.random.default_rng(0)
n, sampler = 8000, qpsbgd.SimulatedAnnealingSampler()
paths = [np.arange(n) if share else rng.permutation(n) for share in (1, 1, 0, 0)]
bqms = [
    dimod.BQM.from_numpy_vectors(np.zeros(n), (p[:-1], p[1:], rng.normal(size=n - 1)), 0.0, "SPIN")
    for p in paths
]
sampler.sample_many(bqms[:1], num_sweeps=2, num_threads=1)
page, in_use = resource.getpagesize(), int(open("/proc/self/statm").read().split()[0])
limit = page * in_use + 128 * 2**20
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
found = sampler.sample_many(bqms, num_sweeps=2, num_threads=1)
print([samples.info["form"] for samples in found])
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux's limits")
def test_four_chains_of_8000_fit_a_quarter_of_a_matrix():
    package = str(next(iter(qpsbgd.__path__))).rsplit("/", 1)[0]
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, package], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(["sparse"] * 4)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_models_of_every_kind(rng, sampler):
    bqms = [
        random_graph(rng, 120), random_bqm(rng, 9), chain(rng, 80), random_bqm(rng, 70),
        chain(rng, 80), random_graph(rng, 120), random_bqm(rng, 9, vartype="BINARY"),
        chain(rng, 80).change_vartype("BINARY", inplace=False), dimod.BQM({}, {}, 2.5, "BINARY"),
    ]  # fmt: skip
    found = sampler().sample_many(bqms, num_reads=3, seed=2)
    forms = [samples.info["form"] for samples in found]
    is_sparse = [True, False, True, False, True, True, False, True, False]
    assert [form == "sparse" for form in forms] == is_sparse
    for bqm, samples in zip(bqms, found, strict=True):
        assert samples.vartype is bqm.vartype
        assert set(samples.variables) == set(bqm.variables)
        assert len(samples) == 3
        assert samples.record.energy.dtype == np.float64
        dimod.testing.assert_sampleset_energies(samples, bqm)
    again = sampler().sample_many(bqms, num_reads=3, seed=2, num_threads=1)
    with ThreadPoolExecutor(3) as executor:
        apart = sampler().sample_many(bqms, num_reads=3, seed=2, executor=executor)
    for expected, *others in zip(found, again, apart, strict=True):
        for other in others:
            np.testing.assert_array_equal(other.record.sample, expected.record.sample)


def test_groups():
    rng = np.random.default_rng(0)
    same, other = chain(rng, 80), chain(rng, 80, rng.permutation(80))
    bqms = [same, random_bqm(rng, 5), other, chain(rng, 80), random_bqm(rng, 5), chain(rng, 81)]
    groups = {tuple(group.places): group for group in model_groups.group_models(bqms)}
    assert groups.keys() == {(0, 3), (1, 4), (2,), (5,)}
    assert groups[0, 3].h.shape == (2, 80)
    assert groups[0, 3].J.values.shape == (2, 79)
    assert groups[1, 4].J.shape == (2, 5, 5)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", ["shared", "own"])
def test_sparse_models_have_the_samples_of_the_batch(rng, method, kind):
    bqms = chains(rng, kind, count=3, n=70)
    options = {"num_reads": 2, "seed": 3, **SWEEPS[method]}
    if method == "sa":
        options["beta_range"] = (0.1, 5.0)
    found = sample_many(bqms, method, **options)
    J = np.zeros((3, 70, 70))
    for matrix, bqm in zip(J, bqms, strict=True):
        for (u, v), bias in bqm.quadratic.items():
            matrix[u, v] = matrix[v, u] = bias
    h = np.zeros((3, 70))
    if kind == "shared":
        starts = initial_spins_of_models(3, (3, options["num_reads"], 70))
        expected = qpsbgd.sample_batch(
            h, J, method=method, form="sparse", initial_states=starts, **options
        ).states
    else:  # each with the random numbers of a group of its own
        seeds = [3, *(int(np.random.SeedSequence([3, k]).generate_state(1)[0] % 2**31)
                      for k in (1, 2))]  # fmt: skip
        expected = [
            qpsbgd.sample_batch(
                h[k : k + 1],
                J[k : k + 1],
                method=method,
                form="sparse",
                initial_states=initial_spins_of_models(s, (1, options["num_reads"], 70)),
                **{**options, "seed": s},
            ).states[0]
            for k, s in enumerate(seeds)
        ]
    for samples, states in zip(found, expected, strict=True):
        columns = [samples.variables.index(v) for v in range(70)]
        np.testing.assert_array_equal(samples.record.sample[:, columns], states)


def test_other_groups_change_nothing(rng):
    sparse, dense = chains(rng, "shared", count=3, n=70), [random_bqm(rng, 9) for _ in range(4)]
    options = {"num_reads": 2, "num_sweeps": 30, "seed": 5}
    alone = [*sample_many(sparse, "sa", **options), *sample_many(dense, "sa", **options)]
    mixed = sample_many([*sparse, *dense], "sa", **options)
    for one, other in zip(alone, mixed, strict=True):
        np.testing.assert_array_equal(one.record.sample, other.record.sample)
        np.testing.assert_array_equal(one.info["beta_range"], other.info["beta_range"])


def test_models_alike_have_random_numbers_of_their_own(rng):
    # Patterns of their own, so that each is a group, but the same problem but for its labels.
    bqm = chain(rng, 200)
    bqms = [bqm, *(bqm.relabel_variables(dict(enumerate(rng.permutation(200).tolist())),
                                         inplace=False) for _ in range(3))]  # fmt: skip
    found = sample_many(bqms, "sa", seed=1, num_sweeps=1, beta_range=(1e-9, 1e-9))
    samples = np.array([samples.record.sample[0] for samples in found])
    assert len(np.unique(samples, axis=0)) == 4


def test_matrices_of_many_models_go_in_parts(rng, monkeypatch):
    bqms = [random_bqm(rng, 12) for _ in range(7)]
    whole = sample_many(bqms, "sa", seed=1)
    monkeypatch.setattr(model_groups, "MATRIX_BYTES", 3 * 8 * 12 * 12)
    assert [len(group.places) for group in model_groups.group_models(bqms)] == [3, 3, 1]
    parts = sample_many(bqms, "sa", seed=1)
    for bqm, one, other in zip(bqms, whole, parts, strict=True):
        best = dimod.ExactSolver().sample(bqm).first.energy
        assert one.first.energy == other.first.energy == best
    monkeypatch.setattr(model_groups, "MATRIX_BYTES", 1)
    assert [len(group.places) for group in model_groups.group_models(bqms)] == [1] * 7


class Clock:
    """A clock that goes on by the seconds that a solver was allowed."""

    def __init__(self):
        self.now, self.limits = 0.0, []

    def monotonic(self):
        return self.now

    def sample_batch(self, h, J, *, time_limit, **options):
        self.limits.append(time_limit)
        self.now += time_limit * self.share
        return qpsbgd.sample_batch(h, J, **options)


@pytest.mark.parametrize(("share", "expected"), [(1.0, [1.0] * 4), (0.5, [1.0, 3.5 / 3, 35 / 24])])
def test_the_time_limit_is_that_of_the_call(rng, monkeypatch, share, expected):
    clock = Clock()
    clock.share = share
    monkeypatch.setattr("qpsbgd.samplers.batch.dimod_models.time", clock)
    monkeypatch.setattr("qpsbgd.samplers.batch.dimod_models.sample_batch", clock.sample_batch)
    sample_many(chains(rng, "own", count=4, n=70), "sa", num_sweeps=1, time_limit=4.0)
    np.testing.assert_allclose(clock.limits[: len(expected)], expected)
    assert clock.now <= 4.0 + 1e-6


def test_a_model_that_is_not_finite_is_named(rng):
    bqm = chain(rng, 80)
    bqm.add_linear(7, np.inf)
    with pytest.raises(ValueError, match="linear bias of 7 is inf"):
        sample_many([chain(rng, 80), bqm], "sa")
