"""QPSBGD in the training code that people have: what a torch optimiser must live with."""

import copy
import gc
import inspect
import types
from collections import defaultdict

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn
from torch.optim import lr_scheduler

import qpsbgd
from networks import Net, backward
from qpsbgd.nn import BinaryConv2d, BinaryGCNConv, BinaryLinear
from qpsbgd.nn.functional import ste_sign
from qpsbgd.optim import QPSBGD, split_parameters
from qpsbgd.optim.real_parameters import IdleParameters
from qpsbgd.optim.stats import energies
from qpsbgd.optim.step.device import to_devices, to_host
from qpsbgd.optim.step.layer_gradient import LayerGradient
from qpsbgd.optim.step.sampling import LayerSamples


class Recorder:
    """A projector that keeps what it is given and answers sign(X^T T)."""

    def __init__(self):
        self.calls = []

    def __call__(self, X, T, options, /):
        self.calls.append((X.copy(), T.copy(), vars(options)))
        return np.where(T.T @ X >= 0, 1, -1).astype(np.int8)


def weights(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(a.values(), b.values(), strict=True))


# Parameter groups


def test_groups_take_modules_and_their_own_hyper_parameters(net, batch):
    recorder = Recorder()
    optimizer = QPSBGD(
        [
            {"params": net.first, "lr": 0.5, "num_sweeps": 7, "scale": 0.25},
            {"params": [net.second], "objective": "sign", "lr": 0.0},
        ],
        lr=0.125,
        projector=recorder,
    )
    before = weights(net)
    backward(net, batch)
    optimizer.step()
    first, second = (options for _, _, options in recorder.calls)
    assert (first["objective"], first["scale"], first["num_sweeps"]) == ("quadratic", 0.25, 7)
    assert (second["objective"], second["num_sweeps"]) == ("sign", 10)  # the objective's default
    moved = (net.first.weight.detach() - before["first.weight"]).abs().max()
    assert moved.item() == pytest.approx(0.5)
    assert torch.equal(net.second.weight, before["second.weight"])
    assert [group["layer"] for group in optimizer.param_groups] == [
        "0.BinaryLinear",
        "1.BinaryLinear",
    ]


@pytest.mark.parametrize(
    ("groups", "error", "message"),
    [
        (lambda net: [{"params": net.parameters()}], TypeError, "groups like"),
        (lambda net: net.parameters(), TypeError, "groups like"),
        (lambda net: 3, TypeError, "model is a int"),
        (
            lambda net: [{"params": net, "learning_rate": 1}],
            ValueError,
            "'learning_rate', but only",
        ),
        (lambda net: [{"params": net.first}, {"params": net}], ValueError, "share one weight"),
        (lambda net: [{"params": net, "lr": -1}], ValueError, "lr is -1"),
        (lambda net: [], ValueError, "no layer with binary weights"),
    ],
)
def test_bad_groups(net, groups, error, message):
    with pytest.raises(error, match=message):
        QPSBGD(groups(net))


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")  # in torch.compile
def test_a_state_fits_with_the_wrappers_of_a_model_and_without(net, batch):
    names = ["first", "second"]
    wrapped = nn.DataParallel(torch.compile(copy.deepcopy(net)))
    optimizer = QPSBGD(wrapped, lr=0.25)
    assert [group["layer"] for group in optimizer.param_groups] == names
    plain = QPSBGD(net)
    plain.load_state_dict(optimizer.state_dict())
    assert plain.param_groups[0]["lr"] == 0.25


@pytest.mark.parametrize("name", ["foreach", "fused", "capturable", "differentiable"])
def test_options_of_torch_that_have_no_meaning_here_are_not_taken(net, name):
    with pytest.raises(TypeError, match=f"unexpected keyword argument '{name}'"):
        QPSBGD(net, **{name: False})


def test_only_the_model_and_lr_are_positional(net):
    QPSBGD(net, 0.1)
    with pytest.raises(TypeError, match="positional argument"):
        QPSBGD(net, 0.1, "sign")


