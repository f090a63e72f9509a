"""Products of a layer's samples, on which alone its quadratic problems depend."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qpsbgd import _core
from qpsbgd._checks.beta_ranges import BetaRule
from qpsbgd._checks.numbers import checked_threads
from qpsbgd.projection.options import ProjectionOptions
from qpsbgd.projection.temperatures import quadratic_beta_range

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class LayerProducts:
    """Products that take the place of X and T in the quadratic objective of a layer.

    A layer has G groups with inputs X ``(N, n)`` and targets T ``(N, m)`` of their own. All arrays
    are float64. X^T X may be an estimate from some of the samples.

    Attributes:
        gram: X^T X ``(G, n, n)``.
        cross: T^T X ``(G, m, n)``.
        magnitudes: sum of |t| ``(G, m)``.
        squares: sum of t^2 ``(G, m)``; it may be NaN where neither ``alpha="norm"`` nor an
            energy needs it.
        num_samples: N.

    Example:
        >>> import numpy as np
        >>> from qpsbgd.projection.products import LayerProducts
        >>> X, T = np.array([[1.0, 2.0], [0.0, 1.0]]), np.array([[1.0], [-1.0]])
        >>> products = LayerProducts(
        ...     (X.T @ X)[None], (T.T @ X)[None], abs(T).sum(0)[None], (T**2).sum(0)[None], 2
        ... )
        >>> products.linear_minimiser().tolist()
        [[[1, 1]]]
    """

    gram: Floats
    cross: Floats
    magnitudes: Floats
    squares: Floats
    num_samples: int

    def linear_minimiser(self) -> npt.NDArray[np.int8]:
        """Return sign(T^T X), int8 ``(G, m, n)``, with sign(0) = +1."""
        return np.where(self.cross >= 0, 1, -1).astype(np.int8)

    def plus(self, gradient: npt.NDArray[np.float32]) -> "LayerProducts":
        """Return the products with a gradient ``(G, m, n)`` added to T^T X.

        A neuron whose targets are all 0 gets the size of its gradient as the size of its targets.
        """
        own = gradient.astype(np.float64)
        has_targets = self.magnitudes > 0
        return LayerProducts(
            self.gram,
            self.cross + own,
            np.where(has_targets, self.magnitudes, np.abs(own).sum(axis=2)),
            np.where(has_targets, self.squares, np.square(own).sum(axis=2)),
            self.num_samples,
        )

    def of_group(self, group: int) -> "LayerProducts":
        """Return the products of one group, as those of a layer."""
        return LayerProducts(
            self.gram[group : group + 1],
            self.cross[group : group + 1],
            self.magnitudes[group : group + 1],
            self.squares[group : group + 1],
            self.num_samples,
        )

    def ising(self, group: int, options: ProjectionOptions) -> tuple[Floats, Floats, Floats]:
        """Return the quadratic problems of one group as Ising problems.

        Returns:
            Biases ``h (m, n)``, couplings ``J (n, n)`` and ``offset (m,)``, as
            :func:`qpsbgd.gradient_ising` returns them.
        """
        gram, cross = self.gram[group], self.cross[group]
        means = self.magnitudes[group] / self.num_samples
        inverse = np.divide(1.0, means, out=np.zeros_like(means), where=means > 0)  # (m,)
        targets2 = self.squares[group] * inverse**2  # ||t^||^2 (m,)
        start = np.where(cross >= 0, 1.0, -1.0)  # (m, n)
        margin2 = float(((start @ gram) * start).sum())  # ||X B0||_F^2
        alpha = 0.0
        if margin2 > 0 and options.alpha == "fit":
            alpha = options.scale * float((np.abs(cross).sum(axis=1) * inverse).sum()) / margin2
        elif margin2 > 0:
            alpha = options.scale * float(np.sqrt(targets2.sum() / margin2))
        J = 2 * alpha**2 * gram
        np.fill_diagonal(J, 0.0)
        h = -2 * alpha * inverse[:, None] * cross
        return h, J, targets2 + alpha**2 * np.trace(gram)

    def energies(
        self, group: int, binary: npt.NDArray[np.int8], options: ProjectionOptions
    ) -> Floats:
        """Return the quadratic objective ``(m,)`` of the rows ``(m, n)`` of one group."""
        h, J, offset = self.ising(group, options)
        b = binary.astype(np.float64)
        energies: Floats = offset + ((h + b @ J / 2) * b).sum(axis=1)
        return energies


def minimise_products(
    products: LayerProducts, options: Sequence[ProjectionOptions]
) -> npt.NDArray[np.int8]:
    """Return the binary gradients ``(G, m, n)`` that the core finds, in one call for all groups.

    Args:
        products: products of the layer's samples.
        options: options of each group, which differ in the seed only. The objective is quadratic.
    """
    first = options[0]
    threads = checked_threads(first.num_threads)
    if isinstance(first.beta_range, str) and len(options) > 1:  # a rule's range is the group's own
        parts = [products.of_group(group) for group in range(len(options))]
        return np.concatenate(
            [minimise_products(part, [own]) for part, own in zip(parts, options, strict=True)]
        )

    def find_range(rule: BetaRule) -> tuple[float, float]:
        h, J, _ = products.ising(0, first)
        return quadratic_beta_range(rule, h, J, num_threads=threads)

    arguments = first.core_arguments(find_range)
    for name in ("objective", "target_eps", "seed"):
        del arguments[name]
    return _core.project_products(
        products.gram,
        products.cross,
        products.magnitudes,
        products.squares,
        num_samples=products.num_samples,
        seeds=[each.seed for each in options],
        num_threads=threads,
        **arguments,
    )
