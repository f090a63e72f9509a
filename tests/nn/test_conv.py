"""Convolutions: torch's with sign weights, and as matrix products."""

import copy

import pytest

torch = pytest.importorskip("torch")

from torch import nn

from qpsbgd.nn import BinaryConv1d, BinaryConv2d
from qpsbgd.nn.functional import QUANTIZERS, ste_sign
from qpsbgd.optim import QPSBGD

# torch's own: it pads by copying there.
even = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
SETTINGS = [
    (1, {}),
    (1, {"stride": 2, "padding": 1}),
    (1, {"padding": 4, "dilation": 2, "stride": 3}),
    (1, {"padding": "valid"}),
    (1, {"padding": "same"}),
    pytest.param(1, {"padding": "same", "kernel_size": 4}, marks=even),
    (1, {"padding": "same", "kernel_size": 4, "dilation": 2}),
    (1, {"padding": 2, "padding_mode": "reflect", "stride": 2}),
    (1, {"padding": 2, "padding_mode": "replicate"}),
    (1, {"padding": 2, "padding_mode": "circular", "dilation": 2}),
    (1, {"padding": "same", "kernel_size": 4, "padding_mode": "circular"}),
    (1, {"padding": 1, "groups": 2, "bias": False}),
    (1, {"stride": 2, "groups": 4}),
    (2, {}),
    (2, {"stride": 2, "padding": 1}),
    (2, {"kernel_size": (3, 2), "stride": (2, 3), "padding": (2, 1), "dilation": (1, 2)}),
    (2, {"padding": "valid", "dilation": (2, 1)}),
    (2, {"padding": "same", "dilation": (2, 1)}),
    pytest.param(2, {"padding": "same", "kernel_size": (4, 2)}, marks=even),
    pytest.param(2, {"padding": "same", "kernel_size": (3, 2), "groups": 2}, marks=even),
    (2, {"padding": (1, 2), "padding_mode": "reflect", "stride": (2, 1)}),
    (2, {"padding": (2, 1), "padding_mode": "replicate"}),
    (2, {"padding": (1, 2), "padding_mode": "circular", "dilation": (1, 2)}),
    (2, {"padding": "same", "kernel_size": (2, 5), "padding_mode": "reflect"}),
    (2, {"padding": 1, "groups": 2, "bias": False}),
    (2, {"kernel_size": 1, "stride": 2, "groups": 4}),
]
BINARY = {1: BinaryConv1d, 2: BinaryConv2d}
PLAIN = {1: nn.Conv1d, 2: nn.Conv2d}
settings = pytest.mark.parametrize(("dims", "settings"), SETTINGS, ids=str)


def arguments(settings, **options):
    """From 4 to 8 channels, in double precision."""
    return {
        "in_channels": 4, "out_channels": 8, "kernel_size": 3, "dtype": torch.float64,
        **settings, **options,
    }  # fmt: skip


def inputs(dims):
    """Return a batch of three inputs, and one input without a batch dimension."""
    shape = (4, 9, 7)[: dims + 1]
    return [torch.randn(3, *shape).double(), torch.randn(shape).double()]


@settings
def test_is_torchs_convolution_with_sign_weights(dims, settings):
    torch.manual_seed(0)
    layer = BINARY[dims](**arguments(settings))
    plain = PLAIN[dims](**arguments(settings))
    assert isinstance(layer, PLAIN[dims])
    assert layer.state_dict().keys() == plain.state_dict().keys()
    layer.weight.data *= 8  # some beyond 1, where the gradient stops
    plain.load_state_dict({**layer.state_dict(), "weight": layer.weight.sign()})
    for x in inputs(dims):
        for each in (layer, plain):
            each.zero_grad()
        y = layer(x)
        assert torch.equal(y, plain(x))
        upstream = torch.randn_like(y)
        y.backward(upstream)
        plain(x).backward(upstream)
        assert torch.equal(layer.weight.grad, plain.weight.grad * (layer.weight.abs() <= 1))
        assert layer.bias is None or torch.equal(layer.bias.grad, plain.bias.grad)


