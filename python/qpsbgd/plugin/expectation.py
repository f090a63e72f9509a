"""Means of statistics over samples of Ising models, with gradients for the biases."""

from typing import Any

import torch
from torch.autograd.function import once_differentiable

#: Products of spins are a matrix product if so many times the number of edges reaches n^2.
EDGES_FOR_MATRIX = 64


def expected_statistics(
    spins: torch.Tensor,
    statistics: torch.Tensor,
    linear: torch.Tensor,
    quadratic: torch.Tensor,
    first: torch.Tensor,
    second: torch.Tensor,
) -> torch.Tensor:
    """Return the means of statistics over the samples of each model, with gradients for the biases.

    Args:
        spins: samples, ``(B, R, n)`` of -1 and +1.
        statistics: statistics of each sample, ``(B, R, d)``. They receive no gradient.
        linear: linear biases, ``(B, n)``.
        quadratic: quadratic biases, ``(B, k)``.
        first: first node of each edge, integers ``(k,)``.
        second: second node of each edge, integers ``(k,)``.

    Returns:
        ``(B, d)``.
    """
    means: torch.Tensor = _SampleExpectation.apply(  # type: ignore[no-untyped-call]
        spins, statistics, linear, quadratic, first, second
    )
    return means


class _SampleExpectation(torch.autograd.Function):
    """Mean of statistics over the samples of each model.

    The gradient of an expected statistic for a bias is minus the covariance of the statistic with
    what the bias multiplies, a spin or a product of two spins. The backward pass uses the unbiased
    sample covariance, as the plugin's ``IsingExpectation``. It multiplies the statistics by the
    output's gradient first, and therefore never stores a covariance of all statistics with all
    products.
    """

    @staticmethod
    def forward(
        ctx: Any,
        spins: torch.Tensor,
        statistics: torch.Tensor,
        linear: torch.Tensor,
        quadratic: torch.Tensor,
        first: torch.Tensor,
        second: torch.Tensor,
    ) -> torch.Tensor:
        """Return the means of the statistics."""
        ctx.save_for_backward(spins, statistics, first, second)
        return statistics.mean(dim=1)  # (B, d)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: torch.Tensor) -> Any:
        """Return the gradients for the biases, given that of the means, ``(B, d)``.

        The samples depend on the biases, so a derivative of these gradients would be wrong.

        Raises:
            ValueError: a single sample, which has no covariance.
        """
        spins, statistics, first, second = ctx.saved_tensors
        (gradient,) = gradients
        num_reads, n = spins.shape[1:]
        if num_reads < 2:
            raise ValueError(f"num_reads is {num_reads}, but a backward pass needs at least 2")
        centred = statistics - statistics.mean(dim=1, keepdim=True)
        weights = centred @ gradient.unsqueeze(-1) / (1 - num_reads)  # (B, R, 1)
        spins = spins.to(weights.dtype)
        linear_gradient = quadratic_gradient = None
        if ctx.needs_input_grad[2]:
            linear_gradient = (weights.mT @ spins).squeeze(1)
        if ctx.needs_input_grad[3]:
            if EDGES_FOR_MATRIX * len(first) >= n * n:
                products = spins.mT @ (weights * spins)  # (B, n, n)
                quadratic_gradient = products.flatten(1)[:, first * n + second]
            else:
                products = spins[..., first] * spins[..., second]  # (B, R, k)
                quadratic_gradient = (weights.mT @ products).squeeze(1)
        return None, None, linear_gradient, quadratic_gradient, None, None
