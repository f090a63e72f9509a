"""Delivery of the problems of a step: all are sent, then all answers are waited for."""

from collections.abc import Sequence
from time import monotonic, sleep

from qpsbgd.hardware.service.queries import ID_PATIENCE
from qpsbgd.hardware.service.submission import Submission

#: Seconds to wait for identifiers of problems that are about to be cancelled.
CANCEL_TIMEOUT = 2.0


def deliver(submissions: Sequence[Submission], *, max_retries: int, retry_wait: float) -> None:
    """Make attempts until every submission has an answer or an error.

    After each round of attempts, one wait precedes the next attempt of all submissions that failed.
    Identifiers are entered in the budget as soon as they are known, so that a later process can
    retrieve the answers.

    Args:
        submissions: submissions of one projector, whose reservations are entered in its budget.
        max_retries: rounds after the first one.
        retry_wait: seconds before the second round; each further wait is twice as long.
    """
    for submission in submissions:
        submission.start()
    # It is no failure of this step if an earlier problem has no answer.
    for submission in [each for each in submissions if each.is_old]:
        submission.collect()
        if submission.is_old and submission.has_next and not submission.is_under_way:
            submission.retry()
    waiting = list(submissions)
    for number in range(max_retries + 1):
        if number:
            sleep(retry_wait * 2.0 ** (number - 1))
            for submission in waiting:
                submission.retry()
        enter_ids(waiting)
        for submission in waiting:
            submission.collect()
        waiting = [each for each in waiting if each.has_next]
        if not waiting:
            break
    for submission in submissions:
        submission.give_up()


def enter_ids(submissions: Sequence[Submission], timeout: float | None = None) -> None:
    """Wait for the identifiers of problems and enter those that are new in their budget.

    Args:
        submissions: submissions that were sent.
        timeout: seconds to wait for all that have neither an identifier nor an error; None for
            :data:`ID_PATIENCE`.
    """
    deadline = monotonic() + (ID_PATIENCE if timeout is None else timeout)
    for submission in submissions:
        submission.note_id(max(deadline - monotonic(), 0.0))
    known = {each.names[-1]: each.problem_id for each in submissions if each.problem_id is not None}
    if known:
        submissions[0].budget.set_ids(known)


def cancel(submissions: Sequence[Submission]) -> None:
    """Cancel the problems whose answers are not here; those that cannot be stay retrievable.

    Args:
        submissions: submissions of one projector.
    """
    under_way = [each for each in submissions if each.is_under_way]
    enter_ids(under_way, CANCEL_TIMEOUT)
    by_id = {each.problem_id: each for each in under_way if each.problem_id is not None}
    cancelled = under_way[0].service.cancel(list(by_id)) if by_id else set()
    for submission in by_id.values():
        submission.cancel(cancelled)
