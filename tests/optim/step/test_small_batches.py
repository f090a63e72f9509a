"""Samples of past steps in the projections of small batches."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import qpsbgd
from networks import reloaded
from qpsbgd.nn import BinaryConv2d, BinaryLinear
from qpsbgd.optim import QPSBGD
from qpsbgd.optim.step.sample_memory import PastSamples


class Recorder:
    """Projector that records the samples it receives."""

    def __init__(self):
        self.calls = []

    def __call__(self, X, T, options, /):
        self.calls.append((X.copy(), T.copy()))
        return qpsbgd.NativeProjector()(X, T, options)


def batches(rng, sizes):
    return [
        tuple(torch.from_numpy(rng.normal(size=(size, k)).astype(np.float32)) for k in (6, 3))
        for size in sizes
    ]


def train(layer, optimizer, steps):
    """Take a step for each pair of inputs X and targets T of the layer."""
    for X, T in steps:
        optimizer.zero_grad()
        (layer(X) * T).sum().backward()
        optimizer.step()


def joined(steps, memory):
    """The slow twin: the samples of the last steps that have `memory` samples together."""
    window = [steps[-1]]
    if 4 * len(steps[-1][0]) < memory:
        for step in reversed(steps[:-1]):
            if 4 * len(step[0]) >= memory or sum(len(X) for X, _ in window) >= memory:
                break
            window.insert(0, step)
    return [torch.cat(parts).numpy() for parts in zip(*window, strict=True)]


@pytest.mark.parametrize("memory", [0, 1, 5, 20, 128])
@pytest.mark.parametrize(
    "sizes", [(1,) * 40, (4, 1, 3, 9, 2, 2, 2), (40, 3, 2, 40, 3)], ids=["one", "mixed", "last"]
)
def test_few_samples_are_joined_by_those_of_past_steps(rng, sizes, memory):
    steps = batches(rng, sizes)
    layer, solve = BinaryLinear(6, 3, bias=False), Recorder()
    train(layer, QPSBGD(layer, projector=solve, memory=memory), steps)
    for number, (X, T) in enumerate(solve.calls):
        expected = joined(steps[: number + 1], memory)
        np.testing.assert_array_equal(X, expected[0])
        np.testing.assert_allclose(T, expected[1])
    assert len(solve.calls) == len(steps)


def test_the_memory_is_bounded_and_empty_for_large_batches(rng):
    layer = BinaryLinear(6, 3, bias=False)
    optimizer = QPSBGD(layer)
    for steps in (batches(rng, (31,) * 6), batches(rng, (1,) * 180)):
        train(layer, optimizer, steps)
        past = PastSamples.from_state(optimizer.state[layer.weight])
        assert 128 <= len(past.inputs) == len(past.targets) == sum(past.sizes) < 160
        assert optimizer.last_step["BinaryLinear"].num_samples == len(past.inputs)
    train(layer, optimizer, batches(rng, (32,)))
    assert PastSamples.from_state(optimizer.state[layer.weight]) is None


def test_inputs_may_change_in_place_after_the_step(rng):
    layer, solve = BinaryLinear(6, 3, bias=False), Recorder()
    optimizer = QPSBGD(layer, projector=solve)
    [(X, T)] = batches(rng, (2,))
    before = X.clone()
    train(layer, optimizer, [(X, T)])
    X.zero_()
    train(layer, optimizer, [(X, T)])
    assert np.array_equal(solve.calls[1][0][:2], before.numpy())


def test_layers_without_memory(rng):
    image = torch.from_numpy(rng.normal(size=(1, 4, 3, 3)).astype(np.float32))
    linear, grouped = BinaryLinear(6, 3, bias=False), BinaryConv2d(4, 4, 3, groups=2, bias=False)
    for layer, x, options in (
        (linear, torch.ones(1, 6), {"objective": "sign"}),
        (grouped, image, {}),
    ):
        solve = Recorder()
        optimizer = QPSBGD(layer, projector=solve, **options)
        for _ in range(3):
            optimizer.zero_grad()
            layer(x).sum().backward()
            optimizer.step()
        assert {len(X) for X, _ in solve.calls} == {1}
        assert set(optimizer.state[layer.weight]) == {"step"}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_a_state_continues_bit_for_bit(rng, dtype):
    steps = [(X.to(dtype), T.to(dtype)) for X, T in batches(rng, (3,) * 40)]
    layer, other = (BinaryLinear(6, 3, bias=False, dtype=dtype) for _ in range(2))
    optimizer = QPSBGD(layer, lr=0.1)
    train(layer, optimizer, steps[:7])
    weights, state = reloaded([layer.state_dict(), optimizer.state_dict()])
    other.load_state_dict(weights)
    resumed = QPSBGD(other)
    resumed.load_state_dict(state)
    train(layer, optimizer, steps[7:])
    train(other, resumed, steps[7:])
    assert torch.equal(layer.weight, other.weight)
    own, theirs = (each.state[w.weight] for each, w in ((optimizer, layer), (resumed, other)))
    assert torch.equal(own["past_targets"], theirs["past_targets"])


def test_a_state_of_an_earlier_version_has_no_memory(rng):
    layer = BinaryLinear(6, 3, bias=False)
    optimizer = QPSBGD(layer)
    state = optimizer.state_dict()
    for name in ("memory", "weight_decay", "relative_lr"):
        del state["param_groups"][0][name]
    optimizer.load_state_dict(state)
    train(layer, optimizer, batches(rng, (1, 1)))
    assert optimizer.last_step["BinaryLinear"].num_samples == 1


def test_a_failed_step_remembers_nothing(rng):
    layer = BinaryLinear(6, 3, bias=False)
    optimizer = QPSBGD(layer)
    good, bad = batches(rng, (2, 2))
    bad[1][0, 0] = np.inf
    train(layer, optimizer, [good])
    with pytest.raises(ValueError, match="BinaryLinear"):
        train(layer, optimizer, [bad])
    assert PastSamples.from_state(optimizer.state[layer.weight]).sizes == [2]


@pytest.mark.parametrize(("value", "error"), [(-1, ValueError), (2.5, TypeError)])
def test_bad_memories(value, error):
    with pytest.raises(error, match="memory"):
        QPSBGD(BinaryLinear(4, 2), memory=value)


@pytest.mark.slow
def test_single_samples_find_the_signs_of_noisy_targets():
    torch.manual_seed(0)
    wanted = torch.randn(3, 30).sign()
    shares = {}
    for memory in (0, 128):
        layer = BinaryLinear(30, 3, bias=False)
        optimizer = QPSBGD(layer, lr=0.003, memory=memory)
        generator = torch.Generator().manual_seed(1)
        for _ in range(400):
            x = torch.randn(1, 30, generator=generator)
            target = x @ wanted.T + 8 * torch.randn(1, 3, generator=generator)
            optimizer.zero_grad()
            (layer(x) - target).square().sum().backward()
            optimizer.step()
        shares[memory] = float((layer.weight.sign() == wanted).float().mean())
    assert shares[128] > shares[0] + 0.05
