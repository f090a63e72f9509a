"""Gradients that reach a weight past its layer, written as samples."""

import math

import numpy as np
import numpy.typing as npt
import torch

from qpsbgd.optim.step.sampling import LayerSamples

Floats = npt.NDArray[np.float32]

#: Bounds on what the added samples contribute to the mean square of X b0, relative to the others.
#: Beyond the upper one float32 rounds the others away.
MIN_SHARE, MAX_SHARE = 2.0**-8, 2.0**10


def add_direct_gradient(samples: LayerSamples, gradient: Floats, objective: str) -> LayerSamples:
    """Return the samples of a layer with a gradient ``(G * m, n)`` added to T^T X."""
    parts = np.split(gradient, len(samples.pairs))
    products, seen, share = samples.products, samples.seen, np.float32(1)
    if products is not None and seen is not None:
        share = np.float32(len(samples.pairs[0][0]) / products.num_samples)
        products = products.plus(np.stack(parts))
        seen = seen | np.any(parts, axis=1)
    pairs = [
        with_direct_gradient(X, T, share * part, objective)
        for (X, T), part in zip(samples.pairs, parts, strict=True)
    ]
    return LayerSamples(pairs, samples.num_samples, products, seen)


def with_direct_gradient(
    X: Floats, T: Floats, gradient: Floats, objective: str
) -> tuple[Floats, Floats]:
    """Append samples whose part of T^T X is a given gradient.

    An added sample has one input c > 0, all others 0, and the targets g / c, where g is a column of
    the gradient. All projectors can solve the result, on one rank or on several. The added samples
    change X^T X on the diagonal alone, which has no influence on the minimum of the quadratic
    objective for a given step length alpha, as b_i^2 is 1.

    The factor c is free. For the quadratic objective c leaves alpha about as it is: the sum of
    |T^T X| and the mean square of X b0 grow alike, which alpha divides. A direct gradient that is
    much larger than that of the samples therefore wins, instead of making alpha longer. For the
    sign objective c is about as large as the margins X b0, so that an added sample weighs as much
    as others with the same product of target and margin.

    Args:
        X: inputs ``(N, n)``; N may be 0.
        T: targets ``(N, m)``.
        gradient: ``(m, n)``.
        objective: ``"quadratic"`` or ``"sign"``.

    Returns:
        X ``(N + k, n)`` and T ``(N + k, m)``, where k is the number of columns of the gradient that
        are not 0.

    Example:
        >>> import numpy as np
        >>> from qpsbgd.optim.step.direct_gradients import with_direct_gradient
        >>> X, T = np.ones((2, 3), np.float32), np.ones((2, 1), np.float32)
        >>> gradient = np.array([[0, 5, -7]], np.float32)
        >>> X, T = with_direct_gradient(X, T, gradient, "quadratic")
        >>> X.shape, (T.T @ X).tolist()
        ((4, 3), [[2.0, 7.0, -5.0]])
    """
    columns = gradient.any(axis=0)
    unit = np.float32(_factor(X, T, gradient, objective))
    inputs = unit * np.eye(gradient.shape[1], dtype=np.float32)[columns]
    return np.concatenate([X, inputs]), np.concatenate([T, gradient.T[columns] / unit])


@np.errstate(over="ignore", invalid="ignore")  # the projector reports what is not finite
def _factor(X: Floats, T: Floats, gradient: Floats, objective: str) -> float:
    """Return c, a power of two, by which numbers divide without rounding."""
    sampled = _product(T.T, X)  # (m, n)
    whole = sampled + gradient  # (m, n)
    signs = np.where(whole >= 0, np.float32(1), np.float32(-1))  # (m, n)
    margins = _product(X, signs.T)  # (N, m)
    square = float(np.square(margins, dtype=np.float64).sum())
    if objective == "quadratic":
        own, both = (float(np.abs(each, dtype=np.float64).sum()) for each in (sampled, whole))
        growth = both / own - 1 if own > 0 else MAX_SHARE
        square *= min(max(growth, MIN_SHARE), MAX_SHARE) / gradient.size
    else:
        square /= max(margins.size, 1)
    if not 0 < square < math.inf:
        return 1.0
    exponent = round(math.log2(square) / 2)
    return float(2.0 ** min(max(exponent, -60), 60))


def _product(left: Floats, right: Floats) -> Floats:
    """Return a matrix product on torch's threads, whose number the training script chooses.

    The threads of NumPy's BLAS library spin while they wait for each other. Beside other processes
    these products then took two thirds of the processor time of a step of small convolutions.
    """
    result: Floats = (torch.from_numpy(left) @ torch.from_numpy(right)).numpy()
    return result
