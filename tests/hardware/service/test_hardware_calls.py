"""Budget, timing and retries of calls to a machine, with machines that fail on purpose."""

from concurrent.futures import Future

import dimod
import numpy as np
import pytest

pytest.importorskip("dwave.system", reason="dwave-system is not installed")

import requests
import urllib3
from dwave.cloud.exceptions import (
    InvalidAPIResponseError,
    PollingTimeout,
    ProblemUploadError,
    RequestTimeout,
    SolverAuthenticationError,
    SolverFailureError,
    SolverOfflineError,
    UseAfterCloseError,
)
from dwave.system.exceptions import FailoverCondition

from qpsbgd.errors import CallError
from qpsbgd.hardware import Budget, BudgetExceededError
from qpsbgd.hardware.annealer.machine import access_time_us, check_run_time
from qpsbgd.hardware.service import delivery
from qpsbgd.hardware.service.delivery import deliver
from qpsbgd.hardware.service.submission import Submission

BQM = dimod.BinaryQuadraticModel({0: 1.0}, {(0, 1): -1.0}, 0.0, "SPIN")
#: What a call in these tests is estimated and billed.
ESTIMATE, BILL = 100.0, 80.0


def answer():
    result = dimod.ExactSolver().sample(BQM)
    result.info.update(timing={"qpu_access_time": BILL}, problem_id="found")
    return result


class Pending(dimod.SampleSet):
    """A sample set that comes later, or an error in its place; with an id as the cloud's have."""

    @classmethod
    def of(cls, outcome, problem_id):
        future = Future()
        future.wait_id = lambda timeout=None: problem_id

        def resolve(future):
            if isinstance(outcome, Exception):
                raise outcome
            return outcome

        return cls.from_future(future, resolve)


class Machine(dimod.Sampler):
    """Goes through a list: an error at once, or (id, what comes of it later)."""

    parameters = {}  # noqa: RUF012
    properties = {}  # noqa: RUF012
    solver = "decoder"

    def __init__(self, *outcomes, retrieved=()):
        self.outcomes, self.retrieved = list(outcomes), list(retrieved)
        self.num_sent, self.asked_for = 0, []
        if retrieved:
            self.client = self

    def sample(self, bqm, **kwargs):
        self.num_sent += 1
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        problem_id, later = outcome
        return Pending.of(later, problem_id)

    def retrieve_answer(self, problem_id):
        self.asked_for.append(problem_id)

        outcome = self.retrieved.pop(0)
        if outcome is None:
            raise UseAfterCloseError("closed")

        class Retrieved:
            """Decodes by its solver, as the client's future does."""

            solver = None

            @property
            def sampleset(future):
                assert future.solver == Machine.solver
                return Pending.of(outcome, problem_id)

        return Retrieved()


def submit(machine, budget=None):
    """Return a submission whose estimate is reserved."""
    budget = budget or Budget()
    submission = Submission(
        machine, BQM, {}, label="a call", key="key", budget=budget, estimate_us=ESTIMATE
    )
    budget.reserve(ESTIMATE, "a call", submission.reservation)
    return submission, budget


def answer_of(submission, budget, max_retries=3, retry_wait=0.0):
    """Deliver a submission; return its answer, or raise its error."""
    deliver([submission], max_retries=max_retries, retry_wait=retry_wait)
    if submission.error is not None:
        raise submission.error
    return submission.sampleset


def test_the_bill_takes_the_place_of_the_estimate():
    submission, budget = submit(Machine(("id", answer())))
    assert (budget.reserved_us, budget.spent_us) == (ESTIMATE, 0.0)
    assert answer_of(submission, budget).first.energy == -2.0
    assert (budget.reserved_us, budget.spent_us) == (0.0, BILL)
    assert (submission.num_attempts, submission.problem_id) == (1, "found")


def test_without_a_bill_the_estimate_is_spent():
    silent = answer()
    silent.info.clear()
    submission, budget = submit(Machine(("id", silent)))
    answer_of(submission, budget)
    assert (budget.reserved_us, budget.spent_us) == (0.0, ESTIMATE)


def lost_connection(kind=requests.exceptions.ConnectionError):
    return kind("Connection aborted")


