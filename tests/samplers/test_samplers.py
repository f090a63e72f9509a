"""The dimod samplers: conformity, agreement with the peers' semantics, reproducibility."""

import itertools
import threading
import unittest

import dimod
import dimod.testing
import numpy as np
import pytest
from scipy import stats

import qpsbgd
import reference
from interrupts import ctrl_c_in_the_core
from problems import DRIFT, drifting_problem, largest_gain, random_bqm
from qpsbgd import SimulatedAnnealingSampler, TabuSampler, _core
from qpsbgd.samplers import temperature_rules
from qpsbgd.samplers.problem.ising import Problem


@dimod.testing.load_sampler_bqm_tests(SimulatedAnnealingSampler)
class TestConformity(unittest.TestCase):
    """dimod's own tests."""


def test_api():
    sampler = SimulatedAnnealingSampler()
    dimod.testing.assert_sampler_api(sampler)
    peer = pytest.importorskip("dwave.samplers").SimulatedAnnealingSampler()
    assert peer.parameters.keys() <= sampler.parameters.keys()


def test_options_are_those_of_the_signature():
    sampler = SimulatedAnnealingSampler()
    assert sampler.parameters["form"] == ["form_options"]
    assert sampler.parameters["num_reads"] == []
    assert "bqm" not in sampler.parameters
    assert sampler.properties == {
        "beta_range_options": ("auto", "dwave"),
        "beta_schedule_options": ("linear", "geometric", "custom"),
        "proposal_acceptance_options": ("Metropolis", "Gibbs"),
        "keep_options": ("best", "final"),
        "form_options": ("dense", "sparse"),
        "precision_options": ("float32", "int16", "float64", "bits"),
    }


def test_a_sampler_that_wraps_another_has_its_parameters():
    class Wrapped(TabuSampler):
        def sample(self, bqm, **parameters):
            return super().sample(bqm, **parameters)

    assert Wrapped().parameters == TabuSampler().parameters
    assert Wrapped().sample_ising({"a": 1.0}, {}, num_restarts=1, seed=1).first.energy == -1.0


@pytest.mark.parametrize("vartype", ["SPIN", "BINARY"])
@pytest.mark.parametrize("form", ["dense", "sparse"])
def test_energies_are_the_models(rng, vartype, form):
    bqm = random_bqm(rng, 20, 0.5, "real", vartype)
    result = SimulatedAnnealingSampler().sample(bqm, num_reads=30, num_sweeps=50, form=form)
    dimod.testing.assert_sampleset_energies(result, bqm, precision=9)
    assert result.vartype is bqm.vartype
    assert len(result) == 30
    assert result.info["form"] == form
    assert result.info["stopped_by"] == "finished"


# Everything that fields of a small integer problem may be kept as, without and with random order.
STORAGES = [
    ("dense", "float32", False),
    ("dense", "float32", True),
    ("dense", "int16", False),
    ("sparse", "float32", False),
    ("sparse", "float32", True),
    ("sparse", "int16", False),
]


def anneal(problem, starts, betas, acceptance="Metropolis", precision=None, threads=2, **options):
    """States from the core."""
    states, sweeps, reason, _ = problem.core.anneal(
        starts, betas=list(betas), acceptance=_core.Acceptance[acceptance], num_threads=threads,
        precision=precision and _core.Precision[precision], time_limit=np.inf,
        energy_threshold=-np.inf, watch=None, **options,
    )  # fmt: skip
    assert (sweeps == len(betas)).all()
    assert reason is _core.StopReason.finished
    return states


def random_starts(rng, reads, n):
    return rng.choice(np.array([-1, 1], np.int8), size=(reads, n))


def signed_grid(rng, n, width):
    """A torus of +-1 couplings with small fields: few values of a field, all of them small."""
    bqm = dimod.BinaryQuadraticModel("SPIN")
    for i in range(n):
        bqm.add_linear(i, int(rng.integers(-1, 2)))
    for i, step in itertools.product(range(n), (1, width)):
        bqm.add_quadratic(i, (i + step) % n, int(rng.choice([-1, 1])))
    return bqm


