"""The command line with samplers and (mocks of) annealers: training, plans, budgets, refusals."""

import json
import signal
import subprocess
import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("click")
pytest.importorskip("tqdm")
pytest.importorskip("matplotlib")
pytest.importorskip("sklearn")

from commands import invoke, metrics, run
from qpsbgd.training.datasets import DATASETS, Dataset

#: Three steps an epoch, of as few reads as show something.
SHORT = ("--batch-size", 479, "--reads", 3)
MOCK = ("--projector", "dwave", "--mock", "pegasus")
needs_dwave = pytest.mark.usefixtures("dwave")


@pytest.fixture(scope="module")
def dwave():
    pytest.importorskip("dwave.system", reason="dwave-system is not installed")


@pytest.fixture(scope="module", autouse=True)
def cache(shared_cache):
    """A cache for embeddings of whole machines, and noise in the place of MNIST."""
    rng = np.random.default_rng(0)
    images = rng.normal(size=(50, 784)).astype(np.float32)
    labels = np.arange(50) % 10
    noise = Dataset("mnist5k", images[:40], labels[:40], images[40:], labels[40:], "noise")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(shared_cache))
        # MNIST takes seconds to read, and these tests depend on its sizes alone.
        patch.setitem(DATASETS, "mnist5k", lambda split: noise)
        yield


def calls(folder):
    return [json.loads(line) for line in (folder / "calls.jsonl").read_text().splitlines()]


def access_time(folder):
    return json.loads((folder / "access_time.json").read_text())


def model(folder):
    state = torch.load(folder / "checkpoint.pt", weights_only=True)["model"]
    return {name: value.numpy().tobytes() for name, value in state.items()}


# Training on a mock


@needs_dwave
@pytest.mark.slow
def test_train_digits_on_a_mock(tmp_path):
    folder = tmp_path / "run"
    done = run(
        "train", "digits", *MOCK, "--epochs", 1, "--batch-size", 240, "--reads", 3, "--json",
        "--out", folder,
    )  # fmt: skip
    summary = json.loads(done.stdout)
    assert (summary["projector"], summary["mock"], summary["network"]) == (
        "dwave", "pegasus", "small",
    )  # fmt: skip
    assert summary["test_accuracy"] > 0.25  # chance is 0.1
    text = done.stderr
    assert text.index("Estimated access time on mock of pegasus 16") < text.index("epoch 1/1")
    assert "6 steps: 24 calls" in text
    assert "6/6" in text
    assert "Warning" not in text
    for content in (text, (folder / "calls.jsonl").read_text()):
        assert "qpu" not in content.lower()
    lines = calls(folder)
    assert len(lines) == 24
    assert len({line["label"] for line in lines}) == 24
    assert {line["kind"] for line in lines} == {"mock"}
    assert lines[-1]["label"].startswith("qpsbgd/run/5/layers.2/")
    spent = access_time(folder)
    assert spent["reserved_us"] == pytest.approx(0.0, abs=1e-3)
    assert spent["spent_us"] == pytest.approx(sum(line["billed_us"] for line in lines))
    files = {path.name for path in folder.iterdir() if path.suffix != ".lock"}
    assert files == {
        "config.json", "metrics.csv", "checkpoint.pt", "curve.png", "calls.jsonl",
        "access_time.json",
    }  # fmt: skip


@needs_dwave
@pytest.mark.slow
def test_zephyr_with_polish(tmp_path):
    text = invoke(
        "train", "digits", "--projector", "dwave", "--mock", "zephyr", *SHORT, "--epochs", 2,
        "--polish", "--num-sweeps", 4, "--max-copies", 4, "--out", tmp_path / "run",
    )  # fmt: skip
    assert text.index("Estimated access time on mock of zephyr 12x4") < text.index("epoch 1/2")
    assert "Test accuracy 0." in text
    assert all(line["polished"] for line in calls(tmp_path / "run"))


