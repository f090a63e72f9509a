"""Steps that take X^T X from some of a layer's samples, and T^T X from all."""

import copy
import weakref

import dimod
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn

import qpsbgd
from problems import layer as make_layer
from qpsbgd import NativeProjector, ProjectionOptions, _core
from qpsbgd.nn import BinaryConv2d, BinaryLinear
from qpsbgd.nn.patches import PatchSamples
from qpsbgd.optim import QPSBGD
from qpsbgd.optim.step import step_gradients
from qpsbgd.optim.step.layer_gradient import SAMPLE_STREAM, step_seed
from qpsbgd.optim.step.sampling import SampleRequest, choose_samples
from qpsbgd.projection.products import LayerProducts, minimise_products


def integers(*shape, seed=0):
    """Floats from -3 to 3, whose sums are exact."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(-3, 4, shape, generator=generator).float()


def captured(layer, *calls, **options):
    """An optimiser of a layer after backward passes that give T, for each pair (X, T)."""
    optimizer = QPSBGD(layer, lr=0.25, clip=float("inf"), **options)
    for x, t in calls:
        (layer(x) * t).sum().backward()
    return optimizer


def binary_gradient(optimizer, layer):
    """Take a step, and return the binary gradient that it went along."""
    before = layer.weight.detach().clone()
    optimizer.step()
    return ((before - layer.weight.detach()) * 4).round().flatten(1).numpy().astype(np.int8)


def samples_of(optimizer, *, uses_products=True, num_steps=0, index=0):
    """Return the samples of the next step."""
    group = optimizer.param_groups[index]
    choice = choose_samples(
        SampleRequest(
            optimizer.captures()[index].calls(),
            max_samples=group["max_samples"],
            seed=step_seed(group["seed"], index, num_steps, SAMPLE_STREAM),
            uses_products=uses_products,
            has_small_groups=False,
            needs_squares=True,
            maximize=group["maximize"],
        )
    )
    return choice.on_host([tensor.float().contiguous() for tensor in choice.tensors])


def products_of(X, T):
    """Return the products of one group's samples, by sums in float64."""
    X, T = X.astype(np.float64), T.astype(np.float64)
    return LayerProducts(
        (X.T @ X)[None], (T.T @ X)[None], np.abs(T).sum(0)[None], (T**2).sum(0)[None], len(X)
    )


def test_as_many_samples_as_allowed_are_all_used_as_they_are(monkeypatch):
    """Nothing of the path without sampling changes: the core receives X and T themselves."""
    received = []
    project = _core.project

    def recorded(X, T, **options):
        received.append((X, T))
        return project(X, T, **options)

    monkeypatch.setattr(_core, "project", recorded)
    layer = BinaryLinear(9, 5, bias=False)
    x, t = torch.randn(40, 9), torch.randn(40, 5)
    optimizer = captured(layer, (x, t), max_samples=40, seed=3, scale=1.0)
    found = binary_gradient(optimizer, layer)
    ((X, T),) = received
    assert torch.equal(torch.from_numpy(X), x)
    assert torch.equal(torch.from_numpy(T), t)
    np.testing.assert_array_equal(found, qpsbgd.project(X, T, seed=step_seed(3, 0, 0)))


