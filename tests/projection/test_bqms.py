"""A layer's problems as BQMs: the objective by enumeration, the tie rule, answers decoded."""

import doctest
import itertools
from collections.abc import Sequence
from functools import partial

import dimod
import numpy as np
import pytest

import qpsbgd
from problems import layer
from qpsbgd import _core
from qpsbgd.projection import models as bqms
from reference import models as reference_bqms

SIGN = {"objective": "sign"}
FIELDS = reference_bqms.Problems._fields


def spins(n):
    """All states of n spins, (2^n, n)."""
    return np.array(list(itertools.product((-1, 1), repeat=n)), np.int8).reshape(-1, n)


def sign_layer(rng, samples, n, neurons, *, density=1.0, magnitudes=(1.0,)):
    X = rng.choice([-1, 1], size=(samples, n)) * (rng.random((samples, n)) < density)
    X = X * rng.choice(magnitudes, size=(samples, 1))
    return X.astype(np.float32), rng.normal(size=(samples, neurons)).astype(np.float32)


def objectives(X, t, states, **options):
    """The sign objective of one neuron in every state."""
    T = np.repeat(t[:, None], len(states), axis=1)
    return qpsbgd.projection_energy(X, T, states, objective="sign", **options)


def blocks_of(thresholds, n):
    """Each count's variables."""
    sizes = [1 + len(reference_bqms.slack_weights(int(threshold))) for threshold in thresholds]
    ends = n + np.cumsum(sizes)
    return [np.arange(end - size, end) for size, end in zip(sizes, ends, strict=True)]


def lowest_energies(linear, rows, columns, values, offset, n, blocks):
    """Least energy that each state of the n weights allows, over all auxiliary variables."""
    J = np.zeros((len(linear), len(linear)))
    np.add.at(J, (rows, columns), values)
    J += J.T
    b = spins(n).astype(float)
    energies = offset + b @ linear[:n] + ((b @ J[:n, :n]) * b).sum(axis=1) / 2
    for block in blocks:
        states = spins(len(block)).astype(float)
        within = ((states @ J[np.ix_(block, block)]) * states).sum(axis=1) / 2
        fields = linear[block] + b @ J[:n, block]  # (2^n, block)
        energies += (fields @ states.T + within).min(axis=1)
        # Blocks do not touch each other, so that each can be minimised alone.
        others = np.setdiff1d(np.arange(n, len(linear)), block)
        assert not J[np.ix_(block, others)].any()
    return energies


def check_exact(X, T, *, target_eps=0.01, penalty_factor=1.1):
    problems = qpsbgd.gradient_bqms(
        X, T, target_eps=target_eps, penalty_factor=penalty_factor, **SIGN
    )
    n = X.shape[1]
    states = spins(n)
    complete = problems.complete(states)
    for r, bqm in enumerate(problems):
        assert list(bqm.variables) == list(range(problems.num_variables))
        linear, (rows, columns, values), offset = bqm.to_numpy_vectors()
        expected = objectives(X, T[:, r], states, target_eps=target_eps)
        lowest = lowest_energies(
            linear, rows, columns, values, offset, n, blocks_of(problems.thresholds, n)
        )
        tolerance = 1e-6 * np.maximum(1, expected)
        assert (np.abs(lowest - expected) <= tolerance).all()
        assert (np.abs(problems.energies(r, complete) - expected) <= tolerance).all()
        best = problems.decode(dict(enumerate(complete[lowest.argmin()])))
        assert objectives(X, T[:, r], best[None], target_eps=target_eps)[0] == pytest.approx(
            expected.min(), rel=1e-9
        )
    return problems


# ---- the sign objective ------------------------------------------------------------------------


@pytest.mark.parametrize("n", range(1, 10))
@pytest.mark.parametrize("target_eps", [0.0, 0.01])
def test_energies_are_the_sign_objective(rng, n, target_eps):
    for samples in (1, 3, 8):
        check_exact(*sign_layer(rng, samples, n, 3), target_eps=target_eps)