@pytest.fixture(scope="module")
def whole(dwave, tmp_path_factory):
    """Two epochs of three steps of four calls, undisturbed."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    invoke("train", "digits", *MOCK, *SHORT, "--epochs", 2, "--out", folder)
    return folder


@pytest.fixture(scope="module")
def step_us(whole):
    return access_time(whole)["spent_us"] / 6


def check_same(folder, whole, num_steps_paid=6, step_us=None):
    """Each step was taken once, to the same weights."""
    assert model(folder) == model(whole)
    assert metrics(folder) == metrics(whole)
    labels = [line["label"].replace(folder.name, whole.name) for line in calls(folder)]
    assert labels == [line["label"] for line in calls(whole)]
    if step_us is not None:
        # What a killed process had reserved stays reserved, and counts as spent.
        counted = access_time(folder)["spent_us"] + access_time(folder)["reserved_us"]
        assert counted == pytest.approx(num_steps_paid * step_us)


@pytest.mark.slow
def test_a_budget_that_ends_is_raised_and_the_run_goes_on(whole, step_us, tmp_path):
    folder = tmp_path / "run"
    text = invoke(
        "train", "digits", *MOCK, *SHORT, "--epochs", 2, "--budget-us", 1000, "--out", folder,
        expect=1,
    )  # fmt: skip
    assert "of the budget of 1000 us only 1000 are left" in text
    assert "it was not sent" in text
    assert f"To go on: qpsbgd train digits --resume {folder} --budget-us MORE" in text
    assert not (folder / "calls.jsonl").exists()
    # Enough for an epoch and a step of the next.
    text = invoke("train", "digits", "--resume", folder, "--budget-us", 4.5 * step_us, expect=1)
    assert "step 4 (4 calls) is estimated to take" in text
    assert len(calls(folder)) == 4 * 4
    assert access_time(folder)["spent_us"] == pytest.approx(4 * step_us)
    # With the same budget it stops at the same place.
    invoke("train", "digits", "--resume", folder, expect=1)
    text = invoke("train", "digits", "--resume", folder, "--budget-us", 100 * step_us)
    assert "epoch 1/2" not in text
    check_same(folder, whole, 6, step_us)
    config = json.loads((folder / "config.json").read_text())
    assert config["budget_us"] == pytest.approx(100 * step_us)


KILLED = """
import os, signal, sys
from qpsbgd.cli import main
from qpsbgd.hardware.annealer.mock import _MockAnnealer

answer, number = _MockAnnealer.sample, 0

def sample(self, *args, **kwargs):
    global number
    number += 1
    if number == 18:
        os.kill(os.getpid(), signal.SIGKILL)
    return answer(self, *args, **kwargs)

_MockAnnealer.sample = sample
main(sys.argv[1:])
"""


@pytest.mark.slow
def test_a_run_killed_in_a_call_resumes_to_the_same_weights(whole, step_us, tmp_path):
    folder = tmp_path / "killed"
    args = ["train", "digits", *MOCK, *SHORT, "--epochs", 2, "--out", folder]
    done = subprocess.run(
        [sys.executable, "-c", KILLED, *map(str, args)], stderr=subprocess.PIPE, timeout=300
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    # In the second call of the second step of the second epoch: all four may have been billed.
    assert len(calls(folder)) == 4 * 4
    left = access_time(folder)
    assert left["spent_us"] == pytest.approx(4 * step_us)
    assert left["reserved_us"] == pytest.approx(step_us)
    invoke("train", "digits", "--resume", folder)
    check_same(folder, whole, 7, step_us)


def failing(monkeypatch, number, error):
    """The mock's call of this number raises."""
    from qpsbgd.hardware.annealer.mock import _MockAnnealer

    answer, sent = _MockAnnealer.sample, []

    def sample(self, bqm, **kwargs):
        sent.append(kwargs["label"])
        if len(sent) == number:
            raise error
        return answer(self, bqm, **kwargs)

    monkeypatch.setattr(_MockAnnealer, "sample", sample)