@pytest.mark.parametrize("num_calls", [1, 3])
@pytest.mark.parametrize("maximize", [False, True])
def test_sums_are_those_of_a_slow_twin(num_calls, maximize):
    layer = BinaryConv2d(4, 6, 3, padding=1, groups=2, bias=False)
    calls = []
    for number in range(num_calls):
        x, t = integers(5, 4, 6, 7, seed=number), integers(5, 6, 6, 7, seed=number + 9)
        t[number] = 0  # no gradient reaches one image
        calls.append((x, t))
    optimizer = captured(layer, *calls, max_samples=64, maximize=maximize, seed=2)
    samples = samples_of(optimizer)
    X, T = (part.numpy() for part in optimizer.captures()[0].batch())  # (2, N, n), (2, N, m)
    T = -T if maximize else T
    is_reached = T.any(axis=(0, 2))
    X, T = X[:, is_reached], T[:, is_reached]
    N = X.shape[1]
    assert 4 * 42 * num_calls >= N
    rng = np.random.default_rng(step_seed(2, 0, 0, SAMPLE_STREAM))
    chosen = np.sort(rng.choice(N, 64, replace=False, shuffle=False))
    products = samples.products
    assert products.num_samples == N
    assert samples.num_samples == 2 * N
    for group in range(2):
        gram = np.zeros((18, 18))
        for i in chosen:
            if T[group, i].any():
                gram += np.outer(X[group, i], X[group, i])
        np.testing.assert_allclose(products.gram[group], gram * (N / 64), rtol=1e-6)
        np.testing.assert_array_equal(products.gram[group], products.gram[group].T)
        np.testing.assert_array_equal(products.cross[group], T[group].T @ X[group])
        np.testing.assert_allclose(products.magnitudes[group], np.abs(T[group]).sum(0), rtol=1e-6)
        np.testing.assert_allclose(products.squares[group], (T[group] ** 2).sum(0), rtol=1e-6)
        np.testing.assert_array_equal(samples.batches[group][0], X[group, chosen])
        np.testing.assert_array_equal(samples.batches[group][1], T[group, chosen])


def test_the_linear_term_is_torchs_own_weight_gradient():
    torch.manual_seed(0)
    layer = BinaryConv2d(8, 16, 3, stride=2, padding=1, bias=False)
    plain = copy.deepcopy(layer)
    x, t = torch.randn(9, 8, 15, 15), torch.randn(9, 16, 8, 8)
    (plain(x) * t).sum().backward()  # |weight| <= 1: the sign's gradient is that of the weight
    samples = samples_of(captured(layer, (x, t), max_samples=100))
    cross = torch.from_numpy(samples.products.cross).float().view(layer.weight.shape)
    assert torch.equal(cross, plain.weight.grad)


def test_the_choice_depends_on_seed_layer_and_step_alone():
    torch.manual_seed(0)
    x, t = torch.randn(300, 6), torch.randn(300, 4)

    def inputs(index=0, num_steps=0, **options):
        model = nn.ModuleList([BinaryLinear(6, 4, bias=False) for _ in range(2)])
        optimizer = QPSBGD(model, max_samples=50, **options)
        (model[index](x) * t).sum().backward()
        return samples_of(optimizer, index=index, num_steps=num_steps).batches[0][0]

    first = inputs()
    assert len(np.unique(first, axis=0)) == 50  # without replacement
    np.testing.assert_array_equal(inputs(), first)
    for other in (inputs(seed=1), inputs(num_steps=1), inputs(index=1)):
        assert (other != first).any()


def test_the_curvature_is_right_on_average():
    torch.manual_seed(0)
    x, t = torch.randn(200, 5), torch.randn(200, 3)
    layer = BinaryLinear(5, 3, bias=False)
    optimizer = captured(layer, (x, t), max_samples=20)
    draws = np.stack([samples_of(optimizer, num_steps=k).products.gram[0] for k in range(400)])
    exact = (x.T @ x).double().numpy()
    errors = draws.std(axis=0) / np.sqrt(len(draws))
    assert (np.abs(draws.mean(axis=0) - exact) < 4.5 * errors).all()  # 25 entries
    spread = draws.std(axis=0).mean()
    assert spread > 5  # the draws do differ


def test_a_run_is_reproducible():
    def weights():
        torch.manual_seed(0)
        layer = BinaryConv2d(2, 4, 3, padding=1, bias=False)
        optimizer = QPSBGD(layer, lr=0.25, max_samples=60)
        for number in range(3):
            x, t = integers(4, 2, 8, 8, seed=number), integers(4, 4, 8, 8, seed=number + 5)
            (layer(x) * t).sum().backward()
            optimizer.step()
        return layer.weight.detach()

    assert torch.equal(weights(), weights())


class Recorder:
    """A projector that stores what it receives, and answers sign(X^T T)."""

    def __init__(self):
        self.received = []

    def __call__(self, X, T, options, /):
        self.received.append((X, T))
        return np.where(T.T @ X >= 0, 1, -1).astype(np.int8)


