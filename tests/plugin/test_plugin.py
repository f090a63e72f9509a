"""D-Wave's PyTorch plugin: its classes on our samplers, BatchSampler in DimodSampler's place."""

import itertools
from concurrent.futures import ThreadPoolExecutor

import dimod
import numpy as np
import pytest

import qpsbgd

torch = pytest.importorskip("torch")
pytest.importorskip(
    "dwave.plugins.torch.samplers",
    reason="dwave-pytorch-plugin is not installed: pip install 'qpsbgd[plugin]'",
    exc_type=ImportError,
)

from dwave.plugins.torch.models.boltzmann_machine import GraphRestrictedBoltzmannMachine
from dwave.plugins.torch.nn.modules.ising import Ising
from dwave.plugins.torch.samplers import DimodSampler, TorchSampler

from qpsbgd.plugin import BatchSampler, batch_sampler

NAN = float("nan")

#: With these a read is a sample of the distribution at inverse temperature 1.
BOLTZMANN = {"beta_range": (1.0, 1.0), "num_sweeps": 100, "keep": "final"}

#: The states of three units.
READS = 8
SAMPLERS = {
    "sa": (qpsbgd.SimulatedAnnealingSampler, {"num_reads": READS, "num_sweeps": 50, "seed": 1}),
    "tabu": (qpsbgd.TabuSampler, {"num_reads": READS, "num_restarts": 3, "seed": 1}),
    "descent": (qpsbgd.SteepestDescentSampler, {"num_reads": READS, "seed": 1}),
    "exhaustive": (qpsbgd.ExhaustiveSampler, {"num_states": READS}),
}
every_sampler = pytest.mark.parametrize("name", SAMPLERS)


def machine(rng, n=8, density=0.6, hidden=(), scale=0.7):
    """Labels of several kinds; nodes and edges not in order."""
    nodes = [i if i % 2 else f"v{i}" for i in rng.permutation(n).tolist()]
    edges = [e if rng.random() < 0.5 else e[::-1] for e in itertools.combinations(nodes, 2)]
    edges = [edges[k] for k in rng.permutation(len(edges)) if rng.random() < density]
    grbm = GraphRestrictedBoltzmannMachine(nodes, edges, [nodes[i] for i in hidden])
    grbm.linear.data[:] = torch.tensor(rng.normal(scale=scale, size=n))
    grbm.quadratic.data[:] = torch.tensor(rng.normal(scale=scale, size=len(edges)))
    return grbm


def partly_known(rng, batch, n, patterns):
    """(batch, n): rows in turn of so many patterns of known units."""
    masks = rng.random((patterns, n)) < 0.5
    x = rng.choice([-1.0, 1.0], size=(batch, n))
    x[masks[np.arange(batch) % patterns]] = NAN
    return torch.tensor(x, dtype=torch.float32)


def distribution(grbm, known=None, prefactor=1.0):
    """All states (2^n, n), and their probabilities given the known units."""
    states = torch.tensor(list(itertools.product([-1.0, 1.0], repeat=grbm.n_nodes)))
    weights = torch.exp(-prefactor * grbm(states).detach().double())
    if known is not None:
        free = torch.isnan(known)
        weights *= ((states == known) | free).all(dim=1)
    return states, weights / weights.sum()


def assert_distributed(grbm, samples, known=None, prefactor=1.0, sigmas=4.0):
    """Means and correlations of samples (reads, n) against enumeration."""
    states, probabilities = distribution(grbm, known, prefactor)
    expected = probabilities @ grbm.sufficient_statistics(states).double()
    found = grbm.sufficient_statistics(samples).double().mean(dim=0)
    error = ((1 - expected**2).clip(min=0) / len(samples)).sqrt()
    assert ((found - expected).abs() <= sigmas * error + 1e-6).all()


# ---- the plugin's classes, on our samplers ------------------------------------------------------


@every_sampler
def test_dimod_sampler(rng, name):
    make, options = SAMPLERS[name]
    grbm = machine(rng)
    sampler = DimodSampler(grbm, make(), prefactor=0.5, sample_kwargs=options)
    samples = sampler.sample()
    assert samples.shape == (READS, 8)
    assert set(samples.unique().tolist()) <= {-1.0, 1.0}
    # In the order of the nodes: the sample set's energies are the model's.
    energies = torch.tensor(sampler.sample_set.record.energy, dtype=torch.float32)
    torch.testing.assert_close(0.5 * grbm(samples).detach(), energies)