@pytest.mark.parametrize("n", [2, 5, 8, 9])
@pytest.mark.parametrize("penalty_factor", [1.01, 3])
def test_inputs_of_several_magnitudes_and_zeros(rng, n, penalty_factor):
    X, T = sign_layer(rng, 8, n, 3, density=0.7, magnitudes=(0.1, 1 / 3, 1, 7.5e4, 1e-30))
    X[3] = 0
    check_exact(X, T, penalty_factor=penalty_factor)


# Eps at, just below and just above multiples of the magnitude, at which thresholds change.
@pytest.mark.parametrize("n", [3, 4, 7])
@pytest.mark.parametrize("magnitude", [1.0, 0.3, 1e-20, 3e38])
@pytest.mark.parametrize("multiple", [0, 1, 2, 3, 4, 7, 100])
def test_large_eps_shifts_the_threshold(rng, n, magnitude, multiple):
    X, T = sign_layer(rng, 4, n, 2, magnitudes=(magnitude,))
    exact = float(X.max()) * multiple
    for target_eps in {exact, np.nextafter(exact, 0), float(np.nextafter(exact, np.inf))}:
        problems = check_exact(X, T, target_eps=target_eps)
        if target_eps >= n * float(X.max()):
            assert problems.num_variables == n
            assert (problems.fields == 0).all()


def test_ties_count_as_positive():
    X, T = np.ones((1, 4), np.float32), np.array([[2, -2]], np.float32)
    problems = qpsbgd.gradient_bqms(X, T, **SIGN)
    # The output is -1 if at least three of the four inputs disagree.
    assert problems.thresholds.tolist() == [3]
    assert problems.patterns.tolist() == [[-1, -1, -1, -1]]
    tie = problems.complete(np.array([[1, 1, -1, -1]]))
    assert problems.energies(0, tie) == pytest.approx(1)
    assert problems.energies(1, tie) == pytest.approx(9)


@pytest.mark.parametrize("n", [3, 4, 6])
def test_samples_that_say_the_same_share_variables(rng, n):
    X, T = sign_layer(rng, 3, n, 4)
    once = check_exact(X, T)
    X = np.concatenate([X, X[::-1] * np.float32(2), -X[:1]])
    T = np.concatenate([T, rng.normal(size=(4, 4)).astype(np.float32)])
    again = check_exact(X, T)
    # -x of an even n is another tie, and so another output.
    extra = 0 if n % 2 else again.num_variables - once.num_variables
    assert again.num_variables == once.num_variables + extra
    assert len(again.thresholds) == len(once.thresholds) + (n % 2 == 0)
    assert (again.patterns[: len(once.patterns)] == once.patterns).all()


def test_opposite_samples_whose_losses_cancel(rng):
    X, T = sign_layer(rng, 1, 5, 2)
    problems = check_exact(np.concatenate([X, -X]), np.concatenate([T, T]))
    assert problems.factors.tolist() == [1, 1]
    assert np.ptp([problems.energies(0, problems.complete(spins(5)))]) < 1e-9


def test_rows_and_samples_of_zeros(rng):
    X, T = sign_layer(rng, 5, 4, 3)
    X[2], T[:, 1] = 0, 0
    problems = check_exact(X, T)
    assert problems.factors[1] == 1
    assert (problems.factors[[0, 2]] != 1).all()
    nothing = check_exact(np.zeros((2, 3), np.float32), T[:2])
    assert nothing.num_variables == 3
    assert len(nothing.values) == 0


def test_number_of_variables(rng):
    for n in range(1, 20):
        X, T = sign_layer(rng, 6, n, 1)
        rows = {tuple(x) for x in X.tolist()}
        if n % 2:
            rows = {max(x, tuple(-np.array(x))) for x in rows}
        threshold = n // 2 + 1
        bits = int(np.ceil(np.log2(threshold)))
        problems = qpsbgd.gradient_bqms(X, T, **SIGN)
        assert problems.num_variables == n + len(rows) * (1 + bits)
        assert (problems.thresholds == threshold).all()
        assert problems.fields.shape == (1, problems.num_variables)


