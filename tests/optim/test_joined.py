"""Steps, closures and hooks of JoinedOptimizer: what two optimisers do, as one."""

import functools

import pytest

torch = pytest.importorskip("torch")

from torch import nn
from torch.optim import lr_scheduler
from torch.optim.optimizer import (
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)

from joined_training import joined, loss_of, optimizers_of, same, train, values
from networks import batches, mixed
from qpsbgd.optim import QPSBGD, JoinedOptimizer

# Steps and schedulers


@pytest.mark.parametrize("real_first", [False, True])
def test_a_step_is_a_step_of_each(real_first):
    model, other = mixed(), mixed()
    pair = optimizers_of(model)
    optimizer = JoinedOptimizer(*(reversed(pair) if real_first else pair))
    assert optimizer.optimizers == pair
    train(model, [optimizer])
    train(other, optimizers_of(other))
    assert same(model, other)
    for before, after in zip(values(mixed()), values(model), strict=True):
        assert not torch.equal(before, after)


SCHEDULERS = {
    "LambdaLR": lambda o: lr_scheduler.LambdaLR(o, lambda step: 1 / (1 + step)),
    "CosineAnnealingLR": lambda o: lr_scheduler.CosineAnnealingLR(o, T_max=6),
    "OneCycleLR": lambda o: lr_scheduler.OneCycleLR(
        o, [2 * group["lr"] for group in o.param_groups], total_steps=7, cycle_momentum=False
    ),
    "CyclicLR": lambda o: lr_scheduler.CyclicLR(o, 0.01, 0.1, 2, cycle_momentum=False),
    "ReduceLROnPlateau": lambda o: lr_scheduler.ReduceLROnPlateau(o, patience=0),
    "SequentialLR": lambda o: lr_scheduler.SequentialLR(
        o, [lr_scheduler.ConstantLR(o), lr_scheduler.ExponentialLR(o, 0.5)], milestones=[3]
    ),
}


@pytest.mark.parametrize("make", list(SCHEDULERS.values()), ids=SCHEDULERS)
def test_one_scheduler_acts_as_one_for_each(make):
    model, other = mixed(), mixed()
    optimizer, pair = joined(model), optimizers_of(other)
    before = [group["lr"] for group in optimizer.param_groups]
    train(model, [optimizer], [make(optimizer)])
    train(other, pair, [make(each) for each in pair])
    assert same(model, other)
    rates = [group["lr"] for group in optimizer.param_groups]
    assert rates == [group["lr"] for each in pair for group in each.param_groups]
    assert all(x != y for x, y in zip(rates, before, strict=True))


def test_momentum_is_cycled_where_all_optimizers_have_one():
    model, other = mixed(), mixed()
    optimizer, pair = joined(model, torch.optim.SGD), optimizers_of(other, torch.optim.SGD)
    one_cycle = functools.partial(lr_scheduler.OneCycleLR, max_lr=0.1, total_steps=7)
    train(model, [optimizer], [one_cycle(optimizer)])
    train(other, pair, [one_cycle(each) for each in pair])
    assert same(model, other)
    assert {group["momentum"] for group in optimizer.param_groups} == {
        group["momentum"] for each in pair for group in each.param_groups
    }
    with pytest.raises(ValueError, match="cycle_momentum"):  # AdamW has betas instead
        one_cycle(joined(mixed()))


def test_a_scheduler_of_one_optimizer_sees_its_steps():
    model = mixed()
    optimizer = joined(model)
    scheduler = lr_scheduler.ExponentialLR(optimizer.optimizers[0], 0.5)
    train(model, [optimizer], [scheduler], count=2)  # torch warns of a scheduler without steps
    assert [group["lr"] for group in optimizer.param_groups] == [0.0125, 0.0125, 0.02]


def test_accumulated_gradients_are_one_step():
    model, other = mixed(), mixed()
    for net, optimizers in ((model, [joined(model)]), (other, optimizers_of(other))):
        for batch in batches(3):
            loss_of(net, batch).backward()
        for each in optimizers:
            each.step()
    assert same(model, other)


@pytest.mark.parametrize("set_to_none", [True, False])
def test_zero_grad_discards_everything(set_to_none):
    model, other = mixed(), mixed()
    optimizer, twin = joined(model), joined(other)
    for each in (model, other):
        each.eval()  # so that the first batch leaves no trace in the running means
    first, second = batches(2)
    (1e3 * loss_of(model, first)).backward()
    optimizer.zero_grad(set_to_none)
    assert all(capture.is_empty for capture in optimizer.optimizers[0].captures())
    assert all((p.grad is None) == set_to_none for p in model.parameters())
    for net, each in ((model, optimizer), (other, twin)):
        loss_of(net, second).backward()
        each.step()
    assert same(model, other)


# Closures


def test_a_closure_is_evaluated_once():
    model, other = mixed(), mixed()
    optimizer = joined(model)
    losses = []
    for batch in batches(3):

        def closure(batch=batch):
            assert torch.is_grad_enabled()
            optimizer.zero_grad()
            losses.append(loss_of(model, batch))
            losses[-1].backward()
            return losses[-1]

        with torch.no_grad():
            assert optimizer.step(closure) is losses[-1]
    assert len(losses) == 3
    train(other, optimizers_of(other), count=3)
    assert same(model, other)