@every_sampler
def test_dimod_sampler_with_known_units(rng, name):
    make, options = SAMPLERS[name]
    grbm = machine(rng)
    x = partly_known(rng, 6, 8, patterns=3)
    x[:, :3] = NAN
    x[5] = 1.0
    if name == "exhaustive":
        x = x[:5]  # without num_reads, a row of known units alone is one read
    samples = DimodSampler(grbm, make(), prefactor=1.0, sample_kwargs=options).sample(x)
    assert samples.shape == (len(x), READS, 8)
    expected = x[:, None].expand_as(samples)
    assert torch.equal(samples[~expected.isnan()], expected[~expected.isnan()])
    for row, found in zip(x, samples, strict=True):
        states, probabilities = distribution(grbm, row)
        lowest = grbm(states[probabilities.argmax()][None])
        torch.testing.assert_close(grbm(found).min(), lowest[0])


@every_sampler
def test_dimod_sampler_with_ranges(rng, name):
    make, options = SAMPLERS[name]
    ranges = {"linear_range": (-0.3, 0.2), "quadratic_range": (-0.1, 0.4)}
    grbm = machine(rng)
    tracker = dimod.TrackingComposite(make())
    sampler = DimodSampler(grbm, tracker, 2.0, **ranges, sample_kwargs=options)
    found = sampler.sample()
    best = dimod.ExactSolver().sample_ising(*grbm.to_ising(2.0, *ranges.values())).first.energy
    assert sampler.sample_set.first.energy == pytest.approx(best)
    assert found.shape == (READS, 8)


@pytest.mark.parametrize("acceptance", ["Metropolis", "Gibbs"])
@pytest.mark.parametrize("randomize_order", [False, True])
def test_the_plugin_samples_the_distribution(rng, acceptance, randomize_order):
    grbm = machine(rng)
    options = BOLTZMANN | {
        "num_reads": 4000, "seed": 3, "proposal_acceptance_criteria": acceptance,
        "randomize_order": randomize_order,
    }  # fmt: skip
    sampler = DimodSampler(grbm, qpsbgd.SimulatedAnnealingSampler(), 0.8, sample_kwargs=options)
    assert_distributed(grbm, sampler.sample(), prefactor=0.8)
    x = partly_known(rng, 3, 8, patterns=3)
    for known, samples in zip(x, sampler.sample(x), strict=True):
        assert_distributed(grbm, samples, known, prefactor=0.8)


@every_sampler
def test_boltzmann_machine_fills_hidden_units(rng, name):
    make, options = SAMPLERS[name]
    # The plugin's fields of hidden units are NaN where these are connected to one another.
    edges = [(i, j) for i in range(5) for j in range(5, 8)]
    grbm = GraphRestrictedBoltzmannMachine(range(8), edges, hidden_nodes=[5, 6, 7])
    with pytest.deprecated_call():
        model = grbm.sample(make(), prefactor=1.0, sample_params=options)
    assert model.shape == (READS, 8)
    observed = torch.tensor(rng.choice([-1.0, 1.0], size=(4, 5)), dtype=torch.float32)
    objective = grbm.quasi_objective(
        observed, model, "sampling", prefactor=1.0, linear_range=(-4, 4), quadratic_range=(-1, 1),
        sampler=make(), sample_kwargs=options,
    )  # fmt: skip
    objective.backward()
    expected = observed.mean(dim=0) - model.mean(dim=0)[:5]
    torch.testing.assert_close(grbm.linear.grad[:5], expected)
    assert torch.isfinite(grbm.quadratic.grad).all()


@every_sampler
def test_ising_layer(rng, name):
    make, options = SAMPLERS[name]
    nodes, edges = list("abc"), [("a", "b"), ("c", "a")]
    layer = Ising(nodes, edges, make(), options, beta=2.0)
    linear = torch.tensor(rng.normal(size=(3, 3)), dtype=torch.float32, requires_grad=True)
    quadratic = torch.tensor(rng.normal(size=(3, 2)), dtype=torch.float32, requires_grad=True)
    layer(linear, quadratic).sum().backward()
    assert linear.grad.shape == (3, 3)
    assert quadratic.grad.shape == (3, 2)


