"""Sending a problem to a machine and getting its answer, once for each charge.

What may be tried again, and how:

* The problem has an id, and its answer did not come (a timeout, a lost connection, a broken
  response): the answer is retrieved by the id, without a new charge.
* The machine went offline, or could not be reached: the problem is sent again. Where it is not
  certain that the first attempt was not accepted, its estimate stays spent.
* Everything else (authentication, structure, limits, a failure of the solver, an answer that makes
  no sense) is final.
"""

import math
import time
from collections.abc import Iterator, Mapping
from typing import Any

import dimod
import requests.exceptions
import urllib3.exceptions
from dwave.cloud.exceptions import (
    InvalidAPIResponseError,
    InvalidProblemError,
    PollingTimeout,
    ProblemUploadError,
    RequestTimeout,
    SolverError,
    SolverOfflineError,
)
from dwave.system.exceptions import FailoverCondition, RetryCondition

from qpsbgd.errors import CallError, InvalidSampleSetError
from qpsbgd.hardware.budget import Budget
from qpsbgd.hardware.redact import redacted

#: The answer may still come; with an id it is retrieved, without one the problem is sent again.
LOST = (
    RequestTimeout,
    PollingTimeout,
    requests.exceptions.ConnectionError,
    requests.exceptions.ChunkedEncodingError,
    requests.exceptions.Timeout,
    TimeoutError,
    ConnectionError,
)
#: An answer that is there, but cannot be read: retrieved where there is an id, final else.
UNREADABLE = (InvalidAPIResponseError, ValueError)
#: The problem was not solved, and may be in a while: sent again.
REFUSED = (ProblemUploadError, SolverOfflineError)
#: Without an id these say that the problem never came to be solved: nothing is charged.
NOT_ACCEPTED = (
    ProblemUploadError,
    SolverError,
    InvalidProblemError,
    dimod.exceptions.BinaryQuadraticModelStructureError,
    ValueError,
    TypeError,
)
#: Below whatever error they are found, nothing was sent.
NEVER_CONNECTED = (urllib3.exceptions.ConnectTimeoutError, requests.exceptions.ConnectTimeout)