def schedulers():
    """Every scheduler of torch, with arguments for a run of six steps."""
    arguments = defaultdict(
        dict,
        StepLR={"step_size": 2},
        MultiStepLR={"milestones": [2, 4]},
        ExponentialLR={"gamma": 0.5},
        LambdaLR={"lr_lambda": lambda step: 1 / (1 + step)},
        MultiplicativeLR={"lr_lambda": lambda step: 0.5},
        CosineAnnealingLR={"T_max": 6},
        CosineAnnealingWarmRestarts={"T_0": 3},
        CyclicLR={"base_lr": 0.01, "max_lr": 0.1, "step_size_up": 2},
        OneCycleLR={"max_lr": 0.1, "total_steps": 7},
    )
    composed = {"SequentialLR", "ChainedScheduler", "ReduceLROnPlateau"}
    for name, kind in vars(lr_scheduler).items():
        is_scheduler = inspect.isclass(kind) and issubclass(kind, lr_scheduler.LRScheduler)
        if is_scheduler and not name.startswith(("_", "LRScheduler")) and name not in composed:
            yield pytest.param(lambda o, k=kind, a=arguments[name]: k(o, **a), id=name)
    yield pytest.param(
        lambda o: lr_scheduler.SequentialLR(
            o, [lr_scheduler.ConstantLR(o), lr_scheduler.ExponentialLR(o, 0.5)], milestones=[3]
        ),
        id="SequentialLR",
    )
    yield pytest.param(lambda o: lr_scheduler.ReduceLROnPlateau(o, patience=0), id="Plateau")


@pytest.mark.parametrize("make", list(schedulers()))
def test_every_scheduler_of_torch(net, batch, make):
    optimizer = QPSBGD(net, lr=0.1, momentum=0.0, clip=float("inf"))
    scheduler = make(optimizer)
    rates = []
    for _ in range(6):
        group = optimizer.param_groups[0]
        lr, momentum = group["lr"], group["momentum"]
        before = net.first.weight.detach().clone()
        optimizer.zero_grad()
        backward(net, batch)
        optimizer.step()
        moved = (net.first.weight.detach() - before).abs().max().item()
        # A mean of signs is no longer than one; OneCycleLR and CyclicLR do set the momentum.
        assert moved <= lr * 1.001 + 1e-7
        if momentum == 0:
            assert moved == pytest.approx(lr, rel=1e-3, abs=1e-7)
        rates.append(lr)
        plateau = isinstance(scheduler, lr_scheduler.ReduceLROnPlateau)
        scheduler.step(*([1.0] if plateau else []))
    assert len(set(rates)) > 1


def test_a_learning_rate_may_be_a_tensor(net, batch):
    other = copy.deepcopy(net)
    for model, lr in ((net, 0.1), (other, torch.tensor(0.1, dtype=torch.float64))):
        optimizer = QPSBGD(model, lr=lr, momentum=0.5)
        backward(model, batch)
        optimizer.step()
    assert same(weights(net), weights(other))


# Which layers move


def test_a_layer_called_several_times_is_one_batch(batch):
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = BinaryLinear(12, 12, bias=False)

        def forward(self, x):
            self.z1 = self.inner(x)
            self.z2 = self.inner(ste_sign(self.z1, 4.0))
            return self.z2

    model, recorder = Twice(), Recorder()
    optimizer = QPSBGD(model, projector=recorder)
    loss = model(batch[0]).square().sum()
    loss.backward(retain_graph=True)
    optimizer.step()
    dz1, dz2 = torch.autograd.grad(loss, (model.z1, model.z2))
    ((X, T, _),) = recorder.calls
    # The backward pass comes through the later call first.
    np.testing.assert_array_equal(X, torch.cat([ste_sign(model.z1), batch[0]]).detach())
    np.testing.assert_array_equal(T, torch.cat([dz2, dz1]))


def test_accumulated_gradients_are_joined_and_freed(net, batch):
    recorder = Recorder()
    optimizer = QPSBGD(net, projector=recorder)
    for rows in (slice(0, 3), slice(3, 10)):
        backward(net, (batch[0][rows], batch[1][rows]))
    optimizer.step()
    np.testing.assert_array_equal(recorder.calls[0][0], batch[0])
    assert all(capture.is_empty for capture in optimizer.captures())


def test_samples_without_a_gradient_are_left_out(net, batch):
    whole, part = copy.deepcopy(net), copy.deepcopy(net)
    optimizers = [QPSBGD(model, lr=0.1) for model in (whole, part)]
    used = torch.tensor([0, 2, 3, 7])
    (whole(batch[0])[used].square().sum()).backward()
    (part(batch[0][used]).square().sum()).backward()
    for optimizer in optimizers:
        optimizer.step()
    assert same(weights(whole), weights(part))


