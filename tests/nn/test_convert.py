"""Conversion of the layers of a model to binary layers."""

import copy

import pytest

torch = pytest.importorskip("torch")

from torch import nn
from torch.nn.utils import prune

from qpsbgd.nn import BinaryConv1d, BinaryConv2d, BinaryLinear, convert_to_binary
from qpsbgd.nn.functional import ste_sign
from qpsbgd.optim import QPSBGD


def model():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 4, (3, 2), stride=2, padding=(1, 2), padding_mode="circular", bias=False),
        nn.Sequential(nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3, groups=2, dilation=2, padding="same")),
        nn.Flatten(2),
        nn.Conv1d(4, 3, 5),
        nn.Flatten(),
        nn.Linear(3 * 12, 2),
    )


def test_layers_become_binary_and_keep_all_else():
    net = model().double()
    net[3].weight.requires_grad_(False)
    net[1].eval()
    before = copy.deepcopy(net)
    modules, parameters = list(net.modules()), list(net.parameters())
    state = net.state_dict()
    assert convert_to_binary(net) is net
    kinds = [BinaryConv2d, nn.Sequential, nn.Flatten, BinaryConv1d, nn.Flatten, BinaryLinear]
    assert [type(module) for module in net] == kinds
    assert type(net[1][1]) is BinaryConv2d
    for now, then in ((list(net.modules()), modules), (list(net.parameters()), parameters)):
        assert all(a is b for a, b in zip(now, then, strict=True))
    assert net.state_dict().keys() == state.keys()
    assert [m.training for m in net.modules()] == [m.training for m in before.modules()]
    assert not net[3].weight.requires_grad
    x = torch.randn(5, 2, 7, 5).double()
    with torch.no_grad():
        for module in before.modules():
            if isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d):
                module.weight.copy_(ste_sign(module.weight))
    assert torch.equal(net(x), before(x))


def test_options():
    net = convert_to_binary(
        model().double(),
        input_quantizer="approx_sign",
        kernel_quantizer="swish_sign",
        output_scale=True,
    )
    for layer in (net[0], net[1][1], net[3], net[5]):
        assert layer.input_quantizer.__name__ == "approx_sign"
        assert layer.kernel_quantizer.__name__ == "swish_sign"
        assert layer.output_scale.dtype == torch.float64
        fan_in = layer.weight[0].numel()
        assert layer.output_scale.tolist() == pytest.approx([fan_in**-0.5] * len(layer.weight))
        layer.reset_parameters()


@pytest.mark.parametrize(
    ("skip", "left"),
    [
        ("5", ["5"]),
        (["0", "5"], ["0", "5"]),
        (["1"], ["1.1"]),
        ("*.1", ["1.1"]),
        (["[03]"], ["0", "3"]),
        ((name for name in ("1.?", "3")), ["1.1", "3"]),
    ],
)
def test_skip(skip, left):
    net = convert_to_binary(model(), skip)
    kinds = (nn.Linear, nn.Conv1d, nn.Conv2d)
    assert [name for name, module in net.named_modules() if type(module) in kinds] == left


def test_skip_takes_a_name_that_is_no_pattern():
    net = nn.ModuleDict({"a[0]": nn.Linear(3, 3), "a0": nn.Linear(3, 3)})
    convert_to_binary(net, skip="a[0]")
    assert [type(module) for module in net.values()] == [nn.Linear, BinaryLinear]


@pytest.mark.parametrize("skip", ["head", ["5", "head"], ["", "head*"], "onv"])
def test_skip_that_matches_nothing_is_refused(skip):
    net = model()
    with pytest.raises(ValueError, match=r"skip has '(head\*?|onv)', but no module"):
        convert_to_binary(net, skip)
    assert type(net[0]) is nn.Conv2d


