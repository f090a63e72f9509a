"""Partition functions: the twin of the weights, enumeration, honest errors, warnings."""

import re
import warnings

import dimod
import numpy as np
import pytest
import scipy.sparse

import reference
from problems import random_bqm
from qpsbgd import (
    LowRank,
    UnreliableEstimateWarning,
    _core,
    log_partition,
    log_partition_batch,
)
from qpsbgd.samplers.problem.ising import Problem


def dense_problem(rng, n, kind="real"):
    """h (n,) and J (n, n)."""
    if kind == "real":
        J, h = np.triu(rng.normal(size=(n, n)), 1) / np.sqrt(n), rng.normal(size=n)
    else:
        J, h = np.triu(rng.integers(-2, 3, (n, n)), 1).astype(float), rng.integers(-2, 3, n) * 1.0
    return h, J + J.T


def model(h, J, vartype="SPIN", offset=0.0):
    bqm = dimod.BQM(h, np.triu(J), offset, vartype)
    return bqm


# ---- the weights --------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "density"), [(1, 1.0), (16, 1.0), (70, 1.0), (70, 0.05)])
def test_weights_equal_twin(rng, isa, n, density):
    # Dense below 65 variables, sparse at a low density; more chains than a tile has lanes.
    problems = [Problem(random_bqm(rng, n, density)) for _ in range(3)]
    first = problems[0]
    betas = np.array([0.0, 0.01, 0.03, 0.03, 0.1, 0.2])
    for number, chains, threads in ((0, 9, 1), (7, 9, 2), (0, 3, 3)):
        linear = np.array([problem.linear for problem in problems])
        logs, variances = _core.weigh_chains(
            linear, *first.pairs, first.quadratic, betas=betas, marked=[0, 2, 5],
            num_chains=chains, seed=4, number=number, num_threads=threads,
        )  # fmt: skip
        assert logs.shape == (3, chains, 3)
        assert len(variances) == 0
        # The scale of fields follows from the problem with the largest ones: no twin of several.
        if number == 0:
            single, _ = _core.weigh_chains(
                linear[:1], *first.pairs, first.quadratic, betas=betas, marked=[0, 2, 5],
                num_chains=chains, seed=4, number=0, num_threads=threads,
            )  # fmt: skip
            expected = reference.log_weights(
                first.linear, first.pairs, first.quadratic, betas, num_chains=chains, seed=4,
                problem=0,
            )  # fmt: skip
            np.testing.assert_array_equal(single[0], expected[:, [0, 2, 5]])
            np.testing.assert_array_equal(logs[0], single[0])


def test_variances_are_those_of_the_chains(rng):
    problem = Problem(random_bqm(rng, 20))
    _, variances = _core.weigh_chains(
        problem.linear[None], *problem.pairs, problem.quadratic, betas=[0.0, 1e-9], marked=[],
        num_chains=4000, seed=4, number=0, num_threads=1,
    )  # fmt: skip
    exact = (problem.linear**2).sum() + (problem.quadratic**2).sum()
    np.testing.assert_allclose(variances, exact, rtol=0.12)  # 4 standard errors and more


@pytest.mark.parametrize("kind", ["real", "integer"])
@pytest.mark.parametrize("sparse", [False, True])
def test_estimates_are_the_same_everywhere(rng, on_every_isa, kind, sparse):
    h, J = dense_problem(rng, 80, kind)
    if sparse:
        J = np.where(rng.random(J.shape) < 0.05, J, 0.0)
        J = scipy.sparse.csr_matrix(np.triu(J, 1) + np.triu(J, 1).T)
    fields = np.array([h, 2 * h, 0 * h])

    def estimate():
        results = [
            log_partition_batch(
                fields, J, 0.3, num_reads=40, num_sweeps=60, seed=2, num_threads=threads
            )
            for threads in (1, 3)
        ]
        np.testing.assert_array_equal(results[0].log_z, results[1].log_z)
        return results[0]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnreliableEstimateWarning)
        results = list(on_every_isa(estimate))
    for result in results:
        np.testing.assert_array_equal(result.log_z, results[0].log_z)
        assert result.info["betas"] == results[0].info["betas"]


# ---- against enumeration ------------------------------------------------------------------------


