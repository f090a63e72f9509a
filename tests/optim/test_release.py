"""release(): the end of a claim on a model whose optimiser cannot be deleted."""

import copy

import pytest

torch = pytest.importorskip("torch")

from torch import nn

from joined_training import loss_of, same, train
from networks import backward, batches, mixed
from qpsbgd.optim import QPSBGD, release, split_parameters


def test_a_new_optimizer_takes_over():
    model, other = mixed(), mixed()
    first = QPSBGD(model, lr=0.05, momentum=0.5)
    train(model, [first], count=2)
    release(model)
    second = QPSBGD(model, lr=0.05)
    second.load_state_dict(first.state_dict())
    train(model, [second], count=2)
    twin = QPSBGD(other, lr=0.05, momentum=0.5)
    train(other, [twin], count=2)
    train(other, [twin], count=2)
    assert same(model, other)
    assert second.num_steps == 4
    with pytest.raises(RuntimeError, match=r"layer '0' no longer belongs to this QPSBGD"):
        train(model, [first], count=1)


def test_a_cell_can_run_again():
    cell = "release(model)\noptimizer = QPSBGD(model)\ntrain(model, [optimizer], count=1)"
    names = {"model": mixed(), "release": release, "QPSBGD": QPSBGD, "train": train}
    for _ in range(2):
        exec(cell, names)
    assert names["optimizer"].num_steps == 1
    with pytest.raises(ValueError, match=r"layer '0' belongs to another.*release\(model\)"):
        exec(cell.splitlines()[1], names)


def test_a_part_can_be_released():
    model = mixed()
    whole = QPSBGD(model)
    release(model[3])
    part = QPSBGD(model[3])
    before = [parameter.detach().clone() for parameter in model.parameters()]
    loss_of(model, batches(1)[0]).backward()
    with pytest.raises(RuntimeError, match=r"layer '3' no longer belongs to this QPSBGD"):
        whole.step()
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    part.step()
    assert not torch.equal(before[4], model[3].weight)


def test_a_released_model_is_an_ordinary_one():
    model, other = mixed(), mixed()
    former = QPSBGD(model)
    release(model)
    release(model)  # nothing is left to release
    for each in (model, other):
        # A warning of a rival would be an error.
        train(each, [torch.optim.SGD(each.parameters(), lr=0.1)])
    assert same(model, other)
    assert all(capture.is_empty for capture in former.captures())


@pytest.mark.parametrize("moment", ["forward", "backward"])
def test_a_release_in_the_middle_of_a_step_discards_samples(net, batch, moment):
    before = copy.deepcopy(net)
    former = QPSBGD(net)
    loss = nn.functional.cross_entropy(net(batch[0]), batch[1])
    penalty = net.first.weight.square().sum()
    if moment == "backward":
        (loss + penalty).backward()
    release(net)
    if moment == "forward":
        (loss + penalty).backward()
    assert all(capture.is_empty for capture in former.captures())
    if moment == "backward":
        assert net.first.weight.grad is None
    else:
        assert torch.equal(net.first.weight.grad, 2 * net.first.weight)
    net.zero_grad()
    with pytest.raises(RuntimeError, match="no longer belongs"):
        former.step()
    optimizer, twin = QPSBGD(net), QPSBGD(before)
    for each, model in ((optimizer, net), (twin, before)):
        backward(model, batch)
        each.step()
    assert same(net, before)


def test_copies_of_a_released_optimizer_claim_their_model():
    model = mixed()
    optimizer = QPSBGD(model)
    release(model)
    other, copied = copy.deepcopy((model, optimizer))
    train(other, [copied, torch.optim.SGD(split_parameters(other).real, lr=0.1)], count=1)
    assert copied.num_steps == 1
