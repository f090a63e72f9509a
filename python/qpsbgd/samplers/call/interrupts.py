"""Ctrl-C during a sampler call: it stops the core at once and is deferred in Python code."""

import _thread
import contextlib
import signal
import threading
import time
from collections.abc import Callable
from functools import partial
from types import CodeType, FrameType, TracebackType
from typing import Any, Generic, TypeVar

Value = TypeVar("Value")

#: Seconds for which a call may go on with what follows the sampling after Ctrl-C.
GRACE = 1.0
#: Seconds after which a signal that came while the core read its arguments is sent again.
AGAIN = 0.02


class DeferredInterrupts(Generic[Value]):
    """Context in which Ctrl-C reaches its handler in the core, or at the end of the context.

    Python code between two calls of the core is not interrupted, so that no sample is lost. The
    context does nothing in a thread other than the main thread, or where SIGINT has no Python
    handler.

    Args:
        value: what ``with`` assigns.
        watch: the function that the core calls in its work, which may be interrupted, too.

    Attributes:
        attach: called with an exception that ends the context late, or None.
    """

    attach: Callable[[BaseException], object] | None = None
    _previous: Callable[..., Any] | None = None
    _timer: threading.Timer | None = None

    def __init__(self, value: Value, watch: CodeType | None = None) -> None:
        self._value, self._watch = value, watch
        self._signal: int | None = None  # number of the deferred signal
        self._error: BaseException | None = None  # what the handler of a deferred signal raised
        self._is_closed = False
        self._since = 0.0
        self._is_open = [False]  # whether the core works, which may be interrupted

    def __enter__(self) -> Value:
        previous = signal.getsignal(signal.SIGINT)
        if threading.current_thread() is threading.main_thread() and callable(previous):
            self._previous = previous
            with contextlib.suppress(ValueError):  # embedded: not the thread that gets signals
                signal.signal(signal.SIGINT, self._handle)
        return self._value

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if self._timer is not None:
                self._timer.cancel()
                self._timer.join()
            if self._previous is not None:
                if signal.getsignal(signal.SIGINT) == self._handle:
                    signal.signal(signal.SIGINT, self._previous)
                self._is_closed = True
                deferred = self.error()
                if deferred is not None:
                    raise deferred
        except BaseException as late:
            if self.attach is not None:
                self.attach(late)
            raise

    def in_core(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Return what a compiled function returns; Ctrl-C during its work is handled in it.

        Python handles signals between instructions of its bytecode and where the core asks for
        them. Inside ``extend`` there is no bytecode: no signal is handled after the function has
        returned and before its result is in the list. The exceptions are the caller's function and
        pybind11's conversion of enumerations, which :meth:`_handle` tells apart.
        """
        work = partial(function, *args, **kwargs)
        if self._previous is None:
            return work()
        steps: list[partial[Any]] = [partial(self._is_open.__setitem__, 0, True)]
        if self._signal is not None or self._error is not None:
            self._forget_signal()
            self._error = None
            steps.append(partial(_thread.interrupt_main))  # for the core to find
        steps += [work, partial(self._is_open.__setitem__, 0, False)]
        results: list[Any] = []
        try:
            results.extend(map(partial.__call__, steps))
        finally:
            self._is_open[0] = False
        return results[-2]

    def error(self) -> BaseException | None:
        """Pass a deferred signal to its handler; return the exception that this raises, or None."""
        self.is_ended()
        error, self._error = self._error, None
        return error

    def is_ended(self) -> bool:
        """Pass a deferred signal to its handler; return whether this raises, as :meth:`error` will.

        A handler that does not raise, such as one that sets a flag, does not end the call.
        """
        if self._error is None and self._signal is not None:
            number = self._signal
            self._forget_signal()
            try:
                self._handler()(number, None)
            except BaseException as error:
                self._error = error
        return self._error is not None

    def is_late(self) -> bool:
        """Return whether the call was to end so long ago that what remains is left out."""
        has_signal = self._signal is not None or self._error is not None
        return has_signal and time.monotonic() - self._since >= GRACE and self.is_ended()

    def _forget_signal(self) -> None:
        self._signal = None
        if self._timer is not None:  # it would send the signal again
            self._timer.cancel()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._is_closed:  # installed again by somebody who had saved it
            self._handler()(number, frame)
            return
        if self._is_open[0] and self._is_work(frame):
            self._is_open[0], self._signal = False, None
            self._handler()(number, frame)  # what it raises ends the core's work
            self._is_open[0] = True
            return
        if self._signal is None:
            self._signal, self._since = number, time.monotonic()
            if self._is_open[0]:
                self._timer = threading.Timer(AGAIN, _thread.interrupt_main)
                self._timer.start()

    def _is_work(self, frame: FrameType | None) -> bool:
        """Return whether the core works, or calls the caller's function, in a frame."""
        own = DeferredInterrupts.in_core.__code__
        is_first = True
        while frame is not None and frame.f_code is not own:
            if frame.f_code is self._watch:
                return True
            frame, is_first = frame.f_back, False
        return is_first

    def _handler(self) -> Callable[..., Any]:
        """Return the caller's handler, past the handlers of enclosing sampler calls."""
        handler = self._previous
        while isinstance(owner := getattr(handler, "__self__", None), DeferredInterrupts):
            handler = owner._previous
        assert handler is not None
        return handler