def test_ising_layer_has_the_expected_statistics():
    nodes, edges = list("abc"), [("a", "b"), ("c", "a")]
    options = BOLTZMANN | {"num_reads": 4000, "seed": 5}
    layer = Ising(nodes, edges, qpsbgd.SimulatedAnnealingSampler(), options, beta=1.0)
    linear, quadratic = torch.tensor([[0.5, -1.0, 0.2]]), torch.tensor([[1.0, -0.7]])
    grbm = GraphRestrictedBoltzmannMachine(nodes, edges)
    grbm.linear.data[:], grbm.quadratic.data[:] = linear[0], quadratic[0]
    states, probabilities = distribution(grbm)
    expected = (probabilities @ states.double()).float()
    torch.testing.assert_close(layer(linear, quadratic)[0], expected, rtol=0, atol=4 / 4000**0.5)
    assert layer.estimate_betas(linear, quadratic).item() == pytest.approx(1.0, abs=0.1)


# ---- BatchSampler -------------------------------------------------------------------------------


def test_samples_the_distribution_of_every_row(rng):
    grbm = machine(rng)
    options = {"num_reads": 4000, "num_sweeps": 100}
    sampler = BatchSampler(grbm, "sa", 0.8, sample_kwargs=options, seed=1)
    assert_distributed(grbm, sampler.sample(), prefactor=0.8)
    x = partly_known(rng, 9, 8, patterns=4)
    for known, samples in zip(x, sampler.sample(x), strict=True):
        assert_distributed(grbm, samples, known, prefactor=0.8)


def test_a_triangle_without_linear_biases_has_its_distribution():
    """Metropolis sweeps do not reach all its states, Gibbs sweeps do."""
    edges = ["ab", "bc", "ca"]
    grbm = GraphRestrictedBoltzmannMachine("abc", edges)
    grbm.quadratic.data[:] = -0.7
    options = {"num_reads": 4000, "num_sweeps": 100}
    for prefactor, given in ((1.0, {}), (0.5, {"beta_range": [2.0, 2.0]})):
        kwargs = options | given
        sampler = BatchSampler(grbm, "sa", prefactor, sample_kwargs=kwargs, seed=1)
        assert_distributed(grbm, sampler.sample())
    kwargs = options | {"proposal_acceptance_criteria": "Metropolis"}
    samples = BatchSampler(grbm, "sa", 1.0, sample_kwargs=kwargs, seed=1).sample()
    with pytest.raises(AssertionError):
        assert_distributed(grbm, samples)


def test_best_states_are_not_the_distribution(rng):
    """Best states are not samples of the distribution, so the test above can fail."""
    options = {"num_reads": 4000, "num_sweeps": 100, "keep": "best"}
    grbm = machine(rng)
    samples = BatchSampler(grbm, "sa", 1.0, sample_kwargs=options, seed=1).sample()
    with pytest.raises(AssertionError):
        assert_distributed(grbm, samples)


def test_agrees_with_the_plugins_own_way(rng):
    """Mean energies and spins of both, on a graph too large to enumerate."""
    grbm = machine(rng, n=40, density=0.3, scale=0.4)
    x = partly_known(rng, 4, 40, patterns=2)
    reads = 2000
    ours = BatchSampler(
        grbm, "sa", 1.0, sample_kwargs={"num_reads": reads, "num_sweeps": 200}, seed=1
    )
    own = DimodSampler(
        grbm, qpsbgd.SimulatedAnnealingSampler(), 1.0,
        sample_kwargs=BOLTZMANN | {"num_reads": reads, "num_sweeps": 200, "seed": 2},
    )  # fmt: skip
    for a, b in zip(ours.sample(x), own.sample(x), strict=True):
        error = torch.sqrt((a.var(dim=0) + b.var(dim=0)) / reads)
        assert ((a.mean(dim=0) - b.mean(dim=0)).abs() <= 4 * error + 1e-6).all()
        energies = grbm(a).detach(), grbm(b).detach()
        error = torch.sqrt((energies[0].var() + energies[1].var()) / reads)
        assert abs(energies[0].mean() - energies[1].mean()) <= 3 * error


