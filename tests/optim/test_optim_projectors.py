"""QPSBGD with other back ends than the native one."""

import contextlib
import copy

import dimod
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn

import qpsbgd
from networks import backward
from qpsbgd.errors import InvalidSampleSetError
from qpsbgd.nn import BinaryConv2d, BinaryLinear
from qpsbgd.optim import QPSBGD
from qpsbgd.optim.step.layer_gradient import step_seed


class LinearSteps:
    """A StepProjector that keeps what it is given and answers sign(X^T T); or what it is told."""

    def __init__(self, answer=None):
        self.steps, self.answer = [], answer

    def __call__(self, X, T, options, /):
        raise AssertionError("a layer came alone, but all layers of a step must come at once")

    def project_step(self, layers):
        self.steps.append(list(layers))
        binaries = [np.where(one.T.T @ one.X >= 0, 1, -1).astype(np.int8) for one in layers]
        return binaries if self.answer is None else self.answer(binaries)


def annealer(tmp_path, **options):
    pytest.importorskip("dwave.system", reason="dwave-system is not installed")
    from qpsbgd.hardware import DWaveProjector, mock_annealer

    machine = mock_annealer("pegasus", (3,))
    return DWaveProjector(machine, num_reads=20, cache=tmp_path, retry_wait=0.0, **options)


BACKENDS = {
    "native": lambda _: "native",
    "NativeProjector": lambda _: qpsbgd.NativeProjector(num_reads=3),
    "sampler": lambda _: dimod.ExactSolver(),
    "SamplerProjector": lambda _: qpsbgd.SamplerProjector(
        qpsbgd.SimulatedAnnealingSampler(), sample_kwargs={"num_reads": 2, "num_sweeps": 3}
    ),
    "DWaveProjector": annealer,
}


def rows_of_a_step(before, model):
    """Binary gradients that a step of length 1/4 went along, where none was clipped."""
    return [
        ((old - new) * 4).round().numpy()
        for old, new in zip(before, model.state_dict().values(), strict=True)
    ]


def snapshot(model):
    return [value.clone() for value in model.state_dict().values()]


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_step_goes_along_what_project_finds(net, batch, tmp_path, backend):
    recorder = LinearSteps()
    twin = copy.deepcopy(net)
    optimizer = QPSBGD(twin, projector=recorder, seed=5)
    backward(twin, batch)
    optimizer.step()
    (layers,) = recorder.steps

    before = snapshot(net)
    optimizer = QPSBGD(
        net, lr=0.25, clip=float("inf"), seed=5, projector=BACKENDS[backend](tmp_path)
    )
    backward(net, batch)
    optimizer.step()
    found = rows_of_a_step(before, net)
    assert [layer.name for layer in layers] == ["first", "second"]
    for index, (layer, rows) in enumerate(zip(layers, found, strict=True)):
        expected = qpsbgd.project(
            layer.X, layer.T, seed=step_seed(5, index, 0),
            projector=BACKENDS[backend](tmp_path),
        )  # fmt: skip
        expected = expected * layer.T.any(axis=0)[:, None]
        np.testing.assert_array_equal(rows, expected)


def test_all_layers_of_a_step_come_at_once():
    model = nn.Sequential()
    model.add_module("conv", BinaryConv2d(2, 6, 2, groups=2, bias=False))
    model.add_module("act", nn.Tanh())
    model.add_module("flat", nn.Flatten())
    model.add_module("out", BinaryLinear(24, 3, bias=False))
    recorder = LinearSteps()
    optimizer = QPSBGD(
        [
            {"params": model.conv, "scale": 0.5, "seed": 8},
            {"params": model.out, "objective": "sign"},
        ],
        projector=recorder,
        seed=7,
    )
    for step in range(2):
        model(torch.randn(5, 2, 3, 3)).square().sum().backward()
        optimizer.step()
        layers = recorder.steps[step]
        assert [layer.name for layer in layers] == [
            "0.BinaryConv2d[0]", "0.BinaryConv2d[1]", "1.BinaryLinear",
        ]  # fmt: skip
        assert [layer.step for layer in layers] == [step] * 3
        assert [layer.options.seed for layer in layers] == [
            step_seed(8, 0, step, 0), step_seed(8, 0, step, 1), step_seed(7, 1, step),
        ]  # fmt: skip
        assert [layer.shape for layer in layers] == [(3, 4), (3, 4), (3, 24)]
        assert [layer.options.objective for layer in layers] == ["quadratic", "quadratic", "sign"]
        assert [layer.options.scale for layer in layers] == [0.5, 0.5, 1.0]
        assert [layer.options.alpha for layer in layers] == ["fit"] * 3
        assert [len(layer.X) for layer in layers] == [20, 20, 5]  # patches, samples
    assert len(recorder.steps) == 2


