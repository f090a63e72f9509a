"""A layer's problems for other solvers: gradient_ising and gradient_bqms."""

import numpy as np
from hypothesis import strategies as st

import qpsbgd
from draws import numbers, seeds, sizes
from fuzz.junk import NAN, junk, places, works_or_is_refused
from fuzz.projection import FLOAT32_KINDS, layer_of
from fuzz.targets import Unchanged, is_refused, need, target

SMALL_LAYER = {
    "samples": sizes(17),
    "inputs": sizes(17),
    "neurons": sizes(8),
    "kinds": st.tuples(st.sampled_from(FLOAT32_KINDS), st.sampled_from(FLOAT32_KINDS)),
    "seed": seeds,
    "alpha": st.sampled_from(("norm", "fit")),
    "scale": st.sampled_from((1.0, 0.1, 1e-3, 30.0)),
}


def random_rows(seed, *shape):
    return np.random.default_rng(seed).choice(np.array([-1, 1], np.int8), shape)


def check_models(bqms, X, T, B, **objective):
    """Require the same energies from the models, from `energies` and from the objective."""
    expected = qpsbgd.projection_energy(X, T, B, **objective)
    for r in range(min(3, len(bqms))):
        states = bqms.complete(B[r : r + 1])
        found, model = bqms.energies(r, states)[0], bqms[r]
        own = model.energies((states, range(states.shape[1])))[0]
        biases = [*model.linear.values(), *model.quadratic.values(), model.offset]
        size = float(np.abs(biases).sum())
        need(abs(found - own) <= 1e-9 * size, f"energies() is {found}, the model's energy {own}")
        need(
            abs(found - expected[r]) <= 1e-6 * size + 1e-9,
            f"the model's energy is {found}, the objective {expected[r]}",
        )
        sample = dict(enumerate(states[0].tolist()))
        need((bqms.decode(sample) == B[r]).all(), "decode does not return the weights")


@target(**SMALL_LAYER, penalty=st.sampled_from((1.1, 2.0, 1.0000001)))
def quadratic_problems(samples, inputs, neurons, kinds, seed, alpha, scale, penalty):
    X, T = layer_of(samples, inputs, neurons, kinds, seed)
    B = random_rows(seed, neurons, inputs)
    objective = {"objective": "quadratic", "scale": scale, "alpha": alpha}
    with Unchanged(X, T):
        try:
            bqms = qpsbgd.gradient_bqms(X, T, penalty_factor=penalty, **objective)
            h, J, offset = qpsbgd.gradient_ising(X, T, scale, alpha=alpha)
        except ValueError as error:
            need("scale" in str(error), f"ValueError: {error}")
            return
    check_models(bqms, X, T, B, **objective)
    need((J == J.T).all() and not np.diag(J).any(), "J is not symmetric with a zero diagonal")
    J, h, b = J.astype(float), h.astype(float), B.astype(float)
    found = ((b @ J) * b).sum(axis=1) / 2 + (h * b).sum(axis=1) + offset
    expected = qpsbgd.projection_energy(X, T, B, **objective)
    size = np.abs(J).sum() + np.abs(h).sum(axis=1) + np.abs(offset)
    need((np.abs(found - expected) <= 1e-4 * size).all(), f"{found[:3]}, but {expected[:3]}")


@target(
    **SMALL_LAYER,
    magnitudes=st.sampled_from(("signs", "dyadic", "tiny", "huge")),
    gaps=st.booleans(),
    target_eps=st.sampled_from((0.01, 0.0, 0.5, 1.0, 3.0, 1e30)),
    penalty=st.sampled_from((1.1, 2.0, 1.0000001)),
)
def sign_problems(
    samples, inputs, neurons, kinds, seed, alpha, scale, magnitudes, gaps, target_eps,
    penalty,
):  # fmt: skip
    X, T = layer_of(samples, inputs, neurons, ("signs", kinds[1]), seed)
    rng = np.random.default_rng(seed)
    X = (X * numbers(rng, (samples, 1), magnitudes)).astype(np.float32)  # one magnitude a sample
    if gaps:
        X[rng.random(X.shape) < 0.3] = 0
    objective = {"objective": "sign", "target_eps": target_eps}
    try:
        bqms = qpsbgd.gradient_bqms(X, T, penalty_factor=penalty, **objective)
    except qpsbgd.UnsupportedInputsError:
        return
    check_models(bqms, X, T, random_rows(seed, neurons, inputs), **objective)


@target(
    seed=seeds,
    fault=st.sampled_from(("missing", "unknown", "value", "None", "number", "list", "word")),
    value=st.sampled_from((2, -2, 0.5, None, "a", NAN)),
)
def answers_that_must_be_refused(seed, fault, value):
    X, T = layer_of(5, 4, 1, ("normal", "normal"), seed)
    bqms = qpsbgd.gradient_bqms(X, T)
    answer = dict.fromkeys(range(4), 1)
    if fault == "missing":
        del answer[seed % 4]
    elif fault == "unknown":
        answer["x"] = 1
    elif fault == "value":
        answer[seed % 4] = value
    else:
        answer = {"None": None, "number": 5, "list": [1], "word": "ab"}[fault]
    need(is_refused(lambda: bqms.decode(answer), TypeError, ValueError), "it is decoded")


@target(seed=seeds, objective=st.sampled_from(("quadratic", "sign")), place=places, value=junk)
def gradient_arguments(seed, objective, place, value):
    X, T = layer_of(5, 4, 2, ("signs", "normal"), seed)
    names = (
        "objective", "scale", "alpha", "target_eps", "penalty_factor", "num_threads",
    )  # fmt: skip

    def call(**changed):
        qpsbgd.gradient_bqms(X, T, **{"objective": objective, **changed})

    works_or_is_refused(call, names, place, value)
