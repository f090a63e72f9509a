"""Packed models: the outputs of the original from one bit per weight."""

import copy
import io
import pickle

import pytest

torch = pytest.importorskip("torch")

from torch import nn

import qpsbgd
from qpsbgd import _core
from qpsbgd.nn import (
    BinaryConv1d,
    BinaryConv2d,
    BinaryGCNConv,
    BinaryLinear,
    PackedWeight,
    Sign,
    SwishSign,
    convert_to_binary,
    pack,
)
from qpsbgd.optim import QPSBGD

EDGES = torch.tensor([[0, 1, 2, 2], [1, 2, 0, 1]])
LAYERS = {
    "linear": (lambda **options: BinaryLinear(13, 5, **options), [(3, 4, 13)]),
    "conv1d": (lambda **options: BinaryConv1d(4, 6, 3, groups=2, **options), [(3, 4, 9), (4, 9)]),
    "conv2d": (
        lambda **options: BinaryConv2d(
            32, 64, 3, padding=1, padding_mode="replicate", stride=2, **options
        ),
        [(3, 32, 9, 8), (32, 9, 8)],
    ),
    "gcn": (lambda **options: BinaryGCNConv(9, 4, **options), [(3, 9)]),
}


def run(layer, x):
    return layer(x, EDGES) if isinstance(layer, BinaryGCNConv) else layer(x)


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"bias": False},
        {"output_scale": True, "input_quantizer": "ste_sign"},
        {"kernel_quantizer": "approx_sign", "output_scale": True, "bias": False},
        {"dtype": torch.float64},
    ],
    ids=str,
)
def test_same_outputs_and_gradients(kind, options):
    torch.manual_seed(0)
    make, shapes = LAYERS[kind]
    layer = make(**options)
    layer.weight.data.view(-1)[0] = 0.0
    packed = pack(layer)
    assert type(packed) is type(layer)
    for shape in shapes:
        x = torch.randn(shape, dtype=layer.weight.dtype)
        inputs = [x.clone().requires_grad_() for _ in range(2)]
        outputs = [run(each, x) for each, x in zip((layer, packed), inputs, strict=True)]
        assert torch.equal(*outputs)
        for output in outputs:
            output.square().sum().backward()
        assert torch.equal(inputs[0].grad, inputs[1].grad)
    for name, parameter in packed.named_parameters():
        assert torch.equal(parameter.grad, layer.get_parameter(name).grad)


def test_another_order_of_memory_is_kept():
    torch.manual_seed(0)
    layer = LAYERS["conv2d"][0]().to(memory_format=torch.channels_last)
    packed = pack(layer)
    assert packed.binary_weight.stride() == layer.weight.stride()
    x = torch.randn(3, 32, 9, 8)
    assert torch.equal(packed(x), layer(x))


def test_a_cached_graph_is_kept():
    layer = BinaryGCNConv(9, 4, cached=True)
    x = torch.randn(3, 9)
    expected = layer(x, EDGES)
    assert torch.equal(pack(layer)(x, torch.tensor([[0], [0]])), expected)


def network():
    return nn.Sequential(
        BinaryConv2d(3, 8, 3, input_quantizer="ste_sign", output_scale=True),
        nn.BatchNorm2d(8),
        nn.Flatten(),
        BinaryLinear(8 * 4, 10, kernel_quantizer=None),
        BinaryLinear(10, 6),
    )


