"""How many threads a call uses, and that every long call lets signals in."""

import os
import signal
import subprocess
import sys

import dimod
import numpy as np
import pytest

import qpsbgd
from problems import layer
from qpsbgd import _core


@pytest.fixture
def by_work(monkeypatch):
    """Calls decide by their work, as outside of the tests, and may have two threads."""
    monkeypatch.delenv("QPSBGD_NS_PER_THREAD")
    monkeypatch.setenv("OMP_NUM_THREADS", "2")


def spins(n, seed=0):
    rng = np.random.default_rng(seed)
    return dimod.BinaryQuadraticModel(
        rng.normal(size=n), np.triu(rng.normal(size=(n, n)), 1), 0.0, "SPIN"
    )


def ring(n):
    return dimod.BinaryQuadraticModel.from_ising({}, {(i, (i + 1) % n): 1.0 for i in range(n)})


def project(samples, inputs, neurons, **options):
    X, T = layer(np.random.default_rng(0), samples, inputs, neurons)
    return lambda: qpsbgd.project(X, T, seed=0, **options)


def batch(problems, n, method):
    rng = np.random.default_rng(0)
    J = np.triu(rng.normal(size=(problems, n, n)), 1)
    J, h = J + J.swapaxes(1, 2), rng.normal(size=(problems, n))
    return lambda: qpsbgd.sample_batch(h, J, method=method, seed=0)


SMALL = {
    "project": project(50, 64, 32),
    "project, sign": project(50, 64, 32, objective="sign"),
    "a layer of a small network": project(128, 128, 128),
    "anneal": lambda: qpsbgd.SimulatedAnnealingSampler().sample(spins(20), num_sweeps=10, seed=0),
    "anneal, sparse": lambda: qpsbgd.SimulatedAnnealingSampler().sample(
        ring(50), num_sweeps=10, seed=0
    ),
    "descent": lambda: qpsbgd.SteepestDescentSampler().sample(spins(20), num_reads=10, seed=0),
    "tabu": lambda: qpsbgd.TabuSampler().sample(spins(20), num_restarts=3, timeout=None, seed=0),
    "exhaustive": lambda: qpsbgd.ExhaustiveSampler().sample(spins(12)),
    "batch, sa": lambda: qpsbgd.sample_batch(np.ones((4, 8)), np.zeros((8, 8)), num_sweeps=10),
    "batch, descent": batch(4, 10, "descent"),
    "batch, tabu": batch(4, 10, "tabu"),
}
LARGE = {
    "project": project(128, 512, 512),
    "project, sign": project(128, 256, 256, objective="sign", beta_range=(1.0, 10.0)),
    "anneal": lambda: qpsbgd.SimulatedAnnealingSampler().sample(
        spins(100), num_reads=32, num_sweeps=500, seed=0
    ),
    "anneal, sparse": lambda: qpsbgd.SimulatedAnnealingSampler().sample(
        ring(500), num_reads=512, num_sweeps=100, seed=0
    ),
    "descent": lambda: qpsbgd.SteepestDescentSampler().sample(spins(200), num_reads=300, seed=0),
    "tabu": lambda: qpsbgd.TabuSampler().sample(
        spins(100), num_reads=20, num_restarts=20, timeout=None, seed=0
    ),
    "exhaustive": lambda: qpsbgd.ExhaustiveSampler().sample(spins(26)),
    "batch, sa": batch(64, 50, "sa"),
    "batch, descent": batch(200, 100, "descent"),
    "batch, tabu": batch(64, 50, "tabu"),
}


@pytest.mark.parametrize("name", SMALL)
def test_a_small_call_opens_no_parallel_loop(by_work, name):
    before = _core.num_parallel_loops()
    SMALL[name]()
    assert _core.num_parallel_loops() == before


@pytest.mark.skipif(_core.threads_backend() == "serial", reason="built without threads")
@pytest.mark.parametrize("name", LARGE)
def test_a_large_call_opens_parallel_loops(by_work, name):
    before = _core.num_parallel_loops()
    LARGE[name]()
    assert _core.num_parallel_loops() > before


def test_a_training_step_of_small_layers_opens_no_parallel_loop(by_work):
    torch = pytest.importorskip("torch")
    from qpsbgd.optim import QPSBGD
    from qpsbgd.training.networks import BinaryMLP

    net = BinaryMLP((64, 128, 128, 10))
    optimizer = QPSBGD(net)
    x, y = torch.randn(128, 64), torch.randint(10, (128,))
    before = _core.num_parallel_loops()
    torch.nn.functional.cross_entropy(net(x), y).backward()
    optimizer.step()
    assert _core.num_parallel_loops() == before