@pytest.mark.parametrize("acceptance", ["Metropolis", "Gibbs"])
@pytest.mark.parametrize(("form", "precision", "order"), STORAGES)
def test_anneal_equals_twin(rng, isa, form, precision, order, acceptance):
    # A block of 64 variables and a part of one; more reads than are visited one by one.
    n, reads, betas = 70, 5, np.geomspace(0.01, 2.0, 10)
    problem = Problem(random_bqm(rng, n, 0.3), form)
    assert problem.core.exact
    starts = random_starts(rng, reads, n)
    for keep_best in (False, True):
        options = {"random_order": order, "keep_best": keep_best, "seed": 5}
        expected = reference.anneal(
            problem.linear, problem.pairs, problem.quadratic, starts, betas,
            gibbs=acceptance == "Gibbs", **options,
        )  # fmt: skip
        for count, kind in ((reads, precision), (reads, None), (2, precision), (2, None)):
            states = anneal(problem, starts[:count], betas, acceptance, kind, **options)
            np.testing.assert_array_equal(states, expected[:count])


@pytest.mark.parametrize("beta", [0.0, 1e-9, 0.1, 0.4, 2.0, np.inf])
@pytest.mark.parametrize("precision", ["float32", "int16"])
def test_few_values_of_a_field_equal_twin(rng, isa, precision, beta):
    # Long enough for a table of bounds instead of logarithms.
    problem = Problem(signed_grid(rng, 320, 20), "sparse")
    options = {"random_order": False, "keep_best": False, "seed": 3}
    starts, betas = random_starts(rng, 2, 320), np.full(3, beta)
    with np.errstate(divide="ignore", over="ignore"):
        expected = reference.anneal(
            problem.linear, problem.pairs, problem.quadratic, starts, betas, gibbs=False, **options
        )
    states = anneal(problem, starts, betas, precision=precision, **options)
    np.testing.assert_array_equal(states, expected)


@pytest.mark.parametrize(("n", "linear"), [(150, 0.0), (150, 30_000.0), (300, 0.0)])
def test_fields_beyond_int16_go_on_as_floats(rng, isa, n, linear):
    # All spins alike soon: fields of n * 119 units, where random ones were within 2^14; or, with
    # the linear bias, never were. Those of 300 spins would not fit int16 at all.
    bqm = dimod.BinaryQuadraticModel("SPIN")
    bqm.add_linear_from({i: linear * (i == 7) for i in range(n)})
    bqm.add_quadratic_from((i, j, -119) for i, j in itertools.combinations(range(n), 2))
    problem = Problem(bqm, "dense")
    starts = random_starts(rng, 6, n)
    options = {"random_order": False, "keep_best": False, "seed": 4}
    betas = np.geomspace(1e-5, 1e-2, 30)
    wide, narrow = (anneal(problem, starts, betas, precision=p, **options)
                    for p in ("float32", "int16"))  # fmt: skip
    np.testing.assert_array_equal(wide, narrow)
    assert (abs(wide.astype(int).sum(axis=1)) >= n - 2).all()


@pytest.mark.parametrize(("form", "reads"), [("dense", 16), ("dense", 2), ("sparse", 16)])
def test_fields_in_float32_are_refreshed(rng, isa, form, reads):
    J, h = drifting_problem(rng, 40)
    bqm = dimod.BinaryQuadraticModel(h, np.triu(J), 0.0, "SPIN")
    found = SimulatedAnnealingSampler().sample(
        bqm, num_reads=reads, form=form, precision="float32", **DRIFT
    )
    assert largest_gain(J, h, found.record.sample) < 0.5


