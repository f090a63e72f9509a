"""The same bits from the same seeds, from one version to the next.

`QPSBGD_RECORD=1 pytest tests/test_golden.py` writes the hashes anew. A change of one is a change
that users see: CHANGELOG.md names it.
"""

import hashlib
import json
import os
from pathlib import Path

import dimod
import numpy as np
import pytest
import scipy.sparse

import qpsbgd

HASHES = Path(__file__).with_name("golden.json")
RECORD = os.environ.get("QPSBGD_RECORD") == "1"


def digest(*arrays):
    """Return a hash of the arrays' bytes."""
    total = hashlib.sha256()
    for array in arrays:
        total.update(np.ascontiguousarray(array).tobytes())
    return total.hexdigest()[:16]


def random_model(n, kind, degree=None, vartype="SPIN"):
    """Return a model with n variables: all pairs, or about `degree` neighbours a variable."""
    rng = np.random.default_rng([n, len(kind)])
    rows, columns = np.triu_indices(n, 1)
    if degree is not None:
        chosen = rng.random(len(rows)) < degree / (n - 1)
        rows, columns = rows[chosen], columns[chosen]
    draw = {
        "signs": lambda size: rng.choice([-1.0, 1.0], size),
        "integers": lambda size: rng.integers(-99, 100, size).astype(float),
        "normal": lambda size: rng.normal(size=size),
        "penalty": lambda size: rng.normal(size=size) + 1e9 * (rng.random(size) < 0.1),
    }[kind]
    linear = draw(n) if kind != "signs" else np.zeros(n)
    return dimod.BQM.from_numpy_vectors(linear, (rows, columns, draw(len(rows))), 0.5, vartype)


MODELS = {
    "dense-signs-40": lambda: random_model(40, "signs"),
    "dense-integers-70": lambda: random_model(70, "integers"),
    "dense-normal-130": lambda: random_model(130, "normal"),
    "dense-normal-600": lambda: random_model(600, "normal"),
    "dense-penalty-50": lambda: random_model(50, "penalty"),
    "binary-integers-33": lambda: random_model(33, "integers", vartype="BINARY"),
    "sparse-signs-700": lambda: random_model(700, "signs", degree=4),
    "sparse-integers-300": lambda: random_model(300, "integers", degree=5),
    "sparse-normal-1500": lambda: random_model(1500, "normal", degree=6),
    "sparse-penalty-200": lambda: random_model(200, "penalty", degree=6),
}

SAMPLERS = {
    "annealing": lambda model: qpsbgd.SimulatedAnnealingSampler().sample(
        model, num_reads=5, num_sweeps=60, seed=3
    ),
    "annealing-17-reads": lambda model: qpsbgd.SimulatedAnnealingSampler().sample(
        model, num_reads=17, num_sweeps=20, seed=4, keep="final"
    ),
    "annealing-gibbs-random-order": lambda model: qpsbgd.SimulatedAnnealingSampler().sample(
        model,
        num_reads=3,
        num_sweeps=20,
        seed=5,
        randomize_order=True,
        proposal_acceptance_criteria="Gibbs",
    ),
    "annealing-one-temperature": lambda model: qpsbgd.SimulatedAnnealingSampler().sample(
        model, num_reads=2, num_sweeps=30, seed=6, beta_range=(0.5, 0.5)
    ),
    "tabu": lambda model: qpsbgd.TabuSampler().sample(
        model, num_reads=2, num_restarts=3, timeout=None, seed=7
    ),
    "descent": lambda model: qpsbgd.SteepestDescentSampler().sample(model, num_reads=6, seed=8),
}


def sample(sampler, model):
    bqm = MODELS[model]()
    found = SAMPLERS[sampler](bqm)
    order = np.argsort(list(found.variables))
    return found.record.sample[:, order], found.record.energy


def exhaustive():
    found = qpsbgd.ExhaustiveSampler().sample(random_model(16, "integers"), num_states=8)
    return found.record.sample, found.record.energy


