"""Parameters of calls: what a machine must refuse is refused before a call, by D-Wave's rules."""

import numpy as np
import pytest

pytest.importorskip("dwave.system", reason="dwave-system is not installed")

from dwave.cloud.testing.mocks import qpu_problem_timing_data
from dwave.system.testing import MockDWaveSampler

from qpsbgd import ProjectionOptions
from qpsbgd.hardware import DWaveProjector, mock_annealer
from qpsbgd.hardware.annealer.machine import Machine, Ranges, access_time_us, check_run_time
from qpsbgd.hardware.annealer.parameters import check_parameters, checked_parameters

SHAPE = (2,)
NUM_QUBITS = 48  # of P2, working or not


@pytest.fixture(scope="module")
def properties():
    return MockDWaveSampler(topology_type="pegasus", topology_shape=list(SHAPE)).properties


@pytest.fixture(scope="module")
def accepted():
    return MockDWaveSampler(topology_type="pegasus", topology_shape=list(SHAPE)).parameters


@pytest.fixture
def check(properties, accepted):
    """The checks of the constructor, for a machine with Advantage's ranges."""

    def checked(reverse_schedule=None, annealing_time=None, **sample_kwargs):
        return checked_parameters(
            properties,
            accepted,
            sample_kwargs,
            annealing_time=annealing_time,
            reverse_schedule=reverse_schedule,
        )

    return checked


PAUSE = [(0, 0), (10, 0.4), (20, 0.4), (21, 1)]
REVERSE = [(0, 1), (5, 0.45), (15, 0.45), (16, 1)]


def test_parameters_that_the_machine_takes(check):
    assert check(anneal_schedule=PAUSE) == {
        "anneal_schedule": [[0.0, 0.0], [10.0, 0.4], [20.0, 0.4], [21.0, 1.0]]
    }
    steepest = [[0, 0], [0.5, 1]]
    assert check(anneal_schedule=np.array(steepest))["anneal_schedule"] == steepest
    assert check(reverse_schedule=REVERSE)["reinitialize_state"] is True
    again = check(reverse_schedule=REVERSE, reinitialize_state=False)
    assert again["reinitialize_state"] is False
    # Forward anneals have 12 points at most, reverse ones 13.
    stairs = [(5 * k, 1 - 0.1 * (k % 2)) for k in range(12)] + [(60, 1)]
    assert len(check(reverse_schedule=stairs)["anneal_schedule"]) == 13
    assert check(fast_anneal=True, anneal_schedule=[(0, 0), (0.007, 1)])["fast_anneal"]
    assert check(fast_anneal=True, annealing_time=0.005)["annealing_time"] == 0.005
    gains = [(0, 1), (20, -2.5)]
    assert check(h_gain_schedule=gains)["h_gain_schedule"] == [[0.0, 1.0], [20.0, -2.5]]
    assert check(h_gain_schedule=[(0, 1), (7, 2)], annealing_time=7.0)
    assert check(h_gain_schedule=[(0, 1), (21, 2)], anneal_schedule=PAUSE)
    assert check(programming_thermalization=5.0, readout_thermalization=0)
    biases = check(flux_biases={3: 1e-4, 40: -2e-4})["flux_biases"]
    assert (len(biases), biases[3], biases[40]) == (NUM_QUBITS, 1e-4, -2e-4)
    assert biases == check(flux_biases=np.array(biases))["flux_biases"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"anneal_schedule": [(0, 0)]}, "has 1 points, but must have at least 2"),
        ({"anneal_schedule": [(0, 0), (0, 1)]}, "must start at 0 and increase"),
        ({"anneal_schedule": [(1, 0), (2, 1)]}, "must start at 0 and increase"),
        ({"anneal_schedule": [(0, 0), (1, float("nan"))]}, "must have finite numbers"),
        ({"anneal_schedule": [(0, 0), (5, 0.9)]}, "and end at 1"),
        ({"anneal_schedule": [(0, 0.5), (5, 1)]}, "start at 0 "),
        ({"anneal_schedule": [(0, 0), (5, 1.1), (9, 1)]}, r"must lie in \[0, 1\]"),
        ({"anneal_schedule": [(0, 0), (5, 0.9), (9, 0.8), (12, 1)]}, "must not decrease"),
        ({"anneal_schedule": [(0, 0), (2001, 1)]}, "must end by 2000.0 us"),
        ({"anneal_schedule": [(0, 0), (0.4, 1)]}, "slope of 2.5 per us, but it must be at most 2"),
        ({"anneal_schedule": [(0, 0), (30, 0.7), (30.04, 0.8), (40, 1)]}, "a slope of 2.5"),
        ({"anneal_schedule": [(k, k / 12) for k in range(13)]}, "13 points, but .* at most 12"),
        ({"anneal_schedule": REVERSE}, "a reverse anneal: give it as reverse_schedule="),
        ({"anneal_schedule": PAUSE, "annealing_time": 20}, "both given: remove one"),
        ({"reverse_schedule": PAUSE}, r"starts at \[0.0, 0.0\], but must start at \[0.0, 1.0\]"),
        ({"reverse_schedule": REVERSE, "anneal_schedule": PAUSE}, "are both given"),
        ({"reverse_schedule": [(0, 1), (5, 0.4)]}, "reverse_schedule has .* and end at 1"),
        ({"reverse_schedule": [(0, 1), (0.1, 0.5), (9, 1)]}, "reverse_schedule has a slope of 5"),
        ({"reverse_schedule": [(0, 1)]}, "reverse_schedule has 1 points"),
        ({"reinitialize_state": True}, "goes with reverse_schedule="),
        ({"initial_state": {0: 1}}, "sample_kwargs has 'initial_state'.*reverse_schedule="),
        ({"fast_anneal": True, "annealing_time": 0.001}, r"must lie in \[0.005, 2000.0\]"),
        ({"fast_anneal": True, "reverse_schedule": REVERSE}, "fast_anneal=True"),
        ({"fast_anneal": True, "anneal_schedule": PAUSE}, "allows two points alone"),
        ({"fast_anneal": True, "anneal_schedule": [(0, 0), (0.001, 1)]}, r"lie in \[0.005"),
        ({"fast_anneal": True, "h_gain_schedule": [(0, 1), (20, 1)]}, "h_gain_schedule does not"),
        ({"annealing_time": 0.005}, r"annealing_time is 0.005, but must lie in \[0.5, 2000.0\]"),
        ({"programming_thermalization": -1.0}, r"must lie in \[0.0, 10000.0\]"),
        ({"readout_thermalization": 1e5}, r"must lie in \[0.0, 10000.0\]"),
        ({"h_gain_schedule": [(0, 1), (20, 3.5)]}, r"is 3.5, but must lie in \[-3.0, 3.0\]"),
        ({"h_gain_schedule": [(0, 1), (19, 1)]}, "must end with the anneal, at 20.0 us"),
        ({"h_gain_schedule": [(k, 1) for k in range(21)]}, "21 points, but .* at most 20"),
        ({"flux_biases": [0.0] * 47}, r"shape \(47,\), but must have a value for each of the 48"),
        ({"flux_biases": {48: 1e-4}}, r"has the qubit 48, but qubits are 0 \.\. 47"),
        ({"flux_biases": {1: float("inf")}}, "must have finite values"),
        ({"anneal_offsets": [[0.0] * 48]}, r"shape \(1, 48\)"),
    ],
)
def test_what_the_machine_must_refuse(check, arguments, message):
    with pytest.raises(ValueError, match=message):
        check(**arguments)


