"""Any dimod sampler in the place of the native solver."""

import itertools
from concurrent.futures import Future

import dimod
import numpy as np
import pytest

import qpsbgd
from qpsbgd.errors import InvalidSampleSetError
from qpsbgd.projection.projectors import as_projector
from qpsbgd.projection.sample_sets import checked_spins

OBJECTIVES = ["quadratic", "sign"]


class Scripted(dimod.Sampler):
    """Answers what a function of the BQM says."""

    parameters = {"num_reads": []}  # noqa: RUF012
    properties = {}  # noqa: RUF012

    def __init__(self, answer):
        self.answer, self.calls = answer, []

    def sample(self, bqm, **kwargs):
        self.calls.append((bqm, kwargs))
        return self.answer(bqm)


def layer(rng, objective, num_samples=6, n=5, m=3):
    """With few enough auxiliary variables for dimod's ExactSolver."""
    X = rng.choice([-1.0, 1.0], (num_samples, n)).astype(np.float32)
    if objective == "quadratic":
        X = rng.normal(size=(num_samples, n)).astype(np.float32)
    return X, rng.normal(size=(num_samples, m)).astype(np.float32)


def optimum(X, T, **objective):
    """Least objective of each row, by trying all."""
    n, m = X.shape[1], T.shape[1]
    rows = np.array(list(itertools.product([-1, 1], repeat=n)))
    energies = [qpsbgd.projection_energy(X, T, np.tile(row, (m, 1)), **objective) for row in rows]
    return np.min(energies, axis=0)


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("make", [dimod.ExactSolver, qpsbgd.ExhaustiveSampler])
def test_an_exact_sampler_finds_the_optimum(rng, objective, make):
    X, T = layer(rng, objective, num_samples=3)
    found = qpsbgd.project(X, T, objective=objective, projector=make())
    energies = qpsbgd.projection_energy(X, T, found, objective=objective)
    np.testing.assert_allclose(energies, optimum(X, T, objective=objective), rtol=1e-6)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_never_worse_than_the_linear_minimiser(rng, objective):
    X, T = layer(rng, objective)

    def worst(bqm):
        samples = rng.choice([-1, 1], (3, len(bqm)))
        return dimod.SampleSet.from_samples_bqm((samples, list(bqm.variables)), bqm)

    found = qpsbgd.project(X, T, objective=objective, projector=Scripted(worst))
    start = qpsbgd.project(X, T, objective=objective, num_sweeps=0)
    energies, before = (
        qpsbgd.projection_energy(X, T, rows, objective=objective) for rows in (found, start)
    )
    assert (energies <= before).all()


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_objective_decides_between_reads_not_the_samplers_energies(rng, objective):
    X, T = layer(rng, objective)
    bqms = qpsbgd.gradient_bqms(X, T, objective=objective)
    best = qpsbgd.project(X, T, objective=objective, num_reads=100, num_sweeps=20, seed=1)
    rows = iter(best)

    def lying(bqm):
        states = np.vstack([-np.ones(len(bqm), np.int8), bqms.complete(next(rows)[None])[0]])
        return dimod.SampleSet.from_samples(
            (states, range(len(bqm))), vartype="SPIN", energy=[-1e9, 1e9]
        )

    found = qpsbgd.project(X, T, objective=objective, projector=Scripted(lying))
    np.testing.assert_array_equal(
        qpsbgd.projection_energy(X, T, found, objective=objective),
        qpsbgd.projection_energy(X, T, best, objective=objective),
    )


def test_binary_answers_and_columns_in_any_order(rng):
    X, T = layer(rng, "quadratic")
    expected = qpsbgd.project(X, T, projector=dimod.ExactSolver())

    def turned(bqm):
        exact = dimod.ExactSolver().sample(bqm).truncate(4).change_vartype("BINARY")
        order = list(bqm.variables)[::-1]
        samples = exact.record.sample[:, [list(exact.variables).index(v) for v in order]]
        return dimod.SampleSet.from_samples((samples, order), vartype="BINARY", energy=0.0)

    np.testing.assert_array_equal(qpsbgd.project(X, T, projector=Scripted(turned)), expected)


