"""
Replace dwave-samplers
======================

The samplers have the names and parameters of dwave-samplers', so the import is all that changes.
This page anneals a spin glass of 500 variables with both, with equal sweeps and one thread each.
"""

import time

import dimod
import matplotlib.pyplot as plt
import numpy as np
from dwave.samplers import SimulatedAnnealingSampler as Peer

from qpsbgd import SimulatedAnnealingSampler

n = 500
J = np.triu(np.random.default_rng(0).choice([-1.0, 1.0], size=(n, n)), 1)
bqm = dimod.BinaryQuadraticModel(np.zeros(n), J, 0.0, "SPIN")

# %%
# ``num_threads=1`` is one of the few parameters that dwave-samplers does not have. Without it, a
# call uses all processors where that is worth it. The result is the same to the bit.

options = {"num_reads": 50, "beta_range": (0.01, 1.0), "seed": 1}
sweeps = [10, 30, 100, 300]
results = {"dwave-samplers": [], "qpsbgd": []}
for num_sweeps in sweeps:
    for name, sampler, extra in (
        ("dwave-samplers", Peer(), {}),
        ("qpsbgd", SimulatedAnnealingSampler(), {"num_threads": 1}),
    ):
        start = time.perf_counter()
        sampleset = sampler.sample(bqm, num_sweeps=num_sweeps, **options, **extra)
        seconds = time.perf_counter() - start
        energy = sampleset.record.energy.mean()
        results[name].append((seconds, energy))
        print(f"{name:15} {num_sweeps:5} sweeps {seconds:7.3f} s  mean energy {energy:.0f}")

# %%
# The energies agree within their spread, since both do the same. The times are of whole calls, on
# the machine that built this page; ``bench/annealing.py`` measures with care.

figure, axes = plt.subplots(figsize=(6, 3.5), layout="constrained")
for name, points in results.items():
    axes.plot(*zip(*points, strict=True), marker="o", label=name)
axes.set(
    xscale="log", xlabel="seconds of one call with 50 reads", ylabel="mean energy of the reads"
)
axes.legend()
figure.show()

# %%
# :doc:`/differences` lists the differences that remain.
