"""Problems at D-Wave's service: their answers, labels and states, and their cancellation."""

import logging
from collections.abc import Sequence
from time import monotonic, sleep
from typing import Any

import dimod
from dwave.cloud.api import Problems
from dwave.cloud.config.models import ClientConfig
from dwave.cloud.exceptions import PollingTimeout, RequestTimeout

#: Status of a problem that has no answer and will never have one.
FAILED, CANCELLED = "FAILED", "CANCELLED"
ENDED = ("COMPLETED", FAILED, CANCELLED)
TOO_MANY_REQUESTS = 429
#: Seconds without an answer after which the service is asked for a problem's status.
PATIENCE = 60.0
#: Seconds without an identifier after which a problem is searched.
ID_PATIENCE = 600.0
#: Longest pause in seconds between two looks at an answer that is not here.
MAX_PAUSE = 0.02

_log = logging.getLogger(__name__)


class Service:
    """Service behind a sampler; samplers without D-Wave's client have none.

    Args:
        sampler: sampler whose problems these are.

    Attributes:
        can_retrieve: whether an answer can be retrieved by the problem's identifier.
    """

    def __init__(self, sampler: dimod.Sampler) -> None:
        self._sampler = sampler
        self._client: Any = getattr(sampler, "client", None)
        self.can_retrieve = hasattr(self._client, "retrieve_answer")

    @property
    def can_find(self) -> bool:
        """Whether problems can be found by their labels."""
        return isinstance(getattr(self._client, "config", None), ClientConfig)

    def retrieve(self, problem_id: str) -> dimod.SampleSet:
        """Return the pending answer to a problem; nothing is charged again.

        Raises:
            Exception: whatever the client raises, such as UseAfterCloseError.
        """
        future = self._client.retrieve_answer(problem_id)
        future.solver = self._sampler.solver  # decodes the answer
        sampleset: dimod.SampleSet = future.sampleset
        return sampleset

    def wait(self, pending: dimod.SampleSet, problem_id: str | None) -> None:
        """Wait until the client has an answer or an error.

        D-Wave's client forgets a problem if the service responds with JSON of another form.

        Args:
            pending: the answer that is waited for.
            problem_id: identifier of the problem; None if it is unknown.

        Raises:
            PollingTimeout: the problem has ended for a while, and the client does not have it.
            RequestTimeout: the problem has had no identifier for a long time.
        """
        if not self.can_find:
            return  # the answer may be computed when it is read
        start, next_question, has_ended, pause = monotonic(), PATIENCE, False, 0.001
        while not pending.done():
            sleep(pause)
            pause = min(2.0 * pause, MAX_PAUSE)
            waited = monotonic() - start
            if problem_id is None and waited > ID_PATIENCE:
                raise RequestTimeout("the problem has no identifier")
            if problem_id is not None and waited > next_question:
                next_question += PATIENCE
                had_ended, has_ended = has_ended, self.status(problem_id) in ENDED
                if had_ended and has_ended:
                    raise PollingTimeout("the client does not load the answer")

    def find(self, label: str) -> str | None:
        """Return the identifier of the problem with a label; None where there is no such problem.

        Raises:
            NotImplementedError: the service cannot search.
            ConnectionError: the service did not say.
        """
        try:
            found = self._ask("list_problems", label=label, max_results=2)
        except Exception as error:  # the client raises errors of many types
            status = getattr(error, "error_code", None)
            if isinstance(status, int) and 400 <= status < 500 and status != TOO_MANY_REQUESTS:
                raise NotImplementedError(f"the service cannot search: {status}") from error
            raise ConnectionError(
                f"the service does not say whether it has the problem {label}: "
                f"{type(error).__name__}"
            ) from error
        return next((str(each.id) for each in found if each.label == label), None)

    def status(self, problem_id: str) -> str | None:
        """Return the status of a problem; None if the service did not say."""
        try:
            found = self._ask("get_problem_status", problem_id)
        except Exception:  # the client raises errors of many types
            return None
        return str(found.status.value) if found.id == problem_id else None

    def cancel(self, problem_ids: Sequence[str]) -> set[str]:
        """Cancel problems and return those that the service reports as cancelled.

        The service cancels problems that wait in its queue only. The others are solved and billed.
        """
        if not problem_ids or not self.can_find:
            return set()
        try:
            found = self._ask("cancel_problems", list(problem_ids))
        except Exception as error:  # the client raises errors of many types
            _log.warning(
                "%d problems are not cancelled: %s", len(problem_ids), type(error).__name__
            )
            return set()
        reported = {each.id for each in found if getattr(each, "status", None) == CANCELLED}
        return reported & set(problem_ids)

    def _ask(self, question: str, *args: Any, **kwargs: Any) -> Any:
        """Return the service's answer to a question of D-Wave's interface for problems."""
        # A stored response would hide what has happened since.
        with Problems.from_config(self._client.config, cache={"enabled": False}) as problems:
            return getattr(problems, question)(*args, **kwargs)
