"""Money: D-Wave's own client against a stand-in for the service that makes faults on demand."""

import itertools
import json
import threading
import warnings
from collections import Counter
from unittest import mock

import numpy as np
import pytest

pytest.importorskip("dwave.system", reason="dwave-system is not installed")

import service as standin
from fault_table import ENDS, FAULTS, LOSSES, NUM_READS, outcome, problem, random_faults
from service import Service

from qpsbgd import ProjectionOptions
from qpsbgd.errors import BudgetExceededError, CallError
from qpsbgd.hardware import DWaveProjector
from qpsbgd.hardware.service import delivery
from qpsbgd.hardware.service.leftovers import Leftovers

BILL = standin.BILL + standin.BILL_PER_READ * NUM_READS


@pytest.fixture(scope="module")
def service():
    with Service(patience=0.3) as running:
        yield running


@pytest.fixture(scope="module")
def sampler(service):
    real = service.sampler()
    yield real
    service.reset()
    real.close()


@pytest.fixture(scope="module")
def patient():
    """A service whose client waits long: on a busy machine no request is lost by itself."""
    with Service(patience=30.0) as running:
        real = running.sampler()
        yield running, real
        running.reset()
        real.close()


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("embeddings")


@pytest.fixture(scope="module")
def plain(service, sampler, cache):
    """Binary gradients of one and of three neurons without faults."""
    return {m: outcome(service, sampler, {}, cache, m).rows for m in (1, 3, 8)}


def projectors(sampler, cache):
    """Return a function that makes a projector with one neuron a call."""

    def projector(**options):
        options = {"num_reads": NUM_READS, "retry_wait": 0.0, "max_copies": 1, **options}
        return DWaveProjector(sampler, cache=cache, **options)

    return projector


@pytest.fixture
def make(service, sampler, cache):
    """A projector with one neuron a call, on a service without problems."""
    service.reset()
    return projectors(sampler, cache)


def solve(projector, num_neurons=3):
    return projector(*problem(num_neurons), ProjectionOptions(seed=1))


def methods(service):
    return Counter(service.requests)


# Each fault in each phase

#: Faults after which the service says that the problem was not accepted, or that it has no answer.
CERTAIN = {("submit", "HTTP 429"), ("submit", "odd JSON")}


@pytest.mark.parametrize(
    ("phase", "fault"),
    [(phase, fault) for phase, faults in FAULTS.items() for fault in faults],
    ids=[f"{phase}-{fault.name}" for phase, faults in FAULTS.items() for fault in faults],
)
def test_a_fault_never_pays_twice(service, sampler, cache, plain, phase, fault):
    found = outcome(service, sampler, {phase: [fault]}, cache)
    np.testing.assert_array_equal(found.rows, plain[1])
    has_ended = phase == "poll" and fault in ENDS
    assert found.num_problems == 1 + has_ended  # only a problem without an answer is replaced
    assert found.bill_us == BILL * (1 + (fault is standin.fail))
    # Without an answer, the estimate counts, unless the service refused the problem.
    is_uncertain = phase == "submit" and (phase, fault.name) not in CERTAIN
    assert found.spent_us == pytest.approx(BILL + found.estimate_us * (is_uncertain or has_ended))
    is_final = has_ended or (phase, fault.name) == ("submit", "odd JSON")
    assert found.num_steps == 1 + is_final


@pytest.mark.parametrize("fault", LOSSES, ids=[fault.name for fault in LOSSES])
def test_without_a_search_the_estimate_counts(service, sampler, cache, plain, fault):
    """The problem was accepted, its identifier is lost, and the service lists no problems."""
    faults = {"accepted": [fault], "find": [standin.status(404)]}
    found = outcome(service, sampler, faults, cache)
    np.testing.assert_array_equal(found.rows, plain[1])
    assert (found.num_problems, found.bill_us) == (2, 2 * BILL)
    assert found.spent_us == pytest.approx(found.estimate_us + BILL)


def test_a_search_that_fails_is_repeated(service, sampler, cache, plain):
    faults = {"accepted": [standin.status(504)], "find": [standin.status(503), standin.drop]}
    found = outcome(service, sampler, faults, cache)
    np.testing.assert_array_equal(found.rows, plain[1])
    assert (found.num_steps, found.num_problems, found.spent_us) == (1, 1, BILL)


def check_random_scripts(service, sampler, cache, plain, seeds):
    for seed in seeds:
        rng = np.random.default_rng(seed)
        script = random_faults(rng)
        names = {phase: [fault.name for fault in faults] for phase, faults in script.items()}
        max_retries = int(rng.integers(4))
        found = outcome(service, sampler, script, cache, 3, max_retries=max_retries)
        np.testing.assert_array_equal(found.rows, plain[3], err_msg=f"{seed}: {names}")
        solved = Counter(p.digest for p in service.problems.values() if p.is_solved)
        assert sorted(solved.values()) == [1, 1, 1], f"{seed}: {names}"
        assert found.spent_us >= found.bill_us * (1 - 1e-12), f"{seed}: {names}"


