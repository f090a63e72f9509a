"""Minimisation of the Rosenbrock function over binary variables, with gradients by sampling.

``f(x) = sum_i 100 (x_{i+1} - x_i^2)^2 + (a - x_i)^2`` with x in {-1, +1}^n. Over signs x_i^2 is 1,
so f is separable, but the methods only see gradients. At x_i = 1 the gradient points away from the
optimum until x_{i+1} is right, so variables become right one after another from the last to the
first, as along the curved valley of the real function.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from scipy import stats

from bench.paper.methods import use_published_lambda
from bench.paper.study import Options
from qpsbgd import project
from qpsbgd.optim import BinaryConnect, ProxQuant, SignSGD

Doubles = npt.NDArray[np.float64]

STEEPNESS = 100.0
#: Gradients are divided by this typical gradient, so that rates are in units of the variable.
GRADIENT_UNIT = 4 * STEEPNESS
LATENT, PROJECTED = "QP-SBGD latent", "QP-SBGD projected"
#: Sweeps of a projection.
NUM_SWEEPS = 3
#: Lengths T of the runs whose gradient norms the rate is fitted to.
HORIZONS = (128, 256, 512, 1024, 2048, 4096)


@dataclass(frozen=True)
class Problem:
    """A function and the way in which its gradient is sampled.

    Attributes:
        num_variables: n, at least 2.
        a: constant of the function. At the optimum x = 1 the gradient is 0 for a = 1. The negative
            gradient points into the cube for a < 1 and out of it for a > 1.
        closed: whether ``(a - x_n)^2`` is a term as well.
        samples_terms: whether a stochastic gradient is that of a quarter of the terms. Otherwise it
            is known through its slopes along random directions.
    """

    num_variables: int
    a: float = 1.0
    closed: bool = False
    samples_terms: bool = False

    @property
    def num_terms(self) -> int:
        """Number of terms that can be sampled."""
        return self.num_variables if self.closed else self.num_variables - 1

    def value(self, x: Doubles) -> float:
        """Return f at x minus its minimum over signs, which is at ones."""
        return float(self._terms(x).sum() - self._terms(np.ones(self.num_variables)).sum())

    def _terms(self, x: Doubles) -> Doubles:
        near = (self.a - x) ** 2
        return np.concatenate(
            [STEEPNESS * (x[1:] - x[:-1] ** 2) ** 2, near if self.closed else near[:-1]]
        )

    def gradient(self, x: Doubles, weights: Doubles | None = None) -> Doubles:
        """Return the gradient at x ``(n)``, with terms weighted by ``weights (n)``."""
        weights = np.ones(self.num_variables) if weights is None else weights
        rest = weights[:-1] * STEEPNESS * (x[1:] - x[:-1] ** 2)  # (n - 1)
        result = -2 * weights * (self.a - x)  # (n)
        if not self.closed:
            result[-1] = 0.0
        result[1:] += 2 * rest
        result[:-1] -= 4 * rest * x[:-1]
        return result

    def sampled_weights(self, rng: np.random.Generator) -> Doubles:
        """Return weights ``(n)``: 1 for a random quarter of the terms, 0 for the others."""
        weights = np.zeros(self.num_variables)
        size = max(1, self.num_terms // 4)
        weights[rng.choice(self.num_terms, size, replace=False)] = 1.0
        return weights


@dataclass(frozen=True)
class Sample:
    """Stochastic gradient of one step.

    Attributes:
        Z: random signs ``(n, n)``, one direction in each row.
        slopes: Z g ``(n)`` for the gradient g. Its entries are integers, so float32 holds them and
            the sums Z^T Z g exactly.
        estimate: estimate of g in units of :data:`GRADIENT_UNIT`, ``(n)``.
    """

    Z: Doubles
    slopes: Doubles
    estimate: Doubles


def sample_gradient(
    problem: Problem, at: Doubles, optimum: Doubles, rng: np.random.Generator
) -> Sample:
    """Sample the gradient of x -> f(optimum * x), where ``at`` is optimum * x.

    NOTES: if x consists of signs, g has integer entries, and so do its products with signs. These
    sums are exact in any order of summation, and the division comes last. Rounding on the way
    would turn some zeros into 1e-17, along which signSGD takes whole steps.
    """
    n = problem.num_variables
    unit, weights = GRADIENT_UNIT, None
    if problem.samples_terms:
        weights = problem.sampled_weights(rng)
        unit *= weights.sum() / problem.num_terms
    gradient = optimum * problem.gradient(at, weights)
    # NOTES: the paper has a random sample matrix Z in each step, of unknown size and distribution.
    # Here Z has n rows of signs. Except in the case of sampled terms, all methods see these
    # samples: they are X and T = Z g of a layer, whose weight has the gradient X^T T.
    Z = np.where(rng.random((n, n)) < 0.5, -1.0, 1.0)
    slopes = Z @ gradient  # (n, n) -> (n)
    estimate = gradient / unit if problem.samples_terms else Z.T @ slopes / (n * unit)
    return Sample(Z, slopes, estimate)


@dataclass(frozen=True)
class Run:
    """Course of a minimisation.

    Attributes:
        values: f minus its minimum at the signs of the variables, before each step and at the end.
        norms: norm of the whole gradient there, in units of :data:`GRADIENT_UNIT`.
    """

    values: list[float]
    norms: list[float]

    @property
    def first_hit(self) -> int | None:
        """First step before which the optimum is reached, if there is one."""
        return next((step for step, value in enumerate(self.values) if value == 0.0), None)

    @property
    def stays(self) -> float:
        """Share of the steps after the first hit that are at the optimum; 0 without a hit."""
        hit = self.first_hit
        after = [] if hit is None else self.values[hit + 1 :]
        return sum(value == 0.0 for value in after) / len(after) if after else 0.0


def minimise(
    problem: Problem, method: str, options: Options, seed: int, num_steps: int, decay: bool = True
) -> Run:
    """Minimise with one of the methods.

    The seed is that of the start, the position of the optimum and the samples. With ``decay`` the
    rate falls to 0 (cosine decay); the projected rule's rate is always constant.
    """
    rng = np.random.default_rng(seed)
    # NOTES: the optimum is at random signs, not at ones. A method that rounds 0 to +1 would find
    # ones by accident.
    optimum = np.where(rng.random(problem.num_variables) < 0.5, -1.0, 1.0)
    v = torch.nn.Parameter(torch.from_numpy(_start(optimum, rng)).float())
    if method == PROJECTED:
        v.data = _signs(v.data)
    take_step = stepper(method, options, v, num_steps)
    run = Run([], [])
    for index in range(num_steps):
        binary = optimum * _signs(v.detach()).double().numpy()
        run.values.append(problem.value(binary))
        run.norms.append(float(np.linalg.norm(problem.gradient(binary) / GRADIENT_UNIT)))
        # PAPER: BinaryConnect takes gradients at the signs, ProxQuant at the real point.
        at = optimum * v.detach().double().numpy() if method == "ProxQuant" else binary
        factor = 0.5 * (1 + math.cos(math.pi * index / num_steps))
        lr = options["lr"] * (factor if decay and method != PROJECTED else 1.0)
        take_step(sample_gradient(problem, at, optimum, rng), lr, index / num_steps)
    run.values.append(problem.value(optimum * _signs(v.detach()).double().numpy()))
    return run


def _start(optimum: Doubles, rng: np.random.Generator) -> Doubles:
    """Draw a uniform start whose signs are not the optimum, where all gradients may be 0."""
    while True:
        v = rng.uniform(-1, 1, len(optimum))
        if (np.where(v >= 0, 1.0, -1.0) != optimum).any():
            return v


def _signs(v: torch.Tensor) -> torch.Tensor:
    return torch.where(v >= 0, 1.0, -1.0)


#: Takes a sample, the learning rate, and the share of the run that is over.
Step = Callable[[Sample, float, float], None]


def stepper(method: str, options: Options, v: torch.nn.Parameter, num_steps: int) -> Step:
    """Return a function that takes a step on ``v`` in place."""
    if method in (LATENT, PROJECTED):
        return _projection_stepper(method, options, v)
    optimizer = _baseline(method, options, v, num_steps)

    def take_step(sample: Sample, lr: float, done: float) -> None:
        v.grad = torch.from_numpy(sample.estimate.astype(np.float32))
        optimizer.param_groups[0]["lr"] = lr
        if method == "ProxQuant" and "strength" not in options:
            # NOTES: there are no epochs here. Lambda grows from 0.01 to 0.02, as in the two epochs
            # of Adult.
            use_published_lambda(optimizer, int(2 * done))
        optimizer.step()

    return take_step


def _projection_stepper(method: str, options: Options, v: torch.nn.Parameter) -> Step:
    mean = torch.zeros_like(v.data)

    def take_step(sample: Sample, lr: float, done: float) -> None:
        if not sample.slopes.any():
            return  # QPSBGD leaves weights alone that no gradient reaches.
        # PAPER: b = argmin ||Z b - Z g||^2 up to scale: one neuron with X = Z and T = Z g.
        b = project(
            sample.Z.astype(np.float32), sample.slopes.astype(np.float32)[:, None],
            scale=options["scale"], alpha="fit", num_sweeps=NUM_SWEEPS, seed=0, num_threads=1,
        )  # fmt: skip
        direction = torch.from_numpy(b[0])  # (n)
        if options["momentum"] > 0:
            direction = mean.lerp_(direction.to(mean.dtype), 1.0 - options["momentum"])
        v.data.add_(direction, alpha=-lr)
        if method == LATENT:
            v.data.clamp_(-1.0, 1.0)
        else:
            v.data.copy_(_signs(v.data))

    return take_step


def _baseline(
    method: str, options: Options, v: torch.nn.Parameter, num_steps: int
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
    raise ValueError(f"method is {method!r}, but must be one of the paper's methods")


def fitted_rate(steps: Sequence[float], norms: Sequence[float]) -> tuple[float, float, float]:
    """Return the exponent p of ``norm ~ steps^p`` and the ends of its 95 % confidence interval."""
    fit = stats.linregress(np.log(steps), np.log(norms))
    margin = float(stats.t.ppf(0.975, len(steps) - 2) * fit.stderr)
    return float(fit.slope), float(fit.slope) - margin, float(fit.slope) + margin


def mean_norms(
    problem: Problem, options: Options, seed: int, horizons: Sequence[int] = HORIZONS
) -> list[float]:
    """Return the latent rule's mean gradient norm in a run of each length T.

    PAPER: the norm falls as O(1 / sqrt(T)). NOTES: the rate of a run is 1 / sqrt(T), as in the
    proofs of such bounds, so each T needs a run of its own.
    """
    return [
        float(np.mean(minimise(problem, LATENT, {**options, "lr": T**-0.5}, seed, T, False).norms))
        for T in horizons
    ]