def test_schedules_of_wrong_types(check):
    with pytest.raises(TypeError, match=r"must be a list of pairs \(time, value\)"):
        check(anneal_schedule=20.0)
    with pytest.raises(TypeError, match="flux_biases is 'much'"):
        check(flux_biases={1: "much"})
    with pytest.raises(TypeError, match="annealing_time is 'long'"):
        check(annealing_time="long")
    with pytest.raises(TypeError, match="readout_thermalization is 'long'"):
        check(readout_thermalization="long")


def test_a_machine_without_reverse_anneals(properties, accepted):
    for missing in ("initial_state", "anneal_schedule"):
        fewer = [name for name in accepted if name != missing]
        with pytest.raises(ValueError, match=f"takes no {missing}"):
            checked_parameters(properties, fewer, {}, reverse_schedule=REVERSE)
    fewer = [name for name in accepted if name != "reinitialize_state"]
    assert checked_parameters(properties, fewer, {}, reverse_schedule=REVERSE).keys() == {
        "anneal_schedule"
    }


def test_offsets_beyond_the_range_of_their_qubit(properties, accepted):
    ranges = [[-0.5, 0.4]] * NUM_QUBITS
    ranges[3] = [0.0, 0.0]
    own = {**properties, "anneal_offset_ranges": ranges}
    assert checked_parameters(own, accepted, {"anneal_offsets": {2: 0.4}})
    for qubit, offset in ((2, 0.5), (3, 0.1)):
        with pytest.raises(ValueError, match=rf"anneal_offsets\[{qubit}\] is {offset}, but must"):
            checked_parameters(own, accepted, {"anneal_offsets": {qubit: offset}})


def test_a_machine_without_properties_checks_only_what_is_known():
    assert checked_parameters({}, ["anneal_schedule"], {"anneal_schedule": [(0, 0), (1e9, 1)]})
    with pytest.raises(ValueError, match="num_qubits is unknown"):
        checked_parameters({}, ["flux_biases"], {"flux_biases": {0: 1.0}})