@pytest.mark.slow
def test_ctrl_c_in_a_call(whole, step_us, tmp_path, monkeypatch):
    failing(monkeypatch, 6, KeyboardInterrupt())
    folder = tmp_path / "run"
    text = invoke(
        "train", "digits", *MOCK, *SHORT, "--epochs", 2, "--out", folder, expect=130
    )  # fmt: skip
    assert "Interrupted after 0 finished epochs." in text
    assert f"To go on: qpsbgd train digits --resume {folder}" in text
    # The first step is saved; of the second one call was sent, and one that may have been.
    assert access_time(folder)["spent_us"] == pytest.approx(1.5 * step_us, rel=1e-3)
    invoke("train", "digits", "--resume", folder)
    assert model(folder) == model(whole)
    assert metrics(folder) == metrics(whole)


@pytest.mark.slow
def test_a_call_that_fails(whole, tmp_path, monkeypatch):
    from dwave.cloud.exceptions import SolverFailureError

    failing(monkeypatch, 6, SolverFailureError("broken"))
    folder = tmp_path / "run"
    text = invoke("train", "digits", *MOCK, *SHORT, "--epochs", 2, "--out", folder, expect=1)
    assert "CallError: call qpsbgd/run/1/layers.0/1: no answer after 1 attempt: " in text
    assert "SolverFailureError: broken" in text
    assert f"To go on: qpsbgd train digits --resume {folder}" in text
    invoke("train", "digits", "--resume", folder)
    assert model(folder) == model(whole)


@pytest.mark.slow
def test_a_call_that_fails_may_be_solved_here(whole, tmp_path, monkeypatch):
    from dwave.cloud.exceptions import SolverFailureError

    failing(monkeypatch, 6, SolverFailureError("broken"))
    folder = tmp_path / "run"
    with pytest.warns(UserWarning, match="its neurons are solved natively"):
        invoke(
            "train", "digits", *MOCK, *SHORT, "--epochs", 1, "--on-failure", "native",
            "--out", folder,
        )  # fmt: skip
    assert [line.get("solved") for line in calls(folder)].count("natively") == 1


@needs_dwave
def test_training_on_a_mock_of_a_file(tmp_path, monkeypatch):
    """The path is stored as an absolute one: a run may be resumed in another folder."""
    from qpsbgd.hardware import mock_annealer

    properties = {**mock_annealer("zephyr", (3, 4), dead_qubits=0.02).properties, "chip_id": "mine"}
    (tmp_path / "solver.json").write_text(json.dumps(properties))
    monkeypatch.chdir(tmp_path)
    with pytest.warns(UserWarning, match=r"layer 'layers\.0' is solved natively"):
        text = invoke(
            "train", "digits", "--projector", "dwave", "--mock", "solver.json", *SHORT,
            "--epochs", 1, "--on-unembeddable", "native", "--out", "run",
        )  # fmt: skip
    assert "Estimated access time on mine, 3 reads a call:" in text
    assert {line["solver"] for line in calls(tmp_path / "run")} == {"mine"}
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["mock"] == str(tmp_path / "solver.json")
    (tmp_path / "solver.json").write_text('{"topology": 3, "qubits": [0], "couplers": [[0]]}')
    args = ("train", "digits", "--projector", "dwave", "--mock", "solver.json", "--out", "other")
    assert "solver.json holds no properties of a solver" in invoke(*args, expect=2)
    (tmp_path / "solver.json").unlink()
    assert "mock is '/" in invoke("train", "digits", "--resume", "run", expect=2)


@needs_dwave
@pytest.mark.slow
def test_layers_that_do_not_fit(tmp_path):
    args = ("train", "mnist5k", *MOCK, "--batch-size", 20, "--reads", 3, "--epochs", 1)
    text = invoke(*args, "--out", tmp_path / "error", expect=2)
    assert "layers.0 do not fit the annealer; with --on-unembeddable native" in text
    assert not (tmp_path / "error").exists()
    with pytest.warns(UserWarning, match=r"layer 'layers\.0' is solved natively"):
        invoke(*args, "--on-unembeddable", "native", "--out", tmp_path / "native")
    labels = {line["label"].split("/")[3] for line in calls(tmp_path / "native")}
    assert labels == {"layers.1", "layers.2"}


