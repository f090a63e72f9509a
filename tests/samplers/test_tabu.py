"""Tabu search: conformity, the twin, the peer's semantics, and what ends a call."""

import functools
import threading
import time
import unittest

import dimod
import dimod.testing
import numpy as np
import pytest

from interrupts import ctrl_c_in_the_core
from problems import random_bqm, random_graph
from qpsbgd import TabuSampler, _core
from qpsbgd.samplers.problem.ising import Problem
from reference import tabu as reference_tabu

#: Every kernel: dense in 16 bits, dense in float32, sparse.
KERNELS = (
    {"form": "dense", "precision": "int16"},
    {"form": "dense", "precision": "float32"},
    {"form": "sparse"},
)


def skip_unless_usable(kernel, kind):
    if kernel.get("precision") == "int16" and kind == "real":
        pytest.skip("real couplings do not fit int16")


@dimod.testing.load_sampler_bqm_tests(TabuSampler)
class TestConformity(unittest.TestCase):
    """dimod's own tests."""


def core_tabu(problem, starts, **options):
    defaults = {
        "first_moves": None, "restart_moves": None, "seconds_per_read": np.inf,
        "num_elites": 8, "barren_generations": 4,
        "precision": _core.Precision.float32,
        "num_threads": 1, "time_limit": np.inf, "energy_threshold": -np.inf, "watch": None,
    }  # fmt: skip
    return problem.core.tabu(starts, **defaults | options)