def test_precision_is_the_narrowest_that_fits(rng):
    def precision(bqm, **options):
        result = SimulatedAnnealingSampler().sample(bqm, num_sweeps=2, seed=1, **options)
        return result.info["precision"]

    integers, real = random_bqm(rng, 30), random_bqm(rng, 30, kind="real")
    assert precision(integers, num_reads=20) == "int16"
    assert precision(integers, num_reads=1) == "float32"  # visited alone
    assert precision(integers, num_reads=1, precision="int16") == "int16"
    assert precision(integers, num_reads=20, randomize_order=True) == "float32"
    assert precision(real, num_reads=20) == "float32"
    assert precision(real, num_reads=20, form="sparse") == "float32"
    grid = signed_grid(rng, 100, 10)
    assert precision(grid) == "bits"
    assert precision(grid, num_reads=100) == "bits"
    assert precision(grid, randomize_order=True) == "float32"
    assert precision(grid, form="dense") == "float32"
    grid.scale(2.0**-20)
    assert precision(grid) == "bits"
    grid.scale(30)
    grid.add_linear(0, 2.0**-20)
    assert precision(grid) == "int16"
    grid.add_linear(0, 2.0**-30)
    assert precision(grid) == "float32"


def test_precision_that_does_not_fit_is_named(rng):
    sample = SimulatedAnnealingSampler().sample
    with pytest.raises(ValueError, match=r"precision is 'int16', but .* dense .* only 'float32'"):
        sample(random_bqm(rng, 30, kind="real"), precision="int16")
    with pytest.raises(ValueError, match=r"precision is 'int16', but .* dense .* only 'float32'"):
        sample(random_bqm(rng, 30), precision="int16", randomize_order=True)
    problem = Problem(random_bqm(rng, 30, kind="real"))
    with pytest.raises(ValueError, match="do not fit the precision"):
        anneal(problem, np.ones((1, 30), np.int8), [1.0], precision="int16", random_order=False,
               keep_best=False, seed=1)  # fmt: skip


@pytest.mark.parametrize("form", ["dense", "sparse"])
@pytest.mark.parametrize("n", [1, 2, 17, 150])
@pytest.mark.parametrize("kind", ["integer", "real"])
def test_reads_do_not_depend_on_threads_or_their_number(rng, form, n, kind, monkeypatch):
    bqm = random_bqm(rng, n, 0.4, kind)
    sampler = SimulatedAnnealingSampler()
    options = {"num_sweeps": 60, "seed": 3, "form": form}
    whole = sampler.sample(bqm, num_reads=40, **options).record
    for threads in (1, 2, 7):
        again = sampler.sample(bqm, num_reads=40, num_threads=threads, **options).record
        np.testing.assert_array_equal(whole.sample, again.sample)
    for reads in (3, 5, 18):
        few = sampler.sample(bqm, num_reads=reads, **options).record
        np.testing.assert_array_equal(whole.sample[:reads], few.sample)
    for isa in _core.available_isas():
        monkeypatch.setenv("QPSBGD_ISA", isa)
        again = sampler.sample(bqm, num_reads=40, **options)
        np.testing.assert_array_equal(whole.sample, again.record.sample)
        assert again.info["isa"] == isa


def boltzmann_p_value(found, states, energies, beta):
    """Chi-square test of states against exp(-beta E), bins of less than ten expected as one."""
    n = states.shape[1]
    code = 1 << np.arange(n)[::-1]
    counts = np.bincount(((found > 0) @ code).astype(int), minlength=2**n)
    weights = np.exp(-beta * (energies - energies.min()))
    expected = len(found) * weights / weights.sum()
    order = np.argsort(expected)
    rare = np.searchsorted(np.cumsum(expected[order]), 10) + 1
    while rare < len(order) and expected[order[rare]] < 10:
        rare += 1
    counts, expected = ([x[order[:rare]].sum(), *x[order[rare:]]] for x in (counts, expected))
    return stats.chisquare(counts, expected).pvalue


