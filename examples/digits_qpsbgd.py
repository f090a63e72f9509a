"""A plain torch training loop. Its twin with another optimiser differs by two lines."""

import torch
from sklearn.datasets import load_digits
from torch import nn

from qpsbgd.nn import BinaryLinear
from qpsbgd.nn.functional import ste_sign
from qpsbgd.optim import QPSBGD


class Net(nn.Module):
    """64-128-10 with binary weights and sign activations."""

    def __init__(self):
        super().__init__()
        self.hidden = BinaryLinear(64, 128, bias=False)
        self.out = BinaryLinear(128, 10, bias=False)

    def forward(self, x):
        # A sum of n random signs has standard deviation sqrt(n): clip and scale by that.
        return self.out(ste_sign(self.hidden(x), clip_value=64**0.5)) / 128**0.5


torch.manual_seed(0)
images, labels = load_digits(return_X_y=True)
x = torch.from_numpy((images - images[:1400].mean()) / images[:1400].std()).float()
y = torch.from_numpy(labels)
loader = torch.utils.data.DataLoader(
    torch.utils.data.TensorDataset(x[:1400], y[:1400]), batch_size=50, shuffle=True
)
model = Net()
optimizer = QPSBGD(model, lr=0.01)
scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=15)
for _ in range(15):
    for inputs, targets in loader:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(inputs), targets)
        loss.backward()
        optimizer.step()
    scheduler.step()
with torch.no_grad():
    accuracy = (model(x[1400:]).argmax(dim=1) == y[1400:]).double().mean()
print(f"test accuracy {accuracy:.4f}")
