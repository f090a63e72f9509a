"""Enumeration of all states as a dimod sampler."""

from typing import Any

import dimod
import numpy as np

from qpsbgd import _core
from qpsbgd._checks import check_model, checked_count, checked_threads, checked_time_limit
from qpsbgd.samplers import base as call
from qpsbgd.samplers.ising import Problem

#: More variables than this are refused: their states would take days.
MAX_NUM_VARIABLES = _core.max_exhaustive_variables


class ExhaustiveSampler(dimod.Sampler):
    """The lowest states of a binary quadratic model, by looking at every state.

    The exact counterpart of the other samplers, and of ``dimod.ExactSolver``, which returns every
    state and so ends at some 20 variables. A core with AVX-512 takes a twentieth of a nanosecond a
    state, less where biases are small integers: 30 variables take a twentieth of a second, 36 some
    seconds, 48 some hours.

    Energies are compared in float64. They are exact, whatever the order of summation, where the
    biases are multiples of some power of two and their magnitudes add up to less than 2^53 times
    that, as integers do; else states whose energies differ by float64's rounding may change places.
    Of equal energies the lexicographically first state is the lower, variables in the order of the
    model and -1 (or 0) before +1. A result does not depend on ``num_threads`` or the instruction
    set, if it was not cut short.

    Attributes:
        parameters: names of what :meth:`sample` takes, as dimod has it.
        properties: ``max_num_variables``.

    Example:
        >>> sampler = ExhaustiveSampler()
        >>> sampleset = sampler.sample_ising({"a": 0.5}, {("a", "b"): -1.0}, num_states=2)
        >>> sampleset.record.energy
        array([-1.5, -0.5])
    """

    # dimod.Sampler has them abstract.
    parameters: dict[str, list[str]] = {}  # noqa: RUF012
    properties: dict[str, Any] = {}  # noqa: RUF012

    def __init__(self) -> None:
        self.parameters = {
            "num_states": [],
            "num_threads": [],
            "time_limit": [],
            "interrupt_function": [],
            "energy_threshold": [],
            "progress": [],
        }
        self.properties = {"max_num_variables": MAX_NUM_VARIABLES}

    def sample(
        self,
        bqm: dimod.BinaryQuadraticModel,
        *,
        num_states: int = 1,
        num_threads: int | None = None,
        time_limit: float | None = None,
        interrupt_function: call.InterruptFunction | None = None,
        energy_threshold: float | None = None,
        progress: call.Progress | None = None,
        **kwargs: Any,
    ) -> dimod.SampleSet:
        """Find the lowest states of a binary quadratic model.

        Args:
            bqm: the problem, of at most 48 variables.
            num_states: how many of the lowest states to return; all ``2**n`` if there are fewer.
            num_threads: at most this many threads, of which no more than four a processor are
                started; ``None`` for the processors of this process. Short calls use fewer.
            time_limit: seconds for the call's search, > 0; ``None`` for no limit.
            interrupt_function: asked many times a second, in the calling thread; where it returns
                True the call ends and returns what it has.
            energy_threshold: the call ends once it has found a state of this energy or less.
            progress: called many times a second, in the calling thread, with the lowest energy so
                far.
            **kwargs: ignored with a warning, as dimod does.

        Returns:
            States in order of their energies, which are float64. ``info`` has ``num_visited`` (how
            many states were looked at), ``timing`` (``preprocessing_ns``, ``sampling_ns``,
            ``postprocessing_ns``), ``isa``, ``num_threads`` and ``stopped_by`` (``"finished"``,
            ``"time_limit"``, ``"energy_threshold"`` or ``"interrupt"``). A call that was stopped
            returns the lowest of the states that it has seen.

        Raises:
            TypeError: an argument of the wrong type.
            ValueError: a value out of range, a NaN or infinite bias, more than 48 variables.
            KeyboardInterrupt: at Ctrl-C; its attribute ``sampleset`` is what would have been
                returned. So it is with an exception from ``interrupt_function`` or
                ``progress``.
        """
        clock = call.Clock()
        check_model("bqm", bqm)
        self.remove_unknown_kwargs(**kwargs)
        count = checked_count("num_states", num_states, 1)
        threads = checked_threads(num_threads)
        limit = checked_time_limit(time_limit)
        if bqm.num_variables > MAX_NUM_VARIABLES:
            raise ValueError(
                f"bqm has {bqm.num_variables} variables, but must have at most {MAX_NUM_VARIABLES}"
            )
        problem = Problem(bqm)
        watch = call.watch_function(interrupt_function, progress, problem.offset)
        threshold = call.checked_threshold(energy_threshold, problem)
        clock.lap()
        states, num_visited, reason, error = problem.core.enumerate(
            num_states=count,
            num_threads=threads,
            time_limit=limit,
            energy_threshold=threshold,
            watch=watch,
        )
        clock.lap()
        # In the order of the model's own energies, whose rounding may differ from the core's.
        states = states[np.argsort(problem.energies(states, threads), kind="stable")]
        result = call.sampleset(bqm, problem, states, threads)
        result.info.update(num_visited=num_visited, stopped_by=reason.name, timing=clock.timing())
        return call.deliver(result, error)