@pytest.mark.parametrize("acceptance", ["Metropolis", "Gibbs"])
@pytest.mark.parametrize(("form", "precision", "order"), STORAGES)
def test_one_temperature_samples_the_boltzmann_distribution(
    rng, isa, form, precision, order, acceptance
):
    n, beta, copies = 10, 0.03, 24_000
    bqm = random_bqm(rng, n)
    bqm.scale(2.0)  # no power of two matters
    problem = Problem(bqm, form)
    states = np.array(list(itertools.product((-1, 1), repeat=n)), np.int8)
    found = anneal(
        problem, random_starts(rng, copies, n), [beta] * 25, acceptance, precision,
        random_order=order, keep_best=False, seed=2,
    )  # fmt: skip
    assert boltzmann_p_value(found, states, problem.energies(states, 1), beta) > 1e-3


@pytest.mark.parametrize("precision", ["float32", "int16"])
def test_few_values_of_a_field_sample_the_boltzmann_distribution(rng, isa, precision):
    # Thirty copies of one problem side by side, so that there are variables enough for a table.
    n, beta, copies, reads = 10, 0.3, 30, 1600
    one = signed_grid(rng, n, 3)
    bqm = dimod.BinaryQuadraticModel("SPIN")
    for copy in range(copies):
        bqm.update(one.relabel_variables({i: copy * n + i for i in range(n)}, inplace=False))
    problem = Problem(bqm, "sparse", range(copies * n))
    found = anneal(
        problem, random_starts(rng, reads, copies * n), [beta] * 25, precision=precision,
        random_order=False, keep_best=False, seed=2,
    )  # fmt: skip
    states = np.array(list(itertools.product((-1, 1), repeat=n)), np.int8)
    energies = one.energies((states, range(n)))
    assert boltzmann_p_value(found.reshape(-1, n), states, energies, beta) > 1e-3


@pytest.mark.parametrize("form", ["dense", "sparse"])
def test_finds_the_ground_state(rng, form):
    for vartype in ("SPIN", "BINARY"):
        bqm = random_bqm(rng, 14, vartype=vartype)
        best = dimod.ExactSolver().sample(bqm).first.energy
        found = SimulatedAnnealingSampler().sample(bqm, num_reads=20, form=form, seed=0)
        assert found.first.energy == best


@pytest.mark.parametrize("form", ["dense", "sparse"])
def test_keep_best_is_never_worse_than_final_or_start(rng, form):
    bqm = random_bqm(rng, 40, 0.5, "real")
    sampler = SimulatedAnnealingSampler()
    start = sampler.sample(bqm, num_reads=20, num_sweeps=0, seed=1, form=form).record.energy
    # Ever hotter: what it had once it loses again.
    options = {"num_sweeps": 30, "beta_range": (5.0, 0.001), "seed": 1, "form": form}
    best = sampler.sample(bqm, num_reads=20, **options).record.energy
    final = sampler.sample(bqm, num_reads=20, keep="final", **options).record.energy
    assert (best <= np.minimum(start, final) + 1e-4).all()
    assert (best < final).any()


def test_biases_of_any_magnitude(rng):
    bqm = random_bqm(rng, 12, kind="real")
    expected = dimod.ExactSolver().sample(bqm).first.sample
    for factor in (1e-200, 1e-30, 1e30, 1e200):
        scaled = bqm.copy()
        scaled.scale(factor)
        found = SimulatedAnnealingSampler().sample(scaled, num_reads=10, seed=0)
        assert found.first.sample == expected


def test_no_sweeps_return_the_initial_states():
    states = [{"a": 1, "b": -1}, {"a": -1, "b": -1}]
    result = SimulatedAnnealingSampler().sample_ising(
        {"a": 1}, {"ab": 1}, initial_states=states, num_sweeps=0
    )
    assert [dict(s) for s in result.samples(sorted_by=None)] == states


def test_no_variables():
    result = SimulatedAnnealingSampler().sample(dimod.BQM({}, {}, 2.5, "SPIN"), num_reads=3)
    assert len(result) == 3
    assert (result.record.energy == 2.5).all()


def test_no_biases_warn():
    with pytest.warns(UserWarning, match="all biases are zero"):
        SimulatedAnnealingSampler().sample(dimod.BQM({"a": 0, "b": 0}, {"ab": 0}, "SPIN"))