@pytest.mark.parametrize("method", ["sa", "tabu", "descent"])
@pytest.mark.parametrize("prefactor", [1.0, -3.0])
@pytest.mark.parametrize("ranges", [(None, None), ((-0.4, 0.5), (-0.3, 0.2)), (None, (0.0, 0.0))])
def test_the_problems_are_those_of_the_plugin(rng, method, prefactor, ranges):
    """The lowest states of every row: biases scaled, clipped and reduced as DimodSampler does."""
    grbm = machine(rng)
    x = partly_known(rng, 20, 8, patterns=6)
    exact = DimodSampler(grbm, qpsbgd.ExhaustiveSampler(), prefactor, *ranges)
    options = {"num_reads": 50} | (
        {"beta_range": "auto", "keep": "best", "num_sweeps": 100} if method == "sa" else {}
    )
    found = BatchSampler(grbm, method, prefactor, *ranges, options, seed=1).sample(x)
    for row, (known, expected) in enumerate(zip(x, exact.sample(x), strict=True)):
        h, J = grbm.to_ising(prefactor, *ranges)
        bqm = dimod.BQM.from_ising(h, J)
        free = [node for node, unit in zip(grbm.nodes, known, strict=True) if unit.isnan()]
        bqm.fix_variables({v: known[i].item() for i, v in enumerate(grbm.nodes) if v not in free})
        if ranges[0] is not None:
            for v in bqm.variables:
                bqm.set_linear(v, np.clip(bqm.get_linear(v), *ranges[0]))
        columns = [grbm.node_to_idx[v] for v in free]
        energies = bqm.energies((found[row][:, columns].numpy(), free))
        best = bqm.energies((expected[:, columns].numpy(), free))[0]
        assert energies.min() == pytest.approx(best, abs=1e-5)


def test_shapes_and_known_units(rng):
    grbm = machine(rng)
    sampler = BatchSampler(grbm, "sa", 1.0, sample_kwargs={"num_reads": 3, "num_sweeps": 10})
    assert isinstance(sampler, TorchSampler)
    assert sampler.sample().shape == (3, 8)
    x = partly_known(rng, 10, 8, patterns=10)
    x[4] = torch.tensor([1.0, -1.0] * 4)  # all known
    x[7] = NAN  # none
    before = x.clone()
    for dtype in (torch.float32, torch.float64, torch.float16):
        samples = sampler.sample(x.to(dtype))
        assert samples.shape == (10, 3, 8)
        assert samples.dtype is torch.float32
        assert not samples.requires_grad
        assert set(samples.unique().tolist()) == {-1.0, 1.0}
        expected = x[:, None].expand_as(samples)
        assert torch.equal(samples[~expected.isnan()], expected[~expected.isnan()])
    torch.testing.assert_close(x, before, equal_nan=True)
    integers = torch.ones((2, 8), dtype=torch.int64)
    assert torch.equal(sampler.sample(integers), torch.ones((2, 3, 8)))
    assert sampler.sample(torch.empty((0, 8))).shape == (0, 3, 8)
    assert BatchSampler(grbm, "descent", 1.0).sample(x).shape == (10, 1, 8)


def test_parameters_of_half_precision(rng):
    grbm, x = machine(rng).to(torch.bfloat16), partly_known(rng, 4, 8, patterns=2)
    found = BatchSampler(grbm, "sa", 1.0, seed=1).sample(x)
    wide = BatchSampler(grbm.to(torch.float64), "sa", 1.0, seed=1).sample(x)
    assert torch.equal(found, wide)


def test_no_edges_and_one_node():
    grbm = GraphRestrictedBoltzmannMachine([0, 1], [], linear={0: 9.0, 1: -9.0})
    samples = BatchSampler(grbm, "sa", 1.0).sample(torch.tensor([[NAN, NAN], [1.0, NAN]]))
    assert samples.tolist() == [[[-1.0, 1.0]], [[1.0, 1.0]]]
    one = GraphRestrictedBoltzmannMachine(["a"], [])
    assert BatchSampler(one, "sa", 1.0).sample().shape == (1, 1)


def test_parameters_are_read_at_every_call():
    grbm = GraphRestrictedBoltzmannMachine([0, 1], [(0, 1)], linear={0: 9.0, 1: 9.0})
    sampler = BatchSampler(grbm, "sa", 1.0)
    grbm.quadratic.data[:] = 0
    assert sampler.sample().tolist() == [[-1.0, -1.0]]
    grbm.linear.data.neg_()
    assert sampler.sample().tolist() == [[1.0, 1.0]]


def test_one_call_where_the_same_units_are_known(rng, monkeypatch):
    shapes = []

    def counted(h, J, method, **options):
        shapes.append((J.shape, h.shape))
        return qpsbgd.sample_batch(h, J, method=method, **options)

    monkeypatch.setattr(batch_sampler, "sample_batch", counted)
    sampler = BatchSampler(machine(rng), "sa", 1.0, sample_kwargs={"num_sweeps": 5})
    x = torch.ones((30, 8))
    x[:, [0, 3, 4]] = NAN
    sampler.sample(x)
    assert shapes == [((3, 3), (30, 3))]
    x[::2, 1] = NAN
    sampler.sample(x)
    assert sorted(shapes[1:]) == [((3, 3), (15, 3)), ((4, 4), (15, 4))]


