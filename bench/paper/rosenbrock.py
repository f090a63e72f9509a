"""Binary Rosenbrock function of 2 to 100 variables: the experiment."""

import statistics
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from bench.paper.minimisation import (
    HORIZONS,
    LATENT,
    NUM_SWEEPS,
    PROJECTED,
    Problem,
    Run,
    fitted_rate,
    mean_norms,
    minimise,
)
from bench.paper.study import Cell, Experiment, Grids, Options, Outcome, curve, grid

#: Rate of the projected rule. It is longer than 1, so that a step can replace a sign.
PROJECTED_LR = 1.5
CASES = {
    **{f"n = {n}": Problem(n) for n in (2, 5, 10, 20, 50, 100)},
    "n = 50, sampled terms": Problem(50, samples_terms=True),
    "n = 20, attracting fixed point": Problem(20, a=2.0, closed=True),
    "n = 20, no fixed point": Problem(20, a=0.5, closed=True),
}
QUICK_CASES = ("n = 2", "n = 10", "n = 20, no fixed point")
GRIDS: Grids = {
    LATENT: grid(lr=(0.01, 0.03, 0.1, 0.3), scale=(0.3, 1.0), momentum=(0.0,)),
    PROJECTED: grid(lr=(PROJECTED_LR,), scale=(0.3, 1.0), momentum=(0.0, 0.8, 0.9, 0.95)),
    "BinaryConnect": (
        *grid(optimizer=("sgd",), lr=(0.012, 0.04, 0.12, 0.4)),
        *grid(optimizer=("adam",), lr=(0.003, 0.01, 0.03, 0.1)),
    ),
    "signSGD": grid(lr=(0.01, 0.03, 0.1, 0.3), momentum=(0.0, 0.9)),
    "ProxQuant": grid(lr=(0.04, 0.12, 0.4, 1.2), strength=(0.03, 0.3)),
}
# PAPER: gives no options. NOTES: rates and ProxQuant's lambda are those of Adult's ten layers.
FIXED: dict[str, Options] = {
    LATENT: {"lr": 0.1, "scale": 1.0, "momentum": 0.0},
    PROJECTED: {"lr": PROJECTED_LR, "scale": 1.0, "momentum": 0.0},
    "BinaryConnect": {"optimizer": "sgd", "lr": 0.01},
    "signSGD": {"lr": 0.02, "momentum": 0.0},
    "ProxQuant": {"lr": 0.1},
}


class Rosenbrock(Experiment):
    """The binary Rosenbrock function of 2 to 100 variables."""

    name = "rosenbrock"
    title = "Binary Rosenbrock function"
    measure = "final function value above the minimum"
    lower_is_better = True
    axes: ClassVar = {
        "value": ("step", "function value above the minimum"),
        "rate": ("T (log10)", "mean gradient norm at lr = 1/sqrt(T) (log10)"),
    }
    details: ClassVar = {
        "reached": "runs that reach the optimum",
        "stays": "steps at it from then on",
        "rate": "exponent of T",
    }
    remarks: ClassVar = {
        "paper": [
            "The paper shows a figure of this experiment, but its settings and numbers are not "
            "known here, so there is nothing to compare with.",
        ],
        "sound": [
            "A final value of 4 means that x_1 alone is wrong; its gradient is a hundredth of the "
            "others'.",
            "The exponent of T is the slope of log(mean gradient norm) against log(T) for runs of "
            "the latent rule with the rate 1/sqrt(T). The paper's bound is -1/2.",
        ],
    }

    def cases(self, setting: str, quick: bool) -> Sequence[str]:
        return QUICK_CASES if quick else tuple(CASES)

    def grids(self, case: str, setting: str) -> Grids:
        return GRIDS if setting == "sound" else {name: (each,) for name, each in FIXED.items()}

    def protocol(self, case: str, setting: str, quick: bool) -> dict[str, Any]:
        return {
            **vars(CASES[case]),
            "num_steps": 200 if quick else 1000,
            "rate falls": setting == "sound",
            "starts of a tuning run": 1 if quick else 5,
            "horizons": [] if quick else list(HORIZONS),
            "num_sweeps": NUM_SWEEPS,
        }

    def run(self, cell: Cell) -> Outcome:
        problem = CASES[cell.case]
        decay, num_steps = cell.protocol["rate falls"], cell.protocol["num_steps"]

        def minimised(seed: int) -> Run:
            return minimise(problem, cell.method, cell.options, seed, num_steps, decay)

        if cell.stage == "tune":
            count = cell.protocol["starts of a tuning run"]
            runs = [minimised(cell.seed * count + start) for start in range(count)]
            final = statistics.fmean(run.values[-1] for run in runs)
            # Among equal final values, the mean value on the way decides.
            way = statistics.fmean(float(np.mean(run.values)) for run in runs)
            return Outcome(final, validation=-(final + 1e-6 * way))
        run = minimised(cell.seed)
        details = {"reached": float(run.first_hit is not None), "stays": run.stays}
        curves = {"value": curve(run.values[1:])}
        horizons = cell.protocol["horizons"]
        if cell.method == LATENT and horizons:
            norms = mean_norms(problem, cell.options, cell.seed, horizons)
            names = ("rate", "rate_low", "rate_high")
            details |= dict(zip(names, fitted_rate(horizons, norms), strict=True))
            curves["rate"] = list(zip(np.log10(horizons), np.log10(norms), strict=True))
        return Outcome(run.values[-1], curves=curves, details=details)


ROSENBROCK = Rosenbrock()
