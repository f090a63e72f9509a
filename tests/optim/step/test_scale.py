"""The scale that QPSBGD chooses for itself."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")


import qpsbgd
from networks import reloaded
from problems import layer as make_layer
from qpsbgd import ProjectionOptions
from qpsbgd.nn import BinaryConv2d, BinaryLinear
from qpsbgd.optim import QPSBGD
from qpsbgd.optim.step import scale
from qpsbgd.optim.step.scale import SCALES, ScaleComparison, ScaleScores, held_out_cosines, is_due

SHAPE = (40, 300)
NAME = "BinaryLinear"


def step_along(optimizer, layer, X, T):
    """Take a step for which the layer's targets are T."""
    optimizer.zero_grad()
    (layer(torch.from_numpy(X)) * torch.from_numpy(T)).sum().backward()
    optimizer.step()


def problems(rng, kind):
    """Samples without end: many that B fits exactly, or few with one common factor and noise."""
    m, n = SHAPE
    B, factor = rng.choice([-1.0, 1.0], (m, n)), 0.2 * rng.choice([-1.0, 1.0], n)
    while True:
        if kind == "dense":
            X = 1 + rng.normal(size=(100, n))
            T = X @ B.T
        else:
            strength = rng.normal(size=(40, 1))
            X = rng.normal(size=(40, n)) + strength * factor
            T = strength * B[:, 0] + rng.normal(size=(40, m))
        yield X.astype(np.float32), T.astype(np.float32)


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("alpha", ["fit", "norm"])
def test_cosines_are_those_of_projections(rng, first, alpha):
    X, T = make_layer(rng, 30, 50, 7)
    T[:, 2] = 0
    T[1:, 3] = 0  # this neuron has targets in one half alone
    options = ProjectionOptions(alpha=alpha, num_sweeps=3, seed=4, num_reads=5)
    blocks = np.repeat(np.arange(8), [4, 4, 4, 3, 4, 4, 4, 3])
    fits = (blocks % 2 == 0) == first
    expected = []
    for strength in SCALES:
        B = qpsbgd.project(X[fits], T[fits], scale=strength, alpha=alpha, num_sweeps=3, seed=4)
        margins = X[~fits].astype(float) @ B.T
        expected.append(
            np.mean(
                [
                    margins[:, row] @ T[~fits, row]
                    / np.linalg.norm(margins[:, row]) / np.linalg.norm(T[~fits, row])
                    for row in (0, 1, 4, 5, 6)
                ]
            )
        )  # fmt: skip
    found = held_out_cosines(X, T, options, 1, fits_first_half=first)
    assert found.num_rows == 5
    np.testing.assert_allclose(found.cosines, expected, rtol=1e-5, atol=1e-6)
    assert len(set(found.cosines)) > 1


@pytest.mark.parametrize(("kind", "expected"), [("dense", {1.0}), ("noisy", {0.01, 0.03, 0.1})])
def test_the_scale_is_small_where_a_projection_overfits(rng, kind, expected):
    layer = BinaryLinear(SHAPE[1], SHAPE[0], bias=False)
    optimizer = QPSBGD(layer)
    source = problems(rng, kind)
    for _ in range(40):
        step_along(optimizer, layer, *next(source))
    assert optimizer.last_step[NAME].scale == optimizer.scales[NAME]
    assert optimizer.scales[NAME] in expected
    assert optimizer.state[layer.weight]["scale_count"] == 7  # after 0, 1, 2, 4, 8, 16, 32 steps


def test_the_step_uses_the_chosen_scale(rng):
    layer = BinaryLinear(SHAPE[1], SHAPE[0], bias=False)
    optimizer = QPSBGD(layer, lr=0.5, clip=float("inf"))
    source = problems(rng, "noisy")
    for _ in range(5):
        X, T = next(source)
        before = layer.weight.detach().clone()
        step_along(optimizer, layer, X, T)
    seen = []

    def solve(X, T, options, /):
        seen.append(options)
        return qpsbgd.NativeProjector()(X, T, options)

    state = optimizer.state_dict()
    del optimizer
    own = QPSBGD(layer, projector=solve)
    own.load_state_dict(state)
    step_along(own, layer, X, T)
    assert [options.scale for options in seen] == [own.scales[NAME]] != [1.0]
    assert not torch.equal(layer.weight, before)


def test_due_steps():
    assert [step for step in range(50) if is_due(step)] == [0, 1, 2, 4, 8, 16, 32, 48]


@pytest.mark.parametrize(
    "options",
    [{"scale": 0.3}, {"objective": "sign"}, {"num_sweeps": 0}],
    ids=lambda o: next(iter(o)),
)
def test_no_comparison_without_a_choice(rng, monkeypatch, options):
    monkeypatch.setattr(scale, "held_out_cosines", lambda *_, **__: pytest.fail("a comparison"))
    layer = BinaryLinear(SHAPE[1], SHAPE[0], bias=False)
    optimizer = QPSBGD(layer, **options)
    step_along(optimizer, layer, *next(problems(rng, "noisy")))
    shown = {"scale": 0.3, "objective": None, "num_sweeps": 1.0}[next(iter(options))]
    assert optimizer.last_step[NAME].scale == optimizer.scales[NAME] == shown
    assert "scale_cosines" not in optimizer.state[layer.weight]


