"""One contract for ranges of inverse temperatures, wherever they are given."""

from decimal import Decimal

import dimod
import numpy as np
import pytest

import qpsbgd
from problems import layer, random_bqm
from qpsbgd.samplers import temperature_rules
from qpsbgd.samplers.batch.arguments import checked_couplings
from qpsbgd.samplers.batch.batch_options import BatchOptions
from qpsbgd.samplers.batch.batch_temperatures import auto_temperatures
from qpsbgd.samplers.problem.ising import Problem

RULE = "must be 'auto', 'dwave', None or two numbers"
BQM = dimod.BQM({"a": 0.5}, {"ab": 1.0}, 0.0, "SPIN")
X, T = layer(np.random.default_rng(0), 12, 9, 4, kind="binary")

#: Whatever takes a range.
TAKERS = {
    "sample": lambda ends: qpsbgd.SimulatedAnnealingSampler().sample(BQM, ends, num_sweeps=5),
    "sample_batch": lambda ends: qpsbgd.sample_batch(
        [[0.5, 0.0]], [[0.0, 1.0], [1.0, 0.0]], beta_range=ends, num_sweeps=5
    ),
    "sample_many": lambda ends: qpsbgd.SimulatedAnnealingSampler().sample_many(
        [BQM], beta_range=ends, num_sweeps=5
    ),
    "project": lambda ends: qpsbgd.project(X, T, beta_range=ends, num_sweeps=5),
    "NativeProjector": lambda ends: qpsbgd.project(
        X, T, num_sweeps=5, projector=qpsbgd.NativeProjector(beta_range=ends)
    ),
}
every_taker = pytest.mark.parametrize("take", TAKERS.values(), ids=TAKERS)


@every_taker
@pytest.mark.parametrize(
    "ends", ["auto", "dwave", None, (0.1, 2.0), [0.1, 2.0], np.array([0.1, 2.0]), (1, 1)]
)
def test_what_is_taken(take, ends):
    take(ends)


@every_taker
@pytest.mark.parametrize(
    ("ends", "error", "message"),
    [
        ("cold", ValueError, f"beta_range is 'cold', but {RULE}"),
        (3, ValueError, f"beta_range is 3, but {RULE}"),
        ((1.0,), ValueError, rf"beta_range is \(1.0,\), but {RULE}"),
        ((1.0, 2.0, 3.0), ValueError, RULE),
        ((-1.0, 1.0), ValueError, r"beta_range is \(-1.0, 1.0\), but its ends must be at least 0"),
        ((np.nan, 1.0), ValueError, "but its ends must be at least 0"),
        ((0.0, 1.0), ValueError, "a geometric schedule needs positive, finite ends"),
        ((1.0, np.inf), ValueError, "a geometric schedule needs positive, finite ends"),
        (("a", "b"), TypeError, r"beta_range\[0\] is 'a', but must be a real number"),
        ((Decimal(1), 2.0), TypeError, r"must be a real number: pass float\(beta_range\[0\]\)"),
        (np.ma.masked_array([0.1, 1.0], [0, 1]), TypeError, "beta_range is a masked array"),
    ],
)
def test_what_is_refused(take, ends, error, message):
    with pytest.raises(error, match=message):
        take(ends)


@every_taker
def test_tensors(take):
    torch = pytest.importorskip("torch")
    take(torch.tensor([0.1, 2.0]))
    with pytest.raises(TypeError, match=r"bfloat16, .* pass beta_range.float\(\)"):
        take(torch.tensor([0.1, 2.0], dtype=torch.bfloat16))


def test_a_linear_schedule_takes_no_infinity():
    sample = qpsbgd.SimulatedAnnealingSampler().sample
    for ends in ((0.1, np.inf), (np.inf, np.inf)):
        with pytest.raises(ValueError, match="a linear schedule needs finite ends"):
            sample(BQM, ends, beta_schedule_type="linear")
    sample(BQM, (0.0, 1.0), beta_schedule_type="linear")


def matrices(bqm):
    problem = Problem(bqm)
    n = len(problem.linear)
    J = np.zeros((n, n))
    J[tuple(problem.pairs)] = problem.quadratic
    return J + J.T, problem.linear