def test_enumeration_by_doubling(rng):
    h, J = dense_problem(rng, 8)
    energies = dimod.ExactSolver().sample(model(h, J)).record.energy
    expected = np.log(np.exp(-0.7 * energies).sum())
    assert reference.log_partition(h, J, [0.7])[0] == pytest.approx(expected)


@pytest.mark.slow
def test_fifty_problems_of_20_variables():
    # Within 3 standard errors of enumeration, at every temperature, hot, critical and cold.
    betas = np.array([0.1, 0.3, 1.0, 3.0])
    scores = []
    for k in range(50):
        rng = np.random.default_rng(k)
        h, J = dense_problem(rng, 20, "real" if k % 2 else "integer")
        J /= 2.0 if k % 2 == 0 else 1.0
        result = log_partition(model(h, J), betas, seed=k, num_threads=1)
        exact = reference.log_partition(h, J, betas)
        scores.append((result.log_z - exact) / result.standard_error)
    scores = np.array(scores)
    assert np.abs(scores).max() < 3.0
    assert (abs(np.sqrt((scores**2).mean(axis=0)) - 1) < 0.25).all()


@pytest.mark.parametrize(
    ("beta", "sweeps"),
    [
        (0.1, 40),
        *(pytest.param(*each, marks=pytest.mark.slow) for each in [(0.5, 200), (2.0, 300)]),
    ],
)
def test_standard_errors_are_calibrated(beta, sweeps):
    # 200 seeds: the root mean square of the scores is 1 within 4 of its standard errors, 0.05, and
    # their mean is 0 within 4 of 0.07. Few sweeps make the weights differ.
    h, J = dense_problem(np.random.default_rng(3), 20, "integer")
    exact = reference.log_partition(h, J, [beta])[0]
    scores = []
    for seed in range(200):
        result = log_partition(
            model(h, J), beta, num_reads=300, num_sweeps=sweeps, seed=seed, num_threads=1
        )
        assert result.is_reliable
        scores.append((result.log_z - exact) / result.standard_error)
    assert abs(np.sqrt(np.mean(np.square(scores))) - 1) < 0.2
    assert abs(np.mean(scores)) < 0.28


@pytest.mark.parametrize("vartype", ["SPIN", "BINARY"])
def test_vartypes_and_offsets(rng, vartype):
    h, J = dense_problem(rng, 10)
    fields = np.array([h, -h, 0 * h])
    betas = [1.5, 0.0, 0.5]
    options = {"num_reads": 400, "num_sweeps": 200, "seed": 1}
    batch = log_partition_batch(fields, J, betas, vartype=vartype, **options)
    assert batch.log_z.shape == batch.is_reliable.shape == (3, 3)
    for b, field in enumerate(fields):
        bqm = model(field, J, vartype, offset=2.5)
        energies = dimod.ExactSolver().sample(bqm).record.energy
        exact = np.array([np.log(np.exp(-beta * energies).sum()) for beta in betas])
        single = log_partition(bqm, betas, **options)
        for found, offset in ((single.log_z, 0.0), (batch.log_z[b], 2.5)):
            error = np.maximum(batch.standard_error[b], single.standard_error) + 1e-12
            assert (np.abs(found - offset * np.array(betas) - exact) < 4 * error).all()
    assert batch.log_z[0, 1] == pytest.approx(10 * np.log(2))
    assert np.shape(log_partition(bqm, 1.0, **options).log_z) == ()


def machine(num_hidden):
    """Weights (64, num_hidden) and biases of a Boltzmann machine of two layers of 0 and 1."""
    rng = np.random.default_rng(6432)
    W, b, c = rng.normal(scale=0.5, size=(64, 32)), rng.normal(size=64), rng.normal(size=32)
    return W[:, :num_hidden], b, c[:num_hidden]


def two_layers(W, b, c):
    """h and J of the energy -v W h - b v - c h."""
    visible, hidden = W.shape
    J = np.zeros((visible + hidden,) * 2)
    J[:visible, visible:], J[visible:, :visible] = -W, -W.T
    return -np.concatenate([b, c]), J


@pytest.mark.slow
def test_a_machine_of_64_and_32_units_agrees_with_summation():
    # python bench/partition.py --sum has summed 2^32 products.
    h, J = two_layers(*machine(32))
    result = log_partition_batch(h[None], J, vartype="BINARY", seed=1)
    assert result.is_reliable.all()
    assert abs(result.log_z[0] - 114.849217376478) < 3 * result.standard_error[0] < 0.3


