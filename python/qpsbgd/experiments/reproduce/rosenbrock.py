"""The Rosenbrock function over binary variables: cases, options, the table's cells and words."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from qpsbgd.experiments.optimizers import one_thread
from qpsbgd.experiments.reproduce.experiment import (
    Axes,
    Cell,
    Method,
    Outcome,
    Published,
    Setting,
    grid,
    tuning_seeds,
)
from qpsbgd.experiments.rosenbrock import (
    GRADIENT_UNIT,
    HORIZONS,
    NUM_SWEEPS,
    Problem,
    Run,
    fitted_rate,
    mean_norms,
    optimise,
)

NUM_STEPS = 1000
QUICK_STEPS = 200
#: Of a tuning run: in most, many options end at the optimum.
NUM_STARTS = 5
#: Longer than 1, so that the projected rule moves: without momentum any from there on is the same.
PROJECTED_LR = 1.5
CASES = {
    **{f"n = {n}": Problem(n) for n in (2, 5, 10, 20, 50, 100)},
    "n = 50, sampled terms": Problem(50, sampling="terms"),
    "n = 20, attracting fixed point": Problem(20, a=2.0, closed=True),
    "n = 20, no fixed point": Problem(20, a=0.5, closed=True),
}
QUICK_CASES = ("n = 2", "n = 10", "n = 50", "n = 20, no fixed point")


#: Eight options a method. BinaryConnect's are four rates of each of two optimisers.
GRIDS: dict[str, tuple[dict[str, Any], ...]] = {
    "QP-SBGD latent": grid(lr=(0.01, 0.03, 0.1, 0.3), scale=(0.3, 1.0), momentum=(0.0,)),
    "QP-SBGD projected": grid(lr=(PROJECTED_LR,), scale=(0.3, 1.0), momentum=(0.0, 0.8, 0.9, 0.95)),
    "BinaryConnect": (
        *grid(optimizer=("sgd",), lr=(0.012, 0.04, 0.12, 0.4)),
        *grid(optimizer=("adam",), lr=(0.003, 0.01, 0.03, 0.1)),
    ),
    "signSGD": grid(lr=(0.01, 0.03, 0.1, 0.3), momentum=(0.0, 0.9)),
    "ProxQuant": grid(lr=(0.04, 0.12, 0.4, 1.2), strength=(0.03, 0.3)),
}
# PAPER: none of these is given. NOTES: the rates are those it has for Adult with ten layers, and so
# is ProxQuant's lambda.
FIXED: dict[str, dict[str, Any]] = {
    "QP-SBGD latent": {"lr": 0.1, "scale": 1.0, "momentum": 0.0},
    "QP-SBGD projected": {"lr": PROJECTED_LR, "scale": 1.0, "momentum": 0.0},
    "BinaryConnect": {"optimizer": "sgd", "lr": 0.01},
    "signSGD": {"lr": 0.02, "momentum": 0.0},
    "ProxQuant": {"lr": 0.1},
}
#: Indices into a grid of what a quick run tries: one low, one high rate, each of other options.
QUICK_OPTIONS = (2, 5)


class Rosenbrock:
    """The experiment."""

    name = "rosenbrock"
    title = "Binary Rosenbrock function"
    measure = "final function value above the minimum"
    higher_is_better = False
    axes: Mapping[str, Axes] = {
        "value": Axes("step", "function value above the minimum"),
        "gradient": Axes("step", f"mean gradient norm so far / {GRADIENT_UNIT:g}"),
        # PAPER: O(1/sqrt(T)).
        "rate": Axes("T", "mean gradient norm, lr = 1/sqrt(T)", at=HORIZONS, log=True, power=-0.5),
    }
    details: Mapping[str, str] = {
        "reached": "runs that reach the optimum",
        "stays": "steps at it from then on",
        "rate": "exponent of T",
    }

    def cases(self, setting: Setting, quick: bool) -> Sequence[str]:
        """By number of variables, and variants."""
        return QUICK_CASES if quick else tuple(CASES)

    def methods(self, case: str, setting: Setting, quick: bool) -> Sequence[Method]:
        """The paper's methods, both rules of QP-SBGD among them."""
        if setting == "paper":
            return [Method(name, (options,)) for name, options in FIXED.items()]
        return [
            Method(name, tuple(options[k] for k in QUICK_OPTIONS) if quick else options)
            for name, options in GRIDS.items()
        ]

    @one_thread()
    def run(self, cell: Cell) -> Outcome:
        """Minimise, and in the final runs of the latent rule measure the rate."""
        if cell.stage == "tune":
            found = [_minimised(cell, seed) for seed in _tuning_starts(cell)]
            final = statistics.fmean(run.values[-1] for run in found)
            # Where the final values are equal, those of the way there decide.
            way = statistics.fmean(float(np.mean(run.values)) for run in found)
            return Outcome(score=final, validation=-(final + 1e-6 * way))
        return self._final(cell)

    def _final(self, cell: Cell) -> Outcome:
        problem = CASES[cell.case]
        run = _minimised(cell, cell.seed)
        hit = run.first_hit
        details = {
            "reached": float(hit is not None),
            "first_hit": float(len(run.values) if hit is None else hit),
            "stays": run.stays,
        }
        running = np.cumsum(run.norms) / np.arange(1, len(run.norms) + 1)
        curves = {"value": run.values[1:], "gradient": running.tolist()}
        if cell.method == "QP-SBGD latent" and not cell.quick:
            curves["rate"] = mean_norms(problem, cell.options, cell.seed)
            rate = fitted_rate(HORIZONS, curves["rate"])
            details |= {"rate": rate.slope, "rate_low": rate.low, "rate_high": rate.high}
        return Outcome(score=run.values[-1], curves=curves, details=details)

    def published(self, case: str) -> Mapping[str, Published]:
        """None: the paper has a figure, no numbers of which are known here."""
        return {}

    def settings(self, case: str, setting: Setting, quick: bool) -> Mapping[str, str]:
        """In words."""
        problem = CASES[case]
        n = problem.num_variables
        last = f" + (a - x_{n})^2" if problem.closed else ""
        directions = f"{n} random directions Z of signs a step"
        sampling = {
            "directions": f"{directions}, and the slopes Z g along them; the baselines' estimate "
            f"is Z^T Z g / {n}",
            "terms": f"a quarter of the terms a step; QP-SBGD sees them through {directions}",
        }[problem.sampling]
        return {
            "function": f"sum of 100 (x_(i+1) - x_i^2)^2 + (a - x_i)^2 for i < {n}{last}, "
            f"a = {problem.a:g}; x in {{-1, +1}}^{n}, the optimum moved to random signs",
            "gradients": f"divided by {GRADIENT_UNIT:g}; {sampling}",
            "evaluated at": "sign(V); ProxQuant's at V",
            "start": "V uniform in [-1, 1], its signs not the optimum; for the projected rule the "
            "signs",
            "steps": str(_num_steps(quick)),
            **(self._paper() if setting == "paper" else self._sound(quick)),
            "QP-SBGD": f"quadratic objective, alpha fit, {NUM_SWEEPS} sweeps",
            "exponent of T": "not measured in a quick run" if quick else _RATE,
        }

    def _paper(self) -> Mapping[str, str]:
        return {
            "rate": "constant",
            "options": "one a method: the rates of Adult with ten layers, as the paper gives none "
            f"here; {PROJECTED_LR:g} of the projected rule",
            "ProxQuant": "lambda .01 in the first half of the steps, .02 in the second, as in "
            "Adult's two epochs",
        }

    def _sound(self, quick: bool) -> Mapping[str, str]:
        size = len(QUICK_OPTIONS) if quick else 8
        runs = len(tuning_seeds(quick)) * _num_starts(quick)
        return {
            "rate": f"to 0 along half a cosine; the projected rule's is {PROJECTED_LR:g} "
            "throughout",
            "options": f"best of {size} a method by the mean final value of {runs} run(s) each; "
            "equal ones by the mean value on the way",
            "ProxQuant": "strength from 0 to the option's, the same more a step",
        }

    def remarks(self, case: str, setting: Setting) -> Sequence[str]:
        """In words."""
        problem = CASES[case]
        found = []
        if setting == "paper":
            found.append(
                "The paper has a figure of this experiment, but neither its settings nor numbers "
                "of it are known here: there is nothing to compare with."
            )
        if problem.sampling == "terms":
            found.append(
                "Here the baselines have the sampled gradient itself, and QP-SBGD only what a "
                "random matrix shows of it: the projection can add noise, but has nothing to gain."
            )
        found.append(_at_optimum(problem.a))
        found.append(
            "Without momentum the projected rule replaces all signs in a step, also those with a "
            "gradient of 0, whose direction is arbitrary. Staying means at a fixed point; where "
            "there is none, nothing has to stay."
        )
        return found