@pytest.mark.parametrize("kind", ["linear", "geometric"])
def test_schedules(rng, kind):
    bqm = random_bqm(rng, 6)
    sampler = SimulatedAnnealingSampler()
    options = {"num_reads": 4, "seed": 2}
    made = sampler.sample(
        bqm, beta_range=(0.1, 1.6), num_sweeps=10, num_sweeps_per_beta=2, beta_schedule_type=kind,
        **options,
    )  # fmt: skip
    betas = np.linspace(0.1, 1.6, 5) if kind == "linear" else [0.1, 0.2, 0.4, 0.8, 1.6]
    custom = sampler.sample(
        bqm, beta_schedule=betas, num_sweeps_per_beta=2, beta_schedule_type="custom", **options
    )
    np.testing.assert_array_equal(made.record.sample, custom.record.sample)
    assert made.info["beta_range"] == pytest.approx([0.1, 1.6])
    assert made.info["beta_schedule_type"] == kind
    assert made.info["num_sweeps"] == [10, 10]
    assert made.info["timing"].keys() == {
        "preprocessing_ns", "sampling_ns", "postprocessing_ns",
    }  # fmt: skip


@pytest.mark.parametrize("betas", [[0.0], [np.inf], [0.0, np.inf]])
@pytest.mark.parametrize("form", ["dense", "sparse"])
def test_extreme_temperatures(rng, betas, form):
    bqm = random_bqm(rng, 20, 0.5)
    result = SimulatedAnnealingSampler().sample(
        bqm, beta_schedule=betas * 20, beta_schedule_type="custom", num_reads=50, form=form, seed=0,
        keep="final",
    )  # fmt: skip
    dimod.testing.assert_sampleset_energies(result, bqm)
    if betas[-1] == np.inf:
        flips = [result.record.sample.copy() for _ in range(20)]
        for i, flipped in enumerate(flips):
            flipped[:, i] *= -1
        least = np.min([bqm.energies((f, result.variables)) for f in flips], axis=0)
        assert (np.median(least - result.record.energy)) >= 0


@pytest.mark.parametrize("ends", [(0.1, 1.6), [0.1, 1.6], np.array([0.1, 1.6])])
def test_beta_range_is_any_pair(rng, ends):
    result = SimulatedAnnealingSampler().sample(random_bqm(rng, 6), ends, num_sweeps=5)
    assert result.info["beta_range"] == pytest.approx([0.1, 1.6])


def test_the_last_states_of_free_spins_have_few_excitations():
    """Each of 10,000 is wrong with probability exp(-8) at the cold end: 3.4 in a read."""
    bqm = dimod.BinaryQuadraticModel(dict.fromkeys(range(10_000), 1.0), {}, 0.0, "SPIN")
    found = SimulatedAnnealingSampler().sample(
        bqm, num_reads=20, num_sweeps=200, keep="final", seed=1
    )
    assert (found.record.sample == 1).sum(axis=1).mean() < 6.0


def test_dwave_beta_range_is_the_peers(rng):
    module = pytest.importorskip("dwave.samplers.sa.sampler")
    for kind in ("integer", "real"):
        bqm = random_bqm(rng, 15, 0.5, kind)
        expected = module._default_ising_beta_range(bqm.linear, bqm.quadratic)
        assert temperature_rules.dwave_beta_range(Problem(bqm)) == pytest.approx(expected)


def test_auto_beta_range_scales_with_the_problem(rng):
    bqm = random_bqm(rng, 30, 0.5, "real")
    hot, cold = temperature_rules.auto_beta_range(Problem(bqm))
    assert 0 < hot < cold < np.inf
    scaled = bqm.copy()
    scaled.scale(2.0**40)
    assert temperature_rules.auto_beta_range(Problem(scaled)) == pytest.approx(
        (hot / 2.0**40, cold / 2.0**40)
    )


