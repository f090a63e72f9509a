"""Steepest descent as a dimod sampler."""

from typing import Any, ClassVar, Literal

import dimod
from dimod.core.initialized import InitialStateGenerator

from qpsbgd import _core
from qpsbgd._checks.choices import checked_choice
from qpsbgd._checks.numbers import WIDE_SEED_LIMIT, checked_seed
from qpsbgd.samplers.base import StateSampler
from qpsbgd.samplers.call.caller_functions import InterruptFunction
from qpsbgd.samplers.call.sampler_call import SamplerCall
from qpsbgd.samplers.problem.ising import Form, Problem

Precision = Literal["float32", "float64"]


class SteepestDescentSampler(StateSampler):
    """Steepest-descent sampler that replaces ``dwave.samplers.SteepestDescentSampler``.

    It takes the same parameters with the same meaning, and some more. It is vectorised and uses all
    cores. From its initial state a read flips the variable whose flip lowers the energy most, until
    no flip lowers it. Among equal variables the first one flips. Read ``k`` depends on the problem
    and its initial state alone.

    Fields in float32 or float64 choose the steps, and float64 checks the end: no flip of a sample
    lowers its energy by more than float64's rounding.

    Attributes:
        parameters: names of the parameters of :meth:`sample`, as in all dimod samplers.
        properties: the options of some parameters.

    Example:
        >>> from qpsbgd import SteepestDescentSampler
        >>> sampler = SteepestDescentSampler()
        >>> sampleset = sampler.sample_ising(
        ...     {"a": 2.0, "b": 2.0}, {("a", "b"): -1.0}, initial_states={"a": 1, "b": 1}
        ... )
        >>> print(sampleset.first.energy, sampleset.first.num_steps)
        -5.0 2
    """

    batch_method = "descent"
    option_properties: ClassVar[dict[str, str]] = {
        "initial_states_generator": "initial_states_generators",
        "large_sparse_opt": "large_sparse_opt_values",
        "form": "form_options",
        "precision": "precision_options",
    }

    def sample(
        self,
        bqm: dimod.BinaryQuadraticModel,
        num_reads: int | None = None,
        initial_states: Any = None,
        initial_states_generator: InitialStateGenerator = "random",
        seed: int | None = None,
        large_sparse_opt: bool = False,
        *,
        num_threads: int | None = None,
        time_limit: float | None = None,
        interrupt_function: InterruptFunction | None = None,
        form: Form | None = None,
        precision: Precision | None = None,
        num_best: int | None = None,
        **kwargs: Any,
    ) -> dimod.SampleSet:
        """Find local minima of a binary quadratic model.

        Args:
            bqm: the problem.
            num_reads: number of descents; by default the number of initial states, or 1.
            initial_states: one or more states in a form that ``dimod.as_samples`` takes.
            initial_states_generator: way to make the missing states if there are fewer
                ``initial_states`` than reads: ``"none"`` (an error), ``"tile"`` or ``"random"``.
            seed: seed of the random initial states, an integer in ``[0, 2**32)``; drawn if
                ``None``.
            large_sparse_opt: True means ``form="sparse"``; False leaves the choice to ``form``.
            num_threads: largest number of threads; ``None`` for the number of processors of this
                process. At most four threads a processor are started. Short calls use fewer.
            time_limit: seconds for the solving, > 0; ``None`` for no limit. It ends the call
                between two reads, never within a read.
            interrupt_function: function that the calling thread calls many times a second, and at
                least once in a call. The call ends early, with its states so far, if the function
                returns True.
            form: ``"dense"`` stores couplings as a matrix and visits all variables at each step.
                ``"sparse"`` stores lists of neighbours and keeps the variables in a heap; the time
                of a step grows with the number of neighbours and the logarithm of the number of
                variables. ``None`` for the faster one. Both make the same steps, except where
                float32 rounds differently.
            precision: ``"float32"`` or ``"float64"``: type of the local fields that choose the
                steps. ``None`` for ``"float64"`` if float32 would round away the differences
                between states (docs/precision.md states the rule). float64 checks the end in any
                case.
            num_best: number of states to return instead of one for each read: the lowest distinct
                states in ascending order of energies, with the number of reads that ended in each
                as ``num_occurrences``. The other states are not kept, so that any number of reads
                needs little memory. Of equal energies the lexicographically first state is the
                lower one. ``None`` returns a state for each read.
            **kwargs: unknown parameters, which dimod ignores with a warning.

        Returns:
            Samples with energies in float64 and a vector ``num_steps``, the number of flips.
            ``info`` has ``timing`` (``preprocessing_ns``, ``sampling_ns``, ``postprocessing_ns``),
            ``isa``, ``num_threads``, ``form``, ``precision`` and ``stopped_by`` (``"finished"``,
            ``"time_limit"`` or ``"interrupt"``). A call that stops early returns the reads that it
            began, each as far as it got.

        Raises:
            TypeError: an argument of the wrong type.
            ValueError: a value out of range, a NaN or infinite bias, or ``large_sparse_opt`` with
                ``form="dense"``.
            KeyboardInterrupt: Ctrl-C. Its attribute ``sampleset`` is the result so far. An
                exception from ``interrupt_function`` has the same attribute.
        """
        call = SamplerCall(
            self, bqm, num_threads=num_threads, time_limit=time_limit,
            interrupt_function=interrupt_function,
        )  # fmt: skip
        self.remove_unknown_kwargs(**kwargs)
        if seed is not None:
            checked_seed(seed, WIDE_SEED_LIMIT)
        if large_sparse_opt:
            if form == "dense":
                raise ValueError("form is 'dense', but must be 'sparse' with large_sparse_opt")
            form = "sparse"
        call.parse_states(initial_states, initial_states_generator, num_reads, seed, num_best)
        problem = call.build_problem(form)
        core_precision = _core_precision(problem, precision)
        with call.solving() as limits:
            reads = call.run_reads(
                limits,
                lambda initial, _, limits: call.in_core(
                    problem.core.descend, initial, precision=core_precision, **limits
                ),
            )
            return call.finish(
                reads, {"num_steps": reads.counts}, form=problem.form, precision=core_precision.name
            )


def _core_precision(problem: Problem, name: Precision | None) -> _core.Precision:
    checked_choice("precision", name, ("float32", "float64", None))
    if name is None:
        name = "float64" if problem.core.needs_float64() else "float32"
    return _core.Precision[name]
