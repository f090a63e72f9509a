"""Batches of problems in every form, whole and split."""

import warnings

import numpy as np
from hypothesis import strategies as st

import qpsbgd
from draws import EXTREME, KINDS, InlineExecutor, forced_isa, matrix_of, models, numbers, seeds
from fuzz.junk import junk, places, works_or_is_refused
from fuzz.samplers import all_models, build, check_samples, is_extreme, isas, threads
from fuzz.targets import need, target
from qpsbgd import _core
from qpsbgd.samplers.batch import sample_many

#: Forms that couplings of a kind may be kept in, by annealing, beside "auto" and "dense".
FORMS = {
    "shared": "sparse",
    "own": "interleaved",
    "pattern": "sparse",
    "own pattern": "sparse",
    "low rank": "low_rank",
}


def couplings(kind, model, problems, rank, scale, rng):
    """J as sample_batch takes it, and as matrices (1 or B, n, n)."""
    J, _ = matrix_of(model)
    n = len(J)
    if kind == "shared":
        return J, J[None]
    if kind == "own":
        all_J = [matrix_of(model | {"seed": model["seed"] + b})[0] for b in range(problems)]
        return np.array(all_J), np.array(all_J)
    if kind == "low rank":
        A = numbers(rng, (rank, n), model["kind"])
        with np.errstate(all="ignore"):
            return qpsbgd.LowRank(A, scale), (scale * A.T @ A * (1 - np.eye(n)))[None]
    rows, columns = np.nonzero(J)
    starts = np.searchsorted(rows, np.arange(n + 1))
    factors = rng.integers(1, 4, (problems, 1)) if kind == "own pattern" else np.ones((1, 1))
    with np.errstate(all="ignore"):
        data, matrices = J[rows, columns] * factors, J * factors[:, :, None]
    if kind == "pattern":
        data = data[0]
    return qpsbgd.SparseBatch(data, columns, starts), matrices


def energies(J, h, states):
    s = states.astype(np.float64)
    with np.errstate(all="ignore"):
        return ((s @ J) * s).sum(axis=2) / 2 + (s * h[:, None]).sum(axis=2)


@target(
    model=models((*KINDS, *EXTREME), most=70),
    kind=st.sampled_from(tuple(FORMS)),
    problems=st.sampled_from((1, 2, 3, 5, 15, 16, 17, 33)),
    reads=st.sampled_from((1, 2, 3, 17)),
    fields=st.sampled_from(("as couplings", "zeros", "small", "normal", "every other real")),
    vartype=st.sampled_from(("SPIN", "BINARY")),
    method=st.sampled_from(("sa", "tabu", "descent")),
    sweeps=st.sampled_from((1, 0, 3, 10)),
    betas=st.sampled_from(("auto", (0.1, 5.0), (1e-300, 1e300), (2.0, 2.0))),
    keep=st.sampled_from(("best", "final")),
    form=st.sampled_from(("auto", "dense", "its own")),
    rank=st.sampled_from((0, 1, 2, 5, 71)),
    scale=st.sampled_from((1.0, 0.5, -1.0, 1e-3, 0.0)),
    seed=st.one_of(st.sampled_from((0, 2**31 - 1)), seeds),
    isa=isas,
    num_threads=threads,
    workers=st.sampled_from((1, 2, 3, 100)),
    are_given=st.booleans(),
)
def batch(
    model, kind, problems, reads, fields, vartype, method, sweeps, betas, keep, form, rank, scale,
    seed, isa, num_threads, workers, are_given,
):  # fmt: skip
    rng = np.random.default_rng(seed)
    J, matrices = couplings(kind, model, problems, rank, scale, rng)
    n = matrices.shape[1]
    h = numbers(rng, (problems, n), {"as couplings": model["kind"]}.get(fields, "small"))
    if fields in ("zeros", "normal"):
        h = numbers(rng, (problems, n), fields)
    elif fields == "every other real":
        h[::2] += rng.normal(size=h[::2].shape)
    options = {
        "vartype": vartype, "num_reads": reads, "method": method, "seed": seed, "form": form,
    }  # fmt: skip
    if method == "sa":
        options |= {"beta_range": betas, "keep": keep}
    if method != "descent":
        options["num_sweeps"] = sweeps
    if form == "its own":
        annealed_alone = FORMS[kind] in ("interleaved", "low_rank")
        options["form"] = "auto" if annealed_alone and method != "sa" else FORMS[kind]
    low = -1 if vartype == "SPIN" else 0
    starts = rng.choice(np.array([low, 1], np.int8), (problems, reads, n))
    if are_given:
        options["initial_states"] = starts
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            found = qpsbgd.sample_batch(h, J, num_threads=1, **options)
        except ValueError as error:
            overflows = model["kind"] in EXTREME
            does_not_fit = "form is 'low_rank'" in str(error)
            need(overflows or does_not_fit, f"ValueError: {error}")
            return
        with forced_isa(isa):
            again = qpsbgd.sample_batch(h, J, num_threads=num_threads, **options)
        parts = qpsbgd.sample_batch(h, J, executor=InlineExecutor(workers), **options)
    used = found.info["form"]
    need(found.states.shape == (problems, reads, n), "another shape")
    need(np.isin(found.states, (low, 1)).all(), "values that are none")
    same = (again.states == found.states).all()
    need(same, f"other states on {isa} with {num_threads} threads ({used})")
    # Temperatures of biases that span more than float32 does depend on the largest of a part
    # (docs/precision.md).
    is_promised = model["kind"] not in EXTREME
    unsplit = not is_promised or (parts.states == found.states).all()
    need(unsplit, f"other states where the batch is split ({used})")
    magnitudes = np.abs(matrices).sum(axis=(1, 2)) + np.abs(h).sum(axis=1)
    if not np.isfinite(magnitudes).all():
        return
    rounding = 1e-9 * magnitudes[:, None] + 1e-318
    if kind == "low rank":
        with np.errstate(all="ignore"):
            lengths = (np.abs(np.asarray(J.A)).sum(axis=1) ** 2).sum()
            rounding = rounding + 1e-9 * abs(scale) * lengths
        if not np.isfinite(rounding).all():
            return
    expected = energies(matrices, h, found.states)
    off = np.abs(expected - found.energies) > rounding
    need(not off.any(), f"energies {found.energies[off][:2]}, not {expected[off][:2]} ({used})")
    if are_given and (method != "sa" or keep == "best"):
        before = energies(matrices, h, starts)
        worse = expected > before + rounding + 1e-5 * magnitudes[:, None]
        need(not worse.any(), f"worse: {before[worse][:2]} -> {expected[worse][:2]} ({used})")
    if kind == "own" and method == "sa" and found.info["precision"] == "float32":
        options["form"] = "interleaved" if used == "dense" else "dense"
        options["precision"] = "float32"
        other = qpsbgd.sample_batch(h, J, **options)
        need((other.states == found.states).all(), "dense and interleaved forms differ")