def test_the_penalty_is_tight(rng):
    def wrong(factor):
        """Whether some weights of lowest energy are not the best ones."""
        X, T = sign_layer(rng, 3, 5, 1)
        problem = reference_bqms.sign_bqms(X, T, penalty_factor=factor)
        values = problem.values * problem.factors[0]
        blocks = blocks_of(problem.thresholds, 5)
        lowest = lowest_energies(
            problem.fields[0], problem.rows, problem.columns, values, problem.offsets[0], 5, blocks
        )
        expected = objectives(X, T[:, 0], spins(5))
        return (lowest < expected - 1e-6).any()

    assert not any(wrong(1.01) for _ in range(40))
    assert sum(wrong(0.99) for _ in range(40)) > 30


# ---- the quadratic objective -------------------------------------------------------------------


@pytest.mark.parametrize("alpha", ["norm", "fit"])
@pytest.mark.parametrize("scale", [0.1, 1.0, 3.0])
@pytest.mark.parametrize("shape", [(1, 1, 2), (7, 5, 3), (100, 16, 8), (20, 70, 5)])
def test_energies_are_the_quadratic_objective(rng, alpha, scale, shape):
    X, T = layer(rng, *shape)
    X, T = 1e3 * X + 5, 1e-6 * T
    T[:, 1] = 0
    options = {"scale": scale, "alpha": alpha}
    problems = qpsbgd.gradient_bqms(X, T, **options)
    n, m = shape[1:]
    assert problems.num_variables == n
    assert len(problems.values) == n * (n - 1) // 2
    assert problems.factors.tolist() == [1] * m
    for B in (rng.choice([-1, 1], size=(m, n)), qpsbgd.project(X, T, **options)):
        expected = qpsbgd.projection_energy(X, T, B, **options)
        for r, bqm in enumerate(problems):
            tolerance = 1e-6 * max(1, expected[r])
            assert abs(bqm.energy(B[r]) - expected[r]) <= tolerance
            assert abs(problems.energies(r, B[r : r + 1])[0] - expected[r]) <= tolerance
    assert (problems.complete(B) == B).all()


def test_an_exact_fit_has_no_energy(rng):
    X = layer(rng, 40, 12, 1, kind="binary")[0]
    b = rng.choice(np.array([-1, 1], np.int8), size=(1, 12))
    T = X @ b.T.astype(np.float32)
    problems = qpsbgd.gradient_bqms(X, T)
    B = qpsbgd.project(X, T)
    assert (b == B).all()
    expected = qpsbgd.projection_energy(X, T, B)[0]
    assert abs(expected) < 1e-6
    assert abs(problems[0].energy(B[0]) - expected) < 1e-9


def test_quadratic_problems_are_those_of_gradient_ising(rng):
    X, T = layer(rng, 30, 20, 6)
    h, J, offsets = qpsbgd.gradient_ising(X, T, 0.7, alpha="fit")
    problems = qpsbgd.gradient_bqms(X, T, scale=0.7, alpha="fit")
    np.testing.assert_allclose(
        problems.values, J[problems.rows, problems.columns], rtol=1e-4, atol=1e-5 * J.max()
    )
    np.testing.assert_allclose(problems.fields, h, rtol=1e-4, atol=1e-5 * np.abs(h).max())
    np.testing.assert_allclose(problems.offsets, offsets, rtol=1e-6)


def test_inputs_of_zeros_keep_all_pairs():
    X, T = np.zeros((3, 4), np.float32), np.ones((3, 2), np.float32)
    bqm = qpsbgd.gradient_bqms(X, T)[0]
    assert bqm.num_interactions == 6
    assert not any(bqm.quadratic.values())


