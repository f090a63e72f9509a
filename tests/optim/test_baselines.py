"""The baselines against slow NumPy twins of the published updates, and as torch optimisers."""

import copy
import io
import math
import pickle

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn
from torch.optim.optimizer import (
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)

from networks import Net, backward
from qpsbgd.nn import BinaryLinear
from qpsbgd.optim import (
    BinaryConnect,
    Bop,
    ProxConnect,
    ProxQuant,
    SignSGD,
    binarize_weights_of,
    binary_weights_of,
)
from qpsbgd.optim.baselines.proxconnect import QUANTIZER_PAIRS, sign_swish

MAKE = {
    "binaryconnect": lambda params, **o: BinaryConnect(params, **{"lr": 0.05, **o}),
    "binaryconnect-sgd": lambda params, **o: BinaryConnect(
        params, torch.optim.SGD, **{"lr": 0.5, "momentum": 0.9, **o}
    ),
    "signsgd": lambda params, **o: SignSGD(params, **{"lr": 0.05, **o}),
    "signum": lambda params, **o: SignSGD(params, **{"lr": 0.05, "momentum": 0.9, **o}),
    "bop": lambda params, **o: Bop(params, **{"lr": 0.1, "tau": 1e-4, **o}),
    "proxquant": lambda params, **o: ProxQuant(
        params, torch.optim.Adam, **{"lr": 0.05, "reg_rate": 0.02, **o}
    ),
    "proxconnect": lambda params, **o: ProxConnect(
        params, torch.optim.Adam, **{"lr": 0.05, "mu_growth": 1.1, **o}
    ),
}
#: Optimisers whose layers must have real weights.
REAL = ("proxquant", "proxconnect")


def make_net(name, seed=0):
    """Return a network with the layers that an optimiser needs."""
    torch.manual_seed(seed)
    net = Net()
    if name in REAL:
        for layer in (net.first, net.second):
            layer.kernel_quantizer = None
    return net


def train(net, batch, optimizer, steps):
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        losses.append(backward(net, batch).item())
        optimizer.step()
    return losses


def sign(v):
    return np.where(v >= 0, 1.0, -1.0)


class Problem:
    """||A w - y||^2 / 2 in float64, for torch and for NumPy."""

    def __init__(self, rng, n=40):
        self.a, self.y = rng.normal(size=(30, n)) / 6, 3 * rng.normal(size=30)
        self.start = rng.uniform(-1, 1, size=n)

    def gradient(self, w):
        return self.a.T @ (self.a @ w - self.y)

    def run(self, make, steps, at=lambda w: w):
        """Return the parameter after each step (steps, n); ``at`` is the quantizer of the layer."""
        weight = nn.Parameter(torch.from_numpy(self.start.copy()))
        optimizer = make([weight])
        states = []
        for _ in range(steps):
            used = at(weight.detach().numpy().copy())
            weight.grad = torch.from_numpy(self.gradient(used))
            optimizer.step()
            states.append(weight.detach().numpy().copy())
        return np.stack(states)


@pytest.fixture
def problem(rng):
    return Problem(rng)


def test_binaryconnect_twins(problem):
    v, expected = problem.start, []
    for _ in range(20):
        v = np.clip(v - 0.05 * problem.gradient(sign(v)), -0.8, 0.8)
        expected.append(v)
    found = problem.run(
        lambda params: BinaryConnect(params, torch.optim.SGD, lr=0.05, clip=0.8), 20, sign
    )
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
    assert (np.abs(expected) == 0.8).any()

    v, first, second, expected = problem.start, 0.0, 0.0, []
    for step in range(1, 21):
        g = problem.gradient(sign(v))
        first, second = 0.9 * first + 0.1 * g, 0.999 * second + 0.001 * g**2
        direction = first / (1 - 0.9**step) / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)
        v = np.clip(v - 0.02 * direction, -1, 1)
        expected.append(v)
    found = problem.run(lambda params: BinaryConnect(params, lr=0.02), 20, sign)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("maximize", [False, True])