@pytest.mark.parametrize(
    "error",
    [
        PollingTimeout("slow"),
        RequestTimeout("slow"),
        InvalidAPIResponseError("odd"),
        ValueError("garbled"),
        lost_connection(),
        lost_connection(requests.exceptions.ChunkedEncodingError),
    ],
)
def test_an_answer_that_exists_is_retrieved_and_paid_for_once(error):
    machine = Machine(("p1", error), retrieved=[error, answer()])
    submission, budget = submit(machine)
    answer_of(submission, budget)
    assert (machine.num_sent, machine.asked_for) == (1, ["p1", "p1"])
    assert (budget.reserved_us, budget.spent_us) == (0.0, BILL)
    assert submission.num_attempts == 3


def test_a_problem_that_an_offline_machine_has_is_sent_again_and_costs_nothing():
    """The client learns of it by the problem's status: there is an id."""
    offline = SolverOfflineError("off")
    machine = Machine(("p1", offline), ("p2", offline), ("p3", answer()), retrieved=[offline])
    submission, budget = submit(machine)
    answer_of(submission, budget)
    assert (machine.num_sent, machine.asked_for) == (3, [])
    assert (budget.reserved_us, budget.spent_us) == (0.0, BILL)


def test_retrieval_that_fails_is_an_attempt():
    machine = Machine(("p1", PollingTimeout("slow")), retrieved=[None])
    submission, budget = submit(machine)
    with pytest.raises(CallError, match="after 2 attempts: UseAfterCloseError"):
        answer_of(submission, budget)
    assert (budget.reserved_us, budget.spent_us) == (0.0, ESTIMATE)


def refused_connection():
    """As requests and the client wrap it."""
    never = urllib3.exceptions.NewConnectionError(None, "refused")
    most = urllib3.exceptions.MaxRetryError(None, "/problems", never)
    timeout = RequestTimeout("API request timed out")
    timeout.__context__ = requests.exceptions.ConnectionError(most)
    return timeout


def test_an_outage_costs_nothing():
    machine = Machine(refused_connection(), refused_connection(), ("p", answer()))
    submission, budget = submit(machine)
    answer_of(submission, budget)
    assert budget.spent_us == BILL


@pytest.mark.parametrize("bill", [float("nan"), float("inf"), -1.0, None, "many"])
def test_a_bill_that_is_no_number_counts_as_the_estimate(bill):
    odd = answer()
    odd.info["timing"] = {"qpu_access_time": bill}
    submission, budget = submit(Machine(("p", odd)))
    answer_of(submission, budget)
    assert budget.spent_us == ESTIMATE
    odd.info["timing"] = None
    submission, budget = submit(Machine(("p", odd)))
    answer_of(submission, budget)
    assert budget.spent_us == ESTIMATE


@pytest.mark.parametrize("error", [SolverOfflineError("off"), ProblemUploadError("lost")])
def test_a_call_that_was_not_accepted_is_sent_again_and_costs_nothing(error):
    machine = Machine(error, error, ("p2", answer()))
    submission, budget = submit(machine)
    answer_of(submission, budget)
    assert machine.num_sent == 3
    assert (budget.reserved_us, budget.spent_us) == (0.0, BILL)


@pytest.mark.parametrize(
    "error", [RequestTimeout("?"), ConnectionError("?"), TimeoutError("?"), lost_connection()]
)
def test_a_call_that_may_have_been_accepted_counts_as_spent(error):
    submission, budget = submit(Machine(error, ("p2", answer())))
    answer_of(submission, budget)
    assert (budget.reserved_us, budget.spent_us) == (0.0, ESTIMATE + BILL)


def test_retries_end():
    machine = Machine(*[SolverOfflineError("off")] * 10)
    submission, budget = submit(machine)
    with pytest.raises(CallError, match="after 3 attempts: SolverOfflineError: off") as caught:
        answer_of(submission, budget, max_retries=2)
    assert isinstance(caught.value.__cause__, SolverOfflineError)
    assert machine.num_sent == 3
    assert (budget.reserved_us, budget.spent_us) == (0.0, 0.0)


def test_each_wait_before_a_retry_is_twice_the_last(monkeypatch):
    waits = []
    monkeypatch.setattr(delivery, "sleep", waits.append)
    offline = SolverOfflineError("off")
    lost = PollingTimeout("slow")
    machine = Machine(offline, offline, ("p", lost), retrieved=[lost, answer()])
    submission, budget = submit(machine)
    answer_of(submission, budget, max_retries=9, retry_wait=0.5)
    assert waits == [0.5, 1.0, 2.0, 4.0]  # seconds, by sending and by retrieving alike