# ---- the core and its twin ---------------------------------------------------------------------


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("shape", [(1, 1, 1), (9, 4, 33), (40, 17, 70), (5, 70, 3)])
@pytest.mark.parametrize("target_eps", [0.0, 0.01, 2.5])
def test_sign_equals_twin(rng, shape, target_eps):
    X, T = sign_layer(rng, *shape, density=0.8, magnitudes=(0.5, 1.0, 0.7))
    options = {"target_eps": target_eps, "penalty_factor": 1.3}
    twin = reference_bqms.sign_bqms(X, T, **options)
    for num_threads in (1, 2, 5):
        ours = qpsbgd.gradient_bqms(X, T, num_threads=num_threads, **SIGN, **options)
        for name in FIELDS:
            result, expected = getattr(ours, name), getattr(twin, name)
            assert result.dtype == expected.dtype
            np.testing.assert_array_equal(result, expected)


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("shape", [(1, 1, 1), (9, 4, 33), (40, 17, 70), (5, 70, 3)])
@pytest.mark.parametrize("alpha", ["norm", "fit"])
def test_quadratic_equals_twin(rng, shape, alpha):
    X, T = layer(rng, *shape)
    options = {"scale": 0.8, "alpha": alpha}
    twin = reference_bqms.quadratic_bqms(X, T, **options)
    for num_threads in (1, 2, 5):
        ours = qpsbgd.gradient_bqms(X, T, num_threads=num_threads, **options)
        for name in FIELDS:
            result, expected = getattr(ours, name), getattr(twin, name)
            assert result.dtype == expected.dtype
            size = np.abs(expected).max(initial=0)
            np.testing.assert_allclose(result, expected, rtol=1e-12, atol=1e-13 * size)


@pytest.mark.parametrize("objective", ["quadratic", "sign"])
def test_the_same_bits_whatever_the_kernels_and_threads(rng, objective, monkeypatch):
    X, T = layer(rng, 50, 30, 40, kind="binary")
    results = []
    for name, num_threads in itertools.product(_core.available_isas(), (1, 2, 7, None)):
        monkeypatch.setenv("QPSBGD_ISA", name)
        ours = qpsbgd.gradient_bqms(X, T, objective=objective, num_threads=num_threads)
        results.append([getattr(ours, field).tobytes() for field in FIELDS])
    assert all(result == results[0] for result in results)


# ---- models and answers ------------------------------------------------------------------------


def test_a_sequence_of_models(rng):
    X, T = sign_layer(rng, 4, 5, 3)
    problems = qpsbgd.gradient_bqms(X, T, **SIGN)
    assert isinstance(problems, Sequence)
    assert isinstance(problems, qpsbgd.GradientBQMs)
    assert len(problems) == problems.num_neurons == 3
    assert problems.num_inputs == 5
    models = list(problems)
    assert all(model.vartype is dimod.SPIN for model in models)
    assert problems[-1] == models[2] == problems[np.int64(2)]
    assert problems[1:] == models[1:]
    assert problems[::-1] == models[::-1]
    assert "3 sign problems of 5 weights" in repr(problems)
    for index in (3, -4):
        with pytest.raises(IndexError, match=f"there is no neuron {index}, but 3 from 0"):
            problems[index]
    with pytest.raises(TypeError):
        problems["0"]


def test_models_share_variables_and_pairs(rng):
    X, T = sign_layer(rng, 6, 6, 4)
    problems = qpsbgd.gradient_bqms(X, T, **SIGN)
    first, *others = problems
    assert (problems.rows < problems.columns).all()
    order = problems.rows.astype(int) * problems.num_variables + problems.columns
    assert (np.diff(order) > 0).all()
    assert (problems.values != 0).all()
    for r, other in enumerate(others, 1):
        assert list(other.variables) == list(first.variables)
        ratio = problems.factors[r] / problems.factors[0]
        for pair, value in first.quadratic.items():
            assert other.quadratic[pair] == pytest.approx(ratio * value, rel=1e-12)


def exhaustive_vectors(X, T, **options):
    states = spins(X.shape[1])
    for r in range(T.shape[1]):
        repeated = [np.tile(state, (T.shape[1], 1)) for state in states]
        energies = [qpsbgd.projection_energy(X, T, B, **options)[r] for B in repeated]
        yield min(energies)


