"""New running statistics of batch normalisation."""

import copy

import pytest

torch = pytest.importorskip("torch")

from torch import nn

from qpsbgd.nn import BinaryConv2d, BinaryLinear
from qpsbgd.optim import QPSBGD, recalibrate


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.Sequential(
        BinaryConv2d(2, 4, 3, bias=False), nn.BatchNorm2d(4, momentum=0.3), nn.Hardtanh(),
        nn.Flatten(), nn.Dropout(0.0), BinaryLinear(36, 3, bias=False), nn.BatchNorm1d(3),
    )  # fmt: skip


@pytest.fixture
def images():
    return [torch.randn(7, 2, 5, 5, generator=torch.Generator().manual_seed(k)) for k in range(4)]


@pytest.mark.parametrize("as_pairs", [False, True])
def test_statistics_are_those_of_torch(model, images, as_pairs):
    expected = copy.deepcopy(model)
    loader = [(x, torch.zeros(7)) for x in images] if as_pairs else images
    torch.optim.swa_utils.update_bn(loader, expected)
    recalibrate(model, loader)
    for name, value in expected.state_dict().items():
        torch.testing.assert_close(model.state_dict()[name], value)


def test_modes_momenta_and_gradients_stay(model, images):
    model[1].eval()  # frozen by the user
    model[0].weight.grad = torch.ones_like(model[0].weight)
    modes = [module.training for module in model.modules()]
    optimizer = QPSBGD(model)
    recalibrate(model, iter(images))
    assert [module.training for module in model.modules()] == modes
    assert model[1].momentum == 0.3
    assert model[6].momentum == 0.1
    assert (model[0].weight.grad == 1).all()
    assert all(capture.is_empty for capture in optimizer.captures())


def test_dropout_is_off(model, images):
    model[4].p = 0.9
    other = copy.deepcopy(model)
    other[4].p = 0.0
    recalibrate(model, images)
    recalibrate(other, images)
    assert torch.equal(model[6].running_mean, other[6].running_mean)


def test_the_evaluation_is_that_of_the_training_mode(model, images):
    # With one batch the statistics are its own, so that both modes normalise it alike.
    recalibrate(model, images[:1])
    count = len(images[0])
    with torch.no_grad():
        evaluated = model.eval()(images[0])
        trained = model.train()(images[0])
    # The running variance has the factor N / (N - 1).
    unbiased = ((count - 1) / count) ** 0.5
    torch.testing.assert_close(evaluated, unbiased * trained, atol=0.1, rtol=0.1)


def test_modules_without_statistics_stay(images):
    model = nn.Sequential(nn.BatchNorm2d(2, track_running_stats=False), nn.LayerNorm(5))
    before = copy.deepcopy(model.state_dict())
    recalibrate(model, images)
    assert model.state_dict().keys() == before.keys()


def test_an_error_in_between_restores_the_model(model, images):
    with pytest.raises(RuntimeError):
        recalibrate(model, [images[0], torch.ones(3, 3, 3, 3)])
    assert all(module.training for module in model.modules())
    assert model[1].momentum == 0.3


def test_bad_loaders(model, images):
    before = model[1].running_mean.clone()
    with pytest.raises(ValueError, match="loader is empty"):
        recalibrate(model, [])
    assert torch.equal(model[1].running_mean, before)
    with pytest.raises(TypeError, match="a batch of loader is a dict"):
        recalibrate(model, [{"x": images[0]}])
