"""Lock of objects that can be pickled."""

import threading
from types import TracebackType


class Lock:
    """Lock that survives copying and pickling of its owner as a new lock.

    Example:
        >>> import pickle
        >>> with Lock() as lock:
        ...     with pickle.loads(pickle.dumps(lock)):
        ...         print("the copy is free")
        the copy is free
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def __enter__(self) -> "Lock":
        """Wait until nobody else has the lock, and take it."""
        self._lock.acquire()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Free the lock."""
        self._lock.release()

    def __reduce__(self) -> tuple[type["Lock"], tuple[()]]:
        """Return the call that makes a new lock."""
        return Lock, ()