class Submission:
    """One problem on its way.

    Args:
        sampler: a structured sampler; its ``sample`` may return at once with a pending answer.
        bqm: on its qubits.
        parameters: of ``sample``.
        budget: in which ``estimate_us`` has been reserved for this call.
        estimate_us: of its access time.
        max_retries: after the first attempt.
        retry_wait: seconds before the first retry, doubled for each that follows.
    """

    def __init__(
        self,
        sampler: dimod.Sampler,
        bqm: dimod.BinaryQuadraticModel,
        parameters: Mapping[str, Any],
        *,
        budget: Budget,
        estimate_us: float,
        max_retries: int,
        retry_wait: float,
    ) -> None:
        self._sampler = sampler
        self._bqm = bqm
        self._parameters = parameters
        self._budget = budget
        self.estimate_us = estimate_us
        self._max_retries = max_retries
        self._retry_wait = retry_wait
        self._pending: dimod.SampleSet | None = None
        self._error: Exception | None = None
        self._open = True  # estimate_us is reserved for it
        self.num_attempts = 0
        self.billed_us = 0.0
        self._counted_us = 0.0  # of the last attempt, since it was settled
        self.problem_id: str | None = None
        self.failed = False

    @property
    def may_be_answered(self) -> bool:
        """Whether the problem is at the machine, or its answer here."""
        return self.num_attempts > 0 and not self.failed

    def send(self) -> None:
        """Hand the problem to the sampler; what that raises is told by :meth:`answer`."""
        self.num_attempts += 1
        self._pending = self._error = None
        try:
            self._pending = self._sampler.sample(self._bqm, **self._parameters)
        except Exception as error:  # told after all calls have been sent
            self._error = error

    def answer(self) -> dimod.SampleSet:
        """Wait for the answer; its bill, or the estimate where it has none, goes to the budget.

        Raises:
            CallError: see the module.
            BudgetExceededError: the retry does not fit in what is left.
        """
        while True:
            try:
                if self._error is not None:
                    raise self._error
                sampleset = self._resolved()
            except Exception as error:
                self._after(_cause(error))
            else:
                self._settle(self._bill(sampleset))
                self.problem_id = sampleset.info.get("problem_id", self.problem_id)
                return sampleset

    def abandon(self) -> None:
        """Count as spent what may have been: nobody waits for the answer now.

        Whoever does later, by :meth:`answer`, pays the difference to the bill.
        """
        if self._open:
            self._settle(self.estimate_us if self.num_attempts else 0.0)

    def _resolved(self) -> dimod.SampleSet:
        sampleset = self._pending
        if not isinstance(sampleset, dimod.SampleSet):
            raise InvalidSampleSetError(
                f"the sampler returned a {type(sampleset).__name__}, but must return a "
                "dimod.SampleSet"
            )
        sampleset.resolve()
        return sampleset

    def _bill(self, sampleset: dimod.SampleSet) -> float:
        timing = sampleset.info.get("timing")
        bill = timing.get("qpu_access_time") if isinstance(timing, Mapping) else None
        # A budget must not be turned off by a bill that is no number.
        if isinstance(bill, (int, float)) and math.isfinite(bill) and bill >= 0:
            return float(bill)
        return self.estimate_us

    def _after(self, error: Exception) -> None:
        """Make ready for another attempt, or raise."""
        self.problem_id = self.problem_id or self._known_id()
        client: Any = getattr(self._sampler, "client", None)
        retrievable = self.problem_id is not None and hasattr(client, "retrieve_answer")
        retrieve = retrievable and isinstance(error, (*LOST, *UNREADABLE))
        send = isinstance(error, (*LOST, *REFUSED)) and not retrieve
        if self.num_attempts > self._max_retries or not (retrieve or send):
            self.failed = True
            self._settle(self._spent_on(error))
            raise CallError(
                f"no answer after {self.num_attempts} attempt{'s'[: self.num_attempts != 1]}: "
                f"{type(error).__name__}: {redacted(str(error))}"
            ) from error
        time.sleep(self._retry_wait * 2.0 ** (self.num_attempts - 1))
        if retrieve:
            self._retrieve(client)
            return
        self._settle(self._spent_on(error))
        self.problem_id = None
        try:
            self._budget.reserve(self.estimate_us, "another attempt at a call")
        except Exception:
            self.failed = True
            raise
        self._open = True
        self.send()

    def _retrieve(self, client: Any) -> None:
        self.num_attempts += 1
        self._pending = self._error = None
        try:
            future = client.retrieve_answer(self.problem_id)
            future.solver = self._sampler.solver  # which decodes it
            self._pending = future.sampleset
        except Exception as error:
            self._error = error

    def _spent_on(self, error: Exception) -> float:
        """What an attempt has cost that ended so."""
        offline = isinstance(error, REFUSED)  # with an id or without one: it was not solved
        refused = self.problem_id is None and isinstance(error, NOT_ACCEPTED)
        unreached = any(isinstance(each, NEVER_CONNECTED) for each in _chain(error))
        return 0.0 if offline or refused or unreached else self.estimate_us

    def _known_id(self) -> str | None:
        # Of dimod since 0.12.18; an id of an answer that never got one is not waited for.
        wait_id = getattr(self._pending, "wait_id", None)
        if wait_id is None:
            return None
        try:
            found = wait_id(timeout=0)
        except Exception:
            return None
        return found if isinstance(found, str) else None

    def _settle(self, billed_us: float) -> None:
        """Put the bill in the place of what is reserved, or of the estimate that stood for it."""
        if self._open:
            self._budget.settle(self.estimate_us, billed_us)
            self.billed_us += billed_us
            self._open = False
        else:
            self._budget.settle(0.0, billed_us - self._counted_us)
            self.billed_us += billed_us - self._counted_us
        self._counted_us = billed_us


def _cause(error: Exception) -> Exception:
    """What a DWaveSampler with failover wraps."""
    if isinstance(error, (FailoverCondition, RetryCondition)):
        cause = error.__cause__
        return cause if isinstance(cause, Exception) else error
    return error


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error, what it was raised from or during, and what urllib3 and requests have inside."""
    todo: list[Any] = [error]
    seen: set[int] = set()
    while todo:
        each = todo.pop()
        if isinstance(each, BaseException) and id(each) not in seen:
            seen.add(id(each))
            yield each
            todo += [each.__cause__, each.__context__, getattr(each, "reason", None), *each.args]