@needs_dwave
def test_calls_that_the_machine_would_refuse_are_told_before_there_is_a_run(tmp_path):
    folder = tmp_path / "run"
    args = ("train", "digits", *MOCK, "--out", folder)
    text = invoke(*args, "--reads", 10_001, expect=2)
    assert "num_reads is 10001, but must lie in [1, 10000]" in text
    text = invoke(*args, "--annealing-time", 5000, expect=2)
    assert "annealing_time is 5000.0, but must lie in [0.5, 2000.0]" in text
    text = invoke(*args, "--sampler-options", '{"beta": 1}', expect=2)
    assert "'beta', but mock of pegasus 16 takes" in text
    assert not folder.exists()


@pytest.mark.parametrize("projector", [("sampler",), ("dwave", "--mock", "pegasus")])
def test_the_sign_objective_needs_binary_inputs(tmp_path, projector):
    if projector[0] == "dwave":
        pytest.importorskip("dwave.system")
    folder = tmp_path / "run"
    args = ("train", "digits", "--objective", "sign", "--projector", *projector, "--out", folder)
    assert "inputs must be 'binary'" in invoke(*args, expect=2)
    assert not folder.exists()


@needs_dwave
def test_without_a_token(tmp_path, monkeypatch):
    monkeypatch.delenv("DWAVE_API_TOKEN", raising=False)
    (tmp_path / "empty.conf").write_text("")
    monkeypatch.setenv("DWAVE_CONFIG_FILE", str(tmp_path / "empty.conf"))
    text = invoke("train", "digits", "--projector", "dwave", "--out", tmp_path / "run", expect=2)
    assert "no D-Wave API token: run `dwave setup`, or set DWAVE_API_TOKEN" in text
    assert not (tmp_path / "run").exists()


# Training with a sampler


@pytest.mark.parametrize(
    "options",
    [
        ("--sampler-options", '{"num_sweeps": 5}'),
        ("--sampler", "dwave.samplers:SteepestDescentSampler"),
        ("--sampler", "qpsbgd:TabuSampler", "--sampler-options", '{"timeout": 1}', "--polish"),
    ],
)
def test_train_with_a_sampler(tmp_path, options):
    if options[1].startswith("dwave.samplers"):
        pytest.importorskip("dwave.samplers")
    folder = tmp_path / "run"
    text = invoke(
        "train", "digits", "--projector", "sampler", *options, "--network", "small", "--epochs", 2,
        "--batch-size", 240, "--out", folder,
    )  # fmt: skip
    assert "Test accuracy 0." in text
    assert "Scale of the last step: layers.0 " in text
    assert float(metrics(folder)[-1]["test_accuracy"]) > 0.3
    assert not (folder / "calls.jsonl").exists()
    config = json.loads((folder / "config.json").read_text())
    assert config["projector"] == "sampler"
    assert config["polish"] is ("--polish" in options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--sampler", "TabuSampler"), "sampler is 'TabuSampler', but must be module:Class"),
        (("--sampler", "qpsbgd:NoSampler"), "has no attribute 'NoSampler'"),
        (("--sampler", "no.such:Sampler"), "No module named 'no'"),
        (("--sampler", "builtins:dict"), "must name a dimod.Sampler"),
        (("--sampler", "dimod:StructureComposite"), "sampler is 'dimod:StructureComposite'"),
        (("--sampler-options", "{num_sweeps: 5}"), "is no JSON: Expecting property name"),
        (("--sampler-options", "[5]"), "'[5]' is no JSON object, such as"),
        (("--sampler-options", '{"reads": 5}'), "'reads', but SimulatedAnnealingSampler takes"),
    ],
)
def test_bad_samplers(tmp_path, options, message):
    args = ("train", "digits", "--projector", "sampler", "--out", tmp_path / "run")
    assert message in " ".join(invoke(*args, *options, expect=2).split())
    assert not (tmp_path / "run").exists()


