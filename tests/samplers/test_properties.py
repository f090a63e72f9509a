"""Random problems of every form, size class, value type and rule: one answer everywhere.

Each test requires the same bits on every instruction set of this machine and for 1, 2, 3 and 7
threads, and the slow twin's bits where a twin exists and is fast enough.

The normal suite tries a few hundred problems, the same ones each time. `QPSBGD_EXAMPLES=20000`
draws so many new ones; `--hypothesis-seed=N` repeats a draw.
"""

import itertools
import os
import warnings

import numpy as np
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

import qpsbgd
import reference
from draws import (
    InlineExecutor,
    arrays,
    bqm_of,
    forced_isa,
    is_exact,
    matrix_of,
    models,
    numbers,
    seeds,
    sizes,
    typical_field,
)
from qpsbgd import _core
from qpsbgd.samplers.schedule import geometric
from reference import tabu as reference_tabu

NUM_EXAMPLES = int(os.environ.get("QPSBGD_EXAMPLES", "0"))
ISAS = _core.available_isas()
THREADS = (1, 2, 3, 7)
#: Instruction sets and numbers of threads. The normal suite leaves out most combinations.
ALL_SETTINGS = list(itertools.product(ISAS, THREADS))
FEW_SETTINGS = [(isa, 1) for isa in ISAS] + [(ISAS[-1], threads) for threads in THREADS[1:]]
SETTINGS = ALL_SETTINGS if NUM_EXAMPLES else FEW_SETTINGS
#: Variables times reads times sweeps that the twins walk through in reasonable time.
TWIN_WORK = 20_000


def examples(share):
    """Settings of a test that tries this share of the problems."""
    return settings(
        max_examples=max(round(share * (NUM_EXAMPLES or 250)), 1),
        derandomize=not NUM_EXAMPLES,
        database=None,
        deadline=None,
        phases=[Phase.explicit, Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )


def same_everywhere(solve):
    """Call solve(num_threads) in all settings, require equal arrays, and return them."""
    results = []
    for isa, threads in SETTINGS:
        with forced_isa(isa), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "all biases are zero")
            results.append(solve(threads))
        for first, found in zip(results[0], results[-1], strict=True):
            assert found.tobytes() == first.tobytes(), (
                f"{isa} with {threads} threads differs from {SETTINGS[0]}"
            )
    return results[0]


def samples(sampleset):
    """States and energies with the variables in order."""
    order = np.argsort(list(sampleset.variables))
    return np.ascontiguousarray(sampleset.record.sample[:, order]), sampleset.record.energy


def random_states(seed, *shape):
    return np.random.default_rng(seed).choice(np.array([-1, 1], np.int8), shape)


def schedule(case, unit):
    """Inverse temperatures in units of a typical field; None for the default."""
    sweeps = case["sweeps"]
    hot, cold = {
        "cooling": (0.1, 10.0),
        "hot": (0.1, 0.1),
        "one": (0.5, 0.5),
        "cool": (2.5, 2.5),
        "cold": (5.0, 5.0),
        "colder": (20.0, 20.0),
        "heating": (5.0, 0.1),
        "descent": (np.inf, np.inf),
        "random": (0.0, 0.0),
    }[case["temperature"]]
    if hot in (0.0, np.inf):
        return np.full(sweeps, hot)
    return np.geomspace(hot / unit, cold / unit, sweeps) if sweeps else np.zeros(0)


TEMPERATURES = ("cooling", "hot", "one", "cold", "heating", "descent", "random")
ANNEAL = {
    "reads": st.sampled_from((1, 2, 3, 4, 5, 15, 16, 17, 33)),
    "sweeps": st.sampled_from((1, 0, 2, 5, 20, 300)),
    "temperature": st.sampled_from(TEMPERATURES),
    "acceptance": st.sampled_from(("Metropolis", "Gibbs")),
    "random_order": st.booleans(),
    "keep": st.sampled_from(("final", "best")),
    "form": st.sampled_from((None, "dense", "sparse")),
    "precision": st.sampled_from((None, None, "float32", "int16", "float64", "bits")),
    "seed": seeds,
}
#: Hundreds of variables with few neighbours each: kernels may use tables there.
WIDE_MODELS = st.fixed_dictionaries(
    {
        "n": st.sampled_from((320, 400, 255, 256, 257)),
        "graph": st.sampled_from(("grid", "ring", "few")),
        "kind": st.sampled_from(("bounded", "bounded", "integers", "signs", "large", "normal")),
        "fields": st.sampled_from(("zeros", "as couplings", "small")),
        "seed": seeds,
    }
)
WIDE_ANNEAL = ANNEAL | {
    "sweeps": st.sampled_from((20, 5, 2)),
    "temperature": st.sampled_from(("one", "hot", "cool", "cold", "colder", "cooling")),
    "acceptance": st.sampled_from(("Metropolis", "Metropolis", "Gibbs")),
    "random_order": st.sampled_from((False, False, True)),
    "form": st.sampled_from((None, "sparse")),
}