def test_signsgd_twin(problem, momentum, maximize):
    v, average, expected = problem.start, 0.0, []
    for _ in range(20):
        average = momentum * average + (1 - momentum) * problem.gradient(sign(v))
        v = np.clip(v - (-1 if maximize else 1) * 0.03 * np.sign(average), -1, 1)
        expected.append(v)
    found = problem.run(
        lambda params: SignSGD(params, lr=0.03, momentum=momentum, maximize=maximize), 20, sign
    )
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("maximize", [False, True])
def test_bop_twin(problem, maximize):
    w, average, expected = sign(problem.start), 0.0, []
    for _ in range(20):
        g = problem.gradient(w) * (-1 if maximize else 1)
        average = (1 - 0.1) * average + 0.1 * g
        w = np.where(w * average > 0.05, -w, w)
        expected.append(w)
    found = problem.run(lambda params: Bop(params, lr=0.1, tau=0.05, maximize=maximize), 20)
    np.testing.assert_array_equal(found, expected)
    assert (expected[0] != expected[-1]).any()


@pytest.mark.parametrize("strength", [0.0, 0.7])
def test_proxquant_twin(problem, strength):
    v, expected = problem.start, []
    for step in range(20):
        z = v - 0.02 * problem.gradient(v)
        s, threshold = sign(z), 0.02 * (strength + 0.1 * step)
        v = s + np.sign(z - s) * np.maximum(np.abs(z - s) - threshold, 0)
        v = np.clip(v, -1, 1)
        expected.append(v)
    options = {"lr": 0.02, "reg_rate": 0.1, "strength": strength}
    found = problem.run(lambda params: ProxQuant(params, **options), 20)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
    assert (np.abs(expected[-1]) == 1).any()
    assert (np.abs(expected[-1]) < 1).any()


@pytest.mark.parametrize("name", QUANTIZER_PAIRS)
def test_proxconnect_twin(problem, name):
    def swish(v, mu):
        s = 1 / (1 + np.exp(-mu * v))
        return 2 * s * (1 + mu * v * (1 - s)) - 1

    def slope(v, mu):
        return (swish(v + 1e-6, mu) - swish(v - 1e-6, mu)) / 2e-6

    forward = swish if name == "bnn++" else lambda v, mu: sign(v)
    back = {
        "binaryconnect": lambda v, mu: 1.0,
        "bnn": lambda v, mu: np.abs(v) <= 1,
    }.get(name, slope)
    v, mu, expected = problem.start, 2.0, []
    for _ in range(20):
        v = np.clip(v - 0.02 * back(v, mu) * problem.gradient(forward(v, mu)), -1.1, 1.1)
        mu *= 1.05
        expected.append(forward(v, mu))
    found = problem.run(
        lambda params: ProxConnect(
            params, lr=0.02, quantizer=name, mu=2.0, mu_growth=1.05, clip=1.1
        ),
        20,
    )
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("mu", [0.5, 5.0, 1e4])
def test_sign_swish_and_its_slope(mu):
    v = torch.linspace(-2, 2, 101, dtype=torch.float64, requires_grad=True)
    sign_swish(v, mu).sum().backward()
    torch.testing.assert_close(
        QUANTIZER_PAIRS["bnn++"][1](v.detach(), mu), v.grad, rtol=1e-7, atol=1e-9
    )
    assert sign_swish(torch.tensor([-1.0, 1.0]), 1e4).tolist() == [-1.0, 1.0]


