"""A batch on Dask's workers, one of which is killed while it works."""

import os
import signal
import threading
import time

import numpy as np
import pytest

from qpsbgd import sample_batch

distributed = pytest.importorskip("distributed")

# The cluster's own processes and sockets warn when they end.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.mark.slow
def test_a_killed_worker_changes_nothing(rng):
    J = np.triu(rng.normal(size=(60, 60)), 1)
    J, h = J + J.T, rng.normal(size=(400, 60))
    options = {"num_sweeps": 500, "seed": 1, "num_threads": 1}
    expected = sample_batch(h, J, **options)
    cluster = distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
    )
    with cluster, distributed.Client(cluster) as client:
        executor = client.get_executor()
        found = sample_batch(h, J, executor=executor, **options)
        np.testing.assert_array_equal(found.states, expected.states)
        np.testing.assert_array_equal(found.energies, expected.energies)

        options["num_sweeps"] = 50_000
        victim = next(iter(client.run(os.getpid).values()))
        killed = []

        def kill():
            os.kill(victim, signal.SIGKILL)
            killed.append(time.perf_counter())

        timer = threading.Timer(0.5, kill)
        timer.start()
        found = sample_batch(h, J, executor=executor, **options)
        finished = time.perf_counter()
        timer.join()
        assert killed[0] < finished - 0.1  # it was at work
    np.testing.assert_array_equal(found.states, sample_batch(h, J, **options).states)