def test_an_error_of_a_sampler_is_told_with_its_type(tmp_path):
    text = invoke(
        "train", "digits", "--projector", "sampler", "--sampler-options", '{"num_sweeps": "many"}',
        "--out", tmp_path / "run", expect=1,
    )  # fmt: skip
    assert "TypeError: layer" in text or "TypeError: num_sweeps is 'many'" in text
    assert f"To go on: qpsbgd train digits --resume {tmp_path / 'run'}" in text


# Options of another projector


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--mock", "pegasus"), "--mock goes with --projector dwave, not native"),
        (("--reads", 5), "--reads goes with --projector dwave, not native"),
        (("--annealing-time", 5), "--annealing-time goes with --projector dwave, not native"),
        (("--budget-us", 5), "--budget-us goes with --projector dwave, not native"),
        (("--sampler", "a:B"), "--sampler goes with --projector sampler, not native"),
        (("--sampler-options", "{}"), "goes with --projector sampler or dwave, not native"),
        (("--polish",), "--polish goes with --projector sampler or dwave, not native"),
        (
            ("--projector", "sampler", "--reads", 5),
            "--reads goes with --projector dwave, not sampler",
        ),
        (("--projector", "sampler", "--num-sweeps", 5), "or with --polish, not sampler"),
        ((*MOCK, "--num-sweeps", 5), "or with --polish, not dwave"),
        ((*MOCK, "--sampler", "a:B"), "--sampler goes with --projector sampler, not dwave"),
        ((*MOCK, "--solver", "x"), "--solver selects a real annealer and does not go with --mock"),
        ((*MOCK, "--profile", "x"), "--profile selects a real annealer"),
        ((*MOCK, "--region", "x"), "--region selects a real annealer"),
        (
            (*MOCK, "--optimizer", "signsgd"),
            "--projector goes with --optimizer qpsbgd, not signsgd",
        ),
        (
            ("--projector", "dwave", "--mock", "torus"),
            "'torus' is not one of pegasus, zephyr, chimera, and no file.",
        ),
        (("--projector", "annealer"), "'annealer' is not one of"),
        ((*MOCK, "--budget-us", 0), "--budget-us"),
        ((*MOCK, "--reads", 0), "--reads"),
        ((*MOCK, "--on-failure", "skip"), "'skip' is not one of"),
    ],
)
def test_options_of_another_projector(tmp_path, options, message):
    text = invoke("train", "digits", *options, "--out", tmp_path / "run", expect=2)
    assert message in " ".join(text.split())
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_resumed_run_keeps_its_projector(whole, tmp_path):
    args = ("train", "digits", "--resume", whole)
    before = (whole / "config.json").read_text()
    for options, message in (
        (("--projector", "native"), "projector is native, but the run in"),
        (("--mock", "zephyr"), "mock is zephyr, but the run in"),
        (("--reads", 50), "reads is 50, but the run in"),
        (("--budget-us", 5, "--epochs", 9), "epochs is 9, but the run in"),
    ):
        assert message in invoke(*args, *options, expect=2)
    assert (whole / "config.json").read_text() == before


def test_a_native_run_gets_no_budget(tmp_path):
    folder = tmp_path / "run"
    invoke("train", "digits", "--network", "small", "--epochs", 1, "--out", folder)
    before = (folder / "config.json").read_text()
    text = invoke("train", "digits", "--resume", folder, "--budget-us", 5, expect=2)
    assert "--budget-us goes with --projector dwave, not native" in text
    assert (folder / "config.json").read_text() == before


# Plans


