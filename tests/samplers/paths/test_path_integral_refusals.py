"""Arguments that PathIntegralAnnealingSampler and its core refuse."""

import numpy as np
import pytest

from problems import random_bqm
from qpsbgd import PathIntegralAnnealingSampler, _core

CUSTOM = {"beta_schedule_type": "custom", "Hp_field": [1.0, 2.0]}
QUANTUM = {"project_states": (False, True)}


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"Hp_field": [1.0]}, ValueError, "Hp_field goes with beta_schedule_type='custom'"),
        ({"beta_schedule_type": "custom"}, ValueError, "Hp_field is None"),
        ({**CUSTOM, "Hp_field": [1.0, -2.0]}, ValueError, r"Hp_field\[1\] is -2.0"),
        ({**CUSTOM, "Hp_field": [1.0, np.inf]}, ValueError, "Hp_field ends at inf"),
        ({**CUSTOM, "Hp_field": [[1.0]]}, ValueError, r"Hp_field has shape \(1, 1\)"),
        ({**CUSTOM, "num_sweeps": 3}, ValueError, "num_sweeps is 3, but Hp_field"),
        ({**CUSTOM, "beta_range": (1, 3)}, ValueError, "beta_range is .* ends of Hp_field"),
        ({**CUSTOM, "Hd_field": [1.0]}, ValueError, "Hd_field has 1 values, .* 2 steps"),
        ({**CUSTOM, "Hd_field": [1.0, -1.0]}, ValueError, "Hd_field has the value -1.0"),
        ({**CUSTOM, "Hd_field": [1.0, np.nan]}, ValueError, r"Hd_field\[1\] is nan"),
        ({**CUSTOM, "Hd_field": "no"}, TypeError, "Hd_field is a str"),
        ({**CUSTOM, "Hd_field": [1.0, 5000.0]}, ValueError, "is 5000.0, but must be at most 4096"),
        ({"beta_range": (1.0, np.inf), "beta_schedule_type": "linear"}, ValueError, "finite ends"),
        ({"beta_range": (1.0, np.inf), "beta_schedule_type": "linear", "num_sweeps": 1},
         ValueError, "finite ends"),
        ({"Gamma": -1}, ValueError, "Gamma is -1"),
        ({"Gamma": "1"}, TypeError, "Gamma is '1'"),
        ({"chain_coupler_strength": np.nan}, ValueError, "chain_coupler_strength is nan"),
        ({"qubits_per_chain": 5}, ValueError, "qubits_per_chain is 5, but must divide .* 12"),
        ({"qubits_per_chain": 0}, ValueError, "qubits_per_chain is 0"),
        ({"qubits_per_update": 2}, ValueError, "qubits_per_update is 2"),
        ({"qubits_per_chain": 2, "qubits_per_update": 2}, ValueError, "'x1' and 'x0' of one chain"),
        ({"project_states": True}, TypeError, "project_states is True"),
        ({"project_states": (1, 0)}, TypeError, r"project_states is \(1, 0\)"),
        ({"num_breaks": np.zeros((1, 12), int)}, ValueError, r"set project_states=\(False, ...\)"),
        ({**QUANTUM, "num_breaks": np.zeros((2, 12), int)}, ValueError, r"shape \(2, 12\)"),
        ({**QUANTUM, "num_breaks": np.ones((1, 12), int)}, ValueError, "1, but must be even"),
        ({**QUANTUM, "num_breaks": np.full((1, 12), -2)}, ValueError, "the value -2"),
        ({**QUANTUM, "num_breaks": np.zeros((1, 12))}, TypeError, "num_breaks has dtype float64"),
        ({**QUANTUM, "breaks_in": np.zeros(2, int)}, ValueError, "one place for each of the 0"),
        ({**QUANTUM, "num_breaks": 2 * np.eye(1, 12, dtype=int), "breaks_in": [3, 3]},
         ValueError, r"breaks_in\[0\] and breaks_in\[1\] are 3 and 3"),
        ({**QUANTUM, "num_breaks": 2 * np.eye(1, 12, dtype=int), "breaks_in": [3, 65536]},
         ValueError, "breaks_in has the value 65536"),
        ({"breaks_buffer_out": np.zeros(3, np.int32)}, ValueError, r"\(..., False\)"),
        ({"project_states": (True, False), "breaks_buffer_out": np.zeros(3)}, TypeError, "int32"),
        ({"schedule_sample_interval": 0}, ValueError, "schedule_sample_interval is 0"),
        ({"schedule_sample_interval": 101}, ValueError, "schedule_sample_interval is 101"),
        ({"seed": 2**31}, ValueError, "seed is"),
        ({"num_sweeps": 10, "num_sweeps_per_beta": 3}, ValueError, "multiple of"),
        ({"form": "round"}, ValueError, "form is 'round'"),
        ({"time_limit": 0}, ValueError, "time_limit is 0"),
        ({"num_best": 2, "schedule_sample_interval": 3}, ValueError, "schedule_sample_interval is"),
        ({"num_best": 2, "project_states": (True, False)}, ValueError, r"must be \(..., True\)"),
        ({"num_best": 2, **QUANTUM, "num_breaks": np.zeros((1, 12), int)}, ValueError,
         "num_breaks is a ndarray, but must be None with num_best"),
    ],
)  # fmt: skip
def test_refusals(rng, options, error, message):
    bqm = random_bqm(rng, 12, kind="normal")
    with pytest.raises(error, match=message):
        PathIntegralAnnealingSampler().sample(bqm, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"Gamma": 2.0}, "Gamma is 2.0, but has no effect without Hd_field"),
        ({"chain_coupler_strength": -3.0}, "chain_coupler_strength is -3.0, but has no effect"),
    ],
)
def test_parameters_without_effect_cause_a_warning(rng, options, message):
    # dwave-samplers takes them, so that they must not be errors.
    bqm = random_bqm(rng, 12)
    with pytest.warns(UserWarning, match=message) as caught:
        found = PathIntegralAnnealingSampler().sample(bqm, seed=1, **options)
    assert [warning.filename for warning in caught] == [__file__]
    expected = PathIntegralAnnealingSampler().sample(bqm, seed=1)
    np.testing.assert_array_equal(found.record.sample, expected.record.sample)


