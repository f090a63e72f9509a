"""Export to ONNX: onnxruntime gives the outputs of every layer, quantizer and packed model."""

import io

import pytest

torch = pytest.importorskip("torch")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

import numpy as np
from torch import nn

from qpsbgd.nn import (
    ApproxSign,
    BinaryConv1d,
    BinaryConv2d,
    BinaryGCNConv,
    BinaryLinear,
    Sign,
    SwishSign,
    convert_to_binary,
    pack,
)
from qpsbgd.optim import QPSBGD

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning"),  # torch's
    pytest.mark.slow,
]


def exported(model, inputs, **options):
    """Return a function that runs a model in onnxruntime."""
    program = torch.onnx.export(model.eval(), inputs, dynamo=True, verbose=False, **options)
    file = io.BytesIO()
    program.save(file)
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        file.getvalue(), settings, providers=["CPUExecutionProvider"]
    )
    names = [each.name for each in session.get_inputs()]

    def run(*values):
        feed = {name: value.numpy() for name, value in zip(names, values, strict=True)}
        return session.run(None, feed)[0]

    return run


MODELS = {
    "linear": (
        lambda: nn.Sequential(
            BinaryLinear(13, 9, input_quantizer="ste_sign", output_scale=True),
            BinaryLinear(9, 8, input_quantizer="approx_sign", kernel_quantizer="approx_sign"),
            Sign(2.0),
            BinaryLinear(8, 7, input_quantizer="swish_sign", kernel_quantizer="swish_sign"),
        ),
        (13,),
    ),
    "conv1d": (
        lambda: nn.Sequential(
            BinaryConv1d(4, 6, 3, groups=2, input_quantizer="ste_sign", output_scale=True),
            ApproxSign(),
            BinaryConv1d(6, 5, 2, stride=2, kernel_quantizer="approx_sign", bias=False),
        ),
        (4, 12),
    ),
    "conv2d": (
        lambda: nn.Sequential(
            BinaryConv2d(3, 6, 3, padding=1, padding_mode="replicate", output_scale=True),
            nn.BatchNorm2d(6),
            SwishSign(),
            BinaryConv2d(6, 4, (1, 3), padding="same", kernel_quantizer="swish_sign"),
        ),
        (3, 8, 7),
    ),
    "transformer": (
        lambda: convert_to_binary(
            nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), output_scale=True
        ),
        (5, 8),
    ),
}


@pytest.mark.parametrize("is_packed", [False, True])
@pytest.mark.parametrize("kind", MODELS)
def test_onnxruntime_gives_the_same_outputs(kind, is_packed):
    torch.manual_seed(0)
    make, shape = MODELS[kind]
    model = make().eval()
    x = torch.randn(3, *shape)
    expected = model(x)
    run = exported(pack(model) if is_packed else model, (x,))
    np.testing.assert_allclose(run(x), expected.detach(), rtol=1e-5, atol=1e-5)


def test_signs_of_special_values():
    x = torch.tensor([-2.0, -1e-45, -0.0, 0.0, 1e-45, 3.0, torch.inf, -torch.inf, torch.nan])
    expected = [-1, -1, 1, 1, 1, 1, 1, -1, np.nan]
    np.testing.assert_array_equal(exported(Sign(), (x,))(x), expected)


@pytest.mark.parametrize("options", [{}, {"improved": True}, {"normalize": False}], ids=str)
def test_graphs_of_another_size(options):
    torch.manual_seed(0)
    layer = BinaryGCNConv(9, 4, input_quantizer="ste_sign", output_scale=True, **options)
    edges = torch.tensor([[0, 1, 2, 2, 3], [1, 2, 0, 1, 3]])
    nodes, links = torch.export.Dim("nodes"), torch.export.Dim("links")
    for each in (layer, pack(layer)):
        run = exported(each, (torch.randn(4, 9), edges), dynamic_shapes=({0: nodes}, {1: links}))
        for other, num_nodes in ((edges, 4), (edges[:, 1:], 6)):
            x = torch.randn(num_nodes, 9)
            expected = layer(x, other).detach()
            np.testing.assert_allclose(run(x, other), expected, rtol=1e-5, atol=1e-5)


def test_a_cached_graph_is_exported():
    torch.manual_seed(0)
    layer = BinaryGCNConv(9, 4, cached=True)
    x = torch.randn(4, 9)
    expected = layer(x, torch.tensor([[0, 1, 2], [1, 2, 3]])).detach()
    model = layer.eval()
    unused = torch.tensor([[0], [0]])
    program = torch.export.export(model, (x, unused))
    torch.testing.assert_close(program.module()(x, unused), expected)


def test_a_model_that_an_optimiser_trains_can_be_exported():
    model = BinaryLinear(6, 4)
    optimizer = QPSBGD(model)
    x = torch.randn(3, 6)
    np.testing.assert_allclose(exported(model, (x,))(x), model(x).detach(), rtol=1e-5, atol=1e-5)
    model(x).sum().backward()
    optimizer.step()


def test_any_batch_size():
    model = pack(nn.Sequential(BinaryLinear(6, 4), Sign(), BinaryLinear(4, 2)).eval())
    batch = torch.export.Dim("batch")
    run = exported(model, (torch.randn(3, 6),), dynamic_shapes=({0: batch},))
    x = torch.randn(5, 6)
    np.testing.assert_allclose(run(x), model(x).detach(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("is_packed", [False, True])
def test_the_exporter_that_traces(is_packed):
    torch.manual_seed(0)
    model = nn.Sequential(BinaryLinear(6, 4, input_quantizer="ste_sign"), SwishSign()).eval()
    model = pack(model) if is_packed else model
    x = torch.randn(3, 6)
    file = io.BytesIO()
    torch.onnx.export(model, (x,), file, dynamo=False, input_names=["x"])
    session = onnxruntime.InferenceSession(file.getvalue(), providers=["CPUExecutionProvider"])
    (output,) = session.run(None, {"x": x.numpy()})
    np.testing.assert_allclose(output, model(x).detach(), rtol=1e-5, atol=1e-5)
