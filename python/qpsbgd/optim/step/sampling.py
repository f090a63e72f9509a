"""Samples of a layer in one step: all of them, or some and the sums that stand for the others."""

import functools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from qpsbgd.nn.samples import CallSamples, joined, reached_along
from qpsbgd.projection.products import LayerProducts

Batch = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]
Binary = npt.NDArray[np.int8]

#: Samples for each input from which a step computes X^T X by default, and bounds of the number.
#: docs/training.md has the measurements.
SAMPLES_PER_INPUT = 3
LEAST_MAX_SAMPLES, MOST_MAX_SAMPLES = 1024, 2048
#: Number of inputs up to which one call of the core solves all groups of a layer. X^T X of so few
#: inputs costs less than a call.
FEW_INPUTS = 64
#: Number of columns of X^T X that one product makes, from the diagonal on.
GRAM_COLUMNS = 64


def default_max_samples(num_inputs: int) -> int:
    """Return the largest number of samples for X^T X of a layer whose caller names none.

    Example:
        >>> from qpsbgd.optim.step.sampling import default_max_samples
        >>> [default_max_samples(num_inputs) for num_inputs in (9, 500, 5000)]
        [1024, 1500, 2048]
    """
    return min(max(SAMPLES_PER_INPUT * num_inputs, LEAST_MAX_SAMPLES), MOST_MAX_SAMPLES)


@dataclass(frozen=True)
class SampleRequest:
    """Choice of a layer's samples for one step.

    Attributes:
        calls: samples of each call of the layer.
        max_samples: largest number of samples to choose; infinity for all.
        seed: seed of the choice.
        uses_products: whether the solver needs X^T X and T^T X alone.
        has_small_groups: whether the layer has several groups with at most ``FEW_INPUTS`` inputs.
        needs_squares: whether the sums of t^2 are to be computed; they are NaN otherwise.
        maximize: whether T changes its sign.
    """

    calls: Sequence[CallSamples]
    max_samples: float
    seed: int
    uses_products: bool
    has_small_groups: bool
    needs_squares: bool
    maximize: bool


@dataclass(frozen=True)
class LayerSamples:
    """Samples of one layer in one step, on the host.

    Attributes:
        pairs: X ``(S, n)`` and T ``(S, m)`` of each group.
        num_samples: number of samples that a gradient reached, summed over the groups.
        products: T^T X over all samples, and X^T X over those of ``pairs``, times N / S. None where
            ``pairs`` has all samples of each group and no others.
        seen: bool ``(G, n)``; whether an input is other than 0 in any sample with a gradient. None
            where ``products`` is.
    """

    pairs: list[Batch]
    num_samples: int
    products: LayerProducts | None = None
    seen: npt.NDArray[np.bool_] | None = None

    @functools.cached_property
    def batches(self) -> list[Batch]:
        """X ``(S, n)`` and T ``(S, m)`` of each group, without samples that no gradient reached."""
        if self.products is None:
            return self.pairs
        rows = [T.any(axis=1) for _, T in self.pairs]
        return [
            (X, T) if reached.all() else (X[reached], T[reached])
            for (X, T), reached in zip(self.pairs, rows, strict=True)
        ]

    def gradient_from_products(self, products_answer: Binary) -> Binary:
        """Return the binary gradient ``(G * m, n)`` for an answer ``(G, m, n)`` to the products."""
        return np.concatenate(
            [self._masked_by_all(group, rows) for group, rows in enumerate(products_answer)]
        )

    def gradient_from_batches(self, answers: Sequence[Binary]) -> Binary | None:
        """Return the binary gradient ``(G * m, n)`` for answers to the batches that are not empty.

        An answer of a solver means nothing for a neuron or an input that is 0 in all samples of its
        batch. If the layer has another sample in which it is not 0, then sign(T^T X) takes the
        answer's place.
        """
        remaining = iter(answers)
        parts = []
        for group, (X, T) in enumerate(self.batches):
            rows = next(remaining) if len(X) else None
            if self.products is None:
                zeros = np.zeros((T.shape[1], X.shape[1]), np.int8)
                parts.append(zeros if rows is None else masked(rows, T.any(axis=0), X.any(axis=0)))
                continue
            start = self.products.linear_minimiser()[group]
            if rows is not None:
                start = np.where(np.outer(T.any(axis=0), X.any(axis=0)), rows, start)
            parts.append(self._masked_by_all(group, start))
        return np.concatenate(parts) if parts else None

    def _masked_by_all(self, group: int, rows: Binary) -> Binary:
        assert self.products is not None
        assert self.seen is not None
        return masked(rows, self.products.magnitudes[group] > 0, self.seen[group])