@pytest.mark.parametrize("kind", ["integer", "real"])
@pytest.mark.parametrize("form", ["dense", "sparse"])
def test_dwaves_rule_in_a_batch_is_that_of_the_sampler(rng, kind, form):
    bqms = [random_bqm(rng, 15, 0.5, kind) for _ in range(3)]
    J, h = (np.array(part) for part in zip(*map(matrices, bqms), strict=True))
    for number, bqm in enumerate(bqms):
        expected = temperature_rules.dwave_beta_range(Problem(bqm))
        for couplings in (J[number], J[number : number + 1]):
            found = qpsbgd.sample_batch(
                h[number : number + 1], couplings, form=form, beta_range="dwave", num_sweeps=5
            )
            np.testing.assert_allclose(found.info["beta_range"], [expected])
    # For many problems the range is the median in units of their typical field.
    scale = 2.0 ** np.arange(3)
    same = qpsbgd.sample_batch(
        scale[:, None] * h[0], scale[:, None, None] * J[0], beta_range="dwave", num_sweeps=5
    ).info["beta_range"]
    expected = np.array(temperature_rules.dwave_beta_range(Problem(bqms[0])))
    np.testing.assert_allclose(same, expected / scale[:, None])


def test_dwaves_rule_for_low_rank(rng):
    A, h = rng.normal(size=(2, 12)), rng.normal(size=(3, 12))
    J = A.T @ A
    np.fill_diagonal(J, 0.0)
    ends = [
        qpsbgd.sample_batch(
            h, couplings, beta_range="dwave", num_sweeps=5, form=form
        ).info["beta_range"]
        for couplings, form in ((qpsbgd.LowRank(A), "low_rank"), (J, "dense"))
    ]  # fmt: skip
    # The low-rank form estimates the units of a problem, which then cancel.
    np.testing.assert_allclose(*ends, rtol=1e-6)


def test_rules_of_a_layer_are_those_of_its_problems(rng):
    X, T = layer(rng, 40, 12, 5)
    h, J, _ = qpsbgd.gradient_ising(X, T)
    options = {"num_sweeps": 10, "seed": 2}
    couplings = checked_couplings(J, h.shape, 1)
    found, factors = auto_temperatures(h.astype(np.float64), couplings, BatchOptions(num_threads=1))
    dwave = qpsbgd.sample_batch(h, J, beta_range="dwave", num_sweeps=5).info["beta_range"][0]
    for rule, ends in (("auto", factors[0] * np.array([found.hot, found.knee])), ("dwave", dwave)):
        np.testing.assert_array_equal(
            qpsbgd.project(X, T, beta_range=rule, **options),
            qpsbgd.project(X, T, beta_range=tuple(ends), **options),
        )


def test_auto_finds_better_answers_than_descent(rng):
    for kind, objective in (("real", "quadratic"), ("real", "sign"), ("binary", "sign")):
        X, T = layer(rng, 60, 40, 20, kind=kind)
        options = {"objective": objective, "num_sweeps": 200, "seed": 1}
        energies = [
            qpsbgd.projection_energy(
                X, T, qpsbgd.project(X, T, beta_range=ends, **options), objective=objective
            ).mean()
            for ends in (None, "auto")
        ]
        assert energies[1] < energies[0]


def test_the_sign_objective_scales_with_its_gradients(rng):
    X, T = layer(rng, 30, 10, 4)
    options = {"objective": "sign", "beta_range": "auto", "num_sweeps": 20, "seed": 1}
    expected = qpsbgd.project(X, T, **options)
    for factor in (2.0**-90, 2.0**90):
        np.testing.assert_array_equal(
            qpsbgd.project(X, np.float32(factor) * T, **options), expected
        )
    with pytest.raises(ValueError, match="'dwave', but that rule needs couplings"):
        qpsbgd.project(X, T, objective="sign", beta_range="dwave")
    no_gradient = qpsbgd.project(X, 0 * T, **options)
    assert (abs(no_gradient) == 1).all()


def test_a_layer_that_heats_is_refused():
    with pytest.raises(ValueError, match="must be 0 < hot <= cold < inf"):
        qpsbgd.project(X, T, beta_range=(2.0, 1.0))


def test_ranks_that_share_a_layer_need_numbers():
    solve = qpsbgd.NativeProjector(beta_range="auto")
    with pytest.raises(ValueError, match="ranks that share a layer need one without its data"):
        solve.core_options(qpsbgd.ProjectionOptions(num_sweeps=3))
