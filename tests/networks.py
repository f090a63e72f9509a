"""A small binary network for the tests of layers and optimisers."""

import io

import torch
from torch import nn

from qpsbgd.nn import BinaryLinear
from qpsbgd.nn.functional import ste_sign


class Net(nn.Module):
    """Network 12-7-4 with a sign activation. It stores Z and A of the last forward pass.

    Inputs of 7 features go to the second layer alone.
    """

    def __init__(self):
        super().__init__()
        self.first = BinaryLinear(12, 7, bias=False)
        self.second = BinaryLinear(7, 4, bias=False)

    def forward(self, x):
        if x.shape[1] == 7:
            return self.second(x)
        self.z = self.first(x)
        self.a = ste_sign(self.z, 3.0)
        return self.second(self.a)


def backward(net, batch):
    loss = nn.functional.cross_entropy(net(batch[0]) / 3, batch[1])
    loss.backward()
    return loss


def reloaded(value, *, protocol=2, weights_only=True):
    """Return what torch.load reads of a value that torch.save has written."""
    file = io.BytesIO()
    torch.save(value, file, pickle_protocol=protocol)
    file.seek(0)
    return torch.load(file, weights_only=weights_only)


def inputs_of(monkeypatch, kind):
    """Return a list that receives the training inputs of all models of a class."""
    found, forward = [], kind.forward

    def recorded(self, x, *args):
        if torch.is_grad_enabled():
            found.append(x.clone())
        return forward(self, x, *args)

    monkeypatch.setattr(kind, "forward", recorded)
    return found


def strengths(optimizer, num_steps):
    """The strength of a ProxQuant before each of its steps."""
    found = []
    for _ in range(num_steps):
        for group in optimizer.param_groups:
            for weight in group["params"]:
                weight.grad = torch.zeros_like(weight)
        (group,) = optimizer.param_groups
        found.append(group["strength"])
        optimizer.step()
    return found


def mixed():
    """A binary network 12-7-4 with biases and normalisation, the same at each call."""
    torch.manual_seed(0)
    return nn.Sequential(
        BinaryLinear(12, 7), nn.BatchNorm1d(7), nn.Hardtanh(), BinaryLinear(7, 4, output_scale=True)
    )


def batches(count, size=20):
    """Batches for `mixed`, in a list."""
    generator = torch.Generator().manual_seed(1)
    return [
        (torch.randn(size, 12, generator=generator), torch.randint(4, (size,), generator=generator))
        for _ in range(count)
    ]
