"""Many dimod models: as a batch where the options allow it, otherwise one after another."""

import inspect
import time
from collections.abc import Iterable
from concurrent.futures import Executor, Future
from typing import Any

import dimod
import numpy as np

from qpsbgd._checks.numbers import SEED_LIMIT, WIDE_SEED_LIMIT, checked_seed, checked_time_limit
from qpsbgd.samplers.batch.arguments import check_executor
from qpsbgd.samplers.batch.batch_options import Method
from qpsbgd.samplers.batch.dimod_models import (
    SMALLEST_TIME_LIMIT,
    checked_models,
    sample_many,
    with_samplesets,
)

#: Options with which models become batches.
BATCH_OPTIONS: dict[Method, frozenset[str]] = {
    "sa": frozenset(
        {"num_sweeps", "beta_range", "keep", "proposal_acceptance_criteria", "num_reads"}
    ),
    "tabu": frozenset({"num_reads"}),
    "descent": frozenset({"num_reads"}),
}
COMMON_OPTIONS = frozenset({"seed", "num_threads", "time_limit"})


def sample_models(
    sampler: dimod.Sampler,
    bqms: Iterable[dimod.BinaryQuadraticModel],
    method: Method | None,
    executor: Executor | None,
    options: dict[str, Any],
) -> list[dimod.SampleSet]:
    """Return a sample set of each model; the arguments are those of :meth:`sample_many`.

    Args:
        sampler: the sampler.
        bqms: the models.
        method: the method of batches that the sampler has, or None.
        executor: an executor whose workers solve the models, or None.
        options: options of ``sampler.sample``.
    """
    models = checked_models(bqms)
    check_executor(executor)
    defaults = inspect.signature(sampler.sample).parameters
    options = {
        name: value
        for name, value in options.items()
        if name not in defaults or not _is(defaults[name], value)  # a subclass may have **kwargs
    }
    if method is not None and _is_batch(method, options):
        return sample_many(models, method, executor=executor, **options)
    if executor is not None:
        for name in ("interrupt_function", "progress"):
            if name in options:
                raise ValueError(
                    f"{name} is {options[name]!r}, but must be None with an executor, whose "
                    "workers cannot call it"
                )
    calls = _options_of_each(len(models), options)
    results: dict[int, dimod.SampleSet] = {}
    with with_samplesets(results, len(models)):
        if executor is None:
            _sample_in_turn(sampler, models, calls, options.get("time_limit"), results)
        else:
            _sample_with(executor, sampler, models, calls, results)
    return [results[place] for place in range(len(models))]


def _sample_in_turn(
    sampler: dimod.Sampler,
    models: list[dimod.BinaryQuadraticModel],
    calls: list[dict[str, Any]],
    time_limit: float | None,
    results: dict[int, dimod.SampleSet],
) -> None:
    """Sample one model after the other; each gets an equal part of the time that is left."""
    end = time.perf_counter() + checked_time_limit(time_limit)
    for place, (bqm, options) in enumerate(zip(models, calls, strict=True)):
        if end < np.inf:
            share = (end - time.perf_counter()) / (len(models) - place)
            options["time_limit"] = max(share, SMALLEST_TIME_LIMIT)
        try:
            results[place] = sampler.sample(bqm, **options)
        except BaseException as error:
            if isinstance(found := getattr(error, "sampleset", None), dimod.SampleSet):
                results[place] = found
            raise


def _sample_with(
    executor: Executor,
    sampler: dimod.Sampler,
    models: list[dimod.BinaryQuadraticModel],
    calls: list[dict[str, Any]],
    results: dict[int, dimod.SampleSet],
) -> None:
    """Sample all models with an executor's workers."""
    futures: list[Future[dimod.SampleSet]] = []
    try:
        for bqm, options in zip(models, calls, strict=True):
            futures.append(executor.submit(sampler.sample, bqm, **options))
        for place, future in enumerate(futures):
            results[place] = future.result()
    except BaseException:
        for place, future in enumerate(futures):
            if not future.cancel() and future.done() and future.exception() is None:
                results[place] = future.result()
        raise


def _is(parameter: inspect.Parameter, value: Any) -> bool:
    """Return whether a value is the default one, which is a word, a number or None."""
    default = parameter.default
    return value is default or (type(value) is type(default) and bool(value == default))


def _is_batch(method: Method, options: dict[str, Any]) -> bool:
    """Return whether a batch has the options."""
    if options.keys() - COMMON_OPTIONS - BATCH_OPTIONS[method]:
        return False
    if method == "sa" and "time_limit" in options and "num_sweeps" not in options:
        return False  # the limit decides on the number of sweeps
    seed = options.get("seed")
    return not (isinstance(seed, (int, np.integer)) and SEED_LIMIT <= seed < WIDE_SEED_LIMIT)


def _options_of_each(count: int, options: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the options of each model: a seed, and its initial states, of its own."""
    options = dict(options)
    given = options.pop("initial_states", None)
    if given is not None and not (isinstance(given, (list, tuple)) and len(given) == count):
        size = f" of {len(given)}" if isinstance(given, (list, tuple)) else ""
        raise ValueError(
            f"initial_states is a {type(given).__name__}{size}, but must be a list with one entry "
            f"for each of the {count} models"
        )
    each = [dict(options) for _ in range(count)]
    for place, own in enumerate(each):
        if given is not None:
            own["initial_states"] = given[place]
        if options.get("seed") is not None and place > 0:
            seed = checked_seed(options["seed"], WIDE_SEED_LIMIT)
            drawn = np.random.SeedSequence([seed, place]).generate_state(1)[0] % SEED_LIMIT
            own["seed"] = int(drawn)
    return each