def test_no_sample_with_a_gradient_moves_nothing(net, batch):
    optimizer = QPSBGD(net, momentum=0.5, stats_every=1)
    before = weights(net)
    (net(batch[0]) * 0).sum().backward()
    optimizer.step()
    assert same(before, weights(net))
    told = optimizer.last_step["second"]
    assert (told.num_samples, told.energy_before, told.flip_ratio) == (0, None, 0.0)


def test_all_layers_frozen_is_no_error(net, batch):
    optimizer = QPSBGD(net)
    for parameter in net.parameters():
        parameter.requires_grad_(False)
    x = batch[0].clone().requires_grad_()
    net(x).sum().backward()
    before = weights(net)
    optimizer.step()
    assert same(before, weights(net))


def test_a_model_without_a_trainable_weight_is_told_of(net, batch):
    net.first.weight.requires_grad_(False)
    QPSBGD(net)  # a warning is an error
    net.second.weight.requires_grad_(False)
    with pytest.warns(UserWarning, match="all binary weights .*requires_grad=False") as found:
        optimizer = QPSBGD(net)
    assert found[0].filename == __file__
    net.second.weight.requires_grad_(True)
    before = weights(net)
    backward(net, batch)
    optimizer.step()
    assert torch.equal(net.first.weight, before["first.weight"])
    assert not torch.equal(net.second.weight, before["second.weight"])


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("shape", [(6, 5), (2, 3, 5)])
def test_activations_in_place(bias, shape):
    class Block(nn.Module):
        def __init__(self, inplace):
            super().__init__()
            self.a = BinaryLinear(5, 8, bias=bias)
            self.b = BinaryLinear(8, 3, bias=bias, output_scale=True)
            self.activation = nn.Hardtanh(-2, 2, inplace=inplace)

        def forward(self, x):
            x = self.activation(self.a(x))
            x = self.b(x)
            return x.relu_() if self.activation.inplace else x.relu()

    torch.manual_seed(0)
    plain = Block(False)
    in_place = copy.deepcopy(plain)
    in_place.activation.inplace = True
    x = torch.randn(shape)
    recorders = []
    for model in (plain, in_place):
        recorders.append(Recorder())
        optimizer = QPSBGD(model, projector=recorders[-1])
        model(x).square().sum().backward()
        optimizer.step()
    for one, other in zip(recorders[0].calls, recorders[1].calls, strict=True):
        np.testing.assert_array_equal(one[0], other[0])
        np.testing.assert_array_equal(one[1], other[1])
    assert recorders[0].calls[0][1].any()


# Layers that are not matrices


def test_a_convolution_steps_along_its_patches():
    torch.manual_seed(0)
    layer = BinaryConv2d(4, 6, 3, stride=2, padding=1, groups=2)
    recorder = Recorder()
    optimizer = QPSBGD(layer, projector=recorder, lr=0.25, clip=float("inf"))
    before = layer.weight.detach().clone()
    layer(torch.randn(5, 4, 7, 7)).square().sum().backward()
    optimizer.step()
    moved = (layer.weight.detach() - before) / -0.25
    assert len(recorder.calls) == 2
    assert recorder.calls[0][0].shape == (5 * 4 * 4, 2 * 9)
    # A group's problems have random streams of their own.
    assert recorder.calls[0][2]["seed"] != recorder.calls[1][2]["seed"]
    expected = np.concatenate([np.where(T.T @ X >= 0, 1, -1) for X, T, _ in recorder.calls])
    np.testing.assert_allclose(moved.reshape(6, 18), expected, atol=1e-5)


def test_a_graph_convolution_steps_along_what_nodes_gather(rng):
    edges = torch.from_numpy(rng.integers(0, 9, (2, 30)))
    x = torch.from_numpy(rng.normal(size=(9, 4)).astype(np.float32))
    layer, recorder = BinaryGCNConv(4, 3), Recorder()
    optimizer = QPSBGD(layer, projector=recorder)
    nodes = torch.tensor([1, 4, 5])
    layer(x, edges)[nodes].square().sum().backward()
    optimizer.step()
    ((X, T, _),) = recorder.calls
    linear = BinaryGCNConv(4, 4, bias=False, kernel_quantizer=None)
    linear.weight.data = torch.eye(4)
    np.testing.assert_allclose(X, linear(x, edges).detach()[nodes], rtol=1e-5, atol=1e-6)
    assert T.shape == (3, 3)


