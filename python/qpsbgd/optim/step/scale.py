"""Automatic scale of a layer's projections, chosen by held-out samples.

With a small scale a projection approaches the signs of X^T T, the direction of signSGD. With a
large one it solves the least-squares problem, which fits the noise of its samples too. Samples that
a projection has not used tell which is better: its margins X B^T should resemble their targets.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from qpsbgd import _core
from qpsbgd.projection.options import ProjectionOptions

Floats = npt.NDArray[np.float32]

#: Scales that the choice is made from.
SCALES = (0.01, 0.03, 0.1, 0.3, 1.0)
#: Scale of a layer before its first comparison.
DEFAULT_SCALE = 1.0
#: Steps from one comparison to the next, beyond the first steps.
INTERVAL = 16
#: Smallest number of samples of a comparison.
MIN_SAMPLES = 16
#: Largest number of samples of a comparison: this constant, or a multiple of n if that is more. A
#: projection of so many samples hardly overfits.
MAX_SAMPLES, MAX_SAMPLES_PER_INPUT = 1024, 8
#: Smallest number of neurons of a comparison: the solver processes so many together in any case.
MIN_ROWS = 16
#: A comparison uses one of every 8 neurons.
COMPARED_EVERY = 8
#: Largest number of groups of a convolution in a comparison.
MAX_GROUPS = 4
#: Number of blocks that the samples are divided into.
NUM_BLOCKS = 8
#: Weight of the latest comparison in the running means.
SHARE = 0.1


@dataclass(frozen=True)
class ScaleScores:
    """Running means of the held-out cosines of one layer, one for each of :data:`SCALES`.

    Attributes:
        cosines: the means.
        count: number of comparisons.

    Example:
        >>> from qpsbgd.optim.step.scale import ScaleScores
        >>> scores = ScaleScores().updated((0.1, 0.2, 0.4, 0.3, 0.2))
        >>> scores.best, scores.count
        (0.1, 1)
    """

    cosines: tuple[float, ...] = (0.0,) * len(SCALES)
    count: int = 0

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> "ScaleScores":
        """Return the scores in the optimiser's state of a weight."""
        if "scale_cosines" not in state:
            return cls()
        return cls(tuple(state["scale_cosines"]), state["scale_count"])

    def to_state(self, state: dict[str, Any]) -> None:
        """Store the scores in the optimiser's state of a weight."""
        if self.count:
            state["scale_cosines"], state["scale_count"] = list(self.cosines), self.count

    def updated(self, cosines: tuple[float, ...]) -> "ScaleScores":
        """Return the means after one more comparison."""
        share = max(1 / (self.count + 1), SHARE)
        means = (old + share * (new - old) for old, new in zip(self.cosines, cosines, strict=True))
        return ScaleScores(tuple(means), self.count + 1)

    @property
    def best(self) -> float:
        """The scale with the largest mean; of equal ones the largest scale."""
        if self.count == 0:
            return DEFAULT_SCALE
        return max(zip(self.cosines, SCALES, strict=True))[1]


class HeldOut(NamedTuple):
    """Result of a comparison for one group of a layer.

    Attributes:
        cosines: mean cosine for each of :data:`SCALES`, over the neurons.
        num_rows: number of neurons with targets other than 0 in both halves of the samples.
    """

    cosines: tuple[float, ...]
    num_rows: int


