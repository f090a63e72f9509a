"""Values of another kind are refused first, everywhere with the same sentence."""

import dataclasses
from decimal import Decimal
from fractions import Fraction
from types import SimpleNamespace

import dimod
import numpy as np
import pytest

import qpsbgd
from problems import layer
from qpsbgd import LowRank, SparseBatch, sample_batch
from qpsbgd.formats import Instance
from qpsbgd.samplers.batch import sample_many
from qpsbgd.samplers.problem.ising import Problem
from qpsbgd.solve import solve

SAMPLERS = (
    qpsbgd.SimulatedAnnealingSampler,
    qpsbgd.TabuSampler,
    qpsbgd.SteepestDescentSampler,
    qpsbgd.ExhaustiveSampler,
)


def quadratic_model():
    model = dimod.QuadraticModel()
    model.add_variable("BINARY", "a")
    return model


def discrete_model():
    model = dimod.DiscreteQuadraticModel()
    model.add_variable(3, "a")
    return model


def constrained_model():
    model = dimod.ConstrainedQuadraticModel()
    model.set_objective(dimod.Binary("a") * dimod.Binary("b"))
    return model


#: Has the attributes of cimod's models, which are no dimod models.
OTHER_LIBRARYS = SimpleNamespace(
    linear={"a": 1.0}, quadratic={("a", "b"): 2.0}, offset=0.5, vartype=dimod.SPIN
)
#: What is no binary quadratic model, how it is described, and what makes a model of it.
WRONG = {
    "cqm": (constrained_model(), "a ConstrainedQuadraticModel", r": dimod.cqm_to_bqm\(cqm\)\[0\]"),
    "dqm": (discrete_model(), "a DiscreteQuadraticModel", r"from_dqm\(dqm\)\)\[0\] makes one"),
    "qm": (quadratic_model(), "a QuadraticModel", r"from_qm\(qm\)\)\[0\] makes one"),
    "polynomial": (
        dimod.BinaryPolynomial({"abc": 1.0}, "SPIN"),
        "a BinaryPolynomial",
        r": dimod.make_quadratic\(poly, strength, vartype\) makes one",
    ),
    "other": (OTHER_LIBRARYS, "a SimpleNamespace", r"model.vartype.name\) makes one"),
    "dict": ({("a", "b"): 1.0}, "a dict", r"from_qubo\(Q\) or .from_ising\(h, J\) makes one"),
    "none": (None, "None", "$"),
    "number": (3, "3", "$"),
    "text": ("model", "a str", "$"),
    "class": (dimod.BinaryQuadraticModel, "the class BinaryQuadraticModel", "$"),
    "sampler": (qpsbgd.TabuSampler, "the class TabuSampler", "$"),
}
wrong_model = pytest.mark.parametrize("wrong", WRONG)


def refusal(name, wrong):
    value, description, advice = WRONG[wrong]
    rule = f"^{name} is {description}, but must be a dimod.BinaryQuadraticModel"
    return value, pytest.raises(
        TypeError, match=rule + (advice if advice == "$" else f".*{advice}")
    )


@wrong_model
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_samplers(sampler, wrong):
    value, refused = refusal("bqm", wrong)
    with refused:
        sampler().sample(value)
    # Before any other argument.
    with refused:
        sampler().sample(value, num_threads=-1)


@wrong_model
@pytest.mark.parametrize("method", ["sa", "tabu", "descent"])
def test_models_of_a_batch(method, wrong):
    value, refused = refusal(r"bqms\[1\]", wrong)
    with refused:
        sample_many([dimod.BQM("SPIN"), value], method, num_reads=-1)


@pytest.mark.parametrize("sampler", SAMPLERS[:3])
@pytest.mark.parametrize(
    ("bqms", "description"),
    [
        (dimod.BQM("SPIN"), "a BinaryQuadraticModel"),
        (constrained_model(), "a ConstrainedQuadraticModel"),
        ({"a": 1}, "a dict"),
        ("ab", "a str"),
        (None, "None"),
        (dimod.BQM, "the class BinaryQuadraticModel"),
    ],
)
def test_batches_of_models(sampler, bqms, description):
    with pytest.raises(TypeError, match=rf"^bqms is {description}, but must be an iterable of"):
        sampler().sample_many(bqms)