def test_the_scale_is_1_where_samples_are_few(rng):
    layer = BinaryLinear(SHAPE[1], SHAPE[0], bias=False)
    optimizer = QPSBGD(layer, memory=0)
    for X, T in (next(problems(rng, "noisy")) for _ in range(5)):
        step_along(optimizer, layer, X[:15], T[:15])
    assert optimizer.scales == {NAME: 1.0}
    assert "scale_cosines" not in optimizer.state[layer.weight]


def test_a_state_continues_bit_for_bit(rng):
    batches = [batch for batch, _ in zip(problems(rng, "noisy"), range(36), strict=False)]

    def train(layer, optimizer, own):
        found = []
        for X, T in own:
            step_along(optimizer, layer, X, T)
            found.append(optimizer.scales[NAME])
        return found

    torch.manual_seed(0)
    layer = BinaryLinear(SHAPE[1], SHAPE[0], bias=False)
    optimizer = QPSBGD(layer, lr=0.1)
    train(layer, optimizer, batches[:7])
    weights, state = reloaded([layer.state_dict(), optimizer.state_dict()])
    other = BinaryLinear(SHAPE[1], SHAPE[0], bias=False)
    other.load_state_dict(weights)
    resumed = QPSBGD(other)
    resumed.load_state_dict(state)
    assert resumed.scales == optimizer.scales != {NAME: 1.0}
    assert train(layer, optimizer, batches[7:]) == train(other, resumed, batches[7:])
    assert torch.equal(layer.weight, other.weight)
    own, theirs = (each.state_dict()["state"][0] for each in (optimizer, resumed))
    assert own == theirs


def test_a_failed_step_compares_nothing(rng):
    layer = BinaryLinear(SHAPE[1], SHAPE[0], bias=False)
    optimizer = QPSBGD(layer)
    X, T = next(problems(rng, "noisy"))
    T[3, 5] = np.nan
    with pytest.raises(ValueError, match="layer 'BinaryLinear'"):
        step_along(optimizer, layer, X, T)
    assert not optimizer.state[layer.weight]


def test_a_projector_solves_each_layer_once(rng):
    calls = []

    def paid(X, T, options, /):
        calls.append(options.scale)
        return qpsbgd.NativeProjector()(X, T, options)

    layer = BinaryLinear(SHAPE[1], SHAPE[0], bias=False)
    optimizer = QPSBGD(layer, projector=paid)
    source = problems(rng, "noisy")
    for _ in range(3):
        step_along(optimizer, layer, *next(source))
    assert len(calls) == 3
    assert calls[-1] == optimizer.scales[NAME] < 1


@pytest.mark.parametrize("groups", [1, 2, 8])
def test_convolutions_compare_some_of_their_groups(rng, groups):
    layer = BinaryConv2d(8, 16, 3, groups=groups, bias=False)
    calls = []

    def solve(X, T, options, /):
        calls.append((X, T, options))
        return qpsbgd.NativeProjector()(X, T, options)

    optimizer = QPSBGD(layer, projector=solve)
    out = layer(torch.from_numpy(rng.normal(size=(10, 8, 6, 6)).astype(np.float32)))
    (out * torch.from_numpy(rng.normal(size=out.shape).astype(np.float32))).sum().backward()
    optimizer.step()
    assert len(calls) == groups
    expected = np.mean(
        [held_out_cosines(X, T[:, :16], o, 1).cosines for X, T, o in calls[: min(groups, 4)]],
        axis=0,
    )
    np.testing.assert_allclose(optimizer.state[layer.weight]["scale_cosines"], expected)
    assert {options.scale for *_, options in calls} == {SCALES[expected.argmax()]}
    assert optimizer.scales == {"BinaryConv2d": SCALES[expected.argmax()]}


def test_all_neurons_and_groups_take_part_in_turn():
    scores, rows, groups = ScaleScores(), set(), set()
    for _ in range(10):
        comparison = ScaleComparison(scores, 12, (3, 5))
        groups |= set(comparison.groups)
        rows |= set(ScaleComparison(scores, 1, (130, 5)).rows.tolist())
        scores = scores.updated((0.0,) * len(SCALES))
    assert groups == set(range(12))
    assert rows == set(range(130))


@pytest.mark.parametrize(
    ("count", "spacing"), [(15, None), (16, 1), (1024, 1), (1025, 3), (9000, 9)]
)
def test_samples_of_a_comparison(count, spacing):
    positions = ScaleComparison(ScaleScores(), 1, (3, 5)).positions(count)
    assert len(positions) == (0 if spacing is None else -(-count // spacing))
    assert len(positions) <= 1024
    assert set(np.diff(positions).tolist()) <= {spacing}
    wide = ScaleComparison(ScaleScores(), 1, (3, 500)).positions(4000)
    assert len(wide) == 4000


def test_means_are_plain_and_then_exponential():
    scores = ScaleScores()
    values = [0.5, 0.1, 0.3]
    for value in values:
        scores = scores.updated((value,) * len(SCALES))
    assert scores.cosines[0] == pytest.approx(np.mean(values))
    assert scores.best == 1.0  # of equal ones the largest
    old = ScaleScores((0.2,) * len(SCALES), 50)
    assert old.updated((0.4,) * len(SCALES)).cosines[0] == pytest.approx(0.22)


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), "auto"])
def test_bad_scales(value):
    with pytest.raises((ValueError, TypeError), match="scale"):
        QPSBGD(BinaryLinear(4, 2), scale=value)
