"""Budget of access time and its ledger, shared by threads and processes."""

import json
import multiprocessing
import pickle
import shutil
import threading

import pytest

pytest.importorskip("dwave.system", reason="dwave-system is not installed")

import filelock

from qpsbgd.atomic import write_atomically
from qpsbgd.hardware import Budget, BudgetExceededError
from qpsbgd.hardware.service.ledger import Problem

#: What a call in these tests is estimated and billed.
ESTIMATE, BILL = 100.0, 80.0


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


@pytest.mark.slow
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
    monkeypatch.setattr("qpsbgd.hardware.service.ledger.LOCK_TIMEOUT", 0.0)
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


# Problems in the ledger


def two_problems(budget):
    """Reserve the time of two problems."""
    problems = {name: Problem(f"key of {name}", reserved_us=100.0) for name in ("a", "b")}
    budget.reserve(200.0, "two calls", problems)


def entries(ledger):
    return json.loads(ledger.read_text()).get("problems")


@pytest.mark.parametrize("has_ledger", [False, True])
def test_the_cost_of_a_problem_counts_once(tmp_path, has_ledger):
    budget = Budget(1000.0, tmp_path / "spent.json" if has_ledger else None)
    two_problems(budget)
    assert (budget.spent_us, budget.reserved_us) == (0.0, 200.0)
    for cost in (100.0, 100.0, 80.0, 80.0):  # the estimate, and later the bill
        budget.set_cost("a", cost)
        assert (budget.spent_us, budget.reserved_us) == (cost, 100.0)
    budget.forget(["a"])
    budget.set_cost("a", 80.0)
    budget.set_cost("b", 70.0)
    assert (budget.spent_us, budget.reserved_us, budget.left_us) == (150.0, 0.0, 850.0)


def test_a_later_process_replaces_what_a_killed_one_has_reserved(tmp_path):
    ledger = tmp_path / "spent.json"
    first = Budget(250.0, ledger)
    two_problems(first)
    first.set_ids({"a": "id of a", "unknown": "id"})
    later = Budget(250.0, ledger)
    assert (later.spent_us, later.reserved_us, later.left_us) == (200.0, 0.0, 50.0)
    assert later.problems == {
        "a": Problem("key of a", "id of a", 100.0), "b": Problem("key of b", None, 100.0),
    }  # fmt: skip
    later.set_cost("a", 80.0)
    assert (later.spent_us, later.left_us) == (180.0, 70.0)
    # The first process was slow, not killed: the same answer costs nothing more.
    first.set_cost("a", 80.0)
    assert (first.spent_us, first.reserved_us) == (80.0, 100.0)
    first.set_cost("b", 60.0)
    assert (first.spent_us, first.reserved_us) == (140.0, 0.0)
    assert Budget(250.0, ledger).spent_us == 140.0
    assert entries(ledger)["a"] == {
        "key": "key of a", "problem_id": "id of a", "reserved_us": 0.0, "spent_us": 80.0,
    }  # fmt: skip
    later.forget(["a", "b"])
    assert entries(ledger) is None
    first.set_cost("b", 60.0)  # whoever forgot a problem had set its cost
    assert Budget(250.0, ledger).spent_us == 140.0


def test_a_ledger_that_was_deleted_is_made_again(tmp_path):
    ledger = tmp_path / "spent.json"
    budget = Budget(1000.0, ledger)
    two_problems(budget)
    ledger.unlink()
    budget.set_cost("a", 80.0)
    assert (budget.spent_us, budget.reserved_us) == (80.0, 100.0)
    assert set(entries(ledger)) == {"a", "b"}


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"reserved_us": float("inf")}, "must be finite and >= 0"),
        ({"spent_us": float("nan")}, "must be finite and >= 0"),
        ({"spent_us": -1.0}, "must be finite and >= 0"),
        ({"spent_us": "many"}, "is no ledger"),
        ({"spent_us": 10**400}, "is no ledger"),
        ({"key": 3}, "is no ledger"),
        ({"problem_id": 3}, "is no ledger"),
        (None, "is no ledger"),
    ],
)
def test_a_damaged_entry_is_refused(tmp_path, entry, message):
    ledger = tmp_path / "spent.json"
    budget = Budget(1000.0, ledger)
    two_problems(budget)
    content = json.loads(ledger.read_text())
    content["problems"]["a"] = entry if entry is None else {**content["problems"]["a"], **entry}
    ledger.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=message):
        Budget(1000.0, ledger)
    with pytest.warns(UserWarning, match="not up to date"):
        budget.set_cost("a", 80.0)
    assert (budget.spent_us, budget.reserved_us) == (80.0, 100.0)


def test_an_infinite_time_in_a_ledger_is_refused(tmp_path):
    for text in (
        '{"spent_us": Infinity, "reserved_us": 0}',
        '{"spent_us": 0, "reserved_us": 1e999}',
    ):
        (tmp_path / "spent.json").write_text(text)
        with pytest.raises(ValueError, match="must be finite and >= 0"):
            Budget(1000.0, tmp_path / "spent.json")


def test_sums_of_estimates_leave_no_rest(tmp_path):
    """0.1 + 0.2 - 0.3 is not 0."""
    budget = Budget(None, tmp_path / "spent.json")
    problems = {str(i): Problem("key", reserved_us=0.1 * (i + 1)) for i in range(7)}
    budget.reserve(sum(each.reserved_us for each in problems.values()), "calls", problems)
    for name in reversed(problems):
        budget.set_cost(name, 0.0)
    assert (budget.spent_us, budget.reserved_us) == (0.0, 0.0)


def test_threads_write_one_file(tmp_path):
    """Their temporary files have names of their own."""
    path, errors, ready = tmp_path / "file", [], threading.Barrier(8)

    def write(number):
        ready.wait(timeout=60)
        try:
            for _ in range(10):
                write_atomically(path, bytes([number]) * 1000)
        except OSError as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(set(path.read_bytes())) == 1
    assert [each.name for each in tmp_path.iterdir()] == ["file"]
