"""Ctrl-C during a call of the compiled core."""

import contextlib
import signal
import sys
import threading
import time

#: Seconds between looks at the calling thread, and looks that must find it at one place.
INTERVAL, NUM_LOOKS = 0.02, 10


@contextlib.contextmanager
def ctrl_c_in_the_core():
    """Send SIGINT once while the body waits for the core.

    A timer alone would send it too early on a busy machine. This thread looks at the calling one,
    which it can do only where that has released the GIL; who is at one instruction at ten looks is
    in the core.
    """
    caller, is_over = threading.get_ident(), threading.Event()

    def send():
        last, looks = None, 0
        while looks < NUM_LOOKS and not is_over.is_set():
            time.sleep(INTERVAL)
            frame = sys._current_frames().get(caller)
            place = frame and (frame.f_code, frame.f_lasti)
            looks = looks + 1 if place == last else 0
            last = place
        if not is_over.is_set():
            signal.raise_signal(signal.SIGINT)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()