class Subclass(NativeProjector):
    """A native projector with a call of its own, which receives samples."""

    received = ()

    def __call__(self, X, T, options=None, /):
        self.received = [*self.received, (X, T)]
        return super().__call__(X, T, options)


@pytest.mark.parametrize("projector", [Recorder, Subclass])
def test_other_projectors_receive_the_chosen_samples(projector):
    torch.manual_seed(0)
    layer = BinaryConv2d(2, 4, 3, padding=1, bias=False)
    x, t = torch.randn(4, 2, 8, 8), torch.randn(4, 4, 8, 8)
    solver = projector()
    optimizer = captured(layer, (x, t), max_samples=60, projector=solver)
    ((X, T),) = samples_of(optimizer).batches
    optimizer.step()
    ((own_inputs, own_targets),) = solver.received
    np.testing.assert_array_equal(own_inputs, X)
    np.testing.assert_array_equal(own_targets, T)
    assert X.shape == (60, 18)
    assert optimizer.last_step["BinaryConv2d"].num_samples == 256


PROJECTORS = {
    "native": lambda: "native",
    "reads": lambda: NativeProjector(num_reads=3, initial="random"),
    "annealing": lambda: NativeProjector(num_reads=2, beta_range=(0.1, 2.0)),
    "auto": lambda: NativeProjector(beta_range="auto"),
    "sampler": lambda: qpsbgd.SamplerProjector(
        qpsbgd.SimulatedAnnealingSampler(), sample_kwargs={"num_reads": 2, "num_sweeps": 3}
    ),
    "exact sampler": dimod.ExactSolver,
    "function": Recorder,
}


@pytest.mark.parametrize("objective", ["quadratic", "sign"])
@pytest.mark.parametrize("name", PROJECTORS)
def test_masks_are_those_of_all_samples(name, objective):
    """Only a sample that is not chosen has most inputs and neurons; each of them moves."""
    layer = BinaryLinear(12, 9, bias=False)
    x, t = torch.zeros(40, 12), torch.zeros(40, 9)
    for i in range(40):
        x[i, i % 10], t[i, i % 8] = 1 + i % 3, 1 - 2 * (i % 2)
    t[:, 2] = 0
    x[:2] = 0  # a sample without inputs
    optimizer = captured(
        layer, (x, t), max_samples=2, projector=PROJECTORS[name](), objective=objective
    )
    (chosen,) = samples_of(optimizer).batches
    assert not chosen[0].any(0)[:10].all()
    B = binary_gradient(optimizer, layer)
    is_moved = np.outer(t.any(0).numpy(), x[t.any(1)].any(0).numpy())
    assert not is_moved.all()
    np.testing.assert_array_equal(B != 0, is_moved)
    # Where no chosen sample has the input, the direction is that of the linear term.
    cross = (t.T @ x).numpy()
    unseen = (cross != 0) & ~chosen[0].any(0)
    assert unseen.any()
    np.testing.assert_array_equal(B[unseen], np.sign(cross)[unseen])


@pytest.mark.parametrize("kind", ["linear", "conv"])
def test_an_input_whose_products_cancel_is_seen(kind):
    """T^T X is 0 for the input, and no chosen sample has it."""
    x, t = torch.zeros(64, 3), torch.ones(64, 1)
    x[:, 0] = 1
    x[4, 1], x[5, 1] = 1, -1
    if kind == "linear":
        layer = BinaryLinear(3, 1, bias=False)
    else:
        layer = BinaryConv2d(3, 1, 1, bias=False)
        x, t = (part.T.reshape(1, -1, 8, 8) for part in (x, t))
    optimizer = captured(layer, (x, t), max_samples=2)
    samples = samples_of(optimizer)
    assert not samples.batches[0][0][:, 1].any()
    assert samples.products.cross.tolist() == [[[64.0, 0.0, 0.0]]]
    assert binary_gradient(optimizer, layer).tolist() == [[1, 1, 0]]