def test_every_call_draws_anew_and_a_seed_repeats_them_all(rng):
    grbm = machine(rng, n=40, scale=0.05)
    x = torch.full((6, 40), NAN)
    x[:, :10] = 1.0
    x[:3, 10] = 1.0
    options = {"num_reads": 4, "num_sweeps": 5}

    def calls(seed, **changed):
        sampler = BatchSampler(grbm, "sa", 1.0, sample_kwargs=options | changed, seed=seed)
        return [sampler.sample(x), sampler.sample(x), sampler.sample().unsqueeze(0)]

    first = calls(7)
    assert not torch.equal(first[0], first[1])
    for again in (calls(7), calls(7, num_threads=1), calls(7, num_threads=3)):
        assert all(map(torch.equal, first, again))
    with ThreadPoolExecutor(2) as executor:
        assert all(map(torch.equal, first, calls(7, executor=executor)))
    assert not torch.equal(first[0], calls(8)[0])
    assert not torch.equal(calls(None)[0], calls(None)[0])
    # Rows of equal problems, and of patterns that differ, are not copies of one another.
    reads = first[0][..., 11:].reshape(24, -1)
    assert len(torch.unique(reads, dim=0)) == 24


def test_a_copy_by_to_goes_on_with_other_random_numbers(rng):
    sampler = BatchSampler(machine(rng, n=40, scale=0.05), "sa", 1.0, seed=1)
    other = sampler.to("cpu")
    assert list(other.parameters()) == list(other.modules()) == []
    assert not torch.equal(sampler.sample(), other.sample())


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"grbm": torch.nn.Linear(2, 2)}, TypeError, "grbm is a Linear"),
        ({"method": "gibbs"}, ValueError, "method is 'gibbs', but must be 'sa' or"),
        ({"method": qpsbgd.TabuSampler()}, ValueError, "but must be 'sa' or 'tabu' or 'descent'"),
        ({"prefactor": "1"}, TypeError, "prefactor is '1'"),
        ({"prefactor": float("inf")}, ValueError, "prefactor is inf, but must be finite"),
        ({"linear_range": (1, 0)}, ValueError, "linear_range is .1, 0., but must be .low, high."),
        ({"linear_range": (0, NAN)}, ValueError, "low <= high"),
        ({"quadratic_range": 3}, TypeError, "quadratic_range is 3, but must be None or two"),
        ({"sample_kwargs": 3}, TypeError, "sample_kwargs is 3, but must be a dict"),
        ({"sample_kwargs": {"reads": 3}}, ValueError, "has 'reads', but may have only 'num_reads'"),
        ({"sample_kwargs": {"seed": 3}}, ValueError, "'seed', but that is an argument of Batch"),
        ({"sample_kwargs": {"num_reads": 0}}, ValueError, r"num_reads is 0, but must lie in \[1"),
        ({"sample_kwargs": {"num_sweeps": 0.5}}, TypeError, "num_sweeps is 0.5"),
        ({"method": "tabu", "sample_kwargs": {"keep": "final"}}, ValueError, "keep is 'final'"),
        ({"seed": -1}, ValueError, "seed is -1"),
        ({"x": [[1.0]]}, TypeError, "x is a list, but must be a real torch.Tensor or None"),
        ({"x": torch.ones((1, 2)) * 1j}, TypeError, "x is a torch.complex64"),
        ({"x": torch.ones(2)}, ValueError, r"x has shape \(2,\), but must be \(batch size, 2\)"),
        ({"x": torch.ones(4, 3)}, ValueError, r"x has shape \(4, 3\)"),
        ({"x": torch.tensor([[1.0, 0.5]])}, ValueError, r"x\[0, 1\] is 0.5, but must be -1, 1 or"),
        ({"x": torch.tensor([[True, False]])}, ValueError, r"x\[0, 1\] is 0.0"),
        ({"linear": NAN}, ValueError, r"prefactor \* grbm.linear\[0\] is nan, but must be finite"),
        ({"quadratic": float("inf")}, ValueError, r"grbm.quadratic\[0\] is inf"),
    ],
)
def test_bad_arguments(changed, error, message):
    changed = dict(changed)
    grbm = GraphRestrictedBoltzmannMachine(["a", "b"], [("a", "b")])
    x = changed.pop("x", None)
    for name in ("linear", "quadratic"):
        if name in changed:
            getattr(grbm, name).data[0] = changed.pop(name)
    arguments = {"grbm": grbm, "method": "sa", "prefactor": 1.0, **changed}
    with pytest.raises(error, match=message):
        BatchSampler(**arguments).sample(x)


