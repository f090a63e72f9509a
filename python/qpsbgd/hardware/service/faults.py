"""Reaction to an error of a call, which follows from what is known of the problem.

* The machine failed to solve the problem, or somebody cancelled it: there will be no answer.
* The problem has an identifier otherwise: its answer is retrieved, without a new charge.
* The problem was certainly not accepted, and may be accepted later (the machine is offline or
  unreachable): it is sent again and has cost nothing.
* The problem was certainly not accepted and never will be (authentication, structure, limits): the
  error is final and has cost nothing.
* Nobody knows whether the problem was accepted (the connection was lost, or the service failed): it
  counts as its estimate, and is searched by its label. If the service does not have it, it is sent
  again. If the service cannot search, it is sent again after errors that usually pass.
* The service has too many requests: the problem is searched and sent again. It has cost nothing if
  the service says that it does not have it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any

import dimod
import requests.exceptions
import urllib3.exceptions
from dwave.cloud.exceptions import (
    CanceledFutureError,
    InvalidAPIResponseError,
    InvalidProblemError,
    PollingTimeout,
    ProblemUploadError,
    RequestTimeout,
    SAPIError,
    SolverAuthenticationError,
    SolverError,
    SolverOfflineError,
    UseAfterCloseError,
)
from dwave.system.exceptions import FailoverCondition, RetryCondition

from qpsbgd.hardware.service.queries import CANCELLED, FAILED, TOO_MANY_REQUESTS

#: The connection was lost: nobody knows whether the problem was accepted.
LOST = (
    RequestTimeout,
    PollingTimeout,
    requests.exceptions.ConnectionError,
    requests.exceptions.ChunkedEncodingError,
    requests.exceptions.Timeout,
    TimeoutError,
    ConnectionError,
)
#: The machine did not solve the problem and may solve it later, whether or not it has an
#: identifier.
REFUSED = (ProblemUploadError, SolverOfflineError)
#: Without an identifier, these errors mean that the problem was not accepted.
NOT_ACCEPTED = (
    SolverError,
    InvalidProblemError,
    dimod.exceptions.BinaryQuadraticModelStructureError,
    ValueError,
    TypeError,
)
#: An error that one of these caused means that nothing was sent.
NEVER_CONNECTED = (urllib3.exceptions.ConnectTimeoutError, requests.exceptions.ConnectTimeout)

NOT_FOUND, BAD_GATEWAY, UNAVAILABLE = 404, 502, 503


class Step(Enum):
    """Next step of a submission after an error."""

    RETRIEVE = "retrieve the answer"
    SEND = "send the problem again"
    SEND_IF_ABSENT = "send the problem again if the service says that it does not have it"
    GIVE_UP = "give up"


@dataclass(frozen=True)
class Reaction:
    """Reaction to an error.

    Attributes:
        step: the next step.
        is_charged: whether the estimate counts as spent if no answer is retrieved.
        has_answer: whether the machine may have, or get, an answer to the problem.
        is_charged_if_absent: whether the estimate counts as spent although the service says that it
            does not have the problem: it may have had it for a moment.
    """

    step: Step
    is_charged: bool
    has_answer: bool
    is_charged_if_absent: bool = True


def reaction(error: Exception, *, has_id: bool, can_retrieve: bool, status: str | None) -> Reaction:
    """Return the reaction to an error.

    Args:
        error: error of the call, without the failover that a sampler wraps it in.
        has_id: whether the problem's identifier is known.
        can_retrieve: whether an answer can be retrieved by an identifier.
        status: status of the problem that the machine reported; None if it is unknown.
    """
    if isinstance(error, REFUSED):
        return Reaction(Step.SEND, is_charged=False, has_answer=False)
    # The machine may have worked on a problem that failed or was cancelled.
    if isinstance(error, CanceledFutureError) or status in (FAILED, CANCELLED):
        return Reaction(Step.GIVE_UP, is_charged=True, has_answer=False)
    code = http_status(error)
    if has_id and can_retrieve:
        is_gone = code == NOT_FOUND
        is_final = is_gone or isinstance(error, (SolverAuthenticationError, UseAfterCloseError))
        return Reaction(Step.GIVE_UP if is_final else Step.RETRIEVE, True, has_answer=not is_gone)
    if isinstance(error, LOST) and not any(isinstance(e, NEVER_CONNECTED) for e in causes(error)):
        return Reaction(Step.SEND, is_charged=True, has_answer=True)
    if has_id:
        return Reaction(Step.GIVE_UP, is_charged=True, has_answer=False)
    if isinstance(error, LOST):
        return Reaction(Step.SEND, is_charged=False, has_answer=False)
    if code == TOO_MANY_REQUESTS:
        return Reaction(Step.SEND, is_charged=True, has_answer=True, is_charged_if_absent=False)
    if code in (BAD_GATEWAY, UNAVAILABLE):
        return Reaction(Step.SEND, is_charged=True, has_answer=True)
    if isinstance(error, InvalidAPIResponseError) or (code is not None and code >= 500):
        return Reaction(Step.SEND_IF_ABSENT, is_charged=True, has_answer=True)
    is_refused = isinstance(error, NOT_ACCEPTED)
    return Reaction(Step.GIVE_UP, is_charged=not is_refused, has_answer=not is_refused)


def http_status(error: Exception) -> int | None:
    """Return the HTTP status of a response that D-Wave's client raised as an error."""
    status = error.error_code if isinstance(error, SAPIError) else None
    return status if isinstance(status, int) else None


def without_failover(error: Exception) -> Exception:
    """Return the error that a DWaveSampler with failover wraps, or the error itself."""
    if isinstance(error, (FailoverCondition, RetryCondition)):
        cause = error.__cause__
        return cause if isinstance(cause, Exception) else error
    return error


def causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error, its causes and contexts, and the errors that urllib3 and requests enclose."""
    pending: list[Any] = [error]
    seen: set[int] = set()
    while pending:
        each = pending.pop()
        if isinstance(each, BaseException) and id(each) not in seen:
            seen.add(id(each))
            yield each
            pending += [each.__cause__, each.__context__, getattr(each, "reason", None), *each.args]