@needs_dwave
@pytest.mark.parametrize(
    ("options", "machine"),
    [
        pytest.param(
            ("--topology", "chimera"), "2000Q (chimera 16x16x4, 2041 qubits, 5974 couplers)",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            ("--topology", "chimera", "--ideal"), "chimera 16x16x4", marks=pytest.mark.slow
        ),
        pytest.param(
            ("--max-copies", 2), "Advantage (pegasus 16, 5612 qubits, 40088 couplers)",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            ("--topology", "zephyr", "--max-copies", 2),
            "Advantage2 (zephyr 12x4, 4512 qubits, 40455 couplers)",
            marks=pytest.mark.slow,
        ),
    ],
)  # fmt: skip
def test_plan_of_each_topology(options, machine):
    text = invoke("plan", "digits", "--epochs", 1, *options)
    assert text.startswith(f"Estimated access time on mock of {machine}, 100 reads a call:")
    for name in ("layers.0", "layers.1", "layers.2"):
        assert name in text
    assert "does not fit" not in text
    assert "29 steps: " in text


@needs_dwave
def test_plan_in_json_and_of_given_properties(tmp_path):
    from qpsbgd.hardware import mock_annealer

    properties = dict(mock_annealer("pegasus", (6,)).properties)
    (tmp_path / "solver.json").write_text(json.dumps({**properties, "chip_id": "mine"}))
    done = run(
        "plan", "digits", "--json", "--properties", tmp_path / "solver.json", "--reads", 7,
        "--epochs", 2, "--batch-size", 479, "--max-copies", 2, expect=1,
    )  # fmt: skip
    told = json.loads(done.stdout)
    assert told["too_large"] == ["layers.0"]
    assert (told["solver"], told["num_reads"], told["num_steps"]) == ("mine", 7, 6)
    first, second, third = told["layers"]
    assert (first["num_neurons"], first["num_inputs"]) == (16, 64)
    assert [second["num_copies"], second["num_calls"], third["num_calls"]] == [2, 8, 5]
    (tmp_path / "solver.json").write_text("{}")
    text = invoke("plan", "digits", "--properties", tmp_path / "solver.json", expect=2)
    assert "properties have no 'topology'" in text
    (tmp_path / "solver.json").write_text("no JSON")
    text = invoke("plan", "digits", "--properties", tmp_path / "solver.json", expect=2)
    assert "solver.json is no JSON" in text
    (tmp_path / "solver.json").write_text("[]")
    text = invoke("plan", "digits", "--properties", tmp_path / "solver.json", expect=2)
    assert "holds no JSON object" in text


@needs_dwave
def test_plan_of_what_does_not_fit_or_is_refused(tmp_path):
    done = run("plan", "mnist5k", "--topology", "chimera", expect=1)
    table = done.stdout.splitlines()
    assert [line.split()[:3] for line in table if "does not fit" in line] == [
        ["layers.0", "16", "784"]
    ]
    assert "A step without layers.0: " in done.stdout
    assert done.stderr == "Error: layers.0 cannot be solved on this annealer.\n"
    done = run("plan", "mnist5k", "--topology", "chimera", "--json", expect=1)
    assert json.loads(done.stdout)["too_large"] == ["layers.0"]
    (tmp_path / "solver.json").write_text("{}")
    for option in (("--topology", "zephyr"), ("--ideal",)):
        text = invoke("plan", "digits", "--properties", tmp_path / "solver.json", *option, expect=2)
        assert "--topology and --ideal do not go with --properties" in text
    text = invoke("plan", "digits", "--topology", "chimera", "--reads", 10_001, expect=2)
    assert "num_reads is 10001, but must lie in" in text
    assert "'torus' is not one of" in invoke("plan", "digits", "--topology", "torus", expect=2)


@pytest.mark.parametrize("command", ["plan", "train"])
def test_help_names_the_machines(command):
    text = invoke(command, "--help")
    assert "P16, Z12" in " ".join(text.split())
    assert all(len(line) <= 80 for line in text.splitlines())
