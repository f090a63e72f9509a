"""
Solve a file from the command line
==================================

``qpsbgd solve`` reads the usual formats of QUBO, Ising and Max-Cut instances. This page writes a
graph of 300 vertices in the format of the G-set and cuts it.
"""

import json
import subprocess
import sys
from pathlib import Path
from tempfile import mkdtemp

import matplotlib.pyplot as plt
import networkx as nx

folder = Path(mkdtemp())
graph = nx.random_regular_graph(5, 300, seed=1)
lines = [f"{graph.number_of_nodes()} {graph.number_of_edges()}"]
lines += [f"{i + 1} {j + 1} 1" for i, j in graph.edges]
(folder / "graph.rudy").write_text("\n".join(lines) + "\n")


def qpsbgd(*arguments):
    """Run the command as in a shell and print what it prints."""
    print("$ qpsbgd", *arguments)
    command = [sys.executable, "-m", "qpsbgd", *arguments]
    print(subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout)


# %%
# Files of this format are maximised by default. The command prints the sense and the reason.
# ``--out`` writes the whole solution.

qpsbgd("solve", "graph.rudy", "--time-limit", "0.5", "--out", "cut.json")

# %%
# The default solver, a portfolio, runs until the time limit; ``--target`` ends it earlier.

qpsbgd("solve", "graph.rudy", "--target", "600", "--solver", "tabu")

# %%
# The file has the objective, the assignment, and the solver, seed and version of the run.

solution = json.loads((folder / "cut.json").read_text())
print(list(solution))
print(
    {
        name: solution[name]
        for name in ("objective", "optimal", "found_by", "seed", "version", "isa")
    }
)

# %%
# More time gives better cuts until the best cut is found.

limits = [0.001, 0.01, 0.1, 1.0]
cuts = []
for limit in limits:
    command = [
        sys.executable,
        "-m",
        "qpsbgd",
        "solve",
        "graph.rudy",
        "--json",
        "--time-limit",
        str(limit),
    ]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    cuts.append(json.loads(done.stdout)["objective"])
figure, axes = plt.subplots(figsize=(6, 3.5), layout="constrained")
axes.plot(limits, cuts, marker="o")
axes.set(xscale="log", xlabel="time limit in seconds", ylabel="edges in the cut")
figure.show()