@pytest.mark.parametrize(
    ("error", "spent"),
    [
        (SolverAuthenticationError("who"), 0.0),
        (dimod.exceptions.BinaryQuadraticModelStructureError("graph"), 0.0),
        (ValueError("range"), 0.0),
        (SolverFailureError("rejected"), 0.0),
        (InvalidAPIResponseError("odd"), ESTIMATE),
        (RuntimeError("unheard of"), ESTIMATE),
    ],
)
def test_what_is_final_is_not_tried_again(error, spent):
    machine = Machine(error, ("p", answer()))
    submission, budget = submit(machine)
    with pytest.raises(CallError, match="after 1 attempt: "):
        answer_of(submission, budget)
    assert machine.num_sent == 1
    assert (budget.reserved_us, budget.spent_us) == (0.0, spent)


def test_a_failure_after_an_id_is_counted_as_spent():
    submission, budget = submit(Machine(("p", SolverFailureError("broken"))))
    with pytest.raises(CallError):
        answer_of(submission, budget)
    assert budget.spent_us == ESTIMATE


def test_failover_is_looked_through():
    wrapped = FailoverCondition("switch")
    wrapped.__cause__ = SolverOfflineError("off")
    submission, budget = submit(Machine(("p1", wrapped), ("p2", answer())))
    answer_of(submission, budget)


def test_no_attempt_beyond_the_budget():
    machine = Machine(ConnectionError("?"), ("p", answer()))
    submission, budget = submit(machine, Budget(1.5 * ESTIMATE))
    with pytest.raises(BudgetExceededError, match="another attempt at a call"):
        answer_of(submission, budget)
    assert machine.num_sent == 1
    assert (budget.reserved_us, budget.spent_us) == (0.0, ESTIMATE)


def test_an_abandoned_call_is_spent_once():
    submission, budget = submit(Machine(("p", answer())))
    submission.start()
    submission.abandon()
    submission.abandon()
    assert (budget.reserved_us, budget.spent_us) == (0.0, ESTIMATE)


def test_an_abandoned_call_that_is_answered_later_costs_its_bill():
    submission, budget = submit(Machine(("p", answer())))
    submission.start()
    submission.abandon()
    answer_of(submission, budget)
    assert (budget.reserved_us, budget.spent_us) == (0.0, BILL)
    assert submission.billed_us == BILL


def test_access_time_is_linear_in_reads_and_grows_with_qubits():
    times = [access_time_us({}, 100, reads, {}) for reads in (1, 2, 3)]
    assert np.diff(times, 2) == pytest.approx(0.0, abs=1e-6)
    assert access_time_us({}, 5000, 100, {}) > access_time_us({}, 50, 100, {})
    slow = access_time_us({}, 50, 100, {"annealing_time": 120.0, "label": "not timed"})
    assert slow - access_time_us({}, 50, 100, {}) == pytest.approx(100 * 100.0)


def test_a_run_longer_than_the_machine_allows_is_refused():
    properties = {
        "problem_run_duration_range": [0.0, 20_000.0],
        "num_reads_range": [1, 500],
        "annealing_time_range": [0.5, 2000.0],
        "default_programming_thermalization": 1000.0,
    }
    a_read = access_time_us({}, 50, 2, {}) - access_time_us({}, 50, 1, {})
    most = int(19_000.0 / a_read)
    check_run_time(properties, 50, most, {})
    with pytest.raises(ValueError, match=f"num_reads is {most + 1}, but must be at most {most}: "):
        check_run_time(properties, 50, most + 1, {})
    with pytest.raises(ValueError, match=r"num_reads is 501, but must lie in \[1, 500\]"):
        check_run_time(properties, 50, 501, {})
    with pytest.raises(ValueError, match=r"annealing_time is 0.1, but must lie in \[0.5, 2000.0\]"):
        check_run_time(properties, 50, 1, {"annealing_time": 0.1})
    check_run_time({}, 50, 10**6, {})  # says nothing, forbids nothing


def test_fast_anneals_have_a_range_of_their_own():
    properties = {"annealing_time_range": [0.5, 2000.0], "fast_anneal_time_range": [0.005, 83000.0]}
    check_run_time(properties, 50, 1, {"annealing_time": 0.02, "fast_anneal": True})
    with pytest.raises(ValueError, match=r"annealing_time is 0\.02"):
        check_run_time(properties, 50, 1, {"annealing_time": 0.02})
    with pytest.raises(ValueError, match=r"\[0.005, 83000.0\]"):
        check_run_time(properties, 50, 1, {"annealing_time": 0.001, "fast_anneal": True})