def test_binaryconnect_is_a_proxconnect_to_the_bit(batch):
    options = {"lr": 0.3, "momentum": 0.9, "weight_decay": 1e-3}
    straight, proximal = make_net("binaryconnect"), make_net("proxconnect")
    one = BinaryConnect(straight.parameters(), torch.optim.SGD, **options)
    other = ProxConnect(
        proximal.parameters(), torch.optim.SGD, quantizer="binaryconnect", **options
    )
    assert train(straight, batch, one, 30) == train(proximal, batch, other, 30)
    for latent, weight in zip(straight.parameters(), proximal.parameters(), strict=True):
        assert torch.equal(latent, other.state[weight]["latent"])
        assert torch.equal(latent.sign(), weight)


@pytest.mark.parametrize("name", MAKE)
def test_loss_falls_and_the_network_is_binary(batch, name):
    net = make_net(name)
    optimizer = MAKE[name](net.parameters())
    assert isinstance(optimizer, torch.optim.Optimizer)
    losses = train(net, batch, optimizer, 60)
    assert min(losses[-10:]) < 0.7 * losses[0]
    assert net.first.weight.abs().max() < 1.21  # the sign-swish goes up to 1.2
    with binary_weights_of(optimizer):
        binary = backward(net, batch).item()
        assert set(net.first.weight.unique().tolist()) == {-1.0, 1.0}
    assert binary < losses[0]
    kept = net.first.weight.detach().clone()
    binarize_weights_of(optimizer)
    assert torch.equal(net.first.weight, torch.where(kept >= 0, 1.0, -1.0))


def test_weights_come_back_after_an_error(batch):
    net = make_net("proxquant")
    optimizer = MAKE["proxquant"](net.parameters())
    kept = net.first.weight.detach().clone()
    with pytest.raises(KeyError), binary_weights_of(optimizer):
        raise KeyError
    assert torch.equal(net.first.weight, kept)


@pytest.mark.parametrize("name", MAKE)
def test_state_resumes_bit_for_bit(batch, name):
    net = make_net(name)
    optimizer = MAKE[name](net.parameters())
    train(net, batch, optimizer, 7)
    file = io.BytesIO()
    torch.save((net.state_dict(), optimizer.state_dict()), file)
    file.seek(0)
    weights, state = torch.load(file, weights_only=True)
    other = make_net(name, seed=8)
    resumed = MAKE[name](other.parameters(), lr=0.7)
    other.load_state_dict(weights)
    resumed.load_state_dict(state)
    assert train(net, batch, optimizer, 7) == train(other, batch, resumed, 7)
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize("name", MAKE)
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copies_go_on_alike(batch, name, copied):
    net = make_net(name)
    optimizer = MAKE[name](net.parameters())
    train(net, batch, optimizer, 3)
    net.z = net.a = None  # of the last forward pass, on the graph
    net.zero_grad()
    other, twin = copied((net, optimizer))
    assert next(other.parameters()) is twin.param_groups[0]["params"][0]
    assert train(net, batch, optimizer, 5) == train(other, batch, twin, 5)


@pytest.mark.parametrize("name", MAKE)
def test_schedulers_and_groups(batch, name):
    net = make_net(name)
    optimizer = MAKE[name]([{"params": net.first.weight, "lr": 0.04}])
    optimizer.add_param_group({"params": [net.second.weight], "lr": 0.0})
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)
    second = net.second.weight.detach().clone()
    for lr in (0.04, 0.02, 0.01):
        assert optimizer.param_groups[0]["lr"] == pytest.approx(lr)
        train(net, batch, optimizer, 1)
        scheduler.step()
    if name != "proxconnect":  # F becomes sharper without a step too
        assert torch.equal(net.second.weight, second)
    # At lr = 0, of which the inner optimiser is told, nothing moves.
    optimizer.param_groups[0].update(lr=0.0, mu_growth=1.0)
    first = net.first.weight.detach().clone()
    train(net, batch, optimizer, 1)
    if name != "bop":  # whose average is as it was, but may still ask for flips
        assert torch.equal(net.first.weight, first)