def batch_of(couplings, **options):
    n = 24 if couplings != "own-9" else 9
    rng = np.random.default_rng(n)
    h = rng.normal(size=(20, n))

    def symmetric(*shape):
        J = np.triu(rng.normal(size=shape), 1)
        return J + np.swapaxes(J, -1, -2)

    ring = np.roll(np.eye(n), 1, 0)
    J = {
        "shared": lambda: symmetric(n, n),
        "own": lambda: symmetric(20, n, n),
        "own-9": lambda: symmetric(20, n, n),
        "integers": lambda: np.rint(3 * symmetric(n, n)),
        "low-rank": lambda: qpsbgd.LowRank(rng.normal(size=(6, n)), 0.3),
        "sparse": lambda: scipy.sparse.csr_array(ring + ring.T),
    }[couplings]()
    found = qpsbgd.sample_batch(h, J, num_reads=3, seed=9, **options)
    return found.states, found.energies


def layer(samples, n, m):
    rng = np.random.default_rng([samples, n, m])
    return (
        rng.normal(size=(samples, n)).astype(np.float32),
        rng.normal(size=(samples, m)).astype(np.float32),
    )


def project(samples, n, m, **options):
    return (qpsbgd.project(*layer(samples, n, m), seed=11, **options),)


PROJECTIONS = {
    "descent": {"alpha": "norm", "num_sweeps": 10},
    "fit": {"alpha": "fit", "num_sweeps": 2},
    "reads": {"alpha": "norm", "num_sweeps": 10, "num_reads": 4, "initial": "random"},
    "annealed": {"alpha": "norm", "beta_range": (0.1, 10.0), "num_sweeps": 20, "num_reads": 2},
    "sign": {"objective": "sign", "num_sweeps": 10},
    "sign-annealed": {"objective": "sign", "beta_range": (0.1, 5.0), "num_sweeps": 8},
}


def gradient_problems():
    h, J, offset = qpsbgd.gradient_ising(*layer(30, 20, 3), alpha="norm")
    return J, h, offset


def trained_weights(**options):
    """Train two layers with losses whose gradients every processor computes exactly."""
    torch = pytest.importorskip("torch")
    from qpsbgd.nn import BinaryLinear
    from qpsbgd.optim import QPSBGD

    rng = np.random.default_rng(12)
    layers = [BinaryLinear(24, 16, bias=False), BinaryLinear(16, 10, bias=False)]
    for each in layers:
        start = rng.integers(-8, 9, tuple(each.weight.shape)) / 8
        each.weight.data.copy_(torch.from_numpy(start))
    optimizer = QPSBGD(torch.nn.ModuleList(layers), lr=0.125, seed=13, **options)
    for _ in range(8):
        optimizer.zero_grad()
        for each in layers:
            inputs = torch.from_numpy(rng.integers(-3, 4, (40, each.in_features))).float()
            slope = torch.from_numpy(rng.integers(-3, 4, (40, each.out_features))).float()
            (each(inputs) * slope).sum().backward()
        optimizer.step()
    return [each.weight.detach().numpy() for each in layers]


CASES = {
    **{
        f"{sampler}: {model}": lambda sampler=sampler, model=model: sample(sampler, model)
        for sampler in SAMPLERS
        for model in MODELS
    },
    "exhaustive": exhaustive,
    **{
        f"batch {method}: {couplings}": lambda method=method, couplings=couplings: batch_of(
            couplings, method=method
        )
        for method in ("sa", "tabu", "descent")
        for couplings in ("shared", "own", "own-9", "integers", "sparse")
    },
    "batch sa: low-rank": lambda: batch_of("low-rank"),
    "batch of one temperature": lambda: batch_of("shared", beta_range=(0.5, 0.5)),
    **{
        f"project {name}: {shape}": lambda name=name, shape=shape: project(
            *shape, **PROJECTIONS[name]
        )
        for name in PROJECTIONS
        for shape in ((12, 30, 5), (90, 40, 33), (17, 300, 20))
    },
    "gradient problems": gradient_problems,
    "trained weights": lambda: trained_weights(scale=1.0),
    "trained weights, sign": lambda: trained_weights(objective="sign"),
    "trained weights, momentum": lambda: trained_weights(momentum=0.5, update="latent", scale=1.0),
}


@pytest.fixture(scope="module")
def hashes():
    found = {} if RECORD else json.loads(HASHES.read_text())
    yield found
    if RECORD:
        HASHES.write_text(json.dumps(found, indent=1) + "\n")


@pytest.mark.parametrize("case", CASES)
def test_bits_are_those_of_before(case, hashes):
    found = digest(*CASES[case]())
    if RECORD:
        hashes[case] = found
    assert found == hashes[case]
