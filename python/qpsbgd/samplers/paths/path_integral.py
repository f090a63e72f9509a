"""Path-integral (simulated quantum) annealing as a dimod sampler."""

from typing import Any, ClassVar

import dimod
import numpy as np
import numpy.typing as npt
from dimod.core.initialized import InitialStateGenerator

from qpsbgd import _core
from qpsbgd._checks.numbers import checked_count, checked_finite, checked_nonnegative, checked_seed
from qpsbgd._warnings import warn_caller
from qpsbgd.samplers.base import CoreSampler
from qpsbgd.samplers.call.caller_functions import InterruptFunction
from qpsbgd.samplers.call.reads import CoreReads, States, is_begun
from qpsbgd.samplers.call.sampler_call import SamplerCall
from qpsbgd.samplers.paths.chains import with_chains
from qpsbgd.samplers.paths.field_schedule import Field, field_schedule, strengthened
from qpsbgd.samplers.paths.read_arrays import (
    checked_interval,
    checked_projections,
    finish_with_arrays,
    refuse_with_best,
    sorted_variables,
    variable_places,
)
from qpsbgd.samplers.paths.worldlines import (
    Worldlines,
    break_info,
    checked_buffer,
    checked_worldlines,
)
from qpsbgd.samplers.problem.ising import Form
from qpsbgd.samplers.schedule import BetaRange, ScheduleType


