"""The dimod samplers: annealing, tabu search, descent, exhaustive search."""

import math
import warnings

import dimod
import numpy as np
from hypothesis import strategies as st

import qpsbgd
from draws import EXTREME, KINDS, bqm_of, forced_isa, models, seeds
from fuzz.junk import junk, places, works_or_is_refused
from fuzz.targets import need, target
from qpsbgd import _core

LABELS = {
    "numbers": lambda i, n: i,
    "words": lambda i, n: f"v{i}",
    "tuples": lambda i, n: (i, "t"),
    "mixed": lambda i, n: i if i % 2 else f"s{i}",
    "reversed": lambda i, n: n - 1 - i,
    "gaps": lambda i, n: 10 * i - 7,
}
SAMPLERS = {
    "annealing": qpsbgd.SimulatedAnnealingSampler,
    "tabu": qpsbgd.TabuSampler,
    "descent": qpsbgd.SteepestDescentSampler,
    "exhaustive": qpsbgd.ExhaustiveSampler,
}
#: Options with which a sampler is done at once.
QUICK = {
    "annealing": {"num_sweeps": 2},
    "tabu": {"num_restarts": 1, "timeout": None},
    "descent": {},
    "exhaustive": {},
}

isas = st.sampled_from(_core.available_isas())
threads = st.sampled_from((1, 2, 3, 7))
forms = st.sampled_from((None, "dense", "sparse"))


def all_models(most=129):
    """Models of all kinds of values, vartypes, labels and element types."""
    return st.fixed_dictionaries(
        {
            "problem": models((*KINDS, *EXTREME), most),
            "vartype": st.sampled_from(("SPIN", "BINARY")),
            "labels": st.sampled_from(tuple(LABELS)),
            "dtype": st.sampled_from(("float64", "float64", "float32", "object")),
            "offset": st.sampled_from((0.0, 1.0, -3.5, 1e6)),
        }
    )


def is_extreme(model):
    return model["problem"]["kind"] in EXTREME


def build(model):
    """The model with its labels and element type; extreme values stay in float64."""
    bqm = bqm_of(model["problem"], model["vartype"], model["offset"])
    n = bqm.num_variables
    label = LABELS[model["labels"]]
    bqm.relabel_variables({i: label(i, n) for i in range(n)})
    if model["dtype"] != "float64" and not is_extreme(model):
        bqm = dimod.BinaryQuadraticModel(bqm, dtype=np.dtype(model["dtype"]))
    return bqm


def magnitude(bqm):
    """Sum of the magnitudes of all biases."""
    biases = [*bqm.linear.values(), *bqm.quadratic.values(), bqm.offset]
    return float(sum(abs(float(bias)) for bias in biases))


def rounding(bqm, relative=1e-9):
    """Return the largest error of an energy: rounding of the sum, and of subnormal quarters."""
    if bqm.dtype == np.float32:
        return max(relative, 1e-5) * magnitude(bqm) + 1e-40
    return relative * magnitude(bqm) + 1e-318


def energies(bqm, states, labels):
    with np.errstate(all="ignore"):
        return np.asarray(bqm.energies((states, labels)), np.float64)


def random_starts(bqm, reads, seed):
    low = -1 if bqm.vartype is dimod.SPIN else 0
    rng = np.random.default_rng(seed)
    return rng.choice(np.array([low, 1], np.int8), (reads, bqm.num_variables))


def check_samples(bqm, sampleset, reads):
    """Require whole states and the model's own energies; return these, or None if infinite."""
    states = sampleset.record.sample
    low = -1 if bqm.vartype is dimod.SPIN else 0
    need(set(sampleset.variables) == set(bqm.variables), "other variables")
    need(sampleset.vartype is bqm.vartype, "another vartype")
    need(((states == low) | (states == 1)).all(), f"values {np.unique(states)}")
    need(len(sampleset) == reads, f"{len(sampleset)} samples, not {reads}")
    if not math.isfinite(magnitude(bqm)):
        return None
    expected = energies(bqm, states, list(sampleset.variables))
    bad = ~(np.abs(sampleset.record.energy - expected) <= rounding(bqm))
    need(not bad.any(), f"energies {sampleset.record.energy[bad][:2]}, not {expected[bad][:2]}")
    return expected


def check_no_worse(bqm, found, starts, relative=1e-5):
    before = energies(bqm, starts, list(bqm.variables))
    need(
        (found <= before + rounding(bqm, relative)).all(),
        f"worse than the start: {before[:3]} -> {found[:3]}",
    )