# Mixed precision, compilation, devices


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_grad_scaler_skips_what_overflowed(dtype):
    torch.manual_seed(0)
    model = nn.Sequential(BinaryLinear(6, 5, bias=False), nn.Hardtanh(), BinaryLinear(5, 3))
    optimizer = QPSBGD(model, lr=0.1)
    real = torch.optim.SGD(split_parameters(model).real, lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=256.0)
    x = torch.randn(8, 6)
    for factor in (1.0, float("inf"), 1.0):
        optimizer.zero_grad()
        real.zero_grad()
        with torch.autocast("cpu", dtype):
            loss = model(x).float().square().mean() * factor
        scaler.scale(loss).backward()
        scaler.unscale_(real)
        nn.utils.clip_grad_norm_(model[2].bias, 1.0)
        before, scale = weights(model), scaler.get_scale()
        scaler.step(optimizer)
        scaler.step(real)
        scaler.update()
        skipped = factor != 1.0
        assert same(before, weights(model)) == skipped
        assert scaler.get_scale() == (scale / 2 if skipped else scale)


def test_autocast_of_channels_last():
    torch.manual_seed(0)
    model = nn.Sequential(BinaryConv2d(3, 4, 3, bias=False)).to(memory_format=torch.channels_last)
    optimizer = QPSBGD(model, lr=0.1)
    for factor in (1.0, float("nan")):
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            z = model(torch.randn(2, 3, 5, 5))
        (z.float().square().sum() * factor).backward()
        assert model[0].weight.grad.isfinite().all() == (factor == 1.0)


def test_grad_scaler_alone_and_gradients_that_it_scales(net, batch):
    other = copy.deepcopy(net)
    optimizer, plain = QPSBGD(net, lr=0.1), QPSBGD(other, lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**12)
    with torch.autocast("cpu", torch.bfloat16):
        loss, other_loss = (
            nn.functional.cross_entropy(model(batch[0]).float() / 3, batch[1])
            for model in (net, other)
        )
    scaler.scale(loss).backward()
    scaler.unscale_(optimizer)
    norm = nn.utils.clip_grad_norm_(net.parameters(), 1.0)
    scaler.step(optimizer)
    scaler.update()
    other_loss.backward()
    plain.step()
    assert norm == 0  # what stands for the gradients adds nothing
    assert same(weights(net), weights(other))  # the objective takes any positive factor


@pytest.mark.parametrize("objective", ["quadratic", "sign"])
@pytest.mark.parametrize("factor", [2.0**-20, 3.0, 1e6])
def test_a_factor_of_the_loss_changes_nothing(net, batch, objective, factor):
    models = net, copy.deepcopy(net)
    for model, scale in zip(models, (1.0, factor), strict=True):
        optimizer = QPSBGD(model, lr=0.1, objective=objective)
        (nn.functional.cross_entropy(model(batch[0]) / 3, batch[1]) * scale).backward()
        optimizer.step()
    assert same(*map(weights, models))


@pytest.mark.filterwarnings("ignore")  # torch's own, of which there are several
@pytest.mark.slow
def test_a_compiled_model_steps_as_the_plain_one(batch):
    class Small(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = BinaryConv2d(1, 3, 2, output_scale=True)
            self.hidden = BinaryLinear(18, 6, bias=False)
            self.out = BinaryLinear(6, 4)

        def forward(self, x):
            x = ste_sign(self.conv(x.view(-1, 1, 3, 4)))
            return self.out(ste_sign(self.hidden(x.flatten(1)), 4.0))

    torch.manual_seed(0)
    plain = Small()
    net = copy.deepcopy(plain)
    optimizers = [QPSBGD(model, lr=0.1) for model in (plain, net)]
    compiled = torch.compile(net, backend="aot_eager")
    for model, optimizer in zip((plain, compiled), optimizers, strict=True):
        for _ in range(2):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(batch[0]), batch[1]).backward()
            optimizer.step()
    assert same(weights(plain), weights(net))
    del optimizers, optimizer
    late = QPSBGD(net, target="activation")
    nn.functional.cross_entropy(compiled(batch[0]), batch[1]).backward()
    with pytest.raises(RuntimeError, match="a compiled one is not seen"):
        late.step()
    torch._dynamo.reset()