def test_groups_of_a_convolution_have_names_of_their_own():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = BinaryConv2d(2, 6, 2, groups=2, bias=False)

        def forward(self, x):
            return self.conv(x)

    model, recorder = Model(), LinearSteps()
    before = snapshot(model)
    optimizer = QPSBGD(model, projector=recorder, lr=0.25, clip=float("inf"))
    model(torch.randn(5, 2, 3, 3)).square().sum().backward()
    optimizer.step()
    (layers,) = recorder.steps
    assert [layer.name for layer in layers] == ["conv[0]", "conv[1]"]
    (rows,) = rows_of_a_step(before, model)
    expected = [np.where(layer.T.T @ layer.X >= 0, 1, -1) for layer in layers]
    np.testing.assert_array_equal(rows.reshape(6, -1), np.concatenate(expected))


def test_a_layer_without_a_gradient_is_not_asked_about(net, batch):
    recorder = LinearSteps()
    optimizer = QPSBGD(net, projector=recorder)
    net(batch[0])
    net.second(net.a.detach()).square().sum().backward()
    optimizer.step()
    backward(net, batch)
    optimizer.step()
    assert [[layer.name for layer in step] for step in recorder.steps] == [
        ["second"], ["first", "second"],
    ]  # fmt: skip
    # Steps are a layer's own.
    assert [layer.step for layer in recorder.steps[1]] == [0, 1]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda rows: rows[:1], "projector returned 1 binary gradients, but must return one for"),
        (lambda rows: [*rows, rows[0]], "projector returned 3 binary gradients"),
        (lambda rows: rows[::-1], r"layer 'first': projector returned .* shape \(4, 7\)"),
        (lambda rows: [rows[0], rows[1].T], r"layer 'second': projector .* shape \(7, 4\)"),
        (lambda rows: [rows[0], rows[1].astype(float)], "layer 'second': projector .* float64"),
        (lambda rows: [rows[0], 0 * rows[1]], "layer 'second': .* other than -1 and"),
        (lambda rows: [None, rows[1]], "layer 'first': projector returned NoneType"),
    ],
)
def test_a_bad_answer_is_found_out_and_changes_nothing(net, batch, answer, message):
    optimizer = QPSBGD(net, projector=LinearSteps(answer), momentum=0.5)
    before = snapshot(net)
    backward(net, batch)
    with pytest.raises(ValueError, match=message):
        optimizer.step()
    assert all(map(torch.equal, before, snapshot(net)))
    assert not optimizer.state


@pytest.mark.parametrize("answer", [None, 3])
def test_no_list_of_answers_is_found_out(net, batch, answer):
    optimizer = QPSBGD(net, projector=LinearSteps(lambda rows: answer))
    backward(net, batch)
    with pytest.raises(ValueError, match=f"projector returned {answer!r}, but must return a list"):
        optimizer.step()


# Errors: the step can be taken again


class Faulty:
    """Raises once, at the second layer of the second step, and else answers sign(X^T T)."""

    def __init__(self, error):
        self.error, self.num_calls = error, 0

    def __call__(self, X, T, options, /):
        self.num_calls += 1
        if self.num_calls == 4:
            raise self.error
        return np.where(T.T @ X >= 0, 1, -1).astype(np.int8)


class FaultyStep(Faulty):
    def project_step(self, layers):
        return [self(layer.X, layer.T, layer.options) for layer in layers]


def errors():
    yield "InvalidSampleSetError", InvalidSampleSetError("nonsense")
    yield "KeyboardInterrupt", KeyboardInterrupt()
    with contextlib.suppress(ImportError):
        from qpsbgd.errors import CallError, UnembeddableError
        from qpsbgd.hardware import BudgetExceededError

        for kind in (CallError, BudgetExceededError, UnembeddableError):
            yield kind.__name__, kind("of the machine")


@pytest.mark.parametrize("kind", [Faulty, FaultyStep])
@pytest.mark.parametrize("error", [pytest.param(error, id=name) for name, error in errors()])
def test_after_an_error_the_same_step_can_be_taken(net, batch, kind, error):
    undisturbed = copy.deepcopy(net)
    for model, projector in ((undisturbed, LinearSteps()), (net, kind(error))):
        optimizer = QPSBGD(model, projector=projector, lr=0.1, momentum=0.5, seed=3)
        for step in range(3):
            optimizer.zero_grad()
            backward(model, batch)
            before, state = snapshot(model), copy.deepcopy(optimizer.state_dict())
            if model is net and step == 1:
                with pytest.raises(type(error)) as caught:
                    optimizer.step()
                # Its type is kept; a layer that was alone is named.
                assert caught.type is type(error)
                message = f"layer 'second': {error}"
                assert caught.value is error or str(caught.value) == message
                assert all(map(torch.equal, before, snapshot(model)))
                again = optimizer.state_dict()
                assert again["param_groups"] == state["param_groups"]
                for mine, theirs in zip(
                    again["state"].values(), state["state"].values(), strict=True
                ):
                    assert mine["step"] == theirs["step"] == 1
                    assert torch.equal(mine["momentum_buffer"], theirs["momentum_buffer"])
                assert not any(capture.is_empty for capture in optimizer.captures())
            optimizer.step()
        assert optimizer.num_steps == 3
    assert projector.num_calls == 8  # both layers of the step again
    assert all(map(torch.equal, snapshot(undisturbed), snapshot(net)))


