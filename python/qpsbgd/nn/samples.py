"""Samples of one call of a layer, of which an optimiser may take some and sum up all."""

from collections.abc import Sequence

import torch
from torch import Tensor

#: A gradient that reaches a sample usually reaches one of its first neurons.
FIRST_NEURONS = 16


class CallSamples:
    """Samples of one call of a layer: inputs X and gradients T of G matrix products.

    A subclass can make the samples on demand. Half precision becomes float32.

    Args:
        inputs: X ``(G, N, n)``.
        targets: T ``(G, N, m)``.

    Example:
        >>> import torch
        >>> from qpsbgd.nn.samples import CallSamples
        >>> call = CallSamples(torch.ones(1, 5, 3), torch.ones(1, 5, 2))
        >>> call.num_samples, call.cross().tolist()
        (5, [[[5.0, 5.0, 5.0], [5.0, 5.0, 5.0]]])
    """

    def __init__(self, inputs: Tensor, targets: Tensor) -> None:
        self._inputs, self._targets = at_least_float32(inputs), at_least_float32(targets)

    @property
    def num_samples(self) -> int:
        """N: number of samples of each group."""
        return self._inputs.shape[1]

    def all(self) -> tuple[Tensor, Tensor]:
        """Return X ``(G, N, n)`` and T ``(G, N, m)``."""
        return self._inputs, self._targets

    def select(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Return X ``(G, S, n)`` and T ``(G, S, m)`` of S samples.

        Args:
            positions: int64 ``(S,)``, the same samples for all groups.
        """
        return self._inputs.index_select(1, positions), self._targets.index_select(1, positions)

    def reached(self) -> Tensor:
        """Return for each sample, bool ``(N,)``, whether a gradient reached it in some group."""
        return reached_along(self._targets, 2).any(dim=0)

    def cross(self) -> Tensor:
        """Return T^T X ``(G, m, n)`` over all samples: the gradient of the weight."""
        return self._targets.transpose(1, 2) @ self._inputs

    def magnitudes(self) -> Tensor:
        """Return the sum of |t| over all samples ``(G, m)``."""
        return self._targets.abs().sum(dim=1)

    def squares(self, units: Tensor) -> Tensor:
        """Return the sum of (t / unit)^2 over all samples ``(G, m)``.

        Args:
            units: a number for each neuron ``(G, m)``, without which squares may overflow.
        """
        return (self._targets / units.unsqueeze(1)).square().sum(dim=1)

    def seen(self) -> Tensor:
        """Return whether an input is other than 0 in a sample with a gradient, bool ``(G, n)``."""
        reached = self._targets.any(dim=2, keepdim=True)  # (G, N, 1)
        return ((self._inputs != 0) & reached).any(dim=1)


def joined(calls: Sequence[CallSamples]) -> tuple[Tensor, Tensor]:
    """Return X ``(G, N, n)`` and T ``(G, N, m)`` of several calls, one after the other."""
    samples = [call.all() for call in calls]
    if len(samples) == 1:
        return samples[0]
    inputs, targets = zip(*samples, strict=True)
    return torch.cat(inputs, dim=1), torch.cat(targets, dim=1)


def at_least_float32(tensor: Tensor) -> Tensor:
    """Return the tensor, or a float32 copy where it has half precision."""
    return tensor.float() if tensor.element_size() < 4 else tensor


def reached_along(targets: Tensor, dim: int) -> Tensor:
    """Return whether an entry along the neurons' dimension is other than 0."""
    reached = targets.narrow(dim, 0, min(FIRST_NEURONS, targets.shape[dim])).any(dim=dim)
    return reached if reached.all() else targets.any(dim=dim)