# ---- training -----------------------------------------------------------------------------------

VISIBLE, HIDDEN = 5, 3
#: Three units of odd parity and two copies of the first.
DATA = torch.tensor(
    [(*s, s[0], s[0]) for s in itertools.product([-1.0, 1.0], repeat=3) if s[0] * s[1] * s[2] == 1]
)


def parity_machine():
    """All units connected but hidden ones with one another, which the plugin cannot fill."""
    torch.manual_seed(4)
    edges = [e for e in itertools.combinations(range(VISIBLE + HIDDEN), 2) if e[0] < VISIBLE]
    grbm = GraphRestrictedBoltzmannMachine(
        range(VISIBLE + HIDDEN), edges, range(VISIBLE, VISIBLE + HIDDEN)
    )
    grbm.quadratic.data *= 0.2
    return grbm


def batch_of_data(generator, count):
    return DATA[torch.randint(len(DATA), (count,), generator=generator)]


def divergence(grbm):
    """Return the divergence of the model's visible units from the data, in nats."""
    states, probabilities = distribution(grbm)
    chosen = (states[:, None, :VISIBLE] == DATA).all(dim=2)  # (2^n, 4)
    likelihoods = probabilities @ chosen.double()
    return -(np.log(len(DATA)) + likelihoods.log().mean().item())


def trained(grbm, objective, model, steps=50):
    """The divergence after steps along `objective` of a batch and `model`'s samples."""
    optimizer = torch.optim.Adam(grbm.parameters(), lr=0.05, weight_decay=0.04)
    generator = torch.Generator().manual_seed(1)
    for _ in range(steps):
        x = batch_of_data(generator, 64)
        negative = model.sample()
        optimizer.zero_grad()
        objective(x, negative).backward()
        optimizer.step()
    return divergence(grbm)


@pytest.mark.slow
def test_training_on_the_plugins_own_way():
    grbm = parity_machine()
    begin = divergence(grbm)
    annealer, options = qpsbgd.SimulatedAnnealingSampler(), BOLTZMANN | {"num_sweeps": 20}
    options |= {"num_threads": 1}
    end = trained(
        grbm,
        lambda x, negative: grbm.quasi_objective(
            x, negative, "sampling", prefactor=1.0, sampler=annealer, sample_kwargs=options
        ),
        DimodSampler(grbm, annealer, 1.0, sample_kwargs=options | {"num_reads": 200}),
    )
    assert end < 0.5 * begin


def test_training_on_batches():
    grbm = parity_machine()
    begin = divergence(grbm)
    options = {"num_sweeps": 20, "num_threads": 1}
    hidden = BatchSampler(grbm, "sa", 1.0, sample_kwargs=options, seed=2)
    model = BatchSampler(grbm, "sa", 1.0, sample_kwargs=options | {"num_reads": 200}, seed=3)

    def objective(x, negative):
        unknown = torch.full((len(x), HIDDEN), NAN)
        filled = hidden.sample(torch.cat([x, unknown], dim=1))  # (64, 1, 8)
        return grbm(filled).mean() - grbm(negative).mean()

    assert trained(grbm, objective, model) < 0.5 * begin


def test_the_gradient_is_that_of_the_log_likelihood():
    grbm = parity_machine()
    grbm.quadratic.data *= 2.5
    x = batch_of_data(torch.Generator().manual_seed(1), 8)
    states = distribution(grbm)[0]
    free_energy = -torch.stack(
        [torch.logsumexp(-grbm(states[(states[:, :VISIBLE] == row).all(dim=1)]), 0) for row in x]
    )
    (free_energy.mean() + torch.logsumexp(-grbm(states), 0)).backward()
    exact = grbm.quadratic.grad.clone()
    grbm.zero_grad()
    options = {"num_sweeps": 100, "num_reads": 4000}
    sampler = BatchSampler(grbm, "sa", 1.0, sample_kwargs=options, seed=5)
    filled = sampler.sample(torch.cat([x, torch.full((8, HIDDEN), NAN)], dim=1))
    (grbm(filled).mean() - grbm(sampler.sample()).mean()).backward()
    torch.testing.assert_close(grbm.quadratic.grad, exact, rtol=0, atol=4 / 4000**0.5)