@pytest.mark.parametrize("form", ["dense", "sparse"])
@pytest.mark.parametrize("threads", [1, 2])
def test_time_limit(rng, form, threads):
    bqm = random_bqm(rng, 100, 0.2)
    result = SimulatedAnnealingSampler().sample(
        bqm, num_reads=200, num_sweeps=1_000_000, time_limit=0.3, form=form, num_threads=threads
    )
    assert result.info["stopped_by"] == "time_limit"
    assert 0 < result.info["num_sweeps"][0] <= result.info["num_sweeps"][1] < 1_000_000
    dimod.testing.assert_sampleset_energies(result, bqm)


@pytest.mark.parametrize("threads", [1, 2])
def test_interrupt_function(rng, threads):
    calls = []

    def interrupt():
        calls.append(threading.get_ident())
        return len(calls) == 5

    result = SimulatedAnnealingSampler().sample(
        random_bqm(rng, 100, 0.2), num_reads=100, num_sweeps=1_000_000, num_threads=threads,
        interrupt_function=interrupt,
    )  # fmt: skip
    assert result.info["stopped_by"] == "interrupt"
    assert set(calls) == {threading.get_ident()}
    assert 1 <= len(result) <= 100


def test_an_exception_of_the_interrupt_function_keeps_the_samples(rng):
    def interrupt():
        raise ZeroDivisionError("enough")

    with pytest.raises(ZeroDivisionError, match="enough") as caught:
        SimulatedAnnealingSampler().sample(
            random_bqm(rng, 50), num_sweeps=1_000_000, interrupt_function=interrupt
        )
    assert len(caught.value.sampleset) == 1


@pytest.mark.parametrize("threads", [1, 2])
def test_control_c(rng, threads):
    bqm = random_bqm(rng, 100)
    with ctrl_c_in_the_core(), pytest.raises(KeyboardInterrupt) as caught:
        SimulatedAnnealingSampler().sample(
            bqm, num_reads=50, num_sweeps=1_000_000, num_threads=threads
        )
    dimod.testing.assert_sampleset_energies(caught.value.sampleset, bqm)


def test_two_python_threads_at_once(rng):
    bqm = random_bqm(rng, 60)
    options = {"num_reads": 10, "num_sweeps": 200, "seed": 4}
    expected = SimulatedAnnealingSampler().sample(bqm, **options).record.sample
    results = [None, None]

    def work(slot):
        results[slot] = SimulatedAnnealingSampler().sample(bqm, **options).record.sample

    threads = [threading.Thread(target=work, args=(slot,)) for slot in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result in results:
        np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"seed": 0.5}, TypeError, "seed is 0.5"),
        ({"seed": 2**31}, ValueError, "seed is 2147483648"),
        ({"num_sweeps": -1}, ValueError, "num_sweeps is -1"),
        ({"num_sweeps": 10, "num_sweeps_per_beta": 3}, ValueError, "must be a multiple of"),
        ({"num_sweeps_per_beta": 0}, ValueError, "num_sweeps_per_beta is 0"),
        ({"beta_range": (1.0,)}, ValueError, r"beta_range is \(1.0,\)"),
        ({"beta_range": "cold"}, ValueError, "beta_range is 'cold'"),
        ({"beta_range": (-1.0, 1.0)}, ValueError, "must be at least 0"),
        ({"beta_range": (0.0, 1.0)}, ValueError, "a geometric schedule needs positive"),
        ({"beta_schedule_type": "cubic"}, ValueError, "beta_schedule_type is 'cubic'"),
        ({"beta_schedule_type": "custom"}, ValueError, "beta_schedule is None"),
        ({"beta_schedule": [1.0]}, ValueError, "goes with beta_schedule_type='custom'"),
        ({"proposal_acceptance_criteria": "always"}, ValueError, "'always'"),
        ({"keep": "all"}, ValueError, "keep is 'all'"),
        ({"form": "full"}, ValueError, "form is 'full'"),
        ({"precision": "int4"}, ValueError, "precision is 'int4'"),
        ({"time_limit": 0}, ValueError, "time_limit is 0"),
        ({"time_limit": "1 s"}, TypeError, "time_limit is '1 s'"),
        ({"num_threads": 0}, ValueError, "num_threads is 0"),
        ({"interrupt_function": 3}, TypeError, "interrupt_function is 3"),
        ({"initial_states_generator": "none"}, ValueError, "initial"),
    ],
)
def test_bad_options(options, error, message):
    with pytest.raises(error, match=message):
        SimulatedAnnealingSampler().sample_ising({"a": 1}, {"ab": 1}, **options)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_biases_that_are_not_finite_are_named(bad):
    sampler = SimulatedAnnealingSampler()
    with pytest.raises(ValueError, match="linear bias of 'b' is"):
        sampler.sample_ising({"a": 1, "b": bad}, {})
    with pytest.raises(ValueError, match=r"quadratic bias of '[ac]' and '[ac]' is"):
        sampler.sample_ising({"a": 1}, {"ac": bad})


