"""Submission of one problem to a machine: sending, retries and bills.

The reaction to an error depends on the state of the problem:

* The problem has an identifier, and its answer did not arrive (a timeout, a lost connection, a
  broken response): the answer is retrieved by the identifier, without a new charge.
* The machine is offline or cannot be reached: the problem is sent again. The estimate of the first
  attempt counts as spent, unless the machine certainly did not solve that problem.
* Any other error (authentication, structure, limits, failure of the solver) is final.
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
from qpsbgd.hardware.client import redacted

#: The answer may still arrive: it is retrieved by its identifier, or the problem is sent again.
LOST = (
    RequestTimeout,
    PollingTimeout,
    requests.exceptions.ConnectionError,
    requests.exceptions.ChunkedEncodingError,
    requests.exceptions.Timeout,
    TimeoutError,
    ConnectionError,
)
#: The answer exists but could not be read: it is retrieved by its identifier. Without one, the
#: error is final.
UNREADABLE = (InvalidAPIResponseError, ValueError)
#: The machine did not solve the problem and may solve it later: it is sent again.
REFUSED = (ProblemUploadError, SolverOfflineError)
#: Without an identifier, these errors mean that the problem was not accepted: nothing is charged.
NOT_ACCEPTED = (
    ProblemUploadError,
    SolverError,
    InvalidProblemError,
    dimod.exceptions.BinaryQuadraticModelStructureError,
    ValueError,
    TypeError,
)
#: An error that one of these caused means that nothing was sent.
NEVER_CONNECTED = (urllib3.exceptions.ConnectTimeoutError, requests.exceptions.ConnectTimeout)


class Submission:
    """One problem that is sent to a machine, with its retries and its bill.

    Args:
        sampler: structured sampler; its ``sample`` may return a pending answer at once.
        bqm: problem on the sampler's qubits.
        parameters: parameters of ``sample``.
        budget: budget in which ``estimate_us`` is already reserved for this problem.
        estimate_us: estimated access time of one attempt, in microseconds.
        max_retries: attempts after the first one.
        retry_wait: seconds before the first retry; each further wait is twice as long.

    Attributes:
        num_attempts: attempts so far, those to retrieve the answer included.
        billed_us: access time of all attempts that was counted as spent.
        problem_id: identifier of the problem at the machine; None while it is unknown.
        has_failed: whether the problem has no usable answer.
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
        self._estimate_us = estimate_us
        self._max_retries = max_retries
        self._retry_wait = retry_wait
        self._pending: dimod.SampleSet | None = None
        self._error: Exception | None = None
        self._is_reserved = True  # whether the budget holds the estimate of the last attempt
        self._settled_us = 0.0  # of the last attempt
        self.num_attempts = 0
        self.billed_us = 0.0
        self.problem_id: str | None = None
        self.has_failed = False

    @property
    def may_have_answer(self) -> bool:
        """Whether the problem is at the machine, or its answer is here."""
        return self.num_attempts > 0 and not self.has_failed

    def send(self) -> None:
        """Pass the problem to the sampler; :meth:`answer` raises what the sampler raises."""
        self.num_attempts += 1
        self._pending = self._error = None
        try:
            self._pending = self._sampler.sample(self._bqm, **self._parameters)
        except Exception as error:  # all calls of a step are sent before an error is raised
            self._error = error

    def answer(self) -> dimod.SampleSet:
        """Wait for the answer and settle its bill; without a bill, settle the estimate.

        Raises:
            CallError: there is no answer after all retries, or an error is final.
            BudgetExceededError: another attempt exceeds the time left.
        """
        while True:
            try:
                if self._error is not None:
                    raise self._error
                sampleset = self._resolved()
            except Exception as error:
                self._retry_after(_without_failover(error))
            else:
                self._settle(self._bill(sampleset))
                self.problem_id = sampleset.info.get("problem_id", self.problem_id)
                return sampleset

    def abandon(self) -> None:
        """Count the estimate as spent, because nobody waits for the answer now.

        If :meth:`answer` is called later, the bill replaces the estimate.
        """
        if self._is_reserved:
            self._settle(self._estimate_us if self.num_attempts else 0.0)

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
        # A bill of NaN or infinity would disable the budget.
        if isinstance(bill, (int, float)) and math.isfinite(bill) and bill >= 0:
            return float(bill)
        return self._estimate_us

    def _retry_after(self, error: Exception) -> None:
        """Start another attempt after an error, or raise."""
        self.problem_id = self.problem_id or self._known_id()
        client: Any = getattr(self._sampler, "client", None)
        has_id = self.problem_id is not None and hasattr(client, "retrieve_answer")
        should_retrieve = has_id and isinstance(error, (*LOST, *UNREADABLE))
        should_send = isinstance(error, (*LOST, *REFUSED)) and not should_retrieve
        if self.num_attempts > self._max_retries or not (should_retrieve or should_send):
            self.has_failed = True
            self._settle(self._cost_after(error))
            raise CallError(
                f"no answer after {self.num_attempts} attempt{'s'[: self.num_attempts != 1]}: "
                f"{type(error).__name__}: {redacted(str(error))}"
            ) from error
        time.sleep(self._retry_wait * 2.0 ** (self.num_attempts - 1))
        if should_retrieve:
            self._retrieve(client)
            return
        self._settle(self._cost_after(error))
        self.problem_id = None
        try:
            self._budget.reserve(self._estimate_us, "another attempt at a call")
        except Exception:
            self.has_failed = True
            raise
        self._is_reserved = True
        self.send()

    def _retrieve(self, client: Any) -> None:
        self.num_attempts += 1
        self._pending = self._error = None
        try:
            future = client.retrieve_answer(self.problem_id)
            future.solver = self._sampler.solver  # the future decodes the answer with it
            self._pending = future.sampleset
        except Exception as error:
            self._error = error

    def _cost_after(self, error: Exception) -> float:
        """Return the access time that an attempt may have cost when it ended with an error."""
        is_unsolved = isinstance(error, REFUSED)  # whether or not there is an identifier
        is_refused = self.problem_id is None and isinstance(error, NOT_ACCEPTED)
        is_unsent = any(isinstance(each, NEVER_CONNECTED) for each in _causes(error))
        return 0.0 if is_unsolved or is_refused or is_unsent else self._estimate_us

    def _known_id(self) -> str | None:
        # dimod has wait_id since 0.12.18. A timeout of 0 means: never wait for an identifier.
        wait_id = getattr(self._pending, "wait_id", None)
        if wait_id is None:
            return None
        try:
            problem_id = wait_id(timeout=0)
        except Exception:
            return None
        return problem_id if isinstance(problem_id, str) else None

    def _settle(self, billed_us: float) -> None:
        """Replace the reservation, or what was settled for the last attempt, by a bill."""
        if self._is_reserved:
            self._budget.settle(self._estimate_us, billed_us)
            self.billed_us += billed_us
            self._is_reserved = False
        else:
            self._budget.settle(0.0, billed_us - self._settled_us)
            self.billed_us += billed_us - self._settled_us
        self._settled_us = billed_us


def _without_failover(error: Exception) -> Exception:
    """Return the error that a DWaveSampler with failover wraps, or the error itself."""
    if isinstance(error, (FailoverCondition, RetryCondition)):
        cause = error.__cause__
        return cause if isinstance(cause, Exception) else error
    return error


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error, its causes and contexts, and the errors that urllib3 and requests enclose."""
    pending: list[Any] = [error]
    seen: set[int] = set()
    while pending:
        each = pending.pop()
        if isinstance(each, BaseException) and id(each) not in seen:
            seen.add(id(each))
            yield each
            pending += [each.__cause__, each.__context__, getattr(each, "reason", None), *each.args]
