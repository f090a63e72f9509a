"""QPSBGD and the baselines."""

import copy
import warnings

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn

import qpsbgd
from networks import Net, backward
from qpsbgd.nn import BinaryLinear
from qpsbgd.optim import QPSBGD, BinaryConnect, SignSGD
from qpsbgd.optim.step.layer_gradient import step_seed
from qpsbgd.optim.step.weight_update import update_weight


def gradients_at_outputs(net, batch):
    """X and dL/dZ of both layers, and dL/dA of the first, by torch.autograd.grad."""
    logits = net(batch[0])
    loss = nn.functional.cross_entropy(logits / 3, batch[1])
    dz1, da1, dz2 = torch.autograd.grad(loss, (net.z, net.a, logits))
    return (batch[0], dz1, da1), (net.a.detach(), dz2)


@pytest.mark.parametrize("objective", ["quadratic", "sign"])
@pytest.mark.parametrize("target", ["preactivation", "activation"])
@pytest.mark.parametrize("alpha", ["fit", "norm"])
def test_step_is_the_projection_of_the_gradient(net, batch, objective, target, alpha):
    (x1, dz1, da1), (x2, dz2) = gradients_at_outputs(net, batch)
    optimizer = QPSBGD(net, lr=0.1, objective=objective, alpha=alpha, target=target, seed=5)
    before = [net.first.weight.clone(), net.second.weight.clone()]
    backward(net, batch)
    optimizer.step()
    t1 = dz1 if target == "preactivation" else da1
    for index, (x, t, old, layer) in enumerate(
        ((x1, t1, before[0], net.first), (x2, dz2, before[1], net.second))
    ):
        binary = qpsbgd.project(
            x, t, objective=objective, num_sweeps=optimizer.param_groups[index]["num_sweeps"],
            seed=step_seed(5, index, 0), alpha=alpha,
        )  # fmt: skip
        step = 0.1 * torch.from_numpy(binary) * (t != 0).any(dim=0)[:, None]
        assert torch.allclose(layer.weight, (old - step).clamp(-1, 1))
        assert not torch.equal(layer.weight, old)


def test_the_two_targets_differ(net, batch):
    other = copy.deepcopy(net)
    for model, target in ((net, "preactivation"), (other, "activation")):
        optimizer = QPSBGD(model, target=target)
        backward(model, batch)
        optimizer.step()
    assert not torch.equal(net.first.weight, other.first.weight)
    assert torch.equal(net.second.weight, other.second.weight)


def test_projected_rule_keeps_weights_binary(net, batch):
    optimizer = QPSBGD(net, lr=1.5, update="projected")
    backward(net, batch)
    optimizer.step()
    assert set(net.first.weight.unique().tolist()) == {-1.0, 1.0}


def test_projected_rule_leaves_a_row_without_gradient(batch):
    layer = BinaryLinear(12, 3, bias=False)
    before = layer.weight.detach().clone()
    optimizer = QPSBGD(layer, lr=1.0, update="projected")
    layer(batch[0])[:, [0, 2]].sum().backward()
    optimizer.step()
    assert torch.equal(layer.weight[1], before[1])
    assert torch.equal(layer.weight[[0, 2]].abs(), torch.ones(2, 12))


def test_projected_rule_warns_where_it_cannot_move(net):
    with pytest.warns(UserWarning, match=r"update='projected' with lr = 0\.01"):
        QPSBGD(net, update="projected")


def test_clip_bounds_the_latent_weights(net, batch):
    optimizer = QPSBGD(net, lr=10.0, clip=0.25)
    backward(net, batch)
    optimizer.step()
    assert net.first.weight.abs().max() == 0.25


def test_a_row_without_gradient_stays(batch):
    layer = BinaryLinear(12, 3, bias=False)
    optimizer = QPSBGD(layer, lr=0.1)
    before = layer.weight.clone()
    layer(batch[0])[:, [0, 2]].square().sum().backward()
    optimizer.step()
    assert torch.equal(layer.weight[1], before[1])
    assert not torch.equal(layer.weight[0], before[0])


