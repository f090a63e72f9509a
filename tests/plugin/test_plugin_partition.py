"""Partition functions of the Boltzmann machines of D-Wave's PyTorch plugin, by enumeration."""

import itertools

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip(
    "dwave.plugins.torch.samplers",
    reason="dwave-pytorch-plugin is not installed: pip install 'qpsbgd[plugin]'",
    exc_type=ImportError,
)

from dwave.plugins.torch.models.boltzmann_machine import GraphRestrictedBoltzmannMachine

from qpsbgd.plugin import log_partition
from qpsbgd.samplers.partition import UnreliableEstimateWarning

NAN = float("nan")


def machine(rng, nodes, edges, scale=0.7):
    """Return a machine whose columns are not in the order of its labels."""
    grbm = GraphRestrictedBoltzmannMachine(nodes, edges)
    grbm.linear.data[:] = torch.tensor(rng.normal(scale=scale, size=len(nodes)))
    grbm.quadratic.data[:] = torch.tensor(rng.normal(scale=scale, size=len(edges)))
    return grbm.double()


def connected(rng, n=9, scale=0.7):
    nodes = [i if i % 2 else f"v{i}" for i in rng.permutation(n).tolist()]
    edges = [e for e in itertools.combinations(nodes, 2) if rng.random() < 0.7]
    return machine(rng, nodes, edges, scale)


def restricted(rng, visible=5, hidden=4):
    edges = [(i, visible + j) for i in range(visible) for j in range(hidden)]
    return machine(rng, list(range(visible + hidden)), edges)


def enumerated(grbm, known=None, prefactor=1.0):
    """Return the logarithm of the sum over all states with the known units (n)."""
    states = torch.tensor(
        list(itertools.product([-1.0, 1.0], repeat=grbm.n_nodes)), dtype=torch.float64
    )
    if known is not None:
        states = states[((states == known) | torch.isnan(known)).all(dim=1)]
    return torch.logsumexp(-prefactor * grbm(states).detach(), 0).item()


@pytest.mark.parametrize("prefactor", [1.0, 0.3, -0.6])
def test_the_whole_machine(rng, prefactor):
    grbm = connected(rng)
    found = log_partition(grbm, prefactor=prefactor, num_sweeps=200, seed=1)
    assert found.log_z.shape == found.standard_error.shape == found.is_reliable.shape == ()
    assert found.is_reliable
    assert found.info["num_exact"] == 0
    assert 0 < found.standard_error < 0.05
    exact = enumerated(grbm, prefactor=prefactor)
    assert abs(found.log_z - exact) < 4 * found.standard_error
    again = log_partition(grbm, prefactor=prefactor, num_sweeps=200, seed=1, num_threads=1)
    assert again.log_z == found.log_z


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_known_units_of_every_row(rng, dtype):
    grbm = connected(rng)
    x = torch.tensor(rng.choice([-1.0, 1.0], size=(14, 9)), dtype=dtype)
    x[:6, [1, 4, 5, 8]] = NAN  # one call
    x[6:10, :6] = NAN  # another one
    x[10, 2] = x[11, 3] = NAN  # exact, as are rows without unknown units
    x[13] = NAN
    found = log_partition(grbm, x, num_reads=500, num_sweeps=200, seed=2)
    assert found.log_z.shape == (14,)
    exact = np.array([enumerated(grbm, row) for row in x.double()])
    error = np.abs(found.log_z - exact)
    assert (error <= 4 * found.standard_error + 1e-9).all()
    assert (found.standard_error[:10] > 0).all()
    assert (found.standard_error[10:13] == 0).all()
    assert (found.effective_sample_size[10:13] == 500).all()
    assert found.info["num_exact"] == 3
    assert found.is_reliable.all()
    assert (error[:10] > 0).all()  # estimates, of random numbers of their own
    assert len(set((found.log_z - exact)[:10].round(12))) == 10