@pytest.mark.skipif(_core.threads_backend() == "serial", reason="built without threads")
def test_the_least_work_of_a_thread_can_be_set(by_work, monkeypatch):
    before = _core.num_parallel_loops()
    monkeypatch.setenv("QPSBGD_NS_PER_THREAD", "0")
    SMALL["project"]()
    assert _core.num_parallel_loops() > before


@pytest.mark.skipif(_core.threads_backend() == "serial", reason="built without threads")
def test_default_number_of_threads(monkeypatch):
    for text, threads in (("3", 3), ("5,2", 5), (" 4 ", 4)):
        monkeypatch.setenv("OMP_NUM_THREADS", text)
        assert _core.default_num_threads() == threads
    for text in ("", "0", "-1", "many", "2x"):
        monkeypatch.setenv("OMP_NUM_THREADS", text)
        assert _core.default_num_threads() == len(os.sched_getaffinity(0))
    monkeypatch.delenv("OMP_NUM_THREADS")
    usable = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(usable)})
    try:
        assert _core.default_num_threads() == 1
    finally:
        os.sched_setaffinity(0, usable)


@pytest.mark.parametrize("modules", ["torch, qpsbgd", "qpsbgd, torch"])
def test_beside_the_threads_of_torch(modules):
    pytest.importorskip("torch")
    code = f"""
import {modules}
import numpy as np
X, T = np.ones((50, 60), np.float32), np.ones((50, 100), np.float32)
for _ in range(3):
    qpsbgd.project(X, T, num_threads=2)
    (torch.ones(300, 300) @ torch.ones(300, 300)).sum()
"""
    environment = {**os.environ, "QPSBGD_NS_PER_THREAD": "0"}
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300, env=environment)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="threads are counted in /proc")
def test_idle_threads_of_torch_do_not_spin_while_ours_work():
    pytest.importorskip("torch")
    code = """
import ctypes, os, time
import numpy as np, torch, qpsbgd
if not hasattr(ctypes.CDLL(None), "omp_pause_resource_all"):
    raise SystemExit("no OpenMP library in the global scope")

def threads():
    return set(os.listdir("/proc/self/task"))

torch.set_num_threads(4)
a, X = torch.ones(512, 512), np.ones((64, 64), np.float32)
qpsbgd.project(X, X, num_threads=2)  # starts a thread of the pool, which is not counted below
before = threads()
expected = a @ a
of_torch = threads() - before
qpsbgd.project(X, X, num_threads=1)
print(len(of_torch), len(of_torch & threads()))  # no other thread is needed, and none is disturbed
qpsbgd.project(X, X, num_threads=2)
waits = 0
while of_torch & threads() and waits < 3000:  # the library does not wait until they ended
    time.sleep(0.01)
    waits += 1
print(len(of_torch & threads()))
assert torch.equal(a @ a, expected)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    if "no OpenMP library" in done.stderr:
        pytest.skip(done.stderr.strip())
    assert (done.returncode, done.stdout) == (0, "3 3\n0\n"), done.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.parametrize("place", ["before", "after"])
def test_a_forked_process_does_not_wait_for_the_threads_of_its_parent(place):
    """GNU's OpenMP library would wait for ever for threads that did not survive the fork."""
    pytest.importorskip("torch")
    code = f"""
import os, warnings
import numpy as np, torch
place = {place!r}
if place == "before":
    import qpsbgd
torch.set_num_threads(4)
torch.ones(512, 512) @ torch.ones(512, 512)
warnings.simplefilter("ignore", DeprecationWarning)  # the fork of a process with threads
child = os.fork()
if child == 0:
    import qpsbgd
    X = np.ones((64, 64), np.float32)
    qpsbgd.project(X, X, num_threads=2)
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_the_process_ends_while_the_pool_sleeps():
    code = """
