"""Every gradient counts once: repeated backward passes, resets, and gradients past the layer."""

import copy

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn

import qpsbgd
from networks import Net, backward
from qpsbgd.nn import BinaryConv2d, BinaryLinear
from qpsbgd.optim import QPSBGD, split_parameters
from qpsbgd.optim.markers import GradMark
from qpsbgd.optim.step.direct_gradients import with_direct_gradient


def weights(model):
    return [parameter.detach().clone() for parameter in model.parameters()]


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def loss_of(model, batch):
    return nn.functional.cross_entropy(model(batch[0]) / 3, batch[1])


def sampled(optimizer, index=0):
    """X and T of a layer."""
    X, T = optimizer.captures()[index].batch()
    return X[0], T[0]


# Samples belong to one forward call


def test_opposite_passes_through_one_forward_move_nothing(net, batch):
    optimizer = QPSBGD(net, lr=0.1)
    before = weights(net)
    loss = loss_of(net, batch)
    loss.backward(retain_graph=True)
    (-loss).backward()
    X, T = sampled(optimizer)
    assert torch.equal(X, batch[0])
    assert not T.any()
    optimizer.step()
    assert same(weights(net), before)
    assert optimizer.last_step["first"].num_samples == 0


@pytest.mark.parametrize("target", ["preactivation", "activation"])
def test_two_passes_through_one_forward_are_one_of_the_sum(net, batch, target):
    other = copy.deepcopy(net)
    optimizers = [QPSBGD(model, lr=0.1, target=target) for model in (net, other)]
    # Powers of two, for which no sum is rounded.
    parts = [torch.randint(-2, 3, (10, 4)).float() for _ in range(2)]
    output, other_output = net(batch[0]), other(batch[0])
    output.backward(parts[0], retain_graph=True)
    output.backward(parts[1])
    other_output.backward(parts[0] + parts[1])
    for index in (0, 1):
        for a, b in zip(*(sampled(optimizer, index) for optimizer in optimizers), strict=True):
            assert torch.equal(a, b)
    for optimizer in optimizers:
        optimizer.step()
    assert same(weights(net), weights(other))


def test_two_forward_calls_are_joined(net, batch):
    optimizer = QPSBGD(net)
    first, second = loss_of(net, batch), loss_of(net, batch)
    first.backward(retain_graph=True)
    second.backward(retain_graph=True)
    X, T = sampled(optimizer)
    assert torch.equal(X, torch.cat([batch[0]] * 2))
    assert torch.equal(T[:10], T[10:])
    second.backward()
    assert torch.equal(sampled(optimizer)[1], torch.cat([T[:10], 2 * T[:10]]))


def test_a_pass_through_an_old_forward_after_a_reset_counts_alone(net, batch):
    optimizer = QPSBGD(net)
    loss = loss_of(net, batch)
    loss.backward(retain_graph=True)
    expected = [part.clone() for part in sampled(optimizer)]
    net.zero_grad()
    loss.backward()
    for a, b in zip(sampled(optimizer), expected, strict=True):
        assert torch.equal(a, b)


def test_one_activation_called_twice_is_one_target(batch):
    layer = BinaryLinear(12, 3, bias=False)
    optimizer = QPSBGD(layer, target="activation")
    z = layer(batch[0])
    (
        qpsbgd.nn.functional.ste_sign(z, 4.0) + 2 * qpsbgd.nn.functional.ste_sign(z, 4.0)
    ).sum().backward()
    X, T = sampled(optimizer)
    assert torch.equal(X, batch[0])
    assert torch.equal(T, torch.full((10, 3), 3.0))


def test_a_gradient_changed_in_place_before_the_step_is_refused():
    layer = BinaryLinear(3, 2, bias=False)
    optimizer = QPSBGD(layer)
    upstream = torch.ones(4, 2)
    layer(torch.randn(4, 3)).backward(upstream)
    upstream.zero_()
    with pytest.raises(RuntimeError, match="gradient at the layer's output was changed in place"):
        optimizer.step()


# Whatever resets .grad discards samples


def another_optimizer(net, set_to_none):
    torch.optim.SGD(net.parameters(), lr=0.1).zero_grad(set_to_none)


def by_hand(net, set_to_none):
    for parameter in net.parameters():
        if set_to_none:
            parameter.grad = None
        else:
            parameter.grad.data.zero_()  # does not change the tensor's version


