"""Networks, optimisers, settings and the loop of `qpsbgd train`."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("tqdm")

from networks import inputs_of, strengths
from qpsbgd.nn.layers import binary_layers
from qpsbgd.training import loop
from qpsbgd.training.config import Config
from qpsbgd.training.networks import BinaryCNN, BinaryGCN, BinaryMLP
from qpsbgd.training.optimizers import make_optimizer
from qpsbgd.training.runs import Run


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


@pytest.mark.parametrize("shift", [0, 1])
def test_images_are_shifted_in_training_alone(tmp_path, monkeypatch, shift):
    config = Config.from_recipe("digits", epochs=1, network="small", shift=shift, batch_size=500)
    run = Run(config, tmp_path / "run")
    seen = inputs_of(monkeypatch, type(run.state.model))
    run.train()
    rows = {row.tobytes() for row in run.data.train_inputs}
    are_originals = [row.tobytes() in rows for row in torch.cat(seen).numpy()]
    assert len(are_originals) == len(run.data.train_inputs)
    # One shift of nine leaves an image where it is; three standard deviations of 1437.
    share = np.mean(are_originals)
    assert share == 1.0 if shift == 0 else abs(share - 1 / 9) < 3 * (8 / 81 / 1437) ** 0.5 + 0.01


def test_proxquants_strength_grows_to_its_hyperparameter():
    model = BinaryMLP((4, 3, 2), kernel_quantizer=None)
    optimizer = make_optimizer("proxquant", model, 8, lr=1.0)
    assert strengths(optimizer, 8) == pytest.approx([0.1 * k / 8 for k in range(8)])


def test_a_recipe_fills_in_what_is_left_out():
    config = Config.from_recipe("digits", optimizer="signum", network="cnn", scale=None)
    assert (config.lr, config.batch_size, config.scale) == (0.001, 50, None)
    assert Config.from_recipe("digits", lr=0.5).lr == 0.5
    assert Config.from_recipe("mnist5k", projector="sampler").network == "small"
    with pytest.raises(ValueError, match="optimizer is 'sgd', but must be one of qpsbgd, binary"):
        Config.from_recipe("digits", optimizer="sgd")
    with pytest.raises(TypeError, match="backend"):
        Config.from_recipe("digits", backend="sampler")


def test_shifted_images():
    generator = torch.Generator().manual_seed(0)
    image = torch.arange(16.0).view(1, 16)
    moved = loop.shifted(image.expand(200, 16), 1, generator)
    offsets = set()
    for one in moved.view(-1, 4, 4):
        # Position to which pixel 5 (row 1, column 1) moved.
        row, column = (one == 5).nonzero()[0].tolist()
        padded = torch.zeros(6, 6)
        padded[1:5, 1:5] = image.view(4, 4)
        assert torch.equal(one, padded[2 - row : 6 - row, 2 - column : 6 - column])
        offsets.add((row - 1, column - 1))
    assert offsets == {(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)}
    assert torch.equal(loop.shifted(image, 0, generator), image)


def test_inputs_and_schedule(tmp_path):
    config = Config.from_recipe("digits", lr=0.02, inputs="unit", schedule="exponential", epochs=2)
    run = Run(config, tmp_path / "run")
    assert run.data.train_inputs.dtype == np.float32
    assert (run.data.train_inputs.min(), run.data.train_inputs.max()) == (-1, 1)
    run.train()
    assert [row["lr"] for row in run.state.rows] == pytest.approx([0.02, 0.015])
    with pytest.raises(ValueError, match="inputs is 'raw', but must be one of standardised, unit"):
        Config.from_recipe("digits", inputs="raw")
