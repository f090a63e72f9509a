"""Budget, timing and retries of calls to a machine, with machines that fail on purpose."""

import json
import multiprocessing
import pickle
import shutil
import threading
from concurrent.futures import Future

import dimod
import numpy as np
import pytest

pytest.importorskip("dwave.system", reason="dwave-system is not installed")

import filelock
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
from qpsbgd.hardware import Budget, BudgetExceededError, delivery
from qpsbgd.hardware.delivery import deliver
from qpsbgd.hardware.machine import access_time_us, check_run_time
from qpsbgd.hardware.submission import Submission

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


def test_a_budget_refuses_what_does_not_fit():
    budget = Budget(250.0)
    budget.reserve(100.0, "one")
    budget.settle(100.0, 90.0)
    budget.reserve(150.0, "two")
    with pytest.raises(
        BudgetExceededError, match=r"three is estimated to take 20 us.* only 10 are left \(90 spent"
    ):
        budget.reserve(20.0, "three")
    assert budget.left_us == 10.0
    budget.limit_us = 300.0  # may be raised
    budget.reserve(20.0, "three")
    assert Budget().left_us == float("inf")


def test_a_budget_may_be_spent_to_the_last_microsecond():
    budget = Budget(250.0)
    budget.reserve(100.0, "one")
    budget.reserve(150.0, "two")
    assert budget.left_us == 0.0
    budget.settle(150.0, 100.0)
    budget.reserve(50.0, "three")
    with pytest.raises(BudgetExceededError):
        budget.reserve(1e-9, "four")


@pytest.mark.parametrize("limit", [0.0, -1.0, float("nan")])
def test_a_limit_must_be_positive(limit):
    with pytest.raises(ValueError, match="must be positive"):
        Budget(limit)


def test_a_ledger_outlives_the_process(tmp_path):
    ledger = tmp_path / "spent.json"
    budget = Budget(1000.0, ledger)
    budget.reserve(100.0, "one")
    budget.settle(100.0, 90.0)
    budget.reserve(50.0, "two")  # and now the process is killed
    again = Budget(1000.0, ledger)
    assert (again.spent_us, again.reserved_us) == (140.0, 0.0)
    assert json.loads(ledger.read_text()) == {"spent_us": 90.0, "reserved_us": 50.0}
    ledger.write_text("{}")
    with pytest.raises(ValueError, match="is no ledger of access times"):
        Budget(1000.0, ledger)
    for spent, reserved in (("NaN", "0"), ("0", "NaN"), ("1e308", "1e308"), ("-1", "0")):
        ledger.write_text(f'{{"spent_us": {spent}, "reserved_us": {reserved}}}')
        with pytest.raises(ValueError, match="must be finite and >= 0"):
            Budget(1000.0, ledger)


