"""Samplers on arrays: the states of dimod models, without making one."""

import dimod
import numpy as np
import pytest
import scipy.sparse as sp

from qpsbgd import (
    ExhaustiveSampler,
    LowRank,
    SimulatedAnnealingSampler,
    SteepestDescentSampler,
    TabuSampler,
    _core,
)
from qpsbgd.samplers.call.initial_states import InitialStates
from qpsbgd.samplers.problem.array_model import ArrayModel
from qpsbgd.samplers.problem.ising import Problem

CALLS = {
    "annealing": (SimulatedAnnealingSampler(), {"num_sweeps": 15, "num_reads": 5, "seed": 3}),
    "tabu": (TabuSampler(), {"num_restarts": 2, "timeout": None, "num_reads": 2, "seed": 3}),
    "descent": (SteepestDescentSampler(), {"num_reads": 4, "seed": 3}),
    "exhaustive": (ExhaustiveSampler(), {"num_states": 5}),
}
every_sampler = pytest.mark.parametrize("name", CALLS)


def arrays(rng, n, *, density=1.0, kind="integer"):
    """h (n,) and the strict upper triangle of J (n, n)."""
    draw = (lambda size: rng.integers(-9, 10, size)) if kind == "integer" else rng.normal
    J = np.triu(draw(size=(n, n)) * (rng.random((n, n)) < density), 1).astype(float)
    return draw(size=n).astype(float), J


def model_of(h, J, vartype="SPIN", offset=0.5):
    """The equivalent dimod model."""
    rows, columns = np.nonzero(J)
    return dimod.BQM.from_numpy_vectors(h, (rows, columns, J[rows, columns]), offset, vartype)


def ways(J):
    """The same couplings in every form that is taken; J is the upper triangle."""
    whole = J + J.T
    yield from (
        J,
        J.T,
        whole,
        np.repeat(np.repeat(whole, 2, 0), 2, 1)[::2, ::2],
        np.asfortranarray(whole),
    )
    yield from (sp.csr_matrix(J), sp.csc_array(J.T), sp.coo_array(whole), sp.lil_matrix(whole))
    yield from (sp.dok_array(J), sp.csr_array(whole))


@every_sampler
@pytest.mark.parametrize("vartype", ["SPIN", "BINARY"])
@pytest.mark.parametrize("kind", ["integer", "normal"])
@pytest.mark.parametrize(("n", "density"), [(0, 1.0), (1, 1.0), (17, 1.0), (130, 0.02), (90, 0.5)])
def test_equals_sample(rng, isa, name, vartype, kind, n, density):
    sampler, options = CALLS[name]
    if name == "exhaustive":
        n = min(n, 12)
    h, J = arrays(rng, n, density=density, kind=kind)
    expected = sampler.sample(model_of(h, J, vartype), **options)
    assert list(expected.variables) == list(range(n))
    for couplings in ways(J):
        result = sampler.sample_arrays(h, couplings, offset=0.5, vartype=vartype, **options)
        np.testing.assert_array_equal(result.states, expected.record.sample)
        assert result.states.dtype == np.int8
        np.testing.assert_allclose(result.energies, expected.record.energy, rtol=1e-13, atol=1e-12)
        assert result.num_occurrences.tolist() == [1] * len(result.states)
        for key in ("form", "precision", "tenure", "num_moves", "stopped_by", "keep"):
            assert result.info.get(key) == expected.info.get(key)
        for vector, values in result.vectors.items():
            np.testing.assert_array_equal(values, expected.record[vector])


def test_the_rule_that_reads_the_biases_again(rng):
    h, J = arrays(rng, 90, density=0.05)
    options = {"beta_range": "dwave", "num_sweeps": 15, "seed": 3}
    sampler = SimulatedAnnealingSampler()
    expected = sampler.sample(model_of(h, J), **options)
    for couplings in ways(J):
        result = sampler.sample_arrays(h, couplings, **options)
        np.testing.assert_array_equal(result.states, expected.record.sample)
        assert result.info["beta_range"] == expected.info["beta_range"]