def test_all_problems_are_handed_over_before_the_first_answer_is_asked_for(rng):
    X, T = layer(rng, "quadratic")
    sampler = Scripted(None)
    asked_for = []

    def pending(bqm):
        def resolve(future):
            asked_for.append(len(sampler.calls))
            return dimod.ExactSolver().sample(bqm)

        return dimod.SampleSet.from_future(Future(), resolve)

    sampler.answer = pending
    qpsbgd.project(X, T, projector=sampler)
    assert asked_for == [3, 3, 3]


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_models_are_spin_and_have_what_the_sampler_was_asked_for(rng, objective):
    X, T = layer(rng, objective, num_samples=2)
    sampler = Scripted(dimod.ExactSolver().sample)
    solve = qpsbgd.SamplerProjector(sampler, sample_kwargs={"num_reads": 7})
    solve(X, T, qpsbgd.ProjectionOptions(objective=objective))
    bqms = qpsbgd.gradient_bqms(X, T, objective=objective)
    assert [bqm for bqm, _ in sampler.calls] == list(bqms)
    assert all(bqm.vartype is dimod.SPIN for bqm, _ in sampler.calls)
    assert all(kwargs == {"num_reads": 7} for _, kwargs in sampler.calls)


def test_a_sampler_with_seeds_is_reproducible(rng):
    X, T = layer(rng, "quadratic", n=30, m=10)
    kwargs = {"num_reads": 1, "num_sweeps": 2}
    solve = qpsbgd.SamplerProjector(qpsbgd.SimulatedAnnealingSampler(), sample_kwargs=kwargs)
    first, second, other = (solve(X, T, qpsbgd.ProjectionOptions(seed=seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, second)
    assert (first != other).any()


@pytest.mark.parametrize("size", [5, 7])
def test_a_structured_sampler_whose_graph_holds_the_problems(rng, size):
    X, T = layer(rng, "quadratic", n=5)
    pairs = list(itertools.combinations(range(size), 2))
    complete = dimod.StructureComposite(dimod.ExactSolver(), list(range(size)), pairs)
    found = qpsbgd.project(X, T, projector=complete)
    energies = qpsbgd.projection_energy(X, T, found)
    np.testing.assert_allclose(energies, optimum(X, T), rtol=1e-6)


@pytest.mark.parametrize(
    ("nodes", "pairs"),
    [
        (range(4), itertools.combinations(range(4), 2)),  # a variable is missing
        (range(5), [pair for pair in itertools.combinations(range(5), 2) if pair != (1, 3)]),
        ("abcde", itertools.combinations("abcde", 2)),
    ],
)
def test_a_structured_sampler_whose_graph_does_not_hold_the_problems(rng, nodes, pairs):
    X, T = layer(rng, "quadratic", n=5)
    sampler = Scripted(None)
    structured = dimod.StructureComposite(sampler, list(nodes), list(pairs))
    with pytest.raises(ValueError, match="StructureComposite, which takes problems of its own"):
        qpsbgd.project(X, T, projector=structured)
    assert not sampler.calls


def test_a_fixed_embedding_of_a_complete_graph(rng):
    system = pytest.importorskip("dwave.system", reason="dwave-system is not installed")
    testing = pytest.importorskip("dwave.system.testing")
    X, T = layer(rng, "quadratic", n=4)
    chip = testing.MockDWaveSampler(topology_type="pegasus", topology_shape=[2])
    complete = list(itertools.combinations(range(4), 2))
    embedding = {v: list(chain) for v, chain in find_embedding(complete, chip.edgelist).items()}
    fixed = system.FixedEmbeddingComposite(chip, embedding)
    found = qpsbgd.SamplerProjector(fixed, sample_kwargs={"num_reads": 3})(X, T)
    energies = qpsbgd.projection_energy(X, T, found)
    np.testing.assert_allclose(energies, optimum(X, T), rtol=1e-6)
    with pytest.raises(ValueError, match="FixedEmbeddingComposite, which takes"):
        qpsbgd.project(*layer(rng, "quadratic", n=5), projector=fixed)
    with pytest.raises(ValueError, match="MockDWaveSampler, which takes"):
        qpsbgd.project(X, T, projector=chip)


def find_embedding(pairs, couplers):
    return pytest.importorskip("minorminer").find_embedding(pairs, couplers, random_seed=0)


class Unlisted(Scripted):
    """Takes a number of reads and a seed, and lists neither."""

    parameters = {}  # noqa: RUF012

    def sample(self, bqm, num_reads=1, *, seed=None):
        return super().sample(bqm, num_reads=num_reads, seed=seed)


def test_parameters_that_a_sampler_does_not_list(rng):
    X, T = layer(rng, "quadratic")
    seeds = []
    for seed in (1, 1, 2):
        sampler = Unlisted(dimod.ExactSolver().sample)
        solve = qpsbgd.SamplerProjector(sampler, sample_kwargs={"num_reads": 7})
        solve(X, T, qpsbgd.ProjectionOptions(seed=seed))
        assert [kwargs["num_reads"] for _, kwargs in sampler.calls] == [7, 7, 7]
        seeds.append([kwargs["seed"] for _, kwargs in sampler.calls])
    assert seeds[0] == seeds[1] != seeds[2]
    assert len(set(seeds[0])) == 3
    own = qpsbgd.SamplerProjector(sampler, sample_kwargs={"seed": 5})
    own(X, T)
    assert {kwargs["seed"] for _, kwargs in sampler.calls[3:]} == {5}


def test_parameters_that_sample_is_known_to_refuse(rng):
    sampler = Unlisted(dimod.ExactSolver().sample)
    with pytest.raises(
        ValueError, match=r"do not suit Unlisted.sample: .* unexpected keyword argument 'sweeps'"
    ):
        qpsbgd.SamplerProjector(sampler, sample_kwargs={"sweeps": 7})
    own = qpsbgd.SimulatedAnnealingSampler()
    with pytest.raises(ValueError, match="has 'reads', but SimulatedAnnealingSampler takes"):
        qpsbgd.SamplerProjector(own, sample_kwargs={"reads": 7})

    # What is not known to be refused is passed on: this sampler raises a type of its own.
    class Picky(Scripted):
        def sample(self, bqm, **kwargs):
            raise KeyError(f"no {sorted(kwargs)}")

    solve = qpsbgd.SamplerProjector(Picky(None), sample_kwargs={"reads": 7})
    with pytest.raises(KeyError, match=r"no .'reads'"):
        solve(*layer(rng, "quadratic"))


def test_openjijs_annealer(rng):
    openjij = pytest.importorskip("openjij", reason="openjij is not installed")
    X, T = layer(rng, "quadratic", n=20, m=4)
    kwargs = {"num_reads": 1, "num_sweeps": 2}
    solve = qpsbgd.SamplerProjector(openjij.SASampler(), sample_kwargs=kwargs)
    first, second = (solve(X, T, qpsbgd.ProjectionOptions(seed=seed)) for seed in (1, 1))
    np.testing.assert_array_equal(first, second)
    solve = qpsbgd.SamplerProjector(openjij.SASampler(), sample_kwargs={"num_reads": 10})
    energies = qpsbgd.projection_energy(X, T, solve(X, T))
    start = qpsbgd.project(X, T, num_sweeps=0)
    assert (energies <= qpsbgd.projection_energy(X, T, start)).all()


def test_polish_ends_in_a_local_minimum(rng):
    X, T = layer(rng, "quadratic", n=12, m=6)

    def noise(bqm):
        samples = np.random.default_rng(0).choice([-1, 1], (1, len(bqm)))
        return dimod.SampleSet.from_samples_bqm((samples, list(bqm.variables)), bqm)

    rough, polished = (
        qpsbgd.SamplerProjector(Scripted(noise), polish=polish)(
            X, T, qpsbgd.ProjectionOptions(num_sweeps=50, seed=0)
        )
        for polish in (False, True)
    )
    energies = qpsbgd.projection_energy(X, T, polished)
    assert (energies <= qpsbgd.projection_energy(X, T, rough)).all()
    again = qpsbgd.project(X, T, initial=polished, num_sweeps=1)
    np.testing.assert_array_equal(again, polished)
    assert (rough != polished).any()


def spins(values, labels=(0, 1), vartype="SPIN", energy=0.0):
    return dimod.SampleSet.from_samples(
        (np.array(values), list(labels)), vartype=vartype, energy=energy
    )


def with_values(values):
    """A sample set whose values dimod did not check."""
    result = spins([[1, 1]])
    record = np.rec.array(
        [(np.array(values), 0.0, 1)],
        dtype=[("sample", float, (2,)), ("energy", float), ("num_occurrences", int)],
    )
    return dimod.SampleSet(record, result.variables, {}, "SPIN")


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (None, "returned a NoneType"),
        (spins(np.empty((0, 2))), "no samples"),
        (spins([[1]], labels=[0]), "1 variables, but the problem has 2; 1 is missing"),
        (spins([[1, 1]], labels=[0, "x"]), "1 is missing; 'x' does not belong to the problem"),
        (spins([[1, 1, 1]], labels=[0, 1, 2]), "3 variables.*; 2 does not belong to the problem"),
        (spins([[1, 1]], energy=float("nan")), "NaN"),
        (with_values([1, 0]), "the value 0.0, but must have -1 and 1"),
        (with_values([float("nan"), 1]), "the value nan"),
    ],
)
def test_an_answer_that_is_none(rng, answer, message):
    X, T = layer(rng, "quadratic", n=2)
    with pytest.raises(InvalidSampleSetError, match=message):
        qpsbgd.project(X, T, projector=Scripted(lambda bqm: answer))


