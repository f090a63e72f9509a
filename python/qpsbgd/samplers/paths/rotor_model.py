"""Annealing of a rotor model as a dimod sampler."""

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import dimod
import numpy as np
import numpy.typing as npt
from dimod.core.initialized import InitialStateGenerator

from qpsbgd import _core
from qpsbgd._checks.choices import checked_choice
from qpsbgd._checks.kinds import check_instance
from qpsbgd._checks.numbers import checked_seed
from qpsbgd._checks.real_arrays import checked_floats
from qpsbgd._warnings import warn_caller
from qpsbgd.samplers.base import CoreSampler
from qpsbgd.samplers.call.caller_functions import InterruptFunction
from qpsbgd.samplers.call.reads import CoreReads, States, is_begun
from qpsbgd.samplers.call.sampler_call import SamplerCall
from qpsbgd.samplers.paths.field_schedule import Field, field_schedule
from qpsbgd.samplers.paths.read_arrays import (
    checked_interval,
    checked_projections,
    finish_with_arrays,
    refuse_with_best,
    sorted_variables,
    variable_places,
)
from qpsbgd.samplers.problem.ising import Form
from qpsbgd.samplers.schedule import BetaRange, ScheduleType

Angles = npt.NDArray[np.uint8]
Criteria = Literal["MetropolisNonErgodic", "MetropolisUniform", "MetropolisTF", "GibbsNonErgodic"]

#: Proposal and acceptance of each rule.
DYNAMICS: dict[Criteria, tuple[_core.RotorProposal, _core.Acceptance]] = {
    "MetropolisNonErgodic": (_core.RotorProposal.reflect, _core.Acceptance.Metropolis),
    "MetropolisUniform": (_core.RotorProposal.uniform, _core.Acceptance.Metropolis),
    "MetropolisTF": (_core.RotorProposal.near, _core.Acceptance.Metropolis),
    "GibbsNonErgodic": (_core.RotorProposal.reflect, _core.Acceptance.Gibbs),
}


