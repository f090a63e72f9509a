"""Cache of the binary weight: its values are always those of the latent weight."""

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

import pytest

torch = pytest.importorskip("torch")

from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from qpsbgd.nn import ApproxSign, BinaryConv2d, BinaryLinear, Sign, SwishSign
from qpsbgd.nn.functional import QUANTIZERS, ste_sign
from qpsbgd.optim import QPSBGD


@pytest.fixture
def layer():
    torch.manual_seed(0)
    return BinaryLinear(6, 6, bias=False).eval()


def signs(layer):
    return torch.where(layer.weight.detach() >= 0, 1.0, -1.0)


@pytest.fixture
def counts(monkeypatch):
    """Number of times that a layer has made its signs."""
    calls = []

    def counted(x):
        calls.append(x)
        return ste_sign(x)

    monkeypatch.setitem(QUANTIZERS, "ste_sign", counted)
    return calls


def test_inference_makes_the_signs_once(counts):
    layer = BinaryConv2d(2, 3, 3)
    x = torch.randn(1, 2, 5, 5)
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            for _ in range(3):
                layer(x)
    assert len(counts) == 1
    layer(x)  # on the graph: not from the cache
    with torch.no_grad():
        layer(x)
    assert len(counts) == 3


def test_training_stores_no_signs(counts):
    layer = BinaryLinear(4, 3)
    optimizer = QPSBGD(layer)
    with torch.no_grad():
        layer(torch.randn(5, 4))
    layer(torch.randn(5, 4)).sum().backward()
    assert layer.signs._entry is None
    optimizer.step()


@pytest.mark.parametrize("quantizer", [*QUANTIZERS, Sign(2.0), ApproxSign(), SwishSign()], ids=str)
def test_the_sign_functions_are_cached_and_others_are_not(quantizer):
    known = BinaryLinear(6, 6, kernel_quantizer=quantizer)
    other = BinaryLinear(6, 6, kernel_quantizer=lambda weight: ste_sign(weight))
    with torch.no_grad():
        assert known.binary_weight is known.binary_weight
        assert other.binary_weight is not other.binary_weight


def add(layer):
    layer.weight.sub_(layer.weight.flip(0))


def fill_one(layer):
    layer.weight[0, 0] *= -1


def load(layer):
    layer.load_state_dict({"weight": -layer.weight})


def assign(layer):
    layer.load_state_dict({"weight": -layer.weight}, assign=True)


def replace(layer):
    layer.weight = nn.Parameter(-layer.weight)


def replace_data(layer):
    layer.weight.data = -layer.weight.data


def replace_data_twice(layer):
    # Without an alias of the first tensor the second could have its address.
    layer.weight.data = torch.zeros(1)
    layer.weight.data = torch.randn(6, 6)


def transpose_data(layer):
    layer.weight.data = layer.weight.data.t()


def step(layer):
    optimizer = QPSBGD(layer, lr=10.0, clip=float("inf"))
    with torch.enable_grad():
        layer(torch.eye(6)).square().sum().backward()
    optimizer.step()


def change_in_training(layer):
    layer.weight.data.neg_()  # torch does not count this change
    layer.train()
    layer.eval()


def change_and_clear(layer):
    layer.weight.data.neg_()
    layer.signs.clear()


def reset(layer):
    layer.reset_parameters()


def spoil(layer):
    layer.binary_weight.zero_()


CHANGES = [
    add, fill_one, load, assign, replace, replace_data, replace_data_twice, transpose_data, step,
    change_in_training, change_and_clear, reset, spoil,
]  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_changes_of_the_weight_are_noticed(layer, change):
    with torch.no_grad():
        before = layer.binary_weight.clone()
        change(layer)
        assert torch.equal(layer.binary_weight, signs(layer))
        assert torch.equal(layer(torch.eye(6)), signs(layer).T)
        assert change is spoil or not torch.equal(layer.binary_weight, before)


def test_another_type(layer):
    with torch.no_grad():
        layer.binary_weight  # noqa: B018
        assert layer.double().binary_weight.dtype == torch.float64
        assert layer.to(torch.bfloat16).binary_weight.dtype == torch.bfloat16
        assert layer.to("meta").binary_weight.device.type == "meta"


def test_copies_and_pickles_have_a_cache_of_their_own(layer):
    with torch.no_grad():
        layer.binary_weight  # noqa: B018
        for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
            assert other.signs._entry is None
            other.weight.neg_()
            assert torch.equal(other.binary_weight, signs(other))
            assert torch.equal(layer.binary_weight, signs(layer))


def test_signs_from_inference_mode_serve_a_backward_pass(layer):
    with torch.inference_mode():
        layer(torch.eye(6))
    layer.requires_grad_(False)
    x = torch.randn(3, 6, requires_grad=True)
    layer(x).sum().backward()
    torch.testing.assert_close(x.grad, signs(layer).sum(0).expand(3, -1))


def test_a_weight_whose_changes_torch_does_not_count_is_not_cached():
    with torch.inference_mode():
        layer = BinaryLinear(6, 6)
        layer(torch.eye(6))
        layer.weight.neg_()
        assert torch.equal(layer.binary_weight, signs(layer))


def test_replaced_parameters_are_not_cached(layer):
    with torch.no_grad():
        layer.binary_weight  # noqa: B018
        other = {"weight": -layer.weight}
        output = torch.func.functional_call(layer, other, (torch.eye(6),))
        assert torch.equal(output, -signs(layer).T)
        many = torch.func.vmap(
            lambda weight: torch.func.functional_call(layer, {"weight": weight}, (torch.eye(6),))
        )(torch.stack([layer.weight, -layer.weight]))
        assert torch.equal(many, torch.stack([signs(layer).T, -signs(layer).T]))
        assert torch.equal(layer.binary_weight, signs(layer))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own, of jit.trace and of export
def test_modes_that_trace_are_given_the_operations(layer):
    x = torch.eye(6)
    with torch.no_grad():
        layer(x)
        traced = torch.jit.trace(layer, x, check_trace=False)
        compiled = torch.compile(layer, backend="eager", fullgraph=True)
        compiled(x)
        exported = torch.export.export(layer, (x,))
        with FlopCounterMode(display=False):
            layer(x)
        layer.weight.neg_()
        for function in (traced, compiled, layer):
            assert torch.equal(function(x), signs(layer).T)
    assert "where" in str(exported.graph)


def test_threads_share_a_cache(layer):
    layer.requires_grad_(False)

    def infer(_):
        with torch.no_grad():
            return layer(torch.eye(6))

    with ThreadPoolExecutor(4) as pool:
        for _ in range(20):
            layer.weight.neg_()
            assert all(torch.equal(y, signs(layer).T) for y in pool.map(infer, range(8)))
