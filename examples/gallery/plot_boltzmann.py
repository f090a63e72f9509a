"""
A Boltzmann machine with D-Wave's plugin
========================================

D-Wave's PyTorch plugin trains Boltzmann machines whose samples come from an annealer or from any
dimod sampler. ``BatchSampler`` samples all rows of a batch in one call. This page trains a
machine with 16 visible and 16 hidden units on the binary patterns of stripes and shows samples of
it.
"""

import matplotlib.pyplot as plt
import torch
from dwave.plugins.torch.models.boltzmann_machine import GraphRestrictedBoltzmannMachine

from qpsbgd.plugin import BatchSampler

torch.manual_seed(0)
SIDE, HIDDEN = 4, 16
visible = SIDE * SIDE


def stripes(num_images):
    """Return images of horizontal or vertical stripes, (num_images, 16) of -1 and +1."""
    lines = torch.randint(2, (num_images, SIDE, 1)) * 2.0 - 1.0
    images = lines.expand(num_images, SIDE, SIDE)
    is_vertical = torch.rand(num_images, 1, 1) < 0.5
    return torch.where(is_vertical, images.transpose(1, 2), images).reshape(num_images, visible)


# %%
# Each visible unit is coupled with each hidden one.

hidden = range(visible, visible + HIDDEN)
edges = [(i, j) for i in range(visible) for j in hidden]
grbm = GraphRestrictedBoltzmannMachine(range(visible + HIDDEN), edges, hidden_nodes=list(hidden))
sampler = BatchSampler(
    grbm, "sa", prefactor=1.0, sample_kwargs={"num_reads": 100, "num_sweeps": 50}, seed=1
)
completer = BatchSampler(
    grbm, "sa", prefactor=1.0, sample_kwargs={"num_reads": 1, "num_sweeps": 20}, seed=2
)
optimizer = torch.optim.Adam(grbm.parameters(), lr=0.05)

# %%
# The gradient of the log-likelihood is a difference of two means: over the data, with hidden units
# sampled given the visible ones (NaN marks what is to be sampled), and over free samples of the
# model.


def completed(images):
    """Return the images with sampled hidden units, (num_images, 32)."""
    unknown = torch.full((len(images), HIDDEN), float("nan"))
    return completer.sample(torch.cat([images, unknown], dim=1)).reshape(len(images), -1)


gaps = []
for _ in range(300):
    images = stripes(64)
    optimizer.zero_grad()
    gap = grbm(completed(images)).mean() - grbm(sampler.sample()).mean()
    gap.backward()
    optimizer.step()
    gaps.append(gap.item())

# %%
# Free samples of the trained machine. Most are stripes.

dreams = sampler.sample()[:, :visible].reshape(-1, SIDE, SIDE)
known = {tuple(image.tolist()) for image in stripes(2000)}
share = sum(tuple(image.flatten().tolist()) in known for image in dreams) / len(dreams)
print(f"{100 * share:.0f} % of {len(dreams)} samples are stripes (30 of the 65,536 images are)")
figure, grid = plt.subplots(2, 6, figsize=(6, 2.2), layout="constrained")
for axes, image in zip(grid.flat, dreams[:12], strict=True):
    axes.imshow(image, cmap="gray", vmin=-1, vmax=1)
    axes.set(xticks=[], yticks=[])
figure.show()

# %%
# The difference of the two mean energies goes to 0 as the statistics of the model approach those of
# the data.

figure, axes = plt.subplots(figsize=(6, 3), layout="constrained")
axes.plot(gaps)
axes.set(xlabel="step", ylabel="energy of data less energy of samples")
figure.show()