def test_unknown_options_warn():
    with pytest.warns(dimod.exceptions.SamplerUnknownArgWarning, match="chain_strength"):
        qpsbgd.SimulatedAnnealingSampler().sample_ising({"a": 1}, {}, chain_strength=3)


def test_energy_threshold_stops_at_once_and_is_met():
    bqm = dimod.generators.ran_r(100, 200, seed=1)
    bqm.offset = 12.25
    sampler = SimulatedAnnealingSampler()
    best = sampler.sample(bqm, num_reads=20, num_sweeps=1000, seed=1).first.energy
    for keep in ("best", "final"):
        result = sampler.sample(
            bqm, num_reads=2000, num_sweeps=1000, seed=2, keep=keep, energy_threshold=best,
        )  # fmt: skip
        assert result.info["stopped_by"] == "energy_threshold"
        assert result.first.energy <= best
        assert len(result) < 2000
    assert sampler.sample(bqm, energy_threshold=best - 1).info["stopped_by"] == "finished"
    at_start = sampler.sample(bqm, energy_threshold=1e9, num_sweeps=10**6)
    assert at_start.info["stopped_by"] == "energy_threshold"
    assert at_start.info["num_sweeps"] == [0, 0]
    states = np.ones((3, bqm.num_variables), np.int8)
    states[1, bqm.num_variables // 2] = -1
    energies = bqm.energies((states, bqm.variables))
    states = states[np.argsort(-energies)]  # the last is the one below the threshold
    met = sampler.sample(
        bqm, initial_states=(states, list(bqm.variables)), energy_threshold=energies.min()
    )
    assert met.first.energy == pytest.approx(energies.min())


@pytest.mark.parametrize("form", ["dense", "sparse"])
@pytest.mark.parametrize("reads", [2, 20])
def test_a_threshold_is_met_where_float32_rounds_above_it(form, reads):
    sampler = SimulatedAnnealingSampler()
    for seed in range(12):
        bqm = random_bqm(np.random.default_rng(seed), 60, kind="real")
        options = {"num_reads": reads, "num_sweeps": 50, "seed": seed, "form": form}
        best = sampler.sample(bqm, **options).first.energy
        found = sampler.sample(bqm, energy_threshold=best, **options)
        assert found.info["stopped_by"] == "energy_threshold"
        assert found.first.energy == best
        just_less = np.nextafter(best - 1e-9 * abs(best), -np.inf)
        missed = sampler.sample(bqm, energy_threshold=just_less, **options)
        assert missed.info["stopped_by"] == "finished"


def test_progress_gets_the_lowest_energy_so_far():
    bqm = dimod.generators.ran_r(100, 200, seed=1)
    bqm.offset = 12.25
    seen = []
    result = SimulatedAnnealingSampler().sample(
        bqm, num_reads=96, num_sweeps=20_000, seed=1, num_threads=1, progress=seen.append
    )
    assert len(seen) >= 2
    assert seen == sorted(seen, reverse=True)
    assert result.first.energy <= seen[-1] + 1e-3
    # Most of the tiles have ended when the last report is made.
    assert seen[-1] == pytest.approx(result.first.energy, rel=0.01)
