"""
Train a network with binary weights
===================================

Two things differ from a training loop with real weights: the layers, and the optimiser. The data
are the 1797 digits of scikit-learn, 8 x 8 pixels each.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn

from qpsbgd.nn import BinaryLinear
from qpsbgd.optim import QPSBGD, split_parameters

torch.manual_seed(0)
torch.set_num_threads(1)
digits = load_digits()
order = np.random.default_rng(0).permutation(len(digits.data))
inputs = torch.from_numpy((digits.data[order] / 8 - 1).astype(np.float32))  # from -1 to 1
labels = torch.from_numpy(digits.target[order])
train, test = slice(0, 1400), slice(1400, None)

# %%
# Batch normalisation after each binary layer brings its sums of signs back to the range in which
# ``Hardtanh`` has a slope. Its parameters are real. They belong to an ordinary optimiser.

model = nn.Sequential(
    BinaryLinear(64, 128, bias=False), nn.BatchNorm1d(128), nn.Hardtanh(),
    BinaryLinear(128, 128, bias=False), nn.BatchNorm1d(128), nn.Hardtanh(),
    BinaryLinear(128, 10, bias=False), nn.BatchNorm1d(10),
)  # fmt: skip
binary = QPSBGD(model, lr=0.01, stats_every=1)
real = torch.optim.AdamW(split_parameters(model).real, lr=0.01)

# %%
# The learning rates of both optimisers fall along half a cosine.

NUM_EPOCHS = 15
schedulers = [
    torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, NUM_EPOCHS)
    for optimizer in (binary, real)
]
accuracies = {"train": [], "test": []}
for _ in range(NUM_EPOCHS):
    model.train()
    for batch in torch.randperm(1400).split(100):
        binary.zero_grad()
        real.zero_grad()
        nn.functional.cross_entropy(model(inputs[train][batch]), labels[train][batch]).backward()
        binary.step()
        real.step()
    for scheduler in schedulers:
        scheduler.step()
    model.eval()
    for name, part in (("train", train), ("test", test)):
        with torch.no_grad():
            hits = model(inputs[part]).argmax(1) == labels[part]
        accuracies[name].append(hits.float().mean().item())
print(f"test accuracy {accuracies['test'][-1]:.3f}")

# %%
# A single split of 397 test images has a standard error of about 0.7 points. :doc:`plot_compare`
# compares optimisers over several splits.

figure, axes = plt.subplots(figsize=(6, 3.5), layout="constrained")
for name, values in accuracies.items():
    axes.plot(range(1, NUM_EPOCHS + 1), values, marker="o", markersize=3, label=name)
axes.set(xlabel="epoch", ylabel="accuracy")
axes.legend()
figure.show()

# %%
# ``last_step`` says what the last step did in each layer: the scale that QPSBGD chose and, with
# ``stats_every``, the share of weights whose sign it changed.

for name, step in binary.last_step.items():
    print(f"layer {name}: scale {step.scale}, {100 * step.flip_ratio:.2f} % of the signs changed")