def test_samples_without_a_gradient_are_not_drawn():
    torch.manual_seed(0)
    layer = BinaryLinear(6, 20, bias=False)
    x, t = torch.randn(400, 6), torch.randn(400, 20)
    t[:, :16] = 0  # the first neurons do not show that the others have a gradient
    t[::2] = 0
    optimizer = captured(layer, (x, t), max_samples=100)
    samples = samples_of(optimizer)
    assert samples.num_samples == 200
    assert len(samples.batches[0][0]) == 100
    assert samples.batches[0][1].any(axis=1).all()
    optimizer.step()
    assert optimizer.last_step["BinaryLinear"].num_samples == 200


@pytest.mark.parametrize(
    "options",
    [{}, {"num_reads": 3, "initial": "random"}, {"beta_range": (0.1, 4.0), "num_reads": 2}],
    ids=["descent", "reads", "annealing"],
)
@pytest.mark.parametrize("alpha", ["fit", "norm"])
def test_groups_in_one_call_are_those_of_single_calls(isa, rng, options, alpha):
    """Groups of any size have the bits of a GramLayer of their own, at any number of threads."""
    for samples, n, m in ((30, 9, 1), (200, 70, 20)):
        parts = [products_of(*make_layer(rng, samples, n, m)) for _ in range(5)]
        names = ("gram", "cross", "magnitudes", "squares")
        joined = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
        each = [
            ProjectionOptions(alpha=alpha, seed=seed, num_sweeps=4, num_threads=threads, **options)
            for seed, threads in zip(range(5), [1, 3, 1, 1, 1], strict=True)
        ]
        for order in (each, [each[1], *each[1:]]):
            found = minimise_products(LayerProducts(**joined, num_samples=samples), order)
            for part, own, rows in zip(parts, order, found, strict=True):
                core = own.core_arguments(lambda rule: (0.0, 0.0))
                single = _core.GramLayer(
                    part.gram[0], part.cross[0], part.magnitudes[0], part.squares[0],
                    num_samples=samples, first_row=0, num_threads=1,
                )  # fmt: skip
                np.testing.assert_array_equal(rows, single.project(single.norms(), **core))


@pytest.mark.parametrize("alpha", ["fit", "norm"])
def test_products_pose_the_problems_of_the_samples(rng, alpha):
    X, T = make_layer(rng, 50, 12, 6)
    T[:, 2] = 0
    products = products_of(X, T)
    options = ProjectionOptions(alpha=alpha, scale=0.7, seed=1)
    h, J, offset = products.ising(0, options)
    expected = qpsbgd.gradient_ising(X, T, 0.7, alpha=alpha)
    for ours, theirs in zip((h, J, offset), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)
    B = np.where(rng.random((6, 12)) < 0.5, 1, -1).astype(np.int8)
    np.testing.assert_allclose(
        products.energies(0, B, options),
        qpsbgd.projection_energy(X, T, B, scale=0.7, alpha=alpha),
        rtol=1e-5,
    )
    # Its minimum is that of the samples, by enumeration.
    best = minimise_products(
        products, [ProjectionOptions(alpha=alpha, scale=0.7, seed=1, num_reads=40, num_sweeps=20)]
    )[0]
    every = dimod.ExactSolver()
    for row in range(6):
        bqm = dimod.BinaryQuadraticModel(h[row], np.triu(J), offset[row], "SPIN")
        lowest = every.sample(bqm).first.energy
        assert products.energies(0, best, options)[row] == pytest.approx(lowest, rel=1e-9)


def test_products_without_curvature_have_the_linear_answer():
    cross = np.array([[[1.0, -2.0, 0.0]]])
    products = LayerProducts(np.zeros((1, 3, 3)), cross, np.ones((1, 1)), np.ones((1, 1)), 4)
    for rule in (None, "auto", "dwave"):
        for num_reads in (1, 5):
            options = ProjectionOptions(
                seed=0, beta_range=rule, num_reads=num_reads, initial="random"
            )
            assert minimise_products(products, [options]).tolist() == [[[1, -1, 1]]]