@pytest.mark.parametrize("make", [joined, lambda model: QPSBGD(model, lr=0.05)])
def test_a_closure_that_skips_a_batch_changes_nothing(make):
    model, other = mixed(), mixed()
    optimizer = make(model)
    optimizer.zero_grad()
    assert optimizer.step(lambda: None) is None
    assert same(model, other)
    with pytest.raises(RuntimeError, match="found no gradient in any binary layer"):
        optimizer.step(lambda: 1.0)  # a loss without a backward pass is a mistake
    with pytest.raises(RuntimeError, match="found no gradient in any binary layer"):
        optimizer.step()
    assert same(model, other)


def test_gradients_from_before_a_skipped_batch_count():
    model, other = mixed(), mixed()
    optimizer = joined(model)
    loss_of(model, batches(1)[0]).backward()
    optimizer.step(lambda: None)
    train(other, optimizers_of(other), count=1)
    assert same(model, other)


@pytest.mark.parametrize("real_first", [False, True])
def test_an_error_of_qpsbgd_leaves_all_parameters(real_first):
    model, other = mixed(), mixed()
    pair = optimizers_of(model)
    optimizer = JoinedOptimizer(*(reversed(pair) if real_first else pair))
    for each in (model, other):
        loss_of(each, batches(1)[0]).backward()
    optimizer.param_groups[1]["lr"] = -1
    with pytest.raises(ValueError, match="lr is -1"):
        optimizer.step()
    assert same(model, other)
    assert not optimizer.state


# GradScaler


def test_grad_scaler_unscales_and_skips_all_optimizers():
    model, other = mixed(), mixed()
    optimizer, pair = joined(model), optimizers_of(other)
    for net, optimizers in ((model, [optimizer]), (other, pair)):
        scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
        for index, (x, y) in enumerate(batches(4)):
            for each in optimizers:
                each.zero_grad()
            with torch.autocast("cpu", torch.bfloat16):
                loss = loss_of(net, (x, y)) * (float("inf") if index == 1 else 1)
            scaler.scale(loss).backward()
            for each in optimizers:
                scaler.unscale_(each)
            nn.utils.clip_grad_norm_(net.parameters(), 0.01)
            before = [p.detach().clone() for p in net.parameters()]
            for each in optimizers:
                scaler.step(each)
            scaler.update()
            stays = [torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True)]
            assert stays == [index == 1] * len(stays)
        assert scaler.get_scale() == 512.0
    assert same(model, other)


# Hooks


def test_step_hooks_run_around_those_of_the_optimizers():
    model = mixed()
    optimizer = joined(model)
    binary, real = optimizer.optimizers
    order = []
    for name, each in (("joined", optimizer), ("binary", binary), ("real", real)):
        each.register_step_pre_hook(lambda o, a, k, name=name: order.append(f"before {name}"))
        handle = each.register_step_post_hook(lambda o, a, k, name=name: order.append(name))
    train(model, [optimizer], count=1)
    assert order == ["before joined", "before binary", "binary", "before real", "real", "joined"]
    handle.remove()
    order.clear()

    def with_closure(optimizer, args, kwargs):
        assert args == (optimizer, None)
        return (optimizer, lambda: "loss"), kwargs

    optimizer.register_step_pre_hook(with_closure)
    loss_of(model, batches(1)[0]).backward()
    assert optimizer.step() == "loss"


def test_global_hooks_get_each_parameter_once():
    model = mixed()
    optimizer = joined(model)
    seen = []
    handles = [
        register(lambda o, *_: seen.extend(p for group in o.param_groups for p in group["params"]))
        for register in (register_optimizer_step_pre_hook, register_optimizer_step_post_hook)
    ]
    try:
        train(model, [optimizer], count=1)
    finally:
        for handle in handles:
            handle.remove()
    assert len(seen) == 2 * len(set(seen)) == 2 * len(list(model.parameters()))


def test_hooks_of_states():
    model = mixed()
    optimizer = joined(model)
    calls = []
    optimizer.register_state_dict_pre_hook(lambda o: calls.append("before"))
    optimizer.register_state_dict_post_hook(lambda o, state: {**state, "more": 1})
    optimizer.register_load_state_dict_pre_hook(lambda o, state: calls.append(state["more"]))
    optimizer.register_load_state_dict_post_hook(lambda o: calls.append("after"))
    optimizer.load_state_dict(optimizer.state_dict())
    assert calls == ["before", 1, "after"]


def test_log_to_works_as_it_does_alone():
    class Writer:
        tags = ()

        def add_scalar(self, tag, value, step):
            self.tags += ((tag, step),)

    model, writer = mixed(), Writer()
    optimizer = joined(model)
    optimizer.optimizers[0].log_to(writer, every=2)
    train(model, [optimizer], count=4)
    assert {step for _, step in writer.tags} == {2, 4}