def test_tensors_on_the_host_are_not_copied():
    x = torch.randn(3, 2)
    assert to_host([x])[0].data_ptr() == x.data_ptr()
    binary = torch.ones(2, 2, dtype=torch.int8)
    assert to_devices([binary], [torch.device("cpu")])[0] is binary
    assert to_host([x.t(), x.double()])[1].dtype == torch.float32


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_tensors_on_a_device_cross_in_one_copy():
    parts = [torch.randn(3, 2), torch.randn(4), torch.randn(1, 5, 2)]
    for there, here in zip(to_host([part.cuda() for part in parts]), parts, strict=True):
        assert torch.equal(there, here)
        assert there.is_pinned()
    binaries = [torch.ones(2, 3, dtype=torch.int8), -torch.ones(4, dtype=torch.int8)]
    for there, here in zip(to_devices(binaries, [torch.device("cuda")] * 2), binaries, strict=True):
        assert torch.equal(there.cpu(), here)


# The step itself


def test_maximize_ascends(net, batch):
    other = copy.deepcopy(net)
    for model, maximize, sign in ((net, False, 1), (other, True, -1)):
        optimizer = QPSBGD(model, lr=0.1, maximize=maximize)
        (sign * nn.functional.cross_entropy(model(batch[0]) / 3, batch[1])).backward()
        optimizer.step()
    assert same(weights(net), weights(other))


def test_momentum_is_a_mean_of_binary_gradients(net, batch):
    recorder = Recorder()
    optimizer = QPSBGD(net, lr=0.125, momentum=0.75, projector=recorder, clip=float("inf"))
    expected = net.first.weight.detach().double()
    mean = torch.zeros_like(expected)
    for _ in range(4):
        optimizer.zero_grad()
        backward(net, batch)
        optimizer.step()
        X, T, _ = recorder.calls[-2]
        binary = torch.from_numpy(np.where(T.T @ X >= 0, 1.0, -1.0))
        reached = torch.from_numpy(T.any(axis=0))[:, None]
        mean = torch.where(reached, 0.75 * mean + 0.25 * binary, mean)
        expected -= 0.125 * mean * reached
    torch.testing.assert_close(net.first.weight.double(), expected, rtol=0, atol=1e-6)


def test_momentum_leaves_a_row_without_gradient(batch):
    layer = BinaryLinear(12, 3, bias=False)
    optimizer = QPSBGD(layer, momentum=0.5, lr=0.1, memory=0)
    layer(batch[0]).sum().backward()
    optimizer.step()
    before = layer.weight.detach().clone()
    state = optimizer.state[layer.weight]["momentum_buffer"].clone()
    layer(batch[0])[:, [0, 2]].sum().backward()
    optimizer.step()
    after = optimizer.state[layer.weight]["momentum_buffer"]
    assert torch.equal(layer.weight[1], before[1])
    assert torch.equal(after[1], state[1])
    assert not torch.equal(layer.weight[0], before[0])


@pytest.mark.parametrize(
    "options",
    [{}, {"objective": "sign"}, {"momentum": 0.5}, {"update": "projected", "lr": 1.5}],
    ids=["latent", "sign", "momentum", "projected"],
)
def test_a_weight_whose_input_is_zero_stays(batch, options):
    layer = BinaryLinear(12, 3, bias=False)
    optimizer = QPSBGD(layer, **{"lr": 0.1, **options})
    inputs = batch[0].clone()
    inputs[:, 4] = 0
    inputs[1:, 5] = 0  # one sample has it
    before = layer.weight.detach().clone()
    for _ in range(3):
        optimizer.zero_grad()
        (layer(inputs) - 5).square().sum().backward()
        optimizer.step()
    changed = (layer.weight != before).all(dim=0)
    assert changed.tolist() == [column != 4 for column in range(12)]


def test_rare_inputs_are_learned():
    # In nine of ten batches the other inputs alone are there: were these steps to move the
    # weights of the rare ones, those would all end on one side.
    torch.manual_seed(0)
    layer = BinaryLinear(8, 1, bias=False)
    wanted = torch.tensor([1.0, -1.0] * 4)
    optimizer = QPSBGD(layer, lr=0.05)
    for step in range(400):
        inputs = torch.zeros(20, 8)
        inputs[:, :4] = torch.randn(20, 4)
        if step % 10 == 0:
            inputs[:, 4:] = torch.randn(20, 4)
        optimizer.zero_grad()
        targets = inputs @ wanted + torch.randn(20)
        (layer(inputs)[:, 0] - targets).square().sum().backward()
        optimizer.step()
    assert (layer.weight[0].sign() == wanted).all()