def sample_twice(sampler, model, bqm, isa, num_threads, **options):
    """Sample with one thread, then with others and another instruction set; require equal samples.

    Returns None if the model is refused because sums of its biases overflow.
    """
    before = bqm.copy()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "all biases are zero")
        try:
            found = sampler.sample(bqm, num_threads=1, **options)
        except ValueError as error:
            need(is_extreme(model), f"ValueError: {error}")
            return None
        with forced_isa(isa):
            again = sampler.sample(bqm, num_threads=num_threads, **options)
    need(bqm == before, "the model was changed")
    for name in ("sample", "energy"):
        same = np.array_equal(found.record[name], again.record[name])
        need(same, f"another {name} on {isa} with {num_threads} threads")
    return found


@target(
    model=all_models(),
    reads=st.sampled_from((1, 2, 3, 4, 5, 15, 16, 17, 33)),
    sweeps=st.sampled_from((1, 0, 2, 3, 10, 300)),
    seed=st.one_of(st.sampled_from((0, 2**31 - 1)), seeds),
    keep=st.sampled_from(("best", "final")),
    betas=st.sampled_from(
        (None, "dwave", (0.1, 5.0), (5.0, 0.1), (1.0, 1.0), (1e-300, 1e300), "custom")
    ),
    linear=st.booleans(),
    random_order=st.booleans(),
    acceptance=st.sampled_from(("Metropolis", "Gibbs")),
    form=forms,
    are_given=st.booleans(),
    isa=isas,
    num_threads=threads,
)
def annealing(
    model, reads, sweeps, seed, keep, betas, linear, random_order, acceptance, form, are_given, isa,
    num_threads,
):  # fmt: skip
    bqm = build(model)
    n = bqm.num_variables
    sweeps = min(sweeps, 20) if n > 20 else sweeps
    options = {
        "num_reads": reads, "num_sweeps": sweeps, "seed": seed, "keep": keep, "form": form,
        "randomize_order": random_order, "proposal_acceptance_criteria": acceptance,
    }  # fmt: skip
    if betas == "custom":
        rng = np.random.default_rng(seed)
        options["beta_schedule_type"] = "custom"
        options["beta_schedule"] = rng.choice([0.0, 1.0, np.inf, 1e300, 5e-324], sweeps)
    else:
        options["beta_schedule_type"] = "linear" if linear else "geometric"
        options["beta_range"] = betas
    starts = random_starts(bqm, reads, seed)
    if are_given:
        options["initial_states"] = (starts, list(bqm.variables))
    sampler = qpsbgd.SimulatedAnnealingSampler()
    found = sample_twice(sampler, model, bqm, isa, num_threads, **options)
    expected = found and check_samples(bqm, found, reads)
    if expected is None or not are_given:
        return
    if keep == "best" or sweeps == 0:
        check_no_worse(bqm, expected, starts)
    if sweeps == 0:
        order = [list(found.variables).index(v) for v in bqm.variables]
        need((found.record.sample[:, order] == starts).all(), "no sweeps, but other states")
    if reads > 1:
        few = reads // 2
        options |= {"num_reads": few, "initial_states": (starts[:few], list(bqm.variables))}
        part = sampler.sample(bqm, **options)
        same = (part.record.sample == found.record.sample[:few]).all()
        need(same, "a read depends on the number of reads")


