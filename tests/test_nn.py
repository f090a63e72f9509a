"""Layers and straight-through functions."""

import pytest

torch = pytest.importorskip("torch")

from qpsbgd.nn import BinaryLinear
from qpsbgd.nn.functional import ste_sign


def test_ste_sign_forward():
    x = torch.tensor([-2.0, -0.0, 0.0, 1e-30, 3.0])
    assert ste_sign(x).tolist() == [-1, 1, 1, 1, 1]
    assert ste_sign(x.double()).dtype == torch.float64
    assert ste_sign(x.half()).dtype == torch.float16


@pytest.mark.parametrize("clip", [1.0, 0.5, float("inf")])
def test_ste_sign_backward(clip):
    x = torch.tensor([-2.0, -1.0, -0.5, 0.0, 0.6, 1.0, 1.1], requires_grad=True)
    upstream = torch.arange(1.0, 8.0)
    ste_sign(x, clip).backward(upstream)
    assert torch.equal(x.grad, upstream * (x.abs() <= clip))


def test_ste_sign_bad_input():
    with pytest.raises(TypeError, match=r"x has dtype torch\.int64"):
        ste_sign(torch.ones(2, dtype=torch.int64))
    with pytest.raises(ValueError, match="clip_value is 0, but must be positive"):
        ste_sign(torch.ones(2), 0)


def test_binary_linear_is_linear_with_sign_weights():
    layer = BinaryLinear(5, 3)
    x = torch.randn(2, 4, 5)
    signs = torch.where(layer.weight >= 0, 1.0, -1.0)
    assert torch.equal(layer.binary_weight, signs)
    assert torch.equal(layer(x), torch.nn.functional.linear(x, signs, layer.bias))


def test_state_dict_is_that_of_linear():
    layer, plain = BinaryLinear(5, 3), torch.nn.Linear(5, 3)
    assert isinstance(layer, torch.nn.Linear)
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
    assert not torch.equal(both(x), torch.nn.functional.linear(x, both.binary_weight))
    doubled = BinaryLinear(4, 2, bias=False, kernel_quantizer=lambda w: 2 * w)
    assert torch.equal(doubled.binary_weight, 2 * doubled.weight)
    real = BinaryLinear(4, 2, bias=False, kernel_quantizer=None)
    assert torch.equal(real(x), torch.nn.functional.linear(x, real.weight))
    assert "input_quantizer=ste_sign" in repr(both)
    with pytest.raises(ValueError, match="kernel_quantizer is 'sing', but must be 'ste_sign'"):
        BinaryLinear(4, 2, kernel_quantizer="sing")
