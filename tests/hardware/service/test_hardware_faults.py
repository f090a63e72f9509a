"""Reactions to errors of a call, one by one, and records of odd answers."""

import json
import threading
from types import SimpleNamespace

import dimod
import numpy as np
import pytest

pytest.importorskip("dwave.system", reason="dwave-system is not installed")

import requests
import urllib3
from dwave.cloud.exceptions import (
    CanceledFutureError,
    InvalidAPIResponseError,
    PollingTimeout,
    ProblemUploadError,
    RequestTimeout,
    SolverAuthenticationError,
    SolverError,
    SolverFailureError,
    SolverOfflineError,
    UseAfterCloseError,
)
from dwave.system.testing import MockDWaveSampler

from qpsbgd import ProjectionOptions
from qpsbgd.hardware import Budget, DWaveProjector
from qpsbgd.hardware.calls import Call
from qpsbgd.hardware.service.faults import Reaction, Step, reaction, without_failover
from qpsbgd.hardware.service.ledger import Problem
from qpsbgd.hardware.service.leftovers import Leftovers
from qpsbgd.hardware.service.submission import Submission


def http(code):
    return SolverError(error_msg="gateway", error_code=code)


def refused_connection():
    """As requests and the client wrap it."""
    never = urllib3.exceptions.NewConnectionError(None, "refused")
    error = RequestTimeout("API request timed out")
    error.__context__ = requests.exceptions.ConnectionError(
        urllib3.exceptions.MaxRetryError(None, "/problems", never)
    )
    return error


RETRIEVE = Reaction(Step.RETRIEVE, is_charged=True, has_answer=True)
GONE = Reaction(Step.GIVE_UP, is_charged=True, has_answer=False)
REFUSED = Reaction(Step.GIVE_UP, is_charged=False, has_answer=False)
NOT_YET = Reaction(Step.SEND, is_charged=False, has_answer=False)
UNCERTAIN = Reaction(Step.SEND, is_charged=True, has_answer=True)


@pytest.mark.parametrize(
    ("error", "without_id", "with_id"),
    [
        (http(400), REFUSED, RETRIEVE),
        (http(404), REFUSED, GONE),
        (http(429), Reaction(Step.SEND, True, True, is_charged_if_absent=False), RETRIEVE),
        (http(500), Reaction(Step.SEND_IF_ABSENT, True, True), RETRIEVE),
        (http(502), UNCERTAIN, RETRIEVE),
        (http(503), UNCERTAIN, RETRIEVE),
        (http(504), Reaction(Step.SEND_IF_ABSENT, True, True), RETRIEVE),
        (http("odd"), REFUSED, RETRIEVE),
        (InvalidAPIResponseError("odd"), Reaction(Step.SEND_IF_ABSENT, True, True), RETRIEVE),
        (RequestTimeout("late"), UNCERTAIN, RETRIEVE),
        (PollingTimeout("late"), UNCERTAIN, RETRIEVE),
        (requests.exceptions.ConnectionError("dropped"), UNCERTAIN, RETRIEVE),
        (refused_connection(), NOT_YET, RETRIEVE),
        (SolverOfflineError("off"), NOT_YET, NOT_YET),
        (ProblemUploadError("lost"), NOT_YET, NOT_YET),
        (
            SolverAuthenticationError(error_code=401),
            REFUSED,
            Reaction(Step.GIVE_UP, is_charged=True, has_answer=True),
        ),
        (
            UseAfterCloseError("closed"),
            Reaction(Step.GIVE_UP, is_charged=True, has_answer=True),
            Reaction(Step.GIVE_UP, is_charged=True, has_answer=True),
        ),
        (dimod.exceptions.BinaryQuadraticModelStructureError("graph"), REFUSED, RETRIEVE),
        (ValueError("range"), REFUSED, RETRIEVE),
        (KeyError("a poll of several problems"), RETRIEVE, RETRIEVE),
        (CanceledFutureError(), GONE, GONE),
        (SolverFailureError("in a response"), REFUSED, RETRIEVE),
    ],
    ids=lambda value: None if isinstance(value, Reaction) else f"{type(value).__name__} {value}",
)
def test_the_reaction_follows_from_what_is_known(error, without_id, with_id):
    if isinstance(error, KeyError):  # an unknown error without an identifier
        without_id = Reaction(Step.GIVE_UP, is_charged=True, has_answer=True)
    options = {"can_retrieve": True, "status": None}
    assert reaction(error, has_id=False, **options) == without_id
    assert reaction(error, has_id=True, **options) == with_id


@pytest.mark.parametrize("status", ["FAILED", "CANCELLED"])
def test_what_the_machine_says_is_final(status):
    for error in (SolverFailureError("broken"), http(503)):
        found = reaction(error, has_id=True, can_retrieve=True, status=status)
        assert found == GONE
    assert (
        reaction(SolverOfflineError("off"), has_id=True, can_retrieve=True, status=status)
        == NOT_YET
    )


