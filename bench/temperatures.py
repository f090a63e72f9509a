"""The annealer's default temperatures against dwave-samplers' rule: mean energies at equal sweeps.

Both rules run in our annealer, same starts and seeds, final states; differences are paired over
reads, or for the instances of QPSBGD_DATA, where it is set, over the means of each. Prints a
Markdown table; negative differences are better energies for "auto".
"""

import argparse
import os
from pathlib import Path

import dimod
import numpy as np
from annealing import dense, random_graph, torus

import qpsbgd
from qpsbgd import SimulatedAnnealingSampler, formats
from qpsbgd.ising import Problem
from qpsbgd.schedule import auto_beta_range, dwave_beta_range


def spin_model(linear, rows, columns, values):
    return dimod.BinaryQuadraticModel.from_numpy_vectors(
        linear, (rows, columns, values), 0.0, "SPIN"
    )


def no_fields(n, rows, columns, values):
    return spin_model(np.zeros(n), rows, columns, values)


def gaussian(rng, n=512):
    rows, columns = np.triu_indices(n, 1)
    return spin_model(rng.normal(size=n), rows, columns, rng.normal(size=len(rows)))


def gradient_qubo(rng, n=784):
    """One neuron of a layer with 100 samples."""
    X, T = (rng.normal(size=(100, k)).astype(np.float32) for k in (n, 3))
    J, h, _ = qpsbgd.gradient_qubo(X, T)
    rows, columns = np.triu_indices(n, 1)
    return spin_model(h[0].astype(float), rows, columns, J[rows, columns].astype(float))


def bqp(rng, n=500):
    """As Beasley's bqp500: a tenth of the coefficients, integers in -100 .. 100."""
    Q = np.triu(rng.integers(-100, 101, size=(n, n)) * (rng.random((n, n)) < 0.1))
    return dimod.BinaryQuadraticModel(Q.astype(float), "BINARY").change_vartype("SPIN")


FAMILIES = {
    "dense +-100, n = 512": lambda rng: no_fields(*dense(512, rng)),
    "dense real, n = 512": gaussian,
    "gradient QUBO, n = 784": gradient_qubo,
    "bqp500-like": bqp,
    "G22-like": lambda rng: no_fields(*random_graph(2000, rng)),
    "torus +-1, n = 2500": lambda rng: no_fields(*torus(2500, rng)),
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


def difference(bqm, num_sweeps, num_reads):
    """Per cent by which the energies of "auto" differ from those of "dwave", a read."""
    auto, peer = (
        SimulatedAnnealingSampler()
        .sample(
            bqm, beta_range=rule, num_sweeps=num_sweeps, num_reads=num_reads, seed=1, keep="final"
        )
        .record.energy
        for rule in ("auto", "dwave")
    )  # fmt: skip
    return 100 * (auto - peer) / abs(peer.mean())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--num-sweeps", type=int, nargs="+", default=[10, 100, 1000])
    parser.add_argument("--num-reads", type=int, default=48)
    args = parser.parse_args()
    sweeps = " | ".join(f"{n} sweeps" for n in args.num_sweeps)
    print(f"| family | cold end, auto / dwave | {sweeps} |")
    print("|" + "---|" * (2 + len(args.num_sweeps)))
    for name, bqms in families():
        problems = [Problem(bqm) for bqm in bqms]
        ends = np.mean([auto_beta_range(p)[1] / dwave_beta_range(p)[1] for p in problems])
        cells = []
        for num_sweeps in args.num_sweeps:
            values = [difference(bqm, num_sweeps, args.num_reads) for bqm in bqms]
            paired = values[0] if len(values) == 1 else np.mean(values, axis=1)
            error = paired.std(ddof=1) / len(paired) ** 0.5
            cells.append(f"{paired.mean():+.2f} +- {error:.2f} %")
        print(f"| {name} | {ends:.2g} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