def test_loss_falls(net, batch):
    optimizer = QPSBGD(net, lr=0.05)
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        losses.append(backward(net, batch).item())
        optimizer.step()
    assert min(losses[-10:]) < 0.6 * losses[0]


def test_learning_rate_schedulers(net, batch):
    optimizer = QPSBGD(net, lr=0.1)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)
    moves = []
    for _ in range(3):
        before = net.first.weight.clone()
        optimizer.zero_grad()
        backward(net, batch)
        optimizer.step()
        scheduler.step()
        moves.append((net.first.weight - before).abs().max().item())
    assert moves == pytest.approx([0.1, 0.05, 0.025], rel=1e-4)


def test_hyper_parameters_are_read_from_the_groups(net, batch):
    optimizer = QPSBGD(net, lr=0.1)
    assert [group["layer"] for group in optimizer.param_groups] == ["first", "second"]
    optimizer.param_groups[0]["lr"] = 0.0
    before = net.first.weight.clone(), net.second.weight.clone()
    backward(net, batch)
    optimizer.step()
    assert torch.equal(net.first.weight, before[0])
    assert not torch.equal(net.second.weight, before[1])
    optimizer.param_groups[1]["scale"] = -1.0
    backward(net, batch)
    with pytest.raises(ValueError, match=r"scale is -1\.0, but must be positive and finite"):
        optimizer.step()


def test_closure(net, batch):
    optimizer = QPSBGD(net)

    def closure():
        optimizer.zero_grad()
        return backward(net, batch)

    assert optimizer.step(closure).item() > 0


def test_state_dict_continues_bit_for_bit(net, batch):
    options = {"objective": "sign", "projector": qpsbgd.NativeProjector(beta_range=(0.05, 1.0))}
    optimizer = QPSBGD(net, lr=0.1, seed=3, **options)

    def run(model, opt, steps):
        for _ in range(steps):
            opt.zero_grad()
            backward(model, batch)
            opt.step()

    run(net, optimizer, 3)
    other = Net()
    other.load_state_dict(net.state_dict())
    resumed = QPSBGD(other, lr=9.0, seed=8, **options)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    run(net, optimizer, 3)
    run(other, resumed, 3)
    assert torch.equal(net.first.weight, other.first.weight)
    assert torch.equal(net.second.weight, other.second.weight)
    # The stream does change from step to step, and with the seed.
    assert len({step_seed(3, layer, step) for layer in range(3) for step in range(50)}) == 150


def test_only_binary_layers_are_claimed():
    model = nn.Sequential(
        nn.Linear(4, 4), BinaryLinear(4, 4), BinaryLinear(4, 2, kernel_quantizer=None)
    )
    optimizer = QPSBGD(model)
    claimed = [p for group in optimizer.param_groups for p in group["params"]]
    assert len(claimed) == 1
    assert claimed[0] is model[1].weight


def test_nan_in_a_gradient_names_the_layer_and_changes_nothing(net, batch):
    optimizer = QPSBGD(net)
    before = [weight.clone() for weight in net.parameters()]
    x = batch[0].clone()
    x[4, 2] = float("nan")
    backward(net, (x, batch[1]))
    with pytest.raises(ValueError, match=r"layer 'first': X\[4, 2\] is nan"):
        optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True))