@pytest.mark.parametrize("kind", ["integer", "normal"])
def test_dense_problems_of_all_kinds_are_the_same_to_the_bit(rng, isa, kind):
    # From pairs in float32, from pairs in float64, from the caller's matrix, and from a quarter.
    for n in (1, 2, 16, 33, 70, 129):
        h, J = arrays(rng, n, kind=kind)
        states = rng.choice(np.array([-1, 1], np.int8), (21, n))
        whole = J + J.T
        for vartype in ("SPIN", "BINARY"):
            pairs = Problem(model_of(h, J, vartype), "dense")
            matrix = Problem(ArrayModel(h, whole, 0.5, vartype), "dense")
            for count in (1, 3, 21):
                some = states[:count]
                energies = pairs.core.energies(some, num_threads=1)
                assert energies.tolist() == matrix.core.energies(some, num_threads=1).tolist()
                np.testing.assert_array_equal(pairs.core.fields(some), matrix.core.fields(some))
            np.testing.assert_array_equal(pairs.core.reach, matrix.core.reach)
            v = states if vartype == "SPIN" else (states + 1) // 2
            np.testing.assert_allclose(
                matrix.energies(states, 1),
                v @ h + np.einsum("ri,ij,rj->r", v, J, v) + 0.5,
                rtol=1e-12,
                atol=1e-10,
            )


def test_pairs_that_come_twice_are_added_up():
    rows, columns = np.array([1, 0, 2], np.uint32), np.array([0, 1, 1], np.uint32)
    values = np.array([1.0, 2.0, 5.0])
    problem = _core.Ising(np.zeros(3), rows, columns, values, _core.Form.dense)
    states = np.array([[1, 1, 1], [1, -1, 1]], np.int8)
    assert problem.energies(states, num_threads=1).tolist() == [8.0, -8.0]
    assert problem.fields(states[:1]).tolist() == [[3.0, 8.0, 5.0]]


@pytest.mark.parametrize("scale", [2.0**-900, 2.0**-61, 1.0, 2.0**61, 2.0**900])
def test_scales_of_every_size(rng, scale):
    h, J = arrays(rng, 40)
    plain = SimulatedAnnealingSampler().sample_arrays(h, J + J.T, num_sweeps=20, seed=1)
    scaled = SimulatedAnnealingSampler().sample_arrays(
        h * scale, (J + J.T) * scale, num_sweeps=20, seed=1
    )
    np.testing.assert_array_equal(plain.states, scaled.states)
    np.testing.assert_array_equal(plain.energies * scale, scaled.energies)
    bqm = model_of(h * scale, J * scale, offset=0.0)
    again = SimulatedAnnealingSampler().sample(bqm, num_sweeps=20, seed=1)
    np.testing.assert_array_equal(again.record.sample, scaled.states)
    np.testing.assert_array_equal(again.record.energy, scaled.energies)


@pytest.mark.parametrize("magnitude", [1e-300, 1e301])
def test_quarters_that_are_near_the_ends_of_float64(rng, magnitude):
    h, J = arrays(rng, 8)
    h, J = h * magnitude, J * magnitude
    options = {"vartype": "BINARY", "num_states": 4}
    found = ExhaustiveSampler().sample_arrays(h, J + J.T, **options)
    for state, energy in zip(found.states, found.energies, strict=True):
        assert energy == pytest.approx(state @ h + state @ J @ state, rel=1e-12)


@pytest.mark.parametrize(
    "dtype", ["float32", "float64", "float16", "int8", "int64", "bool", ">f4", ">f8", "uint16"]
)
def test_number_types(rng, dtype):
    J = np.triu(rng.integers(0, 2, (30, 30)), 1)
    J = (J + J.T).astype(dtype)
    h = np.ones(30, dtype)
    result = TabuSampler().sample_arrays(h, J, timeout=None, num_restarts=1, seed=1)
    expected = TabuSampler().sample_arrays(
        h.astype(float), J.astype(float), timeout=None, num_restarts=1, seed=1
    )
    np.testing.assert_array_equal(result.states, expected.states)
    np.testing.assert_array_equal(result.energies, expected.energies)


def test_tensors_and_lists(rng):
    torch = pytest.importorskip("torch")  # takes seconds if no other test has imported it
    h, J = arrays(rng, 20, kind="normal")
    sampler, options = CALLS["annealing"]
    expected = sampler.sample_arrays(h, J + J.T, **options)
    for wrap in (torch.tensor, np.ndarray.tolist):
        result = sampler.sample_arrays(wrap(h), wrap(J + J.T), **options)
        np.testing.assert_array_equal(result.states, expected.states)
        np.testing.assert_array_equal(result.energies, expected.energies)