def choose_samples(request: SampleRequest) -> "SampleChoice":
    """Return the samples of a layer that a step uses, on the layer's device.

    A layer with at most ``max_samples`` samples that a gradient reached keeps all. Otherwise
    ``max_samples`` of these are drawn, uniformly and without replacement; the groups of a layer
    share the draw. T^T X and the sums of |t| and t^2 are always over all samples.
    """
    reached = [call.reached() for call in request.calls]  # bool (N,) for each call
    num_samples = sum(int(each.count_nonzero()) for each in reached)
    if num_samples > request.max_samples:
        rng = np.random.default_rng(request.seed)
        chosen = rng.choice(num_samples, int(request.max_samples), replace=False, shuffle=False)
        return _sums(request, _select(request.calls, reached, np.sort(chosen)), num_samples)
    if request.uses_products and request.has_small_groups and num_samples:
        everything = _select(request.calls, reached, np.arange(num_samples))
        return _sums(request, everything, num_samples)
    inputs, targets = joined(request.calls)
    if len(inputs) > 1:  # a sample may have a gradient in some groups only
        pairs = [_without_unreached(*pair) for pair in zip(inputs, targets, strict=True)]
    elif num_samples == inputs.shape[1]:
        pairs = [(inputs[0], targets[0])]
    else:
        rows = torch.cat(reached)
        pairs = [(inputs[0, rows], targets[0, rows])]
    return _AllSamples([tensor for pair in pairs for tensor in pair], request.maximize)


def masked(binary: Binary, reached: Any, seen: Any) -> Binary:
    """Return B ``(m, n)`` with 0 in the entries that no sample determines.

    Without this, every batch that lacks a rare input would move its weight, always in the same
    direction.

    Args:
        binary: rows of -1 and +1.
        reached: bool ``(m,)``; whether a neuron has a target other than 0.
        seen: bool ``(n,)``; whether an input is other than 0 in some sample.
    """
    if not seen.all():
        return binary * np.outer(reached, seen)
    return binary if reached.all() else binary * reached[:, None]


class SampleChoice:
    """Tensors that a layer's samples consist of, on the layer's device."""

    def __init__(self, tensors: list[Tensor], maximize: bool) -> None:
        self.tensors = tensors
        self.maximize = maximize

    def on_host(self, tensors: list[Tensor]) -> LayerSamples:
        """Return the samples, given ``tensors`` as float32 on the host.

        Raises:
            ValueError: T^T X or X^T X is not finite.
        """
        raise NotImplementedError


class _AllSamples(SampleChoice):
    """X and T of each group."""

    def on_host(self, tensors: list[Tensor]) -> LayerSamples:
        pairs = [
            (inputs.numpy(), (-targets if self.maximize else targets).numpy())
            for inputs, targets in zip(tensors[::2], tensors[1::2], strict=True)
        ]
        return LayerSamples(pairs, sum(len(X) for X, _ in pairs))