def _at_optimum(a: float) -> str:
    if a == 1.0:
        return (
            "At the optimum all gradients at signs are 0, those of samples too, so that what "
            "reaches it stays, unless it has momentum, or gradients at V as ProxQuant. A final "
            "value of 4 is x_1 alone being wrong, whose gradient is a hundredth of the others': "
            "steps as long as the gradient (BinaryConnect with SGD, ProxQuant) take long to turn "
            "it, steps of one length do not."
        )
    if a > 1.0:
        return (
            "The negative gradient at the optimum points out of the cube in all variables: a "
            "binary fixed point of the projected rule, at which the gradient is not 0. The "
            "gradient norm then has no 0 to fall to, and the bound on its rate says nothing."
        )
    return (
        "The negative gradient at the optimum points into the cube: the minimum over signs is no "
        "fixed point, and steps of one length lead away from it. The gradient norm over signs has "
        "no small values to fall to, so that the bound on its rate says nothing here."
    )


_RATE = (
    "slope of log(mean gradient norm) against log(T), by least squares, for runs of the latent "
    f"rule with lr = 1/sqrt(T), T = {', '.join(map(str, HORIZONS))}. The paper's bound is -1/2; "
    "-1 is that of a run which spends a fixed number of steps away from the optimum"
)


def _num_steps(quick: bool) -> int:
    return QUICK_STEPS if quick else NUM_STEPS


def _num_starts(quick: bool) -> int:
    return 1 if quick else NUM_STARTS


def _tuning_starts(cell: Cell) -> range:
    """Seeds of a tuning run, none of which another has."""
    count = _num_starts(cell.quick)
    return range(cell.seed * count, (cell.seed + 1) * count)


def _minimised(cell: Cell, seed: int) -> Run:
    return optimise(
        CASES[cell.case],
        cell.method,
        cell.options,
        seed,
        _num_steps(cell.quick),
        decay=cell.setting == "sound",
    )


ROSENBROCK = Rosenbrock()