@target(
    model=all_models(),
    reads=st.sampled_from((1, 2, 3, 5)),
    restarts=st.sampled_from((0, 1, 3, 9)),
    seed=st.one_of(st.sampled_from((0, 2**32 - 1)), seeds),
    tenure=st.sampled_from((None, "none", "half", "all")),
    moves=st.sampled_from((None, 0, 1, 30)),
    form=forms,
    are_given=st.booleans(),
    isa=isas,
    num_threads=threads,
)
def tabu(model, reads, restarts, seed, tenure, moves, form, are_given, isa, num_threads):
    bqm = build(model)
    n = bqm.num_variables
    options = {
        "num_reads": reads, "num_restarts": restarts, "seed": seed, "timeout": None, "form": form,
        "tenure": {None: None, "none": 0, "half": n // 2, "all": n - 1}[tenure],
    }  # fmt: skip
    if moves is not None:
        options |= {"coefficient_z_first": moves, "lower_bound_z": 10 * moves}
    starts = random_starts(bqm, reads, seed)
    if are_given:
        options["initial_states"] = (starts, list(bqm.variables))
    found = sample_twice(qpsbgd.TabuSampler(), model, bqm, isa, num_threads, **options)
    expected = found and check_samples(bqm, found, reads)
    if expected is None:
        return
    if are_given:
        check_no_worse(bqm, expected, starts)
    is_easy = n <= 10 and restarts >= 3 and tenure is None and moves is None
    if is_easy and model["problem"]["kind"] in ("signs", "small", "normal"):
        best = dimod.ExactSolver().sample(bqm).first.energy
        need(
            expected.min() <= best + rounding(bqm),
            f"the optimum of {n} variables is {best}, but the best sample {expected.min()}",
        )


@target(
    model=all_models(),
    reads=st.sampled_from((1, 2, 3, 17)),
    seed=seeds,
    form=forms,
    isa=isas,
    num_threads=threads,
)
def descent(model, reads, seed, form, isa, num_threads):
    bqm = build(model)
    starts = random_starts(bqm, reads, seed)
    found = sample_twice(
        qpsbgd.SteepestDescentSampler(), model, bqm, isa, num_threads, form=form,
        initial_states=(starts, list(bqm.variables)),
    )  # fmt: skip
    expected = found and check_samples(bqm, found, reads)
    if expected is None:
        return
    check_no_worse(bqm, expected, starts, 1e-9)
    if bqm.num_variables > 33 or bqm.dtype != np.float64:
        return
    low = -1 if bqm.vartype is dimod.SPIN else 0
    for state, energy in zip(found.record.sample[:2], expected, strict=False):
        flipped = np.repeat(state[None], len(state), axis=0)
        flipped[np.diag_indices(len(state))] = low + 1 - state
        neighbours = energies(bqm, flipped, list(found.variables))
        need((neighbours >= energy - rounding(bqm)).all(), "no local minimum")


@target(
    model=all_models(most=17),
    num_states=st.sampled_from((1, 2, 5, 100, 2**17)),
    isa=isas,
    num_threads=threads,
)
def exhaustive(model, num_states, isa, num_threads):
    bqm = build(model)
    n = bqm.num_variables
    sampler = qpsbgd.ExhaustiveSampler()
    found = sample_twice(sampler, model, bqm, isa, num_threads, num_states=num_states)
    expected = found and check_samples(bqm, found, min(num_states, 2**n))
    if expected is None:
        return
    need((np.diff(found.record.energy) >= 0).all(), "states are not in order")
    need(len({row.tobytes() for row in found.record.sample}) == len(found), "a state comes twice")
    if n > 12:
        return
    low = -1 if bqm.vartype is dimod.SPIN else 0
    bits = np.arange(2**n)[:, None] >> np.arange(n)[::-1] & 1
    states = np.where(bits, 1, low).astype(np.int8)
    every = energies(bqm, states, list(bqm.variables))
    order = np.argsort(every, kind="stable")[: len(found)]
    off = np.abs(found.record.energy - every[order]) > rounding(bqm, 1e-12)
    need(not off.any(), f"{found.record.energy[off][:2]}, but brute force {every[order][off][:2]}")
    if model["problem"]["kind"] in ("signs", "small", "zeros") and bqm.dtype == np.float64:
        columns = [list(found.variables).index(v) for v in bqm.variables]
        is_exact = model["problem"]["fields"] != "normal"
        same = (found.record.sample[:, columns] == states[order]).all()
        need(same or not is_exact, "equal energies are not in lexicographic order")


@target(
    sampler=st.sampled_from(tuple(SAMPLERS)),
    model=all_models(most=9),
    place=places,
    value=junk,
)
def sampler_arguments(sampler, model, place, value):
    made = SAMPLERS[sampler]()
    bqm = build(model)

    def call(**changed):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            made.sample(bqm, **{**QUICK[sampler], **changed})

    works_or_is_refused(call, made.parameters, place, value)


@target(
    sampler=st.sampled_from(tuple(SAMPLERS)),
    model=all_models(most=9),
    place=st.integers(0, 8),
    bad=st.sampled_from((float("nan"), float("inf"), float("-inf"))),
)
def biases_that_are_not_finite(sampler, model, place, bad):
    bqm = build(model)
    bqm.set_linear(list(bqm.variables)[place % bqm.num_variables], bad)
    try:
        SAMPLERS[sampler]().sample(bqm, **QUICK[sampler])
    except ValueError:
        return
    need(False, f"a bias of {bad} is taken")
