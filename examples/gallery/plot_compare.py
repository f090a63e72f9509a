"""
Compare optimisers fairly
=========================

One run on one split says little: its test accuracy has a standard error of nearly a point on 360
images. ``qpsbgd train digits --compare`` trains QPSBGD, BinaryConnect and SIGNUM on the same ten
splits, with the same network and schedule, each at the learning rate that validation images chose.
This page does it with three epochs.
"""

import subprocess
import sys
from pathlib import Path
from tempfile import mkdtemp

import matplotlib.pyplot as plt

folder = Path(mkdtemp()) / "comparison"
command = ["train", "digits", "--compare", "--epochs", "3", "--out", str(folder)]
done = subprocess.run(
    [sys.executable, "-m", "qpsbgd", *command], capture_output=True, text=True, check=True
)
print(done.stdout.split("\n\nRun folder")[0])

# %%
# Splits differ more than optimisers do. The last column therefore compares runs on the same split.
# The curves are means over the splits, with their spread.

figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
axes.imshow(plt.imread(folder / "curve.png"))
axes.axis("off")
figure.show()

# %%
# ``metrics.csv`` has each epoch of each run, for tests of your own.

print("\n".join((folder / "metrics.csv").read_text().splitlines()[:4]))