def test_spins_are_in_the_order_asked_for():
    sampleset = spins([[1, 0], [0, 0]], labels=[5, 3], vartype="BINARY")
    found = checked_spins(sampleset, np.array([3, 5]))
    assert found.tolist() == [[-1, 1], [-1, -1]]
    assert found.dtype == np.int8


def test_what_a_projector_refuses():
    sampler = dimod.ExactSolver()
    with pytest.raises(TypeError, match=r"sampler is 3, but must be a dimod\.Sampler"):
        qpsbgd.SamplerProjector(3)
    chip = dimod.StructureComposite(sampler, [0, 1], [(0, 1)])
    chip.properties["topology"] = {"type": "chimera", "shape": [1, 1, 1]}
    with pytest.raises(ValueError, match="its own graph alone: use"):
        qpsbgd.SamplerProjector(chip)


def test_what_project_refuses_of_another_back_end(rng):
    X, T = layer(rng, "quadratic")
    exact = dimod.ExactSolver()
    for name, value in (
        ("num_reads", 2), ("beta_range", (0.1, 1.0)), ("initial", "random"), ("num_threads", 1)
    ):  # fmt: skip
        with pytest.raises(ValueError, match=f"{name} is .*, but .*: give it to the projector"):
            qpsbgd.project(X, T, projector=exact, **{name: value})
    with pytest.raises(ValueError, match="projector is 'quantum', but must be 'native'"):
        qpsbgd.project(X, T, projector="quantum")
    with pytest.raises(TypeError, match="projector is 3, but must be 'native', a dimod"):
        qpsbgd.project(X, T, projector=3)
    solve = qpsbgd.SamplerProjector(exact, target_eps=0.5)
    with pytest.raises(
        ValueError, match=r"target_eps is 0\.01, but the projector was made with 0\.5"
    ):
        qpsbgd.project(X, T, projector=solve, target_eps=0.01)
    assert as_projector(solve) is solve