@settings
@pytest.mark.parametrize("quantizer", [None, *QUANTIZERS])
def test_samples_are_what_the_weights_gradient_is_made_of(dims, settings, quantizer):
    torch.manual_seed(0)
    layer = BINARY[dims](**arguments(settings), kernel_quantizer=lambda w: w)
    quantise = QUANTIZERS.get(quantizer, lambda x: x)
    for x in inputs(dims):
        layer.zero_grad()
        y = layer(quantise(x))
        y.retain_grad()
        y.square().sum().backward()
        X, T = layer.samples(quantise(x), y.grad)
        groups = settings.get("groups", 1)
        assert len(X) == len(T) == layer.num_groups == groups
        assert T.shape[1:] == (y.numel() // 8, 8 // groups)
        product = torch.einsum("gnm,gnk->gmk", T, X)  # (G, m, n)
        torch.testing.assert_close(product.reshape(layer.weight.shape), layer.weight.grad)
        if quantizer and settings.get("padding_mode") == "replicate":
            assert X.abs().eq(1).all()


@settings
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_sums_over_patches_that_are_never_made(dims, settings, memory_format):
    torch.manual_seed(0)
    layer = BINARY[dims](**arguments(settings))
    for x in inputs(dims):
        if dims == 2 and x.dim() == 4:
            x = x.contiguous(memory_format=memory_format)
        x[..., :4, :] = 0  # some patches are empty
        grad = torch.randn_like(layer(x))
        grad[..., 0] = 0  # no gradient reaches some positions
        grad.unsqueeze(0)[:, 2] = 0  # nor some neurons
        call = layer.call_samples(x, grad)
        X, T = call.all()  # (G, N, n), (G, N, m)
        assert call.num_samples == X.shape[1]
        torch.testing.assert_close(call.cross(), torch.einsum("gnm,gnk->gmk", T, X))
        torch.testing.assert_close(call.magnitudes(), T.abs().sum(1))
        units = torch.rand_like(T[:, 0]) + 1
        torch.testing.assert_close(call.squares(units), (T / units[:, None]).square().sum(1))
        assert torch.equal(call.reached(), T.any(2).any(0))
        expected = [x[t.any(1)].any(0) for x, t in zip(X, T, strict=True)]
        assert torch.equal(call.seen(), torch.stack(expected))
        positions = torch.randperm(call.num_samples)[:7]
        for some, every in zip(call.select(positions), (X, T), strict=True):
            assert torch.equal(some, every[:, positions])


def test_half_precision_samples_are_summed_in_float32():
    torch.manual_seed(0)
    layer = BinaryConv2d(4, 8, 3, padding=1, bias=False)
    x, grad = torch.randn(3, 4, 9, 7).bfloat16(), torch.randn(3, 8, 9, 7).bfloat16()
    call, exact = layer.call_samples(x, grad), layer.call_samples(x.double(), grad.double())
    assert call.cross().dtype == torch.float32
    torch.testing.assert_close(call.cross().double(), exact.cross(), rtol=1e-4, atol=1e-4)


@settings
@pytest.mark.parametrize("scale", [False, True])
def test_an_optimiser_changes_nothing_of_a_pass(dims, settings, scale):
    torch.manual_seed(0)
    layer = BINARY[dims](**arguments(settings), input_quantizer="ste_sign", output_scale=scale)
    layer.weight.data *= 0.5  # none beyond 1
    watched = copy.deepcopy(layer)
    optimizer = QPSBGD(watched)
    for x in inputs(dims):
        layer.zero_grad()
        optimizer.zero_grad()
        watched.zero_grad()
        results = []
        for each in (layer, watched):
            input = x.clone().requires_grad_()
            output = each(input)
            output.square().sum().backward()
            results.append([output, input.grad])
            results[-1] += [p.grad for p in (each.bias, each.output_scale) if p is not None]
        for plain, observed in zip(*results, strict=True):
            assert torch.equal(plain, observed)
        assert not watched.weight.grad.any()
        X, T = optimizer.captures()[0].batch()
        product = torch.einsum("gnm,gnk->gmk", T, X)
        torch.testing.assert_close(product.reshape(layer.weight.shape), layer.weight.grad)


@pytest.mark.parametrize("dims", [1, 2])
@pytest.mark.parametrize("name", QUANTIZERS)
def test_quantizers(dims, name):
    torch.manual_seed(0)
    layer = BINARY[dims](**arguments({}), input_quantizer=name, kernel_quantizer=name)
    plain = PLAIN[dims](**arguments({}))
    plain.load_state_dict(layer.state_dict())
    (x, _) = inputs(dims)
    latent = plain.weight.detach().clone().requires_grad_()
    ours, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    layer(ours).square().sum().backward()
    quantise = QUANTIZERS[name]
    output = plain._conv_forward(quantise(theirs), quantise(latent), plain.bias)
    output.square().sum().backward()
    assert torch.equal(ours.grad, theirs.grad)
    assert torch.equal(layer.weight.grad, latent.grad)


@pytest.mark.parametrize("dims", [1, 2])
@pytest.mark.parametrize("bias", [False, True])
def test_output_scale(dims, bias):
    torch.manual_seed(0)
    layer = BINARY[dims](**arguments({"bias": bias}), output_scale=True)
    keys = ["weight", "bias", "output_scale"] if bias else ["weight", "output_scale"]
    assert list(layer.state_dict()) == keys
    fan_in = 4 * 3**dims
    torch.testing.assert_close(layer.output_scale.data, torch.full((8,), fan_in**-0.5).double())
    layer.output_scale.data = torch.randn(8).double()
    layer.weight.data *= 0.5
    for x in inputs(dims):
        layer.zero_grad()
        latent, factor = (
            p.detach().clone().requires_grad_() for p in (layer.weight, layer.output_scale)
        )
        weight = ste_sign(latent) * factor.view(-1, *(1 for _ in latent.shape[1:]))
        expected = layer._conv_forward(x, weight, layer.bias.detach() if bias else None)
        torch.testing.assert_close(layer(x), expected)
        layer(x).square().sum().backward()
        expected.square().sum().backward()
        torch.testing.assert_close(layer.weight.grad, latent.grad)
        torch.testing.assert_close(layer.output_scale.grad, factor.grad)


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("dims", [1, 2])
def test_an_empty_batch_has_no_samples(dims, groups):
    layer = BINARY[dims](**arguments({"groups": groups, "padding": 1}))
    optimizer = QPSBGD(layer)
    layer(inputs(dims)[0][:0].requires_grad_()).sum().backward()
    X, T = optimizer.captures()[0].batch()
    assert X.shape == (groups, 0, 4 // groups * 3**dims)
    assert T.shape == (groups, 0, 8 // groups)
    before = layer.weight.detach().clone()
    optimizer.step()
    assert torch.equal(layer.weight, before)


def test_bad_arguments_are_refused_as_by_torch():
    with pytest.raises(ValueError, match="divisible by groups"):
        BinaryConv2d(3, 4, 3, groups=2)
    with pytest.raises(ValueError, match="padding_mode must be one of"):
        BinaryConv1d(3, 4, 3, padding_mode="zero")