RESETS = {
    "model": lambda net, set_to_none: net.zero_grad(set_to_none),
    "layers": lambda net, set_to_none: [
        layer.zero_grad(set_to_none) for layer in (net.first, net.second)
    ],
    "another optimizer": another_optimizer,
    "by hand": by_hand,
}


@pytest.mark.parametrize("set_to_none", [True, False])
@pytest.mark.parametrize("reset", RESETS.values(), ids=RESETS)
@pytest.mark.parametrize("between", ["nothing", "clip", "scale"])
def test_a_reset_discards_samples(net, batch, reset, set_to_none, between):
    other = copy.deepcopy(net)
    optimizer, plain = QPSBGD(net, lr=0.1), QPSBGD(other, lr=0.1)
    for _ in range(2):  # in the second round .grad may be there from the first
        (-loss_of(net, batch)).backward()
        if between == "clip":
            nn.utils.clip_grad_norm_(net.parameters(), 0.1)
        elif between == "scale":
            for parameter in net.parameters():
                parameter.grad *= 0.25
        assert not any(capture.is_empty for capture in optimizer.captures())
        reset(net, set_to_none)
        assert all(capture.is_empty for capture in optimizer.captures())
        loss_of(net, batch).backward()
        loss_of(other, batch).backward()
        optimizer.step()
        plain.step()
        assert same(weights(net), weights(other))


@pytest.mark.parametrize("set_to_none", [True, False])
def test_a_reset_between_two_passes_is_noticed_without_a_step(net, batch, set_to_none):
    optimizer = QPSBGD(net)
    backward(net, batch)
    backward(net, batch)
    net.zero_grad(set_to_none)
    backward(net, (batch[0][:3], batch[1][:3]))
    assert torch.equal(sampled(optimizer)[0], batch[0][:3])
    net.zero_grad(set_to_none)
    with pytest.raises(RuntimeError, match=r"no other reset of \.grad"):
        optimizer.step()


def test_a_reset_of_one_layer_leaves_the_other(net, batch):
    optimizer = QPSBGD(net)
    backward(net, batch)
    net.first.weight.grad = None
    assert [capture.is_empty for capture in optimizer.captures()] == [True, False]


def test_accumulation_is_no_reset(net, batch):
    optimizer = QPSBGD(net)
    for first in range(0, 10, 2):
        backward(net, (batch[0][first : first + 2], batch[1][first : first + 2]))
        nn.utils.clip_grad_norm_(net.parameters(), 1e-3)
        nn.utils.clip_grad_value_(net.parameters(), 1e-3)
    assert torch.equal(sampled(optimizer)[0], batch[0])


def test_a_gan_steps_each_part_on_its_own_loss(batch):
    """The generator's pass leaves samples in the discriminator, which its zero_grad discards."""

    def run(zero_grad, alternate):
        torch.manual_seed(0)
        maker = nn.Sequential(BinaryLinear(3, 12, bias=False))
        judge = nn.Sequential(BinaryLinear(12, 6, bias=False), nn.Hardtanh(), nn.Linear(6, 1))
        own = {model: QPSBGD(model, lr=0.1) for model in (maker, judge)}
        noise = torch.randn(3, 10, 3)
        for z in noise:
            zero_grad(judge, own)
            (judge(maker(z).detach()).mean() - judge(batch[0]).mean()).backward()
            own[judge].step()
            if alternate:
                zero_grad(maker, own)
                (-judge(maker(z)).mean()).backward()
                own[maker].step()
        return weights(judge[0]), weights(maker)

    by_optimizer = run(lambda model, own: own[model].zero_grad(), True)
    for set_to_none in (True, False):
        found = run(lambda model, own: model.zero_grad(set_to_none), True)  # noqa: B023
        assert same(found[0], by_optimizer[0])
        assert same(found[1], by_optimizer[1])
    assert not same(run(lambda model, own: model.zero_grad(), False)[1], by_optimizer[1])


@pytest.mark.parametrize("set_to_none", [True, False])
def test_fgsm_trains_on_the_attacked_inputs_alone(net, batch, set_to_none):
    other = copy.deepcopy(net)
    optimizer, plain = QPSBGD(net, lr=0.1), QPSBGD(other, lr=0.1)
    for _ in range(3):
        x = batch[0].clone().requires_grad_()
        loss_of(net, (x, batch[1])).backward()
        attacked = (x + 0.1 * x.grad.sign()).detach()
        net.zero_grad(set_to_none)
        loss_of(net, (attacked, batch[1])).backward()
        optimizer.step()
        loss_of(other, (attacked, batch[1])).backward()
        plain.step()
        assert same(weights(net), weights(other))