def test_a_machine_of_two_layers_agrees_with_summation():
    # The sum over the visible units is a product; that over the hidden ones has 2^14 terms.
    W, b, c = machine(14)
    states = (np.arange(2**14)[:, None] >> np.arange(14)) & 1
    logs = states @ c + np.logaddexp(0.0, b + states @ W.T).sum(axis=1)
    exact = logs.max() + np.log(np.exp(logs - logs.max()).sum())
    h, J = two_layers(W, b, c)
    result = log_partition_batch(h[None], J, vartype="BINARY", seed=1)
    assert result.is_reliable.all()
    assert abs(result.log_z[0] - exact) < 3 * result.standard_error[0] < 0.1


# ---- trust, and arguments -----------------------------------------------------------------------


def test_too_few_sweeps_are_not_trusted(rng):
    bqm = random_bqm(rng, 60)
    with pytest.warns(UnreliableEstimateWarning, match="effective weights of 100") as caught:
        result = log_partition(bqm, 5.0, num_reads=100, num_sweeps=3, seed=1)
    assert caught[0].filename == __file__
    assert not result.is_reliable
    assert result.effective_sample_size < 50


def test_problems_without_biases_are_exact():
    for n in (0, 1, 5):
        bqm = dimod.BQM(dict.fromkeys(range(n), 0.0), {}, 1.5, "SPIN")
        result = log_partition(bqm, 2.0, seed=1)
        assert result.log_z == pytest.approx(n * np.log(2) - 3.0)
        assert result.standard_error == 0
        assert result.is_reliable


def test_a_chain_does_not_depend_on_the_number_of_chains(rng):
    problem = Problem(random_bqm(rng, 20, kind="real"))
    logs = [
        _core.weigh_chains(
            problem.linear[None], *problem.pairs, problem.quadratic, betas=[0.1, 0.2], marked=[1],
            num_chains=chains, seed=4, number=0, num_threads=1,
        )[0][0, :3]
        for chains in (3, 40)
    ]  # fmt: skip
    np.testing.assert_array_equal(*logs)


@pytest.mark.parametrize(("options", "error", "message"), [
    ({"beta": -1.0}, ValueError, r"beta\[0\] is -1.0"),
    ({"beta": np.inf}, ValueError, "finite"),
    ({"beta": "a"}, TypeError, "beta"),
    ({"num_reads": 1}, ValueError, "num_reads is 1"),
    ({"num_sweeps": 0}, ValueError, "num_sweeps is 0"),
    ({"seed": -1}, ValueError, "seed"),
    ({"num_threads": 0}, ValueError, "num_threads is 0"),
])  # fmt: skip
def test_bad_arguments_are_named(rng, options, error, message):
    with pytest.raises(error, match=message):
        log_partition(random_bqm(rng, 5), **options)
    h, J = dense_problem(rng, 5)
    with pytest.raises(error, match=message):
        log_partition_batch(h[None], J, **options)


def test_bad_models_are_named(rng):
    h, J = dense_problem(rng, 5)
    with pytest.raises(ValueError, match="linear bias of 'a' is nan"):
        log_partition(dimod.BQM({"a": np.nan}, {}, 0.0, "SPIN"))
    with pytest.raises(TypeError, match="LowRank"):
        log_partition_batch(h[None], LowRank(np.ones((2, 5), np.float32)))
    with pytest.raises(TypeError, match="all problems share"):
        log_partition_batch(h[None], J[None])
    for bad in (np.triu(J) + np.tril(J, -2), np.triu(J) + np.eye(5)):
        for kind in (np.asarray, scipy.sparse.csr_matrix):
            with pytest.raises(ValueError, match=r"across the diagonal|diagonal must be zero"):
                log_partition_batch(h[None], kind(bad))
    with pytest.raises(ValueError, match="vartype is 'x'"):
        log_partition_batch(h[None], J, vartype="x")


