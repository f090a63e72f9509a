"""Ctrl-C during a call of a sampler, at every line that Python runs after the sampling began."""

import contextlib
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import dimod
import numpy as np
import pytest
from short_calls import CALLS, every_sampler

import qpsbgd
from problems import random_bqm
from qpsbgd import ParallelTemperingSampler, SimulatedAnnealingSampler, SteepestDescentSampler
from qpsbgd.samplers.batch import dimod_models
from qpsbgd.samplers.call import interrupts, reads
from qpsbgd.samplers.call.interrupts import DeferredInterrupts
from qpsbgd.samplers.problem import ising

PACKAGE = str(Path(qpsbgd.__file__).parent)


class Tracer:
    """Counts the lines of the package while signals are deferred; sends SIGINT at one of them."""

    def __init__(self, send_at=None):
        self.lines, self.send_at, self.is_on = 0, send_at, False

    def __call__(self, frame, event, argument):
        if not frame.f_code.co_filename.startswith(PACKAGE):
            return None
        is_own = isinstance(frame.f_locals.get("self"), DeferredInterrupts)
        if event == "line" and self.is_on:
            self.lines += 1
            if self.lines == self.send_at:
                signal.raise_signal(signal.SIGINT)
        if event == "return" and is_own and frame.f_code.co_name in ("__enter__", "__exit__"):
            self.is_on = frame.f_code.co_name == "__enter__"
        return self

    @contextlib.contextmanager
    def on(self):
        before = sys.gettrace()
        sys.settrace(self)
        try:
            yield
        finally:
            sys.settrace(before)


@every_sampler
@pytest.mark.parametrize("num_best", [None, 3])
@pytest.mark.parametrize("step", [13, pytest.param(3, marks=pytest.mark.slow)])
def test_an_interrupt_at_any_line_has_the_samples(rng, monkeypatch, name, num_best, step):
    monkeypatch.setattr(reads, "STATES_TOGETHER", 1)
    monkeypatch.setattr(reads, "LEAST_READS", 32)
    sampler, options = CALLS[name]
    bqm = random_bqm(rng, 4, vartype="BINARY")
    options = {"num_threads": 1, "num_best": num_best, **options}
    if name != "exhaustive":
        options |= {"seed": 1, "num_reads": 40}
    handler = signal.getsignal(signal.SIGINT)
    tracer = Tracer()
    with tracer.on():
        expected = sampler.sample(bqm, **options)
    assert tracer.lines > 50
    for line in range(1, tracer.lines + 1, step):
        with pytest.raises(KeyboardInterrupt) as caught, Tracer(line).on():
            sampler.sample(bqm, **options)
        found = caught.value.sampleset
        assert signal.getsignal(signal.SIGINT) is handler
        assert found.info["stopped_by"] == "interrupt"
        # With num_best it may come between the two calls of the core.
        assert len(found) == len(expected) or (num_best and len(found))
        if len(found) == len(expected) and num_best is None:
            np.testing.assert_array_equal(found.record.sample, expected.record.sample)
        dimod.testing.assert_sampleset_energies(found, bqm)


def test_arrays_have_the_result(rng):
    J, options = np.zeros((3, 3)), {"num_sweeps": 2, "seed": 1}
    sampler, tracer = SimulatedAnnealingSampler(), Tracer()
    with tracer.on():
        expected = sampler.sample_arrays(np.ones(3), J, **options)
    for line in range(1, tracer.lines + 1, 3):
        with pytest.raises(KeyboardInterrupt) as caught, Tracer(line).on():
            sampler.sample_arrays(np.ones(3), J, **options)
        np.testing.assert_array_equal(caught.value.result.states, expected.states)


def test_an_interrupt_in_the_core_ends_it_once(rng):
    """The signal comes while a function of the caller runs inside the core."""
    calls = []

    def interrupt():
        calls.append(signal.getsignal(signal.SIGINT))
        if len(calls) == 2:
            signal.raise_signal(signal.SIGINT)
        return False

    bqm = random_bqm(rng, 200)
    with pytest.raises(KeyboardInterrupt) as caught:
        SimulatedAnnealingSampler().sample(
            bqm, num_sweeps=10**6, seed=1, interrupt_function=interrupt
        )
    assert len(calls) == 2
    assert caught.value.sampleset.info["stopped_by"] == "interrupt"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_signal_before_the_core_ends_its_work(rng):
    context = DeferredInterrupts(None)
    search = ising.Problem(random_bqm(rng, 30)).core.tabu
    with context:
        signal.raise_signal(signal.SIGINT)
        assert context._signal is not None
        *_, reason, error = context.in_core(
            search, np.ones((1, 30), np.int8), shortest_tenure=5, longest_tenure=5,
            num_restarts=10**6, first_moves=None, restart_moves=None, num_elites=8,
            barren_generations=4, seconds_per_read=60.0, seed=1, num_threads=1,
            precision=qpsbgd._core.Precision.float32, time_limit=60.0,
            energy_threshold=-np.inf, watch=None,
        )  # fmt: skip
        assert reason is qpsbgd._core.StopReason.interrupt
        assert context._signal is None
    assert isinstance(error, KeyboardInterrupt)