def test_grad_scaler_and_the_zero_grad_of_the_model(net, batch):
    optimizer = QPSBGD(net, lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    for overflows in (True, False):
        before = weights(net)
        with torch.autocast("cpu", torch.bfloat16):
            loss = loss_of(net, batch) * (float("inf") if overflows else 1.0)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        assert same(before, weights(net)) == overflows
        net.zero_grad()


def test_grad_scaler_works_without_autocast(net, batch):
    optimizer = QPSBGD(net, lr=0.1)
    scaler = torch.amp.GradScaler("cpu")
    before = weights(net)
    scaler.scale(loss_of(net, batch)).backward()
    scaler.step(optimizer)
    scaler.update()
    assert not same(before, weights(net))


def test_a_mark_is_zero_in_all_arithmetic():
    layer = BinaryConv2d(4, 3, 2, bias=False).to(memory_format=torch.channels_last)
    optimizer = QPSBGD(layer)
    weight, mark = layer.weight, GradMark(layer.weight)
    assert not mark.is_present()
    for _ in range(2):
        layer(torch.randn(2, 4, 5, 5)).sum().backward()
        assert mark.is_present()
        assert not weight.grad.any()
        weight.grad.mul_(0.5).div_(3).clamp_(-1, 1)
        assert mark.is_present()
        weight.grad.zero_()
        assert not mark.is_present()
    weight.grad[2, 3, 1, 1] = 5.0
    assert mark.is_present()
    del optimizer


def test_gradients_from_before_the_optimizer_are_refused(net, batch):
    backward(net, batch)
    optimizer = QPSBGD(net)
    backward(net, batch)
    with pytest.raises(RuntimeError, match=r"layer 'first': weight.grad has values"):
        optimizer.step()
    net.zero_grad()
    backward(net, batch)
    optimizer.step()


@pytest.mark.filterwarnings("ignore:Using backward.. with create_graph=True")
@pytest.mark.parametrize("create_graph", [False, True])
def test_a_direct_gradient_of_zero_is_no_reset(net, batch, create_graph):
    optimizer = QPSBGD(net)
    loss = loss_of(net, batch) + 0 * net.first.weight.sum()
    loss.backward(create_graph=create_graph)
    assert torch.equal(sampled(optimizer)[0], batch[0])
    optimizer.step()


# Gradients that reach a weight past its layer


def penalty(weight):
    return ((1 - weight.abs()) ** 2).sum()


@pytest.mark.parametrize("objective", ["quadratic", "sign"])
@pytest.mark.parametrize("maximize", [False, True])
@pytest.mark.parametrize("factor", [1e-3, 0.1, 1e3])
def test_a_penalty_is_part_of_the_linear_term(net, batch, objective, maximize, factor):
    optimizer = QPSBGD(net, lr=0.1, objective=objective, num_sweeps=0, maximize=maximize)
    before = weights(net)
    probe = copy.deepcopy(net)
    net.zero_grad()
    loss = loss_of(net, batch) + factor * penalty(net.first.weight)
    loss.backward()
    optimizer.step()
    del optimizer
    (loss_of(probe, batch) + factor * penalty(probe.first.weight)).backward()
    # With 0 sweeps the step is along the signs of the whole gradient.
    sign = -1.0 if maximize else 1.0
    mask = (before[0].abs() <= 1).all()
    assert mask
    expected = (before[0] - sign * 0.1 * probe.first.weight.grad.sign()).clamp(-1, 1)
    assert torch.allclose(net.first.weight, expected)


def make_conv():
    return BinaryConv2d(4, 6, 2, groups=2, bias=False)


@pytest.mark.parametrize("objective", ["quadratic", "sign"])
def test_direct_gradients_of_a_convolution_with_groups(objective):
    torch.manual_seed(0)
    layer = make_conv()
    plain = copy.deepcopy(layer)
    optimizer = QPSBGD(layer, lr=0.1, num_sweeps=0, objective=objective)
    before = layer.weight.detach().clone()
    x, other = torch.randn(3, 4, 5, 5), torch.randn(2, 4, 3, 3)
    for each in (layer, plain):
        extra = nn.functional.conv2d(other, each.binary_weight, groups=2)
        (each(x).square().sum() + 3 * extra.square().sum()).backward()
    optimizer.step()
    assert torch.allclose(layer.weight, (before - 0.1 * plain.weight.grad.sign()).clamp(-1, 1))
    assert optimizer.last_step["BinaryConv2d"].num_samples == 2 * 3 * 16


@pytest.mark.parametrize(
    "projector",
    [None, qpsbgd.SimulatedAnnealingSampler(), qpsbgd.SteepestDescentSampler()],
    ids=["native", "annealing", "descent"],
)
def test_a_strong_penalty_wins_with_every_projector(batch, projector):
    torch.manual_seed(0)
    layer = BinaryLinear(12, 3, bias=False)
    optimizer = QPSBGD(layer, lr=0.1, projector=projector)
    before = layer.weight.detach().clone()
    (layer(batch[0]).square().mean() + 1e4 * penalty(layer.weight)).backward()
    optimizer.step()
    assert torch.allclose(layer.weight, (before + 0.1 * before.sign()).clamp(-1, 1))


def test_a_weight_used_past_its_layer_alone_is_trained():
    layer = BinaryLinear(6, 4, bias=False)
    optimizer = QPSBGD(layer, lr=0.1, target="activation")
    before, x = layer.weight.detach().clone(), torch.randn(5, 6)
    nn.functional.linear(x, layer.binary_weight).square().sum().backward()
    gradient = layer.weight.grad.clone()
    assert gradient.any()
    optimizer.step()
    assert torch.allclose(layer.weight, (before - 0.1 * gradient.sign()).clamp(-1, 1))
    assert optimizer.last_step["BinaryLinear"].num_samples == 0
    assert layer.weight.grad is None  # a step uses up what it was made from
    with pytest.raises(RuntimeError, match="found no gradient"):
        optimizer.step()


def test_the_output_projection_of_attention_is_trained():
    torch.manual_seed(0)
    attention = nn.MultiheadAttention(8, 2)
    attention.out_proj = BinaryLinear(8, 8)
    optimizer = QPSBGD(attention, lr=0.01)
    before = attention.out_proj.weight.detach().clone()
    x = torch.randn(3, 5, 8)
    for _ in range(2):
        attention.zero_grad()
        attention(x, x, x)[0].square().sum().backward()
        optimizer.step()
    assert ((attention.out_proj.weight - before).abs() > 0.005).float().mean() > 0.4


@pytest.mark.parametrize("is_sparse", [False, True])
def test_an_embedding_that_shares_the_weight_is_trained(is_sparse):
    embedding = nn.Embedding(7, 5, sparse=is_sparse)
    layer = BinaryLinear(5, 7, bias=False)
    layer.weight = embedding.weight
    optimizer = QPSBGD(nn.Sequential(embedding, layer), lr=0.1, num_sweeps=0, clip=9.0)
    before = layer.weight.detach().clone()
    embedding(torch.tensor([1, 4])).sum().backward()
    optimizer.step()
    expected = before.clone()
    expected[[1, 4]] -= 0.1
    torch.testing.assert_close(layer.weight.detach(), expected)


def test_direct_gradients_accumulate_and_are_reset(net, batch):
    optimizer = QPSBGD(net)
    capture = optimizer.captures()[0]
    (-penalty(net.first.weight)).backward()
    net.zero_grad()
    penalty(net.first.weight).backward()
    gradient = net.first.weight.grad.clone()
    assert torch.equal(capture.direct_gradient, gradient)
    backward(net, batch)
    penalty(net.first.weight).backward()
    assert torch.equal(capture.direct_gradient, 2 * gradient)
    assert torch.equal(sampled(optimizer)[0], batch[0])
    net.zero_grad(set_to_none=False)
    penalty(net.first.weight).backward()
    assert torch.equal(capture.direct_gradient, gradient)
    assert not capture.has_samples
    torch.autograd.grad(penalty(net.first.weight), net.first.weight)
    assert torch.equal(capture.direct_gradient, gradient)


def test_grad_scaler_scales_samples_and_direct_gradients_alike(net, batch):
    other = copy.deepcopy(net)
    optimizer, plain = QPSBGD(net, lr=0.1), QPSBGD(other, lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**12)
    loss, other_loss = (
        loss_of(model, batch) + 0.1 * penalty(model.first.weight) for model in (net, other)
    )
    scaler.scale(loss).backward()
    scaler.unscale_(optimizer)
    nn.utils.clip_grad_norm_(net.parameters(), 0.01)
    scaler.step(optimizer)
    other_loss.backward()
    plain.step()
    assert same(weights(net), weights(other))


def test_values_written_to_grad_are_refused(net, batch):
    optimizer = QPSBGD(net)
    before = weights(net)
    backward(net, batch)
    net.second.weight.grad.add_(net.second.weight.detach(), alpha=0.1)
    with pytest.raises(RuntimeError, match=r"layer 'second': weight.grad has values"):
        optimizer.step()
    assert same(weights(net), before)
    net.second.weight.grad = None
    optimizer.step()


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
@pytest.mark.parametrize("objective", ["quadratic", "sign"])
def test_a_direct_gradient_that_is_not_finite_names_the_layer(net, batch, value, objective):
    optimizer = QPSBGD(net, objective=objective)
    before = weights(net)
    (loss_of(net, batch) + value * penalty(net.second.weight)).backward()
    with pytest.raises(ValueError, match="layer 'second': "):
        optimizer.step()
    assert same(weights(net), before)


@pytest.mark.parametrize("hook", [lambda grad: grad * 0, lambda grad: None], ids=["mask", "log"])
@pytest.mark.parametrize("with_penalty", [False, True])
def test_a_hook_on_a_claimed_weight_names_the_layer(net, batch, hook, with_penalty):
    optimizer = QPSBGD(net)
    handle = net.second.weight.register_hook(hook)
    penalty = net.second.weight.sum() if with_penalty else 0
    with pytest.raises(RuntimeError, match=r"layer 'second': .*hook \(register_hook\).*remove"):
        (loss_of(net, batch) + penalty).backward()
    x = batch[0].clone().requires_grad_()
    torch.autograd.grad(loss_of(net, (x, batch[1])), x)  # does not reach the weight
    handle.remove()
    optimizer.zero_grad()
    backward(net, batch)
    optimizer.step()
    del optimizer
    net.second.weight.register_hook(lambda grad: grad * 0)
    backward(net, batch)
    assert not net.second.weight.grad.any()


def test_a_hook_gets_and_changes_the_gradient_of_a_weight_used_past_its_layer(net, batch):
    optimizer = QPSBGD(net, lr=0.1, scale=0.01)
    before = net.first.weight.detach().clone()
    seen = []

    def negated(grad):
        seen.append(grad.clone())
        return -grad

    net.first.weight.register_hook(negated)
    (2 * net.first.weight).sum().backward()
    assert torch.equal(seen[0], torch.full((7, 12), 2.0))
    optimizer.step()
    assert torch.equal(net.first.weight, (before + 0.1).clamp(-1, 1))


def test_no_gradient_of_an_earlier_step_is_left(net, batch):
    optimizer = QPSBGD(net, lr=0.1)
    other = copy.deepcopy(net)
    plain = QPSBGD(other, lr=0.1)
    for _ in range(2):  # without zero_grad, as a step uses up what it was made from
        (loss_of(net, batch) + penalty(net.first.weight)).backward()
        optimizer.step()
        plain.zero_grad()
        (loss_of(other, batch) + penalty(other.first.weight)).backward()
        plain.step()
    assert same(weights(net), weights(other))


@pytest.mark.parametrize("num_samples", [0, 1, 50])
@pytest.mark.parametrize("objective", ["quadratic", "sign"])
def test_added_samples_have_the_gradient_as_their_product(rng, num_samples, objective):
    X = 30 * rng.normal(size=(num_samples, 9)).astype(np.float32)
    T = rng.normal(size=(num_samples, 4)).astype(np.float32)
    gradient = rng.normal(size=(4, 9)).astype(np.float32)
    gradient[:, 3] = 0
    inputs, targets = with_direct_gradient(X, T, gradient, objective)
    assert inputs.shape == (num_samples + 8, 9)
    np.testing.assert_array_equal(inputs[:num_samples], X)
    added = targets[num_samples:].T @ inputs[num_samples:]
    np.testing.assert_array_equal(added, gradient)  # powers of two are exact
    curvature = inputs[num_samples:].T @ inputs[num_samples:]
    assert not (curvature - np.diag(np.diag(curvature))).any()


@pytest.mark.parametrize("strength", [0.1, 3.0, 1e6])
def test_a_quadratic_problem_with_a_direct_gradient_is_the_one_of_its_terms(rng, strength):
    """The minimum is that of alpha b^T G b / 2 - b (X^T t + g), by exhaustion."""
    X = rng.normal(size=(20, 8)).astype(np.float32)
    T = rng.normal(size=(20, 1)).astype(np.float32)
    g = strength * rng.normal(size=(1, 8)).astype(np.float32)
    inputs, targets = with_direct_gradient(X, T, g, "quadratic")
    found = qpsbgd.project(inputs, targets, num_reads=50, seed=0)
    linear = (T.T @ X + g)[0].astype(np.float64)
    start = np.where(linear >= 0, 1.0, -1.0)
    alpha = linear @ start / np.square(inputs @ start).sum()
    states = 2.0 * (np.arange(256)[:, None] >> np.arange(8) & 1) - 1
    energies = alpha * np.square(states @ X.T).sum(axis=1) / 2 - states @ linear
    np.testing.assert_array_equal(found[0], states[energies.argmin()])
    if strength == 3.0:  # alpha is about that of the samples, for the same b0
        own = np.abs(T.T @ X).sum() / np.square(X @ start).sum()
        assert 0.6 < alpha / own < 1.6


def test_gradients_of_gradients_are_warned_of(net, batch):
    optimizer = QPSBGD(net)
    x = batch[0].clone().requires_grad_()
    for is_reached in (False, True, True):
        (gradient,) = torch.autograd.grad(loss_of(net, (x, batch[1])), x, create_graph=True)
        penalty_of_gradient = gradient.square().sum()
        if not is_reached:  # no weight is asked about
            torch.autograd.grad(penalty_of_gradient, x)
        elif net.first.weight.grad is None:
            with pytest.warns(UserWarning, match="depends on gradients") as found:
                penalty_of_gradient.backward()
            assert len(found) == 2  # one for each layer
        else:
            penalty_of_gradient.backward()
    optimizer.step()


# Parameters of a quantizer


class Shifted(nn.Module):
    """Sign of the weight with a learnable threshold and scale."""

    def __init__(self):
        super().__init__()
        self.threshold = nn.Parameter(torch.tensor(0.1))
        self.scale = nn.Parameter(torch.tensor(1.5))

    def forward(self, weight):
        return self.scale * qpsbgd.nn.functional.ste_sign(weight - self.threshold, 2.0)


@pytest.mark.parametrize("dims", [0, 2])
def test_parameters_of_a_quantizer_get_their_gradients(dims):
    torch.manual_seed(0)
    layer = (
        BinaryConv2d(2, 3, 2, kernel_quantizer=Shifted())
        if dims
        else BinaryLinear(6, 3, kernel_quantizer=Shifted())
    )
    claimed = copy.deepcopy(layer)
    optimizer = QPSBGD(claimed, lr=0.1)
    x = torch.randn(4, 2, 5, 5) if dims else torch.randn(4, 6)
    for each in (layer, claimed):
        each(x).square().sum().backward()
    plain, own = layer.kernel_quantizer, claimed.kernel_quantizer
    assert plain.scale.grad
    assert torch.equal(own.scale.grad, plain.scale.grad)
    assert torch.equal(own.threshold.grad, plain.threshold.grad)
    assert optimizer.captures()[0].direct_gradient is None
    before = claimed.weight.detach().clone()
    optimizer.step()
    assert not torch.equal(claimed.weight, before)


def test_quantizer_parameters_are_real_parameters():
    layer = BinaryLinear(6, 3, bias=False, kernel_quantizer=Shifted())
    binary, real = split_parameters(layer)
    assert len(binary) == 1
    assert {id(p) for p in real} == {id(p) for p in layer.kernel_quantizer.parameters()}


def test_the_gradients_norm(net, batch):
    assert isinstance(net, Net)
    plain = copy.deepcopy(net)
    optimizer = QPSBGD(net, stats_every=2)
    for step in (1, 2):
        plain.load_state_dict(net.state_dict())
        for model in (net, plain):
            model.zero_grad()
            (loss_of(model, batch) + 0.1 * penalty(model.first.weight)).backward()
        optimizer.step()
        for name, layer in (("first", plain.first), ("second", plain.second)):
            norm = optimizer.last_step[name].gradient_norm
            if step == 1:
                assert norm is None
            else:
                assert norm == pytest.approx(layer.weight.grad.norm().item(), rel=1e-5)


def test_a_penalty_that_is_not_finite_names_the_layer(net, batch):
    optimizer = QPSBGD(net)
    (loss_of(net, batch) + float("nan") * penalty(net.first.weight)).backward()
    with pytest.raises(
        ValueError, match="layer 'first': the gradient that reached the weight past"
    ):
        optimizer.step()
