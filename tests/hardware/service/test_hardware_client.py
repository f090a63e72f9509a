"""D-Wave's client: its threads are ended, and its logs have no token. Nothing is sent."""

import gc
import logging
import threading
import uuid

import pytest

pytest.importorskip("dwave.system", reason="dwave-system is not installed")

from dwave.cloud import Client
from dwave.cloud.exceptions import SolverNotFoundError
from dwave.cloud.solver import StructuredSolver
from dwave.cloud.testing import mocks

from qpsbgd.hardware import DWaveProjector
from qpsbgd.hardware.annealer.client import redact_client_logs

TOKEN = "ABCD-" + "0123456789abcdef" * 3


@pytest.fixture
def solvers(monkeypatch, tmp_path):
    """Solvers that the client finds without asking anybody."""
    (tmp_path / "none.conf").write_text("")
    monkeypatch.setenv("DWAVE_API_ENDPOINT", "http://127.0.0.1:9/")
    monkeypatch.setenv("DWAVE_CONFIG_FILE", str(tmp_path / "none.conf"))
    monkeypatch.setenv("DWAVE_API_TOKEN", TOKEN)
    found = []
    monkeypatch.setattr(Client, "get_solvers", lambda client, **_: list(found))
    return found


def client_threads():
    return {thread for thread in threading.enumerate() if thread is not threading.main_thread()}


def test_a_projector_that_cannot_be_made_leaves_no_threads(solvers, tmp_path):
    before = client_threads()
    with pytest.raises(SolverNotFoundError):
        DWaveProjector()
    assert client_threads() <= before
    solvers.append(StructuredSolver(None, mocks.qpu_pegasus_solver_data(2)))
    for fault in (
        {"sample_kwargs": {"beta": 1}},
        {"annealing_time": -1.0},
        {"sample_kwargs": {"num_reads": 3}},
    ):
        with pytest.raises(ValueError, match=r"beta|annealing_time|num_reads"):
            DWaveProjector(cache=tmp_path, **fault)
        assert client_threads() <= before, fault
    with DWaveProjector(cache=tmp_path) as projector:
        assert not client_threads() <= before
    assert client_threads() <= before
    projector.close()  # again, without effect
    projector = DWaveProjector(cache=tmp_path)
    assert not client_threads() <= before
    del projector
    gc.collect()
    assert client_threads() <= before


@pytest.mark.parametrize("name", ["dwave.cloud.auth.flow", "dwave.new", "dwave"])
def test_loggers_that_the_client_makes_later_have_the_filter(caplog, name):
    redact_client_logs()  # again, without effect
    logger = logging.getLogger(f"{name}.{uuid.uuid4().hex}")
    with caplog.at_level(logging.DEBUG):
        logger.debug("token=%s", TOKEN)
        try:
            raise ValueError(f"no access with {TOKEN}")
        except ValueError:
            logger.exception("failed")
        logging.getLogger("anyone").debug("token=%s", TOKEN)
    theirs, failed, anyone = caplog.records
    assert "token=" in theirs.getMessage()
    for record in (theirs, failed):
        assert TOKEN not in logging.Formatter().format(record)
    assert anyone.getMessage() == f"token={TOKEN}"  # other libraries' records stay as they are


def test_a_factory_of_log_records_is_wrapped_once(monkeypatch):
    redact_client_logs()
    factory = logging.getLogRecordFactory()
    redact_client_logs()
    assert logging.getLogRecordFactory() is factory