def test_activation_target_needs_an_activation(batch):
    layer = BinaryLinear(12, 4)
    optimizer = QPSBGD(layer, target="activation")
    nn.functional.cross_entropy(layer(batch[0]), batch[1]).backward()
    with pytest.raises(RuntimeError, match=r"goes directly into a sign function"):
        optimizer.step()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"lr": -1.0}, ValueError, r"lr is -1\.0, but must be finite and at least 0"),
        ({"lr": "fast"}, TypeError, "lr is 'fast'"),
        ({"scale": 0.0}, ValueError, r"scale is 0\.0"),
        ({"clip": 0.0}, ValueError, r"clip is 0\.0, but must be positive"),
        (
            {"momentum": 1.0},
            ValueError,
            r"momentum is 1\.0, but must be at least 0 and less",
        ),
        ({"maximize": 1}, TypeError, "maximize is 1"),
        ({"stats_every": -1}, ValueError, "stats_every is -1"),
        ({"objective": "cubic"}, ValueError, "objective is 'cubic'"),
        ({"num_sweeps": -2}, ValueError, "num_sweeps is -2"),
        ({"num_sweeps": 2.0}, TypeError, r"num_sweeps is 2\.0"),
        ({"update": "none"}, ValueError, "update is 'none'"),
        ({"alpha": "long"}, ValueError, "alpha is 'long'"),
        ({"target": "weights"}, ValueError, "target is 'weights'"),
        ({"seed": 2**31}, ValueError, r"seed is 2147483648, but must lie in \[0, 2147483648\)"),
        ({"seed": None}, TypeError, "seed is None"),
    ],
)
def test_bad_hyper_parameters(net, options, error, message):
    with pytest.raises(error, match=message):
        QPSBGD(net, **options)


def test_a_model_without_binary_layers():
    with pytest.raises(ValueError, match=r"model \(Linear\) has no layer with binary weights"):
        QPSBGD(nn.Linear(2, 2))
    with pytest.raises(TypeError, match="model is a generator"):
        QPSBGD(nn.Linear(2, 2).parameters())


@pytest.mark.parametrize(
    "bad",
    [
        lambda X, T, options, /: np.ones((T.shape[1], X.shape[1])),
        lambda X, T, options, /: np.ones((X.shape[1], T.shape[1]), np.int8),
        lambda X, T, options, /: np.zeros((T.shape[1], X.shape[1]), np.int8),
        lambda X, T, options, /: None,
    ],
)
def test_a_bad_projector_is_found_out(net, batch, bad):
    optimizer = QPSBGD(net, projector=bad)
    backward(net, batch)
    with pytest.raises(ValueError, match="projector returned"):
        optimizer.step()


@pytest.mark.parametrize("make", [BinaryConnect, SignSGD])
def test_baselines_clip_and_train(net, batch, make):
    optimizer = make(net.parameters(), lr=0.05)
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        losses.append(backward(net, batch).item())
        optimizer.step()
    assert min(losses[-10:]) < 0.7 * losses[0]
    assert net.first.weight.abs().max() <= 1


def test_signsgd_is_the_sign_of_the_gradient(net, batch):
    optimizer = SignSGD(net.parameters(), lr=0.01)
    before = net.first.weight.clone()
    backward(net, batch)
    optimizer.step()
    assert torch.equal(net.first.weight, before - 0.01 * net.first.weight.grad.sign())


def test_no_warning_in_a_plain_loop(net, batch):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        optimizer = QPSBGD(net)
        backward(net, batch)
        optimizer.step()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_parameters(net, batch):
    here = copy.deepcopy(net)
    net.cuda()
    for model, data in ((here, batch), (net, tuple(part.cuda() for part in batch))):
        optimizer = QPSBGD(model, lr=0.1)
        backward(model, data)
        optimizer.step()
    agreement = (here.first.weight == net.first.weight.cpu()).float().mean()
    assert agreement > 0.95  # sums on the device differ in the last bits


def test_state_of_another_target_or_model_is_refused(net):
    state = QPSBGD(net, target="activation").state_dict()
    with pytest.raises(ValueError, match=r"state_dict has target \['activation', 'activation'\]"):
        QPSBGD(net).load_state_dict(state)
    state = torch.optim.SGD(net.parameters(), lr=0.1).state_dict()
    with pytest.raises(ValueError, match="state_dict is not that of a QPSBGD"):
        QPSBGD(net).load_state_dict(state)


