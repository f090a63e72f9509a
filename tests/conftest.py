"""Shared fixtures."""

import importlib.util
import os
import signal
from pathlib import Path

import numpy as np
import pytest

from qpsbgd import _core

# Small calls use as many threads as they are told to, so that the tests of threads have some.
os.environ["QPSBGD_NS_PER_THREAD"] = "0"


@pytest.fixture(params=_core.available_isas())
def isa(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Every instruction set of this machine, in force for the test."""
    monkeypatch.setenv("QPSBGD_ISA", request.param)
    return request.param


@pytest.fixture
def on_every_isa(monkeypatch: pytest.MonkeyPatch):
    """Return the results of a call on every instruction set, for tests whose twin is slow."""

    def results(call):
        for isa in _core.available_isas():
            monkeypatch.setenv("QPSBGD_ISA", isa)
            yield call()

    return results


@pytest.fixture(autouse=True)
def ctrl_c():
    """Ctrl-C works in a test and the processes that it starts.

    The shell makes background jobs ignore SIGINT, and their children inherit that.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder for the caches of all workers: the packings of whole machines take seconds."""
    base = tmp_path_factory.getbasetemp()
    # Each worker of pytest-xdist has a folder of its own below that of the run.
    return (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "shared-cache"


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20231015)


@pytest.fixture(autouse=True, scope="session")
def one_torch_thread() -> None:
    """Give torch one thread: the networks are small, and pytest has a worker per processor."""
    if importlib.util.find_spec("torch"):
        import torch

        torch.set_num_threads(1)


@pytest.fixture
def net():
    torch = pytest.importorskip("torch")
    from networks import Net

    torch.manual_seed(0)
    return Net()


@pytest.fixture
def batch():
    torch = pytest.importorskip("torch")
    generator = torch.Generator().manual_seed(1)
    return torch.randn(10, 12, generator=generator), torch.randint(4, (10,), generator=generator)
