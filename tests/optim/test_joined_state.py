"""Groups, state and copies of JoinedOptimizer, and what can be joined."""

import copy
import itertools
import pickle

import pytest

torch = pytest.importorskip("torch")

from torch import nn
from torch.optim import lr_scheduler

from joined_training import joined, loss_of, optimizers_of, same, train
from networks import batches, mixed, reloaded
from qpsbgd.optim import QPSBGD, JoinedOptimizer, split_parameters

# Groups


def test_groups_are_those_of_the_optimizers():
    model = mixed()
    optimizer = joined(model)
    binary, real = optimizer.optimizers
    assert [group.get("layer") for group in optimizer.param_groups] == ["0", "3", None]
    assert optimizer.param_groups[1] is binary.param_groups[1]
    assert optimizer.param_groups[2] is real.param_groups[0]
    optimizer.param_groups[0]["lr"] = 0.0
    before = model[0].weight.detach().clone()
    train(model, [optimizer], count=1)
    assert torch.equal(model[0].weight, before)
    optimizer.load_state_dict(optimizer.state_dict())  # makes new groups
    assert optimizer.param_groups[2] is real.param_groups[0]
    assert "layer: 0" in repr(optimizer)
    assert "betas" in repr(optimizer)


def test_a_new_group_goes_to_the_real_optimizer():
    model = mixed()
    real = [parameter for parameter in split_parameters(model).real if parameter.dim() == 1]
    late = real.pop()
    optimizer = JoinedOptimizer(QPSBGD(model), torch.optim.SGD(real, lr=0.1))
    optimizer.add_param_group({"params": [late], "lr": 0.3})
    assert optimizer.param_groups[3] is optimizer.optimizers[1].param_groups[1]
    before = late.detach().clone()
    loss_of(model, batches(1)[0]).backward()
    moved = 0.3 * late.grad
    optimizer.step()
    assert torch.equal(late, before - moved)
    for parameter in (late, model[0].weight):
        with pytest.raises(ValueError, match=r"more than one|would both change layer '0'"):
            optimizer.add_param_group({"params": [parameter]})
    assert len(optimizer.param_groups) == 4


def test_a_new_group_without_an_optimizer_of_its_own():
    model = mixed()
    binary, real = optimizers_of(model)
    extra = nn.Parameter(torch.ones(2))
    with pytest.raises(
        ValueError, match="exactly one optimizer besides QPSBGD, but there is no optimizer"
    ):
        JoinedOptimizer(binary).add_param_group({"params": [extra]})
    several = JoinedOptimizer(binary, real, torch.optim.SGD([nn.Parameter(torch.ones(1))]))
    with pytest.raises(
        ValueError, match="exactly one optimizer besides QPSBGD, but there is AdamW, SGD"
    ):
        several.add_param_group({"params": [extra]})
    real.add_param_group({"params": [extra]})
    assert several.param_groups[3]["params"] == [extra]


def test_assigned_groups_go_to_the_optimizers_of_their_parameters():
    model = mixed()
    optimizer = joined(model)
    binary, real = optimizer.optimizers
    extra = {**real.param_groups[0], "params": [nn.Parameter(torch.ones(2))]}
    groups = [{**group, "lr": 0.5} for group in optimizer.param_groups]
    optimizer.param_groups = [*groups, extra]
    assert binary.param_groups == groups[:2]
    assert real.param_groups == [groups[2], extra]


# State


def test_the_state_is_a_view():
    model = mixed()
    optimizer = joined(model)
    binary, real = optimizer.optimizers
    weight, bias = model[0].weight, model[0].bias
    assert (weight in optimizer.state, optimizer.state.get(bias, 1), len(optimizer.state)) == (
        False, 1, 0,
    )  # fmt: skip
    assert optimizer.state.pop(weight, 2) == 2
    assert not binary.state
    assert optimizer.state[bias] == {}  # as in torch
    assert bias in real.state
    train(model, [optimizer], count=1)
    assert list(optimizer.state) == [*binary.state, *real.state]
    assert len(optimizer.state) == len(list(model.parameters()))
    assert optimizer.state[weight] is binary.state[weight]
    assert optimizer.state.get(bias) is real.state[bias]
    for parameter, own in ((weight, binary), (bias, real)):
        optimizer.state[parameter] = {"step": 7}
        assert own.state[parameter] == {"step": 7}
        del optimizer.state[parameter]
        assert parameter not in optimizer.state
        assert optimizer.state.setdefault(parameter, {"step": 8}) is own.state[parameter]
        assert optimizer.state.pop(parameter) == {"step": 8}
    with pytest.raises(KeyError):
        optimizer.state[torch.ones(1)]
    optimizer.state.clear()
    assert (dict(binary.state), dict(real.state)) == ({}, {})


