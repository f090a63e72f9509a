"""How much of a layer's targets the linear minimiser explains, once and in the course of a run."""

import statistics

import torch

from qpsbgd.optim import QPSBGD

#: Steps from one measurement of a :class:`FirstLayer` to the next.
MEASURED_EVERY = 10


def cosine_of_first_layer(optimizer: QPSBGD) -> float | None:
    """Cosine between T^ and X B0 of the first layer, between a backward pass and its step.

    T^ are the targets, each neuron's divided by its mean magnitude, and B0 = sign(X^T T^) is the
    linear minimiser. Where the cosine is small, samples' wishes contradict each other: no binary
    gradient can follow more than a few. None where no gradient reached the layer.
    """
    capture = optimizer.captures()[0]
    if capture.is_empty:
        return None
    X, T = (part.detach()[0].double() for part in capture.batch())  # (N, n), (N, m)
    T = T[:, T.any(dim=0)]
    if T.numel() == 0:
        return None
    T = T / T.abs().mean(dim=0)
    signs = torch.where(X.T @ T >= 0, 1.0, -1.0).to(X.dtype)  # (n, m)
    outputs = X @ signs
    return float((T * outputs).sum() / (T.norm() * outputs.norm()))


class FirstLayer:
    """What is measured of a graph network's layer ``hidden``, every so many steps of QP-SBGD.

    Attributes:
        cosines: see :func:`cosine_of_first_layer`.
        agreements: of binary gradients with sign(X^T T).
        num_samples: the most nodes that gave the layer a gradient.
    """

    def __init__(self) -> None:
        self.cosines: list[float] = []
        self.agreements: list[float] = []
        self.num_samples = 0

    def watch(self, optimizer: QPSBGD) -> None:
        """Measure from now on."""
        optimizer.stats_every = MEASURED_EVERY
        optimizer.register_step_pre_hook(lambda *args: self._before(optimizer))
        optimizer.register_step_post_hook(lambda *args: self._after(optimizer))

    def _before(self, optimizer: QPSBGD) -> None:
        if (optimizer.num_steps + 1) % MEASURED_EVERY == 0:
            cosine = cosine_of_first_layer(optimizer)
            self.cosines += [] if cosine is None else [cosine]

    def _after(self, optimizer: QPSBGD) -> None:
        step = optimizer.last_step.get("hidden")
        if step is not None and step.agreement is not None:
            self.agreements.append(step.agreement)
            self.num_samples = max(self.num_samples, step.num_samples)

    def means(self) -> dict[str, float]:
        """By name; nothing where nothing was measured."""
        if not self.cosines:
            return {}
        return {
            "cosine, first layer": statistics.fmean(self.cosines),
            "samples, first layer": self.num_samples,
            "agreement with sign(X^T T)": statistics.fmean(self.agreements),
        }