class _SomeSamples(SampleChoice):
    """X and T of the chosen samples, and sums over all."""

    def __init__(self, tensors: list[Tensor], maximize: bool, num_samples: int) -> None:
        super().__init__(tensors, maximize)
        self.num_samples = num_samples

    def on_host(self, tensors: list[Tensor]) -> LayerSamples:
        inputs, targets, gram, cross, means, squares, seen = tensors
        if self.maximize:
            targets, cross = -targets, -cross
        for name, product in (("T^T X", cross), ("X^T X", gram)):
            if not product.isfinite().all():
                raise ValueError(
                    f"{name} has NaN or infinity: the input of the layer, or the gradient at its "
                    "output, is not finite"
                )
        upper, double_means = gram.double().triu(), means.double()
        products = LayerProducts(
            (upper + upper.triu(1).transpose(1, 2)).numpy(),
            cross.double().numpy(),
            (double_means * self.num_samples).numpy(),
            (squares.double() * double_means.square()).numpy(),
            self.num_samples,
        )
        pairs = list(zip(inputs.numpy(), targets.numpy(), strict=True))
        return LayerSamples(pairs, self.num_samples * len(pairs), products, seen.bool().numpy())


def _select(
    calls: Sequence[CallSamples], reached: Sequence[Tensor], chosen: npt.NDArray[np.intp]
) -> tuple[Tensor, Tensor]:
    """Return X ``(G, S, n)`` and T ``(G, S, m)`` of chosen samples.

    Args:
        calls: samples of each call.
        reached: which samples of each call count, bool ``(N,)`` for each.
        chosen: numbers of the chosen ones among those that count, in ascending order.
    """
    parts, first = [], 0
    for call, counts in zip(calls, reached, strict=True):
        end = first + int(counts.count_nonzero())
        own = chosen[np.searchsorted(chosen, first) : np.searchsorted(chosen, end)] - first
        positions = torch.from_numpy(own).to(counts.device)
        if end - first < call.num_samples:
            positions = counts.nonzero().squeeze(1)[positions]
        parts.append(call.select(positions))
        first = end
    if len(parts) == 1:
        return parts[0]
    inputs, targets = zip(*parts, strict=True)
    return torch.cat(inputs, dim=1), torch.cat(targets, dim=1)


def _sums(request: SampleRequest, chosen: tuple[Tensor, Tensor], num_samples: int) -> _SomeSamples:
    """Return chosen samples with the products of all."""
    inputs, targets = chosen
    own = inputs
    if len(inputs) > 1:  # a sample may have a gradient in some groups only
        own = inputs * targets.any(dim=2, keepdim=True)
    gram = _upper_gram(own) * (num_samples / inputs.shape[1])  # (G, n, n)
    cross = _total(call.cross() for call in request.calls)  # (G, m, n)
    means = _total(call.magnitudes() for call in request.calls) / num_samples  # (G, m)
    squares = torch.full_like(means, math.nan)
    if request.needs_squares:
        # Squares of small or large targets would leave the range of float32.
        units = torch.where(means > 0, means, torch.ones_like(means))
        squares = _total(call.squares(units) for call in request.calls)  # (G, m)
    # An input with a product other than 0 is not always 0. Only the others need a pass over all.
    seen = cross.any(dim=1) | (gram.diagonal(dim1=1, dim2=2) > 0)  # (G, n)
    if not seen.all():
        for call in request.calls:
            seen = seen | call.seen()
    tensors = [inputs, targets, gram, cross, means, squares, seen]
    return _SomeSamples(tensors, request.maximize, num_samples)


def _upper_gram(inputs: Tensor) -> Tensor:
    """Return X^T X ``(G, n, n)`` for X ``(G, S, n)``; below the diagonal some of it is 0."""
    size = inputs.shape[2]
    gram = inputs.new_zeros(len(inputs), size, size)
    for first in range(0, size, GRAM_COLUMNS):
        rows = slice(first, first + GRAM_COLUMNS)
        gram[:, rows, first:] = inputs[:, :, rows].transpose(1, 2) @ inputs[:, :, first:]
    return gram


def _total(tensors: Iterable[Tensor]) -> Tensor:
    return functools.reduce(torch.add, tensors)


def _without_unreached(inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Return X ``(N, n)`` and T ``(N, m)`` without the samples that no gradient reached."""
    reached = reached_along(targets, 1)  # (N,)
    return (inputs, targets) if reached.all() else (inputs[reached], targets[reached])
