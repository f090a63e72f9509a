"""The annealer's default temperatures against dwave-samplers' rule: mean energies at equal sweeps.

Both rules run in our annealer, same starts and seeds, final states; differences are paired over
reads. Prints a Markdown table; negative differences are better energies for "auto".
"""

import argparse

import dimod
import numpy as np
from annealing import dense, random_graph, torus

import qpsbgd
from qpsbgd import SimulatedAnnealingSampler
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


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--num-sweeps", type=int, nargs="+", default=[10, 100, 1000])
    parser.add_argument("--num-reads", type=int, default=48)
    args = parser.parse_args()
    sweeps = " | ".join(f"{n} sweeps" for n in args.num_sweeps)
    print(f"| family | cold end, auto / dwave | {sweeps} |")
    print("|" + "---|" * (2 + len(args.num_sweeps)))
    for name, make in FAMILIES.items():
        bqm = make(np.random.default_rng(0))
        problem = Problem(bqm)
        ends = auto_beta_range(problem)[1] / dwave_beta_range(problem)[1]
        cells = []
        for num_sweeps in args.num_sweeps:
            auto, peer = (
                SimulatedAnnealingSampler()
                .sample(
                    bqm, beta_range=rule, num_sweeps=num_sweeps, num_reads=args.num_reads, seed=1,
                    keep="final",
                )
                .record.energy
                for rule in ("auto", "dwave")
            )  # fmt: skip
            difference = 100 * (auto - peer) / abs(peer.mean())
            error = difference.std(ddof=1) / args.num_reads**0.5
            cells.append(f"{difference.mean():+.2f} +- {error:.2f} %")
        print(f"| {name} | {ends:.2g} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