def test_optimisers_hooks_and_tied_weights_go_on():
    class Language(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(6, 4)
            self.head = nn.Linear(4, 6, bias=False)
            self.head.weight = self.embedding.weight

        def forward(self, x):
            return self.head(self.embedding(x))

    net = Language()
    seen = []
    handle = net.head.register_forward_hook(lambda *_: seen.append(1))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    convert_to_binary(net)
    assert net.head.weight is net.embedding.weight
    before = net.head.weight.detach().clone()
    net(torch.tensor([0, 3])).square().sum().backward()
    optimizer.step()
    assert not torch.equal(net.head.weight, before)
    handle.remove()
    net(torch.tensor([0, 3]))
    assert seen == [1]


def test_a_module_that_occurs_twice_stays_one():
    shared = nn.Linear(3, 3)
    net = convert_to_binary(
        nn.ModuleDict({"a": shared, "b": nn.Sequential(shared, nn.Linear(3, 1))})
    )
    assert net["a"] is net["b"][0] is shared
    assert type(shared) is BinaryLinear
    # One of its names suffices to leave it.
    shared = nn.Linear(3, 3)
    net = nn.ModuleDict({"a": shared, "b": nn.Sequential(shared, nn.Linear(3, 1))})
    convert_to_binary(net, skip="a")
    assert type(net["b"][0]) is nn.Linear
    assert type(net["b"][1]) is BinaryLinear


def test_a_layer_itself():
    layer = nn.Linear(3, 2)
    assert convert_to_binary(layer) is layer
    assert type(layer) is BinaryLinear


def test_binary_layers_and_subclasses_are_left():
    class Special(nn.Linear):
        pass

    binary = BinaryLinear(3, 3, kernel_quantizer="approx_sign")
    net = nn.Sequential(binary, Special(3, 3), nn.Linear(3, 3), nn.LazyLinear(2))
    convert_to_binary(net)
    kinds = [BinaryLinear, Special, BinaryLinear, nn.LazyLinear]
    assert [type(module) for module in net] == kinds
    assert binary.kernel_quantizer.__name__ == "approx_sign"
    with pytest.raises(
        ValueError, match=r"model \(Sequential\) has none of nn.Linear, nn.Conv1d, "
    ):
        convert_to_binary(net)


def test_errors_leave_the_model_as_it_was():
    net = model()
    before = net.state_dict().keys()
    for error, options in (
        (ValueError, {"kernel_quantizer": "sing"}),
        (ValueError, {"input_quantizer": "sing"}),
        (TypeError, {"output_scale": 1}),
    ):
        with pytest.raises(error, match=next(iter(options))):
            convert_to_binary(net, **options)
    prune.random_unstructured(net[5], "weight", 0.5)
    with pytest.raises(ValueError, match="layer '5' has a weight that is no parameter"):
        convert_to_binary(net)
    prune.remove(net[5], "weight")
    assert all(type(net[i]).__module__.startswith("torch.") for i in range(6))
    assert "input_quantizer" not in vars(net[0])
    assert net.state_dict().keys() == before
    with pytest.raises(ValueError, match=r"model \(ReLU\) has none of"):
        convert_to_binary(nn.ReLU())
    with pytest.raises(ValueError, match="outside of skip"):
        convert_to_binary(net, skip="*")


class Mixed(nn.Module):
    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(6, 4)
        self.encoder = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True)
        self.memory = nn.LSTM(4, 3)
        self.lazy = nn.LazyLinear(3)
        self.known = BinaryLinear(3, 3)
        self.real = BinaryLinear(3, 3, kernel_quantizer=None)
        self.norm = nn.LayerNorm(4)
        self.head = nn.Linear(4, 6)
        self.head.weight = self.words.weight


REAL = {
    "encoder.self_attn.in_proj_weight": "MultiheadAttention",
    "encoder.self_attn.out_proj.weight": "NonDynamicallyQuantizableLinear",
    "memory.weight_ih_l0": "LSTM",
    "memory.weight_hh_l0": "LSTM",
    "lazy.weight": "LazyLinear",
    "real.weight": "BinaryLinear",
}


def test_report_of_what_stays_real():
    report = convert_to_binary(Mixed()).convert_report
    assert report.converted == ("encoder.linear1", "encoder.linear2", "head")
    assert report.real == REAL
    report = convert_to_binary(Mixed(), skip=["head", "lazy", "*.self_attn"]).convert_report
    assert report.converted == ("encoder.linear1", "encoder.linear2")
    assert report.real == {
        name: kind for name, kind in REAL.items() if name.startswith(("memory", "real"))
    }
    assert convert_to_binary(nn.Linear(3, 2)).convert_report == (("BinaryLinear",), {})


def test_strict_refuses_what_would_stay_real():
    net = Mixed()
    with pytest.raises(ValueError, match="strict is True, but these matrices would stay real") as e:
        convert_to_binary(net, strict=True)
    assert all(f"{name!r} ({kind})" in str(e.value) for name, kind in REAL.items())
    assert type(net.head) is nn.Linear
    assert not hasattr(net, "convert_report")
    skip = ["encoder.self_attn", "memory", "lazy", "real"]
    assert convert_to_binary(net, skip, strict=True).convert_report.real == {}


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
@pytest.mark.parametrize("which", ["encoder", "layer", "before it is built"])
def test_transformers_give_the_same_in_training_and_inference(which):
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
    options = {"input_quantizer": "ste_sign", "output_scale": True}
    if which == "before it is built":
        with pytest.warns(UserWarning, match="enable_nested_tensor is True"):
            net = nn.TransformerEncoder(convert_to_binary(layer, **options), 2)
    else:
        net = nn.TransformerEncoder(layer, 2)
        convert_to_binary(net if which == "encoder" else net.layers[1], **options)
    assert type(net.layers[1].linear1) is BinaryLinear
    assert not isinstance(net.layers[1].self_attn.out_proj, BinaryLinear)
    x = torch.randn(3, 5, 8)
    padding = torch.tensor([[False] * 5, [False] * 4 + [True], [False] * 3 + [True] * 2])
    masks = [None] if which == "layer" else [None, padding]
    for mask in masks:
        outputs = []
        for training in (True, False):
            with torch.set_grad_enabled(training):
                outputs.append(net.train(training)(x, src_key_padding_mask=mask))
        kept = slice(None) if mask is None else ~mask
        torch.testing.assert_close(outputs[0][kept], outputs[1][kept])


def test_skipped_transformers_keep_their_fast_path():
    net = nn.Sequential(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), nn.Linear(8, 2))
    convert_to_binary(net, skip="0")
    assert net[0].activation_relu_or_gelu == 1


def test_trains_with_qpsbgd():
    net = convert_to_binary(model(), skip="0")
    optimizer = QPSBGD(net)
    assert [group["layer"] for group in optimizer.param_groups] == ["1.1", "3", "5"]
    net(torch.randn(5, 2, 7, 5)).square().sum().backward()
    before = [p.detach().clone() for group in optimizer.param_groups for p in group["params"]]
    optimizer.step()
    for group, old in zip(optimizer.param_groups, before, strict=True):
        assert not torch.equal(group["params"][0], old)
