"""Steepest descent as a dimod sampler."""

from collections.abc import Iterable
from typing import Any, Literal

import dimod
from dimod.core.initialized import InitialStateGenerator

from qpsbgd import _core
from qpsbgd._checks import (
    WIDE_SEED_LIMIT,
    check_model,
    checked_choice,
    checked_count,
    checked_threads,
    checked_time_limit,
    refuse_masked,
)
from qpsbgd.samplers import base as call
from qpsbgd.samplers.batch import sample_bqms
from qpsbgd.samplers.ising import Form, Problem


class SteepestDescentSampler(dimod.Sampler, dimod.Initialized):
    """Steepest descent, in the place of ``dwave.samplers.SteepestDescentSampler``.

    Same parameters with the same meaning, and some more; vectorised, on all cores. From its initial
    state a read flips, again and again, the variable that lowers the energy most, of equal ones the
    first, until no flip lowers it. Read ``k`` depends on the problem and its initial state alone.

    Steps are chosen by float32 or float64 fields and the end is checked in float64: no flip of a
    sample lowers its energy by more than float64's rounding.

    Attributes:
        parameters: names of what :meth:`sample` takes, as dimod has it.
        properties: the options of some parameters.

    Example:
        >>> sampler = SteepestDescentSampler()
        >>> sampleset = sampler.sample_ising(
        ...     {"a": 2.0, "b": 2.0}, {("a", "b"): -1.0}, initial_states={"a": 1, "b": 1}
        ... )
        >>> print(sampleset.first.energy, sampleset.first.num_steps)
        -5.0 2
    """

    # dimod.Sampler has them abstract.
    parameters: dict[str, list[str]] = {}  # noqa: RUF012
    properties: dict[str, Any] = {}  # noqa: RUF012

    def __init__(self) -> None:
        self.parameters = {
            "num_reads": [],
            "initial_states": [],
            "initial_states_generator": ["initial_states_generators"],
            "seed": [],
            "large_sparse_opt": ["large_sparse_opt_values"],
            "num_threads": [],
            "time_limit": [],
            "interrupt_function": [],
            "form": ["form_options"],
            "precision": ["precision_options"],
        }
        self.properties = {
            "initial_states_generators": ("none", "tile", "random"),
            "large_sparse_opt_values": (True, False),
            "form_options": ("dense", "sparse"),
            "precision_options": ("float32", "float64"),
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
        interrupt_function: call.InterruptFunction | None = None,
        form: Form | None = None,
        precision: Literal["float32", "float64"] | None = None,
        **kwargs: Any,
    ) -> dimod.SampleSet:
        """Find local minima of a binary quadratic model.

        Args:
            bqm: the problem.
            num_reads: number of descents; default: as many as initial states, or 1.
            initial_states: one or more states, as ``dimod.as_samples`` takes them.
            initial_states_generator: ``"none"``, ``"tile"`` or ``"random"``: what to do where
                there are fewer ``initial_states`` than reads.
            seed: of random initial states, an integer in ``[0, 2**32)``; drawn anew if ``None``.
            large_sparse_opt: True is ``form="sparse"``; False leaves the choice to ``form``.
            num_threads: at most this many threads, of which no more than four a processor are
                started; ``None`` for the processors of this process. Short calls use fewer.
            time_limit: seconds for the call's sampling, > 0; ``None`` for no limit. It ends the
                call between two reads, not a read.
            interrupt_function: asked many times a second, in the calling thread; where it returns
                True the call ends and returns what it has.
            form: ``"dense"`` keeps couplings as a matrix and looks at all variables at each step,
                ``"sparse"`` keeps lists of neighbours and variables in a heap, a step taking time
                in proportion to neighbours and the logarithm of the number of variables; ``None``
                for the faster. Both make the same steps, but for float32's rounding.
            precision: ``"float32"`` or ``"float64"``: what local fields are kept as while steps are
                chosen. ``None`` for ``"float64"`` where float32 would round away what tells states
                apart (docs/precision.md has the rule). The end is checked in float64 in any case.
            **kwargs: ignored with a warning, as dimod does.

        Returns:
            Samples with energies in float64 and a vector ``num_steps``, the number of flips.
            ``info`` has ``timing`` (``preprocessing_ns``, ``sampling_ns``, ``postprocessing_ns``),
            ``isa``, ``num_threads``, ``form``, ``precision`` and ``stopped_by`` (``"finished"``,
            ``"time_limit"`` or ``"interrupt"``). A call that was stopped returns the reads that had
            begun, each as far as it came.

        Raises:
            TypeError: an argument of the wrong type.
            ValueError: a value out of range, a NaN or infinite bias, or ``large_sparse_opt`` with
                ``form="dense"``.
            KeyboardInterrupt: at Ctrl-C; its attribute ``sampleset`` is what would have been
                returned. So it is with an exception from ``interrupt_function``.
        """
        clock = call.Clock()
        check_model("bqm", bqm)
        refuse_masked("initial_states", initial_states)
        self.remove_unknown_kwargs(**kwargs)
        if seed is not None:
            checked_count("seed", seed, 0, WIDE_SEED_LIMIT)
        threads = checked_threads(num_threads)
        limit = checked_time_limit(time_limit)
        if large_sparse_opt:
            if form == "dense":
                raise ValueError("form is 'dense', but must be 'sparse' with large_sparse_opt")
            form = "sparse"
        parsed = self.parse_initial_states(
            bqm,
            initial_states=initial_states,
            initial_states_generator=initial_states_generator,
            num_reads=num_reads,
            seed=seed,
        )
        problem = Problem(bqm, form, parsed.initial_states.variables)
        chosen = _precision(problem, precision)
        watch = call.watch_function(interrupt_function, None, problem.offset)
        initial = call.starts(bqm, parsed)
        clock.lap()
        states, steps, reason, error = problem.core.descend(
            initial, precision=chosen, num_threads=threads, time_limit=limit, watch=watch
        )
        clock.lap()
        if reason is not _core.StopReason.finished:
            begun = steps >= 0
            begun[0] = True  # something is always returned
            states, steps = states[begun], steps[begun].clip(min=0)
        result = call.sampleset(bqm, problem, states, threads, num_steps=steps)
        result.info.update(
            form=problem.form,
            precision=chosen.name,
            stopped_by=reason.name,
            timing=clock.timing(),
        )
        return call.deliver(result, error)

    def sample_batch(
        self, bqms: Iterable[dimod.BinaryQuadraticModel], **options: Any
    ) -> list[dimod.SampleSet]:
        """Sample from many models; options as in :func:`qpsbgd.samplers.batch.sample_bqms`."""
        return sample_bqms(bqms, "descent", **options)


def _precision(problem: Problem, name: str | None) -> _core.Precision:
    """What fields are kept as."""
    if name is None:
        return _core.Precision["float64" if problem.core.needs_float64() else "float32"]
    return _core.Precision[checked_choice("precision", name, ("float32", "float64"))]
