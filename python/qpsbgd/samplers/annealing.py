"""Simulated annealing as a dimod sampler."""

import time
from collections.abc import Sequence
from typing import Any, ClassVar, Literal, get_args

import dimod
import numpy as np
import numpy.typing as npt
from dimod.core.initialized import InitialStateGenerator

from qpsbgd import _core
from qpsbgd._checks.choices import Keep, checked_choice, checked_keep
from qpsbgd._checks.numbers import checked_seed
from qpsbgd.samplers.base import StateSampler
from qpsbgd.samplers.batch.batch_options import ACCEPTANCES, Acceptance
from qpsbgd.samplers.call.caller_functions import InterruptFunction, Progress
from qpsbgd.samplers.call.sampler_call import SamplerCall
from qpsbgd.samplers.problem.ising import Form, Problem
from qpsbgd.samplers.schedule import BetaRange, ScheduleType, resolve_keep, schedule_betas

#: Number of sweeps that are timed to learn how many of them a time limit allows.
TIMED_SWEEPS = 2

Precision = Literal["float32", "int16", "float64", "bits"]


class SimulatedAnnealingSampler(StateSampler):
    """Simulated-annealing sampler that replaces ``dwave.samplers.SimulatedAnnealingSampler``.

    It takes the same parameters with the same meaning, and some more. It is vectorised and uses all
    cores. Read ``k`` depends on the problem, the parameters, its initial state, ``seed`` and ``k``
    alone. It does not depend on ``num_reads``, ``num_threads`` or the instruction set.

    Attributes:
        parameters: names of the parameters of :meth:`sample`, as in all dimod samplers.
        properties: the options of some parameters.

    Example:
        >>> from qpsbgd import SimulatedAnnealingSampler
        >>> sampler = SimulatedAnnealingSampler()
        >>> sampleset = sampler.sample_ising({"a": 0.5}, {("a", "b"): -1.0}, num_reads=4, seed=1)
        >>> print(sampleset.first.energy)
        -1.5
    """

    batch_method = "sa"
    option_properties: ClassVar[dict[str, str]] = {
        "beta_range": "beta_range_options",
        "beta_schedule_type": "beta_schedule_options",
        "proposal_acceptance_criteria": "proposal_acceptance_options",
        "keep": "keep_options",
        "form": "form_options",
        "precision": "precision_options",
    }

    def sample(
        self,
        bqm: dimod.BinaryQuadraticModel,
        beta_range: BetaRange | None = None,
        num_reads: int | None = None,
        num_sweeps: int | None = None,
        num_sweeps_per_beta: int = 1,
        beta_schedule_type: ScheduleType = "geometric",
        seed: int | None = None,
        interrupt_function: InterruptFunction | None = None,
        beta_schedule: Sequence[float] | npt.NDArray[Any] | None = None,
        initial_states: Any = None,
        initial_states_generator: InitialStateGenerator = "random",
        randomize_order: bool = False,
        proposal_acceptance_criteria: Acceptance = "Metropolis",
        *,
        num_threads: int | None = None,
        time_limit: float | None = None,
        keep: Keep | None = None,
        form: Form | None = None,
        precision: Precision | None = None,
        energy_threshold: float | None = None,
        progress: Progress | None = None,
        num_best: int | None = None,
        **kwargs: Any,
    ) -> dimod.SampleSet:
        """Sample from a binary quadratic model.

        Args:
            bqm: the problem.
            beta_range: inverse temperatures ``(first, last)``, >= 0; ``"auto"`` or ``None`` for
                :func:`~qpsbgd.samplers.temperature_rules.auto_beta_range`; ``"dwave"`` for the rule
                of dwave-samplers. A schedule with the automatic range has two parts, of which the
                colder one is short (:func:`~qpsbgd.samplers.schedule.cooling`).
            num_reads: number of anneals; by default the number of initial states, or 1.
            num_sweeps: sweeps of a read, at most 10**8. The default is 1000, or the number that
                fits into ``time_limit`` if that is smaller. 0 returns the initial states. A sweep
                proposes every variable once.
            num_sweeps_per_beta: sweeps at each inverse temperature; must divide ``num_sweeps``.
            beta_schedule_type: ``"geometric"``, ``"linear"``, or ``"custom"`` with
                ``beta_schedule``.
            seed: integer in ``[0, 2**31)``; drawn if ``None``.
            interrupt_function: function that the calling thread calls many times a second, and at
                least once in a call. The call ends early, with its states so far, if the function
                returns True.
            beta_schedule: inverse temperatures, >= 0, for ``"custom"``.
            initial_states: one or more states in a form that ``dimod.as_samples`` takes.
            initial_states_generator: way to make the missing states if there are fewer
                ``initial_states`` than reads: ``"none"`` (an error), ``"tile"`` or ``"random"``.
            randomize_order: whether to propose variables drawn with replacement instead of one
                after another.
            proposal_acceptance_criteria: ``"Metropolis"`` or ``"Gibbs"``. Metropolis sweeps in
                order do not reach all states of some problems without linear biases, such as rings.
            num_threads: largest number of threads; ``None`` for the number of processors of this
                process. At most four threads a processor are started. Short calls use fewer.
            time_limit: seconds for the sampling, > 0; ``None`` for no limit. A read that is not
                cold when the time is over goes on to a local minimum, however long that takes. At
                a single temperature it ends at once.
            keep: ``"best"`` returns the best of the states that a read had at its start and after
                each sweep; ``"final"`` returns the last state, as dwave-samplers does. ``None``
                means ``"final"`` if ``beta_range`` or ``beta_schedule`` names a single temperature,
                such as ``(b, b)``, or if there is a single sweep between the ends that the caller
                names: these last states are samples of a Boltzmann distribution, and the best
                states would be colder. Otherwise ``None`` means ``"best"``.
            form: ``"dense"`` or ``"sparse"`` couplings; ``None`` for the faster one.
            precision: ``"float32"``, ``"float64"``, ``"int16"`` or ``"bits"``: type of the local
                fields. The last two need biases that are small multiples of a power of two, the
                unit, and no ``randomize_order``. ``"int16"`` gives the same samples as float32 in
                less time. In sparse form no field, and no coupling times two, may exceed 32767
                units. In dense form no coupling may exceed 127 units; if a field leaves the range
                of int16, the call goes on in float32. ``"bits"`` is for sparse problems without
                fields above 63 units. It processes up to 512 reads with each instruction, and draws
                other random numbers than the other types; its samples have the same distribution.
                ``None`` for ``"float64"`` if float32 would round away the differences between
                states, as with integers of more than 24 bits or small biases beside large penalties
                (docs/precision.md states the rule); otherwise for ``"bits"`` if it fits, and else
                for the fastest type that fits. Dense problems use float32 if a thread has fewer
                than four reads.
            energy_threshold: energy at which the call ends: it stops once a read has a state of
                this energy or less at its start or after a sweep.
            progress: function that the calling thread calls many times a second with the lowest
                energy so far, to float32 accuracy.
            num_best: number of states to return instead of one for each read: the lowest distinct
                states in ascending order of energies, with the number of reads that ended in each
                as ``num_occurrences``. The other states are not kept, so that any number of reads
                needs little memory. Of equal energies the lexicographically first state is the
                lower one. ``None`` returns a state for each read.
            **kwargs: unknown parameters, which dimod ignores with a warning.

        Returns:
            Samples with energies in float64. ``info`` has ``beta_range``, ``beta_schedule_type``,
            ``timing`` (``preprocessing_ns``, ``sampling_ns``, ``postprocessing_ns``), ``seed``,
            ``isa``, ``num_threads``, ``keep``, ``form``, ``precision``, ``num_sweeps`` (the
            smallest and the largest number of a read) and ``stopped_by`` (``"finished"``,
            ``"time_limit"``, ``"energy_threshold"`` or ``"interrupt"``). A call that stops early
            returns the reads that it began, each with its state so far.

        Raises:
            TypeError: an argument of the wrong type.
            ValueError: a value out of range, or a NaN or infinite bias.
            KeyboardInterrupt: Ctrl-C. Its attribute ``sampleset`` is the result so far. An
                exception from ``interrupt_function`` or ``progress`` has the same attribute.
        """
        call = SamplerCall(
            self, bqm, num_threads=num_threads, time_limit=time_limit,
            interrupt_function=interrupt_function, progress=progress,
        )  # fmt: skip
        self.remove_unknown_kwargs(**kwargs)
        seed = checked_seed(seed)
        checked_choice("proposal_acceptance_criteria", proposal_acceptance_criteria, ACCEPTANCES)
        checked_keep(keep)
        call.parse_states(initial_states, initial_states_generator, num_reads, seed, num_best)
        problem = call.build_problem(form)
        betas = schedule_betas(
            problem, beta_range, num_sweeps, num_sweeps_per_beta, beta_schedule_type, beta_schedule
        )
        is_by_rule = beta_schedule is None and (beta_range is None or isinstance(beta_range, str))
        keep = resolve_keep(keep, betas, is_by_rule=is_by_rule)
        threshold = call.core_threshold(energy_threshold)
        fields = core_precision(problem, precision, bool(randomize_order), call.num_reads)
        options: dict[str, Any] = {
            "acceptance": _core.Acceptance[proposal_acceptance_criteria],
            "random_order": bool(randomize_order),
            "keep_best": keep == "best",
            "seed": seed,
            "precision": fields,
            "descend_at_limit": len(betas) > 0 and bool(betas[-1] > betas[0]),
        }
        with call.solving() as limits:
            is_limited = limits["time_limit"] < np.inf
            if is_limited and num_sweeps is None and beta_schedule_type != "custom":
                start = time.perf_counter()
                fitting = _fitting_sweeps(call, betas, num_sweeps_per_beta, options)
                # A schedule shortened by the time limit may end far from a minimum, so all its
                # reads descend.
                options["descend_always"] = options["descend_at_limit"] and fitting < len(betas)
                betas = _thinned(betas, fitting)
                left = limits["time_limit"] - (time.perf_counter() - start)
                limits["time_limit"] = max(left, 1e-9)
            all_betas = np.repeat(betas, num_sweeps_per_beta)
            reads = call.run_reads(
                limits,
                lambda initial, first, limits: call.in_core(
                    problem.core.anneal,
                    initial,
                    betas=all_betas,
                    energy_threshold=threshold,
                    first_read=first,
                    **limits,
                    **options,
                ),
            )
            return call.finish(
                reads,
                beta_range=[float(betas[0]), float(betas[-1])] if len(betas) else None,
                beta_schedule_type=beta_schedule_type,
                seed=seed,
                keep=keep,
                form=problem.form,
                precision=fields.name,
                num_sweeps=list(reads.extremes),
            )


