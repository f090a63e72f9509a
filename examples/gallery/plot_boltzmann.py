"""
A Boltzmann machine with D-Wave's plugin
========================================

D-Wave's PyTorch plugin trains Boltzmann machines whose samples come from an annealer or from any
dimod sampler. ``BatchSampler`` samples all rows of a batch in one call, and ``log_partition``
gives what a likelihood needs. This page trains restricted Boltzmann machines on the 1797 digits of
scikit-learn, 8 x 8 pixels each, and follows the log-likelihood of digits that were held out.
"""

import copy

import matplotlib.pyplot as plt
import numpy as np
import torch
from dwave.plugins.torch.models.boltzmann_machine import GraphRestrictedBoltzmannMachine
from sklearn.datasets import load_digits

from qpsbgd.plugin import BatchSampler, log_partition

torch.manual_seed(0)
torch.set_num_threads(1)
SIDE = 8
VISIBLE = SIDE * SIDE
pixels = np.where(load_digits().data > 7, 1.0, -1.0).astype(np.float32)
images = torch.from_numpy(pixels[np.random.default_rng(0).permutation(len(pixels))])
train, validation, test = images[:1200], images[1200:1500], images[1500:]

# %%
# A model of independent pixels is the reference. It also starts the training: with no couplings, a
# machine with these linear biases is this model.

shares = ((train == 1).sum(dim=0) + 1) / (len(train) + 2)  # of white pixels
independent = torch.where(test == 1, shares.log(), (1 - shares).log()).sum(dim=1).mean().item()
print(f"independent pixels: {independent:.2f} nats per test image")


def machine(num_hidden):
    """Return a machine that couples each pixel with each hidden unit."""
    hidden = range(VISIBLE, VISIBLE + num_hidden)
    edges = [(i, j) for i in range(VISIBLE) for j in hidden]
    grbm = GraphRestrictedBoltzmannMachine(
        range(VISIBLE + num_hidden), edges, hidden_nodes=list(hidden)
    )
    grbm.quadratic.data.normal_(std=0.01)
    grbm.linear.data[:VISIBLE] = -torch.atanh(2 * shares - 1)
    return grbm


# %%
# The log-likelihood of an image is a difference of two log partition functions: one with the pixels
# known, one with all units free. NaN marks what is summed over. The hidden units of this machine
# are not coupled with one another, so that the first one is exact. The second one is estimated by
# annealed importance sampling, with a standard error.


def log_likelihood(grbm, images, num_reads):
    """Return the mean log-likelihood in nats, and its standard error."""
    hidden = torch.full((len(images), grbm.n_nodes - VISIBLE), torch.nan)
    known = log_partition(grbm, torch.cat([images, hidden], dim=1))
    free = log_partition(grbm, num_reads=num_reads, num_sweeps=300, seed=0)
    return known.log_z.mean() - free.log_z, free.standard_error


# %%
# The gradient of the log-likelihood is a difference of two means: over the data, for which the
# plugin computes the hidden units' means, and over free samples of the model. The samples come from
# Gibbs sweeps at inverse temperature 1. The numbers of hidden units and of steps are chosen on the
# validation images.

STEPS, BATCH, INTERVAL = 300, 64, 50
curves, best = {}, (-np.inf, None, None)
for num_hidden in (16, 32, 64):
    grbm = machine(num_hidden)
    sampler = BatchSampler(
        grbm, "sa", prefactor=1.0, sample_kwargs={"num_reads": BATCH, "num_sweeps": 30}, seed=1
    )
    optimizer = torch.optim.Adam(grbm.parameters(), lr=0.03)
    scheduler = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.02, total_iters=STEPS)
    curves[num_hidden] = []
    for step in range(STEPS + 1):
        if step % INTERVAL == 0:
            value, _ = log_likelihood(grbm, validation, num_reads=256)
            curves[num_hidden].append(value)
            if value > best[0]:
                best = value, step, copy.deepcopy(grbm)
        batch = train[torch.randint(len(train), (BATCH,))]
        optimizer.zero_grad()
        grbm.quasi_objective(batch, sampler.sample(), kind="exact-disc").backward()
        optimizer.step()
        scheduler.step()

_, step, grbm = best
value, error = log_likelihood(grbm, test, num_reads=2048)
print(
    f"chosen: {grbm.n_nodes - VISIBLE} hidden units, {step} steps; "
    f"{value:.2f} +- {error:.2f} nats per test image"
)

# %%
# The log-likelihood of the validation images during training.

figure, axes = plt.subplots(figsize=(6, 3), layout="constrained")
for num_hidden, values in curves.items():
    axes.plot(range(0, STEPS + 1, INTERVAL), values, label=f"{num_hidden} hidden units")
axes.axhline(curves[16][0], color="gray", linestyle=":", label="independent pixels")
axes.set(xlabel="step", ylabel="nats per validation image")
axes.legend()
figure.show()

# %%
# Free samples of the chosen machine, from more sweeps than in training.

dreamer = BatchSampler(
    grbm, "sa", prefactor=1.0, sample_kwargs={"num_reads": 24, "num_sweeps": 2000}, seed=2
)
dreams = dreamer.sample()[:, :VISIBLE].reshape(-1, SIDE, SIDE)
figure, grid = plt.subplots(3, 8, figsize=(6, 2.5), layout="constrained")
for axes, image in zip(grid.flat, dreams, strict=True):
    axes.imshow(image, cmap="gray", vmin=-1, vmax=1)
    axes.set(xticks=[], yticks=[])
figure.show()