def test_random_scripts(patient, cache, plain):
    check_random_scripts(*patient, cache, plain, range(25))


@pytest.mark.slow
def test_many_random_scripts(patient, cache, plain):
    check_random_scripts(*patient, cache, plain, range(200))


# Waits


def test_submissions_that_are_lost_wait_together(service, make, plain, monkeypatch):
    waits = []
    monkeypatch.setattr(delivery, "sleep", waits.append)
    # The client sends the problems of a step in a few requests.
    service.faults = {"submit": [standin.status(503)] * 5 + [standin.nothing] * 5}
    projector = make(retry_wait=1.0, max_retries=9)
    np.testing.assert_array_equal(solve(projector, 8), plain[8])
    assert len(service.problems) == 8
    rounds = max(call["attempts"] for call in projector.last_calls) - 1
    assert waits == [2.0**number for number in range(rounds)]


# Later attempts, and later processes


def test_an_error_keeps_the_identifier(service, make, plain, tmp_path):
    """The answer cannot be loaded for a long time; a later process loads it."""
    service.faults = {"load": [standin.status(503)] * 4}
    ledger = tmp_path / "ledger.json"
    with pytest.raises(CallError, match="no answer after 2 attempts: SolverError") as caught:
        solve(make(max_retries=1, ledger=ledger), 1)
    (problem_id,) = service.problems
    assert caught.value.problem_id == problem_id
    (entry,) = json.loads(ledger.read_text())["problems"].values()
    assert entry["problem_id"] == problem_id
    later = make(ledger=ledger)
    assert later.budget.spent_us == entry["spent_us"] > BILL  # the estimate
    np.testing.assert_array_equal(solve(later, 1), plain[1])
    assert list(service.problems) == [problem_id]
    assert later.last_calls[0]["kept"]
    assert (later.budget.spent_us, later.budget.reserved_us) == (BILL, 0.0)


def test_one_attempt_keeps_the_identifier_too(service, make, plain):
    service.faults = {"load": [standin.garbage]}
    projector = make(on_failure="error")
    with pytest.raises(CallError, match="after 1 attempt"):
        solve(projector)
    np.testing.assert_array_equal(solve(projector), plain[3])
    assert (len(service.problems), projector.budget.spent_us) == (3, 3 * BILL)


@pytest.mark.parametrize("moment", ["sent", "known", "answered", "finished"])
def test_a_process_that_is_killed_pays_once(patient, cache, plain, tmp_path, monkeypatch, moment):
    """The ledger of a process that was killed at some moment of a step leads to the answers."""
    service, sampler = patient
    service.reset()
    make = projectors(sampler, cache)
    ledger = tmp_path / "ledger.json"
    copies = []

    def copy(*_, **__):
        copies.append(ledger.read_bytes())

    first = make(ledger=ledger)
    real = {
        "sent": (delivery, "enter_ids"),
        "known": (delivery.Submission, "collect"),
        "answered": (Leftovers, "finish"),
    }
    if moment in real:
        owner, name = real[moment]
        before = getattr(owner, name)

        def spy(*args, **kwargs):
            copy()
            return before(*args, **kwargs)

        monkeypatch.setattr(owner, name, spy)
    solve(first)
    monkeypatch.undo()
    ledger.write_bytes(copies[0] if copies else ledger.read_bytes())
    later = make(ledger=ledger)
    np.testing.assert_array_equal(solve(later), plain[3])
    assert len(service.problems) == 3
    assert (later.budget.spent_us, later.budget.reserved_us) == pytest.approx((3 * BILL, 0.0))
    solve(later)  # a step that was finished in this process is sent again
    assert len(service.problems) == 6


def test_an_answer_that_is_gone_is_paid_for_again(service, make, plain, tmp_path):
    """D-Wave deletes problems in the end."""
    ledger = tmp_path / "ledger.json"
    first = make(ledger=ledger)
    solve(first)
    service.problems.clear()
    later = make(ledger=ledger)
    np.testing.assert_array_equal(solve(later), plain[3])
    assert len(service.problems) == 3
    estimate = later.last_calls[0]["estimate_us"]
    assert later.budget.spent_us == pytest.approx(3 * BILL + 3 * estimate)


def interrupt(projector):
    """Take a step in which Ctrl-C comes once all problems are sent."""
    with (
        mock.patch.object(delivery.Submission, "collect", side_effect=KeyboardInterrupt),
        pytest.raises(KeyboardInterrupt),
    ):
        solve(projector)


def test_ctrl_c_cancels_what_waits(service, make, plain, tmp_path):
    service.is_holding = True
    ledger = tmp_path / "ledger.json"

    projector = make(ledger=ledger)
    interrupt(projector)
    assert methods(service)["DELETE", "cancel"] == 1
    assert [p.status for p in service.problems.values()] == ["CANCELLED"] * 3
    estimate = projector.last_calls[0]["estimate_us"]
    assert projector.budget.spent_us == pytest.approx(3 * estimate)
    service.is_holding = False
    for again in (projector, make(ledger=ledger)):
        np.testing.assert_array_equal(solve(again), plain[3])
    assert projector.budget.reserved_us == 0.0


