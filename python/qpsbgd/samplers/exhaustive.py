"""Enumeration of all states as a dimod sampler."""

from typing import Any, ClassVar

import dimod
import numpy as np

from qpsbgd import _core
from qpsbgd._checks.numbers import checked_count
from qpsbgd.samplers.base import CoreSampler
from qpsbgd.samplers.call.caller_functions import InterruptFunction, Progress
from qpsbgd.samplers.call.reads import Reads
from qpsbgd.samplers.call.sampler_call import SamplerCall

#: Largest number of variables. 2^48 states take hours, and each further variable doubles the time.
MAX_NUM_VARIABLES = _core.max_exhaustive_variables


class ExhaustiveSampler(CoreSampler):
    """Sampler that visits every state and returns the lowest ones.

    It is the exact counterpart of the other samplers. ``dimod.ExactSolver`` returns every state and
    therefore ends at some 20 variables. A core with AVX-512 visits a state in 0.05 ns, or less if
    biases are small integers: 30 variables take 0.05 s, 36 some seconds and 48 some hours.

    Energies are compared in float64. They are exact, whatever the order of summation, if the biases
    are multiples of a power of two and their magnitudes add up to less than 2^53 times that power,
    as with integers. Otherwise states whose energies differ by float64's rounding may change
    places. Of equal energies the lexicographically first state is the lower one, with variables in
    the order of the model and -1 (or 0) before +1. The result of a call that ran to its end does
    not depend on ``num_threads`` or the instruction set.

    Attributes:
        parameters: names of the parameters of :meth:`sample`, as in all dimod samplers.
        properties: ``max_num_variables``.

    Example:
        >>> from qpsbgd import ExhaustiveSampler
        >>> sampler = ExhaustiveSampler()
        >>> sampleset = sampler.sample_ising({"a": 0.5}, {("a", "b"): -1.0}, num_states=2)
        >>> sampleset.record.energy
        array([-1.5, -0.5])
    """

    option_properties: ClassVar[dict[str, str]] = {}

    def __init__(self) -> None:
        super().__init__()
        self.properties["max_num_variables"] = MAX_NUM_VARIABLES

    def sample(
        self,
        bqm: dimod.BinaryQuadraticModel,
        *,
        num_states: int | None = None,
        num_threads: int | None = None,
        time_limit: float | None = None,
        interrupt_function: InterruptFunction | None = None,
        energy_threshold: float | None = None,
        progress: Progress | None = None,
        num_best: int | None = None,
        **kwargs: Any,
    ) -> dimod.SampleSet:
        """Find the lowest states of a binary quadratic model.

        Args:
            bqm: the problem, of at most 48 variables.
            num_states: number of states to return; all ``2**n`` if there are fewer; ``None`` for 1.
            num_threads: largest number of threads; ``None`` for the number of processors of this
                process. At most four threads a processor are started. Short calls use fewer.
            time_limit: seconds for the search, > 0; ``None`` for no limit.
            interrupt_function: function that the calling thread calls many times a second, and at
                least once in a call. The call ends early, with its best states so far, if the
                function returns True.
            energy_threshold: energy at which the call ends: it stops at a state of this energy or
                less.
            progress: function that the calling thread calls many times a second with the lowest
                energy so far.
            num_best: another name of ``num_states``, which the other samplers have.
            **kwargs: unknown parameters, which dimod ignores with a warning.

        Returns:
            States in the order of their energies, which are float64. ``info`` has ``num_visited``
            (number of states that were visited), ``timing`` (``preprocessing_ns``,
            ``sampling_ns``, ``postprocessing_ns``), ``isa``, ``num_threads`` and ``stopped_by``
            (``"finished"``, ``"time_limit"``, ``"energy_threshold"`` or ``"interrupt"``). A call
            that stops early returns the lowest of the states that it visited.

        Raises:
            TypeError: an argument of the wrong type.
            ValueError: a value out of range, a NaN or infinite bias, or more than 48 variables.
            KeyboardInterrupt: Ctrl-C. Its attribute ``sampleset`` is the result so far. An
                exception from ``interrupt_function`` or ``progress`` has the same attribute.
        """
        call = SamplerCall(
            self, bqm, num_threads=num_threads, time_limit=time_limit,
            interrupt_function=interrupt_function, progress=progress,
        )  # fmt: skip
        self.remove_unknown_kwargs(**kwargs)
        if num_states is None:
            num_states = 1 if num_best is None else checked_count("num_best", num_best, 1)
        elif num_best is not None:
            raise ValueError(
                f"num_states is {num_states!r} and num_best {num_best!r}, but they are one number: "
                "give one of them"
            )
        checked_count("num_states", num_states, 1)
        if bqm.num_variables > MAX_NUM_VARIABLES:
            raise ValueError(
                f"bqm has {bqm.num_variables} variables, but must have at most {MAX_NUM_VARIABLES}"
            )
        problem = call.build_problem()
        threshold = call.core_threshold(energy_threshold)
        with call.solving() as limits:
            states, num_visited, reason, error = call.in_core(
                problem.core.enumerate,
                num_states=num_states, energy_threshold=threshold, **limits,
            )  # fmt: skip
            reads = Reads(states, reason, error, np.zeros(len(states), np.int64))
            # The model's own energies may be rounded differently than the core's.
            return call.finish(reads, is_sorted=True, num_visited=num_visited)
