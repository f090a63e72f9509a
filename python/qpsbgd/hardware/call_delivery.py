"""Delivery of the calls of a step: reservation of their time, and what failed steps leave."""

from collections.abc import Sequence

import dimod

from qpsbgd.hardware.calls import Call
from qpsbgd.hardware.layer_calls import CallOptions
from qpsbgd.hardware.service.budget import Budget
from qpsbgd.hardware.service.delivery import cancel, deliver
from qpsbgd.hardware.service.leftovers import Leftovers
from qpsbgd.hardware.service.submission import Submission


class CallDelivery:
    """Way of a projector's calls to the service and back.

    Args:
        sampler: the structured sampler.
        budget: budget of access time.
        leftovers: problems of failed steps and of earlier processes.
    """

    def __init__(self, sampler: dimod.Sampler, budget: Budget, leftovers: Leftovers) -> None:
        self._sampler = sampler
        self._budget = budget
        self._leftovers = leftovers

    def deliver(self, calls: Sequence[Call], step: int, options: CallOptions) -> None:
        """Reserve the time of all calls that are new, then wait for the answers of all."""
        submissions, new = [], []
        for call in calls:
            key = call.key
            known = self._leftovers.take_submission(key)
            earlier = None if known else self._leftovers.take_problem(key)
            submission = known or Submission(
                self._sampler,
                call.problem.bqm(),
                call.parameters,
                label=call.label,
                key=key,
                budget=self._budget,
                estimate_us=call.estimate_us,
                earlier=earlier,
            )
            call.submission = submission
            call.record["kept"] = known is not None or earlier is not None
            submissions.append(submission)
            if not call.record["kept"]:
                new.append(call)
        if new:
            self._reserve(new, f"step {step} ({len(new)} call{'s'[: len(new) != 1]})")
        max_retries = 0 if options.on_failure == "error" else options.max_retries
        deliver(submissions, max_retries=max_retries, retry_wait=options.retry_wait)

    def _reserve(self, calls: Sequence[Call], purpose: str) -> None:
        """Reserve the time of new calls; where that fails, they have no submissions."""
        submissions = _submissions(calls)
        problems = {k: v for each in submissions for k, v in each.reservation.items()}
        try:
            self._budget.reserve(sum(each.estimate_us for each in submissions), purpose, problems)
        except BaseException:
            for call in calls:
                call.submission = None
            raise

    def finish(self, calls: Sequence[Call]) -> None:
        """Remove from the budget what no later attempt needs after a step that succeeded."""
        self._budget.forget(self._leftovers.finish(_submissions(calls)))

    def store(self, calls: Sequence[Call], *, is_interrupt: bool) -> None:
        """Store the submissions of a step that failed, for the next attempt at it."""
        submissions = _submissions(calls)
        try:
            if is_interrupt:
                cancel(submissions)
            for call in calls:
                call.abandon()
        finally:  # another interrupt must not lose the answers
            kept = [each for each in submissions if each.may_have_answer]
            self._leftovers.add(kept)
        needed = {each.names[-1] for each in kept}
        self._budget.forget({n for each in submissions for n in each.names} - needed)


def _submissions(calls: Sequence[Call]) -> list[Submission]:
    return [call.submission for call in calls if call.submission is not None]