def test_what_no_input_reaches_is_not_in_the_agreement(batch):
    layer = BinaryLinear(12, 3, bias=False)
    optimizer = QPSBGD(layer, num_sweeps=0, stats_every=1)
    inputs = batch[0].clone()
    inputs[:, :6] = 0
    layer(inputs).square().sum().backward()
    optimizer.step()
    (told,) = optimizer.last_step.values()
    assert told.agreement == 1.0
    assert told.energy_before == told.energy_after


def test_agreement_is_that_of_inputs_seen_here(rng):
    X = rng.normal(size=(6, 5)).astype(np.float32)
    X[:, 3:] = 0  # which another rank has seen
    T = rng.normal(size=(6, 4)).astype(np.float32)
    binary = qpsbgd.project(X, T, num_sweeps=0)
    binary[:, 3:] *= -1
    group = {"objective": "quadratic", "scale": 1.0, "alpha": "fit", "num_sweeps": 2, "seed": 0}
    capture = types.SimpleNamespace(layer=types.SimpleNamespace(num_groups=1))
    gradient = LayerGradient(
        0, group, torch.zeros(4, 5), capture, 0, samples=LayerSamples([(X, T)], 6), binary=binary
    )
    before, after, agreement = energies(gradient, qpsbgd.NativeProjector()).values()
    assert before == after
    assert agreement == 1.0


def test_without_a_bound_weights_leave_the_interval(net, batch):
    optimizer = QPSBGD(net, lr=2.0, clip=float("inf"))
    backward(net, batch)
    optimizer.step()
    assert net.first.weight.abs().max() > 1.5


def test_state_with_momentum_continues_bit_for_bit(net, batch, tmp_path):
    optimizer = QPSBGD(net, lr=0.1, momentum=0.9)

    def run(model, opt):
        for _ in range(3):
            opt.zero_grad()
            backward(model, batch)
            opt.step()

    run(net, optimizer)
    torch.save({"net": net.state_dict(), "optimizer": optimizer.state_dict()}, tmp_path / "c.pt")
    state = torch.load(tmp_path / "c.pt", weights_only=True)
    other = Net()
    other.load_state_dict(state["net"])
    resumed = QPSBGD(other)
    resumed.load_state_dict(state["optimizer"])
    assert resumed.num_steps == 3
    run(net, optimizer)
    run(other, resumed)
    assert same(weights(net), weights(other))
    assert torch.equal(
        optimizer.state[net.first.weight]["momentum_buffer"],
        resumed.state[other.first.weight]["momentum_buffer"],
    )


# Real parameters


def mixed():
    torch.manual_seed(0)
    return nn.Sequential(
        BinaryLinear(12, 8), nn.BatchNorm1d(8), nn.Hardtanh(), BinaryLinear(8, 4, output_scale=True)
    )


def test_split_parameters_gives_each_once():
    model = mixed()
    binary, real = split_parameters(model)
    assert [id(p) for p in binary] == [id(model[0].weight), id(model[3].weight)]
    assert len(real) == 5
    assert {id(p) for p in [*binary, *real]} == {id(p) for p in model.parameters()}


def steps(model, optimizers, batch, count=4):
    for _ in range(count):
        for optimizer in optimizers:
            optimizer.zero_grad()
        nn.functional.cross_entropy(model(batch[0]), batch[1]).backward()
        for optimizer in optimizers:
            optimizer.step()


@pytest.fixture
def few_steps(monkeypatch):
    """Real parameters are compared after 12 steps instead of 100."""
    assert IdleParameters.NUM_STEPS == 100
    monkeypatch.setattr(IdleParameters, "NUM_STEPS", 12)


def test_real_parameters_that_no_optimizer_changes_are_told_of_once(batch, few_steps):
    model = mixed()
    optimizer = QPSBGD(model)
    message = r"nothing has changed the real parameters '0\.bias'.* and 2 more in 12 steps"
    with pytest.warns(UserWarning, match=message) as found:
        steps(model, [optimizer], batch, count=25)
    assert len(found) == 1
    assert found[0].filename == __file__


@pytest.mark.parametrize("real_first", [False, True])
def test_real_parameters_with_an_optimizer_are_not_told_of(batch, few_steps, real_first):
    model = mixed()
    real = torch.optim.Adam(split_parameters(model).real)
    optimizers = [QPSBGD(model), real]
    steps(model, optimizers[::-1] if real_first else optimizers, batch, count=14)