@wrong_model
def test_problems(wrong):
    value, refused = refusal("bqm", wrong)
    with refused:
        Problem(value)


@pytest.mark.parametrize("wrong", [key for key in WRONG if key not in ("class", "sampler")])
def test_what_makes_a_model_makes_one(wrong):
    value, _, advice = WRONG[wrong]
    if advice == "$":
        pytest.skip("nothing makes one of it")
    names = {
        "dimod": dimod, "cqm": value, "dqm": value, "qm": value, "poly": value, "Q": value,
        "model": value, "strength": 5.0, "vartype": "SPIN",
    }  # fmt: skip
    with pytest.raises(TypeError) as caught:
        qpsbgd.TabuSampler().sample(value)
    expression = str(caught.value).split(": ", 1)[1].removesuffix(" makes one").split(" or ")[0]
    made = eval(expression, names)
    qpsbgd.ExhaustiveSampler().sample(made)


X, T = layer(np.random.default_rng(0), 6, 4, 3, kind="binary")


@pytest.mark.parametrize("wrong", ["cqm", "dict", "none", "other"])
def test_layers(wrong):
    value, description, _ = WRONG[wrong]
    rule = f"{description}, but must be a NumPy array or a torch tensor"
    for take in (qpsbgd.project, qpsbgd.gradient_ising, qpsbgd.gradient_bqms):
        with pytest.raises(TypeError, match=f"^X is {rule}"):
            take(value, T)
        with pytest.raises(TypeError, match=f"^T is {rule}"):
            take(X, value)
    with pytest.raises(TypeError, match=f"^B is {rule}"):
        qpsbgd.projection_energy(X, T, value)
    with pytest.raises(TypeError, match=f"^X is {rule}"):
        qpsbgd.SamplerProjector(dimod.ExactSolver())(value, T)


@pytest.mark.parametrize("wrong", ["cqm", "dict", "none", "other"])
def test_back_ends(wrong):
    value, description, _ = WRONG[wrong]
    rule = f"is {description}, but must be"
    if value is not None:  # which means the native solver
        # The projector is checked before the layer.
        rule_of_projectors = f"^projector {rule} 'native', a dimod.Sampler or a proj"
        with pytest.raises(TypeError, match=rule_of_projectors):
            qpsbgd.project(None, None, projector=value)
    with pytest.raises(TypeError, match=f"^sampler {rule} a dimod.Sampler"):
        qpsbgd.SamplerProjector(value)


@pytest.mark.parametrize("sampler", [qpsbgd.TabuSampler, qpsbgd.NativeProjector])
def test_classes_in_the_place_of_back_ends(sampler):
    name = sampler.__name__
    with pytest.raises(
        TypeError, match=rf"^projector is the class {name}, .*: write {name}\(\) for an instance"
    ):
        qpsbgd.project(X, T, projector=sampler)
    advice = rf": write {name}\(\) for an instance" if sampler is qpsbgd.TabuSampler else ""
    with pytest.raises(TypeError, match=f"^sampler is the class {name}, but must be .*{advice}$"):
        qpsbgd.SamplerProjector(sampler)


def test_machines_and_plans():
    pytest.importorskip("dwave.system")
    from dwave.system.testing import MockDWaveSampler

    from qpsbgd.hardware import DWaveProjector, plan

    rule = "but must be a structured dimod sampler"
    for value, description in (
        (constrained_model(), "a ConstrainedQuadraticModel"),
        ({}, "a dict"),
        (MockDWaveSampler, "the class MockDWaveSampler"),
        (qpsbgd.TabuSampler(), "a TabuSampler"),
    ):
        with pytest.raises(TypeError, match=f"^sampler is {description}, {rule}"):
            DWaveProjector(value)
        with pytest.raises(TypeError, match=f"^sampler is {description}, {rule}"):
            plan([("first", (3, 4))], 10, 1, sampler=value)
    rule = "but must be a torch.nn.Module or pairs"
    for value, description in (
        (constrained_model(), "a ConstrainedQuadraticModel"),
        ({"first": (3, 4)}, "a dict"),
        (None, "None"),
        ([3], "a list"),
        (type("Net", (), {"named_modules": None}), "the class Net"),
    ):
        with pytest.raises(TypeError, match=f"^model is {description}, {rule}"):
            plan(value, 10, 1)