def test_memory_maps_are_not_copied_and_not_changed(rng, tmp_path):
    h, J = arrays(rng, 70, kind="normal")
    J = (J + J.T).astype(np.float32)
    np.save(tmp_path / "J.npy", J)
    mapped = np.load(tmp_path / "J.npy", mmap_mode="r")
    model = ArrayModel(h, mapped, 0.0, "SPIN")
    assert np.shares_memory(model.matrix, mapped)
    assert np.shares_memory(ArrayModel(h, J.T, 0.0, "BINARY").matrix, J)
    sampler, options = CALLS["annealing"]
    result = sampler.sample_arrays(h, mapped, vartype="BINARY", **options)
    expected = sampler.sample(model_of(h, np.triu(J, 1).astype(float), "BINARY", 0.0), **options)
    np.testing.assert_array_equal(result.states, expected.record.sample)
    np.testing.assert_array_equal(mapped, J)


def test_a_problem_holds_its_matrix(rng):
    h, J = arrays(rng, 50, kind="normal")
    states = rng.choice(np.array([-1, 1], np.int8), (3, 50))
    core = Problem(ArrayModel(h, (J + J.T).copy(), 0.0, "SPIN")).core  # nothing else refers to it
    junk = [np.full((50, 50), np.nan) for _ in range(20)]
    expected = states @ h + np.einsum("ri,ij,rj->r", states, J, states)
    np.testing.assert_allclose(core.energies(states, num_threads=1), expected, atol=1e-10)
    assert len(junk) == 20


def test_sparse_matrices_are_not_changed(rng):
    h, J = arrays(rng, 30)
    rows, columns = np.nonzero(J)
    # Unsorted, with values in two parts and stored zeros.
    order = rng.permutation(2 * len(rows) + 1)
    entries = (
        np.concatenate([J[rows, columns] - 1, np.ones(len(rows)), [0.0]])[order],
        np.concatenate([rows, rows, [3]])[order],
        np.concatenate([columns, columns, [3]])[order],
    )
    matrix = sp.csr_matrix((30, 30))
    coo = sp.coo_matrix((entries[0], entries[1:]), (30, 30))
    matrix = sp.csr_matrix((coo.data, coo.col, np.searchsorted(np.sort(coo.row), range(31))))
    data, indices = matrix.data.copy(), matrix.indices.copy()
    SteepestDescentSampler().sample_arrays(h, sp.triu(matrix, 1, "csr"), seed=1)
    np.testing.assert_array_equal(data, matrix.data)
    np.testing.assert_array_equal(indices, matrix.indices)
    sampler, options = CALLS["annealing"]
    result = sampler.sample_arrays(h, coo, offset=0.5, **options)
    expected = sampler.sample(model_of(h, J), **options)
    np.testing.assert_array_equal(result.states, expected.record.sample)


@pytest.mark.parametrize("wrap", [np.array, sp.csr_array, sp.coo_matrix])
@pytest.mark.parametrize(
    ("at", "value", "rule"),
    [
        ((1, 2), np.nan, "J\\[1, 2\\] is nan, but must be finite"),
        ((2, 0), -np.inf, "J\\[2, 0\\] is -inf, but must be finite"),
        ((2, 2), 1.0, "J\\[2, 2\\] is 1.0, but the diagonal must be zero"),
        ((0, 2), 5.0, "J\\[0, 2\\] is 5.0, but must equal the entry across the diagonal, 0.0"),
    ],
)
def test_bad_couplings(wrap, at, value, rule):
    J = np.zeros((3, 3))
    J[0, 1] = J[1, 0] = 1.0
    J[at] = value
    with pytest.raises(ValueError, match=rule):
        SimulatedAnnealingSampler().sample_arrays(np.zeros(3), wrap(J))


@pytest.mark.parametrize("wrap", [np.array, sp.csc_matrix])
def test_both_triangles_are_ambiguous_unless_equal(wrap):
    J = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 0.0], [0.0, 2.0, 0.0]])
    with pytest.raises(ValueError, match="must equal the entry across the diagonal"):
        TabuSampler().sample_arrays(np.zeros(3), wrap(J))


