"""Projections of layers: project and projection_energy."""

import numpy as np
from hypothesis import strategies as st

import qpsbgd
from draws import forced_isa, numbers, seeds, sizes
from fuzz.couplings import laid_out, layouts
from fuzz.junk import junk, places, works_or_is_refused
from fuzz.samplers import isas, threads
from fuzz.targets import Unchanged, is_refused, need, target

#: Kinds of values that float32 holds.
FLOAT32_KINDS = (
    "normal", "signs", "small", "integers", "gaps", "zeros", "dyadic", "wide", "tiny", "huge",
)  # fmt: skip

LAYER = {
    "samples": sizes(),
    "inputs": sizes(),
    "neurons": sizes(33),
    "kinds": st.tuples(st.sampled_from(FLOAT32_KINDS), st.sampled_from(FLOAT32_KINDS)),
    "seed": st.one_of(st.sampled_from((0, 2**31 - 1)), seeds),
}
OBJECTIVE = {
    "objective": st.sampled_from(("quadratic", "sign")),
    "scale": st.sampled_from((1.0, 0.1, 3.0, 1e-3, 1e3, 1e-30, 1e30, 1e-300)),
    "alpha": st.sampled_from(("norm", "fit")),
    "target_eps": st.sampled_from((0.01, 0.0, 1.0, 1e-30, 1e30)),
}


def layer_of(samples, inputs, neurons, kinds, seed):
    """X (N, n) and T (N, m) in float32."""
    rng = np.random.default_rng(seed)
    X = numbers(rng, (samples, inputs), kinds[0]).astype(np.float32)
    return X, numbers(rng, (samples, neurons), kinds[1]).astype(np.float32)


def numpy_energy(X, T, B, objective, scale, alpha, target_eps):
    """Return each row's energy and its possible error, infinite if float32 may change alpha."""
    X, T, B = (np.asarray(array, np.float64) for array in (X, T, B))
    for array in (X, T):
        used = np.abs(array[array != 0])
        if used.size and used.max() > 1e36 * used.min():
            return np.zeros(T.shape[1]), np.inf
    if objective == "sign":
        margins = X @ B.T + target_eps  # (N, m)
        is_near = np.abs(margins) <= 1e-9 * (np.abs(X).sum(axis=1, keepdims=True) + target_eps)
        outputs = np.where(margins >= 0, 1.0, -1.0)
        error = 4 * (np.abs(T) * is_near).sum(axis=0) + 1e-9 * (len(T) + (T**2).sum(axis=0))
        return ((outputs - T) ** 2).sum(axis=0), error
    mean = np.abs(T).mean(axis=0)
    unit_T = T / np.where(mean > 0, mean, 1.0)
    unit_X = X / (np.abs(X).max() or 1.0)
    field = unit_X.T @ unit_T  # (n, m)
    margins = unit_X @ np.where(field >= 0, 1.0, -1.0)  # (N, m)
    square = (margins**2).sum()
    step = 0.0
    if square > 0 and alpha == "norm":
        step = scale * np.sqrt((unit_T**2).sum() / square)
    elif square > 0:
        step = scale * (unit_T * margins).sum() / square
    reach = np.abs(unit_X).sum(axis=1)  # (N,)
    energy = ((unit_T - step * unit_X @ B.T) ** 2).sum(axis=0)
    # A field that cancels may have either sign, and the step depends on it.
    cancels = (np.abs(field) <= 1e-5 * (np.abs(unit_X).T @ np.abs(unit_T)) + 1e-300).any()
    cancels |= square <= 1e-9 * (reach**2).sum() * T.shape[1]
    return energy, np.inf if cancels else 2e-4 * (
        (unit_T**2).sum(axis=0) + ((step * reach) ** 2).sum()
    )