@pytest.mark.parametrize("vartype", ["SPIN", "BINARY"])
def test_triangles_and_single_problems(rng, vartype):
    # The forms that sample_arrays takes.
    h, J = dense_problem(rng, 9)
    options = {"vartype": vartype, "num_reads": 64, "num_sweeps": 30, "seed": 1}
    expected = log_partition_batch(h[None], J, [0.1, 0.2], **options)
    for way in (np.triu(J), np.tril(J), np.triu(J).tolist(), J, np.triu(J).astype(np.float32)):
        result = log_partition_batch(h, way, [0.1, 0.2], **options)
        assert result.log_z.shape == result.is_reliable.shape == (2,)
        np.testing.assert_allclose(result.log_z, expected.log_z[0], rtol=1e-6)
    expected = log_partition_batch(h[None], scipy.sparse.csr_matrix(J), 0.2, **options)
    for kind in (scipy.sparse.csr_matrix, scipy.sparse.csc_array, scipy.sparse.lil_matrix):
        for way in (np.triu(J), np.tril(J), J):
            result = log_partition_batch(h, kind(way), 0.2, **options)
            assert np.shape(result.log_z) == ()
            assert result.log_z == expected.log_z[0]
    empty = log_partition_batch(h, np.zeros((9, 9)), 0.2, **options)
    values = np.array([-1, 1] if vartype == "SPIN" else [0, 1])
    exact = np.log(np.exp(-0.2 * np.outer(h, values)).sum(axis=1)).sum()
    assert abs(empty.log_z - exact) < 4 * empty.standard_error + 1e-12


@pytest.mark.parametrize("vartype", ["SPIN", "BINARY"])
def test_biases_beyond_the_range_are_named(vartype):
    bqm = dimod.BQM({0: 1e300}, {(0, 1): -1e300}, 0.0, vartype)
    with pytest.raises(ValueError, match=r"sum to .*e\+\d+, but must sum to at most 1e\+150"):
        log_partition(bqm)
    with pytest.raises(ValueError, match="biases sum to inf"):
        log_partition_batch(np.full((1, 2), 1e308), np.zeros((2, 2)))
    small = dimod.BQM({0: 1e100}, {(0, 1): -1e100}, 0.0, vartype)
    with pytest.raises(ValueError, match=r"beta is 1e\+250, but its product"):
        log_partition(small, 1e250)
    result = log_partition(small, 1e-100, seed=1)
    expected = log_partition(dimod.BQM({0: 1.0}, {(0, 1): -1.0}, 0.0, vartype), seed=1)
    assert result.log_z == pytest.approx(expected.log_z, abs=4 * expected.standard_error)


def test_printed_results_are_short(rng):
    bqm = random_bqm(rng, 5)
    options = {"num_reads": 100, "seed": 1}
    text = str(log_partition(bqm, 0.1, **options))
    assert re.fullmatch(
        r"LogPartition\(log_z=\d\.\d+, standard_error=\d[^,]*, is_reliable=True\)", text
    )
    text = str(log_partition(bqm, [0.1, 0.0], **options))
    assert re.fullmatch(
        r"LogPartition\(log_z=\[[^]]*\], standard_error=\[[^]]*, 0\], is_reliable=\[True, True\]\)",
        text,
    )
    h, J = dense_problem(rng, 5)
    text = repr(log_partition_batch(np.tile(h, (50, 1)), J, [0.1, 0.2], **options))
    assert "(50, 2) estimates" in text
    assert "is_reliable for 100 of 100" in text
    assert len(text) < 200


@pytest.mark.parametrize("n", [3, 100])
def test_rings_without_linear_biases(n):
    # Metropolis sweeps in order only move the domain walls of a ring around, for ever.
    beta = 0.7
    ring = dimod.BQM.from_ising({}, {(i, (i + 1) % n): -1.0 for i in range(n)})
    result = log_partition(ring, beta, seed=1)
    exact = n * np.log(2 * np.cosh(beta)) + np.log1p(np.tanh(beta) ** n)
    assert result.is_reliable
    assert abs(result.log_z - exact) < 4 * result.standard_error


def test_the_vartype_may_be_dimods():
    J, h = np.array([[0.0, 1.0], [0.0, 0.0]]), np.array([0.5, -1.0])
    named, enum = (
        log_partition_batch(h, J, vartype=vartype, seed=1, num_reads=2048)
        for vartype in ("BINARY", dimod.BINARY)
    )
    assert named.log_z == enum.log_z
