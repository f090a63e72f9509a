"""Decay of the latent weights, and learning rates relative to their size."""

import pytest

torch = pytest.importorskip("torch")

import qpsbgd
from networks import backward, reloaded
from qpsbgd.nn import BinaryLinear, convert_to_binary
from qpsbgd.optim import QPSBGD


class Recorder:
    """Projector that records the binary gradients that it returns."""

    def __init__(self):
        self.binary = []

    def __call__(self, X, T, options, /):
        self.binary.append(qpsbgd.NativeProjector()(X, T, options))
        return self.binary[-1]


def steps(net, batch, optimizer, count=1):
    for _ in range(count):
        optimizer.zero_grad()
        backward(net, batch)
        optimizer.step()


@pytest.mark.parametrize("momentum", [0.0, 0.5])
@pytest.mark.parametrize("update", ["latent", "projected"])
@pytest.mark.parametrize("relative", [False, True])
def test_a_step_is_that_of_the_slow_twin(net, batch, momentum, update, relative):
    lr, decay = (1.5, 0.3) if update == "projected" else (0.1, 2.0)
    solve = Recorder()
    optimizer = QPSBGD(
        net, lr=lr, momentum=momentum, update=update, clip=0.25, weight_decay=decay,
        relative_lr=relative, projector=solve,
    )  # fmt: skip
    first = net.first.weight.detach().double()
    unit = first.square().mean().sqrt() if relative else 1.0
    expected, mean = first.clone(), torch.zeros_like(first)
    for step in range(4):
        steps(net, batch, optimizer)
        binary = torch.from_numpy(solve.binary[2 * step]).double()
        mean = momentum * mean + (1 - momentum) * binary
        expected = (1 - lr * decay) * expected - lr * unit * mean
        if update == "projected":
            expected = torch.where(expected >= 0, 1.0, -1.0).double()
        else:
            expected = expected.clamp(-0.25, 0.25)
        torch.testing.assert_close(net.first.weight.detach().double(), expected)


def test_decay_acts_on_all_weights_of_a_layer_that_takes_a_step(net, batch):
    optimizer = QPSBGD(net.second, lr=0.1, weight_decay=0.5)
    before, unreached = net.second.weight.detach().clone(), net.first.weight.detach().clone()
    hidden = torch.ones(5, 7)
    hidden[:, 2] = 0
    net.second(hidden)[:, 1:].sum().backward()
    optimizer.step()
    torch.testing.assert_close(net.second.weight[0], 0.95 * before[0])
    torch.testing.assert_close(net.second.weight[:, 2], 0.95 * before[:, 2])
    assert torch.equal(net.first.weight, unreached)


def test_a_group_and_a_scheduler_may_change_both(net, batch):
    optimizer = QPSBGD(
        [{"params": net.first, "weight_decay": 1.0, "lr": 0.5}, {"params": net.second}]
    )
    assert [group["weight_decay"] for group in optimizer.param_groups] == [1.0, 0.0]
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.5 * (step > 0))
    assert optimizer.param_groups[0]["lr"] == 0
    steps(net, batch, optimizer)
    scheduler.step()
    assert optimizer.param_groups[0]["lr"] == 0.25
    before = net.first.weight.detach().clone()
    optimizer.param_groups[0]["relative_lr"] = True
    steps(net, batch, optimizer)
    unit = before.double().square().mean().sqrt().item()
    moved = (net.first.weight - 0.75 * before).abs()
    torch.testing.assert_close(moved, torch.full_like(moved, 0.25 * unit))


def test_the_unit_is_that_of_the_first_step_and_is_saved(net, batch):
    optimizer = QPSBGD(net, lr=0.1, relative_lr=True)
    with torch.no_grad():
        net.first.weight.mul_(0.01)  # as if loaded after the optimiser was made
    unit = net.first.weight.double().square().mean().sqrt().item()
    steps(net, batch, optimizer, 3)
    assert optimizer.state[net.first.weight]["unit"] == pytest.approx(unit, rel=1e-6)
    state = reloaded(optimizer.state_dict())
    before = net.first.weight.detach().clone()
    del optimizer
    other = QPSBGD(net, lr=0.1)
    other.load_state_dict(state)
    steps(net, batch, other)
    moved = (net.first.weight - before).abs()
    torch.testing.assert_close(moved, torch.full_like(moved, 0.1 * unit))


def test_a_relative_rate_needs_weights_that_are_not_0(net, batch):
    optimizer = QPSBGD(net, relative_lr=True)
    with torch.no_grad():
        net.second.weight.zero_()
    before = net.first.weight.detach().clone()
    backward(net, batch)
    with pytest.raises(ValueError, match="layer 'second': relative_lr is True, but all weights"):
        optimizer.step()
    assert torch.equal(net.first.weight, before)


def test_a_relative_rate_keeps_most_signs_of_a_converted_network(batch):
    torch.manual_seed(0)
    share = {}
    for relative in (False, True):
        model = convert_to_binary(torch.nn.Sequential(torch.nn.Linear(12, 4, bias=False)))
        with torch.no_grad():
            model[0].weight.copy_(0.02 * torch.randn(4, 12))
        before = model[0].weight >= 0
        optimizer = QPSBGD(model, lr=0.03, relative_lr=relative)
        torch.nn.functional.cross_entropy(model(batch[0]), batch[1]).backward()
        optimizer.step()
        share[relative] = float(((model[0].weight >= 0) != before).float().mean())
    assert share[True] < 0.05 < 0.2 < share[False]


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"weight_decay": -0.1}, ValueError),
        ({"weight_decay": float("nan")}, ValueError),
        ({"weight_decay": "much"}, TypeError),
        ({"relative_lr": 1}, TypeError),
    ],
)
def test_bad_values(options, error):
    with pytest.raises(error, match=next(iter(options))):
        QPSBGD(BinaryLinear(4, 2), **options)