@pytest.mark.parametrize("name", ["momentum_buffer", "past_inputs", "past_targets"])
def test_a_state_of_another_shape_names_its_layer_and_changes_nothing(net, batch, name):
    optimizer = QPSBGD(net, momentum=0.5)
    backward(net, batch)
    optimizer.step()
    saved = optimizer.state_dict()
    optimizer.load_state_dict(saved)
    before = optimizer.state[net.second.weight][name]
    saved["param_groups"][0]["lr"] = 0.5
    saved["state"][1] = {**saved["state"][1], name: torch.zeros(3, 2)}
    with pytest.raises(ValueError, match=rf"layer 'second': .*{name} of shape \(3, 2\), but"):
        optimizer.load_state_dict(saved)
    assert optimizer.state[net.second.weight][name] is before
    assert optimizer.param_groups[0]["lr"] == 0.01


def test_other_parameters_are_refused(net):
    optimizer = QPSBGD(net)
    with pytest.raises(ValueError, match="give other parameters to another optimiser"):
        optimizer.add_param_group({"params": [nn.Parameter(torch.zeros(3))]})


def test_an_error_of_the_projector_names_the_layer(net, batch):
    def projector(X, T, options, /):
        return bytes([255]).decode()  # a ValueError that is not made from one message

    optimizer = QPSBGD(net, projector=projector)
    backward(net, batch)
    with pytest.raises(ValueError, match="layer 'first': 'utf-8' codec") as caught:
        optimizer.step()
    assert isinstance(caught.value.__cause__, UnicodeDecodeError)


def test_tied_weights_are_refused(net):
    net.third = BinaryLinear(12, 7, bias=False)
    net.third.weight = net.first.weight
    with pytest.raises(ValueError, match="layers 'first' and 'third' share one weight"):
        QPSBGD(net)


def test_numpy_scalars_are_numbers(net, batch):
    optimizer = QPSBGD(net, lr=np.float32(0.5), num_sweeps=np.int64(3))
    backward(net, batch)
    optimizer.step()


def test_nan_in_a_weight_does_not_hide_behind_its_sign(net, batch):
    optimizer = QPSBGD(net)
    with torch.no_grad():
        net.first.weight[0, 0] = float("nan")
    backward(net, batch)
    with pytest.raises(ValueError, match=r"layer 'first': T\[0, 0\] is nan"):
        optimizer.step()


def test_nan_does_not_hide_behind_a_sign(batch):
    layer = BinaryLinear(12, 3, bias=False, input_quantizer="ste_sign")
    optimizer = QPSBGD(nn.Sequential(layer))
    x = batch[0].clone()
    x[2, 5] = float("nan")
    layer(x).sum().backward()
    with pytest.raises(ValueError, match=r"X\[2, 5\] is nan"):
        optimizer.step()
    # Where no gradient comes back, the sample is none.
    optimizer.zero_grad()
    layer(x).nan_to_num().sum().backward()
    optimizer.step()
    assert next(iter(optimizer.last_step.values())).num_samples == len(x) - 1


@pytest.mark.parametrize("lr", [0.01, 0.3, 5.0])
def test_the_core_steps_as_torch_does(rng, isa, lr):
    values = torch.from_numpy(rng.normal(size=(7, 33)).astype(np.float32))
    values[0, 0], values[0, 1] = float("nan"), -0.0
    binary = torch.from_numpy(rng.integers(-1, 2, size=(7, 33)).astype(np.int8))
    for clip in (0.5, 1.0):
        ours = values.clone()
        version = ours._version
        update_weight(ours, binary, lr, "latent", clip)
        assert ours._version > version  # autograd must know
        theirs = values.t().contiguous().t()  # not contiguous: left to torch
        update_weight(theirs, binary, lr, "latent", clip)
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0, equal_nan=True)
