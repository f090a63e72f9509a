"""How much of a layer's targets the linear minimiser explains."""

import torch

from qpsbgd.optim import QPSBGD


def cosine_of_first_layer(optimizer: QPSBGD) -> float | None:
    """Cosine between T^ and X B0 of the first layer, between a backward pass and its step.

    T^ are the targets, each neuron's divided by its mean magnitude, and B0 = sign(X^T T^) is the
    linear minimiser. Where the cosine is small, samples' wishes contradict each other: no binary
    gradient can follow more than a few. None where no gradient reached the layer.
    """
    capture = optimizer.captures()[0]
    if capture.empty:
        return None
    X, T = (part.detach()[0].double() for part in capture.batch())  # (N, n), (N, m)
    T = T[:, T.any(dim=0)]
    if T.numel() == 0:
        return None
    T = T / T.abs().mean(dim=0)
    signs = torch.where(X.T @ T >= 0, 1.0, -1.0).to(X.dtype)  # (n, m)
    outputs = X @ signs
    return float((T * outputs).sum() / (T.norm() * outputs.norm()))
