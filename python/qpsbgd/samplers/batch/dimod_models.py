"""Batches of problems that are given as dimod models."""

import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any

import dimod
import numpy as np

from qpsbgd._checks.beta_ranges import BetaRange
from qpsbgd._checks.binary_models import check_model
from qpsbgd._checks.choices import Keep, checked_choice
from qpsbgd._checks.kinds import described
from qpsbgd._checks.numbers import SEED_LIMIT, checked_count, checked_seed, checked_time_limit
from qpsbgd.samplers.batch.batch_options import METHODS, Acceptance, Method
from qpsbgd.samplers.batch.batch_sampling import BatchResult, sample_batch
from qpsbgd.samplers.batch.couplings import States
from qpsbgd.samplers.batch.executors import count_workers
from qpsbgd.samplers.batch.model_groups import ModelGroup, group_models

#: Time limit of a call whose time is over. A time limit must be positive.
SMALLEST_TIME_LIMIT = 1e-9


def sample_many(
    bqms: Iterable[dimod.BinaryQuadraticModel],
    method: Method,
    *,
    num_reads: int = 1,
    num_sweeps: int | None = None,
    beta_range: BetaRange | None = "auto",
    keep: Keep | None = None,
    proposal_acceptance_criteria: Acceptance = "Metropolis",
    seed: int | None = None,
    num_threads: int | None = None,
    time_limit: float | None = None,
    executor: Executor | None = None,
) -> list[dimod.SampleSet]:
    """Sample from many dimod models in as few calls of :func:`qpsbgd.sample_batch` as possible.

    Models of one size go into one call as matrices, unless lists of neighbours are faster. Sparse
    models of more than 64 variables never become matrices. They go into one call if they have the
    same pairs of variables, in the order of their variables.

    A model's result depends on the models that share its call in three ways. The rules of
    ``beta_range`` find temperatures for all of them, in units of each model's typical energy
    difference. Their fields have one precision. And the random numbers of a model are those of its
    position in the call. With two numbers for ``beta_range``, and biases of similar size, the
    number of models before it alone matters.

    Args:
        bqms: models of any vartype, size and labels.
        method: ``"sa"``, ``"tabu"`` or ``"descent"``, as in :func:`qpsbgd.sample_batch`.
        num_reads: reads of each model.
        num_sweeps: sweeps of an anneal or a tabu search.
        beta_range: inverse temperatures of annealing, as in :func:`qpsbgd.sample_batch`.
        keep: the state that a read of annealing returns, as in :func:`qpsbgd.sample_batch`.
        proposal_acceptance_criteria: ``"Metropolis"`` or ``"Gibbs"``, as in
            :func:`qpsbgd.sample_batch`.
        seed: integer in ``[0, 2**31)``; drawn if ``None``. The first call for models of a size uses
            it, and further calls for models of that size use seeds drawn from it.
        num_threads: largest number of threads.
        time_limit: seconds for all models, > 0; ``None`` for no limit. Each call gets a part of the
            remaining time that is proportional to its number of models. With an executor, the limit
            applies to each chunk.
        executor: a ``concurrent.futures.Executor`` whose workers solve the models.

    Returns:
        A sample set for each model, in its vartype and with its labels. Energies are those of the
        model in float64. ``info`` is that of the call of :func:`qpsbgd.sample_batch`.

    Raises:
        TypeError: one of ``bqms`` is not a binary quadratic model, or an argument is of the wrong
            type.
        ValueError: a NaN or infinite bias, or a value out of range.
        KeyboardInterrupt: Ctrl-C. Its attribute ``samplesets`` has the sample set of each model, or
            None for a model that was not begun.

    Example:
        >>> import dimod
        >>> from qpsbgd.samplers.batch import sample_many
        >>> models = [dimod.BQM({"a": bias}, {}, 0.0, "SPIN") for bias in (1.0, -2.0)]
        >>> [float(found.first.energy) for found in sample_many(models, "descent", seed=1)]
        [-1.0, -2.0]
    """
    models = checked_models(bqms)
    checked_choice("method", method, METHODS)
    seed = checked_seed(seed)
    checked_count("num_reads", num_reads, 1)
    limit = checked_time_limit(time_limit)
    start = time.monotonic()
    options: dict[str, Any] = {
        "method": method, "num_reads": num_reads, "num_sweeps": num_sweeps,
        "beta_range": beta_range, "keep": keep, "num_threads": num_threads, "executor": executor,
        "proposal_acceptance_criteria": proposal_acceptance_criteria,
    }  # fmt: skip
    results: dict[int, dimod.SampleSet] = {}

    def solve(group: ModelGroup, seed: int, seconds: float) -> None:
        limit = None if np.isinf(seconds) else seconds
        starts = initial_spins_of_models(seed, (len(group.h), num_reads, group.h.shape[1]))
        try:
            result = sample_batch(
                group.h, group.J, seed=seed, time_limit=limit, initial_states=starts, **options
            )
            store(group, result)
        except BaseException as error:
            if isinstance(found := getattr(error, "result", None), BatchResult):
                store(group, found)
            raise

    def store(group: ModelGroup, result: BatchResult) -> None:
        for place, variables, states in zip(
            group.places, group.variables, result.states, strict=True
        ):
            results[place] = _sampleset(models[place], variables, states, result.info)

    with with_samplesets(results, len(models)):
        if executor is None:
            for group, group_seed in _seeded_groups(models, seed):
                left = max(limit - (time.monotonic() - start), SMALLEST_TIME_LIMIT)
                solve(group, group_seed, left * len(group.h) / (len(models) - len(results)))
        else:
            _solve_with(executor, _seeded_groups(models, seed), partial(solve, seconds=limit))
    return [results[place] for place in range(len(models))]


