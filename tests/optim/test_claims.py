"""Claims of QPSBGD on weights: other optimisers, replaced weights, and what the messages say."""

import copy
import gc
import pickle
import warnings

import pytest

torch = pytest.importorskip("torch")

from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune, weight_norm
from torch.optim.optimizer import _global_optimizer_pre_hooks

from networks import Net, backward
from qpsbgd.nn import BinaryLinear
from qpsbgd.optim import QPSBGD, BinaryConnect, split_parameters

# Other optimisers


def test_a_second_qpsbgd_is_refused(net, batch):
    first = QPSBGD(net)
    with pytest.raises(
        ValueError, match=r"layer 'first' belongs to another QPSBGD.*`del optimizer`"
    ):
        QPSBGD(net)
    with pytest.raises(ValueError, match=r"layer '0\.BinaryLinear' belongs to another"):
        QPSBGD([{"params": net.second}])
    backward(net, batch)
    first.step()  # it is unharmed
    del first
    second = QPSBGD(net)
    net.zero_grad()
    backward(net, batch)
    second.step()


def test_a_dead_qpsbgd_does_not_count(net, batch):
    first = QPSBGD(net)
    first.itself = first  # a cycle, which only the garbage collector ends
    loss = backward(net, batch)  # the graph and its output are still there
    del first
    second = QPSBGD(net)
    backward(net, batch)
    second.step()
    assert net.z.grad_fn is not None
    assert loss.isfinite()


def test_a_graph_does_not_keep_a_deleted_optimizer_alive(net, batch):
    optimizer = QPSBGD(net, target="activation")
    loss = nn.functional.cross_entropy(net(batch[0]), batch[1])
    gc.disable()
    try:
        del optimizer
        assert not net.first.observers
    finally:
        gc.enable()
    loss.backward()  # of a pass that the optimiser has observed


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copies_have_claims_of_their_own(net, duplicate):
    optimizer = QPSBGD(net)
    other, duplicated = duplicate((net, optimizer))
    for make in (lambda: copy.copy(optimizer), lambda: QPSBGD(other)):
        with pytest.raises(ValueError, match="belongs to another QPSBGD"):
            make()
    del duplicated
    QPSBGD(other)


def mixed():
    torch.manual_seed(0)
    return nn.Sequential(BinaryLinear(12, 7), nn.Hardtanh(), BinaryLinear(7, 4))


def train(model, batch, *optimizers, count=3):
    for _ in range(count):
        model.zero_grad()
        nn.functional.cross_entropy(model(batch[0]), batch[1]).backward()
        for optimizer in optimizers:
            optimizer.step()


@pytest.mark.parametrize("make", [torch.optim.SGD, torch.optim.AdamW, BinaryConnect])
def test_another_optimizer_with_claimed_weights_warns_in_its_first_step(batch, make):
    model = mixed()
    other = make(model.parameters(), lr=0.1)
    optimizer = QPSBGD(model)
    message = f"{make.__name__} takes a step with the weights of the layers '0', '2', which QPSBGD"
    with pytest.warns(UserWarning, match=message) as found:
        train(model, batch, optimizer, other)
    assert len(found) == 1
    assert "split_parameters(model).real" in str(found[0].message)
    with pytest.warns(UserWarning, match="takes a step with the weights"):
        train(model, batch, make([model[0].weight], lr=0.1))
    del optimizer
    train(model, batch, make(model.parameters(), lr=0.1))


def test_other_optimizers_do_not_warn(batch):
    model, other = mixed(), mixed()
    optimizer = QPSBGD(model)
    frozen = mixed()
    owner = QPSBGD(frozen)
    frozen[0].weight.requires_grad_(False)
    for optimizers, trained in (
        ((optimizer, torch.optim.AdamW(split_parameters(model).real)), model),
        ((BinaryConnect(other.parameters()),), other),
        ((owner, torch.optim.SGD([frozen[0].weight, frozen[2].bias], lr=0.1)), frozen),
    ):
        train(trained, batch, *optimizers)


def test_an_optimizer_that_takes_the_steps_itself_does_not_warn(batch):
    class Joined(torch.optim.Optimizer):
        def __init__(self, *optimizers):
            self.optimizers = optimizers
            super().__init__(
                [{"params": g["params"]} for o in optimizers for g in o.param_groups], {}
            )

        def step(self, closure=None):
            for optimizer in self.optimizers:
                optimizer.step()

    model = mixed()
    joined = Joined(QPSBGD(model), torch.optim.SGD(split_parameters(model).real, lr=0.1))
    train(model, batch, joined)


def test_the_global_hook_ends_with_the_optimizer(net):
    gc.collect()
    before = len(_global_optimizer_pre_hooks)
    optimizer = QPSBGD(net)
    assert len(_global_optimizer_pre_hooks) == before + 1
    del optimizer
    assert len(_global_optimizer_pre_hooks) == before