@pytest.mark.parametrize("rule", ["auto", "dwave"])
def test_a_rule_finds_the_temperatures_of_each_group(rng, rule):
    parts = [products_of(*make_layer(rng, 30, 8, 3)) for _ in range(2)]
    names = ("gram", "cross", "magnitudes", "squares")
    both = LayerProducts(
        **{name: np.concatenate([getattr(part, name) for part in parts]) for name in names},
        num_samples=30,
    )
    options = [ProjectionOptions(seed=seed, beta_range=rule, num_sweeps=30) for seed in (1, 2)]
    found = minimise_products(both, options)
    for part, own, rows in zip(parts, options, found, strict=True):
        np.testing.assert_array_equal(rows, minimise_products(part, [own])[0])


@pytest.mark.parametrize("samples", [40, 5000])
def test_a_depthwise_convolution_is_one_call(monkeypatch, samples):
    """Its groups have the answers of calls of their own, whether samples are few or many."""
    calls = []
    project_products = _core.project_products

    def recorded(*args, **options):
        calls.append(len(args[0]))
        return project_products(*args, **options)

    monkeypatch.setattr(_core, "project_products", recorded)
    layer = BinaryConv2d(20, 20, 3, groups=20, bias=False)
    x, t = integers(samples // 4, 20, 4, 4), integers(samples // 4, 20, 2, 2, seed=1)
    optimizer = captured(layer, (x, t), max_samples=5000, seed=4)
    X, T = (part.numpy() for part in optimizer.captures()[0].batch())
    found = binary_gradient(optimizer, layer)
    assert calls == [20]
    expected = []
    for group in range(20):
        reached = T[group].any(axis=1)
        own = X[group][reached], T[group][reached]
        expected.append(qpsbgd.project(*own, seed=step_seed(4, 0, 0, group)))
    np.testing.assert_array_equal(found, np.concatenate(expected))


def test_a_layers_samples_are_dropped_before_the_next_are_made(monkeypatch):
    """Peak memory is that of one layer's samples, not of all layers'."""
    torch.manual_seed(0)
    made = []
    choose = step_gradients.choose_samples

    def recorded(request):
        assert all(reference() is None for reference in made)
        choice = choose(request)
        made.append(weakref.ref(choice.tensors[0]))
        return choice

    monkeypatch.setattr(step_gradients, "choose_samples", recorded)
    for max_samples in (10, 10_000):
        made.clear()
        model = nn.Sequential(*[BinaryConv2d(2, 2, 3, padding=1, bias=False) for _ in range(3)])
        optimizer = QPSBGD(model, max_samples=max_samples)
        model(torch.randn(4, 2, 6, 6)).square().sum().backward()
        optimizer.step()
        assert len(made) == 3


def test_patches_that_are_not_chosen_are_not_made(monkeypatch):
    def refused(self):
        raise AssertionError("all patches are made, but a step needs some")

    layer = BinaryConv2d(3, 5, 3, padding=1, bias=False)
    before = layer.weight.detach().clone()
    optimizer = captured(layer, (torch.randn(4, 3, 9, 9), torch.randn(4, 5, 9, 9)), max_samples=50)
    monkeypatch.setattr(PatchSamples, "all", refused)
    optimizer.step()
    assert (layer.weight != before).all()


@pytest.mark.parametrize("place", ["input", "gradient"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_value_that_is_not_finite_is_an_error_wherever_it_is(place, value):
    torch.manual_seed(0)
    model = nn.Sequential(BinaryConv2d(2, 4, 3, bias=False))
    x, t = torch.randn(4, 2, 9, 9), torch.randn(4, 4, 7, 7)
    if place == "input":
        x[2, 1, 3, 3] = value
    else:
        t[2, 1, 3, 3] = value
    before = model[0].weight.detach().clone()
    optimizer = QPSBGD(model, max_samples=20)
    (model(x) * t).sum().backward()
    with pytest.raises(ValueError, match=r"layer '0': T\^T X has NaN or infinity: the input of"):
        optimizer.step()
    assert torch.equal(model[0].weight, before)


@pytest.mark.parametrize("factor", [1e-25, 1e15])
def test_a_positive_factor_of_the_targets_changes_nothing(factor):
    torch.manual_seed(0)
    x, t = torch.randn(300, 8), torch.randn(300, 5)
    found = []
    for one in (1.0, factor):
        layer = BinaryLinear(8, 5, bias=False)
        optimizer = captured(layer, (x, t * one), max_samples=50, alpha="norm", scale=0.1)
        found.append(binary_gradient(optimizer, layer))
    np.testing.assert_array_equal(*found)


@pytest.mark.parametrize("objective", ["quadratic", "sign"])
@pytest.mark.parametrize("name", ["native", "annealing", "function"])
def test_statistics(name, objective):
    torch.manual_seed(0)
    layer = BinaryConv2d(2, 4, 3, padding=1, bias=False)
    x, t = torch.randn(4, 2, 8, 8), torch.randn(4, 4, 8, 8)
    optimizer = captured(
        layer, (x, t), max_samples=60, projector=PROJECTORS[name](), objective=objective,
        stats_every=1,
    )  # fmt: skip
    optimizer.step()
    (found,) = optimizer.last_step.values()
    assert found.num_samples == 256
    assert 0 <= found.agreement <= 1
    if name == "native":
        assert 0 < found.energy_after <= found.energy_before


def test_convolutions_under_autocast():
    torch.manual_seed(0)
    layer = BinaryConv2d(3, 5, 3, padding=1, bias=False)
    optimizer = QPSBGD(layer, max_samples=50)
    before = layer.weight.detach().clone()
    with torch.autocast("cpu", torch.bfloat16):
        loss = layer(torch.randn(4, 3, 9, 9)).float().square().sum()
    loss.backward()
    optimizer.step()
    assert (layer.weight != before).all()


def test_groups_of_layers_may_have_their_own_number(net):
    optimizer = QPSBGD(
        [{"params": net.first, "max_samples": 7}, {"params": net.second}], max_samples=9
    )
    assert [group["max_samples"] for group in optimizer.param_groups] == [7, 9]
    state = optimizer.state_dict()
    for group in state["param_groups"]:
        del group["max_samples"]  # a state of an older version
    optimizer.load_state_dict(state)
    assert [group["max_samples"] for group in optimizer.param_groups] == [1024, 1024]


def test_the_default_grows_with_the_number_of_inputs():
    layers = [BinaryLinear(n, 2) for n in (9, 500, 5000)] + [BinaryConv2d(100, 10, 2, groups=2)]
    optimizer = QPSBGD(nn.ModuleList(layers))
    numbers = [group["max_samples"] for group in optimizer.param_groups]
    assert numbers == [1024, 1500, 2048, 1024]


@pytest.mark.parametrize(
    ("value", "error"), [(0, ValueError), (-1, ValueError), (1.5, TypeError), (True, TypeError)]
)
def test_bad_numbers_are_refused(net, value, error):
    with pytest.raises(error, match="max_samples is"):
        QPSBGD(net, max_samples=value)


def test_the_core_refuses_products_that_do_not_fit():
    options = {
        "num_samples": 4, "scale": 1.0, "alpha": _core.AlphaRule.fit, "num_sweeps": 2, "betas": [],
        "num_reads": 1, "initial": _core.InitialState.linear, "num_threads": 1,
    }  # fmt: skip
    gram, cross, sums = np.ones((2, 3, 3)), np.ones((2, 1, 3)), np.ones((2, 1))
    found = _core.project_products(gram, cross, sums, sums, seeds=[1, 2], **options)
    assert found.shape == (2, 1, 3)
    for arrays, seeds in (
        ((np.ones((2, 2, 3)), cross, sums, sums), [1, 2]),
        ((gram, cross[:1], sums, sums), [1, 2]),
        ((gram[0], cross, sums, sums), [1, 2]),
        ((gram, cross, sums[:1], sums), [1, 2]),
        ((gram, cross, sums, sums[:1]), [1, 2]),
        ((gram, cross, sums, sums), [1]),
        ((gram[:0], cross[:0], sums[:0], sums[:0]), []),
    ):
        with pytest.raises(ValueError, match=r"\(G, n, n\), \(G, m, n\)"):
            _core.project_products(*arrays, seeds=seeds, **options)
    options["initial"] = _core.InitialState.given
    with pytest.raises(ValueError, match="take no initial states"):
        _core.project_products(gram, cross, sums, sums, seeds=[1, 2], **options)