class PathIntegralAnnealingSampler(CoreSampler, dimod.Initialized):
    """Simulated quantum annealer that replaces ``dwave.samplers.PathIntegralAnnealingSampler``.

    It takes the same parameters with the same meaning, and some more. It is vectorised over reads
    and uses all cores. Read ``k`` depends on the problem, the parameters, its initial state,
    ``seed`` and ``k`` alone. It does not depend on ``num_reads``, ``num_threads`` or the
    instruction set.

    The model is a transverse-field Ising model, whose Hamiltonian in units of the temperature is
    ``Hp E(sigma^z) - Gamma Hd sum_i sigma^x_i`` for the energy E of the binary quadratic model. Its
    path integral gives each qubit a *worldline*, which is its spin along imaginary time, a circle
    of 65536 slices. A worldline changes sign at *breaks*. An update draws the whole worldline of a
    qubit from the equilibrium that its neighbours leave it, and a sweep updates every qubit once,
    in random order. With constant fields the reads thus follow the quantum mechanical equilibrium
    once there have been enough sweeps. With falling ``Hd_field`` and rising ``Hp_field`` they
    emulate a quantum annealer.

    Without ``Hd_field`` there is no transverse field, as in dwave-samplers, and the sampler is a
    simulated annealer with Gibbs updates.

    Attributes:
        parameters: names of the parameters of :meth:`sample`, as in all dimod samplers.
        properties: the options of some parameters.

    Reference:
        A. D. King et al., "Scaling advantage over path-integral Monte Carlo in quantum simulation
        of geometrically frustrated magnets", Nature Communications 12, 1113 (2021),
        doi:10.1038/s41467-021-20901-5. The updates are those of H. Rieger and N. Kawashima,
        "Application of a continuous time cluster algorithm to the two-dimensional random quantum
        Ising ferromagnet", European Physical Journal B 9, 233 (1999), doi:10.1007/s100510050761.

    Example:
        >>> import numpy as np
        >>> from qpsbgd import PathIntegralAnnealingSampler
        >>> time = np.linspace(0, 1, 100)
        >>> sampleset = PathIntegralAnnealingSampler().sample_ising(
        ...     {}, {("a", "b"): 1.0, ("b", "c"): 1.0, ("a", "c"): 1.0}, num_reads=10, seed=1,
        ...     beta_schedule_type="custom", Hp_field=5 * time, Hd_field=3 * (1 - time),
        ... )
        >>> print(sampleset.first.energy)
        -1.0
    """

    option_properties: ClassVar[dict[str, str]] = {
        "beta_range": "beta_range_options",
        "beta_schedule_type": "beta_schedule_options",
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
        Gamma: float = 1.0,
        chain_coupler_strength: float = 1.0,
        qubits_per_chain: int = 1,
        qubits_per_update: int = 1,
        initial_states: Any = None,
        initial_states_generator: InitialStateGenerator = "random",
        make_info_json_serializable: bool = False,
        project_states: tuple[bool, bool] = (True, True),
        num_breaks: npt.NDArray[Any] | None = None,
        breaks_in: npt.NDArray[Any] | None = None,
        breaks_buffer_out: npt.NDArray[np.int32] | None = None,
        schedule_sample_interval: int | None = None,
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
            Gamma: factor of ``Hd_field``, >= 0. Their product may be at most 4096. Without
                ``Hd_field`` it has no effect, and another value than 1 causes a warning.
            chain_coupler_strength: coupling J between neighbours in a chain, which ``Hp_field``
                multiplies as it does the problem. A negative one aligns the qubits of a chain. The
                energies of samples leave it out. Without chains it has no effect, and another value
                than 1 causes a warning.
            qubits_per_chain: number of qubits of a chain, which divides their number. Consecutive
                variables are a chain and are coupled as a path, in the order of their labels, or
                in that of ``bqm`` if these cannot be sorted. With 1 there are no chains.
            qubits_per_update: 1 to update qubits; any other number up to ``qubits_per_chain`` to
                update whole chains by the rule of Swendsen and Wang. ``bqm`` must then not couple
                qubits of one chain.
            initial_states: one or more states in a form that ``dimod.as_samples`` takes. They are
                the spins in the last slice of imaginary time.
            initial_states_generator: way to make the missing states if there are fewer
                ``initial_states`` than reads: ``"none"`` (an error), ``"tile"`` or ``"random"``.
            make_info_json_serializable: whether ``info`` has lists in the place of arrays.
            project_states: whether the initial states are classical, without breaks, and whether
                the breaks of the final states are left out of ``info``.
            num_breaks: number of breaks of each worldline at the start, integers
                ``(num_reads, n)``, even, in the order of the sample set's variables, which are
                sorted where that is possible. Goes with ``project_states=(False, ...)``.
            breaks_in: the places of these breaks, integers in ``[0, 65536)``, read by read and
                variable by variable, and ascending in each worldline. A break at p lies before
                slice p.
            breaks_buffer_out: int32 array of one dimension that receives the places of the final
                breaks, as far as it has room. Goes with ``project_states=(..., False)``.
            schedule_sample_interval: number of steps between two samples of a read's states.
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
                this is asked of each read: with ``num_breaks``, ``breaks_in``,
                ``schedule_sample_interval`` and ``project_states=(..., False)``.
            **kwargs: unknown parameters, which dimod ignores with a warning.

        Returns:
            The spins in the last slice, with energies in float64. ``info`` has ``beta_range``,
            ``beta_schedule_type``, ``timing`` (``preprocessing_ns``, ``sampling_ns``,
            ``postprocessing_ns``), ``seed``, ``isa``, ``num_threads``, ``form``, ``num_sweeps``
            (the smallest and the largest number of a read) and ``stopped_by`` (``"finished"``,
            ``"time_limit"`` or ``"interrupt"``).

            With ``project_states=(..., False)`` it also has ``num_breaks``, int32
            ``(num_reads, n)`` in the order of the sample set's variables, ``break_positions``,
            int32 of one dimension, and ``complete_break_specification``, which is False if these
            did not fit into ``breaks_buffer_out``. They can be the ``num_breaks`` and ``breaks_in``
            of a later call whose ``initial_states`` are these samples.

            With ``schedule_sample_interval`` it has ``statistics``, int8
            ``(num_reads, num_samples, n)``: the spins in the last slice after the first step and
            after every ``schedule_sample_interval`` steps more. They are 0 where a limit ended the
            call before.

            A call that stops early returns the reads that it began, each with its state so far.

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
        is_classical, is_projected = checked_projections(project_states)
        checked_count("qubits_per_chain", qubits_per_chain, 1)
        checked_count("qubits_per_update", qubits_per_update, 1, qubits_per_chain + 1)
        strength = checked_finite("chain_coupler_strength", chain_coupler_strength)
        checked_nonnegative("Gamma", Gamma)
        refuse_with_best(
            num_best, is_projected=is_projected, num_breaks=num_breaks, breaks_in=breaks_in,
            schedule_sample_interval=schedule_sample_interval,
        )  # fmt: skip
        _warn_unused(Hd_field, Gamma, qubits_per_chain, strength)
        has_arrays = (
            num_breaks is not None or schedule_sample_interval is not None or not is_projected
        )
        call.parse_states(
            initial_states, initial_states_generator, num_reads, seed, num_best,
            is_divisible=not has_arrays,
        )  # fmt: skip
        order = sorted_variables(bqm)
        columns = variable_places(call.variables or [], order)
        spins = np.ascontiguousarray(call.initial[:, columns])
        call.variables = order
        starts = checked_worldlines(spins, num_breaks, breaks_in, is_classical=is_classical)
        buffer = checked_buffer(breaks_buffer_out, is_wanted=not is_projected)
        problem = call.build_problem(form)
        core = with_chains(problem, qubits_per_chain, qubits_per_update, strength)
        factors, fields = field_schedule(
            problem, beta_range, num_sweeps, num_sweeps_per_beta, beta_schedule_type,
            Hp_field, Hd_field,
        )  # fmt: skip
        fields = strengthened(fields, Gamma)
        interval = checked_interval(schedule_sample_interval, len(factors))
        arrays: dict[str, Any] = {}

        def solve(initial: States, first: int, limits: dict[str, Any]) -> CoreReads:
            lines = starts
            if first > 0:  # worldlines of many reads start without breaks
                lines = Worldlines.without_breaks(np.ascontiguousarray(initial[:, columns]))
            spins, sweeps, statistics, numbers, places, reason, error = call.in_core(
                _core.anneal_paths,
                core,
                lines.spins,
                lines.num_breaks,
                lines.breaks,
                problem_fields=factors,
                transverse_fields=fields,
                sweeps_per_step=num_sweeps_per_beta,
                chain_length=qubits_per_chain,
                chain_coupling=strength,
                update_chains=qubits_per_update > 1,
                sample_interval=interval,
                return_breaks=not is_projected,
                seed=seed,
                first_read=first,
                **limits,
            )
            begun = is_begun(sweeps, reason)
            if interval:
                arrays["statistics"] = statistics[begun]
            if not is_projected:
                ends = Worldlines(spins, numbers, places).of_reads(begun)
                arrays.update(break_info(ends, buffer))
            return spins, sweeps, reason, error

        with call.solving() as limits:
            reads = call.run_reads(limits, solve)
            return finish_with_arrays(
                call, reads, factors, arrays, should_list=make_info_json_serializable,
                beta_schedule_type=beta_schedule_type, seed=seed,
            )  # fmt: skip


def _warn_unused(Hd_field: Any, gamma: Any, qubits_per_chain: int, strength: float) -> None:
    """Warn of parameters that dwave-samplers accepts without any effect."""
    if Hd_field is None and gamma != 1:
        warn_caller(f"Gamma is {gamma}, but has no effect without Hd_field, which it multiplies")
    if qubits_per_chain == 1 and strength != 1:
        warn_caller(
            f"chain_coupler_strength is {strength}, but has no effect without chains: pass "
            "qubits_per_chain"
        )
