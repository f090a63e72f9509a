"""The blocks of examples/architectures: QPSBGD gets their gradients, and trains them."""

import copy
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("sklearn")

from torch import nn

from qpsbgd.nn import pack
from qpsbgd.optim import QPSBGD, split_parameters

FOLDER = Path(__file__).parents[2] / "examples" / "architectures"
with pytest.MonkeyPatch.context() as patch:
    patch.syspath_prepend(str(FOLDER))
    import blocks
    import compare
NAMES = list(blocks.BLOCKS)


def varied_net(name):
    """Return a network whose real parameters differ from their initial values."""
    torch.manual_seed(0)
    net = compare.Net(blocks.BLOCKS[name])
    with torch.no_grad():
        for parameter in split_parameters(net).real:
            parameter.add_(0.1 * torch.randn_like(parameter))  # some output scales turn negative
    return net


def loss_of(net):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(6, 1, 8, 8, generator=generator)
    return nn.functional.cross_entropy(net(x), torch.arange(6)) + compare.penalties(net)


@pytest.mark.parametrize("name", NAMES)
def test_qpsbgd_gets_the_gradients_of_the_block(name):
    plain = varied_net(name)
    claimed = copy.deepcopy(plain)
    optimizer = QPSBGD(claimed)
    for net in (plain, claimed):
        loss_of(net).backward()
    weights = split_parameters(plain).binary
    assert len(weights) == 6
    for weight, capture in zip(weights, optimizer.captures(), strict=True):
        X, T = capture.batch()
        gradient = (T[0].T @ X[0]).view_as(weight)
        if capture.direct_gradient is not None:
            gradient = gradient + capture.direct_gradient
        # All latent weights are within +-1, where the gradient passes straight through the sign.
        torch.testing.assert_close(gradient, weight.grad)
        assert X.abs().unique().tolist() in ([1.0], [0.0, 1.0])  # signs, and zeros of the padding
        assert (capture.direct_gradient is not None) == (name == "RBONN")
    pairs = zip(split_parameters(plain).real, split_parameters(claimed).real, strict=True)
    assert all(torch.equal(own.grad, other.grad) for own, other in pairs)


@pytest.mark.parametrize("name", NAMES)
def test_the_block_packs(name):
    net = varied_net(name).eval()
    x = torch.randn(5, 1, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(pack(net)(x), net(x))


def test_a_kernel_becomes_the_nearest_codeword():
    torch.manual_seed(0)
    codebook = blocks.Codebook(32)
    weight = torch.randn(5, 3, 3, 3, requires_grad=True)
    kernels = codebook(weight)
    signs = torch.where(codebook.codes >= 0, 1.0, -1.0)
    nearest = torch.cdist(weight.flatten(2).view(-1, 9), signs).argmin(dim=1)
    assert torch.equal(kernels.view(-1, 9), signs[nearest])
    upstream = torch.randn_like(kernels)
    (kernels * upstream).sum().backward()
    assert torch.equal(weight.grad, upstream)
    sums = torch.zeros_like(codebook.codes).index_add(0, nearest, upstream.view(-1, 9))
    torch.testing.assert_close(codebook.codes.grad, sums)


def test_the_penalty_pulls_latent_weights_to_their_scale():
    torch.manual_seed(0)
    block = blocks.RBONN(2, 4, 1)
    with torch.no_grad():
        block.conv.output_scale.fill_(0.25)
        block.conv.weight.copy_(0.25 * block.conv.weight.sign())
    assert block.penalty() == 0
    with torch.no_grad():
        block.conv.weight[0, 0, 0, 0] *= 2
    assert block.penalty().item() == pytest.approx(blocks.RBONN.WEIGHT * 0.25**2)
    block.penalty().backward()
    assert block.conv.weight.grad[0, 0, 0, 0].sign() == block.conv.weight[0, 0, 0, 0].sign()
    assert block.conv.weight.grad.count_nonzero() == 1


@pytest.mark.parametrize("stride", [1, 2])
def test_the_shortcut_has_the_shape_of_the_output(stride):
    block = blocks.BiReal(4, 4 * stride, stride)
    x = torch.randn(2, 4, 8, 8)
    nn.init.zeros_(block.norm.weight)
    means = x.unfold(2, stride, stride).unfold(3, stride, stride).mean(dim=(4, 5))
    torch.testing.assert_close(block(x), torch.cat([means] * stride, dim=1))


def test_shifts_are_thresholds():
    rsign = blocks.RSign(2)
    with torch.no_grad():
        rsign.shift.copy_(torch.tensor([0.5, -0.5]).view(2, 1, 1))
    x = torch.tensor([[-0.6, -0.4], [0.4, 0.6]]).view(1, 2, 1, 2)
    assert rsign(x).flatten().tolist() == [-1, 1, -1, 1]


def test_validation_uses_no_test_image():
    (own, _), (tests, _) = compare.digits(is_validation=False)
    (fit, _), (held_out, _) = compare.digits(is_validation=True)
    assert (len(own), len(tests), len(fit), len(held_out)) == (898, 899, 598, 300)
    _, labels = compare.digits(is_validation=False)[0]
    parts = [images.y.bincount() for images in compare.digits(is_validation=True)]
    assert torch.equal(sum(parts), labels.bincount())


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_block_trains(name):
    images = compare.digits(is_validation=False)
    result = compare.accuracy(
        blocks.BLOCKS[name], "QPSBGD", compare.RATES["QPSBGD"], images, epochs=2, seed=0
    )
    assert result > 0.6


@pytest.mark.slow
def test_the_table():
    options = ["--epochs", "1", "--seeds", "2", "--blocks", "plain", "Bi-Real"]
    done = subprocess.run(
        [sys.executable, str(FOLDER / "compare.py"), *options],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    lines = done.stdout.splitlines()
    assert [line.split("|")[1].strip() for line in lines[2:]] == ["plain", "Bi-Real"]
    assert lines[2].split("|")[3].strip() == "0.00 +- 0.00"