@target(
    **LAYER,
    **OBJECTIVE,
    num_sweeps=st.sampled_from((1, 0, 2, 5, 10)),
    num_reads=st.sampled_from((1, 2, 3)),
    beta_range=st.sampled_from((None, (0.1, 10.0), (1e-300, 1e300), (1.0, 1.0))),
    initial=st.sampled_from(("linear", "random", "int8", "float32", "int64")),
    layout=layouts,
    isa=isas,
    num_threads=threads,
)
def project(
    samples, inputs, neurons, kinds, seed, objective, scale, alpha, target_eps, num_sweeps,
    num_reads, beta_range, initial, layout, isa, num_threads,
):  # fmt: skip
    X, T = layer_of(samples, inputs, neurons, kinds, seed)
    energy_options = {
        "objective": objective, "scale": scale, "alpha": alpha,
        "target_eps": target_eps,
    }  # fmt: skip
    if initial not in ("linear", "random"):
        rng = np.random.default_rng(seed)
        initial = rng.choice([-1, 1], (neurons, inputs)).astype(initial)
    options = energy_options | {"beta_range": beta_range, "seed": seed, "initial": initial}
    length = {"num_sweeps": num_sweeps, "num_reads": num_reads}
    other_X, other_T = laid_out(X, layout), laid_out(T, layout)
    with Unchanged(X, T, other_X, other_T, initial):
        try:
            rows = qpsbgd.project(other_X, other_T, num_threads=1, **options, **length)
        except ValueError as error:
            need("scale" in str(error) or "alpha" in str(error), f"ValueError: {error}")
            return
        with forced_isa(isa):
            again = qpsbgd.project(X, T, num_threads=num_threads, **options, **length)
        start = qpsbgd.project(X, T, num_sweeps=0, num_reads=1, **options)
        found = qpsbgd.projection_energy(other_X, other_T, rows, **energy_options)
        before = qpsbgd.projection_energy(X, T, start, **energy_options)
    is_whole = rows.dtype == np.int8 and rows.shape == (neurons, inputs) and (np.abs(rows) == 1)
    need(np.all(is_whole), "no binary rows")
    need((rows == again).all(), f"other rows on {isa} with {num_threads} threads or in {layout}")
    with np.errstate(all="ignore"):
        expected, error = numpy_energy(X, T, rows, **energy_options)
    if not np.isfinite(expected).all():
        return
    need(np.isfinite(found).all(), f"energies {found} are not finite")
    off = np.abs(found - expected) > error
    need(not off.any(), f"energies {found[off][:3]}, but NumPy's are {expected[off][:3]}")
    if beta_range is None:
        worse = found > before + 1e-4 * np.abs(before) + error
        need(not worse.any(), f"descent makes rows worse: {before[worse][:2]}, {found[worse][:2]}")
    if objective == "sign" and neurons > 1 and isinstance(initial, str):
        part = qpsbgd.project(X, T[:, : neurons // 2], **options, **length)
        need((part == rows[: neurons // 2]).all(), "a row of the sign objective depends on others")


@target(
    **LAYER,
    place=st.integers(0, 10**6),
    bad=st.sampled_from((float("nan"), float("inf"), float("-inf"))),
    is_target=st.booleans(),
)
def layers_that_are_not_finite(samples, inputs, neurons, kinds, seed, place, bad, is_target):
    X, T = layer_of(samples, inputs, neurons, kinds, seed)
    array = T if is_target else X
    array.flat[place % array.size] = bad
    for function in (qpsbgd.project, qpsbgd.gradient_ising, qpsbgd.gradient_bqms):
        need(is_refused(lambda f=function: f(X, T), ValueError), f"{function.__name__} takes {bad}")


@target(
    **LAYER,
    fault=st.sampled_from(
        ("no inputs", "fewer samples", "one dimension", "float64", "float16", "list", "complex",
         "three dimensions", "no neurons", "objects", "None", "masked")
    ),
)  # fmt: skip
def layers_that_must_be_refused(samples, inputs, neurons, kinds, seed, fault):
    X, T = layer_of(samples, inputs, neurons, kinds, seed)
    X, T = {
        "no inputs": (X[:, :0], T),
        "fewer samples": (X[:-1], T),
        "one dimension": (X[0], T),
        "float64": (X.astype(float), T),
        "float16": (X, T.astype(np.float16)),
        "list": (X.tolist(), T),
        "complex": (X.astype(complex), T),
        "three dimensions": (X[None], T),
        "no neurons": (X, T[:, :0]),
        "objects": (X.astype(object), T),
        "None": (None, T),
        "masked": (X, np.ma.masked_array(T, mask=np.ones_like(T, dtype=bool))),
    }[fault]
    need(is_refused(lambda: qpsbgd.project(X, T), TypeError, ValueError), "it is taken")


@target(seed=seeds, place=places, value=junk)
def projection_arguments(seed, place, value):
    X, T = layer_of(7, 9, 3, ("normal", "normal"), seed)
    names = (
        "objective", "scale", "alpha", "target_eps", "beta_range", "initial", "seed",
        "num_threads", "projector",
    )  # fmt: skip

    def call(**changed):
        qpsbgd.project(X, T, num_sweeps=1, **changed)

    works_or_is_refused(call, names, place, value)
