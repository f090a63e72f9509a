"""Inputs and gradients that QPSBGD captures of a layer, and traces that it leaves behind."""

import copy
import gc
import io
import pickle
import weakref

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn
from torch.utils.checkpoint import checkpoint

from networks import backward
from qpsbgd.nn import BinaryLinear
from qpsbgd.nn.functional import ste_sign
from qpsbgd.optim import QPSBGD


def captured(optimizer, index=0):
    """X and T of a layer."""
    X, T = optimizer.captures()[index].batch()
    return X[0], T[0]


def test_captures_the_quantised_input_and_leading_dimensions():
    seen = {}

    def projector(X, T, options, /):
        seen.update(X=X.copy(), T=T.copy(), **vars(options))
        return np.ones((T.shape[1], X.shape[1]), np.int8)

    layer = BinaryLinear(3, 2, bias=False, input_quantizer="ste_sign")
    optimizer = QPSBGD(layer, projector=projector, scale=0.5, num_sweeps=4)
    x = torch.randn(4, 5, 3)
    layer(x).square().sum().backward()
    optimizer.step()
    np.testing.assert_array_equal(seen["X"], ste_sign(x).reshape(20, 3).numpy())
    assert seen["T"].shape == (20, 2)
    assert (seen["scale"], seen["num_sweeps"], seen["objective"]) == (0.5, 4, "quadratic")


def test_several_backward_passes_are_one_batch(net, batch):
    whole, parts = copy.deepcopy(net), copy.deepcopy(net)
    optimizers = [QPSBGD(model, lr=0.1) for model in (whole, parts)]
    backward(whole, batch)
    for piece in (slice(0, 5), slice(5, 10)):
        (backward(parts, (batch[0][piece], batch[1][piece])) / 2).detach()
    for optimizer in optimizers:
        optimizer.step()
    # Halves have twice the weight a sample: a factor that the objective does not see.
    assert torch.equal(whole.first.weight, parts.first.weight)


def test_the_unused_weight_gradient_is_left_out_while_claimed(batch):
    def gradients(model):
        x = batch[0].clone().requires_grad_()
        model(x).square().mean().backward()
        result = [p.grad.clone() for p in model.parameters()]
        model.zero_grad()
        return [x.grad, *result]

    model = nn.Sequential(BinaryLinear(12, 7), BinaryLinear(7, 3))
    plain = gradients(model)
    optimizer = QPSBGD(model)
    claimed = gradients(model)
    assert [not grad.any() for grad in claimed] == [False, True, False, True, False]
    for expected, grad in zip(plain, claimed, strict=True):
        assert not grad.any() or torch.allclose(grad, expected)
    assert all(grad.any() for grad in gradients(copy.deepcopy(model)))
    del optimizer
    gc.collect()
    assert all(grad.any() for grad in gradients(model))
    assert not model[0].observers


def test_a_copy_of_the_model_is_not_captured(net, batch):
    optimizer = QPSBGD(net)
    backward(copy.deepcopy(net), batch)
    with pytest.raises(RuntimeError, match=r"call backward\(\)"):
        optimizer.step()


def test_a_forward_pass_without_backward_leaves_nothing_behind(net, batch):
    optimizer = QPSBGD(net)
    x = batch[0].clone()
    alive = weakref.ref(x)
    with torch.no_grad():
        net(x)
    net(x)
    net.z = net.a = None
    del x
    gc.collect()
    assert alive() is None
    with pytest.raises(RuntimeError, match="found no gradient in any binary layer"):
        optimizer.step()


def test_gradients_that_are_not_for_the_weights_are_no_samples(net, batch):
    optimizer = QPSBGD(net)
    x = batch[0].clone().requires_grad_()

    def loss():
        return nn.functional.cross_entropy(net(x) / 3, batch[1])

    torch.autograd.grad(loss(), x)  # as for an adversarial example
    torch.autograd.grad(loss(), net.first.weight, allow_unused=True)
    loss().backward(inputs=[x])
    assert all(capture.is_empty for capture in optimizer.captures())
    loss().backward(inputs=[net.second.weight])
    assert [capture.is_empty for capture in optimizer.captures()] == [True, False]
    optimizer.zero_grad()
    loss().backward(inputs=list(net.parameters()))
    X, T = captured(optimizer)
    assert torch.equal(X, batch[0])
    assert T.shape == (10, 7)


def test_a_replaced_weight_is_told_of(net, batch):
    optimizer = QPSBGD(net)
    others = {name: p.detach().clone().requires_grad_() for name, p in net.named_parameters()}
    with pytest.raises(RuntimeError, match="layer 'first': functional_call puts another tensor"):
        torch.func.functional_call(net, others, (batch[0],))
    with torch.no_grad():  # an evaluation of averaged weights
        torch.func.functional_call(net, others, (batch[0],))
    backward(net, batch)
    optimizer.step()
    net.load_state_dict(dict(others), assign=True)
    with pytest.raises(
        RuntimeError, match=r"layer 'first': .*after load_state_dict\(assign=True\)"
    ):
        net(batch[0])


def test_step_frees_what_it_used(net, batch):
    optimizer = QPSBGD(net)
    backward(net, batch)
    optimizer.step()
    assert all(capture.is_empty for capture in optimizer.captures())
    with pytest.raises(RuntimeError, match=r"call backward\(\)"):
        optimizer.step()
    backward(net, batch)
    optimizer.zero_grad()
    with pytest.raises(RuntimeError, match=r"call backward\(\)"):
        optimizer.step()


