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
    structured = dimod.StructureComposite(sampler, [0, 1], [(0, 1)])
    with pytest.raises(ValueError, match="its own graph alone: use"):
        qpsbgd.SamplerProjector(structured)
    with pytest.raises(ValueError, match="'num_reads', but ExactSolver takes"):
        qpsbgd.SamplerProjector(sampler, sample_kwargs={"num_reads": 1})


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
    X, T = layer(rng, "sign")
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