def test_a_ledger_that_cannot_be_written(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    budget = Budget(1000.0, folder / "spent.json")
    budget.reserve(100.0, "one")
    shutil.rmtree(folder)
    with pytest.raises(OSError, match=r"spent\.json"):
        budget.reserve(100.0, "two")
    assert budget.reserved_us == 100.0
    # An answer that was paid for is not lost.
    with pytest.warns(UserWarning, match="not up to date"):
        budget.settle(100.0, 90.0)
    assert (budget.reserved_us, budget.spent_us) == (0.0, 90.0)


def _spend(budget, attempts, estimate, bill):
    """Reserve and settle again and again; return the number of reservations that fitted."""
    accepted = 0
    for _ in range(attempts):
        try:
            budget.reserve(estimate, "a call")
        except BudgetExceededError:
            continue
        accepted += 1
        budget.settle(estimate, bill)
    return accepted


def _spend_in_process(ledger, limit, ready, results):
    budget = Budget(limit, ledger)
    ready.wait(timeout=120)
    results.put(_spend(budget, 60, ESTIMATE, BILL))


def test_two_processes_share_a_ledger(tmp_path):
    """No reservation is lost, and none counts twice."""
    ledger, limit = tmp_path / "spent.json", 50 * BILL + (ESTIMATE - BILL)
    context = multiprocessing.get_context("spawn")
    ready, results = context.Barrier(2), context.Queue()
    processes = [
        context.Process(target=_spend_in_process, args=(ledger, limit, ready, results))
        for _ in range(2)
    ]
    for process in processes:
        process.start()
    accepted = [results.get(timeout=120) for _ in processes]
    for process in processes:
        process.join()
        assert process.exitcode == 0
    spent = sum(accepted) * BILL
    assert json.loads(ledger.read_text()) == {"spent_us": spent, "reserved_us": 0.0}
    # A reservation is refused while the other process holds one that the limit cannot hold as well.
    assert limit - ESTIMATE - BILL < spent <= limit
    assert Budget(limit, ledger).spent_us == spent


@pytest.mark.parametrize("has_ledger", [False, True])
@pytest.mark.parametrize("budgets", [1, 4])
def test_threads_share_a_budget(tmp_path, has_ledger, budgets):
    """One budget in four threads, or four budgets on one ledger."""
    if budgets > 1 and not has_ledger:
        pytest.skip("budgets without a ledger share nothing")
    ledger = tmp_path / "spent.json" if has_ledger else None
    limit = 20 * BILL + (ESTIMATE - BILL)
    shared = [Budget(limit, ledger) for _ in range(budgets)]
    ready, accepted = threading.Barrier(4), []

    def spend(number):
        ready.wait(timeout=60)
        accepted.append(_spend(shared[number % budgets], 30, ESTIMATE, BILL))

    threads = [threading.Thread(target=spend, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(accepted) == 4
    spent = sum(accepted) * BILL
    assert 0 < spent <= limit
    if has_ledger:
        assert json.loads(ledger.read_text()) == {"spent_us": spent, "reserved_us": 0.0}
    if budgets == 1:
        assert (shared[0].spent_us, shared[0].reserved_us) == (spent, 0.0)


def test_budgets_on_one_ledger_respect_each_others_reservations(tmp_path):
    first, second = (Budget(250.0, tmp_path / "spent.json") for _ in range(2))
    first.reserve(100.0, "one")
    second.reserve(100.0, "two")
    with pytest.raises(BudgetExceededError, match=r"only 50 are left \(100 spent, 100 reserved\)"):
        first.reserve(100.0, "three")
    second.settle(100.0, 40.0)
    assert (second.spent_us, second.reserved_us) == (140.0, 0.0)  # the first one's 100 included
    first.reserve(100.0, "three")
    assert (first.spent_us, first.reserved_us, first.left_us) == (40.0, 200.0, 10.0)
    first.settle(100.0, 100.0)
    first.settle(100.0, 100.0)
    content = json.loads((tmp_path / "spent.json").read_text())
    assert content == {"spent_us": 240.0, "reserved_us": 0.0}


def test_a_ledger_that_is_damaged_while_a_call_is_under_way(tmp_path):
    ledger = tmp_path / "spent.json"
    budget = Budget(1000.0, ledger)
    budget.reserve(100.0, "one")
    ledger.write_text("{")
    with pytest.raises(ValueError, match="is no ledger of access times"):
        budget.reserve(100.0, "two")
    with pytest.warns(UserWarning, match="not up to date"):
        budget.settle(100.0, 90.0)
    assert (budget.reserved_us, budget.spent_us) == (0.0, 90.0)


def test_a_ledger_that_another_process_holds_too_long(tmp_path, monkeypatch):
    monkeypatch.setattr("qpsbgd.hardware.ledger.LOCK_TIMEOUT", 0.0)
    budget = Budget(1000.0, tmp_path / "spent.json")
    budget.reserve(100.0, "one")
    with filelock.FileLock(tmp_path / "spent.json.lock"):
        with pytest.raises(OSError, match=r"spent\.json\.lock"):
            budget.reserve(100.0, "two")
        with pytest.warns(UserWarning, match="not up to date"):
            budget.settle(100.0, 90.0)
    assert (budget.reserved_us, budget.spent_us) == (0.0, 90.0)


def test_a_budget_can_be_pickled(tmp_path):
    budget = Budget(1000.0, tmp_path / "spent.json")
    budget.reserve(100.0, "one")
    twin = pickle.loads(pickle.dumps(budget))
    twin.settle(100.0, 90.0)
    assert (twin.spent_us, twin.reserved_us) == (90.0, 0.0)


def test_a_budget_is_not_turned_off_by_nan():
    budget = Budget(1000.0)
    budget.spent_us = float("nan")
    with pytest.raises(BudgetExceededError):
        budget.reserve(1.0, "one")


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