@pytest.mark.parametrize("objective", ["quadratic", "sign"])
@pytest.mark.parametrize("vartype", ["SPIN", "BINARY"])
def test_samplers_find_the_optimum(rng, objective, vartype):
    X, T = sign_layer(rng, 3, 5, 3)
    problems = qpsbgd.gradient_bqms(X, T, objective=objective)
    optima = list(exhaustive_vectors(X, T, objective=objective))
    annealing = pytest.importorskip("dwave.samplers").SimulatedAnnealingSampler()
    samplers = [
        qpsbgd.ExhaustiveSampler().sample,
        partial(qpsbgd.SimulatedAnnealingSampler().sample, num_reads=100, seed=1),
        partial(qpsbgd.TabuSampler().sample, num_reads=10, num_restarts=10, seed=1),
        partial(annealing.sample, num_reads=200, num_sweeps=500, seed=1),
        dimod.ExactSolver().sample,
    ]
    for sample in samplers:
        models = [bqm.change_vartype(vartype, inplace=False) for bqm in problems]
        B = np.array([problems.decode(sample(bqm)) for bqm in models])
        assert B.dtype == np.int8
        energies = qpsbgd.projection_energy(X, T, B, objective=objective)
        np.testing.assert_allclose(energies, optima, rtol=1e-6, atol=1e-6)


def test_complete_states_are_starts_that_descent_keeps(rng):
    X, T = sign_layer(rng, 8, 7, 2)
    problems = qpsbgd.gradient_bqms(X, T, **SIGN)
    B = qpsbgd.project(X, T, objective="sign", num_reads=20, initial="random", seed=0)
    states = problems.complete(B)
    assert states.dtype == np.int8
    for r in range(2):
        energy = problems.energies(r, states[r : r + 1])[0]
        flipped = states[r] * (1 - 2 * np.eye(problems.num_variables, dtype=int))
        aux = problems.energies(r, flipped[7:])
        assert (aux > energy).all()


def test_decode_takes_the_lowest_energy():
    problems = qpsbgd.gradient_bqms(np.ones((2, 3), np.float32), np.ones((2, 1), np.float32))
    samples = np.array([[1, 1, 1], [-1, 1, -1], [1, -1, 1]])
    sampleset = dimod.SampleSet.from_samples(samples, "SPIN", [3.0, -1.0, 2.0])
    assert problems.decode(sampleset).tolist() == [-1, 1, -1]
    assert problems.decode(sampleset.change_vartype("BINARY", inplace=False)).tolist() == [
        -1, 1, -1,
    ]  # fmt: skip
    reordered = dimod.SampleSet.from_samples((samples, [2, 0, 1]), "SPIN", [3.0, -1.0, 2.0])
    assert problems.decode(reordered).tolist() == [1, -1, -1]
    assert problems.decode(sampleset.first.sample).tolist() == [-1, 1, -1]
    assert problems.decode({0: 0, 1: 1, 2: 0}).tolist() == [-1, 1, -1]
    assert problems.decode({0: 1, 1: 1, 2: 1}).tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("sampleset", "error", "message"),
    [
        ([1, 1, 1], TypeError, "sampleset is a list, but must be a dimod.SampleSet or a mapping"),
        ({0: 1, 1: 1}, ValueError, "no variable 2, but must have those of the model, 0 to 2"),
        ({0: 1, 1: 1, 2: 1, "x": 1}, ValueError, "a variable 'x', but must have those of"),
        ({0: 1, 1: 0, 2: -1}, ValueError, r"sampleset\[2\] is -1, but must be 0 or 1"),
        ({0: 1, 1: 2, 2: -1}, ValueError, r"sampleset\[1\] is 2, but must be -1 or 1"),
        (
            dimod.SampleSet.from_samples([], "SPIN", []),
            ValueError,
            "sampleset has no samples, but must have one",
        ),
        (
            dimod.SampleSet.from_samples([{0: 1, 1: 3, 2: 1}], "INTEGER", 0.0),
            ValueError,
            "sampleset has vartype INTEGER, but must have SPIN or BINARY",
        ),
        (
            dimod.SampleSet.from_samples([{0: 0, 1: 1, 2: 1}], "SPIN", 0.0),
            ValueError,
            r"sampleset\[0\] is 0, but must be -1 or 1",
        ),
    ],
)
def test_bad_answers(sampleset, error, message):
    problems = qpsbgd.gradient_bqms(np.ones((2, 3), np.float32), np.ones((2, 1), np.float32))
    with pytest.raises(error, match=message):
        problems.decode(sampleset)