def _solve_with(
    executor: Executor,
    groups: Iterable[tuple[ModelGroup, int]],
    solve: Callable[[ModelGroup, int], None],
) -> None:
    """Solve groups of models with an executor's workers.

    A group with fewer models than workers is submitted from a waiting thread, so that several small
    groups share the workers.
    """
    workers = count_workers(executor)
    with ThreadPoolExecutor(workers) as waiting:
        small = []
        try:
            for group, seed in groups:
                if len(group.h) < workers:
                    small.append(waiting.submit(solve, group, seed))
                else:
                    solve(group, seed)
            for future in small:
                future.result()
        except BaseException:
            for future in small:
                future.cancel()
            raise


@contextmanager
def with_samplesets(results: dict[int, dimod.SampleSet], count: int) -> Iterator[None]:
    """Attach the sample sets of the models that were solved to an exception, as ``samplesets``.

    Args:
        results: the sample sets so far, by the place of the model.
        count: number of models. A model without a sample set has None.
    """
    try:
        yield
    except BaseException as error:
        error.samplesets = [results.get(place) for place in range(count)]  # type: ignore[attr-defined]
        raise


def _seeded_groups(
    models: list[dimod.BinaryQuadraticModel], seed: int
) -> Iterator[tuple[ModelGroup, int]]:
    """Yield the groups of models with the seed of each."""
    # Apart for both kinds of couplings: dense groups come first, also those of later models.
    groups_by_size: dict[tuple[int, type], int] = {}
    for group in group_models(models):
        size = group.h.shape[1], type(group.J)
        number = groups_by_size.get(size, 0)
        groups_by_size[size] = number + 1
        drawn = np.random.SeedSequence([seed, number]).generate_state(1)[0] % SEED_LIMIT
        yield group, int(drawn) if number else seed


def initial_spins_of_models(seed: int, shape: tuple[int, int, int]) -> States:
    """Return initial states ``(B, R, n)``, of which later models and reads change no earlier ones.

    Args:
        seed: seed of the call.
        shape: number of models, reads and variables.
    """
    states = np.empty(shape, np.int8)
    for place, own in enumerate(states):
        own[:] = np.random.default_rng([seed, place]).integers(0, 2, shape[1:], np.int8)
    return 2 * states - 1


def checked_models(bqms: Any) -> list[dimod.BinaryQuadraticModel]:
    """Return models as a list.

    Raises:
        TypeError: one of them is not a binary quadratic model, or they are not iterable.
    """
    is_one = isinstance(bqms, (str, Mapping, dimod.BinaryQuadraticModel))
    if is_one or isinstance(bqms, type) or not isinstance(bqms, Iterable):
        raise TypeError(
            f"bqms is {described(bqms)}, but must be an iterable of dimod.BinaryQuadraticModel"
        )
    models = list(bqms)
    for place, bqm in enumerate(models):
        check_model(f"bqms[{place}]", bqm)
    return models


def _sampleset(
    bqm: dimod.BinaryQuadraticModel, variables: list[Hashable], spins: States, info: dict[str, Any]
) -> dimod.SampleSet:
    """Return the sample set of a model from spins ``(R, n)``."""
    states = spins if bqm.vartype is dimod.SPIN else (spins + 1) // 2
    return dimod.SampleSet.from_samples(
        (states, variables),
        energy=np.asarray(bqm.energies((states, variables)), np.float64),
        info=dict(info),
        vartype=bqm.vartype,
    )