@pytest.mark.parametrize("wrong", ["cqm", "dict", "none", "text"])
def test_instances(wrong):
    value, description, _ = WRONG[wrong]
    with pytest.raises(TypeError, match=f"^instance is {description}, but must be a qpsbgd.form"):
        solve(value, solver="magic")
    with pytest.raises(TypeError, match=r"^instance is the class Instance, but must be a qpsbgd"):
        solve(Instance)


J, H = [[0.0, 1.0], [1.0, 0.0]], [[1.0, 2.0]]
MASKED = np.ma.masked_array
MASK = [[False, True], [True, False]]
PATTERN = SparseBatch([1.0, 1.0], [1, 0], [0, 1, 2])
SAMPLE = {"num_sweeps": 2, "seed": 1}


def pattern(**changed):
    return dataclasses.replace(PATTERN, **changed)


@pytest.mark.parametrize(
    ("couplings", "fields", "options", "name"),
    [
        (MASKED(J, MASK), H, {}, "J"),
        (J, MASKED(H, [[0, 1]]), {}, "h"),
        (J, [MASKED(H[0], [0, 1])], {}, "an entry of h"),
        ([MASKED(J, MASK)], H, {}, "an entry of J"),
        (LowRank(MASKED(J, MASK)), H, {}, "J.A"),
        (pattern(data=MASKED([1.0, 1.0], [1, 1])), H, {}, "J.data"),
        (pattern(indices=MASKED([1, 0], [0, 1])), H, {}, "J.indices"),
        (pattern(indptr=MASKED([0, 1, 2], [0, 0, 1])), H, {}, "J.indptr"),
        (J, H, {"initial_states": MASKED([[1, 1]], [[0, 1]])}, "initial_states"),
        (J, H, {"beta_range": MASKED([0.1, 1.0], [0, 1])}, "beta_range"),
        (J, H, {"beta_range": (0.1, np.ma.masked)}, "an entry of beta_range"),
        # A mask of nothing is one, too: it would be lost, whatever it says the next time.
        (MASKED(J), H, {}, "J"),
    ],
)
def test_masked_arrays_in_a_batch(couplings, fields, options, name):
    with pytest.raises(TypeError, match=rf"^{name} is a masked array, .* \.filled\(0\)"):
        sample_batch(fields, couplings, **SAMPLE, **options)


@pytest.mark.parametrize("sampler", SAMPLERS[:3])
def test_masked_initial_states(sampler):
    bqm = dimod.BQM({"a": 1.0, "b": 1.0}, {}, 0.0, "SPIN")
    states = MASKED([[1, 1]], [[0, 1]])
    for initial in (states, (states, ["a", "b"]), [{"a": 1, "b": np.ma.masked}]):
        with pytest.raises(TypeError, match="initial_states is a masked array"):
            sampler().sample(bqm, initial_states=initial)


def test_masked_temperatures():
    sample = qpsbgd.SimulatedAnnealingSampler().sample
    bqm = dimod.BQM({"a": 1.0}, {}, 0.0, "SPIN")
    betas = MASKED([0.1, 1.0], [0, 1])
    with pytest.raises(TypeError, match=r"^beta_schedule is a masked array"):
        sample(bqm, beta_schedule_type="custom", beta_schedule=betas)
    with pytest.raises(TypeError, match=r"^beta_range is a masked array"):
        sample(bqm, beta_range=betas)


