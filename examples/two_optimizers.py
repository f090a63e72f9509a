"""A binary convolutional network with batch normalisation: two optimisers, each with its own.

QPSBGD trains the binary weights; what is real (normalisation, biases) goes to AdamW. Converted from
an ordinary torch model, the first layer left as it is; mixed precision.
"""

import torch
from sklearn.datasets import load_digits
from torch import nn

from qpsbgd.nn import convert_to_binary, functional, pack
from qpsbgd.optim import QPSBGD, split_parameters


class Sign(nn.Module):
    """approx_sign as a module."""

    def forward(self, x):
        return functional.approx_sign(x)


torch.manual_seed(0)
model = nn.Sequential(
    nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), Sign(),
    nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.BatchNorm2d(32), Sign(),
    nn.Flatten(), nn.Linear(32 * 4 * 4, 10), nn.BatchNorm1d(10),
)  # fmt: skip
convert_to_binary(model, skip=["0"])
binary = QPSBGD(model, lr=0.01, scale=0.3)
real = torch.optim.AdamW(split_parameters(model).real, lr=0.01)
scaler = torch.amp.GradScaler("cpu")

images, labels = load_digits(return_X_y=True)
x = torch.from_numpy(images / 8 - 1).float().view(-1, 1, 8, 8)
y = torch.from_numpy(labels)
loader = torch.utils.data.DataLoader(
    torch.utils.data.TensorDataset(x[:1400], y[:1400]), batch_size=50, shuffle=True
)
for epoch in range(5):
    for inputs, targets in loader:
        binary.zero_grad()
        real.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            loss = nn.functional.cross_entropy(model(inputs), targets)
        scaler.scale(loss).backward()
        scaler.step(binary)
        scaler.step(real)
        scaler.update()
    print(f"epoch {epoch + 1}, loss {loss:.3f}")

packed = pack(model.eval())
with torch.no_grad():
    accuracy = (packed(x[1400:]).argmax(dim=1) == y[1400:]).double().mean()
report = packed.pack_report
print(f"{report.bytes_before} bytes packed to {report.bytes_after}, test accuracy {accuracy:.4f}")