def test_model_is_copied_and_its_size_reported():
    torch.manual_seed(0)
    model = network()
    state = copy.deepcopy(model.state_dict())
    optimizer = QPSBGD(model)
    packed = pack(model)
    before, after = packed.pack_report
    assert before == sum(tensor.nbytes for tensor in state.values())
    # Rows of 27 and of 10 signs in whole bytes, and one number each that has the type.
    saved = 4 * (8 * 27 + 6 * 10) - (8 * 4 + 6 * 2) - 2 * 4
    assert after == before - saved
    file = io.BytesIO()
    torch.save(packed.state_dict(), file)
    names = set(packed.state_dict()) ^ set(state)
    assert names == {"0.weight", "0.weight.bits", "4.weight", "4.weight.bits"}
    assert packed[4].weight.bits.dtype == torch.uint8
    assert packed[3].weight.shape == (10, 32)
    assert "(weight): PackedWeight(8, 3, 3, 3)" in repr(packed)
    for key, value in model.state_dict().items():
        assert torch.equal(value, state[key])
    x = torch.randn(5, 3, 4, 4)
    for training in (True, False):
        assert torch.equal(packed.train(training)(x), model.train(training)(x))
    model.train()(x).square().sum().backward()
    optimizer.step()  # the model trains on


def test_state_dict_goes_to_another_packed_model():
    torch.manual_seed(0)
    model = network().eval()
    packed = pack(model)
    file = io.BytesIO()
    torch.save(packed.state_dict(), file)
    file.seek(0)
    other = pack(network().eval())
    x = torch.randn(5, 3, 4, 4)
    assert not torch.equal(other(x), model(x))
    other.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(other(x), model(x))
    with pytest.raises(RuntimeError, match=r"Missing key.*0\.weight"):
        network().load_state_dict(packed.state_dict())


def test_copies():
    packed = pack(network().eval())
    x = torch.randn(5, 3, 4, 4)
    other = copy.deepcopy(packed)
    assert torch.equal(other(x), packed(x))
    assert other.pack_report == packed.pack_report


def savable(kind):
    """A model, its packed copy, and an optimiser with a step behind it."""
    torch.manual_seed(0)
    make, shapes = LAYERS[kind]
    layer = make(input_quantizer="approx_sign", kernel_quantizer="ste_sign", output_scale=True)
    model = nn.ModuleDict({"layer": layer, "sign": Sign(2.0), "swish": SwishSign()})
    if kind == "conv2d":
        layer.to(memory_format=torch.channels_last)
    layer.bias.requires_grad_(False)
    layer.output_scale.requires_grad_(False)
    optimizer = QPSBGD(model, momentum=0.9)
    run(layer, torch.randn(shapes[0])).square().sum().backward()
    optimizer.step()
    return model, pack(model), optimizer


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("kind", LAYERS)
def test_everything_can_be_saved_with_every_protocol(kind, protocol):
    model, packed, optimizer = savable(kind)
    x = torch.randn(LAYERS[kind][1][0])
    things = {"model": model, "packed": packed, "optimizer": optimizer.state_dict()}
    file = io.BytesIO()
    torch.save(things, file, pickle_protocol=protocol)
    file.seek(0)
    for others in (
        torch.load(file, weights_only=False),
        pickle.loads(pickle.dumps(things, protocol)),
    ):
        for name in ("model", "packed"):
            output = run(others[name]["layer"], x)
            assert torch.equal(output, run(things[name]["layer"], x))
            assert others[name]["sign"].clip_value == 2.0
        assert others["packed"].pack_report == packed.pack_report
        again = QPSBGD(others["model"], momentum=0.9)
        again.load_state_dict(others["optimizer"])
        kept = copy.deepcopy((model, optimizer))
        for each, stepper in (kept, (others["model"], again)):
            stepper.zero_grad()
            run(each["layer"], x).square().sum().backward()
            stepper.step()
        assert torch.equal(others["model"]["layer"].weight, kept[0]["layer"].weight)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_model_and_its_optimiser_can_be_saved_together(protocol):
    model, _, optimizer = savable("linear")
    other, again = pickle.loads(pickle.dumps((model, optimizer), protocol))
    x = torch.randn(3, 13)
    for each, stepper in ((model, optimizer), (other, again)):
        stepper.zero_grad()
        each["layer"](x).square().sum().backward()
        stepper.step()
    assert torch.equal(other["layer"].weight, model["layer"].weight)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_converted_models_can_be_saved(protocol):
    model = convert_to_binary(nn.Sequential(nn.Linear(8, 6), nn.LSTM(6, 3)))
    file = io.BytesIO()
    torch.save(model, file, pickle_protocol=protocol)
    file.seek(0)
    other = torch.load(file, weights_only=False)
    assert other.convert_report == model.convert_report
    x = torch.randn(2, 8)
    assert torch.equal(other(x)[0], model(x)[0])