import numpy as np, qpsbgd
X, T = np.ones((50, 60), np.float32), np.ones((50, 100), np.float32)
before = qpsbgd._core.num_parallel_loops()
qpsbgd.project(X, T, num_threads=8)
assert qpsbgd._core.num_parallel_loops() > before or qpsbgd._core.threads_backend() == "serial"
"""
    environment = {**os.environ, "QPSBGD_NS_PER_THREAD": "0"}
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300, env=environment)


def large_layer(samples, inputs, neurons):
    rng = np.random.default_rng(0)
    X, T = rng.normal(size=(samples, inputs)), rng.normal(size=(samples, neurons))
    return X.astype(np.float32), T.astype(np.float32)


def signs(samples, inputs, neurons):
    X, T = large_layer(samples, inputs, neurons)
    return np.sign(X), T


# Each takes many times the 20 ms in which signals are asked for.
LONG = {
    "project": lambda: qpsbgd.project(
        *large_layer(1000, 1000, 1000), seed=0, num_reads=2, num_threads=1
    ),
    "project, sign": lambda: qpsbgd.project(
        *large_layer(600, 600, 600), seed=0, num_sweeps=50, objective="sign",
        beta_range=(1.0, 10.0), num_threads=1,
    ),
    "projection_energy": lambda: qpsbgd.projection_energy(
        *large_layer(1500, 1500, 1500), np.ones((1500, 1500), np.int8), num_threads=1
    ),
    "gradient_ising": lambda: qpsbgd.gradient_ising(*large_layer(3000, 2500, 2000), num_threads=1),
    "gradient_bqms": lambda: qpsbgd.gradient_bqms(*large_layer(1000, 1000, 1000), num_threads=1),
    "gradient_bqms, sign": lambda: qpsbgd.gradient_bqms(
        *signs(500, 2000, 8), objective="sign", num_threads=1
    ),
    "exhaustive": lambda: qpsbgd.ExhaustiveSampler().sample(
        spins(20), num_states=2**19, num_threads=1
    ),
}  # fmt: skip


@pytest.fixture
def on_signal(monkeypatch):
    """Runs a call with a signal every few milliseconds: on_signal(handle, call).

    ``handle`` gets the number of signals that were handled in one call of the core. A core that
    does not ask for signals handles one, at its end, however many there were.
    """
    counts = [None]

    def inside(original):
        def run(*args, **options):
            counts[0] = 0
            try:
                return original(*args, **options)
            finally:
                counts[0] = None

        return run

    functions = (
        "project",
        "projection_energy",
        "gradient_ising",
        "gradient_ising_pairs",
        "sign_qubo",
    )
    for owner, name in [*((_core, name) for name in functions), (_core.Ising, "enumerate")]:
        monkeypatch.setattr(owner, name, inside(getattr(owner, name)))

    def run(handle, call):
        def count(*_):
            if counts[0] is not None:
                counts[0] += 1
                handle(counts[0])

        previous = signal.signal(signal.SIGALRM, count)
        signal.setitimer(signal.ITIMER_REAL, 0.005, 0.005)
        try:
            call()
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, previous)

    return run


@pytest.mark.parametrize("name", LONG)
def test_signals_are_handled_while_a_call_runs(on_signal, name):
    handled = []
    on_signal(handled.append, LONG[name])
    assert max(handled, default=0) >= 4


class Stopped(Exception):
    pass


@pytest.mark.parametrize("name", LONG)
def test_an_exception_of_a_signal_ends_a_call(on_signal, name):
    def handle(count):
        if count == 2:
            raise Stopped

    with pytest.raises(Stopped):
        on_signal(handle, LONG[name])


def test_an_interrupted_enumeration_returns_the_lowest_states_in_order():
    bqm, calls = spins(18), []

    def interrupt():
        calls.append(1)
        return True

    found = qpsbgd.ExhaustiveSampler().sample(
        bqm, num_states=2**18, interrupt_function=interrupt, num_threads=1
    )
    assert calls
    assert found.info["stopped_by"] == "interrupt"
    assert 0 < len(found) <= 1024
    assert (np.diff(found.record.energy) >= 0).all()


def test_an_enumeration_of_many_states_is_sorted():
    rng = np.random.default_rng(0)
    J = np.triu(rng.integers(-3, 4, size=(16, 16)), 1).astype(float)
    bqm = dimod.BinaryQuadraticModel(np.zeros(16), J, 0.0, "SPIN")
    found = qpsbgd.ExhaustiveSampler().sample(bqm, num_states=2**16, num_threads=3)
    states = found.record.sample[:, [found.variables.index(v) for v in range(16)]]
    codes = (states > 0) @ (1 << np.arange(16)[::-1])
    order = np.lexsort((codes, found.record.energy))
    np.testing.assert_array_equal(order, np.arange(2**16))
    np.testing.assert_array_equal(np.sort(codes), np.arange(2**16))
