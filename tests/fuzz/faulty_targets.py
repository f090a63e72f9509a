"""Targets with a fault of each kind, for the test of sessions alone."""

import os
import signal
import time

from hypothesis import strategies as st

from fuzz.targets import need, target

numbers = st.integers(0, 1000)


@target(n=numbers)
def holds(n):
    need(n >= 0, "a number below 0")


@target(n=numbers)
def fails(n):
    need(n < 10, f"{n} is too large")


@target(n=numbers)
def crashes(n):
    if n >= 10:
        os.kill(os.getpid(), signal.SIGSEGV)


@target(n=numbers)
def hangs(n):
    if n >= 10:
        time.sleep(1000)