def test_a_nested_call_ends_both(rng):
    bqm = random_bqm(rng, 300)

    def inner():
        signal.raise_signal(signal.SIGINT)
        return False

    def outer():
        SimulatedAnnealingSampler().sample(
            bqm, num_sweeps=10**6, seed=1, num_threads=1, interrupt_function=inner
        )

    with pytest.raises(KeyboardInterrupt) as caught:
        SimulatedAnnealingSampler().sample(
            bqm, num_sweeps=10**6, seed=1, num_threads=1, interrupt_function=outer
        )
    assert caught.value.sampleset.info["stopped_by"] == "interrupt"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_handler_that_does_not_raise_lets_the_call_finish(rng):
    seen = []
    before = signal.signal(signal.SIGINT, lambda number, frame: seen.append(number))
    try:
        bqm, tracer = random_bqm(rng, 4), Tracer()
        with tracer.on():
            SimulatedAnnealingSampler().sample(bqm, num_sweeps=2, seed=1)
        for line in range(1, tracer.lines + 1, 9):
            with Tracer(line).on():
                found = SimulatedAnnealingSampler().sample(bqm, num_sweeps=2, seed=1)
            assert found.info["stopped_by"] == "finished"
        assert seen == [signal.SIGINT] * len(range(1, tracer.lines + 1, 9))
    finally:
        signal.signal(signal.SIGINT, before)


def test_other_threads_leave_the_handler_alone(rng):
    handlers, bqm = [], random_bqm(rng, 4)

    def interrupt():
        handlers.append(signal.getsignal(signal.SIGINT))
        return False

    def call():
        SteepestDescentSampler().sample(bqm, interrupt_function=interrupt)

    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
    assert handlers == [signal.getsignal(signal.SIGINT)]


def send_in_energies(monkeypatch):
    """Send a signal at the second part of the energies, whose grace is over at once."""
    monkeypatch.setattr(ising, "ENERGY_RUN", 8 * 14)
    monkeypatch.setattr(interrupts, "GRACE", 0.0)
    energies, sent = ising.Problem.energies, []

    def interrupted(problem, states, num_threads, should_stop):
        def ask():
            sent.append(1)
            if len(sent) == 2:
                signal.raise_signal(signal.SIGINT)
            return should_stop()

        return energies(problem, states, num_threads, ask)

    monkeypatch.setattr(ising.Problem, "energies", interrupted)


@pytest.mark.parametrize("num_best", [None, 50])
def test_energies_that_take_long_are_left_out(rng, monkeypatch, num_best):
    send_in_energies(monkeypatch)
    bqm = random_bqm(rng, 4)  # with 4 + 6 terms a read
    with pytest.raises(KeyboardInterrupt) as caught:
        SteepestDescentSampler().sample(bqm, num_reads=100, seed=1, num_best=num_best)
    found = caught.value.sampleset
    assert 0 < found.record.num_occurrences.sum() < 40
    dimod.testing.assert_sampleset_energies(found, bqm)


@pytest.mark.parametrize("num_best", [None, 50])
def test_a_handler_that_does_not_raise_leaves_no_energies_out(rng, monkeypatch, num_best):
    send_in_energies(monkeypatch)
    seen = []
    before = signal.signal(signal.SIGINT, lambda number, frame: seen.append(number))
    try:
        bqm = random_bqm(rng, 4)
        found = SteepestDescentSampler().sample(bqm, num_reads=100, seed=1, num_best=num_best)
    finally:
        signal.signal(signal.SIGINT, before)
    assert seen == [signal.SIGINT]
    assert found.record.num_occurrences.sum() == 100
    assert found.info["stopped_by"] == "finished"


def test_a_handler_that_is_installed_again_after_the_call_works(rng):
    saved = []

    def interrupt():
        saved.append(signal.getsignal(signal.SIGINT))
        return False

    SteepestDescentSampler().sample(random_bqm(rng, 4), interrupt_function=interrupt)
    before = signal.signal(signal.SIGINT, saved[0])
    try:
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("name", ["annealing", "tempering"])
def test_a_loop_of_many_models_has_what_it_found(rng, name):
    sampler, options = CALLS[name]
    calls = []

    def interrupt():
        calls.append(1)
        if len(calls) == 2:
            signal.raise_signal(signal.SIGINT)
        return False

    bqms = [random_bqm(rng, 4) for _ in range(3)]
    with pytest.raises(KeyboardInterrupt) as caught:
        sampler.sample_many(bqms, seed=1, interrupt_function=interrupt, **options)
    first, second, third = caught.value.samplesets
    dimod.testing.assert_sampleset_energies(first, bqms[0])
    dimod.testing.assert_sampleset_energies(second, bqms[1])
    assert (first.info["stopped_by"], second.info["stopped_by"]) == ("finished", "interrupt")
    assert third is None


def test_a_batch_of_many_models_has_what_it_found(rng, monkeypatch):
    groups, solve = [], dimod_models.sample_batch

    def spied(*args, **kwargs):
        groups.append(1)
        if len(groups) == 2:
            raise KeyboardInterrupt
        return solve(*args, **kwargs)

    monkeypatch.setattr(dimod_models, "sample_batch", spied)
    bqms = [random_bqm(rng, n) for n in (4, 5, 4)]
    with pytest.raises(KeyboardInterrupt) as caught:
        SteepestDescentSampler().sample_many(bqms, seed=1)
    found = caught.value.samplesets
    assert [each is None for each in found] == [False, True, False]
    dimod.testing.assert_sampleset_energies(found[2], bqms[2])


def test_models_that_workers_finished_are_there(rng):
    def fail_at_end(self, bqm, **options):
        if len(bqm) == 5:
            raise ValueError("of the second model")
        return real(self, bqm, **options)

    real = ParallelTemperingSampler.sample
    sampler = type("Failing", (ParallelTemperingSampler,), {"sample": fail_at_end})()
    bqms = [random_bqm(rng, n) for n in (4, 5)]
    with ThreadPoolExecutor(1) as executor, pytest.raises(ValueError, match="second") as caught:
        sampler.sample_many(bqms, executor=executor, num_sweeps=2, betas=[0.5, 1.0])
    first, second = caught.value.samplesets
    dimod.testing.assert_sampleset_energies(first, bqms[0])
    assert second is None