def grid_of(kind, temperature):
    """Sixteen reads of a grid of 400 variables that share one temperature."""
    return {
        "model": {"n": 400, "graph": "grid", "kind": kind, "fields": "zeros", "seed": 1},
        "reads": 16,
        "sweeps": 20,
        "temperature": temperature,
        "acceptance": "Metropolis",
        "random_order": False,
        "keep": "final",
        "form": "sparse",
        "precision": None,
        "seed": 1,
    }


def fitting_precision(sample, precision):
    """The precision, or None where this problem or this version does not have it."""
    if precision is None:
        return None
    try:
        sample(precision=precision)
    except ValueError as error:
        if "precision is" not in str(error):
            raise
        return None
    return precision


@examples(0.25)
@given(case=st.fixed_dictionaries({"model": models(), **ANNEAL}))
def test_annealing(case):
    check_annealing(case)


@examples(0.15)
@given(case=st.fixed_dictionaries({"model": WIDE_MODELS, **WIDE_ANNEAL}))
# AVX-512 decides by a table where no local field below -32 units can be accepted: all temperatures,
# as fields beyond the table once took wrong bounds.
@example(case=grid_of("sixteen", "one"))
@example(case=grid_of("sixteen", "cool"))
@example(case=grid_of("sixteen", "cold"))
@example(case=grid_of("sixteen", "colder"))
@example(case=grid_of("signs", "one"))
@example(case=grid_of("signs", "cold"))
def test_annealing_of_wide_models(case):
    check_annealing(case)


def check_annealing(case):
    linear, pairs, quadratic = arrays(case["model"])
    n, reads = len(linear), case["reads"]
    if case["sweeps"] * n * reads > 40_000:
        case = case | {"sweeps": min(case["sweeps"], 20)}
    betas = schedule(case, typical_field(linear, pairs, quadratic))
    starts = random_states(case["seed"], reads, n)
    sampler, bqm = qpsbgd.SimulatedAnnealingSampler(), bqm_of(case["model"])

    def sample(threads=1, **options):
        return sampler.sample(
            bqm, num_reads=reads, initial_states=(starts, range(n)), seed=case["seed"],
            beta_schedule_type="custom", beta_schedule=betas, keep=case["keep"], form=case["form"],
            proposal_acceptance_criteria=case["acceptance"], randomize_order=case["random_order"],
            num_threads=threads, **options,
        )  # fmt: skip

    chosen = fitting_precision(sample, case["precision"])
    states, _ = same_everywhere(lambda threads: samples(sample(threads, precision=chosen)))
    has_biases = linear.any() or quadratic.any()
    if has_biases and is_exact(case["model"]) and len(betas) * n * reads <= TWIN_WORK:
        options = {
            "gibbs": case["acceptance"] == "Gibbs",
            "keep_best": case["keep"] == "best",
            "seed": case["seed"],
        }
        if sample(precision=chosen).info["precision"] == "bits":
            expected = reference.anneal_bits(
                linear, pairs, quadratic, starts, betas,
                unit=largest_unit(linear, quadratic), **options,
            )  # fmt: skip
        else:
            with np.errstate(divide="ignore", over="ignore"):
                expected = reference.anneal(
                    linear, pairs, quadratic, starts, betas, random_order=case["random_order"],
                    **options,
                )  # fmt: skip
        np.testing.assert_array_equal(states, expected)


def largest_unit(linear, quadratic):
    """Return the largest power of two of which all biases are multiples."""
    biases = np.concatenate([linear, quadratic])
    mantissas, exponents = np.frexp(biases[biases != 0])
    integers = (mantissas * 2.0**53).astype(np.int64)
    return 2.0 ** int((np.log2(integers & -integers) + exponents - 53).min())