class RotorModelAnnealingSampler(CoreSampler, dimod.Initialized):
    """Annealer of a rotor model that replaces ``dwave.samplers.RotorModelAnnealingSampler``.

    It takes the same parameters with the same meaning, and some more. It is vectorised over reads
    and uses all cores. Read ``k`` depends on the problem, the parameters, its initial state,
    ``seed`` and ``k`` alone. It does not depend on ``num_reads``, ``num_threads`` or the
    instruction set.

    Each qubit is an angle ``theta``, a multiple of pi / 128, which stands for a coherent state
    without entanglement: its cosine takes the place of the spin, and the magnitude of its sine is
    the transverse magnetisation. The weight of a state is
    ``exp(-Hp E(cos theta) + Hd sum_i trans_fields_i |sin theta_i|)`` for the energy E of the binary
    quadratic model. At the end a qubit is measured: it is +1 with the probability
    ``(1 + cos theta) / 2``.

    Attributes:
        parameters: names of the parameters of :meth:`sample`, as in all dimod samplers.
        properties: the options of some parameters.

    Reference:
        S. W. Shin, G. Smith, J. A. Smolin and U. Vazirani, "How 'quantum' is the D-Wave machine?",
        arXiv 1401.7087 (2014).

    Example:
        >>> import numpy as np
        >>> from qpsbgd import RotorModelAnnealingSampler
        >>> time = np.linspace(0, 1, 200)
        >>> sampleset = RotorModelAnnealingSampler().sample_ising(
        ...     {}, {("a", "b"): 1.0, ("b", "c"): 1.0, ("a", "c"): 1.0}, num_reads=10, seed=1,
        ...     beta_schedule_type="custom", Hp_field=5 * time, Hd_field=3 * (1 - time),
        ... )
        >>> print(sampleset.first.energy)
        -1.0
    """

    option_properties: ClassVar[dict[str, str]] = {
        "beta_range": "beta_range_options",
        "beta_schedule_type": "beta_schedule_options",
        "proposal_acceptance_criteria": "proposal_acceptance_options",
        "form": "form_options",
    }

    def sample(
        self,
        bqm: dimod.BinaryQuadraticModel,
        *,
        beta_range: BetaRange | None = None,
        num_reads: int | None = None,
        num_sweeps: int | None = None,
        num_sweeps_per_beta: int = 1,
        beta_schedule_type: ScheduleType = "geometric",
        seed: int | None = None,
        Hp_field: Field | None = None,
        Hd_field: Field | None = None,
        initial_states: Any = None,
        initial_states_generator: InitialStateGenerator = "random",
        make_info_json_serializable: bool = False,
        project_states: tuple[bool, bool] = (False, True),
        schedule_sample_interval: int | None = None,
        randomize_order: bool = False,
        proposal_acceptance_criteria: Criteria = "MetropolisUniform",
        trans_fields: float | Sequence[float] | npt.NDArray[Any] | None = None,
        interrupt_function: InterruptFunction | None = None,
        num_threads: int | None = None,
        time_limit: float | None = None,
        form: Form | None = None,
        num_best: int | None = None,
        **kwargs: Any,
    ) -> dimod.SampleSet:
        """Sample from a binary quadratic model.

        Args:
            bqm: the problem.
            beta_range: ``(first, last)`` value of ``Hp_field``, >= 0; ``"auto"`` for
                :func:`~qpsbgd.samplers.temperature_rules.auto_beta_range`; ``"dwave"`` or ``None``
                for the rule of dwave-samplers.
            num_reads: number of anneals; by default the number of initial states, or 1. Sixteen
                reads take as long as one.
            num_sweeps: sweeps of a read. The default follows from ``Hp_field``, or is 100. 0
                returns the initial states.
            num_sweeps_per_beta: sweeps at each step of the schedule; must divide ``num_sweeps``.
            beta_schedule_type: ``"geometric"`` or ``"linear"`` to space ``Hp_field`` between the
                ends of ``beta_range``, or ``"custom"`` with ``Hp_field``.
            seed: integer in ``[0, 2**31)``; drawn if ``None``.
            Hp_field: factor of the problem's energy at each step, >= 0, for ``"custom"``. It is an
                inverse temperature: the energy is in units of the temperature.
            Hd_field: transverse field at each step, >= 0 and in units of the temperature, as many
                values as there are steps. ``None`` for 0.
            initial_states: one or more states in a form that ``dimod.as_samples`` takes, or a uint8
                array ``(num_reads, n)`` of angles in units of pi / 128, in the order of the sample
                set's variables, which are sorted where that is possible.
            initial_states_generator: way to make the missing states if there are fewer
                ``initial_states`` than reads: ``"none"`` (an error), ``"tile"`` or ``"random"``.
            make_info_json_serializable: whether ``info`` has lists in the place of arrays.
            project_states: whether initial angles are first measured, which leaves 0 and 128, and
                whether the final angles are left out of ``info``.
            schedule_sample_interval: number of steps between two samples of a read's angles.
            randomize_order: whether to update qubits drawn with replacement instead of one after
                another. All reads share the order.
            proposal_acceptance_criteria: ``"MetropolisUniform"`` proposes any angle, and
                ``"MetropolisTF"`` one that differs by at most ``pi Hd / Hp``. Both accept with the
                probability ``min(1, ratio of the weights)``. ``"MetropolisNonErgodic"`` proposes
                ``pi - theta``; so does ``"GibbsNonErgodic"``, which chooses between the two
                according to their weights. The last two never change the sine.
            trans_fields: factors of ``Hd_field``, one number or one for each variable in the order
                of the sample set's variables; ``None`` for 1. Without ``Hd_field`` they have no
                effect and cause a warning.
            interrupt_function: function that the calling thread calls many times a second, and at
                least once in a call. The call ends early, with its states so far, if the function
                returns True.
            num_threads: largest number of threads; ``None`` for the number of processors of this
                process. At most four threads a processor are started. Short calls use fewer.
            time_limit: seconds for the solving, > 0; ``None`` for no limit.
            form: ``"dense"`` or ``"sparse"`` couplings; ``None`` for the faster one. Both give the
                same samples.
            num_best: number of states to return instead of one for each read: the lowest distinct
                states in ascending order of energies, with the number of reads that ended in each
                as ``num_occurrences``. The other states are not kept, so that any number of reads
                needs little memory. Of equal energies the lexicographically first state is the
                lower one. ``None`` returns a state for each read, and is needed where more than
                this is asked of each read: with ``schedule_sample_interval``,
                ``project_states=(..., False)`` and initial angles.
            **kwargs: unknown parameters, which dimod ignores with a warning.

        Returns:
            The measured spins, with their energies in float64. ``info`` has ``beta_range``,
            ``beta_schedule_type``, ``timing`` (``preprocessing_ns``, ``sampling_ns``,
            ``postprocessing_ns``), ``seed``, ``isa``, ``num_threads``, ``form``, ``num_sweeps``
            (the smallest and the largest number of a read) and ``stopped_by`` (``"finished"``,
            ``"time_limit"`` or ``"interrupt"``). With ``project_states=(..., False)`` it has
            ``rotor_states``, the final angles, uint8 ``(num_reads, n)``. With
            ``schedule_sample_interval`` it has ``statistics``, uint8
            ``(num_reads, num_samples, n)``: the angles after the first step and after every
            ``schedule_sample_interval`` steps more. A call that stops early returns the reads that
            it began, each with its state so far, and 0 in the samples that it did not take.

        Raises:
            TypeError: an argument of the wrong type.
            ValueError: a value out of range, a NaN or infinite bias, or arguments that contradict
                each other.
            KeyboardInterrupt: Ctrl-C. Its attribute ``sampleset`` is the result so far. An
                exception from ``interrupt_function`` has the same attribute.
        """
        call = SamplerCall(
            self, bqm, num_threads=num_threads, time_limit=time_limit,
            interrupt_function=interrupt_function,
        )  # fmt: skip
        self.remove_unknown_kwargs(**kwargs)
        seed = checked_seed(seed)
        is_measured, is_projected = checked_projections(project_states)
        check_instance("randomize_order", randomize_order, bool, "a boolean")
        checked_choice(
            "proposal_acceptance_criteria", proposal_acceptance_criteria, tuple(DYNAMICS)
        )
        proposal, acceptance = DYNAMICS[proposal_acceptance_criteria]
        refuse_with_best(
            num_best, is_projected=is_projected, schedule_sample_interval=schedule_sample_interval
        )
        order = sorted_variables(bqm)
        angles = _angles_of(initial_states, (num_reads, len(order)))
        if angles is None:
            has_arrays = schedule_sample_interval is not None or not is_projected
            call.parse_states(
                initial_states, initial_states_generator, num_reads, seed, num_best,
                is_divisible=not has_arrays,
            )  # fmt: skip
            columns = variable_places(call.variables or [], order)
        elif num_best is None:
            if is_measured:
                angles = _angles(_core.project_rotors(angles, seed))
            call.use_reads(len(angles))
        else:
            raise ValueError(
                f"num_best is {num_best!r}, but must be None with initial_states that are angles"
            )
        call.variables = order
        problem = call.build_problem(form)
        factors, fields = field_schedule(
            problem, beta_range, num_sweeps, num_sweeps_per_beta, beta_schedule_type, Hp_field,
            Hd_field,
        )  # fmt: skip
        transverse = _transverse(trans_fields, len(order))
        if trans_fields is not None and Hd_field is None:
            warn_caller("trans_fields have no effect without Hd_field, which they multiply")
        interval = checked_interval(schedule_sample_interval, len(factors))
        arrays: dict[str, Any] = {}

        def solve(initial: States, first: int, limits: dict[str, Any]) -> CoreReads:
            starts = _angles(initial[:, columns]) if angles is None else angles
            ends, spins, sweeps, statistics, reason, error = call.in_core(
                _core.anneal_rotors,
                problem.core,
                starts,
                problem_fields=factors,
                transverse_fields=fields,
                transverse=transverse,
                proposal=proposal,
                acceptance=acceptance,
                draw_order=randomize_order,
                sweeps_per_step=num_sweeps_per_beta,
                sample_interval=interval,
                seed=seed,
                first_read=first,
                **limits,
            )
            begun = is_begun(sweeps, reason)
            if interval:
                arrays["statistics"] = statistics[begun]
            if not is_projected:
                arrays["rotor_states"] = ends[begun]
            return spins, sweeps, reason, error

        with call.solving() as limits:
            reads = call.run_reads(limits, solve)
            return finish_with_arrays(
                call, reads, factors, arrays, should_list=make_info_json_serializable,
                beta_schedule_type=beta_schedule_type, seed=seed,
            )  # fmt: skip