@target(
    model=models(("big",), most=65, graphs=("complete", "random")),
    kind=st.sampled_from(("shared", "own", "pattern")),
    problems=st.sampled_from((2, 3, 5)),
    vartype=st.sampled_from(("SPIN", "BINARY")),
    method=st.sampled_from(("tabu", "tabu", "sa", "descent")),
    seed=seeds,
)
def split_batches(model, kind, problems, vartype, method, seed):
    """Integer fields beside real ones: a problem is solved alike whatever its neighbours are."""
    batch(
        model, kind, problems, reads=2, fields="every other real", vartype=vartype, method=method,
        sweeps=10, betas="auto", keep="best", form="auto", rank=1, scale=1.0, seed=seed,
        isa=_core.available_isas()[-1], num_threads=1, workers=3, are_given=False,
    )  # fmt: skip


@target(
    cases=st.lists(all_models(most=17), min_size=1, max_size=4),
    method=st.sampled_from(("sa", "tabu", "descent")),
    reads=st.sampled_from((1, 2, 3)),
    sweeps=st.sampled_from((1, 0, 7)),
    seed=seeds,
    num_threads=threads,
)
def batches_of_models(cases, method, reads, sweeps, seed, num_threads):
    bqms = [build(case) for case in cases]
    options = {"num_reads": reads, "seed": seed}
    if method != "descent":
        options["num_sweeps"] = sweeps
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "all biases are zero")
        try:
            found = sample_many(bqms, method, num_threads=1, **options)
        except ValueError as error:
            need(any(is_extreme(case) for case in cases), f"ValueError: {error}")
            return
        again = sample_many(
            bqms, method, num_threads=num_threads, executor=InlineExecutor(3), **options
        )
    for bqm, one, other in zip(bqms, found, again, strict=True):
        check_samples(bqm, one, reads)
        need((one.record.sample == other.record.sample).all(), "threads or splitting matter")


@target(
    model=models(most=9),
    method=st.sampled_from(("sa", "tabu", "descent")),
    place=places,
    value=junk,
)
def batch_arguments(model, method, place, value):
    J, _ = matrix_of(model)
    options = {"method": method} | ({} if method == "descent" else {"num_sweeps": 1})
    names = (
        "vartype", "method", "beta_range", "keep", "initial_states", "seed", "form", "num_threads",
        "time_limit", "executor",
    )  # fmt: skip

    def call(**changed):
        qpsbgd.sample_batch(np.ones((2, len(J))), J, **{**options, **changed})

    works_or_is_refused(call, names, place, value)
