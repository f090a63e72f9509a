"""Sessions find, shrink and report faults, also those that end the process or never end."""

import pytest

pytest.importorskip("hypothesis")

from fuzz import faulty_targets, session
from fuzz.targets import TARGETS, parse_case, print_case


def outcome_of(name, folder):
    return session.watch(name, first_seed=0, seconds=1.0, hang=2.0, folder=folder)


def test_a_target_without_a_fault(tmp_path):
    outcome = outcome_of("holds", tmp_path)
    assert outcome.num_cases > 1  # how many fit into a second depends on the load
    assert not outcome.faults


def test_a_fault_is_shrunk_and_counted(tmp_path):
    outcome = outcome_of("fails", tmp_path)
    (fault,) = outcome.faults.values()
    assert (fault.kind, fault.message, fault.case) == ("Fault", "10 is too large", "fails(n=10)")
    assert outcome.counts[fault.signature] > 1
    name, case = parse_case(fault.case)
    assert TARGETS[name].check is faulty_targets.fails
    with pytest.raises(AssertionError, match="10 is too large"):
        TARGETS[name].check(**case)


@pytest.mark.parametrize(("name", "kind"), [("crashes", "crash, SIGSEGV"), ("hangs", "hang")])
def test_the_case_that_ends_a_worker_is_known(tmp_path, monkeypatch, name, kind):
    monkeypatch.setattr(session, "CRASHES_MAX", 1)
    (fault,) = outcome_of(name, tmp_path).faults.values()
    assert fault.kind == kind
    found, case = parse_case(fault.case)
    assert found == name
    assert case["n"] >= 10


def test_a_printed_case_is_the_case():
    case = {"a": 1, "b": (float("inf"), None, "x"), "c": {"d": [b"\0", -0.5]}}
    assert parse_case(print_case("name", case)) == ("name", case)
