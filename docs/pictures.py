"""Pictures of docs/concepts.md, quantum_annealing.md and tempering.md: ``python docs/pictures.py``.

They are committed, so that the site is built without this script.
"""

import itertools
from pathlib import Path

import dimod
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Rectangle

from qpsbgd import (
    ParallelTemperingSampler,
    PathIntegralAnnealingSampler,
    SimulatedAnnealingSampler,
)

FOLDER = Path(__file__).parent
#: Without these, each run would write other files.
plt.rcParams["svg.hashsalt"] = "qpsbgd"


def save(figure, name):
    """Write a picture."""
    metadata = {"Date": None, "Creator": None} if name.endswith(".svg") else None
    figure.savefig(FOLDER / name, metadata=metadata, dpi=110)
    plt.close(figure)


def draw_projection():
    """Draw the objective of one neuron with two correlated inputs."""
    X = np.array([[1.0, 0.9], [0.9, 1.0], [0.5, 0.2], [-0.2, 0.3]])  # (N, n)
    t = np.array([0.45, 0.1, 0.45, -0.5])  # (N,)
    candidates = np.array(list(itertools.product((-1, 1), repeat=2)))  # (4, n)
    alpha = 0.7

    def objective(points):
        return ((alpha * points @ X.T - t) ** 2).sum(-1)

    best = candidates[objective(candidates).argmin()]
    linear = np.sign(X.T @ t)
    assert (best != linear).any()
    axis = np.linspace(-1.7, 1.7, 200)
    grid = np.stack(np.meshgrid(axis, axis), axis=-1)  # (200, 200, n)
    figure, axes = plt.subplots(figsize=(5, 4.2), layout="constrained")
    axes.contour(axis, axis, objective(grid), levels=18, colors="0.75", linewidths=0.8)
    axes.scatter(*candidates.T, color="0.3", s=40, zorder=3)
    for b in candidates:
        axes.annotate(
            f"{objective(b):.2f}", b, textcoords="offset points", xytext=(0, -16), ha="center"
        )
    style = {"s": 220, "facecolors": "none", "linewidths": 2, "zorder": 4}
    axes.scatter(*linear, edgecolors="C1", label="linear minimiser sign(X't)", **style)
    axes.scatter(*best, edgecolors="C0", label="projection", **style)
    axes.set(xticks=(-1, 1), yticks=(-1, 1), xlabel="sign of weight 1", ylabel="sign of weight 2")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2, frameon=False)
    save(figure, "projection.svg")


def draw_lanes():
    """Draw sixteen rows that share a matrix, and the block whose fields a flip updates at once."""
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(8, 3.6), layout="constrained", gridspec_kw={"width_ratios": [1, 1.25]}
    )
    left.add_patch(Rectangle((0, 0), 12, 12, facecolor="0.93", edgecolor="0.4"))
    left.add_patch(Rectangle((0, 7), 12, 0.6, facecolor="C0"))
    left.add_patch(Rectangle((3, 7), 3, 0.6, facecolor="C1"))
    left.set_title("couplings, one matrix for all rows")
    left.text(6, 8.1, "row of the variable that is visited", ha="center", color="C0")
    left.text(4.5, 6.1, "block", ha="center", color="C1")
    right.set_title("local fields: 16 lanes are 16 neurons (or reads)")
    for lane in range(16):
        for variable in range(12):
            colour = "C1" if variable in (3, 4, 5) else "0.93"
            right.add_patch(
                Rectangle((variable, lane * 0.75), 0.9, 0.65, facecolor=colour, edgecolor="none")
            )
    right.add_patch(Rectangle((3.95, -0.1), 1, 12.1, fill=False, edgecolor="C0", linewidth=2))
    right.text(4.45, -0.9, "one vector", ha="center", color="C0")
    right.text(12.3, 6, "one tile,\none thread", va="center")
    right.set(xlim=(-0.5, 15.5), ylim=(-1.3, 12.6))
    left.set(xlim=(-0.5, 12.5), ylim=(-1.3, 12.6))
    for axes in (left, right):
        axes.axis("off")
    save(figure, "lanes.svg")


def draw_packing():
    """Draw the copies of K8 that fit on a small Pegasus graph."""
    import networkx as nx
    from dwave.graphs import pegasus_layout

    from qpsbgd.hardware.embedding import ideal_graph, pack_cliques

    graph = ideal_graph("pegasus", [4])
    packing = pack_cliques(graph, 8)
    positions = pegasus_layout(graph)
    figure, axes = plt.subplots(figsize=(5.5, 5.5), layout="constrained")
    nx.draw_networkx_nodes(graph, positions, node_size=10, node_color="0.88", ax=axes)
    for copy, chains in enumerate(packing.embeddings):
        part = graph.subgraph(qubit for chain in chains.values() for qubit in chain)
        colour = [plt.get_cmap("tab20")(copy % 20)]
        nx.draw_networkx_nodes(part, positions, node_size=22, node_color=colour, ax=axes)
        nx.draw_networkx_edges(part, positions, edge_color=colour, ax=axes)
    axes.axis("off")
    axes.set_title(f"{packing.num_copies} copies of K8 on a Pegasus P4 of {len(graph)} qubits")
    save(figure, "packing.png")


def ferromagnetic_ring(n):
    """Return the model of a ring of qubits that like to agree."""
    bqm = dimod.BQM("SPIN")
    for i in range(n):
        bqm.add_variable(i, 0.0)
        bqm.add_interaction(i, (i + 1) % n, -1.0)
    return bqm


