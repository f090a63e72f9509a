"""Training with D-Wave's own client on a stand-in for the service: stopped runs pay once."""

import json
from collections import Counter

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("click")
pytest.importorskip("tqdm")
pytest.importorskip("matplotlib")
pytest.importorskip("sklearn")
pytest.importorskip("dwave.system", reason="dwave-system is not installed")

import service as standin
from service import Service

from commands import invoke, metrics
from qpsbgd.hardware.service import delivery

pytestmark = [
    # Digits have 64 pixels, and the stand-in is small.
    pytest.mark.filterwarnings("ignore:layer 'layers.0' is solved natively"),
]

#: Three steps of some calls.
ARGS = (
    "train", "digits", "--projector", "dwave", "--on-unembeddable", "native", "--batch-size", 479,
    "--reads", 3, "--epochs", 1,
)  # fmt: skip


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    folder = tmp_path_factory.mktemp("home")
    (folder / "dwave.conf").write_text("[defaults]\nhttp_retry_total = 0\npoll_pause = 0.005\n")
    with Service("zephyr", (3, 4)) as running, pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder))
        patch.setenv("DWAVE_CONFIG_FILE", str(folder / "dwave.conf"))
        patch.setenv("DWAVE_API_ENDPOINT", running.url)
        patch.setenv("DWAVE_API_TOKEN", standin.TOKEN)
        yield running


def weights(folder):
    state = torch.load(folder / "checkpoint.pt", weights_only=True)["model"]
    return {name: value.numpy().tobytes() for name, value in state.items()}


@pytest.fixture(scope="module")
def whole(service, tmp_path_factory):
    """A run without faults."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    invoke(*ARGS, "--out", folder)
    return folder


@pytest.fixture(scope="module")
def per_step(whole):
    """Number of calls in a step."""
    return len((whole / "calls.jsonl").read_text().splitlines()) // 3


def check(service, folder, whole, per_step):
    """Each problem was solved once, and the ledger has the bill."""
    assert weights(folder) == weights(whole)
    assert metrics(folder) == metrics(whole)
    solved = Counter(p.digest for p in service.problems.values() if p.is_solved)
    assert sorted(solved.values()) == [1] * 3 * per_step
    stored = json.loads((folder / "access_time.json").read_text())
    assert stored["reserved_us"] == 0.0
    assert standin.TOKEN not in "".join(
        path.read_text(errors="replace") for path in folder.iterdir() if path.is_file()
    )
    return stored["spent_us"]


def test_answers_that_could_not_be_loaded_are_loaded_by_the_resumed_run(
    service, whole, per_step, tmp_path, monkeypatch
):
    monkeypatch.setattr(delivery, "sleep", lambda seconds: None)
    service.reset()
    # The answers of the first step arrive, those of the second do not, in any attempt.
    faults = [standin.nothing] * per_step + [standin.status(503)] * 4 * per_step
    service.faults = {"load": faults}
    folder = tmp_path / "run"
    text = invoke(*ARGS, "--out", folder, expect=1)
    assert "CallError: call qpsbgd/run/1/layers.1/0: no answer after 4 attempts" in text
    assert len(service.problems) == 2 * per_step
    invoke("train", "digits", "--resume", folder)
    assert len(service.problems) == 3 * per_step
    assert check(service, folder, whole, per_step) == pytest.approx(service.bill)


def test_a_run_that_was_interrupted_and_could_not_cancel(
    service, whole, per_step, tmp_path, monkeypatch
):
    service.reset()
    service.faults = {"cancel": [standin.status(503)]}
    collect, number = delivery.Submission.collect, 0

    def interrupted(submission):
        nonlocal number
        number += 1
        if number == per_step + 2:
            raise KeyboardInterrupt
        collect(submission)

    monkeypatch.setattr(delivery.Submission, "collect", interrupted)
    folder = tmp_path / "run"
    invoke(*ARGS, "--out", folder, expect=130)
    monkeypatch.setattr(delivery.Submission, "collect", collect)
    assert ("DELETE", "cancel") in service.requests
    assert len(service.problems) == 2 * per_step
    invoke("train", "digits", "--resume", folder)
    assert len(service.problems) == 3 * per_step
    assert check(service, folder, whole, per_step) == pytest.approx(service.bill)