def _fitting_sweeps(
    call: SamplerCall,
    betas: npt.NDArray[np.float64],
    num_sweeps_per_beta: int,
    options: dict[str, Any],
) -> int:
    """Return how many of the inverse temperatures the time limit allows; time some hot sweeps."""
    sweeps = min(TIMED_SWEEPS, len(betas))
    if sweeps == 0:
        return 0
    start = time.perf_counter()
    _, num_made, *_ = call.problem.core.anneal(
        call.initial, betas=[betas[0]] * sweeps, num_threads=call.num_threads,
        time_limit=call.time_limit, energy_threshold=-np.inf,
        watch=lambda _: call.is_interrupted(), **options,
    )  # fmt: skip
    # The first reads stand for all of them.
    seconds = (time.perf_counter() - start) * (call.num_reads / len(call.initial))
    if int(num_made.min(initial=sweeps)) < sweeps:
        return 1  # even these sweeps do not fit
    fitting = int((call.time_limit - seconds) / (seconds / sweeps * num_sweeps_per_beta))
    return min(max(fitting, 1), len(betas))


def _thinned(betas: npt.NDArray[np.float64], count: int) -> npt.NDArray[np.float64]:
    """Return ``count`` of the inverse temperatures, evenly spread and including the last one."""
    places = np.linspace(len(betas) - 1, 0, count).round().astype(int)[::-1]
    thinned: npt.NDArray[np.float64] = betas[places]
    return thinned


def core_precision(
    problem: Problem,
    name: Precision | None,
    random_order: bool,
    num_reads: int,
    choices: Sequence[str] = get_args(Precision),
) -> _core.Precision:
    """Return the type of the local fields of an annealing.

    Args:
        problem: the problem.
        name: the caller's choice; None for the type that suits the problem.
        random_order: whether variables are drawn with replacement.
        num_reads: number of reads, or of replicas.
        choices: the types that the sampler has.

    Raises:
        ValueError: another word, or a type that does not fit the problem.
    """
    checked_choice("precision", name, (*choices, None))
    if name is None:
        return problem.core.best_precision(
            random_order=random_order, num_reads=num_reads, has_bits="bits" in choices
        )
    fitting = [
        p.name
        for p in _core.Precision
        if p.name in choices and problem.core.fits(p, random_order=random_order)
    ]
    if name not in fitting:
        raise ValueError(
            f"precision is {name!r}, but this problem's {problem.form} fields fit only "
            f"{', '.join(map(repr, fitting))}"
        )
    return _core.Precision[name]