def sample_equilibrium(bqm, field, num_reads):
    """Return a sample set of worldlines at a transverse field, at inverse temperature 1."""
    return PathIntegralAnnealingSampler().sample(
        bqm, num_reads=num_reads, seed=1, beta_schedule_type="custom", Hp_field=np.ones(300),
        Hd_field=np.full(300, field), project_states=(True, False),
    )  # fmt: skip


def worldline_image(sampleset, num_times):
    """Return the spins of the first read at these times of each qubit, (n, num_times)."""
    times = np.linspace(0, 65536, num_times, endpoint=False)
    numbers = sampleset.info["num_breaks"][0]
    lines = np.split(sampleset.info["break_positions"], numbers.cumsum()[:-1])
    return np.array(
        [
            spin * (-1) ** np.searchsorted(breaks, times, side="right")
            for spin, breaks in zip(sampleset.record.sample[0], lines, strict=False)
        ]
    )


def exact_ring(n, field):
    """Return <sigma^x> and <sigma^z sigma^z> of neighbours in a ring, by diagonalisation."""
    codes = np.arange(2**n)
    states = 1 - 2 * (codes[:, None] >> np.arange(n) & 1)
    bonds = (states * np.roll(states, 1, axis=1)).mean(axis=1)
    hamiltonian = np.diag(-n * bonds)
    for i in range(n):
        hamiltonian[codes, codes ^ 1 << i] -= field
    levels, vectors = np.linalg.eigh(hamiltonian)
    weights = np.exp(levels[0] - levels)
    weights /= weights.sum()
    transverse = np.einsum("sk,sk,k->", vectors, vectors[codes ^ 1], weights)
    return transverse, bonds @ (vectors**2 @ weights)


def draw_worldlines():
    """Draw worldlines of a ring at two transverse fields, and means beside the exact ones."""
    figure, panels = plt.subplots(
        1, 3, figsize=(9, 3.2), layout="constrained", gridspec_kw={"width_ratios": [1, 1, 1.4]}
    )
    for axes, field in zip(panels, (0.5, 3.0), strict=False):
        image = worldline_image(sample_equilibrium(ferromagnetic_ring(24), field, 1), 400)
        axes.imshow(image, aspect="auto", cmap="Greys", interpolation="nearest", vmin=-1.4, vmax=2)
        axes.set(title=f"Hd = {field}", xlabel="imaginary time", xticks=(), yticks=())
    panels[0].set_ylabel("qubit")
    axes, n = panels[2], 8
    fields = np.linspace(0.05, 4, 40)
    exact = np.array([exact_ring(n, field) for field in fields])
    axes.plot(fields, exact[:, 0], color="C0", label="transverse magnetisation")
    axes.plot(fields, exact[:, 1], color="C1", label="agreement of neighbours")
    for field in np.linspace(0.25, 4, 12):
        sampleset = sample_equilibrium(ferromagnetic_ring(n), field, 2000)
        spins = sampleset.record.sample
        axes.plot(field, sampleset.info["num_breaks"].mean() / field, "o", color="C0", ms=4)
        axes.plot(field, (spins * np.roll(spins, 1, axis=1)).mean(), "o", color="C1", ms=4)
    axes.set(xlabel="transverse field Hd", ylim=(0, 1.35), title="8 qubits: lines are exact")
    axes.legend(loc="upper center", fontsize=8, frameon=False)
    save(figure, "worldlines.png")


def draw_tempering():
    """Draw the share of reads in the deeper of two valleys, and the path of a replica."""
    n, betas = 12, np.linspace(0.02, 1.0, 25)
    J = dict.fromkeys(itertools.combinations(range(n), 2), -1.0)
    bqm = dimod.BinaryQuadraticModel.from_ising(dict.fromkeys(range(n), -0.1), J)
    states = np.array(list(itertools.product((-1, 1), repeat=n)))
    energies, is_up = bqm.energies((states, range(n))), states.sum(axis=1) > 0

    def exact(beta):
        weights = np.exp(-beta * (energies - energies.min()))
        return weights[is_up].sum() / weights.sum()

    options = {"num_reads": 1000, "num_sweeps": 300, "seed": 1}
    tempered = ParallelTemperingSampler().sample(bqm, sample_betas=betas[::4], **options)
    shares = [
        (tempered.record.sample[tempered.record.beta == beta].sum(axis=1) > 0).mean()
        for beta in betas[::4]
    ]
    annealed = [
        (
            SimulatedAnnealingSampler()
            .sample(bqm, beta_range=(0.01, beta), keep="final", **options)
            .record.sample.sum(axis=1)
            > 0
        ).mean()
        for beta in betas[::4]
    ]
    figure, axes = plt.subplots(figsize=(5.5, 3.4), layout="constrained")
    axes.plot(betas, [exact(beta) for beta in betas], color="0.5", label="exact")
    axes.plot(betas[::4], shares, "o", label="parallel tempering")
    axes.plot(betas[::4], annealed, "s", label="annealing to this temperature")
    axes.set(xlabel="inverse temperature", ylabel="share in the deeper valley", ylim=(0.45, 1))
    axes.legend(frameon=False)
    save(figure, "tempering.svg")


if __name__ == "__main__":
    draw_projection()
    draw_lanes()
    draw_packing()
    draw_worldlines()
    draw_tempering()