def test_masked_layers():
    masked, signs = MASKED(X, X > 0), MASKED(np.ones((3, 4)), np.eye(3, 4))
    for take in (qpsbgd.project, qpsbgd.gradient_ising, qpsbgd.gradient_bqms):
        with pytest.raises(TypeError, match=r"^X is a masked array"):
            take(masked, T)
        with pytest.raises(TypeError, match=r"^T is a masked array"):
            take(X, MASKED(T, T > 0))
    with pytest.raises(TypeError, match=r"^initial is a masked array"):
        qpsbgd.project(X, T, initial=signs)
    with pytest.raises(TypeError, match=r"^B is a masked array"):
        qpsbgd.projection_energy(X, T, signs)
    bqms = qpsbgd.gradient_bqms(X, T)
    with pytest.raises(TypeError, match=r"^B is a masked array"):
        bqms.complete(signs)
    with pytest.raises(TypeError, match=r"^states is a masked array"):
        bqms.energies(0, signs)


def test_tensors_that_numpy_does_not_have():
    torch = pytest.importorskip("torch")
    h, couplings = torch.tensor(H), torch.tensor(J)
    sentence = r" has dtype torch.bfloat16, which NumPy does not have: pass {0}.float\(\)"
    with pytest.raises(TypeError, match=r"^h" + sentence.format("h")):
        sample_batch(h.bfloat16(), J)
    with pytest.raises(TypeError, match=r"^J" + sentence.format("J")):
        sample_batch(H, couplings.bfloat16())
    with pytest.raises(TypeError, match=r"^J.A" + sentence.format("J.A")):
        sample_batch(H, LowRank(couplings.bfloat16()))
    with pytest.raises(TypeError, match=r"^X" + sentence.format("X")):
        qpsbgd.project(torch.tensor(X).bfloat16(), T)
    with pytest.raises(TypeError, match=r"^J has layout torch.sparse_coo, .* J.to_dense\(\)"):
        sample_batch(H, couplings.to_sparse())
    with pytest.raises(TypeError, match=r"^h is a Tensor of complex64, but must be an array of re"):
        sample_batch(h.to(torch.complex64), J)
    # A lazy view, or a tensor that requires a gradient, is accepted as an array.
    expected = sample_batch(H, J, **SAMPLE).states
    for same in (h.requires_grad_(), torch.complex(h, -h).conj().imag):
        np.testing.assert_array_equal(sample_batch(same, J, **SAMPLE).states, expected)
    assert sample_batch(h.half(), J, **SAMPLE).states.shape == (1, 1, 2)


def test_numbers_that_numpy_does_not_have():
    for number, kind in ((Decimal(1), "Decimal"), (Fraction(1, 2), "Fraction")):
        with pytest.raises(TypeError, match=f"^h has entries that are {kind}.*: convert them"):
            sample_batch([[number, number]], J)
        with pytest.raises(TypeError, match=f"^J has entries that are {kind}.*: convert them"):
            sample_batch(H, [[0.0, number], [number, 0.0]])
    with pytest.raises(TypeError, match=r"^J.scale is Decimal\('1'\), .* pass float\(J.scale\)"):
        sample_batch(H, LowRank(J, Decimal(1)))
    with pytest.raises(TypeError, match=r"^scale is Decimal\('1'\), .* pass float\(scale\)"):
        qpsbgd.project(X, T, scale=Decimal(1))
    with pytest.raises(TypeError, match=r"^time_limit is Decimal\('1'\), .*: pass float\(time_lim"):
        qpsbgd.TabuSampler().sample(dimod.BQM("SPIN"), time_limit=Decimal(1))
    with pytest.raises(TypeError, match=r"^beta_schedule has entries that are Decimal"):
        qpsbgd.SimulatedAnnealingSampler().sample(
            dimod.BQM({"a": 1.0}, {}, 0.0, "SPIN"), beta_schedule_type="custom",
            beta_schedule=[Decimal(1)],
        )  # fmt: skip


@pytest.mark.parametrize("wrong", ["cqm", "dict", "none", "other", "sampler"])
def test_arrays_of_a_batch(wrong):
    value, description, _ = WRONG[wrong]
    # Before any other argument.
    for couplings, fields, name in ((value, H, "J"), (J, value, "h"), (LowRank(value), H, "J.A")):
        with pytest.raises(TypeError, match=f"^{name} is {description}, but must be an array of r"):
            sample_batch(fields, couplings, method="magic")