def test_an_identifier_without_a_client_is_of_no_use():
    options = {"has_id": True, "can_retrieve": False, "status": None}
    assert reaction(PollingTimeout("late"), **options) == UNCERTAIN
    assert reaction(ValueError("garbled"), **options) == GONE
    assert reaction(http(503), **options) == GONE


def test_an_error_without_a_cause_is_its_own():
    from dwave.system.exceptions import RetryCondition

    error = RetryCondition("again")
    assert without_failover(error) is error


# What failed steps leave


def submission(key):
    bqm = dimod.BinaryQuadraticModel("SPIN")
    return Submission(
        dimod.ExactSolver(), bqm, {}, label="a call", key=key, budget=Budget(), estimate_us=1.0
    )


def test_leftovers_are_taken_once():
    problems = {"a": Problem("one"), "b": Problem("one"), "c": Problem("two")}
    leftovers = Leftovers(problems, can_retrieve=True)
    assert {leftovers.take_problem("one")[0] for _ in range(2)} == {"a", "b"}
    assert leftovers.take_problem("one") is None
    assert leftovers.take_problem("two") == ("c", Problem("two"))
    first = submission("one")
    leftovers.add([first, submission("two")])
    assert leftovers.take_submission("one") is first
    assert leftovers.take_submission("one") is None
    assert Leftovers(problems, can_retrieve=False).take_problem("one") is None


def test_a_thread_drops_its_own_leftovers_only():
    leftovers = Leftovers({}, can_retrieve=True)
    own, other = submission("one"), submission("one")
    thread = threading.Thread(target=leftovers.add, args=([other],))
    thread.start()
    leftovers.add([own])
    thread.join()
    assert leftovers.finish([]) == set(own.names)
    assert leftovers.finish([]) == set()
    assert leftovers.take_submission("one") is other


def test_the_problems_of_the_last_step_and_some_more_stay_in_the_budget(monkeypatch):
    monkeypatch.setattr("qpsbgd.hardware.service.leftovers.MAX_FINISHED", 5)
    leftovers = Leftovers({}, can_retrieve=True)
    steps = [[submission("key") for _ in range(size)] for size in (2, 3, 2, 7, 1)]
    names = [{name for each in step for name in each.names} for step in steps]
    obsolete = [leftovers.finish(step) for step in steps]
    assert obsolete == [set(), set(), names[0], names[1] | names[2], names[3]]
    unable = Leftovers({}, can_retrieve=False)
    assert [unable.finish(step) for step in steps] == names


# Answers that no record can hold


class Odd(MockDWaveSampler):
    """A mock with other things in an answer's information."""

    def __init__(self, info):
        super().__init__(topology_type="chimera", topology_shape=[2, 2, 4])
        self.info = info

    def sample(self, bqm, **kwargs):
        found = super().sample(bqm, **kwargs)
        found.info.update(self.info)
        return found


@pytest.mark.parametrize(
    "info",
    [
        {"problem_id": object()},
        {"problem_id": b"bytes"},
        {"problem_id": {1, 2}},
        {"timing": {3: 4.0, "qpu_access_time": 10**400, "x": float("nan"), "y": 1e400}},
        {"timing": {"qpu_access_time": float("inf")}},
    ],
)
def test_a_paid_answer_is_used_whatever_it_says_of_itself(rng, tmp_path, info):
    log = tmp_path / "calls.jsonl"
    projector = DWaveProjector(Odd(info), num_reads=5, cache=tmp_path, log=log)
    X = rng.normal(size=(12, 4)).astype(np.float32)
    T = rng.normal(size=(12, 2)).astype(np.float32)
    assert projector(X, T, ProjectionOptions(seed=1)).shape == (2, 4)
    (record,) = map(json.loads, log.read_text().splitlines())
    if "problem_id" in info:
        assert record["problem_id"] is None
    else:  # no bill: the estimate counts
        assert record["billed_us"] == projector.budget.spent_us == record["estimate_us"]
        assert record["timing_us"] == {}


def test_a_key_depends_on_the_problem_the_machine_and_the_parameters():
    """Whatever the parameters are: the key is made before anything is sent."""

    def key(parameters, J=1.0, solver="mine"):
        layout = SimpleNamespace(qubits=np.arange(2))
        problem = SimpleNamespace(layout=layout, h=np.zeros(2), J=np.full(1, J))
        return Call(np.arange(1), problem, "a call", parameters, 1.0, {"solver": solver}).key

    changed = [
        key({}), key({"num_reads": 5}), key({"num_reads": 6}), key({}, J=2.0),
        key({}, solver="other"), key({"state": {(0, 1): 2}}), key({"state": {(0, 1): 3}}),
        key({"state": np.arange(3)}), key({"state": np.arange(4)}),
    ]  # fmt: skip
    assert len(set(changed)) == len(changed)
    assert key({"a": 1, "b": 2}) == key({"b": 2, "a": 1})
