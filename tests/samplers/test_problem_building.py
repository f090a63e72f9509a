"""Problems are built without the GIL, and building can be interrupted."""

import sys
import threading

import numpy as np
import pytest

from interrupts import ctrl_c_in_the_core
from qpsbgd import _core

#: Interactions that take the core some hundred milliseconds.
NUM_INTERACTIONS = 6_000_000


def arrays(form):
    n = 3500 if form is _core.Form.dense else 200_000
    rng = np.random.default_rng(0)
    rows = rng.integers(0, n, NUM_INTERACTIONS).astype(np.uint32)
    columns = ((rows + rng.integers(1, n, NUM_INTERACTIONS)) % n).astype(np.uint32)
    return rng.normal(size=n), rows, columns, rng.normal(size=NUM_INTERACTIONS)


@pytest.mark.parametrize("form", [_core.Form.dense, _core.Form.sparse])
def test_other_threads_run_while_a_problem_is_built(form):
    problem = arrays(form)
    is_over, counts = threading.Event(), []

    def count():
        while not is_over.wait(1e-3):
            counts.append(1)

    thread = threading.Thread(target=count)
    thread.start()
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-4)
    try:
        counts.clear()
        _core.Ising(*problem, form)
        ran = len(counts)
    finally:
        sys.setswitchinterval(before)
        is_over.set()
        thread.join()
    assert ran > 5


@pytest.mark.parametrize("form", [_core.Form.dense, _core.Form.sparse])
def test_control_c_ends_building(form):
    problem = arrays(form)

    def build():
        for _ in range(100):
            _core.Ising(*problem, form)

    with ctrl_c_in_the_core(), pytest.raises(KeyboardInterrupt):
        build()


def test_control_c_ends_energies():
    linear, rows, columns, values = arrays(_core.Form.sparse)
    problem = _core.Ising(linear, rows, columns, values, _core.Form.sparse)
    states = np.ones((2000, len(linear)), np.int8)
    with ctrl_c_in_the_core(), pytest.raises(KeyboardInterrupt):
        problem.energies(states, num_threads=1)