def test_the_module_of_pack_is_not_hidden_by_the_function():
    import qpsbgd.nn.packing as module

    assert module.pack is pack
    assert type(qpsbgd.nn.functional) is type(qpsbgd.nn.convert) is type(module)


@pytest.mark.parametrize(
    ("kind", "dtype"),
    [(kind, torch.float64) for kind in LAYERS]
    # torch has no sparse product of short floats
    + [(kind, torch.bfloat16) for kind in LAYERS if kind != "gcn"],
)
def test_moves_to_another_type(kind, dtype):
    make, shapes = LAYERS[kind]
    layer = make(output_scale=True)
    packed = pack(layer)
    for each in (layer, packed):
        each.to(dtype)
    assert packed.weight.dtype == dtype
    x = torch.randn(shapes[0], dtype=dtype)
    output = run(packed, x)
    assert output.dtype == dtype
    assert torch.equal(output, run(layer, x))


def test_autocast():
    layer = BinaryLinear(13, 5, output_scale=True)
    packed = pack(layer)
    x = torch.randn(3, 13)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(packed(x), layer(x))


def test_moves_to_another_device():
    weight = pack(BinaryLinear(13, 5)).to("meta").weight
    assert weight().device.type == "meta"


def test_a_layer_that_occurs_twice_is_packed_once():
    layer = BinaryLinear(8, 8, bias=False)
    model = nn.Sequential(layer, nn.Tanh(), layer)
    packed = pack(model)
    before, after = packed.pack_report
    assert packed[0] is packed[2]
    assert (before, after) == (256, 8 + 4)


def test_converted_transformers():
    torch.manual_seed(0)
    model = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    convert_to_binary(model, output_scale=True).eval()
    x = torch.randn(3, 5, 8)
    with torch.no_grad():
        assert torch.equal(pack(model)(x), model(x))


def test_there_is_nothing_to_train():
    packed = pack(nn.Sequential(BinaryLinear(8, 8)))
    with pytest.raises(ValueError, match="no layer with binary weights"):
        QPSBGD(packed)
    with pytest.raises(ValueError, match=r"model \(Sequential\) has no layer with binary weights"):
        pack(packed)
    with pytest.raises(ValueError, match=r"model \(Linear\) has no layer"):
        pack(nn.Linear(2, 2))


def test_weights_other_than_signs_are_refused():
    def ternary(weight):
        return weight.round().clamp(-1, 1)

    model = nn.Sequential(BinaryLinear(4, 3), BinaryLinear(3, 2, kernel_quantizer=ternary))
    model[1].weight.data.zero_()
    with pytest.raises(ValueError, match=r"layer '1' has the weight 0.0 after .* \(ternary\), but"):
        pack(model)
    model = BinaryLinear(4, 3)
    model.weight.data[1, 2] = torch.nan
    with pytest.raises(ValueError, match="layer 'BinaryLinear' has the weight nan"):
        pack(model)


