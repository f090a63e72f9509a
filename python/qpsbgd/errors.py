"""The package's own exceptions, under one base class."""


class QPSBGDError(Exception):
    """Base class of the exceptions that only this package raises.

    Wrong arguments raise Python's own ``TypeError`` and ``ValueError``.
    """


class UnsupportedInputsError(QPSBGDError, ValueError):
    """The sign objective's inputs have more than one magnitude besides 0, so no QUBO states it."""


class InvalidSampleSetError(QPSBGDError, RuntimeError):
    """A sampler returned a sample set that does not answer the problem."""


class UnembeddableError(QPSBGDError, ValueError):
    """A problem has no embedding in a graph, or the search found none."""


class CallError(QPSBGDError):
    """A call to an annealer has no answer after all retries; the cause is the last error.

    It is no ``RuntimeError``, so ``QPSBGD.step`` lets it pass unchanged.

    Args:
        message: text of the error.
        problem_id: identifier of the problem at the machine, if an answer may still be retrieved.

    Attributes:
        problem_id: the argument.
    """

    def __init__(self, message: str = "", problem_id: str | None = None) -> None:
        super().__init__(message)
        self.problem_id = problem_id


class BudgetExceededError(QPSBGDError):
    """A call was not sent because its estimate exceeds what is left of the budget."""


class MissingDataError(QPSBGDError, FileNotFoundError):
    """A data set is in no folder and cannot be downloaded."""
