"""The annealer's default temperatures against dwave-samplers' rule: mean energies at equal sweeps.

Both rules run in our annealer with the same starts and seeds. Final states are compared.
Differences are paired over reads, or over the means of instances if QPSBGD_DATA names a folder with
instances. With --peer the other side is dwave-samplers' annealer with its defaults. Prints a
Markdown table. Negative differences are better energies for "auto".
"""

import argparse
import os
from pathlib import Path

import dimod
import numpy as np
from annealing import dense, random_graph, torus

import qpsbgd
from qpsbgd import SimulatedAnnealingSampler, formats
from qpsbgd.samplers.problem.ising import Problem
from qpsbgd.samplers.temperature_rules import auto_beta_range, dwave_beta_range


def spin_model(linear, rows, columns, values):
    return dimod.BinaryQuadraticModel.from_numpy_vectors(
        linear, (rows, columns, values), 0.0, "SPIN"
    )


def no_fields(n, rows, columns, values):
    return spin_model(np.zeros(n), rows, columns, values)


def gaussian(rng, n=512):
    rows, columns = np.triu_indices(n, 1)
    return spin_model(rng.normal(size=n), rows, columns, rng.normal(size=len(rows)))


def gradient_ising(rng, n=784):
    """One neuron of a layer with 100 samples."""
    X, T = (rng.normal(size=(100, k)).astype(np.float32) for k in (n, 3))
    h, J, _ = qpsbgd.gradient_ising(X, T, alpha="norm")
    rows, columns = np.triu_indices(n, 1)
    return spin_model(h[0].astype(float), rows, columns, J[rows, columns].astype(float))


def bqp(rng, n=500):
    """As Beasley's bqp500: a tenth of the coefficients, integers in -100 .. 100."""
    Q = np.triu(rng.integers(-100, 101, size=(n, n)) * (rng.random((n, n)) < 0.1))
    return dimod.BinaryQuadraticModel(Q.astype(float), "BINARY").change_vartype("SPIN")


def independent(rng, n=10_000):
    """Spins without couplings, with equal fields."""
    return spin_model(np.ones(n), [], [], [])


def rings(rng, draw, n):
    """Three random rings through all variables: degree 6. `draw` gives the couplings."""
    orders = [rng.permutation(n) for _ in range(3)]
    rows, columns = np.concatenate(orders), np.concatenate([np.roll(k, 1) for k in orders])
    return no_fields(n, rows, columns, draw(len(rows)))


def lognormal(rng, n):
    return rings(rng, lambda k: rng.lognormal(0.0, 2.0, k) * rng.choice([-1, 1], k), n)


def cauchy(rng, n):
    return rings(rng, rng.standard_cauchy, n)


def sparse_real(rng, n=3000):
    """Random graph of mean degree 3 with normal couplings: many leaves, some weakly bound."""
    rows, columns = rng.integers(0, n, (2, 3 * n // 2))
    kept = rows != columns
    return no_fields(n, rows[kept], columns[kept], rng.normal(size=kept.sum()))


def one_hot(rng, penalty, groups=60, size=5):
    """Chain of groups of which one variable each is 1; small costs of variables and pairs."""
    bqm = dimod.BinaryQuadraticModel("BINARY")
    for g in range(groups):
        bqm.add_linear_from(((g, i), float(rng.integers(1, 10))) for i in range(size))
    for g in range(groups - 1):
        for i, j in np.ndindex(size, size):
            bqm.add_quadratic((g, i), (g + 1, j), float(rng.integers(0, 5)))
    for g in range(groups):
        bqm.add_linear_equality_constraint([((g, i), 1.0) for i in range(size)], penalty, -1.0)
    return bqm.change_vartype("SPIN", inplace=False)


FAMILIES = {
    "dense +-100, n = 512": lambda rng: no_fields(*dense(512, rng)),
    "dense real, n = 512": gaussian,
    "gradient QUBO, n = 784": gradient_ising,
    "bqp500-like": bqp,
    "G22-like": lambda rng: no_fields(*random_graph(2000, rng)),
    "torus +-1, n = 2500": lambda rng: no_fields(*torus(2500, rng)),
    "independent, n = 10,000": independent,
    "lognormal, n = 1000": lambda rng: lognormal(rng, 1000),
    "lognormal, n = 10,000": lambda rng: lognormal(rng, 10_000),
    "Cauchy, n = 1000": lambda rng: cauchy(rng, 1000),
    "Cauchy, n = 10,000": lambda rng: cauchy(rng, 10_000),
    "sparse real, n = 3000": sparse_real,
    "one-hot, penalty 20": lambda rng: one_hot(rng, 20.0),
    "one-hot, penalty 1e3": lambda rng: one_hot(rng, 1e3),
    "one-hot, penalty 1e6": lambda rng: one_hot(rng, 1e6),
}


def families():
    """Name and problems."""
    for name, make in FAMILIES.items():
        yield name, [make(np.random.default_rng(0))]
    if folder := os.environ.get("QPSBGD_DATA"):
        root = Path(folder) / "instances"
        for name, pattern, sense in (
            ("bqp500, ten", "bqp/bqp500_*.qubo", "maximise"),
            ("G-set, twenty", "gset/*.txt", None),
        ):
            yield name, [formats.read(path, sense=sense).bqm for path in root.glob(pattern)]


def energies(bqm, rule, num_sweeps, num_reads):
    """Energies of final states by a rule of ours, or of dwave-samplers' annealer for "peer"."""
    if rule == "peer":
        from dwave.samplers import SimulatedAnnealingSampler as Peer

        return Peer().sample(bqm, num_sweeps=num_sweeps, num_reads=num_reads, seed=1).record.energy
    sampler = SimulatedAnnealingSampler()
    options = {"num_sweeps": num_sweeps, "num_reads": num_reads, "seed": 1, "keep": "final"}
    return sampler.sample(bqm, beta_range=rule, **options).record.energy


def difference(bqm, other, num_sweeps, num_reads):
    """Per cent by which the energies of "auto" differ from those of another rule, a read."""
    ours, theirs = (energies(bqm, rule, num_sweeps, num_reads) for rule in ("auto", other))
    return 100 * (ours - theirs) / abs(theirs.mean())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--num-sweeps", type=int, nargs="+", default=[10, 100, 1000])
    parser.add_argument("--num-reads", type=int, default=48)
    parser.add_argument("--peer", action="store_true", help="against dwave-samplers' own annealer")
    parser.add_argument("--families", nargs="+", metavar="WORD", help="those that have a WORD")
    args = parser.parse_args()
    other = "peer" if args.peer else "dwave"
    sweeps = " | ".join(f"{n} sweeps" for n in args.num_sweeps)
    print(f"| family | ends, auto / dwave | {sweeps} |")
    print("|" + "---|" * (2 + len(args.num_sweeps)))
    for name, bqms in families():
        if args.families and not any(word in name for word in args.families):
            continue
        problems = [Problem(bqm) for bqm in bqms]
        ratios = [np.divide(auto_beta_range(p), dwave_beta_range(p)) for p in problems]
        hot, cold = np.mean(ratios, axis=0)
        cells = []
        for num_sweeps in args.num_sweeps:
            values = [difference(bqm, other, num_sweeps, args.num_reads) for bqm in bqms]
            paired = values[0] if len(values) == 1 else np.mean(values, axis=1)
            error = paired.std(ddof=1) / len(paired) ** 0.5
            cells.append(f"{paired.mean():+.2f} +- {error:.2f} %")
        print(f"| {name} | {hot:.2g}, {cold:.2g} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