@pytest.mark.parametrize(
    ("h", "J", "options", "error", "rule"),
    [
        (np.zeros((1, 2)), np.zeros((2, 2)), {}, ValueError, "h has shape \\(1, 2\\)"),
        (np.zeros(2), np.zeros((3, 3)), {}, ValueError, "J has shape \\(3, 3\\)"),
        (np.zeros(2), sp.csr_matrix((3, 3)), {}, ValueError, "J has shape \\(3, 3\\)"),
        (np.zeros(2), np.zeros(4), {}, ValueError, "J has shape \\(4,\\)"),
        ([0.0, np.nan], np.zeros((2, 2)), {}, ValueError, "h\\[1\\] is nan"),
        ([0.0, 1j], np.zeros((2, 2)), {}, TypeError, "h is a list of complex128"),
        (np.zeros(2), np.zeros((2, 2), complex), {}, TypeError, "J is a ndarray of complex128"),
        (np.zeros(2), sp.csr_matrix((2, 2), dtype=complex), {}, TypeError, "J has dtype complex"),
        (np.zeros(2), {(0, 1): 1.0}, {}, TypeError, "J is a dict"),
        (np.zeros(2), LowRank(np.zeros((1, 2))), {}, TypeError, "J is a LowRank"),
        (np.ma.masked_array([0.0, 1.0], [True, False]), np.zeros((2, 2)), {}, TypeError, "masked"),
        (np.zeros(2), np.ma.zeros((2, 2)), {}, TypeError, "J is a masked array"),
        (np.zeros(2), np.zeros((2, 2)), {"offset": np.inf}, ValueError, "offset is inf"),
        (np.zeros(2), np.zeros((2, 2)), {"offset": "1"}, TypeError, "offset is '1'"),
        (np.zeros(2), np.zeros((2, 2)), {"vartype": "spin"}, ValueError, "vartype is 'spin'"),
        (np.zeros(2), np.zeros((2, 2)), {"num_reads": 0}, ValueError, "num_reads is 0"),
        (np.zeros(2), np.zeros((2, 2)), {"num_reads": 1.5}, TypeError, "num_reads is 1.5"),
        (
            np.zeros(2), np.zeros((2, 2)), {"initial_states": [[1, 1, 1]]}, ValueError,
            "other variables",
        ),
    ],
)  # fmt: skip
def test_bad_arguments(h, J, options, error, rule):
    with pytest.raises(error, match=rule):
        SteepestDescentSampler().sample_arrays(h, J, **options)


def test_initial_states_are_those_of_the_columns():
    J = np.zeros((3, 3))
    result = SimulatedAnnealingSampler().sample_arrays(
        np.ones(3), J, num_sweeps=0, vartype="BINARY", initial_states=[[0, 1, 1], [1, 0, 1]]
    )
    assert result.states.tolist() == [[0, 1, 1], [1, 0, 1]]
    again = SimulatedAnnealingSampler().sample_arrays(
        np.ones(3), J, num_sweeps=0, initial_states=result.to_sampleset()
    )
    assert again.states.tolist() == [[-1, 1, 1], [1, -1, 1]]


def test_an_interrupted_call_has_its_result():
    def fail(_):
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop") as caught:
        ExhaustiveSampler().sample_arrays(
            np.ones(40), np.zeros((40, 40)), num_threads=1, progress=fail
        )
    assert caught.value.result.states.shape == (1, 40)
    assert caught.value.result.info["stopped_by"] == "interrupt"


@every_sampler
def test_to_sampleset(rng, name):
    sampler, options = CALLS[name]
    h, J = arrays(rng, 9)
    result = sampler.sample_arrays(h, J, vartype="BINARY", **options)
    sampleset = result.to_sampleset()
    bqm = model_of(h, J, "BINARY", 0.0)
    dimod.testing.assert_sampleset_energies(sampleset, bqm)
    assert sampleset.vartype is dimod.BINARY
    assert sampleset.info == result.info
    plain = dimod.SampleSet.from_samples(
        result.states, "BINARY", result.energies, result.info, result.num_occurrences,
        **result.vectors,
    )  # fmt: skip
    assert sampleset == plain
    assert sampleset.record.dtype == plain.record.dtype
    for column in plain.record.dtype.names:
        np.testing.assert_array_equal(sampleset.record[column], plain.record[column])


GIVEN = {
    "none": lambda rng, labels: None,
    "dict": lambda rng, labels: dict.fromkeys(reversed(labels), 1),
    "array": lambda rng, labels: (rng.choice([-1, 1], (3, len(labels))), labels[::-1]),
    "set": lambda rng, labels: dimod.SampleSet.from_samples(
        (rng.integers(0, 2, (2, len(labels))), labels), "BINARY", [0.0, 0.0]
    ),
}