def test_bad_states():
    problems = qpsbgd.gradient_bqms(np.ones((2, 3), np.float32), np.ones((2, 1), np.float32))
    with pytest.raises(ValueError, match=r"B has shape \(3,\), but must be \(k, 3\)"):
        problems.complete(np.ones(3))
    with pytest.raises(ValueError, match=r"B\[0, 1\] is 0, but must be -1 or \+1"):
        problems.complete(np.array([[1, 0, 1]]))
    with pytest.raises(TypeError, match="B has dtype complex128"):
        problems.complete(np.ones((1, 3), complex))
    with pytest.raises(ValueError, match=r"states has shape \(1, 2\), but must be \(k, 3\)"):
        problems.energies(0, np.ones((1, 2)))
    with pytest.raises(IndexError, match="there is no neuron 1, but 1 from 0"):
        problems.energies(1, np.ones((1, 3)))
    assert problems.complete(np.ones((0, 3))).shape == (0, 3)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"objective": "cubic"}, ValueError, "objective is 'cubic', but must be 'quadratic' or"),
        ({"scale": 0}, ValueError, "scale is 0, but must be positive"),
        ({"scale": 1e-30, "objective": "quadratic"}, ValueError, "scale is 1e-30, but must lie"),
        ({"alpha": "long"}, ValueError, "alpha is 'long'"),
        ({"target_eps": -1}, ValueError, "target_eps is -1"),
        ({"penalty_factor": 0.99}, ValueError, "penalty_factor is 0.99, but must be more than 1"),
        ({"penalty_factor": 1}, ValueError, "penalty_factor is 1, but must be more than 1"),
        ({"penalty_factor": 1e7}, ValueError, "more than 1 and at most 1e\\+06"),
        ({"penalty_factor": float("nan")}, ValueError, "penalty_factor is nan"),
        ({"penalty_factor": "2"}, TypeError, "penalty_factor is '2'"),
        ({"num_threads": 0}, ValueError, "num_threads is 0"),
        ({"T": np.ones((3, 1), np.float32)}, ValueError, "both need one row per sample"),
        (
            {"X": np.array([[1, 1, 1], [0, -2, 3]], np.float32)},
            ValueError,
            r"X\[1, 2\] is 3.0, but objective='sign' needs .* 0, -c or \+c, with c = 2.0 here: "
            "make them binary, take objective='quadratic', or .* qpsbgd.project",
        ),
    ],
)
def test_bad_input(changes, error, message):
    arguments = {"X": np.ones((2, 3), np.float32), "T": np.ones((2, 1), np.float32), **SIGN}
    with pytest.raises(error, match=message):
        qpsbgd.gradient_bqms(**{**arguments, **changes})


def test_the_core_checks_what_it_relies_on():
    X, T = np.array([[1, 2]], np.float32), np.ones((1, 1), np.float32)
    options = {"target_eps": 0.0, "penalty_factor": 1.1, "num_threads": 1}
    with pytest.raises(ValueError, match="one magnitude beside 0"):
        _core.sign_qubo(X, T, **options)
    with pytest.raises(ValueError, match="must have shapes"):
        _core.sign_qubo(X, np.ones((2, 1), np.float32), **options)
    with pytest.raises(ValueError, match="target_eps"):
        _core.sign_qubo(X[:, :1], T, **{**options, "target_eps": -1.0})


def test_tensors_are_taken():
    torch = pytest.importorskip("torch")
    problems = qpsbgd.gradient_bqms(torch.ones(2, 3), torch.ones(2, 1), objective="sign")
    assert len(problems) == 1


def test_examples_run():
    result = doctest.testmod(bqms, extraglobs={"gradient_bqms": qpsbgd.gradient_bqms})
    assert result.attempted > 10
    assert result.failed == 0