def _angles(spins: States) -> Angles:
    """Return the angles of spins: 0 of +1 and 128 of -1."""
    return np.ascontiguousarray(64 - 64 * spins.astype(np.int16), np.uint8)


def _angles_of(value: Any, shape: tuple[int | None, int]) -> Angles | None:
    """Return initial states that are angles, or None if they are something else.

    Args:
        value: the initial states.
        shape: number of reads, or None, and of variables.
    """
    if not isinstance(value, np.ndarray) or value.dtype != np.uint8:
        return None
    num_reads, n = shape
    if value.ndim != 2 or value.shape[1] != n or num_reads not in (None, len(value)):
        rule = f"({'num_reads' if num_reads is None else num_reads}, {n})"
        raise ValueError(f"initial_states has shape {value.shape}, but angles must have {rule}")
    return np.ascontiguousarray(value)


def _transverse(value: Any, n: int) -> npt.NDArray[np.float32]:
    """Return the factors of the transverse field of each variable."""
    factors = checked_floats("trans_fields", 1.0 if value is None else value, 0, 1)
    if factors.ndim == 0:
        factors = np.full(n, factors)
    if len(factors) != n:
        raise ValueError(
            f"trans_fields has {len(factors)} values, but must have one for each of the {n} "
            "variables"
        )
    if (factors < 0).any():
        raise ValueError(f"trans_fields has the value {factors.min()}, but must be at least 0")
    return np.ascontiguousarray(factors, np.float32)