@pytest.mark.parametrize("name", MAKE)
def test_closures(batch, name):
    nets = [make_net(name) for _ in range(2)]
    optimizers = [MAKE[name](net.parameters()) for net in nets]

    def closure():
        optimizers[0].zero_grad()
        return backward(nets[0], batch)

    losses = [optimizers[0].step(closure).item() for _ in range(3)]
    assert losses == train(nets[1], batch, optimizers[1], 3)


@pytest.mark.parametrize("name", MAKE)
def test_grad_scaler(batch, name):
    nets = [make_net(name) for _ in range(2)]
    optimizers = [MAKE[name](net.parameters()) for net in nets]
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    for step in range(3):
        optimizers[0].zero_grad()
        loss = nn.functional.cross_entropy(nets[0](batch[0]) / 3, batch[1])
        scaler.scale(loss).backward()
        if step == 1:
            nets[0].first.weight.grad[0, 0] = math.inf  # the step is left out
        scaler.step(optimizers[0])
        scaler.update()
    train(nets[1], batch, optimizers[1], 2)
    for a, b in zip(nets[0].parameters(), nets[1].parameters(), strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("name", MAKE)
def test_weights_without_gradient_stay(batch, name):
    net = make_net(name)
    optimizer = MAKE[name](net.parameters())
    before = net.second.weight.detach().clone()
    net.second.weight.requires_grad_(False)
    train(net, batch, optimizer, 3)
    assert torch.equal(net.second.weight, before)


@pytest.mark.parametrize("name", MAKE)
def test_nan_shows(batch, name):
    net = make_net(name)
    optimizer = MAKE[name](net.parameters())
    backward(net, batch)
    net.first.weight.grad[0, 0] = math.nan
    optimizer.step()
    assert net.first.weight[0, 0].isnan()
    assert net.first.weight.isnan().sum() == 1


@pytest.mark.parametrize("name", ["binaryconnect", "proxquant", "proxconnect"])
def test_step_hooks_run_once(batch, name):
    net = make_net(name)
    torch.optim.Adam(net.parameters()).step()  # torch then calls hooks in Adam.step itself
    optimizer = MAKE[name](net.parameters())
    calls = []
    optimizer.register_step_post_hook(lambda *args: calls.append("own"))
    handles = [
        register(lambda optimizer, *args: calls.append(type(optimizer)))
        for register in (register_optimizer_step_pre_hook, register_optimizer_step_post_hook)
    ]
    try:
        train(net, batch, optimizer, 3)
    finally:
        for handle in handles:
            handle.remove()
    assert calls == [type(optimizer), "own", type(optimizer)] * 3


@pytest.mark.parametrize(
    ("make", "state"),
    [
        (lambda params: Bop(params, lr=0.1), "average"),
        (lambda params: SignSGD(params, momentum=0.5), "average"),
    ],
    ids=["bop", "signum"],
)
def test_later_steps_make_no_new_state(monkeypatch, make, state):
    weight = torch.nn.Parameter(torch.tensor([0.5, -0.5]))
    optimizer = make([weight])
    weight.grad = torch.ones(2)
    optimizer.step()
    average = optimizer.state[weight][state]
    monkeypatch.setattr(torch, "zeros_like", None)
    optimizer.step()
    assert optimizer.state[weight][state] is average


@pytest.mark.parametrize(
    ("outer", "optimizer", "options"),
    [
        (BinaryConnect, torch.optim.AdamW, {"lr": 0.05}),
        (BinaryConnect, torch.optim.Adam, {"lr": 0.05, "amsgrad": True, "fused": True}),
        (BinaryConnect, torch.optim.Adagrad, {"lr": 0.3}),  # has its state from the beginning
        (BinaryConnect, torch.optim.RMSprop, {"lr": 0.02, "momentum": 0.5}),
        (BinaryConnect, torch.optim.Rprop, {}),
        (BinaryConnect, torch.optim.NAdam, {"lr": 0.05}),
        (BinaryConnect, SignSGD, {"lr": 0.05, "momentum": 0.5}),
        (ProxQuant, torch.optim.AdamW, {"lr": 0.05}),
        (ProxQuant, torch.optim.Adagrad, {"lr": 0.3}),
        (ProxConnect, torch.optim.AdamW, {"lr": 0.05}),
        (ProxConnect, SignSGD, {"lr": 0.05, "momentum": 0.5}),
    ],
)
def test_any_optimiser_inside(batch, outer, optimizer, options):
    name = outer.__name__.lower()
    net = make_net(name)
    whole = outer(net.named_parameters(), optimizer, **options)
    losses = train(net, batch, whole, 40)
    assert min(losses[-10:]) < 0.8 * losses[0]
    other = make_net(name)
    resumed = outer(other.named_parameters(), optimizer, **options)
    other.load_state_dict(net.state_dict())
    resumed.load_state_dict(copy.deepcopy(whole.state_dict()))
    assert train(net, batch, whole, 3) == train(other, batch, resumed, 3)


def test_an_optimiser_that_evaluates_more_than_once(batch):
    net = make_net("binaryconnect")
    optimizer = BinaryConnect(net.parameters(), torch.optim.LBFGS, lr=0.1, max_iter=3)

    def closure():
        optimizer.zero_grad()
        return backward(net, batch)

    assert optimizer.step(closure).item() > 0
    assert net.first.weight.abs().max() <= 1


def test_only_the_given_parameters_are_clipped(batch):
    net = nn.Sequential(BinaryLinear(12, 4))
    with torch.no_grad():
        net[0].bias.fill_(3.0)
        net[0].weight.fill_(3.0)
    optimizer = BinaryConnect([net[0].weight])
    train(net, batch, optimizer, 1)
    assert net[0].weight.max() == 1.0
    assert net[0].bias.min() == 3.0
    optimizer.add_param_group({"params": [net[0].bias], "clip": math.inf})
    train(net, batch, optimizer, 1)
    assert net[0].bias.min() > 1.0


def test_states_of_plain_optimisers(batch):
    net = make_net("binaryconnect")
    adam = torch.optim.Adam(net.parameters(), lr=0.03)
    train(net, batch, adam, 3)
    optimizer = BinaryConnect(net.parameters())
    optimizer.load_state_dict(adam.state_dict())
    assert (optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["clip"]) == (0.03, 1.0)
    other = make_net("proxconnect")
    proximal = ProxConnect(other.parameters(), torch.optim.Adam)
    with pytest.raises(ValueError, match="another optimiser's: it has no latent weights"):
        proximal.load_state_dict(adam.state_dict())
    train(other, batch, proximal, 1)  # goes on as if nothing had been


@pytest.mark.parametrize("name", REAL)
def test_layers_that_take_signs_are_noticed(batch, name):
    net = make_net("binaryconnect")
    optimizer = MAKE[name](net.parameters())
    with pytest.raises(RuntimeError, match=f"(?i){name} takes gradients.*kernel_quantizer=None"):
        backward(net, batch)
    with torch.no_grad():
        net(batch[0])  # only looked at
    backward(copy.deepcopy(net), batch)
    backward(pickle.loads(pickle.dumps(net)), batch)
    del optimizer
    backward(net, batch)


def test_bop_makes_loaded_weights_binary_again(batch):
    net = make_net("bop")
    optimizer = MAKE["bop"](net.parameters())
    assert set(net.first.weight.unique().tolist()) == {-1.0, 1.0}
    net.load_state_dict(make_net("bop", seed=3).state_dict())
    train(net, batch, optimizer, 1)
    assert set(net.first.weight.unique().tolist()) == {-1.0, 1.0}


@pytest.mark.parametrize(
    ("make", "options", "error", "message"),
    [
        (BinaryConnect, {"clip": 0.0}, ValueError, r"clip is 0\.0, but must lie in \(0, inf\]"),
        (BinaryConnect, {"clip": "1"}, TypeError, "clip is '1'"),
        (BinaryConnect, {"optimizer": 0.1}, TypeError, r"optimizer is 0\.1, but must be a class"),
        (BinaryConnect, {"optimizer": nn.Linear}, TypeError, "must be a class of torch optimisers"),
        (BinaryConnect, {"lr": -1.0}, ValueError, r"-1\.0"),
        (BinaryConnect, {"speed": 1.0}, TypeError, "speed"),
        (SignSGD, {"lr": -1.0}, ValueError, r"lr is -1\.0, but must lie in \[0, inf\)"),
        (SignSGD, {"lr": math.nan}, ValueError, "lr is nan"),
        (SignSGD, {"lr": True}, TypeError, "lr is True"),
        (SignSGD, {"momentum": 1.0}, ValueError, r"momentum is 1\.0, but must lie in \[0, 1\)"),
        (Bop, {"lr": 1.5}, ValueError, r"lr is 1\.5, but must lie in \[0, 1\]"),
        (Bop, {"tau": -1e-8}, ValueError, r"tau is -1e-08, but must lie in \[0, inf\)"),
        (ProxQuant, {"reg_rate": -1.0}, ValueError, r"reg_rate is -1\.0"),
        (ProxQuant, {"strength": math.inf}, ValueError, r"strength is inf"),
        (ProxConnect, {"mu": 0.0}, ValueError, r"mu is 0\.0, but must lie in \(0, inf\)"),
        (ProxConnect, {"mu_growth": 0.0}, ValueError, r"mu_growth is 0\.0"),
        (ProxConnect, {"quantizer": "sign"}, ValueError, "quantizer is 'sign', but must be 'bin"),
        (ProxConnect, {"quantizer": (sign,)}, ValueError, "or two functions"),
    ],
)
def test_bad_hyper_parameters(net, make, options, error, message):
    with pytest.raises(error, match=message):
        make(net.parameters(), **options)


@pytest.mark.parametrize("name", MAKE)
def test_hyper_parameters_are_read_at_each_step(batch, name):
    net = make_net(name)
    optimizer = MAKE[name](net.parameters())
    key = "lr" if name == "bop" else "clip"
    backward(net, batch)
    before = net.first.weight.detach().clone()
    if name == "proxconnect":
        optimizer.param_groups[0]["mu"] = -3.0
        key = "mu"
    else:
        optimizer.param_groups[0][key] = -3.0
    with pytest.raises(ValueError, match=rf"{key} is -3\.0, but must lie in"):
        optimizer.step()
    assert torch.equal(net.first.weight, before)
    optimizer.param_groups[0][key] = 0.5
    optimizer.step()
    assert not torch.equal(net.first.weight, before)


def test_own_quantizers(batch):
    net = make_net("proxconnect")
    optimizer = ProxConnect(
        net.parameters(), quantizer=(lambda v, mu: v, lambda v, mu: mu * v.abs()), mu=0.5, lr=0.1
    )
    before = net.first.weight.detach().clone()
    backward(net, batch)
    gradient = net.first.weight.grad.clone()
    optimizer.step()
    torch.testing.assert_close(net.first.weight, before - 0.1 * 0.5 * before.abs() * gradient)
    assert torch.equal(net.first.weight.grad, gradient)


def test_latent_weights_survive_an_error_inside(batch):
    net = make_net("proxconnect")
    optimizer = MAKE["proxconnect"](net.parameters())
    latent = optimizer.state[net.first.weight]["latent"].clone()
    backward(net, batch)
    optimizer.param_groups[0]["betas"] = None
    with pytest.raises(TypeError):
        optimizer.step()
    assert torch.equal(optimizer.state[net.first.weight]["latent"], latent)
    optimizer.param_groups[0]["betas"] = (0.9, 0.999)
    optimizer.step()