@pytest.mark.parametrize("shape", [(1, 1), (3, 8), (2, 17), (2, 3, 3, 3), (4, 0)])
def test_packed_weight(shape, rng):
    signs = torch.from_numpy(rng.choice([-1.0, 1.0], size=shape))
    weight = PackedWeight(signs)
    assert torch.equal(weight(), signs)
    assert weight().is_contiguous()
    n = signs[0].numel()
    assert weight.bits.shape == (shape[0], (n + 7) // 8)


@pytest.fixture
def products(monkeypatch):
    """The results of the core's products with packed weights."""
    results = []
    multiply = _core.multiply_packed

    def recorded(*args, **options):
        results.append(multiply(*args, **options))
        return results[-1]

    monkeypatch.setattr(_core, "multiply_packed", recorded)
    return results


@pytest.mark.parametrize("options", [{"bias": False}, {"output_scale": True}], ids=str)
@pytest.mark.parametrize("num_inputs", [1, 4, 5, 300])
def test_products_of_signs_use_the_bits_and_are_exact(products, options, num_inputs):
    torch.manual_seed(0)
    layer = BinaryLinear(130, 150, input_quantizer="ste_sign", **options).eval()
    packed = pack(layer)
    x = torch.randn(num_inputs, 130)
    with torch.no_grad():
        assert torch.equal(packed(x), layer(x))
        assert torch.equal(packed(x.view(1, num_inputs, 130)), layer(x.view(1, num_inputs, 130)))
    assert len(products) == 2
    assert products[0] is not None


@pytest.mark.parametrize("shape", [(1,), (4,), (2, 2), ()])
def test_few_real_inputs_use_the_bits(products, shape):
    torch.manual_seed(0)
    layer = BinaryLinear(130, 150)
    x = torch.randn(*shape, 130)
    with torch.inference_mode():
        output = pack(layer)(x)
        expected = layer.double()(x.double()).float()
    torch.testing.assert_close(output, expected, rtol=1e-5, atol=1e-5)
    assert products[0] is not None
    assert output.shape == (*shape, 150)


def test_a_transposed_input_and_a_graph_use_the_bits(products):
    torch.manual_seed(0)
    x = torch.randn(13, 4).sign()
    layer = BinaryLinear(13, 5)
    graph = BinaryGCNConv(13, 5)
    with torch.no_grad():
        assert torch.equal(pack(layer)(x.t()), layer(x.t()))
        torch.testing.assert_close(pack(graph)(x.t(), EDGES), graph(x.t(), EDGES))
    assert [result is None for result in products] == [False, False]


def test_other_products_unpack_the_weight_and_give_the_same_bits(products):
    torch.manual_seed(0)
    layer = BinaryLinear(130, 150).eval()
    packed = pack(layer)
    x = torch.randn(5, 130)
    with torch.no_grad():
        assert torch.equal(packed(x), layer(x))  # too many real inputs
        small = BinaryLinear(13, 5)
        assert torch.equal(pack(small)(x[:1, :13]), small(x[:1, :13]))
        assert torch.equal(packed(x[:0]), layer(x[:0]))
    assert all(result is None for result in products[:2])
    del products[:]
    signs = x.sign().requires_grad_()
    packed(signs).square().sum().backward()
    expected = signs.detach().clone().requires_grad_()
    layer(expected).square().sum().backward()
    assert torch.equal(signs.grad, expected.grad)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(packed(x[:1]), layer(x[:1]))
    torch.testing.assert_close(
        torch.func.vmap(packed)(x[:, None]), layer(x[:, None]), rtol=1e-5, atol=1e-5
    )
    with torch.no_grad():
        exported = torch.export.export(packed, (x[:1],))
        torch.testing.assert_close(exported.module()(x[:1]), layer(x[:1]))
        compiled = torch.compile(packed, backend="eager", fullgraph=True)
        torch.testing.assert_close(compiled(x[:1]), layer(x[:1]))
        double = x[:1].double()
        assert torch.equal(packed.double()(double), layer.double()(double))
    assert not products


def test_a_bias_is_trained_behind_a_product_of_bits(products):
    packed = pack(BinaryLinear(13, 5))
    packed(torch.ones(3, 13)).sum().backward()
    assert packed.bias.grad.tolist() == [3.0] * 5
    assert products[0] is not None