def test_api():
    sampler = TabuSampler()
    dimod.testing.assert_sampler_api(sampler)
    peer = pytest.importorskip("dwave.samplers").TabuSampler()
    assert peer.parameters.keys() <= sampler.parameters.keys()


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("n", [1, 2, 17, 140, 300])
@pytest.mark.parametrize("fields", [True, False])
def test_equals_twin_on_every_isa(rng, on_every_isa, kernel, n, fields):
    bqm = random_bqm(rng, n, 0.2 if n > 17 else 1.0)
    if not fields:
        bqm.add_linear_from({v: -bias for v, bias in bqm.linear.items()})
    problem = Problem(bqm, kernel["form"])
    starts = rng.choice(np.array([-1, 1], np.int8), size=(2, n))
    for options in (
        # Short searches: many different states, so that there are elites to relink.
        {
            "tenures": (min(2, n - 1), min(5, n - 1)),
            "num_restarts": 45,
            "first_moves": n,
            "restart_moves": n // 4,
        },
        {
            "tenures": (min(2, n - 1), min(5, n - 1)),
            "num_restarts": 60,
            "first_moves": n,
            "restart_moves": 5,
            "num_elites": 16,
            "barren_generations": 2,
        },
        {"tenures": (min(20, n // 4),) * 2, "num_restarts": 3},
        {"tenures": (n - 1, n - 1), "num_restarts": 1, "first_moves": 2 * n, "restart_moves": 0},
    ):
        precision = _core.Precision[kernel.get("precision", "float32")]
        shortest, longest = options["tenures"]
        limits = {k: v for k, v in options.items() if k != "tenures"}
        run = functools.partial(
            core_tabu, problem, starts, seed=5, precision=precision, shortest_tenure=shortest,
            longest_tenure=longest, **limits,
        )  # fmt: skip
        expected = [
            reference_tabu.tabu(
                problem.linear, problem.pairs, problem.quadratic, start, seed=5, read=read,
                **options,
            )
            for read, start in enumerate(starts)
        ]  # fmt: skip
        for states, restarts, moves, int16, timed_out, reason, error in on_every_isa(run):
            np.testing.assert_array_equal(states, [state for state, _ in expected])
            np.testing.assert_array_equal(moves, [count for _, count in expected])
            assert (restarts == options["num_restarts"]).all()
            assert int16 == (precision is _core.Precision.int16)
            assert (timed_out, reason, error) == (False, _core.StopReason.finished, None)


def near_16_bits(rng, n, h):
    """A dense problem of couplings up to 127 units, whose gains leave int16 because of one bias."""
    rows, columns = np.triu_indices(n, 1)
    biases = rng.integers(-127, 128, n).astype(float)
    biases[n // 2] = h
    values = rng.integers(-127, 128, len(rows)).astype(float)
    values[:1] = 127.0
    return dimod.BQM.from_numpy_vectors(biases, (rows, columns, values), 0.0, "SPIN")


@pytest.mark.parametrize("n", [1, 17, 129, 200])
@pytest.mark.parametrize("h", [1e6, 32_600.0, -31_000.0])
def test_int32_equals_twin_on_every_isa(rng, on_every_isa, n, h):
    """With the largest bias all searches have int32; with the others some have."""
    problem = Problem(near_16_bits(rng, n, h), "dense")
    assert problem.core.best_tabu_precision() is _core.Precision.int16
    starts = rng.choice(np.array([-1, 1], np.int8), size=(2, n))
    options = {"num_restarts": 45, "first_moves": n, "restart_moves": n // 4}
    tenures = (min(2, n - 1), min(5, n - 1))
    expected = [
        reference_tabu.tabu(
            problem.linear, problem.pairs, problem.quadratic, start, seed=5, read=read,
            tenures=tenures, **options,
        )
        for read, start in enumerate(starts)
    ]  # fmt: skip
    for threads in (1, 3) if n == 129 else (1,):
        run = functools.partial(
            core_tabu, problem, starts, seed=5, precision=_core.Precision.int16,
            shortest_tenure=tenures[0], longest_tenure=tenures[1], num_threads=threads, **options,
        )  # fmt: skip
        for states, _, moves, int16, *_ in on_every_isa(run):
            np.testing.assert_array_equal(states, [state for state, _ in expected])
            np.testing.assert_array_equal(moves, [count for _, count in expected])
            assert int16 == (n == 1) or (n == 17 and h < 1e6)


def test_some_searches_leave_16_bits_and_others_do_not(rng):
    """The test above would not notice if all of them were in int32."""
    problem = Problem(near_16_bits(rng, 300, 31_000.0), "dense")
    starts = rng.choice(np.array([-1, 1], np.int8), size=(40, 300))
    *_, all_int16, _, _, _ = core_tabu(
        problem, starts, seed=5, precision=_core.Precision.int16, shortest_tenure=5,
        longest_tenure=5, num_restarts=0, first_moves=20,
    )  # fmt: skip
    each = [
        core_tabu(
            problem, starts[[read]], seed=5, precision=_core.Precision.int16, shortest_tenure=5,
            longest_tenure=5, num_restarts=0, first_moves=20,
        )[3]
        for read in range(len(starts))
    ]  # fmt: skip
    assert not all_int16
    assert 0 < sum(each) < len(each)


def test_the_twin_relinks_and_begins_anew(rng, monkeypatch):
    """The test above would not notice if the elites were never used."""
    problem = Problem(random_bqm(rng, 17))
    counts = {"between": 0, "renewed": 0}
    between = reference_tabu._between

    def counted(*args):
        counts["between"] += 1
        return between(*args)

    monkeypatch.setattr(reference_tabu, "_between", counted)
    start = np.ones(17, np.int8)
    options = {"tenures": (3, 3), "seed": 5, "first_moves": 17, "restart_moves": 4}
    arrays = (problem.linear, problem.pairs, problem.quadratic, start)
    reference_tabu.tabu(*arrays, num_restarts=600, **options)
    assert 0 < counts["between"] < 600 - 16  # some searches from between elites, some at random


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("kind", ["integer", "real"])
def test_reads_do_not_depend_on_threads_isa_or_their_number(rng, kernel, kind, monkeypatch):
    skip_unless_usable(kernel, kind)
    bqm = random_bqm(rng, 150, 0.3, kind)
    options = {"num_restarts": 40, "timeout": None, "seed": 3, "lower_bound_z": 0, **kernel}
    options |= {"coefficient_z_first": 100, "coefficient_z_restart": 20}
    whole = TabuSampler().sample(bqm, num_reads=5, num_threads=1, **options).record
    for threads in (2, 7):
        again = TabuSampler().sample(bqm, num_reads=5, num_threads=threads, **options).record
        np.testing.assert_array_equal(whole.sample, again.sample)
        one = TabuSampler().sample(bqm, num_reads=1, num_threads=threads, **options).record
        np.testing.assert_array_equal(whole.sample[:1], one.sample)
    for isa in _core.available_isas():
        monkeypatch.setenv("QPSBGD_ISA", isa)
        again = TabuSampler().sample(bqm, num_reads=5, **options)
        np.testing.assert_array_equal(whole.sample, again.record.sample)
        assert again.info["isa"] == isa


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("vartype", ["SPIN", "BINARY"])
@pytest.mark.parametrize("kind", ["integer", "real"])
def test_finds_the_ground_state(rng, kernel, vartype, kind):
    skip_unless_usable(kernel, kind)
    bqm = random_bqm(rng, 14, kind=kind, vartype=vartype)
    best = dimod.ExactSolver().sample(bqm).first.energy
    found = TabuSampler().sample(bqm, num_reads=3, num_restarts=20, timeout=None, seed=0, **kernel)
    assert found.first.energy == pytest.approx(best, abs=1e-12)
    assert found.vartype is bqm.vartype
    dimod.testing.assert_sampleset_energies(found, bqm, precision=9)


@pytest.mark.parametrize("kind", ["integer", "real", "wide"])
def test_precision_is_what_the_couplings_need(rng, kind):
    bqm = random_bqm(rng, 40, kind="real" if kind == "real" else "integer")
    if kind == "wide":
        bqm.add_quadratic("x0", "x1", 1000)
    result = TabuSampler().sample(bqm, num_restarts=3, timeout=None, seed=1, form="dense")
    assert result.info["precision"] == ("int16" if kind == "integer" else "float32")
    again = TabuSampler().sample(
        bqm, num_restarts=3, timeout=None, seed=1, form="dense", precision="float32"
    )
    assert again.info["precision"] == "float32"
    if kind != "integer":
        with pytest.raises(ValueError, match="this problem's dense couplings fit only 'float32'"):
            TabuSampler().sample(bqm, form="dense", precision="int16")
    with pytest.raises(ValueError, match="this problem's sparse couplings fit only 'float32'"):
        TabuSampler().sample(bqm, form="sparse", precision="int16")
    np.testing.assert_array_equal(result.record.sample, again.record.sample)


@pytest.mark.parametrize("at_start", [True, False])
def test_gains_beyond_16_bits_are_int32(at_start):
    """Ferromagnets, plain and gauged: fields are too large at the state of all +1, or later."""
    n = 700
    rows, columns = np.triu_indices(n, 1)
    gauge = np.ones(n) if at_start else np.where(np.arange(n) % 2, 1.0, -1.0)
    bqm = dimod.BQM.from_numpy_vectors(
        np.zeros(n), (rows, columns, -101.0 * gauge[rows] * gauge[columns]), 0.0, "SPIN"
    )
    result = TabuSampler().sample(bqm, num_restarts=1, seed=0, timeout=None, form="dense")
    assert result.info["precision"] == "int32"
    assert result.first.energy == -101 * n * (n - 1) / 2
    again = TabuSampler().sample(
        bqm, num_restarts=1, seed=0, timeout=None, form="dense", precision="float32"
    )
    np.testing.assert_array_equal(result.record.sample, again.record.sample)


def test_biases_of_any_magnitude(rng):
    bqm = random_bqm(rng, 12, kind="real")
    expected = dimod.ExactSolver().sample(bqm).first.sample
    for factor in (1e-200, 1e-30, 1e30, 1e200):
        scaled = bqm.copy()
        scaled.scale(factor)
        assert (
            TabuSampler().sample(scaled, num_restarts=5, timeout=None, seed=0).first.sample
            == expected
        )


def test_a_read_is_never_worse_than_its_start(rng):
    bqm = random_bqm(rng, 60, 0.5, "real")
    best = TabuSampler().sample(bqm, num_restarts=200, seed=0, timeout=None).first
    state = ([best.sample[v] for v in bqm.variables], list(bqm.variables))
    again = TabuSampler().sample(bqm, initial_states=state, num_restarts=0, lower_bound_z=0,
                                 coefficient_z_first=5)  # fmt: skip
    assert again.first.energy <= best.energy + 1e-9


def test_no_moves_return_the_initial_states():
    states = [{"a": 1, "b": -1}, {"a": -1, "b": -1}]
    result = TabuSampler().sample_ising(
        {"a": 1}, {"ab": 1}, initial_states=states, num_restarts=0, coefficient_z_first=0,
        lower_bound_z=0,
    )  # fmt: skip
    assert [dict(s) for s in result.samples(sorted_by=None)] == states
    assert result.info["num_moves"] == 0


@pytest.mark.parametrize("kernel", KERNELS)
def test_single_variable_and_none(kernel):
    for vartype in ("SPIN", "BINARY"):
        result = TabuSampler().sample(dimod.BQM({"a": 3}, {}, 1.0, vartype), **kernel)
        assert result.first.energy == (-2.0 if vartype == "SPIN" else 1.0)
    result = TabuSampler().sample(dimod.BQM({}, {}, 2.5, "SPIN"), num_reads=3)
    assert (result.record.energy == [2.5] * 3).all()
    assert (result.record.num_restarts == 0).all()
    nothing = TabuSampler().sample(dimod.BQM({"a": 0, "b": 0}, {"ab": 0}, 1.0, "SPIN"), **kernel)
    assert nothing.first.energy == 1.0


def test_moves_follow_the_peers_coefficients(rng):
    n = 20
    bqm = random_bqm(rng, n)

    def moves(**options):
        result = TabuSampler().sample(bqm, timeout=None, num_restarts=2, **options)
        assert list(result.record.num_restarts) == [2]
        return result.info["num_moves"]

    assert moves(coefficient_z_first=50, coefficient_z_restart=7, lower_bound_z=0) == 50 + 2 * 7
    assert moves(coefficient_z_first=50, lower_bound_z=0) == 50 + 2 * 12
    assert moves(coefficient_z_first=50, lower_bound_z=301) == 50 + 2 * 16
    assert moves(lower_bound_z=0) == 10_000 + 2 * 2_500
    assert moves(coefficient_z_first=1) == 3 * 25_000


def test_tenure(rng):
    bqm = random_bqm(rng, 30)
    assert TabuSampler().sample(bqm, num_restarts=0).info["tenure"] == [3, 7]
    assert TabuSampler().sample(random_bqm(rng, 90), num_restarts=0).info["tenure"] == [10, 20]
    for n, form, expected in (
        (3000, "dense", [20, 20]), (3001, "dense", [30, 40]), (3001, "sparse", [20, 20]),
        (4000, None, [20, 20]),
    ):  # fmt: skip
        large = TabuSampler().sample(random_graph(rng, n, 2), num_restarts=0, form=form)
        assert large.info["tenure"] == expected
    assert TabuSampler().sample(bqm, num_restarts=0, tenure=29).info["tenure"] == [29, 29]
    # Without a tenure a search goes to a local minimum and back and forth between two states.
    short = {"num_restarts": 0, "timeout": None, "seed": 0}
    states = np.random.default_rng(0).choice([-1, 1], size=(20, 30))
    energies = [
        TabuSampler()
        .sample(bqm, initial_states=(states, list(bqm.variables)), tenure=tenure, **short)
        .record.energy.mean()
        for tenure in (0, 7)
    ]
    assert energies[1] < energies[0]


def test_timeout_is_for_a_read(rng):
    bqm = random_bqm(rng, 100)
    begin = time.perf_counter()
    result = TabuSampler().sample(bqm, num_reads=6, timeout=50, num_threads=2)
    assert time.perf_counter() - begin > 0.1
    assert result.info["stopped_by"] == "timeout"
    assert len(result) == 6
    assert (result.record.num_restarts > 0).all()
    assert len(TabuSampler().sample(bqm, timeout=0)) == 1


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("threads", [1, 2])
def test_time_limit(rng, kernel, threads):
    bqm = random_bqm(rng, 100, 0.3)
    result = TabuSampler().sample(
        bqm, num_reads=100, timeout=None, time_limit=0.3, num_threads=threads, **kernel
    )
    assert result.info["stopped_by"] == "time_limit"
    assert 0 < len(result) < 100
    dimod.testing.assert_sampleset_energies(result, bqm)


def test_energy_threshold_stops_at_once_and_is_met(rng):
    for kind in ("integer", "real"):
        bqm = random_bqm(rng, 100, 0.5, kind)
        bqm.offset = 12.25
        best = TabuSampler().sample(bqm, timeout=200, seed=1).first.energy
        for kernel in KERNELS if kind == "integer" else KERNELS[1:]:
            result = TabuSampler().sample(
                bqm, num_reads=20, timeout=None, seed=2, energy_threshold=best, **kernel
            )
            assert result.info["stopped_by"] == "energy_threshold"
            assert result.first.energy <= best + 1e-9
    start = TabuSampler().sample(bqm, timeout=None, energy_threshold=1e9)
    assert start.info["stopped_by"] == "energy_threshold"
    missed = TabuSampler().sample(bqm, num_restarts=2, timeout=None, energy_threshold=best - 1)
    assert missed.info["stopped_by"] == "finished"


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("reads", [1, 50])
def test_interrupt_function(rng, threads, reads):
    calls = []

    def interrupt():
        calls.append(threading.get_ident())
        return len(calls) == 5

    bqm = random_bqm(rng, 100)
    result = TabuSampler().sample(
        bqm, num_reads=reads, timeout=None, num_threads=threads, interrupt_function=interrupt
    )
    assert result.info["stopped_by"] == "interrupt"
    assert set(calls) == {threading.get_ident()}
    assert 1 <= len(result) <= reads
    dimod.testing.assert_sampleset_energies(result, bqm)


def test_an_exception_of_the_interrupt_function_keeps_the_samples(rng):
    def interrupt():
        raise ZeroDivisionError("enough")

    with pytest.raises(ZeroDivisionError, match="enough") as caught:
        TabuSampler().sample(random_bqm(rng, 50), timeout=None, interrupt_function=interrupt)
    assert len(caught.value.sampleset) == 1


@pytest.mark.parametrize("threads", [1, 2])
def test_control_c(rng, threads):
    bqm = random_bqm(rng, 100)
    with ctrl_c_in_the_core(), pytest.raises(KeyboardInterrupt) as caught:
        TabuSampler().sample(bqm, num_reads=50, timeout=None, num_threads=threads)
    dimod.testing.assert_sampleset_energies(caught.value.sampleset, bqm)


def test_large_sparse_problem_stops_soon(rng):
    n = 200_000
    bqm = random_graph(rng, n)
    problem = Problem(bqm)
    assert problem.form == "sparse"
    starts = np.ones((1, n), np.int8)
    times = []
    states, *_, reason, _ = core_tabu(
        problem, starts, shortest_tenure=20, longest_tenure=20, num_restarts=10**6, seed=1,
        num_threads=2, time_limit=1.0,
        watch=lambda _: times.append(time.perf_counter()),
    )  # fmt: skip
    assert reason is _core.StopReason.time_limit
    assert problem.energies(states, 1)[0] < problem.energies(starts, 1)[0]
    assert len(times) > 3  # asked all along


def test_two_python_threads_at_once(rng):
    bqm = random_bqm(rng, 60)
    options = {"num_reads": 4, "num_restarts": 30, "timeout": None, "seed": 4}
    expected = TabuSampler().sample(bqm, **options).record.sample
    results = [None, None]

    def work(slot):
        results[slot] = TabuSampler().sample(bqm, **options).record.sample

    threads = [threading.Thread(target=work, args=(slot,)) for slot in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result in results:
        np.testing.assert_array_equal(result, expected)


def test_progress_gets_the_lowest_energy_so_far(rng):
    bqm = random_bqm(rng, 100, 0.5)
    bqm.offset = 12.25
    seen = []
    result = TabuSampler().sample(bqm, timeout=None, time_limit=0.3, progress=seen.append)
    assert len(seen) > 3
    assert seen == sorted(seen, reverse=True)
    assert seen[-1] == pytest.approx(result.first.energy)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"seed": 0.5}, TypeError, "seed is 0.5"),
        ({"seed": 2**32}, ValueError, "seed is 4294967296"),
        ({"tenure": 2}, ValueError, r"tenure is 2, but must lie in \[0, 2\)"),
        ({"tenure": -1}, ValueError, "tenure is -1"),
        ({"tenure": 0.5}, TypeError, "tenure is 0.5"),
        ({"timeout": -1}, ValueError, "timeout is -1, but must be at least 0 ms"),
        ({"timeout": float("nan")}, ValueError, "timeout is nan"),
        ({"num_restarts": -1}, ValueError, "num_restarts is -1"),
        ({"num_restarts": 1.5}, TypeError, "num_restarts is 1.5"),
        ({"coefficient_z_first": -1}, ValueError, "coefficient_z_first is -1"),
        ({"coefficient_z_restart": "x"}, TypeError, "coefficient_z_restart is 'x'"),
        ({"lower_bound_z": -1}, ValueError, "lower_bound_z is -1"),
        ({"energy_threshold": float("nan")}, ValueError, "energy_threshold is nan"),
        ({"form": "full"}, ValueError, "form is 'full'"),
        ({"precision": "int4"}, ValueError, "precision is 'int4'"),
        ({"time_limit": 0}, ValueError, "time_limit is 0"),
        ({"num_threads": 0}, ValueError, "num_threads is 0"),
        ({"interrupt_function": 3}, TypeError, "interrupt_function is 3"),
        ({"progress": 3}, TypeError, "progress is 3"),
        ({"initial_states_generator": "none"}, ValueError, "initial"),
    ],
)
def test_bad_options(options, error, message):
    with pytest.raises(error, match=message):
        TabuSampler().sample_ising({"a": 1}, {"ab": 1}, **options)


def test_unknown_options_warn():
    with pytest.warns(dimod.exceptions.SamplerUnknownArgWarning, match="num_sweeps"):
        TabuSampler().sample_ising({"a": 1}, {}, num_restarts=0, num_sweeps=3)


def hidden_ferromagnet(rng, n, coupling):
    """Its ground state is a random one, whose fields are far beyond 16 bits."""
    gauge = rng.choice([-1.0, 1.0], size=n)
    rows, columns = np.triu_indices(n, 1)
    values = -coupling * gauge[rows] * gauge[columns]
    bqm = dimod.BQM.from_numpy_vectors(np.zeros(n), (rows, columns, values), 0.0, "SPIN")
    return bqm, -coupling * n * (n - 1) / 2


@pytest.mark.parametrize("threads", [1, 2])
def test_what_was_found_in_16_bits_is_not_lost(rng, threads):
    bqm, ground = hidden_ferromagnet(rng, 1200, 51.0)
    for _ in range(5):
        result = TabuSampler().sample(
            bqm, energy_threshold=0.5 * ground, timeout=None, form="dense", num_threads=threads
        )
        assert result.info["stopped_by"] == "energy_threshold"
        assert result.first.energy <= 0.5 * ground


def test_dense_floats_are_made_before_a_read_has_its_time(rng):
    n = 1500
    rows, columns = np.triu_indices(n, 1)
    bqm = dimod.BQM.from_numpy_vectors(
        rng.normal(size=n), (rows, columns, rng.normal(size=len(rows))), 0.0, "SPIN"
    )
    result = TabuSampler().sample(bqm, num_reads=3, num_threads=2, form="dense")
    assert result.info["precision"] == "float32"
    assert (result.record.energy < -0.5 * n**1.5).all()


@pytest.mark.parametrize("form", ["dense", "sparse"])
def test_a_read_goes_by_energies_that_have_not_drifted(form):
    """A long first search, whose gains lose their small biases, takes nothing from later ones."""
    for seed in range(8):
        rng = np.random.default_rng(seed)
        bqm = random_bqm(rng, 10, kind="real")
        for u, v in list(bqm.quadratic):
            bqm.set_quadratic(u, v, bqm.get_quadratic(u, v) * 10.0 ** rng.integers(-6, 4))
        options = {
            "seed": 1, "num_restarts": 7, "tenure": 1, "coefficient_z_restart": 100,
            "lower_bound_z": 0, "timeout": None, "form": form,
            "initial_states": ([1] * 10, list(bqm.variables)),
        }  # fmt: skip
        short, long = (
            TabuSampler().sample(bqm, coefficient_z_first=z, **options).first.energy
            for z in (0, 200_000)
        )
        assert long <= short + 1e-4


@pytest.mark.parametrize("form", ["dense", "sparse"])
def test_a_large_bias_does_not_hide_the_small_ones(rng, form):
    bqm = random_bqm(rng, 60, 0.5, "real")
    options = {"seed": 1, "num_restarts": 0, "timeout": None, "form": form,
               "coefficient_z_first": 20_000, "lower_bound_z": 0}  # fmt: skip
    bqm.add_linear("x0", 1e7 - bqm.get_linear("x0"))
    expected = TabuSampler().sample(bqm, timeout=200, seed=1).first.energy
    assert TabuSampler().sample(bqm, **options).first.energy == pytest.approx(expected, abs=0.01)


def test_an_interrupt_function_may_return_anything(rng):
    bqm = random_bqm(rng, 30)
    for value, reason in (([], "time_limit"), ("yes", "interrupt")):
        result = TabuSampler().sample(
            bqm, timeout=None, time_limit=0.2, interrupt_function=lambda v=value: v
        )
        assert result.info["stopped_by"] == reason
