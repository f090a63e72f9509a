"""One problem at a machine: its attempts, its answer and its bill."""

import math
import secrets
from collections.abc import Mapping
from typing import Any

import dimod
from dwave.cloud.exceptions import SolverFailureError

from qpsbgd.errors import BudgetExceededError, CallError, InvalidSampleSetError
from qpsbgd.hardware.annealer.client import redacted
from qpsbgd.hardware.service.budget import Budget
from qpsbgd.hardware.service.faults import Reaction, Step, reaction, without_failover
from qpsbgd.hardware.service.ledger import Problem
from qpsbgd.hardware.service.queries import FAILED, Service


class Submission:
    """One problem that is sent to a machine, with its attempts and its bill.

    :func:`qpsbgd.hardware.service.delivery.deliver` makes the attempts. A submission that failed or
    was interrupted can be delivered again: it then uses an answer that exists or may still come.

    Args:
        sampler: structured sampler; its ``sample`` may return a pending answer at once.
        bqm: problem on the sampler's qubits.
        parameters: parameters of ``sample``, apart from the label.
        label: label of the problem at the machine. Each attempt adds a random suffix, by which the
            problem can be found.
        key: digest of the problem and its parameters.
        budget: budget of the access time, in which ``reservation`` is entered before the start.
        estimate_us: estimated access time of one attempt, in microseconds.
        earlier: name and entry in the budget of a problem that an earlier process sent; None for a
            new problem.

    Attributes:
        service: service of the sampler.
        key: the argument.
        budget: the argument.
        estimate_us: the argument.
        names: names of all attempts in the budget; the last one is the label at the machine.
        next: reaction to the error of the last attempt; None if it has an answer or is under way.
        error: error that ended the submission; None if it has an answer or is under way.
        sampleset: the answer; None if there is none.
        num_attempts: attempts so far, those to retrieve the answer included.
        billed_us: access time that this submission added to the time spent.
        problem_id: identifier of the problem at the machine; None while it is unknown.
        is_useless: whether an answer exists that cannot be used.
        is_old: whether an earlier process sent the problem, or this one cancelled it. If the
            machine has no answer to it, it is sent again.
    """

    def __init__(
        self,
        sampler: dimod.Sampler,
        bqm: dimod.BinaryQuadraticModel,
        parameters: Mapping[str, Any],
        *,
        label: str,
        key: str,
        budget: Budget,
        estimate_us: float,
        earlier: tuple[str, Problem] | None = None,
    ) -> None:
        self._sampler = sampler
        self.service = Service(sampler)
        self._bqm = bqm
        self._parameters = parameters
        self._label = label
        self.budget = budget
        self._pending: dimod.SampleSet | None = None
        self._last_error: Exception | None = None
        #: Whether the last attempt's cost is its estimate or its bill, and no reservation.
        self._is_settled = False
        self._settled_us = 0.0  # of the last attempt
        #: Whether the machine has the problem, or may have it.
        self._may_exist = False
        self.key = key
        self.estimate_us = estimate_us
        self.names = [self._new_name()]
        self.next: Reaction | None = None
        self.error: Exception | None = None
        self.sampleset: dimod.SampleSet | None = None
        self.num_attempts = 0
        self.billed_us = 0.0
        self.problem_id: str | None = None
        self.is_useless = False
        self.is_old = False
        if earlier is not None:
            name, problem = earlier
            self.names, self.problem_id = [name], problem.problem_id
            self._settled_us = problem.spent_us
            self.is_old = self._may_exist = self._is_settled = True

    @property
    def reservation(self) -> dict[str, Problem]:
        """Entry of the next attempt in the budget, by its name."""
        return {self.names[-1]: Problem(self.key, reserved_us=self.estimate_us)}

    @property
    def is_under_way(self) -> bool:
        """Whether the machine has the problem, or may have it, and its answer is not here."""
        is_known = self.problem_id is not None
        can_ask = self.service.can_retrieve if is_known else self.service.can_find
        return self.sampleset is None and (
            self._pending is not None or (self._may_exist and can_ask)
        )

    @property
    def may_have_answer(self) -> bool:
        """Whether the same step can use the submission again."""
        return not self.is_useless and (self.sampleset is not None or self.is_under_way)

    def start(self) -> None:
        """Send the problem, or use what an earlier attempt has left."""
        self.error = self.next = None
        if self.sampleset is not None or self._pending is not None:
            return  # the answer is here, or it is waited for again
        if self._may_exist:
            self._find_or_send()
        else:
            self._send()

    def note_id(self, timeout: float) -> None:
        """Wait until the machine has given the problem an identifier, or refused it.

        Args:
            timeout: most seconds to wait.
        """
        # dimod has wait_id since 0.12.18.
        wait_id = getattr(self._pending, "wait_id", None)
        if self.problem_id is not None or wait_id is None:
            return
        try:
            problem_id = wait_id(timeout=timeout)
        except Exception:  # a timeout, or an error of the call, which collect() handles
            return
        if isinstance(problem_id, str):
            self.problem_id = problem_id

    def collect(self) -> None:
        """Wait for the answer and settle its bill; after an error, choose the next step."""
        if self.sampleset is not None or self.error is not None:
            return
        try:
            if self._last_error is not None:
                raise self._last_error
            sampleset = self._resolved()
        except Exception as error:
            self.note_id(timeout=0.0)
            self._last_error = without_failover(error)
            self.next = self._reaction(self._last_error)
            self._may_exist = self.next.has_answer
            self._pending = None
        else:
            problem_id = sampleset.info.get("problem_id")
            if isinstance(problem_id, str):
                self.problem_id = problem_id
            self.sampleset, self._pending = sampleset, None
            self._settle(self._bill(sampleset))

    @property
    def has_next(self) -> bool:
        """Whether another attempt may bring the answer."""
        if self.next is None:
            return False
        return self.next.step in (Step.RETRIEVE, Step.SEND) or self._is_searchable

    def retry(self) -> None:
        """Make another attempt: retrieve the answer, find the problem, or send it again."""
        assert self.next is not None
        if self.next.step is Step.RETRIEVE or self._is_searchable:
            self._find_or_send()
        else:
            self._send_again()

    def give_up(self) -> None:
        """End the submission after an error; set its error, and count what it may have cost."""
        if self.next is None:
            return
        error = self._last_error
        assert error is not None
        self._settle(self._cost())
        self.error = CallError(
            f"no answer after {self.num_attempts} attempt{'s'[: self.num_attempts != 1]}: "
            f"{type(error).__name__}: {redacted(str(error))}",
            self.problem_id if self.is_under_way else None,
        )
        self.error.__cause__ = error
        self.next = None

    def abandon(self) -> None:
        """Count the bill or the estimate as spent, because nobody waits for the answer now.

        If the submission is delivered again, the bill replaces the estimate.
        """
        if self.sampleset is not None:
            self._settle(self._bill(self.sampleset))
        elif not self._is_settled:
            self._settle(self.estimate_us if self.num_attempts else 0.0)

    def cancel(self, problem_ids: set[str]) -> None:
        """Wait no longer for a problem whose cancellation was requested.

        Args:
            problem_ids: problems that the machine has cancelled. The others may be solved, and then
                their answers can be used.
        """
        self.is_old = True
        if self.problem_id in problem_ids:
            self._pending, self._may_exist = None, False

    def _send(self) -> None:
        self.num_attempts += 1
        self.next = self._last_error = None
        self._may_exist = True
        try:
            parameters = {**self._parameters, "label": self.names[-1]}
            self._pending = self._sampler.sample(self._bqm, **parameters)
        except Exception as error:  # all calls of a step are sent before an error is raised
            self._last_error = error

    def _send_again(self, *, is_absent: bool = False) -> None:
        """Send the problem under another name, if the budget allows it."""
        self._settle(self._cost(is_absent=is_absent))
        self.names.append(self._new_name())
        self.is_old = self._may_exist = False
        self.problem_id = self.next = None
        try:
            self.budget.reserve(self.estimate_us, "another attempt at a call", self.reservation)
        except (BudgetExceededError, OSError, ValueError) as error:
            self.error = error
            return
        self._is_settled, self._settled_us = False, 0.0
        self._send()

    def _find_or_send(self) -> None:
        """Retrieve the answer; without an identifier, find the problem or send it again."""
        is_absent = False
        if self.problem_id is None and self.service.can_find:
            try:
                self.problem_id = self.service.find(self.names[-1])
                is_absent = self.problem_id is None
            except NotImplementedError:
                self._may_exist = False  # nobody will know
            except ConnectionError as error:
                self.num_attempts += 1
                self._last_error = self._last_error or error
                return
        step = Step.SEND if self.next is None else self.next.step
        if self.problem_id is not None and self.service.can_retrieve:
            self._retrieve(self.problem_id)
        elif step is Step.SEND or (step is Step.SEND_IF_ABSENT and is_absent):
            self._send_again(is_absent=is_absent)
        else:
            self.give_up()

    def _retrieve(self, problem_id: str) -> None:
        self.num_attempts += 1
        self.next = self._last_error = None
        try:
            self._pending = self.service.retrieve(problem_id)
        except Exception as error:
            self._last_error = error

    @property
    def _is_searchable(self) -> bool:
        """Whether the machine may have the problem and can be asked for it."""
        return self.problem_id is None and self._may_exist and self.service.can_find

    def _reaction(self, error: Exception) -> Reaction:
        status = None
        if isinstance(error, SolverFailureError) and self.problem_id is not None:
            # The client raises this for a problem that failed, and for requests that failed.
            can_ask = self.service.can_find
            status = self.service.status(self.problem_id) if can_ask else FAILED
        found = reaction(
            error,
            has_id=self.problem_id is not None,
            can_retrieve=self.service.can_retrieve,
            status=status,
        )
        if self.is_old and found.step is Step.GIVE_UP and not found.has_answer:
            return Reaction(Step.SEND, found.is_charged, found.has_answer)
        return found

    def _resolved(self) -> dimod.SampleSet:
        sampleset = self._pending
        if not isinstance(sampleset, dimod.SampleSet):
            raise InvalidSampleSetError(
                f"the sampler returned a {type(sampleset).__name__}, but must return a "
                "dimod.SampleSet"
            )
        self.service.wait(sampleset, self.problem_id)
        sampleset.resolve()
        return sampleset

    def _bill(self, sampleset: dimod.SampleSet) -> float:
        timing = sampleset.info.get("timing")
        bill = timing.get("qpu_access_time") if isinstance(timing, Mapping) else None
        try:
            bill_us = float(bill) if isinstance(bill, (int, float)) else math.nan
        except OverflowError:
            bill_us = math.inf
        # A bill of NaN or infinity would disable the budget.
        return bill_us if math.isfinite(bill_us) and bill_us >= 0 else self.estimate_us

    def _cost(self, *, is_absent: bool = False) -> float:
        """Return the access time that the last attempt may have cost without an answer.

        Args:
            is_absent: whether the service says that it does not have the problem.
        """
        if self.next is None:
            return self.estimate_us
        is_charged = self.next.is_charged_if_absent if is_absent else self.next.is_charged
        return self.estimate_us if is_charged else 0.0

    def _settle(self, cost_us: float) -> None:
        """Set the cost of the last attempt, in place of its reservation or of an earlier cost."""
        self.budget.set_cost(self.names[-1], cost_us)
        self.billed_us += cost_us - self._settled_us
        self._is_settled, self._settled_us = True, cost_us

    def _new_name(self) -> str:
        return f"{self._label}/{secrets.token_hex(8)}"