# Weights that are computed or replaced


def test_a_computed_weight_names_its_layer(net):
    models = {name: copy.deepcopy(net) for name in ("prune", "old norm", "norm", "parametrize")}
    prune.l1_unstructured(models["prune"].second, "weight", 0.5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the function is deprecated
        weight_norm(models["old norm"].second)
    parametrizations.weight_norm(models["norm"].second)
    parametrize.register_parametrization(models["parametrize"].second, "weight", nn.Identity())
    for name, model in models.items():
        is_new = name in ("norm", "parametrize")
        message = "remove_parametrizations first" if is_new else "computed from others"
        with pytest.raises(ValueError, match=f"layer 'second': its weight .*{message}"):
            QPSBGD(model)
        assert not model.first.observers
    prune.remove(models["prune"].second, "weight")
    parametrize.remove_parametrizations(models["norm"].second, "weight")
    for name in ("prune", "norm"):
        QPSBGD(models[name])


def test_a_weight_that_becomes_computed_names_its_layer(net, batch):
    pruned, normed = copy.deepcopy(net), copy.deepcopy(net)
    optimizers = [QPSBGD(model) for model in (pruned, normed)]
    prune.l1_unstructured(pruned.second, "weight", 0.5)
    parametrize.register_parametrization(normed.second, "weight", nn.Tanh())
    with pytest.raises(RuntimeError, match=r"layer 'second': .*computed from others"):
        pruned(batch[0])
    with pytest.raises(RuntimeError, match=r"layer 'second': its weight has a parametrization"):
        normed(batch[0])
    del optimizers


def test_each_way_to_replace_a_weight_has_its_own_message(net, batch):
    with torch.device("meta"):
        late = Net()
    optimizers = [QPSBGD(late), QPSBGD(net)]
    late.to_empty(device="cpu")
    with pytest.raises(RuntimeError, match="layer 'first': to_empty has replaced the weight"):
        late(batch[0])
    weights = {name: p.detach().clone() for name, p in net.named_parameters()}

    def total(weights):
        return torch.func.functional_call(net, weights, (batch[0],)).sum()

    with pytest.raises(RuntimeError, match="layer 'first': functional_call puts another tensor"):
        total({name: weight.requires_grad_() for name, weight in weights.items()})
    torch.func.grad(total)(weights)  # returns the gradients of its arguments
    assert all(capture.is_empty for capture in optimizers[1].captures())


def test_a_sharded_weight_is_told_of(tmp_path):
    dist = pytest.importorskip("torch.distributed")
    fsdp = pytest.importorskip("torch.distributed.fsdp")
    if not dist.is_available() or dist.is_initialized():
        pytest.skip("no process group can be made")
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/group", rank=0, world_size=1)
    try:
        for has_originals in (False, True, None):
            net = Net()
            optimizer = QPSBGD(net)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # one rank has nothing to shard
                if has_originals is None:
                    if not hasattr(fsdp, "fully_shard"):
                        continue
                    model = fsdp.fully_shard(net)
                else:
                    model = fsdp.FullyShardedDataParallel(
                        net, use_orig_params=has_originals, device_id=torch.device("cpu")
                    )
            with pytest.raises(RuntimeError, match="layer 'first': FSDP shards its weight"):
                model(torch.randn(2, 12))
            with pytest.raises(
                ValueError, match=r"FSDP shards its weight.*DistributedDataParallel"
            ):
                QPSBGD(model)
            del optimizer
    finally:
        dist.destroy_process_group()


# Compilers and exporters


@pytest.mark.filterwarnings("ignore")  # torch's own
def test_fullgraph_gives_a_reason(net, batch):
    optimizer = QPSBGD(net)
    with pytest.raises(Exception, match=r"QPSBGD takes samples from this layer.*fullgraph=False"):
        torch.compile(net, fullgraph=True, backend="eager")(batch[0])
    torch._dynamo.reset()
    del optimizer


@pytest.mark.filterwarnings("ignore")  # torch's own
@pytest.mark.parametrize("export", ["export", "strict export", "trace"])
def test_a_claimed_model_is_exported_as_an_ordinary_one(batch, export):
    model = mixed()
    expected = model(batch[0])
    optimizer = QPSBGD(model, lr=0.1)
    if export == "trace":
        exported = torch.jit.trace(model, (batch[0],))
    else:
        exported = torch.export.export(
            model, (batch[0],), strict=export == "strict export"
        ).module()
    assert torch.equal(exported(batch[0]), expected)
    before = model[0].weight.detach().clone()
    nn.functional.cross_entropy(model(batch[0]), batch[1]).backward()
    assert optimizer.captures()[0].has_samples
    optimizer.step()
    assert not torch.equal(before, model[0].weight)
    torch._dynamo.reset()