@pytest.mark.parametrize("every", [4, 9])
@pytest.mark.parametrize("lr", [0.0, 0.01])  # 0 as in the first step of a warm-up
def test_real_parameters_that_change_now_and_then_are_not_told_of(batch, few_steps, every, lr):
    model = mixed()
    optimizer, real = QPSBGD(model), torch.optim.AdamW(split_parameters(model).real, lr=lr)
    for step in range(14):
        steps(model, [optimizer], batch, count=1)
        if step % every == every - 1:
            real.step()
            real.zero_grad()


def test_real_parameters_changed_through_data_are_not_told_of(batch, few_steps):
    model = nn.Sequential(BinaryLinear(12, 7), nn.Hardtanh(-9, 9), BinaryLinear(7, 4))
    optimizer = QPSBGD(model)
    for _ in range(14):
        steps(model, [optimizer], batch, count=1)
        for parameter in split_parameters(model).real:
            parameter.data -= 0.01 * parameter.grad


def test_frozen_real_parameters_are_not_told_of(batch, few_steps):
    model = mixed()
    for parameter in split_parameters(model).real:
        parameter.requires_grad_(False)
    steps(model, [QPSBGD(model)], batch, count=14)


# What a step tells


def test_last_step_has_the_energies_asked_for(net, batch):
    seen = []

    class Keeping(qpsbgd.NativeProjector):
        def __call__(self, X, T, options, /):
            seen.append((X, T, super().__call__(X, T, options)))
            return seen[-1][2]

    optimizer = QPSBGD(net, lr=0.5, projector=Keeping(), stats_every=2, num_sweeps=5, memory=0)
    for step in (1, 2):
        before = net.first.weight >= 0
        seen.clear()
        optimizer.zero_grad()
        backward(net, batch)
        optimizer.step()
        told = optimizer.last_step["first"]
        assert told.seconds > 0
        assert told.num_samples == 10
        assert (told.energy_after is None) == (step == 1)
    X, T, binary = seen[0]
    assert T.any(axis=0).all()
    start = qpsbgd.project(X, T, num_sweeps=0)
    for told_energy, states in ((told.energy_before, start), (told.energy_after, binary)):
        expected = qpsbgd.projection_energy(X, T, states).mean()
        assert told_energy == pytest.approx(expected)
    assert told.energy_after < told.energy_before
    assert told.agreement == pytest.approx((binary == start).mean())
    flipped = (net.first.weight >= 0) != before
    assert told.flip_ratio == pytest.approx(flipped.float().mean().item())


def test_log_to_a_writer(net, batch):
    class Writer:
        def __init__(self):
            self.scalars = []

        def add_scalar(self, tag, scalar_value, global_step):
            self.scalars.append((tag, float(scalar_value), global_step))

    writer = Writer()
    optimizer = QPSBGD(net, lr=0.1)
    handle = optimizer.log_to(writer, every=2, tag="run")
    for _ in range(5):
        optimizer.zero_grad()
        backward(net, batch)
        optimizer.step()
    assert {step for _, _, step in writer.scalars} == {2, 4}
    numbers = {tag for tag, _, _ in writer.scalars}
    assert numbers == {
        f"run/{layer}/{name}"
        for layer in ("first", "second")
        for name in (
            "seconds", "num_samples", "energy_before", "energy_after", "agreement", "flip_ratio",
            "gradient_norm", "scale",
        )
    }  # fmt: skip
    count = len(writer.scalars)
    optimizer.stats_every = 0
    backward(net, batch)
    optimizer.step()
    optimizer.stats_every = 1
    handle.remove()
    backward(net, batch)
    optimizer.step()
    assert len(writer.scalars) == count


def test_a_writer_does_not_keep_the_optimizer(net, batch):
    optimizer = QPSBGD(net)
    optimizer.log_to(types.SimpleNamespace(add_scalar=print))
    gc.disable()
    try:
        del optimizer
        backward(net, batch)
    finally:
        gc.enable()
    assert net.first.weight.grad is not None


def test_log_to_tensorboard(net, batch, tmp_path):
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    from torch.utils.tensorboard import SummaryWriter

    optimizer = QPSBGD(net)
    with SummaryWriter(tmp_path) as writer:
        optimizer.log_to(writer, every=1)
        backward(net, batch)
        optimizer.step()
    assert any(tmp_path.iterdir())
