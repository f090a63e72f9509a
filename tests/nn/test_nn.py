"""Quantizers and the fully connected layer."""

import copy

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn
from torch.autograd import forward_ad
from torch.func import functional_call

from qpsbgd.nn import BinaryConv1d, BinaryConv2d, BinaryGCNConv, BinaryLayer, BinaryLinear, pack
from qpsbgd.nn.functional import QUANTIZERS, approx_sign, ste_sign, swish_sign
from qpsbgd.optim import QPSBGD


@pytest.mark.parametrize("quantizer", QUANTIZERS.values())
def test_forward_is_the_sign_with_plus_one_at_zero(quantizer):
    x = torch.tensor([-2.0, -1e-30, -0.0, 0.0, 1e-30, 3.0, torch.inf, -torch.inf, torch.nan])
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        y = quantizer(x.to(dtype))
        assert y.dtype == dtype
        assert y[:-1].tolist() == [-1, -1, 1, 1, 1, 1, 1, -1]
        assert y[-1].isnan()
    assert quantizer(torch.randn(2, 3, 4)).shape == (2, 3, 4)


@pytest.mark.filterwarnings("ignore")  # torch's own
@pytest.mark.parametrize("name", QUANTIZERS)
def test_export(name):
    model = nn.Sequential(BinaryLinear(4, 3, input_quantizer=name, kernel_quantizer=name))
    x = torch.randn(2, 4)
    assert torch.equal(torch.export.export(model, (x,)).module()(x), model(x))


def gradient(quantizer, x):
    x = torch.as_tensor(x).requires_grad_()
    upstream = torch.arange(1.0, 1.0 + len(x), dtype=x.dtype)
    quantizer(x).backward(upstream)
    return (x.grad / upstream).numpy()


@pytest.mark.parametrize("clip", [1.0, 0.5, float("inf")])
def test_ste_sign_backward(clip):
    x = np.array([-2.0, -1.0, -0.5, 0.0, 0.6, 1.0, 1.1])
    np.testing.assert_array_equal(gradient(lambda t: ste_sign(t, clip), x), np.abs(x) <= clip)


def test_approx_sign_backward(rng):
    x = np.append(rng.normal(size=50), [-1.0, 0.0, 1.0, np.inf])
    expected = np.where(np.abs(x) < 1, 2 - 2 * np.abs(x), 0)
    np.testing.assert_allclose(gradient(approx_sign, x), expected, rtol=1e-15)