def test_the_core_refuses_what_would_be_unsafe():
    problem = _core.Ising(np.zeros(4), *np.zeros((2, 0), np.uint32), np.zeros(0))
    good = {
        "problem_fields": [1.0], "transverse_fields": [1.0], "sweeps_per_step": 1,
        "chain_length": 1, "chain_coupling": 0.0, "update_chains": False, "sample_interval": 0,
        "return_breaks": True, "seed": 0, "num_threads": 1, "time_limit": np.inf, "watch": None,
    }  # fmt: skip
    states = np.ones((2, 4), np.int8)
    numbers, places = np.full((2, 4), 2, np.int32), np.tile([1, 2], 8).astype(np.int32)
    _core.anneal_paths(problem, states, numbers, places, **good)
    for arrays in (
        (states[:, :3].copy(), None, None),
        (states, numbers, None),
        (states, numbers[:1].copy(), places),
        (states, numbers, places[:-1].copy()),
        (states, numbers, places + np.int32(2**16)),
        (states, numbers - np.int32(1), places[:8].copy()),
    ):
        with pytest.raises(ValueError, match=r"must|go together"):
            _core.anneal_paths(problem, *arrays, **good)
    for bad in ({"chain_length": 3}, {"chain_length": 0}, {"transverse_fields": [np.nan]},
                {"transverse_fields": [1e6]}, {"problem_fields": [np.inf]},
                {"problem_fields": []}):  # fmt: skip
        with pytest.raises(ValueError, match=r"must|out of range"):
            _core.anneal_paths(problem, states, None, None, **good | bad)