@pytest.mark.parametrize(
    "arguments",
    [
        {"sample_kwargs": {"anneal_schedule": [(0, 0), (0.1, 1)]}},
        {"sample_kwargs": {"flux_biases": [0.0]}},
        {"reverse_schedule": [(0, 1), (0.1, 0), (9, 1)]},
        {"num_reads": 10_001},
        {"annealing_time": 5000.0},
    ],
)
def test_the_constructor_refuses(arguments, tmp_path):
    with pytest.raises(ValueError, match="must"):
        DWaveProjector(mock_annealer("pegasus", SHAPE), cache=tmp_path, **arguments)


def test_other_parameters_are_passed_as_they_are(properties, accepted):
    # D-Wave adds parameters; a machine that lists one takes it.
    kwargs = {"x_new": [1, 2], "reduce_intersample_correlation": True}
    assert checked_parameters(properties, [*accepted, "x_new"], kwargs) == kwargs
    check_parameters(properties, kwargs)


# Gains and ranges


def test_linear_biases_stay_in_range_under_a_gain():
    ranges = Ranges(h=(-4.0, 3.0))
    assert ranges.with_gains([]) == ranges
    assert ranges.with_gains([(0, 1), (20, 2)]).h == (-2.0, 1.5)
    assert ranges.with_gains([(0, 0.5), (20, 0.0)]).h == (-4.0, 3.0)  # never beyond h_range
    low, high = ranges.with_gains([(0, 1), (20, -2)]).h
    assert (low, high) == (-1.5, 2.0)
    assert max(-2 * low, high) <= 3.0


def test_a_gain_scales_the_biases_of_a_call(rng, tmp_path):
    sent = []

    class Listening(MockDWaveSampler):
        def sample(self, bqm, **kwargs):
            sent.append(bqm)
            return super().sample(bqm, num_reads=kwargs["num_reads"])

    machine = Listening(topology_type="pegasus", topology_shape=[2])
    X = np.eye(4, dtype=np.float32)  # fields alone
    T = rng.normal(size=(4, 2)).astype(np.float32)
    for gain in (1.0, 2.0):
        gains = {"h_gain_schedule": [(0, 1), (20, gain)]}
        DWaveProjector(machine, sample_kwargs=gains, cache=tmp_path)(
            X, T, ProjectionOptions(seed=1)
        )
    once, twice = ([abs(h) for h in bqm.linear.values()] for bqm in sent)
    assert max(once) == pytest.approx(4.0)
    assert max(twice) == pytest.approx(2.0)


def test_couplings_without_the_extended_range(rng, tmp_path):
    machine = mock_annealer("pegasus", SHAPE)
    assert Machine(machine).ranges.J == (-2.0, 1.0)
    assert Machine(machine, extended_j_range=False).ranges.J == (-1.0, 1.0)
    X, T = rng.normal(size=(2, 20, 8)).astype(np.float32)
    strongest = []
    for extended in (True, False):
        projector = DWaveProjector(machine, extended_j_range=extended, cache=tmp_path)
        projector(X, T)
        context = projector.last_call["sampleset"].info["embedding_context"]
        strongest.append(max(context["chain_strength"].values()))
    assert 1.0 < strongest[0] <= 2.0
    assert 0.5 < strongest[1] <= 1.0


# Times


def test_times_with_missing_properties():
    whole = access_time_us({}, 100, 10, {})
    partial = {"problem_timing_data": {"default_annealing_time": 30.0, "version": None}}
    assert access_time_us(partial, 100, 10, {}) == pytest.approx(whole + 10 * 10.0)
    with pytest.raises(ValueError, match="timing model 9"):
        access_time_us({"problem_timing_data": {"version": "9.0"}}, 100, 10, {})
    nothing = {"default_programming_thermalization": None}
    check_run_time({**nothing, "problem_run_duration_range": [0.0, 1e6]}, 100, 10, {})
    with pytest.raises(ValueError, match="num_reads is 10, but must be at most"):
        check_run_time({**nothing, "problem_run_duration_range": [0.0, 100.0]}, 100, 10, {})


def test_times_of_reverse_anneals(check):
    """D-Wave's typical times differ by whether each read starts at the initial state again."""
    typical = qpu_problem_timing_data()
    kinds = [
        {"anneal_schedule": [[0.0, 0.0], [16.0, 1.0]]},
        check(reverse_schedule=REVERSE, reinitialize_state=False),
        check(reverse_schedule=REVERSE),
    ]
    forward, walking, again = (access_time_us({}, 100, 100, parameters) for parameters in kinds)
    for difference, kind in ((walking - forward, "without"), (again - forward, "with")):
        assert difference == pytest.approx(
            typical[f"reverse_annealing_{kind}_reinit_prog_time_delta"]
            + 100 * typical[f"reverse_annealing_{kind}_reinit_delay_time_delta"]
        )