@pytest.mark.parametrize("given", GIVEN)
@pytest.mark.parametrize("generator", ["none", "tile", "random"])
@pytest.mark.parametrize("vartype", ["SPIN", "BINARY"])
@pytest.mark.parametrize(
    "labels", [list(range(5)), [3, 0, 1, 4, 2], list("edbca"), ["a", 1, (2,), "b", 0], []]
)
def test_initial_states_equal_dimods(rng, given, generator, vartype, labels):
    bqm = dimod.BQM(dict.fromkeys(labels, 0.0), {}, 0.0, vartype)
    for reads in (None, 1, 2, 7):
        states = GIVEN[given](rng, labels)
        arguments = (states, generator, reads, 11)
        try:
            expected = SimulatedAnnealingSampler().parse_initial_states(bqm, *arguments)
        except ValueError:
            with pytest.raises(ValueError, match="initial_states"):
                InitialStates(labels, bqm.vartype, *arguments)
            continue
        starts = InitialStates(labels, bqm.vartype, *arguments)
        parts = [starts.take(1), starts.take(starts.num_reads - 1)]
        columns, spins = starts.labels, np.concatenate(parts)
        samples = expected.initial_states
        assert list(columns) == list(samples.variables)
        np.testing.assert_array_equal(
            spins, samples.change_vartype("SPIN", inplace=False).record.sample
        )


@pytest.mark.parametrize("seed", [0, 1, 2**31 - 1, 2**32 - 1])
def test_random_spins_are_numpys(seed):
    generator = _core.RandomSpins(seed)
    spins = np.concatenate([generator.draw(1, 1001), generator.draw(2, 1001)])
    expected = np.random.RandomState(seed).choice(np.array([-1, 1], np.int8), (3, 1001))
    np.testing.assert_array_equal(spins, expected)


@pytest.mark.parametrize("kind", ["integer", "normal", "penalty"])
def test_descents_of_few_reads_equal_those_of_many(rng, isa, kind):
    # Few reads of a dense problem in float64 convert rows, many convert the matrix.
    h, J = arrays(rng, 75, kind="normal" if kind == "penalty" else kind)
    if kind == "penalty":
        J[::7] *= 2.0**40
    core = Problem(ArrayModel(h, J + J.T, 0.0, "SPIN"), "dense").core
    states = rng.choice(np.array([-1, 1], np.int8), (5, 75))
    options = {"precision": _core.Precision.float64, "num_threads": 1, "watch": None}
    many, steps, *_ = core.descend(states, time_limit=np.inf, **options)
    for read in range(5):
        one, count, *_ = core.descend(states[read : read + 1], time_limit=np.inf, **options)
        np.testing.assert_array_equal(one[0], many[read])
        assert count[0] == steps[read]


@pytest.mark.parametrize("index", [100, -7])
@pytest.mark.parametrize("kind", ["csr", "csc", "coo", "bsr"])
def test_damaged_indices_of_a_sparse_matrix(rng, kind, index):
    # SciPy's conversions do not check them, and read or write outside of their arrays.
    couplings = np.triu(rng.normal(size=(100, 100)), 1)
    J = sp.csr_array(couplings).asformat(kind)
    damaged = (J.row if kind == "coo" else J.indices).copy()
    damaged[5] = index
    setattr(J, "row" if kind == "coo" else "indices", damaged)
    with pytest.raises(ValueError, match="J is a damaged sparse matrix"):
        SimulatedAnnealingSampler().sample_arrays(np.zeros(100), J)


@every_sampler
def test_vartypes_of_dimod(name):
    sampler, options = CALLS[name]
    for word in ("SPIN", "BINARY"):
        named, expected = (
            sampler.sample_arrays([0.5, -1.0], np.zeros((2, 2)), vartype=vartype, **options)
            for vartype in (dimod.as_vartype(word), word)
        )
        assert named.vartype == word
        np.testing.assert_array_equal(named.states, expected.states)


@every_sampler
def test_a_warning_of_unknown_options_names_the_line_of_the_call(name):
    sampler, options = CALLS[name]
    with pytest.warns(dimod.exceptions.SamplerUnknownArgWarning, match="chain_strength") as record:
        sampler.sample_arrays([0.5], np.zeros((1, 1)), chain_strength=2.0, **options)
    assert [warning.filename for warning in record] == [__file__]