@pytest.mark.parametrize("is_later", [False, True])
def test_what_ctrl_c_cannot_cancel_is_retrieved(service, make, plain, tmp_path, is_later):
    service.is_holding = True
    service.faults = {"cancel": [standin.status(503)]}
    ledger = tmp_path / "ledger.json"

    projector = make(ledger=ledger)
    interrupt(projector)
    service.is_holding = False
    again = make(ledger=ledger) if is_later else projector
    np.testing.assert_array_equal(solve(again), plain[3])
    assert len(service.problems) == 3
    assert again.budget.spent_us == pytest.approx(3 * BILL)


def test_calls_that_are_solved_natively_are_cancelled(service, make):
    service.is_holding = True
    service.faults = {"poll": [standin.status(429)] * 20}
    projector = make(on_failure="native", max_retries=0)
    with pytest.warns(UserWarning, match="its neurons are solved natively"):
        solve(projector, 1)
    assert methods(service)["DELETE", "cancel"] == 1
    assert [p.status for p in service.problems.values()] == ["CANCELLED"]
    assert projector.budget.spent_us == pytest.approx(projector.last_calls[0]["estimate_us"])


# Threads


def check_threads(make, ledger, plain, num_threads=8, **options):
    projector = make(ledger=ledger, **options)
    ready, found, errors = threading.Barrier(num_threads), [], []

    def run():
        ready.wait(timeout=60)
        try:
            found.append(solve(projector))
        except BudgetExceededError as error:
            errors.append(error)

    threads = [threading.Thread(target=run) for _ in range(num_threads)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(found) + len(errors) == num_threads
    for rows in found:
        np.testing.assert_array_equal(rows, plain[3])
    return projector, len(found)


def check_ledger(service, projector, ledger):
    stored = json.loads(ledger.read_text())
    assert stored["spent_us"] == pytest.approx(service.bill)
    assert stored["reserved_us"] == pytest.approx(0.0, abs=1e-6)
    assert projector.budget.spent_us == stored["spent_us"]
    assert projector.budget.reserved_us == 0.0


@pytest.mark.parametrize("num_runs", [2, pytest.param(20, marks=pytest.mark.slow)])
def test_eight_threads_on_one_projector(service, make, plain, tmp_path, num_runs):
    for number in range(num_runs):
        service.reset()
        ledger = tmp_path / f"{number}.json"
        projector, num_found = check_threads(make, ledger, plain)
        assert num_found == 8
        assert len(service.problems) == 24
        check_ledger(service, projector, ledger)


def test_threads_do_not_overspend(service, make, plain, tmp_path):
    ledger = tmp_path / "ledger.json"
    estimate = outcome_estimate(make)
    service.reset()
    limit = 3.5 * 3 * estimate
    projector, num_found = check_threads(make, ledger, plain, budget_us=limit)
    assert 3 <= num_found < 8
    assert service.bill <= limit
    check_ledger(service, projector, ledger)


def outcome_estimate(make):
    projector = make()
    solve(projector, 1)
    return projector.last_calls[0]["estimate_us"]


def test_projectors_on_one_ledger_do_not_overspend(service, make, plain, tmp_path):
    """Eight calls where four fit."""
    ledger = tmp_path / "ledger.json"
    estimate = outcome_estimate(make)
    service.reset()
    limit = 3 * BILL + 1.5 * estimate
    pair = [make(ledger=ledger, budget_us=limit) for _ in range(2)]
    accepted = 0
    for number, projector in zip(range(8), itertools.cycle(pair), strict=False):
        try:
            projector(*problem(), ProjectionOptions(seed=number))
            accepted += 1
        except BudgetExceededError:
            continue
    assert accepted == len(service.problems) == 4
    assert service.bill <= limit
    assert json.loads(ledger.read_text())["spent_us"] == pytest.approx(4 * BILL)


# Responses of which the client forgets the problem


def other_json(text):
    def fault(handler):
        handler.respond(200, text, handler.media_type)
        return True

    return fault


@pytest.mark.parametrize("text", [b"[]", b"{}", b"null"])
@pytest.mark.parametrize("phase", ["submit", "accepted", "poll", "load"])
def test_json_of_another_form_stops_nothing(service, cache, plain, monkeypatch, phase, text):
    """The client waits for ever for some of them, and cannot be closed then."""
    monkeypatch.setattr("qpsbgd.hardware.service.queries.PATIENCE", 0.1)
    # Longer than the client waits for a response.
    patience = 4 * service.patience
    monkeypatch.setattr("qpsbgd.hardware.service.queries.ID_PATIENCE", patience)
    monkeypatch.setattr(delivery, "ID_PATIENCE", patience)
    found = outcome(service, service.sampler(), {phase: [other_json(text)]}, cache)
    np.testing.assert_array_equal(found.rows, plain[1])
    assert (found.num_problems, found.bill_us) == (1, BILL)
    assert found.spent_us >= BILL