def test_a_layer_that_no_gradient_reached_stays(net, batch):
    optimizer = QPSBGD(net)
    before = copy.deepcopy(net.state_dict())
    net.second(torch.randn(3, 7)).sum().backward()
    optimizer.step()
    assert torch.equal(net.first.weight, before["first.weight"])
    assert not torch.equal(net.second.weight, before["second.weight"])
    assert list(optimizer.last_step) == ["second"]


def test_an_input_changed_before_the_backward_pass_is_refused():
    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = BinaryLinear(5, 5, bias=False), BinaryLinear(5, 5, bias=False)

        def forward(self, x):
            h = ste_sign(self.a(x), 3.0)
            z = self.b(h)
            h += z
            return h

    model = Residual()
    optimizer = QPSBGD(model)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        model(torch.randn(6, 5)).sum().backward()
    del optimizer


def test_an_input_changed_before_the_step_is_refused(net, batch):
    optimizer = QPSBGD(net)
    weights = copy.deepcopy(net.state_dict())
    x, y = batch[0].clone(), batch[1]
    backward(net, (x, y))
    x.zero_()
    with pytest.raises(RuntimeError, match="layer 'first': the layer's input was changed"):
        optimizer.step()
    assert all(torch.equal(weights[key], value) for key, value in net.state_dict().items())


def test_a_frozen_layer_stays(net, batch):
    net.first.weight.requires_grad_(False)
    optimizer = QPSBGD(net, lr=0.1)
    weights = copy.deepcopy(net.state_dict())
    backward(net, batch)
    optimizer.step()
    assert torch.equal(net.first.weight, weights["first.weight"])
    assert not torch.equal(net.second.weight, weights["second.weight"])
    net.first.weight.requires_grad_(True)
    backward(net, batch)
    optimizer.step()
    assert not torch.equal(net.first.weight, weights["first.weight"])


def test_a_quantizer_runs_once_a_forward_pass():
    calls = []

    def noisy(x):
        calls.append(x + torch.randn_like(x))
        return calls[-1]

    layer = BinaryLinear(4, 3, bias=False, input_quantizer=noisy)
    optimizer = QPSBGD(nn.Sequential(layer))
    layer(torch.randn(5, 4)).sum().backward()
    assert len(calls) == 1
    assert torch.equal(captured(optimizer)[0], calls[0])


@pytest.mark.parametrize("use_reentrant", [False, True])
def test_activation_checkpointing(net, batch, use_reentrant):
    optimizer = QPSBGD(net)
    x = batch[0].clone().requires_grad_()
    backward(net, (x, batch[1]))
    expected = captured(optimizer)
    net.zero_grad()
    logits = checkpoint(net, x, use_reentrant=use_reentrant)
    nn.functional.cross_entropy(logits / 3, batch[1]).backward()
    for a, b in zip(captured(optimizer), expected, strict=True):
        assert torch.equal(a, b)


def test_autocast(net, batch):
    optimizer = QPSBGD(net)
    with torch.autocast("cpu", torch.bfloat16):
        loss = backward(net, batch)
    assert loss.isfinite()
    X, T = captured(optimizer)
    assert torch.equal(X, batch[0])
    assert T.isfinite().all()
    optimizer.step()


@pytest.mark.parametrize("shape", [(4,), (5, 4), (2, 5, 4)])
def test_a_claimed_layer_is_an_ordinary_one_to_its_neighbours(shape):
    layer = BinaryLinear(4, 3)
    x = torch.randn(shape)

    def gradients():
        layer.zero_grad()
        leaf = x.clone().requires_grad_()
        layer(input=leaf).square().sum().backward()
        return leaf.grad, layer.bias.grad.clone()

    expected = gradients()
    optimizer = QPSBGD(nn.Sequential(layer))
    for a, b in zip(gradients(), expected, strict=True):
        torch.testing.assert_close(a, b)
    optimizer.step()


def test_other_forward_hooks_see_the_layer_first_or_after(net, batch):
    net.first.register_forward_hook(lambda module, args, output: output * 2)
    optimizer = QPSBGD(net)
    net.second.register_forward_hook(lambda module, args, output: output * 2)
    backward(net, batch)
    assert torch.equal(captured(optimizer)[0], batch[0])
    optimizer.step()


def test_a_claimed_model_can_be_saved_and_loaded(net, batch):
    optimizer = QPSBGD(net)
    for copied in (
        pickle.loads(pickle.dumps(net)),
        torch.load(saved(net), weights_only=False),
    ):
        backward(copied, batch)
        assert copied.first.weight.grad is not None
    with pytest.raises(RuntimeError, match=r"call backward\(\)"):
        optimizer.step()


def saved(model):
    buffer = io.BytesIO()
    torch.save(model, buffer)
    buffer.seek(0)
    return buffer


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_model_and_optimiser_copied_together_go_on_alike(net, batch, duplicate):
    net.z = net.a = None
    optimizer = QPSBGD(net, lr=0.1)
    backward(net, batch)
    optimizer.step()
    net.z = net.a = None
    other_net, other = duplicate((net, optimizer))
    for model, owner in ((net, optimizer), (other_net, other)):
        backward(model, batch)
        owner.step()
    assert torch.equal(net.first.weight, other_net.first.weight)
    assert net.first.weight is not other_net.first.weight


def test_an_activation_that_is_only_looked_at_is_not_the_target(batch):
    layer = BinaryLinear(12, 3, bias=False)
    optimizer = QPSBGD(nn.Sequential(layer), target="activation")
    z = layer(batch[0])
    with torch.no_grad():
        ste_sign(z)
    ste_sign(z, 4.0).sum().backward()
    assert torch.equal(captured(optimizer)[1], torch.ones(10, 3))
