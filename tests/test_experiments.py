"""Networks and training loops behind the command line."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("tqdm")

from qpsbgd.nn.layers import binary_layers
from qpsbgd.training import loop as training
from qpsbgd.training.networks import BinaryCNN, BinaryGCN, BinaryMLP


@pytest.mark.parametrize(
    ("make", "sizes", "shapes"),
    [
        (BinaryMLP, (64, 16, 10), [(16, 64), (10, 16)]),
        (BinaryCNN, (64, 4, 8, 10), [(4, 1, 3, 3), (8, 4, 3, 3), (10, 8 * 4 * 4)]),
        (BinaryCNN, (784, 4, 8, 10), [(4, 1, 3, 3), (8, 4, 3, 3), (10, 8 * 7 * 7)]),
    ],
)
def test_networks_are_binary_throughout(make, sizes, shapes):
    net = make(sizes)
    layers = [layer for _, layer in binary_layers(net)]
    assert [tuple(layer.weight.shape) for layer in layers] == shapes
    assert sum(1 for _ in net.parameters()) == len(layers)
    logits = net(torch.randn(5, sizes[0]))
    assert logits.shape == (5, sizes[-1])
    logits.sum().backward()
    assert all(layer.weight.grad.any() for layer in layers)
    assert not list(binary_layers(make(sizes, kernel_quantizer=None)))


def test_images_must_be_square():
    with pytest.raises(ValueError, match="num_pixels is 50, but must be a square"):
        BinaryCNN((50, 4, 10))


def test_hidden_units_are_standardised_over_nodes():
    net = BinaryGCN(4, 8, 3)
    x, edges = torch.randn(6, 4), torch.tensor([[0, 1, 2], [1, 2, 3]])
    plain = net(x, edges)
    assert plain.shape == (6, 3)
    torch.testing.assert_close(net(3 * x, edges), plain)


def inputs_of(monkeypatch, kind):
    """What models of a class get in training from now on."""
    found, forward = [], kind.forward

    def recorded(self, x, *args):
        if torch.is_grad_enabled():
            found.append(x.clone())
        return forward(self, x, *args)

    monkeypatch.setattr(kind, "forward", recorded)
    return found


@pytest.mark.parametrize("shift", [0, 1])
def test_images_are_shifted_in_training_alone(tmp_path, monkeypatch, shift):
    config = training.Config("digits", epochs=1, network="small", shift=shift, batch_size=500)
    run = training.Run(config, tmp_path / "run")
    seen = inputs_of(monkeypatch, type(run.model))
    run.train()
    rows = {row.tobytes() for row in run.data.train_inputs}
    are_originals = [row.tobytes() in rows for row in torch.cat(seen).numpy()]
    assert len(are_originals) == len(run.data.train_inputs)
    # One shift of nine leaves an image where it is; three standard deviations of 1437.
    share = np.mean(are_originals)
    assert share == 1.0 if shift == 0 else abs(share - 1 / 9) < 3 * (8 / 81 / 1437) ** 0.5 + 0.01


def test_proxquants_strength_ends_at_what_the_options_say():
    """It grows from 0 by an equal part in each step."""
    model = BinaryMLP((4, 3, 2), kernel_quantizer=None)
    config = training.Config("digits", optimizer="proxquant")
    optimizer = training.make_optimizer(config, model, 8, None)
    (group,) = optimizer.param_groups
    for weight in group["params"]:
        weight.grad = torch.zeros_like(weight)
    for step in range(8):
        assert group["strength"] == pytest.approx(0.1 * step / 8)
        optimizer.step()