@pytest.mark.parametrize("objective", ["quadratic", "sign"])
def test_a_projectors_own_options_hold_in_project(rng, objective):
    X = rng.normal(size=(20, 16)).astype(np.float32)
    T = rng.normal(size=(20, 8)).astype(np.float32)
    own = {"num_reads": 3, "beta_range": (0.1, 2.0), "initial": "random", "target_eps": 0.1}
    solve = qpsbgd.NativeProjector(**own, num_threads=1)
    options = {"objective": objective, "num_sweeps": 4, "seed": 3}
    expected = qpsbgd.project(X, T, **own, **options)
    assert (expected != qpsbgd.project(X, T, **options)).any()
    np.testing.assert_array_equal(qpsbgd.project(X, T, projector=solve, **options), expected)
    same = qpsbgd.project(X, T, projector=solve, **own, num_threads=1, **options)
    np.testing.assert_array_equal(same, expected)
    for name, other in (
        ("num_reads", 1), ("beta_range", (0.1, 3.0)), ("initial", "linear"), ("target_eps", 0.01),
        ("num_threads", 2),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=f"{name} is .* but the projector was made with"):
            qpsbgd.project(X, T, projector=solve, **{name: other})


@pytest.mark.slow
def test_a_samplers_projector_keeps_its_target_eps(rng):
    X, T = layer(rng, "sign", 5, 4, 2)
    solve = qpsbgd.SamplerProjector(dimod.ExactSolver(), target_eps=0.5)
    expected = solve(X, T, qpsbgd.ProjectionOptions(objective="sign", seed=1))
    found = qpsbgd.project(X, T, objective="sign", projector=solve, seed=1)
    np.testing.assert_array_equal(found, expected)
    with pytest.raises(ValueError, match="num_reads is 1, but SamplerProjector has no such option"):
        qpsbgd.project(X, T, projector=solve, num_reads=1)


def test_native_is_the_default(rng):
    X, T = layer(rng, "quadratic")
    expected = qpsbgd.project(X, T)
    for native in (None, "native"):
        np.testing.assert_array_equal(qpsbgd.project(X, T, projector=native), expected)
        assert isinstance(as_projector(native), qpsbgd.NativeProjector)
    assert as_projector("native", target_eps=0.25).target_eps == 0.25