def test_a_state_continues_bit_for_bit():
    whole, first = mixed(), mixed()
    train(whole, [joined(whole)], count=3)
    optimizer = joined(first)
    train(first, [optimizer], count=2)
    saved = optimizer.state_dict()
    assert set(saved) == {"state", "param_groups"}
    numbers = [number for group in saved["param_groups"] for number in group["params"]]
    assert numbers == list(range(len(numbers))) == sorted(saved["state"])
    resumed = mixed()
    other = joined(resumed)
    resumed.load_state_dict(first.state_dict())
    other.load_state_dict(reloaded(saved))
    for net, each in ((first, optimizer), (resumed, other)):
        loss_of(net, batches(3)[2]).backward()
        each.zero_grad()
        loss_of(net, batches(3)[2]).backward()
        each.step()
    assert same(first, resumed)
    for a, b in zip(first.parameters(), whole.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_state_of_other_optimizers_is_refused():
    model, other = mixed(), mixed()
    optimizer = joined(model)
    train(model, [optimizer], count=1)
    binary, real = optimizer.optimizers
    saved = optimizer.state_dict()
    for part in (binary, real):
        with pytest.raises(ValueError, match=r"groups of \[1, 1, 5\].*JoinedOptimizer of equal"):
            optimizer.load_state_dict(part.state_dict())
    reals = JoinedOptimizer(*(torch.optim.SGD([p]) for p in split_parameters(other).real))
    with pytest.raises(ValueError, match="groups of"):
        reals.load_state_dict(saved)
    swapped = {**saved, "param_groups": saved["param_groups"][1::-1] + saved["param_groups"][2:]}
    before = {p: state["step"] for p, state in optimizer.state.items()}
    groups = optimizer.param_groups
    with pytest.raises(ValueError, match=r"state_dict has layer \['3', '0'\]"):
        optimizer.load_state_dict(swapped)
    assert {p: state["step"] for p, state in optimizer.state.items()} == before
    assert all(a is b for a, b in zip(groups, optimizer.param_groups, strict=True))


class Counting(torch.optim.SGD):
    """An optimiser with state beside that of its parameters."""

    count = 0

    def step(self, closure=None):
        self.count += 1
        self.state["moves"] = 2 * self.count
        return super().step(closure)

    def state_dict(self):
        return {**super().state_dict(), "count": self.count}

    def load_state_dict(self, state_dict):
        self.count = state_dict["count"]
        super().load_state_dict({k: state_dict[k] for k in ("state", "param_groups")})


def test_entries_beside_the_parameters_are_saved():
    parts = [Counting([nn.Parameter(torch.ones(1))], lr=0.1) for _ in range(2)]
    optimizer = JoinedOptimizer(*parts)
    parts[0].step()
    optimizer.step()
    saved = reloaded(optimizer.state_dict())
    others = [Counting([nn.Parameter(torch.ones(1))], lr=0.1) for _ in range(2)]
    JoinedOptimizer(*others).load_state_dict(saved)
    assert [each.count for each in others] == [2, 1]
    assert [each.state["moves"] for each in others] == [4, 2]


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copies_go_on_alike(duplicate):
    model = mixed()
    optimizer = joined(model)
    train(model, [optimizer], count=2)
    other, copied = duplicate((model, optimizer))
    assert copied.param_groups[0]["params"][0] is other[0].weight
    for net, each in ((model, optimizer), (other, copied)):
        train(net, [each], [lr_scheduler.ExponentialLR(each, 0.5)], count=2)
    assert same(model, other)
    assert copied.optimizers[0].num_steps == 4


# What can be joined


def test_what_cannot_be_joined():
    model = mixed()
    binary, real = optimizers_of(model)
    for bad, name in ((torch.optim.SGD, "the class SGD"), ([binary, real], "a list")):
        message = f"argument 1 is {name}, but must be a torch optimizer.*AdamW"
        with pytest.raises(TypeError, match=message):
            JoinedOptimizer(binary, bad)
    with pytest.raises(ValueError, match="at least one"):
        JoinedOptimizer()
    with pytest.raises(ValueError, match="this QPSBGD is given twice"):
        JoinedOptimizer(binary, real, binary)
    for pair in itertools.permutations([binary, torch.optim.AdamW(model.parameters())]):
        message = r"QPSBGD and AdamW would both change layer '0'.*split_parameters\(model\)\.real"
        with pytest.raises(ValueError, match=message):
            JoinedOptimizer(*pair)
    message = r"AdamW and SGD would both change a parameter of shape \(7,\)"
    with pytest.raises(ValueError, match=message):
        JoinedOptimizer(binary, real, torch.optim.SGD([model[0].bias]))
    with pytest.raises(ValueError, match="LBFGS evaluates the loss itself"):
        JoinedOptimizer(binary, torch.optim.LBFGS(split_parameters(model).real))


def test_optimizers_of_parts_of_a_model():
    model, other = mixed(), mixed()

    def parts(model):
        real = split_parameters(model).real
        yield QPSBGD(model[0], lr=0.05)
        yield torch.optim.SGD(real[:3], lr=0.1)
        yield QPSBGD(model[3], lr=0.01, objective="sign")
        yield torch.optim.Adam(real[3:])

    optimizer = JoinedOptimizer(*parts(model))
    kinds = [type(each).__name__ for each in optimizer.optimizers]
    assert kinds == ["QPSBGD", "QPSBGD", "SGD", "Adam"]
    train(model, [optimizer])
    train(other, list(parts(other)))
    assert same(model, other)


def test_the_joined_optimizer_is_no_rival():
    model = mixed()
    optimizer = joined(model)
    train(model, [optimizer])  # a warning is an error
    with pytest.warns(
        UserWarning, match="SGD takes a step with the weights of the layers '0', '3'"
    ):
        torch.optim.SGD(model.parameters(), lr=0.1).step()