@examples(0.05)
@given(
    model=models(),
    reads=st.sampled_from((1, 2, 17)),
    vartype=st.sampled_from(("SPIN", "BINARY")),
    beta_range=st.sampled_from((None, "dwave")),
    seed=seeds,
)
def test_annealing_at_default_temperatures(model, reads, vartype, beta_range, seed):
    bqm = bqm_of(model, vartype, 1.5)

    def solve(threads):
        found = qpsbgd.SimulatedAnnealingSampler().sample(
            bqm, num_reads=reads, num_sweeps=10, beta_range=beta_range, seed=seed,
            num_threads=threads,
        )  # fmt: skip
        return *samples(found), np.array(found.info["beta_range"])

    same_everywhere(solve)


@examples(0.1)
@given(
    model=models(),
    reads=st.sampled_from((1, 2, 3)),
    restarts=st.sampled_from((0, 1, 3, 9, 40)),
    tenure=st.sampled_from((None, "none", "half", "all")),
    moves=st.sampled_from((None, 1, 30, 500)),
    form=st.sampled_from((None, "dense", "sparse")),
    seed=seeds,
)
def test_tabu(model, reads, restarts, tenure, moves, form, seed):
    linear, pairs, quadratic = arrays(model)
    n = len(linear)
    if model["kind"] == "wide" and moves is None:
        moves = 500  # a search of its own accord may be very long
    if n * restarts > 2000:
        restarts = 3
    starts = random_states(seed, reads, n)
    tenure = {None: None, "none": 0, "half": n // 2, "all": n - 1}[tenure]
    limits = {"coefficient_z_first": 0, "lower_bound_z": n * moves} if moves else {}
    bqm = bqm_of(model)

    def solve(threads):
        found = qpsbgd.TabuSampler().sample(
            bqm, num_reads=reads, initial_states=(starts, range(n)), seed=seed, timeout=None,
            num_restarts=restarts, tenure=tenure, form=form, num_threads=threads, **limits,
        )  # fmt: skip
        solve.tenures = found.info["tenure"]
        return *samples(found), np.array([found.info["num_moves"]])

    states, _, num_moves = same_everywhere(solve)
    if is_exact(model) and n * n * (restarts + 1) * reads * (moves or 100) <= 20 * TWIN_WORK:
        expected = [
            reference_tabu.tabu(
                linear, pairs, quadratic, start, tenures=tuple(solve.tenures),
                num_restarts=restarts, first_moves=moves, restart_moves=moves, seed=seed, read=read,
            )
            for read, start in enumerate(starts)
        ]  # fmt: skip
        np.testing.assert_array_equal(states, [best for best, _ in expected])
        assert num_moves[0] == sum(made for _, made in expected)


@examples(0.1)
@given(
    model=st.one_of(models(), WIDE_MODELS),
    reads=st.sampled_from((1, 2, 3, 17, 33)),
    form=st.sampled_from((None, "dense", "sparse")),
    seed=seeds,
)
def test_descent(model, reads, form, seed):
    linear, pairs, quadratic = arrays(model)
    starts = random_states(seed, reads, len(linear))
    bqm = bqm_of(model)

    def solve(threads):
        return samples(
            qpsbgd.SteepestDescentSampler().sample(
                bqm, initial_states=(starts, range(len(linear))), form=form, num_threads=threads
            )
        )

    states, _ = same_everywhere(solve)
    if is_exact(model):
        expected, _ = reference.descend(linear, pairs, quadratic, starts[:5])
        np.testing.assert_array_equal(states[:5], expected)


@examples(0.08)
@given(
    model=models(most=17),
    num_states=st.sampled_from((1, 2, 5, 100, 2**18)),
    vartype=st.sampled_from(("SPIN", "BINARY")),
)
def test_exhaustive_search(model, num_states, vartype):
    bqm = bqm_of(model, vartype)

    def solve(threads):
        return samples(
            qpsbgd.ExhaustiveSampler().sample(bqm, num_states=num_states, num_threads=threads)
        )

    states, energies = same_everywhere(solve)
    assert len(states) == min(num_states, 2 ** model["n"])
    assert (np.diff(energies) >= 0).all()
    if vartype == "SPIN" and is_exact(model) and model["n"] <= 8:
        expected = reference.lowest_states(*arrays(model), num_states)
        np.testing.assert_array_equal(states, expected)


LAYERS = st.fixed_dictionaries(
    {
        "samples": sizes(),
        "inputs": sizes(),
        "neurons": st.sampled_from((1, 2, 3, 15, 16, 17, 31, 32, 33, 49)),
        "X": st.sampled_from(("normal", "signs", "small", "gaps", "dyadic", "wide", "zeros")),
        "T": st.sampled_from(("normal", "small", "signs", "gaps", "wide", "zeros")),
        "objective": st.sampled_from(("quadratic", "sign")),
        "alpha": st.sampled_from(("norm", "fit")),
        "scale": st.sampled_from((1.0, 0.1, 3.0)),
        "num_sweeps": st.sampled_from((0, 1, 2, 5, 10)),
        "num_reads": st.sampled_from((1, 2, 3)),
        "beta_range": st.sampled_from((None, (0.05, 5.0), (0.01, 0.01), (10.0, 100.0))),
        "initial": st.sampled_from(("linear", "random", "given")),
        "target_eps": st.sampled_from((0.01, 0.0, 1.0)),
        "seed": seeds,
    }
)


@examples(0.15)
@given(case=LAYERS)
def test_projection(case):
    rng = np.random.default_rng(case["seed"])
    N, n, m = case["samples"], case["inputs"], case["neurons"]
    X = numbers(rng, (N, n), case["X"]).astype(np.float32)
    T = numbers(rng, (N, m), case["T"]).astype(np.float32)
    names = ("objective", "alpha", "scale", "num_sweeps", "num_reads", "beta_range",
             "target_eps", "seed")  # fmt: skip
    options = {name: case[name] for name in names} | {"initial": case["initial"]}
    if case["initial"] == "given":
        options["initial"] = random_states(case["seed"], m, n)
    energy = {name: case[name] for name in ("objective", "alpha", "scale", "target_eps")}

    def solve(threads):
        rows = qpsbgd.project(X, T, num_threads=threads, **options)
        return rows, qpsbgd.projection_energy(X, T, rows, num_threads=threads, **energy)

    rows, _ = same_everywhere(solve)
    proposals = m * n * case["num_reads"] * (case["num_sweeps"] + 1)
    if proposals <= TWIN_WORK // 5 and "wide" not in (case["X"], case["T"]):
        np.testing.assert_array_equal(rows, reference.project(X, T, **options))


BATCHES = st.fixed_dictionaries(
    {
        "model": models(most=100),
        "couplings": st.sampled_from(("own", "shared", "low rank", "pattern", "own pattern")),
        "problems": st.sampled_from((1, 2, 3, 15, 16, 17, 33)),
        "reads": st.sampled_from((1, 2, 3, 17)),
        "method": st.sampled_from(("sa", "tabu", "descent")),
        "form": st.sampled_from(("auto", "dense", "best")),
        "float32": st.booleans(),
        "real fields": st.sampled_from(("none", "every other", "all")),
        "vartype": st.sampled_from(("SPIN", "BINARY")),
        "sweeps": st.sampled_from((1, 0, 3, 10, 300)),
        "temperature": st.sampled_from(("cooling", "one", "default")),
        "keep": st.sampled_from(("final", "best")),
        "rank": st.sampled_from((1, 2, 5)),
        "seed": seeds,
    }
)
#: The form that goes with couplings of a kind and annealing.
BEST_FORM = {
    "own": "interleaved",
    "shared": "sparse",
    "low rank": "low_rank",
    "pattern": "sparse",
    "own pattern": "sparse",
}


def is_plain(factor):
    """Whether a factor of couplings is within the range that the low-rank form takes."""
    return 1e-3 < np.abs(factor).max() < 1e6


def batch_of(case):
    """J and h of a case of `BATCHES`, and J as arrays."""
    rng = np.random.default_rng(case["seed"])
    model, count = case["model"], case["problems"]
    J, _ = matrix_of(model)
    n = len(J)
    h = numbers(rng, (count, n), "small" if case["real fields"] != "all" else "normal")
    if case["real fields"] == "every other":
        h[::2] += rng.normal(size=h[::2].shape)
    dtype = np.float32 if case["float32"] else np.float64
    if case["couplings"] == "own":
        all_J = np.array([matrix_of(model | {"seed": model["seed"] + b})[0] for b in range(count)])
        return all_J.astype(dtype), h
    if case["couplings"] == "low rank":
        return qpsbgd.LowRank(numbers(rng, (case["rank"], n), model["kind"]), 0.5), h
    if case["couplings"] == "shared":
        return J.astype(dtype), h
    rows, columns = np.nonzero(J)
    starts = np.searchsorted(rows, np.arange(n + 1))
    data = J[rows, columns]
    if case["couplings"] == "own pattern":
        data = data * rng.integers(1, 4, (count, 1))
    return qpsbgd.SparseBatch(data, columns, starts), h


@examples(0.15)
@given(case=BATCHES)
def test_batch(case):
    J, h = batch_of(case)
    method, form = case["method"], case["form"]
    if form == "best":
        form = BEST_FORM[case["couplings"]]
        if form in ("interleaved", "low_rank") and method != "sa":
            form = "auto"
        if form == "low_rank" and not is_plain(J.A):
            form = "auto"
    options = {
        "vartype": case["vartype"], "num_reads": case["reads"], "method": method, "form": form,
        "seed": case["seed"],
    }  # fmt: skip
    work = case["problems"] * case["reads"] * h.shape[1]
    if method != "descent":
        options["num_sweeps"] = case["sweeps"] if work * case["sweeps"] <= 40_000 else 3
    if method == "sa":
        options["keep"] = case["keep"]
        linear, pairs, quadratic = arrays(case["model"])
        unit = typical_field(linear, pairs, quadratic)
        ranges = {"cooling": (0.1 / unit, 10 / unit), "one": (1 / unit, 1 / unit)}
        options["beta_range"] = ranges.get(case["temperature"], "auto")

    def solve(threads, **more):
        found = qpsbgd.sample_batch(h, J, num_threads=threads, **options, **more)
        if isinstance(J, qpsbgd.LowRank):  # the last digits of energies may depend on splitting
            return (found.states,)
        return found.states, found.energies

    whole = same_everywhere(solve)
    for workers in (1, 3):
        parts = solve(1, executor=InlineExecutor(workers))
        for first, part in zip(whole, parts, strict=True):
            np.testing.assert_array_equal(part, first, err_msg="the batch was split")
    integers = case["model"]["kind"] in ("signs", "small", "integers")
    is_twin = method == "sa" and case["vartype"] == "SPIN" and case["couplings"] == "shared"
    if not (is_twin and integers and case["real fields"] == "none" and h.any()):
        return
    if case["temperature"] == "default" or not 0 < work * options["num_sweeps"] <= TWIN_WORK:
        return
    pairs = np.array(np.triu_indices(len(J), 1))
    betas = np.array(geometric(*options["beta_range"], options["num_sweeps"]))
    bits = np.random.default_rng(case["seed"]).integers(0, 2, (case["reads"], *h.shape), np.int8)
    starts = (2 * bits - 1).swapaxes(0, 1)
    for b in range(len(h)):
        expected = reference.anneal(
            h[b], pairs, J[tuple(pairs)].astype(float), starts[b], betas, gibbs=False,
            random_order=False, keep_best=case["keep"] == "best", seed=case["seed"], problem=b,
        )  # fmt: skip
        np.testing.assert_array_equal(whole[0][b], expected)


@examples(0.05)
@given(
    cases=st.lists(models(most=33), min_size=1, max_size=5),
    vartype=st.sampled_from(("SPIN", "BINARY")),
    method=st.sampled_from(("sa", "tabu", "descent")),
    seed=seeds,
)
def test_batches_of_models(cases, vartype, method, seed):
    bqms = [bqm_of(case, vartype) for case in cases]
    sampler = {
        "sa": qpsbgd.SimulatedAnnealingSampler(),
        "tabu": qpsbgd.TabuSampler(),
        "descent": qpsbgd.SteepestDescentSampler(),
    }[method]
    options = {"num_sweeps": 5} if method == "sa" else {}

    def solve(threads):
        found = sampler.sample_many(bqms, num_reads=2, seed=seed, num_threads=threads, **options)
        return [array for sampleset in found for array in samples(sampleset)]

    same_everywhere(solve)