@pytest.mark.parametrize("beta", [0.5, 5.0, 10])
def test_swish_sign_backward(beta, rng):
    x = np.append(rng.normal(size=50), 0.0)
    z = beta * x
    expected = beta * (2 - z * np.tanh(z / 2)) / (1 + np.cosh(z))
    np.testing.assert_allclose(
        gradient(lambda t: swish_sign(t, beta), x), expected, rtol=1e-12, atol=1e-15
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_swish_sign_backward_does_not_overflow(dtype):
    x = torch.tensor([-torch.inf, -torch.finfo(dtype).max, -1e3, 1e3, torch.inf], dtype=dtype)
    assert not gradient(swish_sign, x).any()


# torch uses its deprecated scripts where it first needs a forward-mode derivative.
torch_scripts = pytest.mark.filterwarnings("ignore:.torch.jit.script. is:DeprecationWarning")

DERIVATIVES = {
    "ste_sign": lambda x: (np.abs(x) <= 1, 0 * x),
    "approx_sign": lambda x: (
        np.where(np.abs(x) < 1, 2 - 2 * np.abs(x), 0),
        np.where(np.abs(x) < 1, -2 * np.sign(x), 0),
    ),
    "swish_sign": lambda x: (swish(x), (swish(x + 1e-6) - swish(x - 1e-6)) / 2e-6),
}


def swish(x):
    z = 5 * x
    return 5 * (2 - z * np.tanh(z / 2)) / (1 + np.cosh(z))


@torch_scripts
@pytest.mark.parametrize("name", QUANTIZERS)
def test_transforms_give_the_analytic_derivatives(name, rng):
    quantizer = QUANTIZERS[name]
    values = rng.normal(size=(5, 3))
    first, second = (
        torch.from_numpy(each * np.ones_like(values)) for each in DERIVATIVES[name](values)
    )
    x, tangent = torch.from_numpy(values), torch.from_numpy(rng.normal(size=(5, 3)))
    expected = torch.where(x >= 0, 1.0, -1.0).double()

    def total(x):
        return (quantizer(x) * tangent).sum()

    assert_close = torch.testing.assert_close
    assert_close(torch.func.grad(total)(x), first * tangent)
    for dim in (0, 1):
        assert torch.equal(torch.vmap(quantizer, dim, dim)(x), expected)
        by_row = torch.vmap(torch.func.grad(lambda x: quantizer(x).sum()), dim, dim)
        assert_close(by_row(x), first)
    for output, moved in (torch.func.jvp(quantizer, (x,), (tangent,)), dual(quantizer, x, tangent)):
        assert torch.equal(output, expected)
        assert_close(moved, first * tangent)
    assert_close(torch.func.jacfwd(quantizer)(x[0]), torch.diag(first[0]))
    assert_close(torch.func.jacrev(quantizer)(x[0]), torch.diag(first[0]))
    for outer in (torch.func.jacfwd, torch.func.jacrev):
        hessian = outer(torch.func.grad(lambda x: (quantizer(x) * tangent[0]).sum()))(x[0])
        assert_close(hessian, torch.diag(second[0] * tangent[0]), rtol=1e-6, atol=1e-8)
    x.requires_grad_()
    (gradient,) = torch.autograd.grad(total(x), x, create_graph=True)
    assert_close(gradient, first * tangent)
    if name != "ste_sign":
        (twice,) = torch.autograd.grad(gradient.sum(), x)
        assert_close(twice, second * tangent, rtol=1e-6, atol=1e-8)


def dual(function, x, tangent):
    with forward_ad.dual_level():
        return forward_ad.unpack_dual(function(forward_ad.make_dual(x, tangent)))


@pytest.mark.parametrize("name", QUANTIZERS)
def test_a_compiled_transform_is_not_the_derivative_of_the_forward_pass(name):
    x = torch.linspace(-0.9, 0.8, 5)
    gradient = torch.func.grad(lambda x: QUANTIZERS[name](x).sum())
    compiled = torch.compile(gradient, backend="eager")
    torch.testing.assert_close(compiled(x), gradient(x))
    assert gradient(x).all()


@pytest.mark.filterwarnings("ignore:.*should not be instantiated")  # torch's own
@pytest.mark.parametrize("name", QUANTIZERS)
def test_the_operations_of_a_tracer_give_the_same_signs(name):
    x = torch.tensor([-2.0, -1e-45, -0.0, 0.0, 1e-45, 3.0, torch.inf, -torch.inf, torch.nan])
    torch.compiler.reset()
    compiled = torch.compile(QUANTIZERS[name], backend="eager", fullgraph=True)
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        expected, output = QUANTIZERS[name](x.to(dtype)), compiled(x.to(dtype))
        assert output.dtype == dtype
        torch.testing.assert_close(output, expected, rtol=0, atol=0, equal_nan=True)


def test_bad_input():
    for quantizer in QUANTIZERS.values():
        with pytest.raises(TypeError, match=r"x has dtype torch\.int64"):
            quantizer(torch.ones(2, dtype=torch.int64))
        with pytest.raises(TypeError, match="x is a ndarray, but must be a torch tensor"):
            quantizer(np.ones(2))
    for quantizer, name in ((ste_sign, "clip_value"), (swish_sign, "beta")):
        for value in (0, -1.0, float("nan")):
            with pytest.raises(ValueError, match=f"{name} is {value}, but must be positive"):
                quantizer(torch.ones(2), value)
        with pytest.raises(TypeError, match=f"{name} is True, but must be a real number"):
            quantizer(torch.ones(2), True)
    with pytest.raises(ValueError, match="beta is inf, but must be positive and finite"):
        swish_sign(torch.ones(2), float("inf"))


def test_binary_linear_is_linear_with_sign_weights():
    layer = BinaryLinear(5, 3)
    x = torch.randn(2, 4, 5)
    signs = torch.where(layer.weight >= 0, 1.0, -1.0)
    assert torch.equal(layer.binary_weight, signs)
    assert torch.equal(layer(x), nn.functional.linear(x, signs, layer.bias))


def test_state_dict_is_that_of_linear():
    layer, plain = BinaryLinear(5, 3), nn.Linear(5, 3)
    assert isinstance(layer, nn.Linear)
    layer.load_state_dict(plain.state_dict())
    assert torch.equal(layer.weight, plain.weight)


def test_gradient_passes_straight_through():
    layer = BinaryLinear(5, 3, bias=False)
    layer.weight.data[0, 0] = 1.5
    x = torch.randn(7, 5)
    layer(x).sum().backward()
    expected = x.sum(dim=0).repeat(3, 1)
    expected[0, 0] = 0
    assert torch.allclose(layer.weight.grad, expected)


def test_quantizers():
    x = torch.randn(6, 4)
    both = BinaryLinear(4, 2, bias=False, input_quantizer="ste_sign")
    assert torch.equal(both(x), both(ste_sign(x)))
    assert not torch.equal(both(x), nn.functional.linear(x, both.binary_weight))
    doubled = BinaryLinear(4, 2, bias=False, kernel_quantizer=lambda w: 2 * w)
    assert torch.equal(doubled.binary_weight, 2 * doubled.weight)
    real = BinaryLinear(4, 2, bias=False, kernel_quantizer=None)
    assert torch.equal(real(x), nn.functional.linear(x, real.weight))
    assert "input_quantizer=ste_sign" in repr(both)


LAYERS = [
    lambda **options: BinaryLinear(6, 4, **options),
    lambda **options: BinaryConv1d(2, 4, 3, **options),
    lambda **options: BinaryConv2d(2, 4, (1, 3), **options),
    lambda **options: BinaryGCNConv(6, 4, **options),
]


@pytest.mark.parametrize("make", LAYERS)
def test_bad_options(make):
    with pytest.raises(ValueError, match="kernel_quantizer is 'sing', but must be 'ste_sign'"):
        make(kernel_quantizer="sing")
    with pytest.raises(ValueError, match="input_quantizer is 3, but must be 'ste_sign'"):
        make(input_quantizer=3)
    with pytest.raises(TypeError, match="output_scale is 1, but must be True or False"):
        make(output_scale=1)


@pytest.mark.parametrize("make", LAYERS)
def test_reset_parameters_draws_anew_and_sets_the_scale_as_at_first(make):
    layer = make(output_scale=True, dtype=torch.float64)
    before = copy.deepcopy(layer.state_dict())
    torch.testing.assert_close(layer.output_scale.data, torch.full((4,), 6**-0.5).double())
    nn.init.ones_(layer.output_scale)
    layer.reset_parameters()
    assert torch.equal(layer.output_scale, before["output_scale"])
    assert not torch.equal(layer.weight, before["weight"])
    assert "output_scale=True" in repr(layer)


def test_a_layer_without_inputs_has_a_scale():
    with pytest.warns(UserWarning, match="zero-element"):
        layer = BinaryLinear(0, 2, output_scale=True)
    assert layer(torch.empty(3, 0)).shape == (3, 2)


@pytest.mark.parametrize("scale", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_output_scale_and_what_an_optimiser_changes_of_a_pass(scale, bias):
    layer = BinaryLinear(5, 3, bias=bias, input_quantizer="approx_sign", output_scale=scale)
    watched = copy.deepcopy(layer)
    optimizer = QPSBGD(watched)
    x = torch.randn(7, 2, 5)
    results = []
    for each in (layer, watched):
        input = x.clone().requires_grad_()
        output = each(input)
        output.square().sum().backward()
        results.append([output, input.grad, each.bias is not None and each.bias.grad])
        results[-1].append(scale and each.output_scale.grad)
    for plain, observed in zip(*results, strict=True):
        assert plain is observed or torch.equal(plain, observed)
    assert not watched.weight.grad.any()
    X, T = optimizer.captures()[0].batch()
    torch.testing.assert_close(torch.einsum("gnm,gnk->gmk", T, X)[0], layer.weight.grad)
    z = nn.functional.linear(approx_sign(x), layer.binary_weight)
    expected = (z / 5**0.5 if scale else z) + (layer.bias if bias else 0)
    torch.testing.assert_close(results[0][0], expected)


def squares(layer, x, *rest):
    """Sum of squares of a layer's outputs as a function of its parameters."""
    return lambda parameters: functional_call(layer, parameters, (x, *rest)).square().sum()


@torch_scripts
@pytest.mark.filterwarnings("ignore:There is a performance drop")  # torch's own, of convolutions
@pytest.mark.parametrize("has_optimizer", [False, True])
@pytest.mark.parametrize("make", LAYERS)
def test_transforms_of_layers(make, has_optimizer):
    torch.manual_seed(0)
    layer = make(input_quantizer="approx_sign", output_scale=True).double()
    rest = [torch.tensor([[0, 1, 2], [1, 2, 0]])] if isinstance(layer, BinaryGCNConv) else []
    shape = (5, 6) if isinstance(layer, BinaryGCNConv | BinaryLinear) else (5, 2, 1, 6)
    x = torch.randn(shape if not isinstance(layer, BinaryConv1d) else (5, 2, 6)).double()
    expected = copy.deepcopy(layer)
    expected(x, *rest).square().sum().backward()
    optimizer = QPSBGD(layer) if has_optimizer else None
    parameters = {name: value.detach() for name, value in layer.named_parameters()}
    gradients = torch.func.grad(squares(layer, x, *rest))(parameters)
    for name, value in gradients.items():
        torch.testing.assert_close(value, expected.get_parameter(name).grad)
    tangents = {name: torch.randn_like(value) for name, value in parameters.items()}
    _, slope = torch.func.jvp(squares(layer, x, *rest), (parameters,), (tangents,))
    torch.testing.assert_close(slope, sum((gradients[k] * tangents[k]).sum() for k in gradients))
    if not rest:  # a graph has no samples
        each = torch.vmap(lambda x: torch.func.grad(squares(layer, x))(parameters)["weight"])(x)
        torch.testing.assert_close(each.sum(0), gradients["weight"])
    of_inputs = torch.func.grad(lambda x: layer(x, *rest).square().sum())(x)
    x.requires_grad_()
    (wanted,) = torch.autograd.grad(expected(x, *rest).square().sum(), x)
    torch.testing.assert_close(of_inputs, wanted)
    assert optimizer is None or all(capture.is_empty for capture in optimizer.captures())


class OwnLinear(BinaryLayer, nn.Module):
    """Layer of another kind, as a user writes it."""

    def __init__(self, weight):
        nn.Module.__init__(self)
        self.weight = nn.Parameter(weight)
        self.bias = None
        self.init_binary(None, "ste_sign", output_scale=True)

    def forward(self, x):
        return self.run(x)

    def linear_map(self, input, weight, bias):
        return nn.functional.linear(input, weight)

    def samples(self, input, grad):
        return input[None], grad[None]


def test_own_layers_train_and_are_packed_like_those_of_the_package():
    torch.manual_seed(0)
    known = BinaryLinear(9, 4, bias=False, output_scale=True)
    own = OwnLinear(known.weight.detach().clone())
    x = torch.randn(20, 9)
    for layer in (known, own):
        layer.output_scale.requires_grad_(False)
        optimizer = QPSBGD(layer, lr=0.2)
        for _ in range(3):
            optimizer.zero_grad()
            (layer(x) - 1).square().sum().backward()
            optimizer.step()
    assert torch.equal(own.weight, known.weight)
    assert torch.equal(pack(own)(x), own(x))