def test_hidden_units_of_a_restricted_machine_are_summed_exactly(rng):
    grbm = restricted(rng)
    visible = torch.tensor(list(itertools.product([-1.0, 1.0], repeat=5)), dtype=torch.float64)
    x = torch.cat([visible, torch.full((32, 4), NAN)], dim=1)
    found = log_partition(grbm, x)
    np.testing.assert_allclose(found.log_z, [enumerated(grbm, row) for row in x], rtol=1e-12)
    assert found.info["num_exact"] == 32
    # The likelihoods of all visible states add up to 1.
    log_z = log_partition(grbm, num_sweeps=300, seed=1)
    total = np.exp(found.log_z - log_z.log_z).sum()
    assert abs(total - 1) < 4 * log_z.standard_error


def test_the_likelihood_of_data_with_coupled_hidden_units(rng):
    """Against enumeration of both sums, with the standard errors of both."""
    grbm = connected(rng, n=10)
    x = torch.tensor(rng.choice([-1.0, 1.0], size=(20, 10)))
    x[:, 6:] = NAN
    data, model = (log_partition(grbm, y, num_sweeps=200, seed=3) for y in (x, None))
    likelihoods = data.log_z - model.log_z
    exact = np.array([enumerated(grbm, row) for row in x]) - enumerated(grbm)
    error = np.hypot(data.standard_error, model.standard_error)
    assert (np.abs(likelihoods - exact) < 4 * error).all()
    assert likelihoods.mean() == pytest.approx(exact.mean(), abs=4 * model.standard_error)


def test_rows_with_other_known_units_have_other_random_numbers():
    """Two equal cliques, one known in each row: the estimates are of the same sum."""
    edges = [(i + k, j + k) for k in (0, 3) for i, j in ((0, 1), (0, 2), (1, 2))]
    grbm = GraphRestrictedBoltzmannMachine(range(6), edges, quadratic=dict.fromkeys(edges, 1.0))
    x = torch.tensor([[1.0] * 3 + [NAN] * 3, [NAN] * 3 + [1.0] * 3])
    first, second = log_partition(grbm, x, num_sweeps=20, seed=1).log_z
    assert first != second
    assert first == pytest.approx(second, abs=0.2)


def test_no_rows_and_no_edges(rng):
    grbm = machine(rng, ["a", "b"], [])
    exact = (2 * grbm.linear.cosh()).log().sum().item()
    assert log_partition(grbm).log_z == pytest.approx(exact, rel=1e-12)
    assert log_partition(grbm, torch.empty((0, 2))).log_z.shape == (0,)
    assert log_partition(connected(rng), prefactor=0.0).log_z == pytest.approx(9 * np.log(2))


def test_an_estimate_that_rests_on_few_weights_warns(rng):
    grbm = connected(rng, scale=20.0)
    with pytest.warns(UnreliableEstimateWarning, match="effective weights"):
        found = log_partition(grbm, num_reads=100, num_sweeps=2, seed=1)
    assert not found.is_reliable


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"grbm": 3}, TypeError, "grbm is 3, but must be a GraphRestrictedBoltzmannMachine"),
        ({"x": [[1.0]]}, TypeError, "x is a list, but must be a real torch.Tensor"),
        ({"x": torch.ones((2, 3))}, ValueError, r"x has shape \(2, 3\), but must be \(batch size"),
        ({"x": torch.zeros((1, 9))}, ValueError, r"x\[0, 0\] is 0.0, but must be -1, 1 or NaN"),
        ({"prefactor": NAN}, ValueError, "prefactor is nan, but must be finite"),
        ({"num_reads": 1}, ValueError, "num_reads is 1"),
        ({"num_sweeps": 0}, ValueError, "num_sweeps is 0"),
        ({"seed": -1}, ValueError, "seed is -1"),
        ({"num_threads": 0}, ValueError, "num_threads is 0"),
    ],
)
def test_bad_arguments(rng, changed, error, message):
    arguments = {"grbm": connected(rng), "x": None} | changed
    with pytest.raises(error, match=message):
        log_partition(arguments.pop("grbm"), arguments.pop("x"), **arguments)
