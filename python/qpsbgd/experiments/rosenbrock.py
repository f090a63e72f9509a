"""The Rosenbrock function over binary variables, with gradients by sampling.

``f(x) = sum_i b (x_{i+1} - x_i^2)^2 + (a - x_i)^2``, x in {-1, +1}^n, b = 100, and a = 1 as usual.
Over signs x_i^2 is 1, so that f is separable; but the gradient, which is all that the methods see,
is not: at x_i = 1 it points away from the optimum as long as x_{i+1} is wrong, and variables come
right one after another from the last to the first, as along the curved valley of the real function.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from qpsbgd.experiments.optimizers import use_published_lambda
from qpsbgd.optim import BinaryConnect, ProxQuant, SignSGD
from qpsbgd.optim.update import update_momentum, update_weight
from qpsbgd.projection.layers import project

Doubles = npt.NDArray[np.float64]

STEEPNESS = 100.0
#: Gradients are divided by this, a typical one, so that rates are in units of the variable.
GRADIENT_UNIT = 4 * STEEPNESS
METHODS = ("QP-SBGD latent", "QP-SBGD projected", "BinaryConnect", "signSGD", "ProxQuant")
#: Of the projection.
NUM_SWEEPS = 3
#: Of the fit of the rate, each run of a length T with a rate of 1 / sqrt(T).
HORIZONS = (128, 256, 512, 1024, 2048, 4096)


@dataclass(frozen=True)
class Problem:
    """A case.

    Attributes:
        num_variables: n, at least 2.
        a: of the function. At the optimum, where x_i = 1, the gradient is 0 for 1; it points away
            from the optimum's vertex of the cube for less than 1, and into it for more.
        closed: whether ``(a - x_n)^2`` is a term too, so that all variables are alike in that.
        sampling: what a stochastic gradient knows: ``"directions"`` Z and the slopes along them,
            or the gradient of some of the ``"terms"``.
    """

    num_variables: int
    a: float = 1.0
    closed: bool = False
    sampling: str = "directions"

    def value(self, x: Doubles) -> float:
        """F above its minimum over signs, which is at ones as long as a > 0."""
        ones = np.ones(self.num_variables)
        return float(self._terms(x).sum() - self._terms(ones).sum())

    def _terms(self, x: Doubles) -> Doubles:
        near = (self.a - x) ** 2
        if not self.closed:
            near = near[:-1]
        return np.concatenate([STEEPNESS * (x[1:] - x[:-1] ** 2) ** 2, near])

    def gradient(self, x: Doubles, weights: Doubles | None = None) -> Doubles:
        """Of f at x, real or binary.

        Args:
            x: ``(n)``.
            weights: ``(n)``, of the terms with x_1 .. x_n; the last only has ``(a - x_n)^2``.
        """
        weights = np.ones(self.num_variables) if weights is None else weights
        rest = weights[:-1] * STEEPNESS * (x[1:] - x[:-1] ** 2)  # (n - 1)
        result = -2 * weights * (self.a - x)  # (n)
        if not self.closed:
            result[-1] = 0.0
        result[1:] += 2 * rest
        result[:-1] -= 4 * rest * x[:-1]
        return result

    @property
    def num_terms(self) -> int:
        """As :meth:`gradient` weighs them."""
        return self.num_variables if self.closed else self.num_variables - 1

    def sampled_terms(self, rng: np.random.Generator) -> Doubles:
        """1 for a quarter of the terms, drawn without repetition, and 0 for the others."""
        weights = np.zeros(self.num_variables)
        size = max(1, self.num_terms // 4)
        weights[rng.choice(self.num_terms, size, replace=False)] = 1.0
        return weights


@dataclass(frozen=True)
class Sample:
    """What the methods see of a gradient g in a step, of n variables.

    Attributes:
        Z: signs ``(n, n)``, a direction a row.
        slopes: ``Z g (n)``, of g undivided: its length is nothing to the projection, whose sums
            ``Z^T Z g`` then are exact too, below 2^24 for n = 100.
        estimate: of g in units of :data:`GRADIENT_UNIT`, ``(n)``.
    """

    Z: Doubles
    slopes: Doubles
    estimate: Doubles

    @classmethod
    def draw(
        cls, problem: Problem, at: Doubles, optimum: Doubles, rng: np.random.Generator
    ) -> "Sample":
        """Of f(s x) at x for the signs s of the optimum, where ``at`` is s x.

        NOTES: at signs g consists of integers, and so do its sums with signs: in float64 they are
        exact in any order, and what is 0 is 0. One division comes last. Rounding on the way would
        leave 1e-17 of some zeros, along which signSGD takes whole steps.
        """
        n = problem.num_variables
        unit, weights = GRADIENT_UNIT, None
        if problem.sampling == "terms":
            weights = problem.sampled_terms(rng)
            unit *= weights.sum() / problem.num_terms
        gradient = optimum * problem.gradient(at, weights)
        # NOTES: the paper has a random sample matrix Z a step, of an unknown size and law. Here it
        # has n rows of signs: as many samples as variables. Without "terms" these are the samples
        # that all methods have, X and T of a layer, whose weight's gradient is X^T T.
        Z = np.where(rng.random((n, n)) < 0.5, -1.0, 1.0)
        slopes = Z @ gradient  # (n, n) -> (n)
        if problem.sampling == "terms":
            return cls(Z, slopes, gradient / unit)
        return cls(Z, slopes, Z.T @ slopes / (n * unit))


@dataclass
class Run:
    """What happened.

    Attributes:
        values: f above its minimum at the signs of the variables, before each step and at the end.
        norms: of f's whole gradient there, in units of :data:`GRADIENT_UNIT`, before each step.
    """

    values: list[float] = field(default_factory=list)
    norms: list[float] = field(default_factory=list)

    @property
    def first_hit(self) -> int | None:
        """The first step before which the optimum is reached, if any."""
        return next((step for step, value in enumerate(self.values) if value == 0.0), None)

    @property
    def stays(self) -> float:
        """Share of what follows the first hit at which the variables are optimal; 0 without one."""
        hit = self.first_hit
        if hit is None or hit == len(self.values) - 1:
            return 0.0
        after = self.values[hit + 1 :]
        return sum(value == 0.0 for value in after) / len(after)


def optimise(
    problem: Problem,
    method: str,
    options: Mapping[str, Any],
    seed: int,
    num_steps: int,
    *,
    decay: bool = True,
) -> Run:
    """Minimise by one of the methods.

    Args:
        problem: with its way of sampling.
        method: its name.
        options: see :func:`stepper`.
        seed: of the start, the position of the optimum and the samples.
        num_steps: gradients.
        decay: whether the rate falls to 0 along half a cosine; the projected rule's is a threshold
            and stays.
    """
    rng = np.random.default_rng(seed)
    n = problem.num_variables
    # NOTES: the optimum is at random signs s instead of at ones: f is taken of s x. Where a method
    # rounds 0 to +1, ones would be found by accident.
    s = np.where(rng.random(n) < 0.5, -1.0, 1.0)
    v = torch.nn.Parameter(torch.from_numpy(_start(problem, s, rng)).float())
    projected = method == "QP-SBGD projected"
    if projected:
        with torch.no_grad():
            v.copy_(_signs(v))
    step = stepper(method, options, v, num_steps)
    run = Run()
    for index in range(num_steps):
        binary = s * _signs(v.detach()).double().numpy()
        run.values.append(problem.value(binary))
        run.norms.append(float(np.linalg.norm(problem.gradient(binary) / GRADIENT_UNIT)))
        # PAPER: BinaryConnect's gradients are those at the signs, ProxQuant's at the real point.
        at = s * v.detach().double().numpy() if method == "ProxQuant" else binary
        factor = 0.5 * (1 + math.cos(math.pi * index / num_steps)) if decay else 1.0
        lr = options["lr"] if projected else options["lr"] * factor
        step(Sample.draw(problem, at, s, rng), lr, index / num_steps)
    run.values.append(problem.value(s * _signs(v.detach()).double().numpy()))
    return run


def _start(problem: Problem, optimum: Doubles, rng: np.random.Generator) -> Doubles:
    """Uniform, but not at the optimum: there a run is over, and its gradients may all be 0."""
    while True:
        v = rng.uniform(-1, 1, problem.num_variables)
        if (np.where(v >= 0, 1.0, -1.0) != optimum).any():
            return v


#: Of a sample, the rate and the share of the run that is behind.
Step = Callable[[Sample, float, float], None]


def stepper(method: str, options: Mapping[str, Any], v: torch.nn.Parameter, num_steps: int) -> Step:
    """A function that takes a step on ``v``.

    Args:
        method: its name.
        options: ``lr``, and of QP-SBGD ``scale`` and ``momentum``, of BinaryConnect ``optimizer``,
            of signSGD ``momentum``, of ProxQuant ``strength``, which it has at the end; without it
            it has the paper's lambda.
        v: the variables, changed in place.
        num_steps: that there will be.
    """
    if method.startswith("QP-SBGD"):
        mean = torch.zeros_like(v.data)[None]
        update = "projected" if method.endswith("projected") else "latent"

        @torch.no_grad()
        def along(sample: Sample, lr: float, done: float) -> None:
            if not sample.slopes.any():
                return  # as in QPSBGD: what no gradient reaches is left as it is
            # PAPER: b = argmin ||Z b - Z g||^2 up to scale: one neuron with X = Z and T = Z g.
            b = project(
                sample.Z.astype(np.float32), sample.slopes.astype(np.float32)[:, None],
                scale=options["scale"], alpha="fit", num_sweeps=NUM_SWEEPS, seed=0,
                num_threads=1,
            )  # fmt: skip
            direction: Tensor = torch.from_numpy(b)  # (1, n)
            if options["momentum"] > 0:
                direction = update_momentum(mean, direction, options["momentum"])
            update_weight(v.data[None], direction, lr, update, 1.0)  # type: ignore[arg-type]

        return along
    optimizer = _baseline(method, options, v, num_steps)

    def around(sample: Sample, lr: float, done: float) -> None:
        v.grad = torch.from_numpy(sample.estimate.astype(np.float32))
        optimizer.param_groups[0]["lr"] = lr
        if method == "ProxQuant" and "strength" not in options:
            # NOTES: there are no epochs here. Lambda grows from .01 to .02, as in the two of Adult.
            use_published_lambda(optimizer, int(2 * done))
        optimizer.step()

    return around


def _baseline(
    method: str, options: Mapping[str, Any], v: torch.nn.Parameter, num_steps: int
) -> torch.optim.Optimizer:
    match method:
        case "BinaryConnect":
            inner = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[options["optimizer"]]
            return BinaryConnect([v], inner, lr=options["lr"])
        case "signSGD":
            return SignSGD([v], lr=options["lr"], momentum=options["momentum"])
        case "ProxQuant":
            growth = options.get("strength", 0.0) / num_steps
            return ProxQuant([v], torch.optim.SGD, lr=options["lr"], reg_rate=growth)
    raise ValueError(f"method is {method!r}, but must be one of {', '.join(METHODS)}")


def _signs(v: Tensor) -> Tensor:
    return torch.where(v >= 0, 1.0, -1.0)


@dataclass(frozen=True)
class Rate:
    """Exponent of a power law, fitted by least squares to logarithms.

    Attributes:
        slope: the exponent.
        low: the end of its 95 % confidence interval, by Student's t.
        high: the other end.
    """

    slope: float
    low: float
    high: float


def fitted_rate(steps: Sequence[float], norms: Sequence[float]) -> Rate:
    """Exponent p of ``norm ~ steps^p``.

    Args:
        steps: at least 3, > 0.
        norms: as many, > 0.

    Raises:
        ValueError: fewer, or values that are not positive.
    """
    if len(steps) != len(norms) or len(steps) < 3:
        raise ValueError(f"{len(steps)} steps and {len(norms)} norms, but must be 3 or more pairs")
    if min(*steps, *norms) <= 0:
        raise ValueError("steps and norms must be positive")
    from scipy import stats

    fit = stats.linregress(np.log(steps), np.log(norms))
    margin = float(stats.t.ppf(0.975, len(steps) - 2) * fit.stderr)
    slope = float(fit.slope)
    return Rate(slope, slope - margin, slope + margin)


def mean_norms(
    problem: Problem,
    options: Mapping[str, Any],
    seed: int,
    horizons: Sequence[int] = HORIZONS,
) -> list[float]:
    """Mean gradient norm of the latent rule in a run of each number of steps T.

    PAPER: O(1/sqrt(T)). NOTES: the rate of a run is 1 / sqrt(T), as in the proofs of such bounds,
    so that each length T is a run of its own.
    """
    means = []
    for horizon in horizons:
        at = {**options, "lr": 1 / math.sqrt(horizon)}
        run = optimise(problem, "QP-SBGD latent", at, seed, horizon, decay=False)
        means.append(float(np.mean(run.norms)))
    return means