def test_a_budget_is_raised_and_the_step_taken(net, batch, tmp_path):
    from_start = annealer(tmp_path)
    twin = copy.deepcopy(net)
    small = annealer(tmp_path, budget_us=20_000.0)
    from qpsbgd.hardware import BudgetExceededError

    for model, projector in ((twin, from_start), (net, small)):
        optimizer = QPSBGD(model, projector=projector, lr=0.1)
        backward(model, batch)
        if projector is small:
            before = snapshot(model)
            with pytest.raises(BudgetExceededError, match=r"step 0 \(4 calls\) is estimated"):
                optimizer.step()
            assert all(map(torch.equal, before, snapshot(model)))
            projector.budget.limit_us = None
        optimizer.step()
    assert small.budget.spent_us == from_start.budget.spent_us > 20_000.0
    assert all(map(torch.equal, snapshot(twin), snapshot(net)))


def test_a_call_that_fails_in_mid_step(net, batch, tmp_path):
    """Its other calls were answered and paid for: taken again, the step sends the rest alone."""
    projector = annealer(tmp_path, max_retries=0)
    from dwave.cloud.exceptions import SolverOfflineError

    from qpsbgd.errors import CallError

    sample, labels = projector.machine.sampler.sample, []

    def failing(bqm, **kwargs):
        labels.append(kwargs["label"])
        if len(labels) == 2:
            raise SolverOfflineError("off")
        return sample(bqm, **kwargs)

    projector.machine.sampler.sample = failing
    optimizer = QPSBGD(net, projector=projector, lr=0.1)
    backward(net, batch)
    before = snapshot(net)
    with pytest.raises(CallError, match=r"call qpsbgd/run/0/first/1: .*SolverOfflineError: off"):
        optimizer.step()
    assert all(map(torch.equal, before, snapshot(net)))
    optimizer.step()
    calls = ("first/0", "first/1", "first/2", "second/0")
    names = [label.rpartition("/")[0] for label in labels]  # without the random parts
    assert names == [f"qpsbgd/run/0/{call}" for call in (*calls, "first/1")]
    assert not any(map(torch.equal, before, snapshot(net)))


def test_a_layer_that_does_not_fit_leaves_all_as_it_was(batch, tmp_path):
    projector = annealer(tmp_path)
    from qpsbgd.errors import UnembeddableError

    model = nn.Sequential(BinaryLinear(12, 60, bias=False), BinaryLinear(60, 4, bias=False))
    optimizer = QPSBGD(model, projector=projector)
    nn.functional.cross_entropy(model(batch[0]), batch[1]).backward()
    before = snapshot(model)
    with pytest.raises(
        UnembeddableError, match=r"layer '1': a clique of 60 .* on_unembeddable='native'"
    ):
        optimizer.step()
    assert projector.budget.spent_us == 0.0
    assert all(map(torch.equal, before, snapshot(model)))


# What is refused


def test_sweeps_of_a_projector_that_makes_none(net, tmp_path):
    sampler = dimod.ExactSolver()
    message = "num_sweeps is given, but SamplerProjector makes sweeps with polish=True alone"
    with pytest.raises(ValueError, match=message):
        QPSBGD(net, projector=sampler, num_sweeps=3)
    with pytest.raises(ValueError, match=message):
        QPSBGD([{"params": net.first}, {"params": net.second, "num_sweeps": 3}], projector=sampler)
    QPSBGD(net, projector=qpsbgd.SamplerProjector(sampler, polish=True), num_sweeps=3)
    QPSBGD(net, projector=sampler, num_sweeps=0)
    QPSBGD(net, projector="native", num_sweeps=3)
    with pytest.raises(ValueError, match="num_sweeps is given, but DWaveProjector"):
        QPSBGD(net, projector=annealer(tmp_path), num_sweeps=3)


def test_what_is_no_projector(net, batch):
    with pytest.raises(ValueError, match="projector is 'quantum', but must be 'native'"):
        QPSBGD(net, projector="quantum")
    with pytest.raises(
        TypeError, match=r"projector is 3, but must be 'native', a dimod\.Sampler or a projector"
    ):
        QPSBGD(net, projector=3)
    with pytest.raises(TypeError, match="projector is "):
        QPSBGD(net, projector=object())
    structured = dimod.StructureComposite(dimod.ExactSolver(), [0, 1], [(0, 1)])
    optimizer = QPSBGD(net, projector=structured)
    backward(net, batch)
    with pytest.raises(ValueError, match=r"use qpsbgd\.hardware\.DWaveProjector"):
        optimizer.step()
    structured.properties["topology"] = {"type": "chimera", "shape": [1, 1, 1]}
    with pytest.raises(ValueError, match=r"use qpsbgd\.hardware\.DWaveProjector"):
        QPSBGD(net, projector=structured)


@pytest.mark.parametrize("backend", ["sampler", "DWaveProjector"])
def test_statistics_of_a_step(net, batch, tmp_path, backend):
    optimizer = QPSBGD(net, projector=BACKENDS[backend](tmp_path), stats_every=1)
    backward(net, batch)
    optimizer.step()
    for step in optimizer.last_step.values():
        assert step.energy_after <= step.energy_before
