"""Sign activations as modules."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn

from qpsbgd.nn import ApproxSign, BinaryLinear, Sign, SwishSign
from qpsbgd.nn.functional import approx_sign, ste_sign, swish_sign
from qpsbgd.optim import QPSBGD

PAIRS = {
    "Sign()": (Sign(), ste_sign),
    "Sign(clip_value=3.0)": (Sign(3.0), lambda x: ste_sign(x, 3.0)),
    "ApproxSign()": (ApproxSign(), approx_sign),
    "SwishSign()": (SwishSign(), swish_sign),
    "SwishSign(beta=2.0)": (SwishSign(beta=2.0), lambda x: swish_sign(x, 2.0)),
}


@pytest.mark.parametrize("name", PAIRS)
def test_modules_equal_the_functions(name):
    module, function = PAIRS[name]
    torch.manual_seed(0)
    x = 2 * torch.randn(3, 5)
    results = []
    for activation in (module, function):
        input = x.clone().requires_grad_()
        output = activation(input)
        (output * torch.arange(5.0)).sum().backward()
        results.append((output, input.grad))
    for ours, theirs in zip(*results, strict=True):
        assert torch.equal(ours, theirs)


def test_parameters_are_shown_and_nothing_is_saved():
    assert repr(Sign(3.0)) == "Sign(clip_value=3.0)"
    assert repr(ApproxSign()) == "ApproxSign()"
    assert repr(SwishSign()) == "SwishSign(beta=5.0)"
    for module, _ in PAIRS.values():
        assert not module.state_dict()


@pytest.mark.parametrize(
    ("make", "value", "error", "message"),
    [
        (Sign, 0, ValueError, "clip_value is 0, but must be positive"),
        (Sign, True, TypeError, "clip_value is True, but must be a real number"),
        (SwishSign, -1.0, ValueError, r"beta is -1\.0, but must be positive"),
        (SwishSign, float("inf"), ValueError, "beta is inf, but must be positive and finite"),
        (SwishSign, "5", TypeError, "beta is '5', but must be a real number"),
    ],
)
def test_bad_parameters_are_refused_at_construction(make, value, error, message):
    with pytest.raises(error, match=message):
        make(value)


@pytest.mark.parametrize("target", ["preactivation", "activation"])
@pytest.mark.parametrize("name", PAIRS)
def test_optimiser_sees_modules_as_it_sees_functions(batch, name, target):
    weights = []
    for activation in PAIRS[name]:
        torch.manual_seed(0)
        first, second = BinaryLinear(12, 7, bias=False), BinaryLinear(7, 4, bias=False)
        optimizer = QPSBGD(nn.ModuleList([first, second]), lr=0.1, target=target)
        logits = second(activation(first(batch[0])))
        nn.functional.cross_entropy(logits / 3, batch[1]).backward()
        optimizer.step()
        weights.append((first.weight.detach(), second.weight.detach()))
    for ours, theirs in zip(*weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_modules_are_quantizers():
    torch.manual_seed(0)
    x = torch.randn(5, 4)
    layer = BinaryLinear(4, 2, input_quantizer=Sign(), kernel_quantizer=SwishSign(2.0))
    assert list(layer.state_dict()) == ["weight", "bias"]
    assert torch.equal(layer(x), nn.functional.linear(x.sign(), layer.weight.sign(), layer.bias))