class ScaleComparison:
    """Comparison of scales for one layer in one step.

    Args:
        scores: scores of the comparisons before.
        num_groups: number of groups of the layer.
        shape: ``(m, n)`` of the weight of one group.

    Attributes:
        groups: groups that take part; others the next time.
        rows: neurons of a group that take part; others the next time.
    """

    def __init__(self, scores: ScaleScores, num_groups: int, shape: tuple[int, int]) -> None:
        m, n = shape
        count = scores.count
        number = min(num_groups, MAX_GROUPS, -(-MIN_ROWS // m))
        self.groups = sorted({(count * number + each) % num_groups for each in range(number)})
        number = min(m, max(MIN_ROWS, m // COMPARED_EVERY))
        self.rows = np.sort((count * number + np.arange(number)) % m)
        self._scores = scores
        self._most = max(MAX_SAMPLES, MAX_SAMPLES_PER_INPUT * n)
        self._results: list[HeldOut] = []

    def positions(self, num_samples: int) -> npt.NDArray[np.intp]:
        """Return the positions of the samples that take part; none if there are too few.

        If the samples are many, then the positions are equally spaced. Their distance is odd,
        since an even one may be a multiple of an image's width.
        """
        if num_samples < MIN_SAMPLES:
            return np.arange(0)
        distance = -(-num_samples // self._most)
        return np.arange(0, num_samples, distance + (distance % 2 == 0))

    def run(self, X: Floats, T: Floats, options: ProjectionOptions, num_threads: int) -> HeldOut:
        """Return the comparison of one group, from its samples and targets that take part."""
        fits_first_half = self._scores.count % 2 == 0
        return held_out_cosines(X, T, options, num_threads, fits_first_half=fits_first_half)

    def add(self, result: HeldOut) -> None:
        """Add the result of one group."""
        self._results.append(result)

    @property
    def scores(self) -> ScaleScores:
        """Scores after the results that have been added."""
        total = sum(result.num_rows for result in self._results)
        if total == 0:
            return self._scores
        sums = zip(
            *([cosine * r.num_rows for cosine in r.cosines] for r in self._results), strict=True
        )
        return self._scores.updated(tuple(sum(each) / total for each in sums))


def is_due(num_steps: int) -> bool:
    """Return whether a layer compares scales in the step after ``num_steps`` steps.

    The first comparisons come after 0, 1, 2, 4 and 8 steps.
    """
    return num_steps % INTERVAL == 0 or (num_steps < INTERVAL and num_steps.bit_count() == 1)


def held_out_cosines(
    X: Floats,
    T: Floats,
    options: ProjectionOptions,
    num_threads: int,
    *,
    fits_first_half: bool = True,
) -> HeldOut:
    """Return how well projections of half of the samples predict the targets of the other half.

    The native solver descends for each scale. The result is the cosine between X B^T and T on
    the other half, averaged over the neurons.

    Contiguous blocks of samples go to the halves in turn. Neighbours, such as the patches of one
    image, would predict each other too well.

    Args:
        X: inputs ``(N, n)``; N is at least 2.
        T: targets ``(N, m)``.
        options: options of the projection; the scale has no effect.
        num_threads: largest number of threads.
        fits_first_half: whether the half with the first sample is projected, or the other one.

    Example:
        >>> import numpy as np
        >>> from qpsbgd import ProjectionOptions
        >>> from qpsbgd.optim.step.scale import held_out_cosines
        >>> X = np.random.default_rng(0).normal(size=(400, 8)).astype(np.float32)
        >>> T = X @ np.sign(X[:3].T)  # one B fits all samples
        >>> found = held_out_cosines(X, T, ProjectionOptions(num_sweeps=9, seed=0), 1)
        >>> round(found.cosines[-1], 3), found.num_rows
        (1.0, 3)
    """
    fits = np.arange(len(X)) * NUM_BLOCKS // len(X) % 2 == (0 if fits_first_half else 1)
    layer = _core.SampleLayer(X[fits], T[fits], first_row=0, num_threads=num_threads)
    norms = layer.norms()
    arguments = options.core_objective() | {
        "num_sweeps": options.num_sweeps, "num_reads": 1, "betas": [],
        "initial": _core.InitialState.linear, "seed": options.seed,
    }  # fmt: skip
    B = np.concatenate(
        [layer.project(norms, **{**arguments, "scale": scale}) for scale in SCALES]
    )  # (scales * m, n)
    others = ~fits
    is_reached = T[fits].any(axis=0) & T[others].any(axis=0)  # (m,)
    margins = torch.from_numpy(X[others]) @ torch.from_numpy(B).float().T  # (N / 2, scales * m)
    margins = margins.double().view(len(margins), len(SCALES), -1)  # (N / 2, scales, m)
    targets = torch.from_numpy(T[others]).double()[:, None, :]  # (N / 2, 1, m)
    products = (margins * targets).sum(0)  # (scales, m)
    squares = margins.square().sum(0) * targets.square().sum(0)
    cosines = products * squares.clamp(min=1e-300).rsqrt()
    num_rows = int(is_reached.sum())
    means = cosines[:, torch.from_numpy(is_reached)].sum(1) / max(num_rows, 1)
    return HeldOut(tuple(means.tolist()), num_rows)
